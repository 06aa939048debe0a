"""One of the package's own engines as a contender of `mtcnn-gluon bench`; see `worker.py` for the protocol.

The answer to `{"photo", "detail": true}` is `{"stages", "nets"}`, three numbers of seconds each: the times of P-, R- and
O-Net's stages, and of the nets alone.
"""

import time
from functools import partial
from typing import Any, Callable

import numpy as np

from mtcnn_gluon.bench.worker import Find, Found, Made, answer, serve, versions
from mtcnn_gluon.config import NETS
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.engines.base import Engine
from mtcnn_gluon.evaluation.stages import time_stages

PACKAGES = ("mtcnn-gluon", "mxnet", "mxnet-cu112", "onnxruntime", "openvino", "numpy", "opencv-python")


class TimedEngine(Engine):
    """An engine that adds up the run times of its nets: `seconds` of P-, R- and O-Net so far."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.kernel_threads = engine.name, engine.kernel_threads
        self.seconds = [0.0, 0.0, 0.0]
        for i, net in enumerate(NETS):
            setattr(self, net, partial(self._timed, i, getattr(engine, net)))

    def _timed(self, net: int, run: Callable[[np.ndarray], Any], values: np.ndarray) -> Any:
        start = time.perf_counter()
        outputs = run(values)
        self.seconds[net] += time.perf_counter() - start
        return outputs


class EngineWorker:
    """The package's detector, with the official weights."""

    def __init__(self) -> None:
        self._detector: Detector | None = None

    def make(self, options: dict[str, Any]) -> Made:
        """Make the detector that `options` describe. Raises the errors of `Detector`."""
        keys = ("min_face", "factor", "thresholds", "threads")
        self._detector = Detector("official", options["contender"], **{key: options[key] for key in keys})
        detector = self._detector

        def find(image: np.ndarray) -> Found:
            faces = detector.detect(image)
            assert faces.landmarks is not None  # the official weights have them
            return faces.boxes.tolist(), faces.scores.tolist(), faces.landmarks.tolist()

        return find, versions(*PACKAGES)

    def reply(self, find: Find, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request."""
        if not request.get("detail"):
            return answer(find, request)
        assert self._detector is not None
        image = np.load(request["photo"])
        find(image)
        plain = self._detector.engine
        timed = TimedEngine(plain)
        self._detector.engine = timed
        stages = time_stages(self._detector, [image])[0].tolist()
        self._detector.engine = plain
        return {"stages": stages, "nets": timed.seconds}


if __name__ == "__main__":
    worker = EngineWorker()
    serve(worker.make, worker.reply)
