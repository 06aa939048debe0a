"""Checks that `detect --resume` uses the same detector as the earlier run, as the rows do not name their model."""

import os
from pathlib import Path
from typing import Iterator, Sequence

import numpy as np

from mtcnn_gluon.boxes import iou
from mtcnn_gluon.cli.resuming import Row
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.errors import DataError, ImageError
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.io.images import read_image

# The results of two engines differ by less than this.
SCORE = 0.01
OVERLAP = 0.95  # IoU


def check_same_detector(path: Path, finished: Sequence[tuple[Path, Row]], detector: Detector) -> None:
    """Compare the detections in one finished photo: the first readable one with faces, or else the first readable one.

    Differences that do not show in this photo are not noticed, for example another `min_face` if all faces are large.

    Args:
        path: the file of the earlier run.
        finished: photos and their rows in that file.
        detector: the detector of this run.

    Raises:
        DataError: if the faces differ from those in the file by more than engines differ.
    """
    for photo, row, image in _readable(sorted(finished, key=lambda each: not each[1]["faces"])):
        lowest = detector.settings.threshold(2, np.array([0, np.inf]))
        now = detector.detect(image)
        before, rotation = row.get("rotation"), None if detector.rotate == "0" else now.rotation
        reason = "" if before == rotation else f"there was {_rotation(before)} then, {_rotation(rotation)} now"
        if reason := reason or _difference(row["faces"], now, lowest):
            raise DataError(
                f"--resume: {path} was made by another model, with other options or of another photo: in {printable(photo)} "
                f"{reason}; give the same options as then, or another --json FILE"
            )
        return


def _rotation(degrees: int | None) -> str:
    return "no rotation" if degrees is None else f"a rotation of {degrees}"


def _readable(finished: Sequence[tuple[Path, Row]]) -> Iterator[tuple[Path, Row, np.ndarray]]:
    """The photos that still exist and have the same size."""
    for photo, row in finished:
        try:
            if not os.path.isfile(photo):  # reading a pipe or standard input would block
                continue
            image = read_image(photo)
        except (ImageError, ValueError):  # ValueError: a name that no file can have
            continue
        if image.shape[:2] == (row["height"], row["width"]):
            yield photo, row, image


def _difference(before: Sequence[Row], now: Faces, lowest: np.ndarray) -> str:
    """How the faces differ from those in a row; empty if engines may differ that much.

    A face may be missing if its score is close to one of `lowest` (T,), the lowest possible scores of small and large faces.
    """
    if before and len(now) and (before[0].get("landmarks") is None) != (now.landmarks is None):
        return "faces had landmarks then" if now.landmarks is None else "faces had no landmarks then"
    boxes = np.array([face["box"] for face in before], np.float64).reshape(-1, 4)
    scores = np.array([face["score"] for face in before], np.float64)
    alike = (iou(boxes, now.boxes.astype(np.float64)) >= OVERLAP) & (np.abs(scores[:, None] - now.scores[None]) <= SCORE)
    unmatched = np.concatenate([scores[~alike.any(1)], now.scores[~alike.any(0)]])
    if (np.abs(unmatched[:, None] - lowest).min(axis=1) > SCORE).any():
        counts = f"{len(before)} face{'' if len(before) == 1 else 's'} then, {len(now)} now"
        return counts if len(before) != len(now) else f"{counts}, but with other boxes or scores"
    return ""
