"""Running a model bundle over many photos: in several processes, and resumable.

What is found is written to a JSON Lines file photo by photo. Beside it, FILE.about.json says which model and options made it,
so that a run is not resumed with others.
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
from pathlib import Path
from typing import Any, Callable, Generator, Sequence

import numpy as np
from PIL import Image
from tqdm import tqdm

from mtcnn_gluon.detector import Detector
from mtcnn_gluon.errors import ConfigError, DataError, ImageError, MtcnnError
from mtcnn_gluon.evaluation.results import Detections, to_row, without_ending
from mtcnn_gluon.files import printable, whole_file
from mtcnn_gluon.images import EXTENSIONS, read_image
from mtcnn_gluon.json_lines import RowWriter, read_rows
from mtcnn_gluon.processes import end_with_parent

LOOK_AHEAD = 4  # photos that are given to each process before their results are asked for
PHOTOS_A_PROCESS = 8  # fewer are not worth starting one
ORIENTATION = 0x0112  # of EXIF


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
    """What `detector` finds in a photo, as the `faces` of a result file; coordinates and scores are not rounded."""
    faces = detector.detect(image)
    landmarks = np.full((len(faces), 5, 2), np.nan) if faces.landmarks is None else faces.landmarks
    return {"faces": to_row(job.name, Detections(faces.boxes, faces.scores, landmarks))["faces"]}


def photo_path(folder: str | os.PathLike, name: str) -> Path:
    """The file of a photo: `folder / name`, or if there is none, with another image ending; `folder / name` if none exists."""
    path = Path(folder) / name
    if path.is_file():
        return path
    bare = without_ending(name)
    for ending in (*EXTENSIONS, *(ending.upper() for ending in EXTENSIONS)):
        other = Path(folder) / (bare + ending)
        if other.is_file():
            return other
    return path


def photo_size(path: Path) -> tuple[int, int] | None:
    """Width and height of a photo as it is displayed, from the head of its file; None if it cannot be read."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION, 1) >= 5  # by a quarter
    except Exception:  # decoders raise nearly anything on damaged files
        return None
    return (height, width) if turned else (width, height)


def run_model(
    jobs: Sequence[Job], work: Work, options: dict[str, Any], path: Path, resume: bool = False, workers: int | None = None
) -> dict[str, Any]:
    """Do `work` for every photo and write what it returns to a JSON Lines file, in the order of `jobs`.

    A row is `{"image", "width", "height", ...}` with what `work` returned, or `{"image", ..., "error"}` for a photo that
    cannot be read.

    Args:
        jobs: the photos.
        work: a function of a module, given the detector, the photo (H, W, 3) uint8 RGB, and its job.
        options: of `Detector`.
        path: the file.
        resume: keep what an earlier run with the same model and options wrote, photos that could not be read apart.
        workers: processes; None: as many as there are processors, and 1 on a GPU.

    Returns:
        what made the results: model, sha256 of its manifest, the detector's options.

    Raises:
        ConfigError: if an option is out of range, or a run would be resumed with another model or other options.
        ModelError: if the model cannot be used.
        DataError: if a file cannot be written, or does not hold what an earlier run wrote.
        MtcnnError: if a process dies.
    """
    count = _workers(workers, len(jobs), str(options.get("device", "cpu")))
    threads = max(1, _processors() // count)
    detector = Detector(**options)
    about = _about(detector, options, work)
    earlier = _earlier(path, about) if resume else []
    done = {row["image"] for row in earlier}
    left = [job for job in jobs if job.name not in done]
    with whole_file(_about_path(path)) as file:
        json.dump(about, file, indent=2)
    with ExitStack() as stack:
        writer = RowWriter(path, earlier, stack)
        rows: Generator[dict[str, Any], None, None] = (_row(detector, work, job) for job in left)
        if count > 1:
            rows = _in_processes(left, work, {**options, "threads": threads}, count)
        stack.enter_context(closing(rows))
        for row in tqdm(rows, total=len(left), unit="photo", disable=None):
            writer.write(row)
    return about


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


def _earlier(path: Path, about: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of an earlier run with the same model and options."""
    rows = read_rows(path, ("image", "width", "height"), "one result of an earlier run")
    if not rows:
        return []
    try:
        before = json.loads(_about_path(path).read_text("utf-8"))
    except (OSError, ValueError):
        raise DataError(f"{_about_path(path)}, which says how {path} was made, cannot be read: not resumed") from None
    different = [key for key in about if before.get(key) != about[key]]
    if different:
        key = different[0]
        raise ConfigError(f"{path} cannot be resumed: it was made with {key} {before.get(key)}, not {about[key]}")
    return [row for row in rows if "error" not in row]


def _row(detector: Detector, work: Work, job: Job) -> dict[str, Any]:
    try:
        image = read_image(job.path)
    except ImageError as error:
        return {"image": job.name, "width": None, "height": None, "faces": [], "error": printable(error)}
    return {"image": job.name, "width": image.shape[1], "height": image.shape[0], **work(detector, image, job)}


# ---- processes

_own: tuple[Detector, Work] | None = None  # of a worker process


def _in_processes(
    jobs: Sequence[Job], work: Work, options: dict[str, Any], count: int
) -> Generator[dict[str, Any], None, None]:
    """The rows of all photos, in their order. Processes are spawned, since MXNet may hang in forked ones."""
    context = multiprocessing.get_context("spawn")
    waiting: deque[Future] = deque()
    with ProcessPoolExecutor(count, context, _start, (work, options)) as pool:
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


def _start(work: Work, options: dict[str, Any]) -> None:
    global _own
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one stops the others
    _own = Detector(**options), work


def _row_of_own(job: Job) -> dict[str, Any]:
    assert _own is not None
    return _row(*_own, job)
