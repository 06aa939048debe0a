"""A training run: its net, its data, its options and its progress."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from mtcnn_gluon.bundles.trained import TrainedNet
from mtcnn_gluon.errors import ConfigError, DataError, WorkerError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.symbol.blocks import set_parameters
from mtcnn_gluon.training.building import (
    initial_net,
    make_graph,
    make_trainer,
    net_before,
    parameters_of,
    table_of,
    trained_parameters,
)
from mtcnn_gluon.training.checkpoints import LAST, Checkpoint, check_run, read_checkpoint
from mtcnn_gluon.training.heads import HeadPlan, may_have_landmarks, plan_heads
from mtcnn_gluon.training.identity import check_same, digest, environment_of, warn_if_changed
from mtcnn_gluon.training.options import Task, TrainingOptions
from mtcnn_gluon.training.sampler import Sampler
from mtcnn_gluon.training.schedules import schedule
from mtcnn_gluon.training.teacher import check_teacher, distil, teacher_net
from mtcnn_gluon.training.workers import Workers

mx = load_mxnet()

STATE = ("heads", "options", "epoch", "rows", "best", "made with")  # entries of a checkpoint that resuming needs
VALIDATION_BATCH = 512
DRIFT = 0.01  # largest difference of workers' parameters after an epoch, as a share of the largest parameter


class Run:
    """A training run, ready for `trainer.fit`.

    Args:
        records: folder of the training records.
        folder: folder for checkpoints, log and curves.
        validation: folder of the records on which the net is measured after every epoch.
        devices: MXNet's contexts; batches are split among them. None: the CPU.
        initial: the initial net; None: random parameters. Heads that it lacks are random too. For heads without samples see
            `heads`.
        resume: whether to resume from the last checkpoint in `folder`; `initial` and `teacher` are not needed then.
        workers: all workers of this run, which share every batch; None: this process is the only one.
        teacher: the net of which `options.distil` is the share in the targets; None: the initial net.

    Attributes:
        trained: the trained parameters, as one.
        averaged: (N,) their moving average, in the same layout; None without `options.average`.
        epoch: number of finished epochs.
        rows: the log, a row per epoch.
        best: the best score so far, see `hooks.Checkpoints`.

    Raises:
        ConfigError: if options contradict each other, `teacher` sees other crops than the records hold, or a resumed run had
            other options, records, initial parameters or another teacher.
        DataError: if records or the checkpoint are missing, damaged or of another net, or the folder cannot be written or holds
            a run already.
    """

    def __init__(
        self, options: TrainingOptions, records: str | os.PathLike, folder: str | os.PathLike,
        validation: str | os.PathLike | None = None, devices: Sequence[Any] | None = None,
        initial: TrainedNet | None = None, resume: bool = False, workers: Workers | None = None,
        teacher: TrainedNet | None = None,
    ) -> None:  # fmt: skip
        self.options, self.folder, self.workers = options, Path(folder), workers or Workers()
        self.devices = list(devices or [mx.cpu()])
        self._check_batch()
        tasks, share = _tasks(options), self.workers.share
        self.sampler = Sampler(records, replace(options, tasks=tasks), share)
        plain = TrainingOptions(options.net, batch=VALIDATION_BATCH, tasks=tasks)
        self.validation = None if validation is None else Sampler(validation, plain, share)
        self.steps_an_epoch = len(self.sampler)
        self.schedule = schedule(options, options.epochs * self.steps_an_epoch)
        self.initial, self.teacher = (None if each is None else digest(each.parameters) for each in (initial, teacher))
        last = self._last_checkpoint(resume)
        self.heads = plan_heads(options, self.sampler, initial) if last is None else HeadPlan.from_json(last.about["heads"])
        if teacher is not None and not options.distil:
            raise ConfigError("a teacher is of no use without distil, the share of its outputs in the targets")
        if options.distil and (last is None or teacher is not None):
            check_teacher(options.net, teacher or initial, self.sampler.view if teacher else None)
        table = table_of(options, self.sampler.view, "landmark" in self.heads.present)
        if self.validation is not None and self.validation.view != self.sampler.view:
            raise ConfigError(f"{validation} has crops of {self.validation.view}, {records} of {self.sampler.view}")
        self.net = initial_net(options, table, self.devices, initial)
        _make_folder(self.folder)
        about = options, self.heads, self.devices
        mining = replace(options, keep_ratio=1.0) if self.workers.are_many else options  # then `whole_batch` mines
        before = net_before(self.net, options, self.devices, self.folder, resume) if self.heads.kept else None
        if options.distil:
            teaching = self.net if teacher is None else teacher_net(options, teacher, self.devices)
            distil(self.sampler, teaching, options.distil, self.folder, self.devices[0], resume)
        self.graph = make_graph(self.net, mining, self.heads, self.devices, before)
        self.trained = trained_parameters(self.net, *about)
        self.trainer = make_trainer(self.net, options, self.trained, self.workers.store)
        self.averaged = self.trained.data(self.devices[0]).copy() if options.average else None
        self.epoch, self.rows, self.best = 0, list[dict[str, Any]](), -np.inf
        if last is not None:
            self._restore(last)

    @property
    def shares(self) -> int:
        """Number of parts of a batch: one for each device of each worker."""
        return len(self.devices) * self.workers.share.count

    def _check_batch(self) -> None:
        if self.options.batch % self.shares:
            names = f"{len(self.devices)} devices" if len(self.devices) > 1 else f"{self.shares} workers"
            if self.shares > len(self.devices) > 1:
                names = f"{self.shares} devices of all workers"
            raise ConfigError(f"batch must be a multiple of the {names}, not {self.options.batch}")

    def synchronise(self) -> None:
        """Take the first worker's trained parameters. On equal processors they are the same already.

        Raises:
            WorkerError: if they differ by more than other processors' rounding explains: then gradients went wrong on the way.
        """
        if not self.workers.are_many:
            return
        own = self.trained.data(self.devices[0]).asnumpy()
        values = self.workers.from_first(own)
        if (apart := np.abs(own - values).max()) > DRIFT * np.abs(values).max():
            raise WorkerError(
                f"worker {self.workers.share.rank} has other parameters than worker 0, by up to {apart:.2g}, though both got "
                "the same gradients: the parameter server has sent wrong numbers, or a host computes wrongly"
            )
        if not self.workers.is_first:
            self.trained.set_data(mx.nd.array(values, dtype="float32"))

    def parameters(self) -> dict[str, np.ndarray]:
        """The net's parameters as arrays, by full name."""
        return parameters_of(self.net, self.devices[0])

    def best_parameters(self) -> dict[str, np.ndarray]:
        """The net's parameters, averaged where there are averages."""
        averages = {} if self.averaged is None else self.trained.parts(self.averaged)
        return {**self.parameters(), **{name: value.asnumpy() for name, value in averages.items()}}

    def checkpoint(self) -> Checkpoint:
        """The whole state of the run."""
        state = self.trainer._updaters[0].states[0]
        states = state if isinstance(state, tuple) else (state,)
        arrays = {str(place): array.asnumpy() for place, array in enumerate(states)}
        environment = environment_of(self.devices, self.workers.share.count)
        about = {**self.identity(), "made with": environment, "heads": self.heads.to_json()}
        about |= {"epoch": self.epoch, "rows": self.rows, "best": self.best, "architecture": self.net.table}
        return Checkpoint(about, self.parameters(), arrays, self.best_parameters() if self.options.average else {})

    def identity(self) -> dict[str, Any]:
        """What must be the same when a run is resumed."""
        sizes = {kind: len(pool) for kind, pool in self.sampler.pools.items()}
        validation = None if self.validation is None else self.validation.digests
        records = {"samples": sizes, "records": self.sampler.digests, "validation": validation}
        others = {"initial": self.initial, "devices": len(self.devices), **({"teacher": self.teacher} if self.teacher else {})}
        options = {name: value for name, value in asdict(self.options).items() if name != "layers" or value}
        return json.loads(json.dumps({"options": options, **records, **others}))

    def _last_checkpoint(self, resume: bool) -> Checkpoint | None:
        """The checkpoint to resume from, which must be of this run; None for a new run."""
        path = self.folder / LAST
        if not resume:
            if path.exists():
                raise DataError(f"{self.folder} holds a training run: go on with --resume, or name another folder")
            return None
        last = read_checkpoint(path)
        check_run(path, last.about, STATE)
        self.initial = self.initial or last.about.get("initial")  # a resumed run need not name them
        self.teacher = self.teacher or last.about.get("teacher")
        check_same(path, last.about, self.identity())
        if self.workers.is_first:
            environment = environment_of(self.devices, self.workers.share.count)
            warn_if_changed(path, {"workers": "1", **last.about.get("made with", {})}, environment)
        return last

    def _restore(self, checkpoint: Checkpoint) -> None:
        set_parameters(self.net, checkpoint.parameters, self.devices)
        self.epoch, self.rows, self.best = (checkpoint.about[key] for key in ("epoch", "rows", "best"))
        if self.averaged is not None:
            for name, part in self.trained.parts(self.averaged).items():
                average = checkpoint.averages.get(name)
                if average is None or average.shape != part.shape:
                    raise DataError(f"{self.folder / LAST} is damaged: there is no average of {name}, or of another shape")
                part[:] = average
        if {state.shape for state in checkpoint.optimiser.values()} != {self.trained.shape}:
            raise DataError(
                f"{self.folder / LAST}: the optimiser's arrays do not fit {self.options.net}, or an earlier version wrote them"
            )
        steps, optimiser = self.epoch * self.steps_an_epoch, self.trainer._optimizer
        for device, updater in zip(self.devices, self.trainer._updaters):
            states = [mx.nd.array(state, ctx=device, dtype="float32") for _, state in sorted(checkpoint.optimiser.items())]
            updater.states[0] = tuple(states) if len(states) > 1 else states[0]
            updater.states_synced[0] = True
        optimiser.num_update = optimiser.begin_num_update = steps
        for counts in optimiser._all_index_update_counts.values():
            counts[0] = steps


def _tasks(options: TrainingOptions) -> tuple[Task, ...]:
    """The tasks of the options for which the net has a head."""
    tasks = tuple(task for task in options.tasks if task != "landmark" or may_have_landmarks(options))
    if not tasks:
        raise ConfigError(f"tasks must be more than landmark: {options.net} has no landmark head without --landmarks")
    return tasks


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error.strerror or error}") from error
    if not os.access(folder, os.W_OK):
        raise DataError(f"{folder} cannot be written")
