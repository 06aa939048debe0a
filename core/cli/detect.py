"""The verb `mtcnn-gluon detect`."""

import argparse
import importlib.util
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from mtcnn_gluon.cli.detect_outputs import Output, Result, open_outputs
from mtcnn_gluon.cli.output import say
from mtcnn_gluon.cli.resume_check import check_same_detector
from mtcnn_gluon.cli.resuming import Row, Task, finished_photos, plan, put_in_order, read_earlier, rows_to_begin_with
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.detection.options import DetectorOptions
from mtcnn_gluon.errors import ConfigError, ImageError, install_command
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.io.files import draft_of, printable, real_path
from mtcnn_gluon.io.images import is_url
from mtcnn_gluon.io.inputs import Input, InputKind, Search
from mtcnn_gluon.io.output_names import Names, OutputNames
from mtcnn_gluon.io.video import Video
from mtcnn_gluon.options import add_arguments, from_arguments


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `detect`."""
    parser.set_defaults(run=detect)
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="photos, videos, folders (with all subfolders), patterns, camera numbers, - for a photo on standard input",
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write JSON Lines, one object per image; - for standard output")
    output.add_argument("--csv", metavar="FILE", help="write a table, one row per face; - for standard output")
    output.add_argument("--save", metavar="DIR", help="write the pictures or videos with boxes and landmarks drawn")
    output.add_argument("--crops", metavar="DIR", help="write every face aligned to 112 x 112 (ArcFace template)")
    output.add_argument("--resume", action="store_true", help="skip the photos that an earlier run wrote to --json FILE")
    add_arguments(parser.add_argument_group("detector"), DetectorOptions)


def detect(options: argparse.Namespace) -> int:
    """Find faces and five landmarks in photos and videos. Without PATH, detect uses scikit-image's public-domain portrait.

    In a folder, detect reads every file with the ending of a known image or video format, and every file without an ending
    whose content is an image. The number of skipped files goes to standard error. HEIC needs the
    package pillow-heif.
    """
    _check_outputs(options)
    tables = [path for path in (options.json, options.csv) if path and path != "-"]
    files = [*tables, *(str(draft_of(Path(path))) for path in tables)]
    folders = [folder for folder in (options.save, options.crops) if folder]
    search = Search(options.paths or [str(portrait())], result_folders=folders, result_files=files)
    for note in search.notes():
        say(note)
    if not search.found:
        raise ConfigError(f"no image found in {', '.join(options.paths)}, and no video")
    _check_inputs(options, tables, search.found)
    earlier = read_earlier(Path(options.json)) if options.resume else []
    tasks = plan(earlier, search.found)
    names = OutputNames(options.save, options.crops, [*files, *(each.path for each in search.found)])
    given = _give_names(names, tasks, bool(earlier))
    _say_what_is_done(tasks)
    detector = Detector(**vars(from_arguments(DetectorOptions, options)))
    if options.crops and not detector.has_landmarks:
        raise ConfigError(f"--crops aligns faces by landmarks, and model {options.model} was trained without")
    say(f"licence of model {detector.bundle.manifest['name']}: {detector.bundle.manifest['licence']}")
    if earlier:
        check_same_detector(Path(options.json), finished_photos(tasks), detector)
    with ExitStack() as stack:
        outputs = open_outputs(options, stack, names, rows_to_begin_with(tasks))
        status = _run(tasks, given, detector, outputs)
        for output in outputs:
            output.close()
    if earlier:
        put_in_order(Path(options.json), search.found)
    return status


def _check_outputs(options: argparse.Namespace) -> None:
    """Refuse unusable output options and combinations of them."""
    for name, kind in (("json", "file"), ("csv", "file"), ("save", "folder"), ("crops", "folder")):
        value = getattr(options, name)
        if value == "" or (value == "-" and kind == "folder") or (value and is_url(value)):
            raise ConfigError(f"--{name} must be a {kind}, not {value!r}")
    if options.resume and options.json in (None, "-"):
        raise ConfigError("--resume needs --json FILE, the file of the earlier run")
    if options.resume and "-" in options.paths:
        raise ConfigError("--resume cannot tell whether the photo on standard input is done")
    if options.json == options.csv == "-":
        raise ConfigError("--json - and --csv - would mix on standard output: give one of them a file")
    if options.json and options.csv and "-" not in (options.json, options.csv):
        taken = {real_path(options.json), real_path(draft_of(Path(options.json)))}
        if real_path(options.csv) in taken and not (os.path.exists(options.csv) and not os.path.isfile(options.csv)):
            raise ConfigError(f"--csv {options.csv} would overwrite what --json {options.json} writes: give it another file")


def _check_inputs(options: argparse.Namespace, tables: Sequence[str], inputs: Sequence[Input]) -> None:
    """Refuse to overwrite a photo with a table."""
    paths = {real_path(each.path) for each in inputs if each.kind in (InputKind.IMAGE, InputKind.VIDEO)} if tables else set()
    for path in tables:
        if os.path.isfile(path) and real_path(path) in paths:
            raise ConfigError(f"--{'json' if path is options.json else 'csv'} {path} would overwrite one of the photos")


def _give_names(names: OutputNames, tasks: Sequence[Task], resumes: bool) -> dict[Task, Names]:
    """The output names of every task; the order of the tasks decides which name gets a number."""
    given = {}
    known = {task.input.path for task in tasks if task.input and task.rows}
    for task in tasks:
        path = task.input.path if task.input and not task.rows else None
        if resumes and path is not None and path not in known and names.may_be_result(path):
            text = f"{printable(path)} may be a photo, or what the earlier run wrote"
            raise ConfigError(f"--resume cannot tell: {text}; give --save and --crops a folder without photos")
        every = [names.give(*name) for name in task.names()]
        given[task] = every[0] if every else Names()
    return given


def _say_what_is_done(tasks: Sequence[Task]) -> None:
    done, count = sum(task.is_done for task in tasks), sum(task.input is not None for task in tasks)
    if done:
        what = f"{done} of {count} photos are" if done < count else f"all {count} photos are" if count > 1 else "the photo is"
        say(f"{what} done already")


def _run(tasks: Sequence[Task], given: dict[Task, Names], detector: Detector, outputs: Sequence[Output]) -> int:
    """Process what is left and pass all results to the outputs; returns the exit status."""
    status = 0
    left = sum(task.is_left for task in tasks)
    bar = tqdm(total=left, unit="photo", disable=left < 2 or _no_bar())
    rest = iter(tasks)
    try:
        for task in rest:
            if task.input is None or task.is_done:
                _keep(task.rows, outputs)
                continue
            for result in _results(task.input, given[task], detector):
                status = 1 if "error" in result.row else status
                for output in outputs:
                    output.add(result)
            bar.update()
    except KeyboardInterrupt:
        say("interrupted; the results so far are written")
        status = 130
        _keep(rows_to_begin_with(list(rest)), outputs)
    finally:
        bar.close()
    return status


def _keep(rows: Sequence[Row], outputs: Sequence[Output]) -> None:
    for row in rows:
        for output in outputs:
            output.keep(row)


def _no_bar() -> bool | None:
    """The argument `disable` of tqdm: None shows a bar on a terminal only, True shows none."""
    return True if sys.stderr is None else None


def portrait() -> Path:
    """The public-domain portrait of an astronaut in scikit-image. Raises ConfigError if that is not installed."""
    spec = importlib.util.find_spec("skimage")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "data" / "astronaut.png"
        if path.is_file():
            return path
    raise ConfigError(f"give the path of a photo, or run {install_command('demo')} for a portrait to try")


def _results(source: Input, names: Names, detector: Detector) -> Iterator[Result]:
    """The results for one input: one for a photo, one per frame of a video, one with an error if it cannot be read."""
    row: Row = {**source.label}
    try:
        if source.kind in (InputKind.VIDEO, InputKind.CAMERA):
            yield from _video_results(source, names, row, detector)
        else:
            image = source.read()
            yield _result(names, row, image, detector.detect(image))
    except ImageError as error:
        message = printable(error)
        say(message)
        yield Result(names, {**row, "width": None, "height": None, "faces": [], "error": message})


def _video_results(source: Input, names: Names, row: Row, detector: Detector) -> Iterator[Result]:
    with Video(int(str(source.path)) if source.kind is InputKind.CAMERA else source.path) as video:
        for frame in tqdm(video, total=video.count or None, unit="frame", disable=_no_bar(), leave=False):
            about = {**row, "frame": frame.index, "time": round(frame.time, 4)}
            yield _result(names, about, frame.image, detector.detect(frame.image), video.rate)


def _result(names: Names, row: Row, image: np.ndarray, faces: Faces, rate: float = 0.0) -> Result:
    height, width = image.shape[:2]
    return Result(names, {**row, "width": width, "height": height, "faces": faces.to_dicts()}, image, faces, rate)
