"""What detectors found in a set of photos: reading and writing result files.

    jsonl   JSON Lines as `mtcnn-gluon detect --json` writes them: an object a photo with `image` and `faces`
    wider   WIDER FACE's: a folder with EVENT/PHOTO.txt for each photo, holding its name, the number of faces, and a line
            `x y w h score` a face (further numbers are not used)
    fddb    FDDB's: a file, or a folder of files, with a photo's name, the number of faces, and a line a face of
            `x y w h score` (boxes) or `major_radius minor_radius angle centre_x centre_y score` (ellipses, angle in radians)

A photo is known by its path below the folder of all photos. What a result file calls it may be a longer path, and may have
another image ending or none: `runs/a/0--Parade/x.jpg` means the photo `0--Parade/x`.

Whatever cannot be used is left out, named and counted in `Results.problems`. A fault after which the rest of a file would be
read wrongly is an error that names the file and the line.
"""

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Literal, NamedTuple, Sequence, get_args

import numpy as np

from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.errors import ConfigError, DataError, shown
from mtcnn_gluon.faces import face_dicts
from mtcnn_gluon.io.files import printable, read_text, remove, whole_file
from mtcnn_gluon.io.images import is_image_path
from mtcnn_gluon.prepare_data.annotations import Place, Problems

Format = Literal["auto", "jsonl", "wider", "fddb"]
PathLike = str | os.PathLike

FULL_TURN = 6.2832  # radians
DIGITS = 9  # of the numbers of result files, all that float32 has

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
    """The faces that were found in one photo, in any order.

    Attributes:
        boxes: (N, 4) float64 x1, y1, x2, y2 in pixels, with x2 = x1 + width.
        scores: (N,) float64, of any range.
        landmarks: (N, 5, 2) float64 x, y in pixels in the order of `config.LANDMARK_NAMES`; NaN where unknown.
        ellipses: (N, 5) float64 major and minor radius, angle in radians, centre x, y; None if faces are boxes.
        size: width and height of the photo, if known.

    Raises:
        ValueError: if the arrays do not fit together.
    """

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


@dataclass(frozen=True, eq=False)
class Results:
    """What one detector found in a set of photos.

    Attributes:
        name: of the detector, as tables call it.
        photos: what was found in each photo, by the photo's name in the set; photos without results are not in it.
        unusable: photos whose results are damaged, or that the detector could not read.
        problems: what was wrong.
        about: how the results were made.
    """

    name: str
    photos: dict[str, Detections]
    unusable: set[str] = field(default_factory=set)
    problems: Problems = field(default_factory=Problems)
    about: dict[str, Any] = field(default_factory=dict)


class PhotoNames:
    """Finds the photo of a set that a path in a result file means.

    Args:
        names: of all photos, with forward slashes, with or without an image ending.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names: dict[str, str | None] = {}
        for name in dict.fromkeys(names):
            self._names[name] = name
            bare = without_ending(name)
            if bare != name:
                self._names[bare] = None if bare in self._names else name  # None: two photos differ in their ending only

    def find(self, path: str) -> str | None:
        """The photo that `path` means, or None. A longer part of the path goes before a shorter one."""
        parts = printable(path).replace("\\", "/").split("/")
        for start in range(len(parts)):
            tail = "/".join(parts[start:])
            name = self._names.get(tail) or self._names.get(without_ending(tail))
            if name is not None:
                return name
        return None


def without_ending(name: str) -> str:
    """A photo's name without its image ending, if it has one."""
    return name[: name.rindex(".")] if is_image_path(name) else name


