"""Runs the nets' ONNX files with OpenVINO, on the CPU."""

import threading
from pathlib import Path
from types import MappingProxyType
from typing import Any, Sequence

import numpy as np

from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.engines.base import NetRunner, import_runtime
from mtcnn_gluon.errors import Unavailable


class OpenVinoEngine(NetRunner):
    """The `Engine` protocol on OpenVINO, in float32 on every processor.

    Args:
        bundle: a model bundle that holds `{p,r,o}net.onnx`.
        device: `cpu`.
        threads: CPU threads of the nets; None: the runtime's choice.

    Raises:
        Unavailable: if OpenVINO is not installed, the bundle lacks the files, or the device is another.
        ModelError: if a file cannot be used.
    """

    name = "openvino"
    runtime = "OpenVINO"
    crops_a_run = MappingProxyType({"rnet": 6, "onet": 1})
    precision = "f32"

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int | None = None) -> None:
        self._check_cpu(device)
        core = import_runtime("openvino", self.runtime, "openvino").Core()
        self._check_processor(core)
        # Without the first hint OpenVINO takes bfloat16 where the processor has it.
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": self.precision, "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads

        def build(net: str, path: Path) -> Any:
            return core.compile_model(core.read_model(path.read_bytes()), "CPU", options).create_infer_request()

        self._requests: dict[str, Any] = self._build_nets(bundle, build)
        self._lock = threading.Lock()  # a request serves one caller at a time

    def run(self, net: str, images: np.ndarray) -> Sequence[np.ndarray]:
        """See `NetRunner.run`."""
        with self._lock:
            results = self._requests[net].infer({0: np.ascontiguousarray(images)}, share_inputs=True)
            return [results[i] for i in range(len(results))]

    def _check_processor(self, core: Any) -> None:
        """Raise `Unavailable` if the processor lacks what the engine needs."""


class OpenVinoBf16Engine(OpenVinoEngine):
    """`OpenVinoEngine` in bfloat16: faster on processors that have AVX512_BF16 or AMX, and less exact (8 bits of fraction).

    Args and Raises: as for `OpenVinoEngine`; also `Unavailable` if the processor has no bfloat16.
    """

    name = "openvino-bf16"
    precision = "bf16"

    def _check_processor(self, core: Any) -> None:
        if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise Unavailable("this processor has no bfloat16 (AVX512_BF16 or AMX): take the engine openvino")
