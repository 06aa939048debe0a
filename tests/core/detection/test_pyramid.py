"""The pyramid: sizes, pixels against exact means, and canvases that change nothing."""

from typing import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plain_cascade
from mtcnn_gluon import Detector
from mtcnn_gluon.detection import pyramid
from mtcnn_gluon.layers import View
from mtcnn_gluon.operators import pyramid_pieces

BOTH = pytest.mark.parametrize("is_native", [True, False], ids=["kernels", "numpy"])
PAPER, WIDE, COARSE = View(12, 0, 2), View(34, 11, 4), View(33, 9, 8)
VIEWS = pytest.mark.parametrize("view", [PAPER, WIDE, COARSE], ids=["paper", "wide", "coarse"])
SIZES = [(12, 12), (20, 20), (21, 500), (99, 101), (480, 640), (1080, 1920), (3000, 4000)]


@pytest.mark.parametrize(("height", "width", "min_face", "view", "expected"), [
    (20, 20, 20, PAPER, [(12, 12)]),
    (19, 500, 20, PAPER, []),
    (100, 40, 20, PAPER, [(60, 24), (43, 18), (31, 13)]),
    (12, 12, 12, PAPER, [(12, 12)]),
    (10, 10, 10, PAPER, [(12, 12)]),
    (24, 24, 24, PAPER, [(12, 12)]),
    (19, 500, 20, WIDE, []),
    (20, 20, 20, WIDE, [(12, 12), (9, 9)]),
    (100, 40, 20, WIDE, [(60, 24), (43, 18), (31, 13), (22, 9)]),
    (15, 15, 15, COARSE, [(15, 15)]),
])  # fmt: skip
def test_level_sizes(height: int, width: int, min_face: float, view: View, expected: list[tuple[int, int]]) -> None:
    assert [(v.height, v.width) for v in pyramid.plan_levels(height, width, min_face, 0.709, view)] == expected


