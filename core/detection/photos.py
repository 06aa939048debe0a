"""The photos of a batch on the CPU: drawing pyramids and crops for an engine's nets, and suppression."""

from typing import Callable, Literal, Mapping, Sequence

import cv2
import numpy as np

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.detection import pyramid
from mtcnn_gluon.engines.base import Cells, Engine, Level, Photos, mean_with_mirrored
from mtcnn_gluon.layers import View
from mtcnn_gluon.operators import crop_resize, grouped_nms
from mtcnn_gluon.operators.crop_resize import empty_images

CROP_BATCH = 256  # largest number of crops in memory


class CpuPhotos(Photos):
    """See `Photos`. The arguments are those of `Engine.take_in`, and the engine whose nets run."""

    def __init__(
        self, engine: Engine, images: Sequence[np.ndarray], mean: float, scale: float, is_bgr: bool, views: Mapping[str, View]
    ) -> None:
        self.shapes = [(image.shape[0], image.shape[1]) for image in images]
        self._images = [cv2.cvtColor(image, cv2.COLOR_RGB2BGR) for image in images] if is_bgr else images
        self._engine, self._mean, self._scale, self._views = engine, mean, scale, views
        self._threads = engine.kernel_threads

    def scan(self, levels: Sequence[Sequence[Level]], thresholds: np.ndarray, overlap: float) -> Cells:
        """See `Photos.scan`."""
        found = self.cells(levels, thresholds)
        view = self._views["pnet"]
        squares = box_ops.cell_boxes(found.places, view.stride, view.cell)
        keep = grouped_nms(squares, found.scores, found.level, overlap)
        return Cells(*(values[keep] for values in found))

    def cells(self, levels: Sequence[Sequence[Level]], thresholds: np.ndarray) -> Cells:
        """All cells of P-Net that reach the threshold. For the arguments see `Photos.scan`."""
        view, threads = self._views["pnet"], self._threads
        sources = [
            source for image, each in zip(self._images, levels) for source in pyramid.level_sources(image, each, threads)
        ]
        found = [Cells.none()]
        for canvas in pyramid.plan_canvases(tuple((each.height, each.width) for each in sources), view):
            pixels = pyramid.fill_canvas(canvas, sources, self._mean, self._scale, threads, self._engine.dtype)
            probability, offsets = self._engine.pnet(pixels)  # (h, w), (4, h, w)
            whole = probability[: view.outputs(canvas.height), : view.outputs(canvas.width)]
            rows, columns = np.nonzero(whole >= min(thresholds[piece.level] for piece in canvas.pieces))
            inside, level, places = pyramid.locate_cells(canvas, rows, columns)
            rows, columns = rows[inside], columns[inside]
            scores = probability[rows, columns]
            passed = scores >= thresholds[level]
            taken = rows[passed], columns[passed]
            found.append(Cells(level[passed], places[passed], scores[passed], offsets[:, taken[0], taken[1]].T))
        return Cells(*(np.concatenate(parts) for parts in zip(*found)))

    def look(
        self, net: Literal["rnet", "onet"], image: np.ndarray, boxes: np.ndarray, is_mirrored_too: bool
    ) -> list[np.ndarray]:
        """See `Photos.look`."""
        run: Callable[[np.ndarray], Sequence[np.ndarray]] = getattr(self._engine, net)
        outputs: list[list[np.ndarray]] = []
        for start in range(0, len(boxes), CROP_BATCH):
            part = slice(start, start + CROP_BATCH)
            crops = self._crop(image[part], boxes[part], self._views[net].size)
            first = list(run(crops))
            if is_mirrored_too:
                first = mean_with_mirrored(first, run(np.ascontiguousarray(crops[:, :, :, ::-1])))
            outputs.append(first)
        return [np.concatenate(parts) for parts in zip(*outputs)]

    def suppress(self, boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, overlap: float) -> np.ndarray:
        """See `Photos.suppress`."""
        return grouped_nms(boxes, scores, groups, overlap)

    def _crop(self, image: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
        """Parts (N, 3, size, size) of the photos, the input of a net."""
        options = self._mean, self._scale, self._threads, self._engine.dtype
        if len(self._images) == 1:
            return crop_resize(self._images[0], boxes, size, *options)
        crops = empty_images(len(boxes), size, size, self._engine.dtype)
        for index in np.unique(image):
            rows = image == index
            crops[rows] = crop_resize(self._images[index], boxes[rows], size, *options)
        return crops
