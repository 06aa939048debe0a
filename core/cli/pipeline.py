"""The verb `mtcnn-gluon pipeline`."""

import argparse
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Iterator

from tqdm import tqdm

from mtcnn_gluon.cli.output import put_line
from mtcnn_gluon.errors import MtcnnError
from mtcnn_gluon.io.extras import need

if TYPE_CHECKING:
    from mtcnn_gluon.pipeline.steps import Pipeline, Step

REFRESH = 1.0  # seconds


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pipeline`."""
    parser.set_defaults(run=pipeline)
    parser.add_argument("--config", required=True, metavar="YAML", help="configuration, see example/pipeline.yaml")
    parser.add_argument("--run", required=True, dest="folder", metavar="DIR", help="folder of the run")
    parser.add_argument("--status", action="store_true", help="show which steps are done, and how long the others take")


def pipeline(options: argparse.Namespace) -> int:
    """Do the whole recipe, from photos to an evaluated model. Finished steps are skipped unless their options or inputs have
    changed, and an interrupted step is continued. DIR/pipeline.log has all details."""
    need("yaml", "a pipeline's configuration", "cpu")
    from mtcnn_gluon.pipeline.config import read_config
    from mtcnn_gluon.pipeline.content import Digests
    from mtcnn_gluon.pipeline.recipe import RATES, Recipe
    from mtcnn_gluon.pipeline.steps import Pipeline, check_folder

    config, folder = read_config(options.config), Path(options.folder).absolute()
    need("matplotlib.figure", "drawing curves")
    check_folder(folder)
    digests = Digests(folder / ".digests.json")
    work = Pipeline(folder, Recipe(config, folder, digests).steps(), RATES, config.run.keep_samples)
    if options.status:
        put_line(_table(work))
        return 0
    try:
        work.run(lambda step: _watch(work, step), digests.save)
    except KeyboardInterrupt:
        print("mtcnn-gluon: interrupted; the same command goes on", file=sys.stderr)
        return 130
    put_line(f"done: {folder / 'bundle'} is the model, {folder / 'report'} says how good it is")
    return 0


@contextmanager
def _watch(work: "Pipeline", step: "Step") -> Iterator[None]:
    """Show the progress of a step: a bar on a terminal, or else a line when it begins; and a line when it is done."""
    title, start, ended = f"[{work.steps.index(step) + 1}/{len(work.steps)}] {step.name}", time.monotonic(), Event()

    def refresh() -> None:
        while not ended.wait(REFRESH):
            with suppress(MtcnnError, OSError, ValueError):  # a file may be half written
                bar.n = min(1.0, step.progress())
                bar.set_postfix_str(_left(work))

    form = "{desc} {percentage:3.0f} % |{bar:20}| {elapsed}{postfix}"
    with tqdm(total=1, desc=title, bar_format=form, leave=False, disable=None) as bar:
        if bar.disable:
            put_line(f"{title} begins; {_left(work)}")
        else:
            bar.set_postfix_str(_left(work))
        thread = Thread(target=refresh, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
    put_line(f"{title} done in {_duration(time.monotonic() - start)}; {_left(work)}")


def _left(work: "Pipeline") -> str:
    return f"about {_duration(sum(row.seconds for row in work.status() if row.state != 'done'))} left in all"


def _table(work: "Pipeline") -> str:
    """The table of all steps with their states and durations."""
    rows = work.status()
    left = [row for row in rows if row.state != "done"]
    lines = []
    for row in rows:
        state = "next" if left and row is left[0] and row.state == "waiting" else row.state
        about = "" if row.state == "done" else "about "
        time_ = f"{about}{_duration(row.seconds)}" if row.seconds else ""
        lines.append(f"{row.name:32s} {state:8s} {time_}{f' ({row.reason})' if row.reason else ''}".rstrip())
    if not left:
        return "\n".join([*lines, f"all {len(rows)} steps are done"])
    total = sum(row.seconds for row in left)
    return "\n".join([*lines, f"{len(rows) - len(left)} of {len(rows)} steps done, about {_duration(total)} left"])


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(max(0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
