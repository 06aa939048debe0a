"""`mtcnn-gluon launch`: what it refuses before it starts anything, and two workers. More is in tests/launch."""

import csv
from pathlib import Path
from typing import Any

import pytest

from launched import launch
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.training.checkpoints import LAST, read_checkpoint
from training_runs import write_records

TRAIN = ["--", "train", "--net", "pnet", "--records", "records", "--out", "run"]


@pytest.mark.parametrize(
    "words, message",
    [
        (TRAIN, "one of the arguments --hosts --local is required"),
        (["--local", "2", "--hosts", "hosts", *TRAIN], "not allowed with argument"),
        (["--local", "0", *TRAIN], "local must be above 0 and at most 10000, not 0"),
        (["--local", "2", "--servers", "-1", *TRAIN], "servers must be above 0"),
        (["--local", "2", "--patience", "nan", *TRAIN], "patience must be above 0 and at most 10000, not nan"),
        (["--local", "2"], "launch starts train only: expected -- train ..., got nothing"),
        (["--local", "2", "--", "detect", "photo.jpg"], "launch starts train only: expected -- train ..., got detect"),
        (["--local", "2", "--port", "99999", *TRAIN], "port 99999 of 127.0.0.1 cannot be used"),
        (["--local", "2", *TRAIN, "--kvstore", "local"], "kvstore must be dist_sync under launch, not local"),
        (["--local", "2", *TRAIN, "--rate", "-1"], "rate must be a number from 1e-30 to 1e+30, not -1"),
        (["--local", "2", *TRAIN, "--epoks", "1"], "unknown option --epoks: did you mean --epochs?"),
        (["--hosts", "missing", *TRAIN], "missing does not exist"),
    ],
)
def test_what_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        status = cli.main(["launch", *words])
    except SystemExit as stop:  # argparse
        status = stop.code
    assert status == 2 and message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_two_workers_train(tmp_path: Path) -> None:
    """On as many samples of each kind they follow one worker."""
    write_records(tmp_path / "records", 240)
    options = ["train", "--net", "pnet", "--records", tmp_path / "records", "--validation", tmp_path / "records", "--epochs", 3,
               "--batch", 60, "--warm-up", 4, "--keep-ratio", 1]  # fmt: skip
    done = launch("--local", 2, "--", *options, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"[worker 0] done: {tmp_path / 'two/best.npz'} is the best of 3 epochs\n"
    assert cli.main([*map(str, options), "--out", str(tmp_path / "one")]) == 0
    one, two = (list(csv.DictReader((tmp_path / name / "log.csv").open())) for name in ("one", "two"))
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys() and float(b["loss"]) == pytest.approx(float(a["loss"]), abs=1e-3)
        assert float(b["val_box_error"]) == pytest.approx(float(a["val_box_error"]), abs=1e-3)
    assert read_checkpoint(tmp_path / "two" / LAST).about["made with"]["workers"] == "2"
