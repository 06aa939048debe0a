"""The image pyramid, arranged so that P-Net gets only a few input shapes.

**Levels.** Level k of an image is the image scaled by `12 / min_face * factor ** k`. Levels end when the shorter side falls
below P-Net's 12 pixels. Sizes are rounded up, and the exact scale of each axis is kept. The image is halved by 2x2 means as
long as it stays at least twice as large as the level. Every pixel of the level is the mean of the area that it covers in the
halved image, in float, never rounded. Odd sides become even by repeating the last line, so that no pooling window of P-Net
reaches beyond the level.

**Canvases.** Runtimes keep compiled code and buffers for every input shape. With photos of many sizes these would fill the
memory, and each new size would start slowly. Therefore all levels are placed side by side on canvases of a few fixed sizes.
Levels larger than a canvas are cut into pieces that overlap by the receptive field of a P-Net cell. P-Net's cells are local:
cells inside a piece have the same value as on the whole level, and all others are ignored.
"""

import math
from functools import lru_cache
from typing import Callable, NamedTuple, Sequence

import numpy as np

from mtcnn_gluon.boxes import CELL, STRIDE
from mtcnn_gluon.engines.base import CANVAS_HEIGHT, CANVAS_SIZES, CANVAS_WIDTH
from mtcnn_gluon.operators import LevelSource, draw_pieces, halve

OVERLAP = CELL - STRIDE  # pixels that neighbouring pieces share, so that no cell between them is lost


class Level(NamedTuple):
    """One level of a pyramid.

    Attributes:
        height, width: size in pixels.
        halvings: number of times that the image is halved before it is resized.
        scale_y, scale_x: size of the level / size of the image.
    """

    height: int
    width: int
    halvings: int
    scale_y: float
    scale_x: float


class Piece(NamedTuple):
    """A part of a level (`source_y`, `source_x`, `height`, `width`) and its place (`y`, `x`) on a canvas; all even numbers."""

    level: int
    source_y: int
    source_x: int
    height: int
    width: int
    y: int = 0
    x: int = 0


class Canvas(NamedTuple):
    """One input of P-Net: `height` x `width` pixels that hold `pieces`."""

    height: int
    width: int
    pieces: tuple[Piece, ...]


@lru_cache(maxsize=256)
def plan_levels(height: int, width: int, min_face: float, factor: float) -> tuple[Level, ...]:
    """The levels of an image of `height` x `width` pixels, largest first; none if the image is smaller than `min_face`."""
    levels = []
    scale = CELL / min_face
    while min(height, width) * scale >= CELL - 1e-6:
        levels.append(_plan_level(height, width, scale))
        scale *= factor
    return tuple(levels)


def _plan_level(height: int, width: int, scale: float) -> Level:
    h, w = (math.ceil(side * scale - 1e-6) for side in (height, width))
    halvings = 0
    while height >> (halvings + 1) >= 2 * h and width >> (halvings + 1) >= 2 * w:
        halvings += 1
    used_h, used_w = ((side >> halvings) << halvings for side in (height, width))  # halving drops an odd last line
    return Level(h, w, halvings, h / used_h, w / used_w)


def level_sources(image: np.ndarray, levels: Sequence[Level], threads: int = 0) -> list[LevelSource]:
    """The sources of `levels`: the image (H, W, 3) uint8, halved as often as each level needs.

    `threads` is the largest number of CPU threads; 0: OpenMP's number.
    """
    pixels, halvings, sources = np.ascontiguousarray(image), 0, []
    for level in levels:
        while halvings < level.halvings:
            pixels = halve(pixels, threads)
            halvings += 1
        sources.append(LevelSource(pixels, level.height, level.width))
    return sources


@lru_cache(maxsize=256)
def plan_canvases(sizes: tuple[tuple[int, int], ...]) -> tuple[Canvas, ...]:
    """Canvases with room for levels of the given sizes (height, width), after odd sides are made even."""
    pieces = [piece for index, (height, width) in enumerate(sizes) for piece in _cut(index, even(height), even(width))]
    full = [p for p in pieces if (p.height, p.width) == (CANVAS_HEIGHT, CANVAS_WIDTH)]
    rest = [p for p in pieces if (p.height, p.width) != (CANVAS_HEIGHT, CANVAS_WIDTH)]
    plans = (_pack(sorted(rest, key=order, reverse=True)) for order in _PACKING_ORDERS)
    best = min(plans, key=lambda canvases: sum(c.height * c.width for c in canvases))
    return tuple(Canvas(CANVAS_HEIGHT, CANVAS_WIDTH, (p,)) for p in full) + tuple(best)


