"""Runs the nets with the package's own compiled kernels, without any framework: in float32, or in 8 bits."""

from functools import partial
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.bundles.parameters import parameters_ending, read_parameters
from mtcnn_gluon.config import HEADS
from mtcnn_gluon.engines.base import Engine
from mtcnn_gluon.errors import Unavailable
from mtcnn_gluon.layers import check_parameters
from mtcnn_gluon.operators import native
from mtcnn_gluon.operators.int8_layers import ENDING as INT8
from mtcnn_gluon.operators.int8_layers import read_layers
from mtcnn_gluon.operators.int8_net import Int8Net, int8_instructions
from mtcnn_gluon.operators.native_net import NativeNet, why_not_net


class NativeEngine(Engine):
    """The engine on the compiled kernels. It has no state between calls, so it may be used from several threads.

    Args:
        bundle: a model bundle with `{p,r,o}net-0000.params` or `{p,r,o}net.onnx`.
        device: `cpu`.
        threads: CPU threads of each call; None: OMP_NUM_THREADS or one a processor. Results do not depend on it.

    Raises:
        Unavailable: if there are no kernels, they cannot run such nets, the bundle's files cannot be read here, or the device
            is not the CPU.
        ModelError: if a file cannot be used.
    """

    name = "native"
    runtime = "the engine native"
    needs_warming = False

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int | None = None) -> None:
        self._check_cpu(device)
        if reason := self._why_not(bundle.manifest["architecture"]):
            raise Unavailable(f"the compiled kernels cannot be used: {reason}")
        self.ending = self._ending(bundle)
        self._nets: dict[str, NativeNet | Int8Net] = self._build_nets(bundle, partial(self._build, bundle.manifest))
        self._threads = threads
        self.kernel_threads = threads or 0

    def run(self, net: str, images: np.ndarray) -> Sequence[np.ndarray]:
        """See `Engine.run`; the arrays are views of channels-last ones."""
        values = np.moveaxis(self._nets[net](images, self._threads), -1, 1)  # (N, 6 or 16, h, w)
        values = values[:, :, 0, 0] if self._nets[net].is_dense else values
        with np.errstate(over="ignore"):  # if exp overflows, the probability is 0
            face = 1 / (1 + np.exp(values[:, 0] - values[:, 1]))  # the softmax of the second logit
        ends = np.cumsum([HEADS[head] for head in self._nets[net].heads]).tolist()
        return [np.stack([1 - face, face], axis=1), *(values[:, i:j] for i, j in zip(ends, ends[1:]))]

    def _run_batches(self, net: str, crops: np.ndarray) -> list[np.ndarray]:
        """Run all crops at once: the kernels keep no buffers for batch sizes."""
        return list(self.run(net, crops))

    def _ending(self, bundle: Bundle) -> str:
        return parameters_ending(bundle)

    def _build(self, manifest: Mapping[str, Any], net: str, path: Path) -> NativeNet | Int8Net:
        table = manifest["architecture"][net]
        return NativeNet(net, table, check_parameters(net, table, read_parameters(path)))

    def _why_not(self, tables: Mapping[str, Mapping[str, Any]]) -> str | None:
        """Why the kernels cannot run nets of this architecture here; None if they can."""
        try:
            native.load_kernels()
        except Unavailable as error:
            return str(error)
        reasons = ((net, why_not_net(table)) for net, table in tables.items())
        return next((f"{net}: {reason}" for net, reason in reasons if reason), None)


class NativeInt8Engine(NativeEngine):
    """The engine in 8 bits: faster, less exact. Its nets are `{p,r,o}net-int8.npz`, which `mtcnn-gluon export --int8` writes.

    Raises:
        Unavailable: if the processor has no instructions that multiply bytes, or as of `NativeEngine`.
        ModelError: if a file cannot be used.
    """

    name = "native-int8"
    dtype = np.uint8
    runtime = "the engine native-int8"
    writer = "mtcnn-gluon export --int8 PHOTOS"

    def _ending(self, bundle: Bundle) -> str:
        return INT8

    def _build(self, manifest: Mapping[str, Any], net: str, path: Path) -> Int8Net:
        table = manifest["architecture"][net]
        return Int8Net(table, read_layers(path, table), manifest["mean"], manifest["scale"])

    def _why_not(self, tables: Mapping[str, Mapping[str, Any]]) -> str | None:
        if reason := super()._why_not(tables):
            return reason
        return None if int8_instructions() else "8 bits gain nothing: this processor has neither AVX2 alone nor VNNI"
