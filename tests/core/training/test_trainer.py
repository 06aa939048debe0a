"""Training runs: what stops one and what it leaves, what is trained, devices, options."""

import csv
import os
import shutil
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from mtcnn_gluon.bundles.trained import as_trained
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.records.info import REPORT
from mtcnn_gluon.records.samples import Kind, Samples
from mtcnn_gluon.training.checkpoints import read_checkpoint
from mtcnn_gluon.training.heads import task_weights
from mtcnn_gluon.training.metrics import Tally
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.trainer import BEST, LAST, LOG, Run, TrainingError, settle, shorten, step
from record_samples import make_samples
from training_runs import SHORT, Train, arrays, write_records

mx = load_mxnet()

LANDMARK_COLUMNS = ["landmark", "landmark_error", "val_landmark_error"]


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
    run = Run(TrainingOptions("pnet", epochs=3, batch=32), records, tmp_path)
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
    run = Run(TrainingOptions("pnet", epochs=3, batch=32, optimiser="sgd", clip=0), records, tmp_path)
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
        Run(TrainingOptions("pnet"), records, tmp_path / "file/run")


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
    options = TrainingOptions("pnet", epochs=2, batch=120, keep_ratio=1, optimiser="sgd", rate=0.001, landmarks=landmarks)
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
    options = TrainingOptions("pnet", epochs=1, batch=32, optimiser=optimiser, tasks=(task,), landmarks=True, decay=decay)
    run = Run(options, records, tmp_path)
    before = run.parameters()
    row = run.fit()
    changed = {name for name, value in run.parameters().items() if not np.array_equal(value, before[name])}
    heads = {f"pnet_{head}_{kind}" for head in ("cls", "box", "landmark") for kind in ("weight", "bias")}
    assert changed & heads == {f"pnet_{trained}_weight", f"pnet_{trained}_bias"}
    assert "pnet_conv1_weight" in changed and row["loss"] > 0


def test_a_batch_of_one_task_trains_that_task_only(tmp_path: Path, records: Path) -> None:
    run = Run(TrainingOptions("pnet", batch=32, sampling="alternate", landmarks=True, optimiser="sgd"), records, tmp_path)
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
    run = Run(TrainingOptions("pnet", batch=32, sampling=sampling, landmarks=landmarks), records, tmp_path)
    kinds = np.concatenate([run.sampler.draw(number).kinds for number in range(9)])
    assert (Kind.LANDMARK in kinds) == landmarks


def test_a_task_without_a_head(tmp_path: Path, records: Path) -> None:
    with pytest.raises(ConfigError, match="tasks must be more than landmark: pnet has no landmark head"):
        Run(TrainingOptions("pnet", tasks=("landmark",)), records, tmp_path)


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
    run = Run(TrainingOptions("pnet", batch=32, optimiser="sgd", clip=clip), records, tmp_path)
    run.trainer.set_learning_rate(1)
    before = run.trained.data().asnumpy()
    step(run, run.sampler.draw(0))
    moved = np.linalg.norm(run.trained.data().asnumpy() - before)
    assert moved == pytest.approx(0.5, rel=1e-3) if clip else moved > 1


def test_weights_of_the_loss(tmp_path: Path, records: Path) -> None:
    run = Run(TrainingOptions("onet", box_weight=3), write_records(tmp_path / "records", net="onet"), tmp_path / "a")
    assert task_weights(run.options) == {"cls": 1, "box": 3, "landmark": 1}
    run = Run(TrainingOptions("pnet", landmark_weight=0.0, tasks=("cls", "landmark"), landmarks=True), records, tmp_path / "b")
    assert task_weights(run.options) == {"cls": 1, "box": 0, "landmark": 0}


@pytest.mark.parametrize("batch", [6, 7])
def test_the_smallest_batches(tmp_path: Path, records: Path, batch: int) -> None:
    assert np.isfinite(Run(TrainingOptions("pnet", epochs=1, batch=batch, landmarks=True), records, tmp_path).fit()["loss"])


@pytest.mark.parametrize("net", ["rnet", "onet"])
def test_other_nets(tmp_path: Path, net: str) -> None:
    run = Run(TrainingOptions(net, epochs=2, batch=16, average=0.9), write_records(tmp_path, 48, net), tmp_path / "run")
    row = run.fit()
    terms = ("cls", "box", "landmark") if net == "onet" else ("cls", "box")
    assert row["epoch"] == 2 and all(np.isfinite(row[name]) and row[name] > 0 for name in ("loss", *terms))
    assert [name for name in row if name in ("cls", "box", "landmark")] == list(terms)


