"""Detection on Ray: a class for `Dataset.map_batches`, and the parts of a long run on a cluster. Needs the extra `ray`."""

import json
import logging
import os
from dataclasses import asdict
from typing import Any, Iterator, Sequence

from mtcnn_gluon.bulk.parts import Part
from mtcnn_gluon.bulk.places import Folder
from mtcnn_gluon.bulk.run import Summary, Work
from mtcnn_gluon.bulk.table import TableFinder
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.errors import ConfigError, LibraryError, WorkerError, last_line
from mtcnn_gluon.io.extras import need

RETRIES = 3  # times that a part is tried again whose worker died


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


def on_ray(work: Work, parts: Sequence[Part], address: str, workers: int | None) -> Iterator[Summary]:
    """Do the parts of a run on a Ray cluster; yield the summary of each as soon as it is done.

    An actor that dies is replaced, and does its part again, up to three times.

    Args:
        work: what an actor must know.
        parts: the parts.
        address: of the cluster; empty for the one that Ray finds, or else one on this machine.
        workers: number of actors; None: one for every processor, or thread of a detector, of the cluster.

    Raises:
        ConfigError: if there is no such cluster.
        WorkerError: if a part fails.
    """
    ray = need("ray", "--ray", "ray")
    need("ray.data", "--ray", "ray")
    try:
        ray.init(address or None, ignore_reinit_error=True, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"--ray {address}: no Ray cluster: {last_line(error)}") from error
    threads = work.options.threads or 1
    count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    rows = [{"part": json.dumps(asdict(part))} for part in parts]
    done = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _Worker, fn_constructor_kwargs={"work": work, "folder": os.getcwd()}, batch_size=1, batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=min(count, len(parts))), num_cpus=threads,
        num_gpus=int(work.options.device.startswith("gpu")), max_restarts=-1, max_task_retries=RETRIES,
    )  # fmt: skip
    try:
        for row in done.iter_rows():
            yield Summary(**row)
    except ray.exceptions.RayError as error:
        raise WorkerError(f"a worker on Ray failed: {last_line(error)}") from error


class _Worker:
    """An actor that does parts."""

    def __init__(self, work: Work, folder: str) -> None:
        if os.path.isdir(folder):
            os.chdir(folder)  # which relative paths begin from
        if Folder(work.out).is_local() and not os.path.isdir(work.out):
            raise ConfigError(f"--out {work.out} is not on every machine of the cluster: give a shared folder or a URL")
        self._work, self._detector = work, Detector(**vars(work.options))

    def __call__(self, batch: dict[str, Any]) -> dict[str, list]:
        summaries = [asdict(self._work.do(self._detector, Part(**json.loads(part)))) for part in batch["part"]]
        return {name: [each[name] for each in summaries] for name in summaries[0]}
