"""The training loop, the same for the three nets."""

import os
import time
from collections import deque
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from mtcnn_gluon.errors import MtcnnError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.records.samples import Kind
from mtcnn_gluon.symbol.blocks import set_parameters
from mtcnn_gluon.training.devices import devices
from mtcnn_gluon.training.heads import loss_weights
from mtcnn_gluon.training.hooks import Checkpoints, Hook, Log, MovingAverage
from mtcnn_gluon.training.interrupts import Interrupts
from mtcnn_gluon.training.losses import TERMS
from mtcnn_gluon.training.metrics import Tally
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.runs import read_net
from mtcnn_gluon.training.sampler import Batch
from mtcnn_gluon.training.state import Run
from mtcnn_gluon.training.together import make_together, own_folder
from mtcnn_gluon.training.whole_batch import backward_together
from mtcnn_gluon.training.workers import join

mx = load_mxnet()


class TrainingError(MtcnnError):
    """Training cannot continue: a loss or a parameter is not finite."""


def train(
    options: TrainingOptions, records: str | os.PathLike, out: str | os.PathLike, validation: str | os.PathLike | None = None,
    device: str = "cpu", initial: str | None = None, resume: bool = False, kvstore: str | None = None,
    teacher: str | None = None,
) -> Run:  # fmt: skip
    """Train a net; returns the finished run. For other arguments and errors see `Run` and `fit`.

    Args:
        out: as `folder` of `Run`. Of several workers, the first one reads and writes it.
        device: see `devices`.
        initial: the initial net: a checkpoint, a `.params` file or a bundle.
        kvstore: see `workers.join`.
        teacher: the net that `options.distil` learns from, as `initial`; None: the initial net.

    Raises:
        ModelError: if `initial` or `teacher` is a bundle that is missing or damaged.
    """
    with join(kvstore) as workers, own_folder(workers, Path(out), resume) as folder:

        def make() -> Run:
            first, teaching = (None if source is None else read_net(source, options.net) for source in (initial, teacher))
            return Run(options, records, folder, validation, devices(device), first, resume, workers, teaching)

        run = make_together(workers, make)
        fit(run)
        return run


def fit(run: Run) -> dict[str, Any]:
    """Train until the run has all its epochs; returns the last row of the log.

    Raises:
        TrainingError: if a loss or a parameter is not finite; the epochs before are kept.
    """
    hooks: list[Hook] = [MovingAverage()]
    if run.workers.is_first:
        hooks += Log(), Checkpoints()  # checkpoints last: with them, the epoch is finished
    with Interrupts() as interrupts:
        while run.epoch < run.options.epochs:
            start = time.perf_counter()
            figures = train_one_epoch(run, hooks, interrupts)
            rate = run.steps_an_epoch * run.options.batch / (time.perf_counter() - start)
            run.synchronise()
            _check_parameters(run)
            run.epoch += 1
            if run.validation is not None:
                figures |= {f"val_{name}": value for name, value in evaluate(run).items()}
            known = {name: value for name, value in figures.items() if _is_known(run, name, value)}
            run.rows.append({"epoch": run.epoch, "samples_per_second": round(rate), **known})
            for hook in hooks:
                hook.after_epoch(run)
            interrupts.check()
    return run.rows[-1]


def train_one_epoch(run: Run, hooks: Sequence[Hook], interrupts: Interrupts) -> dict[str, float]:
    """Train on `run.steps_an_epoch` batches; returns the mean of the loss and of each term, and the figures of the batches."""
    first = run.epoch * run.steps_an_epoch
    sums, tally, pending = np.zeros(1 + len(TERMS)), Tally(run.options.listed_landmarks), deque[tuple[Batch, list]]()
    batches = run.sampler.batches(first, first + run.steps_an_epoch)
    with tqdm(batches, f"{run.options.net} epoch {run.epoch + 1}", run.steps_an_epoch, disable=None, leave=False) as bar:
        for batch in bar:
            interrupts.check()
            run.trainer.set_learning_rate(run.schedule(batch.number))
            pending.append((batch, step(run, batch)))
            for hook in hooks:
                hook.after_step(run, batch.number)
            if len(pending) > 1:  # read one step late, so that the device never waits
                sums += read_losses(run, *pending.popleft(), tally)
    while pending:
        sums += read_losses(run, *pending.popleft(), tally)
    means = run.workers.mean(sums / run.steps_an_epoch)
    tally.gather(run.workers)
    return {"loss": float(means[0]), **dict(zip(TERMS, means[1:].tolist())), **tally.figures()}


def step(run: Run, batch: Batch) -> list[tuple[Any, Any]]:
    """One update; returns what `backward` does."""
    found = backward(run, batch)
    run.trainer.allreduce_grads()
    if run.options.clip:
        for gradient in run.trained.list_grad():  # the sum over the devices of all workers
            clip_gradient(gradient, run.options.clip * run.shares)
    run.trainer.update(run.shares)
    return found


