"""The results of detectors on a set of photos, and the problems with them.

A photo's name is its path below the folder of all photos. A result file may name it by a longer path, and with another image
ending or none: `runs/a/0--Parade/x.jpg` means the photo `0--Parade/x`.

Unusable results are left out, and listed in `Results.problems`.
"""

import math
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Callable, ClassVar, Iterable, Sequence

import numpy as np

from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.errors import shown
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.io.images import is_image_path
from mtcnn_gluon.prepare_data.annotations import Place, Problems

PathLike = str | os.PathLike

DIGITS = 9  # significant digits in result files, enough to restore any float32

MISSING = "photos without results"
UNKNOWN = "results for photos that are not in the set, left out"
REPEATED = "results for a photo that has some already, left out"
UNREAD = "photos that the detector could not read"
MALFORMED = "malformed lines, left out"
CUT_OFF = "files cut off or not of this format, their photos left out"
SURPLUS = "lines beyond the number of faces that a photo announces, left out"
NOT_FINITE = "detections with a score or a box that is not finite, left out"
NEGATIVE = "detections of negative size, left out"
NO_POINTS = "detections whose landmarks are malformed, taken as unknown"


@dataclass(frozen=True, eq=False)
class Detections:
    """The faces that a detector found in one photo, in any order.

    Attributes:
        boxes: (N, 4) float64 x1, y1, x2, y2 in pixels, with x2 = x1 + width.
        scores: (N,) float64, in any range.
        landmarks: (N, 5, 2) float64 x, y in pixels in the order of `config.LANDMARK_NAMES`; NaN where unknown.
        ellipses: (N, 5) float64 major and minor radius, angle in radians, centre x, y; None if faces are boxes.
        size: width and height of the photo, if known.

    Raises:
        ValueError: if the shapes of the arrays do not match.
    """

    NONE: ClassVar["Detections"]  # no faces

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray
    ellipses: np.ndarray | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        n = len(self.scores)
        for name, shape in (("boxes", (n, 4)), ("scores", (n,)), ("landmarks", (n, 5, 2)), ("ellipses", (n, 5))):
            if name == "ellipses" and self.ellipses is None:
                continue
            array = np.asarray(getattr(self, name), np.float64)
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
            object.__setattr__(self, name, array)

    @classmethod
    def of_boxes(cls, boxes: Any, scores: Any, size: tuple[int, int] | None = None) -> "Detections":
        """Detections without landmarks: boxes (N, 4) and scores (N,)."""
        scores = np.asarray(scores, np.float64)
        return cls(np.asarray(boxes, np.float64).reshape(-1, 4), scores, np.full((len(scores), 5, 2), np.nan), None, size)

    def __len__(self) -> int:
        return len(self.scores)


Detections.NONE = Detections.of_boxes([], [])


@dataclass(frozen=True, eq=False)
class Results:
    """The results of one detector on a set of photos."""

    name: str  # of the detector in tables
    photos: dict[str, Detections] = field(default_factory=dict)  # by the photo's name; without those that have no results
    unusable: set[str] = field(default_factory=set)  # names of photos with damaged results, or unreadable photos
    problems: Problems = field(default_factory=Problems)  # with the results
    about: dict[str, Any] = field(default_factory=dict)  # how the results were made


