"""Face regions as FDDB's program compares them: sets of whole pixels.

A region is drawn with OpenCV on a mask of the photo's size, so that nothing beyond the photo counts: an ellipse with its
centre rounded, its radii cut to whole pixels and its angle rounded to whole degrees; a box from its rounded corner to its
rounded opposite corner, both belonging to it.
"""

from dataclasses import dataclass

import cv2
import numpy as np

Size = tuple[int, int]  # width, height
LARGEST = 10_000.0  # pixels: where coordinates and radii are cut, so that absurd detections do not need absurd memory


@dataclass(frozen=True, eq=False)
class Region:
    """Pixels of a photo.

    Attributes:
        left, top: the pixel that `mask` starts at.
        mask: (h, w) bool, the smallest that holds the region; (0, 0) if the region is empty.
        area: number of pixels.
    """

    left: int
    top: int
    mask: np.ndarray
    area: int


def draw_ellipse(ellipse: np.ndarray, size: Size | None) -> Region:
    """An ellipse (5,): major and minor radius, angle in radians from x towards y (down), centre x, y.

    `size` is that of the photo; None: unknown, nothing is cut off.
    """
    major, minor, angle, x, y = map(float, ellipse)
    centre, axes = (_rounded(x), _rounded(y)), (int(min(major, LARGEST)), int(min(minor, LARGEST)))
    reach = max(axes) + 2
    low, high = _limits(centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach, size)
    mask = np.zeros(np.maximum(high - low, 0)[::-1], np.uint8)
    if not mask.size:
        return Region(int(low[0]), int(low[1]), np.zeros((0, 0), bool), 0)
    moved = (centre[0] - int(low[0]), centre[1] - int(low[1]))
    cv2.ellipse(mask, moved, axes, float(np.degrees(angle)), 0, 360, (1,), cv2.FILLED)
    left, top, width, height = cv2.boundingRect(mask)  # zeros if nothing was drawn
    part = mask[top : top + height, left : left + width].astype(bool)
    return Region(int(low[0]) + left, int(low[1]) + top, part, int(part.sum()))


def draw_box(box: np.ndarray, size: Size | None) -> Region:
    """A box (4,): x1, y1, x2, y2; `size` as for `draw_ellipse`."""
    x1, y1, x2, y2 = map(_rounded, box)
    low, high = _limits(x1, y1, x2 + 1, y2 + 1, size)
    width, height = (int(v) for v in np.maximum(high - low, 0))
    return Region(int(low[0]), int(low[1]), np.broadcast_to(True, (height, width)), width * height)  # takes no memory


def overlap(a: Region, b: Region) -> float:
    """Pixels that two regions share over pixels of either, 0..1."""
    left, top = max(a.left, b.left), max(a.top, b.top)
    right = min(a.left + a.mask.shape[1], b.left + b.mask.shape[1])
    bottom = min(a.top + a.mask.shape[0], b.top + b.mask.shape[0])
    if right <= left or bottom <= top:
        return 0.0
    parts = [r.mask[top - r.top : bottom - r.top, left - r.left : right - r.left] for r in (a, b)]
    shared = int(np.count_nonzero(parts[0] & parts[1]))
    return shared / (a.area + b.area - shared) if shared else 0.0


def _rounded(value: float) -> int:
    """The nearest integer, the even one of two, as OpenCV rounds."""
    return int(np.rint(np.clip(value, -LARGEST, LARGEST)))


def _limits(x1: int, y1: int, x2: int, y2: int, size: Size | None) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.array([x1, y1]), np.array([x2, y2])
    return (low, high) if size is None else (np.maximum(low, 0), np.minimum(high, size))
