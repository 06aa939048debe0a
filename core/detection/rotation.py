"""Finding faces in images that lie on their side or stand on their head.

Rotations are clockwise, in degrees: 0, 90, 180 or 270.
"""

from typing import Literal, Sequence

import numpy as np

from mtcnn_gluon.faces import Faces

Rotation = Literal["0", "90", "180", "270", "auto"]
ROTATIONS = (0, 90, 180, 270)
SUREST = 1e-4  # no face counts as more certain than this


def turned(image: np.ndarray, rotation: int) -> np.ndarray:
    """An image (H, W, C) turned clockwise. `turned_back` undoes it for the faces in it."""
    return np.ascontiguousarray(np.rot90(image, -rotation // 90)) if rotation else image


def turned_back(faces: Faces, rotation: int, shape: Sequence[int]) -> Faces:
    """The faces found in a turned image, in the image before that, and with the rotation.

    Args:
        faces: with coordinates in the turned image.
        rotation: by how much it was turned.
        shape: height and width of the image before that.
    """
    if not rotation:
        return faces
    height, width = shape[:2]
    corners = _points_back(faces.boxes.reshape(-1, 2, 2), rotation, height, width)  # (N, 2, 2)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    landmarks = None if faces.landmarks is None else _points_back(faces.landmarks, rotation, height, width)
    return Faces(boxes, faces.scores, landmarks, faces.ids, rotation)


def _points_back(points: np.ndarray, rotation: int, height: int, width: int) -> np.ndarray:
    """Points (..., 2) in continuous x, y of the turned image, in those of the image before that."""
    x, y = points[..., 0], points[..., 1]
    if rotation == 90:
        return np.stack([y, height - x], axis=-1)
    if rotation == 180:
        return np.stack([width - x, height - y], axis=-1)
    return np.stack([width - y, x], axis=-1)


def most_confident(found: Sequence[Faces]) -> Faces:
    """The faces that are least likely to be all false: those with the smallest product of 1 - score.

    So many sure faces beat few, and an unsure one hardly counts. Of equal ones the first is taken.
    """
    return max(found, key=lambda faces: -float(np.log(np.maximum(1 - faces.scores.astype(np.float64), SUREST)).sum()))
