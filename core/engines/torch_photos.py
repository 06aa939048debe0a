"""The photos of a batch on the device of the engine `torch`: pyramids and crops are drawn there, and cells suppressed.

Photos go to the device once. Of each stage only what passes its threshold comes back: the best cells, or the outputs for boxes.
"""

from typing import TYPE_CHECKING, Iterator, Literal, Mapping, NamedTuple, Sequence

import numpy as np
import torch

from mtcnn_gluon.engines.base import Cells, Level, Photos, mean_with_mirrored
from mtcnn_gluon.engines.torch_sampling import crop_edges, integral, part_sums
from mtcnn_gluon.engines.torch_sheets import Sheet
from mtcnn_gluon.engines.torch_suppression import grid_neighbours, grouped_suppression, suppress_on_grids
from mtcnn_gluon.layers import View
from mtcnn_gluon.operators import grouped_nms

if TYPE_CHECKING:
    from mtcnn_gluon.engines.torch import TorchEngine

FEW_BOXES = 4096  # up to so many are compared on the CPU, which takes less than the way to a GPU and back


class _Group(NamedTuple):
    """The photos of one size: their indices in the batch, and their integral images (N, H + 1, W + 1, 3)."""

    indices: list[int]
    integrals: torch.Tensor


class TorchPhotos(Photos):
    """See `Photos`. The arguments are those of `Engine.take_in`, and the engine whose nets run."""

    def __init__(
        self, engine: "TorchEngine", images: Sequence[np.ndarray], mean: float, scale: float, is_bgr: bool,
        views: Mapping[str, View],
    ) -> None:  # fmt: skip
        self.shapes = [(image.shape[0], image.shape[1]) for image in images]
        self._engine, self._mean, self._scale, self._views = engine, mean, scale, views
        by_shape: dict[tuple[int, int], list[int]] = {}
        for index, shape in enumerate(self.shapes):
            by_shape.setdefault(shape, []).append(index)
        with engine.at_work():
            self._groups = []
            for indices in by_shape.values():
                photos = engine.upload([images[index] for index in indices])
                self._groups.append(_Group(indices, integral(photos.flip(3) if is_bgr else photos)))
            self._pixels = self._one_after_the_other()

    def _one_after_the_other(self) -> torch.Tensor:
        """All integral images as one array (P, 3), of which the groups keep views; `_starts` is where each photo's begins."""
        self._starts = np.zeros(len(self.shapes), np.int64)
        flat = [group.integrals.reshape(-1, 3) for group in self._groups]
        pixels, begin = flat[0] if len(flat) == 1 else torch.cat(flat), 0
        for place, (indices, integrals) in enumerate(self._groups):
            count = len(flat[place])
            self._starts[indices] = begin + count // len(indices) * np.arange(len(indices))
            self._groups[place] = _Group(indices, pixels[begin : begin + count].view(integrals.shape))
            begin += count
        return pixels

    def scan(self, levels: Sequence[Sequence[Level]], thresholds: np.ndarray, overlap: float) -> Cells:
        """See `Photos.scan`."""
        begins = np.cumsum([0, *map(len, levels)])
        parts, origins = [], np.zeros((begins[-1], 2), np.int64)
        with self._engine.at_work():
            for group in self._groups:
                first = group.indices[0]
                if not levels[first]:
                    continue
                sheet = self._engine.sheet(self.shapes[first], tuple(levels[first]), self._views["pnet"])
                limits = thresholds[begins[first] : begins[first + 1]]  # the same for all photos of the size
                for index in group.indices:
                    origins[begins[index] : begins[index + 1]] = sheet.origin
                parts += list(self._scan_group(group, sheet, limits, begins, overlap))
            if not parts:
                return Cells.none()
            ints = torch.cat(parts).cpu().numpy()  # (N, 8)
        level, places = ints[:, 0].astype(np.int64), ints[:, 1:3].astype(np.int64)
        values = np.ascontiguousarray(ints[:, 3:]).view(np.float32)  # (N, 5)
        order = np.lexsort((-values[:, 0], level))
        level, places, values = level[order], places[order], values[order]
        return Cells(level, places - origins[level], values[:, 0], values[:, 1:])

    def _scan_group(
        self, group: _Group, sheet: Sheet, limits: np.ndarray, begins: np.ndarray, overlap: float
    ) -> Iterator[torch.Tensor]:
        """The best cells of photos of one size: (N, 8) int32, level, row and column on the sheet, bits of score and offsets."""
        engine, view, mean, scale = self._engine, self._views["pnet"], self._mean, self._scale
        neighbours = grid_neighbours(view.stride, view.cell, overlap)
        limit = torch.from_numpy(np.append(limits, np.float32(np.inf))).to(engine.device)[sheet.owner]  # (rows, columns)

        def look(integrals: torch.Tensor) -> torch.Tensor:
            return engine.scan_sheets(sheet.draw(integrals, mean, scale), sheet.rows, sheet.columns, view)

        at_once = max(1, engine.sheet_pixels // (sheet.height * sheet.width))
        for start in range(0, len(group.indices), at_once):
            part = slice(start, start + at_once)
            maps = engine.graphs.run((id(sheet), mean, scale), look, group.integrals[part])
            cells = (maps[:, 0] >= limit).nonzero()  # maps (n, 5, rows, columns) -> (N, 3)
            scores = maps[:, 0][tuple(cells.T)]
            is_kept = suppress_on_grids(cells, (len(maps), sheet.rows, sheet.columns), scores, neighbours)
            photo, row, column = cells[is_kept].T
            values = maps.permute(0, 2, 3, 1)[photo, row, column]  # (N, 5)
            first = torch.from_numpy(begins[group.indices[part]]).to(engine.device)
            level = first[photo] + sheet.owner[row, column]
            yield torch.cat([torch.stack([level, row, column], 1).int(), values.contiguous().view(torch.int32)], 1)

    def look(
        self, net: Literal["rnet", "onet"], image: np.ndarray, boxes: np.ndarray, is_mirrored_too: bool
    ) -> list[np.ndarray]:
        """See `Photos.look`."""
        engine, size = self._engine, self._views[net].size
        found: list[torch.Tensor] = []
        with engine.at_work():
            ints, floats = self._on_device(image, boxes, size)
            at_once = max(1, engine.crop_corners // (2 * size + 2) ** 2)
            for start in range(0, len(boxes), at_once):
                part = slice(start, start + at_once)
                crops = self._crop(ints[part], floats[part], size)
                outputs = [engine.run_crops(net, crops)]
                if is_mirrored_too:
                    outputs.append(engine.run_crops(net, crops.flip(3)))
                found.append(torch.stack(outputs))  # (1 or 2, n, 5 or 15)
            values = torch.cat(found, 1).cpu().numpy()
        ends = (1, 5, values.shape[2]) if net == "onet" else (1, 5)
        first, *mirrored = (
            [np.ascontiguousarray(each[:, 0]), *(np.ascontiguousarray(each[:, i:j]) for i, j in zip(ends, ends[1:]))]
            for each in values
        )
        return mean_with_mirrored(first, mirrored[0]) if mirrored else first

    def suppress(self, boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, overlap: float) -> np.ndarray:
        """See `Photos.suppress`."""
        if len(boxes) <= FEW_BOXES or self._engine.float64_device != self._engine.device:
            return grouped_nms(boxes, scores, groups, overlap)
        with self._engine.at_work():
            return grouped_suppression(boxes, scores, groups, overlap, self._engine.device)

    def _on_device(self, image: np.ndarray, boxes: np.ndarray, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What `_crop` needs of boxes: (N, 3) int64 start, height and width of the photo; (N, 4) float64 x, y and steps."""
        low, high = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
        ints = np.column_stack([self._starts[image], np.array(self.shapes, np.int64)[image]])
        device = self._engine.float64_device
        return torch.from_numpy(ints).to(device), torch.from_numpy(np.hstack([low, (high - low) / size])).to(device)

    def _crop(self, ints: torch.Tensor, floats: torch.Tensor, size: int) -> torch.Tensor:
        """Parts (N, 3, size, size) float32 of the photos, in channels-last memory: the input of a net. See `_on_device`."""
        (start, height, width), (x, y, step_x, step_y) = ints.T, floats.T
        rows, columns = crop_edges(y, step_y, size, height), crop_edges(x, step_x, size, width)
        index = (rows.index * (width[:, None] + 1))[:, :, None] + columns.index[:, None, :] + start[:, None, None]
        device = self._engine.device
        sums = part_sums(self._pixels[index.to(device)], rows.to(device), columns.to(device))  # (N, S, S, 3)
        means = sums / (step_x * step_y).float().to(device)[:, None, None, None]
        return ((means - self._mean) * self._scale).permute(0, 3, 1, 2)
