"""Errors of the five landmarks.

The error of a point is its distance from where it was annotated, over the distance of the annotated eyes (`eyes`) or over the
geometric mean of the sides of the annotated box (`box`). A face's error is the mean of its five points'. It fails if that is
more than 10 %.

Landmarks are measured on given boxes, where a bundle's O-Net looks at the smallest square around each annotated box, or on
detected faces, where a photo's detections are matched one to one with its annotated faces, best score first, each with the
face that it overlaps most among those left, if at least half (intersection over union). Faces without known landmarks are
matched too, so that a detection of theirs does not stand for a neighbour. A face that no detection is matched with is not
found: it has no error, and counts as failed in `failures_of_all`.
"""

from dataclasses import dataclass
from typing import Any, Literal, Mapping, Sequence, get_args

import numpy as np

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.detection import cascade
from mtcnn_gluon.detection.cascade import Candidates
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.errors import ConfigError, DataError, shown
from mtcnn_gluon.evaluation.bootstrap import interval, resample
from mtcnn_gluon.evaluation.coverage import Coverage, Missing, cover
from mtcnn_gluon.evaluation.results import DIGITS, Detections, Results
from mtcnn_gluon.evaluation.run import Job
from mtcnn_gluon.faces import face_dicts
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.prepare_data.annotations import Annotations, Photo

Normaliser = Literal["eyes", "box"]
On = Literal["given", "detected"]

IOU = 0.5
FAILED = 0.1
NO_POINTS = "faces that were found without landmarks, counted as not found"
NO_SIZE = "annotated faces whose eyes, or the corners of whose box, coincide, left out"


@dataclass(frozen=True, eq=False)
class Outcome:
    """How well a detector places landmarks.

    Attributes:
        name: of the detector.
        on: whether on given boxes or on detected ones.
        photo: (F,) index, in the coverage, of each annotated face's photo.
        errors: (F, 5) of each annotated face's points, as shares of the normaliser; NaN if it was not found.
        figures: `mean_error` and `mean_error_LANDMARK` as shares of the normaliser, `failures` (share of the faces found)
            and `failures_of_all` (share of all), `found` (share of all); None where nothing was found.
        intervals: the middle 95 % of each figure over resamples of the photos, None without resamples.
        samples: (B,) each figure in each resample.
        points: (F, 5, 2) in pixels of the photo, NaN if not found.
        truth: (F, 5, 2) the annotated ones.
    """

    name: str
    on: On
    photo: np.ndarray
    errors: np.ndarray
    figures: dict[str, float | None]
    intervals: dict[str, tuple[float, float] | None]
    samples: dict[str, np.ndarray]
    points: np.ndarray
    truth: np.ndarray


def place_landmarks(detector: Detector, image: np.ndarray, job: Job) -> dict[str, Any]:
    """What `detector`'s O-Net says of the faces in given boxes, as the `faces` of a result file, in their order."""
    boxes = np.array(job.boxes, np.float32).reshape(-1, 4)
    points, scores = landmarks_in(detector, image, boxes)
    return {"faces": face_dicts(boxes, scores, points, DIGITS)}


def landmarks_in(detector: Detector, image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (N, 5, 2) in pixels, and face probabilities (N,), by O-Net for the squares around boxes (N, 4).

    Args:
        detector: whose bundle is used.
        image: (H, W, 3) uint8 RGB.
        boxes: float32 x1, y1, x2, y2 with positive sides.
    """
    squares = box_ops.crop_squares(boxes, detector.settings.box_convention)
    faces = Candidates(np.zeros(len(boxes), np.int64), squares, np.ones(len(boxes), np.float32))
    scores, _, points = cascade.run_on_crops([image], faces, detector.engine, "onet", detector.settings)
    return box_ops.decode_landmarks(squares, points), scores


def annotated(annotations: Annotations) -> list[Photo]:
    """The photos of a list that have a face with known landmarks, with only those of their faces.

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
    """Boxes (N, 4), by photo, of the faces that `annotated` leaves out of its photos."""
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
) -> tuple[Coverage, list[Outcome]]:
    """Measure detectors, all on the same photos.

    Args:
        photos: annotated faces, as `annotated` gives them.
        results: what each detector found; for `given`, one detection an annotated face, in their order.
        on: given boxes or detected ones.
        normaliser: what errors are a share of.
        missing: see `coverage.cover`.
        resamples: of the photos, for intervals; the same for all detectors.
        total: number of photos in the set, if `photos` are not all of them.
        others: boxes of faces that are not measured, as `other_faces` gives them.

    Returns:
        the photos that figures stand on, and an outcome for each detector.

    Raises:
        ConfigError: if an option is none of those above.
        DataError: if there is no photo that figures could stand on, or results hold no landmarks.
    """
    for name, value, known in (("on", on, get_args(On)), ("normaliser", normaliser, get_args(Normaliser))):
        if value not in known:
            raise ConfigError(f"{name} must be one of {', '.join(known)}, not {shown(value)}")
    coverage = cover([photo.path for photo in photos], results, missing, (), total)
    kept = set(coverage.names)
    used = [photo for photo in photos if photo.path in kept]
    weights = resample(len(used), resamples)
    beside = [(others or {}).get(photo.path, np.zeros((0, 4))) for photo in used]
    return coverage, [_measure(used, beside, each, on, normaliser, weights) for each in results]


