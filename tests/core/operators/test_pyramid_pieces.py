"""Levels of pyramids: the compiled kernels and numpy against exact means, on sizes and memory layouts of any kind."""

from typing import Any, Callable

import numpy as np
import pytest

import plain_cascade
from mtcnn_gluon.operators import LevelSource, crop_resize, draw_pieces, halve, pyramid_pieces
from mtcnn_gluon.operators.pyramid_pieces import _draw_pieces, _halve


@pytest.fixture(scope="module", autouse=True)
def needs_kernels() -> None:
    if pyramid_pieces.kernels() is None:
        pytest.skip("the kernels are not built")


def picture(height: int, width: int, dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3)).astype(dtype)


VIEWS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda image: image[::-1], lambda image: image[:, ::-1], lambda image: image[..., ::-1], lambda image: image[::2, ::3],
    lambda image: image.transpose(1, 0, 2), np.asfortranarray, lambda image: np.broadcast_to(image[:1], image.shape),
    lambda image: image[:2], lambda image: image[:, :2], lambda image: image[5:40, 7:50],
]  # fmt: skip


# ---- Halving


def means(image: np.ndarray) -> np.ndarray:
    h, w = image.shape[0] // 2, image.shape[1] // 2
    return image[: 2 * h, : 2 * w].astype(np.float64).reshape(h, 2, w, 2, 3).mean((1, 3))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    ("height", "width"), [(2, 2), (3, 2), (2, 3), (5, 7), (2, 255), (4, 256), (3, 257), (2, 511), (61, 900)]
)
def test_halving_takes_means_and_drops_an_odd_line(height: int, width: int, dtype: Any) -> None:
    image = picture(height, width, dtype)
    for halved in (halve(image), _halve(image)):
        assert halved.dtype == np.float32 and halved.flags.c_contiguous
        np.testing.assert_array_equal(halved, means(image))  # of whole numbers, exactly


@pytest.mark.parametrize("view", VIEWS)
def test_any_view_can_be_halved(view: Callable) -> None:
    image = view(picture(61, 83))
    np.testing.assert_array_equal(halve(image), means(image))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 9, 3), np.uint8), np.zeros((9, 1, 3), np.uint8), np.zeros((0, 9, 3), np.uint8), np.zeros((9, 9), np.uint8),
        np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3), np.float64), np.zeros((9, 9, 3), np.int8),
    ],
)  # fmt: skip
def test_what_cannot_be_halved_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image must be|cannot be halved"):
        halve(image)


# ---- Levels


def draw(
    image: np.ndarray, level: tuple[int, int], place: tuple[int, ...], size: tuple[int, int], is_native: bool
) -> np.ndarray:
    canvas = np.full((3, *size), -7, np.float32)
    draw_any = draw_pieces if is_native else _draw_pieces
    draw_any(canvas, [LevelSource(image, *level)], [place], 127.5, 1 / 128)  # type: ignore[list-item]
    return canvas


def expected(image: np.ndarray, level: tuple[int, int], place: tuple[int, ...], size: tuple[int, int]) -> np.ndarray:
    _, _, rows, columns, y, x = place
    whole = plain_cascade.sample(image.astype(np.float64), (0, 0, image.shape[1], image.shape[0]), *level)
    lines, places = (np.minimum(np.arange(a, a + n), side - 1) for a, n, side in zip(place, (rows, columns), level))
    canvas = np.full((3, *size), -7.0)
    canvas[:, y : y + rows, x : x + columns] = (whole[lines][:, places].transpose(2, 0, 1) - 127.5) / 128
    return canvas


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    ("height", "width", "level"),
    [
        (50, 60, (30, 36)), (51, 61, (13, 15)), (51, 61, (51, 61)), (51, 61, (50, 60)), (1, 1, (1, 1)), (1, 40, (1, 12)),
        (40, 1, (12, 1)), (1, 1, (12, 14)), (9, 7, (20, 16)), (300, 2, (12, 1)), (2, 900, (1, 1)), (900, 3, (1, 2)),
        (40, 70, (39, 12)), (23, 31, (7, 30)), (64, 64, (16, 16)), (48, 48, (16, 24)),
    ],
)  # fmt: skip
def test_levels_are_exact_means(height: int, width: int, level: tuple[int, int], dtype: Any) -> None:
    image = picture(height, width, dtype)
    place = (0, 0, level[0] + 2, level[1] + 1, 1, 3)  # reaches beyond the level, whose last lines repeat
    size = (level[0] + 4, level[1] + 6)
    exact = expected(image, level, place, size)
    np.testing.assert_allclose(draw(image, level, place, size, is_native=True), exact, atol=2e-6)
    np.testing.assert_allclose(draw(image, level, place, size, is_native=False), exact, atol=1e-3)  # OpenCV skips small shares


