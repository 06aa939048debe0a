"""The nets as ONNX graphs, written node by node without the training framework.

The graphs contain only Conv, PRelu, MaxPool, Flatten, Gemm and Softmax, whose meaning is the same in opsets 13 to 25. Thus ONNX
Runtime, OpenVINO and `cv2.dnn` can read them. Initializers have the names and values of the parameters; the slopes of a PReLU
after a convolution have the shape (C, 1, 1), since ONNX broadcasts from the right. `parameters_of` reads them back.
"""

import json
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from mtcnn_gluon.bundles.protobuf import initializers
from mtcnn_gluon.config import HEADS
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.layers import Layer, Parameters, check_parameters, heads_of, is_dense, walk

OPSET = 13  # the first opset whose Softmax is over one axis; all three runtimes know its operators
IR_VERSION = 7  # version of the file format that belongs to opset 13
INPUT = "image"
OUTPUTS = {"cls": "probability", "box": "offsets", "landmark": "landmarks"}  # outputs of `net_model`, by head


def load_onnx() -> Any:
    """The module `onnx`, or a `ModelError` if it cannot be imported."""
    return need("onnx", "writing and reading ONNX files", "export", ModelError)


class _Graph:
    """Nodes of one net under construction; all their names begin with `prefix`. Builders return the name of their output."""

    def __init__(self, prefix: str) -> None:
        self._make_node = load_onnx().helper.make_node
        self._prefix, self._is_flat = prefix, False
        self.nodes: list[Any] = []

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self._make_node(operator, inputs, [output], output, **attributes))
        return output

    def name(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def conv(self, layer: Layer, data: str, output: str) -> str:
        inputs = [data, self.name(f"{layer.name}_weight"), self.name(f"{layer.name}_bias")]
        strides = {"strides": [layer.stride] * 2} if layer.stride > 1 else {}  # 1 is ONNX's default
        return self.add("Conv", inputs, output, kernel_shape=[layer.kernel] * 2, **strides)  # `cv2.dnn` needs the kernel's size

    def pool(self, layer: Layer, data: str, output: str) -> str:
        sizes = {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2}
        return self.add("MaxPool", [data], output, **sizes, ceil_mode=1)

    def dense(self, layer: Layer, data: str, output: str) -> str:
        if not self._is_flat:
            data, self._is_flat = self.add("Flatten", [data], self.name("flat"), axis=1), True  # (N, C, H, W) -> (N, C * H * W)
        inputs = [data, self.name(f"{layer.name}_weight"), self.name(f"{layer.name}_bias")]
        return self.add("Gemm", inputs, output, transB=1)


_BUILDERS: Mapping[str, Callable[[_Graph, Layer, str, str], str]] = {
    "conv": _Graph.conv, "pool": _Graph.pool, "dense": _Graph.dense
}  # fmt: skip


def net_nodes(
    net: str, table: Mapping[str, Any], parameters: Parameters, image: str, outputs: Sequence[str], prefix: str = ""
) -> tuple[list[Any], list[Any]]:
    """The nodes and initializers of one net, for any graph of opset 13 or later.

    Args:
        net: beginning of the parameters' names, such as `pnet`.
        table: `size`, `layers` and `landmarks`, as in `config.NETS`.
        parameters: of the net, float32 by full name.
        image: name of the input, (N, 3, H, W) float32, normalised.
        outputs: names for the probabilities (N, 2, ...) of background and face, the offsets (N, 4, ...) and, if the net has
            them, the landmarks (N, 10, ...); "..." is h, w in a net without a dense layer. Landmarks may be left out.
        prefix: beginning of all other names, which makes them unique in the graph.

    Returns:
        `NodeProto`s in the order of execution, and `TensorProto`s named `prefix` + full name.

    Raises:
        ModelError: if parameters do not fit, there are more outputs than heads, or `onnx` is not installed.
    """
    values = check_parameters(net, table, parameters)
    names = dict(zip(heads_of(table), outputs))
    if not 2 <= len(outputs) == len(names):
        raise ModelError(f"net {net} has {len(heads_of(table))} outputs, not {len(outputs)}")
    graph = _Graph(f"{prefix}{net}_")
    for layer in walk(table):
        build = _BUILDERS[layer.kind]
        if not layer.is_head:
            image = build(graph, layer, image, graph.name(layer.name))
        elif layer.name == "cls":
            graph.add("Softmax", [build(graph, layer, image, graph.name("logits"))], names["cls"], axis=1)
        elif layer.name in names:
            build(graph, layer, image, names[layer.name])
        if layer.prelu:
            image = graph.add("PRelu", [image, graph.name(f"{layer.prelu}_alpha")], graph.name(layer.prelu))
            if layer.kind == "conv":
                values[f"{net}_{layer.prelu}_alpha"] = values[f"{net}_{layer.prelu}_alpha"].reshape(-1, 1, 1)
    used = {name for node in graph.nodes for name in node.input}
    to_tensor = load_onnx().numpy_helper.from_array
    return graph.nodes, [to_tensor(value, prefix + name) for name, value in values.items() if prefix + name in used]


def net_model(net: str, table: Mapping[str, Any], parameters: Parameters, metadata: Mapping[str, str] | None = None) -> Any:
    """One net as an ONNX model: input `image`, outputs `probability`, `offsets` and, with a landmark head, `landmarks`.

    The number of images is free. Height and width are free if the net has no dense layer, otherwise they are the net's size.
    The same arguments always give the same bytes (`to_bytes`).

    Args:
        net, table, parameters: see `net_nodes`.
        metadata: the file's `metadata_props`, see `describe`.

    Raises:
        ModelError: if parameters do not fit or `onnx` is not installed.
    """
    onnx = load_onnx()
    heads = heads_of(table)
    size: list[Any] = [table["size"]] * 2 if is_dense(table) else ["height", "width"]
    cells: list[Any] = [] if is_dense(table) else ["rows", "columns"]
    nodes, initializers = net_nodes(net, table, parameters, INPUT, [OUTPUTS[head] for head in heads])
    tensor, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    results = [tensor(OUTPUTS[head], float32, ["batch", HEADS[head], *cells]) for head in heads]
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


def write_nets(folder: Path, manifest: Mapping[str, Any], parameters: Mapping[str, Parameters]) -> None:
    """Write `{p,r,o}net.onnx` for a bundle with this manifest.

    Raises:
        ModelError: if parameters do not fit or `onnx` is not installed.
    """
    for net, table in manifest["architecture"].items():
        model = net_model(net, table, parameters[net], describe(manifest))
        (folder / f"{net}.onnx").write_bytes(to_bytes(model))


def describe(manifest: Mapping[str, Any]) -> dict[str, str]:
    """A manifest's preprocessing, cascade and origin as texts for `metadata_props`; lists and numbers are JSON.

    `context`, `large_faces` and `score_weights` are left out where the manifest has none.
    """
    keys = (
        "name", "licence", "training_data", "colour_order", "mean", "scale", "layout", "thresholds", "nms", "box_convention",
    )  # fmt: skip
    texts = {key: manifest[key] if isinstance(manifest[key], str) else json.dumps(manifest[key]) for key in keys}
    contexts = {net: table["context"] for net, table in manifest["architecture"].items() if table.get("context")}
    more = {"context": contexts, **{key: manifest.get(key) for key in ("large_faces", "score_weights")}}
    texts |= {key: json.dumps(value) for key, value in more.items() if value}
    return {**texts, "preprocessing": "(pixel - mean) * scale, pixel in 0..255"}


def parameters_of(path: Path) -> dict[str, np.ndarray]:
    """The parameters in an ONNX file that `net_model` wrote: float32 by full name, in the shapes that Gluon has.

    Raises:
        ModelError: if the file cannot be read.
    """
    try:
        values = initializers(path.read_bytes())
    except (OSError, ValueError, IndexError) as error:
        raise ModelError(f"{path} cannot be read as ONNX: {error}") from error
    return {name: value.reshape(-1) if name.endswith("_alpha") else value for name, value in values.items()}