def test_validation_is_of_what_is_kept(tmp_path: Path, records: Path) -> None:
    data = write_records(tmp_path, 700, seed=3)
    options = TrainingOptions("pnet", epochs=2, batch=32, average=0.9)
    row = Run(options, records, tmp_path / "run", data).fit()
    names = ("positive_accuracy", "negative_accuracy", "recall", "box_error")
    assert {f"val_{name}" for name in names} < row.keys()
    assert read_checkpoint(tmp_path / "run" / LAST).about["rows"][-1]["val_recall"] == row["val_recall"]

    Run(options, records, tmp_path / "without").fit()  # measuring changes nothing
    a, b = (read_checkpoint(tmp_path / name / LAST) for name in ("run", "without"))
    assert arrays(a) == arrays(b)

    again = Run(
        TrainingOptions("pnet", epochs=1, batch=32),
        records,
        tmp_path / "again",
        data,
        initial=as_trained({"pnet": a.averages})["pnet"],
    )
    figures = again.evaluate()
    assert [figures[name] for name in names] == pytest.approx([row[f"val_{name}"] for name in names])


@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("has_samples", [False, True])
def test_the_log_has_no_figures_of_nothing(
    tmp_path: Path, landmarks: bool, has_samples: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """No column of a head that there is not, because it was not asked for or nothing in this run teaches it."""
    samples = make_samples(200, 12)
    samples = samples if has_samples else samples[(samples.kinds != Kind.LANDMARK) & ~samples.has_landmarks.astype(bool)]
    data = write_records(tmp_path, samples=samples)
    caplog.set_level("INFO")
    Run(TrainingOptions("pnet", epochs=2, batch=32, landmarks=landmarks), data, tmp_path / "run", data).fit()
    rows = list(csv.DictReader((tmp_path / "run" / LOG).open()))
    assert [name for name in rows[0] if "landmark" in name] == (LANDMARK_COLUMNS if landmarks and has_samples else [])
    for row in rows:
        assert all(np.isfinite(float(value)) for value in row.values())
    assert "epoch 2 " in caplog.text and "nan" not in caplog.text


def test_best_is_the_best(tmp_path: Path, records: Path) -> None:
    run = Run(TrainingOptions("pnet", epochs=5, batch=32), records, tmp_path, records)
    run.fit()
    recalls = [row["val_recall"] for row in run.rows]
    about = read_checkpoint(tmp_path / BEST).about
    assert about["rows"][-1]["val_recall"] == max(recalls) == read_checkpoint(tmp_path / LAST).about["best"]


# ---- options


@pytest.mark.parametrize(
    "name, value",
    [
        ("net", "qnet"), ("epochs", 0), ("optimiser", "rmsprop"), ("decay", -0.1), ("decay", 1), ("decay", np.nan),
        ("keep_ratio", 0), ("keep_ratio", 1.1), ("keep_ratio", np.nan), ("average", 1), ("average", -0.1), ("seed", -1),
        ("rate", 0), ("rate", np.nan), ("rate", np.inf), ("schedule", "linear"), ("warm_up", -1), ("batch", 3),
        ("sampling", "all"), ("tasks", ()), ("tasks", ("classes",)), ("box_weight", -1), ("landmark_weight", np.nan),
        ("box_weight", np.inf), ("clip", -1), ("clip", np.nan), ("regression", "huber"), ("ratio", "3:1:1"),
        ("ratio", "3:-1:1:1"), ("precision", "float16"), ("part_faces", -0.1), ("part_faces", 1.1), ("part_faces", np.nan),
        ("overlap_faces", 0), ("overlap_faces", 1.1), ("overlap_faces", np.nan),
        ("distil", -0.1), ("distil", 1.1), ("distil", np.nan),
    ],
)  # fmt: skip
def test_options_out_of_range(tmp_path: Path, records: Path, name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        Run(TrainingOptions(**{"net": "pnet", name: value}), records, tmp_path / "run")


def test_batches_that_devices_cannot_share(tmp_path: Path, records: Path) -> None:
    with pytest.raises(ConfigError, match="batch must be a multiple of the 2 devices, not 33"):
        Run(TrainingOptions("pnet", batch=33), records, tmp_path, devices=[mx.cpu(0), mx.cpu(1)])
