"""Training samples as arrays, and their label vectors in a record, see `Column`.

Positive and part samples must have box offsets, landmark samples must have landmarks, and negative samples have neither.
"""

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Sequence

import numpy as np

from mtcnn_gluon.errors import ConfigError, DataError, shown

LABEL_LENGTH = 18
NO_FACE = -1  # the face index of a sample that belongs to no face
MIRRORED = [1, 0, 2, 4, 3]  # landmark i of a mirrored face is landmark MIRRORED[i] of the face
_ROUNDING = 1e-5  # by how much a computed IoU may exceed 1


class Kind(IntEnum):
    """What a sample teaches."""

    POSITIVE = 1
    NEGATIVE = 0
    PART = -1
    LANDMARK = -2


KIND_NAMES = tuple(kind.name.lower() for kind in Kind)
RATIO_ORDER = ("negative", "positive", "part", "landmark")


class Column:
    """The columns of label vectors (N, 18) float32."""

    KIND = 0  # a value of `Kind`
    OFFSETS = slice(1, 5)  # box offsets of the nearest face, see `boxes.encode`
    LANDMARKS = slice(5, 15)  # x, y of each landmark in 0..1 of the crop, in the order of `config.LANDMARK_NAMES`
    IOU = 15  # intersection over union of the crop with the nearest face, 0..1
    HAS_BOX = 16  # 1 if the offsets are known, else 0; unknown ones hold any finite number
    HAS_LANDMARKS = 17  # 1 if the landmarks are known, else 0
    TEACHER = 18  # the teacher's probability of a face, 0..1; only in training with a teacher


