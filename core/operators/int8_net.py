"""A whole net on the compiled kernels, with products of 8-bit integers, whose sums are exact."""

import ctypes
from functools import lru_cache
from typing import Any, Mapping, Sequence

import numpy as np

from mtcnn_gluon.layers import heads_of, is_dense, output_side
from mtcnn_gluon.operators.int8_layers import Int8Layer
from mtcnn_gluon.operators.native import load_kernels
from mtcnn_gluon.operators.native_net import aligned, count_images

_PADDED = 16  # filters of arrays of filters, see src/kernels.h


class _Layer(ctypes.Structure):
    """`MtcnnInt8Layer` of src/kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("channels", "pool", "kernel", "filters", "stride")),
        *((name, ctypes.c_void_p) for name in ("packed", "scale", "shift", "alpha", "to_byte", "zero")),
    )


def int8_instructions() -> str | None:
    """What multiplies 8-bit integers here: `amx-int8`, `avx512-vnni`, `avx-vnni` or `avx2`; None if nothing does so faster than
    floats.

    Raises:
        Unavailable: if there are no kernels.
    """
    return load_kernels().mtcnn_int8_instructions().decode() or None


class Int8Net:
    """One net of the cascade in 8 bits, otherwise like `native_net.NativeNet`.

    Args:
        table: `size`, `layers` and `landmarks`, as in `config.NETS`.
        layers: the first takes bytes of the image's colours, the others those of the layer before.
        mean, scale: images are (pixel - mean) * scale; pixels are rounded to whole numbers.

    Raises:
        Unavailable: if there are no kernels.
    """

    def __init__(self, table: Mapping[str, Any], layers: Sequence[Int8Layer], mean: float, scale: float) -> None:
        self._library = load_kernels()
        self.is_dense = is_dense(table)
        self.heads = heads_of(table)
        self._output_side = lru_cache(lambda side: output_side(table, side))
        self._to_byte, self._zero = 1 / scale, mean
        self._kept: list[np.ndarray] = []  # arrays to which the layers have pointers
        self._layers = (_Layer * len(layers))(*map(self._packed, layers))

    def __call__(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
        """Raw outputs, arguments and errors as of `NativeNet`. The result does not depend on the number of threads.

        `images` may also be pixels (N, 3, H, W) uint8; nothing is copied if they are a view of an array (N, H, W, 3).
        """
        is_bytes = images.dtype == np.uint8
        count, height, width = count_images(images, self._layers[0].channels, np.uint8 if is_bytes else np.float32)
        images = np.ascontiguousarray(np.moveaxis(images, 1, -1) if is_bytes else images)
        sides = (1, 1) if self.is_dense else tuple(map(self._output_side, (height, width)))
        out = np.empty((count, *sides, self._layers[-1].filters), np.float32)
        if not self._library.mtcnn_int8_forward(
            self._layers, len(self._layers), count, height, width, threads or 0, self._to_byte, self._zero, is_bytes,
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
