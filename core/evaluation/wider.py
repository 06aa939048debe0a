"""WIDER FACE's protocol: average precision over a whole set (Yang et al., 2016), as its published MATLAB program does it.

1. Scores of all detections of the set are scaled together, so that the lowest is 0 and the highest 1. (The program starts its
   search for the highest at the smallest positive float32, which matters if all scores are negative. Where all scores are
   the same it divides by zero; here they become 1.)
2. In each photo, detections are taken best first, equal scores in their order in the file. Each is matched with the annotated
   face that it overlaps most, the first of equals. Overlap is intersection over union of boxes whose corners are whole pixels
   that belong to them: width is x2 - x1 + 1 with x2 = x + w. With an overlap below 0.5, or the one given, it has no face.
3. If that face is ignored in the set, the detection does not count at all. Otherwise it is a proposal. The first proposal on a
   face finds it; a second one stays a proposal that finds nothing.
4. For each of the thresholds 0.999, 0.998 ... 0, precision is found faces over proposals and recall is found faces over all
   faces that count, summed over all photos. Photos without annotated faces are skipped with all detections in them.
5. Average precision is the area under precision made monotone, as in PASCAL VOC since 2010.
"""

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.evaluation.bootstrap import Figures, resample
from mtcnn_gluon.evaluation.coverage import Coverage, Missing, cover
from mtcnn_gluon.evaluation.results import Detections, Results
from mtcnn_gluon.evaluation.wider_truth import Truth, TruthPhoto

IOU = 0.5
THRESHOLDS = 1 - np.arange(1, 1001) / 1000  # (T,)
LOWEST_MAXIMUM = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class PhotoMatch:
    """One photo's detections, best first, each with its annotated face.

    Attributes:
        scores: (M,) float64, scaled over the whole set to 0..1.
        order: (M,) the detections' indices in `Detections`.
        faces: (M,) index of the face, or -1.
        overlaps: (M,) intersection over union with the most overlapped face, 0..1.
    """

    scores: np.ndarray
    order: np.ndarray
    faces: np.ndarray
    overlaps: np.ndarray


@dataclass(frozen=True, eq=False)
class WiderFigures(Figures):
    """Average precision, in 0..1, on each set of faces; None if no face counts.

    Attributes:
        precision, recall: (T,) for each set, at each of `THRESHOLDS`.
        faces: for each set, the number of faces that count.
        matches: one for each photo of the coverage.
    """

    precision: dict[str, np.ndarray]
    recall: dict[str, np.ndarray]
    faces: dict[str, int]
    matches: tuple[PhotoMatch, ...]


def evaluate(
    truth: Truth, results: Sequence[Results], missing: Missing = "leave-out", resamples: int = 0, overlap: float = IOU
) -> tuple[Coverage, list[WiderFigures]]:
    """Measure detectors, all on the same photos.

    Args:
        truth: the annotated faces.
        results: what each detector found.
        missing: see `coverage.cover`.
        resamples: of the photos, for intervals.
        overlap: smallest overlap of a detection with its face; above 0, at most 1. WIDER FACE's is 0.5.

    Returns:
        the evaluated photos, and the figures of each detector.

    Raises:
        ConfigError: if `overlap` is out of range.
        DataError: if no photo can be evaluated.
    """
    if not 0 < overlap <= 1:
        raise ConfigError(f"overlap must be above 0 and at most 1, not {overlap}")
    coverage = cover(truth.names, results, missing, truth.remarks, truth.total)
    photos = truth.covered(coverage)
    weights = resample(len(photos), resamples)
    return coverage, [_measure(truth.sets, photos, each, weights, overlap) for each in results]


def _measure(
    sets: Sequence[str], photos: Sequence[TruthPhoto], results: Results, weights: np.ndarray, overlap: float
) -> WiderFigures:
    """The figures of a detector; weights of the photos in each resample are (B, P)."""
    found = [results.photos.get(photo.name, Detections.NONE) for photo in photos]
    scaled = scale_scores([each.scores for each in found])
    matches = tuple(match(photo.boxes, each.boxes, scores, overlap) for photo, each, scores in zip(photos, found, scaled))
    figures = WiderFigures(results.name, {}, {}, {}, {}, {}, matches)
    for index, name in enumerate(sets):
        counts = np.stack([tally(each, photo.counts[index]) for each, photo in zip(matches, photos)])  # (P, 2, T)
        faces = np.array([photo.counts[index].sum() for photo in photos])  # (P,)
        precision, recall = precision_recall(counts.sum(0), faces.sum())
        ap = average_precision(precision, recall)
        sums = weights @ counts.reshape(len(photos), -1).astype(np.float32)  # (B, 2 T), whole numbers below 2 ** 24: exact
        curves = precision_recall(sums.reshape(len(weights), 2, len(THRESHOLDS)), weights @ faces)
        figures.values[name] = float(ap) if faces.sum() else None
        figures.samples[name] = average_precision(*curves)
        figures.precision[name], figures.recall[name], figures.faces[name] = precision, recall, int(faces.sum())
    return figures


