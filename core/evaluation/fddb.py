"""FDDB's protocol: ROC curves over the photos of ten folds (Jain and Learned-Miller, 2010, section 6), as its program does it.

1. In each photo, for each score that occurs there, the detections of at least that score are matched one to one with the
   annotated faces so that the sum of overlaps is largest. Overlap is shared pixels over pixels of either, see `regions`;
   pairs that share nothing are no match.
2. Continuous score of a threshold: the sum of the matches' overlaps. Discrete score: the number of matches whose overlap is
   more than 0.5. False positives, for both: detections that are not in such a match.
3. Over all photos of all folds together, for each score that occurs anywhere: the sums over photos of those three; the true
   positive rate is the score over the number of annotated faces.

The rate at so many false positives is the highest one of all thresholds that make no more.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Literal, Sequence, get_args

import numpy as np

from mtcnn_gluon.errors import ConfigError, DataError, shown
from mtcnn_gluon.evaluation import regions as pixel_regions
from mtcnn_gluon.evaluation.bootstrap import interval, resample
from mtcnn_gluon.evaluation.coverage import Coverage, Missing, cover
from mtcnn_gluon.evaluation.regions import Region, Size
from mtcnn_gluon.evaluation.results import Detections, Results, ellipse_boxes, fddb_photos
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.io.files import printable, read_text

Regions = Literal["ellipse", "box"]

OVERLAP = 0.5
RATES_AT = (50, 100, 200, 500, 1000)
FOLDS, PUBLISHED_PHOTOS = 10, 2845


@dataclass(frozen=True, eq=False)
class FoldPhoto:
    """One annotated photo: its name without ending, and ellipses (N, 5) as in `Detections`."""

    name: str
    ellipses: np.ndarray


@dataclass(frozen=True, eq=False)
class Folds:
    """The annotated photos to evaluate; how many there are in all; why these are not the whole published set, if they are not;
    and where they were read."""

    photos: tuple[FoldPhoto, ...]
    total: int
    remarks: tuple[str, ...]
    source: str

    @property
    def names(self) -> tuple[str, ...]:
        """Of all photos."""
        return tuple(photo.name for photo in self.photos)


@dataclass(frozen=True, eq=False)
class PhotoSteps:
    """How the matching of one photo changes as the threshold falls to each of its K scores.

    Attributes:
        scores: (K,) falling.
        discrete, continuous: (K,) scores of the matching.
        found: (K,) number of detections of at least that score.
        pairs: (N,) for each annotated face, the detection that it is matched with when all are taken, or -1.
        overlaps: (N, M) of each annotated face with each detection, 0..1.
    """

    scores: np.ndarray
    discrete: np.ndarray
    continuous: np.ndarray
    found: np.ndarray
    pairs: np.ndarray
    overlaps: np.ndarray


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a detector does.

    Attributes:
        name: of the detector.
        thresholds: (K,) scores that occur, falling.
        false_positives: (K,) at each.
        discrete, continuous: (K,) true positive rates in 0..1; NaN if there is no face.
        rates: `discrete` and `continuous` rates at each of `RATES_AT` false positives; None if there is no face.
        intervals: of `rates`, the middle 95 % over resamples of the photos, None without resamples.
        samples: of `rates`, (B, len(RATES_AT)) for each resample.
        faces: number of annotated faces.
        steps: of each photo of the coverage.
    """

    name: str
    thresholds: np.ndarray
    false_positives: np.ndarray
    discrete: np.ndarray
    continuous: np.ndarray
    rates: dict[str, list[float | None]]
    intervals: dict[str, list[tuple[float, float] | None]]
    samples: dict[str, np.ndarray]
    faces: int
    steps: tuple[PhotoSteps, ...]


def read_folds(folder: str | Path) -> Folds:
    """Read the annotations `FDDB-fold-01-ellipseList.txt` ... of a folder, as many as there are.

    Where `FDDB-fold-01.txt` ..., the lists of photos, are there too, they must name the same photos.

    Raises:
        DataError: if there are none, or one is malformed; the message names the file and the line.
    """
    root = Path(folder)
    lists = sorted(root.glob("FDDB-fold-*-ellipseList.txt"))
    if not lists:
        raise DataError(f"{root} holds no FDDB-fold-NN-ellipseList.txt, as FDDB's annotations are called")
    photos: dict[str, FoldPhoto] = {}
    for path in lists:
        fold = _read_fold(path)
        repeated = next((photo.name for photo in fold if photo.name in photos), None)
        if repeated:
            raise DataError(f"{path}: expected each photo in one fold, got {repeated} again")
        _check_list(path.with_name(path.name.replace("-ellipseList", "")), path, {photo.name for photo in fold})
        photos.update({photo.name: photo for photo in fold})
    remarks = []
    if len(lists) != FOLDS:
        remarks.append(f"{len(lists)} of {FOLDS} folds")
    elif len(photos) != PUBLISHED_PHOTOS:
        remarks.append(f"the folds hold {len(photos):,} photos and the published ones {PUBLISHED_PHOTOS:,}")
    return Folds(tuple(photos.values()), len(photos), tuple(remarks), printable(root))


