"""The training loop, the same for the three nets."""

import csv
import json
import logging
import os
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from mtcnn_gluon.bundles.params_file import read_params, to_params
from mtcnn_gluon.bundles.trained import TrainedNet
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError, DataError, ModelError, MtcnnError
from mtcnn_gluon.io.files import whole_file
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.prepare_data.merge import parse_ratio
from mtcnn_gluon.records.samples import Kind
from mtcnn_gluon.symbol.blocks import CascadeNet, set_parameters
from mtcnn_gluon.training.augment import Augmentation
from mtcnn_gluon.training.averaging import kept_share
from mtcnn_gluon.training.checkpoints import BEST, LAST, Checkpoint, check_run, read_checkpoint, write_checkpoint
from mtcnn_gluon.training.devices import devices
from mtcnn_gluon.training.flat import FlatParameter
from mtcnn_gluon.training.heads import HeadPlan, loss_weights, may_have_landmarks, plan_heads
from mtcnn_gluon.training.identity import check_same, digest, surroundings, warn_of_others
from mtcnn_gluon.training.interrupts import Interrupts
from mtcnn_gluon.training.losses import TERMS, TrainingNet
from mtcnn_gluon.training.metrics import Tally
from mtcnn_gluon.training.muon import Muon
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.runs import read_net
from mtcnn_gluon.training.sampler import Batch, Sampler
from mtcnn_gluon.training.schedules import schedule
from mtcnn_gluon.training.teacher import teach

mx = load_mxnet()

logger = logging.getLogger(__name__)

LOG = "log.csv"
STATE = ("heads", "options", "epoch", "rows", "best", "made with")  # what a run needs to go on
BEFORE = "before.params"  # the initial net, where heads of it are kept
VALIDATION_BATCH = 512


class TrainingError(MtcnnError):
    """Training cannot go on: a loss is not finite."""


