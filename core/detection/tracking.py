"""Following faces through the frames of a video: the same number for the same face, and coordinates without jitter."""

import importlib.util
import math
from dataclasses import replace
from typing import Any

import numpy as np

from mtcnn_gluon.faces import Faces
from mtcnn_gluon.io.extras import need

MEMORY = 2.0  # seconds for which a face that is not found keeps its number
OVERLAP = 0.1  # smallest intersection over union of a face and of the place where it is expected
# The one-euro filter (Casiez, Roussel and Vogel, 2012): frequencies in Hz, and Hz for a side of the face a second.
CUTOFF, SPEED_CUTOFF, SLOPE = 2.0, 1.0, 10.0


def can_track() -> bool:
    """Whether the package that numbers faces is installed."""
    return importlib.util.find_spec("edgefirst") is not None and importlib.util.find_spec("edgefirst.tracker") is not None


class Tracker:
    """Numbers the faces of a video with ByteTrack (Zhang et al., 2022) and smooths their boxes and landmarks.

    Args:
        step: longest usual time between two frames in seconds.

    Raises:
        ConfigError: if the package edgefirst-tracker is missing.
    """

    def __init__(self, step: float = 0.0) -> None:
        module = need("edgefirst.tracker", "tracking faces", "video")
        lifespan = max(MEMORY, 3 * step)
        # All faces have passed the detector's thresholds, so each may begin a track. The tracker's own boxes lag, as it damps
        # them for the next guess; only its numbers are used.
        self._tracks = module.ByteTrack(high_conf=0.0, iou=OVERLAP, update=1.0, lifespan_ns=round(lifespan * 1e9))
        self._numbers: dict[str, int] = {}
        self._smooth: dict[int, _Smooth] = {}
        self._memory = lifespan

    def update(self, faces: Faces, time: float, shape: tuple[int, ...]) -> Faces:
        """The faces of the next frame with `ids`, smoothed.

        Args:
            faces: found in the frame.
            time: of the frame in seconds, later than that of the frame before.
            shape: height and width of the frame, to which the boxes are clipped.
        """
        boxes = np.ascontiguousarray(faces.boxes, np.float32)
        found = self._tracks.update(boxes, faces.scores, np.zeros(len(faces), np.uintp), max(0, round(time * 1e9)))
        ids = [self._numbers.setdefault(track.uuid, len(self._numbers) + 1) for track in found]
        self._smooth = {number: each for number, each in self._smooth.items() if time - each.time <= self._memory}
        boxes, landmarks = faces.boxes.copy(), None if faces.landmarks is None else faces.landmarks.copy()
        for row, number in enumerate(ids):
            points = boxes[row].reshape(2, 2) if landmarks is None else np.vstack([boxes[row].reshape(2, 2), landmarks[row]])
            side = max(1.0, math.sqrt(float(np.prod(boxes[row, 2:] - boxes[row, :2]))))
            points = self._smooth.setdefault(number, _Smooth()).next(points, side, time)
            boxes[row] = np.clip(points[:2], 0, (shape[1], shape[0])).ravel()
            if landmarks is not None:
                landmarks[row] = points[2:]
        return replace(faces, boxes=boxes, landmarks=landmarks, ids=np.array(ids, np.int64))


class _Smooth:
    """The one-euro filter for the points of a face: a low-pass filter whose cutoff rises with the speed.

    So the points of a still face do not jitter, and those of a fast one do not lag.
    """

    def __init__(self) -> None:
        self.time = -math.inf
        self._points = self._velocity = np.zeros((0, 2))  # (K, 2); the velocity in sides of the face a second

    def next(self, points: np.ndarray, side: float, time: float) -> np.ndarray:
        """The smoothed points (K, 2) for measured ones of a face of `side` pixels."""
        points = points.astype(np.float64)
        passed, self.time = time - self.time, time
        if len(points) != len(self._points) or not 0 < passed < math.inf:
            self._points, self._velocity = points, np.zeros_like(points)
            return points
        moved = points - self._points
        self._velocity = self._velocity + _share(SPEED_CUTOFF, passed) * (moved / side / passed - self._velocity)
        speed = np.linalg.norm(self._velocity, axis=1, keepdims=True)  # (K, 1)
        self._points = self._points + _share(CUTOFF + SLOPE * speed, passed) * moved
        return self._points


def _share(cutoff: Any, passed: float) -> Any:
    """The weight of a new value in an exponential mean with a cutoff frequency in Hz, `passed` seconds after the last one."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * passed))
