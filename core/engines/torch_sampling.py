"""Area means on tensors: pyramids and crops from integral images, by the rule of `operators.crop_resize`.

An axis is divided into equal parts at fractional edges. The sum over a part is that over the whole pixels from edge to edge,
plus the share of the last edge's pixel that lies before the edge, minus that of the first edge's pixel. Sums over rectangles of
whole pixels are differences of four values of the integral image, which are whole numbers. Only then come fractions, in float32:
nothing is lost, and a mean takes the same time whatever its area.

An edge of a halved image lies on an edge of the image, so the integral image of the photo serves all levels.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

INT32_PIXELS = (2**31 - 1) // 255  # largest photo whose integral fits into int32


class Edges(NamedTuple):
    """The edges of n parts of one axis, or of an axis for each of N boxes.

    Attributes:
        index: (2 * (n + 1),) or (N, 2 * (n + 1)) int64: for each edge the pixel in which it lies, then for each the next pixel.
        share: (n + 1,) or (N, n + 1) float32 in 0..1: how much of the pixel lies before the edge.
    """

    index: torch.Tensor
    share: torch.Tensor


def integral(photos: torch.Tensor) -> torch.Tensor:
    """Integral images (N, H + 1, W + 1, 3), int32 or int64, of photos (N, H, W, 3) uint8.

    Value (y, x) is the sum over all rows above y and columns left of x.
    """
    dtype = torch.int32 if photos.shape[1] * photos.shape[2] <= INT32_PIXELS else torch.int64
    sums = photos.cumsum(1, dtype=dtype).cumsum(2, dtype=dtype)
    return functional.pad(sums, (0, 0, 1, 0, 1, 0))


def level_edges(length: int, size: int, halvings: int, device: torch.device) -> Edges:
    """The edges of a level of `size` pixels, made from an axis of `length` pixels that is halved so often."""
    used = length >> halvings
    starts = np.arange(size + 1) * used  # in units of 1 / size pixel: whole numbers, without rounding
    first = starts // size
    index = np.concatenate([first, np.minimum(first + 1, used)]) << halvings
    share = ((starts % size) / size).astype(np.float32)
    return Edges(torch.from_numpy(index).to(device), torch.from_numpy(share).to(device))


def crop_edges(whole: torch.Tensor, rest: torch.Tensor, step: torch.Tensor, size: int, length: torch.Tensor) -> Edges:
    """The edges of crops of `size` pixels that begin at `whole + rest`.

    Args:
        whole: (N,) int64, may be negative.
        rest, step: (N,) float32: fraction of the start in 0..1, and the width of a part in pixels.
        size: number of parts.
        length: (N,) int64, number of pixels of the photo; beyond it all is zero.
    """
    edges = rest[:, None] + step[:, None] * torch.arange(size + 1, device=rest.device)  # (N, S + 1), from the pixel `whole` on
    floor = edges.floor()
    first = whole[:, None] + floor.long()
    index = torch.cat([first, first + 1], dim=1)
    return Edges(torch.minimum(index.clamp(min=0), length[:, None]), edges - floor)


def part_sums(corners: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Sums (N, h, w, 3) float32 over the parts.

    Args:
        corners: (N, 2 * (h + 1), 2 * (w + 1), 3): the integral image at the `index` of rows and of columns.
        rows, columns: `Edges.share` of both axes.
    """
    rows, columns = rows.reshape(-1, rows.shape[-1], 1, 1), columns.reshape(-1, 1, columns.shape[-1], 1)
    whole, edge = (_mixed(values, columns) for values in _split(corners, 1))  # (N, h, w, 3), (N, h + 1, w, 3)
    edge = edge * rows
    return whole + edge[:, 1:] - edge[:, :-1]


def _split(values: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums over the whole pixels from edge to edge (n), and over the pixel at each edge (n + 1), along one axis."""
    first, following = values.chunk(2, axis)
    return first.diff(dim=axis), following - first


def _mixed(values: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Sums float32 over the parts of columns."""
    whole, edge = _split(values, 2)
    before = edge.float() * share
    return whole.float() + before[:, :, 1:] - before[:, :, :-1]
