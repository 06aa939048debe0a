"""Records of training samples: their writer and their reader.

A record called NAME is three files. `NAME.rec` is a file in MXNet's RecordIO format (see `recordio`), which `mx.recordio` reads
too. For each sample it holds

    IRHeader    `<IfQQ`: 18, 0.0, photo, face (2**64 - 1 if none)
    label       18 float32, see `samples.Column`
    crop        `raw`: S x S x 3 bytes of RGB; or a `png`, `jpeg` (4:4:4) or `webp` file

`NAME.idx` has a line `number<TAB>byte` for each sample. `NAME.json` describes the record, holds the sizes and digests of the
other two files, and is written last: a record without it is not finished.
"""

import hashlib
import mmap
import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Iterator

import numpy as np

from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import DataError
from mtcnn_gluon.io.files import whole_file
from mtcnn_gluon.layers import View
from mtcnn_gluon.records.crop_files import decode_crops, encode_crops
from mtcnn_gluon.records.info import LOSSY, Encoding, Info, Stamp, check_options, check_view, record_files
from mtcnn_gluon.records.recordio import MAGIC, MAX_LENGTH, PART_HEAD, frame, unframe
from mtcnn_gluon.records.samples import KIND_NAMES, LABEL_LENGTH, Kind, Samples, pack_labels, unpack_labels

DEFAULT_QUALITY = 95
_WRITTEN_BYTES = 1 << 20  # of crops that are written at a time, so few that they stay in the processor's cache
_CHECKED_BYTES = 64 << 20  # of crops that `check` holds at a time
_LABELS_AT_ONCE = 1 << 16
_HEAD = np.dtype([  # all before the crop, in a record that is not split
    ("magic", "<u4"), ("length", "<u4"), ("flag", "<u4"), ("label", "<f4"), ("photo", "<i8"), ("face", "<i8"),
    ("labels", "<f4", (LABEL_LENGTH,)),
])  # fmt: skip
_COUNTED = _HEAD.itemsize - PART_HEAD  # bytes of the head that `length` counts


@dataclass(frozen=True)
class CheckResult:
    """What `check` found: the record's `info`, samples with a box, samples with landmarks, and distinct source photos."""

    info: Info
    with_box: int
    with_landmarks: int
    photos: int


