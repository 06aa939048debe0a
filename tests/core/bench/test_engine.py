"""What an own engine tells `bench` beside its faces: the time of its nets, and their operations."""

from pathlib import Path
from typing import Any, Sequence

import numpy as np
import pytest

from mtcnn_gluon import Detector
from mtcnn_gluon.bench.engine import EngineWorker, Meter
from mtcnn_gluon.config import NETS
from mtcnn_gluon.detection import cascade, pyramid
from mtcnn_gluon.engines.base import Engine
from mtcnn_gluon.layers import multiply_adds


class Padding(Engine):
    """An engine that runs batches of R-Net in powers of two, padded."""

    name, crops_a_run = "padding", {"rnet": 100}

    def run(self, net: str, images: np.ndarray) -> Sequence[np.ndarray]:
        n = len(images)
        return [np.zeros((n, 2), np.float32), np.zeros((n, 4), np.float32), np.zeros((n, 10), np.float32)]


@pytest.mark.parametrize(("crops", "run"), [(1, 1), (3, 4), (4, 4), (100, 128), (200, 128 + 128)])
def test_the_padding_of_batches_counts(crops: int, run: int) -> None:
    plain, meter = Padding(), Meter(NETS)
    meter.watch(plain).rnet(np.zeros((crops, 3, 24, 24), np.float32))
    assert meter.operations == [0, 2 * run * multiply_adds(NETS.rnet, 24, 24), 0]
    assert meter.seconds[1] > 0 and meter.seconds[0] == meter.seconds[2] == 0
    before = list(meter.operations)
    plain.rnet(np.zeros((crops, 3, 24, 24), np.float32))  # the engine itself is not measured
    assert meter.operations == before and "run" not in vars(plain)


def test_a_whole_detection(image: np.ndarray) -> None:
    detector = Detector("gluon-4", engine="native", min_face=40)
    tables, view = detector.bundle.manifest["architecture"], detector.settings.views["pnet"]
    meter = Meter(tables)
    measured = meter.watch(detector.engine)
    candidates = cascade.propose([image], measured, detector.settings)
    levels = pyramid.plan_levels(*image.shape[:2], 40, detector.settings.factor, view)
    canvases = pyramid.plan_canvases(tuple((each.height, each.width) for each in levels), view)
    pixels = sum(multiply_adds(tables["pnet"], canvas.height, canvas.width) for canvas in canvases)
    refined = cascade.refine([image], candidates, measured, detector.settings)
    faces = cascade.output([image], refined, measured, detector.settings)
    crops = [len(stage) * multiply_adds(tables[net], *[tables[net]["size"]] * 2)
             for net, stage in (("rnet", candidates), ("onet", refined))]  # fmt: skip
    assert meter.operations == [2 * pixels, *(2 * count for count in crops)]
    np.testing.assert_array_equal(faces[0].boxes, detector.detect(image).boxes)


def test_thresholds_of_the_model_or_of_the_contest(image: np.ndarray, tmp_path: Path) -> None:
    """Other models than the official one keep their own thresholds, until low scores are asked for."""
    np.save(tmp_path / "photo.npy", image)
    worker = EngineWorker()
    options: dict[str, Any] = {"contender": "native", "model": "gluon-4", "min_face": 40, "factor": 0.709, "threads": 1}
    options |= {"thresholds": [0.1, 0.1, 0.9], "score": None}
    find, versions = worker.make(options)
    own = Detector("gluon-4", engine="native", min_face=40).detect(image)
    assert find(image)[1] == own.scores.tolist() and versions["mtcnn-gluon"]
    detail = worker.reply(find, {"photo": str(tmp_path / "photo.npy"), "detail": True})
    assert set(detail) == {"stages", "nets", "operations"} and all(value > 0 for values in detail.values() for value in values)
    low, _ = worker.make({**options, "thresholds": [0.5, 0.5, 0.3], "score": 0.02})
    whole = Detector("gluon-4", engine="native", min_face=40, thresholds=(0.5, 0.5, 0.3)).detect(image)
    assert low(image)[1] == whole.scores.tolist()
