"""Reading images into the one form the package works on."""

import io
import logging
import os
import warnings
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator, Union

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mtcnn_gluon.errors import ImageError

ImageSource = Union[str, os.PathLike, bytes, bytearray, memoryview, np.ndarray, Image.Image]

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MAX_PIXELS = 178_956_970  # Pillow's own limit, beyond which it takes a file for a decompression bomb: 537 MB decoded
BLEND_ROWS = 256  # rows of a transparent image that are put on white at a time

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what Pillow logs about damaged files, we raise


def read_image(source: ImageSource) -> np.ndarray:
    """Read an image as RGB, turned as its EXIF orientation says.

    Args:
        source: a path; the bytes of an image file; a PIL image; or an array. Arrays are grey (H, W) or (H, W, 1), RGB
            (H, W, 3) or RGBA (H, W, 4), of dtype uint8, uint16 (0..65535) or floating point (0..1). OpenCV's arrays are
            BGR: turn them with `array[..., ::-1]`. Transparent pixels are shown on white; of an animation or a file of
            several pages the first is read.

    Returns:
        (H, W, 3) uint8, C-contiguous; a uint8 RGB array that already is so is returned as it is, not copied.

    Raises:
        ImageError: if there is no such file, or it is not a whole image of a known format; if an array has another shape,
            dtype or range, or NaN; if the image has more than 178 megapixels.
    """
    if isinstance(source, np.ndarray):
        return _from_array(np.asarray(source))  # of a matrix or another subclass, the plain array
    if isinstance(source, Image.Image):
        with _naming("the PIL image"):
            return _from_pil(source, "the PIL image")
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        return _decode(data, f"the {len(data)} bytes given")
    if isinstance(source, (str, os.PathLike)):
        return _read_file(Path(source))
    raise ImageError(f"an image must be a path, bytes, a PIL image or a numpy array, not {type(source).__name__}")


def _read_file(path: Path) -> np.ndarray:
    try:
        if path.is_dir():
            raise ImageError(f"{path} is a folder, not an image")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:  # no permission, a name that is too long or holds a zero byte
        raise ImageError(f"{path} cannot be read: {error}") from error
    return _decode(data, str(path))


def _decode(data: bytes, name: str) -> np.ndarray:
    if not data:
        raise ImageError(f"{name}: empty, not an image")
    with _naming(name), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large images and odd metadata; what matters raises
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            return _from_pil(image, name)


@lru_cache(maxsize=1)
def _formats() -> list[str]:
    """All formats that this Pillow reads by itself: PostScript it would hand to Ghostscript, to run as a program."""
    Image.init()
    return [name for name in Image.OPEN if name != "EPS"]


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into an `ImageError` that names the image."""
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not an image of a known format") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: too large: {error}") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise ImageError(f"{name}: damaged or truncated image ({type(error).__name__}: {error})") from error


def _from_pil(image: Image.Image, name: str) -> np.ndarray:
    if not 0 < image.width * image.height <= MAX_PIXELS:
        limit = f"expected 1 pixel to {MAX_PIXELS // 10**6} megapixels"
        raise ImageError(f"{name}: {image.width} x {image.height} pixels; {limit}")
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        return _from_array(_deep_grey(upright, name))
    if upright.mode == "La":  # Pillow converts it to LA only
        upright = upright.convert("LA")
    if upright.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in upright.info:
        return _from_array(np.asarray(upright.convert("RGBA")))
    return np.array(upright.convert("RGB"))  # a copy: the array that Pillow lends is read-only


def _deep_grey(image: Image.Image, name: str) -> np.ndarray:
    """A 16- or 32-bit grey image as uint16 or as float in 0..1."""
    values = np.asarray(image)
    if (transparent := image.info.get("transparency")) is not None:
        values = np.where(values == transparent, 65535, values)  # on white
    if image.mode != "F" and values.min() >= 0 and values.max() <= 65535:
        return values.astype(np.uint16)
    if image.mode == "F" and np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1:
        return values
    raise ImageError(f"{name}: 32-bit grey values must be 0..65535, or 0..1 if floating point")


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(f"an image array must have shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {array.shape}")
    with np.errstate(all="ignore"):  # signalling NaN in a message
        pixels = _to_uint8(array)
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    elif pixels.shape[2] == 4:
        pixels = _on_white(pixels)
    return np.ascontiguousarray(pixels)


def _to_uint8(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:  # in either byte order
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):  # also false for NaN
            raise ImageError(
                f"a floating-point image must lie in 0..1, without NaN; this one spans {array.min()}..{array.max()}"
            )
        return np.rint(array * 255).astype(np.uint8)
    raise ImageError(f"an image array must be uint8, uint16 or floating point, not {array.dtype}")


def _on_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[:, :, 3:]
    if alpha.min() == 255:
        return rgba[:, :, :3]
    blended = np.empty((*rgba.shape[:2], 3), np.uint8)
    for start in range(0, len(rgba), BLEND_ROWS):
        rows = slice(start, start + BLEND_ROWS)
        share = alpha[rows].astype(np.float32) / 255
        blended[rows] = np.rint(rgba[rows, :, :3] * share + 255 * (1 - share))
    return blended


def is_image_path(path: Any) -> bool:
    """Whether a path's ending is one of an image format that `read_image` is meant for."""
    return Path(path).suffix.lower() in EXTENSIONS
