"""Learning rates: their course, their ends and options out of range."""

from typing import Any

import numpy as np
import pytest

from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.training.schedules import schedule


@pytest.mark.parametrize("step, rate", [(0, 2), (25, 1.7071068), (50, 1), (75, 0.2928932), (100, 0), (1000, 0)])
def test_cosine(step: int, rate: float) -> None:
    assert schedule("cosine", 2, 100)(step) == pytest.approx(rate)


@pytest.mark.parametrize(
    "step, rate", [(0, 2), (49, 2), (50, 0.2), (74, 0.2), (75, 0.02), (89, 0.02), (90, 0.002), (100, 0.002), (1000, 0.002)]
)
def test_step(step: int, rate: float) -> None:
    assert schedule("step", 2, 100)(step) == pytest.approx(rate)


@pytest.mark.parametrize("drops, rates", [((), [1, 1, 1, 1]), ((0,), [0.1] * 4), ((0.5,), [1, 1, 0.1, 0.1])])
def test_drops(drops: tuple[float, ...], rates: list[float]) -> None:
    assert list(map(schedule("step", 1, 4, drops=drops), range(4))) == pytest.approx(rates)


def test_warm_up_rises_to_the_rate_and_joins_the_schedule() -> None:
    rates = list(map(schedule("step", 1, 1000, warm_up=4), range(6)))
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    for kind in ("step", "cosine"):
        with_it, without = schedule(kind, 1, 100, warm_up=10), schedule(kind, 1, 100)  # type: ignore[arg-type]
        assert [with_it(step) for step in range(10, 100)] == [without(step) for step in range(10, 100)]
        assert all(0 < with_it(step) < without(step) for step in range(10))


@pytest.mark.parametrize("kind", ["step", "cosine"])
@pytest.mark.parametrize("steps, warm_up", [(1, 0), (1, 100), (7, 3), (1000, 0)])
def test_all_rates_of_a_run_are_above_0_and_at_most_the_highest(kind: Any, steps: int, warm_up: int) -> None:
    rates = np.array([schedule(kind, 0.1, steps, warm_up)(step) for step in range(steps)])
    assert (rates > 0).all() and (rates <= 0.1).all()


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"kind": "linear"}, "schedule must be step or cosine, not 'linear'"),
        ({"rate": 0}, "learning rate must be from 1e-30 to 1e.30, not 0"),
        ({"rate": -1}, "learning rate"),
        ({"rate": np.nan}, "learning rate"),
        ({"rate": np.inf}, "learning rate"),
        ({"steps": 0}, "steps must be 1 or more"),
        ({"warm_up": -1}, "warm_up 0 or more"),
    ],
)
def test_options_out_of_range(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        schedule(**{"kind": "step", "rate": 1, "steps": 10, **changed})
