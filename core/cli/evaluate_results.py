"""What detectors found, as the options of the verb `mtcnn-gluon evaluate` ask for it: read, or by running models."""

import argparse
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Iterable, NamedTuple, Sequence

import numpy as np

from mtcnn_gluon.bundles.format import model_names
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.evaluation import landmarks
from mtcnn_gluon.evaluation.names import check_names, clean_name, file_stems
from mtcnn_gluon.evaluation.results import UNREAD, Detections, Results, read_own, read_results
from mtcnn_gluon.evaluation.run import Job, PhotoFiles, Work, find_faces, names_of, photo_size, run_model
from mtcnn_gluon.evaluation.scale import check_scale
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.prepare_data.annotations import Photo, Problems

DETECTOR_OPTIONS = ("engine", "device", "min_face", "factor", "thresholds", "nms", "max_faces")
LISTS = ("annotations", "list", "landmarks")  # options that name a file of annotations


def check_options(options: argparse.Namespace) -> None:
    """Refuse what cannot work before anything long begins."""
    if not options.results and not options.model:
        raise ConfigError("nothing to evaluate: give --results or --model")
    if options.model and not options.images:
        raise ConfigError("--model needs --images, the folder of all photos")
    if options.images and not os.path.isdir(options.images):
        raise ConfigError(f"--images {options.images} is not a folder")
    if options.resume and not options.detections:
        raise ConfigError("--resume needs --detections DIR, which says what is done")
    if getattr(options, "resamples", 0) < 0:
        raise ConfigError(f"--resamples must be 0 or more, not {options.resamples}")
    if getattr(options, "write_text", None) and len(options.results) + len(options.model) > 1:
        raise ConfigError("--write-text is for one detector")
    check_names(name for name, _ in named_paths([*options.results, *options.model]))
    _check_outputs(options)
    if options.report:
        need("matplotlib.figure", "drawing curves")


def _check_outputs(options: argparse.Namespace) -> None:
    """Refuse to overwrite what is read."""
    sources = {os.path.realpath(path) for _, path in named_paths(options.results)}
    sources |= {os.path.realpath(value) for key in LISTS if (value := getattr(options, key, None))}
    targets = [options.json, getattr(options, "write_text", None)]
    if options.detections:
        targets += [str(path) for path in _detection_files(options, find_faces).values()]
    for target in targets:
        if target and target != "-" and os.path.realpath(target) in sources:
            raise ConfigError(f"{target} would be overwritten, though it is read: give another place for what is written")


def named_paths(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Name and path of arguments `[NAME=]PATH`."""
    pairs = []
    for argument in arguments:
        name, path = _split(argument)
        if not name:
            name = Path(argument).name if os.path.isdir(argument) else Path(argument).stem
        pairs.append((clean_name(name or argument), path))
    return pairs


def _split(argument: str) -> tuple[str, str]:
    """Name, empty if there is none, and path of an argument; names and paths may hold `=` themselves."""
    parts = argument.split("=")
    splits = [("=".join(parts[:at]), "=".join(parts[at:])) for at in range(1, len(parts))]
    splits = [(name, path) for name, path in splits if name and path]
    if os.path.exists(argument) or not splits:
        return "", argument
    return next((split for split in splits if split[1] in model_names() or os.path.exists(split[1])), splits[0])


class PhotoSet(NamedTuple):
    """All photos of a set: their names, and what finds their files, if their folder is given."""

    names: tuple[str, ...]
    files: PhotoFiles | None

    def size(self, name: str) -> tuple[int, int] | None:
        """Width and height of a photo, None if it cannot be read or is not given."""
        return photo_size(self.files.path(name)) if self.files else None


def photo_set(options: argparse.Namespace, paths: Iterable[str]) -> PhotoSet:
    """The photos with these paths below their folder.

    Raises:
        DataError: if two of them have the same name, see `names_of`.
    """
    named = names_of(paths)
    return PhotoSet(tuple(named), PhotoFiles(options.images, named) if options.images else None)


def found_faces(options: argparse.Namespace, photos: PhotoSet, names: Sequence[str]) -> list[Results]:
    """What all detectors found in the photos `names` of a set."""
    results = [read_results(path, names, title=name, others=photos.names) for name, path in named_paths(options.results)]
    jobs = [Job(name, file_of(photos, name)) for name in names] if options.model else []
    return results + _of_models(options, jobs, find_faces)


def landmark_results(options: argparse.Namespace, photos: PhotoSet, chosen: Sequence[Photo], on: str) -> list[Results]:
    """What all detectors found in the chosen photos, or with `on` given, what models say of their annotated boxes."""
    if on == "detected":
        return found_faces(options, photos, [photo.path for photo in chosen])
    return _of_models(options, jobs_of(photos, chosen), landmarks.place_landmarks)


def jobs_of(photos: PhotoSet, chosen: Sequence[Photo]) -> list[Job]:
    """Photos with the boxes of their annotated faces."""
    names = [printable(photo.path) for photo in chosen]
    boxes = [tuple(tuple(box) for box in photo.boxes.tolist()) for photo in chosen]
    return [Job(name, file_of(photos, name), each) for name, each in zip(names, boxes)]


def file_of(photos: PhotoSet, name: str) -> str:
    """The file of a photo of a set whose folder is given."""
    assert photos.files is not None  # check_options has asked for the folder
    return str(photos.files.path(name))


def check_scales(
    options: argparse.Namespace, photos: PhotoSet, boxes: dict[str, np.ndarray], results: Sequence[Results]
) -> Problems:
    """See `check_scale`; photos are looked at only where results were not made from them just now."""
    return check_scale(boxes, results, photos.size if options.results else lambda name: None)


def _of_models(options: argparse.Namespace, jobs: Sequence[Job], work: Work) -> list[Results]:
    """What the models say of the photos."""
    with ExitStack() as stack:
        names = [job.name for job in jobs]
        return [read_own(path, names, name, about) for name, path, about in run_models(options, jobs, work, stack)]


def run_models(
    options: argparse.Namespace, jobs: Sequence[Job], work: Work, stack: ExitStack
) -> list[tuple[str, Path, dict[str, Any]]]:
    """Name, file of results, and what made them, of each model."""
    folder = options.detections or stack.enter_context(tempfile.TemporaryDirectory(prefix="mtcnn-gluon-"))
    files = _detection_files(options, work, folder)
    made = []
    for name, model in named_paths(options.model):
        chosen = {"model": model, **{key: getattr(options, key) for key in DETECTOR_OPTIONS}}
        made.append((name, files[name], run_model(jobs, work, chosen, files[name], options.resume, options.workers)))
    return made


def _detection_files(options: argparse.Namespace, work: Work, folder: str | None = None) -> dict[str, Path]:
    """The file of each model's results; a `+`, which no stem holds, keeps those of different work apart."""
    suffix = "" if work is find_faces else f"+{work.__name__}"
    stems = file_stems(name for name, _ in named_paths(options.model))
    return {name: Path(folder or options.detections) / f"{stem}{suffix}.jsonl" for name, stem in stems.items()}


def seen_photos(name: str, rows: dict[str, dict[str, Any]], about: dict[str, Any]) -> Results:
    """The photos that a model has looked at, as `Results` without faces."""
    problems = Problems()
    bad = {image: row["error"] for image, row in rows.items() if "error" in row}
    if bad:
        problems.found[UNREAD] = [f"{image}: {error}" for image, error in bad.items()]
    seen = {
        image: Detections.of_boxes([], [], (row["width"], row["height"])) for image, row in rows.items() if image not in bad
    }
    return Results(name, seen, set(bad), problems, about)
