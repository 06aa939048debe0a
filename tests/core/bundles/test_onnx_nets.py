"""The ONNX graphs: four implementations compute the same from them, and what is written is read again."""

import sys
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np
import pytest

from engine_agreement import STRIDED_NET
from mtcnn_gluon.bundles import onnx_nets
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.official import MANIFEST, official_parameters
from mtcnn_gluon.bundles.protobuf import DIMENSIONS, FLOAT32, GRAPH, INITIALIZER, NAME, RAW, TYPE, field, initializers, varint
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.layers import parameter_shapes
from mtcnn_gluon.model import shipped_bundles
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.symbol.blocks import CascadeNet, FaceProbability, set_parameters

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
mx = load_mxnet()

Run = Callable[[np.ndarray], list[np.ndarray]]


def random_parameters(net: str, table: Any) -> dict[str, np.ndarray]:
    """Of a size at which activations neither vanish nor grow, biases and slopes too."""
    generator = np.random.default_rng(7)
    shapes = parameter_shapes(net, table)
    inputs = {name: np.prod(shape[1:]) if len(shape) > 1 else 10 for name, shape in shapes.items()}
    return {name: generator.normal(0, inputs[name] ** -0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def in_mxnet(net: str, table: Any, parameters: Any) -> Run:
    block = CascadeNet(table, f"{net}_", "export")
    set_parameters(block, parameters)
    whole = FaceProbability(block)
    return lambda images: [output.asnumpy() for output in whole(mx.nd.array(images))]


def in_onnxruntime(data: bytes) -> Run:
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"image": images})


def in_openvino(data: bytes) -> Run:
    core = pytest.importorskip("openvino").Core()
    request = core.compile_model(core.read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    return lambda images: list(request.infer({0: images}).values())


def in_opencv(data: bytes, outputs: int) -> Run:
    net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))

    def run(images: np.ndarray) -> list[np.ndarray]:
        net.setInput(images)
        return list(net.forward(list(onnx_nets.OUTPUTS.values())[:outputs]))

    return run


SHAPES = {
    "pnet": [(1, 12, 12), (1, 13, 12), (1, 12, 15), (2, 13, 15), (3, 31, 46), (1, 64, 77), (512, 13, 12), (1, 256, 255)],
    "rnet": [(count, 24, 24) for count in (1, 2, 7, 128, 512)],
    "onet": [(count, 48, 48) for count in (1, 7, 512)],
    "strided": [(1, 34, 34), (7, 34, 34), (2, 35, 37), (1, 61, 203), (1, 256, 255)],
}


@pytest.mark.parametrize("kind", ["official", "random", "random with landmarks"])
@pytest.mark.parametrize("net", NETS)
def test_all_runtimes_agree_with_mxnet(net: str, kind: str) -> None:
    table = dict(NETS[net], landmarks=NETS[net].landmarks or "landmarks" in kind)
    assert_runtimes_agree(net, table, official_parameters(net) if kind == "official" else random_parameters(net, table))


@pytest.mark.parametrize("landmarks", [False, True])
def test_all_runtimes_agree_on_a_strided_net(landmarks: bool) -> None:
    table = dict(STRIDED_NET, landmarks=landmarks)
    parameters = random_parameters("strided", table)
    assert_runtimes_agree("strided", table, parameters)
    nodes = onnx_nets.net_model("strided", table, parameters).graph.node
    strides = [each.ints for node in nodes if node.op_type == "Conv" for each in node.attribute if each.name == "strides"]
    assert strides == [[2, 2]]  # not where the stride is 1


def assert_runtimes_agree(net: str, table: Any, parameters: Any) -> None:
    data = onnx_nets.to_bytes(onnx_nets.net_model(net, table, parameters))
    outputs = 2 + table["landmarks"]
    reference = in_mxnet(net, table, parameters)
    runtimes = {"onnxruntime": in_onnxruntime(data), "openvino": in_openvino(data), "opencv": in_opencv(data, outputs)}
    generator = np.random.default_rng(0)
    for count, height, width in SHAPES[net]:
        images = generator.normal(0, 0.5, (count, 3, height, width)).astype(np.float32)
        expected = reference(images)
        assert len(expected) == outputs
        for name, run in runtimes.items():
            found = run(images)
            assert [f.shape for f in found] == [e.shape for e in expected], name
            for f, e in zip(found, expected):
                np.testing.assert_allclose(f, e, atol=1e-4, rtol=0, err_msg=f"{name} {images.shape}")


@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("net", NETS)
def test_names_and_shapes_are_gluons(net: str, landmarks: bool) -> None:
    table = dict(NETS[net], landmarks=landmarks)
    block = CascadeNet(table, f"{net}_", "export")
    block.initialize()
    block(mx.nd.zeros((1, 3, table["size"], table["size"])))
    expected = {name: value.shape for name, value in block.collect_params().items()}
    assert parameter_shapes(net, table) == expected


