"""What each stage of a cascade lets through: recall of annotated faces against the number of proposals.

The stages run one after the other as in detection, except that the one being looked at has a threshold near 0 (`FLOOR`); the
stages before it have their own. A proposal is a box as the stage hands it on: calibrated, squared for the next stage, after
suppression. Suppression is greedy from the best score down, so the proposals of at least some score are the same ones that a
threshold of that score would give, and one run tells about all thresholds. An annotated face is recalled at a threshold if a
proposal of at least that score overlaps it by half (intersection over union). Sizes are the shorter sides of faces in pixels.
Faces to be ignored, and those smaller than the smallest that the cascade looks for, do not count.

Suggested thresholds: for mining, where samples for the next net should hold nearly all faces and many false ones but be of a
bounded number, the lowest of `GRID` with at most `MINING` proposals a photo; for detection, the highest one that keeps 95 % of
the faces found at the one for mining. O-Net's output is the result: its threshold is the one with the best F1, the harmonic
mean of precision and recall (the lowest of equals), and nothing is mined with it. For precision, a proposal that is the first
on a face is right, one on an ignored or too small face is not counted, any other one is wrong.
"""

import time
from dataclasses import dataclass, replace
from typing import Any, Sequence

import numpy as np

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.detection import cascade
from mtcnn_gluon.detection.cascade import Candidates, Settings
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.evaluation.run import Job

STAGES = ("pnet", "rnet", "onet")
FLOOR = 0.1
GRID = np.round(np.arange(0.1, 0.995, 0.01), 2)  # (G,) thresholds
EDGES = (0, 20, 40, 80, 160)  # pixels, where sizes of faces change to the next
IOU = 0.5
MINING = {"pnet": 500.0, "rnet": 100.0}  # proposals a photo
KEEP_DETECTION = 0.95
NEVER = -1.0  # the score of a face that no proposal overlaps


@dataclass(frozen=True, eq=False)
class Curve:
    """A stage over a set of photos.

    Attributes:
        stage: `pnet`, `rnet` or `onet`.
        proposals: (G,) a photo, at each of `GRID`.
        recall: (G,) of all faces, NaN if there are none.
        recall_by_size: (S, G) of the faces of each size, NaN where there are none.
        precision: (G,) of proposals, NaN where there are none.
        faces: (S,) number of faces of each size.
        mining, detection: suggested thresholds; None if the stage finds no face, for mining also if nothing is mined with it.
        current: the bundle's own threshold.
        surest: the score that one proposal of a thousand exceeds; None if there is no proposal.
    """

    stage: str
    proposals: np.ndarray
    recall: np.ndarray
    recall_by_size: np.ndarray
    precision: np.ndarray
    faces: np.ndarray
    mining: float | None
    detection: float | None
    current: float
    surest: float | None


def run_stages(detector: Detector, image: np.ndarray, job: Job) -> dict[str, Any]:
    """What each stage of `detector` finds in a photo whose annotated faces are `job.boxes`.

    Returns:
        `stages`: for each, `scores` of all proposals; `own`, for each proposal, the index of the face it overlaps most, or -1
        if none by half; `faces`, for each face, the best score among the proposals that overlap it by half, or -1.
    """
    faces = np.array(job.boxes, np.float32).reshape(-1, 4)
    found = {}
    for stage, (boxes, scores) in zip(STAGES, _proposals(detector, image)):
        overlaps = box_ops.iou(boxes, faces)  # (M, N)
        hits = np.where(overlaps >= IOU, scores[:, None], NEVER)
        own = np.where(overlaps.max(1, initial=0) >= IOU, overlaps.argmax(1), -1) if len(faces) else np.full(len(boxes), -1)
        found[stage] = {
            "scores": [round(float(v), 6) for v in scores],
            "own": own.tolist(),
            "faces": [round(float(v), 6) for v in hits.max(0, initial=NEVER)],
        }
    return {"stages": found}


