"""Levels of image pyramids: every pixel of a level is the mean of the image's area that it covers."""

from dataclasses import dataclass
from functools import cached_property
from typing import Sequence

import cv2
import numpy as np

from mtcnn_gluon.operators.native import kernels

_PIECE = np.dtype(  # `MtcnnPiece` of src/kernels.h
    [("pixels", np.uintp)]
    + [(name, np.int64) for name in ("is_float", "height", "width", "level_height", "level_width")]
    + [(name, np.int64) for name in ("source_y", "source_x", "rows", "columns", "y", "x")],
    align=True,
)
Place = tuple[int, int, int, int, int, int]


@dataclass(frozen=True, eq=False)
class LevelSource:
    """A level and its source image.

    Attributes:
        pixels: (H, W, 3) uint8 or float32, contiguous, at least one pixel: the image to resize.
        height, width: size of the level in pixels.
    """

    pixels: np.ndarray
    height: int
    width: int

    @cached_property
    def planes(self) -> np.ndarray:
        """The level (3, height, width) float32. Colours are resized one at a time, which saves memory."""
        colours = (self.pixels[:, :, colour].astype(np.float32) for colour in range(3))
        return np.stack([_area_means(each, self.height, self.width) for each in colours])


def _area_means(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """The means (height, width) of equal parts of a plane (H, W) float32; each axis may shrink or grow.

    OpenCV is used for shrinking only: `INTER_AREA` enlarges an axis by interpolation, with errors of up to a whole line.
    """
    size = min(width, plane.shape[1]), min(height, plane.shape[0])
    smaller = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    return _enlarged(_enlarged(smaller, height).T, width).T


def _enlarged(plane: np.ndarray, size: int) -> np.ndarray:
    """The means (size, W) of `size` equal parts of a plane (H, W). Size is at least H, so a part covers one or two lines."""
    lines = len(plane)
    if size == lines:
        return plane
    starts = np.arange(size) * lines  # of the parts, in units of 1 / size line: whole numbers, without rounding
    first = starts // size
    share = np.minimum(1, ((first + 1) * size - starts) / lines).astype(np.float32)[:, None]  # share of the first line
    return share * plane[first] + (1 - share) * plane[np.minimum(first + 1, lines - 1)]


def halve(image: np.ndarray, threads: int = 0) -> np.ndarray:
    """The 2 x 2 means (H // 2, W // 2, 3) float32 of an image (H, W, 3) uint8 or float32; an odd last line is dropped.

    `threads` is the largest number of CPU threads; 0: OMP_NUM_THREADS, or one a processor.

    Raises:
        ValueError: if `image` has another shape or type, or a side of less than two pixels.
    """
    _check(image)
    if min(image.shape[:2]) < 2:
        raise ValueError(f"an image of {image.shape[0]} x {image.shape[1]} pixels cannot be halved")
    image = np.ascontiguousarray(image)
    height, width = image.shape[:2]
    library = kernels()
    if library is None:
        return _halve(image)
    halved = np.empty((height // 2, width // 2, 3), np.float32)
    library.mtcnn_halve(image.ctypes.data, image.dtype == np.float32, height, width, threads, halved.ctypes.data)
    return halved


def _halve(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[0] // 2, image.shape[1] // 2
    even = image[: 2 * height, : 2 * width]
    colours = (even[:, :, colour].astype(np.float32) for colour in range(3))
    return np.stack([cv2.resize(each, (width, height), interpolation=cv2.INTER_AREA) for each in colours], axis=2)


def draw_pieces(
    canvas: np.ndarray, sources: Sequence[LevelSource], places: Sequence[Place], mean: float = 0.0, scale: float = 1.0,
    threads: int = 0,
) -> None:  # fmt: skip
    """Draw parts of levels on a canvas and leave the rest of the canvas unchanged.

    Args:
        canvas: (3, H, W), contiguous float32; or uint8, a view of a contiguous array (H, W, 3).
        sources: the level of each part.
        places: `source_y, source_x, rows, columns, y, x` of each part: first pixel and size on the level, and first pixel on
            the canvas. Below and to the right of the level, its last line is repeated.
        mean, scale: values in float32 are (pixel - mean) * scale for pixels in 0..255, not rounded; uint8 are rounded pixels.
        threads: largest number of CPU threads; 0: OMP_NUM_THREADS, or one a processor.

    Raises:
        ValueError: if the canvas is not of that form, or a part does not begin on its level or does not lie on the canvas.
        MemoryError: if there is not enough memory.
    """
    layout = canvas.transpose(1, 2, 0) if canvas.dtype == np.uint8 else canvas
    if canvas.dtype not in (np.uint8, np.float32) or not layout.flags.c_contiguous:
        raise ValueError(f"a canvas must be contiguous float32, or uint8 with its channels last, not {canvas.dtype}")
    for source, (source_y, source_x, rows, columns, y, x) in zip(sources, places):
        _check(source.pixels)
        is_on_level = 0 <= source_y < source.height and 0 <= source_x < source.width
        is_on_canvas = 0 <= y <= y + rows <= canvas.shape[1] and 0 <= x <= x + columns <= canvas.shape[2]
        if not (is_on_level and is_on_canvas and rows > 0 and columns > 0):
            raise ValueError(f"a part of a level does not fit: {(source_y, source_x, rows, columns, y, x)}")
    library = kernels()
    if library is None:
        _draw_pieces(canvas, sources, places, mean, scale)
        return
    contiguous = [np.ascontiguousarray(source.pixels) for source in sources]  # kept until the call ends
    table = np.array(
        [
            (each.ctypes.data, each.dtype == np.float32, *each.shape[:2], source.height, source.width, *place)
            for each, source, place in zip(contiguous, sources, places)
        ],
        _PIECE,
    )
    arguments = (len(table), mean, scale, *canvas.shape[1:], threads, canvas.dtype == np.uint8, canvas.ctypes.data)
    if not library.mtcnn_draw_pieces(table.ctypes.data, *arguments):
        raise MemoryError(f"{len(table)} parts of levels need more memory than there is")


def _draw_pieces(
    canvas: np.ndarray, sources: Sequence[LevelSource], places: Sequence[Place], mean: float, scale: float
) -> None:
    for source, (source_y, source_x, rows, columns, y, x) in zip(sources, places):
        part = source.planes[:, source_y : source_y + rows, source_x : source_x + columns]
        missing = ((0, 0), (0, rows - part.shape[1]), (0, columns - part.shape[2]))
        part = np.pad(part, missing, mode="edge")
        is_bytes = canvas.dtype == np.uint8
        values = np.floor(part + 0.5) if is_bytes else (part - np.float32(mean)) * np.float32(scale)
        canvas[:, y : y + rows, x : x + columns] = values


def _check(image: np.ndarray) -> None:
    if image.dtype not in (np.uint8, np.float32) or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image must be (H, W, 3) uint8 or float32, got {image.shape} {image.dtype}")
