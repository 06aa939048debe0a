"""What `bench` measured, as tables, JSON and a picture."""

import io
import math
import textwrap
from pathlib import Path
from typing import Any, Collection, Sequence

import numpy as np

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.bench.contest import BenchPhoto, Rules, Timing
from mtcnn_gluon.evaluation.report import Report, Table, json_text, percent
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.io.files import whole_file

SURE, SAME = 0.9, 0.7  # score from which a face counts in comparisons, and IoU from which two faces are the same
MAX_SIZES = 6  # groups of equal size, before photos are grouped by megapixels
MEGAPIXELS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, np.inf)
QUIET = 0.3  # processors that others may use before a measurement counts as disturbed
NETS = ("P-Net", "R-Net", "O-Net")
SHORTEST, MAX_TICKS = 1e-3, 12  # milliseconds that can be drawn, and numbers on an axis
Groups = dict[str, np.ndarray]  # indices of photos by title


def make_report(
    photos: Sequence[BenchPhoto],
    outcomes: Sequence[Timing],
    lost: dict[str, str],
    rules: Rules,
    machine: str,
    busy: float = 0.0,
    absent: Collection[str] = (),
) -> Report:
    """The report on `bench.run`.

    Args:
        photos, outcomes, lost, rules: what took part, and what came of it.
        machine: in a few words where it ran.
        busy: processors that other programs were using when it began.
        absent: those in `lost` who could not be used and need not have been.
    """
    groups = group_by_size(photos)
    thresholds = ", ".join(f"{each:g}" for each in rules.thresholds)
    settings = f"min face {rules.min_face}, factor {rules.factor:g}, thresholds {thresholds}, {rules.threads} thread(s)"
    engines = [each for each in outcomes if each.stages is not None]
    tables = [_times(groups, outcomes), _memory(outcomes), _agreement(outcomes)]
    return Report(
        headline=f"Whole detection of {len(photos)} photo(s), {rules.rounds} round(s): {settings}",
        is_complete=not set(lost) - set(absent),
        tables=tuple(tables + ([_stages(groups, engines)] if engines else [])),
        plots=(),
        galleries=(),
        notes=_notes(lost, machine, busy),
        problems={},
        summary=_summary(groups, photos, outcomes, lost, rules, machine, busy),
    )


def group_by_size(photos: Sequence[BenchPhoto]) -> Groups:
    """Photos of equal size, smallest first, or where there are many sizes, photos of about as many megapixels."""
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


def fastest_peer(outcomes: Sequence[Timing], rows: np.ndarray) -> Timing | None:
    """The peer with the smallest median time for the photos `rows`; None without peers."""
    peers = [each for each in outcomes if each.contender.is_peer]
    return min(peers, key=lambda each: float(np.median(each.seconds[:, rows])), default=None)


def speedup(outcome: Timing, other: Timing, rows: np.ndarray) -> np.ndarray:
    """How many times as fast as `other` it was with the photos `rows`: quartiles (3,) of the rounds' ratios."""
    ratios = other.seconds[:, rows].sum(axis=1) / outcome.seconds[:, rows].sum(axis=1)  # (R,)
    return np.percentile(ratios, (25, 50, 75))


def agreement(outcome: Timing, other: Timing) -> tuple[int, int]:
    """How many of the faces with a score of at least `SURE` the other found too, at an IoU of `SAME`, and of how many."""
    found = total = 0
    for boxes, scores, others in zip(outcome.boxes, outcome.scores, other.boxes):
        sure = boxes[scores >= SURE]
        total += len(sure)
        found += int((box_ops.iou(sure, others).max(axis=1, initial=0) >= SAME).sum())
    return found, total


# ---- tables


def _times(groups: Groups, outcomes: Sequence[Timing]) -> Table:
    rows = []
    for outcome in outcomes:
        cells = [outcome.contender.name]
        for photos in groups.values():
            peer = fastest_peer(outcomes, photos)
            text = f"{1e3 * np.median(outcome.seconds[:, photos]):.1f} ms"
            if peer is not None and peer is not outcome:
                low, middle, high = speedup(outcome, peer, photos)
                text += f", x {middle:.2f} [{low:.2f}, {high:.2f}]"
            cells.append(text)
        rows.append(tuple(cells))
    title = "Median time of a photo, and how many times as fast as the fastest peer: median and quartiles of the rounds"
    heads = (f"{title} ({len(photos)} photo{'' if len(photos) == 1 else 's'})" for title, photos in groups.items())
    return Table(title, ("", *heads), tuple(rows))


