"""The verb `mtcnn-gluon detect`."""

import argparse
import importlib.util
import logging
import os
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Callable, Generator, Iterable, Sequence

from tqdm import tqdm

from mtcnn_gluon.cli.detect_bulk import BulkOptions, check_without_out, detect_bulk
from mtcnn_gluon.cli.detect_outputs import Output, Painter, Result, open_outputs
from mtcnn_gluon.cli.detect_photos import PhotoFinder, WorkOptions, can_be_shared, find_in_photos
from mtcnn_gluon.cli.detect_results import VIDEOS, Finder, no_bar
from mtcnn_gluon.cli.detect_window import Window, why_no_window
from mtcnn_gluon.cli.output import say
from mtcnn_gluon.cli.resume_check import check_same_detector
from mtcnn_gluon.cli.resuming import Row, Task, finished_photos, plan, put_in_order, read_earlier, rows_to_begin_with
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.detection.hide import Hider
from mtcnn_gluon.detection.options import DetectorOptions, VideoOptions
from mtcnn_gluon.detection.video import make_tracker
from mtcnn_gluon.errors import ConfigError, WorkerError, install_command
from mtcnn_gluon.io.files import draft_of, printable, real_path
from mtcnn_gluon.io.images import is_url
from mtcnn_gluon.io.inputs import Input, InputKind, Search
from mtcnn_gluon.io.output_names import Names, OutputNames
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
    for hiding, how in (("blur", "blurred"), ("pixelate", "as coarse squares")):
        text = f"instead of drawing, show every face {how} in what --save and --show give"
        output.add_argument(f"--{hiding}", action="append_const", const=hiding, dest="hide", help=text)
    output.add_argument("--resume", action="store_true", help="skip the photos that an earlier run wrote to --json FILE")
    output.add_argument("--quiet", action="store_true", help="print no summary, notes or progress, only errors")
    add_arguments(parser.add_argument_group("processes"), WorkOptions)
    many = parser.add_argument_group("millions of photos")
    add_arguments(many, BulkOptions)
    videos = parser.add_argument_group("videos and cameras")
    add_arguments(videos, VideoOptions)
    shows = "whether to show the frames in a window, which q or Esc closes (cameras, where there is a display)"
    videos.add_argument("--show", action=argparse.BooleanOptionalAction, help=shows)
    add_arguments(parser.add_argument_group("detector"), DetectorOptions)


def detect(options: argparse.Namespace) -> int:
    """Find faces and five landmarks in photos and videos. Without PATH, detect uses scikit-image's public-domain portrait.

    In a folder, detect reads every file with the ending of a known image or video format, and every file without an ending
    whose content is an image. The number of skipped files goes to standard error. HEIC needs the
    package pillow-heif. Of videos, every frame has its faces; --save makes an MP4 file with the sound.
    """
    workers = from_arguments(WorkOptions, options).workers
    if options.out is not None:
        return detect_bulk(options, workers)
    check_without_out(options)
    _check_outputs(options)
    say_more = _silent if options.quiet else say
    tables = [path for path in (options.json, options.csv) if path and path != "-"]
    files = [*tables, *(str(draft_of(Path(path))) for path in tables)]
    folders = [folder for folder in (options.save, options.crops) if folder]
    search = Search(options.paths or [str(portrait())], result_folders=folders, result_files=files)
    for note in search.notes():
        say_more(note)
    if not search.found:
        raise ConfigError(f"no image found in {', '.join(options.paths)}, and no video")
    _check_inputs(options, tables, search.found)
    video_options = from_arguments(VideoOptions, options)
    if has_videos := any(each.kind in VIDEOS for each in search.found):
        make_tracker(video_options, 1.0)  # so that a missing package is said at once
    earlier = read_earlier(Path(options.json)) if options.resume else []
    tasks = plan(earlier, search.found)
    shows_window = _shows_window(options, search.found)
    names = OutputNames(options.save, options.crops, [*files, *(each.path for each in search.found)])
    given = _give_names(names, tasks, bool(earlier))
    _say_what_is_done(tasks, say_more)
    detector_options = from_arguments(DetectorOptions, options)
    detector = Detector(**vars(detector_options))
    if options.crops and not detector.has_landmarks:
        raise ConfigError(f"--crops aligns faces by landmarks, and model {options.model} was trained without")
    say_more(f"licence of model {detector.bundle.manifest['name']}: {detector.bundle.manifest['licence']}")
    if earlier:
        check_same_detector(Path(options.json), finished_photos(tasks), detector)
    has_videos = has_videos or any("frame" in row for row in earlier)
    hiding = options.hide[0] if options.hide else None
    painter = Painter(Hider(hiding, detector.detect) if hiding else None)
    photo_finder = PhotoFinder(detector, hiding)
    finder = Finder(detector, photo_finder, video_options, options.quiet)
    shared = [(task.input, given[task]) for task in tasks if task.is_left and task.input and can_be_shared(task.input)]
    photos = find_in_photos(shared, photo_finder, detector_options, hiding, workers or 1)
    with ExitStack() as stack:
        if options.quiet:
            _only_errors(stack)
        outputs = open_outputs(options, stack, names, rows_to_begin_with(tasks), painter, has_videos)
        if shows_window:
            outputs.append(Window(painter))
        status = _run(tasks, given, photos, finder, outputs, options.quiet)
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
    if len(set(options.hide or ())) > 1:
        raise ConfigError("--blur and --pixelate exclude each other")
    if options.hide and not options.save and not options.show:
        raise ConfigError(f"--{options.hide[0]} needs --save DIR or --show, for the pictures without faces")
    if options.hide and options.max_faces is not None:
        raise ConfigError(f"--{options.hide[0]} hides all faces, and --max-faces would leave some visible: give one of them")
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


