"""Samples of annotated photos, from any source of samples, as files.

Photos are processed in shards, by one or several processes. The samples of a shard are one file in the folder `.parts`. When
all shards are finished, they become one record for each kind (`positive.rec` and so on) and a `report.json`. A run that was
killed continues with the next shard. Each photo has its own random numbers, so the result is always the same, byte for byte.
"""

import hashlib
import io
import json
import logging
import os
import shutil
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping, Protocol, Sequence
from zipfile import BadZipFile

import numpy as np
from tqdm import tqdm

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.errors import ConfigError, DataError, ImageError, shown
from mtcnn_gluon.io.cluster import on_ray
from mtcnn_gluon.io.files import printable, remove_drafts, whole_file
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.io.processes import in_processes
from mtcnn_gluon.layers import View
from mtcnn_gluon.prepare_data.annotations import Annotations, Photo
from mtcnn_gluon.records.files import RecordWriter
from mtcnn_gluon.records.info import REPORT
from mtcnn_gluon.records.samples import KIND_NAMES, Kind, Samples

SCHEMA = 1  # of the files in `.parts`
SHARD = 32  # photos
PARTS = ".parts"
UNREADABLE = "photos that cannot be read"
OUTSIDE_PHOTO = "faces mostly outside their photo, left out"

logger = logging.getLogger(__name__)


class SampleSource(Protocol):
    """Makes the samples of a photo. It is sent to worker processes, so it must be picklable."""

    net: str
    images: str

    @property
    def view(self) -> View:
        """What the net sees of a sample's square."""
        ...

    def describe(self) -> dict[str, Any]:
        """Everything that the samples depend on, except the photos and their annotations."""
        ...

    def prepare(self) -> "SampleSource":
        """Load what is needed, once in each process; returns itself."""
        ...

    def samples(self, image: np.ndarray, photo: Photo, number: int) -> tuple[Samples, dict[str, float]]:
        """The samples of a photo, and figures to sum over all photos.

        Args:
            image: (H, W, 3) uint8 RGB.
            photo: its faces.
            number: its index in the list of photos.
        """
        ...


def generate(
    source: SampleSource, annotations: Annotations, out: str | os.PathLike, workers: int | None = None, ray: str | None = None
) -> dict[str, Any]:
    """Make records of the samples of all photos in the folder `out`; returns the content of `out/report.json`.

    Finished shards are not repeated. On machines with other processors mined samples may differ in the last digits of scores.

    Args:
        source: makes the samples.
        annotations: the photos with their faces.
        out: the folder.
        workers: number of processes; None: 1, or on Ray as many as the cluster has processors.
        ray: address of a Ray cluster, see `io.cluster.on_ray`; None: this machine's processes.

    Raises:
        ConfigError: if `out` holds other samples, the photos' folder does not exist, or there is no such cluster.
        DataError: if a file cannot be written, or there is no sample at all.
        MtcnnError: if a worker process dies.
    """
    if not os.path.isdir(source.images):
        raise ConfigError(f"images must be a folder, not {shown(source.images)}")
    folder, photos = Path(out), annotations.photos
    identity = {"schema": SCHEMA, "digest": _digest(source, annotations), "made from": source.describe()}
    if (finished := read_report(folder)) is not None:
        if finished.get("digest") != identity["digest"]:
            raise _not_ours(folder)
        shutil.rmtree(folder / PARTS, ignore_errors=True)
        return finished
    parts = _open_parts(folder, identity)
    shards = [range(start, min(start + SHARD, len(photos))) for start in range(0, len(photos), SHARD)]
    files = [parts / f"{shard.start:08d}.npz" for shard in shards]
    tasks = [(file, shard, photos[shard.start : shard.stop]) for file, shard in zip(files, shards) if not file.is_file()]
    if ray is None:
        counts = in_processes(_write_shard, tasks, source.prepare, workers or 1, _name, ordered=False, threads=1)
    else:
        shared = (parts, source.images)
        counts = on_ray(_write_shard, tasks, source.prepare, ray, workers, _name, ordered=False, folders=shared)
    done = len(photos) - sum(len(shard) for _, shard, _ in tasks)
    bar = tqdm(total=len(photos), initial=done, unit="photo", desc=source.net, disable=None, smoothing=0.02)
    with closing(counts), bar:
        for count in counts:
            bar.update(count)
    report = _finish(folder, files, source, identity, annotations.problems.found)
    shutil.rmtree(parts)
    return report


def _name(task: tuple[Path, range, Sequence[Photo]]) -> str:
    return f"photos {task[2][0].path} to {task[2][-1].path}"


def _write_shard(source: SampleSource, task: tuple[Path, range, Sequence[Photo]]) -> int:
    """Write one shard, given its file, its photos and their numbers; returns the number of photos."""
    path, numbers, photos = task
    samples, problems, figures = [], {UNREADABLE: list[str](), OUTSIDE_PHOTO: list[str]()}, Counter[str]()
    for photo, number in zip(photos, numbers):
        try:
            image = read_image(Path(source.images) / photo.path)
        except ImageError as error:
            problems[UNREADABLE].append(printable(error))
            continue
        photo, lines = _inside(photo, image)
        problems[OUTSIDE_PHOTO] += lines
        found, added = source.samples(image, photo, number)
        samples.append(found)
        figures.update(added)
    about = json.dumps({"problems": problems, "figures": figures, "photos": len(samples)})
    packed = io.BytesIO()  # numpy would write a long traceback for a full disk
    np.savez(packed, about=np.array(about), **(vars(Samples.concatenate(samples)) if samples else {}))
    with whole_file(path, "wb") as file:
        file.write(packed.getbuffer())
    return len(photos)


