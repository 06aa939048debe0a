"""The result of a detection."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Iterable, Iterator, Mapping, Sequence

import cv2
import numpy as np

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.errors import ConfigError, DataError, LibraryError, ModelError, shown
from mtcnn_gluon.options import Meaning, checked

# The five landmarks on a 112 x 112 face for ArcFace and similar models (Deng et al., "ArcFace", 2019; InsightFace).
ARCFACE_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
ARCFACE_SIZE = 112


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces found in one image, best score first.

    Attributes:
        boxes: (N, 4) float32, continuous x1, y1, x2, y2 in pixels of the image as displayed, inside the image.
        scores: (N,) float32 in 0..1.
        landmarks: (N, 5, 2) float32 x, y in pixels: left eye, right eye, nose, left and right corner of the mouth. Left is the
            viewer's left. Landmarks are not clipped to the image. None if the model has no trained landmarks.
        ids: (N,) int64, the same number for the same face in all frames of a video, from 1; None if faces are not tracked.
        rotation: 0, 90, 180 or 270: the degrees by which the image was turned clockwise to find the faces. The coordinates are
            those of the image as displayed.

    Raises:
        ValueError: if the shapes of the arrays do not match.
    """

    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray | None
    ids: np.ndarray | None = None
    rotation: int = 0

    def __post_init__(self) -> None:
        n = len(self.scores)
        for name, shape in (("boxes", (n, 4)), ("scores", (n,)), ("landmarks", (n, 5, 2)), ("ids", (n,))):
            if name in ("landmarks", "ids") and getattr(self, name) is None:
                continue
            array = np.asarray(getattr(self, name), np.int64 if name == "ids" else np.float32)
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
            object.__setattr__(self, name, array)

    @classmethod
    def empty(cls, has_landmarks: bool = True) -> "Faces":
        """No faces: arrays of shape (0, 4), (0,) and (0, 5, 2), or no landmarks."""
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)) if has_landmarks else None)

    @classmethod
    def from_dicts(cls, faces: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> "Faces":
        """The faces that `to_dicts` or `mtcnn-gluon detect --json` wrote, in the order given.

        Args:
            faces: what `to_dicts` returns; or an object of a JSON Lines file, with these under `faces`.

        Raises:
            DataError: if a face lacks a box of four numbers, a score or landmarks by name, if some faces have landmarks and
                others do not, or if the object is of a photo that could not be read.
        """
        rows = [_face_arrays(index, face) for index, face in enumerate(_listed(faces))]
        if not rows:
            return cls.empty()
        boxes, scores, points = zip(*rows)
        without = [each is None for each in points]
        if any(without) and not all(without):
            raise DataError(f"face {without.index(True)} has no landmarks, but face {without.index(False)} has")
        return cls(np.array(boxes), np.array(scores), None if without[0] else np.array(points))

    @classmethod
    def merge(cls, results: Iterable["Faces"], overlap: float = 0.5) -> "Faces":
        """Several results for one photo as one without doubles: those of its tiles, of its rotations or of several models.

        From the best score on, every face is kept that overlaps no kept face of another result by more than `overlap`. The
        faces of one result are taken for different ones, as its own suppression decided.

        Args:
            results: in pixels of the same image. Those of a tile are moved by the tile's corner before.
            overlap: largest allowed intersection over the smaller box, in 0..1. Unlike that over the union it is high for a
                face and the part of it that a tile's edge left.

        Raises:
            ConfigError: if `overlap` is out of range, if `results` is not several `Faces`, or if some have landmarks and
                others do not.
        """
        overlap = checked("overlap", overlap, float, Meaning("", least=0, most=1))
        every = _parts(results)
        parts = [part for part in every if len(part)] or every[:1]
        if not parts:
            return cls.empty()
        points = [part.landmarks for part in parts if part.landmarks is not None]
        if 0 < len(points) < len(parts):
            raise ConfigError("some of the results have landmarks and others do not: merge those of one kind")
        boxes, scores = (np.concatenate([getattr(part, name) for part in parts]) for name in ("boxes", "scores"))
        origin = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        whole = cls(boxes, scores, np.concatenate(points) if points else None)
        return whole[_without_doubles(boxes, scores, origin, overlap)]

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Any) -> "Faces":
        """The faces selected by a slice, a mask (N,) or an array of indices; an integer gives `Faces` with one face."""
        if isinstance(index, (int, np.integer)):
            index = [range(len(self))[index]]
        landmarks, ids = (None if each is None else each[index] for each in (self.landmarks, self.ids))
        return Faces(self.boxes[index], self.scores[index], landmarks, ids, self.rotation)

    def __iter__(self) -> Iterator["Faces"]:
        return (self[i] for i in range(len(self)))

    def to_dicts(self, digits: int | None = None) -> list[dict[str, Any]]:
        """JSON-ready dictionaries of the faces: `box` [x1, y1, x2, y2], `score`, `landmarks` {"left_eye": [x, y], ...} or None.

        Tracked faces have `id` too.

        Args:
            digits: significant digits of all other numbers; None: 2 decimals for pixels and 6 for scores.
        """
        found = face_dicts(self.boxes, self.scores, self.landmarks, digits)
        return found if self.ids is None else [{"id": int(number), **face} for number, face in zip(self.ids, found)]

    def to_supervision(self) -> Any:
        """The faces as `supervision.Detections`, for its annotators, trackers and zones.

        Returns:
            Detections with `xyxy` (N, 4), `confidence` (N,), `class_id` (N,) of zeros, and in `data` `class_name` "face" (N,)
            and, if there are any, `landmarks` (N, 5, 2). All arrays are copies.

        Raises:
            LibraryError: (an ImportError) if the package `supervision` cannot be imported.
        """
        try:
            detections = import_module("supervision").Detections
        except ImportError as error:
            raise LibraryError(f"to_supervision needs supervision ({error}): run pip install supervision") from error
        data = {"class_name": np.full(len(self), "face")}
        if self.landmarks is not None:
            data["landmarks"] = self.landmarks.copy()
        classes = np.zeros(len(self), int)
        return detections(xyxy=self.boxes.copy(), confidence=self.scores.copy(), class_id=classes, data=data)

    def align(self, image: np.ndarray, size: int = ARCFACE_SIZE) -> np.ndarray:
        """Every face, rotated, scaled and moved onto the ArcFace five-point template that recognition models expect.

        The transform is the least-squares similarity (Umeyama, 1991). Large faces are halved before sampling to avoid
        aliasing. Pixels outside the image are black.

        Args:
            image: (H, W, 3) uint8, the image with the faces.
            size: side of the output in pixels; the template is scaled from 112.

        Returns:
            (N, size, size, 3) uint8.

        Raises:
            ModelError: if there are no landmarks.
        """
        if self.landmarks is None:
            raise ModelError("alignment needs landmarks, but the model that found these faces was trained without landmarks")
        template = ARCFACE_TEMPLATE * (size / ARCFACE_SIZE)
        aligned = [_warp(image, similarity(points, template), size) for points in self.landmarks]
        return np.stack(aligned) if aligned else np.zeros((0, size, size, 3), np.uint8)

    def crops(self, image: np.ndarray, margin: float = 0.0) -> list[np.ndarray]:
        """The image inside every face's box: copies (h, w, 3), not rotated or scaled, at least one pixel wide and high.

        Args:
            image: (H, W, 3), the image with the faces.
            margin: widening on each side, as a share of the box's side; the result is clipped to the image.
        """
        height, width = image.shape[:2]
        cut = []
        for x1, y1, x2, y2 in self.boxes.astype(np.float64):
            dx, dy = margin * (x2 - x1), margin * (y2 - y1)
            left, top = (int(np.clip(np.floor(v), 0, n - 1)) for v, n in ((x1 - dx, width), (y1 - dy, height)))
            right, bottom = int(np.ceil(x2 + dx)), int(np.ceil(y2 + dy))
            cut.append(image[top : max(bottom, top + 1), left : max(right, left + 1)].copy())
        return cut


