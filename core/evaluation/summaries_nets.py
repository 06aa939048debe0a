"""Reports on landmarks, on the stages of cascades, and on nets with training samples."""

from typing import Any, Sequence

import numpy as np

from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.evaluation import landmarks, samples, stages
from mtcnn_gluon.evaluation.coverage import Coverage
from mtcnn_gluon.evaluation.gallery import EXAMPLES, Example, Gallery
from mtcnn_gluon.evaluation.names import file_stems
from mtcnn_gluon.evaluation.report import Line, Plot, Report, Table, headline, number, percent
from mtcnn_gluon.evaluation.results import Results
from mtcnn_gluon.evaluation.summaries import difference_table, how
from mtcnn_gluon.prepare_data.annotations import Problems

WORST_SHOWN = 0.2  # largest error in the curves, as a share of the normaliser
NET_TITLES = {"pnet": "P-Net", "rnet": "R-Net", "onet": "O-Net"}
BUDGETS = {"pnet": (50, 100, 200, 400, 800), "rnet": (10, 25, 50, 100), "onet": (1, 2, 5, 10)}  # proposals per photo
SHOWN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # thresholds in tables
SIZES = [*map("{} to {} px".format, stages.EDGES, stages.EDGES[1:]), f"{stages.EDGES[-1]} px and more"]
Part = tuple[Coverage, Sequence[landmarks.LandmarkFigures], Sequence[Results]]
Curves = dict[str, list[stages.Curve]]


def of_landmarks(parts: Sequence[Part], normaliser: str, source: str, problems: dict[str, Problems]) -> Report:
    """The report on `landmarks.evaluate`, for given boxes, detected boxes or both."""
    figures = [each for _, part, _ in parts for each in part]
    coverages = [coverage for coverage, part, _ in parts for _ in part]
    whole = {f"{each.name}, {part[0].on} boxes": each.problems for _, part, results in parts for each in results}
    whole.update(problems)
    worst = min(coverages, key=lambda coverage: (coverage.is_complete, len(coverage.names)))
    faces, unit = len(figures[0].errors), "distance of the eyes" if normaliser == "eyes" else "box's mean side"
    stems = file_stems(each.name for each in figures)
    return Report(
        headline=headline("Landmarks", "errors", worst, faces, list(whole.values())),
        is_complete=worst.is_complete,
        tables=(_error_table(figures, unit), *(table for _, each, _ in parts for table in _landmark_differences(each))),
        plots=(_error_plot(figures, unit),),
        galleries=tuple(_landmark_gallery(*each, stems[each[0].name]) for each in zip(figures, coverages)),
        notes=(
            f"Annotated landmarks: {source}. Left is the viewer's left.",
            *(f"{part[0].on.capitalize()} boxes, {line}" for _, part, results in parts for line in how(results)),
        ),
        problems=whole,
        summary={
            "benchmark": "landmarks", "normaliser": normaliser, **{each.on: each.values for each in reversed(figures)},
            "photos": {"used": len(worst.names), "of": worst.total}, "faces": faces,
            "detectors": [
                {"name": each.name, "boxes": each.on, **each.values, "intervals": each.intervals,
                 "photos": len(coverage.names)}
                for each, coverage in zip(figures, coverages)
            ],
        },
        curves={f"{each.name}, {each.on}": dict(zip(("error", "share"), _cumulative(each))) for each in figures},
    )  # fmt: skip


def _error_table(figures: Sequence[landmarks.LandmarkFigures], unit: str) -> Table:
    names = {f"mean_error_{name}": name.replace("_", " ") for name in LANDMARK_NAMES}
    failures = {"failures": f"failures at {landmarks.FAILED:.0%}", "failures_of_all": "failures or not found"}
    columns = {"mean_error": "mean error", **names, **failures, "found": "found"}
    rows = []
    for each in figures:
        intervals = each.intervals
        rows.append((each.name, each.on, *(percent(each.values[key], intervals[key]) for key in columns)))
    return Table(f"Errors over the {unit}", ("detector", "boxes", *columns.values()), tuple(rows))