def choose(is_native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if is_native and pyramid_pieces.kernels() is None:
        pytest.skip("the kernels are not built")
    if not is_native:
        monkeypatch.setattr(pyramid_pieces, "kernels", lambda: None)


def whole_levels(picture: np.ndarray, levels: Sequence[pyramid.Level], view: View = PAPER) -> list[np.ndarray]:
    """The pixels (3, h, w) of levels with their margins, each alone on a canvas as large as it is."""
    built = []
    for source in pyramid.level_sources(picture, levels):
        height, width = (view.padded(side) for side in (source.height, source.width))
        canvas = pyramid.Canvas(height, width, (pyramid.Piece(0, 0, 0, height, width),), view)
        built.append(pyramid.fill_canvas(canvas, [source])[0])
    return built


@BOTH
@pytest.mark.parametrize(("height", "width"), [(64, 80), (101, 99), (131, 200), (37, 290)])
@pytest.mark.parametrize("min_face", [10, 20, 33.3])
def test_levels_are_area_means(
    is_native: bool, height: int, width: int, min_face: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(is_native, monkeypatch)
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    levels = pyramid.plan_levels(height, width, min_face, 0.709, PAPER)
    expected = plain_cascade.levels(picture, min_face, 0.709)
    built = whole_levels(picture, levels)
    assert len(built) == len(expected)
    for level, pixels, (plain, scale_x, scale_y) in zip(levels, built, expected):
        np.testing.assert_allclose(pixels, plain.transpose(2, 0, 1), atol=1e-4 if is_native else 5e-3)
        assert (level.scale_x, level.scale_y) == pytest.approx((scale_x, scale_y))


@BOTH
def test_levels_of_any_side_are_area_means(is_native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Smaller and larger than what they are made from, along one axis or both."""
    choose(is_native, monkeypatch)
    generator = np.random.default_rng(0)
    for side in range(1, 41):
        picture = generator.integers(0, 256, (side, 4, 3)).astype(np.uint8)
        for size in range(1, 66):
            if (side + size) % 2:
                check_level(picture, size, 4)
            else:
                check_level(picture.transpose(1, 0, 2), 4, size)
    for height, width, level in (
        (50, 39, (78, 60)),
        (50, 78, (78, 39)),
        (78, 50, (39, 78)),
        (36, 90, (44, 17)),
        (1, 60, (9, 1)),
    ):
        check_level(generator.integers(0, 256, (height, width, 3)).astype(np.uint8), *level)


def check_level(picture: np.ndarray, height: int, width: int) -> None:
    pixels = np.empty((3, height, width), np.float32)
    pyramid_pieces.draw_pieces(pixels, [pyramid_pieces.LevelSource(picture, height, width)], [(0, 0, height, width, 0, 0)])
    expected = plain_cascade.part_means(picture, height, width)
    np.testing.assert_allclose(pixels, expected, atol=1e-3, err_msg=f"{picture.shape[:2]} to {height} x {width}")


@BOTH
@pytest.mark.parametrize("min_face", [5, 7.7, 9.23, 11.9])
def test_faces_smaller_than_a_cell(is_native: bool, min_face: float, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(is_native, monkeypatch)
    for height, width in ((30, 50), (36, 39), (50, 41), (58, 30)):
        picture = np.random.default_rng(height).integers(0, 256, (height, width, 3)).astype(np.uint8)
        built = whole_levels(picture, pyramid.plan_levels(height, width, min_face, 0.709, PAPER)[:1])[0]
        plain = plain_cascade.levels(picture, min_face, 0.709)[0][0]
        assert min(plain.shape[0] - height, plain.shape[1] - width) > 0
        np.testing.assert_allclose(built, plain.transpose(2, 0, 1), atol=1e-3)


@BOTH
@VIEWS
def test_canvases_hold_the_pixels_of_their_pieces(is_native: bool, view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between them are zeros, or black if levels have margins."""
    choose(is_native, monkeypatch)
    picture = np.random.default_rng(0).integers(0, 256, (701, 933, 3)).astype(np.uint8)
    levels = pyramid.plan_levels(701, 933, 20, 0.709, view)
    sources, whole = pyramid.level_sources(picture, levels), whole_levels(picture, levels, view)
    canvases = pyramid.plan_canvases(tuple((source.height, source.width) for source in sources), view)
    assert len(canvases) > 1 and max(len(canvas.pieces) for canvas in canvases) > 1
    for canvas in canvases:
        expected = np.full((3, canvas.height, canvas.width), -127.5 / 128 if view.context else 0, np.float32)
        for p in canvas.pieces:
            part = whole[p.level][:, p.source_y : p.source_y + p.height, p.source_x : p.source_x + p.width]
            expected[:, p.y : p.y + p.height, p.x : p.x + p.width] = (part - np.float32(127.5)) / 128
        np.testing.assert_allclose(pyramid.fill_canvas(canvas, sources, 127.5, 1 / 128)[0], expected, atol=1e-6)


@BOTH
def test_margins_are_black(is_native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(is_native, monkeypatch)
    picture = np.random.default_rng(0).integers(1, 256, (61, 43, 3)).astype(np.uint8)
    levels = pyramid.plan_levels(61, 43, 12, 0.709, PAPER)
    for level, plain, wide in zip(levels, whole_levels(picture, levels), whole_levels(picture, levels, WIDE)):
        inside = wide[:, 15 : 15 + level.height, 15 : 15 + level.width]
        np.testing.assert_allclose(inside, plain[:, : level.height, : level.width], atol=1e-6)
        assert not wide.any(0)[[0, 14, -1, -15]].any() and not wide.any(0)[:, [0, 14, -1, -15]].any()
        assert wide.shape[1] % 4 == wide.shape[2] % 4 == 0


@given(st.lists(st.tuples(st.integers(12, 1400), st.integers(12, 1400)), max_size=12), st.sampled_from([PAPER, WIDE, COARSE]))
@settings(max_examples=60, deadline=None)
def test_canvases_hold_every_cell_once(sizes: list[tuple[int, int]], view: View) -> None:
    seen = [np.zeros([view.outputs(view.padded(side)) for side in size], int) for size in sizes]
    for canvas in pyramid.plan_canvases(tuple(sizes), view):
        assert (canvas.height, canvas.width) in pyramid.CANVAS_SIZES
        used = np.zeros((canvas.height, canvas.width), int)
        for p in canvas.pieces:
            assert not any(place % view.stride for place in (p.y, p.x, p.source_y, p.source_x))
            used[p.y : p.y + p.height, p.x : p.x + p.width] += 1
        assert used.max() == 1  # pieces do not lie on each other
        rows, columns = np.indices((view.outputs(canvas.height), view.outputs(canvas.width))).reshape(2, -1)
        _, level, cells = pyramid.locate_cells(canvas, rows, columns)
        for index in np.unique(level):
            np.add.at(seen[index], tuple(cells[level == index].T), 1)
    assert all((counts == 1).all() for counts in seen)


@VIEWS
@pytest.mark.parametrize("size", SIZES)
def test_canvases_waste_little(size: tuple[int, int], view: View) -> None:
    sizes = tuple((level.height, level.width) for level in pyramid.plan_levels(*size, 20, 0.709, view))
    area = sum(c.height * c.width for c in pyramid.plan_canvases(sizes, view))
    assert area <= 1.3 * sum(view.padded(h) * view.padded(w) for h, w in sizes) + (256 if view.context else 128) * 128


def test_cells_on_a_canvas_equal_cells_on_the_level(detector: Detector, image: np.ndarray) -> None:
    levels = pyramid.plan_levels(*image.shape[:2], 15, 0.709, PAPER)
    sources, pixels = pyramid.level_sources(image, levels), whole_levels(image, levels)
    alone = [detector.engine.pnet((level[None] - 127.5) / 128) for level in pixels]
    for canvas in pyramid.plan_canvases(tuple(level.shape[1:] for level in pixels), PAPER):
        scores, offsets = detector.engine.pnet(pyramid.fill_canvas(canvas, sources, 127.5, 1 / 128))
        rows, columns = np.indices(scores.shape).reshape(2, -1)
        inside, level, cells = pyramid.locate_cells(canvas, rows, columns)
        for index in np.unique(level):
            on = level == index
            place, source = (rows[inside][on], columns[inside][on]), tuple(cells[on].T)
            np.testing.assert_allclose(scores[place], alone[index][0][source], atol=1e-5)
            np.testing.assert_allclose(offsets[:, place[0], place[1]], alone[index][1][:, source[0], source[1]], atol=1e-5)
