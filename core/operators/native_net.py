"""A whole net on the compiled kernels."""

import ctypes
import re
from typing import Any, Iterator, Mapping

import numpy as np
from numpy.typing import DTypeLike

from mtcnn_gluon.errors import Unavailable
from mtcnn_gluon.layers import Parameters, heads_of, is_dense, walk
from mtcnn_gluon.operators.native import load_kernels

_MAX_LAYERS, _MAX_STRIDE = 16, 4  # limits of src/kernels.h
_ALIGNMENT = 64  # bytes of the widest vector


class _Layer(ctypes.Structure):
    """`MtcnnNetLayer` of src/kernels.h."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("channels", "pool", "kernel", "filters", "stride")),
        ("alpha", ctypes.c_void_p),
        ("packed", ctypes.c_void_p),
    )


def why_not_net(table: Mapping[str, Any]) -> str | None:
    """Why the kernels cannot run a net, given as in `config.NETS`; None if they can."""
    layers = [layer for layer in walk(table) if not layer.is_head]
    kinds = "".join(f"{layer.kind} " for layer in layers)
    pools_fit = all(layer.kernel in (2, 3) and layer.stride == 2 for layer in layers if layer.kind == "pool")
    if not re.fullmatch(r"(conv )+(pool (conv )+)*(dense )*", kinds) or not pools_fit or len(layers) >= _MAX_LAYERS:
        return "they only support convolutions, poolings of 2 or 3 pixels with stride 2 between them, and dense layers last"
    first, *others = [layer.stride for layer in layers if layer.kind == "conv"]
    if first > _MAX_STRIDE or max(others, default=1) > 1:
        return f"they only support a stride of 1 to {_MAX_STRIDE} in the first convolution and of 1 in the others"
    return None


class NativeNet:
    """One net of the cascade. It may be used from several threads.

    Between layers, values are channels last. Dense layers are computed as convolutions over their whole input, and all heads
    together as one convolution of 1 x 1.

    Args:
        net: beginning of the parameters' names, such as `pnet`.
        table: `size`, `layers` and `landmarks`, as in `config.NETS`.
        parameters: float32 by full name, in Gluon's shapes, as `layers.check_parameters` returns them.

    Attributes:
        heads: names of the heads, in the order of the outputs.
        is_dense: whether the net has a dense layer, and thus one output for each image.

    Raises:
        Unavailable: if there are no kernels, or they cannot run such a net.
    """

    def __init__(self, net: str, table: Mapping[str, Any], parameters: Parameters) -> None:
        self._library = load_kernels()
        if reason := why_not_net(table):
            raise Unavailable(reason)
        self.is_dense = is_dense(table)
        self.heads = heads_of(table)
        self._kept: list[np.ndarray] = []  # arrays to which the layers have pointers
        layers = [self._layer(*step) for step in steps(net, table, parameters)]
        self._layers = (_Layer * len(layers))(*layers)

    def __call__(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
        """Raw outputs (N, h, w, 6) or, with landmarks, (N, h, w, 16): class logits, offsets, landmarks.

        With a dense layer h = w = 1.

        Args:
            images: (N, 3, H, W) float32, normalised.
            threads: largest number of CPU threads; None: OMP_NUM_THREADS, or one a processor. The result does not depend on it.

        Raises:
            ValueError: if there are no images, or they are too small or have another shape or type.
            MemoryError: if there is not enough memory.
        """
        images = np.ascontiguousarray(images)
        count, height, width = count_images(images, self._layers[0].channels)
        out = np.empty((count, *self.output_size(height, width), self._layers[-1].filters), np.float32)
        if not self._library.mtcnn_net_forward(
            self._layers, len(self._layers), count, height, width, threads or 0, images.ctypes.data, out.ctypes.data
        ):
            raise MemoryError(f"images of shape {images.shape} need more memory than there is")
        return out

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """h and w of the output for images of `height` x `width` pixels; `ValueError` if they are too small."""
        size = (ctypes.c_int64 * 2)()
        rows, columns = ctypes.byref(size), ctypes.byref(size, ctypes.sizeof(ctypes.c_int64))
        if not self._library.mtcnn_net_output(self._layers, len(self._layers), height, width, rows, columns):
            raise ValueError(f"images of {height} x {width} pixels are too small for the net")
        return size[0], size[1]

    def _layer(self, pool: int, alpha: np.ndarray | None, weight: np.ndarray, bias: np.ndarray, stride: int) -> _Layer:
        """A layer with packed weights, from weights (O, I, k, k)."""
        layer = _Layer(weight.shape[1], pool, weight.shape[2], weight.shape[0], stride, None, None)
        packed = aligned(self._library.mtcnn_packed(ctypes.byref(layer)))
        self._library.mtcnn_pack(ctypes.byref(layer), weight.ctypes.data, bias.ctypes.data, packed.ctypes.data)
        layer.packed = packed.ctypes.data
        self._kept.append(packed)
        if alpha is not None:
            layer.alpha = alpha.ctypes.data
            self._kept.append(alpha)
        return layer


def steps(
    net: str, table: Mapping[str, Any], values: Parameters
) -> Iterator[tuple[int, np.ndarray | None, np.ndarray, np.ndarray, int]]:
    """Per convolution: pooling and slopes (C,) before it, weights (O, C, k, k), bias (O,), stride. The heads are the last."""
    pool, alpha, heads = 0, None, []
    for layer in walk(table):
        if layer.kind == "pool":
            pool = layer.kernel
            continue
        name = f"{net}_{layer.name}"
        weight = values[f"{name}_weight"].reshape(-1, layer.inputs, layer.kernel, layer.kernel)
        if layer.is_head:
            heads.append((weight, values[f"{name}_bias"]))
            continue
        yield pool, alpha, weight, values[f"{name}_bias"], layer.stride
        pool, alpha = 0, values[f"{net}_{layer.prelu}_alpha"]
    weights, biases = map(np.concatenate, zip(*heads))
    yield pool, alpha, weights, biases, 1


def count_images(images: np.ndarray, channels: int, dtype: DTypeLike = np.float32) -> tuple[int, int, int]:
    """Number, height and width of images; `ValueError` unless they are (N, channels, H, W) of such a type with N > 0."""
    if images.dtype != dtype or images.ndim != 4 or images.shape[1] != channels or not len(images):
        raise ValueError(f"images must be (N, {channels}, H, W) {np.dtype(dtype)}, not {images.shape} {images.dtype}")
    count, _, height, width = images.shape
    return count, height, width


def aligned(count: int) -> np.ndarray:
    """`count` float32 whose address is a multiple of the widest vector's size."""
    block = np.empty(count * 4 + _ALIGNMENT, np.uint8)
    start = -block.ctypes.data % _ALIGNMENT
    return block[start : start + count * 4].view(np.float32)
