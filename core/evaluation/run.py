"""Running a model bundle over many photos: in several processes, and resumable.

What is found may be kept in a JSON Lines file, written photo by photo. Beside it, FILE.about.json says which model, options
and version of the package made it. Each row has a digest of that, of the photo's content and of the annotated boxes. A run is
resumed only with the same model, options and version, and keeps only rows with the same digest.
"""

import hashlib
import json
import multiprocessing
import os
import signal
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Generator, Mapping, NamedTuple, Sequence

import numpy as np
from tqdm import tqdm

from mtcnn_gluon import __version__
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.errors import ConfigError, DataError, ImageError, MtcnnError
from mtcnn_gluon.evaluation.results import DIGITS
from mtcnn_gluon.io.files import printable, whole_file
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.io.json_lines import RowWriter, read_rows
from mtcnn_gluon.io.processes import end_with_parent

LOOK_AHEAD = 4  # photos that are given to each process before their results are asked for
PHOTOS_A_PROCESS = 8  # fewer are not worth starting one


@dataclass(frozen=True)
class Job:
    """One photo to look at.

    Attributes:
        name: of the photo in its set.
        path: of the file.
        boxes: (x1, y1, x2, y2) of annotated faces, for work that needs them.
    """

    name: str
    path: str
    boxes: tuple[tuple[float, float, float, float], ...] = ()


Work = Callable[[Detector, np.ndarray, Job], dict[str, Any]]


def find_faces(detector: Detector, image: np.ndarray, job: Job) -> dict[str, Any]:
    """What `detector` finds in a photo, as the `faces` of a result file."""
    return {"faces": detector.detect(image).to_dicts(DIGITS)}


class Found(NamedTuple):
    """What a model found: a row a photo, and what made them."""

    rows: list[dict[str, Any]]
    about: dict[str, Any]


