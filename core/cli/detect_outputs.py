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

from mtcnn_gluon.cli.output import can_print, put_line, put_out
from mtcnn_gluon.cli.resuming import Row
from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.detection.draw import draw_faces
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.io.files import whole_file, write_picture
from mtcnn_gluon.io.json_lines import RowWriter
from mtcnn_gluon.io.output_names import Names, OutputNames
from mtcnn_gluon.io.video import VideoWriter

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
    rate: float = 0.0  # frames per second for a frame of a video, otherwise 0


class Output:
    """Receives the results of a run, one by one."""

    def add(self, result: Result) -> None:
        """Write one result."""
        raise NotImplementedError

    def keep(self, row: Row) -> None:
        """Accept a row of an earlier run at its place in the order. Most outputs already hold it."""

    def close(self) -> None:
        """Finish after the last result. It is not called if the run ends with an error."""


def open_outputs(options: argparse.Namespace, stack: ExitStack, names: OutputNames, earlier: Sequence[Row]) -> list[Output]:
    """The outputs that the options of `detect` ask for.

    `stack` closes the files, `names` checks the names of crops, and the JSON file begins with the rows `earlier`.
    """
    outputs: list[Output] = []
    if options.json == "-":
        outputs.append(_JsonPrinter())
    elif options.csv != "-" and sys.stdout is not None:
        outputs.append(_Summary())
    if options.save:
        outputs.append(_PictureFolder(stack))
    if options.crops:
        outputs.append(_CropFolder(names))
    # Tables come last: --resume skips the photos in them, so the other outputs of a photo must be written before.
    if options.csv:
        outputs.append(_CsvTable(options.csv, stack))
    if options.json and options.json != "-":
        outputs.append(_JsonFile(options.json, earlier, stack))
    return outputs


class _JsonPrinter(Output):
    """JSON Lines on standard output."""

    def add(self, result: Result) -> None:
        text = json.dumps(result.row, ensure_ascii=False)
        put_line(text if can_print(text) else json.dumps(result.row))


class _Summary(Output):
    """Readable text on standard output, without the frames that show no face."""

    def add(self, result: Result) -> None:
        row, faces = result.row, result.faces
        if result.image is None or ("frame" in row and not len(faces)):
            return
        where = f"{row['image']}, frame {row['frame']}" if "frame" in row else row["image"]
        lines = [f"{where}: {len(faces)} face{'' if len(faces) == 1 else 's'}\n"]
        for box, score in zip(faces.boxes, faces.scores):
            lines.append("  score {:.4f}  box {:.1f} {:.1f} {:.1f} {:.1f}\n".format(score, *box))
        put_out("".join(lines))


class _JsonFile(Output):
    """A JSON Lines file, written line by line, so that `--resume` works even if the process is killed."""

    def __init__(self, path: str, earlier: Sequence[Row], stack: ExitStack) -> None:
        self._rows = RowWriter(path, earlier, stack)

    def add(self, result: Result) -> None:
        self._rows.write(result.row)


class _CsvTable(Output):
    """A table with one row per face. An image without faces has one row, where the columns of the face are empty."""

    def __init__(self, path: str, stack: ExitStack) -> None:
        target: Any = SimpleNamespace(write=put_out) if path == "-" else stack.enter_context(whole_file(path))
        is_translated = path == "-" and os.linesep != "\n"  # standard output converts line ends
        self._table = csv.DictWriter(target, CSV_COLUMNS, lineterminator="\n" if is_translated else "\r\n")
        self._table.writeheader()

    def add(self, result: Result) -> None:
        self.keep(result.row)

    def keep(self, row: Row) -> None:
        common = {key: row.get(key) for key in ("image", "frame", "time", "width", "height", "error")}
        for index, face in enumerate(row["faces"]):
            points = {f"{name}_{axis}": v for name, xy in (face.get("landmarks") or {}).items() for axis, v in zip("xy", xy)}
            box = dict(zip(("x1", "y1", "x2", "y2"), face["box"]))
            self._table.writerow({**common, "face": index, **box, "score": face["score"], **points})
        if not row["faces"]:
            self._table.writerow(common)


class _PictureFolder(Output):
    """A folder of photos with the faces drawn, in their own format if possible, and of videos as MP4."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._video: tuple[Path, VideoWriter] | None = None

    def add(self, result: Result) -> None:
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

    def close(self) -> None:
        if self._video:
            self._video[1].close()
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
