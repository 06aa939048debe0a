"""The report of `bench`: tables, JSON and a picture."""

import math
import textwrap
from pathlib import Path
from typing import Any, Collection, Iterator, Sequence

import numpy as np

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.bench.contest import BenchPhoto, Rules, Timing
from mtcnn_gluon.evaluation.report import Report, Table, json_text, percent
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.io.files import whole_file
from mtcnn_gluon.options import to_mapping

MIN_SCORE, MIN_IOU = 0.9, 0.7  # smallest score of a face to compare, and smallest IoU of two equal faces
MAX_SIZES = 6  # with more sizes of photos, photos are grouped by megapixels
MEGAPIXELS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, np.inf)
MAX_BUSY = 0.3  # processors that other programs may use without disturbing a measurement
NETS = ("P-Net", "R-Net", "O-Net")
SHORTEST, MAX_TICKS = 1e-3, 12  # shortest time on an axis in milliseconds, and largest number of its ticks
Groups = dict[str, np.ndarray]  # title and indices of the photos


def make_report(
    photos: Sequence[BenchPhoto], timings: Sequence[Timing], lost: dict[str, str], rules: Rules, machine: str,
    busy: float = 0.0, absent: Collection[str] = (),
) -> Report:  # fmt: skip
    """The report on `bench.run`.

    Args:
        photos, rules: arguments of `bench.run`.
        timings, lost: its results.
        machine: the machine in a few words.
        busy: processors that other programs used before the start.
        absent: names in `lost` of contenders that need not be usable.
    """
    groups = group_by_size(photos)
    thresholds = ", ".join(f"{each:g}" for each in rules.thresholds)
    settings = f"min face {rules.min_face}, factor {rules.factor:g}, thresholds {thresholds}, {rules.threads} thread(s)"
    engines = [each for each in timings if each.stages is not None]
    tables = [_times(groups, timings), _memory(timings), _agreement(timings)]
    summary = {
        "benchmark": "bench",
        "machine": machine,
        "busy_processors": busy,
        **to_mapping(rules),
        "photos": [{"name": each.name, "width": each.image.shape[1], "height": each.image.shape[0]} for each in photos],
        "contenders": [_figures(groups, each, timings) for each in timings],
        "lost": lost,
    }
    return Report(
        headline=f"Whole detection of {len(photos)} photo(s), {rules.rounds} round(s): {settings}",
        is_complete=not set(lost) - set(absent),
        tables=tuple(tables + ([_stages(groups, engines)] if engines else [])),
        notes=tuple(_notes(lost, machine, busy)),
        summary=summary,
    )


def group_by_size(photos: Sequence[BenchPhoto]) -> Groups:
    """The photos by size, smallest first; if there are many sizes, by ranges of megapixels."""
    sizes = np.array([photo.image.shape[1::-1] for photo in photos])  # (P, 2) width, height
    distinct = sorted({(int(w), int(h)) for w, h in sizes}, key=lambda size: (size[0] * size[1], size))
    if len(distinct) <= MAX_SIZES:
        return {f"{w} x {h}": np.flatnonzero((sizes == (w, h)).all(axis=1)) for w, h in distinct}
    area, groups, low = sizes.prod(axis=1) / 1e6, {}, 0.0
    for high in MEGAPIXELS:
        title = f"{low:g} to {high:g} megapixels" if np.isfinite(high) else f"more than {low:g} megapixels"
        groups[title] = np.flatnonzero((area > low) & (area <= high))
        low = high
    return {title: rows for title, rows in groups.items() if len(rows)}


def fastest_peer(timings: Sequence[Timing], rows: np.ndarray) -> Timing | None:
    """The peer with the smallest median time for the photos `rows`; None without peers."""
    peers = [each for each in timings if each.contender.is_peer]
    return min(peers, key=lambda each: float(np.median(each.seconds[:, rows])), default=None)