def _measure(
    photos: Sequence[Photo],
    beside: Sequence[np.ndarray],
    results: Results,
    on: On,
    normaliser: Normaliser,
    weights: np.ndarray,
) -> Outcome:
    none = Detections.of_boxes([], [])
    found = [results.photos.get(photo.path, none) for photo in photos]
    if any(len(each) for each in found) and all(np.isnan(each.landmarks).all() for each in found):
        raise DataError(f"{results.name}: the results hold no landmarks")
    pick = _in_order if on == "given" else _matched
    points = np.concatenate([pick(*each, results) for each in zip(photos, beside, found)])  # (F, 5, 2)
    truth = np.concatenate([photo.landmarks for photo in photos]).astype(np.float64)
    index = np.repeat(np.arange(len(photos)), [len(photo) for photo in photos])
    unit = np.concatenate([sizes(photo, normaliser) for photo in photos])  # (F,)
    usable = unit > 0
    for row in np.flatnonzero(~usable):
        results.problems.found[NO_SIZE].append(f"{photos[index[row]].path}: {normaliser}")
    points, truth, index, unit = points[usable], truth[usable], index[usable], unit[usable]
    errors = np.hypot(*np.moveaxis(points - truth, -1, 0)) / unit[:, None]  # (F, 5)
    sums = _sums(errors, index, len(photos))
    figures = {name: None if np.isnan(value) else float(value) for name, value in _figures(sums.sum(0)).items()}
    samples = _figures(np.moveaxis(weights @ sums, -1, 0))
    intervals = {name: interval(values) for name, values in samples.items()}
    return Outcome(results.name, on, index, errors, figures, intervals, samples, points, truth)


def _in_order(photo: Photo, beside: np.ndarray, found: Detections, results: Results) -> np.ndarray:
    """Landmarks (N, 5, 2) of detections that stand for the annotated faces one by one."""
    if len(found) != len(photo):
        raise DataError(f"{photo.path}: expected results for {len(photo)} given boxes, got {len(found)}")
    return found.landmarks


def _matched(photo: Photo, beside: np.ndarray, found: Detections, results: Results) -> np.ndarray:
    """Landmarks (N, 5, 2) of the detection that is matched with each annotated face, NaN if there is none."""
    rows = match(np.concatenate([photo.boxes, beside]), found)[: len(photo)]
    is_found = rows >= 0
    points = np.full((len(photo), 5, 2), np.nan)
    points[is_found] = found.landmarks[rows[is_found]]
    for face in np.flatnonzero(is_found & np.isnan(points).any((1, 2))):
        results.problems.found[NO_POINTS].append(f"{results.name}: {photo.path}: face {face}")
    return points


def match(faces: np.ndarray, found: Detections) -> np.ndarray:
    """The detection (N,) that is matched with each of the annotated faces (N, 4), -1 if there is none."""
    rows = np.full(len(faces), -1)
    free = box_ops.iou(found.boxes, faces.astype(np.float64))  # (M, N)
    for row in np.argsort(-found.scores, kind="stable"):
        best = int(free[row].argmax())
        if free[row, best] >= IOU:
            rows[best] = row
            free[:, best] = 0
    return rows


def sizes(photo: Photo, normaliser: Normaliser) -> np.ndarray:
    """What errors are a share of: the distance of the eyes, or the geometric mean of the box's sides, (N,) in pixels."""
    if normaliser == "eyes":
        return np.hypot(*(photo.landmarks[:, 0] - photo.landmarks[:, 1]).astype(np.float64).T)
    return np.sqrt(box_ops.area(photo.boxes.astype(np.float64)))


def _sums(errors: np.ndarray, index: np.ndarray, photos: int) -> np.ndarray:
    """For each photo: faces, faces found, faces found that fail, and the sum of errors of each point: (photos, 8)."""
    is_found = ~np.isnan(errors).any(1)
    filled = np.where(is_found[:, None], errors, 0)
    rows = np.column_stack([np.ones(len(errors)), is_found, filled.mean(1) > FAILED, filled])
    sums = np.zeros((photos, 8))
    np.add.at(sums, index, rows)
    return sums


def _figures(sums: np.ndarray) -> dict[str, np.ndarray]:
    """The figures of an `Outcome`, from sums (8, ...) over photos; NaN where there is nothing to divide by."""
    faces, found, failed, *points = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        figures = {"mean_error": sum(points) / 5 / found}
        figures.update({f"mean_error_{name}": total / found for name, total in zip(LANDMARK_NAMES, points)})
        figures.update(
            {"failures": failed / found, "failures_of_all": (failed + faces - found) / faces, "found": found / faces}
        )
    return figures
