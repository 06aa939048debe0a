"""Box geometry and the pixel convention.

**Convention.** A box is `x1, y1, x2, y2` in continuous image coordinates: pixel (row r, column c) covers the square from
(c, r) to (c + 1, r + 1). A box from 0, 0 to width, height covers the whole image, and its width is `x2 - x1` without + 1.
Landmarks are x, y in the same coordinates.

**Offsets.** For its crop, each net predicts `(x1' - x1) / side, (y1' - y1) / side, (x2' - x2) / side, (y2' - y2) / side`, and
landmarks `(x - x1) / side, (y - y1) / side`.

**The official weights** come from MATLAB code whose boxes are 1-based and inclusive: `x1..x2` in MATLAB is `x1 - 1 .. x2` in
continuous coordinates. In these coordinates MATLAB's `w = x2 - x1 + 1` in R- and O-Net, its areas with + 1 and its landmark
formula are the formulas above. Two differences remain. The `box_convention` of a bundle is `matlab` if its nets expect them,
otherwise `continuous`:

- Stage one maps P-Net's cell j at scale s to `(2j + 1) / s .. (2j + 12) / s` and decodes with `w = x2 - x1`, that is 11 / s.
- MATLAB truncates boxes to whole pixels when it maps P-Net's cells and before every crop, which moves corners by half a pixel
  on average. Here corners move by exactly half a pixel, so that results change continuously.
"""

from typing import Literal, cast, get_args

import numpy as np

from mtcnn_gluon.errors import ConfigError

BoxConvention = Literal["continuous", "matlab"]


def check_convention(name: object) -> BoxConvention:
    """Return `name`, or raise a `ConfigError` if it is not a box convention."""
    if name not in get_args(BoxConvention):
        raise ConfigError(f"box_convention must be one of {', '.join(get_args(BoxConvention))}, not {name!r}")
    return cast(BoxConvention, name)


def area(boxes: np.ndarray) -> np.ndarray:
    """Areas (N,) of boxes (N, 4), in square pixels; 0 for a box whose sides are not positive."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Areas (N, M) of the intersection of every box in `a` (N, 4) with every box in `b` (M, 4)."""
    width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    return np.maximum(width, 0) * np.maximum(height, 0)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (N, M), in 0..1, of boxes `a` (N, 4) and `b` (M, 4); 0 where both are empty."""
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def clip(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boxes (N, 4) clipped to an image of `height` x `width` pixels."""
    limits = np.array([width, height, width, height], boxes.dtype)
    return np.clip(boxes, 0, limits)


def square(boxes: np.ndarray) -> np.ndarray:
    """The smallest squares (N, 4) that hold boxes (N, 4) and have the same centres."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2  # (N, 2)
    half = np.max(boxes[:, 2:] - boxes[:, :2], axis=1, keepdims=True) / 2  # (N, 1)
    return np.hstack([centre - half, centre + half])


def decode(crops: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) from their offsets (N, 4) relative to crops (N, 4). The inverse of `encode`."""
    sides = crops[:, 2:] - crops[:, :2]  # (N, 2)
    return crops + offsets * np.tile(sides, 2)


def encode(crops: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Offsets (N, 4) of boxes (N, 4) relative to crops (N, 4). The inverse of `decode`."""
    sides = crops[:, 2:] - crops[:, :2]  # (N, 2)
    return (boxes - crops) / np.tile(sides, 2)


def decode_landmarks(crops: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Landmarks (N, 5, 2) in image coordinates from points (N, 10), x and y interleaved in 0..1 of crops (N, 4)."""
    sides = (crops[:, 2:] - crops[:, :2])[:, None, :]  # (N, 1, 2)
    return crops[:, None, :2] + points.reshape(-1, 5, 2) * sides


def encode_landmarks(crops: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Points (N, 10) in 0..1 of crops (N, 4) from landmarks (N, 5, 2) in image coordinates."""
    sides = (crops[:, 2:] - crops[:, :2])[:, None, :]  # (N, 1, 2)
    return ((landmarks - crops[:, None, :2]) / sides).reshape(-1, 10)


def cell_boxes(cells: np.ndarray, stride: int, side: int) -> np.ndarray:
    """Squares (N, 4), in pixels of the level, of P-Net's cells (N, 2): row, column; their distance and side in pixels."""
    corner = stride * cells[:, ::-1].astype(np.float32)  # (N, 2) as x, y
    return np.hstack([corner, corner + side])


def cells_to_image(squares: np.ndarray, scales: np.ndarray, convention: BoxConvention) -> np.ndarray:
    """Boxes (N, 4) in the image from `cell_boxes` (N, 4) and the scales (N, 2) of their levels: x, y, each level / image."""
    if convention == "matlab":
        first, to_continuous = np.array([1, 1, 0, 0], np.float32), np.array([1.5, 1.5, 0.5, 0.5], np.float32)
        return (squares + first) / np.tile(scales, 2) - to_continuous
    return squares / np.tile(scales, 2)


def decode_cells(boxes: np.ndarray, offsets: np.ndarray, convention: BoxConvention) -> np.ndarray:
    """Boxes (N, 4) from P-Net's offsets (N, 4) relative to `cells_to_image` boxes (N, 4)."""
    if convention == "matlab":  # w = x2 - x1 of 1-based inclusive corners: one pixel less than the continuous side
        sides = boxes[:, 2:] - boxes[:, :2] - 1
        return boxes + offsets * np.tile(sides, 2)
    return decode(boxes, offsets)


def crop_squares(boxes: np.ndarray, convention: BoxConvention) -> np.ndarray:
    """The squares (N, 4) around calibrated boxes (N, 4) to crop for R- and O-Net."""
    return square(boxes) - np.float32(0.5) if convention == "matlab" else square(boxes)
