"""Training runs: exact resumption, what stops a run and what it leaves, devices, and parameters to begin with."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np
import pytest

from mtcnn_gluon import cli
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.record_info import REPORT
from mtcnn_gluon.records import RecordWriter
from mtcnn_gluon.samples import Kind, Samples
from mtcnn_gluon.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from mtcnn_gluon.training.metrics import Tally
from mtcnn_gluon.training.trainer import BEST, LAST, LOG, Options, Run, TrainingError, settle, shorten, step
from record_samples import make_samples

mx = load_mxnet()
Train = Callable[..., tuple[int, str]]
SHORT = ("--epochs", "2", "--batch", "32", "--warm-up", "5")


def write_records(folder: Path, count: int = 300, net: str = "pnet", seed: int = 0, samples: Samples | None = None) -> Path:
    size = {"pnet": 12, "rnet": 24, "onet": 48}[net]
    with RecordWriter(folder / net, net) as writer:
        writer.write(make_samples(count, size, seed) if samples is None else samples)
    (folder / REPORT).write_text("{}")
    return folder


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_records(tmp_path_factory.mktemp("records"))


@pytest.fixture
def train(capsys: pytest.CaptureFixture) -> Iterator[Train]:
    """`mtcnn-gluon train` in this process: its exit status and what it says on the standard error."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: Any, net: str = "pnet") -> tuple[int, str]:
        capsys.readouterr()
        status = cli.main(["train", "--net", net, *map(str, arguments)])
        return status, capsys.readouterr().err

    yield run
    root.handlers[:], root.level = handlers, level


def arrays(checkpoint: Checkpoint) -> dict[str, bytes]:
    parts = {part: getattr(checkpoint, part) for part in ("parameters", "optimiser", "averages")}
    return {f"{part}/{name}": array.tobytes() for part, group in parts.items() for name, array in group.items()}


def assert_same_state(a: Path, b: Path) -> None:
    for name in (LAST, BEST):
        one, other = read_checkpoint(a / name), read_checkpoint(b / name)
        assert arrays(one).keys() == arrays(other).keys()
        assert [key for key, value in arrays(one).items() if value != arrays(other)[key]] == []
        for about in (one.about, other.about):
            for row in about["rows"]:
                del row["samples_per_second"]
        assert json.dumps(one.about) == json.dumps(other.about)  # as text, since NaN is not NaN


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- resumption


@pytest.mark.parametrize(
    "how, optimiser, average, sampling",
    [
        (signal.SIGKILL, "adam", 0.99, "mixed"),
        (signal.SIGKILL, "sgd", 0, "alternate"),
        (signal.SIGINT, "adam", 0, "alternate"),
        (signal.SIGINT, "sgd", 0.99, "mixed"),
    ],
)
def test_resumed_to_the_bit(
    tmp_path: Path, train: Train, how: signal.Signals, optimiser: str, average: float, sampling: str
) -> None:
    data = write_records(tmp_path / "records", 3000)
    options = ["--records", data, "--epochs", 4, "--batch", 32, "--optimiser", optimiser, "--average", average,
               "--sampling", sampling, "--rate", 0.001, "--brightness", 0.2, "--decay", 1e-4]  # fmt: skip
    assert train(*options, "--out", tmp_path / "whole")[0] == 0
    assert len(read_checkpoint(tmp_path / "whole" / LAST).averages) == (13 if average else 0)

    command = [sys.executable, "-m", "mtcnn_gluon", "train", "--net", "pnet", *options, "--out", tmp_path / "broken"]
    process = subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a shell may have had it ignored
    )  # fmt: skip
    while not (tmp_path / "broken" / LOG).exists() and process.poll() is None:
        time.sleep(0.005)
    time.sleep(0.05)  # into the second epoch
    process.send_signal(how)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == (130 if how == signal.SIGINT else -how), said
    epoch = read_checkpoint(tmp_path / "broken" / LAST).about["epoch"]
    assert 1 <= epoch < 4
    if how == signal.SIGINT:
        assert f"interrupted; --resume goes on after epoch {epoch}" in said and "Traceback" not in said
        assert sorted(contents(tmp_path / "broken")) == ["best.npz", "curves.png", "last.npz", "log.csv"]

    assert train(*options, "--out", tmp_path / "broken", "--resume")[0] == 0
    assert_same_state(tmp_path / "broken", tmp_path / "whole")
    assert len((tmp_path / "broken" / LOG).read_text().splitlines()) == 5


