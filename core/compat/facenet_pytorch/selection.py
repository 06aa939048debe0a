"""Which of several faces in an image is meant."""

from typing import Any, Literal, Sequence

import numpy as np

from mtcnn_gluon.compat.arrays import is_tensor
from mtcnn_gluon.options import Meaning, checked

Method = Literal["probability", "largest", "largest_over_threshold", "center_weighted_size"]


def best(image: Any, found: Sequence[Any], method: str, threshold: float, center_weight: float) -> tuple[Any, Any, Any]:
    """The box (1, 4), probability (1,) and landmarks (1, 5, 2) of one face; see `MTCNN.select_boxes`.

    Args:
        image: the image.
        found: boxes (N, 4), probabilities (N,) and landmarks (N, 5, 2) of its faces, or None for boxes if there is none.
        method, threshold, center_weight: see there.

    Returns:
        None, [None] and None if there is no face, or none above the threshold.
    """
    boxes, probs, points = found
    checked("method", method, Method, Meaning(""))
    if boxes is None:
        return None, [None], None
    boxes, probs, points = np.array(boxes), np.array(probs), np.array(points)
    rank = _ranks(image, boxes.astype(np.float64), probs.astype(np.float64), method, center_weight)
    if method == "largest_over_threshold":
        rank = np.where(probs.astype(np.float64) > threshold, rank, -np.inf)
        if np.isneginf(rank).all():
            return None, [None], None
    row = [int(np.argsort(rank, kind="stable")[-1])]  # among equal ones the last, as there
    return boxes[row], probs[row], points[row]


def _ranks(image: Any, boxes: np.ndarray, probs: np.ndarray, method: str, center_weight: float) -> np.ndarray:
    """How much each face (N,) is preferred."""
    if method == "probability":
        return probs
    sizes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    if method != "center_weighted_size":
        return sizes
    size = image.shape[1::-1] if isinstance(image, np.ndarray) or is_tensor(image) else image.size  # width, height
    offsets = (boxes[:, :2] + boxes[:, 2:]) / 2 - np.array([float(side) for side in size]) / 2  # (N, 2)
    return sizes - center_weight * (offsets**2).sum(axis=1)
