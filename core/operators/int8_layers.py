"""Nets in 8 bits, and their files `{p,r,o}net-int8.npz` in a bundle.

Values between layers are bytes: x = (q - zero) / to_byte, with a scale and a zero for each channel (the affine quantisation of
Jacob et al., CVPR 2018). Weights are whole numbers from -127 to 127, with one scale for each filter.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.layers import walk

ENDING = "-int8.npz"
_ARRAYS = ("weight", "scale", "shift", "alpha", "to_byte", "zero")


@dataclass(frozen=True, eq=False)
class Int8Layer:
    """A convolution and the activation after it: round(prelu(sum of q * weight * scale + shift) * to_byte + zero) in 0..255.

    Dense layers are convolutions over their whole input, and all heads together one of 1 x 1, as in `native_net`.

    Attributes:
        pool: side of the windows, of stride 2, of the pooling before it; 0: none.
        stride: its stride.
        weight: (O, C, k, k) int8.
        scale, shift: (O,) float32.
        alpha, to_byte, zero: (O,) float32; None in the last layer, whose results stay as they are.
    """

    pool: int
    stride: int
    weight: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    alpha: np.ndarray | None = None
    to_byte: np.ndarray | None = None
    zero: np.ndarray | None = None

    def activated(self, alpha: np.ndarray, low: np.ndarray, high: np.ndarray) -> "Int8Layer":
        """The layer with an activation whose values from `low` to `high`, both (O,), are told apart."""
        to_byte = (255 / np.maximum(np.float64(high) - low, 1e-6)).astype(np.float32)
        return replace(self, alpha=alpha, to_byte=to_byte, zero=np.rint(-low * to_byte).astype(np.float32))


def write_layers(path: str | os.PathLike, layers: Sequence[Int8Layer]) -> None:
    """Write a net's file: arrays `LAYER_NAME`, layers counted from 0. The same layers give the same bytes."""
    arrays = {f"{i}_{name}": getattr(layer, name) for i, layer in enumerate(layers) for name in _ARRAYS}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


def read_layers(path: str | os.PathLike, table: Mapping[str, Any]) -> list[Int8Layer]:
    """The layers in a net's file, in order.

    Args:
        path: the file. Nothing in it is unpickled.
        table: the net's architecture, as in `config.NETS`.

    Raises:
        ModelError: if the file cannot be read, or holds other layers than the net's.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except Exception as error:  # zipfile, zlib and numpy raise many kinds
        raise ModelError(f"{path} cannot be read as a net in 8 bits: {error}") from error
    layers = []
    forms = _forms(table)
    for i, (pool, stride, shape) in enumerate(forms):
        arrays = {name: found.pop(f"{i}_{name}", None) for name in _ARRAYS[: 3 if i == len(forms) - 1 else None]}
        for name, array in arrays.items():
            expected = (np.dtype(np.int8), shape) if name == "weight" else (np.dtype(np.float32), shape[:1])
            if array is None or (array.dtype, array.shape) != expected or not np.isfinite(array).all():
                raise ModelError(f"{path}: {i}_{name} must be finite {expected[0]} of shape {expected[1]}")
        layers.append(Int8Layer(pool, stride, **arrays))
    if found:
        raise ModelError(f"{path}: the net has no {', '.join(sorted(found))}")
    return layers


def _forms(table: Mapping[str, Any]) -> list[tuple[int, int, tuple[int, ...]]]:
    """Pooling before it, stride and weight's shape of every convolution, the heads as the last."""
    forms, pool, heads = [], 0, 0
    for layer in walk(table):
        if layer.kind == "pool":
            pool = layer.kernel
        elif layer.is_head:
            heads, last = heads + layer.channels, (layer.inputs, layer.kernel, layer.kernel)
        else:
            forms.append((pool, layer.stride, (layer.channels, layer.inputs, layer.kernel, layer.kernel)))
            pool = 0
    return [*forms, (pool, 1, (heads, *last))]
