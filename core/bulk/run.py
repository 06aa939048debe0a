"""A run over many photos, whose results are partitions in a folder: begun, gone on with, finished.

The photos are cut into parts once, and `_plan.jsonl` keeps the cut. Each part becomes one partition, a file that is there whole
or not at all. So what is done is what is there: a run that was killed leaves nothing half done, and the next one does the rest.
"""

import base64
import hashlib
import io
import json
import math
import os
import re
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Mapping, Sequence

from mtcnn_gluon.bulk.arrow import pa, pq
from mtcnn_gluon.bulk.columns import added_names, arrays_of
from mtcnn_gluon.bulk.parts import Part, cut, other_columns, photos_of
from mtcnn_gluon.bulk.photos import find_faces
from mtcnn_gluon.bulk.places import Folder
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.detection.options import DetectorOptions
from mtcnn_gluon.errors import ConfigError, DataError, shown
from mtcnn_gluon.faces import face_dicts
from mtcnn_gluon.io.images import is_url
from mtcnn_gluon.options import to_mapping

MANIFEST, PLAN = "_manifest.json", "_plan.jsonl"
VERSION = 1  # of the manifest
PARTITION = re.compile(r"part-\d{6}\.(parquet|jsonl)")


@dataclass(frozen=True)
class Summary:
    """What a partition holds."""

    name: str
    rows: int
    faces: int
    errors: int
    bytes: int


@dataclass(frozen=True)
class Failure:
    """Why a partition was not written."""

    name: str
    error: str


Result = Summary | Failure


@dataclass(frozen=True)
class Work:
    """What a worker must know: where results go and how they are made. It can be pickled.

    Attributes:
        out: the folder for the partitions, a path or a URL.
        format: `parquet` or `jsonl`.
        column: the Parquet files' column with the photos.
        prefix: begins the names of the added columns.
        options: the detector's.
    """

    out: str
    format: str
    column: str
    prefix: str
    options: DetectorOptions

    def do(self, detector: Detector, part: Part) -> Result:
        """Write the partition of a part, unless its shard cannot be read. Doing it again writes the same."""
        try:
            table = self.table(detector, part)
        except DataError as error:
            return Failure(self.name(part), str(error))
        data = as_parquet(table) if self.format == "parquet" else as_json_lines(table, self.prefix)
        Folder(self.out).write(self.name(part), data)
        return self._summary(self.name(part), table, len(data))

    def table(self, detector: Detector, part: Part) -> Any:
        """The rows of a part as a pyarrow table."""
        names, found = [], []
        for name, value in photos_of(part, self.column):
            names.append(name)
            found.append(find_faces(value, detector))
        image, *added = self.added()
        others = other_columns(part, self.column)
        kept = {} if others is None else dict(zip(others.column_names, others.columns))
        return pa.table({image: pa.array(names, pa.string()), **kept, **dict(zip(added, arrays_of(found)))})

    def added(self) -> list[str]:
        """The names of the added columns."""
        return [f"{self.prefix}image", *added_names(self.prefix)]

    def name(self, part: Part) -> str:
        """The file name of a part's partition."""
        return f"part-{part.number:06d}.{self.format}"

    def summary(self, name: str) -> Summary:
        """What a partition holds that an earlier run wrote; `DataError` if it is not one."""
        data, columns = Folder(self.out).read(name), [f"{self.prefix}faces", f"{self.prefix}error"]
        try:
            if self.format == "parquet":
                table = pq.read_table(io.BytesIO(data), columns=columns)
            else:
                rows = [json.loads(line) for line in data.decode().split("\n") if line]  # not splitlines: texts hold other ends
                values = [[1] * len(row[columns[0]]) for row in rows], [row.get(columns[1]) for row in rows]
                table = pa.table(dict(zip(columns, values)))
            return self._summary(name, table, len(data))
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.out}: {name} is no partition of such a run: {error}") from error

    def _summary(self, name: str, table: Any, size: int) -> Summary:
        faces, error = table[f"{self.prefix}faces"], table[f"{self.prefix}error"]
        counts = pa.compute.list_value_length(faces) if table.num_rows else pa.array([0])
        return Summary(name, table.num_rows, pa.compute.sum(counts).as_py(), table.num_rows - error.null_count, size)


