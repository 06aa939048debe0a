"""Making faces unrecognisable."""

import math
from typing import Callable, Literal

import cv2
import numpy as np

from mtcnn_gluon.boxes import iou
from mtcnn_gluon.faces import Faces

Hiding = Literal["blur", "pixelate", "fill"]
MARGIN = 0.2  # what is hidden around a box, as a share of its sides: hair, ears and chin
CELLS = 5  # squares along the longer side of a pixelated face
SMALL = 32  # a blurred face is shrunk to this side first, so that the blur takes equally long for all sizes
BLUR = 0.2  # standard deviation of the blur, as a share of the longer side
CHECKS = 3  # largest number of times that a picture is searched for faces that are left
STAYS = 0.5  # seconds for which a face that is not found any more stays hidden
SAME = 0.1  # intersection over union of a face with its place in the last frame


def hide_faces(image: np.ndarray, faces: Faces, hiding: Hiding) -> np.ndarray:
    """A copy of an image (H, W, 3) uint8 in which every face, with a margin of a fifth of its box, is hidden.

    Of a blurred or pixelated face about five by five colours remain, of a filled one its mean colour. Nothing from outside the
    margin is mixed in.
    """
    picture = image.copy()
    height, width = image.shape[:2]
    for x1, y1, x2, y2 in faces.boxes.astype(np.float64):
        dx, dy = MARGIN * (x2 - x1), MARGIN * (y2 - y1)
        left, top = max(0, math.floor(x1 - dx)), max(0, math.floor(y1 - dy))
        right, bottom = min(width, math.ceil(x2 + dx)), min(height, math.ceil(y2 + dy))
        if left < right and top < bottom:
            part = picture[top:bottom, left:right]
            part[:] = _HIDINGS[hiding](part)
    return picture


def _blurred(part: np.ndarray) -> np.ndarray:
    """A blurred copy of an image of any size."""
    small = _shrunk(part, SMALL)
    sigma = BLUR * max(small.shape[:2])
    soft = cv2.GaussianBlur(small, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(soft, part.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _pixelated(part: np.ndarray) -> np.ndarray:
    """A copy made of squares of one colour each."""
    return cv2.resize(_shrunk(part, CELLS), part.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def _filled(part: np.ndarray) -> np.ndarray:
    """A copy of one colour."""
    return np.broadcast_to(np.rint(part.mean(axis=(0, 1))).astype(np.uint8), part.shape)


def _shrunk(part: np.ndarray, side: int) -> np.ndarray:
    """The image with `side` pixels along its longer side, or fewer; every pixel is the mean of the area that it covers."""
    scale = min(1.0, side / max(part.shape[:2]))
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    return cv2.resize(part, size, interpolation=cv2.INTER_AREA)


_HIDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"blur": _blurred, "pixelate": _pixelated, "fill": _filled}


class Hider:
    """Hides the faces of photos, or of the frames of a video one after the other, so that `detect` finds none any more.

    In videos, a face that is not found for a moment stays hidden where it was for half a second.

    Args:
        hiding: how.
        detect: finds the faces in an image, to check what was hidden.
    """

    def __init__(self, hiding: Hiding, detect: Callable[[np.ndarray], Faces]) -> None:
        self._hiding, self._detect = hiding, detect
        self._seen: list[tuple[float, np.ndarray]] = []  # time and box of each face in the last frame, or missed since then

    def photo(self, image: np.ndarray, faces: Faces) -> np.ndarray:
        """A copy of an image (H, W, 3) uint8 RGB without the faces, and without others that the detector finds in the copy."""
        picture = hide_faces(image, faces, self._hiding)
        for _ in range(CHECKS):
            left = self._detect(picture)
            if not len(left):
                break
            picture = hide_faces(picture, left, "fill")
        return picture

    def frame(self, image: np.ndarray, faces: Faces, time: float) -> np.ndarray:
        """The same for the next frame of a video; a `time` in seconds before that of the last frame begins another video."""
        overlaps = iou(np.array([box for _, box in self._seen], np.float32).reshape(-1, 4), faces.boxes)
        missed = [
            (seen, box)
            for (seen, box), row in zip(self._seen, overlaps)
            if 0 < time - seen <= STAYS and row.max(initial=0) < SAME
        ]
        self._seen = [*((time, box) for box in faces.boxes), *missed]
        count = len(self._seen)
        hidden = Faces(np.array([box for _, box in self._seen]).reshape(-1, 4), np.ones(count), None)
        return self.photo(image, hidden)
