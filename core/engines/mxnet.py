"""Runs the nets with MXNet, on the CPU or an NVIDIA GPU."""

import threading
from typing import Any

import numpy as np

from mtcnn_gluon.bundle import Bundle
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.mxnet_loader import load_mxnet

MAX_BATCH = 128  # crops at a time: MXNet keeps buffers for every batch size it meets, and memory must stay bounded


class MXNetEngine:
    """The `Engine` protocol on MXNet: the package's own hybridized blocks with the bundle's parameters.

    Args:
        bundle: a model bundle that holds `{p,r,o}net-0000.params`.
        device: `cpu`, `gpu` or `gpu:N`.

    Raises:
        ModelError: if MXNet cannot be imported, the bundle has no parameters for it, or the device cannot be used.
    """

    name = "mxnet"

    def __init__(self, bundle: Bundle, device: str = "cpu") -> None:
        self._mx = load_mxnet()
        self._ctx = self._context(device)
        self._lock = threading.Lock()  # Gluon blocks are not safe to call from two threads at once
        self._nets = {net: self._build(bundle, net) for net in ("pnet", "rnet", "onet")}

    def pnet(self, canvas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Engine.pnet`."""
        probability, offsets = self._run("pnet", canvas)[:2]
        return probability[0, 1], offsets[0]

    def rnet(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Engine.rnet`."""
        probability, offsets = self._run_batches("rnet", crops)[:2]
        return probability[:, 1], offsets

    def onet(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Engine.onet`."""
        probability, offsets, landmarks = self._run_batches("onet", crops)
        return probability[:, 1], offsets, landmarks

    def _run(self, net: str, images: np.ndarray) -> list[np.ndarray]:
        with self._lock:
            inputs = self._mx.nd.empty(images.shape, ctx=self._ctx)
            inputs[:] = images
            return [output.asnumpy() for output in self._nets[net](inputs)]

    def _run_batches(self, net: str, crops: np.ndarray) -> list[np.ndarray]:
        """Run crops in batches whose sizes are powers of two, largest first: few shapes, and no crop in vain."""
        outputs, start = [], 0
        while start < len(crops):
            size = min(MAX_BATCH, 1 << ((len(crops) - start).bit_length() - 1))
            outputs.append(self._run(net, crops[start : start + size]))
            start += size
        return [np.concatenate(parts) for parts in zip(*outputs)]

    def _build(self, bundle: Bundle, name: str) -> Any:
        from mtcnn_gluon.symbol.blocks import CascadeNet, FaceProbability, Form, set_parameters, why_not_native

        table = bundle.manifest["architecture"][name]
        is_native = self._ctx.device_type == "cpu" and why_not_native(table["layers"]) is None
        form: Form = "native" if is_native else "export"
        net = CascadeNet(table["layers"], table["landmarks"], prefix=f"{name}_", form=form)
        stored = self._mx.nd.load(str(bundle.file(f"{name}-0000.params")))
        set_parameters(net, {key.removeprefix("arg:"): value for key, value in stored.items()}, self._ctx)
        block = FaceProbability(net)
        block.hybridize()
        return block

    def _context(self, device: str) -> Any:
        kind, _, number = device.partition(":")
        if kind == "cpu":
            return self._mx.cpu()
        if not self._mx.runtime.Features().is_enabled("CUDA"):
            raise ModelError(
                f"device={device!r} needs the CUDA build of MXNet, but the CPU build is installed: "
                'run pip install "mtcnn-gluon[cu112]" in a new environment'
            )
        return self._usable_gpu(int(number or 0))

    def _usable_gpu(self, index: int) -> Any:
        """The context of a GPU on which a kernel has run."""
        try:
            count = self._mx.context.num_gpus()
        except self._mx.base.MXNetError as error:
            raise ModelError(f"no GPU can be used: {_first_line(error)}") from error
        if index >= count:
            raise ModelError(f"device='gpu:{index}' does not exist: MXNet sees {count} GPU(s)")
        ctx = self._mx.gpu(index)
        try:
            self._mx.nd.ones(1, ctx=ctx).asnumpy()
        except self._mx.base.MXNetError as error:
            raise ModelError(
                f"GPU {index} cannot run MXNet's kernels ({_first_line(error)}); "
                "mxnet-cu112 holds code for compute capability 5.0 to 8.9 (Maxwell to Ada), not for Hopper or later"
            ) from error
        return ctx


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip() and "Stack trace" not in line]
    return lines[-1].strip() if lines else type(error).__name__
