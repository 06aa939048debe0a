"""Readers of annotation files; each returns `Annotations`.

    wider       WIDER FACE's `wider_face_*_bbx_gt.txt`: a photo, the number of its faces, and for each face a line `x y w h` or
                `x y w h blur expression illumination invalid occlusion pose`. Detected landmarks may be in a csv of
                `file,face,score,iou,lex,ley,rex,rey,nx,ny,lmx,lmy,rmx,rmy`, where face is the index of a box of the photo
    points      CNN_FacePoint's `trainImageList.txt`: for each face a line `photo x1 x2 y1 y2` and five x y
    celeba      CelebA's `list_bbox_celeba.txt`, with its `list_landmarks_celeba.txt` for landmarks
    csv         your own photos: columns `file,x1,y1,x2,y2` and optionally `left_eye_x,left_eye_y,right_eye_x` ... (all of
                `config.LANDMARK_NAMES`; left is the viewer's left) and `score`, 0..1, of a face that a program found. A photo
                without a face has a row with empty cells. A face without landmarks has empty cells for them
    photos      photos without a face: a path a line

Text is UTF-8. Other bytes, as in old file names, are kept.
"""

import csv
import io
import math
import os
from collections import defaultdict
from typing import Iterator, Literal, NamedTuple, Sequence, get_args

from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.errors import ConfigError, DataError, shown
from mtcnn_gluon.io.files import printable, read_text
from mtcnn_gluon.io.images import EXTENSIONS
from mtcnn_gluon.prepare_data.annotations import (
    REPEATED,
    UNLISTED,
    Annotations,
    MarkedFace,
    MarkedPoints,
    Place,
    Problems,
    assemble,
)

ListFormat = Literal["auto", "wider", "points", "celeba", "csv", "photos"]
PathLike = str | os.PathLike

Marked = dict[str, list[MarkedFace]]  # faces by the path of their photo

