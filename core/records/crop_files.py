"""Crops as image files, and back."""

from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Sequence, TypeVar

import cv2
import numpy as np

from mtcnn_gluon.io.processes import usable_processors

_FEW = 64  # crops; for fewer, threads cost more time than they save
_T = TypeVar("_T")


def encode_crops(crops: np.ndarray, file_format: str, quality: int = 95, threads: int | None = None) -> list[bytes]:
    """Image files of RGB crops (N, S, S, 3) uint8. `decode_crops` undoes it; exactly for png.

    Args:
        file_format: png, jpeg with colours at full size (4:4:4), or webp.
        quality: 1..100, of jpeg and webp.
        threads: number of threads; None: one for each processor.
    """
    flags: list[int] = {
        "png": [],
        "jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
    }[file_format]
    images = _swap_colours(crops)
    return _in_threads(lambda i: cv2.imencode(f".{file_format}", images[i], flags)[1].tobytes(), len(crops), threads)


def decode_crops(files: Sequence[np.ndarray], size: int, threads: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """RGB crops (N, S, S, 3) uint8 from image files.

    Args:
        files: the bytes of N files, (n,) uint8 each.
        size: expected side S in pixels.
        threads: number of threads; None: one for each processor.

    Returns:
        The crops, and the heights and widths (N, 2) of the images, 0 for a file that is not an image. Crops whose image has
            another size are undefined.
    """
    images = np.zeros((len(files), size, size, 3), np.uint8)
    found = np.zeros((len(files), 2), np.int64)

    def decode(i: int) -> None:
        image = cv2.imdecode(files[i], cv2.IMREAD_COLOR) if len(files[i]) else None
        if image is not None:
            found[i] = image.shape[:2]
            if image.shape == images.shape[1:]:
                images[i] = image

    _in_threads(decode, len(files), threads)
    return _swap_colours(images), found


def _swap_colours(crops: np.ndarray) -> np.ndarray:
    """Crops (N, S, S, 3) from RGB to BGR, or back."""
    if len(crops) == 0:
        return crops
    return cv2.cvtColor(crops.reshape(-1, crops.shape[1], 3), cv2.COLOR_RGB2BGR).reshape(crops.shape)


def _in_threads(function: Callable[[int], _T], count: int, threads: int | None) -> list[_T]:
    """`function(i)` for i from 0 to count - 1, in threads: OpenCV releases Python's lock."""
    threads = threads or usable_processors()
    if count < _FEW or threads == 1:
        return [function(i) for i in range(count)]
    with ThreadPoolExecutor(threads) as pool:
        shares = pool.map(lambda share: [function(i) for i in share], np.array_split(np.arange(count), threads))
        return [result for share in shares for result in share]
