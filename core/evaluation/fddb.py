"""FDDB's protocol: ROC curves over the photos of ten folds (Jain and Learned-Miller, 2010, section 6), as its program has them.

1. Each score that occurs in a photo is a threshold there. The detections of at least that score are matched one to one with
   the annotated faces, so that the sum of overlaps is largest. Overlap is the IoU of pixels, see `regions`; pairs without
   shared pixels are no match.
2. The continuous score of a threshold is the sum of the matches' overlaps. The discrete score is the number of matches with an
   overlap above 0.5. False positives, for both scores, are the detections that are not in such a match.
3. Each score that occurs anywhere is a threshold for all photos of all folds: the three numbers are summed over the photos.
   The true positive rate is the score divided by the number of annotated faces.

The rate at N false positives is the highest rate of all thresholds with at most N.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Literal, Sequence

import numpy as np

from mtcnn_gluon.errors import DataError, shown
from mtcnn_gluon.evaluation import regions as pixel_regions
from mtcnn_gluon.evaluation.bootstrap import Figures, resample
from mtcnn_gluon.evaluation.coverage import AnnotatedSet, Coverage, Missing, cover
from mtcnn_gluon.evaluation.regions import Region, Size
from mtcnn_gluon.evaluation.result_files import fddb_photos
from mtcnn_gluon.evaluation.results import Detections, Results, ellipse_boxes
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.io.files import printable, read_text
from mtcnn_gluon.options import Meaning, checked

Regions = Literal["ellipse", "box"]

OVERLAP = 0.5
RATES_AT = (50, 100, 200, 500, 1000)
KINDS = ("discrete", "continuous")
FOLDS, PUBLISHED_PHOTOS = 10, 2845


@dataclass(frozen=True, eq=False)
class FoldPhoto:
    """One annotated photo: its name without ending, and ellipses (N, 5) as in `Detections`."""

    name: str
    ellipses: np.ndarray


Folds = AnnotatedSet[FoldPhoto]


@dataclass(frozen=True, eq=False)
class PhotoSteps:
    """The matching of one photo at each of its K thresholds."""

    scores: np.ndarray  # (K,) the thresholds, highest first
    discrete: np.ndarray  # (K,) discrete scores
    continuous: np.ndarray  # (K,) continuous scores
    found: np.ndarray  # (K,) number of detections of at least that score
    pairs: np.ndarray  # (N,) index of the detection that matches each annotated face at the lowest threshold, or -1
    overlaps: np.ndarray  # (N, M) overlaps of annotated faces and detections, 0..1


@dataclass(frozen=True, eq=False)
class FddbFigures(Figures):
    """True positive rates at each of `RATES_AT` false positives, such as `discrete_50`; None if there is no face."""

    thresholds: np.ndarray  # (K,) scores that occur, highest first
    false_positives: np.ndarray  # (K,) numbers
    discrete: np.ndarray  # (K,) true positive rates in 0..1; NaN if there is no face
    continuous: np.ndarray  # (K,) true positive rates in 0..1; NaN if there is no face
    faces: int  # number of annotated ones
    steps: tuple[PhotoSteps, ...]  # one for each photo of the coverage


def read_folds(folder: str | Path) -> Folds:
    """Read all annotations `FDDB-fold-01-ellipseList.txt` ... of a folder.

    Lists of photos `FDDB-fold-01.txt` ... must name the same photos if they exist.

    Raises:
        DataError: if there is no file, or one is malformed; the message names the file and the line.
    """
    root = Path(folder)
    lists = sorted(root.glob("FDDB-fold-*-ellipseList.txt"))
    if not lists:
        raise DataError(f"{root} holds no FDDB-fold-NN-ellipseList.txt, as FDDB's annotations are called")
    photos: dict[str, FoldPhoto] = {}
    for path in lists:
        fold = _read_fold(path)
        if repeated := [name for name in fold if name in photos]:
            raise DataError(f"{path}: expected each photo in one fold, got {repeated[0]} again")
        _check_list(path.with_name(path.name.replace("-ellipseList", "")), path, set(fold))
        photos |= fold
    remarks = []
    if len(lists) != FOLDS:
        remarks.append(f"{len(lists)} of {FOLDS} folds")
    elif len(photos) != PUBLISHED_PHOTOS:
        remarks.append(f"the folds hold {len(photos):,} photos and the published ones {PUBLISHED_PHOTOS:,}")
    return Folds(tuple(photos.values()), len(photos), tuple(remarks), printable(root))


def _read_fold(path: Path) -> dict[str, FoldPhoto]:
    photos: dict[str, FoldPhoto] = {}
    for name, number, lines in fddb_photos(path, read_text(path)):
        name = printable(name)
        if name in photos:
            raise DataError(f"{path}:{number}: expected each photo once, got {name} again")
        photos[name] = FoldPhoto(name, np.array([_ellipse(path, *line) for line in lines], np.float64).reshape(-1, 5))
    return photos


def _ellipse(path: Path, number: int, line: str) -> list[float]:
    try:
        values = [float(word) for word in line.split()]
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
) -> tuple[Coverage, list[FddbFigures]]:
    """Measure detectors, all on the same photos.

    Args:
        folds: the annotated faces.
        results: what each detector found.
        regions: `ellipse`: annotated faces are ellipses, as published, and detections what their files hold, boxes or
            ellipses; `box`: both are the boxes around ellipses.
        sizes: returns width and height of a photo, if known; used if no result holds them.
        missing: see `coverage.cover`.
        resamples: number of resamples of the photos for confidence intervals.

    Returns:
        the evaluated photos, and the figures of each detector.

    Raises:
        ConfigError: if `regions` or `missing` has another value, or SciPy is not installed.
        DataError: if no photo can be evaluated.
    """
    checked("regions", regions, Regions, Meaning(""))
    need("scipy.optimize", "FDDB's matching")
    coverage = cover(folds.names, results, missing, folds.remarks, folds.total)
    photos = folds.covered(coverage)
    known = [_size(photo.name, results) or sizes(photo.name) for photo in photos]
    weights = resample(len(photos), resamples)
    faces = np.array([len(photo.ellipses) for photo in photos], np.float64)
    steps = [[_steps(*each, one, regions) for each in zip(photos, known)] for one in results]
    return coverage, [roc(one.name, each, faces, weights) for one, each in zip(results, steps)]


def _size(name: str, results: Sequence[Results]) -> Size | None:
    return next((each.photos[name].size for each in results if name in each.photos and each.photos[name].size), None)


def _steps(photo: FoldPhoto, size: Size | None, results: Results, regions: Regions) -> PhotoSteps:
    found = results.photos.get(photo.name, Detections.NONE)
    faces = draw(ellipse_boxes(photo.ellipses), photo.ellipses if regions == "ellipse" else None, size)
    detections = draw(found.boxes, found.ellipses if regions == "ellipse" else None, size)
    overlaps = np.array([[pixel_regions.overlap(a, b) for b in detections] for a in faces], np.float64)
    return photo_steps(overlaps.reshape(len(faces), len(detections)), found.scores)


def draw(boxes: np.ndarray, ellipses: np.ndarray | None, size: Size | None) -> list[Region]:
    """The regions of ellipses (N, 5), or of boxes (N, 4) if `ellipses` is None."""
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
        if touches[order[start:stop]].any():  # otherwise the matching does not change
            pairs = match(overlaps, order[:stop][touches[order[:stop]]])
        values = overlaps[pairs >= 0, pairs[pairs >= 0]]
        discrete[step], continuous[step] = (values > OVERLAP).sum(), values.sum()
        start = stop
    return PhotoSteps(-levels, discrete, continuous, found, pairs, overlaps)


def match(overlaps: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The one-to-one matching with the largest sum of overlaps (N, M), using only the detections `columns` (K,).

    Returns:
        (N,) index of the detection that matches each annotated face, or -1.
    """
    rows, chosen = need("scipy.optimize", "FDDB's matching").linear_sum_assignment(overlaps[:, columns], maximize=True)
    pairs = np.full(len(overlaps), -1)
    pairs[rows] = columns[chosen]
    pairs[rows[overlaps[rows, pairs[rows]] <= 0]] = -1
    return pairs


