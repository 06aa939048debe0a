"""All levels of a pyramid on one sheet, so that P-Net sees them in one run.

Levels lie side by side, none is cut. Cells of different levels never overlap there, so cells may be suppressed on the sheet as
a whole. Sides are multiples of `CANVAS_UNIT`, so that photos of similar sizes make the same input shapes.
"""

from typing import NamedTuple, Sequence

import numpy as np
import torch

from mtcnn_gluon.engines.base import Level
from mtcnn_gluon.engines.skyline import Skyline
from mtcnn_gluon.engines.torch_sampling import Edges, level_edges, part_sums
from mtcnn_gluon.layers import CANVAS_UNIT, View


class Place(NamedTuple):
    """A level on a sheet: its first pixel, without the margin, its size, and how it is made from the integral image."""

    y: int
    x: int
    level: Level
    rows: Edges
    columns: Edges
    area: float  # of a pixel of the level, in pixels of the photo


class Sheet:
    """The plan of a sheet for photos of one size.

    Args:
        shape: height and width of the photos in pixels.
        levels: at least one, largest first.
        view: what P-Net sees.
        device: of the tensors.

    Attributes:
        height, width: size of the sheet in pixels.
        rows, columns: size of P-Net's output that counts.
        owner: (rows, columns) int64, the index of the level of each cell; the number of levels where there is none.
        origin: (L, 2) row and column on the sheet of each level's first cell; cells beyond the photo have negative places.
    """

    def __init__(self, shape: tuple[int, int], levels: Sequence[Level], view: View, device: torch.device) -> None:
        self._view = view
        sizes = [(view.padded(level.height), view.padded(level.width)) for level in levels]
        self.height, self.width, corners = _pack(sizes, view.stride)
        self.rows, self.columns = view.outputs(self.height), view.outputs(self.width)
        owner = np.full((self.rows, self.columns), len(levels))
        for index, ((y, x), (height, width)) in enumerate(zip(corners, sizes)):
            row, column = y // view.stride, x // view.stride
            owner[row : row + view.outputs(height), column : column + view.outputs(width)] = index
        self.owner = torch.from_numpy(owner).to(device)
        self.origin = (np.array(corners) + view.overhang) // view.stride
        self._places = [_place(corner, level, shape, view, device) for corner, level in zip(corners, levels)]

    def draw(self, integrals: torch.Tensor, mean: float, scale: float) -> torch.Tensor:
        """The sheets (N, 3, height, width) float32, in channels-last memory, of photos given as `torch_sampling.integral`.

        Values are (pixel - mean) * scale.
        """
        background = -mean * scale if self._view.context else 0.0  # only margins matter
        sheet = torch.full((len(integrals), self.height, self.width, 3), background, device=integrals.device)
        for place in self._places:
            corners = integrals.index_select(1, place.rows.index).index_select(2, place.columns.index)
            means = part_sums(corners, place.rows, place.columns) / place.area
            self._put(sheet, (means - mean) * scale, place)
        return sheet.permute(0, 3, 1, 2)

    def _put(self, sheet: torch.Tensor, pixels: torch.Tensor, place: Place) -> None:
        """Put a level on its place. Without a margin, its last lines are repeated up to a multiple of the stride."""
        y, x, (height, width, *_) = place.y, place.x, place.level
        sheet[:, y : y + height, x : x + width] = pixels
        if self._view.context:
            return
        below, right = y + self._view.padded(height), x + self._view.padded(width)
        if below > y + height:
            sheet[:, y + height : below, x : x + width] = pixels[:, -1:]
        if right > x + width:
            sheet[:, y:below, x + width : right] = sheet[:, y:below, x + width - 1 : x + width]


def _place(corner: tuple[int, int], level: Level, shape: tuple[int, int], view: View, device: torch.device) -> Place:
    rows, columns = (
        level_edges(length, size, level.halvings).to(device) for length, size in zip(shape, (level.height, level.width))
    )
    used = [side >> level.halvings << level.halvings for side in shape]
    area = used[0] / level.height * (used[1] / level.width)
    return Place(corner[0] + view.margin, corner[1] + view.margin, level, rows, columns, area)


def _pack(sizes: Sequence[tuple[int, int]], unit: int) -> tuple[int, int, list[tuple[int, int]]]:
    """Height and width of the smaller of two sheets, as wide as the first rectangle or the first two, and the places on it."""
    best: tuple[int, int, list[tuple[int, int]]] | None = None
    for count in (1, 2):
        width = _whole(sum(width for _, width in sizes[:count]))
        skyline = Skyline(width, None, unit)
        places = [place for place in (skyline.take(*size) for size in sizes) if place]
        height = _whole(skyline.used)
        if best is None or height * width < best[0] * best[1]:
            best = height, width, places
    assert best is not None
    return best


def _whole(side: int) -> int:
    return -(-side // CANVAS_UNIT) * CANVAS_UNIT
