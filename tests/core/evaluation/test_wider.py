"""WIDER FACE's protocol: cases worked by hand, and a second, plain implementation on random ones."""

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
from mtcnn_gluon.evaluation import wider
from mtcnn_gluon.evaluation.bootstrap import resample
from mtcnn_gluon.evaluation.options import Detectors, WiderOptions
from mtcnn_gluon.evaluation.results import MISSING, Detections, Results
from mtcnn_gluon.evaluation.wider_truth import Truth, TruthPhoto, from_annotations, read_mat
from mtcnn_gluon.prepare_data.readers import read_annotations
from wider_mat import cell, write_mat

FACE = (10, 20, 19, 29)  # x, y, width, height: 20 x 30 pixels, both corners included
OTHER = (100, 20, 19, 29)
NOWHERE = (300, 300, 19, 29)

Photo = tuple[Sequence[Sequence[float]], Sequence[int]]  # boxes, and the 1-based indices of those that count
Rows = Sequence[Sequence[float]]  # x, y, width, height, score


def truth_of(photos: Sequence[Photo], *more: Sequence[Sequence[int]]) -> Truth:
    """A truth of one set, or with lists of indices in `more`, of several."""
    made = []
    for index, (boxes, kept) in enumerate(photos):
        array = np.array(boxes, np.float64).reshape(-1, 4)
        corners = np.hstack([array[:, :2], array[:, :2] + array[:, 2:]])
        lists = [kept, *(each[index] for each in more)]
        counts = np.array([np.isin(np.arange(1, len(array) + 1), each) for each in lists], bool)
        made.append(TruthPhoto(f"event/{index}", corners, counts.reshape(len(lists), len(array))))
    names = tuple(f"set{index}" for index in range(1 + len(more)))
    return Truth(tuple(made), len(made), (), "nowhere", "made up", names)


def results_of(found: Sequence[Rows | None], name: str = "mine") -> Results:
    photos = {}
    for index, rows in enumerate(found):
        if rows is not None:
            array = np.array(rows, np.float64).reshape(-1, 5)
            corners = np.hstack([array[:, :2], array[:, :2] + array[:, 2:4]])
            photos[f"event/{index}"] = Detections.of_boxes(corners, array[:, 4])
    return Results(name, photos)


def ap(photos: Sequence[Photo], found: Sequence[Rows | None], **options: Any) -> float | None:
    return wider.evaluate(truth_of(photos), [results_of(found)], **options)[1][0].values["set0"]


# A weak detection of no face at score 0 is in most cases, so that the other scores are scaled by (score - 0) / (best - 0).
NOISE = (*NOWHERE, 0.0)


@pytest.mark.parametrize(
    ("photos", "found", "expected"),
    [
        pytest.param([([FACE], [1])], [[(*FACE, 0.9), NOISE]], 1, id="found"),
        pytest.param([([FACE], [1])], [[(*NOWHERE, 0.9), NOISE]], 0, id="missed"),
        pytest.param([([FACE, OTHER], [1, 2])], [[(*FACE, 0.9), NOISE]], 0.5, id="one of two"),
        pytest.param([([FACE], [1])], [[(*NOWHERE, 0.9), (*FACE, 0.8), NOISE]], 1 / 2, id="wrong one first"),
        # recall 1/2 at precision 1, then recall 1 at precision 2/3
        pytest.param(
            [([FACE, OTHER], [1, 2])],
            [[(*FACE, 0.9), (*NOWHERE, 0.8), (*OTHER, 0.7), NOISE]],
            0.5 + 0.5 * 2 / 3,
            id="in between",
        ),
        pytest.param([([FACE], [])], [[(*FACE, 0.9), NOISE]], None, id="no face counts"),
        # the detection of the ignored face is no proposal: precision stays 1
        pytest.param([([FACE, OTHER], [2])], [[(*FACE, 0.9), (*OTHER, 0.8), NOISE]], 1, id="ignored face found"),
        pytest.param([([FACE, OTHER], [2])], [[(*FACE, 0.9), (*FACE, 0.85), (*OTHER, 0.8), NOISE]], 1, id="ignored twice"),
        pytest.param([([FACE, OTHER], [2])], [[(*OTHER, 0.8), NOISE]], 1, id="ignored face missed"),
        # the second detection of a face is a false positive
        pytest.param(
            [([FACE, OTHER], [1, 2])], [[(*FACE, 0.9), (*FACE, 0.8), (*OTHER, 0.7), NOISE]], 0.5 + 0.5 * 2 / 3, id="twice"
        ),
        pytest.param([([FACE], [1]), ([OTHER], [1])], [[(*FACE, 0.9), NOISE], []], 0.5, id="nothing found in a photo"),
        pytest.param([([FACE], [1]), ([OTHER], [1])], [[], []], 0, id="no detections at all"),
        pytest.param([([FACE], [1]), ([], [])], [[(*FACE, 0.8), NOISE], [(*FACE, 0.9)] * 5], 1, id="photo without any face"),
        pytest.param([([FACE, FACE], [1])], [[(*FACE, 0.9), NOISE]], 1, id="equal overlaps: the first face"),
        pytest.param([([FACE, FACE], [2])], [[(*FACE, 0.9), NOISE]], 0, id="equal overlaps: the first is ignored"),
        # of equal scores both count at the same threshold, whatever their order
        pytest.param([([FACE], [1])], [[(*NOWHERE, 0.9), (*FACE, 0.9), NOISE]], 1 / 2, id="tie"),
        pytest.param([([FACE], [1])], [[(*FACE, 0.9), (*NOWHERE, 0.9), NOISE]], 1 / 2, id="tie in the other order"),
        pytest.param([([FACE], [1])], [[(*FACE, 7.0)]], 1, id="a single detection"),
        pytest.param([([FACE, OTHER], [1, 2])], [[(*FACE, 7.0), (*NOWHERE, 7.0)]], 0.25, id="all scores the same"),
    ],
)
def test_by_hand(photos: Sequence[Photo], found: Sequence[Rows], expected: float | None) -> None:
    assert ap(photos, found) == (None if expected is None else pytest.approx(expected, abs=1e-12))