@pytest.mark.parametrize("place", [(0, 0, 1, 1, 0, 0), (29, 35, 1, 1, 7, 9), (10, 8, 20, 28, 4, 2), (28, 0, 3, 36, 0, 1)])
def test_a_part_of_a_level_is_that_part(place: tuple[int, ...]) -> None:
    image = picture(50, 60)
    np.testing.assert_allclose(
        draw(image, (30, 36), place, (40, 40), True), expected(image, (30, 36), place, (40, 40)), atol=2e-6
    )


@pytest.mark.parametrize("view", VIEWS)
def test_levels_of_any_view(view: Callable) -> None:
    image = view(picture(61, 83))
    level, place = (2, 2), (0, 0, 2, 2, 0, 0)
    np.testing.assert_allclose(draw(image, level, place, (2, 2), True), expected(image, level, place, (2, 2)), atol=2e-6)


@pytest.mark.parametrize("canvas", [np.zeros((3, 9, 9), np.uint8), np.zeros((3, 9, 9)), np.zeros((9, 9, 3), np.float32).T])
def test_canvases_of_another_layout_are_refused(canvas: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a canvas must be"):
        draw_pieces(canvas, [LevelSource(picture(9, 9), 9, 9)], [(0, 0, 9, 9, 0, 0)])


def test_many_pieces_of_several_levels_share_a_canvas() -> None:
    image = picture(90, 120)
    sources = [LevelSource(image, 60, 80), LevelSource(image, 60, 80), LevelSource(halve(image), 13, 17)]
    places = [(0, 0, 60, 40, 0, 0), (0, 30, 60, 50, 0, 40), (0, 0, 14, 18, 60, 2)]
    canvases = [np.zeros((3, 80, 90), np.float32) for _ in range(2)]
    draw_pieces(canvases[0], sources, places)
    _draw_pieces(canvases[1], sources, places, 0, 1)
    np.testing.assert_allclose(canvases[0], canvases[1], atol=0.2)  # of 255
    for draw_them in (draw_pieces, _draw_pieces):
        pixels = np.full((80, 90, 3), 7, np.uint8)
        draw_them(pixels.transpose(2, 0, 1), sources, places, 127.5, 1 / 128)
        drawn = np.zeros((80, 90), bool)
        for _, _, rows, columns, y, x in places:
            drawn[y : y + rows, x : x + columns] = True
        np.testing.assert_allclose(pixels[drawn], canvases[0].transpose(1, 2, 0)[drawn], atol=0.71)
        assert (pixels[~drawn] == 7).all()
    draw_pieces(canvases[0], [], [])


@pytest.mark.parametrize(
    "place",
    [
        (-1, 0, 4, 4, 0, 0),
        (30, 0, 4, 4, 0, 0),
        (0, 36, 4, 4, 0, 0),
        (0, 0, 4, 4, 37, 0),
        (0, 0, 4, 4, 0, -1),
        (0, 0, 0, 4, 0, 0),
    ],
)
def test_parts_that_do_not_fit_are_refused(place: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        draw(picture(50, 60), (30, 36), place, (40, 40), True)


# ---- Threads


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_do_not_depend_on_threads(threads: int) -> None:
    image = picture(700, 900)
    np.testing.assert_array_equal(halve(image, threads), halve(image))
    found, expected = (np.zeros((3, 640, 256), np.float32) for _ in range(2))
    for canvas, number in ((found, threads), (expected, 0)):
        draw_pieces(canvas, [LevelSource(image, 630, 400)], [(0, 100, 600, 256, 20, 0)], threads=number)
    np.testing.assert_array_equal(found, expected)
    boxes = np.random.default_rng(0).uniform(0, 500, (200, 4))
    boxes[:, 2:] = boxes[:, :2] + 1 + boxes[:, 2:]
    np.testing.assert_array_equal(crop_resize(image, boxes, 24, threads=threads), crop_resize(image, boxes, 24))
