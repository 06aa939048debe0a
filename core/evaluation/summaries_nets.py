"""Reports of landmarks and of the stages of cascades."""

from typing import Any, Iterator, Sequence

import numpy as np

from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.evaluation import landmarks, samples, stages
from mtcnn_gluon.evaluation.bootstrap import interval
from mtcnn_gluon.evaluation.coverage import Coverage
from mtcnn_gluon.evaluation.gallery import EXAMPLES, Example, Gallery
from mtcnn_gluon.evaluation.names import file_stems
from mtcnn_gluon.evaluation.report import Line, Plot, Report, Table, headline, number, percent
from mtcnn_gluon.evaluation.results import Results
from mtcnn_gluon.evaluation.summaries import how
from mtcnn_gluon.prepare_data.annotations import Problems

WORST_SHOWN = 0.2  # share of the normaliser where the curves of errors end
NET_TITLES = {"pnet": "P-Net", "rnet": "R-Net", "onet": "O-Net"}
BUDGETS = {"pnet": (50, 100, 200, 400, 800), "rnet": (10, 25, 50, 100), "onet": (1, 2, 5, 10)}  # proposals a photo
Part = tuple[Coverage, Sequence[landmarks.Outcome], Sequence[Results]]
SHOWN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # thresholds in tables


def of_landmarks(
    parts: Sequence[Part],
    normaliser: str,
    source: str,
    problems: dict[str, Problems],
) -> Report:
    """The report on `landmarks.evaluate`, run once for given boxes, once for detected ones, or both."""
    outcomes = [outcome for _, part, _ in parts for outcome in part]
    coverages = [coverage for coverage, part, _ in parts for _ in part]
    whole = {f"{each.name}, {part[0].on} boxes": each.problems for _, part, made in parts for each in made}
    whole.update(problems)
    worst = min(coverages, key=lambda coverage: (coverage.is_complete, len(coverage.names)))
    stems = file_stems(each.name for each in outcomes)
    title = headline("Landmarks", "errors", worst, len(outcomes[0].errors), list(whole.values()))
    points = [f"mean_error_{name}" for name in LANDMARK_NAMES]
    columns = ["mean_error", *points, "failures", "failures_of_all", "found"]
    heads = ("detector", "boxes", "mean error", *(name.replace("_", " ") for name in LANDMARK_NAMES),
             f"failures at {landmarks.FAILED:.0%}", "failures or not found", "found")  # fmt: skip
    rows = [(each.name, each.on, *(percent(each.figures[key], each.intervals[key]) for key in columns)) for each in outcomes]
    unit = "distance of the eyes" if normaliser == "eyes" else "box's mean side"
    return Report(
        headline=title,
        is_complete=worst.is_complete,
        tables=(Table(f"Errors over the {unit}", heads, tuple(rows)), *_landmark_differences(parts)),
        plots=(_error_plot(outcomes, unit),),
        galleries=tuple(_landmark_gallery(*each, stems[each[0].name]) for each in zip(outcomes, coverages)),
        notes=(f"Annotated landmarks: {source}. Left is the viewer's left.", *_made(parts)),
        problems=whole,
        summary={
            "benchmark": "landmarks",
            "normaliser": normaliser,
            **{each.on: each.figures for each in reversed(outcomes)},
            "photos": {"used": len(worst.names), "of": worst.total},
            "faces": len(outcomes[0].errors),
            "detectors": [
                {"name": each.name, "boxes": each.on, **each.figures, "intervals": each.intervals,
                 "photos": len(coverage.names)}
                for each, coverage in zip(outcomes, coverages)
            ],
        },
        curves={f"{each.name}, {each.on}": dict(zip(("error", "share"), _cumulative(each))) for each in outcomes},
    )  # fmt: skip


def _made(parts: Sequence[Part]) -> Iterator[str]:
    for _, outcomes, results in parts:
        for line in how(results):
            yield f"{outcomes[0].on.capitalize()} boxes, {line}"


def _landmark_differences(parts: Sequence[Part]) -> list[Table]:
    """A table for each kind of boxes: the first detector of one need not be that of the other."""
    tables = []
    for _, (first, *others), _ in parts:
        rows = []
        for each in others:
            cells = []
            for key in ("mean_error", "failures_of_all"):
                value, base = each.figures[key], first.figures[key]
                gap = None if value is None or base is None else 100 * (value - base)
                spread = interval(100 * (each.samples[key] - first.samples[key]))
                cells.append(number(gap, spread, 2, sign=True))
            rows.append((each.name, *cells))
        if rows:
            title = f"Difference to {first.name} on {first.on} boxes, in percentage points"
            tables.append(Table(title, ("detector", "mean error", "failures or not found"), tuple(rows)))
    return tables