def backward(run: Run, batch: Batch) -> list[tuple[Any, Any]]:
    """Compute the gradient of each device's share; the mean over all shares is that of the batch.

    Returns:
        For each device, the loss with its terms (4,) and the values per sample, see `TrainingNet`, perhaps not computed yet.
    """
    weights = _weights(run, batch)
    with mx.autograd.record():
        outputs = [run.graph(*share) for share in split(batch, run.devices)]
        losses = [_objective(each, batch, weights) for each in outputs]
    if run.workers.are_many:
        found = backward_together(run, outputs, weights)
    else:
        mx.autograd.backward(losses)
        found = [(terms, values) for _, terms, values, _ in outputs]
    run.trained.is_written()
    return found


def split(batch: Batch, devices: Sequence[Any]) -> Iterable[list[Any]]:
    """Images and labels on each of n devices. Each gets every n-th sample, so that all get all kinds."""
    if len(devices) == 1 and devices[0].device_type == "cpu":
        if not batch.views:  # `view`: from_numpy makes its argument read-only
            batch.views[:] = [mx.nd.from_numpy(array.view(), zero_copy=True) for array in (batch.images, batch.labels)]
        yield batch.views
        return
    for i, device in enumerate(devices):
        yield [mx.nd.array(array[i :: len(devices)], ctx=device, dtype="float32") for array in (batch.images, batch.labels)]


def _weights(run: Run, batch: Batch) -> dict[str, float]:
    """The weights of the terms; in a batch of one task, only that task and kept heads have one."""
    weights = loss_weights(run.options, run.heads)
    return {term: weights[term] for term in TERMS if batch.task in (None, term) or term in run.heads.kept}


def _objective(outputs: Sequence[Any], batch: Batch, weights: Mapping[str, float]) -> Any:
    """The loss, of the terms that have a weight."""
    if batch.task is None:
        return outputs[0]
    return sum(weight * outputs[1][1 + TERMS.index(term)] for term, weight in weights.items())


def clip_gradient(gradient: Any, norm: float) -> None:
    """Scale a gradient (N,) to `norm` if it is longer, in place. If it is not finite, it stays so."""
    gradient *= mx.nd.minimum(norm / mx.nd.norm(gradient), 1)


def read_losses(run: Run, batch: Batch, outputs: Sequence[tuple[Any, Any]], tally: Tally) -> np.ndarray:
    """Wait for a step and add its outputs to the tally; returns its loss and terms (4,), the mean over devices.

    Raises:
        TrainingError: if the loss or a term is not finite.
    """
    values = []
    for i, (terms, samples) in enumerate(outputs):
        part = slice(i, None, len(outputs))  # as in `split`
        values.append(terms.asnumpy())
        found = samples.asnumpy()  # (N, 9) or (N, 19)
        if not np.isfinite(values[-1]).all():
            raise TrainingError(_explain(run, batch, part, values[-1], found[:, : len(TERMS)]))
        tally.add(found[:, len(TERMS) :], batch.labels[part])
    return values[0] if len(values) == 1 else np.mean(values, axis=0)


def _explain(run: Run, batch: Batch, part: slice, values: np.ndarray, costs: np.ndarray) -> str:
    terms = [name for name, value in zip(("loss", *TERMS), values) if not np.isfinite(value)]
    rows = np.flatnonzero(~np.isfinite(costs).all(axis=1))
    kinds = [f"{part.start + row * part.step} ({Kind(int(batch.kinds[part][row])).name.lower()})" for row in rows[:5]]
    where = f"in {len(rows)} of {len(costs)} samples: {', '.join(kinds)}"
    return _stopped(run, f"at step {batch.number}, epoch {run.epoch + 1}", f"{', '.join(terms)} not finite, {where}")


def _check_parameters(run: Run) -> None:
    """Raises TrainingError if a parameter is not finite: it may happen after a finite loss, in the last step."""
    if wrong := [name for name, value in run.parameters().items() if not np.isfinite(value).all()]:
        raise TrainingError(_stopped(run, f"after epoch {run.epoch + 1}", f"{', '.join(wrong)} not finite"))


def _stopped(run: Run, place: str, reason: str) -> str:
    kept = f". {run.folder} keeps the state before this epoch" if run.workers.is_first else ""
    return f"training of {run.options.net} stopped {place}: {reason}; a lower --rate or a longer --warm-up may help{kept}"


def _is_known(run: Run, name: str, value: float) -> bool:
    """Whether a figure goes into the log: figures of landmarks need a landmark head and samples with landmarks."""
    return "landmark" not in name or ("landmark" in run.heads.present and not np.isnan(value))


def evaluate(run: Run) -> dict[str, float]:
    """Figures on the validation records, with the averaged weights if there are any; see `metrics.Tally.figures`."""
    assert run.validation is not None
    tally, current = Tally(run.options.listed_landmarks), run.parameters()
    set_parameters(run.net, run.best_parameters(), run.devices)
    for batch in run.validation.everything():
        outputs = run.net(mx.nd.array(batch.images, ctx=run.devices[0]))
        tally.add(np.hstack([output.reshape((len(batch.kinds), -1)).asnumpy() for output in outputs]), batch.labels)
    set_parameters(run.net, current, run.devices)
    tally.gather(run.workers)
    return tally.figures()