def _landmark_differences(figures: Sequence[landmarks.LandmarkFigures]) -> list[Table]:
    heads = {"mean_error": "mean error", "failures_of_all": "failures or not found"}
    return difference_table(heads, figures, f" on {figures[0].on} boxes, in percentage points", scale=100, digits=2)


def _cumulative(figures: landmarks.LandmarkFigures) -> tuple[np.ndarray, np.ndarray]:
    """Errors (N,) in rising order, and the share of all annotated faces with at most that error."""
    errors = np.sort(figures.errors.mean(1)[~np.isnan(figures.errors).any(1)])
    return errors, np.arange(1, len(errors) + 1) / max(len(figures.errors), 1)


def _error_plot(figures: Sequence[landmarks.LandmarkFigures], unit: str) -> Plot:
    lines = tuple(Line(f"{each.name}, {each.on} boxes", *_cumulative(each)) for each in figures)
    title = "Share of faces with at most that error"
    return Plot("errors", title, f"mean error over the {unit}", "share of faces", lines, (0, WORST_SHOWN))


def _landmark_gallery(figures: landmarks.LandmarkFigures, coverage: Coverage, stem: str) -> Gallery:
    """The faces with the largest errors; `stem` is that of the detector's file names."""
    errors = figures.errors.mean(1)
    examples = []
    for row in np.argsort(-errors, kind="stable")[: min(EXAMPLES, np.isfinite(errors).sum())]:  # NaN, not found, comes last
        truth, points = figures.truth[row], figures.points[row]
        box, name = np.concatenate([truth.min(0), truth.max(0)]), coverage.names[figures.photo[row]]
        examples.append(Example(name, box, landmarks.NO_BOXES, f"error {100 * errors[row]:.1f} %", points, truth))
    title = f"{figures.name}: largest errors on {figures.on} boxes (annotated points green)"
    return Gallery(f"errors_{stem}_{figures.on}", title, tuple(examples))


# ---- stages


def of_stages(
    coverage: Coverage,
    curves: Curves,
    seconds: dict[str, np.ndarray],
    results: Sequence[Results],
    problems: dict[str, Problems],
) -> Report:
    """The report on stages, from the curves of each bundle, and the seconds (P, 3) of its stages for P photos."""
    problems = {**{each.name: each.problems for each in results}, **problems}
    figures = {name: _stage_figures(each, seconds[name]) for name, each in curves.items()}
    places, first = range(len(stages.STAGES)), next(iter(curves))
    faces = int(curves[first][0].faces.sum())
    return Report(
        headline=headline("Stages", "recall against proposals", coverage, faces, list(problems.values())),
        is_complete=coverage.is_complete,
        tables=(
            _stage_table(figures),
            *(_threshold_table(name, each[place]) for place in places for name, each in curves.items()),
            *(_budget_table(curves, place) for place in places),
        ),
        plots=tuple(_stage_plot(curves, place) for place in places),
        notes=tuple(how(results)),
        problems=problems,
        summary={
            "benchmark": "stages", **figures[first], "photos": {"used": len(coverage.names), "of": coverage.total},
            "faces": faces,
            "detectors": [
                {"name": name, **figures[name], "made": each.about} for name, each in zip(curves, results)
            ],
        },
        curves={
            name: {
                one.stage: {"thresholds": stages.GRID, "proposals_per_photo": one.proposals, "recall": one.recall,
                            "precision": one.precision, "recall_by_size": dict(zip(SIZES, one.recall_by_size))}
                for one in each
            }
            for name, each in curves.items()
        },
    )  # fmt: skip


def _place(threshold: float) -> int:
    """Index in the curves of the threshold that is nearest."""
    return int(np.abs(stages.GRID - threshold).argmin())


