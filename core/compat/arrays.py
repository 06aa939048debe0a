"""Images and results of programs that may use PyTorch or TensorFlow. Neither is needed, and none is imported without need."""

import importlib
import logging
import sys
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from mtcnn_gluon.errors import ImageError, last_line
from mtcnn_gluon.io.images import read_as_stored

logger = logging.getLogger(__name__)


def pixels(image: Any) -> np.ndarray:
    """An image as (H, W, 3) uint8 RGB, not rotated by its EXIF orientation.

    Args:
        image: a PIL image; or an array or a tensor of PyTorch or TensorFlow, (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), with
            values in 0..255 of any type, which are rounded.

    Raises:
        ImageError: if it is something else, or a value is out of range or NaN.
    """
    if isinstance(image, Image.Image):
        return read_as_stored(image)
    array = as_array(image)
    if array.dtype.kind in "iuf" and array.dtype != np.uint8 and array.size:
        if not (array.min() > -0.5 and array.max() < 255.5):  # also false for NaN
            raise ImageError(
                f"the values of an image must lie in 0..255, without NaN; this one spans {array.min()}..{array.max()}"
            )
        array = np.rint(array).astype(np.uint8)
    return read_as_stored(array)


def as_array(image: Any) -> np.ndarray:
    """The values of an array or a tensor, in the computer's memory.

    Raises:
        ImageError: if it is neither.
    """
    if is_tensor(image):
        image = image.detach().cpu()
    if not hasattr(image, "__array__"):
        raise ImageError(f"an image must be a PIL image, an array or a tensor here, not {type(image).__name__}")
    return np.asarray(image)


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor of PyTorch, which then is imported already."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


@lru_cache(maxsize=1)
def torch_or_none() -> Any:
    """PyTorch, or None where it cannot be imported."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        return None
    except Exception as error:  # a damaged library may raise anything
        logger.warning("results are arrays, since PyTorch is installed but cannot be imported: %s", last_line(error))
        return None


def as_tensor(array: np.ndarray) -> Any:
    """A float32 array as a tensor of PyTorch where that can be imported, otherwise as it is."""
    torch, array = torch_or_none(), np.ascontiguousarray(array, np.float32)
    return array if torch is None else torch.from_numpy(array)


def stacked(values: list[Any]) -> Any:
    """What `as_tensor` returned, stacked along a new first axis."""
    return torch_or_none().stack(values) if is_tensor(values[0]) else np.stack(values)
