"""Where `detect` writes its results: standard output, tables, pictures and crops."""

import argparse
import csv
import json
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Sequence

import numpy as np

from mtcnn_gluon.cli.output import can_print, put_line, put_out, say
from mtcnn_gluon.cli.resuming import Row
from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.detection.draw import draw_faces
from mtcnn_gluon.detection.hide import Hider
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.io.files import whole_file, write_picture
from mtcnn_gluon.io.json_lines import RowWriter
from mtcnn_gluon.io.output_names import Names, OutputNames
from mtcnn_gluon.io.video_writer import VideoWriter, has_pyav, what_opencv_lacks

CSV_COLUMNS = [
    "image", "frame", "time", "width", "height", "face", "x1", "y1", "x2", "y2", "score",
    *(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy"), "error",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Result:
    """The detections in one photo or frame."""

    names: Names  # file names for the picture and the crops
    row: Row  # the JSON object for the result
    image: np.ndarray | None = None  # (H, W, 3) uint8 RGB; None if it could not be read
    faces: Faces = field(default_factory=Faces.empty)
    clip: "Clip | None" = None  # the video of a frame
    time: float = 0.0  # of a frame, in seconds


@dataclass(frozen=True)
class Clip:
    """A video or a camera that is processed."""

    rate: float  # frames per second
    source: Path | None  # the file; None for a camera


class Painter:
    """Makes the picture of a result: with the faces drawn, or hidden if there is a `hider`."""

    def __init__(self, hider: Hider | None = None) -> None:
        self._hider = hider
        self._last: tuple[Result, np.ndarray] | None = None  # several outputs may ask for the same

    def paint(self, result: Result) -> np.ndarray:
        """The picture (H, W, 3) uint8 RGB of a result that has an image."""
        if self._last is None or self._last[0] is not result:
            self._last = result, self._painted(result)
        return self._last[1]

    def _painted(self, result: Result) -> np.ndarray:
        assert result.image is not None
        if self._hider is None:
            return draw_faces(result.image, result.faces)
        if result.clip is None:
            return self._hider.photo(result.image, result.faces)
        return self._hider.frame(result.image, result.faces, result.time)


class Output:
    """Receives the results of a run, one by one.

    Attributes:
        asks_to_stop: whether the rest of the present video is not wanted.
    """

    asks_to_stop = False

    def add(self, result: Result) -> None:
        """Write one result."""
        raise NotImplementedError

    def keep(self, row: Row) -> None:
        """Accept a row of an earlier run at its place in the order. Most outputs already hold it."""

    def cut_off(self) -> None:
        """The last input is not whole, since the run was interrupted."""

    def close(self) -> None:
        """Finish after the last result. It is not called if the run ends with an error."""


def open_outputs(
    options: argparse.Namespace,
    stack: ExitStack,
    names: OutputNames,
    earlier: Sequence[Row],
    painter: Painter,
    has_videos: bool,
) -> list[Output]:
    """The outputs that the options of `detect` ask for.

    `stack` closes the files, `names` checks the names of crops, the JSON file begins with the rows `earlier`, `painter` makes
    the pictures, and with `has_videos` the table has a column for ids.
    """
    outputs: list[Output] = []
    if options.json == "-":
        outputs.append(_JsonPrinter())
    elif options.csv != "-" and sys.stdout is not None and not options.quiet:
        outputs.append(_Summary())
    if options.save:
        outputs.append(_PictureFolder(stack, painter, options.quiet))
    if options.crops:
        outputs.append(_CropFolder(names))
    # Tables come last: --resume skips the photos in them, so the other outputs of a photo must be written before.
    if options.csv:
        outputs.append(_CsvTable(options.csv, stack, has_videos))
    if options.json and options.json != "-":
        outputs.append(_JsonFile(options.json, earlier, stack))
    return outputs


class _JsonPrinter(Output):
    """JSON Lines on standard output."""

    def add(self, result: Result) -> None:
        text = json.dumps(result.row, ensure_ascii=False)
        put_line(text if can_print(text) else json.dumps(result.row))


class _Summary(Output):
    """Readable text on standard output: every face of a photo, and one line for a video."""

    def __init__(self) -> None:
        self._video: Row = {}  # a row of the present video
        self._frames = self._with_faces = 0
        self._ids: set[int] | None = None

    def add(self, result: Result) -> None:
        row, faces = result.row, result.faces
        if self._video and (row["image"] != self._video["image"] or not row.get("frame")):
            self.close()
        if "frame" in row:
            self._add_frame(row, faces)
        elif result.image is not None:
            lines = [f"{row['image']}: {_counted(len(faces), 'face')}\n"]
            for box, score in zip(faces.boxes, faces.scores):
                lines.append("  score {:.4f}  box {:.1f} {:.1f} {:.1f} {:.1f}\n".format(score, *box))
            put_out("".join(lines))

    def close(self) -> None:
        if not self._video:
            return
        name, self._video = self._video["image"], {}
        text = f"{name}: {_counted(self._frames, 'frame')}, {self._with_faces} with faces"
        put_line(text if self._ids is None else f"{text}, {_counted(len(self._ids), 'different face')}")

    def _add_frame(self, row: Row, faces: Faces) -> None:
        if not self._video:
            self._frames = self._with_faces = 0
            self._ids = None if faces.ids is None else set()
        self._video = row
        self._frames += 1
        self._with_faces += len(faces) > 0
        if self._ids is not None and faces.ids is not None:
            self._ids.update(map(int, faces.ids))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


class _JsonFile(Output):
    """A JSON Lines file, written line by line, so that `--resume` works even if the process is killed."""

    def __init__(self, path: str, earlier: Sequence[Row], stack: ExitStack) -> None:
        self._rows = RowWriter(path, earlier, stack)

    def add(self, result: Result) -> None:
        self._rows.write(result.row)


class _CsvTable(Output):
    """A table with one row per face. An image without faces has one row, where the columns of the face are empty.

    With `has_videos` it has the column `id`, which is empty for photos and where faces are not tracked.
    """

    def __init__(self, path: str, stack: ExitStack, has_videos: bool) -> None:
        target: Any = SimpleNamespace(write=put_out) if path == "-" else stack.enter_context(whole_file(path))
        is_translated = path == "-" and os.linesep != "\n"  # standard output converts line ends
        columns = [*CSV_COLUMNS]
        if has_videos:
            columns.insert(columns.index("face") + 1, "id")
        line_end = "\n" if is_translated else "\r\n"
        self._table = csv.DictWriter(target, columns, lineterminator=line_end, extrasaction="ignore")
        self._table.writeheader()

    def add(self, result: Result) -> None:
        self.keep(result.row)

    def keep(self, row: Row) -> None:
        common = {key: row.get(key) for key in ("image", "frame", "time", "width", "height", "error")}
        for index, face in enumerate(row["faces"]):
            points = {f"{name}_{axis}": v for name, xy in (face.get("landmarks") or {}).items() for axis, v in zip("xy", xy)}
            box = dict(zip(("x1", "y1", "x2", "y2"), face["box"]))
            self._table.writerow({**common, "face": index, "id": face.get("id"), **box, "score": face["score"], **points})
        if not row["faces"]:
            self._table.writerow(common)


class _PictureFolder(Output):
    """A folder of photos with the faces drawn or hidden, in their own format if possible, and of videos as MP4."""

    def __init__(self, stack: ExitStack, painter: Painter, is_quiet: bool) -> None:
        self._stack, self._painter = stack, painter
        self._video: tuple[Path, VideoWriter] | None = None
        self._says_what_lacks = not is_quiet and not has_pyav()

    def add(self, result: Result) -> None:
        path = result.names.picture
        if self._video and self._video[0] != path:
            self.close()
        if path is None:
            return
        if result.image is None:
            self.cut_off()  # a damaged video
        elif result.clip is None:
            write_picture(path, self._painter.paint(result))
        else:
            self._add_frame(path, result, result.clip)

    def cut_off(self) -> None:
        self._finish(is_whole=False)

    def close(self) -> None:
        self._finish(is_whole=True)

    def _add_frame(self, path: Path, result: Result, clip: Clip) -> None:
        if self._video is None:
            self._video = path, VideoWriter(path, clip.rate, clip.source)
            self._stack.callback(self._video[1].discard)
            if self._says_what_lacks:
                say(what_opencv_lacks())
                self._says_what_lacks = False
        self._video[1].add(self._painter.paint(result), result.time)

    def _finish(self, is_whole: bool) -> None:
        if self._video:
            self._video[1].close(is_whole)
            self._video = None


class _CropFolder(Output):
    """A folder of aligned faces: NAME-faceN.png, or NAME-frameM-faceN.png for videos."""

    def __init__(self, names: OutputNames) -> None:
        self._names = names

    def add(self, result: Result) -> None:
        if result.image is not None:
            for index, crop in enumerate(result.faces.align(result.image)):
                path = result.names.crop(index, result.row.get("frame"))
                self._names.check_crop(path)
                write_picture(path, crop)
