"""Greedy non-maximum suppression on tensors, with the results of `operators.nms`.

Which box may remove which is a list of pairs. Every round keeps all boxes that no undecided better one could remove, and
removes those that they overlap. That is the greedy result: a box is decided when all better ones that overlap it are. There are
at most as many rounds as boxes in the longest chain of which each overlaps the next.
"""

import numpy as np
import torch

PAIRS = 4_000_000  # largest number of pairs of boxes in memory


def keep_best(count: int, better: torch.Tensor, worse: torch.Tensor) -> torch.Tensor:
    """Which of `count` boxes stay, (count,) bool.

    Args:
        count: number of boxes.
        better, worse: (E,) indices: box `better[i]`, if it stays, removes box `worse[i]`. There are no circles.
    """
    undecided = torch.ones(count, dtype=torch.bool, device=better.device)
    kept = torch.zeros_like(undecided)
    while count:
        kept_now = undecided & ~_reached(undecided, better, worse)
        kept |= kept_now
        undecided = undecided & ~kept_now & ~_reached(kept_now, better, worse)
        if not undecided.any():
            break
    return kept


def _reached(boxes: torch.Tensor, better: torch.Tensor, worse: torch.Tensor) -> torch.Tensor:
    """The boxes, (count,) bool, that any of `boxes`, (count,) bool, could remove."""
    hits = torch.zeros(len(boxes), dtype=torch.int32, device=boxes.device)
    return hits.index_add_(0, worse, boxes[better].int()) > 0


def grid_neighbours(stride: int, side: int, overlap: float) -> list[tuple[int, int]]:
    """Distances in rows and columns, but (0, 0), at which cells of a grid overlap by more than `overlap` (union).

    Args:
        stride: distance of neighbouring cells in pixels.
        side: of the square cells, in pixels.
        overlap: see `operators.nms`.
    """
    reach = range(-(side // stride), side // stride + 1)
    shared = {(y, x): max(side - stride * abs(y), 0) * max(side - stride * abs(x), 0) for y in reach for x in reach}
    return [place for place, area in shared.items() if place != (0, 0) and area > overlap * (2 * side * side - area)]


def suppress_on_grids(
    cells: torch.Tensor, shape: tuple[int, int, int], scores: torch.Tensor, neighbours: list[tuple[int, int]]
) -> torch.Tensor:
    """Which cells of some grids stay, (N,) bool.

    Args:
        cells: (N, 3) int64, in rising order: grid, row and column.
        shape: number of grids, rows and columns.
        scores: (N,); among equal scores the lower index is better.
        neighbours: those of `grid_neighbours`.
    """
    if not len(cells) or not neighbours:
        return torch.ones(len(cells), dtype=torch.bool, device=cells.device)
    margin = max(max(abs(y), abs(x)) for y, x in neighbours)
    height, width = shape[1] + 2 * margin, shape[2] + 2 * margin
    numbers = torch.full((shape[0] * height * width,), -1, dtype=torch.int64, device=cells.device)
    places = (cells[:, 0] * height + cells[:, 1] + margin) * width + cells[:, 2] + margin  # (N,)
    own = torch.arange(len(cells), device=cells.device)
    numbers[places] = own
    steps = torch.tensor([y * width + x for y, x in neighbours], device=cells.device)
    others = numbers[places[:, None] + steps]  # (N, K): the neighbours, or -1
    theirs, mine = scores[others.clamp(min=0)], scores[:, None]
    is_better = (others >= 0) & ((theirs > mine) | ((theirs == mine) & (others < own[:, None])))
    worse, column = is_better.nonzero(as_tuple=True)
    return keep_best(len(cells), others[worse, column], worse)


def grouped_suppression(
    boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, overlap: float, device: torch.device
) -> np.ndarray:
    """`operators.grouped_nms` on a device that has float64."""
    order = np.lexsort((-scores, groups))
    groups = groups[order]
    first = np.searchsorted(groups, groups)  # (N,) where the group of each box begins
    ordered = torch.from_numpy(boxes[order]).to(device).double()  # holds the areas of float32 boxes exactly
    starts = torch.from_numpy(first).to(device)
    most = int((np.arange(len(order)) - first).max(initial=0))  # boxes that may remove the last one of the largest group
    rows = max(1, PAIRS // max(1, most))
    pairs = [_covering(ordered, starts, at, min(at + rows, len(order)), most, overlap) for at in range(0, len(order), rows)]
    if not pairs:
        return order
    better, worse = (torch.cat(parts) for parts in zip(*pairs))
    return order[keep_best(len(order), better, worse).cpu().numpy()]


def _covering(
    boxes: torch.Tensor, starts: torch.Tensor, begin: int, end: int, most: int, overlap: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The pairs whose worse box is one of `begin..end` of sorted boxes (N, 4): indices of the better and of the worse one."""
    own = torch.arange(begin, end, device=boxes.device)[:, None]  # (R, 1)
    others = starts[begin:end, None] + torch.arange(most, device=boxes.device)  # (R, most)
    is_better = others < own
    others = torch.minimum(others, own)
    a, b = boxes[others], boxes[own]  # (R, most, 4), (R, 1, 4)
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    shared = sides.clamp(min=0).prod(-1)  # (R, most)
    areas, area = ((each[..., 2:] - each[..., :2]).clamp(min=0).prod(-1) for each in (a, b))
    row, column = (is_better & (shared > overlap * (areas + area - shared))).nonzero(as_tuple=True)
    return others[row, column], row + begin
