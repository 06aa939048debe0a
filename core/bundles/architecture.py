"""The architecture of a bundle's three nets: what the manifest says is checked here, so that no reader of it has to."""

from typing import Any, Mapping

from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ModelError, shown

LARGEST = 65536  # channels or units of a layer, at most
MOST_LAYERS = 64
_ARGUMENTS = {"conv": ("channels", "kernel"), "pool": ("kernel", "stride"), "dense": ("units",)}


def check_architecture(architecture: Mapping[str, Any]) -> None:
    """Check the tables of all nets, as in `config.NETS`; keys beside `size`, `layers` and `landmarks` are not looked at.

    Raises:
        ModelError: if one is missing or malformed; the message names the key.
    """
    if set(architecture) != set(NETS):
        raise ModelError(f"'architecture' must describe {', '.join(NETS)}, got {shown(list(architecture))}")
    for net, table in architecture.items():
        key = f"architecture.{net}"
        _check(isinstance(table, dict), key, "an object with size, layers and landmarks", table)
        size = table.get("size")
        _check(_is_count(size) and size == NETS[net].size, f"{key}.size", str(NETS[net].size), size)
        _check(isinstance(table.get("landmarks"), bool), f"{key}.landmarks", "true or false", table.get("landmarks"))
        layers = table.get("layers")
        _check(isinstance(layers, list) and 1 <= len(layers) <= MOST_LAYERS, f"{key}.layers", "a list of layers", layers)
        _check_layers(layers, size, f"{key}.layers")


def _check_layers(layers: list[Any], side: int, key: str) -> None:
    """Check the layers of a net whose images have `side` pixels a side: each must leave something for the next."""
    is_dense = False
    for number, layer in enumerate(layers):
        place = f"{key}[{number}]"
        is_known = isinstance(layer, list) and bool(layer) and isinstance(layer[0], str) and layer[0] in _ARGUMENTS
        forms = " or ".join(f'["{kind}", {", ".join(names)}]' for kind, names in _ARGUMENTS.items())
        _check(is_known and len(layer) == 1 + len(_ARGUMENTS[layer[0]]), place, forms, layer)
        kind, *arguments = layer
        _check(all(map(_is_count, arguments)), place, f"made of whole numbers from 1 to {LARGEST}", layer)
        _check(kind == "dense" or not is_dense, place, "a dense layer, as those before it", layer)
        if kind == "dense":
            is_dense = True
            continue
        kernel = arguments[1] if kind == "conv" else arguments[0]
        _check(kernel <= side, place, f"no larger than what is left of an image, {side} pixels", layer)
        side = side - kernel + 1 if kind == "conv" else -((kernel - side) // arguments[1]) + 1  # poolings: ceil mode


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST


def _check(condition: bool, key: str, expected: str, value: object) -> None:
    if not condition:
        raise ModelError(f"{key!r} must be {expected}, got {shown(value)}")
