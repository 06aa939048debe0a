"""A whole net on the compiled kernels, with products of 8-bit integers.

Values between layers are bytes: q = x / s + z, with a scale s and a zero z for each channel such that the range of values that were
seen in calibration becomes 0..255 (the affine quantisation of Jacob et al., CVPR 2018, by channel). A weight is multiplied by its
channel's s, and then becomes one of -127..127 with one scale for each filter. Sums are exact integers.
"""

import ctypes
from typing import Any, Mapping, Sequence

import numpy as np

from mtcnn_gluon.layers import Parameters, heads_of, is_dense
from mtcnn_gluon.operators.native import load_kernels
from mtcnn_gluon.operators.native_net import NativeNet, aligned, steps

_PADDED = 16  # filters of arrays of filters, see src/kernels.h
Range = tuple[np.ndarray, np.ndarray]  # smallest and largest value (C,) of every channel


class _Layer(ctypes.Structure):
    """`MtcnnInt8Layer` of src/kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("channels", "pool", "kernel", "filters", "stride")),
        *((name, ctypes.c_void_p) for name in ("packed", "scale", "shift", "alpha", "to_byte", "zero")),
    )


class Int8Net:
    """One net of the cascade, which may be used from several threads. It is called as a `NativeNet`, and gives about the same.

    Args:
        net, table, parameters: as of `NativeNet`.
        ranges: of every activation but the heads', in their order: smallest and largest value (C,) of each channel.
        mean, scale: images are (pixel - mean) * scale; pixels are rounded to whole numbers.

    Raises:
        Unavailable: if there are no kernels, or they cannot run such a net.
        ValueError: if there are not as many ranges as activations.
    """

    def __init__(
        self, net: str, table: Mapping[str, Any], parameters: Parameters, ranges: Sequence[Range], mean: float, scale: float
    ) -> None:
        self._library = load_kernels()
        self._float = NativeNet(net, table, parameters)
        self.is_dense, self.heads = is_dense(table), heads_of(table)
        self._to_byte, self._zero = 1 / scale, mean
        parts = [*steps(net, table, parameters)]
        alphas = [alpha for _, alpha, *_ in parts[1:]]
        if len(ranges) != len(alphas):
            raise ValueError(f"{net} has {len(alphas)} activations, but {len(ranges)} ranges are given")
        self._kept: list[np.ndarray] = []
        layers, seen = [], (np.full(3, scale), np.full(3, mean))  # scales and zeros of the input
        for (pool, _, weight, bias, stride), alpha, spread in zip(parts, [*alphas, None], [*ranges, None]):
            output = None if spread is None else _affine(spread)
            layers.append(self._layer(pool, weight, bias, stride, seen, alpha, output))
            seen = output
        self._layers = (_Layer * len(layers))(*layers)

    def __call__(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
        """See `NativeNet.__call__`."""
        images = np.ascontiguousarray(images)
        count, height, width = self._float.check(images)
        out = np.empty((count, *self._float.output_size(height, width), self._layers[-1].filters), np.float32)
        if not self._library.mtcnn_int8_forward(
            self._layers, len(self._layers), count, height, width, threads or 0, self._to_byte, self._zero,
            images.ctypes.data, out.ctypes.data,
        ):  # fmt: skip
            raise MemoryError(f"images of shape {images.shape} need more memory than there is")
        return out

    def _layer(
        self,
        pool: int,
        weight: np.ndarray,
        bias: np.ndarray,
        stride: int,
        seen: tuple[np.ndarray, np.ndarray],
        alpha: np.ndarray | None,
        output: tuple[np.ndarray, np.ndarray] | None,
    ) -> _Layer:
        """A layer from weights (O, I, k, k), and scales and zeros of its input and, unless it is the last, its output."""
        filters, channels, kernel, _ = weight.shape
        layer = _Layer(channels, pool, kernel, filters, stride)
        scaled = weight * seen[0][:, None, None]
        steps_ = np.maximum(np.abs(scaled).max((1, 2, 3)), 1e-30) / 127  # (O,)
        whole = np.rint(scaled / steps_[:, None, None, None]).astype(np.int8)
        packed = aligned(-(-self._library.mtcnn_int8_packed(ctypes.byref(layer)) // 4))
        self._library.mtcnn_int8_pack(ctypes.byref(layer), np.ascontiguousarray(whole).ctypes.data, packed.ctypes.data)
        shift = bias - steps_ * (whole * seen[1][:, None, None]).sum((1, 2, 3))
        layer.packed = packed.ctypes.data
        values = {"scale": steps_, "shift": shift}
        if output is not None:
            values |= {"alpha": alpha, "to_byte": 1 / output[0], "zero": output[1]}
        for name, each in values.items():
            padded = aligned(-(-filters // _PADDED) * _PADDED)
            padded[:] = 0
            padded[:filters] = each
            self._kept.append(padded)
            setattr(layer, name, padded.ctypes.data)
        self._kept.append(packed)
        return layer


def _affine(spread: Range) -> tuple[np.ndarray, np.ndarray]:
    """Scales and zeros (C,) of bytes that cover a range; the zero is whole."""
    low, high = (np.asarray(each, np.float64) for each in spread)
    scale = np.maximum(high - low, 1e-6) / 255
    return scale, np.rint(-low / scale)
