"""Result files: what detectors found in a set of photos.

    jsonl   JSON Lines as `mtcnn-gluon detect --json` writes them: an object for each photo with `image` and `faces`
    wider   WIDER FACE's: a folder with EVENT/PHOTO.txt for each photo, which holds its name, the number of faces, and a line
            `x y w h score` for each face (further numbers are ignored)
    fddb    FDDB's: a file, or a folder of files, with each photo's name, its number of faces, and a line for each face:
            `x y w h score` (boxes) or `major_radius minor_radius angle centre_x centre_y score` (ellipses, angle in radians)

Unusable results are left out, see `Results.problems`. If a fault makes the rest of a file ambiguous, reading fails with an
error that names the file and the line.
"""

import json
import os
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Literal, Sequence

import numpy as np

from mtcnn_gluon.errors import DataError, shown
from mtcnn_gluon.evaluation.results import (
    CUT_OFF,
    DIGITS,
    MALFORMED,
    SURPLUS,
    Collector,
    Detections,
    PathLike,
    PhotoNames,
    Results,
    ellipse_boxes,
    without_ending,
)
from mtcnn_gluon.faces import face_dicts
from mtcnn_gluon.io.files import printable, read_text, remove, whole_file
from mtcnn_gluon.options import Meaning, checked
from mtcnn_gluon.prepare_data.annotations import Place

Format = Literal["jsonl", "wider", "fddb"]
Lines = Sequence[tuple[int, str]]  # numbers of lines, and the lines

FULL_TURN = 6.2832  # radians


def read_results(
    path: PathLike, names: Iterable[str], format: Format | Literal["auto"] = "auto", title: str | None = None,
    others: Iterable[str] = (),
) -> Results:  # fmt: skip
    """Read what a detector found.

    Args:
        path: a file or folder of one of the formats above.
        names: names of the photos whose results are wanted.
        format: one of those above, or `auto`: it is recognised from the path and the first line.
        title: name of the detector; None: the file's name without its ending.
        others: names of the other photos of the set; their results are skipped, and are no problem.

    Raises:
        ConfigError: if `format` has another value.
        DataError: if the file cannot be read, or is damaged so that the rest is ambiguous; the message names the file and the
            line, what was expected and what was found.
    """
    checked("format", format, Literal["auto", "jsonl", "wider", "fddb"], Meaning(""))
    known = _recognise(Path(path)) if format == "auto" else format
    wanted = {printable(name) for name in names}
    results = Results(title or Path(path).stem, about={"results": printable(path), "format": known})
    collector = Collector(results, PhotoNames([*wanted, *map(printable, others)]).find, wanted)
    {"jsonl": _read_jsonl, "wider": _read_wider, "fddb": _read_fddb}[known](Path(path), collector)
    return results


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
    """Whether the first line of a text names the photo of the file's name, as in WIDER FACE's format but not in FDDB's."""
    first = read_text(path).partition("\n")[0].strip()
    return without_ending(first.replace("\\", "/").rpartition("/")[2]) == path.stem


def _read_jsonl(path: Path, collector: Collector) -> None:
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not (isinstance(row["image"], str) and isinstance(row["faces"], list)) or "frame" in row:
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            text = f"expected a photo's image and faces, got {shown(line.strip())}"
            collector.problems.add(MALFORMED, Place(path, number), text)
            continue
        collector.add_row(row, Place(path, number))


def _read_wider(path: Path, collector: Collector) -> None:
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


def _read_wider_photo(source: Path, name: str, collector: Collector) -> None:
    lines = read_text(source).split("\n")
    count = _count(lines[1]) if len(lines) > 1 else None
    faces = [(number, line) for number, line in enumerate(lines[2:], 3) if line.strip()]
    if count is None or len(faces) < count:
        got = f"expected {count} faces, got {len(faces)} lines"
        if count is None:
            got = f"expected the number of faces, got {shown(lines[1].strip()) if len(lines) > 1 else 'the end of the file'}"
        collector.give_up(name, CUT_OFF, Place(source, 2), got)
        return
    for number, line in faces[count:]:
        collector.problems.add(SURPLUS, Place(source, number), line.strip())
    collector.results.photos[name] = _detections(source, faces[:count], 5, collector, more=True)


def _read_fddb(path: Path, collector: Collector) -> None:
    width = 0  # numbers in a line: 5 for boxes, 6 for ellipses
    for source in sorted(path.glob("*.txt")) if path.is_dir() else [path]:
        for photo, number, faces in fddb_photos(source, read_text(source)):
            width = width or next((len(words) for _, line in faces if len(words := line.split()) in (5, 6)), 0)
            name = collector.photo(photo, Place(source, number))
            if name is not None:
                collector.results.photos[name] = _detections(source, faces, width or 5, collector)


