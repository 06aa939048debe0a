"""Runs the nets' ONNX files with ONNX Runtime, on the CPU or an NVIDIA GPU."""

import os
from pathlib import Path
from typing import Any, Sequence
from weakref import WeakSet

import numpy as np

from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.engines.base import Engine
from mtcnn_gluon.engines.onnx_prelu import spell_out_prelu
from mtcnn_gluon.errors import Unavailable
from mtcnn_gluon.io.extras import need


class OnnxEngine(Engine):
    """The engine on ONNX Runtime.

    Args:
        bundle: a model bundle with `{p,r,o}net.onnx`.
        device: `cpu`; `gpu`, `gpu:N`, `cuda` or `cuda:N` for CUDA, which needs the package onnxruntime-gpu.
        threads: CPU threads of each net; None: the runtime's choice, one for each physical core.

    Raises:
        Unavailable: if ONNX Runtime is not installed, the bundle lacks the files, or the device cannot be used.
        ModelError: if a file cannot be used.
    """

    name = "onnx"
    runtime = "ONNX Runtime"

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int | None = None) -> None:
        self._check_not_mps(device)
        runtime = need("onnxruntime", f"the engine {self.name}", "onnx", Unavailable)
        providers = _providers(runtime, device)
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # only errors go to stderr
        options.enable_mem_pattern = False  # it would store a plan for every input shape
        options.intra_op_num_threads = threads or 0
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads would slow down the other nets

        def build(net: str, path: Path) -> Any:
            model = path.read_bytes()
            model = spell_out_prelu(model) if device == "cpu" else model
            session = runtime.InferenceSession(model, options, providers=providers)
            _sessions.add(session)
            return session

        self._source = bundle, build
        self._sessions: dict[str, Any] = self._build_nets(*self._source)
        self._process = os.getpid()
        if device != "cpu" and "CUDAExecutionProvider" not in self._sessions["pnet"].get_providers():
            raise Unavailable(
                f"device={device!r}: ONNX Runtime cannot use CUDA here, and would run on the CPU: it needs an NVIDIA driver, "
                "that GPU, and the CUDA and cuDNN libraries that its version was built for"
            )

    def run(self, net: str, images: np.ndarray) -> Sequence[np.ndarray]:
        """See `Engine.run`."""
        if self._process != os.getpid():  # the parent's sessions would wait for threads that a fork does not have
            self._sessions, self._process = self._build_nets(*self._source), os.getpid()
        session = self._sessions[net]
        return session.run(None, {session.get_inputs()[0].name: images})


# A deleted session waits for its threads. A forked process does not have them, so it never deletes its parent's sessions.
_sessions: WeakSet[Any] = WeakSet()
_of_parents: list[Any] = []
os.register_at_fork(after_in_child=lambda: _of_parents.extend(_sessions))


def _providers(runtime: Any, device: str) -> list[Any]:
    """ONNX Runtime's execution providers for a device, best first."""
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        raise Unavailable(
            f"device={device!r} needs the CUDA build of ONNX Runtime, but another one is installed: "
            "run pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        )
    if hasattr(runtime, "preload_dlls"):
        runtime.preload_dlls()  # finds the CUDA libraries of nvidia-* wheels
    # The exhaustive search would time every algorithm for each new shape. Without TF32 the precision is that of the CPU.
    options = {"device_id": int(number or 0), "cudnn_conv_algo_search": "HEURISTIC", "use_tf32": 0}
    return [("CUDAExecutionProvider", options), "CPUExecutionProvider"]