def read_results(
    path: PathLike, names: Iterable[str], format: Format = "auto", title: str | None = None, others: Iterable[str] = ()
) -> Results:
    """Read what a detector found.

    Args:
        path: a file or folder of one of the formats above.
        names: of the photos whose results are wanted.
        format: one of those above, or `auto` to tell from the path and the first line.
        title: what to call the detector; the file's name without its ending if None.
        others: names of the set's other photos, whose results are passed over without being a problem.

    Raises:
        ConfigError: if `format` is none of those.
        DataError: if the file cannot be read, or is damaged so that the rest cannot be understood; the message names the
            file, the line, what was expected and what came.
    """
    if format not in get_args(Format):
        raise ConfigError(f"format must be one of {', '.join(get_args(Format))}, not {shown(format)}")
    known = _recognise(Path(path)) if format == "auto" else format
    wanted = {printable(name) for name in names}
    collector = _Collector(PhotoNames([*wanted, *map(printable, others)]).find, wanted)
    {"jsonl": _read_jsonl, "wider": _read_wider, "fddb": _read_fddb}[known](Path(path), collector)
    about = {"results": printable(path), "format": known}
    return Results(title or Path(path).stem, collector.photos, collector.unusable, collector.problems, about)


def results_of_rows(
    rows: Iterable[dict[str, Any]], names: Iterable[str], title: str, about: dict[str, Any], file: PathLike | None = None
) -> Results:
    """Results from the rows of `run.run_model`; rows of photos that are not among `names` are passed over.

    Args:
        rows: of the model.
        names: of the photos whose results are wanted.
        title: what to call the detector.
        about: how the results were made.
        file: that keeps the rows, for messages.
    """
    collector = _Collector(lambda name: name, set(names))
    for number, row in enumerate(rows, 1):
        _take_row(row, Place(file or title, number), collector)
    return Results(title, collector.photos, collector.unusable, collector.problems, about)


def seen_photos(name: str, rows: Iterable[dict[str, Any]], about: dict[str, Any]) -> Results:
    """The photos of a model's rows as `Results` without faces."""
    problems = Problems()
    bad = {row["image"]: row["error"] for row in rows if "error" in row}
    if bad:
        problems.found[UNREAD] = [f"{image}: {error}" for image, error in bad.items()]
    seen = {row["image"]: Detections.of_boxes([], [], (row["width"], row["height"])) for row in rows if row["image"] not in bad}
    return Results(name, seen, set(bad), problems, about)


def _recognise(path: Path) -> Format:
    if path.is_dir():
        below = [entry for entry in sorted(path.iterdir()) if not entry.name.startswith(".")]
        if any(entry.is_dir() for entry in below):
            return "wider"
        files = [entry for entry in below if entry.suffix == ".txt"]
        if not files:
            raise DataError(f"{path} holds no results: expected EVENT/PHOTO.txt as WIDER FACE has them, or FDDB's .txt files")
        return "wider" if all(map(_is_wider_photo, files)) else "fddb"
    return "jsonl" if path.suffix in (".jsonl", ".json") or read_text(path).lstrip().startswith("{") else "fddb"


def _is_wider_photo(path: Path) -> bool:
    """Whether a text is about the photo that it is named after, as WIDER FACE's are, rather than about a fold of photos."""
    first = read_text(path).partition("\n")[0].strip()
    return without_ending(first.replace("\\", "/").rpartition("/")[2]) == path.stem


class _Collector:
    """Takes what the readers read, and leaves out what cannot be used.

    Args:
        find: the photo of the set that a path means, or None.
        wanted: names of the photos whose results are taken.
    """

    def __init__(self, find: Callable[[str], str | None], wanted: set[str]) -> None:
        self._find, self._wanted = find, wanted
        self.photos: dict[str, Detections] = {}
        self.unusable: set[str] = set()
        self.problems = Problems()

    def photo(self, path: str, place: Place) -> str | None:
        """The photo that `path` means, if its results are wanted and it has none yet."""
        name = self._find(path)
        if name is None:
            self.problems.add(UNKNOWN, place, path)
        elif name not in self._wanted:
            return None
        elif name in self.photos or name in self.unusable:
            self.problems.add(REPEATED, place, path)
        else:
            return name
        return None

    def give_up(self, name: str, kind: str, place: Place, text: str) -> None:
        """Note that a photo's results cannot be used."""
        self.unusable.add(name)
        self.problems.add(kind, place, text)

    def usable(self, rows: np.ndarray, sizes: np.ndarray, places: Sequence[Place]) -> np.ndarray:
        """Which rows (N, K) of numbers, describing faces whose sizes are (N, 2), are neither infinite, NaN nor negative."""
        finite = np.isfinite(rows).all(1) & np.isfinite(sizes).all(1)
        with np.errstate(invalid="ignore"):
            negative = finite & (sizes < 0).any(1)
        for kind, wrong in ((NOT_FINITE, ~finite), (NEGATIVE, negative)):
            for row in np.flatnonzero(wrong):
                self.problems.add(kind, places[row], " ".join(f"{number:g}" for number in rows[row]))
        return finite & ~negative


