"""The nets as ONNX graphs, written node by node, so that they outlive the framework they were trained with.

The graphs hold Conv, PRelu, MaxPool, Flatten, Gemm and Softmax only, each with the meaning it has in opsets 13 to 25, so
that ONNX Runtime, OpenVINO and `cv2.dnn` all read them. Initializers carry the parameters' own names and values (a PReLU's
slopes stand as (C, 1, 1), since ONNX broadcasts from the right), and `parameters_of` reads them back.
"""

import json
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from mtcnn_gluon.config import HEADS
from mtcnn_gluon.errors import ModelError

OPSET = 13  # the first whose Softmax is over one axis, and whose operators all three runtimes know
IR_VERSION = 7  # of the file format, the one that came with opset 13
INPUT = "image"
OUTPUTS = ("probability", "offsets", "landmarks")  # of `net_model`; a net without a landmark head has the first two

Parameters = Mapping[str, np.ndarray]  # by full name, such as pnet_conv1_weight


def load_onnx() -> Any:
    """The module `onnx`.

    Raises:
        ModelError: if it is not installed.
    """
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise ModelError(f'ONNX files need onnx ({error}): run pip install "mtcnn-gluon[export]"') from error
    return onnx


def parameter_shapes(net: str, table: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a net's parameters, in the order of its layers, as Gluon has them.

    Args:
        net: beginning of the names, such as `pnet`.
        table: `size`, `layers` and `landmarks`, as in `config.NETS`.

    Raises:
        ModelError: if the table holds an unknown layer.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    side, channels, counts, last = table["size"], 3, {"conv": 0, "pool": 0, "dense": 0}, "conv"
    for kind, *arguments in table["layers"]:
        if kind not in counts:
            raise ModelError(f"unknown layer {kind!r}: expected one of {', '.join(counts)}")
        if kind == "pool":
            side = -((arguments[0] - side) // arguments[1]) + 1  # ceil mode
            continue
        counts[kind] += 1
        name = f"{net}_{kind}{counts[kind]}"
        if kind == "conv":
            shapes[f"{name}_weight"] = (arguments[0], channels, arguments[1], arguments[1])  # OIHW
            side -= arguments[1] - 1
        else:
            inputs = channels * side * side if last == "conv" else channels
            shapes[f"{name}_weight"] = (arguments[0], inputs)
        channels, last = arguments[0], kind
        shapes[f"{name}_bias"] = (channels,)
        shapes[f"{net}_prelu{counts['conv'] + counts['dense']}_alpha"] = (channels,)
    for head in _heads(table):
        shapes[f"{net}_{head}_weight"] = (HEADS[head], channels) if counts["dense"] else (HEADS[head], channels, 1, 1)
        shapes[f"{net}_{head}_bias"] = (HEADS[head],)
    return shapes


def check_parameters(net: str, table: Mapping[str, Any], parameters: Parameters) -> dict[str, np.ndarray]:
    """The parameters of a net as float32 arrays, in the order of its layers.

    Raises:
        ModelError: if one is missing, superfluous or of another shape.
    """
    shapes = parameter_shapes(net, table)
    if wrong := set(shapes) ^ set(parameters):
        raise ModelError(f"parameters do not fit the net {net}: missing or unknown {sorted(wrong)}")
    for name, shape in shapes.items():
        if np.shape(parameters[name]) != shape:
            raise ModelError(f"parameter {name}: expected shape {shape}, got {np.shape(parameters[name])}")
    return {name: np.ascontiguousarray(parameters[name], np.float32) for name in shapes}


def net_nodes(
    net: str, table: Mapping[str, Any], parameters: Parameters, image: str, outputs: Sequence[str], prefix: str = ""
) -> tuple[list[Any], list[Any]]:
    """The nodes and initializers of one net, to be put into any graph of opset 13 or later.

    Args:
        net: beginning of the parameters' names, such as `pnet`.
        table: `size`, `layers` and `landmarks`, as in `config.NETS`.
        parameters: of the net, float32 by full name.
        image: name of the input, (N, 3, H, W) float32, normalised.
        outputs: names for the probabilities (N, 2, ...) of background and face, the offsets (N, 4, ...) and, if wanted and
            the net has them, the landmarks (N, 10, ...); "..." is h, w in a net without a dense layer.
        prefix: put before all other names, so that they are the graph's own.

    Returns:
        `NodeProto`s in an order in which they can run, and `TensorProto`s named `prefix` + full name.

    Raises:
        ModelError: if parameters do not fit, there are more outputs than heads, or `onnx` is not installed.
    """
    onnx = load_onnx()
    values = check_parameters(net, table, parameters)
    heads = list(zip(("cls", "box", "landmark"), outputs))
    if not 2 <= len(outputs) <= len(_heads(table)):
        raise ModelError(f"net {net} has {len(_heads(table))} outputs, not {len(outputs)}")
    graph = _Graph(onnx, f"{prefix}{net}_")
    kind = "conv"
    for kind, *arguments in table["layers"]:
        image = graph.pool(image, *arguments) if kind == "pool" else graph.layer(image, kind, *arguments)
    for head, output in heads:
        if head == "cls":
            graph.add("Softmax", [graph.linear(head, kind, image, f"{prefix}{net}_logits")], output, axis=1)
        else:
            graph.linear(head, kind, image, output)
    used = {name for node in graph.nodes for name in node.input}
    initializers = [
        onnx.numpy_helper.from_array(_as_stored(name, value, values), f"{prefix}{name}")
        for name, value in values.items()
        if f"{prefix}{name}" in used
    ]
    return graph.nodes, initializers


def net_model(net: str, table: Mapping[str, Any], parameters: Parameters, metadata: Mapping[str, str] | None = None) -> Any:
    """One net as an ONNX model: input `image`, outputs `probability`, `offsets` and, with a landmark head, `landmarks`.

    The number of images is free, and so are height and width if the net has no dense layer; else they are the net's own.
    The same arguments always give the same bytes (`to_bytes`).

    Args:
        net, table, parameters: see `net_nodes`.
        metadata: goes into the file's `metadata_props`, see `describe`.

    Raises:
        ModelError: if parameters do not fit or `onnx` is not installed.
    """
    onnx = load_onnx()
    heads = _heads(table)
    is_dense = any(layer[0] == "dense" for layer in table["layers"])
    size: list[Any] = [table["size"]] * 2 if is_dense else ["height", "width"]
    cells: list[Any] = [] if is_dense else ["rows", "columns"]
    outputs = OUTPUTS[: len(heads)]
    nodes, initializers = net_nodes(net, table, parameters, INPUT, outputs)
    tensor, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    results = [tensor(output, float32, ["batch", HEADS[head], *cells]) for head, output in zip(heads, outputs)]
    graph = onnx.helper.make_graph(nodes, net, [tensor(INPUT, float32, ["batch", 3, *size])], results, initializers)
    return finish_model(graph, OPSET, IR_VERSION, metadata or {})


def finish_model(graph: Any, opset: int, ir_version: int, metadata: Mapping[str, str]) -> Any:
    """A checked `ModelProto` of a graph, with metadata; nothing in it depends on the version of `onnx`."""
    onnx = load_onnx()
    imports = [onnx.helper.make_opsetid("", opset)]
    model = onnx.helper.make_model(graph, opset_imports=imports, ir_version=ir_version, producer_name="mtcnn-gluon")
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    return model


def to_bytes(model: Any) -> bytes:
    """The bytes of an ONNX model's file; the same model always gives the same ones."""
    return model.SerializeToString(deterministic=True)


def describe(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What a bundle's manifest says of preprocessing, cascade and origin, as texts for `metadata_props`.

    Lists and numbers are JSON. Nets see (pixel - mean) * scale in `colour_order` and `layout`.
    """
    keys = (
        "name", "licence", "training_data", "colour_order", "mean", "scale", "layout", "thresholds", "nms", "box_convention",
    )  # fmt: skip
    texts = {key: manifest[key] if isinstance(manifest[key], str) else json.dumps(manifest[key]) for key in keys}
    return {**texts, "preprocessing": "(pixel - mean) * scale, pixel in 0..255"}


def parameters_of(path: Path) -> dict[str, np.ndarray]:
    """The parameters in an ONNX file that `net_model` wrote: float32 by full name, in the shapes that Gluon has.

    Raises:
        ModelError: if the file cannot be read, or `onnx` is not installed.
    """
    onnx = load_onnx()
    try:
        model = onnx.load_model_from_string(path.read_bytes())
        values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    except Exception as error:  # protobuf and onnx raise various kinds
        raise ModelError(f"{path} cannot be read as ONNX: {error}") from error
    return {name: value.reshape(-1) if name.endswith("_alpha") else value for name, value in values.items()}


class _Graph:
    """Nodes of one net under construction; `prefix` begins every name."""

    def __init__(self, onnx: Any, prefix: str) -> None:
        self._onnx, self._prefix = onnx, prefix
        self._counts = {"conv": 0, "pool": 0, "dense": 0}
        self.nodes: list[Any] = []

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self._onnx.helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def linear(self, name: str, kind: str, data: str, output: str, kernel: int = 1) -> str:
        """A dense layer, else a convolution; `cv2.dnn` wants its kernel's size told."""
        inputs = [data, f"{self._prefix}{name}_weight", f"{self._prefix}{name}_bias"]
        if kind == "dense":
            return self.add("Gemm", inputs, output, transB=1)
        return self.add("Conv", inputs, output, kernel_shape=[kernel] * 2)

    def layer(self, data: str, kind: str, units: int, kernel: int = 1) -> str:
        """A convolution or a dense layer, and the PReLU behind it."""
        if kind == "dense" and not self._counts["dense"]:
            data = self.add("Flatten", [data], f"{self._prefix}flat", axis=1)  # (N, C, H, W) -> (N, C * H * W)
        self._counts[kind] += 1
        name = f"{kind}{self._counts[kind]}"
        data = self.linear(name, kind, data, f"{self._prefix}{name}", kernel)
        name = f"{self._prefix}prelu{self._counts['conv'] + self._counts['dense']}"
        return self.add("PRelu", [data, f"{name}_alpha"], name)

    def pool(self, data: str, kernel: int, stride: int) -> str:
        """Max pooling in ceil mode: a partial window at the border counts."""
        self._counts["pool"] += 1
        name = f"{self._prefix}pool{self._counts['pool']}"
        return self.add("MaxPool", [data], name, kernel_shape=[kernel] * 2, strides=[stride] * 2, ceil_mode=1)


def _heads(table: Mapping[str, Any]) -> list[str]:
    return [head for head in HEADS if table["landmarks"] or head != "landmark"]


def _as_stored(name: str, value: np.ndarray, values: Parameters) -> np.ndarray:
    """A parameter in the shape that ONNX wants: slopes behind a convolution (C, 1, 1)."""
    if not name.endswith("_alpha"):
        return value
    net, number = name.split("_prelu")
    conv = f"{net}_conv{number.removesuffix('_alpha')}_weight"
    return value.reshape(-1, 1, 1) if conv in values else value
