"""Reports of detection: what WIDER FACE's and FDDB's figures, curves and pictures of errors say about several detectors."""

from typing import Any, Callable, Iterator, Sequence

import numpy as np

from mtcnn_gluon.evaluation import fddb, wider
from mtcnn_gluon.evaluation.bootstrap import interval
from mtcnn_gluon.evaluation.coverage import Coverage
from mtcnn_gluon.evaluation.gallery import EXAMPLES, Example, Gallery
from mtcnn_gluon.evaluation.names import file_stems
from mtcnn_gluon.evaluation.report import Line, Plot, Report, Table, headline, number
from mtcnn_gluon.evaluation.results import Detections, Results, ellipse_boxes
from mtcnn_gluon.evaluation.wider_truth import Truth, TruthPhoto
from mtcnn_gluon.prepare_data.annotations import Problems

TITLES = {"easy": "Easy", "medium": "Medium", "hard": "Hard"}
ROC_TITLES = {"discrete": "Discrete", "continuous": "Continuous"}
ROC_AXIS = 2000  # false positives that the ROC pictures show
_NOTHING = Detections.of_boxes([], [])


def of_wider(
    truth: Truth,
    coverage: Coverage,
    outcomes: Sequence[wider.Outcome],
    results: Sequence[Results],
    overlap: float,
    problems: dict[str, Problems],
) -> Report:
    """The report on `wider.evaluate` with an `overlap`; `problems` of other sources than results, such as the annotations."""
    photos = {photo.name: photo for photo in truth.photos}
    used = [photos[name] for name in coverage.names]
    first = outcomes[0]
    sets = {name: f"{_title(name)} ({each.faces:,} faces)" for name, each in first.sets.items()}
    rows = [
        (each.name, *(number(each.sets[name].ap, each.sets[name].interval) for name in sets), _count(coverage, index))
        for index, each in enumerate(outcomes)
    ]
    samples = [{name: each.sets[name].samples for name in sets} for each in outcomes]
    values = [{name: each.sets[name].ap for name in sets} for each in outcomes]
    differences = _differences([each.name for each in outcomes], values, samples)
    tables = [Table("Average precision", ("detector", *sets.values(), "photos with results"), tuple(rows))]
    tables += _difference_table(differences, {name: _title(name) for name in sets}, first.name)
    whole = {**_problems_of(results), **problems}
    faces = int(sum(len(photo.boxes) for photo in used))
    figure = "average precision" if overlap == wider.IOU else f"average precision from an overlap of {overlap:g}"
    return Report(
        headline=headline(truth.title, figure, coverage, faces, list(whole.values())),
        is_complete=coverage.is_complete,
        tables=tuple(tables),
        plots=tuple(_precision_plot(name, outcomes) for name in sets),
        galleries=_all_galleries(_wider_galleries, used, outcomes, results),
        notes=tuple(_wider_notes(truth, used, results)),
        problems=whole,
        summary={
            "benchmark": "wider",
            "overlap": overlap,
            **{name: first.sets[name].ap for name in sets},
            "photos": {"used": len(used), "of": coverage.total},
            "faces": {name: first.sets[name].faces for name in sets},
            "detectors": [
                {"name": each.name, **figures, "photos_with_results": coverage.counts[index], "made": results[index].about,
                 "intervals": {name: each.sets[name].interval for name in sets}, **_named(differences, each.name)}
                for index, (each, figures) in enumerate(zip(outcomes, values))
            ],
        },
        curves={
            each.name: {name: {"precision": one.precision, "recall": one.recall} for name, one in each.sets.items()}
            for each in outcomes
        },
    )  # fmt: skip


def of_fddb(
    folds: fddb.Folds,
    coverage: Coverage,
    outcomes: Sequence[fddb.Outcome],
    results: Sequence[Results],
    regions: str,
    problems: dict[str, Problems],
) -> Report:
    """The report on `fddb.evaluate`; `problems` of other sources than results, such as the photos."""
    photos = {photo.name: photo for photo in folds.photos}
    used = [photos[name] for name in coverage.names]
    kinds = ROC_TITLES
    keys = {f"{kind}_{limit}": (kind, place) for kind in kinds for place, limit in enumerate(fddb.RATES_AT)}
    values = [{key: each.rates[kind][place] for key, (kind, place) in keys.items()} for each in outcomes]
    samples = [{key: each.samples[kind][:, place] for key, (kind, place) in keys.items()} for each in outcomes]
    differences = _differences([each.name for each in outcomes], values, samples)
    titles = {key: f"{kinds[kind]}, {fddb.RATES_AT[place]:,}" for key, (kind, place) in keys.items()}
    whole = {**_problems_of(results), **problems}
    return Report(
        headline=headline("FDDB", "ROC", coverage, outcomes[0].faces, list(whole.values())),
        is_complete=coverage.is_complete,
        tables=(*_rate_tables(coverage, outcomes), *_difference_table(differences, titles, outcomes[0].name)),
        plots=tuple(_roc_plot(kind, title, outcomes) for kind, title in kinds.items()),
        galleries=_all_galleries(_fddb_galleries, used, outcomes, results),
        notes=tuple(_fddb_notes(folds, outcomes, results, regions)),
        problems=whole,
        summary={
            "benchmark": "fddb",
            **_fddb_figures(outcomes[0]),
            "regions": regions,
            "photos": {"used": len(used), "of": coverage.total},
            "faces": outcomes[0].faces,
            "detectors": [
                {"name": each.name, **_fddb_figures(each), "photos_with_results": coverage.counts[index],
                 "made": results[index].about, "intervals": {kind: _by_limit(each.intervals[kind]) for kind in kinds},
                 **_named(differences, each.name)}
                for index, each in enumerate(outcomes)
            ],
        },
        curves={
            each.name: {"false_positives": each.false_positives, "thresholds": each.thresholds,
                        "discrete": each.discrete, "continuous": each.continuous}
            for each in outcomes
        },
    )  # fmt: skip


