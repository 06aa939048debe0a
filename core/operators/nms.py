"""Greedy non-maximum suppression."""

from typing import Literal

import numpy as np

from mtcnn_gluon.operators.native import kernels

OverlapMode = Literal["union", "min"]

BLOCK = 256  # number of boxes that numpy compares with each other at a time


def nms(
    boxes: np.ndarray, scores: np.ndarray, threshold: float, mode: OverlapMode = "union", plus_one: bool = False
) -> np.ndarray:
    """Indices of the boxes to keep, best score first.

    The best box is kept, and every box that overlaps it by more than `threshold` is removed. This repeats with the best of the
    remaining boxes. A removed box removes no others. An empty box overlaps no other box.

    Args:
        boxes: (N, 4) x1, y1, x2, y2, converted to float32.
        scores: (N,); among equal scores the lower index comes first.
        threshold: largest allowed overlap, in 0..1.
        mode: the overlap is the intersection over the `union`, or over the smaller box (`min`).
        plus_one: whether sides are x2 - x1 + 1, as in code whose boxes include the last pixel.

    Returns:
        (K,) int64.

    Raises:
        MemoryError: if there is not enough memory.
    """
    order = np.argsort(-scores, kind="stable")
    boxes = np.ascontiguousarray(boxes[order], np.float32)
    return order[_sorted_nms(boxes, threshold, mode, float(plus_one))]


def _sorted_nms(boxes: np.ndarray, threshold: float, mode: OverlapMode, extra: float = 0.0) -> np.ndarray:
    """`nms` of contiguous float32 boxes, sorted by score, best first."""
    library = kernels()
    if library is None:
        return _nms(boxes.astype(np.float64), threshold, mode, extra)
    kept = np.empty(len(boxes), np.int64)
    count = library.mtcnn_nms(boxes.ctypes.data, len(boxes), threshold, mode == "min", extra, kept.ctypes.data)
    if count < 0:
        raise MemoryError(f"the suppression of {len(boxes)} boxes needs more memory than there is")
    return kept[:count]


def _nms(boxes: np.ndarray, threshold: float, mode: OverlapMode, extra: float) -> np.ndarray:
    """`nms` of sorted boxes, block by block: first against all boxes kept so far, then within the block."""
    kept = np.zeros(0, np.int64)
    for start in range(0, len(boxes), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(boxes)))
        is_free = ~_overlaps(boxes[kept], boxes[block], threshold, mode, extra).any(axis=0)
        kept = np.concatenate([kept, _greedy(boxes, block[is_free], threshold, mode, extra)])
    return kept


def _greedy(boxes: np.ndarray, block: np.ndarray, threshold: float, mode: OverlapMode, extra: float) -> np.ndarray:
    """The indices in `block`, best first, that `nms` within the block keeps."""
    drops = _overlaps(boxes[block], boxes[block], threshold, mode, extra)  # (B, B)
    is_dropped, keep = np.zeros(len(block), bool), np.zeros(len(block), bool)
    for i in range(len(block)):
        if not is_dropped[i]:
            keep[i] = True
            is_dropped |= drops[i]
    return block[keep]


def grouped_nms(
    boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, threshold: float, mode: OverlapMode = "union"
) -> np.ndarray:
    """`nms` within each group of `groups` (N,) integers; indices (K,) ordered by group, then by score."""
    order = np.lexsort((-scores, groups))  # stable: among equal scores the lower index comes first
    boxes, groups = np.ascontiguousarray(boxes[order], np.float32), groups[order]
    starts = np.flatnonzero(groups[1:] != groups[:-1]) + 1
    bounds = [0, *starts.tolist(), len(order)]
    kept = [start + _sorted_nms(boxes[start:stop], threshold, mode) for start, stop in zip(bounds, bounds[1:])]
    return order[np.concatenate(kept)]


def _overlaps(a: np.ndarray, b: np.ndarray, threshold: float, mode: OverlapMode, extra: float) -> np.ndarray:
    """Whether boxes `a` (N, 4) overlap boxes `b` (M, 4) by more than the threshold, (N, M); the compiled kernel's formulas."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.maximum(high - low + extra, 0).prod(axis=2)  # (N, M)
    areas_a, areas_b = (np.maximum(boxes[:, 2:] - boxes[:, :2] + extra, 0).prod(axis=1) for boxes in (a, b))
    if mode == "min":
        return shared > threshold * np.minimum(areas_a[:, None], areas_b[None, :])
    return shared > threshold * (areas_a[:, None] + areas_b[None, :] - shared)
