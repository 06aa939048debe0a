"""The three nets in PyTorch, as functions of tensors."""

import threading
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Mapping

import numpy as np
import torch
from torch.nn import functional

from mtcnn_gluon.config import HEADS
from mtcnn_gluon.layers import Layer, Parameters, walk


class TorchNet:
    """One net of the cascade. It may be used from several threads.

    All heads are computed together. With float16, weights and values between the layers are of that type.

    Args:
        net: beginning of the parameters' names, such as `pnet`.
        table: `size`, `layers` and `landmarks`, as in `config.NETS`.
        parameters: float32 by full name, in Gluon's shapes, as `layers.check_parameters` returns them.
        device: of the tensors.
        dtype: `torch.float32` or `torch.float16`.
    """

    def __init__(
        self, net: str, table: Mapping[str, Any], parameters: Parameters, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._dtype = dtype
        self._steps: list[Callable[[torch.Tensor], torch.Tensor]] = []
        heads: list[Layer] = []

        def tensor(*names: str) -> torch.Tensor:
            values = np.concatenate([parameters[f"{net}_{name}"] for name in names])
            values = torch.from_numpy(values).to(device, dtype)
            return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values

        for layer in walk(table):
            if layer.is_head:
                heads.append(layer)
            elif layer.weight is None:
                self._steps.append(_pooling(layer))
            else:
                self._steps.append(_weighted(layer, tensor(f"{layer.name}_weight"), tensor(f"{layer.name}_bias")))
                self._steps.append(_prelu(tensor(f"{layer.prelu}_alpha")))
        names = [head.name for head in heads]
        weight, bias = (tensor(*(f"{name}_{kind}" for name in names)) for kind in ("weight", "bias"))
        self._steps.append(_weighted(heads[0], weight, bias))

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float32, best in channels-last memory -> (N, 5, ...) or, with landmarks, (N, 15, ...) float32.

        These are the face probability, 4 offsets and 10 landmarks. Nets without a dense layer give maps (h, w) of them.
        """
        values = images.to(self._dtype)
        for step in self._steps:
            values = step(values)
        values = values.float()
        face = torch.sigmoid(values[:, 1:2] - values[:, :1])  # the softmax of the second logit
        return torch.cat([face, values[:, HEADS.cls :]], dim=1)


def _pooling(layer: Layer) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: functional.max_pool2d(x, layer.kernel, layer.stride, ceil_mode=True)


def _weighted(layer: Layer, weight: torch.Tensor, bias: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """A convolution, or a dense layer on features flattened as (channel, row, column)."""
    if layer.kind == "dense":
        return lambda x: functional.linear(x.flatten(1), weight, bias)
    return lambda x: functional.conv2d(x, weight, bias, layer.stride)


def _prelu(slopes: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: functional.prelu(x, slopes)


_lock = threading.Lock()
_depth = 0
_before: list[Any] = []


@contextmanager
def whole_float32() -> Iterator[None]:
    """Products of float32 on NVIDIA GPUs without TF32, which would keep 10 bits of fraction.

    PyTorch uses TF32 in convolutions unless told otherwise. The switches are those of the process, so they are set back after
    the last thread that is here.
    """
    global _depth
    switches, name, value = _switches()
    with _lock:
        if not _depth:
            _before[:] = [getattr(switch, name) for switch in switches]
            for switch in switches:
                setattr(switch, name, value)
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if not _depth:
                for switch, old in zip(switches, _before):
                    setattr(switch, name, old)


def _switches() -> tuple[list[Any], str, Any]:
    """The objects that have PyTorch's switches for TF32, the switches' name, and their value for whole float32."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(convolutions, "conv"):  # from PyTorch 2.9 on; using old and new switches together is an error there
        return [products, convolutions.conv], "fp32_precision", "ieee"
    return [products, convolutions], "allow_tf32", False
