"""Starting, watching and ending processes, with shells in their place."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from process_watch import HAS_PROC, children, is_running

from mtcnn_gluon.errors import WorkerError
from mtcnn_gluon.launching import team as module
from mtcnn_gluon.launching.hosts import Host
from mtcnn_gluon.launching.plan import Member
from mtcnn_gluon.launching.team import Team

JOINED = "joined"
WAIT = "exec cat >/dev/null"  # until the standard input ends
MEET = "echo has joined; "


def member(name: str, script: str, host: str = "localhost") -> Member:
    return Member(name, Host(host), ("sh", "-c", script), {})


def watch(*members: Member, patience: float = 60) -> None:
    with Team(members) as team:
        team.watch(JOINED, patience)


def test_lines_are_passed_on_with_names(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as out, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        watch(
            member("scheduler", "sleep 0.3"), member("worker 0", MEET + "echo one; printf two"), member("worker 1", MEET, "far")
        )  # fmt: skip
    with os.fdopen(reader) as text:
        assert sorted(text.read().splitlines()) == [
            "[worker 0] has joined", "[worker 0] one", "[worker 0] two", "[worker 1 on far] has joined"
        ]  # fmt: skip


@pytest.mark.parametrize(
    "script, host, sentence",
    [
        ("kill -9 $$", "localhost", "worker 1 was killed by SIGKILL"),
        (
            "echo mtcnn-gluon: there are no records >&2; exit 2",
            "localhost",
            "worker 1 ended with status 2: there are no records",
        ),
        ("echo Traceback >&2; echo ValueError: no >&2; exit 1", "localhost", "worker 1 ended with status 1: ValueError: no"),
        ("exit 3", "localhost", "worker 1 ended with status 3"),
        ("echo ssh: no route >&2; exit 255", "far", "ssh to far failed or worker 1 on far was killed: ssh: no route"),
        ("exit 255", "far", "ssh to far failed or worker 1 on far was killed"),
        ("exit 137", "far", "worker 1 on far was killed by signal 9"),
    ],
)
def test_one_dies(script: str, host: str, sentence: str) -> None:
    start = time.monotonic()
    with pytest.raises(WorkerError) as error:
        watch(member("scheduler", WAIT), member("worker 0", MEET + WAIT), member("worker 1", MEET + script, host))
    assert str(error.value) == f"{sentence}; all other processes have been ended"
    assert time.monotonic() - start < 10


@pytest.mark.skipif(not HAS_PROC, reason="looks at processes in /proc")
def test_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one that takes no notice of the end of its input, and of SIGTERM."""
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    before = set(children(os.getpid()))
    stubborn = "trap '' TERM; echo has joined; while :; do sleep 0.1; done"
    with (
        pytest.raises(WorkerError),
        Team([member("worker 0", stubborn), member("worker 1", MEET + "sleep 0.5; exit 1")]) as team,
    ):
        started = set(children(os.getpid())) - before
        team.watch(JOINED, 60)
    assert len(started) == 2 and not any(map(is_running, started))


def test_a_worker_never_meets_the_others() -> None:
    with pytest.raises(WorkerError, match="after 0.5 s worker 1 on far has not joined the others.*--patience"):
        watch(member("worker 0", MEET + WAIT), member("worker 1", WAIT, "far"), patience=0.5)


def test_a_server_ends_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    with pytest.raises(WorkerError, match="server 0 ended before the workers"):
        watch(member("server 0", ":"), member("worker 0", MEET + WAIT))


def test_a_command_that_does_not_exist() -> None:
    with pytest.raises(WorkerError, match="worker 1 on far cannot be started: no-such-program: No such file or directory"):
        watch(member("worker 0", WAIT), Member("worker 1", Host("far"), ("no-such-program",), {}))


def test_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as raw, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", SimpleNamespace(buffer=raw))
        with pytest.raises(BrokenPipeError):
            watch(member("worker 0", MEET + "while echo line; do sleep 0.05; done"))


def test_ctrl_c_ends_all(tmp_path: Path) -> None:
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        watch(member("worker 0", f"{MEET} cat >/dev/null; echo ended >{tmp_path}/note"))
