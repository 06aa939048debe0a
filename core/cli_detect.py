"""The verb `mtcnn-gluon detect`."""

import argparse
import csv
import importlib.util
import json
import re
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Iterator, Protocol, Sequence

import numpy as np
from tqdm import tqdm

from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.detector import Detector
from mtcnn_gluon.draw import draw_faces
from mtcnn_gluon.engines import ENGINES
from mtcnn_gluon.errors import ConfigError, ImageError
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.files import PICTURE_FORMATS, Found, UniqueNames, find_images, printable, whole_file, write_picture
from mtcnn_gluon.images import read_image
from mtcnn_gluon.json_lines import RowWriter, read_rows
from mtcnn_gluon.video import Video, VideoWriter, is_video_path

CSV_COLUMNS = [
    "image", "frame", "time", "width", "height", "face", "x1", "y1", "x2", "y2", "score",
    *(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy"), "error",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Result:
    """What was found in one photo or frame.

    Attributes:
        found: the input file.
        row: the JSON object that describes it.
        image: (H, W, 3) uint8, or None if it could not be read.
        faces: the faces in it.
        rate: frames a second, if it is a frame of a video.
    """

    found: Found
    row: dict[str, Any]
    image: np.ndarray | None = None
    faces: Faces = field(default_factory=Faces.empty)
    rate: float = 0.0


class Sink(Protocol):
    """Where results go."""

    def add(self, result: Result) -> None:
        """Take one result."""

    def close(self) -> None:
        """Finish: no result will follow. Not called if the run ends with an error."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `detect`."""
    parser.set_defaults(run=detect)
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="photos, folders (searched with all below), patterns, videos, camera numbers"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write JSON Lines, one object an image; - for standard output")
    output.add_argument("--csv", metavar="FILE", help="write a table, one row a face")
    output.add_argument("--save", metavar="DIR", help="write the pictures or videos with boxes and landmarks drawn")
    output.add_argument("--crops", metavar="DIR", help="write every face aligned to 112 x 112 (ArcFace template)")
    output.add_argument("--resume", action="store_true", help="skip the photos that an earlier run wrote to --json FILE")
    detector = parser.add_argument_group("detector")
    detector.add_argument("--model", default="default", help="a model that info lists, or a bundle folder")
    detector.add_argument("--engine", default="auto", help=f"auto, {', '.join(ENGINES)}")
    detector.add_argument("--device", default="cpu", help="cpu, gpu or gpu:N")
    detector.add_argument("--min-face", type=float, default=20, metavar="N", help="smallest face in pixels (20)")
    detector.add_argument("--factor", type=float, default=0.709, help="scale between pyramid levels (0.709)")
    detector.add_argument("--thresholds", type=float, nargs=3, metavar=("P", "R", "O"), help="face probabilities in 0..1")
    detector.add_argument("--nms", type=float, nargs=4, metavar=("LEVEL", "P", "R", "O"), help="overlaps allowed, in 0..1")
    detector.add_argument("--max-faces", type=int, metavar="N", help="keep only the N best faces of an image")
    detector.add_argument("--threads", type=int, metavar="N", help="CPU threads of the nets")


def detect(options: argparse.Namespace) -> int:
    """Find faces and five landmarks in photos and videos. Without a PATH: in scikit-image's public-domain portrait."""
    if options.resume and options.json in (None, "", "-"):
        raise ConfigError("--resume needs --json FILE, which says what is done")
    inputs = list(find_images(options.paths or [str(portrait())]))
    if not inputs:
        raise ConfigError(f"no image found in {', '.join(options.paths)}")
    earlier = read_done(Path(options.json)) if options.resume else []
    done = {row["image"] for row in earlier}
    names = ("model", "engine", "device", "min_face", "factor", "thresholds", "nms", "max_faces", "threads")
    detector = Detector(**{name: getattr(options, name) for name in names})
    if options.crops and not detector.has_landmarks:
        raise ConfigError(f"--crops aligns faces by landmarks, and model {options.model} was trained without")
    left = [found for found in inputs if printable(found.path) not in done]
    status = 0
    with ExitStack() as stack:
        sinks = _open_sinks(options, stack, inputs, earlier)
        try:
            for found in tqdm(left, unit="photo", disable=None if len(left) > 1 else True):
                for result in _results(found, detector):
                    status = 1 if "error" in result.row else status
                    for sink in sinks:
                        sink.add(result)
        except KeyboardInterrupt:
            print("mtcnn-gluon: interrupted; the results so far are written", file=sys.stderr)
            status = 130
        for sink in sinks:
            sink.close()
    return status


def read_done(path: Path) -> list[dict[str, Any]]:
    """The photos that an earlier run, finished or not, wrote as JSON Lines: not the ones that failed, nor video frames.

    Raises:
        DataError: if the file holds something else; a last line that was cut off is only dropped.
    """
    rows = read_rows(path, ("image", "width", "height", "faces"), "one result of mtcnn-gluon detect")
    return [row for row in rows if "error" not in row and "frame" not in row]


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


def _results(found: Found, detector: Detector) -> Iterator[Result]:
    """The results for one input: one of a photo, one a frame of a video, one with an error if it cannot be read."""
    row: dict[str, Any] = {"image": printable(found.path)}
    is_camera = re.fullmatch("[0-9]{1,3}", str(found.path)) is not None and not found.path.exists()
    try:
        if is_camera or is_video_path(found.path):
            yield from _video_results(found, row, int(str(found.path)) if is_camera else found.path, detector)
        else:
            image = read_image(found.path)
            yield _result(found, row, image, detector.detect(image))
    except ImageError as error:
        message = printable(error)
        tqdm.write(f"mtcnn-gluon: {message}", file=sys.stderr)
        yield Result(found, {**row, "width": None, "height": None, "faces": [], "error": message})


def _video_results(found: Found, row: dict[str, Any], source: Path | int, detector: Detector) -> Iterator[Result]:
    with Video(source) as video:
        for frame in tqdm(video, total=video.count or None, unit="frame", disable=None, leave=False):
            about = {**row, "frame": frame.index, "time": round(frame.time, 4)}
            yield _result(found, about, frame.image, detector.detect(frame.image), video.rate)


def _result(found: Found, row: dict[str, Any], image: np.ndarray, faces: Faces, rate: float = 0.0) -> Result:
    height, width = image.shape[:2]
    return Result(found, {**row, "width": width, "height": height, "faces": faces.to_dicts()}, image, faces, rate)


def _open_sinks(
    options: argparse.Namespace, stack: ExitStack, inputs: Iterable[Found], earlier: Sequence[dict[str, Any]]
) -> list[Sink]:
    """The sinks that the options ask for, with the rows of an earlier run already in the files."""
    names = UniqueNames(found.path for found in inputs)
    tables: list[Sink] = []
    if options.csv:
        tables.append(CsvTable(options.csv, earlier, stack))
    if options.json and options.json != "-":
        tables.append(JsonLines(options.json, earlier, stack))
    others: list[Sink] = [JsonPrinter() if options.json == "-" else Summary()]
    if options.save:
        others.append(Pictures(options.save, names, stack))
    if options.crops:
        others.append(Crops(options.crops, names))
    return [*others, *tables]  # a photo counts as done, for --resume, when all else about it is written


class JsonPrinter:
    """Prints each result's JSON."""

    def add(self, result: Result) -> None:
        """Print it."""
        tqdm.write(json.dumps(result.row, ensure_ascii=False))

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
        tqdm.write(f"{where}: {len(faces)} face{'' if len(faces) == 1 else 's'}")
        for box, score in zip(faces.boxes, faces.scores):
            tqdm.write("  score {:.4f}  box {:.1f} {:.1f} {:.1f} {:.1f}".format(score, *box))

    def close(self) -> None:
        """Nothing to finish."""


class JsonLines:
    """A JSON Lines file, written line by line so that `--resume` finds what is done even if the process is killed."""

    def __init__(self, path: str, earlier: Sequence[dict[str, Any]], stack: ExitStack) -> None:
        self._rows = RowWriter(path, earlier, stack)

    def add(self, result: Result) -> None:
        """Write a line."""
        self._rows.write(result.row)

    def close(self) -> None:
        """Nothing to finish: the file closes with the run."""


class CsvTable:
    """A table with one row a face."""

    def __init__(self, path: str, earlier: Sequence[dict[str, Any]], stack: ExitStack) -> None:
        self._table = csv.DictWriter(stack.enter_context(whole_file(path)), CSV_COLUMNS)
        self._table.writeheader()
        for row in earlier:
            self._write(row)

    def add(self, result: Result) -> None:
        """Write its faces; an image without any gets one row with their columns empty, so that no image is missing."""
        self._write(result.row)

    def _write(self, row: dict[str, Any]) -> None:
        common = {key: row.get(key) for key in ("image", "frame", "time", "width", "height", "error")}
        for index, face in enumerate(row["faces"]):
            points = {f"{name}_{axis}": v for name, xy in (face["landmarks"] or {}).items() for axis, v in zip("xy", xy)}
            box = dict(zip(("x1", "y1", "x2", "y2"), face["box"]))
            self._table.writerow({**common, "face": index, **box, "score": face["score"], **points})
        if not row["faces"]:
            self._table.writerow(common)

    def close(self) -> None:
        """Nothing to finish: the file closes with the run."""


class Pictures:
    """A folder of annotated photos, in their own format where it can be written, and of annotated videos as MP4."""

    def __init__(self, folder: str, names: UniqueNames, stack: ExitStack) -> None:
        self._folder, self._names, self._stack = folder, names, stack
        self._video: tuple[Found, VideoWriter] | None = None

    def add(self, result: Result) -> None:
        """Draw and write it."""
        if self._video and self._video[0] is not result.found:
            self.close()
        if result.image is None:
            return
        name, picture = result.found.name, draw_faces(result.image, result.faces)
        if not result.rate:
            suffix = name.suffix if name.suffix.lower() in PICTURE_FORMATS else ".png"
            write_picture(self._names.path(self._folder, name.with_suffix(suffix)), picture)
            return
        if self._video is None:
            path = self._names.path(self._folder, name.with_suffix(".mp4"))
            self._video = result.found, VideoWriter(path, result.rate)
            self._stack.callback(self._video[1].discard)
        self._video[1].add(picture)

    def close(self) -> None:
        """Finish the video that is being written."""
        if self._video:
            self._video[1].close()
            self._video = None


class Crops:
    """A folder of aligned faces."""

    def __init__(self, folder: str, names: UniqueNames) -> None:
        self._folder, self._names = folder, names

    def add(self, result: Result) -> None:
        """Align and write its faces as NAME-faceN.png, of a video as NAME-frameM-faceN.png."""
        if result.image is not None:
            name = result.found.name
            stem = f"{name.stem}-frame{result.row['frame']}" if "frame" in result.row else name.stem
            for index, crop in enumerate(result.faces.align(result.image)):
                write_picture(self._names.path(self._folder, name.with_name(f"{stem}-face{index}.png")), crop)

    def close(self) -> None:
        """Nothing to finish."""
