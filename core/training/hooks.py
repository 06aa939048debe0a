"""Hooks of the training loop: the moving average of the weights, the log with its curves, and the checkpoints."""

import csv
import logging
import time

import numpy as np

from mtcnn_gluon.io.files import whole_file
from mtcnn_gluon.training.checkpoints import BEST, LAST, LOG, write_checkpoint
from mtcnn_gluon.training.curves import draw_curves
from mtcnn_gluon.training.state import Run

logger = logging.getLogger(__name__)

EVERY = 16  # steps between moves of the averaged weights: moving them after every step would be slower and no better
DRAWN_EVERY = 10  # seconds between drawings of the curves, which take longer than a short epoch


class Hook:
    """Methods that `trainer.fit` calls."""

    def after_step(self, run: Run, number: int) -> None:
        """Called after step `number` of the run, from 0. Its results may not be computed yet."""

    def after_epoch(self, run: Run) -> None:
        """Called after an epoch, whose row is the last of `run.rows`."""


class MovingAverage(Hook):
    """Moves the averaged weights towards the current ones."""

    def after_step(self, run: Run, number: int) -> None:
        """See `kept_share`."""
        keep = kept_share(run.options.average, number, run.steps_an_epoch)
        if run.averaged is not None and keep < 1:
            run.averaged += (1 - keep) * (run.trained.data(run.devices[0]) - run.averaged)


def kept_share(decay: float, number: int, epoch: int) -> float:
    """The weight of the old average in the new one after step `number` of a run; the current weights have the rest.

    The average moves every `EVERY` steps, and after the last step of an epoch, so that the measured and stored average includes
    all steps. A move over n steps keeps decay ** n, so the share that is kept over many steps does not depend on the moves
    between. A young average keeps less: k / (9 + k) in the k-th `EVERY` steps.

    Args:
        decay: the share that an old average keeps per step, 0..1.
        number: number of the step, from 0.
        epoch: steps per epoch.

    Returns:
        Above 0 and at most 1; 1: the average does not move.
    """
    if number % EVERY and (number + 1) % epoch:
        return 1.0
    moves = -(-number // EVERY)  # regular moves before this step, rounded up
    kept = min(decay**EVERY, (1 + moves) / (10 + moves))
    before = max((number - 1) // EVERY * EVERY, number // epoch * epoch - 1)  # the step of the last move
    return kept ** ((number - before) / EVERY) if number else kept


class Log(Hook):
    """Writes `log.csv` and a line to the program's log, and `curves.png` at most every `DRAWN_EVERY` seconds and at the end."""

    def __init__(self) -> None:
        self._drawn = -np.inf  # when, in seconds

    def after_epoch(self, run: Run) -> None:
        """Write all rows so far."""
        with whole_file(run.folder / LOG) as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(name for row in run.rows for name in row)))
            writer.writeheader()
            writer.writerows({name: "" if np.isnan(value) else value for name, value in row.items()} for row in run.rows)
        if run.epoch == run.options.epochs or time.monotonic() - self._drawn > DRAWN_EVERY:
            draw_curves(run.rows, run.folder / "curves.png")
            self._drawn = time.monotonic()
        logger.info("%s", " ".join(f"{name} {value:.4g}" for name, value in run.rows[-1].items() if not np.isnan(value)))


class Checkpoints(Hook):
    """Writes the last and the best state. Best is the highest recall on the validation records, else on the training batches,
    else the lowest loss.
    """

    def after_epoch(self, run: Run) -> None:
        """Write the best state first: if the last state lacks this epoch, a resumed run repeats it."""
        row = run.rows[-1]
        score = row.get("val_recall", row["recall"])
        if np.isnan(score):
            score = -row["loss"]
        is_best = score >= run.best
        run.best = max(run.best, float(score))
        checkpoint = run.checkpoint()
        if is_best:
            write_checkpoint(run.folder / BEST, checkpoint)
        write_checkpoint(run.folder / LAST, checkpoint)
