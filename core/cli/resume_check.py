"""Whether `detect --resume` goes on with the detector of the earlier run: rows do not say by which model they were made."""

import os
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from mtcnn_gluon.boxes import iou
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.errors import DataError, ImageError
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.io.images import read_image

SCORE = 0.01  # engines differ by less
OVERLAP = 0.95  # intersection over union; engines differ by less than leads to it

Row = Mapping[str, Any]


def check_same_detector(path: Path, finished: Sequence[tuple[Path, Row]], detector: Detector) -> None:
    """Detect again in the first finished photo that has faces and can be read, else in the first that can be read.

    What this one photo does not show, such as another smallest face where all faces are large, is not noticed.

    Args:
        path: the file of the earlier run.
        finished: photos and what it holds about them.
        detector: that of this run.

    Raises:
        DataError: if other faces are found than the file says, by more than what engines differ by.
    """
    for photo, row, image in _readable(sorted(finished, key=lambda each: not each[1]["faces"])):
        if reason := _difference(row["faces"], detector.detect(image), detector.settings.thresholds[2]):
            raise DataError(
                f"--resume: {path} was made by another model, with other options or of another photo: in {printable(photo)} "
                f"{reason}; give the same options as then, or another --json FILE"
            )
        return


def _readable(finished: Sequence[tuple[Path, Row]]) -> Iterator[tuple[Path, Row, np.ndarray]]:
    """The photos that are still there, and still of the size that they had."""
    for photo, row in finished:
        try:
            if not os.path.isfile(photo):  # a pipe, or standard input, would be waited for
                continue
            image = read_image(photo)
        except (ImageError, ValueError):  # a name that no file can have
            continue
        if image.shape[:2] == (row["height"], row["width"]):
            yield photo, row, image


def _difference(before: Sequence[Row], now: Faces, least: float) -> str:
    """How faces differ from those of earlier; empty if not by more than engines do.

    Args:
        before: the faces of a row.
        now: those that are found.
        least: the score that a face must have; one that is close to it may be found by one engine only.
    """
    if before and len(now) and (before[0].get("landmarks") is None) != (now.landmarks is None):
        return "faces had landmarks then" if now.landmarks is None else "faces had no landmarks then"
    boxes = np.array([face["box"] for face in before], np.float64).reshape(-1, 4)
    scores = np.array([face["score"] for face in before], np.float64)
    alike = (iou(boxes, now.boxes.astype(np.float64)) >= OVERLAP) & (np.abs(scores[:, None] - now.scores[None]) <= SCORE)
    lone = np.concatenate([scores[~alike.any(1)], now.scores[~alike.any(0)]])
    if (np.abs(lone - least) > SCORE).any():
        counts = f"{len(before)} face{'' if len(before) == 1 else 's'} then, {len(now)} now"
        return counts if len(before) != len(now) else f"{counts}, but with other boxes or scores"
    return ""