def roc(name: str, steps: Sequence[PhotoSteps], faces: np.ndarray, weights: np.ndarray) -> FddbFigures:
    """Step 3 for a detector, from the photos' numbers of faces (P,) and their weights in each resample (B, P)."""
    scores = np.concatenate([np.zeros(0), *(each.scores for each in steps)])  # (E,) of all steps of all photos
    order = np.argsort(-scores, kind="stable")
    photo = np.repeat(np.arange(len(steps)), [len(each.scores) for each in steps])[order]
    states = [np.stack([each.discrete, each.continuous, each.found - each.discrete], 1) for each in steps]
    changes = np.concatenate([np.zeros((0, 3)), *(np.diff(state, axis=0, prepend=np.zeros((1, 3))) for state in states)])[order]
    levels, counts = np.unique(-scores, return_counts=True)
    ends = np.cumsum(counts) - 1  # the last step of each score

    def sums(weight: np.ndarray) -> np.ndarray:
        """Discrete score, continuous score and false positives (K, 3) at each threshold, for weights (P,) of the photos."""
        return np.cumsum(changes * weight[photo, None], axis=0)[ends]

    whole, total = sums(np.ones(len(steps))), faces.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        discrete, continuous = whole[:, 0] / total, whole[:, 1] / total
    keys = [f"{kind}_{limit}" for kind in KINDS for limit in RATES_AT]
    rates = rates_at(whole, total).ravel()
    samples = np.array([rates_at(sums(each), each @ faces) for each in weights]).reshape(len(weights), len(keys))
    return FddbFigures(
        name=name,
        values={key: float(rate) if total else None for key, rate in zip(keys, rates)},
        samples=dict(zip(keys, samples.T)),
        thresholds=-levels,
        false_positives=whole[:, 2],
        discrete=discrete,
        continuous=continuous,
        faces=int(total),
        steps=tuple(steps),
    )


def rates_at(sums: np.ndarray, faces: float) -> np.ndarray:
    """Discrete and continuous true positive rates (2, len(RATES_AT)) from `roc`'s `sums` (K, 3); NaN without faces."""
    best = [sums[sums[:, 2] <= limit + 1e-6, :2].max(0, initial=0) for limit in RATES_AT]  # 1e-6: rounding of sums
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.transpose(best) / faces
