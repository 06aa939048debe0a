"""The report of `bench`: tables and JSON."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Collection, Iterator, Mapping, Sequence

import numpy as np

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.bench.accuracy import Accuracy, Annotated
from mtcnn_gluon.bench.contest import LOW_SCORE, BenchPhoto, Rules, Timing
from mtcnn_gluon.bench.pictures import times_figure
from mtcnn_gluon.evaluation.options import BENCHMARK_THRESHOLDS
from mtcnn_gluon.evaluation.report import Report, Table, json_text, number, percent
from mtcnn_gluon.evaluation.summaries import set_title
from mtcnn_gluon.io.files import whole_file
from mtcnn_gluon.options import to_mapping

MIN_SCORE, MIN_IOU = 0.9, 0.7  # smallest score of a face to compare, and smallest IoU of two equal faces
MAX_SIZES = 6  # with more sizes of photos, photos are grouped by megapixels
MEGAPIXELS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, np.inf)
MAX_BUSY = 0.3  # processors that other programs may use without disturbing a measurement
NETS = ("P-Net", "R-Net", "O-Net")
Groups = dict[str, np.ndarray]  # title and indices of the photos
Accuracies = Mapping[str, Accuracy]  # by the name of the timing


@dataclass(frozen=True)
class Machine:
    """Where contenders were timed.

    Attributes:
        name: the processor and the system in a few words.
        busy: processors that other programs used before the start.
        instruction_set: of the package's kernels; None without kernels.
        peak_flops: the most float32 operations a second of one thread, see `operators.native.peak_flops`; None without kernels.
    """

    name: str
    busy: float = 0.0
    instruction_set: str | None = None
    peak_flops: float | None = None


def make_report(
    photos: Sequence[BenchPhoto], timings: Sequence[Timing], lost: dict[str, str], rules: Rules, machine: Machine,
    absent: Collection[str] = (), annotated: Annotated | None = None, accuracies: Accuracies | None = None,
) -> Report:  # fmt: skip
    """The report on `bench.run`.

    Args:
        photos, rules: arguments of `bench.run`.
        timings, lost: its results.
        machine: the machine.
        absent: names in `lost` of contenders that need not be usable.
        annotated: the photos with their faces, if they are annotated.
        accuracies: then of `accuracy.measure`.
    """
    groups, found = group_by_size(photos), accuracies or {}
    thresholds = ", ".join(f"{each:g}" for each in rules.thresholds)
    sides = " ".join(map(str, rules.min_face))
    settings = f"min face {sides}, factor {rules.factor:g}, thresholds {thresholds}, {rules.threads} thread(s)"
    engines = [each for each in timings if each.stages is not None]
    tables = [_times(groups, timings, found), _memory(timings)]
    tables += [_agreement([each for each in timings if each.min_face == side]) for side in rules.min_face]
    summary = {
        "benchmark": "bench",
        "machine": machine.name,
        "instruction_set": machine.instruction_set,
        "peak_gflops": machine.peak_flops and machine.peak_flops / 1e9,
        "busy_processors": machine.busy,
        **to_mapping(rules),
        "photos": [{"name": each.name, "width": each.image.shape[1], "height": each.image.shape[0]} for each in photos],
        **({"annotations": annotated.truth.source} if annotated else {}),
        "contenders": [_figures(groups, each, timings, found.get(each.name)) for each in timings],
        "lost": lost,
    }
    return Report(
        headline=f"Whole detection of {len(photos)} photo(s), {rules.rounds} round(s): {settings}",
        is_complete=not set(lost) - set(absent),
        tables=tuple(tables + ([_stages(groups, engines, machine, rules)] if engines else [])),
        notes=tuple(_notes(lost, machine, rules, annotated, any(each.operations is not None for each in timings))),
        summary=summary,
        problems=annotated.problems if annotated else {},
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


def fastest_peer(timings: Sequence[Timing], rows: np.ndarray, min_face: int | None = None) -> Timing | None:
    """The peer with the smallest median time for the photos `rows`; None without peers.

    With `min_face`, only times with that smallest face count.
    """
    peers = [each for each in timings if each.contender.is_peer and min_face in (None, each.min_face)]
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


def _times(groups: Groups, timings: Sequence[Timing], accuracies: Accuracies) -> Table:
    sets = list(next(iter(accuracies.values())).ap) if accuracies else []
    rows = []
    for timing in timings:
        cells = [timing.name]
        for photos in groups.values():
            peer = fastest_peer(timings, photos, timing.min_face)
            text = f"{1e3 * np.median(timing.seconds[:, photos]):.1f} ms"
            if peer is not None and peer is not timing:
                low, middle, high = speedup(timing, peer, photos)
                text += f", x {middle:.2f} [{low:.2f}, {high:.2f}]"
            cells.append(text)
        for name in sets:
            found = accuracies[timing.name]
            cells.append(f"{number(found.ap[name])}; {percent(found.recall[name])}; {percent(found.precision[name])}")
        rows.append(tuple(cells))
    title = "Median time of a photo, and how many times as fast as the fastest peer: median and quartiles of the rounds"
    title += "; average precision, faces found, boxes right" if sets else ""
    heads = [f"{title} ({len(photos)} photo{'' if len(photos) == 1 else 's'})" for title, photos in groups.items()]
    return Table(title, ("", *heads, *(f"faces of {set_title(name)}" for name in sets)), tuple(rows))


def _memory(timings: Sequence[Timing]) -> Table:
    rows = []
    for each in timings:
        best = sum(int((scores >= MIN_SCORE).sum()) for scores in each.scores)
        versions = ", ".join(f"{name} {version}" for name, version in each.versions.items())
        memory, found = f"{each.peak_bytes / 2**20:.0f} MiB", sum(map(len, each.scores))
        rows.append((each.name, memory, str(best), str(found), versions))
    head = ("", "memory", f"faces of score >= {MIN_SCORE}", "all faces", "versions")
    return Table("Peak memory of the process, faces found, and versions", head, tuple(rows))


def _agreement(timings: Sequence[Timing]) -> Table:
    rows = []
    for timing in timings:
        cells = [timing.name]
        for other in timings:
            found, total = agreement(timing, other)
            cells.append("" if other is timing else f"{percent(found / total if total else None)} of {total}")
        rows.append(tuple(cells))
    title = f"Faces of score >= {MIN_SCORE} of the contender on the left that the one above finds too, at IoU >= {MIN_IOU}"
    return Table(title, ("", *(each.name for each in timings)), tuple(rows))


def _stages(groups: Groups, engines: Sequence[Timing], machine: Machine, rules: Rules) -> Table:
    peak = (machine.peak_flops or 0) * (rules.threads or 1) / 1e9
    rows = []
    for timing in engines:
        for title, figures in _stage_figures(groups, timing).items():
            whole = zip(figures["stages"], figures["nets"], figures["gflops"])
            stages = (f"{1e3 * stage:.1f} ms ({1e3 * net:.1f}; {_speed(gflops, peak)})" for stage, net, gflops in whole)
            rows.append((timing.name, title, *stages, percent(figures["outside"])))
    heads = ("", "photos", *(f"{net}'s stage (net; GFLOP/s)" for net in NETS), "share outside the nets")
    share = f", as a share of {rules.threads} x the peak of one thread" if peak else ""
    return Table(
        f"Median time by stage, the part of it in the net itself, and how fast the net computes{share}", heads, tuple(rows)
    )


def _speed(gflops: float | None, peak: float) -> str:
    if gflops is None:
        return "-"
    return f"{gflops:.0f}, {percent(gflops / peak)}" if peak else f"{gflops:.0f}"


def _stage_figures(groups: Groups, timing: Timing) -> dict[str, dict[str, Any]]:
    assert timing.stages is not None and timing.nets is not None and timing.operations is not None
    figures = {}
    for title, photos in groups.items():
        stages, nets = timing.stages[:, photos].reshape(-1, 3), timing.nets[:, photos].reshape(-1, 3)  # (R * P', 3)
        outside = 1 - nets.sum(axis=1) / stages.sum(axis=1)
        operations = timing.operations[0, photos].sum(axis=0)  # (3,), the same in every round
        seconds = np.median(timing.nets[:, photos], axis=0).sum(axis=0)  # (3,)
        gflops = [1e-9 * count / time if time > 0 else None for count, time in zip(operations, seconds)]
        figures[title] = {
            "stages": np.median(stages, axis=0), "nets": np.median(nets, axis=0), "outside": float(np.median(outside)),
            "operations": operations, "gflops": gflops,
        }  # fmt: skip
    return figures


def _notes(
    lost: dict[str, str], machine: Machine, rules: Rules, annotated: Annotated | None, has_operations: bool
) -> Iterator[str]:
    if machine.busy > MAX_BUSY:
        slow = "That slows some contenders far more than others: measure again on a quiet machine."
        yield f"DISTURBED: other programs kept {machine.busy:.1f} processors busy at the start. {slow}"
    kernels = f", kernels for {machine.instruction_set}" if machine.instruction_set else ", no kernels"
    yield f"Machine: {machine.name}{kernels}."
    if machine.peak_flops and has_operations:
        peak = f"one thread of this machine reaches {1e-9 * machine.peak_flops:.0f} GFLOP/s in float32 on registers alone"
        yield f"GFLOP/s count the multiply-adds of the nets, two operations each, on all that they were given; {peak}."
    yield "Decoding photos is not timed. Contenders take turns photo by photo; each detects twice, and the second time counts."
    if len(rules.min_face) > 1:
        yield "Each smallest face is a contest of its own, and what is compared is of the same one."
    if annotated:
        low = " ".join(f"{each:g}" for each in BENCHMARK_THRESHOLDS)
        yield (
            f"Annotated faces: {annotated.truth.source}. Faces found and boxes right are those of the time that is told. "
            f"Average precision is of the same detector with thresholds {low}, or without a cascade with a score of at least "
            f"{LOW_SCORE:g}. Photos without annotated faces count for the time only."
        )
    yield from (f"Left out: {name}: {reason}" for name, reason in lost.items())


# ---- files


def _figures(groups: Groups, timing: Timing, timings: Sequence[Timing], accuracy: Accuracy | None) -> dict[str, Any]:
    by_group: dict[str, dict[str, Any]] = {}
    for title, photos in groups.items():
        peer = fastest_peer(timings, photos, timing.min_face)
        by_group[title] = {
            "median_seconds": float(np.median(timing.seconds[:, photos])),
            "fastest_peer": peer.contender.name if peer else None,
            "speedup_quartiles": speedup(timing, peer, photos) if peer else None,
        }
    if timing.stages is not None:
        for title, figures in _stage_figures(groups, timing).items():
            by_group[title].update(figures)
    same = [each for each in timings if each.min_face == timing.min_face and each is not timing]
    others = {each.contender.name: agreement(timing, each) for each in same}
    return {
        "name": timing.contender.name,
        "model": timing.contender.model or None,
        "min_face": timing.min_face,
        "is_peer": timing.contender.is_peer,
        "versions": timing.versions,
        "peak_bytes": timing.peak_bytes,
        "median_seconds": float(np.median(timing.seconds)),
        "groups": by_group,
        **({"accuracy": asdict(accuracy)} if accuracy else {}),
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
