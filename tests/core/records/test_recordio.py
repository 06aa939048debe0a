"""The bytes of a record, against MXNet's own."""

import importlib.util
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.records.recordio import MAGIC, frame, unframe

M = struct.pack("<I", MAGIC)
CONTENTS = [
    b"", b"a", b"abc", b"abcd", b"abcde", M, M + M, M + M + M, M + b"x", b"abcd" + M, b"abcd" + M + b"xy",
    b"abc" + M, b"ab" + M + b"cd", M[:3], b"abcd" + M[:3], b"abcd" + M + M + b"12345" + M, bytes(1000), M * 50 + b"\n",
]  # fmt: skip


@pytest.fixture(scope="module")
def mx() -> Any:
    if importlib.util.find_spec("mxnet") is None:
        pytest.skip("needs MXNet")
    return load_mxnet()


def bytes_of(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8)


def part(flag: int, content: bytes, magic: int = MAGIC) -> bytes:
    return struct.pack("<II", magic, flag << 29 | len(content)) + content + bytes(-len(content) % 4)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", [(0, b"")]),
        (b"abc", [(0, b"abc")]),
        (M, [(1, b""), (3, b"")]),
        (b"abcd" + M + b"xy", [(1, b"abcd"), (3, b"xy")]),
        (M + b"abcd" + M + M, [(1, b""), (2, b"abcd"), (2, b""), (3, b"")]),
        (b"abc" + M, [(0, b"abc" + M)]),  # not at a multiple of 4
    ],
)
def test_parts(content: bytes, parts: list[tuple[int, bytes]]) -> None:
    assert frame(content) == b"".join(part(*each) for each in parts)


piece = st.one_of(st.just(M), st.binary(max_size=9), st.sampled_from([M[:1], M[:3], M[1:]]))
pieces = st.lists(piece, max_size=12).map(b"".join)


@given(pieces, pieces)
def test_unframe_undoes_frame(first: bytes, second: bytes) -> None:
    framed = frame(first)
    data = bytes_of(framed + frame(second))
    assert len(framed) % 4 == 0
    assert unframe(data, 0) == first
    assert unframe(data, len(framed)) == second


@given(pieces)
def test_the_magic_at_a_multiple_of_4_always_begins_a_part(content: bytes) -> None:
    data, starts, position = frame(content), [], 0
    while position < len(data):
        starts.append(position)
        length = struct.unpack_from("<I", data, position + 4)[0] % (1 << 29)
        position += 8 + length + -length % 4
    assert [i for i in range(0, len(data), 4) if data[i : i + 4] == M] == starts


def test_mxnet_writes_the_same_and_reads_ours(mx: Any, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs.rec", tmp_path / "ours.rec"
    writer = mx.recordio.MXRecordIO(str(theirs), "w")
    for content in CONTENTS:
        writer.write(content)
    writer.close()
    ours.write_bytes(b"".join(frame(content) for content in CONTENTS))
    assert ours.read_bytes() == theirs.read_bytes()
    reader = mx.recordio.MXRecordIO(str(ours), "r")
    assert [reader.read() for _ in CONTENTS] == CONTENTS
    reader.close()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "beyond the end of the file, byte 0"),
        (part(0, b"abcd")[:6], "beyond the end of the file, byte 6"),
        (part(0, b"abcd")[:10], "part of 4 bytes at byte 8 goes beyond"),
        (part(0, b"abcde")[:-1], "part of 5 bytes at byte 8 goes beyond"),  # its padding is missing
        (part(0, b"abcd", 0x12345678), "expected the magic 0xced7230a at byte 0, got 0x12345678"),
        (part(2, b"abcd"), "expected flag 0 or 1 of a part at byte 0, got 2"),
        (part(3, b"abcd"), "expected flag 0 or 1 .* got 3"),
        (part(7, b"abcd"), "expected flag 0 or 1 .* got 7"),
        (part(1, b"abcd"), "beyond the end of the file, byte 12"),
        (part(1, b"abcd") + part(0, b""), "expected flag 2 or 3 of a part at byte 12, got 0"),
        (part(1, b"abcd") + part(2, b"") + part(1, b""), "expected flag 2 or 3 of a part at byte 20, got 1"),
    ],
)
def test_what_is_no_record(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        unframe(bytes_of(data), 0)


PARTS = [part(0, b"abcd"), part(0, b""), part(1, b"abc"), part(2, b"x"), part(3, b"yz"), M, part(0, b"abcd")[:9]]


@given(st.lists(st.one_of(st.sampled_from(PARTS), st.binary(max_size=5))).map(b"".join), st.integers(0, 60))
def test_any_bytes_are_a_record_or_a_data_error(data: bytes, position: int) -> None:
    try:
        content = unframe(bytes_of(data), position)
    except DataError as error:
        assert "byte" in str(error)
    else:
        assert data[position : position + 4] == M and all(piece in data[position:] for piece in content.split(M))
        assert unframe(bytes_of(frame(content)), 0) == content
