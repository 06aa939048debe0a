"""The image pyramid, arranged so that P-Net gets only a few input shapes.

**Levels.** Level k of an image is the image scaled by `cell / min_face * factor ** k`, with a cell of 12 pixels for the paper's
P-Net. Levels end when the shorter side falls below a cell. Sizes are rounded up, and the exact scale of each axis is kept. The
image is halved by 2x2 means as long as it stays at least twice as large as the level. Every pixel of the level is the mean of
the area that it covers in the halved image, in float, never rounded. Sides become multiples of P-Net's stride by repeating the
last line, so that no pooling window reaches beyond the level.

**Margins.** If P-Net sees more than a cell, a level gets black on every side instead: as much as P-Net sees around a cell, and
at most a third of a cell more. Cells may reach that far beyond the image, as the squares of faces that the border cuts do. For
faces as large as the image, levels go on until the shorter side falls below a cell without that part.

**Canvases.** Runtimes keep compiled code and buffers for every input shape. With photos of many sizes these would fill the
memory, and each new size would start slowly. Therefore all levels are placed side by side on canvases of a few fixed sizes.
Levels larger than a canvas are cut into pieces that overlap by what P-Net sees of a cell. Thus cells inside a piece have the
same value as on the whole level, and all others are ignored.
"""

import math
from functools import lru_cache
from typing import Callable, NamedTuple, Sequence

import numpy as np
from numpy.typing import DTypeLike

from mtcnn_gluon.engines.base import CANVAS_HEIGHT, CANVAS_SIZES, CANVAS_WIDTH, Level
from mtcnn_gluon.engines.skyline import Skyline
from mtcnn_gluon.layers import View
from mtcnn_gluon.operators import LevelSource, draw_pieces, halve
from mtcnn_gluon.operators.crop_resize import empty_images
from mtcnn_gluon.operators.pyramid_pieces import Place


class Piece(NamedTuple):
    """A part of a level (`source_y`, `source_x`, `height`, `width`) and its place (`y`, `x`) on a canvas.

    All numbers are multiples of P-Net's stride. The margin around the level counts as part of it.
    """

    level: int
    source_y: int
    source_x: int
    height: int
    width: int
    y: int = 0
    x: int = 0


class Canvas(NamedTuple):
    """One input of P-Net: `height` x `width` pixels that hold `pieces`. `view` is what P-Net sees."""

    height: int
    width: int
    pieces: tuple[Piece, ...]
    view: View


