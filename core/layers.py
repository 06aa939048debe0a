"""The layers of the nets and what they see: names, shapes and sizes that follow from the tables in `config.NETS`.

All code that builds a net follows `walk`, which yields its layers one by one. A new kind of layer needs a function in `KINDS`
here and a builder in `symbol.blocks` (MXNet), `bundles.onnx_nets`, `engines.torch_nets` and, if the compiled kernels can run
it, `operators.native_net`.
"""

import math
from collections import Counter
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, Callable, Iterator, Mapping

import numpy as np

from mtcnn_gluon.config import HEADS, NETS
from mtcnn_gluon.errors import ModelError, shown

LARGEST = 65536  # largest number of channels or units of a layer
LARGEST_SIZE = 512  # largest side in pixels of a net's input
CANVAS_UNIT = 64  # sides of P-Net's inputs are multiples of it, see `engines.base`
MOST_LAYERS = 64

Parameters = Mapping[str, np.ndarray]  # by full name, such as pnet_conv1_weight


@dataclass(frozen=True)
class Layer:
    """One layer of a net.

    Attributes:
        inputs, channels: number of channels or units of its input and output.
        side: height and width of its output in pixels, for images of the net's own size.
        kernel, stride: in pixels. The kernel of a dense layer covers its whole input.
        weight: shape of its weight; None if it has no parameters.
        kind: key of `KINDS`. A head is `dense` in a net with a dense layer, else a `conv` with a kernel of 1.
        name: for a head as in `config.HEADS`, otherwise kind and number, such as `conv1`.
        prelu: name of the PReLU behind it; None if there is none.
        is_head: whether it is a head. All heads read the last layer before them.
    """

    inputs: int
    channels: int
    side: int
    kernel: int
    stride: int = 1
    weight: tuple[int, ...] | None = None
    kind: str = ""
    name: str = ""
    prelu: str | None = None
    is_head: bool = False


