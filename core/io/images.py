"""Reading images as RGB arrays."""

import io
import logging
import os
import re
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Union

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mtcnn_gluon.errors import ImageError
from mtcnn_gluon.io.image_formats import LONGEST_HEAD, formats_for, has_mark, missing_decoder

ImageSource = Union[str, os.PathLike, bytes, bytearray, memoryview, np.ndarray, Image.Image]

EXTENSIONS = (
    ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp",  # most photos by far
    ".apng", ".avif", ".avifs", ".blp", ".bw", ".cur", ".dcx", ".dds", ".dib", ".fit", ".fits", ".flc", ".fli", ".ftc", ".ftu",
    ".gbr", ".heic", ".heics", ".heif", ".heifs", ".hif", ".icb", ".icns", ".ico", ".iim", ".im", ".j2c", ".j2k", ".jfif",
    ".jp2", ".jpc", ".jpe", ".jpf", ".jpx", ".mpo", ".msp", ".pbm", ".pcd", ".pcx", ".pfm", ".pgm", ".pnm", ".ppm", ".psd",
    ".pxr", ".qoi", ".ras", ".rgb", ".rgba", ".sgi", ".tga", ".vda", ".vst", ".xbm", ".xpm",
)  # fmt: skip
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
MAX_PIXELS = 178_956_970  # Pillow's own limit against decompression bombs, 537 MB when decoded
BLEND_ROWS = 256  # rows of a transparent image to blend at a time, which bounds the memory

logging.getLogger("PIL").addHandler(logging.NullHandler())  # errors about damaged files are raised here, not logged


def read_image(source: ImageSource) -> np.ndarray:
    """Read an image as RGB, rotated by its EXIF orientation.

    Args:
        source: a path; the bytes of an image file; a PIL image; or an array. Arrays are grey (H, W) or (H, W, 1), RGB
            (H, W, 3) or RGBA (H, W, 4), of dtype uint8, uint16 (0..65535) or floating point (0..1). Convert OpenCV's BGR
            arrays with `array[..., ::-1]`. Transparent pixels are blended with white. Only the first frame or page of a file
            is read. HEIC needs `pillow-heif` (the extra `heic`).

    Returns:
        (H, W, 3) uint8, C-contiguous; not a copy if `source` is such an array.

    Raises:
        ImageError: if the file does not exist or is not a complete image of a known format; if an array has another shape,
            dtype or range, or contains NaN; if the image has more than 178 megapixels.
    """
    return _read(source, upright=True)


def read_as_stored(source: ImageSource) -> np.ndarray:
    """`read_image` without the rotation: the rows and columns that Pillow's arrays and other decoders have."""
    return _read(source, upright=False)


def _read(source: ImageSource, upright: bool) -> np.ndarray:
    if isinstance(source, np.ndarray):
        return _from_array(np.asarray(source))  # a matrix or another subclass becomes a plain array
    if isinstance(source, Image.Image):
        with _naming("the PIL image"):
            return _from_pil(source, "the PIL image", upright)
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        return decode_image(data, f"the {len(data)} bytes given", upright)
    if isinstance(source, (str, os.PathLike)):
        if is_url(source):
            raise ImageError(no_url(source))
        return _read_file(Path(source), upright)
    raise ImageError(f"an image must be a path, bytes, a PIL image or a numpy array, not {type(source).__name__}")


def _read_file(path: Path, upright: bool) -> np.ndarray:
    try:
        if path.is_dir():
            raise ImageError(f"{path} is a folder, not an image")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:  # no permission; a name that is too long or contains a zero byte
        raise ImageError(f"{path} cannot be read: {error}") from error
    return decode_image(data, str(path), upright)


def decode_image(data: bytes, name: str, upright: bool = True) -> np.ndarray:
    """`read_image`, or `read_as_stored`, for the bytes of a file, which messages call `name`."""
    if not data:
        raise ImageError(f"{name}: empty, not an image")
    with _naming(name, data), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about large images and odd metadata; real faults raise errors
        with Image.open(io.BytesIO(data), formats=formats_for(data)) as image:
            return _from_pil(image, name, upright)


@contextmanager
def _naming(name: str, data: bytes = b"") -> Iterator[None]:
    """Turn any error of a decoder into an `ImageError` that names the image; its file begins with `data`."""
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name}: {missing_decoder(data) or 'not an image of a known format'}") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: too large: {error}") from error
    except Exception as error:  # decoders raise many classes of errors for damaged files
        raise ImageError(f"{name}: damaged or truncated image ({type(error).__name__}: {error})") from error


def _from_pil(image: Image.Image, name: str, upright: bool) -> np.ndarray:
    if not 0 < image.width * image.height <= MAX_PIXELS:
        limit = f"expected 1 pixel to {MAX_PIXELS // 10**6} megapixels"
        raise ImageError(f"{name}: {image.width} x {image.height} pixels; {limit}")
    shown = ImageOps.exif_transpose(image) if upright else image
    if shown.mode.startswith("I") or shown.mode == "F":
        return _from_array(_deep_grey(shown, name))
    if shown.mode == "La":  # Pillow converts it to LA only
        shown = shown.convert("LA")
    if shown.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in shown.info:
        return _from_array(np.asarray(shown.convert("RGBA")))
    return np.array(shown.convert("RGB"))  # a copy: Pillow's array is read-only


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
    """Whether a path has the ending of an image format that `read_image` supports."""
    return Path(path).suffix.lower() in EXTENSIONS


def is_image_file(path: Path) -> bool:
    """Whether a file begins as an image of a format that can be recognised; `OSError` if the file cannot be read."""
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        head = file.read(LONGEST_HEAD)
        marked = [name for name in formats_for(head) if has_mark(name)]
        try:
            Image.open(file, formats=marked).close()
        except Image.DecompressionBombError:
            return True
        except Exception:  # decoders raise many classes of errors
            return bool(missing_decoder(head))
    return True


def is_url(source: object) -> bool:
    """Whether a name is a URL and not an existing file."""
    text = os.fspath(source) if isinstance(source, (str, os.PathLike)) else ""
    return isinstance(text, str) and URL.match(text) is not None and not os.path.lexists(text)


def no_url(source: object) -> str:
    """The message that refuses a URL."""
    return f"{source}: URLs are not fetched; download the file and give its path"
