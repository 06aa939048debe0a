"""How much of a step is done, from the files that it has written."""

import json
from pathlib import Path
from typing import Any

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.io.files import read_text
from mtcnn_gluon.prepare_data.generate import PARTS, SHARD
from mtcnn_gluon.records.info import REPORT
from mtcnn_gluon.training.checkpoints import LOG as TRAINING_LOG


def epochs(records: Path, samples: float) -> int:
    """As many epochs as come nearest to a number of samples, at least one."""
    counts = read_json(records / REPORT)["counts"]
    return max(1, round(samples / max(1, sum(counts.values()))))


def photos_done(folder: Path, photos: int) -> float:
    """The share of its photos that `prepare` has worked on."""
    shards = len(list((folder / PARTS).glob("*.npz")))
    return min(1.0, shards * SHARD / max(1, photos))


def epochs_done(folder: Path, records: Path, samples: float) -> float:
    """The share of its epochs that `train` has done."""
    log = folder / TRAINING_LOG
    rows = len(read_text(log).splitlines()) - 1 if log.is_file() else 0
    return rows / epochs(records, samples)


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises DataError if it is none."""
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
