"""Photos with painted faces, that tests of preparation share: every landmark is a dot of its own colour, to be found again."""

from pathlib import Path
from typing import Sequence

import numpy as np
from PIL import Image

from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.prepare_data.annotations import Annotations, Photo, Problems

DOTS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255]])
POINTS = np.array([(0.3, 0.4), (0.72, 0.38), (0.52, 0.58), (0.36, 0.8), (0.64, 0.77)])  # where they are, in 0..1 of the box
HEADER = ",".join(["file", "x1", "y1", "x2", "y2", *(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy")])
FAR = 150  # distance from a dot's colour at which a pixel is none of it


def landmarks_of(boxes: np.ndarray) -> np.ndarray:
    """Landmarks (N, 5, 2) of faces (N, 4)."""
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    return boxes[:, None, :2] + POINTS * (boxes[:, 2:] - boxes[:, :2])[:, None]


def make_photo(name: str, boxes: Sequence | np.ndarray, ignore: Sequence[bool] | None = None) -> Photo:
    """A photo whose faces all have landmarks."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    ignored = np.zeros(len(boxes), bool) if ignore is None else np.array(ignore, bool)
    return Photo(name, boxes, ignored, landmarks_of(boxes), np.full(len(boxes), np.nan))


def paint(height: int, width: int, photo: Photo, seed: int = 0) -> np.ndarray:
    """An image (height, width, 3) uint8 of dim grey noise, on which faces are dark squares with bright dots."""
    grey = np.random.default_rng(seed).uniform(0, 100, (height, width, 1))
    image = np.repeat(grey, 3, axis=2)
    y, x = np.mgrid[:height, :width] + 0.5
    for (x1, y1, x2, y2), points in zip(photo.boxes, photo.landmarks):
        image[(x >= x1) & (x < x2) & (y >= y1) & (y < y2)] = 20
        for (px, py), colour in zip(points, DOTS):
            share = np.clip(0.07 * (x2 - x1) + 0.5 - np.hypot(x - px, y - py), 0, 1)[:, :, None]
            image += share * (colour - image)
    return np.rint(image).astype(np.uint8)


def find_dots(crops: np.ndarray) -> np.ndarray:
    """Centres (N, 5, 2) of the dots in crops (N, S, S, 3), as x, y in 0..1 of the crop."""
    distance = np.linalg.norm(crops[:, None].astype(float) - DOTS[:, None, None], axis=4)  # (N, 5, S, S)
    weights = np.maximum(1 - distance / FAR, 0)
    size = crops.shape[1]
    centres = (np.arange(size) + 0.5) / size
    total = weights.sum((2, 3))
    assert (total > 0).all(), "a dot is missing"
    return np.stack([(weights * centres).sum((2, 3)), (weights * centres[:, None]).sum((2, 3))], axis=2) / total[:, :, None]


def make_annotations(count: int, seed: int = 0, height: int = 100, width: int = 120) -> Annotations:
    """`count` photos `NN.png` with up to two faces, some of them too small to learn or to be ignored."""
    generator = np.random.default_rng(seed)
    photos = []
    for number in range(count):
        corners, sides = generator.uniform(-5, 60, (number % 3, 2)), generator.uniform(12, 50, (number % 3, 1))
        boxes = np.hstack([corners, corners + sides * [1, 1.2]])
        photos.append(make_photo(f"{number:02d}.png", boxes, generator.random(len(boxes)) < 0.1))
    return Annotations(photos, Problems())


def write_photos(folder: Path, annotations: Annotations, height: int = 100, width: int = 120) -> Path:
    """Paint all photos into a folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, photo in enumerate(annotations.photos):
        Image.fromarray(paint(height, width, photo, number)).save(folder / photo.path)
    return folder


def write_csv(path: Path, annotations: Annotations) -> Path:
    """The list of photos as a csv, and return its path; faces to be ignored become ordinary ones."""
    rows = [HEADER]
    for photo in annotations.photos:
        for box, points in zip(photo.boxes, photo.landmarks):
            rows.append(",".join([photo.path, *(repr(float(v)) for v in (*box, *points.ravel()))]))
        if not len(photo):
            rows.append(photo.path + 14 * ",")
    path.write_text("\n".join(rows) + "\n")
    return path
