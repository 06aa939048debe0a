"""Training with several processes: like one process, and ended when one dies, with one sentence and without a wait."""

import csv
import os
import shutil
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from process_watch import HAS_PROC, is_running

from launched import LIMIT, begin, launch, members, wait_long, with_ssh
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.training.checkpoints import LAST, LOG, read_checkpoint
from record_samples import make_samples
from training_runs import assert_same_state, write_records

pytestmark = pytest.mark.skipif(not HAS_PROC, reason="looks at processes in /proc")
END = 30  # seconds in which all processes end after one has died


def rows(folder: Path) -> list[dict[str, str]]:
    path = folder / LOG
    return list(csv.DictReader(path.open())) if path.exists() else []


def losses(folder: Path) -> np.ndarray:
    return np.array([float(row["loss"]) for row in rows(folder)])


def words(folder: Path, out: str, *more: Any, epochs: int = 60) -> list[Any]:
    """A command of five steps an epoch."""
    common = ["train", "--net", "pnet", "--epochs", epochs, "--batch", 60, "--warm-up", 20]
    return [*common, "--records", folder / "records", "--out", folder / out, *more]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launch")
    write_records(folder / "records")
    write_records(folder / "others", seed=1)
    return folder


# ---- like one process


@pytest.mark.parametrize(
    "more",
    [
        ["--optimiser", "adam"],
        ["--optimiser", "adam", "--keep-ratio", "1"],
        ["--optimiser", "muon"],
        ["--optimiser", "sgd", "--rate", "0.001", "--schedule", "step"],
    ],
)
def test_two_workers_follow_one(tmp_path: Path, more: list[str]) -> None:
    """One step an epoch, so the log holds the loss of every step. Rates rise, and fall to zero or in steps.

    Offsets are as large as those of real samples: larger ones make the loss, and with it the differences, larger too.
    """
    samples = make_samples(300, 12)
    write_records(tmp_path / "records", samples=replace(samples, offsets=0.1 * samples.offsets))
    options = [*words(tmp_path, "two", *more, epochs=200), "--batch", 240]
    done = launch("--local", 2, "--", *options)
    assert done.returncode == 0, done.stderr
    assert cli.main(list(map(str, [*options, "--out", tmp_path / "one"]))) == 0
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == 200 and one[-1] < 0.5 * one[0]
    np.testing.assert_allclose(two, one, atol=1e-3)
    names = ("positive_accuracy", "negative_accuracy", "recall", "box_error")
    for a, b in zip(rows(tmp_path / "one"), rows(tmp_path / "two")):
        assert [float(a[name]) for name in names] == pytest.approx([float(b[name]) for name in names], abs=0.05)


def test_several_servers_share_the_work(tmp_path: Path, folder: Path) -> None:
    for servers in (1, 3):
        options = words(folder, f"servers-{servers}", "--out", tmp_path / str(servers), epochs=3)
        assert launch("--local", 2, "--servers", servers, "--", *options).returncode == 0
    np.testing.assert_array_equal(losses(tmp_path / "1"), losses(tmp_path / "3"))