# ---- WIDER FACE's and FDDB's text


class _Faces(NamedTuple):
    """Lines that describe faces, as numbers, with their places."""

    rows: list[list[float]]
    places: list[Place]


def _read_wider(path: Path, collector: _Collector) -> None:
    if not path.is_dir():
        raise DataError(f"{path} is not a folder of EVENT/PHOTO.txt, as WIDER FACE's results are")
    for root, folders, files in os.walk(path):
        folders.sort()
        for file in sorted(files):
            if file.endswith(".txt"):
                source = Path(root) / file
                name = collector.photo(source.relative_to(path).as_posix()[: -len(".txt")], Place(source, 1))
                if name is not None:
                    _read_wider_photo(source, name, collector)


def _read_wider_photo(source: Path, name: str, collector: _Collector) -> None:
    lines = read_text(source).split("\n")
    count = _count(lines[1]) if len(lines) > 1 else None
    if count is None:
        got = shown(lines[1].strip()) if len(lines) > 1 else "the end of the file"
        collector.give_up(name, CUT_OFF, Place(source, 2), f"expected the number of faces, got {got}")
        return
    faces = [(number, line) for number, line in enumerate(lines[2:], 3) if line.strip()]
    if len(faces) < count:
        collector.give_up(name, CUT_OFF, Place(source, 2), f"expected {count} faces, got {len(faces)} lines")
        return
    for number, line in faces[count:]:
        collector.problems.add(SURPLUS, Place(source, number), line.strip())
    parsed = _parse(source, faces[:count], 5, collector, more=True)
    collector.photos[name] = _detections_of_text(parsed, 5, collector)


def _read_fddb(path: Path, collector: _Collector) -> None:
    sources = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    width = 0  # of the lines of this detector: 5 for boxes, 6 for ellipses
    for source in sources:
        for photo, number, faces in fddb_photos(source, read_text(source)):
            width = width or next((len(words) for _, line in faces if len(words := line.split()) in (5, 6)), 0)
            name = collector.photo(photo, Place(source, number))
            if name is not None:
                parsed = _parse(source, faces, width or 5, collector)
                collector.photos[name] = _detections_of_text(parsed, width or 5, collector)


def fddb_photos(source: PathLike, text: str) -> Iterator[tuple[str, int, list[tuple[int, str]]]]:
    """The photos of a text in FDDB's format: name, number of its line, and number and text of each line about a face.

    Raises:
        DataError: if a photo is not followed by the number of its faces and as many lines; the message names the line.
    """
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    at = 0
    while at < len(lines):
        number, name = lines[at]
        count = _count(lines[at + 1][1]) if at + 1 < len(lines) else None
        if count is None:
            got = shown(lines[at + 1][1]) if at + 1 < len(lines) else "the end of the file"
            raise DataError(printable(f"{source}:{number + 1}: expected the number of faces of {name}, got {got}"))
        faces = lines[at + 2 : at + 2 + count]
        if len(faces) < count:
            got = f"{len(faces)} until the end of the file"
            raise DataError(printable(f"{source}:{number}: expected a line for each of {count} faces of {name}, got {got}"))
        yield name, number, faces
        at += 2 + count


def _parse(source: Path, lines: Sequence[tuple[int, str]], width: int, collector: _Collector, more: bool = False) -> _Faces:
    """The lines that hold `width` numbers, or with `more` at least so many, of which the first are taken."""
    faces = _Faces([], [])
    for number, line in lines:
        words = line.split()
        try:
            if len(words) != width and not (more and len(words) > width):
                raise ValueError
            row = [float(word) for word in words[:width]]
            if width == 6 and abs(row[2]) > FULL_TURN:  # six numbers of a box, or degrees, are no ellipse
                raise ValueError
        except ValueError:
            expected = f"{width} numbers" + ", the third an angle in radians" * (width == 6)
            collector.problems.add(MALFORMED, Place(source, number), f"expected {expected}, got {shown(line.strip())}")
            continue
        faces.rows.append(row)
        faces.places.append(Place(source, number))
    return faces


