"""Runs the nets' ONNX files with OpenVINO, on the CPU."""

import threading
from pathlib import Path
from types import MappingProxyType
from typing import Any, Sequence

import numpy as np

from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.engines.base import Engine
from mtcnn_gluon.errors import Unavailable
from mtcnn_gluon.io.extras import need


class OpenVinoEngine(Engine):
    """The engine on OpenVINO, in float32 on every processor.

    Args:
        bundle: a model bundle with `{p,r,o}net.onnx`.
        device: `cpu`.
        threads: CPU threads of the nets; None: the runtime's choice.

    Raises:
        Unavailable: if OpenVINO is not installed, the bundle lacks the files, or the device is not the CPU.
        ModelError: if a file cannot be used.
    """

    name = "openvino"
    runtime = "OpenVINO"
    crops_a_run = MappingProxyType({"rnet": 6, "onet": 1})
    precision = "f32"

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int | None = None) -> None:
        self._check_cpu(device)
        core = need("openvino", f"the engine {self.name}", "openvino", Unavailable).Core()
        if self.precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise Unavailable("this processor has no bfloat16 (AVX512_BF16 or AMX): use the engine openvino")
        # Without the first hint OpenVINO uses bfloat16 on processors that have it.
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": self.precision, "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads

        def build(net: str, path: Path) -> Any:
            return core.compile_model(core.read_model(path.read_bytes()), "CPU", options).create_infer_request()

        self._requests: dict[str, Any] = self._build_nets(bundle, build)
        self._lock = threading.Lock()  # a request serves one caller at a time

    def run(self, net: str, images: np.ndarray) -> Sequence[np.ndarray]:
        """See `Engine.run`."""
        with self._lock:
            results = self._requests[net].infer({0: np.ascontiguousarray(images)}, share_inputs=True)
            return [results[i] for i in range(len(results))]


class OpenVinoBf16Engine(OpenVinoEngine):
    """`OpenVinoEngine` in bfloat16: faster on processors that have AVX512_BF16 or AMX, and less exact (8 bits of fraction).

    Arguments and errors are those of `OpenVinoEngine`; also `Unavailable` if the processor has no bfloat16.
    """

    name = "openvino-bf16"
    precision = "bf16"
