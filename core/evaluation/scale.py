"""Checks that boxes have the scale of their photos: on another scale, figures would be wrong without notice."""

from typing import Callable, Mapping, Sequence

import numpy as np

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.evaluation.regions import Size
from mtcnn_gluon.evaluation.results import Results
from mtcnn_gluon.prepare_data.annotations import Problems

OTHER_SIZE = "results made on a photo of another size, left out"
OUTSIDE = "detections with their centre outside the photo: are they of its scale?"
ANNOTATED_OUTSIDE = "annotated faces with their centre outside the photo: are they of its scale?"
TOLERATED = 0.01  # share of boxes whose centre may be outside, as annotators make errors


def check_scale(boxes: Mapping[str, np.ndarray], results: Sequence[Results], size_of: Callable[[str], Size | None]) -> Problems:
    """Compare the photo sizes in results with those of the files, and the boxes with both.

    Results made on a photo of another size are removed from `results`. Suspicious boxes are added to the problems.

    Args:
        boxes: (N, 4) annotated faces of each photo, by its name.
        results: what detectors found.
        size_of: returns width and height of a photo's file; None if unknown.

    Returns:
        problems with the annotations.

    Raises:
        DataError: if all boxes of a detector are shares of the photo's sides.
    """
    for each in results:
        _refuse_shares(each)
    sizes = {name: _agreed_size(name, results, size_of(name)) for name in boxes}
    known = {name: size for name, size in sizes.items() if size is not None}
    for each in results:
        _note_outside(each.problems, OUTSIDE, {name: each.photos[name].boxes for name in known if name in each.photos}, known)
    problems = Problems()
    _note_outside(problems, ANNOTATED_OUTSIDE, {name: boxes[name] for name in known}, known)
    return problems


def _refuse_shares(results: Results) -> None:
    boxes = np.concatenate([np.zeros((0, 4)), *(each.boxes for each in results.photos.values())])
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(1).any()
    if has_area and boxes.min() >= 0 and boxes.max() <= 1:
        raise DataError(f"{results.name}: all boxes lie in 0..1: expected pixels of the photos, got shares of their sides")


def _agreed_size(name: str, results: Sequence[Results], true: Size | None) -> Size | None:
    """The size of a photo, or None if it is unknown. Results made on a photo of another size are removed."""
    sized = [(each, size) for each in results if name in each.photos and (size := each.photos[name].size)]
    different = {size for _, size in sized}
    expected = true or (different.pop() if len(different) == 1 else None)
    for each, size in sized:
        if size != expected:
            others = f"the photo is {_text(true)}" if true else "other results have another size"
            each.problems.found[OTHER_SIZE].append(f"{each.name}: {name}: {_text(size)}, but {others}")
            each.unusable.add(name)
            del each.photos[name]
    return expected


def _note_outside(problems: Problems, kind: str, boxes: Mapping[str, np.ndarray], sizes: Mapping[str, Size]) -> None:
    """Add a problem for each of the boxes (N, 4) whose centre is outside their photo, if there are many."""
    lines = []
    for name, each in boxes.items():
        centres = (each[:, :2] + each[:, 2:]) / 2
        for box in each[((centres < 0) | (centres > sizes[name])).any(1)]:
            lines.append(f"{name}, {_text(sizes[name])}: {' '.join(f'{number:g}' for number in box)}")
    if len(lines) > TOLERATED * sum(map(len, boxes.values())):
        problems.found[kind] = lines


def _text(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
