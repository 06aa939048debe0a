"""Box geometry and suppression as nodes of an ONNX graph: the same as in `boxes` and `operators.nms`."""

import numpy as np

from mtcnn_gluon.boxes import BoxConvention
from mtcnn_gluon.export.onnx_graph import GraphBuilder, Value

f32, i64 = np.float32, np.int64


def decode(boxes: Value, offsets: Value, convention: BoxConvention = "continuous") -> Value:
    """The same as `boxes.decode`; with P-Net's convention as `boxes.decode_cells`."""
    sides = boxes[:, 2:] - boxes[:, :2]
    if convention == "matlab":
        sides = sides - 1
    return boxes + offsets * sides.op("Tile", boxes.graph.integers([1, 2]))


def crop_squares(boxes: Value, convention: BoxConvention) -> Value:
    """The same as `boxes.crop_squares`."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).op("ReduceMax", axes=[1]) / 2
    squares = boxes.graph.concat([centre - half, centre + half], axis=1)
    return squares - 0.5 if convention == "matlab" else squares


def sides(squares: Value) -> Value:
    """Sides (N,) of squares (N, 4)."""
    return squares[:, 2] - squares[:, 0]


def nms(g: GraphBuilder, boxes: Value, scores: Value, overlap: float) -> Value:
    """The same as `operators.nms` over the union."""
    limit = g.constant([np.iinfo(np.int32).max], i64)
    threshold = g.constant([overlap], f32)
    chosen = boxes[None].op("NonMaxSuppression", scores[None, None], limit, threshold, dtype=i64)  # (K, 3)
    return chosen[:, 2]


def nms_over_smaller(g: GraphBuilder, boxes: Value, scores: Value, overlap: float) -> Value:
    """The same as `operators.nms` over the smaller box; each round keeps one box."""
    sizes = areas(boxes)
    order = g.top(scores, scores.size(0), largest=True)

    def more(left: Value, kept: Value) -> Value:
        return left.size(0) > 0

    def keep_best(left: Value, kept: Value) -> list[Value]:
        best, rest = left[:1], left[1:]
        box, others = boxes.take(best), boxes.take(rest)
        low, high = box[:, :2].maximum(others[:, :2]), box[:, 2:].minimum(others[:, 2:])
        sides = (high - low).maximum(0)
        smaller = sizes.take(best).minimum(sizes.take(rest))
        is_free = ~(sides[:, 0] * sides[:, 1] > smaller * overlap)
        return [rest.keep(is_free), g.concat([kept, best])]

    return g.repeat([order, g.constant(np.zeros(0), i64)], more, keep_best)[1]


def areas(boxes: Value) -> Value:
    """The same as `boxes.area`."""
    sides = (boxes[:, 2:] - boxes[:, :2]).maximum(0)
    return sides[:, 0] * sides[:, 1]


def decode_landmarks(crops: Value, points: Value) -> Value:
    """The same as `boxes.decode_landmarks`."""
    sides = crops[:, 2:] - crops[:, :2]  # (N, 2)
    return crops[:, None, :2] + points.reshape(-1, 5, 2) * sides[:, None]
