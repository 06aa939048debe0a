"""WIDER FACE's protocol: average precision over a whole set (Yang et al., 2016), as its published MATLAB program does it.

1. Scores of all detections of the set are scaled together, so that the lowest is 0 and the highest 1. (The program starts its
   search for the highest at the smallest positive float32, which matters if all scores are negative. Where all scores are
   the same it divides by zero; here they are 1.)
2. In each photo, detections go best first, equal scores in their order in the file. Each looks at the annotated face that it
   overlaps most, the first of equals. Overlap is intersection over union of boxes whose corners are whole pixels that belong
   to them: width is x2 - x1 + 1 with x2 = x + w. Below 0.5, or what else is told, the detection has no face.
3. If that face is ignored in the set, the detection does not count at all. Otherwise it is a proposal, and if it is the first
   one on its face, the face is found; a second one stays a proposal that finds nothing.
4. For each of the thresholds 0.999, 0.998 ... 0, precision is found faces over proposals and recall found faces over all that
   count, summed over all photos. Photos without any annotated face are skipped, with all that was found in them.
5. Average precision is the area under precision made monotone, as in PASCAL VOC since 2010.
"""

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.evaluation.bootstrap import interval, resample
from mtcnn_gluon.evaluation.coverage import Coverage, Missing, cover
from mtcnn_gluon.evaluation.results import Detections, Results
from mtcnn_gluon.evaluation.wider_truth import Truth, TruthPhoto

IOU = 0.5
THRESHOLDS = 1 - np.arange(1, 1001) / 1000  # (T,)
LOWEST_MAXIMUM = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class PhotoMatch:
    """One photo's detections, best first, and the annotated face that each belongs to.

    Attributes:
        scores: (M,) float64, scaled over the whole set to 0..1.
        order: (M,) the detections' places in `Detections`.
        faces: (M,) index of the face, or -1.
        overlaps: (M,) intersection over union with the most overlapped face, 0..1.
    """

    scores: np.ndarray
    order: np.ndarray
    faces: np.ndarray
    overlaps: np.ndarray


@dataclass(frozen=True, eq=False)
class SetOutcome:
    """How a detector does on one set of faces.

    Attributes:
        ap: average precision in 0..1; None if no face counts.
        precision, recall: (T,) at each of `THRESHOLDS`.
        faces: number of faces that count.
        interval: the middle 95 % of `ap` over resamples of the photos, if there are resamples.
        samples: (B,) `ap` of each resample, NaN where no face counts.
    """

    ap: float | None
    precision: np.ndarray
    recall: np.ndarray
    faces: int
    interval: tuple[float, float] | None
    samples: np.ndarray


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a detector does: `sets` by name, and `matches`, one a photo of the coverage."""

    name: str
    sets: dict[str, SetOutcome]
    matches: tuple[PhotoMatch, ...]


def evaluate(
    truth: Truth, results: Sequence[Results], missing: Missing = "leave-out", resamples: int = 0, overlap: float = IOU
) -> tuple[Coverage, list[Outcome]]:
    """Measure detectors, all on the same photos.

    Args:
        truth: the annotated faces.
        results: what each detector found.
        missing: see `coverage.cover`.
        resamples: of the photos, for intervals; the same for all detectors.
        overlap: with a face, from which a detection has it; above 0, at most 1. WIDER FACE's is 0.5.

    Returns:
        the photos that figures stand on, and an outcome for each detector.

    Raises:
        ConfigError: if `overlap` is out of range.
        DataError: if there is no photo that figures could stand on.
    """
    check_overlap(overlap)
    coverage = cover(truth.names, results, missing, truth.remarks, truth.total)
    kept = set(coverage.names)
    photos = [photo for photo in truth.photos if photo.name in kept]
    weights = resample(len(photos), resamples)
    return coverage, [_measure(truth, photos, each, weights, overlap) for each in results]


def check_overlap(overlap: float) -> None:
    """Raises ConfigError if no face could be found from that overlap on, or any face by any detection."""
    if not 0 < overlap <= 1:
        raise ConfigError(f"overlap must be above 0 and at most 1, not {overlap}")


def _measure(truth: Truth, photos: Sequence[TruthPhoto], results: Results, weights: np.ndarray, overlap: float) -> Outcome:
    none = Detections.of_boxes([], [])
    found = [results.photos.get(photo.name, none) for photo in photos]
    scaled = scale_scores([each.scores for each in found])
    matches = tuple(match(photo.boxes, each.boxes, scores, overlap) for photo, each, scores in zip(photos, found, scaled))
    sets = {name: _measure_set(photos, matches, index, weights) for index, name in enumerate(truth.sets)}
    return Outcome(results.name, sets, matches)


def _measure_set(photos: Sequence[TruthPhoto], matches: Sequence[PhotoMatch], index: int, weights: np.ndarray) -> SetOutcome:
    """Average precision on set number `index`, with resamples whose weights are (B, P)."""
    counts = np.stack([tally(each, photo.counts[index]) for each, photo in zip(matches, photos)])  # (P, 2, T)
    faces = np.array([photo.counts[index].sum() for photo in photos])  # (P,)
    precision, recall = precision_recall(counts.sum(0), faces.sum())
    ap = average_precision(precision, recall)
    sums = weights @ counts.reshape(len(photos), -1).astype(np.float32)  # (B, 2 T), whole numbers below 2 ** 24: exact
    curves = precision_recall(sums.reshape(len(weights), 2, len(THRESHOLDS)), weights @ faces)
    samples = average_precision(*curves)
    total = int(faces.sum())
    return SetOutcome(float(ap) if total else None, precision, recall, total, interval(samples), samples)


def scale_scores(scores: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Scores (M,) of each photo, scaled to 0..1 over all photos together, see step 1."""
    every = np.concatenate([*scores, np.zeros(0)])
    if not len(every):
        return list(scores)
    low, high = every.min(), max(every.max(), LOWEST_MAXIMUM)
    if low == high:
        return [np.ones_like(each) for each in scores]
    return [(each - low) / (high - low) for each in scores]