def _shows_window(options: argparse.Namespace, inputs: Sequence[Input]) -> bool:
    """Whether to show videos in a window. Raises ConfigError if one is asked for that cannot be opened."""
    wants = any(each.kind is InputKind.CAMERA for each in inputs) if options.show is None else options.show
    if options.show and not any(each.kind in VIDEOS for each in inputs):
        raise ConfigError("--show is for videos and cameras, and none is given; --save DIR writes the pictures")
    reason = why_no_window() if wants else ""
    if reason and options.show:
        raise ConfigError(f"--show cannot open a window: {reason}")
    return wants and not reason


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


def _silent(sentence: str) -> None:
    """Say nothing, in the place of `say`."""


def _only_errors(stack: ExitStack) -> None:
    """Silence the warnings about models until the stack is left."""
    logger = logging.getLogger("mtcnn_gluon")
    stack.callback(logger.setLevel, logger.level)
    logger.setLevel(logging.ERROR)


def _say_what_is_done(tasks: Sequence[Task], say_more: Callable[[str], None]) -> None:
    done, count = sum(task.is_done for task in tasks), sum(task.input is not None for task in tasks)
    if done:
        what = f"{done} of {count} photos are" if done < count else f"all {count} photos are" if count > 1 else "the photo is"
        say_more(f"{what} done already")


def _run(
    tasks: Sequence[Task], given: dict[Task, Names], photos: Generator[Result, None, None], finder: Finder,
    outputs: Sequence[Output], is_quiet: bool,
) -> int:  # fmt: skip
    """Process what is left and pass all results to the outputs; returns the exit status.

    `photos` gives the results for the photos that can be shared, in the order of the tasks, and `finder` works on the others.
    """
    status = count = 0
    left = sum(task.is_left for task in tasks)
    bar = tqdm(total=left, unit="photo", disable=left < 2 or no_bar(is_quiet))
    rest = iter(tasks)
    try:
        with closing(photos):
            for task in rest:
                if task.input is None or task.is_done:
                    _keep(task.rows, outputs)
                    continue
                is_shared = can_be_shared(task.input)
                if _pass_on([next(photos)] if is_shared else finder.results(task.input, given[task]), outputs):
                    status = 1
                count += 1
                bar.update()
    except (KeyboardInterrupt, WorkerError) as error:
        if isinstance(error, WorkerError) and not count:  # the files of an earlier run stay
            raise
        status, why = (2, str(error)) if isinstance(error, WorkerError) else (130, "interrupted")
        say(f"{why}; the results so far are written")
        _cut_off(outputs)
        _keep(rows_to_begin_with(list(rest)), outputs)
    finally:
        bar.close()
    return status


def _pass_on(results: Iterable[Result], outputs: Sequence[Output]) -> bool:
    """Pass the results for one input to the outputs; returns whether it could not be read."""
    has_error = False
    for result in results:
        if "error" in result.row:
            has_error = True
            say(result.row["error"])
        for output in outputs:
            output.add(result)
        if any(output.asks_to_stop for output in outputs):
            _cut_off(outputs)
            break
    return has_error


def _cut_off(outputs: Sequence[Output]) -> None:
    for output in outputs:
        output.cut_off()


def _keep(rows: Sequence[Row], outputs: Sequence[Output]) -> None:
    for row in rows:
        for output in outputs:
            output.keep(row)


def portrait() -> Path:
    """The public-domain portrait of an astronaut in scikit-image. Raises ConfigError if that is not installed."""
    spec = importlib.util.find_spec("skimage")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "data" / "astronaut.png"
        if path.is_file():
            return path
    raise ConfigError(f"give the path of a photo, or run {install_command('demo')} for a portrait to try")
