"""The state of a training run in one file: parameters, the optimiser's arrays, and the progress of the run."""

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
LAST, BEST, LOG = "last.npz", "best.npz", "log.csv"  # files in the folder of a run
_PARTS = ("parameters", "optimiser", "averages")


@dataclass
class Checkpoint:
    """A state to resume from.

    Attributes:
        about: identity and progress of the run, as in JSON.
        parameters: by full name.
        optimiser: the optimiser's arrays, by index, each in the layout of `flat.FlatParameter`.
        averages: averaged parameters by full name; empty if the run has none.
    """

    about: dict[str, Any]
    parameters: dict[str, np.ndarray]
    optimiser: dict[str, np.ndarray] = field(default_factory=dict)
    averages: dict[str, np.ndarray] = field(default_factory=dict)


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
    """Read a checkpoint. Nothing in it is unpickled.

    Raises:
        DataError: if it is missing, damaged, or of another schema.
    """
    if not Path(path).is_file():
        raise DataError(f"{path} does not exist: there is no checkpoint to resume from")
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = dict(json.loads(str(stored["about"])))
            parts: dict[str, dict[str, np.ndarray]] = {part: {} for part in _PARTS}
            for key in stored.files:
                part, _, name = key.partition("/")
                if name:
                    parts[part][name] = array = stored[key]
                    if array.dtype.kind not in "fiu":
                        raise ValueError(f"{name} must hold numbers, not {array.dtype}")
    except Exception as error:  # a damaged zip archive raises almost anything
        raise DataError(f"{path} is not a whole checkpoint: {error}") from error
    if about.pop("schema", None) != SCHEMA:
        raise DataError(f"{path}: expected a checkpoint of schema {SCHEMA}")
    return Checkpoint(about, **parts)


def check_run(path: str | os.PathLike, about: dict[str, Any], keys: Iterable[str] = ("heads",)) -> None:
    """Check the entries `about` of the checkpoint `path`.

    Args:
        keys: the entries that are needed: "heads", "options", "epoch", "rows", "best" or "made with".

    Raises:
        DataError: if an entry is missing or not valid.
    """
    if "heads" not in about:
        raise DataError(f"{path} is not the checkpoint of a training run, or an earlier version wrote it: it names no heads")
    for key in keys:
        if not _STATE[key](about.get(key)):
            raise DataError(f"{path} is damaged: {key!r} cannot be {shown(about.get(key))}")
    if "rows" in keys and len(about["rows"]) != about["epoch"]:
        raise DataError(f"{path} is damaged: it has {len(about['rows'])} rows of {about['epoch']} epochs")


def _are_heads(value: Any) -> bool:
    """Whether `value` has the form that `heads.HeadPlan.to_json` returns."""
    return isinstance(value, dict) and set(value) == {"present", "learned", "kept", "trained"} and all(
        isinstance(each, list) and all(isinstance(head, str) and head in HEADS for head in each) for each in value.values()
    )  # fmt: skip


_STATE: dict[str, Callable[[Any], bool]] = {
    "heads": _are_heads,
    "options": lambda value: isinstance(value, dict),
    "made with": lambda value: isinstance(value, dict),
    "epoch": lambda value: type(value) is int and value >= 1,
    "rows": lambda value: isinstance(value, list) and all(isinstance(row, dict) for row in value),
    "best": lambda value: type(value) in (int, float),
}
