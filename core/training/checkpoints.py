"""The whole state of a training run in one file: parameters, the optimiser's arrays, and where the run is."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.files import whole_file

SCHEMA = 2


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
                    parts[part][name] = stored[key]
    except Exception as error:  # a damaged zip archive raises almost anything
        raise DataError(f"{path} is not a whole checkpoint: {error}") from error
    if about.pop("schema", None) != SCHEMA:
        raise DataError(f"{path}: expected a checkpoint of schema {SCHEMA}")
    return Checkpoint(about, **parts)
