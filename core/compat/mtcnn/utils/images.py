"""Reading images as mtcnn does."""

import os
from typing import Any

import numpy as np

from mtcnn_gluon.compat.arrays import pixels
from mtcnn_gluon.io.images import read_as_stored

FILES = (str, os.PathLike, bytes, bytearray, memoryview)


def load_image(image: Any, dtype: Any = "float32", device: Any = None) -> np.ndarray:
    """An image as (H, W, 3) RGB with values in 0..255, not rotated by its EXIF orientation.

    Args:
        image: a path, the bytes of an image file, an array or a tensor with values in 0..255.
        dtype: type of the result, of numpy or TensorFlow.
        device: without effect.

    Raises:
        ImageError: if it cannot be read as an image.
    """
    return rgb(image).astype(getattr(dtype, "as_numpy_dtype", dtype))


def rgb(image: Any) -> np.ndarray:
    """`load_image` as (H, W, 3) uint8."""
    return read_as_stored(image) if isinstance(image, FILES) else pixels(image)