def _rate_tables(coverage: Coverage, outcomes: Sequence[fddb.Outcome]) -> Iterator[Table]:
    for kind, title in ROC_TITLES.items():
        rows = [
            (each.name, *map(number, each.rates[kind], each.intervals[kind]), _count(coverage, index))
            for index, each in enumerate(outcomes)
        ]
        head = ("detector", *(f"{limit:,}" for limit in fddb.RATES_AT), "photos with results")
        yield Table(f"{title} true positive rate at so many false positives", head, tuple(rows))


def how(results: Sequence[Results]) -> Iterator[str]:
    """For each detector, a sentence on how its results were made."""
    for each in results:
        said = [f"{key} {_plain(value)}" for key, value in each.about.items() if key not in ("model", "work", "max_faces")]
        if said:
            yield f"{each.name}: {each.about.get('model', 'read')}, {', '.join(said)}"


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _title(name: str) -> str:
    return TITLES.get(name) or f"{name.removeprefix('height_')} px and higher"


def _count(coverage: Coverage, index: int) -> str:
    return f"{coverage.counts[index]:,}"


def _problems_of(results: Sequence[Results]) -> dict[str, Problems]:
    return {each.name: each.problems for each in results}


# ---- differences between detectors

Differences = dict[str, dict[str, tuple[float | None, tuple[float, float] | None]]]


def _differences(
    names: Sequence[str], values: Sequence[dict[str, float | None]], samples: Sequence[dict[str, np.ndarray]]
) -> Differences:
    """Of each detector but the first: its figures less the first one's, with intervals over the same resamples."""
    differences: Differences = {}
    for name, own, drawn in zip(names[1:], values[1:], samples[1:]):
        differences[name] = {}
        for key, value in own.items():
            base = values[0][key]
            gap = None if value is None or base is None else value - base
            differences[name][key] = gap, interval(drawn[key] - samples[0][key])
    return differences


def _difference_table(differences: Differences, titles: dict[str, str], first: str) -> list[Table]:
    rows = [(name, *(number(*gaps[key], sign=True) for key in titles)) for name, gaps in differences.items()]
    return [Table(f"Difference to {first}, on the same photos", ("detector", *titles.values()), tuple(rows))] if rows else []


def _named(differences: Differences, name: str) -> dict[str, Any]:
    if name not in differences:
        return {}
    return {"difference_to_first": {key: {"value": v, "interval": i} for key, (v, i) in differences[name].items()}}


# ---- pictures


def _all_galleries(
    make: Callable[..., list[Gallery]], used: Sequence[Any], outcomes: Sequence[Any], results: Sequence[Results]
) -> tuple[Gallery, ...]:
    """The galleries of all detectors; `make` is given the photos, an outcome, its results, and how its files are called."""
    stems = file_stems(each.name for each in outcomes)
    return tuple(gallery for each, made in zip(outcomes, results) for gallery in make(used, each, made, stems[each.name]))


# ---- WIDER FACE


def _precision_plot(name: str, outcomes: Sequence[wider.Outcome]) -> Plot:
    lines = []
    for each in outcomes:
        one = each.sets[name]
        shown = one.recall > 0  # before, precision means nothing
        lines.append(Line(f"{each.name} ({number(one.ap)})", one.recall[shown], one.precision[shown]))
    title = f"{_title(name)}: precision over recall"
    return Plot(f"precision_recall_{name}", title, "recall", "precision", tuple(lines), (0, 1))


def _wider_notes(truth: Truth, used: Sequence[TruthPhoto], results: Sequence[Results]) -> Iterator[str]:
    yield f"Annotated faces: {truth.source}. Sets: {', '.join(map(_title, truth.sets))}; all other faces are ignored."
    empty = {photo.name for photo in used if not len(photo.boxes)}
    if empty:
        found = sum(len(each.photos[name]) for each in results for name in empty if name in each.photos)
        whole = f"Photos without any annotated face ({len(empty):,}), with what was found there ({found:,})"
        yield f"{whole}, do not count, as published."
    yield from how(results)