def _cumulative(outcome: landmarks.Outcome) -> tuple[np.ndarray, np.ndarray]:
    """Errors (N,), rising, and the share of all annotated faces whose error is at most that."""
    errors = np.sort(outcome.errors.mean(1)[~np.isnan(outcome.errors).any(1)])
    return errors, np.arange(1, len(errors) + 1) / max(len(outcome.errors), 1)


def _error_plot(outcomes: Sequence[landmarks.Outcome], unit: str) -> Plot:
    lines = tuple(Line(f"{each.name}, {each.on} boxes", *_cumulative(each)) for each in outcomes)
    title = "Share of faces with at most that error"
    return Plot("errors", title, f"mean error over the {unit}", "share of faces", lines, (0, WORST_SHOWN))


def _landmark_gallery(outcome: landmarks.Outcome, coverage: Coverage, stem: str) -> Gallery:
    """The faces with the largest errors; `stem` is how the detector's files are called."""
    errors = outcome.errors.mean(1)
    order = [row for row in np.argsort(-np.nan_to_num(errors, nan=-1), kind="stable") if not np.isnan(errors[row])]
    examples = []
    for row in order[:EXAMPLES]:
        truth, points = outcome.truth[row], outcome.points[row]
        box = np.concatenate([truth.min(0), truth.max(0)])
        name = coverage.names[outcome.photo[row]]
        examples.append(Example(name, box, np.zeros((0, 4)), f"error {100 * errors[row]:.1f} %", points, truth))
    title = f"{outcome.name}: largest errors on {outcome.on} boxes (annotated points green)"
    return Gallery(f"errors_{stem}_{outcome.on}", title, tuple(examples))


# ---- stages


def of_stages(
    coverage: Coverage,
    curves: dict[str, list[stages.Curve]],
    seconds: dict[str, np.ndarray],
    results: Sequence[Results],
    problems: dict[str, Problems],
) -> Report:
    """The report on stages: for each bundle its curves, and seconds (P, 3) that its stages take for P photos."""
    whole = {**{each.name: each.problems for each in results}, **problems}
    faces = int(next(iter(curves.values()))[0].faces.sum())
    tables = [_suggestions(curves, seconds)]
    for place in range(len(stages.STAGES)):
        for name, each in curves.items():
            tables.append(_threshold_table(name, each[place]))
    tables += [_budget_table(curves, place) for place in range(len(stages.STAGES))]
    return Report(
        headline=headline("Stages", "recall against proposals", coverage, faces, list(whole.values())),
        is_complete=coverage.is_complete,
        tables=tuple(tables),
        plots=tuple(_stage_plot(curves, place) for place in range(len(stages.STAGES))),
        galleries=(),
        notes=tuple(how(results)),
        problems=whole,
        summary={
            "benchmark": "stages",
            **_stage_figures(*next(iter(zip(curves.values(), seconds.values())))),
            "photos": {"used": len(coverage.names), "of": coverage.total},
            "faces": faces,
            "detectors": [
                {"name": name, **_stage_figures(each, seconds[name]), "made": made.about}
                for (name, each), made in zip(curves.items(), results)
            ],
        },
        curves={
            name: {
                one.stage: {"thresholds": stages.GRID, "proposals_per_photo": one.proposals, "recall": one.recall,
                            "precision": one.precision, "recall_by_size": dict(zip(_sizes(), one.recall_by_size))}
                for one in each
            }
            for name, each in curves.items()
        },
    )  # fmt: skip


def _sizes() -> list[str]:
    ends = [*(f" to {edge} px" for edge in stages.EDGES[1:]), " px and more"]
    return [f"{start}{end}" for start, end in zip(stages.EDGES, ends)]


def _stage_figures(curves: Sequence[stages.Curve], seconds: np.ndarray) -> dict[str, Any]:
    figures = {}
    for place, curve in enumerate(curves):
        at = int(np.abs(stages.GRID - curve.current).argmin())
        times = seconds[:, place]
        figures[curve.stage] = {
            "threshold": curve.current,
            "recall": curve.recall[at],
            "proposals_per_photo": curve.proposals[at],
            "suggested_for_mining": curve.mining,
            "suggested_for_detection": curve.detection,
            "surest": curve.surest,
            "milliseconds_median": 1000 * float(np.median(times)) if len(times) else None,
        }
    return figures