def _detections_of_text(faces: _Faces, width: int, collector: _Collector) -> Detections:
    rows = np.array(faces.rows, np.float64).reshape(-1, width)
    sizes = rows[:, :2] if width == 6 else rows[:, 2:4]  # radii, or width and height
    rows = rows[collector.usable(rows, sizes, faces.places)]
    points = np.full((len(rows), 5, 2), np.nan)
    if width == 6:
        return Detections(ellipse_boxes(rows[:, :5]), rows[:, 5], points, rows[:, :5])
    boxes = np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]])
    return Detections(boxes, rows[:, 4], points)


def ellipse_boxes(ellipses: np.ndarray) -> np.ndarray:
    """Bounding boxes (N, 4) of ellipses (N, 5): major and minor radius, angle in radians, centre x, y.

    The angle is from the x axis towards the y axis, which points down; the half sides of the box are
    sqrt((a cos t)^2 + (b sin t)^2) and sqrt((a sin t)^2 + (b cos t)^2).
    """
    major, minor, angle = ellipses[:, 0], ellipses[:, 1], ellipses[:, 2]
    half = np.stack(
        [np.hypot(major * np.cos(angle), minor * np.sin(angle)), np.hypot(major * np.sin(angle), minor * np.cos(angle))], 1
    )  # (N, 2)
    return np.hstack([ellipses[:, 3:5] - half, ellipses[:, 3:5] + half])