def speedup(timing: Timing, other: Timing, rows: np.ndarray) -> np.ndarray:
    """Quartiles (3,) over the rounds of the other's time divided by this one's, for the photos `rows`."""
    ratios = other.seconds[:, rows].sum(axis=1) / timing.seconds[:, rows].sum(axis=1)  # (R,)
    return np.percentile(ratios, (25, 50, 75))


def agreement(timing: Timing, other: Timing) -> tuple[int, int]:
    """How many faces of at least `MIN_SCORE` the other found too, at an IoU of at least `MIN_IOU`, and how many there are."""
    found = total = 0
    for boxes, scores, others in zip(timing.boxes, timing.scores, other.boxes):
        sure = boxes[scores >= MIN_SCORE]
        total += len(sure)
        found += int((box_ops.iou(sure, others).max(axis=1, initial=0) >= MIN_IOU).sum())
    return found, total


# ---- tables


def _times(groups: Groups, timings: Sequence[Timing]) -> Table:
    rows = []
    for timing in timings:
        cells = [timing.contender.name]
        for photos in groups.values():
            peer = fastest_peer(timings, photos)
            text = f"{1e3 * np.median(timing.seconds[:, photos]):.1f} ms"
            if peer is not None and peer is not timing:
                low, middle, high = speedup(timing, peer, photos)
                text += f", x {middle:.2f} [{low:.2f}, {high:.2f}]"
            cells.append(text)
        rows.append(tuple(cells))
    title = "Median time of a photo, and how many times as fast as the fastest peer: median and quartiles of the rounds"
    heads = (f"{title} ({len(photos)} photo{'' if len(photos) == 1 else 's'})" for title, photos in groups.items())
    return Table(title, ("", *heads), tuple(rows))


def _memory(timings: Sequence[Timing]) -> Table:
    rows = []
    for each in timings:
        best = sum(int((scores >= MIN_SCORE).sum()) for scores in each.scores)
        versions = ", ".join(f"{name} {version}" for name, version in each.versions.items())
        memory, found = f"{each.peak_bytes / 2**20:.0f} MiB", sum(map(len, each.scores))
        rows.append((each.contender.name, memory, str(best), str(found), versions))
    head = ("", "memory", f"faces of score >= {MIN_SCORE}", "all faces", "versions")
    return Table("Peak memory of the process, faces found, and versions", head, tuple(rows))


def _agreement(timings: Sequence[Timing]) -> Table:
    rows = []
    for timing in timings:
        cells = [timing.contender.name]
        for other in timings:
            found, total = agreement(timing, other)
            cells.append("" if other is timing else f"{percent(found / total if total else None)} of {total}")
        rows.append(tuple(cells))
    title = f"Faces of score >= {MIN_SCORE} of the contender on the left that the one above finds too, at IoU >= {MIN_IOU}"
    return Table(title, ("", *(each.contender.name for each in timings)), tuple(rows))


def _stages(groups: Groups, engines: Sequence[Timing]) -> Table:
    rows = []
    for timing in engines:
        for title, figures in _stage_figures(groups, timing).items():
            stages = (f"{1e3 * whole:.1f} ms ({1e3 * net:.1f})" for whole, net in zip(figures["stages"], figures["nets"]))
            rows.append((timing.contender.name, title, *stages, percent(figures["outside"])))
    heads = ("", "photos", *(f"{net}'s stage (net)" for net in NETS), "share outside the nets")
    return Table("Median time by stage, and the part of it in the net itself", heads, tuple(rows))


def _stage_figures(groups: Groups, timing: Timing) -> dict[str, dict[str, Any]]:
    assert timing.stages is not None and timing.nets is not None
    figures = {}
    for title, photos in groups.items():
        stages, nets = timing.stages[:, photos].reshape(-1, 3), timing.nets[:, photos].reshape(-1, 3)  # (R * P', 3)
        outside = 1 - nets.sum(axis=1) / stages.sum(axis=1)
        figures[title] = {
            "stages": np.median(stages, axis=0), "nets": np.median(nets, axis=0), "outside": float(np.median(outside)),
        }  # fmt: skip
    return figures


