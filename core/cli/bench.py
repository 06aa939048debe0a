"""The verb `mtcnn-gluon bench`."""

import argparse
import os
import platform
import sys
import time
from functools import partial
from pathlib import Path
from typing import Mapping, Sequence

import cv2
from tqdm import tqdm

from mtcnn_gluon.bench import contest
from mtcnn_gluon.bench.accuracy import Accuracy, measure, read_annotated
from mtcnn_gluon.bench.contenders import FIXED, PEER_FILES, PEER_MODULES, SEVERAL, engine_contenders, peer_contenders
from mtcnn_gluon.bench.engine import OFFICIAL
from mtcnn_gluon.bench.pictures import accuracy_figure
from mtcnn_gluon.bench.report import Machine, make_report, write_bench
from mtcnn_gluon.bench.single_shot import SMALLEST
from mtcnn_gluon.cli.detect import portrait
from mtcnn_gluon.cli.output import put_line
from mtcnn_gluon.engines import ENGINES
from mtcnn_gluon.errors import ConfigError, ImageError
from mtcnn_gluon.evaluation.report import Report, json_text
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.io.files import printable, whole_file
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.io.inputs import Search
from mtcnn_gluon.io.processes import usable_processors
from mtcnn_gluon.operators.native import instruction_set, peak_flops
from mtcnn_gluon.options import add_arguments, from_arguments

SIZES = ((500, 375), (640, 480), (1920, 1080))  # width, height that the portrait is scaled to


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.set_defaults(run=bench)
    tested = parser.add_argument_group("contenders")
    text = f"own engines (those that can be used here of {' '.join(ENGINES)})"
    tested.add_argument("--engines", nargs="*", metavar="E", help=text)
    text = f"models of the own engines; all but {OFFICIAL} at their own thresholds ({OFFICIAL})"
    tested.add_argument("--models", nargs="+", default=[OFFICIAL], metavar="[NAME=]MODEL", help=text)
    files = ", ".join((*SEVERAL, *PEER_FILES))
    text = (
        f"other packages, each with the Python it is installed in: {', '.join(PEER_MODULES)} (those installed here that need "
        f"no download); other detectors as ONNX files: {files}, where yunet stands for it in OpenCV and on ONNX Runtime"
    )
    tested.add_argument("--peers", nargs="*", metavar="NAME[=PYTHON|FILE]", help=text)
    rules = parser.add_argument_group(
        "rules, the same for all",
        f"Photos are scaled for YuNet so that the smallest face has {SMALLEST} pixels. The smallest face makes no difference "
        f"to {', '.join(FIXED)}, which look at every photo at 640 x 640.",
    )
    text = "photos, folders or globs; with --annotations, the folder of all photos (a portrait in 3 sizes)"
    rules.add_argument("--photos", nargs="+", default=[], metavar="PATH", help=text)
    text = "annotated faces of the photos: a list, as for evaluate wider; adds what is found to each time"
    rules.add_argument("--annotations", metavar="FILE", help=text)
    text = "use only N photos of --annotations, spread evenly over the list"
    rules.add_argument("--limit", type=int, metavar="N", help=text)
    add_arguments(rules, contest.Rules, leave_out=("factor", "thresholds"))
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write the figures as JSON; - for standard output")
    output.add_argument("--report", metavar="DIR", help="write Markdown, JSON and a picture")
    output.add_argument("--plot", metavar="FILE.png", help="draw average precision over time; needs --annotations")