class PhotoNames:
    """Finds the photo that a path in a result file means.

    Args:
        names: names of all photos of the set, with forward slashes, with or without an image ending.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, str | None] = {}
        for name in dict.fromkeys(names):
            self._names[name] = name
            bare = without_ending(name)
            if bare != name:
                self._names[bare] = None if bare in self._names else name  # None: two photos differ in their ending only

    def find(self, path: str) -> str | None:
        """The photo that `path` means, or None. If several fit, the one with the longest name is taken."""
        parts = printable(path).replace("\\", "/").split("/")
        tails = ("/".join(parts[start:]) for start in range(len(parts)))
        return next(filter(None, (self._names.get(tail) or self._names.get(without_ending(tail)) for tail in tails)), None)


def without_ending(name: str) -> str:
    """The name of a photo without its image ending."""
    return name[: name.rindex(".")] if is_image_path(name) else name


def ellipse_boxes(ellipses: np.ndarray) -> np.ndarray:
    """Bounding boxes (N, 4) of ellipses (N, 5): major and minor radius, angle in radians, centre x, y.

    The angle t runs from the x axis towards the y axis, which points down. With radii a and b, the half sides of the box are
    sqrt((a cos t)^2 + (b sin t)^2) and sqrt((a sin t)^2 + (b cos t)^2).
    """
    major, minor, angle = ellipses[:, :3].T
    sine, cosine = np.sin(angle), np.cos(angle)
    half = np.stack([np.hypot(major * cosine, minor * sine), np.hypot(major * sine, minor * cosine)], 1)  # (N, 2)
    return np.hstack([ellipses[:, 3:5] - half, ellipses[:, 3:5] + half])


class Collector:
    """Collects the usable results of a detector, and the problems with the others.

    Args:
        results: where they are collected.
        find: returns the photo of the set that a path means, or None.
        wanted: names of the photos whose results are collected.
    """

    def __init__(self, results: Results, find: Callable[[str], str | None], wanted: set[str]) -> None:
        self.results, self.problems = results, results.problems
        self._find, self._wanted = find, wanted

    def photo(self, path: str, place: Place) -> str | None:
        """The photo that `path` means, or None if its results are not wanted or there are some already."""
        name = self._find(path)
        if name is None:
            self.problems.add(UNKNOWN, place, path)
        elif name in self._wanted:
            if name not in self.results.photos and name not in self.results.unusable:
                return name
            self.problems.add(REPEATED, place, path)
        return None

    def give_up(self, name: str, kind: str, place: Place, text: str) -> None:
        """Mark the results of a photo as unusable."""
        self.results.unusable.add(name)
        self.problems.add(kind, place, text)

    def usable(self, rows: np.ndarray, sizes: np.ndarray, places: Sequence[Place]) -> np.ndarray:
        """Which faces, given as numbers (N, K) with sizes (N, 2), are finite and of no negative size: (N,) bool."""
        finite = np.isfinite(rows).all(1) & np.isfinite(sizes).all(1)
        with np.errstate(invalid="ignore"):
            negative = finite & (sizes < 0).any(1)
        for kind, wrong in ((NOT_FINITE, ~finite), (NEGATIVE, negative)):
            for row in np.flatnonzero(wrong):
                self.problems.add(kind, places[row], " ".join(f"{number:g}" for number in rows[row]))
        return finite & ~negative

    def add_row(self, row: dict[str, Any], place: Place) -> None:
        """Add the faces of a photo, given as a JSON object with `image` and `faces`."""
        name = self.photo(row["image"], place)
        if name is None:
            return
        if "error" in row:
            self.give_up(name, UNREAD, place, f"{row['image']}: {shown(row['error'])}")
            return
        numbers, points = [], []
        for index, face in enumerate(row["faces"]):
            what = f"face {index} of {row['image']}"
            if (found := face_numbers(face)) is None:
                self.problems.add(MALFORMED, place, f"{what}: expected a box of four numbers and a score, got {shown(face)}")
                continue
            numbers.append(found)
            landmarks = face_points(face.get("landmarks"))
            if landmarks is None:
                self.problems.add(NO_POINTS, place, f"{what}: {shown(face['landmarks'])}")
            points.append(landmarks or UNKNOWN_POINTS)
        table = np.array(numbers, np.float64).reshape(-1, 5)
        with np.errstate(invalid="ignore", over="ignore"):
            sizes = table[:, 2:4] - table[:, :2]
        kept = self.usable(table, sizes, [place] * len(table))
        size = _numbers([row.get("width"), row.get("height")], 2)
        whole = (int(size[0]), int(size[1])) if size and all(0 < v < 1e6 for v in size) else None
        landmarks = np.array(points, np.float64).reshape(-1, 5, 2)[kept]
        self.results.photos[name] = Detections(table[kept, :4], table[kept, 4], landmarks, None, whole)


UNKNOWN_POINTS = [[math.nan] * 2] * 5


def face_numbers(face: Any) -> list[float] | None:
    """Box and score of a face's JSON object; None if they are malformed."""
    if isinstance(face, dict) and isinstance(face.get("box"), list) and "score" in face:
        return _numbers([*face["box"], face["score"]], 5)
    return None


def face_points(landmarks: Any) -> list[list[float]] | None:
    """Five x, y from a face's JSON object, NaN if it has none; None if they are malformed."""
    if landmarks is None:
        return UNKNOWN_POINTS
    if isinstance(landmarks, dict) and set(landmarks) == set(LANDMARK_NAMES):
        points = [point for name in LANDMARK_NAMES if (point := _numbers(landmarks[name], 2)) and np.isfinite(point).all()]
        return points if len(points) == len(LANDMARK_NAMES) else None
    return None


def _numbers(values: Any, count: int) -> list[float] | None:
    """`values` as floats; None if they are not a list of `count` numbers."""
    with suppress(OverflowError):  # a whole number of hundreds of digits
        if isinstance(values, list) and len(values) == count and {type(value) for value in values} <= {int, float}:
            return [float(value) for value in values]
    return None


def results_of_rows(
    rows: Iterable[dict[str, Any]], names: Iterable[str], title: str, about: dict[str, Any], file: PathLike | None = None
) -> Results:
    """Results from the rows of `run.run_model`; rows of photos that are not among `names` are skipped.

    Args:
        rows: the rows of the model; those without `faces` count as no faces.
        names: names of the photos whose results are wanted.
        title: name of the detector.
        about: how the results were made.
        file: the file that holds the rows, for messages.
    """
    collector = Collector(Results(title, about=about), lambda name: name, set(names))
    for number, row in enumerate(rows, 1):
        collector.add_row({"faces": [], **row}, Place(file or title, number))
    return collector.results