def inclusive_overlap(found: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Intersection over union (M, N), in 0..1, of boxes (M, 4) and (N, 4) whose corners are pixels that belong to them."""
    corner = np.maximum(found[:, None, :2], faces[None, :, :2])
    opposite = np.minimum(found[:, None, 2:], faces[None, :, 2:])
    sides = np.maximum(opposite - corner + 1, 0)  # (M, N, 2)
    shared = sides[..., 0] * sides[..., 1]
    areas = [(boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1) for boxes in (faces, found)]
    union = areas[0][None, :] + areas[1][:, None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)  # malformed annotations have odd areas


def match(faces: np.ndarray, boxes: np.ndarray, scores: np.ndarray, least: float = IOU) -> PhotoMatch:
    """The annotated face of each detection, see step 2.

    Args:
        faces: (N, 4) annotated boxes.
        boxes, scores: (M, 4) and (M,) detections in any order.
        least: overlap, in 0..1, from which a detection has a face.
    """
    order = np.argsort(-scores, kind="stable")
    if not len(faces) or not len(boxes):
        return PhotoMatch(scores[order], order, np.full(len(boxes), -1), np.zeros(len(boxes)))
    overlaps = inclusive_overlap(boxes[order], faces)  # (M, N)
    best = overlaps.argmax(1)
    overlap = overlaps[np.arange(len(best)), best]
    return PhotoMatch(scores[order], order, np.where(overlap >= least, best, -1), overlap)


def finds(matched: PhotoMatch, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which detections (M,) are proposals, and which of them are the first on a face that counts, see step 3.

    Args:
        matched: a photo's detections.
        counts: (N,) bool, which of its faces count.
    """
    has_face = matched.faces >= 0
    is_ignored = has_face.copy()
    is_ignored[has_face] = ~counts[matched.faces[has_face]]
    candidates = np.flatnonzero(has_face & ~is_ignored)
    _, first = np.unique(matched.faces[candidates], return_index=True)
    is_first = np.zeros(len(has_face), bool)
    is_first[candidates[first]] = True
    return ~is_ignored, is_first


def tally(matched: PhotoMatch, counts: np.ndarray) -> np.ndarray:
    """Proposals and found faces of one photo at each threshold: (2, T) whole numbers."""
    if not len(counts):
        return np.zeros((2, len(THRESHOLDS)), np.int64)
    sums = np.zeros((2, len(matched.scores) + 1), np.int64)
    np.cumsum(finds(matched, counts), axis=1, out=sums[:, 1:])
    reached = np.searchsorted(-matched.scores, -THRESHOLDS, side="right")  # (T,) detections of at least that score
    return sums[:, reached]


def precision_recall(counts: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall (..., T) from proposals and found faces (..., 2, T) and the number of faces (...).

    Precision is 0 where there are no proposals, which no face can have been found by; recall is NaN without faces.
    """
    proposals, found = counts[..., 0, :].astype(np.float64), counts[..., 1, :].astype(np.float64)
    precision = np.divide(found, proposals, out=np.zeros_like(found), where=proposals > 0)
    with np.errstate(invalid="ignore"):
        return precision, found / np.asarray(faces, np.float64)[..., None]


def average_precision(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """Area (...) under curves (..., T), by the VOC 2010 rule; NaN where recall is.

    Precision at a recall is the highest one at that recall or a greater one; recall does not fall from left to right.
    """
    edge = np.zeros((*recall.shape[:-1], 1))
    steps = np.diff(np.concatenate([edge, recall], -1), axis=-1)
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    return (steps * envelope).sum(-1)