@pytest.mark.parametrize(("shift", "expected"), [(6, 1), (7, 0)])
def test_half_an_overlap(shift: int, expected: float) -> None:
    """Moved by d columns, 20 - d of 20 + d columns of the face are shared: 14 of 26, or 13 of 27."""
    assert ap([([FACE], [1])], [[(FACE[0] + shift, *FACE[1:], 0.9), NOISE]]) == expected


@pytest.mark.parametrize("shift, overlap, expected", [(6, 0.54, 0), (7, 0.48, 1), (10, 1 / 3, 1), (0, 1, 1), (1, 1, 0)])
def test_other_overlaps(shift: int, overlap: float, expected: float) -> None:
    assert ap([([FACE], [1])], [[(FACE[0] + shift, *FACE[1:], 0.9), NOISE]], overlap=overlap) == expected


@pytest.mark.parametrize("overlap", [0, -0.5, 1.01, math.nan])
def test_overlaps_that_mean_nothing(overlap: float) -> None:
    with pytest.raises(ConfigError, match="overlap must be a number above 0 and at most 1, not "):
        ap([([FACE], [1])], [[(*FACE, 0.9)]], overlap=overlap)


def test_overlap_of_exactly_half_is_enough() -> None:
    """A face of 1 x 2 pixels and a detection of 1 x 1: half with both corners, nothing at all without."""
    assert ap([([(5, 5, 0, 1)], [1])], [[(5, 5, 0, 0, 0.9), NOISE]]) == 1
    assert ap([([(5, 5, 0, 2)], [1])], [[(5, 5, 0, 0, 0.9), NOISE]]) == 0


def test_scores_are_scaled_over_the_whole_set() -> None:
    """A photo's own range does not matter: its surest detection, at 0.5 of the set's range, comes after the other's."""
    photos: list[Photo] = [([FACE], [1]), ([OTHER], [1])]
    found = [[(*FACE, 10.0), (*NOWHERE, 6.0)], [(*OTHER, 5.0), (*NOWHERE, 0.0)]]
    outcome = wider.evaluate(truth_of(photos), [results_of(found)])[1][0]
    assert outcome.values["set0"] == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert [outcome.recall["set0"][t] for t in (0, 498, 499, 999)] == [0.5, 0.5, 1, 1]  # thresholds 0.999, 0.501, 0.5, 0
    assert outcome.precision["set0"][[0, 399, 499, 999]] == pytest.approx([1, 1 / 2, 2 / 3, 2 / 4])


def test_scores_that_are_all_negative() -> None:
    """The search for the highest starts just above 0, so that -1 of -2 .. -1 becomes one half."""
    outcome = wider.evaluate(truth_of([([FACE], [1])]), [results_of([[(*FACE, -1.0), (*NOWHERE, -2.0)]])])[1][0]
    assert [outcome.recall["set0"][t] for t in (0, 498, 499)] == [0, 0, 1]  # thresholds 0.999, 0.501, 0.5


