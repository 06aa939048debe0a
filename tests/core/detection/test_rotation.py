"""Images that lie on their side: the faces are those of the upright image, in the image as displayed."""

from typing import Any

import numpy as np
import pytest

from mtcnn_gluon import Detector, Faces
from mtcnn_gluon.detection.rotation import ROTATIONS, most_confident, turned, turned_back
from mtcnn_gluon.errors import ConfigError


@pytest.fixture(scope="module")
def upright() -> Detector:
    return Detector("gluon-4")


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("height, width", [(1, 1), (4, 7), (300, 20)])
def test_turned_back_finds_the_same_pixels(rotation: int, height: int, width: int) -> None:
    image = np.arange(height * width * 3, dtype=np.int64).reshape(height, width, 3)
    x, y = width // 2, height // 3
    other = turned(image, rotation)
    assert other.shape[:2] == ((height, width) if rotation % 180 == 0 else (width, height))
    row, column = map(int, np.argwhere((other == image[y, x]).all(axis=2))[0])
    faces = Faces([[column, row, column + 1, row + 1]], [0.5], np.full((1, 5, 2), (column + 0.5, row + 0.25)))
    back = turned_back(faces, rotation, image.shape)
    assert back.boxes.tolist() == [[x, y, x + 1, y + 1]] and back.rotation == rotation
    offset = {0: (0.5, 0.25), 90: (0.25, 0.5), 180: (0.5, 0.75), 270: (0.75, 0.5)}[rotation]
    np.testing.assert_allclose(back.landmarks, np.full((1, 5, 2), (x + offset[0], y + offset[1])))


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("has_landmarks", [True, False])
def test_no_faces(rotation: int, has_landmarks: bool) -> None:
    back = turned_back(Faces.empty(has_landmarks), rotation, (30, 40))
    assert back.boxes.shape == (0, 4) and (back.landmarks is not None) == has_landmarks


@pytest.mark.parametrize(
    "scores, best",
    [
        ([[], [], [], []], 0),
        ([[0.9], [0.9], [], []], 0),
        ([[0.8], [0.99], [], []], 1),
        ([[0.999], [0.7, 0.7, 0.7], [0.9, 0.9], []], 0),  # one sure face beats several unsure ones
        ([[1.0], [], [0.99, 0.99, 0.99], []], 2),
        ([[1.0], [1.0], [], [1.0, 0.6]], 3),
    ],
)
def test_most_confident(scores: list[list[float]], best: int) -> None:
    found = [Faces(np.zeros((len(each), 4)), each, None, rotation=i) for i, each in enumerate(scores)]
    assert most_confident(found).rotation == best


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("is_auto", [True, False])
def test_the_portrait_on_its_side(image: np.ndarray, upright: Detector, rotation: int, is_auto: bool) -> None:
    expected = upright.detect(image)
    lying = turned(image, -rotation % 360)
    faces = Detector("gluon-4", rotate="auto" if is_auto else rotation).detect(lying)
    assert len(faces) == 1 and faces.rotation == rotation
    np.testing.assert_allclose(faces.boxes, _turned_boxes(expected, rotation), atol=0.02)
    assert np.abs(faces.align(lying)[0].astype(int) - expected.align(image)[0]).mean() < 1


def _turned_boxes(faces: Faces, rotation: int) -> np.ndarray:
    """The boxes in the portrait, 512 pixels a side, after it was turned counterclockwise."""
    x1, y1, x2, y2 = faces.boxes.T
    return np.stack({0: (x1, y1, x2, y2), 90: (y1, 512 - x2, y2, 512 - x1), 180: (512 - x2, 512 - y2, 512 - x1, 512 - y1),
                     270: (512 - y2, x1, 512 - y1, x2)}[rotation], axis=1)  # fmt: skip


def test_nothing_to_find() -> None:
    faces = Detector("gluon-4", rotate="auto").detect(np.full((40, 70, 3), 90, np.uint8))
    assert len(faces) == 0 and faces.rotation == 0


def test_batches_may_mix_rotations(image: np.ndarray) -> None:
    half = np.ascontiguousarray(image[::2, ::2])
    found = Detector("gluon-4", rotate="auto").detect_batch([half, turned(half, 90), turned(half, 180)])
    assert [(len(faces), faces.rotation) for faces in found] == [(1, 0), (1, 270), (1, 180)]


@pytest.mark.parametrize("rotate", [45, 360, -90, 90.5, True, None, "left", "-90", ""])
def test_other_rotations_are_refused(rotate: Any) -> None:
    with pytest.raises(ConfigError, match="rotate must be 0, 90, 180, 270 or auto, not"):
        Detector(rotate=rotate)


def test_with_rotation(image: np.ndarray, upright: Detector) -> None:
    other = upright.with_rotation(180)
    assert (upright.rotate, other.rotate, other.engine) == ("0", "180", upright.engine)
    assert other.detect(turned(image, 180)).rotation == 180
    with pytest.raises(ConfigError, match="rotate"):
        upright.with_rotation(1)
