"""Following faces through the frames of a video: the same number for the same face, and coordinates without jitter."""

import importlib.util
import math
from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np

from mtcnn_gluon.faces import Faces
from mtcnn_gluon.io.extras import need

MEMORY = 2.0  # seconds for which a face that is not found keeps its number
OVERLAP = 0.1  # smallest intersection over union of a face and of the place where it is expected
RECENT = 1.0  # seconds over which the motion of a face is measured
REACH = 1.0  # a face that comes back may be so many of its sides away from where it is expected
# The one-euro filter (Casiez, Roussel and Vogel, 2012): frequencies in Hz, and Hz for a side of the face a second.
CUTOFF, SPEED_CUTOFF, SLOPE = 2.0, 1.0, 10.0


def can_track() -> bool:
    """Whether the package that numbers faces is installed."""
    return importlib.util.find_spec("edgefirst") is not None and importlib.util.find_spec("edgefirst.tracker") is not None


class Tracker:
    """Numbers the faces of a video with ByteTrack (Zhang et al., 2022) and smooths their boxes and landmarks.

    ByteTrack loses a face that passes behind another one: its box shrinks at the edge of the other, and goes on to shrink where
    ByteTrack expects it. So a face to which it gives a new number gets that of a face that was to be expected there.

    Args:
        step: longest usual time between two frames in seconds.

    Raises:
        ConfigError: if the package edgefirst-tracker is missing.
    """

    def __init__(self, step: float = 0.0) -> None:
        module = need("edgefirst.tracker", "tracking faces", "video")
        self._memory = max(MEMORY, 3 * step)
        # All faces have passed the detector's thresholds, so each may begin a track. The tracker's own boxes lag, as they serve
        # the next guess; only its names of tracks are used.
        lifespan = round(self._memory * 1e9)
        self._tracks = module.ByteTrack(high_conf=0.0, iou=OVERLAP, update=1.0, lifespan_ns=lifespan)
        self._traces: dict[str, _Trace] = {}  # by the tracker's names
        self._count = 0

    def update(self, faces: Faces, time: float, shape: tuple[int, ...]) -> Faces:
        """The faces of the next frame with `ids`, smoothed.

        Args:
            faces: found in the frame.
            time: of the frame in seconds, later than that of the frame before.
            shape: height and width of the frame, to which the boxes are clipped.
        """
        given = np.ascontiguousarray(faces.boxes, np.float32)
        found = self._tracks.update(given, faces.scores, np.zeros(len(faces), np.uintp), max(0, round(time * 1e9)))
        names = [track.uuid for track in found]
        self._traces = {name: each for name, each in self._traces.items() if time - each.time <= self._memory}
        for name, box in zip(names, faces.boxes):
            if name not in self._traces:
                self._traces[name] = self._taken_up(names, box, time)
        boxes, landmarks = faces.boxes.copy(), None if faces.landmarks is None else faces.landmarks.copy()
        for row, name in enumerate(names):
            points = boxes[row].reshape(2, 2) if landmarks is None else np.vstack([boxes[row].reshape(2, 2), landmarks[row]])
            points = self._traces[name].next(points, time)
            boxes[row] = np.clip(points[:2], 0, (shape[1], shape[0])).ravel()
            if landmarks is not None:
                landmarks[row] = points[2:]
        ids = np.array([self._traces[name].number for name in names], np.int64)
        return replace(faces, boxes=boxes, landmarks=landmarks, ids=ids)

    def _taken_up(self, names: list[str], box: np.ndarray, time: float) -> "_Trace":
        """The trace of a face that is expected nearest to `box`, without those in `names`; otherwise a new one."""
        away = {name: each.distance(box, time) for name, each in self._traces.items() if name not in names}
        nearest = min(away, key=lambda name: away[name], default=None)
        if nearest is not None and away[nearest] <= REACH:
            return self._traces.pop(nearest)
        self._count += 1
        return _Trace(self._count)


class _Trace:
    """One face: where it was, and the one-euro filter for its points.

    This is a low-pass filter whose cutoff rises with the speed: the points of a still face do not jitter, and those of a fast
    one do not lag.

    Attributes:
        number: of the face.
        time: when it was last found, in seconds.
    """

    def __init__(self, number: int) -> None:
        self.number, self.time = number, -math.inf
        self._points = self._velocity = np.zeros((0, 2))  # (K, 2); the velocity in sides of the face a second
        self._recent: deque[tuple[float, np.ndarray, float]] = deque()  # times, centres and sides

    def distance(self, box: np.ndarray, time: float) -> float:
        """From the centre of `box` to where the face is expected, in sides of the larger of both; infinite for other sizes."""
        (begin, first, _), (end, last, _) = self._recent[0], self._recent[-1]
        velocity = (last - first) / (end - begin) if end > begin else np.zeros(2)
        side = max(side for *_, side in self._recent)
        ratio = _side(box) / side
        if not 0.5 <= ratio <= 2:
            return math.inf
        expected = last + velocity * (time - end)
        return float(np.linalg.norm(box.reshape(2, 2).mean(axis=0) - expected)) / (side * max(1.0, ratio))

    def next(self, points: np.ndarray, time: float) -> np.ndarray:
        """The smoothed points (K, 2) for measured ones, which begin with the corners of the box."""
        points = points.astype(np.float64)
        passed, self.time = time - self.time, time
        side = _side(points[:2])
        self._recent.append((time, points[:2].mean(axis=0), side))
        while self._recent[0][0] < time - RECENT:
            self._recent.popleft()
        if len(points) != len(self._points) or not 0 < passed <= RECENT:
            self._points, self._velocity = points, np.zeros_like(points)
            return points
        moved = points - self._points
        self._velocity = self._velocity + _share(SPEED_CUTOFF, passed) * (moved / side / passed - self._velocity)
        speed = np.linalg.norm(self._velocity, axis=1, keepdims=True)  # (K, 1)
        self._points = self._points + _share(CUTOFF + SLOPE * speed, passed) * moved
        return self._points


def _side(box: np.ndarray) -> float:
    """The mean side of a box of any shape with four numbers, at least one pixel."""
    x1, y1, x2, y2 = map(float, box.ravel())
    return max(1.0, math.sqrt(max(0.0, x2 - x1) * max(0.0, y2 - y1)))


def _share(cutoff: Any, passed: float) -> Any:
    """The weight of a new value in an exponential mean with a cutoff frequency in Hz, `passed` seconds after the last one."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * passed))
