"""The stages of a cascade: recall of annotated faces against the number of proposals.

The stages run one after the other as in detection, except that the measured stage has a low threshold (`FLOOR`); the stages
before it have their own. A proposal is a box that the stage passes on: calibrated, squared for the next stage, after
non-maximum suppression. Suppression is greedy from the best score down. So the proposals with at least some score are those
that this score as a threshold would give, and one run is enough for all thresholds. An annotated face is recalled at a
threshold if a proposal of at least that score has an IoU of 0.5 or more with it. Sizes are the shorter sides of faces in
pixels. Faces to be ignored, and faces below the cascade's `min_face`, do not count.

Suggested thresholds:
- For mining: the lowest of `GRID` with at most `MINING` proposals per photo. The samples for the next net should hold nearly
  all faces and many false positives, but be of a limited number.
- For detection: the highest that keeps 95 % of the faces found at the threshold for mining.
- For O-Net, with which nothing is mined: the one with the best F1, the harmonic mean of precision and recall (the lowest of
  equals). For precision, the best proposal on a face is right; proposals on ignored and too small faces are not counted; all
  others are wrong.
"""

import math
import time
from dataclasses import dataclass, replace
from typing import Any, Iterable, Sequence

import numpy as np

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.detection import cascade
from mtcnn_gluon.detection.cascade import Candidates, Settings
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.evaluation import wider
from mtcnn_gluon.evaluation.run import Job

STAGES = ("pnet", "rnet", "onet")
FLOOR = 0.1
GRID = np.round(np.arange(0.1, 0.995, 0.01), 2)  # (G,) thresholds
EDGES = (0, 20, 40, 80, 160)  # limits of the size classes of faces in pixels
IOU = 0.5
MINING = {"pnet": 500.0, "rnet": 100.0}  # proposals per photo
KEEP_DETECTION = 0.95
NEVER = -1.0  # the score of a face that no proposal overlaps


@dataclass(frozen=True, eq=False)
class Curve:
    """The figures of a stage on a set of photos, at each threshold of `GRID`."""

    stage: str  # `pnet`, `rnet` or `onet`
    proposals: np.ndarray  # (G,) number per photo
    recall: np.ndarray  # (G,) of all faces; NaN if there are none
    recall_by_size: np.ndarray  # (S, G) of the faces of each size; NaN where there are none
    precision: np.ndarray  # (G,) of the proposals; NaN where there are none
    faces: np.ndarray  # (S,) number of faces of each size
    mining: float | None  # suggested threshold; None for O-Net, or if the stage finds no face
    detection: float | None  # suggested threshold; None if the stage finds no face
    current: float  # the bundle's own threshold
    top_score: float | None  # the 99.9th percentile of the proposals' scores; None if there is no proposal


def run_stages(detector: Detector, image: np.ndarray, job: Job) -> dict[str, Any]:
    """The proposals of each stage of `detector` in a photo with the annotated faces `job.boxes`.

    Returns:
        `stages`, by name: `scores` of all proposals; `own`, for each proposal the index of the face with the largest IoU, or
        -1 if that is below `IOU`; `faces`, for each face the best score of the proposals with at least that IoU, or -1.
    """
    faces = np.array(job.boxes, np.float32).reshape(-1, 4)
    found = {}
    for stage, (boxes, scores) in zip(STAGES, _proposals(detector, image)):
        overlaps = np.hstack([box_ops.iou(boxes, faces), np.zeros((len(boxes), 1))])  # (M, N + 1), the last for no face
        own = np.where(overlaps.max(1) >= IOU, overlaps.argmax(1), -1)
        best = np.where(overlaps[:, :-1] >= IOU, scores[:, None], NEVER).max(0, initial=NEVER)
        found[stage] = {"scores": _rounded(scores), "own": own.tolist(), "faces": _rounded(best)}
    return {"stages": found}


def _rounded(scores: np.ndarray) -> list[float]:
    return [round(float(score), 6) for score in scores]