def face_dicts(
    boxes: np.ndarray, scores: np.ndarray, landmarks: np.ndarray | None, digits: int | None = None
) -> list[dict[str, Any]]:
    """See `Faces.to_dicts`; the landmarks of a face are None if they contain NaN."""

    def short(value: float, decimals: int = 2) -> float:
        return round(float(value), decimals) if digits is None else float(f"{value:.{digits}g}")

    found = []
    for row, (box, score) in enumerate(zip(boxes, scores)):
        points = None if landmarks is None or np.isnan(landmarks[row]).any() else landmarks[row]
        named = None if points is None else {name: [*map(short, xy)] for name, xy in zip(LANDMARK_NAMES, points)}
        found.append({"box": [*map(short, box)], "score": short(score, 6), "landmarks": named})
    return found


def _listed(faces: Any) -> Iterable[Any]:
    """The faces of a list, or of an object of a JSON Lines file."""
    is_line = isinstance(faces, Mapping)
    if is_line and "error" in faces:
        raise DataError(f"{faces.get('image', 'the photo')} could not be read: {faces['error']}")
    found = faces.get("faces") if is_line else faces
    if not np.iterable(found) or isinstance(found, (str, bytes)):
        raise DataError(f"expected a list of faces, or an object with one, got {shown(faces)}")
    return found


