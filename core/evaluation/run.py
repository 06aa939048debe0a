"""Running a model bundle over many photos: in several processes, and resumable.

The results may be kept in a JSON Lines file, written photo by photo. FILE.about.json beside it holds the model, options and
version of the package that made it. Each row has a digest of these, of the photo's content and of the annotated boxes. A run
is resumed only with the same model, options and version, and keeps only rows with the same digest.
"""

import hashlib
import json
import os
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Callable, Generator, NamedTuple, Sequence

import numpy as np
from tqdm import tqdm

from mtcnn_gluon import __version__
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.errors import ConfigError, DataError, ImageError
from mtcnn_gluon.evaluation.results import DIGITS
from mtcnn_gluon.io.cluster import gpus_of, on_ray
from mtcnn_gluon.io.files import printable, whole_file
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.io.json_lines import RowWriter, read_rows
from mtcnn_gluon.io.processes import in_processes, usable_processors
from mtcnn_gluon.options import Meaning, checked

PHOTOS_A_PROCESS = 8  # with fewer, a process costs more time than it saves


@dataclass(frozen=True)
class Job:
    """One photo to work on."""

    name: str  # of the photo in its set
    path: str  # of its file
    boxes: tuple[tuple[float, float, float, float], ...] = ()  # x1, y1, x2, y2 of the annotated faces, for work that needs them


Work = Callable[[Detector, np.ndarray, Job], dict[str, Any]]
State = tuple[Detector, Work, str]  # of a worker; the last is the JSON of `_about`


def find_faces(detector: Detector, image: np.ndarray, job: Job) -> dict[str, Any]:
    """What `detector` finds in a photo, as the `faces` of a result file."""
    return {"faces": detector.detect(image).to_dicts(DIGITS)}


class Found(NamedTuple):
    """What a model found: a row for each photo, how the rows were made, and the file that keeps them, if any."""

    rows: list[dict[str, Any]]
    about: dict[str, Any]
    path: Path | None


def run_model(
    jobs: Sequence[Job],
    work: Work,
    options: dict[str, Any],
    path: Path | None = None,
    resume: bool = False,
    workers: int | None = None,
    ray: str | None = None,
) -> Found:
    """Do `work` for every photo.

    A row is `{"image", "width", "height", "made_from"}` and what `work` returns, or `{"image", ..., "error"}` for a photo that
    cannot be read.

    Args:
        jobs: the photos.
        work: a top-level function of the detector, the photo (H, W, 3) uint8 RGB, and its job.
        options: arguments of `Detector`.
        path: JSON Lines file that keeps the rows; None: they are not kept.
        resume: use the rows that an earlier run with the same model and options wrote to `path`, except those of photos that
            could not be read or have changed since.
        workers: number of processes; None: one per processor (of the cluster), or 1 on a GPU.
        ray: address of a Ray cluster, see `io.cluster.on_ray`; None: this machine's processes.

    Returns:
        the rows, first those of an earlier run, then the others in the order of `jobs`; and the model, the sha256 of its
        manifest, the version of the package and the options that made them.

    Raises:
        ConfigError: if an option is out of range, the earlier run had another model, version or other options, or there is no
            such cluster.
        ModelError: if the model cannot be used.
        DataError: if a file cannot be written, or does not hold what an earlier run wrote.
        MtcnnError: if a worker process dies.
    """
    detector = Detector(**options)
    about = _about(detector, options, work)
    identity = json.dumps(about, sort_keys=True)
    rows = _earlier(path, about, identity, jobs) if path and resume else []
    done = {row["image"] for row in rows}
    left = [job for job in jobs if job.name not in done]
    with ExitStack() as stack:
        writer = None
        if path:
            with whole_file(_about_path(path)) as file:
                json.dump(about, file, indent=2)
            writer = RowWriter(path, rows, stack)
        found = stack.enter_context(closing(_rows(left, (detector, work, identity), options, workers, ray)))
        for row in tqdm(found, total=len(left), unit="photo", disable=None):
            rows.append(row)
            if writer:
                writer.write(row)
    return Found(rows, about, path)


