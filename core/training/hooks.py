"""What happens beside the training loop: averaging the weights, writing the log, the curves and checkpoints."""

import csv
import logging

import numpy as np

from mtcnn_gluon.io.files import whole_file
from mtcnn_gluon.training.checkpoints import BEST, LAST, LOG, write_checkpoint
from mtcnn_gluon.training.curves import draw_curves
from mtcnn_gluon.training.state import Run

logger = logging.getLogger(__name__)

EVERY = 16  # steps between moves of the averaged weights: often enough for a decay near 1, and a move takes time


class Hook:
    """Called by `trainer.fit` in the order in which hooks are given."""

    def after_step(self, run: Run, number: int) -> None:
        """After step `number` of the run, from 0. Its results may not be computed yet."""

    def after_epoch(self, run: Run) -> None:
        """After an epoch, whose row is the last of `run.rows`."""


class MovingAverage(Hook):
    """Moves the averaged weights towards the current ones."""

    def after_step(self, run: Run, number: int) -> None:
        """See `kept_share`."""
        keep = kept_share(run.options.average, number, run.steps_an_epoch)
        if run.averaged is not None and keep < 1:
            run.averaged += (1 - keep) * (run.trained.data(run.devices[0]) - run.averaged)


def kept_share(decay: float, number: int, epoch: int) -> float:
    """The share of the average that stays after step `number`, from 0, of a run; the current weights are the rest.

    The average moves every `EVERY` steps, and after the last step of an epoch, so that what is measured and kept includes all
    steps. A move over n steps keeps decay ** n: whatever moves there are, the same share is kept over the same steps. While the
    average is young it keeps less: k / (9 + k) in the k-th `EVERY` steps.

    Args:
        decay: the share that is kept per step once the average is old, 0..1.
        number: of the step.
        epoch: steps per epoch.

    Returns:
        Above 0 and at most 1; 1: it does not move.
    """
    if number % EVERY and (number + 1) % epoch:
        return 1.0
    moves = -(-number // EVERY)  # every EVERY steps, until the next one or this one
    kept = min(decay**EVERY, (1 + moves) / (10 + moves))
    before = max((number - 1) // EVERY * EVERY, number // epoch * epoch - 1)  # the step of the last move
    return kept ** ((number - before) / EVERY) if number else kept


class Log(Hook):
    """Writes `log.csv`, `curves.png` and a line of the program's log."""

    def after_epoch(self, run: Run) -> None:
        """Write all rows so far."""
        with whole_file(run.folder / LOG) as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(name for row in run.rows for name in row)))
            writer.writeheader()
            writer.writerows({name: "" if np.isnan(value) else value for name, value in row.items()} for row in run.rows)
        draw_curves(run.rows, run.folder / "curves.png")
        logger.info("%s", " ".join(f"{name} {value:.4g}" for name, value in run.rows[-1].items() if not np.isnan(value)))


class Checkpoints(Hook):
    """Writes the last state, and the best: the highest recall on the validation records, else on the training batches, else the
    lowest loss.
    """

    def after_epoch(self, run: Run) -> None:
        """Write the best state first: an epoch that the last state does not hold is trained once more."""
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
