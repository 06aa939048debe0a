"""Errors of the five landmarks.

The error of a point is its distance from the annotated point, divided by the distance of the annotated eyes (`eyes`) or by the
geometric mean of the annotated box's sides (`box`). A face's error is the mean error of its five points. A face fails if its
error is above 10 %.

On given boxes, a bundle's O-Net places landmarks in the smallest square around each annotated box. On detected boxes, a
photo's detections are matched one to one with its annotated faces: best score first, each with the remaining face of the
largest IoU, if that is at least 0.5. Faces without known landmarks are matched too; otherwise their detections could match a
neighbour. A face without a detection is not found: it has no error, and counts as failed in `failures_of_all`.
"""

from dataclasses import dataclass
from typing import Any, Literal, Mapping, Sequence

import numpy as np

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.detection import cascade
from mtcnn_gluon.detection.cascade import Candidates
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.errors import DataError
from mtcnn_gluon.evaluation.bootstrap import Figures, resample
from mtcnn_gluon.evaluation.coverage import Coverage, Missing, cover
from mtcnn_gluon.evaluation.results import DIGITS, Detections, Results
from mtcnn_gluon.evaluation.run import Job
from mtcnn_gluon.faces import face_dicts
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.options import Meaning, checked
from mtcnn_gluon.prepare_data.annotations import Annotations, Photo

Normaliser = Literal["eyes", "box"]
On = Literal["given", "detected"]

IOU = 0.5
FAILED = 0.1
NO_POINTS = "faces that were found without landmarks, counted as not found"
NO_SIZE = "annotated faces whose eyes, or the corners of whose box, coincide, left out"
NO_BOXES = np.zeros((0, 4))


@dataclass(frozen=True, eq=False)
class LandmarkFigures(Figures):
    """The landmark errors of a detector.

    The figures are `mean_error` and `mean_error_LANDMARK` as shares of the normaliser, `failures` (share of the faces found),
    `failures_of_all` and `found` (shares of all faces).
    """

    on: On  # measured on given boxes or on detected ones
    photo: np.ndarray  # (F,) index in the coverage of each annotated face's photo
    errors: np.ndarray  # (F, 5) errors of each face's points as shares of the normaliser; NaN if it was not found
    points: np.ndarray  # (F, 5, 2) x, y in pixels of the photo; NaN if the face was not found
    truth: np.ndarray  # (F, 5, 2) annotated x, y


def place_landmarks(detector: Detector, image: np.ndarray, job: Job) -> dict[str, Any]:
    """O-Net's landmarks and scores for the given boxes, in their order, as the `faces` of a result file."""
    boxes = np.array(job.boxes, np.float32).reshape(-1, 4)
    points, scores = landmarks_in(detector, image, boxes)
    return {"faces": face_dicts(boxes, scores, points, DIGITS)}


