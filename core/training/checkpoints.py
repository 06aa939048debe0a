"""The whole state of a training run in one file: parameters, the optimiser's arrays, and where the run is."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterable

import numpy as np

from mtcnn_gluon.config import HEADS
from mtcnn_gluon.errors import DataError, shown
from mtcnn_gluon.io.files import whole_file

SCHEMA = 2
LAST, BEST = "last.npz", "best.npz"  # checkpoints in the folder of a run


@dataclass
class Checkpoint:
    """A state to go on from.

    Attributes:
        about: what the run is and how far, as JSON has it.
        parameters: by full name.
        optimiser: the optimiser's arrays, by place; see `flat` for how parameters lie in them.
        averages: averaged parameters by full name; empty if the run has none.
    """

    about: dict[str, Any]
    parameters: dict[str, np.ndarray]
    optimiser: dict[str, np.ndarray] = field(default_factory=dict)
    averages: dict[str, np.ndarray] = field(default_factory=dict)


_PARTS = ("parameters", "optimiser", "averages")


def write_checkpoint(path: str | os.PathLike, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        DataError: if it cannot be written there.
    """
    arrays = {f"{part}/{name}": array for part in _PARTS for name, array in getattr(checkpoint, part).items()}
    about = np.array(json.dumps({"schema": SCHEMA, **checkpoint.about}))
    with whole_file(path, "wb") as file:
        np.savez(file, about=about, **arrays)


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read a checkpoint; nothing in it is ever unpickled.

    Raises:
        DataError: if it is missing, damaged, or of another schema.
    """
    if not Path(path).is_file():
        raise DataError(f"{path} does not exist: there is no checkpoint to go on from")
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = dict(json.loads(str(stored["about"])))
            parts: dict[str, dict[str, np.ndarray]] = {part: {} for part in _PARTS}
            for key in stored.files:
                part, _, name = key.partition("/")
                if name:
                    parts[part][name] = _numbers(name, stored[key])
    except Exception as error:  # a damaged zip archive raises almost anything
        raise DataError(f"{path} is not a whole checkpoint: {error}") from error
    if about.pop("schema", None) != SCHEMA:
        raise DataError(f"{path}: expected a checkpoint of schema {SCHEMA}")
    return Checkpoint(about, **parts)


def _numbers(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} holds no numbers but {array.dtype}")
    return array


def check_run(path: str | os.PathLike, about: dict[str, Any], keys: Iterable[str] = ("heads",)) -> None:
    """Check what a checkpoint says of the training run that it is of.

    Args:
        path: of the checkpoint.
        about: as it says it.
        keys: what is needed, some of "heads", "options", "epoch", "rows", "best" and "made with".

    Raises:
        DataError: if something is missing, or no training run would say that.
    """
    if "heads" not in about:
        raise DataError(f"{path} is not the checkpoint of a training run, or an earlier version wrote it: it names no heads")
    for key in keys:
        if not _STATE[key](about.get(key)):
            raise DataError(f"{path} is damaged: {key!r} cannot be {shown(about.get(key))}")
    if "rows" in keys and len(about["rows"]) != about["epoch"]:
        raise DataError(f"{path} is damaged: it has {len(about['rows'])} rows of {about['epoch']} epochs")


def _are_heads(value: Any) -> bool:
    """Whether it is what `heads.HeadPlan.to_json` makes."""
    if not isinstance(value, dict) or set(value) != {"present", "learned", "kept", "trained"}:
        return False
    return all(
        isinstance(each, list) and all(isinstance(head, str) and head in HEADS for head in each) for each in value.values()
    )


def _are_rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


_STATE: dict[str, Callable[[Any], bool]] = {
    "heads": _are_heads,
    "options": lambda value: isinstance(value, dict),
    "made with": lambda value: isinstance(value, dict),
    "epoch": lambda value: type(value) is int and value >= 1,
    "rows": _are_rows,
    "best": lambda value: type(value) in (int, float),
}
