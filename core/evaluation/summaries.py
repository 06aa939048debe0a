"""Reports on detection by WIDER FACE's and FDDB's protocols: figures, curves and pictures of errors."""

from dataclasses import dataclass
from typing import Any, Callable, Iterable, Iterator, Sequence

import numpy as np

from mtcnn_gluon.evaluation import fddb, wider
from mtcnn_gluon.evaluation.bootstrap import Figures, differences
from mtcnn_gluon.evaluation.coverage import Coverage
from mtcnn_gluon.evaluation.gallery import EXAMPLES, Example, Gallery
from mtcnn_gluon.evaluation.names import file_stems
from mtcnn_gluon.evaluation.report import Line, Plot, Report, Table, headline, number
from mtcnn_gluon.evaluation.results import Detections, Results, ellipse_boxes
from mtcnn_gluon.evaluation.wider_truth import Truth, TruthPhoto
from mtcnn_gluon.prepare_data.annotations import Problems

TITLES = {"easy": "Easy", "medium": "Medium", "hard": "Hard"}
ROC_AXIS = 2000  # false positives that the ROC pictures show
Json = dict[str, Any]


def of_wider(
    truth: Truth,
    coverage: Coverage,
    figures: Sequence[wider.WiderFigures],
    results: Sequence[Results],
    overlap: float,
    problems: dict[str, Problems],
) -> Report:
    """The report on `wider.evaluate` with an `overlap`; `problems` are those of sources other than the results."""
    used, first = truth.covered(coverage), figures[0]
    titles = {name: set_title(name) for name in truth.sets}
    sets = [f"{title} ({first.faces[name]:,} faces)" for name, title in titles.items()]
    problems = {**{each.name: each.problems for each in results}, **problems}
    what = "average precision" if overlap == wider.IOU else f"average precision from an overlap of {overlap:g}"
    return Report(
        headline=headline(truth.title, what, coverage, sum(len(photo.boxes) for photo in used), list(problems.values())),
        is_complete=coverage.is_complete,
        tables=(_table("Average precision", sets, titles, figures, coverage), *difference_table(titles, figures)),
        plots=tuple(_precision_plot(name, title, figures) for name, title in titles.items()),
        galleries=_galleries(figures, [_wider_errors(used, *each) for each in zip(figures, results)]),
        notes=tuple(_wider_notes(truth, used, results)),
        problems=problems,
        summary={
            "benchmark": "wider", "overlap": overlap, **first.values, "photos": {"used": len(used), "of": coverage.total},
            "faces": first.faces,
            "detectors": _detectors(figures, coverage, results, [each.values for each in figures], dict),
        },
        curves={
            each.name: {name: {"precision": each.precision[name], "recall": each.recall[name]} for name in titles}
            for each in figures
        },
    )  # fmt: skip


def of_fddb(
    folds: fddb.Folds,
    coverage: Coverage,
    figures: Sequence[fddb.FddbFigures],
    results: Sequence[Results],
    regions: str,
    problems: dict[str, Problems],
) -> Report:
    """The report on `fddb.evaluate`; `problems` are those of sources other than the results."""
    used, first = folds.covered(coverage), figures[0]
    limits = [f"{limit:,}" for limit in fddb.RATES_AT]
    keys = {kind: [f"{kind}_{limit}" for limit in fddb.RATES_AT] for kind in fddb.KINDS}
    titles = {key: f"{kind.capitalize()}, {limit}" for kind in keys for key, limit in zip(keys[kind], limits)}
    tables = [
        _table(f"{kind.capitalize()} true positive rate at so many false positives", limits, keys[kind], figures, coverage)
        for kind in keys
    ]
    problems = {**{each.name: each.problems for each in results}, **problems}
    own = [{**_by_limit(each.values), "most_false_positives": float(each.false_positives.max(initial=0))} for each in figures]
    return Report(
        headline=headline("FDDB", "ROC", coverage, first.faces, list(problems.values())),
        is_complete=coverage.is_complete,
        tables=(*tables, *difference_table(titles, figures)),
        plots=tuple(_roc_plot(kind, figures) for kind in fddb.KINDS),
        galleries=_galleries(figures, [_fddb_errors(used, *each) for each in zip(figures, results)]),
        notes=tuple(_fddb_notes(folds, figures, results, regions)),
        problems=problems,
        summary={
            "benchmark": "fddb", **own[0], "regions": regions, "photos": {"used": len(used), "of": coverage.total},
            "faces": first.faces, "detectors": _detectors(figures, coverage, results, own, _by_limit),
        },
        curves={
            each.name: {"false_positives": each.false_positives, "thresholds": each.thresholds,
                        "discrete": each.discrete, "continuous": each.continuous}
            for each in figures
        },
    )  # fmt: skip


