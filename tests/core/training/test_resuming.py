"""Training goes on exactly where it was, or says why it cannot."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.samples import Samples
from mtcnn_gluon.training import trainer
from mtcnn_gluon.training.checkpoints import read_checkpoint, write_checkpoint
from mtcnn_gluon.training.options import Options
from mtcnn_gluon.training.trainer import LAST, LOG, Run
from record_samples import make_samples
from training_runs import SHORT, Train, assert_same_state, contents, interrupt_after, write_records

mx = load_mxnet()


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
    while not (tmp_path / "broken" / LAST).exists() and process.poll() is None:  # the last file that an epoch writes
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
    run = Run(Options("pnet", epochs=2, batch=32), records, tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        run.fit()
    assert len(steps) == 2 and not dropped
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


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
