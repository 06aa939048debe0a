"""Which frames of a video the detector looks at, and what the others get."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator

import numpy as np
import pytest

from mtcnn_gluon import Detector, Faces
from mtcnn_gluon.detection import video as detection_video
from mtcnn_gluon.detection.options import VideoOptions
from mtcnn_gluon.detection.tracking import can_track
from mtcnn_gluon.detection.video import between, find_in_video
from mtcnn_gluon.errors import ConfigError, ImageError
from mtcnn_gluon.io.video import Frame

needs_tracker = pytest.mark.skipif(not can_track(), reason="needs the tracker: pip install edgefirst-tracker==0.38.0")


class FakeVideo:
    rate = 25.0
    is_camera = False

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.count):
            image = np.full((400, 400, 3), index, np.uint8)  # tells its number
            yield Frame(image, index, index / 25)


class DamagedVideo(FakeVideo):
    def __iter__(self) -> Iterator[Frame]:
        yield from super().__iter__()
        raise ImageError("damaged")


class FakeDetector:
    """A face moves by two pixels a frame; a second one is there from frame 10 on. The detector turns images by 90 degrees."""

    def __init__(self, rotate: str = "0", empty: int = 0, frames_at_once: int = 1) -> None:
        self.rotate, self.empty, self.asked = rotate, empty, list[tuple[int, str]]()
        self.engine = SimpleNamespace(frames_at_once=frames_at_once, batch_pixels=1_000_000)
        self.batches: list[int] = []

    def detect_batch(self, images: list[np.ndarray], batch_size: int) -> list[Faces]:
        assert len(images) == batch_size
        self.batches.append(batch_size)
        return [self._faces(image) for image in images]

    def detect(self, image: np.ndarray) -> Faces:
        self.batches.append(1)
        return self._faces(image)

    def _faces(self, image: np.ndarray) -> Faces:
        index = int(image[0, 0, 0])
        self.asked.append((index, self.rotate))
        if index < self.empty:
            return Faces.empty(False)
        boxes = [[2 * index, 10, 2 * index + 50, 60], [200, 200, 250, 250]][: 1 + (index >= 10)]
        return Faces(boxes, [0.9, 0.8][: len(boxes)], None, rotation=90 if self.rotate == "auto" else int(self.rotate))

    def with_rotation(self, rotation: int) -> "FakeDetector":
        other = copy.copy(self)  # with the same list
        other.rotate = str(rotation)
        return other


def find(count: int, every: int = 1, detector: FakeDetector | None = None, track: bool | None = None) -> list[Any]:
    video: Any = FakeVideo(count)
    return list(find_in_video(video, detector or FakeDetector(), VideoOptions(every, track)))  # type: ignore[arg-type]


@needs_tracker
@pytest.mark.parametrize(
    "count, every, asked",
    [
        (0, 3, []), (1, 1, [0]), (1, 5, [0]), (2, 5, [0, 1]), (4, 1, [0, 1, 2, 3]), (7, 3, [0, 3, 6]), (8, 3, [0, 3, 6, 7]),
        (9, 3, [0, 3, 6, 8]), (6, 30, [0, 5]), (30, 20, [0, 20, 29]),
    ],
)  # fmt: skip
def test_frames_that_are_looked_at(count: int, every: int, asked: list[int]) -> None:
    detector = FakeDetector()
    found = find(count, every, detector)
    assert [index for index, _ in detector.asked] == asked
    assert [frame.index for frame, _ in found] == [int(frame.image[0, 0, 0]) for frame, _ in found] == list(range(count))
    for frame, faces in found:
        assert np.asarray(faces.ids)[0] == 1 and abs(faces.boxes[0, 0] - 2 * frame.index) < 6  # the filter lags a little


@needs_tracker
def test_a_face_that_comes_between_two_looks_is_there_from_the_first_on() -> None:
    counts = [len(faces) for _, faces in find(13, 4)]
    assert counts == [1] * 9 + [2] * 4  # frames 0, 4, 8 and 12 are looked at


def test_without_tracking_faces_are_as_the_detector_gives_them() -> None:
    for frame, faces in find(12, track=False):
        assert faces.ids is None and faces.boxes[0, 0] == 2 * frame.index


def test_where_the_tracker_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection_video, "can_track", lambda: False)
    assert all(faces.ids is None for _, faces in find(2))


@pytest.mark.parametrize("track", [None, True, False])
@needs_tracker
def test_the_first_faces_decide_the_rotation(track: bool | None) -> None:
    detector = FakeDetector("auto", empty=2)
    assert [faces.rotation for _, faces in find(5, detector=detector, track=track)] == [0, 0, 90, 90, 90]
    assert [rotate for _, rotate in detector.asked] == ["auto", "auto", "auto", "90", "90"]


@needs_tracker
def test_faces_that_come_between_two_looks_have_the_rotation_at_which_they_were_found() -> None:
    assert [(len(faces), faces.rotation) for _, faces in find(5, 3, FakeDetector("auto", empty=1))] == [
        (0, 0), (1, 90), (1, 90), (1, 90), (1, 90),
    ]  # fmt: skip


@needs_tracker
@pytest.mark.parametrize("count, every", [(0, 1), (1, 3), (5, 3), (6, 3), (7, 3), (4, 1)])
def test_the_frames_before_a_damage_are_there(count: int, every: int) -> None:
    video: Any = DamagedVideo(count)
    found, detector = list[int](), FakeDetector()
    with pytest.raises(ImageError, match="damaged"):
        for frame, faces in find_in_video(video, detector, VideoOptions(every)):  # type: ignore[arg-type]
            found.append(frame.index)
            assert len(faces) == 1
    assert found == list(range(count)) and (not count or detector.asked[-1][0] == count - 1)


@needs_tracker
@pytest.mark.parametrize(
    "at_once, every, batches",
    [
        (1, 1, [1] * 13), (4, 1, [4, 4, 4, 1]), (100, 1, [6, 6, 1]), (4, 2, [2, 2, 2, 1]), (8, 2, [4, 3]), (4, 5, [1, 1, 1, 1]),
        (20, 5, [4]),
    ],
)  # fmt: skip
def test_frames_that_are_looked_at_together(at_once: int, every: int, batches: list[int]) -> None:
    """As many as the engine wants, but no more than a batch may have pixels, nor in memory; the faces are the same."""
    detector = FakeDetector(frames_at_once=at_once)
    found, alone = find(13, every, detector), find(13, every)
    assert detector.batches == batches
    for (frame, faces), (other, expected) in zip(found, alone, strict=True):
        assert frame.index == other.index
        np.testing.assert_array_equal(faces.boxes, expected.boxes)
        np.testing.assert_array_equal(faces.ids, expected.ids)


@needs_tracker
def test_a_camera_and_an_unknown_rotation_are_looked_at_frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = FakeDetector("auto", empty=2, frames_at_once=4)
    assert [faces.rotation for _, faces in find(9, detector=detector)] == [0, 0, *[90] * 7]
    assert detector.batches == [1, 1, 1, 4, 2]
    monkeypatch.setattr(FakeVideo, "is_camera", True)
    find(5, detector=(camera := FakeDetector(frames_at_once=4)))
    assert camera.batches == [1] * 5


def faces_of(*rows: tuple[int, float, float]) -> Faces:
    """From id, left side and score."""
    points = np.array([np.full((5, 2), x) for _, x, _ in rows]).reshape(-1, 5, 2)
    boxes = np.array([[x, 0, x + 10, 10] for _, x, _ in rows]).reshape(-1, 4)
    return Faces(boxes, [score for *_, score in rows], points, np.array([number for number, *_ in rows]), 270)


@pytest.mark.parametrize(
    "before, after, share, expected",
    [
        ([], [], 0.5, []),
        ([(1, 0, 0.9)], [], 0.5, [(1, 0, 0.9)]),
        ([], [(1, 0, 0.9)], 0.1, [(1, 0, 0.9)]),
        ([(1, 0, 0.5)], [(1, 10, 0.9)], 0.0, [(1, 0, 0.5)]),
        ([(1, 0, 0.5)], [(1, 10, 0.9)], 0.25, [(1, 2.5, 0.6)]),
        ([(1, 0, 0.5)], [(1, 10, 0.9)], 1.0, [(1, 10, 0.9)]),
        ([(1, 0, 0.9), (2, 50, 0.5)], [(2, 60, 0.95), (1, 0, 0.65)], 0.5, [(1, 0, 0.775), (2, 55, 0.725)]),
        ([(1, 0, 0.9), (2, 50, 0.5)], [(3, 9, 0.7), (2, 60, 0.95)], 0.5, [(1, 0, 0.9), (2, 55, 0.725), (3, 9, 0.7)]),
    ],
)
def test_between(before: list[Any], after: list[Any], share: float, expected: list[Any]) -> None:
    faces, wanted = between(faces_of(*before), faces_of(*after), share), faces_of(*expected)
    for name in ("boxes", "scores", "landmarks", "ids"):
        np.testing.assert_allclose(getattr(faces, name), getattr(wanted, name), atol=1e-5)
    assert faces.rotation == 270


@pytest.mark.parametrize(
    "options, message",
    [
        ({"every": 0}, "every must be a whole number from 1 to 30, not 0"), ({"every": 31}, "every must be .*, not 31"),
        ({"every": 1.5}, "every must be"), ({"every": True}, "every must be"), ({"track": 1}, "track must be"),
        ({"every": 2, "track": False}, "every needs track"),
    ],
)  # fmt: skip
def test_bad_options_are_said_at_once(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        Detector("gluon-4").detect_video(tmp_path / "missing.mp4", **options)