class Run:
    """A training run: what is trained, on what, and how far it is.

    Args:
        options: how to train.
        records: folder of the training records.
        folder: where checkpoints, log and curves go.
        validation: folder of records to measure the net on after every epoch; None: the training batches' figures only.
        devices: MXNet's contexts; batches are split among them.
        initial: what to begin with, instead of random parameters; heads that it lacks begin with random ones. See `heads` for
            what becomes of those for which there are no samples.
        resume: whether to go on from `folder/last.npz`.

    Raises:
        ConfigError: if an option is out of range, or `resume` is asked for with other options, records, validation records or
            initial parameters; of these none will do as well.
        DataError: if records or the checkpoint are missing, damaged or of another net; or if the folder holds a run already,
            or cannot be written.
    """

    def __init__(
        self, options: TrainingOptions, records: str | os.PathLike, folder: str | os.PathLike,
        validation: str | os.PathLike | None = None, devices: Sequence[Any] | None = None,
        initial: TrainedNet | None = None, resume: bool = False,
    ) -> None:  # fmt: skip
        self.options, self.folder = options, Path(folder)
        self.devices = list(devices or [mx.cpu()])
        tasks = self._tasks()
        self.sampler = Sampler(
            records, options.net, options.batch, options.sampling, options.seed, options.augmentation, tasks,
            parse_ratio(options.ratio),
        )  # fmt: skip
        self.validation = None if validation is None else Sampler(
            validation, options.net, VALIDATION_BATCH, augmentation=Augmentation(mirror=0), tasks=tasks
        )  # fmt: skip
        if options.batch % len(self.devices):
            raise ConfigError(f"batch must be a multiple of the {len(self.devices)} devices, not {options.batch}")
        self.steps_an_epoch = len(self.sampler)
        self.schedule = schedule(options.schedule, options.rate, options.epochs * self.steps_an_epoch, options.warm_up)
        self.initial = None if initial is None else digest(initial.parameters)
        last = self._last(resume)
        self.heads = plan_heads(options, self.sampler, initial) if last is None else HeadPlan.from_json(last.about["heads"])
        self.net = self._make_net(initial)
        self._make_folder()
        self.before = self._net_before(resume) if self.heads.kept else None
        if options.distil:
            self._check_teacher(initial, last)
            teach(self.sampler, self.net, options.distil, self.folder, self.devices[0], resume)
        self.graph = self._make_graph(options.distil)
        self.validated = self._make_graph() if options.distil else self.graph
        self.trained = FlatParameter(f"{options.net}_trained", self._parameters_to_train(), self.devices)
        self.trainer = mx.gluon.Trainer({"trained": self.trained}, self._make_optimiser(), update_on_kvstore=False)
        self.averaged = self.trained.data(self.devices[0]).copy() if options.average else None
        self.epoch, self.rows, self.best = 0, list[dict[str, Any]](), -np.inf
        if last is not None:
            self._restore(last)

    def _check_teacher(self, initial: TrainedNet | None, last: Checkpoint | None) -> None:
        """Refuse to learn from random numbers. A run that is resumed has asked its teacher already."""
        if last is not None:
            return
        if initial is None:
            raise ConfigError("distil needs trained parameters to begin with: --init names them")
        if random := [head for head in ("cls", "box") if head not in initial.heads]:  # both are asked for
            raise ConfigError(
                f"distil needs trained parameters to begin with: nothing has trained {' and '.join(random)} of the "
                f"{self.options.net} that --init names"
            )

    def _last(self, resume: bool) -> Checkpoint | None:
        """The checkpoint to go on from, if it is of this run; None for a new run."""
        path = self.folder / LAST
        if not resume:
            if path.exists():
                raise DataError(f"{self.folder} holds a training run: go on with --resume, or name another folder")
            return None
        last = read_checkpoint(path)
        check_run(path, last.about, STATE)
        self.initial = self.initial or last.about.get("initial")  # they need not be given again
        check_same(path, last.about, self._identity())
        warn_of_others(path, last.about.get("made with", {}), surroundings(self.devices))
        return last

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.folder} cannot be made: {error.strerror or error}") from error
        if not os.access(self.folder, os.W_OK):
            raise DataError(f"{self.folder} cannot be written")

    def _tasks(self) -> tuple[str, ...]:
        """Those of the options' that the net has a head for."""
        tasks = tuple(task for task in self.options.tasks if task != "landmark" or may_have_landmarks(self.options))
        if self.options.tasks and not tasks:
            raise ConfigError(f"tasks must be more than landmark: {self.options.net} has no landmark head without --landmarks")
        return tasks

    def _make_net(self, initial: TrainedNet | None) -> CascadeNet:
        options = self.options
        net = self._empty_net(f"{options.net}_")
        if initial is not None:
            values = {name: value.data(self.devices[0]).asnumpy() for name, value in net.collect_params().items()}
            given = {name: value for name, value in initial.parameters.items() if not self._is_left_out(name)}
            unknown = set(given) - set(values)
            if unknown and all(name.startswith(f"{options.net}_landmark_") for name in unknown):
                raise ConfigError(
                    f"the initial {options.net} has a landmark head: --landmarks goes on with it, --no-landmarks leaves it out"
                )
            if unknown:
                raise DataError(f"the initial parameters do not fit {options.net}: {', '.join(sorted(unknown))} is unknown")
            set_parameters(net, {**values, **given}, self.devices)
        return net

    def _is_left_out(self, name: str) -> bool:
        """Whether an initial parameter is of the landmark head that the options leave out."""
        return self.options.landmarks is False and name.startswith(f"{self.options.net}_landmark_")

    def _net_before(self, resume: bool) -> CascadeNet:
        """The net as it is when the run begins, which heads that are kept are compared with; it is also kept in the folder."""
        path = self.folder / BEFORE
        values = self.parameters()
        if not resume:
            with whole_file(path, "wb") as file:
                file.write(to_params(values))
        net = self._empty_net(f"before_{self.options.net}_")
        try:
            kept = read_params(path)
            set_parameters(net, {f"before_{name}": value for name, value in kept.items()}, self.devices)
        except ModelError as error:
            raise DataError(f"{path} is not what this run began with, without which it cannot go on: {error}") from error
        net.collect_params().setattr("grad_req", "null")
        return net

    def _empty_net(self, prefix: str) -> CascadeNet:
        """A net of random parameters."""
        options, table = self.options, NETS[self.options.net]
        form: Any = "auto" if self._is_cpu() else "portable"
        if options.precision == "bfloat16":
            if not self._is_cpu():
                raise ConfigError("precision must be float32 on a GPU")
            form = "bfloat16"
        net = CascadeNet(table.layers, "landmark" in self.heads.present, prefix, form)
        mx.random.seed(options.seed)
        net.initialize(mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2), self.devices)
        net(mx.nd.zeros((1, 3, table.size, table.size), ctx=self.devices[0]))  # the dense layer learns its size
        return net

    def _parameters_to_train(self) -> list[Any]:
        """All but those of heads whose task is not trained and that are not kept."""
        wanted = (*self.options.tasks, *self.heads.kept)
        heads = [getattr(self.net, term) for term in self.net.head_names if term not in wanted]
        left_out = {name for head in heads for name in head.collect_params()}
        return [parameter for name, parameter in self.net.collect_params().items() if name not in left_out]

    def _make_optimiser(self) -> Any:
        options = self.options
        if options.optimiser == "muon":
            heads = {name for term in self.net.head_names for name in getattr(self.net, term).collect_params()}
            hidden = [place for name, place in self.trained.places.items() if name.endswith("_weight") and name not in heads]
            return Muon(hidden, options.decay)
        settings = {"momentum": 0.9} if options.optimiser == "sgd" else {}
        return mx.optimizer.create(options.optimiser, wd=options.decay, **settings)

    def _make_graph(self, distil: float = 0.0) -> TrainingNet:
        options = self.options
        graph = TrainingNet(
            self.net, loss_weights(options, self.heads), options.keep_ratio, not self._is_cpu(), options.landmark_faces,
            options.part_faces, options.overlap_faces, options.regression, options.overlap_weight, options.listed_landmarks,
            distil, self.before, self.heads.kept,
        )  # fmt: skip
        graph.hybridize(static_alloc=True, static_shape=True)
        return graph

    def _is_cpu(self) -> bool:
        return all(device.device_type == "cpu" for device in self.devices)

    def parameters(self) -> dict[str, np.ndarray]:
        """The net's parameters as arrays, by full name."""
        return {name: value.data(self.devices[0]).asnumpy() for name, value in self.net.collect_params().items()}

    def fit(self) -> dict[str, Any]:
        """Train to the end; returns the last row of the log.

        Raises:
            TrainingError: if a loss or a parameter is not finite; what was reached before is kept.
        """
        with Interrupts() as interrupts:
            while self.epoch < self.options.epochs:
                start = time.perf_counter()
                figures = train_one_epoch(self, interrupts)
                seconds = time.perf_counter() - start
                self._check_parameters()
                self.epoch += 1
                rate = self.steps_an_epoch * self.options.batch / seconds
                row = {"epoch": self.epoch, "samples_per_second": round(rate), **figures}
                if self.validation is not None:
                    row |= {f"val_{name}": value for name, value in self.evaluate().items()}
                row = {name: value for name, value in row.items() if self._is_known(name, value)}
                self.rows.append(row)
                self._keep(row)
                interrupts.check()
        return self.rows[-1]

    def _is_known(self, name: str, value: float) -> bool:
        """Whether a figure is one of those that this run has: not of a head that the net lacks, or for which no label is."""
        return "landmark" not in name or ("landmark" in self.heads.present and not np.isnan(value))

    def _check_parameters(self) -> None:
        """The last step may have spoilt them without a loss that shows it."""
        if spoilt := [name for name, value in self.parameters().items() if not np.isfinite(value).all()]:
            raise TrainingError(
                f"training of {self.options.net} stopped after epoch {self.epoch + 1}: {', '.join(spoilt)} not finite; a lower "
                f"--rate or a longer --warm-up may help. {self.folder} keeps what was reached before this epoch"
            )

    def evaluate(self) -> dict[str, float]:
        """Figures on the validation records, of the averaged weights if there are any; see `metrics.Tally.figures`."""
        assert self.validation is not None
        current = self.parameters()
        set_parameters(self.net, self.best_parameters(), self.devices)
        figures = evaluate(self.validated, self.validation, self.devices[0], self.options.listed_landmarks)
        set_parameters(self.net, current, self.devices)
        return figures

    def best_parameters(self) -> dict[str, np.ndarray]:
        """The averaged parameters if there are any, else the current ones."""
        averages = {} if self.averaged is None else self.trained.parts(self.averaged)
        return {**self.parameters(), **{name: value.asnumpy() for name, value in averages.items()}}

    def _keep(self, row: Mapping[str, Any]) -> None:
        """Write log, curves and checkpoints."""
        from mtcnn_gluon.training.curves import draw_curves

        with whole_file(self.folder / LOG) as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(name for row in self.rows for name in row)))
            writer.writeheader()
            writer.writerows({name: "" if np.isnan(value) else value for name, value in row.items()} for row in self.rows)
        draw_curves(self.rows, self.folder / "curves.png")
        score = row.get("val_recall", row["recall"])
        if np.isnan(score):
            score = -row["loss"]
        is_best = score >= self.best
        self.best = max(self.best, float(score))
        checkpoint = self._checkpoint()
        if is_best:
            write_checkpoint(self.folder / BEST, checkpoint)
        write_checkpoint(self.folder / LAST, checkpoint)  # last of all: an epoch whose other files are missing is done again
        logger.info("%s", " ".join(f"{name} {value:.4g}" for name, value in row.items() if not np.isnan(value)))

    def _identity(self) -> dict[str, Any]:
        """What must be the same when a run is resumed."""
        sizes = {kind: len(pool) for kind, pool in self.sampler.pools.items()}
        validation = None if self.validation is None else self.validation.digests
        records = {"samples": sizes, "records": self.sampler.digests, "validation": validation}
        others = {"initial": self.initial, "devices": len(self.devices)}
        return json.loads(json.dumps({"options": asdict(self.options), **records, **others}))

    def _checkpoint(self) -> Checkpoint:
        updater = self.trainer._updaters[0]
        state = updater.states[0]
        states = state if isinstance(state, tuple) else (state,)
        arrays = {str(place): array.asnumpy() for place, array in enumerate(states)}
        about = {**self._identity(), "made with": surroundings(self.devices), "heads": self.heads.to_json()}
        about |= {"epoch": self.epoch, "rows": self.rows, "best": self.best}
        return Checkpoint(about, self.parameters(), arrays, self.best_parameters() if self.options.average else {})

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
        steps = self.epoch * self.steps_an_epoch
        for device, updater in zip(self.devices, self.trainer._updaters):
            states = [mx.nd.array(state, ctx=device, dtype="float32") for _, state in sorted(checkpoint.optimiser.items())]
            updater.states[0] = tuple(states) if len(states) > 1 else states[0]
            updater.states_synced[0] = True
        optimiser = self.trainer._optimizer
        optimiser.num_update = optimiser.begin_num_update = steps
        for counts in optimiser._all_index_update_counts.values():
            counts[0] = steps


