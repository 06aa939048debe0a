"""Ground truth files with the structure of WIDER FACE's published ones, for made-up photos."""

from pathlib import Path
from typing import Any, Sequence

import numpy as np
import pytest


def cell(values: Sequence[Any]) -> np.ndarray:
    """A MATLAB cell column."""
    column = np.empty((len(values), 1), object)
    for row, value in zip(column, values):
        row[0] = value
    return column


def write_mat(folder: Path, events: dict[str, dict[str, tuple[Any, dict[str, Any]]]], **changed: Any) -> None:
    """The four files, for events of photos with their boxes and the indices of each set."""
    savemat = pytest.importorskip("scipy.io").savemat
    photos = list(events.values())
    base = {
        "event_list": cell(list(events)),
        "file_list": cell([cell(list(event)) for event in photos]),
        "face_bbx_list": cell([cell([boxes for boxes, _ in event.values()]) for event in photos]),
    }
    savemat(folder / "wider_face_val.mat", {**base, **changed})
    for name in ("easy", "medium", "hard"):
        lists = cell([cell([sets[name] for _, sets in event.values()]) for event in photos])
        savemat(folder / f"wider_{name}_val.mat", {"gt_list": lists, **base})
