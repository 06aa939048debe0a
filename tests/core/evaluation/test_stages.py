"""Stages: sweeps worked by hand, and that one run tells what every threshold would have given."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from mtcnn_gluon import Detector
from mtcnn_gluon.detection import cascade
from mtcnn_gluon.evaluation import stages
from mtcnn_gluon.evaluation.run import Job

ABOUT = {"thresholds": [0.6, 0.7, 0.7], "min_face": 20}
NOTHING: dict[str, Any] = {"scores": [], "own": [], "faces": []}


def row(scores: list[float], own: list[int], faces: list[float]) -> dict[str, Any]:
    part = {"scores": scores, "own": own, "faces": faces}
    return {"stages": {stage: part for stage in stages.STAGES}}  # noqa: C420


def at(threshold: float) -> int:
    return int(np.abs(stages.GRID - threshold).argmin())


def test_by_hand() -> None:
    """Four faces, of which one is ignored and one is too small; a second proposal on a face is wrong."""
    rows = [row([0.9, 0.8, 0.5, 0.3, 0.2, 0.15], [0, 0, -1, 1, 2, 3], [0.9, 0.3, 0.2, 0.15]), row([0.4], [-1], [])]
    sides = [np.array([30.0, 100, 50, 12]), np.zeros(0)]
    ignore = [np.array([False, False, True, False]), np.zeros(0, bool)]
    curve = stages.sweep(rows, sides, ignore, ABOUT)[2]
    assert curve.stage == "onet" and curve.current == 0.7 and curve.faces.tolist() == [0, 1, 0, 1, 0]
    assert [curve.proposals[at(t)] for t in (0.1, 0.3, 0.31, 0.45, 0.9, 0.91)] == [3.5, 2.5, 2, 1.5, 0.5, 0]
    assert [curve.recall[at(t)] for t in (0.1, 0.3, 0.31, 0.9, 0.91)] == [1, 1, 0.5, 0.5, 0]
    np.testing.assert_array_equal(curve.recall_by_size[:, at(0.31)], [np.nan, 1, np.nan, 0, np.nan])
    # right: 0.9 and 0.3; wrong: 0.8, 0.5, 0.4; not counted: 0.2 on the ignored face, 0.15 on the small one
    np.testing.assert_allclose([curve.precision[at(t)] for t in (0.1, 0.35, 0.85)], [2 / 5, 1 / 4, 1])
    assert np.isnan(curve.precision[at(0.95)])
    assert curve.detection == 0.81 and curve.mining is None  # F1 is 2/3 from 0.81 to 0.9, and 4/7 at 0.3


def test_suggestions() -> None:
    """For mining the lowest threshold within the number of proposals; for detection 95 % of what that one finds."""
    proposals = np.linspace(1000, 0, len(stages.GRID))
    recall = np.clip(1.1 - stages.GRID, 0, 1)
    mining, detection = stages.suggest("pnet", proposals, recall, recall)
    assert mining is not None and detection is not None
    assert proposals[at(mining)] <= 500 < proposals[at(mining) - 1]
    assert recall[at(detection)] >= 0.95 * recall[at(mining)] > recall[at(detection) + 1]
    assert stages.suggest("pnet", proposals + 2000, recall, recall)[0] == stages.GRID[-1]
    assert stages.suggest("rnet", proposals, 0 * recall, recall) == (None, None)
    assert stages.at_budget(proposals, -1) is None


def test_photos_without_faces_and_nothing_found() -> None:
    curves = stages.sweep([row([], [], [])] * 2, [np.zeros(0)] * 2, [np.zeros(0, bool)] * 2, ABOUT)
    assert all(np.isnan(curve.recall).all() and (curve.proposals == 0).all() for curve in curves)
    assert [(curve.mining, curve.detection) for curve in curves] == [(None, None)] * 3


@pytest.fixture(scope="module")
def crowd(image: np.ndarray) -> np.ndarray:
    """Three copies of the portrait's upper part at different sizes."""
    part = image[:300, 60:360]
    canvas = np.full((300, 600, 3), 127, np.uint8)
    canvas[:, :300] = part
    canvas[:150, 300:450] = cv2.resize(part, (150, 150), interpolation=cv2.INTER_AREA)
    canvas[150:225, 300:375] = cv2.resize(part, (75, 75), interpolation=cv2.INTER_AREA)
    return canvas


def test_one_run_tells_about_every_threshold(detector: Detector, crowd: np.ndarray) -> None:
    """The proposals of at least some score are those that the cascade makes with that threshold."""
    found = stages.run_stages(detector, crowd, Job("a", "a", ((110.0, 60.0, 210.0, 180.0),)))["stages"]
    settings, engine = detector.settings, detector.engine
    for threshold in (0.15, 0.5, 0.9):
        first, second, third = (replace(settings, thresholds=each) for each in (
            (threshold, 0.7, 0.7), (0.6, threshold, 0.7), (0.6, 0.7, threshold)))  # fmt: skip
        proposed = cascade.propose([crowd], engine, first)
        assert len(proposed) == sum(score >= threshold for score in found["pnet"]["scores"])
        proposed = cascade.propose([crowd], engine, settings)
        refined = cascade.refine([crowd], proposed, engine, second)
        assert len(refined) == sum(score >= threshold for score in found["rnet"]["scores"])
        refined = cascade.refine([crowd], proposed, engine, settings)
        faces = cascade.output([crowd], refined, engine, third)[0]
        assert len(faces) == sum(score >= threshold for score in found["onet"]["scores"])


def test_faces_and_their_proposals(detector: Detector, crowd: np.ndarray) -> None:
    faces = detector.detect(crowd)
    assert len(faces) == 3
    annotated = [*faces.boxes.tolist(), [560.0, 260, 590, 290]]
    found = stages.run_stages(detector, crowd, Job("a", "a", tuple(map(tuple, annotated))))["stages"]
    assert [score > 0 for score in found["onet"]["faces"]] == [True, True, True, False]
    assert found["onet"]["faces"][3] == -1
    for stage in stages.STAGES:
        own, scores = np.array(found[stage]["own"]), np.array(found[stage]["scores"])
        for face in range(3):
            assert found[stage]["faces"][face] >= scores[own == face].max()
    none = stages.run_stages(detector, crowd, Job("a", "a"))["stages"]["onet"]
    assert none["faces"] == [] and set(none["own"]) == {-1}


def test_time(detector: Detector, crowd: np.ndarray) -> None:
    seconds = stages.time_stages(detector, [crowd, crowd])
    assert seconds.shape == (2, 3) and (seconds > 0).all()


@pytest.mark.parametrize(("share", "is_recalled"), [(0.55, True), (0.45, False)])
def test_half_an_overlap(detector: Detector, crowd: np.ndarray, share: float, is_recalled: bool) -> None:
    """A face of which the proposal for it covers everything, itself being that share of the proposal."""
    x1, y1, x2, y2 = (float(v) for v in detector.detect(crowd).boxes[0])
    part = (x1, y1, x1 + (x2 - x1) * share, y2)
    found = stages.run_stages(detector, crowd, Job("a", "a", (part,)))["stages"]["onet"]
    assert (found["faces"][0] > 0) == is_recalled