def _conv(inputs: int, side: int, channels: int, kernel: int, stride: int = 1) -> Layer:
    """A convolution without padding, whose stride may leave out the last pixels, and a PReLU with one slope a channel."""
    return Layer(inputs, channels, (side - kernel) // stride + 1, kernel, stride, (channels, inputs, kernel, kernel))


def _pool(inputs: int, side: int, kernel: int, stride: int) -> Layer:
    """Max pooling in ceil mode: partial windows at the border give outputs too."""
    return Layer(inputs, inputs, -((kernel - side) // stride) + 1, kernel, stride)


def _dense(inputs: int, side: int, units: int) -> Layer:
    """A dense layer on the features flattened as (channel, row, column), and a PReLU with one slope a unit."""
    return Layer(inputs, units, 1, side, weight=(units, inputs * side * side))


KINDS: Mapping[str, Callable[..., Layer]] = {"conv": _conv, "pool": _pool, "dense": _dense}


def _forms(make: Callable[..., Layer]) -> list[list[str]]:
    """The names of the values that may follow a kind in a row of a table. Those with a default may be left out."""
    values = list(signature(make).parameters.values())[2:]
    needed = sum(each.default is each.empty for each in values)
    return [[each.name for each in values[:count]] for count in range(needed, len(values) + 1)]


_FORMS = {kind: _forms(make) for kind, make in KINDS.items()}


@dataclass(frozen=True)
class View:
    """What a net sees of a candidate: the candidate's square, and perhaps what lies around it.

    Attributes:
        size: side in pixels of the net's input.
        context: pixels of the input on each side that lie around the candidate.
        stride: distance in pixels between neighbouring outputs on a larger input. Only P-Net's matters.
    """

    size: int
    context: int = 0
    stride: int = 1

    def __str__(self) -> str:
        return f"{self.size} pixels with a context of {self.context}"

    @property
    def cell(self) -> int:
        """Side in pixels of the part of the input that the candidate covers."""
        return self.size - 2 * self.context

    @property
    def overhang(self) -> int:
        """Pixels by which cells may reach beyond an image: at most a third of a cell, and none without context."""
        return self.cell // 3 // self.stride * self.stride if self.context else 0

    @property
    def margin(self) -> int:
        """Pixels of black around an image, so that there is an output for every cell."""
        return self.context + self.overhang

    @property
    def overlap(self) -> int:
        """Pixels that neighbouring parts of a larger input share, so that no output between them is lost."""
        return -((self.stride - self.size) // self.stride) * self.stride

    def outputs(self, side: int) -> int:
        """Number of whole outputs along an axis of `side` pixels, at least `size`. A net may have more, see `output_side`."""
        return (side - self.size) // self.stride + 1

    def padded(self, side: int) -> int:
        """The side in pixels that P-Net gets of a level of `side` pixels: with its margins, as a multiple of the stride."""
        return -(-(side + 2 * self.margin) // self.stride) * self.stride

    def around(self, squares: np.ndarray) -> np.ndarray:
        """The parts (N, 4) of the image that the net sees of candidates (N, 4): their squares, widened by size / cell."""
        if not self.context:
            return squares
        margin = (squares[:, 2:] - squares[:, :2]) * squares.dtype.type(self.context / self.cell)  # (N, 2)
        return np.hstack([squares[:, :2] - margin, squares[:, 2:] + margin])


def view_of(table: Mapping[str, Any]) -> View:
    """What a net sees, from its table."""
    return View(table["size"], table.get("context", 0), math.prod(layer.stride for layer in walk(table)))


def walk(table: Mapping[str, Any], key: str = "layers") -> Iterator[Layer]:
    """Yield the layers of a net in order, the heads last.

    Args:
        table: `size`, `layers` and `landmarks`, as in `config.NETS`.
        key: name of the list of layers in messages.

    Raises:
        ModelError: if a row is malformed, or its kernel is larger than its input.
    """
    inputs, side, kind, counts = 3, table["size"], "conv", Counter[str]()
    for number, row in enumerate(table["layers"]):
        _check_row(row, f"{key}[{number}]", side, is_dense=kind == "dense")
        kind, *arguments = row
        layer = KINDS[kind](inputs, side, *arguments)
        counts.update([kind] if layer.weight is None else [kind, "prelu"])
        prelu = f"prelu{counts['prelu']}" if layer.weight else None
        yield replace(layer, kind=kind, name=f"{kind}{counts[kind]}", prelu=prelu)
        inputs, side = layer.channels, layer.side
    for head in heads_of(table):
        layer = _dense(inputs, side, HEADS[head]) if kind == "dense" else _conv(inputs, side, HEADS[head], 1)
        yield replace(layer, kind="dense" if kind == "dense" else "conv", name=head, is_head=True)


def field_of(table: Mapping[str, Any]) -> tuple[int, int]:
    """What one output of a net without a dense layer sees of an image, and the distance between outputs, in pixels."""
    seen, stride = 1, 1
    for layer in walk(table):
        seen, stride = seen + (layer.kernel - 1) * stride, stride * layer.stride
    return seen, stride


def output_side(table: Mapping[str, Any], side: int) -> int:
    """Number of outputs along an axis of an image of `side` pixels, for a net without a dense layer.

    Those beyond `View.outputs` belong to pooling windows that reach beyond the image.
    """
    *_, last = walk({**table, "size": side})
    return last.side


def multiply_adds(table: Mapping[str, Any], height: int, width: int) -> int:
    """Number of multiply-adds of a net for one image of `height` x `width` pixels: of convolutions, dense layers and heads.

    Biases, PReLU, pooling and the softmax are not counted. A net with a dense layer takes images of its own size only.

    Raises:
        ModelError: see `walk`.
    """
    rows, columns = (walk({**table, "size": side}) for side in (height, width))
    return sum(math.prod(row.weight) * row.side * column.side for row, column in zip(rows, columns) if row.weight)


def parse_layers(text: str) -> list[list[Any]]:
    """The rows of a table from a text such as `conv 16 4 2, pool 2 2, dense 128`.

    Raises:
        ModelError: if it has another form; `walk` checks the rows themselves.
    """
    rows = [row.split() for row in text.split(",")]
    if not all(row and all(number.isdecimal() for number in row[1:]) for row in rows):
        raise ModelError(f"layers must have the form of 'conv 16 3, pool 2 2, dense 128', not {shown(text)}")
    return [[kind, *map(int, numbers)] for kind, *numbers in rows]


def heads_of(table: Mapping[str, Any]) -> list[str]:
    """Names of a net's heads, in the order of the outputs."""
    return [head for head in HEADS if table["landmarks"] or head != "landmark"]


def is_dense(table: Mapping[str, Any]) -> bool:
    """Whether a net has a dense layer, and therefore takes images of one size only."""
    return any(row[0] == "dense" for row in table["layers"])


def parameter_shapes(net: str, table: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a net's parameters in the order of its layers, as Gluon has them.

    Args:
        net: beginning of the names, such as `pnet`.
        table: see `walk`.

    Raises:
        ModelError: see `walk`.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in walk(table):
        if layer.weight:
            shapes |= {f"{net}_{layer.name}_weight": layer.weight, f"{net}_{layer.name}_bias": (layer.channels,)}
        if layer.prelu:
            shapes[f"{net}_{layer.prelu}_alpha"] = (layer.channels,)
    return shapes


def check_parameters(net: str, table: Mapping[str, Any], parameters: Parameters) -> dict[str, np.ndarray]:
    """The parameters of a net as float32 arrays, in the order of its layers.

    Raises:
        ModelError: if one is missing, superfluous or of another shape.
    """
    shapes = parameter_shapes(net, table)
    if wrong := set(shapes) ^ set(parameters):
        raise ModelError(f"parameters do not fit the net {net}: missing or unknown {sorted(wrong)}")
    for name, shape in shapes.items():
        if np.shape(parameters[name]) != shape:
            raise ModelError(f"parameter {name}: expected shape {shape}, got {np.shape(parameters[name])}")
    return {name: np.ascontiguousarray(parameters[name], np.float32) for name in shapes}


def check_architecture(architecture: Mapping[str, Any]) -> None:
    """Check the tables of all nets, as in `config.NETS`; keys that it does not have are ignored.

    Raises:
        ModelError: if one is missing or malformed; the message names the key.
    """
    if set(architecture) != set(NETS):
        raise ModelError(f"'architecture' must describe {', '.join(NETS)}, got {shown(list(architecture))}")
    for net, table in architecture.items():
        check_table(net, table, f"architecture.{net}")


def check_table(net: str, table: Any, key: str) -> None:
    """Check the table of one net, as in `config.NETS`. `key` names it in messages.

    Raises:
        ModelError: if it is malformed; the message names the key.
    """
    _check(isinstance(table, dict), key, "an object with size, layers and landmarks", table)
    size, layers, context = table.get("size"), table.get("layers"), table.get("context", 0)
    _check(_is_count(size) and size <= LARGEST_SIZE, f"{key}.size", f"a whole number from 1 to {LARGEST_SIZE}", size)
    _check(context == 0 or _is_count(context), f"{key}.context", "a whole number, 0 or more", context)
    _check(2 * context < size, f"{key}.context", f"less than half of size, {size}", context)
    _check(isinstance(table.get("landmarks"), bool), f"{key}.landmarks", "true or false", table.get("landmarks"))
    _check(isinstance(layers, list) and 1 <= len(layers) <= MOST_LAYERS, f"{key}.layers", "a list of layers", layers)
    *_, last = walk(table, f"{key}.layers")
    if net == "pnet":
        _check(last.kind == "conv", f"{key}.layers", "without a dense layer, as P-Net takes images of any size", layers)
        seen, stride = field_of(table)
        _check(size == seen, f"{key}.size", f"what the layers see, {seen} pixels", size)
        _check(size <= CANVAS_UNIT, f"{key}.size", f"at most {CANVAS_UNIT}", size)
        _check(CANVAS_UNIT % stride == 0, f"{key}.layers", f"of a stride that divides {CANVAS_UNIT}, not {stride}", layers)
    else:
        _check(last.kind == "dense", f"{key}.layers", "with a dense layer at the end", layers)


def _check_row(row: Any, key: str, side: int, is_dense: bool) -> None:
    """Check a row. Its input is `side` pixels high and wide and, if `is_dense`, the output of a dense layer."""
    forms = " or ".join(f'["{kind}", {", ".join(names)}]' for kind, forms in _FORMS.items() for names in forms)
    is_known = isinstance(row, (list, tuple)) and bool(row) and isinstance(row[0], str) and row[0] in KINDS
    _check(is_known and len(row) - 1 in map(len, _FORMS[row[0]]), key, forms, row)
    kind, *arguments = row
    _check(all(map(_is_count, arguments)), key, f"made of whole numbers from 1 to {LARGEST}", row)
    _check(kind == "dense" or not is_dense, key, "a dense layer, as those before it", row)
    named = dict(zip(_FORMS[kind][-1], arguments))
    kernel, stride = named.get("kernel", 1), named.get("stride", 1)
    _check(kernel <= side, key, f"no larger than what is left of an image, {side} pixels", row)
    _check(kind != "conv" or stride <= kernel, key, "a convolution whose stride is no larger than its kernel", row)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST


def _check(condition: bool, key: str, expected: str, value: object) -> None:
    if not condition:
        raise ModelError(f"{key!r} must be {expected}, got {shown(value)}")