_BOX_COLUMNS = ("x1", "y1", "x2", "y2")
_POINT_COLUMNS = tuple(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy")
_DETECTED_COLUMNS = ("lex", "ley", "rex", "rey", "nx", "ny", "lmx", "lmy", "rmx", "rmy")  # detected landmarks
_CELEBA_BOX = ("x_1", "y_1", "width", "height")
_CELEBA_POINTS = tuple(f"{name}_{axis}" for name in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy")
_POINTS_LINE = "x1 x2 y1 y2 and five x y"
_WIDER_FACE = "4 or 10 numbers x y w h [blur expression illumination invalid occlusion pose]"
_WIDER_INVALID = 7  # index of `invalid` in such a line


class _Line(NamedTuple):
    """A line of a file, which knows its place for messages."""

    file: PathLike
    number: int
    text: str

    @property
    def place(self) -> Place:
        return Place(self.file, self.number)

    def error(self, expected: str, got: object) -> DataError:
        return DataError(printable(f"{self.file}:{self.number}: expected {expected}, got {shown(got)}"))

    def numbers(self, texts: Sequence[str], expected: str) -> list[float]:
        try:
            return [float(text) for text in texts]
        except ValueError:
            raise self.error(expected, self.text) from None

    def count(self, expected: str) -> int:
        if not (self.text.isascii() and self.text.isdigit() and len(self.text) < 10):
            raise self.error(expected, self.text)
        return int(self.text)

    def photo_and_numbers(self, count: int, columns: str) -> tuple[str, list[float]]:
        """A photo's path, which may hold spaces, and `count` numbers."""
        name, *words = self.text.rsplit(None, count)
        expected = f"a photo and {count} numbers {columns}"
        if len(words) != count:
            raise self.error(expected, self.text)
        return _slashed(name), self.numbers(words, expected)


def read_annotations(
    path: PathLike, format: ListFormat = "auto", landmarks: PathLike | None = None, min_score: float = 0.0
) -> Annotations:
    """Read a list of photos with their faces.

    A face whose box has no area is to be ignored. Landmarks far outside their box, or not finite, become unknown. Both are
    listed in `problems`.

    Args:
        path: the list.
        format: a format from above; `auto`: recognise it from the first lines.
        landmarks: for `wider` and `celeba`, the list of landmarks.
        min_score: the smallest score, 0..1. For `wider`, landmarks with a smaller score stay unknown; for `csv`, faces with a
            smaller score are to be ignored.

    Raises:
        ConfigError: if the options do not fit each other or the list.
        DataError: if a file cannot be read or does not have the format. The message names the file, the line, what was expected
            and what was found.
    """
    if format not in get_args(ListFormat):
        raise ConfigError(f"format must be one of {', '.join(get_args(ListFormat))}, not {shown(format)}")
    if not 0 <= min_score <= 1:
        raise ConfigError(f"min_score must be from 0 to 1, not {shown(min_score)}")
    known = _recognise(path) if format == "auto" else format
    if landmarks is not None and known not in ("wider", "celeba"):
        raise ConfigError(f"landmarks is for lists of format wider and celeba, but {path} is of format {known}")
    if min_score and known != "csv" and (known != "wider" or landmarks is None):
        raise ConfigError("min_score is for the landmarks of a list of format wider, or for a csv with scores; there are none")
    if known == "wider":
        return read_wider(path, landmarks, min_score)
    if known == "celeba":
        return read_celeba(path, landmarks)
    if known == "csv":
        return read_csv(path, min_score)
    return read_points(path) if known == "points" else read_photos(path)


def why_no_landmarks(path: PathLike, landmarks: PathLike | None = None, min_score: float = 0.0) -> str:
    """Why `read_annotations` finds no landmarks with these arguments, for messages. It raises the same errors."""
    known = _recognise(path)
    if known == "csv":
        header = [cell.strip(' "') for cell in _lines(path)[0].text.split(",")]
        if _POINT_COLUMNS[0] not in header:
            return f"a csv needs the columns {','.join(_POINT_COLUMNS)} for them, beside {','.join(header)}"
        return f"all cells of {', '.join(_POINT_COLUMNS[:2])} ... are empty or unusable"
    if known == "points":
        return "its landmarks are unusable"
    if known == "photos":
        return "it lists photos without a face"
    if landmarks is None:
        return f"a list of format {known} holds only boxes; name its list of landmarks too (--landmarks)"
    score = f" with a score of at least {min_score:g} (--min-score)" if min_score else ""
    return f"{landmarks} holds no usable landmarks of its faces{score}"


def _recognise(path: PathLike) -> ListFormat:
    first, *more = _lines(path)[:2]
    second = more[0].text if more else ""
    cells = [cell.strip(' "') for cell in first.text.split(",")]
    if {"file", "face"} <= set(cells) or _CELEBA_POINTS[0] in second:
        raise ConfigError(f"{path} is a list of landmarks: give it as landmarks, beside its list of boxes")
    if "file" in cells:
        return "csv"
    if _CELEBA_BOX[0] in second:
        return "celeba"
    if second.isdigit():
        return "wider"
    if all(_is_photo(line.text) for line in (first, *more)):
        return "photos"
    try:
        first.photo_and_numbers(14, _POINTS_LINE)
    except DataError:
        raise first.error("a list of format wider, points, celeba, csv or photos", first.text) from None
    return "points"


# ---- formats


def read_wider(path: PathLike, landmarks: PathLike | None = None, min_score: float = 0.0) -> Annotations:
    """Read a WIDER FACE list, see `read_annotations`. Faces marked as invalid are to be ignored.

    After a photo without a face there is one line of zeros, as in the published lists, or none.
    """
    marked: Marked = {}
    problems = Problems()
    lines = _lines(path)
    at = 0
    while at < len(lines):
        photo, name = lines[at], _slashed(lines[at].text)
        faces = _new_photo(marked, photo, name)
        if at + 1 == len(lines):
            raise photo.error("the number of its faces on the line after this photo", "the end of the file")
        count = lines[at + 1].count(f"the number of faces of {name}")
        rows = lines[at + 2 : at + 2 + count]
        if len(rows) < count:
            expected = f"a line for each of {count} faces of {name}"
            raise lines[at + 1].error(expected, f"{len(rows)} until the end of the file")
        for line in rows:
            numbers = line.numbers(line.text.split(), _WIDER_FACE)
            if len(numbers) not in (4, 10):
                raise line.error(_WIDER_FACE, line.text)
            x, y, w, h = numbers[:4]
            is_invalid = len(numbers) > 4 and numbers[_WIDER_INVALID] != 0
            faces.append(MarkedFace((x, y, x + w, y + h), is_invalid, line.place))
        at += 2 + count
        if count == 0 and at < len(lines):
            words = lines[at].text.split()
            at += len(words) >= 4 and set(words) == {"0"}
    if landmarks is not None:
        _add_detected_landmarks(marked, problems, landmarks, min_score)
    return assemble(marked, problems)


def _add_detected_landmarks(marked: Marked, problems: Problems, path: PathLike, min_score: float) -> None:
    for line, row in _csv_rows(path, ("file", "face", "score", *_DETECTED_COLUMNS), ("iou",)):
        name = _slashed(row["file"])
        if name not in marked:
            problems.add(UNLISTED, line.place, name)
            continue
        index, faces = line._replace(text=row["face"]).count("the index of a face"), marked[name]
        if index >= len(faces):
            raise line.error(f"the index of one of {len(faces)} faces of {name}", index)
        if faces[index].points is not None:
            raise line.error("each face once", f"face {index} of {name} again")
        score, *points = line.numbers([row["score"], *(row[column] for column in _DETECTED_COLUMNS)], "numbers")
        if not 0 <= score <= 1:
            raise line.error("a score from 0 to 1", score)
        if score >= min_score:
            faces[index].points = MarkedPoints(points, score, line.place)


def read_points(path: PathLike) -> Annotations:
    """Read a CNN_FacePoint list, see `read_annotations`."""
    marked: Marked = defaultdict(list)
    for line in _lines(path):
        name, (x1, x2, y1, y2, *points) = line.photo_and_numbers(14, _POINTS_LINE)
        marked[name].append(MarkedFace((x1, y1, x2, y2), False, line.place, MarkedPoints(points, math.nan, line.place)))
    return assemble(marked, Problems())


def read_celeba(path: PathLike, landmarks: PathLike | None = None) -> Annotations:
    """Read CelebA's lists of boxes and landmarks, for the original photos (not the aligned ones)."""
    marked: Marked = {}
    problems = Problems()
    for line, name, (x, y, w, h) in _celeba_rows(path, _CELEBA_BOX):
        _new_photo(marked, line, name).append(MarkedFace((x, y, x + w, y + h), False, line.place))
    for line, name, points in _celeba_rows(landmarks, _CELEBA_POINTS) if landmarks is not None else ():
        if name not in marked:
            problems.add(UNLISTED, line.place, name)
        elif marked[name][0].points is not None:
            raise line.error("each photo once", name)
        else:
            marked[name][0].points = MarkedPoints(points, math.nan, line.place)
    return assemble(marked, problems)


def _celeba_rows(path: PathLike, columns: Sequence[str]) -> Iterator[tuple[_Line, str, list[float]]]:
    first, *rest = _lines(path)
    count = first.count("the number of photos")
    if not rest or tuple(rest[0].text.split())[-len(columns) :] != tuple(columns):
        raise (rest[0] if rest else first).error(f"the column names {' '.join(columns)}", rest[0].text if rest else "the end")
    if len(rest) - 1 != count:
        raise first.error(f"{count} lines after the column names", len(rest) - 1)
    for line in rest[1:]:
        yield line, *line.photo_and_numbers(len(columns), " ".join(columns))


def read_csv(path: PathLike, min_score: float = 0.0) -> Annotations:
    """Read a csv of your own photos, see `read_annotations`."""
    marked: Marked = defaultdict(list)
    for line, row in _csv_rows(path, ("file", *_BOX_COLUMNS), _POINT_COLUMNS, ("score",)):
        name = _slashed(row["file"])
        if not name:
            raise line.error("a file", line.text)
        box = _cells(line, row, _BOX_COLUMNS)
        points = _cells(line, row, _POINT_COLUMNS) if _POINT_COLUMNS[0] in row else None
        if box is None and points is not None:
            raise line.error("a box where there are landmarks", line.text)
        (score,) = _cells(line, row, ("score",)) or [math.nan] if "score" in row else [math.nan]
        if score < 0 or score > 1:
            raise line.error("a score from 0 to 1", score)
        if min_score and "score" not in row:
            raise ConfigError(f"min_score needs a column score, which {path} does not have")
        found = None if points is None else MarkedPoints(points, score, line.place)
        marked[name] += [] if box is None else [MarkedFace(box, score < min_score, line.place, found)]
    return assemble(marked, Problems())


def read_photos(path: PathLike) -> Annotations:
    """Read a list of photos without a face, see `read_annotations`. A photo may come again, which is noted as a problem."""
    marked: Marked = {}
    problems = Problems()
    for line in _lines(path):
        if not _is_photo(line.text):
            raise line.error("the path of a photo", line.text)
        if (name := _slashed(line.text)) in marked:
            problems.add(REPEATED, line.place, name)
        marked[name] = []
    return assemble(marked, problems)


def _is_photo(text: str) -> bool:
    """Whether a line is the path of an image file, and nothing else."""
    return os.path.splitext(text)[1].lower() in EXTENSIONS


def _cells(line: _Line, row: dict[str, str], columns: Sequence[str]) -> list[float] | None:
    """The numbers in some cells of a row, or None if all of them are empty."""
    texts = [row[column] for column in columns]
    return line.numbers(texts, f"numbers, or nothing, for {', '.join(columns)}") if any(texts) else None


# ---- text


def _new_photo(marked: Marked, line: _Line, name: str) -> list[MarkedFace]:
    """A list for the faces of a photo, which must be new."""
    if name in marked:
        raise line.error("each photo once", name)
    return marked.setdefault(name, [])


def _slashed(name: str) -> str:
    """A path with forward slashes, also if the list comes from Windows."""
    return name.replace("\\", "/")


def _read_text(path: PathLike) -> str:
    text = read_text(path)
    if not text.strip():
        raise DataError(printable(f"{path}: expected a list, got an empty file"))
    return text


def _lines(path: PathLike) -> list[_Line]:
    """The non-blank lines of a file, at least one."""
    texts = _read_text(path).split("\n")  # splitlines would also split at characters that are valid in names
    return [_Line(path, number, text.strip()) for number, text in enumerate(texts, 1) if text.strip()]


def _csv_rows(path: PathLike, needed: Sequence[str], *optional: Sequence[str]) -> Iterator[tuple[_Line, dict[str, str]]]:
    """The rows of a csv whose header has all `needed` columns, and all or none of each group of `optional` ones."""
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)  # so an open quote is an error
    header: list[str] = []
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            line = _Line(path, reader.line_num, ",".join(cells))
            if not any(cells):
                continue
            if not header:
                header = cells
                there = [column for group in optional if set(group) <= set(header) for column in group]
                if sorted(header) != sorted([*needed, *there]):
                    groups = " ".join(f"[{','.join(group)}]" for group in optional)
                    raise line.error(f"the columns {','.join(needed)} {groups}", line.text)
            elif len(cells) != len(header):
                raise line.error(f"{len(header)} cells", line.text)
            else:
                yield line, dict(zip(header, cells))
    except csv.Error as error:
        raise DataError(printable(f"{path}:{reader.line_num}: expected csv: {error}")) from error
    if not header:
        raise DataError(printable(f"{path}: expected the columns {','.join(needed)}, got no line with any text in it"))