def test_thresholds() -> None:
    assert len(wider.THRESHOLDS) == 1000 and wider.THRESHOLDS[0] == 0.999 and wider.THRESHOLDS[-1] == 0
    assert (np.diff(wider.THRESHOLDS) < 0).all()


def test_a_step_between_thresholds_does_not_show() -> None:
    """Scores 0.9999 and 0.9995 of the range are reached by the same threshold, 0.999: the order between them is lost."""
    assert ap([([FACE], [1])], [[(*NOWHERE, 1.0), (*FACE, 0.9995), NOISE]]) == pytest.approx(0.5)
    assert ap([([FACE], [1])], [[(*FACE, 1.0), (*NOWHERE, 0.9995), NOISE]]) == pytest.approx(0.5)


def test_several_sets_and_detectors() -> None:
    photos: list[Photo] = [([FACE, OTHER], [1]), ([OTHER], [])]
    truth = truth_of(photos, [[1, 2], [1]])
    good = results_of([[(*FACE, 0.9), (*OTHER, 0.8), NOISE], [(*OTHER, 0.7)]], "good")
    bad = results_of([[(*FACE, 0.9), NOISE], [(*NOWHERE, 0.95)]], "bad")
    coverage, outcomes = wider.evaluate(truth, [good, bad])
    assert coverage.is_complete and coverage.names == ("event/0", "event/1") and coverage.counts == (2, 2)
    assert [[each.values[name] for name in truth.sets] for each in outcomes] == [[1, 1], [0.5, pytest.approx(1 / 6)]]
    assert [outcomes[0].faces[name] for name in truth.sets] == [1, 3]


# ---- against the plain implementation

coordinates = st.integers(0, 30)
sides = st.integers(0, 12)
scores = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(-3, 3, width=32), st.floats(0, 1))
boxes = st.tuples(coordinates, coordinates, sides, sides)
rows_of_a_photo = st.lists(st.tuples(coordinates, coordinates, sides, sides, scores), max_size=12)


@st.composite
def a_set(draw: Any) -> tuple[list[Photo], list[list[tuple[float, ...]]]]:
    photos: list[Photo] = []
    found = []
    for _ in range(draw(st.integers(1, 4))):
        faces = draw(st.lists(boxes, max_size=5))
        kept = [index + 1 for index in range(len(faces)) if draw(st.booleans())]
        photos.append((faces, kept))
        near = [(x + draw(st.integers(-3, 3)), y, w, h, draw(scores)) for x, y, w, h in faces]
        found.append([*near, *draw(rows_of_a_photo)])
    return photos, found


@given(a_set())
@settings(max_examples=60, deadline=None)
def test_agrees_with_the_plain_implementation(case: tuple[list[Photo], list[list[tuple[float, ...]]]]) -> None:
    assert_same(*case)


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_plain_implementation_on_crowds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    photos: list[Photo] = []
    found = []
    for _ in range(12):
        count = int(rng.integers(0, 30))
        faces = np.hstack([rng.uniform(0, 300, (count, 2)), rng.uniform(5, 60, (count, 2))])
        photos.append((faces.tolist(), (np.flatnonzero(rng.random(count) < 0.6) + 1).tolist()))
        hits = np.repeat(faces, 2, axis=0) + rng.normal(0, 4, (2 * count, 4))
        noise = np.hstack([rng.uniform(0, 300, (20, 2)), rng.uniform(5, 60, (20, 2))])
        whole = np.vstack([hits, noise])
        whole[:, 2:] = np.abs(whole[:, 2:])
        found.append(np.hstack([whole, np.round(rng.beta(2, 2, (len(whole), 1)), 4)]).tolist())
    assert_same(photos, found)


def assert_same(photos: Sequence[Photo], found: Sequence[Rows]) -> None:
    outcome = wider.evaluate(truth_of(photos), [results_of(found)])[1][0]
    if not sum(len(kept) for _, kept in photos):
        assert outcome.values["set0"] is None
        return
    expected, precision, recall = plain_evaluation.wider_ap(photos, found)
    assert outcome.values["set0"] == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(outcome.recall["set0"], recall, atol=1e-9)
    np.testing.assert_allclose(outcome.precision["set0"], np.nan_to_num(precision), atol=1e-9)


# ---- which photos


