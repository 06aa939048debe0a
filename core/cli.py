"""The command `mtcnn-gluon`."""

import argparse
import csv
import importlib.metadata
import importlib.util
import json
import logging
import platform
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterable, Sequence

import numpy as np
from tqdm import tqdm

from mtcnn_gluon import __version__
from mtcnn_gluon.bundle import find_bundle
from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.detector import Detector
from mtcnn_gluon.draw import draw_faces
from mtcnn_gluon.engines import ENGINES
from mtcnn_gluon.errors import ConfigError, ImageError, MtcnnError
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.files import PICTURE_FORMATS, Found, UniqueNames, find_images, printable, whole_file, write_picture
from mtcnn_gluon.images import read_image

CSV_COLUMNS = [
    "image", "width", "height", "face", "x1", "y1", "x2", "y2", "score",
    *(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy"), "error",
]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 if an input could not be read, 2 for anything else wrong."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except MtcnnError as error:
        print(f"mtcnn-gluon: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mtcnn-gluon: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mtcnn-gluon", description="MTCNN face detection and alignment.")
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_detect(verbs.add_parser("detect", help="find faces and landmarks in photos", description=detect.__doc__))
    info_parser = verbs.add_parser("info", help="say what is installed and usable", description=info.__doc__)
    info_parser.add_argument("--json", action="store_true", help="print JSON")
    info_parser.set_defaults(run=info)
    return parser


def _add_detect(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=detect)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="images, folders (searched with all below), patterns")
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write JSON Lines, one object an image; - for standard output")
    output.add_argument("--csv", metavar="FILE", help="write a table, one row a face")
    output.add_argument("--save", metavar="DIR", help="write the pictures with boxes and landmarks drawn")
    output.add_argument("--crops", metavar="DIR", help="write every face aligned to 112 x 112 (ArcFace template)")
    detector = parser.add_argument_group("detector")
    detector.add_argument("--model", default="default", help="default, official or a bundle folder")
    detector.add_argument("--engine", default="auto", help=f"auto, {', '.join(ENGINES)}")
    detector.add_argument("--device", default="cpu", help="cpu, gpu or gpu:N")
    detector.add_argument("--min-face", type=float, default=20, metavar="N", help="smallest face in pixels (20)")
    detector.add_argument("--factor", type=float, default=0.709, help="scale between pyramid levels (0.709)")
    detector.add_argument("--thresholds", type=float, nargs=3, metavar=("P", "R", "O"), help="face probabilities in 0..1")
    detector.add_argument("--nms", type=float, nargs=4, metavar=("LEVEL", "P", "R", "O"), help="overlaps allowed, in 0..1")
    detector.add_argument("--max-faces", type=int, metavar="N", help="keep only the N best faces of an image")
    detector.add_argument("--threads", type=int, metavar="N", help="CPU threads of the nets")


def detect(options: argparse.Namespace) -> int:
    """Find faces and five landmarks in photos. Without a PATH: in scikit-image's public-domain portrait."""
    inputs = list(find_images(options.paths or [str(portrait())]))
    if not inputs:
        raise ConfigError(f"no image found in {', '.join(options.paths)}")
    names = ("model", "engine", "device", "min_face", "factor", "thresholds", "nms", "max_faces", "threads")
    detector = Detector(**{name: getattr(options, name) for name in names})
    failures = 0
    with ExitStack() as stack:
        sinks = _open_sinks(options, stack, (found.path for found in inputs))
        try:
            for found in tqdm(inputs, unit="photo", disable=None if len(inputs) > 1 else True):
                failures += not _detect_one(found, detector, sinks)
        except KeyboardInterrupt:  # what is done is kept: the files are closed in order
            print("mtcnn-gluon: interrupted; the results so far are written", file=sys.stderr)
            return 130
    return 1 if failures else 0


Sink = Callable[[Found, dict[str, Any], np.ndarray | None, Faces], None]


