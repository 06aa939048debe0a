"""The verb `mtcnn-gluon bench`."""

import argparse
import os
import platform
import sys
import time
from functools import partial
from pathlib import Path
from typing import Sequence

import cv2
from tqdm import tqdm

from mtcnn_gluon.bench import contest as bench
from mtcnn_gluon.bench.report import make_report, write_bench
from mtcnn_gluon.cli.detect import portrait
from mtcnn_gluon.cli.output import put_line
from mtcnn_gluon.engines import ENGINES
from mtcnn_gluon.errors import ConfigError, ImageError
from mtcnn_gluon.evaluation.report import json_text
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.io.files import printable, whole_file
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.io.inputs import Search
from mtcnn_gluon.io.processes import usable_processors
from mtcnn_gluon.options import add_arguments, from_arguments

SIZES = ((500, 375), (640, 480), (1920, 1080))  # width, height that the portrait is scaled to


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.set_defaults(run=run)
    tested = parser.add_argument_group("contenders")
    text = f"own engines (those that can be used here of {' '.join(ENGINES)})"
    tested.add_argument("--engines", nargs="*", metavar="E", help=text)
    text = f"other packages, each with the Python it is installed in: {', '.join(bench.PEER_MODULES)} (those installed here)"
    tested.add_argument("--peers", nargs="*", metavar="NAME[=PYTHON]", help=text)
    rules = parser.add_argument_group("rules, the same for all")
    text = "photos, folders or globs (a portrait in 3 sizes)"
    rules.add_argument("--photos", nargs="+", default=[], metavar="PATH", help=text)
    add_arguments(rules, bench.Rules, leave_out=("factor", "thresholds"))
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write the figures as JSON; - for standard output")
    output.add_argument("--report", metavar="DIR", help="write Markdown, JSON and a picture")


def run(options: argparse.Namespace) -> int:
    """Time whole detection with this package's engines and with other packages, all with the same weights, photos and
    settings."""
    rules = from_arguments(bench.Rules, options)
    if options.report:
        need("matplotlib.figure", "drawing times")
    contenders = [*bench.engine_contenders(options.engines), *bench.peer_contenders(options.peers)]
    if not contenders:
        raise ConfigError("nothing to time: give --engines or --peers")
    photos, unread = read_photos(options.photos)
    if not photos:
        raise ImageError("no photo could be read")
    busy = busy_processors()
    with tqdm(total=(rules.rounds + 1) * len(photos), unit="photo", disable=None) as bar:
        outcomes, lost = bench.run(contenders, photos, rules, partial(bar.update, 1))
    absent = bench.absent(contenders, lost)
    for name, reason in lost.items():
        print(f"mtcnn-gluon: {'note: ' if name in absent else ''}{name} left out: {reason}", file=sys.stderr)
    if not outcomes:
        raise ConfigError("no contender could be timed")
    report = make_report(photos, outcomes, lost, rules, machine(), busy, absent)
    if options.json == "-":
        sys.stdout.write(json_text(report.to_json()))
    else:
        put_line(report.to_text())
        if options.json:
            with whole_file(options.json) as file:
                file.write(json_text(report.to_json()))
    if options.report:
        write_bench(report, photos, outcomes, options.report)
    return 1 if set(lost) - absent or unread else 0


def read_photos(paths: Sequence[str]) -> tuple[list[bench.BenchPhoto], int]:
    """The readable photos (without `paths`, the portrait in `SIZES`), and the number of unreadable ones, which are reported."""
    if not paths:
        image = read_image(portrait())
        scaled = ((w, h, cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)) for w, h in SIZES)
        return [bench.BenchPhoto(f"portrait {w} x {h}", each) for w, h, each in scaled], 0
    photos, unread = [], 0
    search = Search(paths, takes_videos=False)
    for note in search.notes():
        print(f"mtcnn-gluon: {note}", file=sys.stderr)
    for found in search.found:
        try:
            photos.append(bench.BenchPhoto(printable(found.name), found.read()))
        except ImageError as error:
            print(f"mtcnn-gluon: {error}", file=sys.stderr)
            unread += 1
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