def test_hosts(tmp_path: Path, folder: Path) -> None:
    """Two workers on one host and one on another, and only the first host gets the folder of the run."""
    (tmp_path / "hosts").write_text("near 2  # two workers\nfar\n")
    options = words(folder, "hosts", "--validation", folder / "others", "--out", tmp_path / "run", epochs=2)
    done = launch("--hosts", tmp_path / "hosts", "--address", "127.0.0.1", "--", *options, env=with_ssh(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "[worker 2 on far] INFO: worker 2 of 3 has joined the others" in done.stderr
    assert done.stdout == f"[worker 0 on near] done: {tmp_path / 'run'}/best.npz is the best of 2 epochs\n"
    assert {"best.npz", "last.npz", "log.csv"} < {path.name for path in (tmp_path / "run").iterdir()}
    assert "val_recall" in rows(tmp_path / "run")[-1]


# ---- when a process dies


def interrupted(folder: Path, out: str, victim: str, *more: Any) -> tuple[int, str, float]:
    """Kill a process after three epochs: status and messages of the launcher, and seconds until its end."""
    launcher = begin("--local", 2, "--", *words(folder, out, *more))
    wait_long(lambda: len(rows(folder / out)) >= 3)
    processes = members(launcher.pid)
    assert sorted(processes) == ["0", "1", "scheduler", "server"]
    start = time.monotonic()
    os.kill({"launcher": launcher.pid, **processes}[victim], signal.SIGKILL)
    _, said = launcher.communicate(timeout=LIMIT)
    wait_long(lambda: not any(map(is_running, processes.values())))
    return launcher.returncode, said, time.monotonic() - start


@pytest.mark.parametrize("victim, name", [("0", "worker 0"), ("server", "server 0"), ("scheduler", "scheduler")])
def test_a_killed_process_ends_all(folder: Path, victim: str, name: str) -> None:
    status, said, seconds = interrupted(folder, f"killed-{victim}", victim)
    assert status == 2 and seconds < END
    assert said.splitlines()[-1] == f"mtcnn-gluon: {name} was killed by SIGKILL; all other processes have been ended"


def test_no_process_outlives_the_launcher(folder: Path) -> None:
    status, _, seconds = interrupted(folder, "orphans", "launcher")
    assert status == -signal.SIGKILL and seconds < END


def test_a_killed_worker_and_resuming(folder: Path) -> None:
    """With as many workers the run ends with the same bits as if not interrupted; other numbers go on as well."""
    assert launch("--local", 2, "--", *words(folder, "whole")).returncode == 0
    status, said, seconds = interrupted(folder, "broken", "1")
    assert status == 2 and seconds < END
    assert said.splitlines()[-1] == "mtcnn-gluon: worker 1 was killed by SIGKILL; all other processes have been ended"
    known = rows(folder / "broken")
    lost = len(known) - read_checkpoint(folder / "broken" / LAST).about["epoch"]
    assert 0 <= lost <= 1
    for count in (1, 3):
        shutil.copytree(folder / "broken", folder / f"by-{count}")
        done = launch("--local", count, "--", *words(folder, f"by-{count}", "--resume"))
        assert done.returncode == 0, done.stderr
        assert f"workers was 2, is {count}" in done.stderr
        again = rows(folder / f"by-{count}")
        assert len(again) == 60 and again[: len(known) - lost] == known[: len(known) - lost]
        np.testing.assert_allclose(losses(folder / f"by-{count}"), losses(folder / "whole"), rtol=0.02)
    assert launch("--local", 2, "--", *words(folder, "broken", "--resume")).returncode == 0
    assert_same_state(folder / "broken", folder / "whole")


def test_ctrl_c(folder: Path) -> None:
    launcher = begin("--local", 2, "--", *words(folder, "stopped"))
    wait_long(lambda: len(rows(folder / "stopped")) >= 1)
    processes = members(launcher.pid)
    launcher.send_signal(signal.SIGINT)
    _, said = launcher.communicate(timeout=LIMIT)
    assert launcher.returncode == 130 and said.splitlines()[-1] == "mtcnn-gluon: interrupted" and "Traceback" not in said
    assert not any(map(is_running, processes.values()))


def test_what_resuming_needs_comes_from_the_first_worker(folder: Path, tmp_path: Path) -> None:
    """The teacher's outputs and the initial net, with which kept heads are compared."""
    assert launch("--local", 1, "--", *words(folder, "teacher", epochs=1)).returncode == 0
    more = ["--init", folder / "teacher/last.npz", "--distil", 0.5]
    whole = words(folder, "whole", *more, "--out", tmp_path / "whole", epochs=40)
    assert launch("--local", 2, "--", *whole).returncode == 0
    options = words(folder, "distilled", *more, epochs=40)
    launcher = begin("--local", 2, "--", *options)
    wait_long(lambda: len(rows(folder / "distilled")) >= 2)
    launcher.kill()
    launcher.communicate()
    done = launch("--local", 2, "--", *options, "--resume")
    assert done.returncode == 0, done.stderr
    assert_same_state(folder / "distilled", tmp_path / "whole")


# ---- what is refused


@pytest.mark.parametrize(
    "hosts, sentence",
    [
        (
            "near\ngone\n",
            "ssh to gone failed or worker 1 on gone was killed: ssh: connect to host gone port 22: No route to host",
        ),
        ("near\nold\n", "worker 1 on old ended with status 2: this host has mtcnn-gluon 0.9.0, the launcher "),
        ("near\nother\n", "worker 1 on other ended with status 2: worker 1 differs from worker 0 in "),
        ("near\nempty\n", "worker 1 on empty ended with status 2: "),
        ("near\nstuck\n", "after 20 s worker 0 on near, worker 1 on stuck have not joined the others: "),
    ],
)
def test_a_host_that_does_not_fit(tmp_path: Path, folder: Path, hosts: str, sentence: str) -> None:
    (tmp_path / "hosts").write_text(hosts)
    more = ["--patience", 20] if "stuck" in hosts else []
    options = words(folder, "never", "--out", tmp_path / "run")
    done = launch(
        "--hosts", tmp_path / "hosts", "--address", "127.0.0.1", *more, "--", *options, env=with_ssh(tmp_path)
    )  # fmt: skip
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"mtcnn-gluon: {sentence}") and "Traceback" not in done.stderr
    assert not (tmp_path / "run" / LAST).exists()


def test_a_busy_port(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = launch("--local", 2, "--port", port, "--", *words(folder, "busy"))
    assert done.returncode == 2
    assert done.stderr == f"mtcnn-gluon: port {port} of 127.0.0.1 cannot be used: Address already in use\n"


def test_an_error_of_all_workers_is_that_of_the_first(folder: Path) -> None:
    (folder / "taken").mkdir()
    (folder / "taken" / LAST).write_text("")
    done = launch("--local", 2, "--", *words(folder, "taken"))
    assert done.returncode == 2
    assert "worker 0 ended with status 2" in done.stderr.splitlines()[-1] and "holds a training run" in done.stderr
    assert "[worker 1] mtcnn-gluon:" not in done.stderr


def test_a_loss_that_is_not_finite(folder: Path) -> None:
    options = words(folder, "wild", "--optimiser", "sgd", "--rate", "1e30", "--warm-up", 0)
    done = launch("--local", 2, "--", *options)
    assert done.returncode == 2 and "training of pnet stopped at step" in done.stderr.splitlines()[-1]
