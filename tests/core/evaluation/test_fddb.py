"""FDDB's protocol: cases worked by hand, brute force on small ones, and its regions drawn again pixel by pixel."""

import math
import sys
from pathlib import Path
from typing import Any, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plain_evaluation
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.evaluation import fddb
from mtcnn_gluon.evaluation.regions import draw_box, draw_ellipse, overlap
from mtcnn_gluon.evaluation.results import Detections, Results

pytest.importorskip("scipy.optimize")


def fold_text(photos: dict[str, list[str]]) -> str:
    return "".join(f"{name}\n{len(faces)}\n" + "".join(face + "\n" for face in faces) for name, faces in photos.items())


# ---- regions


def test_a_box_holds_both_corners() -> None:
    region = draw_box(np.array([2, 3, 5, 7.0]), None)
    assert (region.left, region.top, region.mask.shape, region.area) == (2, 3, (5, 4), 20)
    assert draw_box(np.array([1.5, 2.5, 4.4, 6.6]), None).area == 3 * 6  # 2..4, 2..7: halves go to the even number
    assert draw_box(np.array([-2, -3, 5, 7.0]), (4, 5)).area == 20
    for outside in ([9, 9, 12, 12], [-9, 0, -1, 3]):
        assert draw_box(np.array(outside, float), (4, 5)).area == 0


def test_an_ellipse_is_where_it_should_be() -> None:
    """Its area, and its long axis: an angle turns x towards y, which points down."""
    upright = draw_ellipse(np.array([40, 20, math.pi / 2, 60, 70]), None)
    assert upright.mask.shape == (81, 41) and (upright.left, upright.top) == (40, 30)
    assert upright.area == pytest.approx(math.pi * 40 * 20, rel=0.05)
    tilted = draw_ellipse(np.array([40, 10, math.pi / 4, 60, 70]), None)
    centre_x, centre_y = 60 - tilted.left, 70 - tilted.top
    assert tilted.mask[centre_y + 20, centre_x + 20] and tilted.mask[centre_y - 20, centre_x - 20]
    assert not tilted.mask[centre_y + 20, centre_x - 20]


def test_what_lies_beyond_the_photo_does_not_count() -> None:
    ellipse = np.array([40, 30, 0.0, 0, 50])
    half, whole = draw_ellipse(ellipse, (200, 100)), draw_ellipse(ellipse, None)
    assert half.left == 0 and half.area == pytest.approx(whole.area / 2, rel=0.03)
    box = draw_box(np.array([0, 20, 40, 80.0]), (200, 100))
    assert overlap(half, box) > 1.5 * overlap(whole, box)
    assert draw_ellipse(np.array([40, 30, 0.0, -90, 50]), (200, 100)).area == 0


def test_overlap_of_boxes() -> None:
    a, b = draw_box(np.array([0, 0, 9, 9.0]), None), draw_box(np.array([5, 0, 14, 9.0]), None)
    assert overlap(a, b) == 50 / 150 and overlap(a, a) == 1
    assert overlap(a, draw_box(np.array([10, 0, 19, 9.0]), None)) == 0
    empty = draw_box(np.array([50, 50, 60, 60.0]), (20, 20))
    assert overlap(a, empty) == 0 and overlap(empty, empty) == 0


def test_absurd_regions_need_no_memory() -> None:
    huge = draw_box(np.array([-1e300, -1e300, 1e300, 1e300]), None)
    assert 0 < overlap(huge, draw_box(np.array([0, 0, 9, 9.0]), None)) < 1e-5
    assert draw_ellipse(np.array([1e300, 1e300, 0, 5, 5]), (30, 20)).area == 600


# ---- matching

shares = st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.51, 0.6, 0.8, 1.0]) | st.floats(0, 1)


