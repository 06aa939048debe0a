"""Suppression against an all-pairs oracle, crops against exact sums."""

from typing import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import plain_cascade
from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.operators import crop_resize, grouped_nms, nms
from mtcnn_gluon.operators.crop_resize import _crop_resize
from plain_cascade import part_means


def oracle_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float, mode: str) -> list[int]:
    """Greedy suppression over the full matrix of overlaps."""
    shared, areas = box_ops.intersection(boxes, boxes), box_ops.area(boxes)
    whole = np.minimum(areas[:, None], areas) if mode == "min" else areas[:, None] + areas - shared
    keep: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(whole[i, j] <= 0 or shared[i, j] / whole[i, j] <= threshold for j in keep):
            keep.append(i)
    return keep


@pytest.mark.parametrize("mode", ["union", "min"])
@pytest.mark.parametrize("count", [0, 1, 2, 50, 400])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
def test_nms(mode: str, count: int, threshold: float) -> None:
    generator = np.random.default_rng(count)
    corner = generator.integers(0, 100, (count, 2))
    boxes = np.hstack([corner, corner + generator.integers(0, 60, (count, 2))]).astype(np.float32)  # some are empty
    scores = generator.integers(0, 20, count).astype(np.float32) / 20  # many ties
    assert nms(boxes, scores, threshold, mode).tolist() == oracle_nms(boxes, scores, threshold, mode)  # type: ignore[arg-type]


def test_a_suppressed_box_suppresses_nothing() -> None:
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)  # 0 drops 1, which would drop 2
    assert nms(boxes, np.array([0.9, 0.8, 0.7]), 0.4).tolist() == [0, 2]


def test_overlap_equal_to_the_threshold_is_allowed() -> None:
    boxes = np.array([[0, 0, 12, 12], [4, 0, 16, 12]], np.float32)  # two P-Net cells apart: IoU exactly one half
    assert nms(boxes, np.array([0.9, 0.8]), 0.5).tolist() == [0, 1]


def test_grouped_nms_is_nms_in_each_group() -> None:
    generator = np.random.default_rng(3)
    corner = generator.integers(0, 40, (200, 2))
    boxes, scores = np.hstack([corner, corner + 20]).astype(np.float32), generator.random(200)
    groups = generator.integers(0, 5, 200)
    expected = []
    for group in range(5):
        members = np.flatnonzero(groups == group)
        expected += members[oracle_nms(boxes[members], scores[members], 0.5, "union")].tolist()
    assert grouped_nms(boxes, scores, groups, 0.5).tolist() == expected
    assert grouped_nms(boxes[:0], scores[:0], groups[:0], 0.5).shape == (0,)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)


@pytest.mark.parametrize("crop", [crop_resize, _crop_resize], ids=["kernels", "numpy"])
@pytest.mark.parametrize("size", [12, 24, 48])
@pytest.mark.parametrize("box", [(0, 0, 80, 60), (10, 5, 34, 29), (3, 4, 9, 10), (-20, -10, 40, 50), (70, 50, 200, 180)])
def test_crop_on_whole_pixels_takes_means(picture: np.ndarray, box: tuple[int, ...], size: int, crop: Callable) -> None:
    x1, y1, x2, y2 = box
    padded = np.pad(picture, ((200, 200), (200, 200), (0, 0)))
    expected = part_means(padded[200 + y1 : 200 + y2, 200 + x1 : 200 + x2], size, size)
    np.testing.assert_allclose(crop(picture, np.array([box], np.float32), size)[0], expected, atol=2e-3)


@pytest.mark.parametrize("crop", [crop_resize, _crop_resize], ids=["kernels", "numpy"])
def test_crops_of_all_small_sides_take_means(crop: Callable) -> None:
    for side in range(1, 70):
        picture = np.random.default_rng(side).integers(0, 256, (side, side, 3)).astype(np.uint8)
        for size in (12, 24, 48):
            found = crop(picture, np.array([[0.0, 0, side, side]]), size)[0]
            np.testing.assert_allclose(found, part_means(picture, size, size), atol=1e-3, err_msg=f"{side} to {size}")


@given(st.floats(-50, 100), st.floats(-50, 80), st.floats(0.5, 150), st.floats(0.5, 150))
def test_crop_of_any_box(x: float, y: float, w: float, h: float) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    box = np.array([[x, y, x + w, y + h]], np.float32)
    expected = plain_cascade.sample(picture.astype(float), box[0].astype(float), 24, 24).transpose(2, 0, 1)
    np.testing.assert_allclose(crop_resize(picture, box, 24)[0], expected, atol=5e-3)


def test_crop_beyond_the_image_is_zero_and_none_is_none(picture: np.ndarray) -> None:
    assert not crop_resize(picture, np.array([[90, 70, 99, 79], [-20, -20, 0, 0.0]]), 24).any()
    assert crop_resize(picture, np.zeros((0, 4)), 24).shape == (0, 3, 24, 24)


def test_crop_does_not_share_memory(picture: np.ndarray) -> None:
    before = picture.copy()
    crops = crop_resize(picture, np.array([[0, 0, 24, 24.0]]), 24)
    crops[:] = -1
    np.testing.assert_array_equal(picture, before)
