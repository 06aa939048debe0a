"""The columns that detection adds to a table."""

from typing import Any, Iterable, Sequence

import numpy as np

from mtcnn_gluon.bulk.arrow import pa
from mtcnn_gluon.bulk.photos import Found
from mtcnn_gluon.errors import ConfigError

NUMBERS = pa.list_(pa.float32())
FACE = pa.struct([("box", NUMBERS), ("score", pa.float32()), ("landmarks", NUMBERS)])
COLUMNS = {"width": pa.int32(), "height": pa.int32(), "faces": pa.list_(FACE), "error": pa.string()}
# The same for Spark, as a part of a schema.
SPARK_COLUMNS = (
    "width int, height int, faces array<struct<box: array<float>, score: float, landmarks: array<float>>>, error string"
)


def added_names(prefix: str) -> list[str]:
    """The names of the added columns."""
    return [prefix + name for name in COLUMNS]


def check_names(names: Iterable[str], added: Sequence[str], how: str) -> None:
    """Refuse a table that has a column of the name of an added one.

    Args:
        names: of the table's columns.
        added: of the columns to add.
        how: how a prefix is given, such as `prefix="face_"`.

    Raises:
        ConfigError: if it has.
    """
    if taken := [name for name in names if name in added]:
        raise ConfigError(f"the table has a column {taken[0]!r} already, which detection would add: give {how}")


def arrays_of(found: Sequence[Found]) -> list[Any]:
    """The added columns as Arrow arrays, in the order of `COLUMNS`.

    `faces` has a list a photo, empty if it could not be read. A face has `box` [x1, y1, x2, y2], `score`, and `landmarks`
    [x, y, x, y, ...], five points in the order of `Faces.landmarks`; null if the model has none. All numbers are float32.
    """
    faces = [each.faces for each in found if len(each.faces)]
    count = sum(map(len, faces))
    boxes, scores, points = (np.concatenate([getattr(each, name) for each in faces]) if faces and all(
        getattr(each, name) is not None for each in faces) else None for name in ("boxes", "scores", "landmarks"))  # fmt: skip
    columns = [_lists(boxes, count, 4), pa.array([] if scores is None else scores, pa.float32()), _lists(points, count, 10)]
    starts = np.cumsum([0, *(len(each.faces) for each in found)], dtype=np.int32)
    structs = pa.StructArray.from_arrays(columns, fields=list(FACE))
    built = {"faces": pa.ListArray.from_arrays(pa.array(starts), structs)}
    built |= {n: pa.array([getattr(each, n) for each in found], kind) for n, kind in COLUMNS.items() if n not in built}
    return [built[name] for name in COLUMNS]


def _lists(values: np.ndarray | None, count: int, size: int) -> Any:
    """A list of `size` numbers a face from an array (count, ...); nulls without one."""
    if values is None:
        return pa.nulls(count, NUMBERS)
    starts = np.arange(0, size * count + 1, size, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(starts), pa.array(values.reshape(-1), pa.float32()))
