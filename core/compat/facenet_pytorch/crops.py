"""Faces cut out of images, as tensors or arrays for a recognition network."""

import os
from typing import Any, Sequence

import cv2
import numpy as np
from PIL import Image

from mtcnn_gluon.compat.arrays import as_tensor, is_tensor, pixels
from mtcnn_gluon.errors import ConfigError, shown
from mtcnn_gluon.io.files import write_picture
from mtcnn_gluon.options import Meaning, checked


def extract_face(
    img: Any, box: Sequence[float], image_size: int = 160, margin: float = 0, save_path: str | os.PathLike | None = None
) -> Any:
    """The face in a box, scaled to a square.

    Args:
        img: a PIL image, an array or a tensor, (H, W, 3) with values in 0..255. As in facenet-pytorch the kind decides how it
            is scaled: PIL images bilinearly, the others by the means of areas.
        box: x1, y1, x2, y2 in pixels; the part of it inside the image counts.
        image_size: side of the output in pixels.
        margin: widening of the box, in pixels of the output, both sides together; less than `image_size`.
        save_path: picture file to write the face to; its folder is made.

    Returns:
        (3, image_size, image_size) float32 in 0..255, RGB: a tensor if PyTorch can be imported, otherwise an array.

    Raises:
        ConfigError: if an argument is out of range, or no pixel of the image is in the box.
        ImageError: if `img` is not an image.
        DataError: if the picture cannot be written.
    """
    image_size = checked("image_size", image_size, int, Meaning("", least=1))
    margin = checked("margin", margin, float, Meaning("", least=0, below=image_size))
    image = pixels(img)
    x1, y1, x2, y2 = _numbers(box)
    dx, dy = (margin * side / (image_size - margin) / 2 for side in (x2 - x1, y2 - y1))
    left, top = int(max(x1 - dx, 0)), int(max(y1 - dy, 0))
    right, bottom = int(min(x2 + dx, image.shape[1])), int(min(y2 + dy, image.shape[0]))
    if left >= right or top >= bottom:
        raise ConfigError(f"box {shown([x1, y1, x2, y2])} holds no pixel of the image of {image.shape[1]} x {image.shape[0]}")
    face = _scaled(image[top:bottom, left:right], image_size, img)
    if save_path is not None:
        write_picture(save_path, face)
    return as_tensor(face.astype(np.float32).transpose(2, 0, 1))


def _numbers(box: Any) -> list[float]:
    """The four numbers of a box."""
    try:
        values = np.asarray(box, np.float64)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.shape != (4,) or not np.isfinite(values).all():
        raise ConfigError(f"box must be four numbers, not {shown(box)}")
    return values.tolist()


def _scaled(part: np.ndarray, size: int, source: Any) -> np.ndarray:
    """A part (h, w, 3) uint8 as (size, size, 3) uint8, by the method for images of the kind of `source`."""
    if isinstance(source, Image.Image):
        return np.array(Image.fromarray(part).resize((size, size), Image.Resampling.BILINEAR))
    if is_tensor(source):
        return _means(part, size).astype(np.uint8)  # cut off, not rounded
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA)


def _means(part: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) float64: the mean of all pixels that each output pixel touches, as in PyTorch's adaptive pooling."""
    values = part.astype(np.float64)
    for axis in (0, 1):
        length = values.shape[axis]
        starts, stops = np.arange(size) * length // size, -(-np.arange(1, size + 1) * length // size)
        before = np.concatenate([np.zeros_like(values.take([0], axis)), np.cumsum(values, axis)], axis)
        counts = (stops - starts).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
        values = (before.take(stops, axis) - before.take(starts, axis)) / counts
    return values


def fixed_image_standardization(image_tensor: Any) -> Any:
    """Values of 0..255 as -1..1, nearly: (x - 127.5) / 128."""
    return (image_tensor - 127.5) / 128.0


def prewhiten(x: Any) -> Any:
    """Values with mean 0 and standard deviation 1, which counts as at least 1 / sqrt(number of values)."""
    values = np.asarray(x, np.float64)
    return (x - float(values.mean())) / max(float(values.std(ddof=1)), values.size**-0.5)
