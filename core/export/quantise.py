"""Weights and ranges of the nets in 8 bits, chosen on photos, for `operators.int8_net`.

Weights are rounded one place after the other, and what rounding adds to a sum is taken back by the places that are still to
come, as far as they vary together on the photos (GPTQ, Frantar et al., ICLR 2023, after Optimal Brain Surgeon). That matters
most in the first layer, where neighbouring pixels are nearly equal. Then each filter's constant is set so that its mean stays.
"""

from typing import Any, Iterable, Mapping, Sequence

import numpy as np

from mtcnn_gluon.layers import Parameters
from mtcnn_gluon.operators.int8_layers import Int8Layer
from mtcnn_gluon.operators.native_net import steps

EVEN = 0.7  # 0: all channels of a layer get one scale; 1: each its own, which takes weights' precision from the others
SAMPLES = 20000  # places of outputs that a layer is fitted to
DAMPING = 0.01  # of the mean variance, added to each


def quantise(
    net: str, table: Mapping[str, Any], parameters: Parameters, images: Sequence[np.ndarray], mean: float, scale: float
) -> list[Int8Layer]:
    """The layers of a net in 8 bits.

    Args:
        net, table, parameters: as of `NativeNet`.
        images: inputs of the net in parts that fit into memory, each (N, 3, H, W) float32, normalised. All of them count.
        mean, scale: images are (pixel - mean) * scale.
    """
    generator = np.random.default_rng(0)
    exact = [np.moveaxis(each, 1, -1).astype(np.float32) for each in images]  # (N, H, W, C)
    coarse = [np.rint(each / np.float32(scale) + np.float32(mean)) for each in exact]
    of_input = np.full(3, scale)  # what a unit of a byte stands for
    layers = []
    parts = [*steps(net, table, parameters)]
    slopes = [alpha for _, alpha, *_ in parts[1:]]  # of the activation behind each layer but the last
    for (pool, _, weight, bias, stride), alpha in zip(parts, [*slopes, None]):
        if pool:
            exact, coarse = ([_pooled(each, pool) for each in values] for values in (exact, coarse))
        filters, channels, kernel, _ = weight.shape
        matrix = np.moveaxis(weight, 1, -1).reshape(filters, -1).astype(np.float32)  # (O, K), as `_patches` has it
        exact = [_patches(each, kernel, stride) @ matrix.T + bias for each in exact]  # (N, h, w, O)
        inputs, wanted = _samples((_patches(each, kernel, stride) for each in coarse), exact, generator)
        whole, step = _rounded(matrix * np.tile(of_input, kernel**2), inputs)
        shift = (wanted - (inputs @ whole.T) * step).mean(0)
        integers = np.moveaxis(whole.reshape(filters, kernel, kernel, channels), -1, 1)
        layer = Int8Layer(pool, stride, integers.astype(np.int8), step.astype(np.float32), shift.astype(np.float32))
        if alpha is not None:
            exact = [_prelu(each, alpha) for each in exact]
            low, high = _ranges(exact)
            layer = layer.activated(alpha, low, high)
            coarse = [_next(layer, whole, alpha, _patches(each, kernel, stride)) for each in coarse]
            of_input = (high - low) / 255
        layers.append(layer)
    return layers


def _next(layer: Int8Layer, whole: np.ndarray, alpha: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """The bytes (N, h, w, O) that a layer makes, as float32."""
    values = _prelu((patches @ whole.T.astype(np.float32)) * layer.scale + layer.shift, alpha)
    return np.rint(np.clip(values * layer.to_byte + layer.zero, 0, 255)).astype(np.float32)


def _prelu(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, values * alpha).astype(np.float32)


def _pooled(values: np.ndarray, size: int) -> np.ndarray:
    """Maxima (N, h, w, C) over windows of stride 2; the last ones may reach beyond the border."""
    height, width = ((side - size + 1) // 2 + 1 if side > size else 1 for side in values.shape[1:3])
    room = [(0, 0), *((0, max(0, 2 * (n - 1) + size - side)) for n, side in zip((height, width), values.shape[1:3])), (0, 0)]
    values = np.pad(values, room, constant_values=-np.inf)
    cells = (values[:, y : y + 2 * height : 2, x : x + 2 * width : 2] for y in range(size) for x in range(size))
    return np.maximum.reduce([each[:, :height, :width] for each in cells])


def _patches(values: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """What each output pixel sees, (N, h, w, kernel * kernel * C)."""
    view: Any = np.lib.stride_tricks.sliding_window_view  # whose stub knows a single axis only
    windows = view(values, (kernel, kernel), (1, 2))[:, ::stride, ::stride]
    return np.moveaxis(windows, 3, -1).reshape(*windows.shape[:3], -1)


def _samples(
    patches: Iterable[np.ndarray], sums: Sequence[np.ndarray], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """About `SAMPLES` places at most: what they see (M, K) and their sums (M, O), float64."""
    x, y = [], []
    for seen, wanted in zip(patches, sums):
        rows = generator.permutation(seen[..., 0].size)[: SAMPLES // len(sums)]
        x.append(seen.reshape(-1, seen.shape[-1])[rows].astype(np.float64))
        y.append(wanted.reshape(-1, wanted.shape[-1])[rows].astype(np.float64))
    return np.concatenate(x), np.concatenate(y)


def _rounded(matrix: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole weights (O, K) from -127 to 127 and the steps (O,) by which they are multiplied, for inputs (M, K)."""
    step = np.maximum(np.abs(matrix).max(1), 1e-30) / 127
    spread = np.cov(inputs, rowvar=False)
    spread[np.diag_indices_from(spread)] += DAMPING * max(float(np.diag(spread).mean()), 1e-6)
    upper = np.linalg.cholesky(np.linalg.inv(spread)).T  # (K, K): row k says what later places can take back of place k's error
    left, whole = matrix / step[:, None], np.zeros_like(matrix)
    for k in range(matrix.shape[1]):
        whole[:, k] = np.clip(np.rint(left[:, k]), -127, 127)
        left[:, k + 1 :] -= np.outer((left[:, k] - whole[:, k]) / upper[k, k], upper[k, k + 1 :])
    return whole, step


def _ranges(values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value (C,) to be told apart, so that a channel of a small range is not told apart too finely."""
    rows = np.concatenate([each.reshape(-1, each.shape[-1]) for each in values])
    low, high = rows.min(0), rows.max(0)
    wide = np.maximum(high - low, 1e-6)
    return low, low + wide**EVEN * wide.max() ** (1 - EVEN)
