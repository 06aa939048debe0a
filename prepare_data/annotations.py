"""Faces that people or programs marked in photos, and what looked wrong with them."""

import posixpath
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple, Sequence, TypeVar

import numpy as np

from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.io.files import printable

BAD_BOX = "boxes without an area or not finite, to be ignored"
BAD_LANDMARKS = "landmarks not finite, taken as unknown"
OUTSIDE = "landmarks far outside their box, taken as unknown"
UNLISTED = "landmarks of a photo that is not in the list, left out"
T = TypeVar("T")
TOLERANCE = 0.5  # how far outside their box landmarks may be, in its sides


class Place(NamedTuple):
    """Where something was read: the file and the number of the line, from 1."""

    file: object
    line: int


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo and the faces marked in it, in the pixel convention of `boxes`.

    Attributes:
        path: of the photo, with forward slashes, relative to the folder of all photos.
        boxes: (N, 4) float32 x1, y1, x2, y2 in pixels, x2 and y2 exclusive; they may reach beyond the photo.
        ignore: (N,) bool, faces that are marked but should be neither learned nor counted as background: too blurred or
            hidden for the annotators, or with a bad box.
        landmarks: (N, 5, 2) float32 x, y in pixels, in the order of `config.LANDMARK_NAMES`; NaN where unknown.
        scores: (N,) float32, how sure their finder was of the landmarks, 0..1; NaN where unknown.

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
    """What looked wrong without making the annotations useless: for each kind, lines `file:line: what came`."""

    found: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, place: Place, text: str) -> None:
        """Note one problem."""
        self.found[kind].append(printable(f"{place.file}:{place.line}: {text}"))

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each kind."""
        return {kind: len(lines) for kind, lines in self.found.items()}

    def __len__(self) -> int:
        return sum(self.counts.values())

    def summary(self, examples: int = 3) -> str:
        """A line a kind with its count, each followed by its first `examples`; empty if there is no problem."""
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


class AnnotationBuilder:
    """Collects faces line by line, and checks them all at once in the end."""

    def __init__(self) -> None:
        self._photos: dict[str, list[int]] = {}  # rows of each photo's faces
        self._boxes: list[Sequence[float]] = []
        self._ignore: list[bool] = []
        self._places: list[Place] = []
        self._landmarks: dict[int, tuple[Sequence[float], float, Place]] = {}  # by row
        self.problems = Problems()

    def __contains__(self, path: str) -> bool:
        return path in self._photos

    def add_photo(self, path: str) -> None:
        """Note a photo, which may turn out to have no face."""
        self._photos.setdefault(path, [])

    def add_face(self, path: str, box: Sequence[float], ignore: bool, place: Place) -> int:
        """Note a face with box x1, y1, x2, y2, and return its index in its photo."""
        rows = self._photos.setdefault(path, [])
        rows.append(len(self._boxes))
        self._boxes.append(box)
        self._ignore.append(ignore)
        self._places.append(place)
        return len(rows) - 1

    def count(self, path: str) -> int:
        """Number of faces of a photo so far."""
        return len(self._photos[path])

    def has_landmarks(self, path: str, face: int) -> bool:
        """Whether landmarks of a photo's face were noted."""
        return self._photos[path][face] in self._landmarks

    def add_landmarks(self, path: str, face: int, points: Sequence[float], score: float, place: Place) -> None:
        """Note the ten numbers x, y, x, y ... of a face that was added before."""
        self._landmarks[self._photos[path][face]] = points, score, place

    def finish(self) -> Annotations:
        """All photos in the order in which they were noted. Bad boxes are to be ignored, bad landmarks become NaN.

        Raises:
            DataError: if one photo has two names, each with some of its faces: what is cut beside them would be wrong.
        """
        self._check_names()
        with np.errstate(over="ignore", invalid="ignore"):  # numbers that are too large become infinite
            boxes = np.array(self._boxes, np.float64).astype(np.float32).reshape(-1, 4)
            is_bad = self._mend_boxes(boxes)
            landmarks, scores = self._checked_landmarks(boxes, is_bad)
        ignore = np.array(self._ignore, bool) | is_bad
        photos = [
            Photo(path, boxes[rows], ignore[rows], landmarks[rows], scores[rows])
            for path, rows in ((path, np.array(rows, np.int64)) for path, rows in self._photos.items())
        ]
        return Annotations(photos, self.problems)

    def _check_names(self) -> None:
        plain: dict[str, str] = {}
        for path in self._photos:
            other = plain.setdefault(posixpath.normpath(path), path)
            if other != path:
                raise DataError(printable(f"{other} and {path} are the same photo, and would count twice: give it one name"))

    def _mend_boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Which boxes (F, 4) are bad (F,); those with a number that is not finite become 0, 0, 0, 0."""
        is_finite = np.isfinite(boxes).all(1)
        is_bad = ~is_finite | (boxes[:, 2:] <= boxes[:, :2]).any(1)
        for row in np.flatnonzero(is_bad):
            self.problems.add(BAD_BOX, self._places[row], f"x1, y1, x2, y2 = {_listed(self._boxes[row])}")
        boxes[~is_finite] = 0
        return is_bad

    def _checked_landmarks(self, boxes: np.ndarray, is_bad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks (F, 5, 2) and scores (F,) for boxes (F, 4), NaN where there are none or they are wrong."""
        landmarks = np.full((len(boxes), 5, 2), np.nan, np.float32)
        scores = np.full(len(boxes), np.nan, np.float32)
        rows = np.array(list(self._landmarks), np.int64)  # (L,)
        points = np.array([p for p, _, _ in self._landmarks.values()], np.float64).astype(np.float32).reshape(-1, 5, 2)
        sides = (boxes[rows, 2:] - boxes[rows, :2])[:, None]  # (L, 1, 2)
        beyond = np.maximum(boxes[rows, None, :2] - points, points - boxes[rows, None, 2:])  # (L, 5, 2)
        is_finite = np.isfinite(points).all((1, 2))
        is_outside = is_finite & ~is_bad[rows] & (beyond > TOLERANCE * sides).any((1, 2))
        for kind, is_wrong in ((BAD_LANDMARKS, ~is_finite), (OUTSIDE, is_outside)):
            for row in rows[is_wrong]:
                numbers, _, place = self._landmarks[row]
                self.problems.add(kind, place, f"{_listed(numbers)} in the box {_listed(self._boxes[row])}")
        is_right = is_finite & ~is_outside
        landmarks[rows[is_right]] = points[is_right]
        scores[rows[is_right]] = np.array([score for _, score, _ in self._landmarks.values()], np.float32)[is_right]
        return landmarks, scores


def _listed(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:g}" for number in numbers)


def spread(items: Sequence[T], limit: int | None) -> tuple[T, ...]:
    """At most `limit` of the items, evenly spread and in their order; all if it is None.

    Raises:
        ConfigError: if `limit` is not positive.
    """
    if limit is None or limit >= len(items):
        return tuple(items)
    if limit < 1:
        raise ConfigError(f"limit must be 1 or more, not {limit}")
    return tuple(items[index * len(items) // limit] for index in range(limit))