def _detect_one(found: Found, detector: Detector, sinks: Sequence[Sink]) -> bool:
    """Detect in one file and hand the result to all sinks; false if the file could not be read."""
    row: dict[str, Any] = {"image": printable(found.path)}
    image, faces = None, Faces.empty()
    try:
        image = read_image(found.path)
        faces = detector.detect(image)
        row.update(width=image.shape[1], height=image.shape[0], faces=faces.to_dicts())
    except ImageError as error:
        row.update(width=None, height=None, faces=[], error=printable(error))
        tqdm.write(f"mtcnn-gluon: {row['error']}", file=sys.stderr)
    for sink in sinks:
        sink(found, row, image, faces)
    return "error" not in row


def _open_sinks(options: argparse.Namespace, stack: ExitStack, taken: Iterable[Path]) -> list[Sink]:
    sinks: list[Sink] = []
    if options.json == "-":
        sinks.append(lambda found, row, image, faces: tqdm.write(json.dumps(row, ensure_ascii=False)))
    else:
        sinks.append(_print_summary)
    if options.json and options.json != "-":
        lines = stack.enter_context(whole_file(options.json))
        sinks.append(lambda found, row, image, faces: print(json.dumps(row, ensure_ascii=False), file=lines))
    if options.csv:
        table = csv.DictWriter(stack.enter_context(whole_file(options.csv)), CSV_COLUMNS)
        table.writeheader()
        sinks.append(lambda found, row, image, faces: table.writerows(_csv_rows(row)))
    names = UniqueNames(taken)
    if options.save:
        sinks.append(lambda found, row, image, faces: _save_picture(names, options.save, found, image, faces))
    if options.crops:
        sinks.append(lambda found, row, image, faces: _save_crops(names, options.crops, found, image, faces))
    return sinks


def _print_summary(found: Found, row: dict[str, Any], image: np.ndarray | None, faces: Faces) -> None:
    if image is None:
        return
    tqdm.write(f"{row['image']}: {len(faces)} face{'' if len(faces) == 1 else 's'}")
    for box, score in zip(faces.boxes, faces.scores):
        tqdm.write("  score {:.4f}  box {:.1f} {:.1f} {:.1f} {:.1f}".format(score, *box))


def _csv_rows(row: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a face; an image without faces has one row with these columns empty, so that no image is missing."""
    common = {key: row.get(key) for key in ("image", "width", "height", "error")}
    rows = []
    for index, face in enumerate(row["faces"]):
        points = {f"{name}_{axis}": v for name, xy in face["landmarks"].items() for axis, v in zip("xy", xy)}
        rows.append({**common, "face": index, **dict(zip(("x1", "y1", "x2", "y2"), face["box"])), **points})
        rows[-1]["score"] = face["score"]
    return rows or [common]


def _save_picture(names: UniqueNames, folder: str, found: Found, image: np.ndarray | None, faces: Faces) -> None:
    if image is not None:
        suffix = found.name.suffix if found.name.suffix.lower() in PICTURE_FORMATS else ".png"
        write_picture(names.path(folder, found.name.with_suffix(suffix)), draw_faces(image, faces))


def _save_crops(names: UniqueNames, folder: str, found: Found, image: np.ndarray | None, faces: Faces) -> None:
    if image is not None:
        for index, crop in enumerate(faces.align(image)):
            write_picture(names.path(folder, found.name.with_name(f"{found.name.stem}-face{index}.png")), crop)


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


def info(options: argparse.Namespace) -> int:
    """Say which runtimes and models can be used, or why not."""
    report: dict[str, Any] = {"mtcnn-gluon": __version__, "python": platform.python_version(), "packages": {}}
    for name in ("numpy", "opencv-python", "mxnet", "mxnet-cu112", "gluoncv", "mtcnn"):
        try:
            report["packages"][name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            report["packages"][name] = None
    report["engines"] = {name: _state(partial(Detector, engine=name)) for name in ENGINES}
    report["models"] = {name: _state(partial(find_bundle, name)) for name in ("default", "official")}
    if options.json:
        print(json.dumps(report, indent=2))
        return 0
    for key, value in report.items():
        if not isinstance(value, dict):
            print(f"{key} {value}")
            continue
        print(f"{key}:")
        for name, state in value.items():
            print(f"  {name}: {state or 'not installed'}")
    return 0


def _state(attempt: Callable[[], Any]) -> str:
    try:
        attempt()
    except MtcnnError as error:
        return f"no: {error}"
    return "yes"
