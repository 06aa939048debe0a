"""PReLU for ONNX Runtime in plain operators, since ONNX Runtime's own `PRelu` takes longer than the convolution before it.

The change is made when a file is loaded, not when it is written, since `PRelu` is fastest on OpenVINO and `cv2.dnn`. The
package `onnx` may be missing. Therefore this module reads and writes the few necessary parts of the format (protocol buffers,
`onnx.proto`) itself.
"""

from typing import Iterator

_STRING = 2  # type of a field that begins with its length: strings and messages
_GRAPH = 7  # field numbers: in a model, a graph, a node, a tensor
_NODE, _INITIALIZER = 1, 5
_INPUT, _OUTPUT, _OPERATOR = 1, 2, 4
_TYPE, _NAME, _RAW = 2, 8, 9
_FLOAT32 = 1
_ZERO = b"mtcnn_gluon/zero"


def spell_out_prelu(model: bytes) -> bytes:
    """An ONNX model with max(x, 0) + slope * min(x, 0) in place of every `PRelu`.

    Args:
        model: bytes of a float32 file of opset 8 or later. All other bytes are returned unchanged.
    """
    parts = []
    try:
        for number, whole, content in _fields(model):
            graph = _without_prelu(content) if number == _GRAPH else content
            parts.append(whole if graph == content else _field(_GRAPH, graph))
    except (ValueError, IndexError):
        return model  # the runtime reports the fault
    return b"".join(parts)


def _without_prelu(graph: bytes) -> bytes:
    parts, is_changed = [], False
    for number, whole, content in _fields(graph):
        nodes = _plain_nodes(content) if number == _NODE else []
        parts += [_field(_NODE, node) for node in nodes] or [whole]
        is_changed |= bool(nodes)
    if is_changed:
        tensor = _varint(_TYPE << 3) + _varint(_FLOAT32) + _field(_NAME, _ZERO) + _field(_RAW, bytes(4))  # no dimensions
        parts.append(_field(_INITIALIZER, tensor))
    return b"".join(parts)


def _plain_nodes(node: bytes) -> list[bytes]:
    """The nodes that replace a `PRelu`; none for any other node."""
    fields = [(number, content) for number, _, content in _fields(node)]
    if (_OPERATOR, b"PRelu") not in fields:
        return []
    data, slope = (content for number, content in fields if number == _INPUT)
    (result,) = (content for number, content in fields if number == _OUTPUT)
    above, below, scaled = (result + ending for ending in (b"/above", b"/below", b"/scaled"))
    nodes = (
        (data, _ZERO, above, b"Max"), (data, _ZERO, below, b"Min"), (below, slope, scaled, b"Mul"),
        (above, scaled, result, b"Add"),
    )  # fmt: skip
    numbers = (_INPUT, _INPUT, _OUTPUT, _OPERATOR)
    return [b"".join(map(_field, numbers, parts)) for parts in nodes]


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _STRING) + _varint(len(content)) + content


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """For each field: its number, all its bytes and, for a string or message, the contents.

    Raises:
        ValueError, IndexError: if the bytes are not a message.
    """
    place = 0
    while place < len(message):
        start = place
        key, place = _read_varint(message, place)
        begin = place
        if key & 7 == 0:
            _, place = _read_varint(message, place)
        elif key & 7 == _STRING:
            length, begin = _read_varint(message, place)
            place = begin + length
        else:
            place += {1: 8, 5: 4}.get(key & 7, len(message))  # fixed-length numbers
        if place > len(message):
            raise ValueError("a field reaches beyond its message")
        yield key >> 3, message[start:place], message[begin:place] if key & 7 == _STRING else b""


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    """A whole number, stored with seven bits in each byte, and the position after it."""
    value = shift = 0
    while message[place] & 128:
        value |= (message[place] & 127) << shift
        place, shift = place + 1, shift + 7
    return value | message[place] << shift, place + 1


def _varint(value: int) -> bytes:
    parts = []
    while value >= 128:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
