"""Runs the nets with MXNet, on the CPU or an NVIDIA GPU."""

import threading
from pathlib import Path
from types import MappingProxyType
from typing import Any, Mapping, Sequence

import numpy as np

from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.bundles.parameters import parameters_ending, read_parameters
from mtcnn_gluon.engines.base import Engine
from mtcnn_gluon.errors import ModelError, Unavailable, install_command, last_line
from mtcnn_gluon.mxnet_loader import load_mxnet


class MXNetEngine(Engine):
    """The engine on MXNet: the package's hybridized blocks with the bundle's parameters.

    Args:
        bundle: a model bundle with `{p,r,o}net-0000.params` or `{p,r,o}net.onnx`.
        device: `cpu`; `gpu`, `gpu:N`, `cuda` or `cuda:N` for an NVIDIA GPU.
        threads: largest number of CPU threads of MXNet's operators in the whole process; None: the runtime's choice.

    Raises:
        Unavailable: if MXNet cannot be imported, the bundle has no parameters for it, or the device cannot be used.
        ModelError: if the parameters cannot be used.
        ConfigError: if MXNet is already running with another number of threads.
    """

    name = "mxnet"
    runtime = "MXNet"
    crops_a_run = MappingProxyType({"rnet": 40, "onet": 10})

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int | None = None) -> None:
        self.kernel_threads = threads or 0
        self._check_not_mps(device)
        try:
            self._mx = load_mxnet(threads)
        except ModelError as error:
            raise Unavailable(str(error)) from error
        self._ctx = self._context(device)
        self._lock = threading.Lock()  # Gluon blocks are not safe to call from two threads at once
        tables = bundle.manifest["architecture"]
        self.ending = parameters_ending(bundle)
        self._nets = self._build_nets(bundle, lambda net, path: self._build(net, tables[net], path))

    def run(self, net: str, images: np.ndarray) -> Sequence[np.ndarray]:
        """See `Engine.run`."""
        with self._lock:
            inputs = self._mx.nd.empty(images.shape, ctx=self._ctx)
            inputs[:] = images
            return [output.asnumpy() for output in self._nets[net](inputs)]

    def _build(self, name: str, table: Mapping[str, Any], path: Path) -> Any:
        from mtcnn_gluon.symbol.blocks import CascadeNet, FaceProbability, Form, set_parameters, why_not_native

        is_native = self._ctx.device_type == "cpu" and why_not_native(table) is None
        form: Form = "native" if is_native else "export"
        net = CascadeNet(table, f"{name}_", form)
        set_parameters(net, read_parameters(path), self._ctx)
        block = FaceProbability(net)
        block.hybridize()
        return block

    def _context(self, device: str) -> Any:
        kind, _, number = device.partition(":")
        if kind == "cpu":
            return self._mx.cpu()
        if not self._mx.runtime.Features().is_enabled("CUDA"):
            raise Unavailable(
                f"device={device!r} needs the CUDA build of MXNet, but the CPU build is installed: "
                f"run {install_command('cu112')}, in a new environment"
            )
        return self._usable_gpu(int(number or 0))

    def _usable_gpu(self, index: int) -> Any:
        """The context of a GPU on which one kernel has run."""
        try:
            count = self._mx.context.num_gpus()
        except self._mx.base.MXNetError as error:
            raise Unavailable(f"no GPU can be used: {last_line(error)}") from error
        if index >= count:
            raise Unavailable(f"GPU {index} does not exist: MXNet sees {count} GPU(s)")
        ctx = self._mx.gpu(index)
        try:
            self._mx.nd.ones(1, ctx=ctx).asnumpy()
        except self._mx.base.MXNetError as error:
            raise Unavailable(
                f"GPU {index} cannot run MXNet's kernels ({last_line(error)}); "
                "mxnet-cu112 contains code for compute capability 5.0 to 8.9 (Maxwell to Ada), not for Hopper or later"
            ) from error
        return ctx
