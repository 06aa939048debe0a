"""How much a figure would vary with other photos of the same kind: the bootstrap (Efron, 1979) over photos.

A resample draws as many photos as there are, with replacement. All detectors are given the same resamples, so that the
interval of a difference between two is paired.
"""

import numpy as np

SEED = 0
LEVEL = 0.95


def resample(photos: int, count: int) -> np.ndarray:
    """How often each photo is drawn in each of `count` resamples: (count, photos) float32 whole numbers, always the same."""
    shares = np.full(photos, 1 / max(photos, 1))
    return np.random.default_rng(SEED).multinomial(photos, shares, size=count).astype(np.float32)


def interval(values: np.ndarray) -> tuple[float, float] | None:
    """The middle 95 % of a figure's values (B,) over resamples, those where it is undefined (NaN) apart; None without any."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = np.percentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)