def test_photos_without_results_are_left_out_for_all_detectors() -> None:
    photos: list[Photo] = [([FACE], [1]), ([OTHER], [1]), ([FACE], [1])]
    whole = results_of([[(*FACE, 0.9), NOISE], [], [(*FACE, 0.8)]], "whole")
    part = results_of([[(*FACE, 0.9), NOISE], None, [(*FACE, 0.8)]], "part")
    coverage, outcomes = wider.evaluate(truth_of(photos), [whole, part])
    assert coverage.names == ("event/0", "event/2") and not coverage.is_complete and coverage.counts == (3, 2)
    assert coverage.sentence() == "2 of 3 photos"
    assert [each.values["set0"] for each in outcomes] == [1, 1]
    assert part.problems.found == {MISSING: ["part: event/1"]} and not whole.problems
    coverage, outcomes = wider.evaluate(truth_of(photos), [whole, part], missing="no-faces")
    assert coverage.is_complete and coverage.sentence() == "all 3 photos"
    assert [each.values["set0"] for each in outcomes] == [pytest.approx(2 / 3)] * 2


def test_damaged_results_are_never_taken_as_no_faces() -> None:
    results = results_of([[(*FACE, 0.9), NOISE], None])
    results.unusable.add("event/1")
    coverage, _ = wider.evaluate(truth_of([([FACE], [1]), ([FACE], [1])]), [results], missing="no-faces")
    assert coverage.names == ("event/0",) and not coverage.is_complete


def test_no_photo_left() -> None:
    with pytest.raises(DataError, match="none of the 1 photos, such as event/0, has usable results from mine"):
        wider.evaluate(truth_of([([FACE], [1])]), [Results("mine", {})])
    with pytest.raises(ConfigError, match="missing must be leave-out or no-faces, not 'x'"):
        wider.evaluate(truth_of([([FACE], [1])]), [Results("mine", {})], missing="x")  # type: ignore[arg-type]


# ---- intervals


def test_resampling_is_paired_and_repeatable() -> None:
    rng = np.random.default_rng(0)
    photos: list[Photo] = [([FACE, OTHER], [1, 2])] * 30
    found = [[(*FACE, rng.random()), (*NOWHERE, rng.random())] for _ in photos]
    truth = truth_of(photos)
    first, second = wider.evaluate(truth, [results_of(found), results_of(found, "same")], resamples=200)[1]
    one, two, value, bounds = first.samples["set0"], second.samples["set0"], first.values["set0"], first.intervals["set0"]
    np.testing.assert_array_equal(one, two)
    assert len(one) == 200 and bounds is not None and value is not None
    assert bounds[0] < value < bounds[1] <= 0.5
    again = wider.evaluate(truth, [results_of(found)], resamples=200)[1][0]
    np.testing.assert_array_equal(again.samples["set0"], one)


def test_a_resample_is_the_measure_of_its_photos() -> None:
    rng = np.random.default_rng(1)
    photos: list[Photo] = [([FACE, OTHER], [1, 2])] * 6
    found = [[(*FACE, 1 - rng.random()), (*NOWHERE, rng.random()), (*OTHER, rng.random())] for _ in photos]
    found[0] += [NOISE, (*NOWHERE, 1.0)]  # scores span 0..1 in every resample that has the first photo
    sample = wider.evaluate(truth_of(photos), [results_of(found)], resamples=5)[1][0].samples["set0"]
    checked = 0
    for weights, value in zip(resample(6, 5), sample):
        if weights[0]:
            rows = np.repeat(np.arange(6), weights.astype(int))
            expected = ap([photos[row] for row in rows], [found[row] for row in rows])
            assert value == pytest.approx(expected, abs=1e-6)
            checked += 1
    assert checked


# ---- ground truth


NONE = np.zeros((0, 0))
EVENTS = {
    "0--Parade": {
        "0_Parade_a_1": (np.array([[200, 250, 100, 60], [5, 6, 7, 8]], np.uint8),  # x + width beyond uint8
                         {"easy": np.array([[1]], np.uint8), "medium": np.array([[1]], np.uint8),
                          "hard": np.array([[1], [2]], np.uint8)}),
        "0_Parade_b_2": (np.array([[1.5, 2.5, 3, 4]]), {"easy": NONE, "medium": NONE, "hard": np.array([[1.0]])}),
    },
    "9--Press": {"9_Press_c_3": (NONE, {"easy": NONE, "medium": NONE, "hard": NONE})},
}  # fmt: skip


