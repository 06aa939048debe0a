"""The whole cascade as one ONNX graph, from an image to faces. Only a runtime is needed.

The stages are those of `detection.cascade`, with the sampling rules of `pyramid` and `operators.crop_resize` and the
conventions of `boxes`. "The same as" one of them means that results agree up to rounding. Only standard operators are used.
Memory is bounded differently: P-Net gets a level in strips, R- and O-Net get crops in batches with sources of limited size,
and only the repeated 2x2 means exist as whole images.

Inputs: `image` (H, W, 3) uint8 RGB of any size; optional float32 `min_face`, `factor` (scalars) and `thresholds` (3,).
Outputs: `boxes` (N, 4), `scores` (N,) and `landmarks` (N, 5, 2) float32, best first, as in `faces.Faces`. ONNX Runtime for
JavaScript (1.30) cannot set optional inputs and uses the file's defaults, which are arguments of `cascade_model`.
"""

from dataclasses import dataclass
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from mtcnn_gluon.boxes import BoxConvention
from mtcnn_gluon.bundles.onnx_nets import describe, net_nodes
from mtcnn_gluon.config import FACTOR, HEADS, MAX_FACTOR, MIN_FACE, SURE
from mtcnn_gluon.export import onnx_boxes
from mtcnn_gluon.export.onnx_graph import GraphBuilder, Value
from mtcnn_gluon.layers import Parameters, View, output_side, view_of

OPSET, IR_VERSION = 17, 8  # supported by ONNX Runtime since 1.12
STRIP_PIXELS = 160_000  # pixels of a level that P-Net gets at a time
STRIP_ROWS = 64  # smallest number of rows of a strip; shorter strips would mostly overlap
BLOCK = 8  # number of lines of a level that one small matrix computes from lines of the image
CROP_PIXELS = 500_000  # pixels of the image for one batch of crops; a single crop may have more
CROP_BATCH = 128

f32, f64, i64 = np.float32, np.float64, np.int64


@dataclass(frozen=True)
class Cascade:
    """The shared inputs of all stages: the graph, the nets, the image and the settings, as in `cascade.Settings`.

    Attributes:
        nets: table, as in `config.NETS`, and parameters of each net.
        image: (H, W, 3) uint8; height, width: int64 scalars.
        min_face, factor: float64 scalars.
        thresholds: (3,) float32.
        large: the manifest's `large_faces`, or None.
        score_weights: the manifest's, or (0, 0).
    """

    graph: GraphBuilder
    nets: Mapping[str, tuple[Mapping[str, Any], Parameters]]
    image: Value
    height: Value
    width: Value
    min_face: Value
    factor: Value
    thresholds: Value
    overlaps: Sequence[float]
    mean: float
    scale: float
    convention: BoxConvention
    large: Mapping[str, Any] | None = None
    score_weights: Sequence[float] = (0, 0)

    def threshold(self, stage: int, sides: Callable[[], Value]) -> Value:
        """The threshold of stage 0, 1 or 2 for candidates with these float32 sides in pixels, of any shape."""
        if self.large is None:
            return self.thresholds[stage]
        is_large = (sides() >= float(self.large["side"])).to(f32)
        return self.thresholds[stage] * (is_large * (float(self.large["factors"][stage]) - 1) + 1)

    def view(self, net: str) -> View:
        """What a net sees of a candidate."""
        return view_of(self.nets[net][0])