@st.composite
def a_photo(draw: Any) -> tuple[list[list[float]], list[float]]:
    faces, found = draw(st.integers(0, 3)), draw(st.integers(0, 5))
    overlaps = [[draw(shares) for _ in range(found)] for _ in range(faces)]
    return overlaps, [draw(st.sampled_from([0.1, 0.5, 0.9]) | st.floats(-5, 5)) for _ in range(found)]


def steps_of(photo: tuple[Sequence[Sequence[float]], Sequence[float]]) -> fddb.PhotoSteps:
    overlaps, scores = photo
    return fddb.photo_steps(np.array(overlaps, np.float64).reshape(len(overlaps), len(scores)), np.array(scores, np.float64))


@given(a_photo())
@settings(max_examples=150, deadline=None)
def test_each_step_is_the_best_matching(photo: tuple[list[list[float]], list[float]]) -> None:
    overlaps, scores = photo
    steps = steps_of(photo)
    assert steps.scores.tolist() == sorted(set(scores), reverse=True)
    for score, discrete, continuous, found in zip(steps.scores, steps.discrete, steps.continuous, steps.found):
        taken = [column for column, value in enumerate(scores) if value >= score]
        total, count, is_unique = plain_evaluation.best_matching([[row[column] for column in taken] for row in overlaps])
        assert continuous == pytest.approx(total) and found == len(taken)
        assert discrete == count or not is_unique


def test_a_better_sum_may_cost_a_discrete_match() -> None:
    """The largest sum is asked for, not the most pairs above one half: 0.9 + 0.4 beats 0.6 + 0.6."""
    steps = steps_of(([[0.9, 0.6], [0.6, 0.4]], [0.5, 0.5]))
    assert steps.continuous.tolist() == [1.3] and steps.discrete.tolist() == [1]


def test_exactly_half_is_no_match() -> None:
    steps = steps_of(([[0.5]], [1.0]))
    assert steps.discrete.tolist() == [0] and steps.continuous.tolist() == [0.5]


@given(st.lists(a_photo(), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_roc_is_the_sum_over_photos(photos: list[tuple[list[list[float]], list[float]]]) -> None:
    faces = np.array([len(overlaps) for overlaps, _ in photos], np.float64)
    outcome = fddb.roc("mine", [steps_of(photo) for photo in photos], faces, np.zeros((0, len(photos))))
    curve = plain_evaluation.fddb_roc(photos)
    assert outcome.thresholds.tolist() == sorted(curve, reverse=True)
    if not faces.sum():
        assert set(outcome.values.values()) == {None}
        return
    for place, threshold in enumerate(outcome.thresholds):
        discrete, continuous, wrong, sure = curve[threshold]
        assert outcome.continuous[place] == pytest.approx(continuous / faces.sum())
        if sure:
            assert outcome.discrete[place] == pytest.approx(discrete / faces.sum())
            assert outcome.false_positives[place] == pytest.approx(wrong)


# ---- whole evaluations

FACES = {
    "2002/07/19/big/img_1": ["40 30 0 100 60  1", "20 15 1.5707963 250 60 1"],
    "2002/07/19/big/img_2": ["40 30 0 100 60 1"],
}


@pytest.fixture
def folds(tmp_path: Path) -> fddb.Folds:
    (tmp_path / "FDDB-fold-01-ellipseList.txt").write_text(fold_text(FACES))
    return fddb.read_folds(tmp_path)


def results_of(found: dict[str, list[Sequence[float]]], name: str = "mine") -> Results:
    photos = {}
    for key, rows in found.items():
        array = np.array(rows, np.float64).reshape(-1, 5)
        photos[f"2002/07/19/big/{key}"] = Detections.of_boxes(array[:, :4], array[:, 4])
    return Results(name, photos)


GOOD, SMALL, FALSE = (60, 30, 140, 90), (235, 40, 265, 80), (300, 300, 340, 340)


def rates(figures: fddb.FddbFigures) -> list[float | None]:
    """Discrete rates at each number of false positives."""
    return [figures.values[f"discrete_{limit}"] for limit in fddb.RATES_AT]


def test_by_hand(folds: fddb.Folds) -> None:
    found = {"img_1": [(*GOOD, 0.9), (*FALSE, 0.7), (*SMALL, 0.5)], "img_2": [(*GOOD, 0.6), (*GOOD, 0.4)]}
    coverage, (outcome,) = fddb.evaluate(folds, [results_of(found)])
    assert coverage.sentence() == "all 2 photos; 1 of 10 folds" and not coverage.is_complete
    assert outcome.thresholds.tolist() == [0.9, 0.7, 0.6, 0.5, 0.4] and outcome.faces == 3
    np.testing.assert_allclose(outcome.discrete, [1 / 3, 1 / 3, 2 / 3, 1, 1])
    np.testing.assert_allclose(outcome.false_positives, [0, 1, 1, 1, 2])
    share = math.pi / 4  # of a box, that its ellipse covers
    np.testing.assert_allclose(outcome.continuous, np.array([1, 1, 2, 3, 3]) * share / 3, atol=0.02)
    assert rates(outcome) == [1] * 5


def test_rates_at_false_positives(folds: fddb.Folds) -> None:
    """The rate at n false positives is the best one with at most n; 0 where the first threshold already makes more."""
    wrong = [(*FALSE, 0.9)] * 60
    first = [(*GOOD, 0.95)]
    found = {"img_1": [*first, *wrong, (*SMALL, 0.5)], "img_2": []}
    _, (outcome,) = fddb.evaluate(folds, [results_of(found)])
    assert rates(outcome) == pytest.approx([1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3])
    _, (outcome,) = fddb.evaluate(folds, [results_of({"img_1": [*first, *wrong[:50], (*SMALL, 0.5)], "img_2": []})])
    assert rates(outcome) == pytest.approx([2 / 3] * 5)  # exactly 50
    _, (outcome,) = fddb.evaluate(folds, [results_of({"img_1": [(*GOOD, 0.9), *wrong], "img_2": []})])
    assert rates(outcome) == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 1 / 3])