_PACKING_ORDERS: tuple[Callable[[Piece], tuple[int, int]], ...] = (
    lambda p: (p.height, p.width),
    lambda p: (p.width, p.height),
    lambda p: (p.height * p.width, p.height),
)


def fill_canvas(
    canvas: Canvas, sources: Sequence[LevelSource], mean: float = 0.0, scale: float = 1.0, threads: int = 0
) -> np.ndarray:
    """The pixels (1, 3, H, W) float32 of a canvas: its pieces of the levels made from `sources`, and zeros elsewhere.

    Values are (pixel - mean) * scale for pixels in 0..255, not rounded. `threads` as in `level_sources`.
    """
    pixels = np.zeros((1, 3, canvas.height, canvas.width), np.float32)
    places = [(p.source_y, p.source_x, p.height, p.width, p.y, p.x) for p in canvas.pieces]
    draw_pieces(pixels[0], [sources[p.level] for p in canvas.pieces], places, mean, scale, threads)
    return pixels


def locate_cells(canvas: Canvas, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The level of P-Net's cells on a canvas, and the cells' places on that level.

    Args:
        canvas: the input of P-Net.
        rows, columns: (N,) integer positions of cells in P-Net's output.

    Returns:
        `inside` (N,) bool: whether a cell lies inside one piece. For the K cells inside: `level` (K,), and `cells` (K, 2), row
        and column in P-Net's output for the whole level.
    """
    owners = np.full(((canvas.height - OVERLAP) // STRIDE, (canvas.width - OVERLAP) // STRIDE), -1, np.int16)  # cells' pieces
    for index, p in enumerate(canvas.pieces):
        y, x = p.y // STRIDE, p.x // STRIDE
        owners[y : y + (p.height - OVERLAP) // STRIDE, x : x + (p.width - OVERLAP) // STRIDE] = index
    owner = owners[rows, columns]  # (N,)
    inside = owner >= 0
    places = np.array([(p.level, p.source_y - p.y, p.source_x - p.x) for p in canvas.pieces])[owner[inside]]  # (K, 3)
    cells = np.stack([rows[inside], columns[inside]], axis=1) + places[:, 1:] // STRIDE  # (K, 2)
    return inside, places[:, 0], cells


def even(side: int) -> int:
    """The side, in pixels, that a level has on canvases, where the last line of an odd side is repeated."""
    return side + side % 2


def _cut(level: int, height: int, width: int) -> list[Piece]:
    return [
        Piece(level, y, x, min(CANVAS_HEIGHT, height - y), min(CANVAS_WIDTH, width - x))
        for y in range(0, height - OVERLAP, CANVAS_HEIGHT - OVERLAP)
        for x in range(0, width - OVERLAP, CANVAS_WIDTH - OVERLAP)
    ]


def _pack(pieces: list[Piece]) -> list[Canvas]:
    """Place pieces, in the given order, on as many canvases as they need."""
    canvases = []
    while pieces:
        placed, pieces = _fill_one(pieces)
        height, width = max(p.y + p.height for p in placed), max(p.x + p.width for p in placed)
        size = next(size for size in CANVAS_SIZES if size[0] >= height and size[1] >= width)
        canvases.append(Canvas(*size, tuple(placed)))
    return canvases


def _fill_one(pieces: list[Piece]) -> tuple[list[Piece], list[Piece]]:
    """Place the pieces that fit on one canvas, each as high up as possible; returns the placed and the remaining pieces.

    The state is a skyline: the first free row of every second column.
    """
    width = _strip_width(pieces)
    skyline = [0] * (width // 2)
    placed, rest = [], []
    for piece in pieces:
        columns = piece.width // 2
        y, column = _highest_place(skyline, columns)
        if y + piece.height > CANVAS_HEIGHT:
            rest.append(piece)
            continue
        skyline[column : column + columns] = [y + piece.height] * columns
        placed.append(piece._replace(y=y, x=2 * column))
    return placed, rest


def _strip_width(pieces: list[Piece]) -> int:
    """The width of the smallest canvas that probably holds all pieces, or else the full width."""
    area, width = sum(p.height * p.width for p in pieces), max(p.width for p in pieces)
    return next((w for h, w in CANVAS_SIZES if area <= 0.8 * h * w and width <= w), CANVAS_WIDTH)


def _highest_place(skyline: list[int], columns: int) -> tuple[int, int]:
    """Row, and column in units of two pixels, of the highest place where `columns` columns are free."""
    starts = [i for i in range(len(skyline) - columns + 1) if i == 0 or skyline[i] != skyline[i - 1]]
    return min((max(skyline[i : i + columns]), i) for i in starts)
