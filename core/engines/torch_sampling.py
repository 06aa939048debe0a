"""Area means on tensors: pyramids and crops from integral images, by the rule of `operators.crop_resize`.

An axis is divided into equal parts at fractional edges. The sum over a part is a share of its first pixel, all pixels between,
and a share of its last pixel. Sums over rectangles of whole pixels are differences of four values of the integral image, which
are whole numbers; only then come the shares, in float32. So a mean takes the same time whatever its area, and nothing is lost.

An edge of a halved image lies on an edge of the image, so the integral image of the photo serves all levels.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

INT32_PIXELS = (2**31 - 1) // 255  # largest photo whose integral fits into int32


class Edges(NamedTuple):
    """How one axis, or an axis for each of N boxes, is divided into n parts.

    Attributes:
        index: (2 * (n + 1),) or (N, 2 * (n + 1)) int64: for each edge the pixel in which it lies, then for each the next pixel.
        first, between, last: (n,) or (N, n) float32 in 0..1: the weights of a part's first pixel, of those between, and of the
            last one. If the part lies in a single pixel, only `first` is not 0.
    """

    index: torch.Tensor
    first: torch.Tensor
    between: torch.Tensor
    last: torch.Tensor

    def to(self, device: torch.device) -> "Edges":
        """The same on a device."""
        return Edges(*(values.to(device) for values in self))


def integral(photos: torch.Tensor) -> torch.Tensor:
    """Integral images (N, H + 1, W + 1, 3), int32 or int64, of photos (N, H, W, 3) uint8.

    Value (y, x) is the sum over all rows above y and columns left of x.
    """
    dtype = torch.int32 if photos.shape[1] * photos.shape[2] <= INT32_PIXELS else torch.int64
    sums = photos.cumsum(1, dtype=dtype).cumsum(2, dtype=dtype)
    return functional.pad(sums, (0, 0, 1, 0, 1, 0))


def level_edges(length: int, size: int, halvings: int) -> Edges:
    """The edges of a level of `size` pixels, made from an axis of `length` pixels that is halved so often."""
    used = length >> halvings
    starts = np.arange(size + 1) * used  # in units of 1 / size pixel: whole numbers, without rounding
    first = starts // size
    index = np.concatenate([first, np.minimum(first + 1, used)]) << halvings
    weights = _weights(torch.from_numpy(first), torch.from_numpy((starts % size) / size), used / size)
    return Edges(torch.from_numpy(index), *weights)


def crop_edges(starts: torch.Tensor, steps: torch.Tensor, size: int, lengths: torch.Tensor) -> Edges:
    """The edges of crops of `size` pixels.

    Args:
        starts, steps: (N,) float64, where the crops begin, and the width of their parts, in pixels of the photos.
        size: number of parts.
        lengths: (N,) int64, numbers of pixels of the photos; beyond them all is zero.
    """
    edges = starts[:, None] + steps[:, None] * torch.arange(size + 1, device=starts.device)  # (N, S + 1)
    floor = edges.floor()
    index = torch.cat([floor, floor + 1], dim=1).long().clamp(min=0)
    return Edges(torch.minimum(index, lengths[:, None]), *_weights(floor, edges - floor, steps[:, None]))


def _weights(pixel: torch.Tensor, share: torch.Tensor, step: torch.Tensor | float) -> tuple[torch.Tensor, ...]:
    """`Edges.first`, `between` and `last` from each edge's pixel and from the share of it that lies before the edge."""
    is_one = pixel[..., 1:] == pixel[..., :-1]
    first = torch.where(is_one, torch.as_tensor(step, dtype=share.dtype), 1 - share[..., :-1])
    return first.float(), (~is_one).float(), torch.where(is_one, 0, share[..., 1:]).float()


def part_sums(corners: torch.Tensor, rows: Edges, columns: Edges) -> torch.Tensor:
    """Sums (N, h, w, 3) float32 over the parts.

    Args:
        corners: (N, 2 * (h + 1), 2 * (w + 1), 3): the integral image at the `index` of rows and of columns.
        rows, columns: of both axes.
    """
    between, edge = (_mixed(*_split(values, 2), columns, 2) for values in _split(corners, 1))
    return _mixed(between, edge, rows, 1)


def _split(values: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums over the pixels between two edges (n), and over the pixel at each edge (n + 1), along one axis."""
    count = values.shape[axis] // 2
    pixel, following = values.narrow(axis, 0, count), values.narrow(axis, count, count)
    return pixel.narrow(axis, 1, count - 1) - following.narrow(axis, 0, count - 1), following - pixel


def _mixed(between: torch.Tensor, edge: torch.Tensor, edges: Edges, axis: int) -> torch.Tensor:
    """Sums float32 over the parts of an axis of (N, h, w, 3)."""
    count, edge = between.shape[axis], edge.float()
    shape = (-1, count, 1, 1) if axis == 1 else (-1, 1, count, 1)
    first, middle, last = (weights.reshape(shape) for weights in edges[1:])
    sums = between.float() * middle
    return sums.addcmul_(edge.narrow(axis, 0, count), first).addcmul_(edge.narrow(axis, 1, count), last)
