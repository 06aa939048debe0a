"""The parts of a long run: a list of photos cut into pieces, always in the same way, and the photos of a piece."""

import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any, Iterator, Literal, Sequence

from mtcnn_gluon.bulk.arrow import pa, pq
from mtcnn_gluon.bulk.columns import check_names
from mtcnn_gluon.bulk.photos import values_of
from mtcnn_gluon.bulk.places import open_file
from mtcnn_gluon.errors import ConfigError, DataError, ImageError, did_you_mean
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.io.images import is_image_path

TAR = (".tar", ".tar.gz", ".tgz")
PARQUET = (".parquet", ".pq")
SHARDS = (*TAR, *PARQUET)
READERS = 16  # threads that look at Parquet files
TABLE_ROWS = 64  # of a Parquet file at a time, photos included
BUFFER = 1 << 20  # bytes; without it all photos of a row group are in memory


@dataclass(frozen=True)
class Part:
    """A piece of a run: its photos, in their order.

    Attributes:
        number: from 0.
        kind: what `paths` names: photos, a tar file with photos, or a Parquet file.
        paths: paths or URLs.
        row_groups: those of the Parquet file that belong to the part.
        first_row: number of the first row in the Parquet file.
    """

    number: int
    kind: Literal["photos", "tar", "parquet"]
    paths: Sequence[str]
    row_groups: Sequence[int] = ()
    first_row: int = 0


def cut(paths: Sequence[str], column: str, size: int, added: Sequence[str] = ()) -> list[Part]:
    """The parts of a run, in the order of its inputs.

    Args:
        paths: photos, tar files and Parquet files, each told by its ending.
        column: the Parquet files' column with the photos.
        size: photos a part. A tar file is one part, and a Parquet file is cut between its row groups.
        added: names of the columns that detection adds.

    Raises:
        ConfigError: if Parquet files are mixed with others, lack the column, or have one of the added names.
        DataError: if a Parquet file cannot be read, or has other columns than the first.
    """
    tables = [path for path in paths if path.lower().endswith(PARQUET)]
    if tables and len(tables) < len(paths):
        other = next(path for path in paths if not path.lower().endswith(PARQUET))
        raise ConfigError(f"Parquet files have columns of their own, so {other} needs a run without them")
    if tables:
        cuts = _cut_tables(tables, column, size, added)
    else:
        tars = [path for path in paths if path.lower().endswith(TAR)]
        photos = [path for path in paths if not path.lower().endswith(TAR)]
        pieces = (photos[start : start + size] for start in range(0, len(photos), size))
        cuts = chain((("photos", piece, (), 0) for piece in pieces), (("tar", [path], (), 0) for path in tars))
    return [Part(number, *each) for number, each in enumerate(cuts)]  # type: ignore[arg-type]


def photos_of(part: Part, column: str) -> Iterator[tuple[str, Any]]:
    """The name of every photo of a part, and the photo as `find_faces` takes it, in order.

    The name is a path, `tar://MEMBER::PATH` as in fsspec, or `PATH#ROW`. A damaged tar file gives what can be read, and an
    `ImageError` by its own name.

    Raises:
        DataError: while iterating: if a tar file or a Parquet file cannot be read.
    """
    path = part.paths[0]
    if part.kind == "photos":
        yield from ((printable(each), each) for each in part.paths)
    elif part.kind == "tar":
        yield from _members(path)
    else:
        with open_file(path) as file, _naming(path):
            batches = pq.ParquetFile(file, buffer_size=BUFFER).iter_batches(TABLE_ROWS, list(part.row_groups), columns=[column])
            values = chain.from_iterable(values_of(batch.column(0), column) for batch in batches)
            yield from ((f"{printable(path)}#{row}", value) for row, value in enumerate(values, part.first_row))


def other_columns(part: Part, column: str) -> Any:
    """The other columns of a Parquet file's rows as a table; None for other kinds of parts."""
    if part.kind != "parquet":
        return None
    with open_file(part.paths[0]) as file, _naming(part.paths[0]):
        table = pq.ParquetFile(file)
        names = [name for name in table.schema_arrow.names if name != column]
        return table.read_row_groups(list(part.row_groups), columns=names)


def _members(path: str) -> Iterator[tuple[str, Any]]:
    try:
        with open_file(path) as file, tarfile.open(fileobj=file, mode="r|*") as tar:
            for member in tar:
                if member.isfile() and is_image_path(member.name):
                    content = tar.extractfile(member)
                    assert content is not None
                    yield f"tar://{printable(member.name)}::{printable(path)}", content.read()
    except (tarfile.TarError, EOFError) as error:
        yield printable(path), ImageError(f"{path}: damaged tar file ({error})")


def _cut_tables(
    paths: Sequence[str], column: str, size: int, added: Sequence[str]
) -> Iterator[tuple[str, list[str], tuple[int, ...], int]]:
    first = None
    with ThreadPoolExecutor(READERS) as pool:
        for path, (schema, rows) in zip(paths, pool.map(_look, paths)):
            first = first or schema
            if column not in schema.names:
                hint = did_you_mean(column, schema.names) or f"; it has {', '.join(schema.names)}"
                raise ConfigError(f"{path} has no column {column!r}{hint}")
            if not schema.equals(first):
                raise DataError(f"{path} has other columns than {paths[0]}, or other types of them")
            check_names((name for name in schema.names if name != column), added, "--prefix, such as --prefix face_")
            start = begin = 0
            for group in range(len(rows)):
                if sum(rows[start : group + 1]) >= size or group == len(rows) - 1:
                    yield "parquet", [path], tuple(range(start, group + 1)), begin
                    begin += sum(rows[start : group + 1])
                    start = group + 1


def _look(path: str) -> tuple[Any, list[int]]:
    """The columns of a Parquet file, and the rows of each of its row groups."""
    with open_file(path) as file, _naming(path):
        table = pq.ParquetFile(file)
        groups = range(table.metadata.num_row_groups)
        return table.schema_arrow, [table.metadata.row_group(group).num_rows for group in groups]


class _naming:
    """Turns pyarrow's errors into a `DataError` that names the file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (pa.ArrowException, OSError)):
            raise DataError(f"{self._path} cannot be read as Parquet: {error}") from error
