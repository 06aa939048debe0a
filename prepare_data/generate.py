"""From annotated photos to samples on disk: the same machinery whatever the samples are of.

The photos are worked on in shards, by several processes if wanted. A shard's samples are one file, written whole, in a folder
`.parts`; when all are there they become one record for each kind (`positive.rec` and so on) and a `report.json`. So work that
was killed goes on where it was, and since every photo has its own random numbers the result is the same, byte for byte.
"""

import hashlib
import io
import json
import logging
import os
import shutil
from contextlib import ExitStack, closing
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Mapping, Protocol, Sequence
from zipfile import BadZipFile

import numpy as np
from tqdm import tqdm

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.errors import ConfigError, DataError, ImageError
from mtcnn_gluon.io.files import printable, remove_drafts, whole_file
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.io.processes import in_processes
from mtcnn_gluon.prepare_data.annotations import Annotations, Photo
from mtcnn_gluon.records.files import RecordWriter
from mtcnn_gluon.records.info import REPORT
from mtcnn_gluon.records.samples import KIND_NAMES, Kind, Samples

SCHEMA = 1  # of what is kept between two runs
SHARD = 32  # photos
PARTS = ".parts"
UNREADABLE = "photos that cannot be read"
OUTSIDE_PHOTO = "faces mostly outside their photo, left out"

logger = logging.getLogger(__name__)


class SampleSource(Protocol):
    """What samples are made of a photo. It is sent to other processes, so it holds only what can be pickled."""

    net: str
    images: str

    def describe(self) -> dict[str, Any]:
        """Everything that the samples depend on, beside the photos and their annotations."""
        ...

    def prepare(self) -> None:
        """Load what is needed, once in every process."""
        ...

    def samples(self, image: np.ndarray, photo: Photo, number: int) -> tuple[Samples, dict[str, float]]:
        """The samples of photo `number`, whose pixels are `image` (H, W, 3) uint8, and figures to add up over all photos."""
        ...


def generate(source: SampleSource, annotations: Annotations, out: str | os.PathLike, workers: int = 1) -> dict[str, Any]:
    """Make the samples of all photos; returns what `out/report.json` then holds. If it is all there already, nothing is done.

    Args:
        source: what samples are.
        annotations: the photos and their faces.
        out: folder for the records.
        workers: number of processes, 1 or more.

    Raises:
        ConfigError: if `out` holds samples of something else, or `workers` is not positive.
        DataError: if something cannot be written, or there is no sample at all.
    """
    if workers < 1:
        raise ConfigError(f"workers must be 1 or more, not {workers}")
    folder = Path(out)
    identity = {"schema": SCHEMA, "digest": _digest(source, annotations), "made from": source.describe()}
    if (finished := _finished(folder, identity)) is not None:
        shutil.rmtree(folder / PARTS, ignore_errors=True)
        return finished
    parts = _open_parts(folder, identity)
    shards = [range(start, min(start + SHARD, len(annotations.photos))) for start in range(0, len(annotations.photos), SHARD)]
    missing = [shard for shard in shards if not (parts / _name(shard)).is_file()]
    tasks = [(shard, annotations.photos[shard.start : shard.stop], parts) for shard in missing]
    counts = in_processes(_make, tasks, partial(_prepared, source), workers, _described, ordered=False, threads=1)
    total, done = len(annotations.photos), len(annotations.photos) - sum(map(len, missing))
    with closing(counts), tqdm(total=total, initial=done, unit="photo", desc=source.net, disable=None, smoothing=0.02) as bar:
        for count in counts:
            bar.update(count)
    report = _finish(source, shards, parts, folder, identity, annotations)
    shutil.rmtree(parts)
    return report


def _described(task: tuple[range, Sequence[Photo], Path]) -> str:
    return f"photos {task[1][0].path} to {task[1][-1].path}"


def _prepared(source: SampleSource) -> SampleSource:
    source.prepare()
    return source


def _make(source: SampleSource, task: tuple[range, Sequence[Photo], Path]) -> int:
    """Write one shard, given its numbers, its photos and the folder of shards; returns the number of photos."""
    shard, photos, parts = task
    samples, unreadable, outside, figures = [], list[str](), list[str](), dict[str, float]()
    for photo, number in zip(photos, shard):
        try:
            image = read_image(Path(source.images) / photo.path)
        except ImageError as error:
            unreadable.append(printable(error))
            continue
        photo, lines = _inside(photo, image)
        outside += lines
        found, added = source.samples(image, photo, number)
        samples.append(found)
        for name, value in added.items():
            figures[name] = figures.get(name, 0) + value
    problems = {UNREADABLE: unreadable, OUTSIDE_PHOTO: outside}
    about = json.dumps({"problems": problems, "figures": figures, "photos": len(samples)})
    arrays = _as_arrays(Samples.concatenate(samples)) if samples else {}
    packed = io.BytesIO()  # numpy's own file handling complains at length about a full disk
    np.savez(packed, about=np.array(about), **arrays)
    with whole_file(parts / _name(shard), "wb") as file:
        file.write(packed.getbuffer())
    return len(shard)