def _rows(
    jobs: Sequence[Job], state: State, options: dict[str, Any], workers: int | None, ray: str | None
) -> Generator[dict[str, Any], None, None]:
    """The rows of photos, in their order; `state` is that of this process."""
    detector, work, identity = state
    device, name = options.get("device", "cpu"), attrgetter("name")
    if ray is not None:
        start = partial(
            _start, work, identity, {**options, "engine": detector.engine.name, "threads": 1}
        )  # same engine everywhere
        folders = {os.path.dirname(job.path) for job in jobs}
        return on_ray(_row, jobs, start, ray, workers, name, gpus=gpus_of(device), folders=folders)
    count = _workers(workers, len(jobs), device)
    start = partial(_start, work, identity, {**options, "threads": max(1, usable_processors() // count)})
    return in_processes(_row, jobs, start if count > 1 else lambda: state, count, name=name)


def _workers(wanted: int | None, photos: int, device: str) -> int:
    checked("workers", wanted, int | None, Meaning("", least=1))
    if wanted is None:
        wanted = usable_processors() if device == "cpu" else 1
    return max(1, min(wanted, photos // PHOTOS_A_PROCESS))


def _about(detector: Detector, options: dict[str, Any], work: Work) -> dict[str, Any]:
    """All that the results depend on, except the photos."""
    manifest, settings = detector.bundle.manifest, detector.settings
    return {
        "model": manifest["name"],
        "sha256": hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest(),
        "mtcnn-gluon": __version__,
        "engine": detector.engine.name,
        "device": options.get("device", "cpu"),
        "min_face": settings.min_face,
        "factor": settings.factor,
        "thresholds": list(settings.thresholds),
        "nms": list(settings.nms),
        "max_faces": detector.max_faces,
        "work": work.__name__,
        **({"accurate": True} if settings.is_accurate else {}),
    }


def _about_path(path: Path) -> Path:
    return path.with_name(path.name + ".about.json")


def _earlier(path: Path, about: dict[str, Any], identity: str, jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """The rows of an earlier run with the same model and options, except those of photos that must be processed again."""
    rows = read_rows(path, ("image", "width", "height"), "one result of an earlier run")
    if not rows:
        return []
    try:
        before = json.loads(_about_path(path).read_text("utf-8"))
    except (OSError, ValueError):
        before = None
    if not isinstance(before, dict):
        raise DataError(f"{path} cannot be resumed: {_about_path(path)}, which says how it was made, cannot be read")
    for key, value in about.items():
        if before.get(key) != value:
            raise ConfigError(f"{path} cannot be resumed: it was made with {key} {before.get(key)}, not {value}")
    known = {job.name: job for job in jobs}
    whole = [row for row in rows if "error" not in row]
    return [row for row in whole if row["image"] not in known or row.get("made_from") == _digest(identity, known[row["image"]])]


def _start(work: Work, identity: str, options: dict[str, Any]) -> State:
    """The state of a worker process."""
    return Detector(**options), work, identity


def _row(state: State, job: Job) -> dict[str, Any]:
    detector, work, identity = state
    try:
        image = read_image(job.path)
    except ImageError as error:
        return {"image": job.name, "width": None, "height": None, "faces": [], "error": printable(error)}
    size = {"width": image.shape[1], "height": image.shape[0]}
    return {"image": job.name, **size, "made_from": _digest(identity, job), **work(detector, image, job)}


def _digest(identity: str, job: Job) -> str:
    """Digest of all that a row depends on: model and options, the photo's content, and the annotated boxes."""
    try:
        content = Path(job.path).read_bytes()
    except OSError:  # without the photo no row is valid
        return ""
    return hashlib.sha256(content + json.dumps([identity, job.boxes]).encode()).hexdigest()