@lru_cache(maxsize=256)
def plan_levels(height: int, width: int, min_face: float, factor: float, view: View) -> tuple[Level, ...]:
    """The levels of an image of `height` x `width` pixels, largest first; none if the image is smaller than `min_face`."""
    levels: list[Level] = []
    scale, least = view.cell / min_face, view.cell
    while min(height, width) * scale >= least - 1e-6:
        levels.append(_plan_level(height, width, scale))
        scale, least = scale * factor, view.cell - view.overhang
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

    `threads` is the largest number of CPU threads; 0: OMP_NUM_THREADS, or one a processor.
    """
    pixels, halvings, sources = np.ascontiguousarray(image), 0, []
    for level in levels:
        while halvings < level.halvings:
            pixels = halve(pixels, threads)
            halvings += 1
        sources.append(LevelSource(pixels, level.height, level.width))
    return sources


@lru_cache(maxsize=256)
def plan_canvases(sizes: tuple[tuple[int, int], ...], view: View) -> tuple[Canvas, ...]:
    """Canvases with room for levels of the given sizes (height, width), for a P-Net that sees `view`."""
    pieces = [piece for index, (height, width) in enumerate(sizes) for piece in _cut(index, height, width, view)]
    full = [p for p in pieces if (p.height, p.width) == (CANVAS_HEIGHT, CANVAS_WIDTH)]
    rest = [p for p in pieces if (p.height, p.width) != (CANVAS_HEIGHT, CANVAS_WIDTH)]
    plans = (_pack(sorted(rest, key=order, reverse=True), view) for order in _PACKING_ORDERS)
    best = min(plans, key=lambda canvases: sum(c.height * c.width for c in canvases))
    return tuple(Canvas(CANVAS_HEIGHT, CANVAS_WIDTH, (p,), view) for p in full) + tuple(best)


_PACKING_ORDERS: tuple[Callable[[Piece], tuple[int, int]], ...] = (
    lambda p: (p.height, p.width),
    lambda p: (p.width, p.height),
    lambda p: (p.height * p.width, p.height),
)


def fill_canvas(
    canvas: Canvas, sources: Sequence[LevelSource], mean: float = 0.0, scale: float = 1.0, threads: int = 0,
    dtype: DTypeLike = np.float32,
) -> np.ndarray:  # fmt: skip
    """The pixels (1, 3, H, W) of a canvas: its pieces of the levels made from `sources`.

    Values in float32 are (pixel - mean) * scale for pixels in 0..255, not rounded; those in uint8 are rounded pixels, and lie
    there channels last. Between the pieces they are 0 (in uint8 the mean), or black if levels have margins. `threads` as in
    `level_sources`.
    """
    pixels = empty_images(1, canvas.height, canvas.width, dtype)
    is_bytes = pixels.dtype == np.uint8
    if not canvas.view.context:
        pixels[:] = np.rint(mean) if is_bytes else 0
        places = [(p.source_y, p.source_x, p.height, p.width, p.y, p.x) for p in canvas.pieces]
        draw_pieces(pixels[0], [sources[p.level] for p in canvas.pieces], places, mean, scale, threads)
        return pixels
    pixels[:] = 0 if is_bytes else -np.float32(mean) * np.float32(scale)
    drawn = [(sources[p.level], _on_level(p, sources[p.level], canvas.view.margin)) for p in canvas.pieces]
    drawn = [(source, place) for source, place in drawn if place[2] > 0 and place[3] > 0]
    draw_pieces(pixels[0], [source for source, _ in drawn], [place for _, place in drawn], mean, scale, threads)
    return pixels


def _on_level(piece: Piece, source: LevelSource, margin: int) -> Place:
    """What `draw_pieces` draws of a piece of a level with margins: the part that lies on the level; perhaps nothing."""
    top, left = max(piece.source_y, margin), max(piece.source_x, margin)
    rows = min(piece.source_y + piece.height, margin + source.height) - top
    columns = min(piece.source_x + piece.width, margin + source.width) - left
    return top - margin, left - margin, rows, columns, piece.y + top - piece.source_y, piece.x + left - piece.source_x


def locate_cells(canvas: Canvas, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The level of P-Net's cells on a canvas, and the cells' places on that level.

    Args:
        canvas: the input of P-Net.
        rows, columns: (N,) integer positions of cells in P-Net's output.

    Returns:
        `inside` (N,) bool: whether a cell lies inside one piece. For the K cells inside: `level` (K,), and `cells` (K, 2), row
        and column in P-Net's output for the whole level.
    """
    view = canvas.view
    owners = np.full((view.outputs(canvas.height), view.outputs(canvas.width)), -1, np.int16)  # cells' pieces
    for index, p in enumerate(canvas.pieces):
        y, x = p.y // view.stride, p.x // view.stride
        owners[y : y + view.outputs(p.height), x : x + view.outputs(p.width)] = index
    owner = owners[rows, columns]  # (N,)
    inside = owner >= 0
    places = np.array([(p.level, p.source_y - p.y, p.source_x - p.x) for p in canvas.pieces])[owner[inside]]  # (K, 3)
    cells = np.stack([rows[inside], columns[inside]], axis=1) + (places[:, 1:] - view.overhang) // view.stride  # (K, 2)
    return inside, places[:, 0], cells


def _cut(level: int, height: int, width: int, view: View) -> list[Piece]:
    height, width = view.padded(height), view.padded(width)
    return [
        Piece(level, y, x, min(CANVAS_HEIGHT, height - y), min(CANVAS_WIDTH, width - x))
        for y in range(0, height - view.overlap, CANVAS_HEIGHT - view.overlap)
        for x in range(0, width - view.overlap, CANVAS_WIDTH - view.overlap)
    ]


def _pack(pieces: list[Piece], view: View) -> list[Canvas]:
    """Place pieces, in the given order, on as many canvases as they need."""
    canvases = []
    while pieces:
        placed, pieces = _fill_one(pieces, view.stride)
        height, width = max(p.y + p.height for p in placed), max(p.x + p.width for p in placed)
        size = next(size for size in CANVAS_SIZES if size[0] >= height and size[1] >= width)
        canvases.append(Canvas(*size, tuple(placed), view))
    return canvases


def _fill_one(pieces: list[Piece], stride: int) -> tuple[list[Piece], list[Piece]]:
    """Place the pieces that fit on one canvas, each as high up as possible; returns the placed and the remaining pieces."""
    skyline = Skyline(_strip_width(pieces), CANVAS_HEIGHT, stride)
    placed, rest = [], []
    for piece in pieces:
        if place := skyline.take(piece.height, piece.width):
            placed.append(piece._replace(y=place[0], x=place[1]))
        else:
            rest.append(piece)
    return placed, rest


def _strip_width(pieces: list[Piece]) -> int:
    """The width of the smallest canvas that probably holds all pieces, or else the full width."""
    area, width = sum(p.height * p.width for p in pieces), max(p.width for p in pieces)
    return next((w for h, w in CANVAS_SIZES if area <= 0.8 * h * w and width <= w), CANVAS_WIDTH)
