"""Faces that are followed: one number for one face, through crossings and gaps, and coordinates that do not jitter."""

import sys

import numpy as np
import pytest

from mtcnn_gluon import Faces
from mtcnn_gluon.detection.tracking import MEMORY, Tracker, can_track
from mtcnn_gluon.errors import ConfigError

SHAPE = (10_000, 10_000, 3)
needs_tracker = pytest.mark.skipif(not can_track(), reason="needs the tracker: pip install edgefirst-tracker==0.38.0")


def squares(*centres: tuple[float, float], side: float = 100) -> Faces:
    centre = np.array(centres, float).reshape(-1, 2)
    boxes = np.hstack([centre - side / 2, centre + side / 2])
    return Faces(boxes, np.full(len(boxes), 0.9), np.repeat(centre[:, None], 5, axis=1))


def follow(frames: list[Faces], rate: float = 25, step: float = 0.0) -> list[list[int]]:
    """The numbers of the faces in every frame."""
    tracker = Tracker(step)
    return [np.asarray(tracker.update(faces, i / rate, SHAPE).ids).tolist() for i, faces in enumerate(frames)]


@needs_tracker
@pytest.mark.parametrize(
    "frames, expected",
    [
        ([], []),
        ([squares()], [[]]),
        ([squares((500, 500))], [[1]]),
        ([squares((500, 500)), squares(), squares((501, 500))], [[1], [], [1]]),
        ([squares((500, 500)), squares((900, 900))], [[1], [2]]),
        ([squares((500, 500), (900, 500)), squares((900, 500), (500, 500))], [[1, 2], [2, 1]]),
        ([squares((0, 0)), squares((5, 0))], [[1], [1]]),  # at the border of the frame
        ([squares((500, 500), side=1), squares((500.1, 500), side=1)], [[1], [1]]),
        ([squares((500, 500)), squares((500, 500), (500, 500))], [[1], [2, 1]]),  # two at the same place
    ],
    ids=range(9),
)
def test_numbers(frames: list[Faces], expected: list[list[int]]) -> None:
    assert follow(frames) == expected


@needs_tracker
@pytest.mark.parametrize("speed", [1.5, 3, 6, 12, 24])
@pytest.mark.parametrize("lost", [0.0, 0.1, 0.3])
def test_faces_that_cross(speed: float, lost: float) -> None:
    """One passes in front of another, which is not found meanwhile; and every face is missed now and then."""
    generator = np.random.default_rng(0)
    numbers: dict[int, set[int]] = {0: set(), 1: set()}
    tracker = Tracker()
    for i in range(250):
        at = speed * i, speed * (249 - i)
        shown = [k for k in (0, 1) if (k == 0 or abs(at[0] - at[1]) > 60) and generator.random() >= lost]
        centres = [(200 + at[k] + generator.normal(0, 1.5), 500 + 30 * k + generator.normal(0, 1.5)) for k in shown]
        faces = tracker.update(squares(*centres), i / 25, SHAPE)
        for k, number in zip(shown, np.asarray(faces.ids)):
            numbers[k].add(int(number))
    assert sorted(map(list, numbers.values())) == [[1], [2]]


@needs_tracker
@pytest.mark.parametrize("away, expected", [(0.1, 1), (MEMORY - 0.1, 1), (MEMORY + 0.2, 2)])
def test_a_face_that_comes_back(away: float, expected: int) -> None:
    tracker = Tracker()
    for i in range(25):
        tracker.update(squares((500, 500)), i / 25, SHAPE)
    tracker.update(squares(), 1, SHAPE)
    assert np.asarray(tracker.update(squares((520, 500)), 0.96 + away, SHAPE).ids).tolist() == [expected]


@needs_tracker
def test_few_frames_a_second_are_remembered_longer() -> None:
    assert follow([squares((500, 500))] * 4, rate=0.5, step=2.0) == [[1]] * 4
    assert follow([squares((500, 500))] * 3, rate=0.4) == [[1], [2], [3]]


@needs_tracker
def test_a_face_that_shrinks_before_it_is_hidden() -> None:
    """As a face does of which another one covers more and more: the tracker itself expects a very small one behind it."""
    tracker, ids = Tracker(), set()
    for i in range(120):
        x = 500 + 2 * i
        covered = min(40, max(0, 4 * (i - 50)))
        if not 60 <= i < 95:
            covered = 0 if i >= 95 else covered
            faces = Faces([[x - 40, 400, x + 40 - covered, 500]], [0.9], None)
            ids |= set(np.asarray(tracker.update(faces, i / 25, SHAPE).ids).tolist())
        else:
            tracker.update(Faces.empty(False), i / 25, SHAPE)
    assert ids == {1}


@needs_tracker
@pytest.mark.parametrize("speed, lag", [(0, 0), (1, 2), (10, 6)])
def test_steady(speed: float, lag: float) -> None:
    """A still face jitters less than half as much; a moving one is at most a few pixels behind."""
    generator = np.random.default_rng(0)
    tracker, before, after = Tracker(), [], []
    for i in range(150):
        noise = generator.normal(0, 1.5, 2)
        given = squares((500 + speed * i + noise[0], 500 + noise[1]))
        faces = tracker.update(given, i / 25, SHAPE)
        before.append(given.boxes[0, 0] - (450 + speed * i))
        after.append(faces.boxes[0, 0] - (450 + speed * i))
        np.testing.assert_allclose(np.asarray(faces.landmarks)[0, 0], faces.boxes[0].reshape(2, 2).mean(axis=0), atol=0.01)
    assert abs(np.mean(after[25:])) <= lag + 0.3
    if speed == 0:
        assert np.abs(np.diff(after)).mean() < 0.5 * np.abs(np.diff(before)).mean()


@needs_tracker
def test_what_it_keeps() -> None:
    """Scores and the order stay, boxes remain in the frame, and the arguments are not changed."""
    tracker = Tracker()
    given = Faces([[-0.0, 0, 50, 50], [60, 10, 100, 60]], [0.9, 0.8], None, rotation=90)
    tracker.update(given, 0, (60, 100, 3))
    faces = tracker.update(given, 0.04, (60, 100, 3))
    assert faces.landmarks is None and faces.rotation == 90 and given.ids is None
    np.testing.assert_array_equal(faces.scores, given.scores)
    assert faces.boxes.min() >= 0 and (faces.boxes[:, 2:] <= (100, 60)).all()
    assert faces[1].to_dicts()[0]["id"] == 2 and np.asarray(faces.ids).dtype == np.int64


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "edgefirst", None)
    monkeypatch.setitem(sys.modules, "edgefirst.tracker", None)
    with pytest.raises(ConfigError, match="tracking faces needs edgefirst .*: run pip install "):
        Tracker()
    assert not can_track()
