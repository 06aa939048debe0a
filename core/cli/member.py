"""What `mtcnn-gluon launch` runs on every host: a worker, a server or the scheduler of a distributed training.

    python -m mtcnn_gluon.cli.member VERSION PROCESSES [arguments of mtcnn-gluon]

VERSION is that of the launcher, PROCESSES the number of workers on this host. Environment variables say the rest, see
`launching.plan`. The process ends when its standard input ends: then the launcher has ended, or the connection to it.
"""

import logging
import os
import sys
import threading
import traceback
from typing import Sequence

import mtcnn_gluon
from mtcnn_gluon.cli.output import say
from mtcnn_gluon.errors import MtcnnError
from mtcnn_gluon.launching.hosts import address_towards
from mtcnn_gluon.mxnet_loader import load_mxnet, usable_cores

THREADS = "OMP_NUM_THREADS"
ADDRESS = "DMLC_NODE_HOST"  # at which this process can be reached


def main(arguments: Sequence[str]) -> int:
    """Run the process; returns its exit status."""
    version, processes, *rest = arguments
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    if version != mtcnn_gluon.__version__:
        say(f"this host has mtcnn-gluon {mtcnn_gluon.__version__}, the launcher {version}: all hosts need the same version")
        return 2
    is_worker = os.environ["DMLC_ROLE"] == "worker"
    if int(processes) > 1 or not is_worker:
        os.environ.setdefault(THREADS, str(max(1, usable_cores() // int(processes)) if is_worker else 1))
    try:
        os.environ.setdefault(ADDRESS, address_towards(os.environ["DMLC_PS_ROOT_URI"]))
    except OSError as error:
        say(f"this host has no way to the scheduler at {os.environ['DMLC_PS_ROOT_URI']}: {error.strerror or error}")
        return 2
    if is_worker:
        from mtcnn_gluon.cli.main import main as run

        return run(rest)
    try:
        load_mxnet()  # which serves while it is imported, and then exits
    except MtcnnError as error:
        say(str(error))
        return 2
    return 0


def _end_with_launcher() -> None:
    descriptor = sys.stdin.fileno()
    while os.read(descriptor, 1024):
        pass
    os._exit(1)


def _exit(status: int) -> None:
    """End at once: a normal end would wait for the other workers, which wait for this one."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(status)


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    if status:
        _exit(status)
