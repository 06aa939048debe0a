"""The three files of a record of training samples, and the content of its .json."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError, DataError, shown
from mtcnn_gluon.layers import LARGEST_SIZE, View
from mtcnn_gluon.records.samples import KIND_NAMES

Net = Literal["pnet", "rnet", "onet"]
Encoding = Literal["raw", "png", "jpeg", "webp"]

SCHEMA = 1
REPORT = "report.json"  # in a folder of records, written last: without it they are unfinished
LOSSY = ("jpeg", "webp")


class Files(NamedTuple):
    """The three files of a record."""

    rec: Path
    idx: Path
    json: Path


@dataclass(frozen=True)
class Stamp:
    """Size in `bytes` and hexadecimal `sha256` of a file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Info:
    """The content of `NAME.json`.

    Attributes:
        net: pnet, rnet or onet.
        size: side of the crops in pixels.
        context: pixels on each side of a crop that lie around the candidate, see `layers.View`. The file lacks it if it is 0.
        encoding: how crops are stored.
        quality: 1..100 of a lossy encoding, else None.
        counts: number of samples of each kind, by its name in lower case.
        seed: random seed of the samples, if known.
        source: digest of what the samples were made from, if known.
        rec, idx: the other two files.
    """

    net: str
    size: int
    encoding: str
    quality: int | None
    counts: dict[str, int]
    seed: int | None
    source: str | None
    rec: Stamp
    idx: Stamp
    context: int = 0

    @property
    def view(self) -> View:
        """What the crops show."""
        return View(self.size, self.context)

    def __len__(self) -> int:
        return sum(self.counts.values())

    def to_json(self) -> str:
        """The content of `NAME.json`. `from_json` undoes it."""
        content = {key: value for key, value in asdict(self).items() if key != "context" or value}
        return json.dumps({"schema": SCHEMA, **content}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Info":
        """Read the content of a `NAME.json`. Raises DataError, which does not name the file, if it is not valid."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"expected JSON: {error}") from error
        schema = document.get("schema") if isinstance(document, dict) else document
        if schema != SCHEMA:
            raise DataError(f"expected a record of schema {SCHEMA}, got {shown(schema)}")
        values = {"context": 0, **{key: value for key, value in document.items() if key != "schema"}}
        if set(values) != set(cls.__dataclass_fields__):
            raise DataError(f"expected the keys schema, {', '.join(cls.__dataclass_fields__)}; got {', '.join(document)}")
        try:
            check_options(values["net"], values["encoding"], values["quality"])
            check_view(values["size"], values["context"])
        except ConfigError as error:
            raise DataError(str(error)) from error
        for name, is_right, expected in (
            ("counts", _are_counts(values["counts"]), f"a count of each of {', '.join(KIND_NAMES)}"),
            ("seed", isinstance(values["seed"], int | None), "a whole number or null"),
            ("source", isinstance(values["source"], str | None), "a text or null"),
            ("rec", _is_stamp(values["rec"]), "bytes and sha256 of that file"),
            ("idx", _is_stamp(values["idx"]), "bytes and sha256 of that file"),
        ):
            if not is_right:
                raise DataError(f"{name} must be {expected}, got {shown(values[name])}")
        return cls(**{**values, "rec": Stamp(**values["rec"]), "idx": Stamp(**values["idx"])})


def record_files(path: str | os.PathLike) -> Files:
    """The files of a record. `path` is any of them, or their path without the ending."""
    path = Path(path)
    name = path.stem if path.suffix in (".rec", ".idx", ".json") else path.name
    return Files(*(path.with_name(f"{name}.{ending}") for ending in Files._fields))


def check_options(net: object, encoding: object, quality: object) -> None:
    """Raises ConfigError if a net or an encoding is unknown, or a quality is not 1..100 for jpeg and webp, else None."""
    if not isinstance(net, str) or net not in NETS:
        raise ConfigError(f"net must be one of {', '.join(NETS)}, not {shown(net)}")
    if encoding not in get_args(Encoding):
        raise ConfigError(f"encoding must be one of {', '.join(get_args(Encoding))}, not {shown(encoding)}")
    if encoding in LOSSY and not (_is_count(quality) and 1 <= quality <= 100):  # type: ignore[operator]
        raise ConfigError(f"quality of {encoding} must be a whole number from 1 to 100, not {shown(quality)}")
    if encoding not in LOSSY and quality is not None:
        raise ConfigError(f"quality must not be given for {encoding}, which is lossless; got {shown(quality)}")


def check_view(size: object, context: object) -> None:
    """Raises ConfigError if there are no crops of this size with this context."""
    if not _is_count(size) or not 1 <= size <= LARGEST_SIZE:  # type: ignore[operator]
        raise ConfigError(f"size must be a whole number from 1 to {LARGEST_SIZE}, not {shown(size)}")
    if not _is_count(context) or 2 * context >= size:  # type: ignore[operator]
        raise ConfigError(f"context must be a whole number from 0 to below half of size, {size}, not {shown(context)}")


def _is_stamp(value: Any) -> bool:
    has_keys = isinstance(value, dict) and set(value) == {"bytes", "sha256"}
    return has_keys and _is_count(value["bytes"]) and isinstance(value["sha256"], str)


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == set(KIND_NAMES) and all(map(_is_count, value.values()))


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0
