"""One of the package's own engines as a contender of `mtcnn-gluon bench`; see `worker.py` for the protocol.

`contender` is the engine, `model` a model. The answer to `{"photo", "detail": true}` is `{"stages", "nets", "operations"}`,
three numbers each: seconds of P-, R- and O-Net's stages, seconds in the nets alone, and the operations that the nets made.
"""

import copy
import time
from functools import partial
from typing import Any, Callable, Mapping

import numpy as np

from mtcnn_gluon.bench.worker import Find, Found, Made, answer, serve, versions
from mtcnn_gluon.config import NETS
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.engines.base import Engine
from mtcnn_gluon.evaluation.stages import time_stages
from mtcnn_gluon.layers import multiply_adds

PACKAGES = ("mtcnn-gluon", "mxnet", "mxnet-cu112", "onnxruntime", "openvino", "torch", "numpy", "opencv-python")
OFFICIAL = "official"  # the model with the weights of most peers, which gets the same thresholds as they


class Meter:
    """Adds up the run times of an engine's nets and their operations, two for each multiply-add.

    Args:
        architecture: the table of each net, as in `config.NETS`.

    Attributes:
        seconds, operations: those of P-, R- and O-Net so far.
    """

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        self.seconds, self.operations = [0.0, 0.0, 0.0], [0, 0, 0]
        self._architecture = architecture

    def watch(self, engine: Engine) -> Engine:
        """A copy of an engine whose nets are measured."""
        watched: Any = copy.copy(engine)
        watched.take_in = lambda *_: None  # an engine that draws itself shows its nets only this way
        watched.run = partial(self._counted, engine.run)  # what is run: whole canvases, and batches with their padding
        for place, net in enumerate(NETS):
            setattr(watched, net, partial(self._timed, place, getattr(watched, net)))
        return watched

    def _counted(self, run: Callable[[str, np.ndarray], Any], net: str, images: np.ndarray) -> Any:
        self.operations[list(NETS).index(net)] += 2 * len(images) * multiply_adds(self._architecture[net], *images.shape[2:])
        return run(net, images)

    def _timed(self, place: int, run: Callable[[np.ndarray], Any], values: np.ndarray) -> Any:
        start = time.perf_counter()
        outputs = run(values)
        self.seconds[place] += time.perf_counter() - start
        return outputs


class EngineWorker:
    """The package's detector."""

    def __init__(self) -> None:
        self._detector: Detector | None = None

    def make(self, options: dict[str, Any]) -> Made:
        """Make the detector that `options` describe. Raises the errors of `Detector`.

        The thresholds are those of `options` for the official weights and where low scores are wanted, else the model's own.
        """
        model = options["model"]
        given = {key: options[key] for key in ("min_face", "factor", "threads")}
        thresholds = options["thresholds"] if model == OFFICIAL or options["score"] is not None else None
        detector = Detector(model, options["contender"], thresholds=thresholds, **given)
        self._detector = detector

        def find(image: np.ndarray) -> Found:
            faces = detector.detect(image)
            points = [] if faces.landmarks is None else faces.landmarks.tolist()
            return faces.boxes.tolist(), faces.scores.tolist(), points

        return find, versions(*PACKAGES)

    def reply(self, find: Find, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request."""
        if not request.get("detail"):
            return answer(find, request)
        assert self._detector is not None
        image = np.load(request["photo"])
        find(image)
        plain, meter = self._detector.engine, Meter(self._detector.bundle.manifest["architecture"])
        self._detector.engine = meter.watch(plain)
        stages = time_stages(self._detector, [image])[0].tolist()
        self._detector.engine = plain
        return {"stages": stages, "nets": meter.seconds, "operations": meter.operations}


if __name__ == "__main__":
    worker = EngineWorker()
    serve(worker.make, worker.reply)
