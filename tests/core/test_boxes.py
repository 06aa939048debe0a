"""Box geometry: identities, hand-worked cases, and the official code's own formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtcnn_gluon import boxes
from mtcnn_gluon.errors import ConfigError

coordinate = st.floats(-2000, 4000, width=32)
side = st.floats(4, 3000, width=32)


def box_of(x: float, y: float, w: float, h: float) -> np.ndarray:
    return np.array([[x, y, x + w, y + h]], np.float32)


@given(coordinate, coordinate, side, coordinate, coordinate, side, side)
def test_decode_undoes_encode(cx: float, cy: float, s: float, x: float, y: float, w: float, h: float) -> None:
    crop, box = box_of(cx, cy, s, s).astype(np.float64), box_of(x, y, w, h).astype(np.float64)
    np.testing.assert_allclose(boxes.decode(crop, boxes.encode(crop, box)), box, atol=1e-4)


@given(coordinate, coordinate, side, st.lists(coordinate, min_size=10, max_size=10))
def test_decode_landmarks_undoes_encode(cx: float, cy: float, s: float, points: list[float]) -> None:
    crop, landmarks = box_of(cx, cy, s, s).astype(np.float64), np.array(points).reshape(1, 5, 2)
    np.testing.assert_allclose(boxes.decode_landmarks(crop, boxes.encode_landmarks(crop, landmarks)), landmarks, atol=1e-4)


def test_landmarks_are_interleaved() -> None:
    points = boxes.encode_landmarks(box_of(0, 0, 10, 10), np.array([[[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]]))
    np.testing.assert_allclose(points, [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 10, 10), (0, 0, 10, 10), 1.0),
        ((0, 0, 10, 10), (5, 0, 15, 10), 1 / 3),
        ((0, 0, 10, 10), (10, 0, 20, 10), 0.0),  # touching
        ((0, 0, 10, 10), (2, 2, 4, 4), 0.04),
        ((0, 0, 0, 0), (0, 0, 0, 0), 0.0),
        ((5, 5, 2, 2), (0, 0, 10, 10), 0.0),  # inside out
    ],
)
def test_iou(a: tuple, b: tuple, expected: float) -> None:
    assert boxes.iou(np.array([a], np.float32), np.array([b], np.float32))[0, 0] == pytest.approx(expected)


def test_iou_equals_counting_pixels() -> None:
    generator = np.random.default_rng(0)
    corners = generator.integers(0, 30, (2, 40, 2))
    found = np.hstack([corners[0], corners[0] + 1 + corners[1]])
    masks = np.zeros((40, 64, 64), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, found):
        mask[y1:y2, x1:x2] = True
    both = (masks[:, None] & masks[None]).sum((2, 3))
    either = (masks[:, None] | masks[None]).sum((2, 3))
    np.testing.assert_allclose(boxes.iou(found.astype(float), found.astype(float)), both / either)


def test_square_and_clip() -> None:
    np.testing.assert_allclose(boxes.square(np.array([[0, 0, 10, 4], [1, 1, 2, 5.0]])), [[0, -3, 10, 7], [-0.5, 1, 3.5, 5]])
    np.testing.assert_allclose(boxes.clip(np.array([[-5, -5, 500, 3.5]]), 100, 200), [[0, 0, 200, 3.5]])


def test_nothing_in_nothing_out() -> None:
    none = np.zeros((0, 4), np.float32)
    assert boxes.square(none).shape == boxes.clip(none, 5, 5).shape == boxes.decode(none, none).shape == (0, 4)
    assert boxes.iou(none, np.zeros((3, 4))).shape == (0, 3)
    assert boxes.decode_landmarks(none, np.zeros((0, 10))).shape == (0, 5, 2)


def test_continuous_cells() -> None:
    places = np.array([[0, 3], [5, 0]])  # row, column
    squares = boxes.cell_boxes(places, 2, 12)
    np.testing.assert_array_equal(squares, [[6, 0, 18, 12], [0, 10, 12, 22]])
    np.testing.assert_array_equal(boxes.cell_boxes(places, 4, 16), [[12, 0, 28, 16], [0, 20, 16, 36]])
    scales = np.array([[0.5, 0.25]] * 2, np.float32)  # x, y
    np.testing.assert_allclose(boxes.cells_to_image(squares, scales, "continuous"), [[12, 0, 36, 48], [0, 40, 24, 88]])


def test_matlab_cells_follow_the_official_formulas() -> None:
    """(2j+1)/s .. (2j+12)/s, 1-based inclusive, w = x2 - x1; truncation taken as half a pixel."""
    generator = np.random.default_rng(1)
    cells, offsets, s = generator.integers(0, 50, (20, 2)), generator.normal(0, 0.2, (20, 4)), 0.425
    corner = np.stack([(2 * cells[:, ::-1] + 1) / s, (2 * cells[:, ::-1] + 12) / s], 1).reshape(20, 4) - 0.5
    sides = np.tile(corner[:, 2:] - corner[:, :2], 2)
    expected = corner + offsets * sides - [1, 1, 0, 0]  # 1-based inclusive to continuous
    crops = boxes.cells_to_image(boxes.cell_boxes(cells, 2, 12), np.full((20, 2), s), "matlab")
    np.testing.assert_allclose(boxes.decode_cells(crops, offsets, "matlab"), expected, atol=1e-4)


def test_unknown_convention() -> None:
    with pytest.raises(ConfigError, match="box_convention.*'caffe'"):
        boxes.check_convention("caffe")
