"""Reading images into the one form the package works on."""

import io
import os
import warnings
from pathlib import Path
from typing import Any, Union

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mtcnn_gluon.errors import ImageError

ImageSource = Union[str, os.PathLike, bytes, bytearray, memoryview, np.ndarray, Image.Image]

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MAX_PIXELS = 400_000_000  # beyond it a file is taken for a decompression bomb: 1.2 GB decoded


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
            dtype or range, or NaN; if the image has more than 400 megapixels.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _from_pil(source, "the PIL image")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(io.BytesIO(source), f"the {len(source)} bytes given")
    if isinstance(source, (str, os.PathLike)):
        return _read_file(Path(source))
    raise ImageError(f"an image must be a path, bytes, a PIL image or a numpy array, not {type(source).__name__}")


def _read_file(path: Path) -> np.ndarray:
    if path.is_dir():
        raise ImageError(f"{path} is a folder, not an image")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be read: {error}") from error
    if not data:
        raise ImageError(f"{path} is empty")
    return _decode(io.BytesIO(data), str(path))


def _decode(stream: io.BytesIO, name: str) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size warning: the limit below is ours
            with Image.open(stream) as image:
                return _from_pil(image, name)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not an image of a known format") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: too large: {error}") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise ImageError(f"{name}: damaged or truncated image ({type(error).__name__}: {error})") from error


def _from_pil(image: Image.Image, name: str) -> np.ndarray:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{name}: {image.width} x {image.height} pixels are more than {MAX_PIXELS // 10**6} megapixels")
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        return _from_array(_deep_grey(upright, name))
    if upright.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in upright.info:
        return _from_array(np.asarray(upright.convert("RGBA")))
    return np.ascontiguousarray(np.asarray(upright.convert("RGB")))


def _deep_grey(image: Image.Image, name: str) -> np.ndarray:
    """A 16- or 32-bit grey image as uint16 or as float in 0..1."""
    values = np.asarray(image)
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
    pixels = _to_uint8(array)
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    elif pixels.shape[2] == 4:
        pixels = _on_white(pixels)
    return np.ascontiguousarray(pixels)


def _to_uint8(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
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
    share = alpha.astype(np.float32) / 255
    return np.rint(rgba[:, :, :3] * share + 255 * (1 - share)).astype(np.uint8)


def is_image_path(path: Any) -> bool:
    """Whether a path's ending is one of an image format that `read_image` is meant for."""
    return Path(path).suffix.lower() in EXTENSIONS
