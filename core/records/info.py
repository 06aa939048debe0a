"""What a record of training samples says about itself: its three files and the content of its .json."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError, DataError, shown
from mtcnn_gluon.records.samples import KIND_NAMES

Encoding = Literal["raw", "png", "jpeg", "webp"]

SCHEMA = 1
REPORT = "report.json"  # in a folder of records, written last: without it they are not finished
LOSSY = ("jpeg", "webp")


class Files(NamedTuple):
    """The three files of a record."""

    rec: Path
    idx: Path
    json: Path


@dataclass(frozen=True)
class Stamp:
    """What tells a whole file from a damaged one: its size in `bytes` and its `sha256`, in hexadecimal."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Info:
    """What `NAME.json` says.

    Attributes:
        net: pnet, rnet or onet.
        size: side of the crops in pixels.
        encoding: how crops are stored.
        quality: 1..100 if that loses something, else None.
        counts: number of samples of each kind, by its name in lower case.
        seed: of the random numbers that the samples were drawn with, if known.
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

    def __len__(self) -> int:
        return sum(self.counts.values())

    def to_json(self) -> str:
        """The content of `NAME.json`. `from_json` undoes it."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Info":
        """What the content of a `NAME.json` says. `to_json` undoes it.

        Raises:
            DataError: if it is no such content; the message says what is wrong with it, but not in which file.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"expected JSON: {error}") from error
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            found = document.get("schema") if isinstance(document, dict) else document
            raise DataError(f"expected a record of schema {SCHEMA}, got {shown(found)}")
        values = {key: value for key, value in document.items() if key != "schema"}
        if set(values) != set(cls.__dataclass_fields__):
            raise DataError(f"expected the keys schema, {', '.join(cls.__dataclass_fields__)}; got {', '.join(document)}")
        try:
            check_options(values["net"], values["encoding"], values["quality"])
        except ConfigError as error:
            raise DataError(str(error)) from error
        net, size = values["net"], values["size"]
        _expect("size", size, _is_count(size) and size == NETS[net].size, f"{NETS[net].size}, as {net} takes")
        _expect("counts", values["counts"], _are_counts(values["counts"]), f"a count of each of {', '.join(KIND_NAMES)}")
        _expect("seed", values["seed"], values["seed"] is None or isinstance(values["seed"], int), "a whole number or null")
        _expect("source", values["source"], values["source"] is None or isinstance(values["source"], str), "a text or null")
        stamps = {key: _stamp(key, values[key]) for key in ("rec", "idx")}
        return cls(**{**values, **stamps})


def record_files(path: str | os.PathLike) -> Files:
    """The files of the record at `path`, given without an ending or as any of them."""
    path = Path(path)
    name = path.stem if path.suffix in (".rec", ".idx", ".json") else path.name
    return Files(*(path.with_name(f"{name}.{ending}") for ending in Files._fields))


def check_options(net: object, encoding: object, quality: object) -> None:
    """Check what a record is to hold.

    Args:
        net: pnet, rnet or onet.
        encoding: raw, png, jpeg or webp.
        quality: 1..100 for jpeg and webp, else None.

    Raises:
        ConfigError: if one of them is something else.
    """
    if not isinstance(net, str) or net not in NETS:
        raise ConfigError(f"net must be one of {', '.join(NETS)}, not {shown(net)}")
    if encoding not in get_args(Encoding):
        raise ConfigError(f"encoding must be one of {', '.join(get_args(Encoding))}, not {shown(encoding)}")
    if encoding in LOSSY:
        if not _is_count(quality) or not 1 <= quality <= 100:  # type: ignore[operator]
            raise ConfigError(f"quality of {encoding} must be a whole number from 1 to 100, not {shown(quality)}")
    elif quality is not None:
        raise ConfigError(f"quality must not be given for {encoding}, which loses nothing; got {shown(quality)}")


def check_seed(seed: object) -> None:
    """Check that random numbers can begin with `seed`.

    Raises:
        ConfigError: if it is not a whole number, 0 or more.
    """
    if not _is_count(seed):
        raise ConfigError(f"seed must be a whole number, 0 or more, not {shown(seed)}")


def _stamp(name: str, value: Any) -> Stamp:
    is_stamp = (
        isinstance(value, dict) and set(value) == {"bytes", "sha256"} and _is_count(value["bytes"])
        and isinstance(value["sha256"], str)
    )  # fmt: skip
    _expect(name, value, is_stamp, "bytes and sha256 of that file")
    return Stamp(**value)


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == set(KIND_NAMES) and all(map(_is_count, value.values()))


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _expect(name: str, value: Any, is_right: bool, expected: str) -> None:
    if not is_right:
        raise DataError(f"{name} must be {expected}, got {shown(value)}")
