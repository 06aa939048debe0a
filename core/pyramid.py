"""The image pyramid, laid out so that P-Net only ever sees a handful of input shapes.

**Levels.** Level k of an image is the image scaled by `12 / min_face * factor ** k`, as long as its shorter side is at least
P-Net's 12 pixels. Its size is rounded up, and the exact scale that results is kept for each axis. Every pixel of a level is
the mean of the area it covers in the smallest repeated 2x2 mean of the image that is not smaller than twice the level; all is
float, nothing is rounded. Odd sides are made even by repeating the last line, so that no pooling window of P-Net is ever
partial, whatever lies beside the level.

**Canvases.** Runtimes keep compiled code and buffers for every input shape they meet, so photos of many sizes would fill
the memory and each new size would start slowly. All levels are therefore laid side by side on canvases of a few fixed sizes;
levels wider or higher than a canvas are cut into pieces that overlap by what one P-Net cell needs. P-Net's cells are local:
cells wholly inside a piece have the value they would have on the level alone, the others are not looked at.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Callable, Sequence

import cv2
import numpy as np

from mtcnn_gluon.boxes import CELL, STRIDE

OVERLAP = CELL - STRIDE  # pixels that neighbouring pieces share, so that no cell is lost between them
CANVAS_WIDTH, CANVAS_HEIGHT, CANVAS_STEP = 256, 640, 64
CANVAS_SIZES = (  # height, width of all inputs that P-Net ever sees
    (64, 64),
    (128, 128),
    *((height, CANVAS_WIDTH) for height in range(CANVAS_STEP, CANVAS_HEIGHT + 1, CANVAS_STEP)),
)


@dataclass(frozen=True)
class Level:
    """One level of a pyramid.

    Attributes:
        height, width: its size in pixels.
        halvings: how often the image is halved before it is resized to the level.
        scale_y, scale_x: size of the level / size of the image.
    """

    height: int
    width: int
    halvings: int
    scale_y: float
    scale_x: float


@dataclass(frozen=True)
class Piece:
    """A part of a level (`source_y`, `source_x`, `height`, `width`, all even) and its place (`y`, `x`) on a canvas."""

    level: int
    source_y: int
    source_x: int
    height: int
    width: int
    y: int = 0
    x: int = 0


@dataclass(frozen=True)
class Canvas:
    """One input of P-Net: `height` x `width` pixels that hold `pieces`."""

    height: int
    width: int
    pieces: tuple[Piece, ...]


@lru_cache(maxsize=256)
def plan_levels(height: int, width: int, min_face: float, factor: float) -> tuple[Level, ...]:
    """The levels of an image of `height` x `width` pixels, largest first; none if it is smaller than `min_face`."""
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
    used_h, used_w = ((side >> halvings) << halvings for side in (height, width))  # a halving drops an odd last line
    return Level(h, w, halvings, h / used_h, w / used_w)


def build_levels(image: np.ndarray, levels: Sequence[Level]) -> list[np.ndarray]:
    """The pixels of `levels` of an image (H, W, 3) uint8: (3, h, w) float32 in 0..255, h and w the level's sides made even.

    Colours are taken one at a time, so that of a huge image only one plane is ever held in float.
    """
    built = [np.empty((3, _even(level.height), _even(level.width)), np.float32) for level in levels]
    for colour in range(3):
        plane = image[:, :, colour].astype(np.float32)
        halvings = 0
        for level, pixels in zip(levels, built):
            while halvings < level.halvings:
                plane = halve(plane)
                halvings += 1
            h, w = level.height, level.width
            pixels[colour, :h, :w] = area_resize(plane, h, w)
            pixels[colour, h:] = pixels[colour, h - 1]
            pixels[colour, :, w:] = pixels[colour, :, w - 1 : w]
    return built


def area_resize(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """A plane (H, W) float32 at another size (height, width), every pixel the mean of the area it covers."""
    return cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)


def halve(plane: np.ndarray) -> np.ndarray:
    """The 2x2 means (H // 2, W // 2) of a plane (H, W) float32; an odd last row or column is dropped."""
    h, w = plane.shape[0] // 2, plane.shape[1] // 2
    return area_resize(plane[: 2 * h, : 2 * w], h, w)


@lru_cache(maxsize=256)
def plan_canvases(sizes: tuple[tuple[int, int], ...]) -> tuple[Canvas, ...]:
    """Canvases that together hold levels of the given sizes (height, width)."""
    pieces = [piece for index, size in enumerate(sizes) for piece in _cut(index, *size)]
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


def fill_canvas(canvas: Canvas, levels: Sequence[np.ndarray]) -> np.ndarray:
    """The canvas (1, 3, H, W) float32 with the pixels of `levels`; zero where no piece lies."""
    pixels = np.zeros((1, 3, canvas.height, canvas.width), np.float32)
    for p in canvas.pieces:
        source = levels[p.level][:, p.source_y : p.source_y + p.height, p.source_x : p.source_x + p.width]
        pixels[0, :, p.y : p.y + p.height, p.x : p.x + p.width] = source
    return pixels


def locate_cells(canvas: Canvas, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which level each P-Net cell of a canvas belongs to, and where on it.

    Args:
        canvas: the canvas that P-Net saw.
        rows, columns: (N,) integer positions of cells in P-Net's output.

    Returns:
        `inside` (N,) bool, false for cells that lie on no single piece; then, of the cells inside, `level` (K,) and
        `cells` (K, 2), their row and column in P-Net's output on that whole level.
    """
    corners = STRIDE * np.stack([rows, columns], axis=1)  # (N, 2) y, x of the cells' first pixels
    p = np.array([[p.y, p.x, p.height, p.width, p.source_y, p.source_x, p.level] for p in canvas.pieces])  # (M, 7)
    offset = corners[:, None, :] - p[None, :, :2]  # (N, M, 2)
    on = ((offset >= 0) & (offset + CELL <= p[None, :, 2:4])).all(axis=2)  # (N, M)
    inside = on.any(axis=1)
    owner = on[inside].argmax(axis=1)  # (K,)
    source = corners[inside] - p[owner, :2] + p[owner, 4:6]  # (K, 2)
    return inside, p[owner, 6], source // STRIDE


def _even(side: int) -> int:
    return side + side % 2


def _cut(level: int, height: int, width: int) -> list[Piece]:
    return [
        Piece(level, y, x, min(CANVAS_HEIGHT, height - y), min(CANVAS_WIDTH, width - x))
        for y in range(0, height - OVERLAP, CANVAS_HEIGHT - OVERLAP)
        for x in range(0, width - OVERLAP, CANVAS_WIDTH - OVERLAP)
    ]


def _pack(pieces: list[Piece]) -> list[Canvas]:
    """Lay pieces on as many canvases as they need, in their order."""
    canvases = []
    while pieces:
        placed, pieces = _fill_one(pieces)
        height, width = max(p.y + p.height for p in placed), max(p.x + p.width for p in placed)
        size = next(size for size in CANVAS_SIZES if size[0] >= height and size[1] >= width)
        canvases.append(Canvas(*size, tuple(placed)))
    return canvases


def _fill_one(pieces: list[Piece]) -> tuple[list[Piece], list[Piece]]:
    """Place what fits on one canvas, each piece as high up as it goes; return the placed and the remaining pieces.

    The state is a "skyline": for every second column, the first row that is still free.
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
        placed.append(replace(piece, y=y, x=2 * column))
    return placed, rest


def _strip_width(pieces: list[Piece]) -> int:
    """Narrow for a few small pieces, which may then fit on a small square, else the full width."""
    area, width = sum(p.height * p.width for p in pieces), max(p.width for p in pieces)
    return next((w for h, w in CANVAS_SIZES if area <= 0.8 * h * w and width <= w), CANVAS_WIDTH)


def _highest_place(skyline: list[int], columns: int) -> tuple[int, int]:
    """Row and column (in units of two pixels) of the highest place where `columns` columns are free."""
    starts = [i for i in range(len(skyline) - columns + 1) if i == 0 or skyline[i] != skyline[i - 1]]
    return min((max(skyline[i : i + columns]), i) for i in starts)