def _stage_figures(curves: Sequence[stages.Curve], seconds: np.ndarray) -> dict[str, Any]:
    return {
        curve.stage: {
            "threshold": curve.current,
            "recall": curve.recall[_place(curve.current)],
            "proposals_per_photo": curve.proposals[_place(curve.current)],
            "suggested_for_mining": curve.mining,
            "suggested_for_detection": curve.detection,
            "surest": curve.top_score,
            "milliseconds_median": 1000 * float(np.median(times)) if len(times) else None,
        }
        for curve, times in zip(curves, seconds.T)
    }


def _stage_table(figures: dict[str, dict[str, Any]]) -> Table:
    columns = {"threshold": ("threshold", 2), "recall": ("recall", 3), "proposals_per_photo": ("proposals a photo", 1),
               "suggested_for_mining": ("suggested for mining", 2), "suggested_for_detection": ("suggested for detection", 2),
               "milliseconds_median": ("ms a photo (median)", 1)}  # fmt: skip
    rows = [
        (name, NET_TITLES[stage], *(number(values[key], digits=digits) for key, (_, digits) in columns.items()))
        for name, each in figures.items()
        for stage, values in each.items()
    ]
    return Table("Stages at their own thresholds", ("bundle", "stage", *(head for head, _ in columns.values())), tuple(rows))


def _threshold_table(name: str, curve: stages.Curve) -> Table:
    """A bundle's recall by size at a few thresholds."""
    sizes = np.flatnonzero(curve.faces)
    rows = []
    for threshold in SHOWN:
        at = _place(threshold)
        recalls = map(number, (curve.recall[at], *curve.recall_by_size[sizes, at], curve.precision[at]))
        rows.append((f"{threshold:g}", number(curve.proposals[at], digits=1), *recalls))
    heads = [f"{SIZES[index]} ({curve.faces[index]:,})" for index in sizes]
    head = ("threshold", "proposals a photo", f"recall of all {curve.faces.sum():,}", *heads, "precision")
    return Table(f"{name}, {NET_TITLES[curve.stage]}", head, tuple(rows))


def _budget_table(curves: Curves, place: int) -> Table:
    """Recall of all faces at round numbers of proposals; a dash if no threshold gives that many."""
    stage, rows = stages.STAGES[place], []
    for name, each in curves.items():
        curve, cells = each[place], []
        for budget in BUDGETS[stage]:
            at = stages.at_budget(curve.proposals, budget)
            cells.append("-" if at is None or curve.proposals[0] < budget else number(curve.recall[at]))
        rows.append((name, *cells))
    head = ("bundle", *(f"{budget:,}" for budget in BUDGETS[stage]))
    return Table(f"{NET_TITLES[stage]}: recall at so many proposals a photo", head, tuple(rows))


def _stage_plot(curves: Curves, place: int) -> Plot:
    """Recall over proposals: for one bundle by size of face too, for several bundles of all faces."""
    lines = []
    for name, each in curves.items():
        curve = each[place]
        drawn = curve.proposals > 0
        for index in np.flatnonzero(curve.faces) if len(curves) == 1 else ():
            lines.append(Line(SIZES[index], curve.proposals[drawn], curve.recall_by_size[index, drawn]))
        lines.append(Line(name if len(curves) > 1 else "all", curve.proposals[drawn], curve.recall[drawn]))
    title = f"{NET_TITLES[stages.STAGES[place]]}: recall over proposals"
    name = f"stage_{stages.STAGES[place]}"
    return Plot(name, title, "proposals a photo", "recall", tuple(lines), logarithmic=True)


# ---- samples


def of_samples(figures: dict[str, dict[str, float]], net: str, counts: dict[str, int], source: str) -> Report:
    """The report on `samples.measure`: figures by name of bundle, and numbers of samples by kind."""
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
        notes=(
            f"Samples: {source}, as they are.",
            "Classes are of positive and negative samples, accuracy at probability 0.5.",
        ),
        summary={
            "benchmark": "records", "net": net, "samples": counts, **next(iter(figures.values())),
            "detectors": [{"name": name, **each} for name, each in figures.items()],
        },
    )  # fmt: skip