def test_no_detections_at_all(folds: fddb.Folds) -> None:
    _, (outcome,) = fddb.evaluate(folds, [results_of({"img_1": [], "img_2": []})], resamples=10)
    assert set(outcome.values.values()) == {0} and len(outcome.thresholds) == 0
    assert set(outcome.intervals.values()) == {(0, 0)}


def test_boxes_as_regions(folds: fddb.Folds) -> None:
    found = {"img_1": [(*GOOD, 0.9)], "img_2": [(*GOOD, 0.8)]}
    _, (outcome,) = fddb.evaluate(folds, [results_of(found)], "box")
    np.testing.assert_allclose(outcome.continuous, [1 / 3, 2 / 3])


def test_ellipses_as_detections(folds: fddb.Folds) -> None:
    ellipse = np.array([[40.0, 30, 0, 100, 60]])
    found = Detections(np.array([[0.0, 0, 5, 5]]), np.ones(1), np.full((1, 5, 2), np.nan), ellipse)
    results = Results("mine", dict.fromkeys(folds.names, found))
    _, (outcome,) = fddb.evaluate(folds, [results])
    np.testing.assert_allclose(outcome.continuous, [2 / 3])


def test_sizes_cut_regions_off(tmp_path: Path) -> None:
    (tmp_path / "FDDB-fold-01-ellipseList.txt").write_text("a\n1\n40 30 0 0 50 1\n")
    folds = fddb.read_folds(tmp_path)
    results = Results("mine", {"a": Detections.of_boxes([[0, 20, 40, 80]], [1.0])})
    unknown = fddb.evaluate(folds, [results])[1][0].continuous[0]
    known = fddb.evaluate(folds, [results], sizes=lambda name: (200, 100))[1][0].continuous[0]
    told = Results("mine", {"a": Detections.of_boxes([[0, 20, 40, 80]], [1.0], (200, 100))})
    assert known > 1.5 * unknown and fddb.evaluate(folds, [told])[1][0].continuous[0] == known