def scale_scores(scores: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Scores (M,) of each photo, scaled to 0..1 over all photos together, see step 1."""
    every = np.concatenate([*scores, np.zeros(0)])
    if not len(every):
        return list(scores)
    low, high = every.min(), max(every.max(), LOWEST_MAXIMUM)
    return [np.ones_like(each) if low == high else (each - low) / (high - low) for each in scores]


def inclusive_overlap(found: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Intersection over union (M, N), in 0..1, of boxes (M, 4) and (N, 4) whose corners are pixels that belong to them."""
    corner = np.maximum(found[:, None, :2], faces[None, :, :2])
    opposite = np.minimum(found[:, None, 2:], faces[None, :, 2:])
    shared = np.maximum(opposite - corner + 1, 0).prod(-1)  # (M, N)
    areas = [(boxes[:, 2:] - boxes[:, :2] + 1).prod(1) for boxes in (faces, found)]
    union = areas[0][None, :] + areas[1][:, None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)  # malformed annotations have odd areas


def match(faces: np.ndarray, boxes: np.ndarray, scores: np.ndarray, least: float = IOU) -> PhotoMatch:
    """The annotated face of each detection, see step 2.

    Args:
        faces: (N, 4) annotated boxes.
        boxes, scores: (M, 4) and (M,) detections in any order.
        least: smallest overlap of a detection with its face, in 0..1.
    """
    order = np.argsort(-scores, kind="stable")
    if not len(faces) or not len(boxes):
        return PhotoMatch(scores[order], order, np.full(len(boxes), -1), np.zeros(len(boxes)))
    overlaps = inclusive_overlap(boxes[order], faces)  # (M, N)
    best, overlap = overlaps.argmax(1), overlaps.max(1)
    return PhotoMatch(scores[order], order, np.where(overlap >= least, best, -1), overlap)


def proposals(matched: PhotoMatch, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which detections (M,) are proposals, and which of them are the first on a face that counts, see step 3.

    Args:
        matched: a photo's detections.
        counts: (N,) bool, which of its faces count.
    """
    counted = np.append(counts, False)[matched.faces]  # (M,); -1, no face, is the last
    is_first = np.zeros(len(counted), bool)
    is_first[np.unique(np.where(counted, matched.faces, -1), return_index=True)[1]] = True
    return counted | (matched.faces < 0), is_first & counted


def tally(matched: PhotoMatch, counts: np.ndarray) -> np.ndarray:
    """Proposals and found faces of one photo at each threshold: (2, T) whole numbers."""
    if not len(counts):
        return np.zeros((2, len(THRESHOLDS)), np.int64)
    sums = np.zeros((2, len(matched.scores) + 1), np.int64)
    np.cumsum(proposals(matched, counts), axis=1, out=sums[:, 1:])
    reached = np.searchsorted(-matched.scores, -THRESHOLDS, side="right")  # (T,) detections of at least that score
    return sums[:, reached]


def precision_recall(counts: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall (..., T) from proposals and found faces (..., 2, T) and the number of faces (...).

    Precision is 0 where there are no proposals; recall is NaN without faces.
    """
    proposed, found = counts[..., 0, :].astype(np.float64), counts[..., 1, :].astype(np.float64)
    precision = np.divide(found, proposed, out=np.zeros_like(found), where=proposed > 0)
    with np.errstate(invalid="ignore"):
        return precision, found / np.asarray(faces, np.float64)[..., None]


def average_precision(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """Area (...) under curves (..., T), by the VOC 2010 rule; NaN where recall is.

    Precision at a recall is the highest one at that recall or a greater one; recall does not fall from left to right.
    """
    steps = np.diff(recall, axis=-1, prepend=0)
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    return (steps * envelope).sum(-1)