def _inside(photo: Photo, image: np.ndarray) -> tuple[Photo, list[str]]:
    """The photo, where faces that are mostly outside it are to be ignored, and a line about each of them."""
    height, width = image.shape[:2]
    boxes = photo.boxes.astype(np.float64)
    is_outside = ~photo.ignore & (box_ops.area(box_ops.clip(boxes, height, width)) < box_ops.area(boxes) / 2)
    lines = [
        printable(f"{photo.path}: face {face} from {x1:g}, {y1:g} to {x2:g}, {y2:g} in a photo of {width} x {height} pixels")
        for face, (x1, y1, x2, y2) in zip(np.flatnonzero(is_outside), photo.boxes[is_outside])
    ]
    return replace(photo, ignore=photo.ignore | is_outside), lines


def _finish(
    folder: Path, files: Sequence[Path], source: SampleSource, identity: Mapping[str, Any],
    problems_found: Mapping[str, Sequence[str]],
) -> dict[str, Any]:  # fmt: skip
    """Write the records and the report from the shards' files; returns the report."""
    counts, figures, photos = dict.fromkeys(KIND_NAMES, 0), Counter[str](), 0
    problems = {kind: list(lines) for kind, lines in problems_found.items()}
    remove_drafts(folder)
    with ExitStack() as stack:
        writers: dict[str, RecordWriter] = {}
        for path in files:
            about, samples = _read_shard(path, source.view.size)
            photos += about["photos"]
            figures.update(about["figures"])
            for name, lines in about["problems"].items():
                problems.setdefault(name, []).extend(lines)
            for kind in np.unique(samples.kinds):
                name = Kind(kind).name.lower()
                if name not in writers:
                    origin = dict(seed=identity["made from"].get("seed"), source=identity["digest"])
                    writer = RecordWriter(folder / name, source.net, **origin, view=source.view)
                    writers[name] = stack.enter_context(writer)
                writers[name].write(samples[samples.kinds == kind])
                counts[name] += int((samples.kinds == kind).sum())
        if not writers:
            shutil.rmtree(folder / PARTS)  # else photos that exist in the next run would not be read
            raise DataError(_why_none(folder, photos, figures, problems.get(UNREADABLE, [])))
    problems = {kind: lines for kind, lines in problems.items() if lines}
    report = {**identity, "photos": photos, "counts": counts, "figures": figures, "problems": problems}
    with whole_file(folder / REPORT) as file:
        json.dump(report, file, indent=1)
    return report


def _why_none(folder: Path, photos: int, figures: Mapping[str, float], unreadable: Sequence[str]) -> str:
    """A message that says why there is no sample."""
    text = f"{folder}: no sample came of {photos} photos ({len(unreadable)} more could not be read)"
    if photos:
        text += f"; {figures.get('faces', 0):.0f} of their faces can be learned from"
    if "proposals" in figures:
        text += f", and the nets proposed {figures['proposals']:.0f} crops"
    return text + (f"; the first that could not: {unreadable[0]}" if unreadable else "")


def _read_shard(path: Path, size: int) -> tuple[dict[str, Any], Samples]:
    """What a shard's file says about its photos, and its samples of `size` pixels."""
    try:
        with np.load(path) as stored:
            about = json.loads(str(stored["about"]))
            arrays = {name: stored[name] for name in stored.files if name != "about"}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise DataError(f"{path} is damaged: remove it and run the same command again ({error})") from error
    return about, Samples(**arrays) if arrays else Samples.empty(size)


def _digest(source: SampleSource, annotations: Annotations) -> str:
    """A digest of everything that the samples depend on, except the pixels of the photos."""
    digest = hashlib.sha256(json.dumps([SCHEMA, source.describe()], sort_keys=True).encode())
    for photo in annotations.photos:
        digest.update(photo.path.encode("utf-8", "surrogateescape"))
        for array in (photo.boxes, photo.ignore, photo.landmarks, photo.scores):
            digest.update(array.tobytes())
    return digest.hexdigest()


def read_report(folder: str | os.PathLike) -> dict[str, Any] | None:
    """The `report.json` of a folder of samples or records, or None if there is none. Raises DataError if it is damaged."""
    path = Path(folder) / REPORT
    try:
        report = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(report, dict):
        raise DataError(f"{path}: expected an object, got {type(report).__name__}")
    return report


def _open_parts(folder: Path, identity: Mapping[str, Any]) -> Path:
    """The folder for the shards, with those of an interrupted run of the same identity."""
    parts = folder / PARTS
    about, content = parts / "about.json", json.dumps(dict(identity))
    if about.exists() and about.read_text("utf-8", "replace") == content:
        logger.info("%s: continuing an interrupted run", folder)
        return parts
    if any((folder / f"{kind}.json").exists() for kind in KIND_NAMES):
        raise _not_ours(folder)
    shutil.rmtree(parts, ignore_errors=True)
    with whole_file(about) as file:
        file.write(content)
    return parts


def _not_ours(folder: Path) -> ConfigError:
    return ConfigError(f"{folder} holds samples of other photos or options: remove it, or name another folder")