def cascade_model(
    manifest: Mapping[str, Any], parameters: Mapping[str, Parameters], min_face: float = MIN_FACE, factor: float = FACTOR
) -> Any:
    """The cascade of a model bundle as an ONNX model, see the module; `onnx_nets.to_bytes` gives its file.

    Args:
        manifest: the bundle's manifest; its thresholds are the file's defaults.
        parameters: the parameters of `pnet`, `rnet` and `onet`, by full name.
        min_face, factor: the file's defaults, as in `Detector`.

    Raises:
        ModelError: if parameters do not fit, or `onnx` is not installed.
    """
    g = GraphBuilder()
    image = g.input("image", np.uint8, ["height", "width", 3])
    side, ratio = g.input("min_face", f32, [], min_face), g.input("factor", f32, [], factor)
    thresholds = g.input("thresholds", f32, [3], manifest["thresholds"])
    is_swapped = manifest["colour_order"] == "BGR"
    nets = {
        net: (table, _swap_colours(net, parameters[net]) if is_swapped else parameters[net])
        for net, table in manifest["architecture"].items()
    }
    cascade = Cascade(
        g, nets, image, image.size(0), image.size(1),
        _decimal(side, 1e4).maximum(1), _decimal(ratio, 1e6).clip(0.01, MAX_FACTOR), thresholds,
        manifest["nms"], manifest["mean"], manifest["scale"], manifest["box_convention"], manifest.get("large_faces"),
        manifest.get("score_weights") or (0, 0),
    )  # fmt: skip
    candidates, odds = propose(cascade)
    candidates, odds = refine(cascade, candidates, odds)
    boxes, scores, landmarks = output(cascade, candidates, odds)
    g.output("boxes", boxes, ["faces", 4])
    g.output("scores", scores, ["faces"])
    if landmarks is not None:
        g.output("landmarks", landmarks, ["faces", 5, 2])
    return g.model("mtcnn", OPSET, IR_VERSION, _metadata(manifest))


def propose(c: Cascade) -> tuple[Value, Value | None]:
    """Stage one: P-Net on the pyramid. Returns square candidates (N, 4) and any odds (N,); the same as `cascade.propose`."""
    g, view = c.graph, c.view("pnet")

    def more(scale: Value, *_: Value) -> Value:
        shorter = c.height.minimum(c.width).to(f64)
        is_left = shorter * scale >= view.cell - view.overhang - 1e-6
        return is_left & (shorter * first >= view.cell - 1e-6) if view.overhang else is_left

    def one_level(scale: Value, halved: Value, base: Value, *found: Value) -> list[Value]:
        height, width = ((side.to(f64) * scale - 1e-6).op("Ceil").to(i64) for side in (c.height, c.width))
        halved, base = _halve_to(c, halved, base, height, width)
        cells = scan_level(c, halved, base, height, width)
        boxes, scores, offsets = _level_candidates(c, halved, height, width, *cells)
        joined = [g.concat([old, new]) for old, new in zip(found, (boxes, scores, offsets))]
        return [scale * c.factor, halved, base, *joined]

    nothing = [g.empty(0, 4), g.empty(0), g.empty(0, HEADS.box)]
    first = g.constant(view.cell, f64) / c.min_face
    state = g.repeat([first, g.whole(1), g.empty(0, 0, 3), *nothing], more, one_level)
    boxes, scores, offsets = state[3:]
    keep = onnx_boxes.nms(g, boxes, scores, c.overlaps[1])
    odds = _odds(scores.take(keep), c.score_weights[0]) if c.score_weights[0] else None
    boxes = onnx_boxes.decode(boxes.take(keep), offsets.take(keep), c.convention)
    return _visible(c, onnx_boxes.crop_squares(boxes, c.convention), odds)


def refine(c: Cascade, candidates: Value, odds: Value | None) -> tuple[Value, Value | None]:
    """Stage two: R-Net on squares (N, 4). Returns those that reach the threshold; the same as `cascade.refine`."""
    scores, offsets = classify_crops(c, "rnet", candidates)
    passed = scores >= c.threshold(1, lambda: onnx_boxes.sides(candidates))
    boxes, scores, offsets = (values.keep(passed) for values in (candidates, scores, offsets))
    keep = onnx_boxes.nms(c.graph, boxes, scores, c.overlaps[2])
    odds = odds.keep(passed).take(keep) if odds is not None else None
    if c.score_weights[1]:
        more = _odds(scores.take(keep), c.score_weights[1])
        odds = more if odds is None else odds * more
    boxes = onnx_boxes.decode(boxes.take(keep), offsets.take(keep))
    return _visible(c, onnx_boxes.crop_squares(boxes, c.convention), odds)


