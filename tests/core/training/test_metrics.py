"""Figures of a net from its outputs, against values worked out by hand."""

from typing import Any

import numpy as np
import pytest

from mtcnn_gluon.records.samples import Column, Kind
from mtcnn_gluon.training.metrics import Tally

NAN = float("nan")
NAMES = ("positive_accuracy", "negative_accuracy", "recall", "box_error", "landmark_error")


def add(tally: Tally, margins: list[float], kinds: list[int], **others: Any) -> None:
    """Samples whose outputs are zero but for the margin of the classes; `others` replaces what is not."""
    n = len(margins)
    given = {"offsets": np.zeros((n, 4)), "landmarks": np.zeros((n, 10)), "iou": np.zeros(n)}  # as a label has them
    given |= {"has_box": np.zeros(n), "has_landmarks": np.zeros(n)}
    given |= {name: np.asarray(value, float) for name, value in others.items()}
    logits = np.column_stack([np.full(n, 5.0), 5 + np.array(margins, float)])
    tally.add(np.column_stack([logits, np.zeros((n, 14))]), np.column_stack([kinds, *given.values()]))


@pytest.mark.parametrize(
    "margins, kinds, expected",
    [
        ([1, -1, 2, 3], [1, 1, 1, 1], (0.75, NAN, NAN)),
        ([1, -1, -2, -3], [0, 0, 0, 0], (NAN, 0.75, NAN)),
        ([0, 0], [1, 0], (0, 1, 0)),  # a tie is background
        ([3, 1, 2], [1, 1, 0], (1, 0, 0.5)),
        ([9, -9, 9, -9], [-1, -1, -2, -2], (NAN, NAN, NAN)),  # parts and landmarks are no classes
        ([5, -5], [1, 0], (1, 1, 1)),
    ],
)
def test_classes(margins: list[float], kinds: list[int], expected: tuple[float, ...]) -> None:
    tally = Tally()
    add(tally, margins, kinds)
    assert [tally.figures()[name] for name in NAMES] == pytest.approx([*expected, NAN, NAN], nan_ok=True)


def test_nothing_at_all() -> None:
    assert list(Tally().figures()) == list(NAMES)
    assert np.isnan(list(Tally().figures().values())).all()


def test_recall_is_at_one_false_positive_in_a_hundred() -> None:
    tally = Tally()
    negatives = np.arange(1001) / 1000  # the 99th percentile is 0.99
    add(tally, [*negatives, 0.985, 0.995, 2, -1], [Kind.NEGATIVE] * 1001 + [Kind.POSITIVE] * 4)
    assert tally.figures()["recall"] == 0.5


def test_box_error_is_the_mean_absolute_offset() -> None:
    tally = Tally()
    offsets = [[0.1, -0.2, 0.3, -0.4], [1, 1, 1, 1], [9, 9, 9, 9]]
    add(tally, [0, 0, 0], [Kind.PART] * 3, offsets=offsets, has_box=[1, 1, 0])
    assert tally.figures()["box_error"] == pytest.approx((0.25 + 1) / 2)


def test_landmark_error_is_the_mean_distance() -> None:
    tally = Tally()
    add(tally, [0, 0], [Kind.LANDMARK, Kind.PART], landmarks=[[0.3, 0.4] * 5, [9] * 10], has_landmarks=[1, 0])
    assert tally.figures()["landmark_error"] == pytest.approx(0.5)


@pytest.mark.parametrize("listed, expected", [(False, (0.5 + 1) / 2), (True, 0.5)])
def test_landmarks_of_listed_samples_alone(listed: bool, expected: float) -> None:
    tally = Tally(listed)
    landmarks = [[0.3, 0.4] * 5, [0.6, 0.8] * 5, [9] * 10]
    add(tally, [0, 0, 0], [Kind.LANDMARK, Kind.POSITIVE, Kind.LANDMARK], landmarks=landmarks, has_landmarks=[1, 1, 0])
    assert tally.figures()["landmark_error"] == pytest.approx(expected)


def test_batches_add_up() -> None:
    generator = np.random.default_rng(0)
    margins, kinds = generator.normal(size=90), generator.choice([1, 0, -1, -2], 90)
    others = {
        "offsets": generator.normal(size=(90, 4)), "landmarks": generator.random((90, 10)),
        "has_box": np.abs(kinds) == 1, "has_landmarks": kinds == -2,
    }  # fmt: skip
    whole, parts = Tally(), Tally()
    add(whole, margins, kinds, **others)
    for start, stop in ((0, 1), (1, 50), (50, 50), (50, 90)):
        rows = slice(start, stop)
        add(parts, margins[rows], kinds[rows], **{name: value[rows] for name, value in others.items()})
    assert parts.figures() == pytest.approx(whole.figures())


def test_a_net_without_landmarks() -> None:
    tally = Tally()
    labels = np.column_stack([[1, -2], np.zeros((2, 4)), np.ones((2, 13))])
    tally.add(np.column_stack([np.zeros((2, 2)), np.ones((2, 4))]), labels)
    assert tally.figures()["box_error"] == 1 and np.isnan(tally.figures()["landmark_error"])


def test_labels_may_be_overwritten_once_they_are_added() -> None:
    """Batches take turns in the same memory."""
    tally, labels = Tally(), np.zeros((4, 18), np.float32)
    labels[:, Column.KIND], labels[:, Column.OFFSETS], labels[:, Column.HAS_BOX] = Kind.PART, 1, 1
    tally.add(np.zeros((4, 16), np.float32), labels)
    labels[:] = 0
    assert tally.figures()["box_error"] == pytest.approx(1) and np.isnan(tally.figures()["recall"])
