"""Work on a Ray cluster, which needs the extra `ray`."""

import logging
import os
from collections import deque
from typing import Any, Callable, Generator, Iterable, Sequence
from uuid import uuid4

from mtcnn_gluon.errors import ConfigError, MtcnnError, WorkerError, last_line
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.io.processes import LOOK_AHEAD, Item, Result, State

RETRIES = 3  # times that an item is tried again whose process died
RAY = (
    "share the work among the machines of a Ray cluster, which must all see the same files; without ADDRESS among the "
    "processors of this one"
)  # the meaning of an option, as the next
ONE_OR_CLUSTER = "1; with --ray one for every processor of the cluster"


def on_ray(
    function: Callable[[State, Item], Result], items: Sequence[Item], start: Callable[[], State], address: str,
    workers: int | None = None, name: Callable[[Item], str] = str, ordered: bool = True, threads: int = 1, gpus: int = 0,
    folders: Iterable[str | os.PathLike] = (),
) -> Generator[Result, None, None]:  # fmt: skip
    """Yield `function(state, item)` for every item, computed by the processes of a Ray cluster.

    Ray chooses the machines, and does an item again, up to three times, whose process or machine dies. Where this process's
    current folder exists on another machine, relative paths begin there.

    Args:
        function: the work on one item, which may be done more than once.
        items: the items.
        start: makes the state, once in each process.
        address: of the cluster; empty for the one that Ray finds, or else one on this machine.
        workers: largest number of items at a time; None: as many as the cluster has processors for.
        name: describes an item in messages.
        ordered: whether results come in the order of the items; otherwise each comes as soon as it is computed.
        threads: processors that an item needs.
        gpus: GPUs that an item needs.
        folders: folders that must be on every machine.

    Raises:
        ConfigError: if there is no such cluster, or a machine has not one of the folders.
        WorkerError: if the process of an item dies each time. Errors of `start` and `function` are raised unchanged.
    """
    check_address(address)
    ray = need("ray", "--ray", "ray")
    is_ours = not ray.is_initialized()
    try:
        if is_ours:
            ray.init(address or None, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:  # Ray raises various kinds
        raise ConfigError(f"--ray{'=' * bool(address)}{address}: there is no Ray cluster: {last_line(error)}") from error
    try:
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
        task = ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=RETRIES)(_do)
        needed = [os.path.abspath(each) for each in folders]
        common = ray.put((uuid4().hex, function, start, os.getcwd(), needed, threads))
        left, begun, ended = deque(items), dict[Any, Item](), set[Any]()
        while left or begun:
            while left and len(begun) - len(ended) < count and len(begun) < LOOK_AHEAD * count:
                item = left.popleft()
                begun[task.remote(common, item)] = item
            if running := [each for each in begun if each not in ended]:
                ended.update(ray.wait(running)[0])
            for each in list(begun):
                if each in ended:
                    ended.remove(each)
                    yield _result(ray, each, name(begun.pop(each)))
                elif ordered:
                    break
    finally:
        if is_ours:
            ray.shutdown()


def gpus_of(device: str) -> int:
    """Number of GPUs that work on a device, such as `cuda:1`, asks Ray for: 1 or 0."""
    return int(device.partition(":")[0] in ("gpu", "cuda"))


def check_address(address: str) -> None:
    """Raises ConfigError if what follows `--ray` is a path, which the command line takes for the address of a cluster."""
    if address and "://" not in address and os.path.exists(address):
        raise ConfigError(f"--ray {address} is a path and no address: write --ray behind the paths, or --ray=ADDRESS")


def _result(ray: Any, ended: Any, name: str) -> Any:
    """The result of an ended task. An error of this package is raised as itself."""
    try:
        return ray.get(ended)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, MtcnnError) else error) from None
    except ray.exceptions.RayError as error:
        raise WorkerError(f"a worker process on Ray died while it worked on {name} ({last_line(error)})") from error


_states: dict[str, Any] = {}  # of the last work of this process


def _do(common: tuple[str, Callable, Callable, str, Sequence[str], int], item: Any) -> Any:
    """The task of a worker process, which keeps its state for the next one."""
    key, function, start, here, folders, threads = common
    if key not in _states:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        if os.path.isdir(here):
            os.chdir(here)
        for folder in folders:
            if not os.path.isdir(folder):
                raise ConfigError(f"{folder} is not on every machine of the cluster: give a shared folder")
        _states.clear()
        _states[key] = start()
    return function(_states[key], item)