def _face_arrays(index: int, face: Any) -> tuple[np.ndarray, float, np.ndarray | None]:
    """Box (4,), score and landmarks (5, 2) of a face's dictionary; the inverse of `face_dicts`."""
    try:
        box, score, named = np.array(face["box"], np.float64), float(face["score"]), face["landmarks"]
        points = None if named is None else np.array([named[name] for name in LANDMARK_NAMES], np.float64)
        numbers = np.hstack([box, score, np.zeros(10) if points is None else points.ravel()])
        if box.shape != (4,) or numbers.shape != (15,) or not np.isfinite(numbers).all():
            raise ValueError
    except (KeyError, TypeError, ValueError, IndexError):
        text = f"a box of four numbers, a score, and landmarks ({', '.join(LANDMARK_NAMES)}) or None"
        raise DataError(f"face {index}: expected {text}, got {shown(face)}") from None
    return box, score, points


def _parts(results: Any) -> list[Faces]:
    """The results to merge as a list. One `Faces` is refused, since its faces would be read as results."""
    parts = list(results) if np.iterable(results) else []
    if isinstance(results, Faces) or not np.iterable(results) or not all(isinstance(each, Faces) for each in parts):
        raise ConfigError(f"results must be several Faces in a list, not {shown(results)}")
    return parts


def _without_doubles(boxes: np.ndarray, scores: np.ndarray, origin: np.ndarray, overlap: float) -> np.ndarray:
    """Indices of boxes (N, 4), best first, that overlap no kept box of another origin (N,); see `Faces.merge`."""
    order = np.argsort(-scores, kind="stable")
    boxes, origin = boxes[order], origin[order]
    areas, is_double, kept = box_ops.area(boxes), np.zeros(len(boxes), bool), []
    for i in range(len(boxes)):
        if not is_double[i]:
            kept.append(i)
            shared = box_ops.intersection(boxes[i : i + 1], boxes)[0]
            is_double |= (shared > overlap * np.minimum(areas[i], areas)) & (origin != origin[i])
    return order[kept]


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, uniform scale and shift (2, 3) that moves points `source` (N, 2) closest to `target` (N, 2).

    This is the least-squares solution of Umeyama (1991) without reflections: in the plane, the linear fit `z -> a z + b` of
    complex numbers. If all source points coincide, they are moved to the target's centre and not scaled.
    """
    z, w = (points.astype(np.float64) @ np.array([1, 1j]) for points in (source, target))
    z0, w0 = z.mean(), w.mean()
    spread = np.sum(np.abs(z - z0) ** 2)
    is_point = spread <= 1e-12 * np.sum(np.abs(z) ** 2)  # up to rounding
    a = 1.0 + 0j if is_point else np.sum(np.conj(z - z0) * (w - w0)) / spread
    b = w0 - a * z0
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def _warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """The part of `image` that `matrix`, in continuous coordinates, maps to 0..size."""
    part, matrix = _needed_part(image, matrix, size)
    if 0 in part.shape:
        return np.zeros((size, size, 3), np.uint8)
    while np.hypot(matrix[0, 0], matrix[1, 0]) < 0.5 and min(part.shape[:2]) >= 2:
        half = cv2.resize(part, (part.shape[1] // 2, part.shape[0] // 2), interpolation=cv2.INTER_AREA)
        matrix = matrix * [part.shape[1] / half.shape[1], part.shape[0] / half.shape[0], 1]
        part = half
    centres = matrix.copy()  # OpenCV measures from pixel centres
    centres[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return cv2.warpAffine(part, centres, (size, size), flags=cv2.INTER_LINEAR)


def _needed_part(image: np.ndarray, matrix: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The rectangle of `image` that `_warp` samples, with a margin, and `matrix` for that rectangle."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
    source = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T  # (4, 2) x, y
    margin = 2 + 4 / np.hypot(matrix[0, 0], matrix[1, 0])  # surrounding pixels that halving and interpolation use
    limits = image.shape[1::-1]
    left, top = np.clip(np.floor(source.min(0) - margin), 0, limits).astype(int)
    right, bottom = np.clip(np.ceil(source.max(0) + margin), 0, limits).astype(int)
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (left, top)
    return image[top:bottom, left:right], moved
