"""Confidence intervals by the bootstrap (Efron, 1979): how much a figure would vary with other photos of the same kind.

A resample draws as many photos as the set has, with replacement. All detectors get the same resamples, so the interval of a
difference between two detectors is paired.
"""

from dataclasses import dataclass
from typing import Sequence

import numpy as np

SEED = 0
LEVEL = 0.95
Interval = tuple[float, float]
Gap = tuple[float | None, Interval | None]


@dataclass(frozen=True, eq=False)
class Figures:
    """The figures of one detector."""

    name: str  # of the detector
    values: dict[str, float | None]  # figures by name; None where undefined, such as a share of no faces
    samples: dict[str, np.ndarray]  # (B,) values over resamples of the photos, by name; NaN where undefined

    @property
    def intervals(self) -> dict[str, Interval | None]:
        """See `interval`."""
        return {key: interval(values) for key, values in self.samples.items()}


def resample(photos: int, count: int) -> np.ndarray:
    """How often each photo is drawn in each of `count` resamples: (count, photos) float32 whole numbers, with a fixed seed."""
    shares = np.full(photos, 1 / max(photos, 1))
    return np.random.default_rng(SEED).multinomial(photos, shares, size=count).astype(np.float32)


def interval(values: np.ndarray) -> Interval | None:
    """The middle 95 % of values (B,) without NaN; None if there is none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = np.percentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def differences(figures: Sequence[Figures], keys: Sequence[str], scale: float = 1) -> dict[str, dict[str, Gap]]:
    """The differences of each detector's figures to the first detector's, times `scale`, with paired intervals."""
    found: dict[str, dict[str, Gap]] = {}
    for each in figures[1:]:
        found[each.name] = {}
        for key in keys:
            value, base = each.values[key], figures[0].values[key]
            gap = None if value is None or base is None else scale * (value - base)
            found[each.name][key] = gap, interval(scale * (each.samples[key] - figures[0].samples[key]))
    return found