def test_missing_photos_and_intervals(folds: fddb.Folds) -> None:
    good = results_of({"img_1": [(*GOOD, 0.9)], "img_2": [(*GOOD, 0.8)]}, "good")
    part = results_of({"img_1": [(*FALSE, 0.9)]}, "part")
    coverage, outcomes = fddb.evaluate(folds, [good, part], resamples=20)
    assert coverage.names == ("2002/07/19/big/img_1",) and coverage.counts == (2, 1)
    assert [each.values["discrete_50"] for each in outcomes] == [0.5, 0]
    assert outcomes[0].intervals["discrete_50"] == (0.5, 0.5)
    coverage, outcomes = fddb.evaluate(folds, [good, part], missing="no-faces", resamples=50)
    assert [each.values["discrete_50"] for each in outcomes] == [pytest.approx(2 / 3), 0]
    interval = outcomes[0].intervals["discrete_50"]
    assert interval is not None and interval[0] == 0.5 and interval[1] == 1  # both photos the first one, or the second
    with pytest.raises(ConfigError, match="regions must be ellipse or box, not 'mask'"):
        fddb.evaluate(folds, [good], "mask")  # type: ignore[arg-type]


def test_without_scipy(folds: fddb.Folds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ConfigError, match="FDDB's matching needs scipy"):
        fddb.evaluate(folds, [results_of({"img_1": [], "img_2": []})])


# ---- annotations


def test_ten_folds(tmp_path: Path) -> None:
    for fold in range(1, 11):
        (tmp_path / f"FDDB-fold-{fold:02}-ellipseList.txt").write_text(fold_text({f"p{fold}": ["40 30 0 100 60 1"]}))
        (tmp_path / f"FDDB-fold-{fold:02}.txt").write_text(f"p{fold}\n")
    folds = fddb.read_folds(tmp_path)
    assert folds.names == tuple(f"p{fold}" for fold in range(1, 11))
    assert folds.remarks == ("the folds hold 10 photos and the published ones 2,845",)
    (tmp_path / "FDDB-fold-03.txt").write_text("p3\nother\n")
    with pytest.raises(DataError, match=r"FDDB-fold-03.txt and FDDB-fold-03-ellipseList.txt should .* but other is in one"):
        fddb.read_folds(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n1\n40 30 0 100 1\nb\n0\n", None),  # five numbers, without the 1 at the end, will do
        ("a\n1\n40 30 0 100\n", r"ellipseList.txt:3: expected major_radius minor_radius .*, got '40 30 0 100'"),
        ("a\n1\n40 x 0 100 60 1\n", r"ellipseList.txt:3: expected major_radius"),
        ("a\n1\n40 0 0 100 60 1\n", r"ellipseList.txt:3: .* positive radii"),
        ("a\n1\n40 30 nan 100 60 1\n", r"ellipseList.txt:3"),
        ("a\n2\n40 30 0 100 60 1\n", r"ellipseList.txt:1: expected a line for each of 2 faces of a"),
        ("a\n0\na\n0\n", r"ellipseList.txt:3: expected each photo once, got a again"),
    ],
)
def test_malformed_folds(tmp_path: Path, text: str, message: str | None) -> None:
    (tmp_path / "FDDB-fold-01-ellipseList.txt").write_text(text)
    if message is None:
        assert fddb.read_folds(tmp_path).names == ("a", "b")
        return
    with pytest.raises(DataError, match=message):
        fddb.read_folds(tmp_path)


def test_no_folds_and_photos_in_two(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no FDDB-fold-NN-ellipseList.txt"):
        fddb.read_folds(tmp_path)
    for fold in (1, 2):
        (tmp_path / f"FDDB-fold-0{fold}-ellipseList.txt").write_text("a\n0\n")
    with pytest.raises(DataError, match=r"FDDB-fold-02-ellipseList.txt: expected each photo in one fold, got a again"):
        fddb.read_folds(tmp_path)
