"""WIDER FACE's and FDDB's protocols again, slow and plain: the oracles that the package's own are compared with.

Written step by step from what the benchmarks publish, one detection, one threshold and one pixel at a time, in Python's own
numbers. Nothing of the package is used.
"""

import itertools
import math
from typing import Sequence

Box = Sequence[float]  # x, y, width, height


# ---- WIDER FACE


def wider_ap(
    photos: Sequence[tuple[Sequence[Box], Sequence[int]]], found: Sequence[Sequence[Sequence[float]]]
) -> tuple[float, list[float], list[float]]:
    """Average precision, and precision (NaN where there are no proposals) and recall at each of 1,000 thresholds.

    Args:
        photos: for each, the annotated boxes and the 1-based indices of those that count.
        found: for each, rows of x, y, width, height, score.
    """
    scaled = scale_scores(found)
    proposals, recalled = [0] * 1000, [0] * 1000
    faces = 0
    for (boxes, kept), rows in zip(photos, scaled):
        faces += len(kept)
        if not boxes or not rows:
            continue
        rows = sorted(rows, key=lambda row: -row[4])
        counted, so_far = judge_photo(boxes, kept, rows)
        for t in range(1, 1001):
            threshold = 1 - t / 1000
            last = max((h for h, row in enumerate(rows) if row[4] >= threshold), default=None)
            if last is not None:
                proposals[t - 1] += sum(counted[: last + 1])
                recalled[t - 1] += so_far[last]
    precision = [r / p if p else math.nan for r, p in zip(recalled, proposals)]
    recall = [r / faces for r in recalled]
    return voc_ap(recall, precision), precision, recall


def scale_scores(found: Sequence[Sequence[Sequence[float]]]) -> list[list[list[float]]]:
    lowest, highest = 3.4028234663852886e38, 1.1754943508222875e-38
    for rows in found:
        for row in rows:
            lowest, highest = min(lowest, row[4]), max(highest, row[4])
    scaled = []
    for rows in found:
        scaled.append([[*row[:4], (row[4] - lowest) / (highest - lowest) if highest > lowest else 1.0] for row in rows])
    return scaled


def judge_photo(boxes: Sequence[Box], kept: Sequence[int], rows: Sequence[Sequence[float]]) -> tuple[list[int], list[int]]:
    """For each detection, best first: 1 if it is a proposal, and how many faces are recalled with it."""
    state = [0] * len(boxes)  # 1: recalled, -1: ignored and hit
    counted, so_far = [], []
    for row in rows:
        best, best_overlap = 0, -1.0
        for index, box in enumerate(boxes):
            overlap = pixel_box_overlap(box, row)
            if overlap > best_overlap:
                best, best_overlap = index, overlap
        is_proposal = 1
        if best_overlap >= 0.5:
            if best + 1 not in kept:
                state[best] = -1
                is_proposal = 0
            elif state[best] == 0:
                state[best] = 1
        counted.append(is_proposal)
        so_far.append(state.count(1))
    return counted, so_far


def pixel_box_overlap(a: Box, b: Box) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]) + 1
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    area_a = (a[0] + a[2] - a[0] + 1) * (a[1] + a[3] - a[1] + 1)
    area_b = (b[0] + b[2] - b[0] + 1) * (b[1] + b[3] - b[1] + 1)
    return width * height / (area_a + area_b - width * height)


def voc_ap(recall: Sequence[float], precision: Sequence[float]) -> float:
    mrec = [0.0, *recall, 1.0]
    mpre = [0.0, *precision, 0.0]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = mpre[i + 1] if math.isnan(mpre[i]) else max(mpre[i], mpre[i + 1])
    return sum((mrec[i] - mrec[i - 1]) * mpre[i] for i in range(1, len(mrec)) if mrec[i] != mrec[i - 1])


# ---- FDDB


def best_matching(overlaps: Sequence[Sequence[float]]) -> tuple[float, int, bool]:
    """The largest sum of overlaps of a one-to-one matching of rows and columns, by trying all of them; how many of its pairs
    overlap by more than 0.5; and whether all best matchings agree on that number."""
    rows, columns = len(overlaps), len(overlaps[0]) if overlaps else 0
    best, counts = 0.0, {0}
    for chosen in itertools.product(range(-1, columns), repeat=rows):
        used = [column for column in chosen if column >= 0]
        if len(used) != len(set(used)):
            continue
        values = [overlaps[row][column] for row, column in enumerate(chosen) if column >= 0]
        total, count = sum(values), sum(value > 0.5 for value in values)
        if total > best + 1e-12:
            best, counts = total, {count}
        elif abs(total - best) <= 1e-12:
            counts.add(count)
    return best, max(counts), len(counts) == 1


def fddb_roc(
    photos: Sequence[tuple[Sequence[Sequence[float]], Sequence[float]]],
) -> dict[float, tuple[float, float, float, bool]]:
    """For each score that occurs: sums over photos of the discrete and of the continuous score, false positives, and whether
    all best matchings agree on them.

    Args:
        photos: for each, overlaps of annotated faces (rows) and detections (columns), and the detections' scores.
    """
    curve = {}
    for threshold in {score for _, scores in photos for score in scores}:
        discrete = continuous = wrong = 0.0
        sure = True
        for overlaps, scores in photos:
            taken = [column for column, score in enumerate(scores) if score >= threshold]
            total, count, is_unique = best_matching([[row[column] for column in taken] for row in overlaps])
            sure = sure and is_unique
            discrete, continuous, wrong = discrete + count, continuous + total, wrong + len(taken) - count
        curve[threshold] = discrete, continuous, wrong, sure
    return curve