def how(results: Sequence[Results]) -> Iterator[str]:
    """A sentence for each detector on how its results were made."""
    for each in results:
        values = {key: value for key, value in each.about.items() if key not in ("model", "work", "max_faces")}
        words = [f"{key} {' '.join(map(str, value)) if isinstance(value, list) else value}" for key, value in values.items()]
        if words:
            yield f"{each.name}: {each.about.get('model', 'read')}, {', '.join(words)}"


# ---- tables and JSON


def set_title(name: str) -> str:
    """The name of a set of faces in words: `easy`, or `height_30` as `30 px and higher`."""
    return TITLES.get(name) or f"{name.removeprefix('height_')} px and higher"


def _table(title: str, heads: Sequence[str], keys: Iterable[str], figures: Sequence[Figures], coverage: Coverage) -> Table:
    """A table with a row of figures and intervals for each detector."""
    rows = []
    for each, count in zip(figures, coverage.counts):
        intervals = each.intervals
        rows.append((each.name, *(number(each.values[key], intervals[key]) for key in keys), f"{count:,}"))
    return Table(title, ("detector", *heads, "photos with results"), tuple(rows))


def difference_table(
    heads: dict[str, str], figures: Sequence[Figures], on: str = ", on the same photos", scale: float = 1, digits: int = 3
) -> list[Table]:
    """A table of the differences to the first detector, times `scale`; none if there is only one detector.

    `heads` are the column heads by the figures' names; `on` ends the title of the table.
    """
    gaps = differences(figures, list(heads), scale)
    rows = [(name, *(number(*gap, digits, sign=True) for gap in each.values())) for name, each in gaps.items()]
    return [Table(f"Difference to {figures[0].name}{on}", ("detector", *heads.values()), tuple(rows))] if rows else []


def _detectors(
    figures: Sequence[Figures],
    coverage: Coverage,
    results: Sequence[Results],
    own: Sequence[Json],
    group: Callable[[Json], Json],
) -> list[Json]:
    """The detectors' JSON with their `own` figures; `group` arranges the intervals in the same way."""
    gaps = differences(figures, list(figures[0].values))
    found = []
    for each, values, count, made in zip(figures, own, coverage.counts, results):
        whole = {"name": each.name, **values, "photos_with_results": count, "made": made.about}
        gap = {key: {"value": value, "interval": interval} for key, (value, interval) in gaps.get(each.name, {}).items()}
        found.append({**whole, "intervals": group(each.intervals), **({"difference_to_first": gap} if gap else {})})
    return found


def _by_limit(values: dict[str, Any]) -> dict[str, Any]:
    """FDDB's figures, such as `discrete_50`, by kind and number of false positives."""
    return {kind: {str(limit): values[f"{kind}_{limit}"] for limit in fddb.RATES_AT} for kind in fddb.KINDS}


# ---- pictures


@dataclass(frozen=True, eq=False)
class Errors:
    """The errors of a detector in one photo."""

    photo: str  # its name
    faces: np.ndarray  # (N, 4) annotated boxes
    boxes: np.ndarray  # (M, 4) of the detections
    scores: np.ndarray  # (M,) of the detections
    missed: np.ndarray  # indices of the faces that were not found
    wrong: np.ndarray  # indices of the detections that are false positives
    overlaps: np.ndarray  # (M,) largest overlap of each detection with any face
    has_face: np.ndarray  # (M,) whether that is enough for a match, so a false positive's face was found by another detection


def _wider_errors(used: Sequence[TruthPhoto], figures: wider.WiderFigures, results: Results) -> Iterator[Errors]:
    """The errors on the last set, which holds all others."""
    for photo, matched in zip(used, figures.matches):
        counts, found = photo.counts[-1], results.photos.get(photo.name, Detections.NONE)
        missed = counts & ~np.isin(np.arange(len(counts)), matched.faces)
        proposed, first = wider.proposals(matched.faces, counts)
        wrong = proposed & ~first if len(counts) else np.zeros(len(found), bool)
        yield Errors(photo.name, photo.boxes, found.boxes[matched.order], found.scores[matched.order],
                     np.flatnonzero(missed), np.flatnonzero(wrong), matched.overlaps, matched.faces >= 0)  # fmt: skip


