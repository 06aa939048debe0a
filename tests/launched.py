"""What tests of `mtcnn-gluon launch` share: the command, its processes, and an `ssh` that stays on this machine."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

from process_watch import children

LIMIT = 600  # seconds after which a command hangs; several processes that import MXNet are slow on a busy machine
COMMAND = [sys.executable, "-m", "mtcnn_gluon", "launch", "--patience", str(LIMIT)]
SSH = """#!/bin/sh
# Runs a command here as the last but one argument, a host, would: without this shell's variables.
while [ $# -gt 2 ]; do shift; done
command=$2
case $1 in
    gone) echo "ssh: connect to host gone port 22: No route to host" >&2; exit 255 ;;
    stuck) exec sleep 300 ;;
    old) set -- PYTHONPATH={old} ;;
    other) command=$(printf %s "$command" | sed 's#/records#/others#'); set -- ;;
    empty) command=$(printf %s "$command" | sed 's#/records#/nothing#'); set -- ;;
    *) set -- ;;
esac
exec env -i PATH="$PATH" HOME="$HOME" OMP_NUM_THREADS=1 MTCNN_GLUON_CACHE="$MTCNN_GLUON_CACHE" "$@" sh -c "$command"
"""
OLD = """import mtcnn_gluon
mtcnn_gluon.__version__ = "0.9.0"
"""


def variables(**more: str) -> dict[str, str]:
    """One thread a process: with more, those of several processes wait for one another."""
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def with_ssh(folder: Path) -> dict[str, str]:
    """Variables with an `ssh` that comes first."""
    for name, text in (("bin/ssh", SSH.format(old=folder / "old")), ("old/sitecustomize.py", OLD)):
        (folder / name).parent.mkdir()
        (folder / name).write_text(text)
    (folder / "bin/ssh").chmod(0o755)
    return variables(PATH=f"{folder / 'bin'}:{os.environ['PATH']}")


def launch(*words: Any, **more: Any) -> subprocess.CompletedProcess:
    command = [*COMMAND, *map(str, words)]
    return subprocess.run(command, text=True, capture_output=True, timeout=LIMIT, check=False, **{"env": variables(), **more})


def begin(*words: Any, **more: Any) -> subprocess.Popen:
    command = [*COMMAND, *map(str, words)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables(), **more)


def wait_long(condition: Callable[[], Any]) -> None:
    """Several processes that import MXNet take long to start on a busy machine."""
    stop = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < stop
        time.sleep(0.02)


def members(launcher: int) -> dict[str, int]:
    """The processes of a launcher by what they are: scheduler, server, and workers by rank, as `0`."""
    found = {}
    for process in children(launcher):
        lines = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
        known = dict(line.split("=", 1) for line in lines if "=" in line)
        if "DMLC_ROLE" in known:
            found[known.get("MTCNN_GLUON_RANK", known["DMLC_ROLE"])] = process
    return found
