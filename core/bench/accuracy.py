"""What contenders find, beside how long that takes: both are measured on the same annotated photos.

- Faces found and boxes right, by what is found in the time that is told: at the thresholds of the contest.
- Average precision, by what the same detectors find with low thresholds, since its curve must reach a high recall.

Both are computed as `mtcnn-gluon evaluate wider --annotations` does (`evaluation/wider.py`), for faces from some heights on.
"""

from dataclasses import dataclass, replace
from typing import Iterable, Sequence

import numpy as np

from mtcnn_gluon.bench.contest import BenchPhoto, Timing
from mtcnn_gluon.errors import ConfigError, ImageError
from mtcnn_gluon.evaluation import wider, wider_truth
from mtcnn_gluon.evaluation.names import THE_ANNOTATIONS, THE_PHOTOS
from mtcnn_gluon.evaluation.photos import PhotoSet
from mtcnn_gluon.evaluation.results import Detections, Results
from mtcnn_gluon.evaluation.scale import check_scale
from mtcnn_gluon.evaluation.wider_truth import Truth
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.prepare_data.annotations import Problems, spread
from mtcnn_gluon.prepare_data.readers import read_annotations


@dataclass(frozen=True)
class Accuracy:
    """What a contender finds of the faces of each set, such as `height_30`. All values are in 0..1, or None if undefined.

    Attributes:
        ap: average precision, with low thresholds.
        recall: share of the faces that are found, at the thresholds of the contest.
        precision: share of the boxes that are right, at these thresholds; boxes on faces of other sets do not count.
    """

    ap: dict[str, float | None]
    recall: dict[str, float | None]
    precision: dict[str, float | None]


@dataclass(frozen=True, eq=False)
class Annotated:
    """Annotated photos: the pixels, the faces in the same order, problems by source, and why photos could not be read."""

    photos: list[BenchPhoto]
    truth: Truth
    problems: dict[str, Problems]
    unread: list[str]


def read_annotated(annotations: str, folder: str, limit: int | None = None) -> Annotated:
    """Read the photos of a list of annotated faces; those that cannot be read are left out.

    Args:
        annotations: the list, of any format that `prepare` reads.
        folder: the folder of all photos.
        limit: use only so many photos, spread evenly over the list.

    Raises:
        ConfigError: if no photo has an annotated face that counts.
        DataError: if the list cannot be read.
    """
    found = read_annotations(annotations)
    files = PhotoSet((photo.path for photo in found.photos), folder)
    whole = wider_truth.from_annotations(found, printable(annotations))
    photos, kept, unread = [], [], list[str]()
    for photo in spread(whole.photos, limit):
        try:
            photos.append(BenchPhoto(photo.name, read_image(files.path(photo.name))))
            kept.append(photo)
        except ImageError as error:
            unread.append(str(error))
    if kept and not any(photo.counts.any() for photo in kept):
        least = wider_truth.HEIGHTS[-1]
        raise ConfigError(f"--annotations {annotations}: none of the {len(kept)} photos has a face of {least} px or higher")
    return Annotated(photos, replace(whole, photos=tuple(kept)), {THE_ANNOTATIONS: found.problems}, unread)


def measure(annotated: Annotated, timings: Sequence[Timing]) -> dict[str, Accuracy]:
    """The accuracy of each contender, by the name of its timing.

    Boxes outside their photos are added to `annotated.problems`.

    Args:
        annotated: the photos of the contest.
        timings: of `contest.run` with `is_annotated`.

    Raises:
        DataError: if boxes of a contender cannot be pixels.
    """
    truth, photos = annotated.truth, annotated.photos
    timed = [_results(each.name, photos, zip(each.boxes, each.scores)) for each in timings]
    unsure = [_results(each.name, photos, each.unsure or ()) for each in timings]
    sizes = {photo.name: _size(photo) for photo in photos}
    annotated.problems[THE_PHOTOS] = check_scale({each.name: each.boxes for each in truth.photos}, timed, sizes.__getitem__)
    for each in timed:
        annotated.problems[each.name] = each.problems
    _, at_work = wider.evaluate(truth, timed)
    _, ranked = wider.evaluate(truth, unsure)
    accuracies = {}
    for timing, now, whole in zip(timings, at_work, ranked):
        has_boxes = any(map(len, timing.boxes))
        # The last threshold of the curves is the lowest score, which all detections reach.
        recall = {name: _defined(now.recall[name][-1]) for name in truth.sets}
        precision = {name: _defined(now.precision[name][-1]) if has_boxes else None for name in truth.sets}
        accuracies[timing.name] = Accuracy({name: whole.values[name] for name in truth.sets}, recall, precision)
    return accuracies


def _results(title: str, photos: Sequence[BenchPhoto], found: Iterable[tuple[np.ndarray, np.ndarray]]) -> Results:
    """Boxes and scores of each photo as results of a detector."""
    by_name = {}
    for photo, (boxes, scores) in zip(photos, found):
        by_name[photo.name] = Detections.of_boxes(boxes, scores, _size(photo))
    return Results(title, by_name)


def _size(photo: BenchPhoto) -> tuple[int, int]:
    """Width and height."""
    return photo.image.shape[1], photo.image.shape[0]


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
