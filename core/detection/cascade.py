"""The cascade of Zhang et al. (2016), section II-A: propose with P-Net, refine with R-Net, output with O-Net.

All functions work on a batch of images and on plain arrays. An `Engine` runs the nets. What reads pixels is done by `Photos`,
on the CPU or on the engine's device: each stage gives them boxes and gets back what the nets see there.
"""

from dataclasses import dataclass, replace
from typing import Literal, Mapping, Sequence

import numpy as np

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.boxes import BoxConvention
from mtcnn_gluon.config import HEADS, SURE
from mtcnn_gluon.detection import pyramid
from mtcnn_gluon.detection.photos import CpuPhotos
from mtcnn_gluon.engines.base import Engine, Photos
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.layers import View
from mtcnn_gluon.operators import nms

Images = Sequence[np.ndarray] | Photos  # (H, W, 3) uint8 RGB arrays of any sizes, or what `take_in` has made of them


@dataclass(frozen=True)
class Settings:
    """What the cascade needs in addition to the nets.

    Attributes:
        min_face: side in pixels of the smallest face to find.
        factor: scale between neighbouring levels of the pyramid, in (0, 1).
        thresholds: face probabilities in 0..1 that P-, R- and O-Net must reach.
        large_side, large_factors: from this side in pixels of a candidate on, the thresholds are multiplied by these factors.
        score_weights: by how much the log-odds of P- and of R-Net's score count in a face's score, beside O-Net's.
        nms: overlaps in 0..1 allowed within a P-Net level, across levels and after R-Net (intersection over union), and after
            O-Net (intersection over the smaller box).
        is_bgr: whether the nets expect BGR. Images are always RGB.
        mean, scale: the input of the nets is (pixel - mean) * scale.
        box_convention: how P-Net's cells are decoded, see `boxes`.
        has_landmarks: whether O-Net has landmarks.
        is_accurate: whether R- and O-Net also see each candidate mirrored, and O-Net each face again for its landmarks.
        views: what each net sees of a candidate, by net.
        is_clipped: whether boxes end at the edges of the image.
    """

    min_face: float
    factor: float
    thresholds: tuple[float, float, float]
    large_side: float
    large_factors: tuple[float, float, float]
    score_weights: tuple[float, float]
    nms: tuple[float, float, float, float]
    is_bgr: bool
    mean: float
    scale: float
    box_convention: BoxConvention
    has_landmarks: bool
    is_accurate: bool
    views: Mapping[str, View]
    is_clipped: bool = True

    def threshold(self, stage: int, sides: np.ndarray) -> np.ndarray:
        """Thresholds (N,) float32 of stage 0, 1 or 2 for candidates with these sides (N,) in pixels."""
        low, high = self.thresholds[stage] * self.large_factors[stage], self.thresholds[stage]
        return np.where(sides >= self.large_side, low, high).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Possible faces. Row i of every array belongs to candidate i.

    Attributes:
        image: (N,) index of the image in the batch.
        boxes: (N, 4) float32 in image pixels.
        scores: (N,) float32 in 0..1.
        odds: (N,) float32, the factor by which the scores of all nets so far multiply the odds of a face; None: 1.
    """

    image: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    odds: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: np.ndarray) -> "Candidates":
        """The candidates selected by indices or a mask."""
        return Candidates(self.image[rows], self.boxes[rows], self.scores[rows], None if self.odds is None else self.odds[rows])


def detect(images: Images, engine: Engine, settings: Settings) -> list[Faces]:
    """Faces in each of `images`."""
    photos = take_in(images, engine, settings)
    candidates = propose(photos, engine, settings)
    candidates = refine(photos, candidates, engine, settings)
    return output(photos, candidates, engine, settings)


def take_in(images: Images, engine: Engine, settings: Settings) -> Photos:
    """The images where the engine wants them: on its device if it takes over from the CPU. The stages do it if needed."""
    if isinstance(images, Photos):
        return images
    sampling = images, settings.mean, settings.scale, settings.is_bgr, settings.views
    return engine.take_in(*sampling) or CpuPhotos(engine, *sampling)


def propose(images: Images, engine: Engine, settings: Settings) -> Candidates:
    """Stage one: P-Net on the pyramids of all images. Returns proposals as squares."""
    photos, view = take_in(images, engine, settings), settings.views["pnet"]
    levels = [pyramid.plan_levels(*shape, settings.min_face, settings.factor, view) for shape in photos.shapes]
    level_image = np.repeat(np.arange(len(levels)), [len(each) for each in levels])  # image of each level
    level_scale = np.array([(v.scale_x, v.scale_y) for each in levels for v in each], np.float32).reshape(-1, 2)

    thresholds = settings.threshold(0, view.cell / level_scale[:, 0])  # of each level, by the side of its cells in the image
    level, cells, scores, offsets = photos.scan(levels, thresholds, settings.nms[0])
    squares = box_ops.cell_boxes(cells, view.stride, view.cell)

    image = level_image[level]
    crops = box_ops.cells_to_image(squares, level_scale[level], settings.box_convention)
    keep = photos.suppress(crops, scores, image, settings.nms[1])
    boxes = box_ops.decode_cells(crops[keep], offsets[keep], settings.box_convention)
    squares = box_ops.crop_squares(boxes, settings.box_convention)
    return _visible(Candidates(image[keep], squares, scores[keep], _odds(scores[keep], settings.score_weights[0])), photos)


def refine(images: Images, candidates: Candidates, engine: Engine, settings: Settings) -> Candidates:
    """Stage two: R-Net on every candidate. Returns those that reach the threshold, calibrated and as squares."""
    photos = take_in(images, engine, settings)
    scores, offsets = run_on_crops(photos, candidates, engine, "rnet", settings)
    passed = scores >= settings.threshold(1, _sides(candidates.boxes))
    odds = _odds(scores, settings.score_weights[1], candidates.odds)
    candidates = Candidates(candidates.image, candidates.boxes, scores, odds).take(passed)
    keep = photos.suppress(candidates.boxes, candidates.scores, candidates.image, settings.nms[2])
    candidates = candidates.take(keep)
    boxes = box_ops.decode(candidates.boxes, offsets[passed][keep])
    squares = box_ops.crop_squares(boxes, settings.box_convention)
    return _visible(replace(candidates, boxes=squares), photos)


def output(images: Images, candidates: Candidates, engine: Engine, settings: Settings) -> list[Faces]:
    """Stage three: O-Net on every candidate. Returns the faces in each image, with landmarks if O-Net has any."""
    photos = take_in(images, engine, settings)
    scores, offsets, points = run_on_crops(photos, candidates, engine, "onet", settings)
    if candidates.odds is not None:
        scores = scores * candidates.odds / (scores * candidates.odds + (1 - scores))
    passed = scores >= settings.threshold(2, _sides(candidates.boxes))
    crops = candidates.boxes[passed]
    boxes = box_ops.decode(crops, offsets[passed])
    # Landmarks are relative to the crop, not to the decoded box.
    landmarks = box_ops.decode_landmarks(crops, points[passed]) if settings.has_landmarks else None
    found = Faces(boxes, scores[passed], landmarks)
    image = candidates.image[passed]
    faces = [_suppressed(found[image == index], shape, settings) for index, shape in enumerate(photos.shapes)]
    return _look_again(photos, faces, engine, settings) if settings.is_accurate and settings.has_landmarks else faces


def _look_again(photos: Photos, faces: list[Faces], engine: Engine, settings: Settings) -> list[Faces]:
    """The faces with the mean of their landmarks and of those that O-Net sees in the square around the final box."""
    boxes = np.concatenate([each.boxes for each in faces]).astype(np.float32)
    image = np.repeat(np.arange(len(faces)), [len(each) for each in faces])
    squares = box_ops.crop_squares(boxes, settings.box_convention)
    candidates = Candidates(image, squares, np.ones(len(boxes), np.float32))
    _, _, points = run_on_crops(photos, candidates, engine, "onet", settings)
    second = box_ops.decode_landmarks(squares, points)
    return [replace(each, landmarks=(each.landmarks + second[image == index]) / 2) for index, each in enumerate(faces)]


def _odds(scores: np.ndarray, weight: float, before: np.ndarray | None = None) -> np.ndarray | None:
    """The odds (N,) of scores (N,) to the power of `weight`, times those of the nets before; None if these count for nothing.

    Scores are limited to `SURE` and 1 - `SURE`, where engines differ in the odds by little.
    """
    if not weight:
        return before
    sure = np.clip(scores, SURE, 1 - SURE)
    odds = ((sure / (1 - sure)) ** np.float32(weight)).astype(np.float32)
    return odds if before is None else odds * before


def run_on_crops(
    images: Images, candidates: Candidates, engine: Engine, net: Literal["rnet", "onet"], settings: Settings
) -> list[np.ndarray]:
    """Outputs of R- or O-Net for the crops of all candidates, in their order.

    Returns:
        Scores (N,) and offsets (N, 4); of O-Net also landmarks (N, 10), or (N, 0) if it has none.
    """
    if not len(candidates):
        widths = (HEADS.box,) if net == "rnet" else (HEADS.box, HEADS.landmark * settings.has_landmarks)
        return [np.zeros(0, np.float32), *(np.zeros((0, width), np.float32) for width in widths)]
    boxes = settings.views[net].around(candidates.boxes)
    return take_in(images, engine, settings).look(net, candidates.image, boxes, settings.is_accurate)


def _suppressed(faces: Faces, shape: Sequence[int], settings: Settings) -> Faces:
    """The best of overlapping faces that are visible, clipped to the image if the settings say so."""
    kept = faces[nms(faces.boxes, faces.scores, settings.nms[3], "min")]
    boxes = box_ops.clip(kept.boxes, shape[0], shape[1])
    return (replace(kept, boxes=boxes) if settings.is_clipped else kept)[box_ops.area(boxes) > 0]


def _sides(squares: np.ndarray) -> np.ndarray:
    """Sides (N,) of squares (N, 4)."""
    return squares[:, 2] - squares[:, 0]


def _visible(candidates: Candidates, photos: Photos) -> Candidates:
    """The candidates whose boxes are finite, at least one pixel wide and high, and not entirely outside their image."""
    sizes = np.array(photos.shapes, np.float32).reshape(-1, 2)[candidates.image, ::-1]  # (N, 2) width, height
    low, high = candidates.boxes[:, :2], candidates.boxes[:, 2:]
    with np.errstate(invalid="ignore"):
        return candidates.take(((high - low >= 1) & (high > 0) & (low < sizes)).all(axis=1))
