"""The pictures of `bench`: times, and average precision over time."""

import math
import textwrap
from typing import Any, Mapping, Sequence

import numpy as np

from mtcnn_gluon.bench.accuracy import Accuracy
from mtcnn_gluon.bench.contest import Timing
from mtcnn_gluon.evaluation.report import legend_labels
from mtcnn_gluon.evaluation.summaries import set_title
from mtcnn_gluon.io.extras import need

Groups = Mapping[str, np.ndarray]  # title and indices of the photos
SHORTEST, MAX_TICKS = 1e-3, 12  # shortest time on an axis in milliseconds, and largest number of its ticks
MARKERS = "os^Dv"  # another one after each ten contenders, when colours repeat


def times_figure(groups: Groups, timings: Sequence[Timing]) -> Any:
    """A Matplotlib figure with bars of the median times of every group, and their quartiles.

    With several smallest faces, the bars are those of all photos with each of them.
    """
    figure = need("matplotlib.figure", "drawing times").Figure(figsize=(8, 5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    sides = list(dict.fromkeys(timing.min_face for timing in timings))
    places: list[tuple[str, int | None, np.ndarray]] = [(title, None, photos) for title, photos in groups.items()]
    if len(sides) > 1:
        places = [(f"smallest face {side} px", side, np.concatenate([*groups.values()])) for side in sides]
    by_contender = _by_contender(timings)
    width, ends = 0.8 / max(len(by_contender), 1), list[float]()
    for index, (each, label) in enumerate(zip(by_contender.values(), legend_labels(list(by_contender)))):
        by_side = {side: timing for timing in each for side in (None, timing.min_face)}
        bars = [(x, by_side[side].seconds[:, photos]) for x, (_, side, photos) in enumerate(places) if side in by_side]
        low, middle, high = np.array([1e3 * np.percentile(seconds, (25, 50, 75)) for _, seconds in bars]).T  # (G,) each
        x = np.array([x for x, _ in bars]) + (index - (len(by_contender) - 1) / 2) * width
        axes.bar(x, middle, width * 0.92, yerr=[middle - low, high - middle], label=label, capsize=2)
        ends += [low.min(), high.max()]
    _show_times(axes, "y", ends or [1.0])
    axes.set_xticks(np.arange(len(places)), [textwrap.fill(title, 12) for title, _, _ in places])
    axes.set(title="Whole detection: median and quartiles", ylabel="milliseconds a photo")
    axes.grid(axis="y", alpha=0.3)
    if timings:
        figure.legend(fontsize="small", loc="outside lower center", ncols=min(3, len(by_contender)))
    return figure


def _by_contender(timings: Sequence[Timing]) -> dict[str, list[Timing]]:
    """The timings by the name of the contender."""
    found: dict[str, list[Timing]] = {}
    for timing in timings:
        found.setdefault(timing.contender.name, []).append(timing)
    return found


def accuracy_figure(timings: Sequence[Timing], accuracies: Mapping[str, Accuracy]) -> Any:
    """A Matplotlib figure of average precision over the median time of a photo, with a panel for each set of faces.

    Each timing is a point. The points of a contender with several smallest faces are joined, and have their pixels beside them.
    A contender to which the smallest face makes no difference has one point: that of the first contest.

    Args:
        timings: of a contest with annotated photos; at least one.
        accuracies: by the name of the timing.
    """
    by_contender = _by_contender(timings)
    sets = list(accuracies[timings[0].name].ap)
    figure = need("matplotlib.figure", "drawing the plot").Figure(
        figsize=(1 + 4.5 * len(sets), 5.5), dpi=100, layout="constrained"
    )
    panels = np.ravel(figure.subplots(1, len(sets), sharey=True))
    labels = legend_labels(list(by_contender))
    shown = [each[:1] if each[0].contender.is_fixed else each for each in by_contender.values()]
    ends = [1e3 * float(np.median(timing.seconds)) for each in shown for timing in each]
    for axes, name in zip(panels, sets):
        for place, (each, label) in enumerate(zip(shown, labels)):
            x = [1e3 * float(np.median(timing.seconds)) for timing in each]
            y = [np.nan if (ap := accuracies[timing.name].ap[name]) is None else ap for timing in each]
            axes.plot(x, y, marker=MARKERS[place // 10 % len(MARKERS)], label=label, linewidth=1.2, markersize=6)
            for timing, *point in zip(each, x, y) if len(each) > 1 else ():
                axes.annotate(str(timing.min_face), point, (4, 4), textcoords="offset points", fontsize="x-small")
        _show_times(axes, "x", ends)
        axes.set(title=f"Faces of {set_title(name)}", xlabel="milliseconds a photo")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("average precision")
    figure.legend(
        *panels[0].get_legend_handles_labels(), fontsize="small", loc="outside lower center", ncols=min(4, len(labels))
    )
    return figure


def _show_times(axes: Any, axis: str, ends: Sequence[float]) -> None:
    """Make an axis, `x` or `y`, logarithmic from below the smallest to above the largest of `ends`, with round numbers."""
    ticks = round_times(min(ends), max(ends))
    getattr(axes, f"set_{axis}scale")("log")
    getattr(axes, f"{axis}axis").minorticks_off()
    getattr(axes, f"set_{axis}ticks")(ticks, [np.format_float_positional(tick, trim="-") for tick in ticks])
    getattr(axes, f"set_{axis}lim")(ticks[0], ticks[-1])


def round_times(low: float, high: float) -> list[float]:
    """Two or more round numbers for an axis, from below `low` to above `high`."""
    low, high = max(low, SHORTEST), max(high, SHORTEST)
    powers = range(math.floor(math.log10(low)) - 1, math.floor(math.log10(high)) + 2)
    for digits in ((1, 2, 5), (1,)):
        numbers = [float(f"{digit}e{power}") for power in powers for digit in digits]
        first = max(place for place, number in enumerate(numbers) if number < low)
        last = min((place for place, number in enumerate(numbers) if number > high), default=len(numbers) - 1)
        if last - first < MAX_TICKS:
            break
    return numbers[first : last + 1]