class Run:
    """A run in a folder.

    Args:
        work: what its workers know.
        about: what must be the same for it to go on: inputs, options and model.
        parts: all its parts.
        known: summaries by name that the manifest of an earlier run has.

    Attributes:
        done: summaries of the partitions that are there, by name.
        left: the parts that are not done.
    """

    def __init__(
        self, work: Work, about: dict[str, Any], parts: Sequence[Part], known: Mapping[str, Summary] = MappingProxyType({})
    ) -> None:
        self.work, self._about, self.parts = work, about, parts
        sizes = Folder(work.out).sizes()
        self.done: dict[str, Summary] = {}
        for name in filter(sizes.__contains__, map(work.name, parts)):
            is_known = name in known and known[name].bytes == sizes[name]
            self.done[name] = known[name] if is_known else work.summary(name)
        self.left = [part for part in parts if work.name(part) not in self.done]

    def write_manifest(self) -> dict[str, Any]:
        """Write the manifest: what the run is, and what each finished partition holds. Returns it."""
        totals = {name: sum(getattr(each, name) for each in self.done.values()) for name in ("rows", "faces", "errors")}
        about = {"version": VERSION, **self._about, "parts": len(self.parts), "complete": len(self.done) == len(self.parts)}
        manifest = {**about, **totals, "partitions": [asdict(self.done[name]) for name in sorted(self.done)]}
        Folder(self.work.out).write(MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
        return manifest


def begin(work: Work, about: dict[str, Any], find: Any, size: int) -> Run:
    """Begin a run, or go on with the one in the folder, whose plan then holds: inputs are not searched again.

    Args:
        work: what the workers know.
        about: what must be the same for a run to go on.
        find: called without arguments for the paths and URLs of the inputs.
        size: photos a part.

    Raises:
        ConfigError: if the folder holds another run or other partitions, or there is no input.
        DataError: if the folder or an input cannot be used.
    """
    folder = Folder(work.out)
    folder.make()
    names = folder.sizes()
    about = json.loads(json.dumps({**about, "part_size": size}))
    if MANIFEST in names:
        manifest, known = _read_manifest(folder)
        _check_same(work.out, manifest, about)
        return Run(work, about, _read_plan(folder), known)
    if strange := sorted(filter(PARTITION.fullmatch, names)):
        raise ConfigError(f"--out {work.out} has {strange[0]} but no {MANIFEST}: give a folder of its own to this run")
    parts = cut(find(), work.column, size, work.added())
    if not parts:
        raise ConfigError(f"no photo found in {', '.join(about['sources'])}")
    plan = "".join(json.dumps(asdict(part)) + "\n" for part in parts)
    folder.write(PLAN, plan.encode())
    run = Run(work, about, parts)
    run.write_manifest()
    return run


def about_run(work: Work, sources: Sequence[str], detector: Detector) -> dict[str, Any]:
    """What must be the same for a run to go on, as JSON."""
    bundle = detector.bundle.manifest
    digest = hashlib.sha256(json.dumps(bundle, sort_keys=True).encode()).hexdigest()
    options = to_mapping(work.options)
    model = {"name": bundle["name"], "sha256": digest}
    same = {name: value for name, value in options.items() if name not in ("model", "threads")}
    is_relative = not all(is_url(source) or os.path.isabs(source) for source in sources)
    about = {"sources": list(sources), "folder": os.getcwd() if is_relative else None, "model": model, "detector": same}
    return {**about, "format": work.format, "column": work.column, "prefix": work.prefix}


def as_parquet(table: Any) -> bytes:
    """A table as a Parquet file; the same table gives the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def as_json_lines(table: Any, prefix: str = "") -> bytes:
    """A table as JSON Lines, with the faces as `mtcnn-gluon detect --json` writes them, and `error` only where there is one.

    What JSON lacks becomes a text in the other columns: bytes in base64, times in ISO 8601. NaN and infinity become null.
    """
    lines = []
    for row in table.to_pylist():
        row = {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
        row[f"{prefix}faces"] = _named(row[f"{prefix}faces"])
        if row[f"{prefix}error"] is None:
            del row[f"{prefix}error"]
        lines.append(json.dumps(row, ensure_ascii=False, default=_text) + "\n")
    return "".join(lines).encode("utf-8", "replace")


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _named(faces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Faces of a table as in JSON, the landmarks by their names."""
    found: list[dict[str, Any]] = []
    for face in faces:
        points = None if face["landmarks"] is None else pa.array(face["landmarks"]).to_numpy().reshape(1, 5, 2)
        found += face_dicts([face["box"]], [face["score"]], points)  # type: ignore[arg-type]
    return found


def _read_manifest(folder: Folder) -> tuple[dict[str, Any], dict[str, Summary]]:
    """The manifest, and the summaries in it by name."""
    try:
        manifest = json.loads(folder.read(MANIFEST))
        summaries = [Summary(**each) for each in manifest["partitions"]]
        return manifest, {each.name: each for each in summaries}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder.place}: {MANIFEST} is damaged, or not of such a run") from error


def _check_same(out: str, manifest: dict[str, Any], about: dict[str, Any]) -> None:
    if manifest.get("version") != VERSION:
        raise ConfigError(f"--out {out} holds a run of another version of this package")
    if difference := _difference(manifest, about):
        raise ConfigError(
            f"--out {out} holds another run: {difference}; give the same inputs and options to go on with it, or another folder"
        )


def _difference(before: dict[str, Any], now: dict[str, Any], place: str = "") -> str:
    """The first difference of an entry of `now` to that of `before`; empty if there is none."""
    for name, value in now.items():
        earlier = before.get(name)
        if isinstance(value, dict) and isinstance(earlier, dict):
            if difference := _difference(earlier, value, f"{name} "):
                return difference
        elif earlier != value:
            return f"{place}{name} was {shown(earlier)} then and is {shown(value)} now"
    return ""


def _read_plan(folder: Folder) -> list[Part]:
    try:
        return [Part(**json.loads(line)) for line in folder.read(PLAN).decode().splitlines()]
    except (ValueError, TypeError) as error:
        raise DataError(f"{folder.place}: {PLAN} is damaged: {error}") from error