def test_published_structure(tmp_path: Path) -> None:
    pytest.importorskip("scipy.io")
    write_mat(tmp_path, EVENTS)
    truth = read_mat(tmp_path)
    assert truth.names == ("0--Parade/0_Parade_a_1", "0--Parade/0_Parade_b_2", "9--Press/9_Press_c_3")
    assert truth.sets == ("easy", "medium", "hard") and truth.total == 3
    np.testing.assert_array_equal(truth.photos[0].boxes, [[200, 250, 300, 310], [5, 6, 12, 14]])
    assert truth.photos[0].counts.tolist() == [[True, False], [True, False], [True, True]]
    np.testing.assert_array_equal(truth.photos[1].boxes, [[1.5, 2.5, 4.5, 6.5]])
    assert truth.photos[1].counts.tolist() == [[False], [False], [True]]
    assert truth.photos[2].boxes.shape == (0, 4) and truth.photos[2].counts.shape == (3, 0)
    assert truth.remarks == ("the ground truth holds 3 photos and the published one 3,226",)


def test_figures_from_the_published_structure(tmp_path: Path) -> None:
    write_mat(tmp_path, EVENTS)
    truth = read_mat(tmp_path)
    found = {
        "0--Parade/0_Parade_a_1": Detections.of_boxes([[200, 250, 300, 310], [400, 1, 420, 20]], [0.9, 0.0]),
        "0--Parade/0_Parade_b_2": Detections.of_boxes([[1.5, 2.5, 4.5, 6.5]], [0.5]),
        "9--Press/9_Press_c_3": Detections.of_boxes([[0, 0, 9, 9]], [0.95]),
    }
    coverage, (outcome,) = wider.evaluate(truth, [Results("mine", found)])
    assert not coverage.is_complete and coverage.sentence().startswith("all 3 photos; the ground truth holds 3 photos")
    assert outcome.values == {"easy": 1, "medium": 1, "hard": pytest.approx(2 / 3)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event_list": cell(["0--Parade"])}, "expected 1 events in every list of the ground truth, got 2, 2, 2, 2, 2"),
        ({"file_list": cell([cell(["one"]), cell(["two"])])}, "expected as many photos of event 0--Parade in every list"),
        ({"event_list": np.arange(2)}, "event_list: expected a cell array"),
        ({"event_list": cell([1, 2])}, "event_list: expected text"),
        ({"file_list": cell([cell(["x", "x"]), cell(["y"])])}, "expected each photo once"),
        (
            {"face_bbx_list": cell([cell([np.zeros((2, 3)), NONE]), cell([NONE])])},
            "expected N x 4 boxes of 0--Parade/0_Parade_a_1",
        ),
        ({"face_bbx_list": cell([cell([np.full((2, 4), np.nan), NONE]), cell([NONE])])}, "expected finite numbers"),
        ({"face_bbx_list": cell([cell([np.zeros((1, 4)), NONE]), cell([NONE])])}, "expected different indices from 1 to 1"),
    ],
)
def test_malformed_ground_truth(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_mat(tmp_path, EVENTS, **change)
    with pytest.raises(DataError, match=message):
        read_mat(tmp_path)


def test_missing_and_damaged_ground_truth(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"wider_face_val.mat does not exist: expected WIDER FACE's ground truth"):
        read_mat(tmp_path)
    write_mat(tmp_path, EVENTS)
    (tmp_path / "wider_hard_val.mat").write_bytes(b"not a mat file")
    with pytest.raises(DataError, match=r"wider_hard_val.mat cannot be read as a MATLAB file"):
        read_mat(tmp_path)
    pytest.importorskip("scipy.io").savemat(tmp_path / "wider_hard_val.mat", {"other": 1})
    with pytest.raises(DataError, match=r"wider_hard_val.mat: expected gt_list, got other"):
        read_mat(tmp_path)


def test_without_scipy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ConfigError, match=r"reading .mat files needs scipy .*pip install scipy matplotlib"):
        read_mat(tmp_path)


LIST = """\
a/one.jpg
4
10 20 30 50 0 0 0 0 0 0
10 20 30 49.5 0 0 0 0 0 0
10 20 30 60 0 0 0 1 0 0
10 20 0 60 0 0 0 0 0 0
none.jpg
0
"""


def test_sets_by_height(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(LIST)
    truth = from_annotations(read_annotations(path), "list.txt")
    assert truth.sets == ("height_50", "height_30", "height_10") and truth.names == ("a/one.jpg", "none.jpg")
    assert truth.photos[0].counts.tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, False, False],
    ]
    assert truth.photos[1].counts.shape == (3, 0)
    assert from_annotations(read_annotations(path), "", (12.5,)).sets == ("height_12.5",)
    for heights in ((), (0,), (10, 10), (math.nan,)):
        with pytest.raises(ConfigError, match="heights must be "):
            WiderOptions(annotations="list.txt", heights=heights, detectors=Detectors(results=("r",)))