def train(
    options: TrainingOptions, records: str | os.PathLike, out: str | os.PathLike, validation: str | os.PathLike | None = None,
    device: str = "cpu", initial: str | None = None, resume: bool = False,
) -> Run:  # fmt: skip
    """Train a net to the end; returns the finished run.

    Args:
        options: how to train.
        records: folder of the training records.
        out: folder of the run: checkpoints, log and curves.
        validation: folder of records to measure the net on after every epoch.
        device: see `devices`.
        initial: parameters to begin with: a checkpoint, a `.params` file or a bundle.
        resume: whether to go on from the last checkpoint in `out`.

    Raises:
        ConfigError, DataError: see `Run`.
        ModelError: if `initial` is a bundle that is missing or damaged.
        TrainingError: see `Run.fit`.
    """
    parameters = None if initial is None else read_net(initial, options.net)
    run = Run(options, records, out, validation, devices(device), parameters, resume)
    run.fit()
    return run


def train_one_epoch(run: Run, interrupts: Interrupts) -> dict[str, float]:
    """Train over `run.steps_an_epoch` batches; returns mean losses by term and the figures of the batches."""
    first = run.epoch * run.steps_an_epoch
    sums, tally, pending = np.zeros(1 + len(TERMS)), Tally(run.options.listed_landmarks), deque[tuple[Batch, list]]()
    batches = run.sampler.batches(first, first + run.steps_an_epoch)
    with tqdm(batches, f"{run.options.net} epoch {run.epoch + 1}", run.steps_an_epoch, disable=None, leave=False) as bar:
        for batch in bar:
            interrupts.check()
            run.trainer.set_learning_rate(run.schedule(batch.number))
            pending.append((batch, step(run, batch)))
            if run.averaged is not None:
                average(run, batch.number)
            if len(pending) > 1:  # one step behind, so that the device never waits for us
                sums += settle(run, *pending.popleft(), tally)
    while pending:
        sums += settle(run, *pending.popleft(), tally)
    means = sums / run.steps_an_epoch
    return {"loss": float(means[0]), **dict(zip(TERMS, means[1:].tolist())), **tally.figures()}


