"""Box geometry, and the one place that states the pixel convention.

**Convention.** A box is `x1, y1, x2, y2` in continuous image coordinates: pixel (row r, column c) covers the square from
(c, r) to (c + 1, r + 1), so a box from 0, 0 to width, height covers the whole image and its width is `x2 - x1`, with no + 1
anywhere. Landmarks are x, y in the same coordinates.

**Offsets.** All three nets predict `(x1' - x1) / side, (y1' - y1) / side, (x2' - x2) / side, (y2' - y2) / side` for the crop
they look at, and landmarks `(x - x1) / side, (y - y1) / side`.

**The official weights** come from MATLAB code whose boxes are 1-based and inclusive: MATLAB's `x1..x2` is the continuous
`x1 - 1 .. x2`. Written so, its `w = x2 - x1 + 1` in R- and O-Net, its areas with + 1 and its landmark formula all become
the plain ones above. Two habits of it remain, and a bundle's `box_convention` says whether its nets expect them
(`matlab`) or not (`continuous`):

- stage one maps P-Net's cell j at scale s to `(2j + 1) / s .. (2j + 12) / s` and regresses with `w = x2 - x1`, that is 11 / s;
- boxes are truncated to whole pixels when P-Net's cells are mapped and before every crop, which lowers their corners by
  half a pixel on average. Here they are lowered by exactly half a pixel, so that results change continuously.
"""

from typing import Literal, cast, get_args

import numpy as np

from mtcnn_gluon.errors import ConfigError

BoxConvention = Literal["continuous", "matlab"]

STRIDE = 2  # image pixels of a level between neighbouring P-Net cells
CELL = 12  # side of the square that one P-Net cell sees


def check_convention(name: object) -> BoxConvention:
    """Return `name` if it is a known box convention.

    Raises:
        ConfigError: if it is not.
    """
    if name not in get_args(BoxConvention):
        raise ConfigError(f"box_convention must be one of {', '.join(get_args(BoxConvention))}, not {name!r}")
    return cast(BoxConvention, name)


def area(boxes: np.ndarray) -> np.ndarray:
    """Areas (N,) of boxes (N, 4), in square pixels; 0 for a box whose sides are not positive."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Areas (N, M) shared by each of boxes `a` (N, 4) with each of boxes `b` (M, 4)."""
    width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    return np.maximum(width, 0) * np.maximum(height, 0)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (N, M), in 0..1, of boxes `a` (N, 4) and `b` (M, 4); 0 where both are empty."""
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def clip(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boxes (N, 4) cut to an image of `height` x `width` pixels."""
    limits = np.array([width, height, width, height], boxes.dtype)
    return np.clip(boxes, 0, limits)


def square(boxes: np.ndarray) -> np.ndarray:
    """The smallest squares (N, 4) with the centres of boxes (N, 4) that hold them."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2  # (N, 2)
    half = np.max(boxes[:, 2:] - boxes[:, :2], axis=1, keepdims=True) / 2  # (N, 1)
    return np.hstack([centre - half, centre + half])


def decode(crops: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) that offsets (N, 4) describe on crops (N, 4). `encode` undoes it."""
    sides = crops[:, 2:] - crops[:, :2]  # (N, 2)
    return crops + offsets * np.tile(sides, 2)


def encode(crops: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Offsets (N, 4) of boxes (N, 4) relative to crops (N, 4). `decode` undoes it."""
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


def cell_boxes(cells: np.ndarray) -> np.ndarray:
    """Squares (N, 4), in pixels of the pyramid level, that P-Net's cells (N, 2), as row and column, look at."""
    corner = STRIDE * cells[:, ::-1].astype(np.float32)  # (N, 2) as x, y
    return np.hstack([corner, corner + CELL])


def cells_to_image(squares: np.ndarray, scales: np.ndarray, convention: BoxConvention) -> np.ndarray:
    """Boxes (N, 4) in the image for `cell_boxes` (N, 4) of levels whose scales (N, 2), level / image, are given as x, y."""
    if convention == "matlab":
        first, to_continuous = np.array([1, 1, 0, 0], np.float32), np.array([1.5, 1.5, 0.5, 0.5], np.float32)
        return (squares + first) / np.tile(scales, 2) - to_continuous
    return squares / np.tile(scales, 2)


def decode_cells(boxes: np.ndarray, offsets: np.ndarray, convention: BoxConvention) -> np.ndarray:
    """Boxes (N, 4) that P-Net's offsets (N, 4) describe on `cells_to_image` boxes (N, 4)."""
    if convention == "matlab":  # w = x2 - x1 of 1-based inclusive corners: one pixel less than the continuous side
        sides = boxes[:, 2:] - boxes[:, :2] - 1
        return boxes + offsets * np.tile(sides, 2)
    return decode(boxes, offsets)


def crop_squares(boxes: np.ndarray, convention: BoxConvention) -> np.ndarray:
    """The squares (N, 4) to crop for R- and O-Net around calibrated boxes (N, 4)."""
    return square(boxes) - np.float32(0.5) if convention == "matlab" else square(boxes)