def _suggestions(curves: dict[str, list[stages.Curve]], seconds: dict[str, np.ndarray]) -> Table:
    rows = []
    for name, each in curves.items():
        for place, curve in enumerate(each):
            at = int(np.abs(stages.GRID - curve.current).argmin())
            times = 1000 * seconds[name][:, place]
            rows.append((
                name, NET_TITLES[curve.stage], number(curve.current, digits=2), number(curve.recall[at]),
                number(curve.proposals[at], digits=1), number(curve.mining, digits=2), number(curve.detection, digits=2),
                number(float(np.median(times)) if len(times) else None, digits=1),
            ))  # fmt: skip
    head = ("bundle", "stage", "threshold", "recall", "proposals a photo", "suggested for mining", "suggested for detection",
            "ms a photo (median)")  # fmt: skip
    return Table("Stages at their own thresholds", head, tuple(rows))


def _threshold_table(name: str, curve: stages.Curve) -> Table:
    """Recall by size at a few thresholds."""
    sizes = [(label, index) for index, label in enumerate(_sizes()) if curve.faces[index]]
    rows = []
    for threshold in SHOWN:
        at = int(np.abs(stages.GRID - threshold).argmin())
        recalls = [number(curve.recall_by_size[index, at]) for _, index in sizes]
        rows.append((f"{threshold:g}", number(curve.proposals[at], digits=1), number(curve.recall[at]), *recalls,
                     number(curve.precision[at])))  # fmt: skip
    heads = [f"{label} ({curve.faces[index]:,})" for label, index in sizes]
    head = ("threshold", "proposals a photo", f"recall of all {curve.faces.sum():,}", *heads, "precision")
    return Table(f"{name}, {NET_TITLES[curve.stage]}", head, tuple(rows))


def _budget_table(curves: dict[str, list[stages.Curve]], place: int) -> Table:
    """Recall of all faces at round numbers of proposals."""
    rows = []
    for name, each in curves.items():
        curve = each[place]
        cells = [(budget, stages.at_budget(curve.proposals, budget)) for budget in BUDGETS[curve.stage]]
        rows.append((name, *("-" if at is None or curve.proposals[0] < budget else number(curve.recall[at])
                             for budget, at in cells)))  # fmt: skip
    stage = stages.STAGES[place]
    head = ("bundle", *(f"{budget:,}" for budget in BUDGETS[stage]))
    return Table(f"{NET_TITLES[stage]}: recall at so many proposals a photo", head, tuple(rows))


def _stage_plot(curves: dict[str, list[stages.Curve]], place: int) -> Plot:
    """Recall over proposals: of one bundle by size of face, of several of all faces."""
    lines = []
    for name, each in curves.items():
        curve = each[place]
        drawn = curve.proposals > 0
        if len(curves) == 1:
            for index, label in enumerate(_sizes()):
                if curve.faces[index]:
                    lines.append(Line(label, curve.proposals[drawn], curve.recall_by_size[index, drawn]))
        lines.append(Line(name if len(curves) > 1 else "all", curve.proposals[drawn], curve.recall[drawn]))
    title = f"{NET_TITLES[stages.STAGES[place]]}: recall over proposals"
    name = f"stage_{stages.STAGES[place]}"
    return Plot(name, title, "proposals a photo", "recall", tuple(lines), logarithmic=True)


# ---- samples


def of_samples(figures: dict[str, dict[str, float]], net: str, counts: dict[str, int], source: str) -> Report:
    """The report on `samples.measure`: figures by name of bundle, of samples of which there are `counts` by kind."""
    shares, errors = samples.FIGURES[:3], samples.FIGURES[3:]
    rows = [
        (name, *(percent(each[key]) for key in shares), *(number(each[key], digits=4) for key in errors))
        for name, each in figures.items()
    ]
    head = ("bundle", "positive accuracy", "negative accuracy", "recall at 1 % false positives", "box error", "landmark error")
    there = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
    return Report(
        headline=f"{NET_TITLES[net]} on {sum(counts.values()):,} samples: {there}",
        is_complete=True,
        tables=(Table("Classes, and errors in sides of the crop", head, tuple(rows)),),
        plots=(),
        galleries=(),
        notes=(
            f"Samples: {source}, as they are.",
            "Classes are of positive and negative samples, accuracy at probability 0.5.",
        ),
        problems={},
        summary={
            "benchmark": "records",
            "net": net,
            "samples": counts,
            **next(iter(figures.values())),
            "detectors": [{"name": name, **each} for name, each in figures.items()],
        },
    )
