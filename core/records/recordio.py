"""The bytes of one record in MXNet's RecordIO, without MXNet.

A record has one or more parts. A part is the magic number 0xced7230a, 3 bits of flag and 29 bits of length, all little-endian,
then that many bytes, then zeros up to a multiple of 4. The flag is 0 for a whole record, else 1 for its first part, 2 for
middle parts and 3 for the last. The magic number at a multiple of 4 always begins a part: a record that contains it there is
split, and these four bytes are left out.
"""

import struct

import numpy as np

from mtcnn_gluon.errors import DataError

MAGIC = 0xCED7230A
MAX_LENGTH = (1 << 29) - 1
WHOLE, FIRST, MIDDLE, LAST = range(4)
_FLAG_SHIFT = 29
_PART = struct.Struct("<II")
PART_HEAD = _PART.size  # bytes before the content of a part
_MAGIC_BYTES = struct.pack("<I", MAGIC)


def frame(content: bytes) -> bytes:
    """The bytes in the file for a record of at most `MAX_LENGTH` bytes. `unframe` undoes it."""
    pieces = _cut(content)
    flags = [FIRST, *[MIDDLE] * (len(pieces) - 2), LAST] if len(pieces) > 1 else [WHOLE]
    parts = [_PART.pack(MAGIC, flag << _FLAG_SHIFT | len(piece)) + piece for flag, piece in zip(flags, pieces)]
    return b"".join(parts) + bytes(-len(content) % 4)


def unframe(data: np.ndarray, position: int) -> bytes:
    """The content of the record at `position` in the bytes `data` (n,) uint8 of a file. `frame` undoes it.

    Raises DataError if there is no whole record. The message does not name the file.
    """
    pieces: list[bytes] = []
    while True:
        if position + PART_HEAD > len(data):
            raise DataError(f"a part at byte {position} goes beyond the end of the file, byte {len(data)}")
        magic, word = _PART.unpack(data[position : position + PART_HEAD].tobytes())
        flag, length = word >> _FLAG_SHIFT, word & MAX_LENGTH
        if magic != MAGIC:
            raise DataError(f"expected the magic {MAGIC:#x} at byte {position}, got {magic:#x}")
        if flag not in ((MIDDLE, LAST) if pieces else (WHOLE, FIRST)):
            raise DataError(f"expected flag {'2 or 3' if pieces else '0 or 1'} of a part at byte {position}, got {flag}")
        start, position = position + PART_HEAD, position + PART_HEAD + length + -length % 4
        if position > len(data):
            raise DataError(f"a part of {length} bytes at byte {start} goes beyond the end of the file, byte {len(data)}")
        pieces.append(data[start : start + length].tobytes())
        if flag in (WHOLE, LAST):
            return _MAGIC_BYTES.join(pieces)


def _cut(content: bytes) -> list[bytes]:
    """The pieces between the magics at multiples of 4."""
    if _MAGIC_BYTES not in content:
        return [content]
    words = np.frombuffer(content, "<u4", len(content) // 4)
    cuts = 4 * np.flatnonzero(words == MAGIC)
    return [content[start:stop] for start, stop in zip([0, *(cuts + 4)], [*cuts, len(content)])]
