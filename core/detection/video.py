"""Faces in every frame of a video: followed from frame to frame, and filled in where the detector did not look."""

from dataclasses import replace
from typing import TYPE_CHECKING, Generator, Iterator, Sequence

import numpy as np

from mtcnn_gluon.detection.options import VideoOptions
from mtcnn_gluon.detection.tracking import Tracker, can_track
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.io.video import Frame, Video

if TYPE_CHECKING:
    from mtcnn_gluon.detection.detector import Detector

Found = tuple[Frame, Faces]


def make_tracker(options: VideoOptions, rate: float) -> Tracker | None:
    """The tracker for a video of `rate` frames a second, or None if the options ask for none.

    Raises:
        ConfigError: if they ask for one that is not installed, or look at few frames without one.
    """
    if options.every > 1 and options.track is False:
        raise ConfigError("every needs track: the frames between get their faces by their ids")
    is_wanted = can_track() if options.track is None and options.every == 1 else options.track is not False
    return Tracker(options.every / rate) if is_wanted else None


def find_in_video(video: Video, detector: "Detector", options: VideoOptions) -> Iterator[Found]:
    """Every frame of a video with its faces, in order. See `Detector.detect_video`."""
    look = _Looks(video, detector, options)
    waiting: list[Frame] = []
    before: Found | None = None
    for frame in video:
        if frame.index % options.every:
            waiting.append(frame)
            continue
        before = yield from _with_those_between(before, waiting, (frame, look(frame)))
        waiting = []
    if waiting:
        last = waiting.pop()
        yield from _with_those_between(before, waiting, (last, look(last)))


class _Looks:
    """The detector with the memory that a video needs."""

    def __init__(self, video: Video, detector: "Detector", options: VideoOptions) -> None:
        self._detector = detector
        self._tracker = make_tracker(options, video.rate)

    def __call__(self, frame: Frame) -> Faces:
        faces = self._detector.detect(frame.image)
        if len(faces) and self._detector.rotate == "auto":  # the first faces decide for the whole video
            self._detector = self._detector.with_rotation(faces.rotation)
        return faces if self._tracker is None else self._tracker.update(faces, frame.time, frame.image.shape)


def _with_those_between(before: Found | None, waiting: Sequence[Frame], after: Found) -> Generator[Found, None, Found]:
    """The frames between two that were looked at, and the second of these, which is also returned."""
    for frame in waiting:
        assert before is not None  # the first frame is looked at
        passed, whole = frame.time - before[0].time, after[0].time - before[0].time
        yield frame, between(before[1], after[1], passed / whole if whole > 0 else 0.0)
    yield after
    return after


def between(before: Faces, after: Faces, share: float) -> Faces:
    """The faces at a moment between two others, best score first.

    A face in both moves in a straight line. One that only one of them has stands still: when it came or went is not known.

    Args:
        before, after: the faces at the two moments, with ids.
        share: of the time between them that has passed, in 0..1.
    """
    assert before.ids is not None and after.ids is not None
    of_before = np.array([row for row, number in enumerate(before.ids) if number in after.ids], np.intp)
    of_after = np.array([int(np.flatnonzero(after.ids == number)[0]) for number in before.ids[of_before]], np.intp)
    moved = _mixed(before[of_before], after[of_after], share)
    gone, new = before[~np.isin(before.ids, after.ids)], after[~np.isin(after.ids, before.ids)]
    every = [moved, gone, new]
    has_landmarks = before.landmarks is not None
    joined = Faces(
        np.concatenate([faces.boxes for faces in every]),
        np.concatenate([faces.scores for faces in every]),
        np.concatenate([np.asarray(faces.landmarks) for faces in every]) if has_landmarks else None,
        np.concatenate([np.asarray(faces.ids) for faces in every]),
        before.rotation,
    )
    return joined[np.argsort(-joined.scores, kind="stable")]


def _mixed(before: Faces, after: Faces, share: float) -> Faces:
    """The weighted means of the same faces at two moments."""

    def mix(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (1 - share) * one + share * other

    landmarks = None
    if before.landmarks is not None and after.landmarks is not None:
        landmarks = mix(before.landmarks, after.landmarks)
    return replace(before, boxes=mix(before.boxes, after.boxes), scores=mix(before.scores, after.scores), landmarks=landmarks)