def fddb_photos(source: PathLike, text: str) -> Iterator[tuple[str, int, Lines]]:
    """The photos of a text in FDDB's format: name, number of its line, and number and text of each line that holds a face.

    Raises:
        DataError: if the number of faces or a line is missing after a photo's name; the message names the line.
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


def _detections(source: Path, lines: Lines, width: int, collector: Collector, more: bool = False) -> Detections:
    """The faces of lines with `width` numbers, 5 or 6; with `more`, further numbers are ignored."""
    numbers, places = [], []
    for number, line in lines:
        words = line.split()
        try:
            if len(words) != width and not (more and len(words) > width):
                raise ValueError
            row = [float(word) for word in words[:width]]
            if width == 6 and abs(row[2]) > FULL_TURN:  # perhaps degrees, or a box with six numbers
                raise ValueError
        except ValueError:
            expected = f"{width} numbers" + ", the third an angle in radians" * (width == 6)
            collector.problems.add(MALFORMED, Place(source, number), f"expected {expected}, got {shown(line.strip())}")
            continue
        numbers.append(row)
        places.append(Place(source, number))
    rows = np.array(numbers, np.float64).reshape(-1, width)
    rows = rows[collector.usable(rows, rows[:, :2] if width == 6 else rows[:, 2:4], places)]  # radii, or width and height
    if width == 6:
        return Detections(ellipse_boxes(rows[:, :5]), rows[:, 5], np.full((len(rows), 5, 2), np.nan), rows[:, :5])
    return Detections.of_boxes(np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]]), rows[:, 4])


def _count(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


# ---- writing


def write_results(path: PathLike, results: Results, format: Format, names: Iterable[str]) -> None:
    """Write what a detector found in one of the formats above: photos in the order of `names`, best faces first.

    Photos without results are left out of jsonl and wider. In fddb they have no faces, because FDDB's own program expects all
    photos. Numbers have nine significant digits, enough to restore any float32.

    Raises:
        ConfigError: if `format` has another value.
        DataError: if a file cannot be written, or the name of a photo stands for a file outside the folder, or for the same
            file as another name.
    """
    checked("format", format, Format, Meaning(""))
    if format == "wider":
        _write_wider(Path(path), results, names)
        return
    found = results.photos
    if format == "fddb":
        texts = (f"{bare}\n{_face_lines(found.get(name, Detections.NONE))}" for name, bare in _bare_names(names).items())
    else:
        texts = (json.dumps(to_row(name, found[name]), ensure_ascii=False) + "\n" for name in names if name in found)
    with whole_file(path) as file:
        file.writelines(texts)


def _write_wider(folder: Path, results: Results, names: Iterable[str]) -> None:
    """Write a text for each photo with results, and remove those that an earlier run left for the others."""
    for name, bare in _bare_names(names, str.lower).items():
        target = folder / f"{bare}.txt"
        if Path(bare).is_absolute() or ".." in Path(bare).parts:
            raise DataError(f"{name} stands for a file outside {folder}: expected a path below the folder of all photos")
        if name in results.photos:
            with whole_file(target) as file:
                file.write(f"{Path(bare).name}\n{_face_lines(results.photos[name])}")
        else:
            remove(target)


def _bare_names(names: Iterable[str], alike: Callable[[str], str] = str) -> dict[str, str]:
    """Names of photos without ending, as these formats have them. Two names with the same `alike` stand for one photo.

    Raises:
        DataError: if two photos would become one.
    """
    bare = {name: without_ending(name) for name in names}
    first: dict[str, str] = {}
    for name, short in bare.items():
        other = first.setdefault(alike(short), name)
        if other != name:
            raise DataError(f"{other} and {name} would become one photo, as names are written without ending")
    return bare


def _face_lines(found: Detections) -> str:
    """The number of faces, and a line for each."""
    numbers = found.ellipses
    if numbers is None:
        numbers = np.hstack([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]])
    order = np.argsort(-found.scores, kind="stable")
    lines = [" ".join(f"{v:.{DIGITS}g}" for v in (*numbers[row], found.scores[row])) for row in order]
    return "\n".join([str(len(lines)), *lines]) + "\n"


def to_row(name: str, found: Detections) -> dict[str, Any]:
    """The JSON object of one photo, best faces first."""
    order = np.argsort(-found.scores, kind="stable")
    width, height = found.size or (None, None)
    faces = face_dicts(found.boxes[order], found.scores[order], found.landmarks[order], DIGITS)
    return {"image": name, "width": width, "height": height, "faces": faces}