def _read_fold(path: Path) -> list[FoldPhoto]:
    photos: dict[str, FoldPhoto] = {}
    for name, number, lines in fddb_photos(path, read_text(path)):
        name = printable(name)
        if name in photos:
            raise DataError(f"{path}:{number}: expected each photo once, got {name} again")
        photos[name] = FoldPhoto(name, np.array([_ellipse(path, *line) for line in lines], np.float64).reshape(-1, 5))
    return list(photos.values())


def _ellipse(path: Path, number: int, line: str) -> list[float]:
    words = line.split()
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) not in (5, 6) or not np.isfinite(values).all() or min(values[:2]) <= 0:
        expected = "major_radius minor_radius angle centre_x centre_y [1] with positive radii"
        raise DataError(f"{path}:{number}: expected {expected}, got {shown(line)}")
    return values[:5]


def _check_list(path: Path, annotations: Path, names: set[str]) -> None:
    if path.is_file():
        listed = {printable(line.strip()) for line in read_text(path).split("\n") if line.strip()}
        if listed != names:
            odd = sorted(listed ^ names)[0]
            raise DataError(f"{path} and {annotations.name} should name the same photos, but {odd} is in one of them only")


def evaluate(
    folds: Folds,
    results: Sequence[Results],
    regions: Regions = "ellipse",
    sizes: Callable[[str], Size | None] = lambda name: None,
    missing: Missing = "leave-out",
    resamples: int = 0,
) -> tuple[Coverage, list[Outcome]]:
    """Measure detectors, all on the same photos.

    Args:
        folds: the annotated faces.
        results: what each detector found.
        regions: whether annotated faces are their ellipses, as published, or the boxes around them. Detections are what
            their files say, boxes or ellipses; with `box`, the boxes around them too.
        sizes: width and height of a photo that no result tells, if known.
        missing: see `coverage.cover`.
        resamples: of the photos, for intervals; the same for all detectors.

    Returns:
        the photos that figures stand on, and an outcome for each detector.

    Raises:
        ConfigError: if `regions` is neither, or SciPy is not installed.
        DataError: if there is no photo that figures could stand on.
    """
    if regions not in get_args(Regions):
        raise ConfigError(f"regions must be one of {', '.join(get_args(Regions))}, not {shown(regions)}")
    need("scipy.optimize", "FDDB's matching")
    coverage = cover(folds.names, results, missing, folds.remarks, folds.total)
    kept = set(coverage.names)
    photos = [photo for photo in folds.photos if photo.name in kept]
    known = [_size(photo.name, results) or sizes(photo.name) for photo in photos]
    weights = resample(len(photos), resamples)
    return coverage, [_measure(photos, known, each, regions, weights) for each in results]


def _size(name: str, results: Sequence[Results]) -> Size | None:
    return next((each.photos[name].size for each in results if name in each.photos and each.photos[name].size), None)


def _measure(
    photos: Sequence[FoldPhoto], sizes: Sequence[Size | None], results: Results, regions: Regions, weights: np.ndarray
) -> Outcome:
    none = Detections.of_boxes([], [])
    steps = []
    for photo, size in zip(photos, sizes):
        found = results.photos.get(photo.name, none)
        faces = draw(ellipse_boxes(photo.ellipses), photo.ellipses if regions == "ellipse" else None, size)
        detections = draw(found.boxes, found.ellipses if regions == "ellipse" else None, size)
        overlaps = np.array([[pixel_regions.overlap(a, b) for b in detections] for a in faces], np.float64)
        steps.append(photo_steps(overlaps.reshape(len(faces), len(detections)), found.scores))
    return _outcome(results.name, steps, np.array([len(photo.ellipses) for photo in photos], np.float64), weights)


def draw(boxes: np.ndarray, ellipses: np.ndarray | None, size: Size | None) -> list[Region]:
    """The regions of ellipses (N, 5), or if there are none, of boxes (N, 4)."""
    if ellipses is not None:
        return [pixel_regions.draw_ellipse(ellipse, size) for ellipse in ellipses]
    return [pixel_regions.draw_box(box, size) for box in boxes]


