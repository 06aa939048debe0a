"""Hidden faces: nothing outside the margin changes, and the detector finds none."""

from typing import get_args

import numpy as np
import pytest

from mtcnn_gluon import Detector, Faces
from mtcnn_gluon.detection.hide import CHECKS, STAYS, Hider, Hiding, hide_faces
from mtcnn_gluon.detection.rotation import turned

HIDINGS = get_args(Hiding)


def faces_at(*boxes: tuple[float, float, float, float]) -> Faces:
    return Faces(np.array(boxes).reshape(-1, 4), np.full(len(boxes), 0.9), None)


@pytest.mark.parametrize("hiding", HIDINGS)
@pytest.mark.parametrize(
    "height, width, boxes",
    [
        (60, 80, []),
        (60, 80, [(20, 10, 50, 45)]),
        (60, 80, [(0, 0, 80, 60)]),
        (60, 80, [(70.5, 50.5, 80, 60)]),
        (60, 80, [(5, 5, 30, 30), (20, 20, 50, 50)]),
        (60, 80, [(30, 30, 30, 30)]),
        (60, 80, [(30, 30, 30.2, 30.2)]),
        (1, 1, [(0, 0, 1, 1)]),
        (2, 3000, [(1000, 0, 2000, 2)]),
        (3000, 2500, [(200, 100, 2300, 2900)]),
    ],
)
def test_only_the_faces_change(hiding: Hiding, height: int, width: int, boxes: list[tuple[float, float, float, float]]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = image.copy()
    picture = hide_faces(image, faces_at(*boxes), hiding)
    assert picture.shape == image.shape and picture.dtype == np.uint8 and (image == before).all()
    may_change = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in boxes:
        dx, dy = 0.2 * (x2 - x1) + 1, 0.2 * (y2 - y1) + 1
        may_change[max(0, int(y1 - dy)) : int(y2 + dy) + 1, max(0, int(x1 - dx)) : int(x2 + dx) + 1] = True
    changed = (picture != image).any(axis=2)
    assert not (changed & ~may_change).any()
    for x1, y1, x2, y2 in boxes:
        if min(x2 - x1, y2 - y1) >= 9:
            assert changed[int(y1) : int(y2), int(x1) : int(x2)].mean() > 0.95


@pytest.mark.parametrize("hiding", HIDINGS)
@pytest.mark.parametrize("side", [20, 100, 900])
def test_little_of_a_face_is_left(hiding: Hiding, side: int) -> None:
    """Stripes as wide as an eye are gone, whatever the size of the face."""
    stripes = np.where(np.arange(side) * 12 // side % 2, 255, 0).astype(np.uint8)
    image = np.broadcast_to(stripes[None, :, None], (side, side, 3)).copy()
    picture = hide_faces(image, faces_at((0, 0, side, side)), hiding)
    middle = picture[side // 4 : -side // 4, side // 4 : -side // 4].astype(int)
    assert middle.max() - middle.min() < 130


@pytest.mark.parametrize("hiding", HIDINGS)
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_detector_finds_no_face_again(image: np.ndarray, hiding: Hiding, scale: int) -> None:
    detector = Detector("gluon-4", rotate="auto")
    picture = np.ascontiguousarray(turned(image, 90)[::scale, ::scale])
    faces = detector.detect(picture)
    assert len(faces) == 1
    assert len(detector.detect(Hider(hiding, detector.detect).photo(picture, faces))) == 0


def test_what_is_still_found_is_filled() -> None:
    asked: list[np.ndarray] = []

    def detect(image: np.ndarray) -> Faces:
        asked.append(image)
        return faces_at((10, 10, 20, 20)) if len(asked) < 3 else faces_at()

    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    picture = Hider("blur", detect).photo(image, faces_at())
    assert len(asked) == 3 and (picture[8:22, 8:22] == picture[8, 8]).all() and (picture[30:] == image[30:]).all()
    Hider("blur", lambda _: faces_at((1, 1, 5, 5))).photo(image, faces_at())  # one that finds faces everywhere ends too


@pytest.mark.parametrize(
    "boxes, hidden",
    [
        ([[(10, 10, 20, 20)], [], []], [1, 1, 1]),
        ([[(10, 10, 20, 20)], [(12, 10, 22, 20)], []], [1, 1, 1]),  # the same face
        ([[(10, 10, 20, 20)], [(60, 60, 70, 70)]], [1, 2]),
        ([[], []], [0, 0]),
        ([[(10, 10, 20, 20)], *[[]] * 20], [*[1] * 13, *[0] * 8]),  # for half a second, at 25 frames a second
    ],
)
def test_a_face_that_is_missed_stays_hidden(boxes: list[list[tuple[float, float, float, float]]], hidden: list[int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    hider = Hider("fill", lambda _: faces_at())
    found = []
    for index, row in enumerate(boxes):
        changed = (hider.frame(image, faces_at(*row), index / 25) != image).any(axis=2)
        found.append(int(changed[15, 15]) + int(changed[65, 65]))
    assert found == hidden
    assert (hider.frame(image, faces_at(), 0.0) == image).all()  # another video
    assert STAYS == 0.5 and CHECKS >= 3