def _memory(outcomes: Sequence[Timing]) -> Table:
    rows = tuple(
        (
            each.contender.name,
            f"{each.peak_bytes / 2**20:.0f} MiB",
            str(sum(int((scores >= SURE).sum()) for scores in each.scores)),
            str(sum(map(len, each.scores))),
            ", ".join(f"{name} {version}" for name, version in each.versions.items()),
        )
        for each in outcomes
    )
    return Table(
        "Peak memory of the process, faces found, and versions",
        ("", "memory", f"faces of score >= {SURE}", "all faces", "versions"),
        rows,
    )


def _agreement(outcomes: Sequence[Timing]) -> Table:
    rows = []
    for outcome in outcomes:
        cells = [outcome.contender.name]
        for other in outcomes:
            found, total = agreement(outcome, other)
            cells.append("" if other is outcome else f"{percent(found / total if total else None)} of {total}")
        rows.append(tuple(cells))
    title = f"Faces of score >= {SURE} of the contender on the left that the one above finds too, at IoU >= {SAME}"
    return Table(title, ("", *(each.contender.name for each in outcomes)), tuple(rows))


def _stages(groups: Groups, engines: Sequence[Timing]) -> Table:
    rows = []
    for outcome in engines:
        for title, figures in _stage_figures(groups, outcome).items():
            stages = (f"{1e3 * whole:.1f} ms ({1e3 * net:.1f})" for whole, net in zip(figures["stages"], figures["nets"]))
            rows.append((outcome.contender.name, title, *stages, percent(figures["outside"])))
    heads = ("", "photos", *(f"{net}'s stage (net)" for net in NETS), "of the whole outside the nets")
    return Table("Median time by stage, and of it in the net itself", heads, tuple(rows))


def _stage_figures(groups: Groups, outcome: Timing) -> dict[str, dict[str, Any]]:
    assert outcome.stages is not None and outcome.nets is not None
    figures = {}
    for title, photos in groups.items():
        stages, nets = outcome.stages[:, photos].reshape(-1, 3), outcome.nets[:, photos].reshape(-1, 3)  # (R * P', 3)
        outside = 1 - nets.sum(axis=1) / stages.sum(axis=1)
        figures[title] = {
            "stages": np.median(stages, axis=0), "nets": np.median(nets, axis=0), "outside": float(np.median(outside)),
        }  # fmt: skip
    return figures


def _notes(lost: dict[str, str], machine: str, busy: float) -> tuple[str, ...]:
    warning = (
        f"DISTURBED: other programs kept {busy:.1f} processors busy at the start. Threads that wait by spinning lose far more "
        "by that than others do: measure again on a quiet machine.",
    )
    return (
        *(warning if busy > QUIET else ()),
        f"Machine: {machine}.",
        "Decoding photos does not count. Contenders take turns photo by photo; of two detections each, the second counts.",
        *(f"Left out: {name}: {reason}" for name, reason in lost.items()),
    )


# ---- files


def _summary(
    groups: Groups, photos: Sequence[BenchPhoto], outcomes: Sequence[Timing], lost: dict[str, str], rules: Rules, machine: str,
    busy: float,
) -> dict[str, Any]:  # fmt: skip
    return {
        "benchmark": "bench",
        "machine": machine,
        "busy_processors": busy,
        "min_face": rules.min_face,
        "factor": rules.factor,
        "thresholds": list(rules.thresholds),
        "threads": rules.threads,
        "rounds": rules.rounds,
        "photos": [{"name": each.name, "width": each.image.shape[1], "height": each.image.shape[0]} for each in photos],
        "contenders": [_figures(groups, each, outcomes) for each in outcomes],
        "lost": lost,
    }


