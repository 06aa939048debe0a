"""Annotated faces of photos, and the problems with them."""

import math
import posixpath
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Iterable, Mapping, NamedTuple, Sequence, TypeVar

import numpy as np

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.io.files import printable

BAD_BOX = "boxes without an area or not finite, to be ignored"
BAD_LANDMARKS = "landmarks not finite, taken as unknown"
OUTSIDE = "landmarks far outside their box, taken as unknown"
REPEATED = "photos without a face that are listed again, read once"
UNLISTED = "landmarks of a photo that is not in the list, left out"
T = TypeVar("T")
TOLERANCE = 0.5  # how far outside their box landmarks may be, in its sides


class Place(NamedTuple):
    """A line of a file, numbered from 1."""

    file: object
    line: int


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo and its annotated faces, in the pixel convention of `boxes`.

    Attributes:
        path: relative to the folder of all photos, with forward slashes.
        boxes: (N, 4) float32 x1, y1, x2, y2 in pixels, x2 and y2 exclusive; they may reach beyond the photo.
        ignore: (N,) bool, faces that are neither learned from nor background: their annotators call them invalid, or their
            box is bad.
        landmarks: (N, 5, 2) float32 x, y in pixels, in the order of `config.LANDMARK_NAMES`; NaN where unknown.
        scores: (N,) float32, scores 0..1 of detected landmarks; NaN where unknown.

    Raises:
        ValueError: if the arrays do not fit together.
    """

    path: str
    boxes: np.ndarray
    ignore: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.boxes)
        for name, dtype, shape in (
            ("boxes", np.float32, (n, 4)), ("ignore", np.bool_, (n,)),
            ("landmarks", np.float32, (n, 5, 2)), ("scores", np.float32, (n,)),
        ):  # fmt: skip
            array = np.asarray(getattr(self, name), dtype)
            if array.shape != shape:
                raise ValueError(f"{name} of {self.path} must have shape {shape}, got {array.shape}")
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def has_landmarks(self) -> np.ndarray:
        """(N,) bool, whether a face's landmarks are known."""
        return ~np.isnan(self.landmarks).any((1, 2))


@dataclass
class Problems:
    """Problems that leave the annotations usable: for each kind, lines `file:line: what was found`."""

    found: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, place: Place, text: str) -> None:
        """Note one problem."""
        self.found[kind].append(printable(f"{place.file}:{place.line}: {text}"))

    @property
    def counts(self) -> dict[str, int]:
        """The number of problems of each kind."""
        return {kind: len(lines) for kind, lines in self.found.items()}

    def __len__(self) -> int:
        return sum(self.counts.values())

    def summary(self, examples: int = 3) -> str:
        """A line for each kind with its count, then its first `examples`. Empty if there is no problem."""
        lines = []
        for kind, texts in self.found.items():
            lines.append(f"{len(texts)} {kind}")
            lines += [f"  {text}" for text in texts[:examples]]
            lines += [f"  and {len(texts) - examples} more"] if len(texts) > examples else []
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Annotations:
    """All photos of a list, in its order, and the problems with them."""

    photos: list[Photo]
    problems: Problems


class MarkedPoints(NamedTuple):
    """Landmarks as read: ten numbers x, y, x, y ..., their score or NaN, and their place in the file."""

    numbers: Sequence[float]
    score: float
    place: Place


@dataclass
class MarkedFace:
    """A face as read: its box x1, y1, x2, y2, whether to ignore it, its place in the file, and its landmarks, if any."""

    box: Sequence[float]
    ignore: bool
    place: Place
    points: MarkedPoints | None = None


def assemble(marked: Mapping[str, Sequence[MarkedFace]], problems: Problems) -> Annotations:
    """Check all faces. Faces with a bad box are to be ignored, bad landmarks become NaN. Both are added to `problems`.

    Args:
        marked: faces by the path of their photo.
        problems: the problems found so far.

    Raises:
        DataError: if a photo has two names: the background of one would show the faces of the other.
    """
    _check_names(marked)
    faces = [face for of_photo in marked.values() for face in of_photo]
    unknown = MarkedPoints([math.nan] * 10, math.nan, Place("", 0))
    found = [face.points or unknown for face in faces]
    with np.errstate(over="ignore", invalid="ignore"):  # numbers that are too large become infinite
        boxes = np.array([face.box for face in faces], np.float64).astype(np.float32).reshape(-1, 4)
        points = np.array([each.numbers for each in found], np.float64).astype(np.float32).reshape(-1, 5, 2)
        is_finite, is_known = np.isfinite(boxes).all(1), np.isfinite(points).all((1, 2))
        is_bad = ~is_finite | (boxes[:, 2:] <= boxes[:, :2]).any(1)
        beyond = np.maximum(boxes[:, None, :2] - points, points - boxes[:, None, 2:])  # (N, 5, 2)
        is_far = (beyond > TOLERANCE * (boxes[:, None, 2:] - boxes[:, None, :2])).any((1, 2))
    is_outside = is_known & ~is_bad & is_far
    for row in sorted(np.flatnonzero(is_bad), key=lambda row: faces[row].place.line):
        problems.add(BAD_BOX, faces[row].place, f"x1, y1, x2, y2 = {_listed(faces[row].box)}")
    has_bad_points = ~is_known & np.array([each is not unknown for each in found], bool)
    for kind, is_wrong in ((BAD_LANDMARKS, has_bad_points), (OUTSIDE, is_outside)):
        for row in sorted(np.flatnonzero(is_wrong), key=lambda row: found[row].place.line):
            text = f"{_listed(found[row].numbers)} in the box {_listed(faces[row].box)}"
            problems.add(kind, found[row].place, text)
    scores = np.array([each.score for each in found], np.float32)
    points[~is_known | is_outside], scores[~is_known | is_outside] = np.nan, np.nan
    boxes[~is_finite] = 0
    arrays = boxes, is_bad | np.array([face.ignore for face in faces], bool), points, scores
    ends = np.cumsum([len(of_photo) for of_photo in marked.values()])[:-1]
    parts = zip(*(np.split(array, ends) for array in arrays)) if marked else ()
    return Annotations([Photo(path, *part) for path, part in zip(marked, parts)], problems)


def _check_names(paths: Iterable[str]) -> None:
    plain: dict[str, str] = {}
    for path in paths:
        other = plain.setdefault(posixpath.normpath(path), path)
        if other != path:
            raise DataError(printable(f"{other} and {path} are the same photo and would count twice: use one name"))


def _listed(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:g}" for number in numbers)


def spread(items: Sequence[T], limit: int | None) -> tuple[T, ...]:
    """At most `limit` (1 or more) of the items, evenly spread and in order; all if it is None."""
    limit = len(items) if limit is None else min(limit, len(items))
    return tuple(items[index * len(items) // limit] for index in range(limit))