def _proposals(detector: Detector, image: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Boxes (M, 4) and scores (M,) that each stage passes on at `FLOOR`, with the stages before it at their own thresholds."""
    engine, settings, images = detector.engine, detector.settings, [image]

    def passed(candidates: Candidates, stage: int) -> Candidates:
        return candidates.take(candidates.scores >= settings.thresholds[stage])

    depends_on_side = math.isfinite(settings.large_side)  # then a stage's threshold cannot be applied to what it returns
    proposed = cascade.propose(images, engine, _with_floor(settings, 0))
    first = cascade.propose(images, engine, settings) if depends_on_side else passed(proposed, 0)
    refined = cascade.refine(images, first, engine, _with_floor(settings, 1))
    second = cascade.refine(images, first, engine, settings) if depends_on_side else passed(refined, 1)
    faces = cascade.output(images, second, engine, _with_floor(settings, 2))[0]
    return [(proposed.boxes, proposed.scores), (refined.boxes, refined.scores), (faces.boxes, faces.scores)]


def _with_floor(settings: Settings, stage: int) -> Settings:
    """The settings with the threshold of one stage at `FLOOR`, or its own if that is lower, for candidates of all sides."""
    first, second, third = (min(FLOOR, own) if index == stage else own for index, own in enumerate(settings.thresholds))
    a, b, c = (1.0 if index == stage else own for index, own in enumerate(settings.large_factors))
    return replace(settings, thresholds=(first, second, third), large_factors=(a, b, c))


def time_stages(detector: Detector, images: Iterable[np.ndarray]) -> np.ndarray:
    """Seconds (P, 3) of each stage for each of P photos, one at a time, at the detector's own thresholds."""
    engine, settings, times = detector.engine, detector.settings, []
    for image in images:
        moments = [time.perf_counter()]
        candidates = cascade.propose([image], engine, settings)
        moments.append(time.perf_counter())
        candidates = cascade.refine([image], candidates, engine, settings)
        moments.append(time.perf_counter())
        cascade.output([image], candidates, engine, settings)
        times.append([*moments, time.perf_counter()])
    return np.diff(times) if times else np.zeros((0, len(STAGES)))


def sweep(
    rows: Sequence[dict[str, Any]], sides: Sequence[np.ndarray], ignore: Sequence[np.ndarray], about: dict
) -> list[Curve]:
    """The curve of each stage.

    Args:
        rows: what `run_stages` returns for each photo.
        sides: shorter sides (N,) in pixels of the annotated faces of each photo.
        ignore: (N,) bool, the faces of each photo that do not count.
        about: the cascade's `thresholds` and `min_face`.
    """
    counts = [~skip & (side >= about["min_face"]) for side, skip in zip(sides, ignore)]
    side = np.concatenate([each[mask] for each, mask in zip(sides, counts)])  # (F,)
    groups = np.searchsorted(EDGES, side, side="right") - 1  # (F,)
    masks = [groups == index for index in range(len(EDGES))]
    curves = []
    for stage, current in zip(STAGES, about["thresholds"]):
        parts = [row["stages"][stage] for row in rows]
        best = np.concatenate([np.array(part["faces"], np.float64)[mask] for part, mask in zip(parts, counts)])  # (F,)
        scores = np.concatenate([np.array(part["scores"], np.float64) for part in parts])
        right, wrong = map(_reaching, _right_and_wrong(parts, counts))
        proposals = _reaching(scores) / len(rows)
        with np.errstate(invalid="ignore"):
            recall = _reaching(best) / np.float64(len(best))
            by_size = np.stack([_reaching(best[mask]) / np.float64(mask.sum()) for mask in masks])
            precision = right / (right + wrong)
        suggested = suggest(stage, proposals, recall, precision)
        top_score = float(np.quantile(scores, 0.999)) if len(scores) else None
        faces = np.array([mask.sum() for mask in masks])
        curves.append(Curve(stage, proposals, recall, by_size, precision, faces, *suggested, current, top_score))
    return curves


def _right_and_wrong(parts: Sequence[dict[str, Any]], counts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the proposals that are right, and of those that are wrong."""
    right, wrong = [np.zeros(0)], [np.zeros(0)]
    for part, mask in zip(parts, counts):
        scores, own = np.array(part["scores"], np.float64), np.array(part["own"], np.int64)
        order = np.argsort(-scores, kind="stable")
        counted, is_first = wider.proposals(own[order], mask)
        right.append(scores[order][is_first])
        wrong.append(scores[order][counted & ~is_first])
    return np.concatenate(right), np.concatenate(wrong)


def _reaching(scores: np.ndarray) -> np.ndarray:
    """How many of `scores` (M,) reach each threshold of `GRID`: (G,) float64."""
    return (len(scores) - np.searchsorted(np.sort(scores), GRID - 1e-9, side="left")).astype(np.float64)


def suggest(stage: str, proposals: np.ndarray, recall: np.ndarray, precision: np.ndarray) -> tuple[float | None, float | None]:
    """Suggested thresholds for mining and for detection from curves (G,), see above."""
    if not recall[0] > 0:
        return None, None
    if stage not in MINING:
        with np.errstate(invalid="ignore"):
            f1 = np.nan_to_num(2 * precision * recall / (precision + recall))
        return None, float(GRID[f1.argmax()])
    lowest = at_budget(proposals, MINING[stage])
    start = len(GRID) - 1 if lowest is None else lowest
    kept = np.flatnonzero(recall >= KEEP_DETECTION * recall[start])
    return float(GRID[start]), float(GRID[kept[-1]])


def at_budget(proposals: np.ndarray, budget: float) -> int | None:
    """Index in `GRID` of the lowest threshold with at most `budget` of `proposals` (G,) per photo; None if all have more."""
    within = np.flatnonzero(proposals <= budget)
    return int(within[0]) if len(within) else None