@pytest.mark.parametrize("net", NETS)
def test_files(net: str, tmp_path: Path) -> None:
    """The same bytes every time, standard operators of one opset, metadata, and parameters that can be read again."""
    parameters = official_parameters(net)
    model = onnx_nets.net_model(net, NETS[net], parameters, onnx_nets.describe(MANIFEST))
    data = onnx_nets.to_bytes(model)
    shuffled = dict(reversed(parameters.items()))
    assert data == onnx_nets.to_bytes(onnx_nets.net_model(net, NETS[net], shuffled, onnx_nets.describe(MANIFEST)))
    assert [(each.domain, each.version) for each in model.opset_import] == [("", onnx_nets.OPSET)]
    onnx.checker.check_model(onnx.load_model_from_string(data), full_check=True)
    props = {prop.key: prop.value for prop in model.metadata_props}
    assert props["box_convention"] == "matlab" and props["thresholds"] == "[0.6, 0.7, 0.7]" and props["scale"] == "0.0078125"
    assert props["name"] == "official" and "not stated" in props["licence"]

    (tmp_path / "net.onnx").write_bytes(data)
    found = onnx_nets.parameters_of(tmp_path / "net.onnx")
    assert set(found) == set(parameters)
    for name, value in parameters.items():
        np.testing.assert_array_equal(found[name], value)


def test_nets_inside_a_larger_graph() -> None:
    """Twice the same net under two prefixes, once without its landmarks."""
    parameters = official_parameters("onet")
    nodes, tensors = [], []
    for prefix, outputs in (("a_", ["p", "b", "l"]), ("b_", ["q", "c"])):
        found = onnx_nets.net_nodes("onet", NETS.onet, parameters, "crops", outputs, prefix)
        nodes, tensors = nodes + found[0], tensors + found[1]
    assert not any("b_onet_landmark" in tensor.name for tensor in tensors)
    info, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    results = [info(name, float32, ["n", size]) for name, size in zip("pqbcl", (2, 2, 4, 4, 10))]
    graph = onnx.helper.make_graph(nodes, "both", [info("crops", float32, ["n", 3, 48, 48])], results, tensors)
    model = onnx_nets.finish_model(graph, 17, 8, {})
    session = ort.InferenceSession(onnx_nets.to_bytes(model), providers=["CPUExecutionProvider"])
    p, q, b, c, _ = session.run(None, {"crops": np.random.default_rng(0).normal(0, 1, (3, 3, 48, 48)).astype(np.float32)})
    np.testing.assert_array_equal(p, q)
    np.testing.assert_array_equal(b, c)


@pytest.mark.parametrize("change, message", [
    (lambda p: p.pop("pnet_cls_bias"), "missing or unknown .*pnet_cls_bias"),
    (lambda p: p.update(pnet_cls_weight=np.zeros((2, 32))), r"pnet_cls_weight: expected shape \(2, 32, 1, 1\), got \(2, 32\)"),
    (lambda p: p.update(other=np.zeros(1)), "missing or unknown .*other"),
])  # fmt: skip
def test_parameters_that_do_not_fit(change: Callable[[dict], Any], message: str) -> None:
    parameters = official_parameters("pnet")
    change(parameters)
    with pytest.raises(ModelError, match=message):
        onnx_nets.net_model("pnet", NETS.pnet, parameters)


def test_what_cannot_be_built_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for outputs in (["a"], ["a", "b", "c"]):
        with pytest.raises(ModelError, match=f"pnet has 2 outputs, not {len(outputs)}"):
            onnx_nets.net_nodes("pnet", NETS.pnet, official_parameters("pnet"), "image", outputs)
    for data in (b"", b"garbage", b"\x00" * 50):
        (tmp_path / "x.onnx").write_bytes(data)
        with pytest.raises(ModelError, match="x.onnx cannot be read as ONNX"):
            onnx_nets.parameters_of(tmp_path / "x.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match="pip install onnx"):
        onnx_nets.net_model("pnet", NETS.pnet, official_parameters("pnet"))


@pytest.mark.parametrize("name", shipped_bundles())
def test_parameters_are_read_as_onnx_reads_them(name: str) -> None:
    for net in NETS:
        file = find_bundle(name).file(f"{net}.onnx")
        tensors = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(file).graph.initializer}
        found = initializers(file.read_bytes())
        assert found.keys() == tensors.keys()
        for key, value in tensors.items():
            assert found[key].shape == value.shape and found[key].dtype == np.float32
            np.testing.assert_array_equal(found[key], value)


def test_dimensions_may_be_packed_or_not_and_other_kinds_are_refused() -> None:
    raw = field(RAW, np.arange(6, dtype="<f4").tobytes())
    kind, name = varint(TYPE << 3) + varint(FLOAT32), field(NAME, b"a")
    for dimensions in (varint(DIMENSIONS << 3) + b"\x02" + varint(DIMENSIONS << 3) + b"\x03", field(DIMENSIONS, b"\x02\x03")):
        model = field(GRAPH, field(INITIALIZER, dimensions + kind + name + raw))
        np.testing.assert_array_equal(initializers(model)["a"], np.arange(6).reshape(2, 3))
        for wrong in (dimensions + name + raw, dimensions + kind + name, kind + name + raw):
            with pytest.raises(ValueError, match="'a' is no float32 array"):
                initializers(field(GRAPH, field(INITIALIZER, wrong)))
