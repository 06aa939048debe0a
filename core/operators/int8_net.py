"""A whole net on the compiled kernels, with products of 8-bit integers.

Values between layers are bytes: x = (q - z) / to_byte, with a scale and a zero for each channel (the affine quantisation of Jacob et
al., CVPR 2018). Weights are whole numbers from -127 to 127, with one scale for each filter. Sums are exact.
"""

import ctypes
from dataclasses import dataclass, replace
from typing import Sequence

import numpy as np

from mtcnn_gluon.operators.native import load_kernels
from mtcnn_gluon.operators.native_net import aligned

_PADDED = 16  # filters of arrays of filters, see src/kernels.h


class _Layer(ctypes.Structure):
    """`MtcnnInt8Layer` of src/kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("channels", "pool", "kernel", "filters", "stride")),
        *((name, ctypes.c_void_p) for name in ("packed", "scale", "shift", "alpha", "to_byte", "zero")),
    )


@dataclass(frozen=True, eq=False)
class Int8Layer:
    """A convolution, and the activation after it: round(prelu(sum of q * weight * scale + shift) * to_byte + zero), cut to 0..255.

    Attributes:
        pool: side of the windows, of stride 2, of the pooling before it; 0: none.
        stride: its stride.
        weight: (O, C, k, k) int8.
        scale, shift: (O,) float.
        alpha, to_byte, zero: (O,) float; None in the last layer, whose results stay as they are.
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
        to_byte = 255 / np.maximum(np.float64(high) - low, 1e-6)
        return replace(self, alpha=alpha, to_byte=to_byte, zero=np.rint(-low * to_byte))


class Int8Net:
    """A net that may be used from several threads.

    Args:
        layers: the first takes bytes of the image's colours, the others those of the layer before.
        mean, scale: images are (pixel - mean) * scale; pixels are rounded to whole numbers.

    Raises:
        Unavailable: if there are no kernels.
    """

    def __init__(self, layers: Sequence[Int8Layer], mean: float, scale: float) -> None:
        self._library = load_kernels()
        self._to_byte, self._zero = 1 / scale, mean
        self._kept: list[np.ndarray] = []  # arrays to which the layers have pointers
        self._layers = (_Layer * len(layers))(*map(self._packed, layers))

    def __call__(self, images: np.ndarray, height: int, width: int, threads: int | None = None) -> np.ndarray:
        """Raw outputs (N, height, width, filters of the last layer) float32, this being their size.

        Args:
            images: (N, 3, H, W) float32, normalised, contiguous.
            height, width: of the outputs, see `NativeNet.output_size`.
            threads: as of `NativeNet`.

        Raises:
            MemoryError: if there is not enough memory.
        """
        out = np.empty((len(images), height, width, self._layers[-1].filters), np.float32)
        if not self._library.mtcnn_int8_forward(
            self._layers, len(self._layers), len(images), *images.shape[2:], threads or 0, self._to_byte, self._zero,
            images.ctypes.data, out.ctypes.data,
        ):  # fmt: skip
            raise MemoryError(f"images of shape {images.shape} need more memory than there is")
        return out

    def _packed(self, layer: Int8Layer) -> _Layer:
        filters, channels, kernel, _ = layer.weight.shape
        packed = _Layer(channels, layer.pool, kernel, filters, layer.stride)
        weights = aligned(-(-self._library.mtcnn_int8_packed(ctypes.byref(packed)) // 4))
        whole = np.ascontiguousarray(layer.weight, np.int8)
        self._library.mtcnn_int8_pack(ctypes.byref(packed), whole.ctypes.data, weights.ctypes.data)
        packed.packed = weights.ctypes.data
        self._kept.append(weights)
        for name in ("scale", "shift", "alpha", "to_byte", "zero"):
            values = getattr(layer, name)
            if values is not None:
                padded = aligned(-(-filters // _PADDED) * _PADDED)
                padded[:] = 0
                padded[:filters] = values
                self._kept.append(padded)
                setattr(packed, name, padded.ctypes.data)
        return packed
