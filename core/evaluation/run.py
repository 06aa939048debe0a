"""Running a model bundle over many photos: in several processes, and resumable.

What is found is written to a JSON Lines file photo by photo. Beside it, FILE.about.json says which model, options and version
of the package made it, so that a run is not resumed with others. Each row has a digest of that, of the photo's content and of
what was asked about it: a row is used again only if all of these are the same.
"""

import hashlib
import json
import multiprocessing
import os
import posixpath
import signal
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Container, Generator, Iterable, Mapping, Sequence

import numpy as np
from PIL import Image
from tqdm import tqdm

from mtcnn_gluon import __version__
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.errors import ConfigError, DataError, ImageError, MtcnnError
from mtcnn_gluon.evaluation.results import Detections, to_row, without_ending
from mtcnn_gluon.io.files import printable, whole_file
from mtcnn_gluon.io.images import EXTENSIONS, read_image
from mtcnn_gluon.io.json_lines import RowWriter, read_rows
from mtcnn_gluon.io.processes import end_with_parent

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


def names_of(paths: Iterable[str]) -> dict[str, str]:
    """Paths of a set's photos below their folder, by the name of each in reports and result files, which are UTF-8.

    Raises:
        DataError: if two have one name, or one photo has two.
    """
    named: dict[str, str] = {}
    plain: dict[str, str] = {}
    for path in paths:
        other = named.setdefault(printable(path), path)
        if other != path:
            raise DataError(f"two photos are called {printable(path)}: their names differ only in bytes that are not UTF-8")
        other = plain.setdefault(posixpath.normpath(path), path)
        if other != path:
            raise DataError(printable(f"{other} and {path} are the same photo, and would count twice"))
    return named


class PhotoFiles:
    """Finds the files of a set's photos.

    Args:
        folder: of all photos.
        paths: by name, from `names_of`.
    """

    def __init__(self, folder: str | os.PathLike, paths: Mapping[str, str]) -> None:
        self._folder, self._paths, self._taken = folder, paths, set(paths.values())

    def path(self, name: str) -> Path:
        """The file of a photo, as `photo_path` finds it, but not that of another photo of the set.

        Raises:
            DataError: if there are two.
        """
        return photo_path(self._folder, self._paths.get(name, name), self._taken)


def photo_path(folder: str | os.PathLike, name: str, taken: Container[str] = ()) -> Path:
    """The file of a photo: `folder / name`, or if there is none, with another image ending; `folder / name` if none exists.

    Args:
        folder: of all photos.
        name: path below it.
        taken: paths that are other photos, which are not taken for this one.

    Raises:
        DataError: if there are files with two other endings, of which one only can be meant.
    """
    path = Path(folder) / name
    if path.is_file():
        return path
    bare = without_ending(name)
    others = [bare + ending for ending in (*EXTENSIONS, *(ending.upper() for ending in EXTENSIONS))]
    found = [Path(folder) / other for other in others if other not in taken and (Path(folder) / other).is_file()]
    if any(not other.samefile(found[0]) for other in found[1:]):
        raise DataError(printable(f"{path} does not exist, but {found[0].name} and {found[1].name} do: which is meant?"))
    return found[0] if found else path


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

    A row is `{"image", "width", "height", "made_from", ...}` with what `work` returned, or `{"image", ..., "error"}` for a
    photo that cannot be read.

    Args:
        jobs: the photos.
        work: a function of a module, given the detector, the photo (H, W, 3) uint8 RGB, and its job.
        options: of `Detector`.
        path: the file.
        resume: keep what an earlier run with the same model and options wrote; photos that could not be read, or that have
            changed since, are looked at again.
        workers: processes; None: as many as there are processors, and 1 on a GPU.

    Returns:
        what made the results: model, sha256 of its manifest, version of the package, the detector's options.

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
    earlier = _earlier(path, about, {job.name: partial(_digest, made, job) for job in jobs}) if resume else []
    done = {row["image"] for row in earlier}
    left = [job for job in jobs if job.name not in done]
    with whole_file(_about_path(path)) as file:
        json.dump(about, file, indent=2)
    with ExitStack() as stack:
        writer = RowWriter(path, earlier, stack)
        rows: Generator[dict[str, Any], None, None] = (_row(detector, work, made, job) for job in left)
        if count > 1:
            rows = _in_processes(left, work, made, {**options, "threads": threads}, count)
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