def test_two_devices_are_resumed_to_the_bit(tmp_path: Path, records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options("pnet", epochs=2, batch=32, optimiser="adam", average=0.9)
    devices = [mx.cpu(0), mx.cpu(1)]
    Run(options, records, tmp_path / "whole", devices=devices).fit()
    first = Run(options, records, tmp_path / "parts", devices=devices)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(first, "_keep", interrupt_after(first._keep))
        first.fit()
    Run(options, records, tmp_path / "parts", devices=devices, resume=True).fit()
    assert_same_state(tmp_path / "parts", tmp_path / "whole")


def interrupt_after(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any) -> None:
        function(*arguments)
        raise KeyboardInterrupt

    return wrapped


@pytest.fixture(scope="module")
def finished(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    Run(Options("pnet", epochs=2, batch=32, warm_up=5, average=0.999), records, folder).fit()
    return folder


def test_a_checkpoint_whose_optimiser_does_not_fit(records: Path, finished: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(finished / LAST)
    checkpoint.optimiser = {f"pnet_{name}/{place}": np.zeros(7) for name in "ab" for place in range(2)}
    write_checkpoint(tmp_path / LAST, checkpoint)
    with pytest.raises(DataError, match="the optimiser's arrays do not fit pnet"):
        Run(Options("pnet", epochs=2, batch=32, warm_up=5, average=0.999), records, tmp_path, resume=True)


@pytest.mark.parametrize(
    "changed, message",
    [
        (["--rate", "0.1"], "other options: rate was 0.002, is 0.1"),
        (["--optimiser", "sgd"], "optimiser was adam, is sgd"),
        (["--epochs", "3"], "epochs was 2, is 3"),
        (["--average", "0"], "average was 0.999, is 0.0"),
        (["--batch", "64"], "batch was 32, is 64"),
        (["--mirror", "0.25"], "mirror"),
        (["--tasks", "cls"], "tasks"),
        (["--landmarks"], "landmarks was None, is True"),
        (["--device", "cpu:0,1"], "devices was 1, is 2"),
    ],
)
def test_resuming_with_other_options(
    tmp_path: Path, train: Train, records: Path, finished: Path, changed: list[str], message: str
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    status, said = train("--records", records, "--out", folder, *SHORT, *changed, "--resume")
    assert status == 2 and message in said
    assert contents(folder) == contents(finished)


@pytest.mark.parametrize("count, seed", [(200, 0), (300, 1), (300, 2)])
def test_resuming_with_other_records(tmp_path: Path, train: Train, finished: Path, count: int, seed: int) -> None:
    folder, other = shutil.copytree(finished, tmp_path / "run"), make_samples(count, 12, seed % 2)
    if seed == 2:  # as many of each kind
        other = Samples(**{**vars(other), "crops": 255 - other.crops})
    status, said = train("--records", write_records(tmp_path, samples=other), "--out", folder, *SHORT, "--resume")
    assert status == 2 and "last.npz is of a run with other" in said
    assert contents(folder) == contents(finished)


def test_resuming_a_run_of_another_net(tmp_path: Path, train: Train, finished: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    data = write_records(tmp_path, 100, "rnet")
    status, said = train("--records", data, "--out", folder, *SHORT, "--resume", net="rnet")
    assert status == 2 and "net was pnet, is rnet" in said
    assert contents(folder) == contents(finished)


def test_a_run_is_not_begun_over_another(tmp_path: Path, train: Train, records: Path, finished: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    status, said = train("--records", records, "--out", folder, *SHORT)
    assert status == 2 and "holds a training run: go on with --resume, or name another folder" in said
    assert contents(folder) == contents(finished)
    assert train("--records", records, "--out", folder, *SHORT, "--resume")[0] == 0  # finished: nothing to do
    assert contents(folder) == contents(finished)


def test_nothing_to_resume(tmp_path: Path, train: Train, records: Path) -> None:
    status, said = train("--records", records, "--out", tmp_path / "run", "--resume")
    assert status == 2 and "last.npz does not exist: there is no checkpoint to go on from" in said


@pytest.mark.parametrize("validation", [(False, True), (True, False)])
def test_validation_may_come_and_go(tmp_path: Path, records: Path, validation: tuple[bool, bool]) -> None:
    options = Options("pnet", epochs=2, batch=32)
    first = Run(options, records, tmp_path / "run", records if validation[0] else None)
    first._keep = interrupt_after(first._keep)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        first.fit()
    Run(options, records, tmp_path / "run", records if validation[1] else None, resume=True).fit()
    lines = (tmp_path / "run" / LOG).read_text().splitlines()
    assert "val_recall" in lines[0] and len(lines) == 3


@pytest.mark.parametrize("place", [0, 100, -30])
def test_resuming_from_a_damaged_checkpoint(tmp_path: Path, train: Train, records: Path, finished: Path, place: int) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    content = bytearray((folder / LAST).read_bytes())
    (folder / LAST).write_bytes(content[:place] if place else b"")
    status, said = train("--records", records, "--out", folder, *SHORT, "--resume")
    assert status == 2 and "last.npz is not a whole checkpoint" in said


@pytest.mark.parametrize("moment", ["before", "after"])
def test_interruption_tells_what_is_kept(
    tmp_path: Path, train: Train, records: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def interrupt(run: Run, row: Any) -> None:
        if run.epoch == (1 if moment == "before" else 2):
            raise KeyboardInterrupt  # trained, but not yet written
        keep(run, row)

    keep = Run._keep
    monkeypatch.setattr(Run, "_keep", interrupt)
    status, said = train("--records", records, "--out", tmp_path / "run", *SHORT)
    assert status == 130
    if moment == "before":
        assert "interrupted in the first epoch" in said and "--resume" not in said
    else:
        assert "--resume goes on after epoch 1" in said


# ---- what stops a run


def test_a_loss_that_is_not_finite(tmp_path: Path, train: Train, records: Path) -> None:
    options = ["--records", records, "--out", tmp_path, "--epochs", 3, "--batch", 32, "--warm-up", 0, "--optimiser", "sgd"]
    status, said = train(*options, "--rate", "1e30")
    assert status == 2
    line = said.splitlines()[-1]
    assert "training of pnet stopped at step 1, epoch 1: loss" in line and "box" in line
    assert "32 samples: 0 (positive), 1 (positive)" in line and "--rate" in line
    assert not (tmp_path / LAST).exists()


def test_the_last_good_checkpoint_stays(tmp_path: Path, records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(Options("pnet", epochs=3, batch=32), records, tmp_path)
    rate = run.schedule
    monkeypatch.setattr(run, "schedule", lambda step: 1e30 if step >= run.steps_an_epoch + 3 else rate(step))
    with pytest.raises(TrainingError, match=f"stopped at step {run.steps_an_epoch + 4}, epoch 2"):
        run.fit()
    state = read_checkpoint(tmp_path / LAST)
    assert state.about["epoch"] == 1
    assert all(np.isfinite(array).all() for array in [*state.parameters.values(), *state.optimiser.values()])


def test_parameters_that_the_last_step_spoils_are_not_kept(
    tmp_path: Path, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(Options("pnet", epochs=3, batch=32, optimiser="sgd", clip=0), records, tmp_path)
    rate, last = run.schedule, 2 * run.steps_an_epoch - 1
    monkeypatch.setattr(run, "schedule", lambda step: 3e38 if step >= last else rate(step))
    with pytest.raises(TrainingError, match="epoch 2"):
        run.fit()
    assert read_checkpoint(tmp_path / LAST).about["epoch"] == 1
    assert np.isfinite(read_checkpoint(tmp_path / LAST).parameters["pnet_conv1_weight"]).all()


def test_places_that_cannot_be_written(tmp_path: Path, train: Train, records: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file/below"):
        status, said = train("--records", records, "--out", out, *SHORT)
        assert status == 2 and f"{out}" in said and "Traceback" not in said
    assert (tmp_path / "file").read_text() == ""


def test_places_that_cannot_be_written_show_before_training(
    tmp_path: Path, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        Run(Options("pnet"), records, tmp_path / "file/run")


def no_records(folder: Path) -> Path:
    return folder


def missing(folder: Path) -> Path:
    return folder / "missing"


def empty_records(folder: Path) -> Path:
    return write_records(folder, samples=Samples.empty(12))


def of_another_net(folder: Path) -> Path:
    shutil.move(write_records(folder / "r", 20, "rnet") / "rnet.rec", folder / "pnet.rec")
    for ending in ("idx", "json"):
        shutil.move(folder / f"r/rnet.{ending}", folder / f"pnet.{ending}")
    (folder / REPORT).write_text("{}")
    return folder


def damaged(folder: Path) -> Path:
    os.truncate(write_records(folder) / "pnet.rec", 1000)
    return folder


def without_classes(folder: Path) -> Path:
    samples = make_samples(100, 12)
    return write_records(folder, samples=samples[samples.kinds == Kind.PART])


@pytest.mark.parametrize(
    "make, message",
    [
        (no_records, "holds no finished records: mtcnn-gluon prepare records makes them"),
        (missing, "missing holds no finished records"),
        (empty_records, "its records are empty"),
        (of_another_net, "pnet.rec holds samples for rnet, not for pnet"),
        (damaged, "pnet.rec: expected"),
        (without_classes, "there are no samples for cls"),
    ],
)
def test_records_that_cannot_be_used(
    tmp_path: Path, train: Train, records: Path, make: Callable[[Path], Path], message: str
) -> None:
    bad = make(tmp_path)
    for folders in ([bad], [records, "--validation", bad]):
        status, said = train("--records", *folders, "--out", tmp_path / "run", "--tasks", "cls")
        assert status == 2 and message in said
    assert not (tmp_path / "run" / LAST).exists()


# ---- what is trained


def even_samples(count: int) -> Samples:
    """As many of each kind, landmarks of landmark samples only, so that both devices get as many of each."""
    samples = make_samples(count, 12)
    kinds = np.resize([1, 0, -1, -2], count)
    known = {"has_box": np.abs(kinds) == 1, "has_landmarks": kinds == -2}
    return Samples(**{**vars(samples), "kinds": kinds, **known})


def first_losses(run: Run) -> np.ndarray:
    batch = run.sampler.draw(0)
    return settle(run, batch, step(run, batch), Tally())


@pytest.mark.parametrize("landmarks", [False, True])
def test_two_devices_are_like_one(tmp_path: Path, landmarks: bool) -> None:
    data = write_records(tmp_path, samples=even_samples(400))
    options = Options("pnet", epochs=2, batch=120, keep_ratio=1, optimiser="sgd", rate=0.001, landmarks=landmarks)
    one = Run(options, data, tmp_path / "one")
    two = Run(options, data, tmp_path / "two", devices=[mx.cpu(0), mx.cpu(1)])
    np.testing.assert_allclose(first_losses(two), first_losses(one), rtol=1e-5)
    for name, value in one.parameters().items():
        for device in two.devices:
            after = two.net.collect_params()[name].data(device).asnumpy()
            np.testing.assert_allclose(after, value, rtol=1e-4, atol=1e-6, err_msg=name)
    assert np.isfinite(two.fit()["loss"])


@pytest.mark.parametrize("decay", [0, 0.01])
@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("task, trained", [("cls", "cls"), ("box", "box"), ("landmark", "landmark")])
def test_one_task_trains_one_head(tmp_path: Path, records: Path, optimiser: str, task: str, trained: str, decay: float) -> None:
    options = Options("pnet", epochs=1, batch=32, optimiser=optimiser, tasks=(task,), landmarks=True, decay=decay)
    run = Run(options, records, tmp_path)
    before = run.parameters()
    row = run.fit()
    changed = {name for name, value in run.parameters().items() if not np.array_equal(value, before[name])}
    heads = {f"pnet_{head}_{kind}" for head in ("cls", "box", "landmark") for kind in ("weight", "bias")}
    assert changed & heads == {f"pnet_{trained}_weight", f"pnet_{trained}_bias"}
    assert "pnet_conv1_weight" in changed and row["loss"] > 0


def test_a_batch_of_one_task_trains_that_task_only(tmp_path: Path, records: Path) -> None:
    run = Run(Options("pnet", batch=32, sampling="alternate", landmarks=True, optimiser="sgd"), records, tmp_path)
    run.trainer.set_learning_rate(0.01)
    seen = set()
    for number in range(8):
        batch, before = run.sampler.draw(number), run.parameters()
        step(run, batch)
        changed = {name.split("_")[1] for name, value in run.parameters().items() if not np.array_equal(value, before[name])}
        if batch.task not in seen:  # momentum moves the others later on
            assert not seen or batch.task in changed
        if not seen:
            assert changed & {"cls", "box", "landmark"} == {batch.task}
        seen.add(batch.task)


@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("sampling", ["mixed", "alternate"])
def test_landmark_samples_are_for_nets_with_landmarks(tmp_path: Path, records: Path, sampling: Any, landmarks: bool) -> None:
    run = Run(Options("pnet", batch=32, sampling=sampling, landmarks=landmarks), records, tmp_path)
    kinds = np.concatenate([run.sampler.draw(number).kinds for number in range(9)])
    assert (Kind.LANDMARK in kinds) == landmarks


def test_a_task_without_a_head(tmp_path: Path, records: Path) -> None:
    with pytest.raises(ConfigError, match="tasks must be more than landmark: pnet has no landmark head"):
        Run(Options("pnet", tasks=("landmark",)), records, tmp_path)


@pytest.mark.parametrize("length, expected", [(5, [3, -4]), (1, [0.6, -0.8]), (10, [3, -4])])
def test_long_gradients_are_shortened(length: float, expected: list[float]) -> None:
    gradient = mx.nd.array([3, -4])
    shorten(gradient, length)
    np.testing.assert_allclose(gradient.asnumpy(), expected, rtol=1e-6)


def test_gradients_of_none_and_of_too_much() -> None:
    zero, spoilt = mx.nd.zeros(3), mx.nd.array([1, np.nan])
    shorten(zero, 1)
    shorten(spoilt, 1)
    assert not zero.asnumpy().any() and np.isnan(spoilt.asnumpy()).any()


@pytest.mark.parametrize("clip", [0, 0.5])
def test_steps_are_clipped(tmp_path: Path, records: Path, clip: float) -> None:
    run = Run(Options("pnet", batch=32, optimiser="sgd", clip=clip), records, tmp_path)
    run.trainer.set_learning_rate(1)
    before = run.trained.data().asnumpy()
    step(run, run.sampler.draw(0))
    moved = np.linalg.norm(run.trained.data().asnumpy() - before)
    assert moved == pytest.approx(0.5, rel=1e-3) if clip else moved > 1


def test_weights_of_the_loss(tmp_path: Path, records: Path) -> None:
    run = Run(Options("onet", box_weight=3), write_records(tmp_path / "records", net="onet"), tmp_path / "a")
    assert run.loss_weights() == {"cls": 1, "box": 3, "landmark": 1}
    run = Run(Options("pnet", landmark_weight=0.0, tasks=("cls", "landmark"), landmarks=True), records, tmp_path / "b")
    assert run.loss_weights() == {"cls": 1, "box": 0, "landmark": 0}


@pytest.mark.parametrize("batch", [6, 7])
def test_the_smallest_batches(tmp_path: Path, records: Path, batch: int) -> None:
    assert np.isfinite(Run(Options("pnet", epochs=1, batch=batch, landmarks=True), records, tmp_path).fit()["loss"])


@pytest.mark.parametrize("net", ["rnet", "onet"])
def test_other_nets(tmp_path: Path, net: str) -> None:
    run = Run(Options(net, epochs=2, batch=16, average=0.9), write_records(tmp_path, 48, net), tmp_path / "run")
    row = run.fit()
    assert row["epoch"] == 2 and np.isfinite([row["loss"], row["cls"], row["box"], row["landmark"]]).all()
    assert (row["landmark"] > 0) == (net == "onet")


def test_validation_is_of_what_is_kept(tmp_path: Path, records: Path) -> None:
    data = write_records(tmp_path, 700, seed=3)
    options = Options("pnet", epochs=2, batch=32, average=0.9)
    row = Run(options, records, tmp_path / "run", data).fit()
    names = ("positive_accuracy", "negative_accuracy", "recall", "box_error", "landmark_error")
    assert {f"val_{name}" for name in names} < row.keys()
    assert read_checkpoint(tmp_path / "run" / LAST).about["rows"][-1]["val_recall"] == row["val_recall"]

    Run(options, records, tmp_path / "without").fit()  # measuring changes nothing
    a, b = (read_checkpoint(tmp_path / name / LAST) for name in ("run", "without"))
    assert arrays(a) == arrays(b)

    again = Run(Options("pnet", epochs=1, batch=32), records, tmp_path / "again", data, initial=a.averages)
    assert {f"val_{name}": value for name, value in again.evaluate().items()} == pytest.approx(
        {name: value for name, value in row.items() if name.startswith("val_")}, nan_ok=True
    )


def test_best_is_the_best(tmp_path: Path, records: Path) -> None:
    run = Run(Options("pnet", epochs=5, batch=32), records, tmp_path, records)
    run.fit()
    recalls = [row["val_recall"] for row in run.rows]
    about = read_checkpoint(tmp_path / BEST).about
    assert about["rows"][-1]["val_recall"] == max(recalls) == read_checkpoint(tmp_path / LAST).about["best"]


# ---- parameters to begin with


def values_of(source: Path, net: str = "pnet") -> dict[str, np.ndarray]:
    return cli.cli_train.read_parameters(str(source), net)


@pytest.mark.parametrize("ending", ["npz", "params"])
def test_begun_from_a_file(tmp_path: Path, records: Path, finished: Path, ending: str) -> None:
    expected = read_checkpoint(finished / LAST).averages
    source = finished / LAST
    if ending == "params":
        source = tmp_path / "a.params"
        mx.nd.save(str(source), {f"arg:{name}": mx.nd.array(value) for name, value in expected.items()})
    run = Run(Options("pnet", landmarks=True), records, tmp_path / "run", initial=values_of(source))
    found = run.parameters()
    assert set(found) - set(expected) == {"pnet_landmark_weight", "pnet_landmark_bias"}  # which stay random
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_begun_from_the_official_weights(tmp_path: Path, train: Train) -> None:
    pytest.importorskip("joblib")
    for net in ("pnet", "rnet", "onet"):
        data = write_records(tmp_path / "records", 40, net)
        options = ["--records", data, "--epochs", 1, "--batch", 16, "--init", "official", "--out", tmp_path / net]
        assert train(*options, "--optimiser", "sgd", "--rate", "1e-9", net=net)[0] == 0
        official = values_of(Path("official"), net)
        for name, value in read_checkpoint(tmp_path / net / LAST).parameters.items():
            np.testing.assert_allclose(value, official[name], atol=1e-6, err_msg=name)


def make_params(path: Path, values: Any) -> Path:
    mx.nd.save(str(path), values)
    return path


def with_landmarks(folder: Path, finished: Path) -> Path:
    values = {name: mx.nd.array(value) for name, value in read_checkpoint(finished / LAST).parameters.items()}
    return make_params(folder / "a.params", {**values, "pnet_landmark_bias": mx.nd.zeros(10)})


def of_another_shape(folder: Path, finished: Path) -> Path:
    return make_params(folder / "a.params", {"pnet_conv1_weight": mx.nd.zeros((10, 3, 5, 5))})


def of_rnet(folder: Path, finished: Path) -> Path:
    write_checkpoint(folder / "a.npz", Checkpoint({}, {"rnet_conv1_weight": np.zeros((28, 3, 3, 3))}))
    return folder / "a.npz"


def garbage(folder: Path, finished: Path) -> Path:
    (folder / "a.params").write_bytes(b"no parameters" * 100)
    return folder / "a.params"


def cut(folder: Path, finished: Path) -> Path:
    path = with_landmarks(folder, finished)
    os.truncate(path, 500)
    return path


@pytest.mark.parametrize(
    "make, message",
    [
        (with_landmarks, "the initial parameters do not fit pnet: pnet_landmark_bias is unknown"),
        (of_another_shape, "pnet_conv1_weight: expected shape (10, 3, 3, 3), got (10, 3, 5, 5)"),
        (of_rnet, "holds no parameters of pnet: rnet_conv1_weight"),
        (garbage, "a.params cannot be read"),
        (cut, "a.params cannot be read"),
        (lambda folder, _: make_params(folder / "a.params", [mx.nd.zeros(3)]), "its arrays have no names"),
        (lambda folder, _: make_params(folder / "a.params", {"body.0.weight": mx.nd.zeros(3)}), "holds no parameters of pnet"),
        (lambda folder, _: folder / "missing.params", "missing.params"),
        (lambda folder, _: folder / "missing.npz", "missing.npz does not exist"),
        (lambda folder, _: folder, "is not a model bundle"),
        (lambda folder, _: "nothing", "or the folder of a model bundle"),
    ],
)
def test_wrong_parameters_to_begin_with(
    tmp_path: Path, train: Train, records: Path, finished: Path, make: Callable[[Path, Path], Any], message: str
) -> None:
    source = make(tmp_path, finished)
    status, said = train("--records", records, "--out", tmp_path / "run", "--init", source)
    assert status == 2 and message in said
    assert not (tmp_path / "run" / LAST).exists()


# ---- options


@pytest.mark.parametrize(
    "name, value",
    [
        ("net", "qnet"), ("epochs", 0), ("optimiser", "rmsprop"), ("decay", -0.1), ("decay", 1), ("decay", np.nan),
        ("keep_ratio", 0), ("keep_ratio", 1.1), ("keep_ratio", np.nan), ("average", 1), ("average", -0.1), ("seed", -1),
        ("rate", 0), ("rate", np.nan), ("rate", np.inf), ("schedule", "linear"), ("warm_up", -1), ("batch", 3),
        ("sampling", "all"), ("tasks", ()), ("tasks", ("classes",)), ("box_weight", -1), ("landmark_weight", np.nan),
        ("box_weight", np.inf), ("clip", -1), ("clip", np.nan), ("regression", "huber"), ("ratio", "3:1:1"),
        ("ratio", "3:-1:1:1"),
    ],
)  # fmt: skip
def test_options_out_of_range(tmp_path: Path, records: Path, name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        Run(Options(**{"net": "pnet", name: value}), records, tmp_path / "run")


def test_batches_that_devices_cannot_share(tmp_path: Path, records: Path) -> None:
    with pytest.raises(ConfigError, match="batch must be a multiple of the 2 devices, not 33"):
        Run(Options("pnet", batch=33), records, tmp_path, devices=[mx.cpu(0), mx.cpu(1)])
