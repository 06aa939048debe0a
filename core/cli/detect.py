"""The verb `mtcnn-gluon detect`."""

import argparse
import csv
import importlib.util
import json
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator, Protocol, Sequence

import numpy as np
from tqdm import tqdm

from mtcnn_gluon.cli.output import is_sayable, put_line, put_out, say
from mtcnn_gluon.cli.resume_check import check_same_detector
from mtcnn_gluon.cli.resuming import Row, Task, finished_photos, plan, put_in_order, read_earlier, rows_to_begin_with
from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.detection.draw import draw_faces
from mtcnn_gluon.detection.options import DetectorOptions
from mtcnn_gluon.errors import ConfigError, ImageError
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.io.files import draft_of, printable, real_path, whole_file, write_picture
from mtcnn_gluon.io.images import is_url
from mtcnn_gluon.io.inputs import Found, Kind, find_inputs
from mtcnn_gluon.io.json_lines import RowWriter
from mtcnn_gluon.io.output_names import Names, OutputNames
from mtcnn_gluon.io.video import Video, VideoWriter
from mtcnn_gluon.options import add_arguments, from_arguments

CSV_COLUMNS = [
    "image", "frame", "time", "width", "height", "face", "x1", "y1", "x2", "y2", "score",
    *(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy"), "error",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Result:
    """What was found in one photo or frame.

    Attributes:
        names: of the input, for pictures and crops.
        row: the JSON object that describes it.
        image: (H, W, 3) uint8, or None if it could not be read.
        faces: the faces in it.
        rate: frames a second, if it is a frame of a video.
    """

    names: Names
    row: Row
    image: np.ndarray | None = None
    faces: Faces = field(default_factory=Faces.empty)
    rate: float = 0.0


class Sink(Protocol):
    """Where results go."""

    def add(self, result: Result) -> None:
        """Take one result."""

    def keep(self, row: Row) -> None:
        """Take what an earlier run wrote, at its place in the order."""

    def close(self) -> None:
        """Finish: no result will follow. Not called if the run ends with an error."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `detect`."""
    parser.set_defaults(run=detect)
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="photos, videos, folders (searched with all below), patterns, camera numbers, - for a photo on standard input",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write JSON Lines, one object an image; - for standard output")
    output.add_argument("--csv", metavar="FILE", help="write a table, one row a face; - for standard output")
    output.add_argument("--save", metavar="DIR", help="write the pictures or videos with boxes and landmarks drawn")
    output.add_argument("--crops", metavar="DIR", help="write every face aligned to 112 x 112 (ArcFace template)")
    output.add_argument("--resume", action="store_true", help="skip the photos that an earlier run wrote to --json FILE")
    add_arguments(parser.add_argument_group("detector"), DetectorOptions)


def detect(options: argparse.Namespace) -> int:
    """Find faces and five landmarks in photos and videos. Without a PATH: in scikit-image's public-domain portrait.

    Of a folder, every file is taken whose ending is that of an image or video which can be read when it is named directly, and
    every file without an ending that begins as an image does. How many others there are is said on standard error. HEIC is read
    where pillow-heif is installed: pip install "mtcnn-gluon[heic]".
    """
    _check_outputs(options)
    tables = [path for path in (options.json, options.csv) if path and path != "-"]
    files = [*tables, *(draft_of(Path(path)) for path in tables)]
    folders = [folder for folder in (options.save, options.crops) if folder]
    search = find_inputs(options.paths or [str(portrait())], result_folders=folders, result_files=map(str, files))
    for note in search.notes():
        say(note)
    inputs = search.found
    if not inputs:
        raise ConfigError(f"no image found in {', '.join(options.paths)}, and no video")
    _check_inputs(options, tables, inputs)
    earlier = read_earlier(Path(options.json)) if options.resume else []
    tasks = plan(earlier, inputs)
    names = OutputNames(options.save, options.crops, [*files, *(found.path for found in inputs)])
    given = _give_names(names, tasks, bool(earlier))
    _say_what_is_done(tasks)
    detector = Detector(**vars(from_arguments(DetectorOptions, options)))
    if options.crops and not detector.has_landmarks:
        raise ConfigError(f"--crops aligns faces by landmarks, and model {options.model} was trained without")
    if earlier:
        check_same_detector(Path(options.json), finished_photos(tasks), detector)
    with ExitStack() as stack:
        sinks = _open_sinks(options, stack, names, rows_to_begin_with(tasks))
        status = _work(tasks, given, detector, sinks)
        for sink in sinks:
            sink.close()
    if earlier:
        put_in_order(Path(options.json), inputs)
    return status


def _check_outputs(options: argparse.Namespace) -> None:
    """Refuse options about results that contradict each other."""
    for name in ("json", "csv", "save", "crops"):
        value, kind = getattr(options, name), "file" if name in ("json", "csv") else "folder"
        if value == "" or (value == "-" and kind == "folder") or (value and is_url(value)):
            raise ConfigError(f"--{name} must be a {kind}, not {value!r}")
    if options.resume and options.json in (None, "-"):
        raise ConfigError("--resume needs --json FILE, which says what is done")
    if options.resume and "-" in options.paths:
        raise ConfigError("--resume cannot know whether the photo on standard input is done")
    if options.json == options.csv == "-":
        raise ConfigError("--json - and --csv - would mix on standard output: give one of them a file")
    if options.json and options.csv and "-" not in (options.json, options.csv):
        taken = {real_path(options.json), real_path(draft_of(Path(options.json)))}
        if real_path(options.csv) in taken and not (os.path.exists(options.csv) and not os.path.isfile(options.csv)):
            raise ConfigError(f"--csv {options.csv} would overwrite what --json {options.json} writes: give it another file")


def _check_inputs(options: argparse.Namespace, tables: Sequence[str], inputs: Sequence[Found]) -> None:
    """Refuse to write a table in place of a photo."""
    paths = {real_path(found.path) for found in inputs if found.kind in (Kind.IMAGE, Kind.VIDEO)} if tables else set()
    for path in tables:
        if os.path.isfile(path) and real_path(path) in paths:
            raise ConfigError(f"--{'json' if path is options.json else 'csv'} {path} would overwrite one of the photos")


def _give_names(names: OutputNames, tasks: Sequence[Task], resumes: bool) -> dict[Task, Names]:
    """The names for every task, in their order."""
    given = {}
    known = {task.found.path for task in tasks if task.found and task.rows}
    for task in tasks:
        path = task.found.path if task.found and not task.rows else None
        if resumes and path is not None and path not in known and names.may_be_result(path):
            text = f"{printable(path)} may be a photo, or what the earlier run wrote"
            raise ConfigError(f"--resume cannot tell: {text}; give --save and --crops a folder without photos")
        every = [names.give(*name) for name in task.names()]
        given[task] = every[0] if every else Names()
    return given


def _say_what_is_done(tasks: Sequence[Task]) -> None:
    done, count = sum(task.is_done for task in tasks), sum(task.found is not None for task in tasks)
    if done:
        what = f"{done} of {count} photos are" if done < count else f"all {count} photos are" if count > 1 else "the photo is"
        say(f"{what} done already")


def _work(tasks: Sequence[Task], given: dict[Task, Names], detector: Detector, sinks: Sequence[Sink]) -> int:
    """Do what is left and hand all results to the sinks; the exit status."""
    status = 0
    left = sum(task.is_left for task in tasks)
    bar = tqdm(total=left, unit="photo", disable=left < 2 or _unless_terminal())
    rest = iter(tasks)
    try:
        for task in rest:
            if task.found is None or task.is_done:
                _keep(task.rows, sinks)
                continue
            for result in _results(task.found, given[task], detector):
                status = 1 if "error" in result.row else status
                for sink in sinks:
                    sink.add(result)
            bar.update()
    except KeyboardInterrupt:
        say("interrupted; the results so far are written")
        status = 130
        _keep(rows_to_begin_with(list(rest)), sinks)
    finally:
        bar.close()
    return status


def _keep(rows: Sequence[Row], sinks: Sequence[Sink]) -> None:
    for row in rows:
        for sink in sinks:
            sink.keep(row)


def _unless_terminal() -> bool | None:
    """What tells tqdm to show a bar on a terminal only; without standard error, to show none."""
    return True if sys.stderr is None else None


def portrait() -> Path:
    """The public-domain portrait of an astronaut that the scikit-image wheel ships.

    Raises:
        ConfigError: if scikit-image is not installed.
    """
    spec = importlib.util.find_spec("skimage")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "data" / "astronaut.png"
        if path.is_file():
            return path
    raise ConfigError('give the path of a photo, or run pip install "mtcnn-gluon[demo]" for a portrait to try')


def _results(found: Found, names: Names, detector: Detector) -> Iterator[Result]:
    """The results for one input: one of a photo, one a frame of a video, one with an error if it cannot be read."""
    row: Row = {**found.label}
    try:
        if found.kind in (Kind.VIDEO, Kind.CAMERA):
            yield from _video_results(found, names, row, detector)
        else:
            image = found.read()
            yield _result(names, row, image, detector.detect(image))
    except ImageError as error:
        message = printable(error)
        say(message)
        yield Result(names, {**row, "width": None, "height": None, "faces": [], "error": message})


def _video_results(found: Found, names: Names, row: Row, detector: Detector) -> Iterator[Result]:
    with Video(int(str(found.path)) if found.kind is Kind.CAMERA else found.path) as video:
        for frame in tqdm(video, total=video.count or None, unit="frame", disable=_unless_terminal(), leave=False):
            about = {**row, "frame": frame.index, "time": round(frame.time, 4)}
            yield _result(names, about, frame.image, detector.detect(frame.image), video.rate)


def _result(names: Names, row: Row, image: np.ndarray, faces: Faces, rate: float = 0.0) -> Result:
    height, width = image.shape[:2]
    return Result(names, {**row, "width": width, "height": height, "faces": faces.to_dicts()}, image, faces, rate)


def _open_sinks(options: argparse.Namespace, stack: ExitStack, names: OutputNames, earlier: Sequence[Row]) -> list[Sink]:
    """The sinks that the options ask for; `earlier` are the rows to go on from."""
    tables: list[Sink] = []
    if options.csv:
        tables.append(CsvTable(options.csv, stack))
    if options.json and options.json != "-":
        tables.append(JsonLines(options.json, earlier, stack))
    others: list[Sink] = []
    if options.json == "-":
        others.append(JsonPrinter())
    elif options.csv != "-" and sys.stdout is not None:
        others.append(Summary())
    if options.save:
        others.append(Pictures(stack))
    if options.crops:
        others.append(Crops(names))
    return [*others, *tables]  # a photo counts as done, for --resume, when all else about it is written


class JsonPrinter:
    """Prints each result's JSON."""

    def add(self, result: Result) -> None:
        """Print it."""
        text = json.dumps(result.row, ensure_ascii=False)
        put_line(text if is_sayable(text) else json.dumps(result.row))

    def keep(self, row: Row) -> None:
        """Nothing to print: only a run with a file is resumed."""

    def close(self) -> None:
        """Nothing to finish."""


class Summary:
    """Prints each result for people."""

    def add(self, result: Result) -> None:
        """Print it; of a video's frames only those with faces."""
        row, faces = result.row, result.faces
        if result.image is None or ("frame" in row and not len(faces)):
            return
        where = f"{row['image']}, frame {row['frame']}" if "frame" in row else row["image"]
        lines = [f"{where}: {len(faces)} face{'' if len(faces) == 1 else 's'}"]
        for box, score in zip(faces.boxes, faces.scores):
            lines.append("  score {:.4f}  box {:.1f} {:.1f} {:.1f} {:.1f}".format(score, *box))
        put_out("\n".join(lines) + "\n")

    def keep(self, row: Row) -> None:
        """Nothing to print: it was printed by the earlier run."""

    def close(self) -> None:
        """Nothing to finish."""


class JsonLines:
    """A JSON Lines file, written line by line so that `--resume` finds what is done even if the process is killed."""

    def __init__(self, path: str, earlier: Sequence[dict[str, Any]], stack: ExitStack) -> None:
        self._rows = RowWriter(path, earlier, stack)

    def add(self, result: Result) -> None:
        """Write a line."""
        self._rows.write(result.row)

    def keep(self, row: Row) -> None:
        """Nothing to write: the file begins with what an earlier run wrote, so that it is never without it."""

    def close(self) -> None:
        """Nothing to finish: the file closes with the run."""


class StandardOutput:
    """What the table is written to for `-`."""

    def write(self, text: str) -> None:
        """Write to standard output."""
        put_out(text)


class CsvTable:
    """A table with one row a face; an image without any has one with their columns empty, so that no image is missing."""

    def __init__(self, path: str, stack: ExitStack) -> None:
        if path == "-":  # lines end as in a file, where standard output does not end them its own way
            self._table = csv.DictWriter(StandardOutput(), CSV_COLUMNS, lineterminator="\r\n" if os.linesep == "\n" else "\n")
        else:
            self._table = csv.DictWriter(stack.enter_context(whole_file(path)), CSV_COLUMNS)
        self._table.writeheader()

    def add(self, result: Result) -> None:
        """Write its faces."""
        self.keep(result.row)

    def keep(self, row: Row) -> None:
        """Write the faces of a row."""
        common = {key: row.get(key) for key in ("image", "frame", "time", "width", "height", "error")}
        for index, face in enumerate(row["faces"]):
            points = {f"{name}_{axis}": v for name, xy in (face.get("landmarks") or {}).items() for axis, v in zip("xy", xy)}
            box = dict(zip(("x1", "y1", "x2", "y2"), face["box"]))
            self._table.writerow({**common, "face": index, **box, "score": face["score"], **points})
        if not row["faces"]:
            self._table.writerow(common)

    def close(self) -> None:
        """Nothing to finish: the file closes with the run."""


class Pictures:
    """A folder of annotated photos, in their own format where it can be written, and of annotated videos as MP4."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._video: tuple[Path, VideoWriter] | None = None

    def add(self, result: Result) -> None:
        """Draw and write it."""
        path = result.names.picture
        if self._video and self._video[0] != path:
            self.close()
        if result.image is None or path is None:
            return
        picture = draw_faces(result.image, result.faces)
        if not result.rate:
            write_picture(path, picture)
            return
        if self._video is None:
            self._video = path, VideoWriter(path, result.rate)
            self._stack.callback(self._video[1].discard)
        self._video[1].add(picture)

    def keep(self, row: Row) -> None:
        """Nothing to draw: the earlier run did."""

    def close(self) -> None:
        """Finish the video that is being written."""
        if self._video:
            self._video[1].close()
            self._video = None


class Crops:
    """A folder of aligned faces."""

    def __init__(self, names: OutputNames) -> None:
        self._names = names

    def add(self, result: Result) -> None:
        """Align and write its faces as NAME-faceN.png, of a video as NAME-frameM-faceN.png."""
        if result.image is not None:
            for index, crop in enumerate(result.faces.align(result.image)):
                path = result.names.crop(index, result.row.get("frame"))
                self._names.check_crop(path)
                write_picture(path, crop)

    def keep(self, row: Row) -> None:
        """Nothing to align: the earlier run did."""

    def close(self) -> None:
        """Nothing to finish."""