_LABELLED: dict[str, Any] = {
    "kinds": Column.KIND, "offsets": Column.OFFSETS, "landmarks": Column.LANDMARKS, "iou": Column.IOU,
    "has_box": Column.HAS_BOX, "has_landmarks": Column.HAS_LANDMARKS,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Samples:
    """Training samples.

    Attributes:
        crops: (N, S, S, 3) uint8 RGB.
        kinds: (N,) int8, values of `Kind`.
        offsets: (N, 4) float32, finite.
        landmarks: (N, 5, 2) float32, finite.
        iou: (N,) float32 in 0..1.
        has_box, has_landmarks: (N,) bool, whether `offsets` and `landmarks` are known.
        photos: (N,) int64, index of the source photo, at least 0.
        faces: (N,) int64, index of the face in that photo, or `NO_FACE`.

    Raises:
        ValueError: if the arrays do not fit together, or crops are not uint8.
        DataError: if a value is out of its range; the message names the sample.
    """

    crops: np.ndarray
    kinds: np.ndarray
    offsets: np.ndarray
    landmarks: np.ndarray
    iou: np.ndarray
    has_box: np.ndarray
    has_landmarks: np.ndarray
    photos: np.ndarray
    faces: np.ndarray

    def __post_init__(self) -> None:
        crops = np.ascontiguousarray(self.crops)
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (crops.shape[1], crops.shape[1], 3):
            raise ValueError(f"crops must be (N, S, S, 3) uint8, got {crops.shape} {crops.dtype}")
        object.__setattr__(self, "crops", crops)
        n = len(crops)
        for name, dtype, shape in (
            ("kinds", np.int8, (n,)), ("offsets", np.float32, (n, 4)), ("landmarks", np.float32, (n, 5, 2)),
            ("iou", np.float32, (n,)), ("has_box", np.bool_, (n,)), ("has_landmarks", np.bool_, (n,)),
            ("photos", np.int64, (n,)), ("faces", np.int64, (n,)),
        ):  # fmt: skip
            array = np.asarray(getattr(self, name))
            if array.shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
            object.__setattr__(self, name, _exactly(name, array, np.dtype(dtype)))
        self._check_values()

    def _check_values(self) -> None:
        kinds = self.kinds
        _refuse("kinds", kinds, ~np.isin(kinds, list(Kind)), "one of 1, 0, -1, -2")
        _refuse("offsets", self.offsets, ~np.isfinite(self.offsets).all(1), "finite")
        _refuse("landmarks", self.landmarks, ~np.isfinite(self.landmarks).all((1, 2)), "finite")
        _refuse("iou", self.iou, ~((self.iou >= 0) & (self.iou <= 1 + _ROUNDING)), "in 0..1")
        needs_box = (kinds == Kind.POSITIVE) | (kinds == Kind.PART)
        _refuse("has_box", self.has_box, needs_box & ~self.has_box, "true of positive and part samples")
        _refuse("has_landmarks", self.has_landmarks, (kinds == Kind.LANDMARK) & ~self.has_landmarks, "true of landmark samples")
        for name, known in (("has_box", self.has_box), ("has_landmarks", self.has_landmarks)):
            _refuse(name, known, (kinds == Kind.NEGATIVE) & known, "false of negative samples")
        _refuse("photos", self.photos, self.photos < 0, "at least 0")
        _refuse("faces", self.faces, self.faces < NO_FACE, f"at least 0, or {NO_FACE} for none")

    @property
    def size(self) -> int:
        """Side S of the crops in pixels."""
        return self.crops.shape[1]

    @classmethod
    def empty(cls, size: int) -> "Samples":
        """No samples, with crops of shape (0, size, size, 3)."""
        return cls(np.zeros((0, size, size, 3), np.uint8), photos=np.zeros(0), faces=np.zeros(0),
                   **unpack_labels(np.zeros((0, LABEL_LENGTH))))  # fmt: skip

    @classmethod
    def concatenate(cls, parts: Sequence["Samples"]) -> "Samples":
        """All samples of the parts, in order. Raises ValueError without parts, or if their crops differ in size."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: Any) -> "Samples":
        """The samples at a slice, a mask (N,) or an array of indices; at an integer, one sample, also as `Samples`."""
        if isinstance(index, (int, np.integer)):
            index = [range(len(self))[index]]
        picked = object.__new__(Samples)  # samples of valid samples need no check
        for f in fields(self):
            object.__setattr__(picked, f.name, getattr(self, f.name)[index])
        return picked


def pack_labels(samples: Samples) -> np.ndarray:
    """Label vectors (N, 18) float32 of samples. `unpack_labels` undoes it."""
    labels = np.empty((len(samples), LABEL_LENGTH), np.float32)
    for name, column in _LABELLED.items():
        labels[:, column] = getattr(samples, name).reshape(labels[:, column].shape)
    return labels


def unpack_labels(labels: np.ndarray) -> dict[str, np.ndarray]:
    """The attributes of `Samples` that label vectors (N, 18) hold, unchecked. `pack_labels` undoes it."""
    found = {name: labels[:, column] for name, column in _LABELLED.items()}
    return {**found, "landmarks": found["landmarks"].reshape(-1, 5, 2)}


def mirror_targets(offsets: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Box offsets (N, 4) and landmarks (N, 5, 2) of mirrored crops: left becomes right. Mirroring twice undoes it."""
    return mirror_offsets(offsets), mirror_landmarks(landmarks)


def mirror_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks (N, 5, 2) of mirrored crops."""
    return landmarks[:, MIRRORED] * np.array([-1, 1], np.float32) + np.array([1, 0], np.float32)


def mirror_offsets(offsets: np.ndarray) -> np.ndarray:
    """Box offsets (N, 4) of mirrored crops."""
    return offsets[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32)


def mirror_labels(labels: np.ndarray) -> np.ndarray:
    """Label vectors (N, 18) or (N, 19) of mirrored crops."""
    mirrored, held = labels.copy(), unpack_labels(labels)
    offsets, landmarks = mirror_targets(held["offsets"], held["landmarks"])
    mirrored[:, Column.OFFSETS], mirrored[:, Column.LANDMARKS] = offsets, landmarks.reshape(-1, 10)
    return mirrored


def parse_ratio(text: str) -> dict[str, float]:
    """Shares of the kinds `RATIO_ORDER` from a text such as 3:1:1:2.

    Raises:
        ConfigError: if the text is not four numbers of at least 0, one of them above 0.
    """
    try:
        ratio = dict(zip(RATIO_ORDER, map(float, text.split(":")), strict=True))
    except ValueError:
        raise ConfigError(f"ratio must be four numbers {':'.join(RATIO_ORDER)}, not {shown(text)}") from None
    if not (all(0 <= share < np.inf for share in ratio.values()) and any(ratio.values())):
        raise ConfigError(f"ratio must give shares, 0 or more, of {', '.join(KIND_NAMES)}, not {shown(ratio)}")
    return ratio


def _exactly(name: str, array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`array` as `dtype`. Raises DataError if this changes whole numbers or booleans."""
    if array.dtype == dtype:
        return np.ascontiguousarray(array)
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and huge numbers are refused below
        cast = array.astype(dtype)
    if dtype.kind != "f":
        _refuse(name, array, cast != array, "0 or 1" if dtype.kind == "b" else "a whole number")
    return cast


def _refuse(name: str, array: np.ndarray, is_wrong: np.ndarray, expected: str) -> None:
    if is_wrong.any():
        first = int(np.argmax(is_wrong))
        raise DataError(f"{name} of sample {first} must be {expected}, got {shown(array[first].tolist())}")