def _inside(photo: Photo, image: np.ndarray) -> tuple[Photo, list[str]]:
    """The photo with faces to be ignored of which less than half lies in it, and a line about each of them."""
    height, width = image.shape[:2]
    boxes = photo.boxes.astype(np.float64)
    is_outside = ~photo.ignore & (box_ops.area(box_ops.clip(boxes, height, width)) < box_ops.area(boxes) / 2)
    lines = [
        printable(f"{photo.path}: face {face} from {x1:g}, {y1:g} to {x2:g}, {y2:g} in a photo of {width} x {height} pixels")
        for face, (x1, y1, x2, y2) in zip(np.flatnonzero(is_outside), photo.boxes[is_outside])
    ]
    return replace(photo, ignore=photo.ignore | is_outside), lines


def _as_arrays(samples: Samples) -> dict[str, np.ndarray]:
    return {field.name: getattr(samples, field.name) for field in fields(Samples)}


def _finish(
    source: SampleSource,
    shards: Sequence[range],
    parts: Path,
    folder: Path,
    identity: Mapping[str, Any],
    annotations: Annotations,
) -> dict[str, Any]:
    """Put the shards together."""
    counts, figures, photos = dict.fromkeys(KIND_NAMES, 0), dict[str, float](), 0
    problems = {kind: list(lines) for kind, lines in annotations.problems.found.items()}
    remove_drafts(folder)
    with ExitStack() as stack:
        writers: dict[str, RecordWriter] = {}
        for shard in shards:
            about, arrays = _load(parts / _name(shard))
            photos += about["photos"]
            for name, lines in about["problems"].items():
                problems[name] = problems.get(name, []) + lines
            for name, value in about["figures"].items():
                figures[name] = figures.get(name, 0) + value
            for kind, samples in _by_kind(arrays).items():
                if kind not in writers:
                    origin = dict(seed=identity["made from"].get("seed"), source=identity["digest"])
                    writers[kind] = stack.enter_context(RecordWriter(folder / kind, source.net, **origin))
                writers[kind].write(samples)
                counts[kind] += len(samples)
        if not sum(counts.values()):
            shutil.rmtree(parts)  # so that photos that are found next time are read
            raise DataError(_why_none(folder, photos, figures, problems.get(UNREADABLE, [])))
    problems = {kind: lines for kind, lines in problems.items() if lines}
    report = {**identity, "photos": photos, "counts": counts, "figures": figures, "problems": problems}
    with whole_file(folder / REPORT) as file:
        json.dump(report, file, indent=1)
    return report


def _why_none(folder: Path, photos: int, figures: Mapping[str, float], unreadable: Sequence[str]) -> str:
    """What is known of why no sample came."""
    text = f"{folder}: no sample came of {photos} photos ({len(unreadable)} more could not be read)"
    if photos:
        text += f"; {figures.get('faces', 0):.0f} of their faces can be learned from"
    if "proposals" in figures:
        text += f", and the nets proposed {figures['proposals']:.0f} crops"
    return text + (f"; the first that could not: {unreadable[0]}" if unreadable else "")


def _load(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a shard says, and its arrays."""
    try:
        with np.load(path) as stored:
            return json.loads(str(stored["about"])), {name: stored[name] for name in stored.files if name != "about"}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise DataError(f"{path} is damaged: remove it and run the same command again ({error})") from error


def _by_kind(arrays: Mapping[str, np.ndarray]) -> dict[str, Samples]:
    if not arrays:
        return {}
    samples = Samples(**arrays)
    kinds = {kind.name.lower(): samples.kinds == kind for kind in Kind}
    return {name: samples[is_it] for name, is_it in kinds.items() if is_it.any()}


def _name(shard: range) -> str:
    return f"{shard.start:08d}.npz"


def _digest(source: SampleSource, annotations: Annotations) -> str:
    """Changes with everything that the samples depend on, but for the pixels of the photos."""
    digest = hashlib.sha256(json.dumps([SCHEMA, source.describe()], sort_keys=True).encode())
    for photo in annotations.photos:
        digest.update(photo.path.encode("utf-8", "surrogateescape"))
        for value in asdict(photo).values():
            if isinstance(value, np.ndarray):
                digest.update(value.tobytes())
    return digest.hexdigest()


def _finished(folder: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The report of work that is done already."""
    report = read_report(folder)
    if report is None:
        return None
    if report.get("digest") != identity["digest"]:
        raise _not_ours(folder)
    return report


def read_report(folder: str | os.PathLike) -> dict[str, Any] | None:
    """The `report.json` of a folder of samples, or None if there is none.

    Raises:
        DataError: if it is damaged.
    """
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
    """The folder of shards, which may hold some already."""
    parts = folder / PARTS
    about = parts / "about.json"
    content = json.dumps(dict(identity))
    if about.exists() and about.read_text("utf-8", "replace") == content:
        logger.info("%s: going on with work that was not finished", folder)
        return parts
    if any((folder / f"{kind}.json").exists() for kind in KIND_NAMES):
        raise _not_ours(folder)
    shutil.rmtree(parts, ignore_errors=True)
    with whole_file(about) as file:
        file.write(content)
    return parts


def _not_ours(folder: Path) -> ConfigError:
    return ConfigError(f"{folder} holds samples of other photos or options: remove it, or name another folder")
