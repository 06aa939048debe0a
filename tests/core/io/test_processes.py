"""Work in worker processes: order, errors, deaths, and workers that end when they should."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from process_watch import HAS_PROC, children, is_running, wait_for

from mtcnn_gluon.errors import DataError, MtcnnError, WorkerError
from mtcnn_gluon.io import processes
from mtcnn_gluon.io.processes import LOOK_AHEAD, in_processes, usable_processors

ITEMS = list(range(12))


class StubbornError(Exception):
    """An error that cannot be pickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def start(folder: Path | None = None, fault: str = "") -> dict[str, Any]:
    """The state of a worker: its process, and how many items it has worked on."""
    if fault:
        misbehave(fault)
    if folder is not None:
        (folder / str(os.getpid())).touch()
    return {"process": os.getpid(), "count": 0}


def misbehave(fault: str) -> None:
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "exit":
        os._exit(3)
    raise {"data": DataError("no disk"), "stubborn": StubbornError("one", "two")}[fault]


def square(state: dict[str, Any], item: int, fault: str = "", at: int = 5) -> tuple[int, int, str]:
    """The item's square, the process and its number of threads; early items take longest."""
    if fault and item == at:
        misbehave(fault)
    state["count"] += 1
    assert state["process"] == os.getpid()
    time.sleep(0.2 if item == 0 else 0.01)
    return item**2, os.getpid(), os.environ.get("OMP_NUM_THREADS", "")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_in_order(tmp_path: Path, workers: int) -> None:
    found = list(in_processes(square, ITEMS, partial(start, tmp_path), workers))
    assert [value for value, *_ in found] == [item**2 for item in ITEMS]
    used = {process for _, process, _ in found}
    assert {int(path.name) for path in tmp_path.iterdir()} == used and len(used) == workers  # each made its state once
    assert (os.getpid() in used) == (workers == 1)


def test_results_as_they_come() -> None:
    found = [value for value, *_ in in_processes(square, ITEMS, start, 2, ordered=False)]
    assert sorted(found) == [item**2 for item in ITEMS] and found[0] != 0


def test_few_items(tmp_path: Path) -> None:
    assert list(in_processes(square, [], partial(start, tmp_path, "data"), 4)) == []
    assert [value for value, *_ in in_processes(square, [7], partial(start, tmp_path), 4)] == [49]
    assert [path.name for path in tmp_path.iterdir()] == [str(os.getpid())]  # one item needs no other process


def test_threads_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert {threads for *_, threads in in_processes(square, ITEMS, start, 2, threads=3)} == {"3"}
    assert {threads for *_, threads in in_processes(square, ITEMS, start, 2)} == {"7"} == {os.environ["OMP_NUM_THREADS"]}


def note(folder: Path, item: int) -> None:
    (folder / str(item)).touch()


@pytest.mark.parametrize("ordered", [True, False])
def test_work_does_not_run_far_ahead(tmp_path: Path, ordered: bool) -> None:
    results = in_processes(note, range(100), partial(Path, tmp_path), 2, ordered=ordered)
    next(results)
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) <= 2 * LOOK_AHEAD
    assert sum(1 for _ in results) == 99


FAULTS = [
    ("data", DataError, "^no disk$"),
    ("stubborn", MtcnnError, "StubbornError: one two"),
    ("kill", WorkerError, r"a worker process died while it {} \(killed by SIGKILL\), perhaps for lack of memory"),
    ("exit", WorkerError, r"a worker process died while it {} \(exit status 3\)"),
]


@pytest.mark.parametrize(("fault", "error", "message"), FAULTS)
def test_faults_at_the_start(fault: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message.format("started")):
        list(in_processes(square, ITEMS, partial(start, fault=fault), 2))


@pytest.mark.parametrize(("fault", "error", "message"), FAULTS)
def test_faults_at_work(fault: str, error: type[Exception], message: str) -> None:
    """They come where the item's result would, so nothing before is lost."""
    results = in_processes(partial(square, fault=fault), ITEMS, start, 2, "photo {}.png".format)
    assert [next(results)[0] for _ in range(5)] == [0, 1, 4, 9, 16]
    with pytest.raises(error, match=message.format("worked on photo 5.png")):
        next(results)


def test_errors_bring_their_traceback() -> None:
    with pytest.raises(DataError) as caught:
        list(in_processes(partial(square, fault="data"), ITEMS, start, 2))
    assert "in misbehave" in str(caught.value.__cause__)


def test_what_cannot_be_pickled() -> None:
    with pytest.raises(Exception, match="pickle"):
        list(in_processes(lambda state, item: item, ITEMS, start, 2))
    with pytest.raises(Exception, match="pickle"):
        list(in_processes(no_result, ITEMS, start, 2))


def no_result(state: Any, item: int) -> Any:
    return lambda: item


LARGE = 1 << 22  # bytes: more than a pipe holds


def echo(state: Any, item: bytes) -> bytes:
    return item


def test_large_items_and_results() -> None:
    items = [bytes([number]) * LARGE for number in range(6)]
    assert list(in_processes(echo, items, start, 2)) == items


# ---- workers end


@pytest.mark.skipif(not HAS_PROC, reason="needs Linux")
def test_workers_end_with_the_iterator() -> None:
    results = in_processes(square, ITEMS, start, 2)
    workers = {next(results)[1] for _ in range(6)}
    assert all(map(is_running, workers))
    results.close()  # type: ignore[attr-defined]
    assert not any(map(is_running, workers))


SLEEPER = """
import sys
from test_processes import sleep, start
from mtcnn_gluon.io.processes import in_processes

if __name__ == "__main__":
    list(in_processes(sleep, [sys.argv[1]] * 4, start, 2))
"""


def sleep(state: Any, folder: str) -> None:
    """Takes longer than a test."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


@pytest.mark.skipif(not HAS_PROC, reason="needs Linux")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_their_parent(tmp_path: Path, number: signal.Signals) -> None:
    """Also on Ctrl-C, which all processes get: none but the parent says anything."""
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    (tmp_path / "work").mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    arguments = [sys.executable, str(tmp_path / "sleeper.py"), str(tmp_path / "work")]
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        wait_for(lambda: process.poll() is not None or len(list((tmp_path / "work").iterdir())) == 2)
        assert process.poll() is None
        workers = children(process.pid)
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        errors = process.communicate(timeout=20)[1]
    finally:
        process.kill()
        process.wait()
    assert len(workers) >= 2
    wait_for(lambda: not any(map(is_running, workers)))
    assert errors.count("Traceback") == (number == signal.SIGINT)


@pytest.mark.skipif(not HAS_PROC, reason="needs Linux")
def test_ctrl_c_while_workers_start(tmp_path: Path) -> None:
    """They say nothing even while they import."""
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    arguments = [sys.executable, str(tmp_path / "sleeper.py"), str(tmp_path)]
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        wait_for(lambda: process.poll() is not None or len(children(process.pid)) >= 2)  # one is multiprocessing's own
        os.killpg(process.pid, signal.SIGINT)
        errors = process.communicate(timeout=20)[1]
    finally:
        process.kill()
        process.wait()
    assert "KeyboardInterrupt" in errors and "spawn_main" not in errors


def test_usable_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= usable_processors() <= (os.cpu_count() or 1)
    monkeypatch.delattr(processes.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(processes.os, "cpu_count", lambda: None)
    assert usable_processors() == 1
