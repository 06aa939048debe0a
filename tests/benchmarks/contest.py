"""Times contenders against each other: their turns are interleaved, so that a noisy machine is noisy for all of them."""

import statistics
import time
from typing import Callable, Mapping


def medians(contenders: Mapping[str, Callable[[], object]], seconds: float = 2.0) -> dict[str, float]:
    """Median time of one call in seconds, by name, of contenders that take turns for about `seconds` each."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        call()
    end = time.perf_counter() + seconds * len(contenders)
    while time.perf_counter() < end or len(next(iter(times.values()))) < 3:
        for name, call in contenders.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in times.items()}


def row(label: str, ours: str, result: Mapping[str, float]) -> str:
    """One line: the median of every contender in milliseconds, and how many times as fast `ours` is."""
    cells = [f"{name} {1e3 * result[ours]:.3f} ms" if name == ours else "" for name in (ours,)]
    cells += [f"{name} {1e3 * t:.3f} ms (x {t / result[ours]:.1f})" for name, t in result.items() if name != ours]
    return f"{label:36} " + "   ".join(cells)