def step(run: Run, batch: Batch) -> list[list[Any]]:
    """One update; returns the outputs of the graph for each device's share, not yet waited for."""
    outputs = []
    with mx.autograd.record():
        for share in split(batch, run.devices):
            outputs.append(run.graph(*share))
        losses = [_objective(run, batch, each) for each in outputs]
    mx.autograd.backward(losses)
    run.trained.is_written()
    run.trainer.allreduce_grads()
    if run.options.clip:
        for gradient in run.trained.list_grad():  # each the sum over devices
            shorten(gradient, run.options.clip * len(run.devices))
    run.trainer.update(len(run.devices))
    return outputs


def shorten(gradient: Any, length: float) -> None:
    """Shorten a gradient (N,) to `length` if it is longer, in place; one that is not finite stays so."""
    gradient *= mx.nd.minimum(length / mx.nd.norm(gradient), 1)


def _objective(run: Run, batch: Batch, outputs: Sequence[Any]) -> Any:
    """What is made smaller: the loss, or of a batch for one task that task's term alone, and those of heads that are kept."""
    if batch.task is None:
        return outputs[0]
    weights = loss_weights(run.options, run.heads)
    return sum(weights[term] * outputs[1][1 + TERMS.index(term)] for term in (batch.task, *run.heads.kept))


