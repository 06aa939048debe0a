"""Learning rates over a run, as functions of the share of it that is done."""

import math
from typing import Callable, Literal, Sequence

from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.training.options import LARGEST_RATE, SMALLEST_RATE

Schedule = Callable[[int], float]


def schedule(
    kind: Literal["step", "cosine"], rate: float, steps: int, warm_up: int = 0, drops: Sequence[float] = (0.5, 0.75, 0.9)
) -> Schedule:
    """The learning rate of every step.

    Args:
        kind: `step` divides the rate by ten at each of `drops`, `cosine` lets it fall to zero along half a cosine.
        rate: the highest rate, from `SMALLEST_RATE` to `LARGEST_RATE`.
        steps: steps of the whole run, 1 or more.
        warm_up: steps at the beginning during which the rate rises from nothing.
        drops: shares of the run, 0..1.

    Raises:
        ConfigError: if an option is out of range.
    """
    if kind not in ("step", "cosine"):
        raise ConfigError(f"schedule must be step or cosine, not {kind!r}")
    if not SMALLEST_RATE <= rate <= LARGEST_RATE:
        raise ConfigError(f"learning rate must be from {SMALLEST_RATE} to {LARGEST_RATE}, not {rate!r}")
    if steps < 1 or warm_up < 0:
        raise ConfigError(f"steps must be 1 or more and warm_up 0 or more, not {steps} and {warm_up}")

    def at(step: int) -> float:
        done = min(1.0, step / steps)
        falling = 0.5 * (1 + math.cos(math.pi * done)) if kind == "cosine" else 0.1 ** sum(done >= drop for drop in drops)
        return rate * falling * min(1.0, (step + 1) / (warm_up + 1))

    return at