def _count(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


# ---- JSON Lines


def _read_jsonl(path: Path, collector: _Collector) -> None:
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            _read_row(line, Place(path, number), collector)


def _read_row(line: str, place: Place, collector: _Collector) -> None:
    try:
        row = json.loads(line)
        image, faces = row["image"], row["faces"]
        if not (isinstance(image, str) and isinstance(faces, list)) or "frame" in row:
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        collector.problems.add(MALFORMED, place, f"expected a photo's image and faces, got {shown(line.strip())}")
        return
    _take_row(row, place, collector)


def _take_row(row: dict[str, Any], place: Place, collector: _Collector) -> None:
    name = collector.photo(row["image"], place)
    if name is None:
        return
    if "error" in row:
        collector.give_up(name, UNREAD, place, f"{row['image']}: {shown(row['error'])}")
        return
    collector.photos[name] = _detections_of_row(row, place, collector)


def _detections_of_row(row: dict[str, Any], place: Place, collector: _Collector) -> Detections:
    """What a JSON object with `faces` says, without the faces that cannot be used."""
    rows, points = [], []
    for index, face in enumerate(row["faces"]):
        numbers = _numbers([*face["box"], face["score"]], 5) if _is_face(face) else None
        if numbers is None:
            text = f"face {index} of {row['image']}: expected a box of four numbers and a score, got {shown(face)}"
            collector.problems.add(MALFORMED, place, text)
            continue
        rows.append(numbers)
        points.append(_points(face.get("landmarks"), f"face {index} of {row['image']}", place, collector))
    table = np.array(rows, np.float64).reshape(-1, 5)
    with np.errstate(invalid="ignore", over="ignore"):
        sizes = table[:, 2:4] - table[:, :2]
    kept = collector.usable(table, sizes, [place] * len(table))
    landmarks = np.array(points, np.float64).reshape(-1, 5, 2)[kept]
    size = _numbers([row.get("width"), row.get("height")], 2)
    whole = (int(size[0]), int(size[1])) if size and all(0 < v < 1e6 for v in size) else None
    return Detections(table[kept, :4], table[kept, 4], landmarks, None, whole)


def _is_face(face: Any) -> bool:
    return isinstance(face, dict) and isinstance(face.get("box"), list) and "score" in face


def _points(landmarks: Any, what: str, place: Place, collector: _Collector) -> list[list[float]]:
    """Five x, y of a face, NaN if it has none or they are malformed."""
    unknown = [[math.nan] * 2] * 5
    if landmarks is None:
        return unknown
    if isinstance(landmarks, dict) and set(landmarks) == set(LANDMARK_NAMES):
        points = [_numbers(landmarks[name], 2) for name in LANDMARK_NAMES]
        if all(point is not None and np.isfinite(point).all() for point in points):
            return points  # type: ignore[return-value]
    collector.problems.add(NO_POINTS, place, f"{what}: {shown(landmarks)}")
    return unknown


def _numbers(values: Any, count: int) -> list[float] | None:
    """`values` as numbers, or None if they are not so many numbers."""
    if not isinstance(values, list) or len(values) != count:
        return None
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return None
    try:
        return [float(value) for value in values]
    except OverflowError:  # a whole number of hundreds of digits
        return None


# ---- writing


def write_results(path: PathLike, results: Results, format: Literal["jsonl", "wider", "fddb"], names: Iterable[str]) -> None:
    """Write what a detector found as one of the formats above, photos in the order of `names`, best faces first.

    Photos without results are left out of jsonl and of a wider folder; FDDB's own program expects all of them, so they are
    written without faces. Coordinates and scores keep nine digits, all that float32 has.

    Raises:
        ConfigError: if `format` is none of those.
        DataError: if it cannot be written, or names of photos are such that one would overwrite another, or a file outside.
    """
    if format not in ("jsonl", "wider", "fddb"):
        raise ConfigError(f"format must be jsonl, wider or fddb, not {shown(format)}")
    if format == "wider":
        _write_wider(Path(path), results, names)
        return
    none = Detections.of_boxes([], [])
    with whole_file(path) as file:
        for name, bare in _bare_names(names).items() if format == "fddb" else ((name, name) for name in names):
            if format == "fddb":
                file.write(f"{bare}\n{_face_lines(results.photos.get(name, none))}")
            elif name in results.photos:
                file.write(json.dumps(to_row(name, results.photos[name]), ensure_ascii=False) + "\n")


def _write_wider(folder: Path, results: Results, names: Iterable[str]) -> None:
    """A text for each photo with results; what an earlier run found in one that has none is removed."""
    for name, bare in _bare_names(names, str.lower).items():
        target = folder / f"{bare}.txt"
        if Path(bare).is_absolute() or ".." in Path(bare).parts:
            raise DataError(
                f"{name}: no result file for it can be below {folder}: expected a path below the folder of all photos"
            )
        if name in results.photos:
            with whole_file(target) as file:
                file.write(f"{Path(bare).name}\n{_face_lines(results.photos[name])}")
        else:
            remove(target)


def _bare_names(names: Iterable[str], alike: Callable[[str], str] = str) -> dict[str, str]:
    """Photos' names without ending, as these formats have them; `alike` is the same for those that would be one.

    Raises:
        DataError: if two photos would be one.
    """
    bare = {name: without_ending(name) for name in names}
    first: dict[str, str] = {}
    for name, short in bare.items():
        other = first.setdefault(alike(short), name)
        if other != name:
            raise DataError(f"{other} and {name} would be one in what is written, where names have no ending")
    return bare


def _face_lines(found: Detections) -> str:
    """The number of faces, and a line for each."""
    if found.ellipses is not None:
        numbers = found.ellipses
    else:
        numbers = np.hstack([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]])
    order = np.argsort(-found.scores, kind="stable")
    lines = [" ".join(f"{v:.9g}" for v in (*numbers[row], found.scores[row])) for row in order]
    return "\n".join([str(len(lines)), *lines]) + "\n"


def to_row(name: str, found: Detections) -> dict[str, Any]:
    """The JSON object of one photo, best faces first."""
    order = np.argsort(-found.scores, kind="stable")
    width, height = found.size or (None, None)
    faces = face_dicts(found.boxes[order], found.scores[order], found.landmarks[order], DIGITS)
    return {"image": name, "width": width, "height": height, "faces": faces}