def _fddb_errors(used: Sequence[fddb.FoldPhoto], figures: fddb.FddbFigures, results: Results) -> Iterator[Errors]:
    for photo, steps in zip(used, figures.steps):
        found = results.photos.get(photo.name, Detections.NONE)
        paired = np.flatnonzero(steps.pairs >= 0)
        right = paired[steps.overlaps[paired, steps.pairs[paired]] > fddb.OVERLAP]
        missed = np.setdiff1d(np.arange(len(photo.ellipses)), right)
        wrong = np.setdiff1d(np.arange(len(found)), steps.pairs[right])
        overlaps = steps.overlaps.max(0, initial=0)
        yield Errors(photo.name, ellipse_boxes(photo.ellipses), found.boxes, found.scores, missed, wrong, overlaps,
                     overlaps > fddb.OVERLAP)  # fmt: skip


def _galleries(figures: Sequence[Figures], errors: Sequence[Iterable[Errors]]) -> tuple[Gallery, ...]:
    """For each detector, the largest missed faces and the false positives of the highest scores."""
    galleries = []
    stems = file_stems(each.name for each in figures)
    for each, photos in zip(figures, errors):
        missed: list[tuple[float, Example]] = []
        wrong: list[tuple[float, Example]] = []
        for one in photos:
            for face in one.faces[one.missed]:
                height = float(face[3] - face[1])
                missed.append((height, Example(one.photo, face, one.boxes, f"{height:.0f} px high")))
            for index in one.wrong:
                why = "face found before" if one.has_face[index] else f"overlap {one.overlaps[index]:.2f}"
                caption = f"score {one.scores[index]:.3f}, {why}"
                wrong.append((float(one.scores[index]), Example(one.photo, one.boxes[index], one.faces, caption)))
        for kind, title, examples in (("missed", "largest faces missed", missed), ("false", "surest false positives", wrong)):
            best = sorted(examples, key=lambda pair: -pair[0])[:EXAMPLES]
            title = f"{each.name}: {title} ({len(best)} of {len(examples):,})"
            galleries.append(Gallery(f"{kind}_{stems[each.name]}", title, tuple(example for _, example in best)))
    return tuple(galleries)


def _precision_plot(name: str, title: str, figures: Sequence[wider.WiderFigures]) -> Plot:
    lines = []
    for each in figures:
        drawn = each.recall[name] > 0  # without found faces, precision means nothing
        label = f"{each.name} ({number(each.values[name])})"
        lines.append(Line(label, each.recall[name][drawn], each.precision[name][drawn]))
    title = f"{title}: precision over recall"
    return Plot(f"precision_recall_{name}", title, "recall", "precision", tuple(lines), (0, 1))


def _roc_plot(kind: str, figures: Sequence[fddb.FddbFigures]) -> Plot:
    lines = tuple(
        Line(each.name, np.append(0.0, each.false_positives), np.append(0.0, getattr(each, kind))) for each in figures
    )
    title = f"{kind.capitalize()} ROC"
    return Plot(f"roc_{kind}", title, "false positives", "true positive rate", lines, (0, ROC_AXIS))


# ---- notes


def _wider_notes(truth: Truth, used: Sequence[TruthPhoto], results: Sequence[Results]) -> Iterator[str]:
    yield f"Annotated faces: {truth.source}. Sets: {', '.join(map(set_title, truth.sets))}; all other faces are ignored."
    empty = {photo.name for photo in used if not len(photo.boxes)}
    if empty:
        found = sum(len(each.photos[name]) for each in results for name in empty if name in each.photos)
        whole = f"Photos without any annotated face ({len(empty):,}), with what was found there ({found:,})"
        yield f"{whole}, do not count, as published."
    yield from how(results)


def _fddb_notes(
    folds: fddb.Folds, figures: Sequence[fddb.FddbFigures], results: Sequence[Results], regions: str
) -> Iterator[str]:
    yield f"Annotated faces: {folds.source}, as {'ellipses' if regions == 'ellipse' else 'the boxes around the ellipses'}."
    for each in figures:
        most = each.false_positives.max(initial=0)
        if most < fddb.RATES_AT[-1]:
            yield f"{each.name} makes {most:,.0f} false positives at most; its rates beyond are those there."
    yield from how(results)
