"""Greedy non-maximum suppression."""

from typing import Literal

import numpy as np

from mtcnn_gluon.boxes import area, intersection, iou

OverlapMode = Literal["union", "min"]

BLOCK = 256  # boxes that are compared with each other at a time


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
    kept = np.zeros(0, np.int64)
    for start in range(0, len(boxes), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(boxes)))
        is_free = (_overlap(boxes[kept], boxes[block], mode) <= threshold).all(axis=0)
        kept = np.concatenate([kept, _greedy(boxes, block[is_free], threshold, mode)])
    return order[kept]


def _greedy(boxes: np.ndarray, block: np.ndarray, threshold: float, mode: OverlapMode) -> np.ndarray:
    """The indices of `block`, best first, that no better one of it drops."""
    drops = _overlap(boxes[block], boxes[block], mode) > threshold  # (B, B)
    is_dropped = np.zeros(len(block), bool)
    keep = np.zeros(len(block), bool)
    for i in range(len(block)):
        if not is_dropped[i]:
            keep[i] = True
            is_dropped |= drops[i]
    return block[keep]


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


def _overlap(a: np.ndarray, b: np.ndarray, mode: OverlapMode) -> np.ndarray:
    """Overlaps (N, M), in 0..1, of boxes `a` (N, 4) with boxes `b` (M, 4); an empty box overlaps nothing."""
    if mode == "union":
        return iou(a, b)
    shared = intersection(a, b)
    smaller = np.minimum(area(a)[:, None], area(b)[None, :])
    return np.divide(shared, smaller, out=np.zeros_like(shared), where=smaller > 0)
