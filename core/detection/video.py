"""Faces in every frame of a video: followed from frame to frame, and filled in where the detector did not look."""

from dataclasses import replace
from typing import TYPE_CHECKING, Generator, Iterator, Sequence

import numpy as np

from mtcnn_gluon.detection.options import VideoOptions
from mtcnn_gluon.detection.tracking import Tracker, can_track
from mtcnn_gluon.errors import ConfigError, ImageError
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
    damage: ImageError | None = None
    try:
        for frame in video:
            waiting.append(frame)
            if sum(look.is_due(each) for each in waiting) == look.at_once(frame):
                before = yield from _given(before, waiting, look)
                waiting = []
    except ImageError as error:  # the frames before the damage have their faces too
        damage = error
    if waiting:
        yield from _given(before, waiting, look)
    if damage is not None:
        raise damage


class _Looks:
    """The detector with the memory that a video needs."""

    def __init__(self, video: Video, detector: "Detector", options: VideoOptions) -> None:
        self._detector, self._every, self._is_camera = detector, options.every, video.is_camera
        self._tracker = make_tracker(options, video.rate)

    def is_due(self, frame: Frame) -> bool:
        """Whether the detector looks at a frame, wherever the video ends."""
        return frame.index % self._every == 0

    def at_once(self, frame: Frame) -> int:
        """Number of frames like this one to detect together; one of a camera, whose faces are wanted at once."""
        if self._is_camera or self._detector.rotate == "auto":
            return 1
        engine = self._detector.engine
        return max(1, min(engine.frames_at_once // self._every, engine.batch_pixels * 3 // frame.image.size))

    def __call__(self, frames: Sequence[Frame]) -> list[Faces]:
        """The faces in frames that follow one another."""
        if len(frames) == 1:
            found = [self._detector.detect(frames[0].image)]
        else:
            found = self._detector.detect_batch([frame.image for frame in frames], len(frames))
        for faces in found:
            if len(faces) and self._detector.rotate == "auto":  # the first faces decide for the whole video
                self._detector = self._detector.with_rotation(faces.rotation)
        if self._tracker is None:
            return found
        return [self._tracker.update(faces, frame.time, frame.image.shape) for faces, frame in zip(found, frames)]


def _given(before: Found | None, frames: Sequence[Frame], look: _Looks) -> Generator[Found, None, Found | None]:
    """The next frames with their faces; the detector looks at those that are due and at the last one, which is returned."""
    looked = [frame for frame in frames if look.is_due(frame) or frame is frames[-1]]
    found, waiting = dict(zip((frame.index for frame in looked), look(looked))), list[Frame]()
    for frame in frames:
        if frame.index in found:
            before = yield from _with_those_between(before, waiting, (frame, found[frame.index]))
            waiting = []
        else:
            waiting.append(frame)
    return before


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
        (before if len(before) else after).rotation,  # without a face it may not be known yet
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