def _wider_galleries(used: Sequence[TruthPhoto], outcome: wider.Outcome, results: Results, stem: str) -> list[Gallery]:
    """The largest faces of the last, most inclusive set that were missed, and the surest proposals that found nothing."""
    missed: list[tuple[float, Example]] = []
    wrong: list[tuple[float, Example]] = []
    for photo, matched in zip(used, outcome.matches):
        counts = photo.counts[-1]
        found = results.photos.get(photo.name, _NOTHING)
        boxes, scores = found.boxes[matched.order], found.scores[matched.order]
        for index in np.flatnonzero(counts & ~np.isin(np.arange(len(counts)), matched.faces)):
            height = float(photo.boxes[index, 3] - photo.boxes[index, 1])
            missed.append((height, Example(photo.name, photo.boxes[index], boxes, f"{height:.0f} px high")))
        proposals, first = wider.finds(matched, counts) if len(counts) else (np.zeros(len(boxes), bool),) * 2
        for index in np.flatnonzero(proposals & ~first):
            caption = _wrong_caption(scores[index], matched.overlaps[index], matched.faces[index] >= 0)
            wrong.append((float(scores[index]), Example(photo.name, boxes[index], photo.boxes, caption)))
    return _galleries(outcome.name, stem, missed, wrong)


def _wrong_caption(score: float, overlap: float, again: bool) -> str:
    return f"score {score:.3f}, {'face found before' if again else f'overlap {overlap:.2f}'}"


def _galleries(name: str, stem: str, missed: list[tuple[float, Example]], wrong: list[tuple[float, Example]]) -> list[Gallery]:
    kinds = (("missed", "largest faces missed", missed), ("false", "surest false positives", wrong))
    galleries = []
    for kind, title, examples in kinds:
        best = sorted(examples, key=lambda pair: -pair[0])[:EXAMPLES]
        whole = f"{name}: {title} ({len(best)} of {len(examples):,})"
        galleries.append(Gallery(f"{kind}_{stem}", whole, tuple(example for _, example in best)))
    return galleries


# ---- FDDB


def _by_limit(values: Sequence[Any]) -> dict[str, Any]:
    return {str(limit): value for limit, value in zip(fddb.RATES_AT, values)}


def _fddb_figures(outcome: fddb.Outcome) -> dict[str, Any]:
    most = float(outcome.false_positives.max()) if len(outcome.false_positives) else 0.0
    return {**{kind: _by_limit(rates) for kind, rates in outcome.rates.items()}, "most_false_positives": most}


def _roc_plot(kind: str, title: str, outcomes: Sequence[fddb.Outcome]) -> Plot:
    lines = []
    for each in outcomes:
        rates = np.concatenate([[0.0], getattr(each, kind)])
        lines.append(Line(each.name, np.concatenate([[0.0], each.false_positives]), rates))
    return Plot(f"roc_{kind}", f"{title} ROC", "false positives", "true positive rate", tuple(lines), (0, ROC_AXIS))


def _fddb_notes(folds: fddb.Folds, outcomes: Sequence[fddb.Outcome], results: Sequence[Results], regions: str) -> Iterator[str]:
    yield f"Annotated faces: {folds.source}, as {'ellipses' if regions == 'ellipse' else 'the boxes around the ellipses'}."
    for each in outcomes:
        most = each.false_positives.max(initial=0)
        if most < fddb.RATES_AT[-1]:
            yield f"{each.name} makes {most:,.0f} false positives at most; its rates beyond are those there."
    yield from how(results)


def _fddb_galleries(used: Sequence[fddb.FoldPhoto], outcome: fddb.Outcome, results: Results, stem: str) -> list[Gallery]:
    missed: list[tuple[float, Example]] = []
    wrong: list[tuple[float, Example]] = []
    for photo, steps in zip(used, outcome.steps):
        faces = ellipse_boxes(photo.ellipses)
        found = results.photos.get(photo.name, _NOTHING)
        boxes, scores = found.boxes, found.scores
        rows = np.flatnonzero(steps.pairs >= 0)
        right = rows[steps.overlaps[rows, steps.pairs[rows]] > fddb.OVERLAP]
        for index in np.setdiff1d(np.arange(len(faces)), right):
            height = float(faces[index, 3] - faces[index, 1])
            missed.append((height, Example(photo.name, faces[index], boxes, f"{height:.0f} px high")))
        for index in np.setdiff1d(np.arange(len(boxes)), steps.pairs[right]):
            overlap = float(steps.overlaps[:, index].max(initial=0))
            caption = _wrong_caption(scores[index], overlap, overlap > fddb.OVERLAP)
            wrong.append((float(scores[index]), Example(photo.name, boxes[index], faces, caption)))
    return _galleries(outcome.name, stem, missed, wrong)