def _proposals(detector: Detector, image: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Boxes (M, 4) and scores (M,) that each stage hands on at `FLOOR`, given what the stages before it pass."""
    own = detector.settings.thresholds
    engine, images = detector.engine, [image]
    proposed = cascade.propose(images, engine, _with(detector.settings, 0))
    refined = cascade.refine(images, _at_least(proposed, own[0]), engine, _with(detector.settings, 1))
    faces = cascade.output(images, _at_least(refined, own[1]), engine, _with(detector.settings, 2))[0]
    return [(proposed.boxes, proposed.scores), (refined.boxes, refined.scores), (faces.boxes, faces.scores)]


def _with(settings: Settings, stage: int) -> Settings:
    """The settings with one stage's threshold near 0."""
    thresholds = list(settings.thresholds)
    thresholds[stage] = min(FLOOR, thresholds[stage])
    return replace(settings, thresholds=(thresholds[0], thresholds[1], thresholds[2]))


def _at_least(candidates: Candidates, threshold: float) -> Candidates:
    return candidates.take(candidates.scores >= threshold)


def time_stages(detector: Detector, images: Sequence[np.ndarray]) -> np.ndarray:
    """Seconds (P, 3) that each stage takes for each of P photos, one at a time, at the detector's own thresholds."""
    seconds = np.zeros((len(images), len(STAGES)))
    for row, image in zip(seconds, images):
        batch = [image]
        start = time.perf_counter()
        candidates = cascade.propose(batch, detector.engine, detector.settings)
        row[0] = time.perf_counter() - start
        candidates = cascade.refine(batch, candidates, detector.engine, detector.settings)
        row[1] = time.perf_counter() - start - row[0]
        cascade.output(batch, candidates, detector.engine, detector.settings)
        row[2] = time.perf_counter() - start - row[0] - row[1]
    return seconds


def sweep(
    rows: Sequence[dict[str, Any]], sides: Sequence[np.ndarray], ignore: Sequence[np.ndarray], about: dict
) -> list[Curve]:
    """The curve of each stage.

    Args:
        rows: what `run_stages` says of each photo.
        sides: for each photo, the shorter side (N,) of every annotated face in pixels.
        ignore: for each photo, which of its faces (N,) do not count.
        about: the cascade's `thresholds` and `min_face`.
    """
    counts = [~skip & (side >= about["min_face"]) for side, skip in zip(sides, ignore)]
    side = np.concatenate([each[mask] for each, mask in zip(sides, counts)])  # (F,)
    curves = []
    for stage, threshold in zip(STAGES, about["thresholds"]):
        parts = [row["stages"][stage] for row in rows]
        best = np.concatenate([np.array(part["faces"], np.float64)[mask] for part, mask in zip(parts, counts)])
        scores = np.concatenate([np.array(part["scores"], np.float64) for part in parts])
        right, wrong = _judge(parts, counts)
        curves.append(_curve(stage, threshold, len(rows), best, side, scores, right, wrong))
    return curves


def _judge(parts: Sequence[dict[str, Any]], counts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the proposals that are right, and of those that are wrong."""
    right, wrong = [np.zeros(0)], [np.zeros(0)]
    for part, mask in zip(parts, counts):
        scores, own = np.array(part["scores"], np.float64), np.array(part["own"], np.int64)
        order = np.argsort(-scores, kind="stable")
        scores, own = scores[order], own[order]
        is_first = np.zeros(len(own), bool)
        is_first[np.unique(own, return_index=True)[1]] = True
        has_face = own >= 0
        skipped = has_face.copy()
        skipped[has_face] = ~mask[own[has_face]]
        right.append(scores[has_face & ~skipped & is_first])
        wrong.append(scores[~skipped & ~(has_face & is_first)])
    return np.concatenate(right), np.concatenate(wrong)


def _curve(
    stage: str,
    current: float,
    photos: int,
    best: np.ndarray,
    side: np.ndarray,
    scores: np.ndarray,
    right: np.ndarray,
    wrong: np.ndarray,
) -> Curve:
    groups = np.searchsorted(EDGES, side, side="right") - 1  # (F,)
    masks = [groups == index for index in range(len(EDGES))]
    with np.errstate(invalid="ignore"):
        recall = _reaching(best) / np.float64(len(best))
        by_size = np.stack([_reaching(best[mask]) / np.float64(mask.sum()) for mask in masks])
        precision = _reaching(right) / (_reaching(right) + _reaching(wrong))
    mining, detection = suggest(stage, _reaching(scores) / photos, recall, precision)
    faces = np.array([mask.sum() for mask in masks])
    surest = float(np.quantile(scores, 0.999)) if len(scores) else None
    return Curve(stage, _reaching(scores) / photos, recall, by_size, precision, faces, mining, detection, current, surest)


def _reaching(scores: np.ndarray) -> np.ndarray:
    """How many of `scores` (M,) are at least each of `GRID`: (G,) float64."""
    return (len(scores) - np.searchsorted(np.sort(scores), GRID - 1e-9, side="left")).astype(np.float64)


def suggest(stage: str, proposals: np.ndarray, recall: np.ndarray, precision: np.ndarray) -> tuple[float | None, float | None]:
    """Thresholds for mining and for detection, see above, from curves (G,)."""
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
    """Index in `GRID` of the lowest threshold with at most `budget` of `proposals` (G,) a photo; None if all have more."""
    within = np.flatnonzero(proposals <= budget)
    return int(within[0]) if len(within) else None
