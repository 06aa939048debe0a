"""Cropping boxes out of an image at one fixed size: the sampling rule of every crop in training and detection.

A crop is RoiAlign (He et al., "Mask R-CNN", 2017, section 3) in its half-pixel, average form: box coordinates stay
fractional, each of the S x S outputs is the mean of ceil(side / S) x ceil(side / S) bilinear samples spread evenly over its
part of the box, and the image continues as zeros beyond its border. Because bilinear interpolation and the mean are both
separable, a crop is `rows @ image @ columns.T` with one small weight matrix an axis, which is how it is computed here.
"""

import numpy as np


def crop_resize(image: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
    """Crops of one image.

    Args:
        image: (H, W, 3) uint8.
        boxes: (N, 4) finite x1, y1, x2, y2 with positive sides, in pixels; they may reach beyond the image.
        size: side S of the crops in pixels.

    Returns:
        (N, 3, S, S) float32, 0..255, not rounded.
    """
    height, width = image.shape[:2]
    crops = np.zeros((len(boxes), 3, size, size), np.float32)
    for crop, (x1, y1, x2, y2) in zip(crops, boxes.astype(np.float64)):
        top, rows = _axis_weights(y1, y2, size, height)  # (S, h)
        left, columns = _axis_weights(x1, x2, size, width)  # (S, w)
        h, w = rows.shape[1], columns.shape[1]
        if h and w:
            part = image[top : top + h, left : left + w].astype(np.float32)  # (h, w, 3)
            mixed = (rows @ part.reshape(h, w * 3)).reshape(size, w, 3)
            crop[:] = np.matmul(columns, mixed).transpose(2, 0, 1)  # (S, S, 3) -> (3, S, S)
    return crops


def _axis_weights(start: float, stop: float, size: int, length: int) -> tuple[int, np.ndarray]:
    """First pixel and weights (size, n) of the pixels of one axis of `length` that a crop from `start` to `stop` mixes."""
    samples = max(int(np.ceil((stop - start) / size)), 1)  # in each output pixel
    position = start + (np.arange(size * samples) + 0.5) * ((stop - start) / (size * samples)) - 0.5
    low = np.floor(position).astype(np.int64)
    share = position - low  # of the pixel above
    pixel = np.concatenate([low, low + 1])
    weight = np.concatenate([1 - share, share]) / samples
    inside = (pixel >= 0) & (pixel < length)  # beyond the border the image is zero
    if not inside.any():
        return 0, np.zeros((size, 0), np.float32)
    first, last = pixel[inside].min(), pixel[inside].max()
    n = int(last - first + 1)
    output = np.tile(np.repeat(np.arange(size), samples), 2)
    flat = np.bincount(output[inside] * n + (pixel[inside] - first), weight[inside], size * n)
    return int(first), flat.reshape(size, n).astype(np.float32)
