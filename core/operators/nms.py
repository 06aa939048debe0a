"""Greedy non-maximum suppression."""

from typing import Literal

import numpy as np

from mtcnn_gluon.boxes import area

OverlapMode = Literal["union", "min"]


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float, mode: OverlapMode = "union") -> np.ndarray:
    """Indices of the boxes to keep, best score first.

    The best box is kept, every box that overlaps it by more than `threshold` is dropped, and so on with what remains: a
    dropped box drops nothing.

    Args:
        boxes: (N, 4) x1, y1, x2, y2.
        scores: (N,); of equal scores the lower index comes first.
        threshold: overlap in 0..1 that is still allowed.
        mode: overlap is intersection over the `union`, or over the smaller box (`min`).

    Returns:
        (K,) int64.
    """
    order = np.argsort(-scores, kind="stable")
    boxes = boxes[order]
    areas = area(boxes)
    alive = np.arange(len(boxes))
    keep = []
    while alive.size:
        best, rest = alive[0], alive[1:]
        keep.append(best)
        overlap = _overlap(boxes[best], areas[best], boxes[rest], areas[rest], mode)
        alive = rest[overlap <= threshold]
    return order[np.array(keep, np.int64)]


def grouped_nms(
    boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, threshold: float, mode: OverlapMode = "union"
) -> np.ndarray:
    """`nms` within each group of `groups` (N,) integers; indices (K,) ordered by group, then by score."""
    kept = [members[nms(boxes[members], scores[members], threshold, mode)] for members in _members(groups)]
    return np.concatenate(kept) if kept else np.zeros(0, np.int64)


def _members(groups: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    return np.split(order, starts) if len(order) else []


def _overlap(
    box: np.ndarray, box_area: np.ndarray, others: np.ndarray, other_areas: np.ndarray, mode: OverlapMode
) -> np.ndarray:
    width = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    height = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)  # (M,)
    whole = np.minimum(box_area, other_areas) if mode == "min" else box_area + other_areas - shared
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