def _notes(lost: dict[str, str], machine: str, busy: float) -> Iterator[str]:
    if busy > MAX_BUSY:
        slow = "That slows some contenders far more than others: measure again on a quiet machine."
        yield f"DISTURBED: other programs kept {busy:.1f} processors busy at the start. {slow}"
    yield f"Machine: {machine}."
    yield "Decoding photos is not timed. Contenders take turns photo by photo; each detects twice, and the second time counts."
    yield from (f"Left out: {name}: {reason}" for name, reason in lost.items())


# ---- files


def _figures(groups: Groups, timing: Timing, timings: Sequence[Timing]) -> dict[str, Any]:
    by_group: dict[str, dict[str, Any]] = {}
    for title, photos in groups.items():
        peer = fastest_peer(timings, photos)
        by_group[title] = {
            "median_seconds": float(np.median(timing.seconds[:, photos])),
            "fastest_peer": peer.contender.name if peer else None,
            "speedup_quartiles": speedup(timing, peer, photos) if peer else None,
        }
    if timing.stages is not None:
        for title, figures in _stage_figures(groups, timing).items():
            by_group[title].update(figures)
    others = {each.contender.name: agreement(timing, each) for each in timings if each is not timing}
    return {
        "name": timing.contender.name,
        "is_peer": timing.contender.is_peer,
        "versions": timing.versions,
        "peak_bytes": timing.peak_bytes,
        "groups": by_group,
        "agreement": {name: {"found": found, "of": total} for name, (found, total) in others.items()},
        "seconds": timing.seconds,
    }


def write_bench(report: Report, photos: Sequence[BenchPhoto], timings: Sequence[Timing], folder: str | Path) -> None:
    """Write `bench.md`, `bench.json` and `bench.png`.

    Raises:
        ConfigError: if Matplotlib is not installed.
        DataError: if a file cannot be written.
    """
    root = Path(folder)
    with whole_file(root / "bench.png", "wb") as file:
        times_figure(group_by_size(photos), timings).savefig(file, format="png")
    with whole_file(root / "bench.json") as file:
        file.write(json_text(report.to_json()))
    with whole_file(root / "bench.md") as file:
        file.write(f"# Whole detection\n\n{report.to_text()}\n![Median times with quartiles](bench.png)\n")


def times_figure(groups: Groups, timings: Sequence[Timing]) -> Any:
    """A Matplotlib figure with bars of the median times of every group, and their quartiles."""
    figure = need("matplotlib.figure", "drawing times").Figure(figsize=(8, 5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    width, ends = 0.8 / max(len(timings), 1), [1.0]
    for index, timing in enumerate(timings):
        times = [1e3 * np.percentile(timing.seconds[:, photos], (25, 50, 75)) for photos in groups.values()]
        low, middle, high = np.array(times).T  # (G,) each
        x = np.arange(len(groups)) + (index - (len(timings) - 1) / 2) * width
        axes.bar(x, middle, width * 0.92, yerr=[middle - low, high - middle], label=timing.contender.name, capsize=2)
        ends = [*(ends if index else []), low.min(), high.max()]
    ticks = round_times(min(ends), max(ends))
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set_yticks(ticks, [np.format_float_positional(tick, trim="-") for tick in ticks])
    axes.set_ylim(ticks[0], ticks[-1])
    axes.set_xticks(np.arange(len(groups)), [textwrap.fill(title, 12) for title in groups])
    axes.set(title="Whole detection: median and quartiles", ylabel="milliseconds a photo")
    axes.grid(axis="y", alpha=0.3)
    if timings:
        figure.legend(fontsize="small", loc="outside lower center", ncols=min(3, len(timings)))
    return figure


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
