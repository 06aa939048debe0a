"""Detection in tables of pandas and Arrow, which Spark and Daft hand to Python functions."""

from functools import lru_cache
from typing import Any, Iterable, Iterator, Mapping

from mtcnn_gluon.bulk.arrow import pa
from mtcnn_gluon.bulk.columns import added_names, arrays_of, check_names
from mtcnn_gluon.bulk.photos import find_faces, series_values, values_of
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.detection.options import DetectorOptions
from mtcnn_gluon.errors import ConfigError, did_you_mean, shown
from mtcnn_gluon.options import from_mapping

KEPT = 4  # detectors of a process


class TableFinder:
    """Finds the faces in the photos of a table's column.

    Args:
        column: name of the column with the photos.
        prefix: begins the names of the added columns.
        options: arguments of `Detector`; `threads` is 1 unless it is given.

    Raises:
        ConfigError: if an option is unknown or out of range.
        ModelError: if the model or the runtime cannot be used.
    """

    def __init__(self, column: str, prefix: str, options: Mapping[str, Any]) -> None:
        self._column, self._prefix = column, prefix
        self.detector = detector_of(from_mapping(DetectorOptions, {"threads": 1, **options}))

    def in_table(self, table: Any) -> Any:
        """A pyarrow `Table` with the added columns."""
        self._check(table.column_names)
        values = values_of(table[self._column], self._column)
        found = [find_faces(value, self.detector) for value in values]
        for name, array in zip(added_names(self._prefix), arrays_of(found)):
            table = table.append_column(name, array)
        return table

    def in_batch(self, batch: Any) -> Any:
        """A pyarrow `RecordBatch` with the added columns."""
        table = self.in_table(pa.Table.from_batches([batch])).combine_chunks()
        arrays = [each.chunk(0) if each.num_chunks else pa.array([], each.type) for each in table.columns]
        return pa.RecordBatch.from_arrays(arrays, schema=table.schema)

    def in_frame(self, frame: Any) -> Any:
        """A pandas `DataFrame` with the added columns, and the same index."""
        import pandas

        self._check(list(frame.columns))
        found = [find_faces(value, self.detector) for value in series_values(frame[self._column])]
        columns = [
            pandas.Series(each.to_pylist(), frame.index, "Int32" if pa.types.is_integer(each.type) else object)
            for each in arrays_of(found)
        ]
        return frame.assign(**dict(zip(added_names(self._prefix), columns)))

    def _check(self, names: list[str]) -> None:
        if self._column not in names:
            hint = did_you_mean(self._column, map(str, names)) or f"; it has {', '.join(map(str, names))}"
            raise ConfigError(f"the table has no column {self._column!r}{hint}")
        check_names(names, added_names(self._prefix), 'a prefix, such as prefix="face_"')


def detect_table(batches: Iterable[Any], column: str = "image", prefix: str = "", **options: Any) -> Iterator[Any]:
    """Find the faces in the photos of a table that comes in batches, such as those of Spark's `mapInPandas`.

    Args:
        batches: pandas DataFrames, or tables or record batches of pyarrow.
        column: name of the column with the photos: bytes of image files, arrays as in `read_image`, or paths, which may be
            URLs for fsspec. A struct with a field `bytes` stands for these.
        prefix: begins the names of the added columns, for tables that have columns of these names.
        options: arguments of `Detector`. `threads` is 1 unless it is given, since such engines run one function a processor.
            A process makes each detector once.

    Returns:
        An iterator over batches of the same kinds, with the same rows and columns and four more: `faces`, a list of structs
        with `box` (4 numbers), `score` and `landmarks` (10 numbers, or null); `width` and `height` of the photo as displayed;
        and `error`, which says why a photo cannot be read, and is null otherwise. Such a photo has an empty list of faces.

    Raises:
        ConfigError: if an option is unknown or out of range, or a table lacks the column or has one of those to add.
        ModelError: if the model or the runtime cannot be used.
        DataError: if the column holds something else.
    """
    if hasattr(batches, "columns") or not isinstance(batches, Iterable):
        raise ConfigError(f"batches must be several tables, such as a list of one, not {shown(type(batches))}")
    return _in_batches(batches, TableFinder(column, prefix, options))


def _in_batches(batches: Iterable[Any], finder: TableFinder) -> Iterator[Any]:
    for batch in batches:
        if isinstance(batch, pa.Table):
            yield finder.in_table(batch)
        elif isinstance(batch, pa.RecordBatch):
            yield finder.in_batch(batch)
        elif hasattr(batch, "assign"):
            yield finder.in_frame(batch)
        else:
            raise ConfigError(f"a batch must be a DataFrame of pandas, or a table of pyarrow, not {shown(type(batch))}")


@lru_cache(maxsize=KEPT)
def detector_of(options: DetectorOptions) -> Detector:
    """The detector with these options, which the process makes once."""
    return Detector(**vars(options))
