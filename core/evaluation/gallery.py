"""Pictures of a detector's errors: faces that it missed, and false positives."""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import cv2
import numpy as np

from mtcnn_gluon.errors import ImageError
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.operators import crop_resize

EXAMPLES = 24  # in a gallery
COLUMNS = 6
TILE = 180  # side of a picture in pixels
CAPTION = 22  # height of the line below it in pixels
AROUND = 2.5  # side of the shown part of the photo, in sides of the box
SUBJECT, CONTEXT = (255, 60, 60), (0, 200, 80)  # colours of the error, and of the boxes and points around it


@dataclass(frozen=True, eq=False)
class Example:
    """One error to show."""

    photo: str  # its name
    box: np.ndarray  # (4,) x1, y1, x2, y2 in pixels; drawn in red, unless there are points
    context: np.ndarray  # (K, 4) boxes drawn in green
    caption: str  # a few words
    points: np.ndarray | None = None  # (L, 2) x, y in pixels, drawn in red
    truth: np.ndarray | None = None  # (L, 2) x, y in pixels, drawn in green


@dataclass(frozen=True, eq=False)
class Gallery:
    """Examples under one title; `name` is the file name without ending."""

    name: str
    title: str
    examples: tuple[Example, ...]


def contact_sheet(gallery: Gallery, photos: Callable[[str], Path]) -> np.ndarray | None:
    """All examples in one picture (H, W, 3) uint8, numbered; None if none of the photos can be read.

    `photos` returns the file of a photo by its name.
    """
    tiles = []
    for index, example in enumerate(gallery.examples, 1):
        try:
            image = read_image(photos(example.photo))
        except ImageError:
            continue
        tiles.append(_with_caption(draw_example(image, example), f"{index}. {example.caption}"))
    if not tiles:
        return None
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % COLUMNS)
    return np.vstack([np.hstack(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)])


def draw_example(image: np.ndarray, example: Example) -> np.ndarray:
    """The part of a photo (H, W, 3) uint8 around the example's box, (TILE, TILE, 3) uint8, with boxes and points."""
    x1, y1, x2, y2 = (float(v) for v in example.box)
    side = AROUND * max(x2 - x1, y2 - y1, 4)
    corner = np.array([x1 + x2 - side, y1 + y2 - side]) / 2
    crop = crop_resize(image, np.array([[*corner, *(corner + side)]]), TILE)[0]  # (3, TILE, TILE)
    picture = np.ascontiguousarray(np.rint(crop).astype(np.uint8).transpose(1, 2, 0))

    def place(point: np.ndarray) -> tuple[int, int]:
        x, y = np.clip((np.asarray(point, np.float64) - corner) * (TILE / side), -1e4, 1e4)
        return int(x), int(y)

    subject = [] if example.points is not None else [(example.box, SUBJECT)]  # it would hide the points
    for box, colour in [*((each, CONTEXT) for each in example.context), *subject]:
        cv2.rectangle(picture, place(box[:2]), place(box[2:]), colour, 1, cv2.LINE_AA)
    for points, colour in ((example.truth, CONTEXT), (example.points, SUBJECT)):
        for point in points if points is not None else ():
            cv2.circle(picture, place(point), 2, colour, cv2.FILLED, cv2.LINE_AA)
    return picture


def _with_caption(picture: np.ndarray, text: str) -> np.ndarray:
    strip = np.full((CAPTION, TILE, 3), 255, np.uint8)
    cv2.putText(strip, text, (4, CAPTION - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    return np.pad(np.vstack([picture, strip]), ((2, 2), (2, 2), (0, 0)), constant_values=255)
