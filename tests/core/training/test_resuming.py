"""Training goes on exactly where it was, or says why it cannot."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.records.samples import Samples
from mtcnn_gluon.training import trainer
from mtcnn_gluon.training.checkpoints import LAST, LOG, Checkpoint, read_checkpoint, write_checkpoint
from mtcnn_gluon.training.hooks import Checkpoints
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.state import Run
from mtcnn_gluon.training.trainer import fit
from record_samples import make_samples
from training_runs import SHORT, Train, assert_same_state, contents, interrupt_after, write_records

mx = load_mxnet()

STOPPED = """
import os, signal, sys
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.training import trainer

def step(run, batch):
    if batch.number == run.steps_an_epoch + 5:
        os.kill(os.getpid(), int(sys.argv[1]))
    return original(run, batch)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
original, trainer.step = trainer.step, step
sys.exit(cli.main(sys.argv[2:]))
"""  # a command that gets a signal within its second epoch


@pytest.mark.parametrize(
    "how, optimiser, average, sampling",
    [
        (signal.SIGKILL, "adam", 0.99, "mixed"),
        (signal.SIGKILL, "sgd", 0, "alternate"),
        (signal.SIGINT, "adam", 0, "alternate"),
        (signal.SIGINT, "sgd", 0.99, "mixed"),
        (signal.SIGKILL, "muon", 0.99, "mixed"),
    ],
)
def test_resumed_to_the_bit(
    tmp_path: Path, train: Train, how: signal.Signals, optimiser: str, average: float, sampling: str
) -> None:
    data = write_records(tmp_path / "records", 700)  # 22 steps an epoch
    options = ["--records", data, "--epochs", 3, "--batch", 32, "--optimiser", optimiser, "--average", average,
               "--sampling", sampling, "--rate", 0.001, "--brightness", 0.2, "--decay", 1e-4]  # fmt: skip
    assert train(*options, "--out", tmp_path / "whole")[0] == 0
    assert len(read_checkpoint(tmp_path / "whole" / LAST).averages) == (13 if average else 0)

    command = [sys.executable, "-c", STOPPED, int(how), "train", "--net", "pnet", *options, "--out", tmp_path / "broken"]
    process = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    said = process.stderr
    assert process.returncode == (130 if how == signal.SIGINT else -how), said
    assert read_checkpoint(tmp_path / "broken" / LAST).about["epoch"] == 1
    if how == signal.SIGINT:
        assert "interrupted; --resume goes on after epoch 1" in said and "Traceback" not in said
        assert sorted(contents(tmp_path / "broken")) == ["best.npz", "curves.png", "last.npz", "log.csv"]

    assert train(*options, "--out", tmp_path / "broken", "--resume")[0] == 0
    assert_same_state(tmp_path / "broken", tmp_path / "whole")
    assert len((tmp_path / "broken" / LOG).read_text().splitlines()) == 4


def test_no_interrupt_is_lost(tmp_path: Path, records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python drops one that is raised while an array is destroyed."""

    class Destroyed:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def step_and_destroy(*arguments: Any) -> Any:
        steps.append(1)
        if len(steps) == 2:
            Destroyed()
        return step(*arguments)

    steps: list[int] = []
    step, dropped = trainer.step, []
    monkeypatch.setattr(trainer, "step", step_and_destroy)
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)
    run = Run(TrainingOptions("pnet", epochs=2, batch=32), records, tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        fit(run)
    assert len(steps) == 2 and not dropped
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_two_devices_are_resumed_to_the_bit(tmp_path: Path, records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = TrainingOptions("pnet", epochs=2, batch=32, optimiser="adam", average=0.9)
    devices = [mx.cpu(0), mx.cpu(1)]
    fit(Run(options, records, tmp_path / "whole", devices=devices))
    first = Run(options, records, tmp_path / "parts", devices=devices)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoints, "after_epoch", interrupt_after(Checkpoints.after_epoch))
        fit(first)
    fit(Run(options, records, tmp_path / "parts", devices=devices, resume=True))
    assert_same_state(tmp_path / "parts", tmp_path / "whole")


def test_a_checkpoint_whose_optimiser_does_not_fit(records: Path, finished: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(finished / LAST)
    checkpoint.optimiser = {f"pnet_{name}/{place}": np.zeros(7) for name in "ab" for place in range(2)}
    write_checkpoint(tmp_path / LAST, checkpoint)
    with pytest.raises(DataError, match="the optimiser's arrays do not fit pnet"):
        Run(TrainingOptions("pnet", epochs=2, batch=32, warm_up=5, average=0.999), records, tmp_path, resume=True)


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
    assert status == 2 and "last.npz does not exist: there is no checkpoint to resume from" in said


@pytest.mark.parametrize("before, after", [("a", "b"), ("a", "fewer"), ("a", None), (None, "a")])
def test_resuming_with_another_validation_set(
    tmp_path: Path, train: Train, records: Path, before: str | None, after: str | None
) -> None:
    """By whose figures `best.npz` would be chosen, beside those of the first. As many samples of each kind make no same set."""
    options = ["--records", records, "--out", tmp_path / "run", *SHORT]
    folders = {"a": write_records(tmp_path / "a"), "fewer": write_records(tmp_path / "fewer", 200)}
    samples = make_samples(300, 12)
    folders["b"] = write_records(tmp_path / "b", samples=Samples(**{**vars(samples), "crops": 255 - samples.crops}))
    first, then = (["--validation", folders[name]] if name else [] for name in (before, after))
    interrupt_first_epoch(train, *options, *first)
    kept = contents(tmp_path / "run")
    status, said = train(*options, *then, "--resume")
    assert status == 2 and "last.npz is of a run with other validation records: pnet was " in said
    assert ("was none" in said) == (before is None) and ("is none" in said) == (after is None)
    assert f"begin another run with --init {tmp_path / 'run' / LAST}" in said
    assert contents(tmp_path / "run") == kept
    if before:  # in another folder: the same
        shutil.move(folders[before], tmp_path / "moved")
        first[1] = tmp_path / "moved"
    assert train(*options, *first, "--resume")[0] == 0
    assert train(*options, *then, "--init", tmp_path / "run" / LAST, "--out", tmp_path / "another")[0] == 0


def interrupt_first_epoch(train: Train, *arguments: Any) -> None:
    """Begin a run that ends, as if by Ctrl-C, once its first epoch is written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "after_epoch", interrupt_after(Checkpoints.after_epoch))
        assert train(*arguments)[0] == 130


@pytest.mark.parametrize("begun_with", ["trained", None])
def test_resuming_with_other_initial_parameters(
    tmp_path: Path, train: Train, records: Path, finished: Path, begun_with: str | None
) -> None:
    """Those of the run, or none: they are not needed again."""
    options = ["--records", records, "--out", tmp_path / "run", *SHORT]
    checkpoint = read_checkpoint(finished / LAST)
    for name, factor in (("trained", 1.0), ("other", 1.5)):
        values = {key: np.float32(factor) * value for key, value in checkpoint.averages.items()}
        write_checkpoint(tmp_path / f"{name}.npz", Checkpoint({"heads": checkpoint.about["heads"]}, values))
    first = ["--init", tmp_path / f"{begun_with}.npz"] if begun_with else []
    interrupt_first_epoch(train, *options, *first)
    kept = contents(tmp_path / "run")
    status, said = train(*options, "--init", tmp_path / "other.npz", "--resume")
    assert status == 2 and "last.npz is of a run with other initial parameters: initial was " in said
    assert ("was none" in said) == (begun_with is None) and contents(tmp_path / "run") == kept
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    assert train(*options, *first, "--resume")[0] == 0
    assert train(*options, "--out", tmp_path / "again", "--resume")[0] == 0
    assert_same_state(tmp_path / "again", tmp_path / "run")


@pytest.mark.parametrize("name, value", [("mtcnn-gluon", "0.0.9"), ("mxnet", "1.5.0"), ("kernels", "none"), ("device", "gpu")])
def test_what_made_a_checkpoint_is_told_if_it_is_another(
    tmp_path: Path, train: Train, records: Path, name: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = ["--records", records, "--out", tmp_path / "run", *SHORT]
    interrupt_first_epoch(train, *options)
    checkpoint = read_checkpoint(tmp_path / "run" / LAST)
    present = checkpoint.about["made with"][name]
    checkpoint.about["made with"][name] = value
    write_checkpoint(tmp_path / "run" / LAST, checkpoint)
    assert train(*options, "--resume")[0] == 0
    assert f"last.npz was made with something else ({name} was {value}, is {present})" in caplog.text
    caplog.clear()
    assert train(*options, "--resume")[0] == 0 and "made with" not in caplog.text


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
    def interrupt(hook: Checkpoints, run: Run) -> None:
        if run.epoch == (1 if moment == "before" else 2):
            raise KeyboardInterrupt  # trained, but not yet written
        keep(hook, run)

    keep = Checkpoints.after_epoch
    monkeypatch.setattr(Checkpoints, "after_epoch", interrupt)
    status, said = train("--records", records, "--out", tmp_path / "run", *SHORT)
    assert status == 130
    if moment == "before":
        assert "interrupted in the first epoch" in said and "--resume" not in said
    else:
        assert "--resume goes on after epoch 1" in said


@pytest.mark.parametrize(
    "key, value",
    [
        ("heads", None), ("heads", []), ("heads", {}), ("heads", {"trained": ["cls"]}),
        ("heads", {"present": ["cls"], "learned": ["cls"], "kept": [], "trained": "cls"}),
        ("heads", {"present": ["cls"], "learned": ["cls"], "kept": [], "trained": [1]}),
        ("heads", {"present": ["cls", "mouth"], "learned": ["cls"], "kept": [], "trained": ["cls"]}),
        ("options", []), ("epoch", None), ("epoch", "one"), ("epoch", 0), ("epoch", -1), ("epoch", 7), ("epoch", True),
        ("rows", None), ("rows", 3), ("rows", [3, 3]), ("rows", []), ("best", None), ("best", "0.5"), ("made with", 3),
    ],
)  # fmt: skip
def test_a_checkpoint_that_says_what_no_run_says(records: Path, finished: Path, tmp_path: Path, key: str, value: Any) -> None:
    checkpoint = read_checkpoint(finished / LAST)
    checkpoint.about[key] = value
    write_checkpoint(tmp_path / LAST, checkpoint)
    with pytest.raises(DataError, match=f"{LAST} is damaged"):
        Run(TrainingOptions("pnet", epochs=2, batch=32, warm_up=5), records, tmp_path, resume=True)


def test_a_checkpoint_from_before_heads_were_named(records: Path, finished: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(finished / LAST)
    del checkpoint.about["heads"]
    write_checkpoint(tmp_path / LAST, checkpoint)
    with pytest.raises(DataError, match="or an earlier version wrote it"):
        Run(TrainingOptions("pnet", epochs=2, batch=32, warm_up=5), records, tmp_path, resume=True)


@pytest.mark.parametrize("value", [None, np.zeros(1, np.float32), np.zeros((2, 1), np.float32)], ids=str)
def test_a_checkpoint_without_all_averages(records: Path, finished: Path, tmp_path: Path, value: np.ndarray | None) -> None:
    checkpoint = read_checkpoint(finished / LAST)
    checkpoint.averages["pnet_cls_bias"] = value
    if value is None:
        del checkpoint.averages["pnet_cls_bias"]
    write_checkpoint(tmp_path / LAST, checkpoint)
    with pytest.raises(DataError, match="is damaged: there is no average of pnet_cls_bias"):
        Run(TrainingOptions("pnet", epochs=2, batch=32, warm_up=5), records, tmp_path, resume=True)
