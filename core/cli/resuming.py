"""Resuming `detect`: what an earlier run did, and what is left to do.

The file of an earlier run holds one attempt per input, in the order in which output names were assigned. An attempt is one
object for a photo, one per frame for a video, or one with an error. Inputs keep their places and new inputs come last. So all
names and the order of the rows are those of an uninterrupted run. During a resumed run, an object with the key `again` is the
placeholder of an input that is processed again; the new attempt stands further down.
"""

import json
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Sequence
from urllib.parse import unquote_to_bytes

import numpy as np

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.evaluation.results import face_numbers, face_points
from mtcnn_gluon.io.files import whole_file
from mtcnn_gluon.io.inputs import Input, InputKind
from mtcnn_gluon.io.json_lines import read_rows
from mtcnn_gluon.io.video import is_video_path

Row = dict[str, Any]
Key = tuple[str, str | None]  # `image` and `image_bytes`, which identify an input
UNFINISHED = "not finished when the run ended"


@dataclass(eq=False)
class Task:
    """One input of a run, or one that only the earlier run had."""

    input: Input | None = None  # None if only the earlier run had it
    rows: list[Row] = field(default_factory=list)  # what the earlier run wrote about it
    is_done: bool = False  # nothing is left to do

    @property
    def is_left(self) -> bool:
        """Whether this run must process it."""
        return self.input is not None and not self.is_done

    def names(self) -> list[tuple[Path, bool]]:
        """The possible names of its results, and for each whether it is a video.

        The results of an input that only the earlier run had may be named after any trailing part of its path, because the
        folder that was searched is unknown.
        """
        if self.input is not None:
            is_named = self.input.kind is not InputKind.UNREADABLE and self.input.name.name
            return [(self.input.name, self.input.kind in (InputKind.VIDEO, InputKind.CAMERA))] if is_named else []
        path = _path_of(self.rows[0])
        is_video = "frame" in self.rows[0] or is_video_path(path)
        parts = [part for part in path.parts if part != path.anchor]
        return [(Path(*parts[start:]), is_video) for start in range(len(parts)) if ".." not in parts[start:]]


def read_earlier(path: Path) -> list[Row]:
    """The rows that an earlier run, finished or not, wrote as JSON Lines.

    Raises:
        DataError: if the file holds something else. An incomplete last line is dropped.
    """
    what = "one result of mtcnn-gluon detect"
    rows = read_rows(path, ("image", "width", "height", "faces"), what)
    for row in rows:
        texts = (row["image"], row.get("image_bytes", ""), row.get("error") or "")
        is_named = all(isinstance(text, str) for text in texts) and isinstance(row.get("again", 0), int)
        if not is_named or not isinstance(row["faces"], list) or not all(map(_is_face, row["faces"])):
            raise DataError(f"{path}: expected {what} in every line, got {json.dumps(row)[:80]}")
    return rows


def plan(earlier: Sequence[Row], inputs: Sequence[Input]) -> list[Task]:
    """All tasks of a run in their order, also the finished ones.

    If an input is given several times, as many of them are done as the earlier run did. Videos are always processed again,
    because their rows do not show whether they are complete.
    """
    given: dict[Key, list[Input]] = defaultdict(list)
    for each in inputs:
        given[_key(each.label)].append(each)
    tasks = []
    for rows in _without_surplus(_places(earlier), {key: len(same) for key, same in given.items()}):
        same = given[_key(rows[0])]
        tasks.append(Task(same.pop(0), rows, _is_done(rows)) if same else Task(None, rows))
    left = {id(each) for same in given.values() for each in same}
    return tasks + [Task(each) for each in inputs if id(each) in left]


def rows_to_begin_with(tasks: Sequence[Task]) -> list[Row]:
    """The first rows of a resumed run's file: those of finished tasks, and a placeholder for each task to process again.

    In a placeholder, `again` is the number of attempts at the same input that follow and belong to other places.
    """
    others: Counter[Key] = Counter()
    rows: list[Row] = []
    for task in reversed(tasks):
        if task.rows and not task.is_left:
            rows += reversed(task.rows)
            others[_key(task.rows[0])] += 1
        elif task.rows:
            keys: Row = {key: value for key, value in task.rows[0].items() if key in ("image", "image_bytes")}
            error = task.rows[-1].get("error", UNFINISHED)
            again = others[_key(keys)]
            rows.append({**keys, "width": None, "height": None, "faces": [], "error": error, "again": again})
    return rows[::-1]


def finished_photos(tasks: Sequence[Task]) -> list[tuple[Path, Row]]:
    """The photos that the earlier run finished, with their rows, whether or not this run has them as inputs."""
    return [(_path_of(task.rows[0]), task.rows[0]) for task in tasks if _is_done(task.rows)]


def put_in_order(path: Path, inputs: Sequence[Input]) -> None:
    """Rewrite the file of a finished resumed run as an uninterrupted run would have written it."""
    rows = read_earlier(path)
    ordered = [row for task in plan(rows, inputs) for row in task.rows]
    if ordered != rows:
        with whole_file(path) as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in ordered)


def _places(rows: Sequence[Row]) -> list[list[Row]]:
    """The last attempt at each input, at the input's place."""
    places: list[list[Row]] = []
    again: dict[Key, list[int]] = defaultdict(list)  # places of placeholders
    others: Counter[Key] = Counter()
    for attempt in _attempts(rows):
        key = _key(attempt[0])
        if "again" in attempt[0]:
            others[key] = attempt[0].pop("again")
            again[key].append(len(places))
        elif others[key]:
            others[key] -= 1
        elif again[key]:
            places[again[key].pop(0)] = attempt
            continue
        places.append(attempt)
    return places


def _without_surplus(places: Sequence[list[Row]], wanted: Mapping[Key, int]) -> list[list[Row]]:
    """The places, without surplus unfinished ones of inputs that the earlier run had more often."""
    surplus = Counter(key for key in (_key(rows[0]) for rows in places) if key in wanted)
    surplus.subtract(wanted)
    kept = []
    for rows in reversed(places):
        if surplus[_key(rows[0])] > 0 and not _is_done(rows):
            surplus[_key(rows[0])] -= 1
        else:
            kept.append(rows)
    return kept[::-1]


def _is_done(rows: Sequence[Row]) -> bool:
    return len(rows) == 1 and not {"error", "frame"} & rows[0].keys()


def _attempts(rows: Sequence[Row]) -> list[list[Row]]:
    """Copies of the rows, grouped by attempt; a video's frames and the error that ended it are one attempt."""
    attempts: list[list[Row]] = []
    for row in rows:
        last = attempts[-1][-1] if attempts else {}
        is_same = "frame" in last and "error" not in last and "again" not in row and _key(last) == _key(row)
        if is_same and (row.get("frame") or "error" in row):
            attempts[-1].append({**row})
        else:
            attempts.append([{**row}])
    return attempts


def _is_face(face: Any) -> bool:
    numbers = face_numbers(face)
    return numbers is not None and bool(np.isfinite(numbers).all()) and face_points(face.get("landmarks")) is not None


def _key(row: Row | dict[str, str]) -> Key:
    return row["image"], row.get("image_bytes")


def _path_of(row: Row) -> Path:
    return Path(os.fsdecode(unquote_to_bytes(row["image_bytes"])) if "image_bytes" in row else row["image"])