def bench(options: argparse.Namespace) -> int:
    """Time whole detection with this package's engines, other packages and other detectors, all with the same photos and
    settings, and measure what they find of annotated faces."""
    rules = from_arguments(contest.Rules, options)
    _check(options)
    contenders = [*engine_contenders(options.engines, options.models), *peer_contenders(options.peers)]
    if not contenders:
        raise ConfigError("nothing to time: give --engines or --peers")
    annotated = read_annotated(options.annotations, options.photos[0], options.limit) if options.annotations else None
    photos, unread = (annotated.photos, annotated.unread) if annotated else read_photos(options.photos)
    for reason in unread:
        print(f"mtcnn-gluon: {reason}", file=sys.stderr)
    if not photos:
        raise ImageError("no photo could be read")
    here = Machine(machine(), busy_processors(), instruction_set(), peak_flops())
    turns = rules.count_turns(len(photos), annotated is not None)
    with tqdm(total=turns, unit="photo", disable=None) as bar:
        timings, lost = contest.run(contenders, photos, rules, partial(bar.update, 1), annotated is not None)
    absent = contest.absent(contenders, lost)
    for name, reason in lost.items():
        print(f"mtcnn-gluon: {'note: ' if name in absent else ''}{name} left out: {reason}", file=sys.stderr)
    if not timings:
        raise ConfigError("no contender could be timed")
    accuracies = measure(annotated, timings) if annotated else {}
    report = make_report(photos, timings, lost, rules, here, absent, annotated, accuracies)
    _write(report, photos, timings, accuracies, options)
    return 1 if set(lost) - absent or unread or report.has_faults else 0


def _check(options: argparse.Namespace) -> None:
    """Refuse options that cannot work, before any long work begins."""
    if options.report or options.plot:
        need("matplotlib.figure", "drawing times")
    if options.limit is not None and options.limit < 1:
        raise ConfigError(f"limit must be a whole number, 1 or more, not {options.limit}")
    if options.annotations:
        if len(options.photos) != 1 or not os.path.isdir(options.photos[0]):
            raise ConfigError("--annotations needs --photos DIR, the folder of all photos")
        return
    for name in ("plot", "limit"):
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name} needs --annotations, a list of annotated faces")


def _write(
    report: Report, photos: Sequence[contest.BenchPhoto], timings: Sequence[contest.Timing], accuracies: Mapping[str, Accuracy],
    options: argparse.Namespace,
) -> None:  # fmt: skip
    """Print the report and write the files that the options name."""
    if options.json == "-":
        sys.stdout.write(json_text(report.to_json()))
    else:
        put_line(report.to_text())
        if options.json:
            with whole_file(options.json) as file:
                file.write(json_text(report.to_json()))
    for source, problems in report.problems.items():
        if problems:
            print(f"mtcnn-gluon: problems with {source}:\n{problems.summary()}", file=sys.stderr)
    if options.report:
        write_bench(report, photos, timings, options.report)
    if options.plot:
        with whole_file(options.plot, "wb") as file:
            accuracy_figure(timings, accuracies).savefig(file, format="png")


def read_photos(paths: Sequence[str]) -> tuple[list[contest.BenchPhoto], list[str]]:
    """The readable photos (without `paths`, the portrait in `SIZES`), and why the others cannot be read."""
    if not paths:
        image = read_image(portrait())
        scaled = ((w, h, cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)) for w, h in SIZES)
        return [contest.BenchPhoto(f"portrait {w} x {h}", each) for w, h, each in scaled], []
    photos, unread = [], []
    search = Search(paths, takes_videos=False)
    for note in search.notes():
        print(f"mtcnn-gluon: {note}", file=sys.stderr)
    for found in search.found:
        try:
            photos.append(contest.BenchPhoto(printable(found.name), found.read()))
        except ImageError as error:
            unread.append(str(error))
    return photos, unread


def busy_processors(seconds: float = 1.0) -> float:
    """How many processors other programs use, measured over some seconds; 0 if the system has no /proc."""
    if not Path("/proc/stat").is_file():
        return 0.0

    def busy() -> float:
        user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
        return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")

    before, own = busy(), time.process_time()
    time.sleep(seconds)
    return max(0.0, busy() - before - (time.process_time() - own)) / seconds


def machine() -> str:
    """The processor and the system in a few words."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        name = models[0] if models else name
    return f"{name}, {usable_processors()} processors, {platform.system()}, Python {platform.python_version()}"