def output(c: Cascade, candidates: Value, odds: Value | None) -> tuple[Value, Value, Value | None]:
    """Stage three: O-Net on squares (N, 4). Returns boxes, scores and any landmarks; the same as `cascade.output`."""
    g = c.graph
    scores, offsets, *points = classify_crops(c, "onet", candidates)
    if odds is not None:
        scores = scores * odds / (scores * odds + (scores * -1 + 1))
    passed = scores >= c.threshold(2, lambda: onnx_boxes.sides(candidates))
    crops, scores, offsets, *points = (values.keep(passed) for values in (candidates, scores, offsets, *points))
    boxes = onnx_boxes.decode(crops, offsets)
    keep = onnx_boxes.nms_over_smaller(g, boxes, scores, c.overlaps[3])
    limits = g.integers([c.width, c.height, c.width, c.height]).to(f32)
    boxes = boxes.take(keep).maximum(0).minimum(limits)
    inside = onnx_boxes.areas(boxes) > 0
    landmarks = [onnx_boxes.decode_landmarks(crops, each).take(keep).keep(inside) for each in points]
    return boxes.keep(inside), scores.take(keep).keep(inside), landmarks[0] if landmarks else None


def scan_level(c: Cascade, halved: Value, base: Value, height: Value, width: Value) -> tuple[Value, Value, Value]:
    """P-Net's cells of one level that reach the threshold.

    Args:
        c: the cascade.
        halved: side of a pixel of `base` in pixels of the image, a power of 2.
        base: repeated 2x2 mean of the image, (h, w, 3) float32; ignored if `halved` is 1, where the image itself is used.
        height, width: of the level, int64 scalars.

    Returns:
        cells (N, 2) int64 as row and column, scores (N,) and offsets (N, 4).
    """
    g, view = c.graph, c.view("pnet")
    padded_height, padded_width = (_padded(side, view) for side in (height, width))
    fewest = max(STRIP_ROWS, 2 * view.size)
    rows = (g.whole(STRIP_PIXELS) // padded_width).maximum(fewest) // view.stride * view.stride

    def more(start: Value, *_: Value) -> Value:
        return start < padded_height - view.overlap

    def side() -> Value:  # of a cell in the image, as in `_level_candidates`
        return (c.width // halved * halved).to(f32) * view.cell / width.to(f32)

    def one_strip(start: Value, *found: Value) -> list[Value]:
        count = (padded_height - start).minimum(rows)
        pixels = _strip(c, halved, base, height, width, start, count, padded_width)
        probability, offsets = _run(c, "pnet", pixels)  # (1, 2, h, w), (1, 4, h, w)
        probability, offsets = (_whole(c, values, count, padded_width) for values in (probability, offsets))
        probability = probability[0, 1]
        cells = (probability >= c.threshold(0, side)).op("NonZero", dtype=i64).transpose(1, 0)  # (n, 2)
        flat = cells[:, 0] * probability.size(1) + cells[:, 1]
        scores = probability.reshape(-1).take(flat)
        offsets = offsets.reshape(HEADS.box, -1).take(flat, axis=1).transpose(1, 0)
        cells = cells + g.integers([start // view.stride, 0])
        return [start + rows - view.overlap, *(g.concat([old, new]) for old, new in zip(found, (cells, scores, offsets)))]

    nothing = [g.constant(np.zeros((0, 2)), i64), g.empty(0), g.empty(0, HEADS.box)]
    _, cells, scores, offsets = g.repeat([g.whole(0), *nothing], more, one_strip)
    return cells, scores, offsets


def _whole(c: Cascade, values: Value, height: Value, width: Value) -> Value:
    """P-Net's outputs (1, C, h, w) without those of pooling windows that reach beyond its input of `height` x `width`."""
    view, side = c.view("pnet"), 4 * c.view("pnet").size * c.view("pnet").stride
    if output_side(c.nets["pnet"][0], side) == view.outputs(side):  # sides are multiples of the stride, so all are alike
        return values
    rows, columns = ((length - view.size) // view.stride + 1 for length in (height, width))
    return values[:, :, :rows, :columns]


def _padded(side: Value, view: View) -> Value:
    """The same as `pyramid.padded`. Without margins the last line is repeated."""
    if view.margin:
        side = side + 2 * view.margin
    return side + side % 2 if view.stride == 2 else (side + (view.stride - 1)) // view.stride * view.stride


def classify_crops(c: Cascade, net: str, boxes: Value) -> list[Value]:
    """R- or O-Net on the crops of squares (N, 4): face probability (N,), offsets (N, 4) and any landmarks (N, 10) of O-Net.

    Crops of similar size are made together, largest first.
    """
    g, view = c.graph, c.view(net)
    count = boxes.size(0)
    if view.context:
        margin = (boxes[:, 2:] - boxes[:, :2]) * (view.context / view.cell)
        boxes = g.concat([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)
    sides = boxes[:, 2] - boxes[:, 0]
    order = g.top(sides, count, largest=True)
    boxes, sides = boxes.take(order), sides.take(order)

    def more(start: Value, *_: Value) -> Value:
        return start < count

    def one_batch(start: Value, *found: Value) -> list[Value]:
        reach = sides[start].op("Ceil").minimum(c.height.maximum(c.width).to(f32)).to(i64) + 1  # pixels that a side covers
        batch = (g.whole(CROP_PIXELS) // (reach * reach)).clip(1, CROP_BATCH)
        crops = crop_resize(c, boxes[start : start + batch], reach, view.size)
        probability, *others = _run(c, net, (crops - c.mean) * c.scale)
        return [start + batch, *(g.concat([old, new]) for old, new in zip(found, (probability[:, 1], *others)))]

    widths = (HEADS.box, HEADS.landmark) if _has_landmarks(c, net) else (HEADS.box,)
    _, *outputs = g.repeat([g.whole(0), g.empty(0), *(g.empty(0, width) for width in widths)], more, one_batch)
    back = g.top(order, count, largest=False)  # from the order of sizes to that of `boxes`
    return [values.take(back) for values in outputs]


def crop_resize(c: Cascade, boxes: Value, reach: Value, size: int) -> Value:
    """Crops (N, 3, S, S) of boxes (N, 4) that cover at most `reach` pixels of an axis; the same as `operators.crop_resize`."""
    x, columns = _axis_weights(c.graph, boxes[:, 0], boxes[:, 2], size, reach, c.width)  # (N, n), (N, S, n)
    y, rows = _axis_weights(c.graph, boxes[:, 1], boxes[:, 3], size, reach, c.height)
    places = y[:, :, None] * c.width + x[:, None]  # (N, n, n)
    pixels = c.image.reshape(-1, 3).take(places).to(f32)  # (N, n, n, 3)
    mixed = rows @ pixels.reshape(0, 0, -1)  # (N, S, n * 3)
    mixed = mixed.reshape(0, size, -1, 3).transpose(0, 3, 1, 2)  # (N, 3, S, n)
    return mixed @ columns.transpose(0, 2, 1)[:, None]


def _axis_weights(g: GraphBuilder, start: Value, stop: Value, size: int, reach: Value, length: Value) -> tuple[Value, Value]:
    """Pixels (N, n) and weights (N, S, n) of one axis of `length`, for crops from `start` to `stop` (N,); n is `reach`.

    The share of pixel t that lies before an edge e is clip(e - t, 0, 1).
    """
    first = start.op("Floor").maximum(0)  # (N,)
    step = (stop - start) / size
    edges = (start - first)[:, None] + step[:, None] * g.constant(np.arange(size + 1), f32)  # (N, S + 1), from `first` on
    edges = edges.minimum((length.to(f32) - first)[:, None])
    before = (edges[:, :, None] - g.arange(reach).to(f32)).clip(0, 1)  # (N, S + 1, n)
    weights = (before[:, 1:] - before[:, :-1]) / step[:, None, None]
    pixels = (first.to(i64)[:, None] + g.arange(reach)).minimum(length - 1)
    return pixels, weights


def _strip(
    c: Cascade, halved: Value, base: Value, height: Value, width: Value, start: Value, count: Value, padded_width: Value
) -> Value:
    """Rows `start` .. `start + count` of a level with margins, (1, 3, count, padded_width), normalised; see `scan_level`."""
    g, margin = c.graph, c.view("pnet").margin
    image_width = c.width // halved

    def pick_rows(rows: Value) -> Value:
        def of(image: Value) -> Value:
            return image.reshape(0, -1).take(rows).to(f32)

        return g.choose(halved.op("Equal", 1, dtype=bool), lambda: of(c.image), lambda: of(base))

    mixed = _resize_lines(g, pick_rows, c.height // halved, height, start, count, margin)  # (count, W * 3)
    columns = mixed.transpose(1, 0).reshape(image_width, -1)  # (W, 3 * count)
    mixed = _resize_lines(g, columns.take, image_width, width, g.whole(0), padded_width, margin)  # (padded_width, 3 * count)
    pixels = mixed.transpose(1, 0).reshape(1, 3, count, padded_width)
    return (pixels - c.mean) * c.scale


def _resize_lines(
    g: GraphBuilder, pick: Callable[[Value], Value], before: Value, after: Value, start: Value, count: Value, margin: int
) -> Value:
    """Lines `start` .. `start + count` of the area resize of an axis from length `before` to `after`, as (count, m).

    Each line is the mean of the lines that it covers; lines beyond the last one repeat it. With a margin, so many lines of
    zeros come first, and all lines beyond the last one are zero. One matrix computes `BLOCK` neighbours from the same lines.
    `pick` returns lines (b, n) as (b, n, m).
    """
    blocks = (count + BLOCK - 1) // BLOCK
    line = g.arange(blocks * BLOCK) + start
    if margin:
        line = (line - margin).maximum(0)
    line = line.minimum(after - 1).reshape(-1, BLOCK)  # (b, BLOCK)
    ratio = before.to(f64) / after.to(f64)
    low, high = line.to(f64) * ratio, (line + 1).to(f64) * ratio
    first = low[:, :1].op("Floor")  # (b, 1)
    taps = g.arange((ratio * BLOCK).op("Ceil").to(i64) + 1)  # (n,)
    share_low, share_high = (((e - first).to(f32)[:, :, None] - taps.to(f32)).clip(0, 1) for e in (low, high))  # (b, BLOCK, n)
    lines = pick((first.to(i64) + taps).minimum(before - 1))  # (b, n, m)
    mixed = ((share_high - share_low) / ratio.to(f32)) @ lines  # (b, BLOCK, m)
    mixed = mixed.reshape(blocks * BLOCK, -1)[:count]
    if not margin:
        return mixed
    place = g.arange(count) + start  # (count,)
    return mixed * ((place >= margin) & (place < after + margin)).to(f32)[:, None]


def _halve_to(c: Cascade, halved: Value, base: Value, height: Value, width: Value) -> tuple[Value, Value]:
    """The smallest repeated 2x2 mean of the image that is at least twice as large as the level, from an earlier one."""
    g = c.graph

    def more(halved: Value, base: Value) -> Value:
        return (c.height // halved // 2 >= height * 2) & (c.width // halved // 2 >= width * 2)

    def once(halved: Value, base: Value) -> list[Value]:
        rows, columns = c.height // halved // 2 * 2, c.width // halved // 2 * 2

        def half(image: Value) -> Value:
            parts = [image[y:rows:2, x:columns:2].to(f32) for y in (0, 1) for x in (0, 1)]
            return ((parts[0] + parts[1]) + (parts[2] + parts[3])) * 0.25

        is_first = halved.op("Equal", 1, dtype=bool)
        return [halved * 2, g.choose(is_first, lambda: half(c.image), lambda: half(base))]

    halved, base = g.repeat([halved, base], more, once)
    return halved, base


def _level_candidates(
    c: Cascade, halved: Value, height: Value, width: Value, cells: Value, scores: Value, offsets: Value
) -> tuple[Value, Value, Value]:
    """A level's cells after non-maximum suppression: boxes (N, 4) in the image, scores and offsets."""
    g, view = c.graph, c.view("pnet")
    corner = g.concat([cells[:, 1:], cells[:, :1]], axis=1).to(f32) * view.stride  # (N, 2) x, y
    if view.overhang:
        corner = corner - view.overhang
    squares = g.concat([corner, corner + view.cell], axis=1)
    keep = onnx_boxes.nms(g, squares, scores, c.overlaps[0])
    squares, scores, offsets = (values.take(keep) for values in (squares, scores, offsets))
    sides = [(side.to(f64) / (whole // halved * halved).to(f64)) for side, whole in ((width, c.width), (height, c.height))]
    scales = g.concat([side.reshape(1) for side in sides * 2]).to(f32)  # (4,)
    if c.convention == "matlab":
        shift = g.constant([1.5, 1.5, 0.5, 0.5], f32)
        return (squares + g.constant([1, 1, 0, 0], f32)) / scales - shift, scores, offsets
    return squares / scales, scores, offsets


def _odds(scores: Value, weight: float) -> Value:
    """The same as `cascade._odds` of one net."""
    sure = scores.clip(SURE, 1 - SURE)
    return (sure / (sure * -1 + 1)).op("Pow", scores.graph.constant(weight, f32))


def _visible(c: Cascade, boxes: Value, odds: Value | None) -> tuple[Value, Value | None]:
    """The boxes that are at least a pixel wide and high and not entirely outside the image; boxes with NaN are left out."""
    low, high = boxes[:, :2], boxes[:, 2:]
    limits = c.graph.integers([c.width, c.height]).to(f32)
    is_visible = ((high - low >= 1) & (high > 0) & (low < limits)).all(axis=1)
    return boxes.keep(is_visible), odds.keep(is_visible) if odds is not None else None


def _has_landmarks(c: Cascade, net: str) -> bool:
    return net == "onet" and c.nets[net][0]["landmarks"]


def _run(c: Cascade, net: str, pixels: Value) -> list[Value]:
    """A net's probabilities of background and face, offsets and, if O-Net has them, landmarks."""
    table, parameters = c.nets[net]
    names = [f"{net}/{name}" for name in ("probability", "offsets", "landmarks")[: 3 if _has_landmarks(c, net) else 2]]
    nodes, initializers = net_nodes(net, table, parameters, pixels.name, names, prefix="nets/")
    tensors = {each.name: each for each in initializers}
    for node in nodes:
        if node.op_type == "PRelu":  # x + (a - 1) * min(x, 0) is much faster on ONNX Runtime
            (data, slopes), (result,) = node.input, node.output
            factors = c.graph.onnx.numpy_helper.to_array(tensors[slopes]) - 1
            negative = Value(c.graph, data, f32).minimum(0) * c.graph.constant(factors, f32)
            node = c.graph.onnx.helper.make_node("Add", [data, negative.name], [result], result)
        c.graph.embed([node], [tensors[name] for name in node.input if name in tensors])
    return [Value(c.graph, name, f32) for name in names]


def _swap_colours(net: str, parameters: Parameters) -> Parameters:
    """The parameters for RGB input, of a net for BGR input."""
    name = f"{net}_conv1_weight"
    return {**parameters, name: np.ascontiguousarray(parameters[name][:, ::-1])}


def _decimal(value: Value, digits: float) -> Value:
    """A float32 as the float64 of its short decimal number, so that sizes are rounded up as in `pyramid`."""
    return (value.to(f64) * digits).op("Round") / digits


def _metadata(manifest: Mapping[str, Any]) -> dict[str, str]:
    inputs = "image: uint8 (H, W, 3) RGB; optional: min_face (pixels), factor (of the pyramid), thresholds (3,)"
    points = ", landmarks (N, 5, 2) x, y" if manifest["architecture"]["onet"]["landmarks"] else "; no landmarks were trained"
    outputs = f"boxes (N, 4) x1, y1, x2, y2 in pixels, scores (N,){points}; best face first"
    return {**describe(manifest), "inputs": inputs, "outputs": outputs}