def _figures(groups: Groups, outcome: Timing, outcomes: Sequence[Timing]) -> dict[str, Any]:
    by_group: dict[str, dict[str, Any]] = {}
    for title, photos in groups.items():
        peer = fastest_peer(outcomes, photos)
        by_group[title] = {
            "median_seconds": float(np.median(outcome.seconds[:, photos])),
            "fastest_peer": peer.contender.name if peer else None,
            "speedup_quartiles": speedup(outcome, peer, photos) if peer else None,
        }
    if outcome.stages is not None:
        for title, figures in _stage_figures(groups, outcome).items():
            by_group[title].update(figures)
    return {
        "name": outcome.contender.name,
        "is_peer": outcome.contender.is_peer,
        "versions": outcome.versions,
        "peak_bytes": outcome.peak_bytes,
        "groups": by_group,
        "agreement": {
            other.contender.name: dict(zip(("found", "of"), agreement(outcome, other)))
            for other in outcomes
            if other is not outcome
        },
        "seconds": outcome.seconds,
    }


def write_bench(report: Report, photos: Sequence[BenchPhoto], outcomes: Sequence[Timing], folder: str | Path) -> None:
    """Write `bench.md`, `bench.json` and `bench.png`.

    Raises:
        ConfigError: if Matplotlib is not installed.
        DataError: if a file cannot be written.
    """
    root = Path(folder)
    with whole_file(root / "bench.png", "wb") as file:
        file.write(draw_times(group_by_size(photos), outcomes))
    with whole_file(root / "bench.json") as file:
        file.write(json_text(report.to_json()))
    with whole_file(root / "bench.md") as file:
        file.write(f"# Whole detection\n\n{report.to_text()}\n![Median times with quartiles](bench.png)\n")


def draw_times(groups: Groups, outcomes: Sequence[Timing]) -> bytes:
    """Bars of the median times of every group, with quartiles, as PNG.

    Raises:
        ConfigError: if Matplotlib is not installed.
    """
    buffer = io.BytesIO()
    times_figure(groups, outcomes).savefig(buffer, format="png")
    return buffer.getvalue()


def times_figure(groups: Groups, outcomes: Sequence[Timing]) -> Any:
    """What `draw_times` draws, as a figure of Matplotlib's."""
    figure = need("matplotlib.figure", "drawing times").Figure(figsize=(8, 5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    width, ends = 0.8 / max(len(outcomes), 1), [1.0]
    for index, outcome in enumerate(outcomes):
        times = [1e3 * np.percentile(outcome.seconds[:, photos], (25, 50, 75)) for photos in groups.values()]
        low, middle, high = np.array(times).T  # (G,) each
        x = np.arange(len(groups)) + (index - (len(outcomes) - 1) / 2) * width
        axes.bar(x, middle, width * 0.92, yerr=[middle - low, high - middle], label=outcome.contender.name, capsize=2)
        ends = [*(ends if index else []), low.min(), high.max()]
    ticks = round_times(min(ends), max(ends))
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set_yticks(ticks, [np.format_float_positional(tick, trim="-") for tick in ticks])
    axes.set_ylim(ticks[0], ticks[-1])
    axes.set_xticks(np.arange(len(groups)), [textwrap.fill(title, 12) for title in groups])
    axes.set(title="Whole detection: median and quartiles", ylabel="milliseconds a photo")
    axes.grid(axis="y", alpha=0.3)
    if outcomes:
        figure.legend(fontsize="small", loc="outside lower center", ncols=min(3, len(outcomes)))
    return figure


def round_times(low: float, high: float) -> list[float]:
    """Two or more round numbers for an axis, from below `low` to above `high`, which are positive."""
    low, high = max(low, SHORTEST), max(high, SHORTEST)
    powers = range(math.floor(math.log10(low)) - 1, math.floor(math.log10(high)) + 2)
    for digits in ((1, 2, 5), (1,)):
        numbers = [float(f"{digit}e{power}") for power in powers for digit in digits]
        first = max(place for place, number in enumerate(numbers) if number < low)
        last = min((place for place, number in enumerate(numbers) if number > high), default=len(numbers) - 1)
        if last - first < MAX_TICKS:
            break
    return numbers[first : last + 1]