def photo_steps(overlaps: np.ndarray, scores: np.ndarray) -> PhotoSteps:
    """Steps 1 and 2 for one photo: overlaps (N, M) of annotated faces and detections, scores (M,)."""
    order = np.argsort(-scores, kind="stable")
    levels, counts = np.unique(-scores, return_counts=True)
    found = np.cumsum(counts)
    touches = (overlaps > 0).any(0)  # (M,)
    discrete, continuous = np.zeros(len(levels)), np.zeros(len(levels))
    pairs = np.full(len(overlaps), -1)
    start = 0
    for step, stop in enumerate(found):
        if touches[order[start:stop]].any():  # else the matching stays
            pairs = match(overlaps, order[:stop][touches[order[:stop]]])
        values = overlaps[pairs >= 0, pairs[pairs >= 0]]
        discrete[step], continuous[step] = (values > OVERLAP).sum(), values.sum()
        start = stop
    return PhotoSteps(-levels, discrete, continuous, found, pairs, overlaps)


def match(overlaps: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The one-to-one matching with the largest sum of overlaps (N, M) of some detections, given by `columns` (K,).

    Returns:
        (N,) the detection of each annotated face, or -1.
    """
    rows, chosen = need("scipy.optimize", "FDDB's matching").linear_sum_assignment(overlaps[:, columns], maximize=True)
    pairs = np.full(len(overlaps), -1)
    pairs[rows] = columns[chosen]
    pairs[rows[overlaps[rows, pairs[rows]] <= 0]] = -1
    return pairs


@dataclass(frozen=True, eq=False)
class _Events:
    """All steps of all photos by falling score: photo (E,), changes (E, 3) of true positives by discrete and by continuous
    score and of false positives, and the places of the last one of each score."""

    photo: np.ndarray
    changes: np.ndarray
    ends: np.ndarray

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """(K, 3) at each score that occurs, every photo counted as often as its weight (P,) says."""
        return np.cumsum(self.changes * weights[self.photo, None], axis=0)[self.ends]


def _outcome(name: str, steps: Sequence[PhotoSteps], faces: np.ndarray, weights: np.ndarray) -> Outcome:
    """Step 3, for numbers of faces (P,) and resamples with weights (B, P)."""
    events, thresholds = _events(steps)
    sums = events.sums(np.ones(len(steps)))
    total = faces.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        curves = {"discrete": sums[:, 0] / total, "continuous": sums[:, 1] / total}
    rates = rates_at(sums, total)
    samples = np.array([rates_at(events.sums(each), each @ faces) for each in weights]).reshape(len(weights), 2, len(RATES_AT))
    by_kind = {kind: samples[:, row] for row, kind in enumerate(curves)}
    return Outcome(
        name=name,
        thresholds=thresholds,
        false_positives=sums[:, 2],
        **curves,
        rates={kind: [float(v) if total else None for v in row] for kind, row in zip(curves, rates)},
        intervals={kind: [interval(column) for column in values.T] for kind, values in by_kind.items()},
        samples=by_kind,
        faces=int(total),
        steps=tuple(steps),
    )


def _events(steps: Sequence[PhotoSteps]) -> tuple[_Events, np.ndarray]:
    """The events of all photos, and the scores (K,) that occur, falling."""
    scores = np.concatenate([np.zeros(0), *(each.scores for each in steps)])
    photo = np.repeat(np.arange(len(steps)), [len(each.scores) for each in steps])
    states = [np.stack([each.discrete, each.continuous, each.found - each.discrete], 1) for each in steps]
    changes = np.concatenate([np.zeros((0, 3)), *(np.diff(state, axis=0, prepend=np.zeros((1, 3))) for state in states)])
    order = np.argsort(-scores, kind="stable")
    levels, counts = np.unique(-scores, return_counts=True)
    return _Events(photo[order], changes[order], np.cumsum(counts) - 1), -levels


def rates_at(sums: np.ndarray, faces: float) -> np.ndarray:
    """Discrete and continuous true positive rates (2, len(RATES_AT)) for `sums` (K, 3); NaN without faces, 0 without any."""
    rates = np.zeros((2, len(RATES_AT)))
    for column, limit in enumerate(RATES_AT):
        reached = sums[sums[:, 2] <= limit + 1e-6, :2]  # sums of whole numbers, up to rounding
        rates[:, column] = reached.max(0) if len(reached) else 0
    with np.errstate(invalid="ignore", divide="ignore"):
        return rates / faces
