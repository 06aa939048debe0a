"""Detection on Ray: a class for `Dataset.map_batches`, and the parts of a long run on a cluster. Needs the extra `ray`."""

import logging
import os
from collections import deque
from dataclasses import replace
from typing import Any, Generator, Sequence

from mtcnn_gluon.bulk.parts import Part
from mtcnn_gluon.bulk.places import Folder
from mtcnn_gluon.bulk.run import Result, Work
from mtcnn_gluon.bulk.table import TableFinder, detector_of
from mtcnn_gluon.errors import ConfigError, LibraryError, MtcnnError, WorkerError, last_line
from mtcnn_gluon.io.extras import need

RETRIES = 3  # times that a part is tried again whose process died


class FaceDetector:
    """A class for `ray.data.Dataset.map_batches`: one detector an actor.

    The rows and the other columns stay, in their order. The added columns are those of `mtcnn_gluon.bulk.detect_table`:
    `faces`, `width`, `height` and `error`.

    Args:
        column: name of the column with the photos: bytes of image files, arrays as in `read_image`, or paths and URLs.
        prefix: begins the names of the added columns, for tables that have columns of these names.
        options: arguments of `Detector`; `threads` is 1 unless it is given.

    Raises:
        ConfigError: if an option is unknown or out of range.
        ModelError: if the model or the runtime cannot be used.
    """

    def __init__(self, column: str = "image", prefix: str = "", **options: Any) -> None:
        self._finder = TableFinder(column, prefix, options)

    def __call__(self, batch: Any) -> Any:
        """A pyarrow table with the results for a batch of any of Ray's formats: numpy, pandas or pyarrow."""
        block = need("ray.data.block", "FaceDetector", "ray", LibraryError).BlockAccessor
        return self._finder.in_table(block.for_block(block.batch_to_block(batch)).to_arrow())


def on_ray(work: Work, parts: Sequence[Part], address: str, workers: int | None) -> Generator[Result, None, None]:
    """Do the parts of a run on a Ray cluster; yield what comes of each as soon as it is done.

    Ray chooses the machines, and does a part again, up to three times, whose process or machine dies.

    Args:
        work: what a task must know.
        parts: the parts.
        address: of the cluster; empty for the one that Ray finds, or else one on this machine.
        workers: largest number of parts at a time; None: one for every processor, or thread of a detector, of the cluster.

    Raises:
        ConfigError: if there is no such cluster.
        WorkerError: if the process of a part dies each time.
    """
    ray = need("ray", "--ray", "ray")
    is_ours = not ray.is_initialized()
    try:
        if is_ours:
            ray.init(address or None, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:  # Ray raises various kinds
        raise ConfigError(f"--ray{'=' * bool(address)}{address}: there is no Ray cluster: {last_line(error)}") from error
    threads = work.options.threads or 1
    needs = {"num_cpus": threads, "num_gpus": int(work.options.device.startswith("gpu")), "max_retries": RETRIES}
    count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
    task, folder = ray.remote(**needs)(_do), os.getcwd()
    left, running = deque(parts), dict[Any, Part]()
    try:
        while left or running:
            while left and len(running) < count:
                part = left.popleft()
                running[task.remote(work, part, folder)] = part
            (ended, *_), _ = ray.wait(list(running))
            part = running.pop(ended)
            yield _result(ray, ended, part)
    finally:
        if is_ours:
            ray.shutdown()


def _result(ray: Any, ended: Any, part: Part) -> Result:
    """The result of an ended task. An error of this package is raised as itself."""
    try:
        return ray.get(ended)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, MtcnnError) else error) from None
    except ray.exceptions.RayError as error:
        text = f"a worker process on Ray died while it worked on part {part.number}, which begins with {part.paths[0]}"
        raise WorkerError(f"{text} ({last_line(error)})") from error


def _do(work: Work, part: Part, folder: str) -> Result:
    """The task of a worker process, which keeps its detector for the next one."""
    if os.path.isdir(folder):
        os.chdir(folder)  # where relative paths begin
    if Folder(work.out).is_local() and not os.path.isdir(work.out):
        raise ConfigError(f"--out {work.out} is not on every machine of the cluster: give a shared folder or a URL")
    return work.do(detector_of(replace(work.options, threads=work.options.threads or 1)), part)
