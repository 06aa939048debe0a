"""PReLU for ONNX Runtime in plain operators, since ONNX Runtime's own `PRelu` takes longer than the convolution before it.

The change is made when a file is loaded, not when it is written, since `PRelu` is fastest on OpenVINO and `cv2.dnn`.
"""

from mtcnn_gluon.bundles.protobuf import FLOAT32, GRAPH, INITIALIZER, NAME, NODE, RAW, TYPE, field, fields, varint

_INPUT, _OUTPUT, _OPERATOR = 1, 2, 4  # field numbers in a node
_ZERO = b"mtcnn_gluon/zero"


def spell_out_prelu(model: bytes) -> bytes:
    """An ONNX model with max(x, 0) + slope * min(x, 0) in place of every `PRelu`.

    Args:
        model: bytes of a float32 file of opset 8 or later. All other bytes are returned unchanged.
    """
    parts = []
    try:
        for number, whole, content in fields(model):
            graph = _without_prelu(content) if number == GRAPH else content
            parts.append(whole if graph == content else field(GRAPH, graph))
    except (ValueError, IndexError):
        return model  # the runtime reports the fault
    return b"".join(parts)


def _without_prelu(graph: bytes) -> bytes:
    parts, is_changed = [], False
    for number, whole, content in fields(graph):
        nodes = _plain_nodes(content) if number == NODE else []
        parts += [field(NODE, node) for node in nodes] or [whole]
        is_changed |= bool(nodes)
    if is_changed:
        tensor = varint(TYPE << 3) + varint(FLOAT32) + field(NAME, _ZERO) + field(RAW, bytes(4))  # no dimensions
        parts.append(field(INITIALIZER, tensor))
    return b"".join(parts)


def _plain_nodes(node: bytes) -> list[bytes]:
    """The nodes that replace a `PRelu`; none for any other node."""
    parts = [(number, content) for number, _, content in fields(node)]
    if (_OPERATOR, b"PRelu") not in parts:
        return []
    data, slope = (content for number, content in parts if number == _INPUT)
    (result,) = (content for number, content in parts if number == _OUTPUT)
    above, below, scaled = (result + ending for ending in (b"/above", b"/below", b"/scaled"))
    nodes = (
        (data, _ZERO, above, b"Max"), (data, _ZERO, below, b"Min"), (below, slope, scaled, b"Mul"),
        (above, scaled, result, b"Add"),
    )  # fmt: skip
    numbers = (_INPUT, _INPUT, _OUTPUT, _OPERATOR)
    return [b"".join(map(field, numbers, texts)) for texts in nodes]
