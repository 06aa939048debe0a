"""Face regions as FDDB's program compares them: sets of whole pixels.

OpenCV draws a region on a mask of the photo's size, so that only pixels of the photo count. For an ellipse, the centre is
rounded, the radii are rounded down and the angle is rounded to whole degrees. For a box, both corners are rounded, and their
pixels belong to it.
"""

from dataclasses import dataclass

import cv2
import numpy as np

Size = tuple[int, int]  # width, height
LARGEST = 10_000.0  # pixels: coordinates and radii are clipped to this, to limit the memory for absurd detections


@dataclass(frozen=True, eq=False)
class Region:
    """A set of pixels."""

    left: int  # x of the mask in the photo
    top: int  # y of the mask in the photo
    mask: np.ndarray  # (h, w) bool, cut to the region; (0, 0) if the region is empty
    area: int  # number of pixels


def draw_ellipse(ellipse: np.ndarray, size: Size | None) -> Region:
    """The region of an ellipse (5,): major and minor radius, angle in radians from x towards y (down), centre x, y.

    `size` is the photo's; None: unknown, nothing is cut off.
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
    """The region of a box (4,): x1, y1, x2, y2; `size` as for `draw_ellipse`."""
    x1, y1, x2, y2 = map(_rounded, box)
    low, high = _limits(x1, y1, x2 + 1, y2 + 1, size)
    width, height = (int(v) for v in np.maximum(high - low, 0))
    return Region(int(low[0]), int(low[1]), np.broadcast_to(True, (height, width)), width * height)  # takes no memory


def overlap(a: Region, b: Region) -> float:
    """IoU of two regions' pixels, 0..1."""
    left, top = max(a.left, b.left), max(a.top, b.top)
    right = min(a.left + a.mask.shape[1], b.left + b.mask.shape[1])
    bottom = min(a.top + a.mask.shape[0], b.top + b.mask.shape[0])
    if right <= left or bottom <= top:
        return 0.0
    parts = [r.mask[top - r.top : bottom - r.top, left - r.left : right - r.left] for r in (a, b)]
    shared = int(np.count_nonzero(parts[0] & parts[1]))
    return shared / (a.area + b.area - shared) if shared else 0.0


def _rounded(value: float) -> int:
    """The nearest integer, ties to even, as OpenCV rounds."""
    return int(np.rint(np.clip(value, -LARGEST, LARGEST)))


def _limits(x1: int, y1: int, x2: int, y2: int, size: Size | None) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.array([x1, y1]), np.array([x2, y2])
    return (low, high) if size is None else (np.maximum(low, 0), np.minimum(high, size))
