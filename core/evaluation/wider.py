"""WIDER FACE's protocol: average precision over a whole set (Yang et al., 2016), computed as its published MATLAB program does.

1. The scores of all detections of the set are scaled together: the lowest becomes 0, the highest 1. (The program starts its
   search for the highest at the smallest positive float32, which matters if all scores are negative. It divides by zero if all
   scores are the same; here they become 1.)
2. In each photo, the detections are taken best first, equal scores in the order of the file. Each is matched with the annotated
   face of the largest overlap, the first of equals. Overlap is the IoU of boxes that include the pixels of both corners: width
   is x2 - x1 + 1 with x2 = x + w. A detection with an overlap below 0.5, or another given one, has no face.
3. If the matched face is ignored in the set, the detection does not count. Otherwise it is a proposal. The first proposal on a
   face finds it; later ones are false positives.
4. For each of the thresholds 0.999, 0.998 ... 0, precision is found faces / proposals and recall is found faces / all faces
   that count, summed over all photos. Photos without annotated faces are skipped, with all detections in them.
5. Average precision is the area under the monotone precision curve, as in PASCAL VOC since 2010.
"""

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from mtcnn_gluon.evaluation.bootstrap import Figures, resample
from mtcnn_gluon.evaluation.coverage import Coverage, Missing, cover
from mtcnn_gluon.evaluation.results import Detections, Results
from mtcnn_gluon.evaluation.wider_truth import Truth, TruthPhoto
from mtcnn_gluon.options import Meaning, checked

IOU = 0.5
THRESHOLDS = 1 - np.arange(1, 1001) / 1000  # (T,)
LOWEST_MAXIMUM = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class PhotoMatch:
    """The detections of one photo, best first, with their annotated faces.

    Attributes:
        scores: (M,) float64, scaled over the whole set to 0..1.
        order: (M,) indices in `Detections`.
        faces: (M,) index of the matched face, or -1.
        overlaps: (M,) largest overlap with any face, 0..1.
    """

    scores: np.ndarray
    order: np.ndarray
    faces: np.ndarray
    overlaps: np.ndarray


@dataclass(frozen=True, eq=False)
class WiderFigures(Figures):
    """Average precision in 0..1 on each set of faces; None if no face counts.

    Attributes:
        precision, recall: (T,) at each of `THRESHOLDS`, by set.
        faces: number of faces that count, by set.
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
        resamples: number of resamples of the photos for confidence intervals.
        overlap: smallest overlap of a detection with its face, above 0 and at most 1; WIDER FACE's is 0.5.

    Returns:
        the evaluated photos, and the figures of each detector.

    Raises:
        ConfigError: if `missing` or `overlap` has another value.
        DataError: if no photo can be evaluated.
    """
    checked("overlap", overlap, float, Meaning("", above=0, most=1))
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
    """Step 1: the scores (M,) of each photo, scaled to 0..1 over all photos together."""
    every = np.concatenate([*scores, np.zeros(0)])
    if not len(every):
        return list(scores)
    low, high = every.min(), max(every.max(), LOWEST_MAXIMUM)
    return [np.ones_like(each) if low == high else (each - low) / (high - low) for each in scores]


def inclusive_overlap(found: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """IoU (M, N), in 0..1, of boxes (M, 4) and (N, 4) that include the pixels of both corners."""
    corner = np.maximum(found[:, None, :2], faces[None, :, :2])
    opposite = np.minimum(found[:, None, 2:], faces[None, :, 2:])
    shared = np.maximum(opposite - corner + 1, 0).prod(-1)  # (M, N)
    areas = [(boxes[:, 2:] - boxes[:, :2] + 1).prod(1) for boxes in (faces, found)]
    union = areas[0][None, :] + areas[1][:, None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)  # malformed annotations may have no area


def match(faces: np.ndarray, boxes: np.ndarray, scores: np.ndarray, least: float = IOU) -> PhotoMatch:
    """Step 2: the annotated face of each detection.

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


def proposals(faces: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Step 3: which detections (M,) are proposals, and which of them are the first on a face that counts.

    Args:
        faces: (M,) index of each detection's face, or -1, best detection first.
        counts: (N,) bool, which faces count.
    """
    counted = np.append(counts, False)[faces]  # (M,); -1, no face, is the last
    is_first = np.zeros(len(counted), bool)
    is_first[np.unique(np.where(counted, faces, -1), return_index=True)[1]] = True
    return counted | (faces < 0), is_first & counted


def tally(matched: PhotoMatch, counts: np.ndarray) -> np.ndarray:
    """Numbers of proposals and of found faces of one photo at each threshold: (2, T) int64."""
    if not len(counts):
        return np.zeros((2, len(THRESHOLDS)), np.int64)
    sums = np.zeros((2, len(matched.scores) + 1), np.int64)
    np.cumsum(proposals(matched.faces, counts), axis=1, out=sums[:, 1:])
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
    """Step 5: the area (...) under curves (..., T) whose recall does not fall; NaN where recall is NaN.

    The precision at a recall is the highest one at that recall or a larger one.
    """
    steps = np.diff(recall, axis=-1, prepend=0)
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    return (steps * envelope).sum(-1)