def run_model(
    jobs: Sequence[Job],
    work: Work,
    options: dict[str, Any],
    path: Path | None = None,
    resume: bool = False,
    workers: int | None = None,
) -> Found:
    """Do `work` for every photo.

    A row is `{"image", "width", "height", "made_from", ...}` with what `work` returned, or `{"image", ..., "error"}` for a
    photo that cannot be read.

    Args:
        jobs: the photos.
        work: a function of a module, given the detector, the photo (H, W, 3) uint8 RGB, and its job.
        options: of `Detector`.
        path: JSON Lines file that keeps the rows; None: they are not kept.
        resume: use the rows that an earlier run with the same model and options wrote to `path`, except those of photos that
            could not be read or have changed since.
        workers: processes; None: as many as there are processors, and 1 on a GPU.

    Returns:
        the rows, first those of an earlier run, then those of the other photos in the order of `jobs`; and the model, sha256
        of its manifest, version of the package and options that made them.

    Raises:
        ConfigError: if an option is out of range, or a run would be resumed with another model, version or other options.
        ModelError: if the model cannot be used.
        DataError: if a file cannot be written, or does not hold what an earlier run wrote.
        MtcnnError: if a process dies.
    """
    count = _workers(workers, len(jobs), str(options.get("device", "cpu")))
    threads = max(1, _processors() // count)
    detector = Detector(**options)
    about = _about(detector, options, work)
    made = json.dumps(about, sort_keys=True)
    digests = {job.name: partial(_digest, made, job) for job in jobs}
    rows = _earlier(path, about, digests) if path and resume else []
    done = {row["image"] for row in rows}
    left = [job for job in jobs if job.name not in done]
    with ExitStack() as stack:
        writer = None
        if path:
            with whole_file(_about_path(path)) as file:
                json.dump(about, file, indent=2)
            writer = RowWriter(path, rows, stack)
        more: Generator[dict[str, Any], None, None] = (_row(detector, work, made, job) for job in left)
        if count > 1:
            more = _in_processes(left, work, made, {**options, "threads": threads}, count)
        stack.enter_context(closing(more))
        for row in tqdm(more, total=len(left), unit="photo", disable=None):
            rows.append(row)
            if writer:
                writer.write(row)
    return Found(rows, about)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _workers(wanted: int | None, photos: int, device: str) -> int:
    if wanted is not None and wanted < 1:
        raise ConfigError(f"workers must be 1 or more, not {wanted}")
    if wanted is None:
        wanted = _processors() if device == "cpu" else 1
    return max(1, min(wanted, photos // PHOTOS_A_PROCESS))


def _about(detector: Detector, options: dict[str, Any], work: Work) -> dict[str, Any]:
    """Everything that the results depend on."""
    manifest = json.dumps(detector.bundle.manifest, sort_keys=True)
    settings = detector.settings
    return {
        "model": detector.bundle.manifest["name"],
        "sha256": hashlib.sha256(manifest.encode()).hexdigest(),
        "mtcnn-gluon": __version__,
        "engine": detector.engine.name,
        "device": options.get("device", "cpu"),
        "min_face": settings.min_face,
        "factor": settings.factor,
        "thresholds": list(settings.thresholds),
        "nms": list(settings.nms),
        "max_faces": detector.max_faces,
        "work": work.__name__,
    }


def _about_path(path: Path) -> Path:
    return path.with_name(path.name + ".about.json")


def _earlier(path: Path, about: dict[str, Any], digests: Mapping[str, Callable[[], str]]) -> list[dict[str, Any]]:
    """The rows of an earlier run with the same model and options that are still right.

    Args:
        path: the file.
        about: how the rows are to be made.
        digests: by name of photo, tell the digest that its row must have; rows of other photos are kept as they are.
    """
    rows = read_rows(path, ("image", "width", "height"), "one result of an earlier run")
    if not rows:
        return []
    try:
        before = json.loads(_about_path(path).read_text("utf-8"))
    except (OSError, ValueError):
        before = None
    if not isinstance(before, dict):
        raise DataError(f"{_about_path(path)}, which says how {path} was made, cannot be read: not resumed")
    different = [key for key in about if before.get(key) != about[key]]
    if different:
        key = different[0]
        raise ConfigError(f"{path} cannot be resumed: it was made with {key} {before.get(key)}, not {about[key]}")
    whole = [row for row in rows if "error" not in row]
    return [row for row in whole if row["image"] not in digests or row.get("made_from") == digests[row["image"]]()]


def _row(detector: Detector, work: Work, made: str, job: Job) -> dict[str, Any]:
    try:
        image = read_image(job.path)
    except ImageError as error:
        return {"image": job.name, "width": None, "height": None, "faces": [], "error": printable(error)}
    size = {"width": image.shape[1], "height": image.shape[0]}
    return {"image": job.name, **size, "made_from": _digest(made, job), **work(detector, image, job)}


def _digest(made: str, job: Job) -> str:
    """Of all that a row depends on: how it is made, the content of the photo's file, and the boxes."""
    try:
        content = Path(job.path).read_bytes()
    except OSError:  # it is gone: no row is right
        return ""
    digest = hashlib.sha256(content)
    digest.update(json.dumps([made, job.boxes]).encode())
    return digest.hexdigest()


# ---- processes

_own: tuple[Detector, Work, str] | None = None  # of a worker process


def _in_processes(
    jobs: Sequence[Job], work: Work, made: str, options: dict[str, Any], count: int
) -> Generator[dict[str, Any], None, None]:
    """The rows of all photos, in their order. Processes are spawned, since MXNet may hang in forked ones."""
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future] = deque()
    with ProcessPoolExecutor(count, context, _start, (work, made, options)) as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(_row_of_own, job))
                if len(waiting) > LOOK_AHEAD * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            text = "a process died while it looked at photos, for want of memory perhaps; fewer workers need less"
            raise MtcnnError(text) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _start(work: Work, made: str, options: dict[str, Any]) -> None:
    global _own
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one stops the others
    _own = Detector(**options), work, made


def _row_of_own(job: Job) -> dict[str, Any]:
    assert _own is not None
    return _row(*_own, job)
