"""PReLU in plain operators: the same values and a valid file, and what is no ONNX file comes back as it was."""

from typing import Any

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import onnxruntime
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.protobuf import GRAPH, fields
from mtcnn_gluon.config import NETS
from mtcnn_gluon.engines.onnx_prelu import spell_out_prelu


def run(model: bytes, image: np.ndarray) -> list[np.ndarray]:
    options: Any = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image})


def prelu_model(slope: np.ndarray, shape: tuple[int, ...]) -> bytes:
    tensor = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("PRelu", ["x", "slope"], ["y"])], "prelu",
        [tensor("x", onnx.TensorProto.FLOAT, shape)], [tensor("y", onnx.TensorProto.FLOAT, shape)],
        [onnx.numpy_helper.from_array(slope, "slope")],
    )  # fmt: skip
    imports = [onnx.helper.make_opsetid("", 13)]
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=7).SerializeToString()


@pytest.mark.parametrize("net", NETS)
def test_nets(net: str, own_cache: None) -> None:
    whole = find_bundle("official").file(f"{net}.onnx").read_bytes()
    changed = spell_out_prelu(whole)
    model = onnx.load_model_from_string(changed)
    onnx.checker.check_model(model, full_check=True)
    assert not any(node.op_type == "PRelu" for node in model.graph.node)
    assert changed != whole and spell_out_prelu(changed) == changed
    before = onnx.load_model_from_string(whole)
    assert model.graph.initializer[:-1] == before.graph.initializer[:] and model.metadata_props[:] == before.metadata_props[:]
    images = np.random.default_rng(0).normal(0, 0.5, (7, 3, NETS[net].size, NETS[net].size)).astype(np.float32)
    for found, expected in zip(run(changed, images), run(whole, images)):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("shape, slopes", [((2, 3, 4, 5), (3, 1, 1)), ((2, 7), (7,)), ((2, 7), (1,)), ((300, 2), (300, 2))])
def test_values_are_exact(shape: tuple[int, ...], slopes: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    x, slope = generator.normal(size=shape).astype(np.float32), generator.normal(size=slopes).astype(np.float32)
    x.flat[:3] = 0, 3e38, -1e-40
    (found,) = run(spell_out_prelu(prelu_model(slope, shape)), x)
    np.testing.assert_array_equal(found, np.where(x > 0, x, slope * x))


FIELDS = [
    b"\x3a\x04",
    b"\x38\x01",
    b"\x3a\x80\x00",
    b"\x3d1234",
    b"\x0a\x02",
    b"\x2a\x00",
    b"\x22\x05PRelu",
    b"\x80",
    b"\xff" * 9,
]


@given(st.one_of(st.binary(max_size=200), st.lists(st.one_of(st.sampled_from(FIELDS), st.binary(max_size=3))).map(b"".join)))
@example(b"\x38\x01")  # a number where a model has its graph
@example(b"\x3a\x80\x00")  # a graph of no bytes, in more bytes than needed
def test_other_files_come_back(data: bytes) -> None:
    assert spell_out_prelu(data) == data


def test_cut_off_anywhere() -> None:
    whole = prelu_model(np.ones(7, np.float32), (2, 7))
    graph = next(field for number, field, _ in fields(whole) if number == GRAPH)
    end = whole.index(graph) + len(graph)
    for length in range(end):
        assert spell_out_prelu(whole[:length]) == whole[:length]
    assert spell_out_prelu(whole[:end]) != whole[:end]  # what follows is not needed for it
    assert spell_out_prelu(b"garbage") == b"garbage" and spell_out_prelu(b"") == b""
