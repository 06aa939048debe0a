"""Protocol buffers, as far as ONNX files need them, so that these can be read and changed without the package `onnx`.

The format: https://protobuf.dev/programming-guides/encoding. The numbers of ONNX's fields: `onnx.proto`.
"""

import sys
from typing import Iterator

import numpy as np

STRING = 2  # type of a field that begins with its length: strings and messages
GRAPH = 7  # field numbers: in a model, a graph, a tensor
NODE, INITIALIZER = 1, 5
DIMENSIONS, TYPE, NAME, RAW = 1, 2, 8, 9
FLOAT32 = 1


def initializers(model: bytes) -> dict[str, np.ndarray]:
    """The float32 arrays of an ONNX model by name, as exporters write them (`raw_data`). They cannot be written to.

    Raises:
        ValueError, IndexError: if the bytes are no ONNX model, or hold arrays of another kind.
    """
    graphs = [content for number, _, content in fields(model) if number == GRAPH]
    if len(graphs) != 1:
        raise ValueError(f"expected a model with one graph, got {len(graphs)}")
    tensors = (content for number, _, content in fields(graphs[0]) if number == INITIALIZER)
    return dict(_array(tensor) for tensor in tensors)


def _array(tensor: bytes) -> tuple[str, np.ndarray]:
    name, kind, raw, shape = "", 0, b"", []
    for number, whole, content in fields(tensor):
        if number == NAME:
            name = content.decode()
        elif number == RAW:
            raw = content
        elif number == TYPE:
            kind = read_varint(whole, 1)[0]
        elif number == DIMENSIONS:
            shape += _numbers(content) if content else [read_varint(whole, 1)[0]]
    if kind != FLOAT32 or len(raw) != 4 * int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"{name!r} is no float32 array of shape {shape} as raw data")
    values = np.frombuffer(raw, "<f4").reshape(shape)
    return name, values if sys.byteorder == "little" else values.astype(np.float32)


def _numbers(packed: bytes) -> list[int]:
    found, place = [], 0
    while place < len(packed):
        value, place = read_varint(packed, place)
        found.append(value)
    return found


def field(number: int, content: bytes) -> bytes:
    """A field that is a string or message."""
    return varint(number << 3 | STRING) + varint(len(content)) + content


def fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """For each field: its number, all its bytes and, for a string or message, the contents.

    Raises:
        ValueError, IndexError: if the bytes are not a message.
    """
    place = 0
    while place < len(message):
        start = place
        key, place = read_varint(message, place)
        begin = place
        if key & 7 == 0:
            _, place = read_varint(message, place)
        elif key & 7 == STRING:
            length, begin = read_varint(message, place)
            place = begin + length
        else:
            place += {1: 8, 5: 4}.get(key & 7, len(message))  # fixed-length numbers
        if place > len(message):
            raise ValueError("a field reaches beyond its message")
        yield key >> 3, message[start:place], message[begin:place] if key & 7 == STRING else b""


def read_varint(message: bytes, place: int) -> tuple[int, int]:
    """A whole number, stored with seven bits in each byte, and the position after it."""
    value = shift = 0
    while message[place] & 128:
        value |= (message[place] & 127) << shift
        place, shift = place + 1, shift + 7
    return value | message[place] << shift, place + 1


def varint(value: int) -> bytes:
    """A whole number as `read_varint` reads it."""
    parts = []
    while value >= 128:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