def split(batch: Batch, devices: Sequence[Any]) -> Iterable[list[Any]]:
    """Images and labels in equal shares, one for each device, on it: every n-th sample, so that all get all kinds."""
    if len(devices) == 1 and devices[0].device_type == "cpu":
        if not batch.views:  # from_numpy makes what it is given read-only
            batch.views[:] = [mx.nd.from_numpy(array.view(), zero_copy=True) for array in (batch.images, batch.labels)]
        yield batch.views
        return
    for i, device in enumerate(devices):
        yield [mx.nd.array(array[i :: len(devices)], ctx=device, dtype="float32") for array in (batch.images, batch.labels)]


def settle(run: Run, batch: Batch, outputs: list[list[Any]], tally: Tally) -> np.ndarray:
    """Wait for a step; returns its loss and terms (4,), the mean over devices.

    Raises:
        TrainingError: if one of them is not finite.
    """
    values = []
    for i, (_, terms, samples) in enumerate(outputs):
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
    return (
        f"training of {run.options.net} stopped at step {batch.number}, epoch {run.epoch + 1}: {', '.join(terms)} not finite, "
        f"in {len(rows)} of {len(costs)} samples: {', '.join(kinds)}; a lower --rate or a longer --warm-up may help. "
        f"{run.folder} keeps what was reached before this epoch"
    )


def average(run: Run, number: int) -> None:
    """Move the averaged weights towards the current ones, where `kept_share` says so."""
    keep = kept_share(run.options.average, number, run.steps_an_epoch)
    if keep < 1:
        run.averaged += (1 - keep) * (run.trained.data(run.devices[0]) - run.averaged)


def evaluate(graph: TrainingNet, sampler: Sampler, device: Any, listed_landmarks: bool) -> dict[str, float]:
    """Figures of a net on all samples of a sampler; see `metrics.Tally`."""
    tally = Tally(listed_landmarks)
    for batch in sampler.everything():
        outputs = graph.net(mx.nd.array(batch.images, ctx=device))
        tally.add(np.hstack([output.reshape((len(batch.kinds), -1)).asnumpy() for output in outputs]), batch.labels)
    return tally.figures()
