"""Errors of landmarks: cases worked by hand, matching, and O-Net on given boxes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon import Detector
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.evaluation import landmarks, summaries_nets
from mtcnn_gluon.evaluation.coverage import Coverage
from mtcnn_gluon.evaluation.results import Detections, Results
from mtcnn_gluon.evaluation.run import Job
from mtcnn_gluon.prepare_data.annotations import Annotations, Photo, Problems

POINTS = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float64)  # eyes 40 apart
BOX = np.array([20, 20, 84, 120], np.float64)  # sides 64 and 100: mean 80


def shifted(pixels: float) -> np.ndarray:
    """The points moved to the right."""
    return POINTS + np.array([pixels, 0])


def photo(path: str = "a.jpg", count: int = 1) -> Photo:
    shift = 100 * np.arange(count)
    boxes = BOX + np.outer(shift, [1, 0, 1, 0])
    points = POINTS + np.stack([shift, 0 * shift], 1)[:, None]
    return Photo(path, boxes, np.zeros(count, bool), points, np.full(count, np.nan))


def found(points: Any, boxes: Any = None, scores: Any = None) -> Detections:
    points = np.asarray(points, np.float64).reshape(-1, 5, 2)
    boxes = np.tile(BOX, (len(points), 1)) if boxes is None else boxes
    return Detections(boxes, np.ones(len(points)) if scores is None else scores, points)


def evaluate(
    detections: Detections, on: landmarks.On = "detected", count: int = 1, **options: Any
) -> landmarks.LandmarkFigures:
    return landmarks.evaluate([photo(count=count)], [Results("mine", {"a.jpg": detections})], on, **options)[1][0]


def test_by_hand() -> None:
    """The nose is off by 3, 4, that is 5 of 40 pixels; the left eye by 8 of 40."""
    moved = POINTS.copy()
    moved[2] += (3, 4)
    moved[0] -= (8, 0)
    figures = evaluate(found(moved)).values
    points = {"left_eye": 0.2, "right_eye": 0, "nose": 0.125, "left_mouth": 0, "right_mouth": 0}
    expected = {"mean_error": 0.065, "failures": 0, "failures_of_all": 0, "found": 1}
    assert figures == pytest.approx({**expected, **{f"mean_error_{name}": error for name, error in points.items()}})
    by_box = evaluate(found(moved), normaliser="box").values
    assert by_box["mean_error"] == pytest.approx(0.065 / 2) and by_box["mean_error_nose"] == pytest.approx(5 / 80)


@pytest.mark.parametrize(("shift", "failures"), [(3.9, 0), (4.1, 1)])
def test_a_face_fails_above_ten_per_cent(shift: float, failures: int) -> None:
    figures = evaluate(found(shifted(shift))).values
    assert figures["mean_error"] == pytest.approx(shift / 40) and figures["failures"] == failures


def test_a_face_that_is_not_found() -> None:
    outcome = evaluate(found(POINTS), count=2)
    assert np.isnan(outcome.errors[1]).all() and outcome.values["mean_error"] == 0
    assert (outcome.values["found"], outcome.values["failures"], outcome.values["failures_of_all"]) == (0.5, 0, 0.5)


def test_nothing_found() -> None:
    outcome = evaluate(Detections.of_boxes([], []), resamples=5)
    assert outcome.values["mean_error"] is None and outcome.values["failures"] is None
    assert outcome.values["found"] == 0 and outcome.values["failures_of_all"] == 1
    assert outcome.intervals["mean_error"] is None and outcome.intervals["found"] == (0, 0)


def test_the_best_score_is_matched_first() -> None:
    """Two detections of one face: the surer one is taken, though the other lies better. A face has one detection only."""
    outcome = evaluate(found([POINTS, shifted(4)], [BOX, BOX + 3], [0.5, 0.9]))
    assert outcome.values["mean_error"] == pytest.approx(0.1)
    close = np.stack([BOX, BOX + np.array([10, 0, 10, 0])])
    crowd = Photo("a.jpg", close, np.zeros(2, bool), np.stack([POINTS, shifted(10)]), np.ones(2))
    rows = landmarks.match(crowd.boxes, found([POINTS, shifted(10)], np.array([BOX, BOX]), [0.9, 0.8]))
    np.testing.assert_array_equal(rows, [0, 1])
    assert (landmarks.match(crowd.boxes, found([POINTS], np.array([BOX + 500]))) == -1).all()


def test_faces_without_landmarks_keep_their_detections() -> None:
    """A detection of a neighbour whose landmarks nobody knows is not taken for the face beside it, which nobody found."""
    marked, beside = photo(), BOX + np.array([16, 0, 16, 0])  # they overlap by 48 of 80 columns: 0.6
    detections = Results("mine", {"a.jpg": found([shifted(16)], np.array([beside]))})
    whole = Photo("a.jpg", np.stack([BOX, beside]), np.zeros(2, bool), np.stack([POINTS, np.full((5, 2), np.nan)]), np.ones(2))
    others = landmarks.other_faces(Annotations([whole, photo("b.jpg")], Problems()))
    assert list(others) == ["a.jpg"]
    np.testing.assert_array_equal(others["a.jpg"], [beside])
    for known, is_found in ((others, 0), ({}, 1)):
        outcome = landmarks.evaluate([marked], [detections], "detected", others=known)[1][0]
        assert outcome.values["found"] == is_found
    surest = found([POINTS, shifted(16)], np.stack([BOX, beside]), [0.8, 0.9])
    figures = landmarks.evaluate([marked], [Results("mine", {"a.jpg": surest})], "detected", others=others)[1][0].values
    assert figures["found"] == 1 and figures["mean_error"] == 0


def test_faces_found_without_landmarks_are_named() -> None:
    """They count as not found, which formerly nobody was told."""
    blank = np.full((5, 2), np.nan)
    results = Results("mine", {"a.jpg": found([POINTS, blank], photo(count=2).boxes)})
    outcome = landmarks.evaluate([photo(count=2)], [results], "detected")[1][0]
    assert outcome.values["found"] == 0.5 and results.problems.found == {landmarks.NO_POINTS: ["mine: a.jpg: face 1"]}


def test_differences_name_whom_they_are_to() -> None:
    """On detected boxes result files come first, on given ones models: the tables must not mix them up."""
    outcomes = {name: evaluate(found(shifted(pixels)), resamples=3) for name, pixels in (("R", 0), ("M", 4), ("N", 8))}
    named = {name: replace(outcome, name=name) for name, outcome in outcomes.items()}
    results = {name: Results(name, {}) for name in named}
    coverage = Coverage(("a.jpg",), 1, (1,))
    parts = [
        (coverage, [replace(named[name], on=on) for name in names], [results[name] for name in names])
        for on, names in (("given", "MN"), ("detected", "RMN"))
    ]
    tables = summaries_nets.of_landmarks(parts, "eyes", "here", {}).tables[1:]  # type: ignore[arg-type]
    rows = [(table.title.split(",")[0], *((row[0], row[1].split(" ")[0]) for row in table.rows)) for table in tables]
    assert rows == [
        ("Difference to M on given boxes", ("N", "+10.00")),
        ("Difference to R on detected boxes", ("M", "+10.00"), ("N", "+20.00")),
    ]


def test_given_boxes_are_taken_in_their_order() -> None:
    points = photo(count=2).landmarks
    assert evaluate(found(points), "given", 2).values["mean_error"] == 0
    assert evaluate(found(points[::-1]), "given", 2).values["mean_error"] == pytest.approx(2.5)
    with pytest.raises(DataError, match=r"a.jpg: expected results for 2 given boxes, got 1"):
        evaluate(found(POINTS), "given", 2)


def test_faces_without_a_size_are_left_out() -> None:
    flat = photo(count=2)
    flat.landmarks[1, 0] = flat.landmarks[1, 1]
    results = Results("mine", {"a.jpg": found(flat.landmarks, flat.boxes)})
    outcome = landmarks.evaluate([flat], [results], "detected")[1][0]
    assert len(outcome.errors) == 1 and results.problems.counts == {landmarks.NO_SIZE: 1}


def test_options_and_results_without_landmarks() -> None:
    with pytest.raises(DataError, match="mine: the results hold no landmarks"):
        evaluate(Detections.of_boxes([BOX], [1]))
    with pytest.raises(ConfigError, match="normaliser must be eyes or box, not 'nose'"):
        evaluate(found(POINTS), normaliser="nose")
    with pytest.raises(ConfigError, match="on must be given or detected, not 'x'"):
        evaluate(found(POINTS), "x")  # type: ignore[arg-type]


def test_only_faces_with_landmarks_are_asked_for() -> None:
    whole = photo(count=3)
    whole.landmarks[0] = np.nan
    whole.ignore[2] = True
    blank = photo("b.jpg")
    blank.landmarks[:] = np.nan
    (kept,) = landmarks.annotated(Annotations([whole, blank], Problems()))
    assert kept.path == "a.jpg" and len(kept) == 1
    np.testing.assert_array_equal(kept.landmarks, whole.landmarks[1:2])
    with pytest.raises(DataError, match="none of the 1 annotated photos has a face with landmarks"):
        landmarks.annotated(Annotations([blank], Problems()))


def test_intervals_are_over_photos() -> None:
    photos = [photo(f"{index}.jpg") for index in range(20)]
    results = Results("mine", {each.path: found(shifted(index / 5)) for index, each in enumerate(photos)})
    outcome = landmarks.evaluate(photos, [results], "detected", resamples=100)[1][0]
    low, high = outcome.intervals["mean_error"] or (0, 0)
    assert low < 1.9 / 40 < high and high - low < 0.03


def test_onet_on_given_boxes(detector: Detector, image: np.ndarray) -> None:
    """The portrait's face, marked by hand: points are where they are, and do not depend on the other boxes."""
    box = np.array([[176, 60, 270, 176]], np.float32)
    points, scores = landmarks.landmarks_in(detector, image, box)
    by_hand = [[203, 101], [247, 103], [225, 129], [201, 139], [245, 142]]
    assert points.shape == (1, 5, 2) and scores[0] > 0.9 and np.abs(points[0] - by_hand).max() < 6
    several, _ = landmarks.landmarks_in(detector, image, np.vstack([box - 100, box, box * 0.5]))
    np.testing.assert_allclose(several[1], points[0], atol=1e-3)
    none, scores = landmarks.landmarks_in(detector, image, np.zeros((0, 4), np.float32))
    assert none.shape == (0, 5, 2) and scores.shape == (0,)
    row = landmarks.place_landmarks(detector, image, Job("a", "a", tuple(map(tuple, np.vstack([box, box - 100]).tolist()))))
    assert len(row["faces"]) == 2 and row["faces"][0]["landmarks"]["nose"] == pytest.approx(points[0, 2].tolist(), abs=1e-3)


def test_dev_list(detector: Detector, data: Path) -> None:
    """The official weights on twenty of the dev faces: better than one tenth of the distance of the eyes on average."""
    from mtcnn_gluon import read_image
    from mtcnn_gluon.prepare_data.readers import read_points

    photos = landmarks.annotated(read_points(data / "landmarks/devImageList.txt"))[::25]
    results = {}
    for each in photos:
        picture = read_image(data / "landmarks" / each.path)
        points, scores = landmarks.landmarks_in(detector, picture, each.boxes)
        results[each.path] = Detections(each.boxes, scores, points)
    outcome = landmarks.evaluate(photos, [Results("official", results)], "given")[1][0]
    assert outcome.values["mean_error"] is not None and outcome.values["mean_error"] < 0.1