def landmarks_in(detector: Detector, image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """O-Net's landmarks (N, 5, 2) in pixels, and face probabilities (N,), for the squares around boxes (N, 4).

    Args:
        detector: detector with the bundle to use.
        image: (H, W, 3) uint8 RGB.
        boxes: float32 x1, y1, x2, y2 with positive sides.
    """
    squares = box_ops.crop_squares(boxes, detector.settings.box_convention)
    faces = Candidates(np.zeros(len(boxes), np.int64), squares, np.ones(len(boxes), np.float32))
    scores, _, points = cascade.run_on_crops([image], faces, detector.engine, "onet", detector.settings)
    return box_ops.decode_landmarks(squares, points), scores


def annotated(annotations: Annotations) -> list[Photo]:
    """The photos that have faces with known landmarks, with only these faces.

    Raises:
        DataError: if there is none.
    """
    photos = []
    for photo in annotations.photos:
        kept = photo.has_landmarks & ~photo.ignore
        if kept.any():
            arrays = (photo.boxes, photo.ignore, photo.landmarks, photo.scores)
            photos.append(Photo(printable(photo.path), *(array[kept] for array in arrays)))
    if not photos:
        raise DataError(f"none of the {len(annotations.photos)} annotated photos has a face with landmarks")
    return photos


def other_faces(annotations: Annotations) -> dict[str, np.ndarray]:
    """Boxes (N, 4) of the faces that `annotated` leaves out, by photo."""
    others = {printable(photo.path): photo.boxes[~photo.has_landmarks | photo.ignore] for photo in annotations.photos}
    return {path: boxes for path, boxes in others.items() if len(boxes)}


def evaluate(
    photos: Sequence[Photo],
    results: Sequence[Results],
    on: On,
    normaliser: Normaliser = "eyes",
    missing: Missing = "leave-out",
    resamples: int = 0,
    total: int | None = None,
    others: Mapping[str, np.ndarray] | None = None,
) -> tuple[Coverage, list[LandmarkFigures]]:
    """Measure detectors, all on the same photos.

    Args:
        photos: annotated faces, as from `annotated`.
        results: what each detector found; for `given`, one detection for each annotated face, in their order.
        on: given boxes or detected ones.
        normaliser: length that errors are divided by.
        missing, total: see `coverage.cover`.
        resamples: number of resamples of the photos for confidence intervals.
        others: boxes of faces that are not measured, as from `other_faces`.

    Returns:
        the evaluated photos, and the figures of each detector.

    Raises:
        ConfigError: if `on`, `normaliser` or `missing` has another value.
        DataError: if no photo can be evaluated, or results hold no landmarks.
    """
    checked("on", on, On, Meaning(""))
    checked("normaliser", normaliser, Normaliser, Meaning(""))
    coverage = cover([photo.path for photo in photos], results, missing, (), total)
    kept = set(coverage.names)
    used = [photo for photo in photos if photo.path in kept]
    weights = resample(len(used), resamples)
    return coverage, [_measure(used, others or {}, each, on, normaliser, weights) for each in results]


def _measure(
    photos: Sequence[Photo],
    others: Mapping[str, np.ndarray],
    results: Results,
    on: On,
    normaliser: Normaliser,
    weights: np.ndarray,
) -> LandmarkFigures:
    found = [results.photos.get(photo.path, Detections.NONE) for photo in photos]
    if any(map(len, found)) and all(np.isnan(each.landmarks).all() for each in found):
        raise DataError(f"{results.name}: the results hold no landmarks")
    if on == "given":
        points = np.concatenate([_in_order(*each) for each in zip(photos, found)])  # (F, 5, 2)
    else:
        beside = [others.get(photo.path, NO_BOXES) for photo in photos]
        points = np.concatenate([_matched(*each, results) for each in zip(photos, beside, found)])
    truth = np.concatenate([photo.landmarks for photo in photos]).astype(np.float64)
    index = np.repeat(np.arange(len(photos)), [len(photo) for photo in photos])
    unit = np.concatenate([sizes(photo, normaliser) for photo in photos])  # (F,)
    usable = unit > 0
    for row in np.flatnonzero(~usable):
        results.problems.found[NO_SIZE].append(f"{photos[index[row]].path}: {normaliser}")
    points, truth, index, unit = points[usable], truth[usable], index[usable], unit[usable]
    errors = np.hypot(*np.moveaxis(points - truth, -1, 0)) / unit[:, None]  # (F, 5)
    sums = _sums(errors, index, len(photos))
    values = {name: None if np.isnan(value) else float(value) for name, value in _figures(sums.sum(0)).items()}
    samples = _figures(np.moveaxis(weights @ sums, -1, 0))
    return LandmarkFigures(results.name, values, samples, on, index, errors, points, truth)


def _in_order(photo: Photo, found: Detections) -> np.ndarray:
    """Landmarks (N, 5, 2) of detections that are in the order of the annotated faces."""
    if len(found) != len(photo):
        raise DataError(f"{photo.path}: expected results for {len(photo)} given boxes, got {len(found)}")
    return found.landmarks


def _matched(photo: Photo, beside: np.ndarray, found: Detections, results: Results) -> np.ndarray:
    """Landmarks (N, 5, 2) of the detection that matches each annotated face; NaN if there is none."""
    rows = match(np.concatenate([photo.boxes, beside]), found)[: len(photo)]
    points = np.concatenate([found.landmarks, np.full((1, 5, 2), np.nan)])[rows]
    for face in np.flatnonzero((rows >= 0) & np.isnan(points).any((1, 2))):
        results.problems.found[NO_POINTS].append(f"{results.name}: {photo.path}: face {face}")
    return points


def match(faces: np.ndarray, found: Detections) -> np.ndarray:
    """Index (N,) of the detection that matches each of the annotated faces (N, 4); -1 if there is none."""
    rows = np.full(len(faces), -1)
    free = box_ops.iou(found.boxes, faces.astype(np.float64))  # (M, N)
    for row in np.argsort(-found.scores, kind="stable"):
        best = int(free[row].argmax())
        if free[row, best] >= IOU:
            rows[best] = row
            free[:, best] = 0
    return rows


def sizes(photo: Photo, normaliser: Normaliser) -> np.ndarray:
    """Lengths (N,) in pixels that errors are divided by: distance of the eyes, or geometric mean of the box's sides."""
    if normaliser == "eyes":
        return np.hypot(*(photo.landmarks[:, 0] - photo.landmarks[:, 1]).astype(np.float64).T)
    return np.sqrt(box_ops.area(photo.boxes.astype(np.float64)))


def _sums(errors: np.ndarray, index: np.ndarray, photos: int) -> np.ndarray:
    """Numbers of faces, found faces and failed ones, and the sum of each point's errors, of each photo: (photos, 8)."""
    is_found = ~np.isnan(errors).any(1)
    filled = np.where(is_found[:, None], errors, 0)
    rows = np.column_stack([np.ones(len(errors)), is_found, filled.mean(1) > FAILED, filled])
    sums = np.zeros((photos, 8))
    np.add.at(sums, index, rows)
    return sums


def _figures(sums: np.ndarray) -> dict[str, np.ndarray]:
    """The figures from sums (8, ...) over photos; NaN where there are no faces."""
    faces, found, failed, *points = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "mean_error": sum(points) / 5 / found,
            **{f"mean_error_{name}": total / found for name, total in zip(LANDMARK_NAMES, points)},
            "failures": failed / found,
            "failures_of_all": (failed + faces - found) / faces,
            "found": found / faces,
        }
