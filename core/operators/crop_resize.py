"""Cropping boxes from an image and resizing them to a fixed size, for every crop in training and detection.

Box coordinates stay fractional. A box is divided into S x S equal parts, and each pixel of the crop is the mean of the image
over one part: image pixels are weighted by the area that they share with the part, and the image is zero beyond its border.
OpenCV's `INTER_AREA` gives the same for boxes on whole pixels of at least S x S, but interpolates in smaller ones. The mean is
separable: a crop is `rows @ image @ columns.T`, with one small matrix of weights for each axis.
"""

import numpy as np
from numpy.typing import DTypeLike

from mtcnn_gluon.operators.native import kernels


def crop_resize(
    image: np.ndarray, boxes: np.ndarray, size: int, mean: float = 0.0, scale: float = 1.0, threads: int = 0,
    dtype: DTypeLike = np.float32,
) -> np.ndarray:  # fmt: skip
    """Crops of one image.

    Args:
        image: (H, W, 3) uint8.
        boxes: (N, 4) finite x1, y1, x2, y2 with positive sides, in pixels; they may reach beyond the image.
        size: side S of the crops in pixels, positive.
        mean, scale: crops in float32 are (pixel - mean) * scale.
        threads: largest number of CPU threads; 0: OMP_NUM_THREADS, or one a processor.
        dtype: float32, or uint8 for pixels rounded to whole numbers.

    Returns:
        (N, 3, S, S): float32, 0..255 with the default `mean` and `scale`; or uint8, a view of an array (N, S, S, 3).

    Raises:
        ValueError: if `image` or `dtype` is not of that form.
        MemoryError: if there is not enough memory.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be (H, W, 3) uint8, got {image.shape} {image.dtype}")
    boxes = np.ascontiguousarray(boxes, np.float64)
    library = kernels()
    crops = empty_images(len(boxes), size, size, dtype)
    if library is None:
        means = _crop_resize(image, boxes, size)
        crops[:] = np.floor(means + 0.5) if crops.dtype == np.uint8 else (means - np.float32(mean)) * np.float32(scale)
        return crops
    image = np.ascontiguousarray(image)
    is_bytes = crops.dtype == np.uint8
    arguments = (*image.shape[:2], boxes.ctypes.data, len(boxes), size, mean, scale, threads, is_bytes, crops.ctypes.data)
    if not library.mtcnn_crop_resize(image.ctypes.data, *arguments):
        raise MemoryError(f"{len(boxes)} crops of {size} x {size} pixels need more memory than there is")
    return crops


def empty_images(count: int, height: int, width: int, dtype: DTypeLike = np.float32) -> np.ndarray:
    """Memory for images (count, 3, height, width): float32, or uint8 that lies there channels last; else `ValueError`."""
    if np.dtype(dtype) not in (np.float32, np.uint8):
        raise ValueError(f"images are float32 or uint8, not {np.dtype(dtype)}")
    if np.dtype(dtype) == np.uint8:
        return np.empty((count, height, width, 3), np.uint8).transpose(0, 3, 1, 2)
    return np.empty((count, 3, height, width), np.float32)


def _crop_resize(image: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
    height, width = image.shape[:2]
    crops = np.zeros((len(boxes), 3, size, size), np.float32)
    for crop, (x1, y1, x2, y2) in zip(crops, boxes):
        top, rows = _axis_weights(y1, y2, size, height)  # (S, h)
        left, columns = _axis_weights(x1, x2, size, width)  # (S, w)
        h, w = rows.shape[1], columns.shape[1]
        if h and w:
            part = image[top : top + h, left : left + w].astype(np.float32)  # (h, w, 3)
            mixed = (rows @ part.reshape(h, w * 3)).reshape(size, w, 3)
            crop[:] = np.matmul(columns, mixed).transpose(2, 0, 1)  # (S, S, 3) -> (3, S, S)
    return crops


def _axis_weights(start: float, stop: float, size: int, length: int) -> tuple[int, np.ndarray]:
    """The first pixel of a crop from `start` to `stop` on an axis of `length` pixels, and weights (size, n) of the n pixels."""
    step = (stop - start) / size
    edges = start + step * np.arange(size + 1)
    first, last = max(int(np.floor(start)), 0), min(int(np.ceil(stop)), length)
    pixels = np.arange(first, max(last, first))
    shared = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)  # (size, n)
    return first, (np.maximum(shared, 0) / step).astype(np.float32)
