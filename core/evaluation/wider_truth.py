"""The annotated faces of WIDER FACE's protocol.

The published ground truth of the validation set is four MATLAB files of nested cells: an entry for each event, which holds an
entry for each photo. `wider_face_val.mat` holds `event_list`, `file_list` (names without ending) and `face_bbx_list` (N x 4, x
y width height). `wider_easy_val.mat`, `wider_medium_val.mat` and `wider_hard_val.mat` hold `gt_list`, the 1-based indices of
the faces that count in that set; the others are ignored. For other annotations, the sets are made by face height.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Sequence

import numpy as np

from mtcnn_gluon.errors import DataError, shown
from mtcnn_gluon.evaluation.coverage import AnnotatedSet
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.prepare_data.annotations import Annotations

SETS = ("easy", "medium", "hard")
HEIGHTS = (50, 30, 10)  # smallest face height of each set in pixels
PUBLISHED_PHOTOS = 3226


@dataclass(frozen=True, eq=False)
class TruthPhoto:
    """One annotated photo."""

    name: str  # path below the folder of all photos
    boxes: np.ndarray  # (N, 4) float64 x1, y1, x2, y2 in pixels, with x2 = x1 + width
    counts: np.ndarray  # (S, N) bool, which faces count in each of S sets; the others are ignored there


@dataclass(frozen=True, eq=False)
class Truth(AnnotatedSet[TruthPhoto]):
    """A set of annotated photos with a `title` for reports and the names of its `sets` of faces."""

    title: str
    sets: tuple[str, ...]


def from_annotations(annotations: Annotations, source: str, heights: Sequence[float] = HEIGHTS) -> Truth:
    """Truth with a set for each of `heights`, in pixels: faces of at least that height count, except those to be ignored.

    The largest height comes first, so that the last set holds all others.
    """
    falling = sorted(map(float, heights), reverse=True)
    photos = []
    for photo in annotations.photos:
        boxes = photo.boxes.astype(np.float64)
        tall = (boxes[:, 3] - boxes[:, 1])[None] >= np.array(falling)[:, None]  # (S, N)
        photos.append(TruthPhoto(printable(photo.path), boxes, tall & ~photo.ignore))
    names = tuple(f"height_{int(height) if height.is_integer() else height}" for height in falling)  # all of its digits
    return Truth(tuple(photos), len(photos), (), source, "Faces by height", names)


def read_mat(folder: str | Path) -> Truth:
    """Read the published ground truth from the folder of the four files.

    Raises:
        ConfigError: if SciPy is not installed.
        DataError: if a file is missing, damaged or has another structure, or the files do not fit together.
    """
    root = Path(folder)
    faces_file = root / "wider_face_val.mat"
    base = _load(faces_file, ("event_list", "file_list", "face_bbx_list"))
    lists = [_load(root / f"wider_{name}_val.mat", ("gt_list",))["gt_list"] for name in SETS]
    events = _cells(base["event_list"], f"{faces_file}: event_list")
    nested = [_cells(base[key], f"{faces_file}: {key}") for key in ("file_list", "face_bbx_list")]
    nested += [_cells(each, f"{root}/wider_{name}_val.mat: gt_list") for name, each in zip(SETS, lists)]
    if any(len(each) != len(events) for each in nested):
        got = ", ".join(str(len(each)) for each in nested)
        raise DataError(f"{root}: expected {len(events)} events in every list of the ground truth, got {got}")
    photos: list[TruthPhoto] = []
    for event, *parts in zip(events, *nested):
        photos += _event_photos(_text(event, f"{faces_file}: event_list"), parts, root)
    if len({photo.name for photo in photos}) < len(photos):
        raise DataError(f"{faces_file}: expected each photo once")
    remarks = []
    if len(photos) != PUBLISHED_PHOTOS:
        remarks.append(f"the ground truth holds {len(photos):,} photos and the published one {PUBLISHED_PHOTOS:,}")
    return Truth(tuple(photos), len(photos), tuple(remarks), printable(root), "WIDER FACE validation", SETS)


def _event_photos(event: str, parts: Sequence[Any], root: Path) -> Iterator[TruthPhoto]:
    """The photos of one event, from its cells of file names, boxes and, for each set, indices."""
    cells = [_cells(part, f"{root}: event {event}") for part in parts]
    if len(set(map(len, cells))) > 1:
        got = ", ".join(str(len(each)) for each in cells)
        raise DataError(f"{root}: expected as many photos of event {event} in every list, got {got}")
    for file, faces, *indices in zip(*cells):
        name = f"{event}/{_text(file, f'{root}: file_list of {event}')}"
        boxes = _numbers(faces, f"{root}: boxes of {name}")
        if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 4):
            raise DataError(f"{root}: expected N x 4 boxes of {name}, got {boxes.shape}")
        boxes = boxes.reshape(-1, 4)
        counts = np.zeros((len(SETS), len(boxes)), bool)
        for row, each in zip(counts, indices):
            chosen = _numbers(each, f"{root}: indices of {name}").ravel()
            if not np.isin(chosen, np.arange(1, len(boxes) + 1)).all() or len(np.unique(chosen)) < len(chosen):
                raise DataError(f"{root}: expected different indices from 1 to {len(boxes)} of faces of {name}, got {chosen}")
            row[chosen.astype(np.int64) - 1] = True
        yield TruthPhoto(name, np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]), counts)


def _load(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    loadmat = need("scipy.io", "reading .mat files").loadmat
    if not path.is_file():
        raise DataError(f"{path} does not exist: expected WIDER FACE's ground truth, wider_face_val.mat and three more")
    try:
        content = loadmat(path)
    except Exception as error:  # the reader raises nearly anything on damaged files
        raise DataError(f"{path} cannot be read as a MATLAB file: {error}") from error
    for key in keys:
        if key not in content:
            got = ", ".join(name for name in content if not name.startswith("__"))
            raise DataError(f"{path}: expected {key}, got {got or 'nothing'}")
    return content


def _cells(value: Any, what: str) -> list[Any]:
    """The elements of a MATLAB cell column."""
    if not isinstance(value, np.ndarray) or (value.dtype != object and value.size):
        raise DataError(f"{what}: expected a cell array, got {shown(value)}")
    return list(value.ravel())


def _text(value: Any, what: str) -> str:
    while isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    if not isinstance(value, str):
        raise DataError(f"{what}: expected text, got {shown(value)}")
    return str(value)


def _numbers(value: Any, what: str) -> np.ndarray:
    """Numbers as float64. The files hold small integer types, where x + width could overflow."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
        raise DataError(f"{what}: expected finite numbers, got {shown(value)}")
    return value.astype(np.float64)