class RecordWriter:
    """Writes one record, in a `with` statement. Equal samples make equal bytes.

    The files have temporary names until the statement ends. If it ends with an error, an earlier record of this name stays.

    Args:
        path: the record, without an ending.
        net: pnet, rnet or onet.
        encoding: how crops are stored.
        quality: 1..100, for `jpeg` and `webp` only; None: 95.
        seed, source: origin of the samples, see `Info`.
        view: what the crops show; None: what the paper's net sees.
        threads: threads that encode crops; None: one for each processor.

    Raises:
        ConfigError: if an option is unknown or out of range.
        DataError: on entering or leaving the statement, if the files cannot be written.
    """

    def __init__(
        self, path: str | os.PathLike, net: str, encoding: Encoding = "raw", quality: int | None = None,
        seed: int | None = None, source: str | None = None, threads: int | None = None, view: View | None = None,
    ) -> None:  # fmt: skip
        if quality is None and encoding in LOSSY:
            quality = DEFAULT_QUALITY
        check_options(net, encoding, quality)
        seed, source = None if seed is None else int(seed), None if source is None else str(source)
        self._files = record_files(path)
        size, context = (view.size, view.context) if view else (NETS[net].size, 0)
        check_view(size, context)
        self._info = Info(net, size, encoding, quality, {}, seed, source, Stamp(0, ""), Stamp(0, ""), context)
        self._threads = threads
        self._stack: ExitStack | None = None

    def __enter__(self) -> "RecordWriter":
        self._counts = dict.fromkeys(KIND_NAMES, 0)
        with ExitStack() as stack:  # it closes in reverse order: the .json gets its name after the others
            self._json = stack.enter_context(whole_file(self._files.json))
            self._idx = _Stamped(stack.enter_context(whole_file(self._files.idx, "wb")))
            self._rec = _Stamped(stack.enter_context(whole_file(self._files.rec, "wb")))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self._abandon()
        elif self._stack is None:
            raise DataError(f"{self._files.rec} was not written, because of an earlier error")
        else:
            with self._stack:
                info = replace(self._info, counts=self._counts, rec=self._rec.stamp(), idx=self._idx.stamp())
                self._json.write(info.to_json())
                for file in (self._json, self._idx.file, self._rec.file):
                    file.flush()  # so that a full disk is noticed before the old record is removed
                self._files.json.unlink(missing_ok=True)  # an old .json must not be beside a new .rec
            self._stack = None

    def write(self, samples: Samples) -> None:
        """Append samples. An error abandons the whole record.

        Raises:
            DataError: if the crops do not have the net's input size, or the disk is full.
            ValueError: outside the `with` statement, or after an error.
        """
        if self._stack is None:
            raise ValueError("a RecordWriter writes only inside its with statement, and not after an error")
        try:
            if samples.size != self._info.size:
                raise DataError(f"crops for {self._info.net} must be {self._info.size} pixels wide, got {samples.size}")
            rows = max(1, _WRITTEN_BYTES // (3 * samples.size**2))
            for start in range(0, len(samples), rows):
                self._append(samples[start : start + rows])
        except BaseException as error:
            self._abandon()
            if isinstance(error, OSError):
                raise DataError(f"{self._files.rec} cannot be written: {error.strerror or error}") from error
            raise

    def _append(self, samples: Samples) -> None:
        data, lengths = self._frame(samples)
        ends = self._rec.size + np.cumsum(lengths)
        table = np.column_stack([sum(self._counts.values()) + np.arange(len(samples)), ends - lengths])  # (n, 2)
        self._rec.write(data)
        self._idx.write(b"%d\t%d\n" * len(table) % tuple(table.ravel().tolist()))
        _add_kinds(self._counts, samples)

    def _frame(self, samples: Samples) -> tuple[bytes | memoryview, np.ndarray]:
        """The bytes of the samples, and how many each sample has (n,)."""
        heads = np.zeros(len(samples), _HEAD)
        heads["magic"], heads["flag"], heads["labels"] = MAGIC, LABEL_LENGTH, pack_labels(samples)
        heads["photo"], heads["face"] = samples.photos, samples.faces
        if self._info.encoding == "raw":
            crops = samples.crops.reshape(len(samples), -1)  # (n, 3 * S * S)
            length = _COUNTED + crops.shape[1]
            heads["length"] = length
            rows = np.zeros((len(samples), PART_HEAD + length + -length % 4), np.uint8)
            rows[:, : _HEAD.itemsize] = heads.view(np.uint8).reshape(len(samples), -1)
            rows[:, _HEAD.itemsize : PART_HEAD + length] = crops
            if not (rows.view("<u4")[:, 2:] == MAGIC).any():  # the usual case: no record must be split
                return rows.reshape(-1).data, np.full(len(rows), rows.shape[1])
            contents = [row[PART_HEAD : PART_HEAD + length].tobytes() for row in rows]
        else:
            files = encode_crops(samples.crops, self._info.encoding, self._info.quality or 0, self._threads)
            contents = [head.tobytes()[PART_HEAD:] + file for head, file in zip(heads, files)]
        records = list(map(frame, contents))
        return b"".join(records), np.array(list(map(len, records)))

    def _abandon(self) -> None:
        if self._stack is not None:
            error = RuntimeError("abandoned")  # `whole_file` would name its own file in the actual error
            self._stack.__exit__(RuntimeError, error, None)
            self._stack = None


class Reader:
    """A finished record, read in any order. Its files are memory-mapped: threads and forked or pickled copies share the memory.

    Args:
        path: the record, without an ending.
        threads: threads that decode crops; None: one for each processor.

    Raises:
        DataError: if a file is missing, visibly damaged, or of another record; on reading, if a sample does not agree with the
            .json. Only `check` finds every change.
    """

    def __init__(self, path: str | os.PathLike, threads: int | None = None) -> None:
        self.files = record_files(path)
        self._threads = threads
        with _naming(self.files.json):
            self.info = Info.from_json(_map(self.files.json).tobytes())
        with _naming(self.files.rec):
            self._data = _map(self.files.rec)  # (bytes,) uint8
            if len(self._data) != self.info.rec.bytes:
                raise DataError(f"expected {self.info.rec.bytes} bytes, as {self.files.json.name} says, got {len(self._data)}")
        with _naming(self.files.idx):
            index = _map(self.files.idx)
            _check_digest(index, self.info.idx, self.files.json)
            self._positions = _parse_index(index.tobytes(), len(self.info))  # (N,)
            self._check_positions()

    def __reduce__(self) -> tuple:
        return Reader, (self.files.json.absolute(), self._threads)

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: Any) -> Samples:
        """The samples at a slice, a mask (N,) or an array of indices; at an integer, one sample, also as `Samples`."""
        positions = np.atleast_1d(self._positions[index])  # (n,)
        heads, split = self._heads(positions)
        read_crops = self._raw_crops if self.info.encoding == "raw" else self._decoded_crops
        crops = read_crops(positions, heads, split)
        with _naming(f"{self.files.rec}, records read from byte {positions[:1]} on"):
            return Samples(crops, photos=heads["photo"], faces=heads["face"], **unpack_labels(heads["labels"]))

    def crops(self) -> np.ndarray:
        """All crops (N, S, S, 3) uint8. Crops of a raw record are read from the file only when they are used."""
        shape = (self.info.size, self.info.size, 3)
        steps = np.diff(self._positions, append=len(self._data))
        if self.info.encoding != "raw" or not len(self) or (steps != steps[0]).any():  # encoded, or a record is split
            return self[:].crops
        strides = (int(steps[0]), *np.empty(shape, np.uint8).strides)
        return np.ndarray((len(self), *shape), np.uint8, self._data, _HEAD.itemsize, strides)

    def labels(self) -> np.ndarray:
        """The label vectors (N, 18) float32 of all samples, without reading crops."""
        labels = np.empty((len(self), LABEL_LENGTH), np.float32)
        for start in range(0, len(self), _LABELS_AT_ONCE):
            rows = slice(start, start + _LABELS_AT_ONCE)
            labels[rows] = self._heads(self._positions[rows])[0]["labels"]
        return labels

    def check_digest(self) -> None:
        """Raises DataError if the .rec file does not have the digest that the .json holds."""
        with _naming(self.files.rec):
            _check_digest(self._data, self.info.rec, self.files.json)

    def _heads(self, positions: np.ndarray) -> tuple[np.ndarray, dict[int, bytes]]:
        """The heads (n,) of the records at positions (n,), and by row the joined records of those that are split."""
        heads = self._at(positions, 0, (_HEAD.itemsize,)).view(_HEAD)[:, 0]
        split = {}
        for row in np.flatnonzero(heads["length"] > MAX_LENGTH):
            with _naming(self.files.rec):
                content = unframe(self._data, int(positions[row]))
            split[row] = np.array([MAGIC, len(content)], "<u4").tobytes() + content
            heads[row] = np.frombuffer(split[row].ljust(_HEAD.itemsize, b"\0"), _HEAD, 1)[0]
        length = heads["length"].astype(np.int64)
        ends = positions + PART_HEAD + length
        self._expect(positions, heads["magic"] == MAGIC, f"begin with the magic {MAGIC}", heads["magic"])
        self._expect(positions, heads["flag"] == LABEL_LENGTH, f"have a label of {LABEL_LENGTH} numbers", heads["flag"])
        self._expect(positions, length >= _COUNTED, f"have a length of at least {_COUNTED} bytes", length)
        self._expect(positions, ends <= len(self._data), f"end before the file does, at byte {len(self._data)}", ends)
        return heads, split

    def _raw_crops(self, positions: np.ndarray, heads: np.ndarray, split: dict[int, bytes]) -> np.ndarray:
        shape = (self.info.size, self.info.size, 3)
        size = 3 * self.info.size**2
        found = heads["length"].astype(np.int64) - _COUNTED
        self._expect(positions, found == size, f"hold a raw crop of {size} bytes", found)
        crops = self._at(positions, _HEAD.itemsize, shape)
        for row, record in split.items():
            crops[row] = np.frombuffer(record, np.uint8, offset=_HEAD.itemsize).reshape(shape)
        return crops

    def _decoded_crops(self, positions: np.ndarray, heads: np.ndarray, split: dict[int, bytes]) -> np.ndarray:
        stops = positions + PART_HEAD + heads["length"]
        files = [self._data[start:stop] for start, stop in zip(positions + _HEAD.itemsize, stops)]
        for row, record in split.items():
            files[row] = np.frombuffer(record, np.uint8)[_HEAD.itemsize :]
        crops, found = decode_crops(files, self.info.size, self._threads)
        expected = f"hold a {self.info.encoding} of {self.info.size} x {self.info.size} pixels"
        self._expect(positions, (found == self.info.size).all(1), expected, found)
        return crops

    def _at(self, positions: np.ndarray, start: int, shape: tuple[int, ...]) -> np.ndarray:
        """The bytes (n, *shape) that begin `start` bytes after positions (n,), which are multiples of 4."""
        if len(positions) == 0:
            return np.zeros((0, *shape), np.uint8)
        count = (len(self._data) - start - int(np.prod(shape))) // 4 + 1
        strides = (4, *np.empty(shape, np.uint8).strides)
        return np.ndarray((count, *shape), np.uint8, self._data, start, strides)[positions // 4]

    def _expect(self, positions: np.ndarray, is_right: np.ndarray, expected: str, found: np.ndarray) -> None:
        if not is_right.all():
            first = np.argmin(is_right)
            raise DataError(f"{self.files.rec}: the record at byte {positions[first]} must {expected}, got {found[first]}")

    def _check_positions(self) -> None:
        """Raises DataError if records do not begin at multiples of 4, do not fill the file, or are too short."""
        least = _HEAD.itemsize + (3 * self.info.size**2 if self.info.encoding == "raw" else 0)
        room = np.diff(self._positions, append=len(self._data))
        if self._positions[:1].any() or (len(self) == 0 and len(self._data)):
            raise DataError(f"expected records from the beginning of {self.files.rec.name} on, got {self._positions[:1]}")
        is_right = (self._positions % 4 == 0) & (room >= least)
        self._expect(self._positions, is_right, f"begin at a multiple of 4 and take at least {least} bytes", room)


def check(path: str | os.PathLike, threads: int | None = None) -> CheckResult:
    """Read a whole record and compare it with its digests, its counts and the ranges of `Samples`.

    Raises DataError at the first fault. The message names the file, what was expected and what was found.
    """
    reader = Reader(path, threads)
    reader.check_digest()
    counts, with_box, with_landmarks, photos = dict.fromkeys(KIND_NAMES, 0), 0, 0, set[int]()
    step = max(1, _CHECKED_BYTES // (3 * reader.info.size**2))
    for start in range(0, len(reader), step):
        samples = reader[start : start + step]
        _add_kinds(counts, samples)
        with_box += int(samples.has_box.sum())
        with_landmarks += int(samples.has_landmarks.sum())
        photos.update(samples.photos.tolist())
    if counts != reader.info.counts:
        held = f"the counts {counts}, which {reader.files.rec.name} holds"
        raise DataError(f"{reader.files.json}: expected {held}, got {reader.info.counts}")
    return CheckResult(reader.info, with_box, with_landmarks, len(photos))


class _Stamped:
    """An open file, with the size and digest of its content."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.size, self._digest = file, 0, hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self.file.write(data)
        self.size += len(data)

    def stamp(self) -> Stamp:
        return Stamp(self.size, self._digest.hexdigest())


def _add_kinds(counts: dict[str, int], samples: Samples) -> None:
    for kind, name in zip(Kind, KIND_NAMES):
        counts[name] += int(np.count_nonzero(samples.kinds == kind))


def _map(path: Path) -> np.ndarray:
    """The bytes (n,) uint8 of a file, memory-mapped."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:  # an empty file cannot be mapped
            return np.zeros(0, np.uint8)
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def _check_digest(data: np.ndarray, stamp: Stamp, source: Path) -> None:
    found = Stamp(len(data), hashlib.sha256(data.data).hexdigest())
    if found != stamp:
        raise DataError(f"damaged, or of another record: expected {stamp}, as {source.name} says, got {found}")


def _parse_index(text: bytes, count: int) -> np.ndarray:
    """Positions (N,) int64 from the lines of an .idx file."""
    if text.translate(None, b"0123456789\t\n"):
        raise DataError("expected lines of a number, a tab and a byte")
    numbers = np.fromstring(text, np.int64, sep=" ")
    if len(numbers) != 2 * count or (numbers[::2] != np.arange(count)).any():
        raise DataError(f"expected {count} lines, numbered from 0")
    return numbers[1::2].copy()


@contextmanager
def _naming(path: object) -> Iterator[None]:
    """Turns the block's errors into DataError that names the file."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except FileNotFoundError:
        raise DataError(f"{path} is missing: a record is its .rec, its .idx and its .json") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
