"""Writing ONNX graphs: what is written computes what numpy computes."""

from typing import Callable

import numpy as np
import onnxruntime
import pytest

from mtcnn_gluon.bundles.onnx_nets import to_bytes
from mtcnn_gluon.export.onnx_graph import GraphBuilder, Value

X = np.array([[3, -1, 4, 1], [-5, 9, 2, 6], [5, 3, -5, 8]], np.float32)


def run(build: Callable[[GraphBuilder, Value], Value], rank: int, *feeds: np.ndarray) -> np.ndarray:
    g = GraphBuilder()
    g.output("y", build(g, g.input("x", np.float32, ["rows", 4])), [None] * rank)
    model = to_bytes(g.model("test", 17, 8, {}))
    (result,) = onnxruntime.InferenceSession(model).run(None, {"x": feeds[0] if feeds else X})
    return result


@pytest.mark.parametrize(
    "build",
    [
        lambda x: x[1:],
        lambda x: x[:, 1:3],
        lambda x: x[::2, :-1],
        lambda x: x[1],
        lambda x: x[:, 2],
        lambda x: x[None],
        lambda x: x[:, None, 1:],
        lambda x: x[0, None, :2],
        lambda x: x[:, 1, None],
        lambda x: x + 1 - x * 2 + 2 * x,
        lambda x: x @ x.transpose(1, 0),
        lambda x: x.reshape(-1, 2, 3) / 2,
        lambda x: x.clip(0, 4),
    ],
)
def test_arithmetic_and_indexing(build: Callable) -> None:
    expected = build(X)
    result = run(lambda g, x: build(x), expected.ndim)
    assert result.shape == expected.shape and result.dtype == expected.dtype
    np.testing.assert_allclose(result, expected)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_masks_and_empty_arrays(rows: int) -> None:
    found = run(lambda g, x: x.keep((x[:, 1] > 0) & ~(x[:, 0] >= 5)), 2, X[:rows])
    np.testing.assert_array_equal(found, X[:rows][(X[:rows, 1] > 0) & (X[:rows, 0] < 5)])
    everything = run(lambda g, x: x.keep((x > -4).all(axis=1)), 2, X[:rows])
    np.testing.assert_array_equal(everything, X[:rows][(X[:rows] > -4).all(axis=1)])


def test_slices_whose_ends_are_values() -> None:
    np.testing.assert_array_equal(run(lambda g, x: x[: x.size(0) - 1, x.size(0) // 2 :], 2), X[:2, 1:])
    np.testing.assert_array_equal(run(lambda g, x: x[x.size(0) % 2], 1), X[1])


def test_whole_numbers() -> None:
    np.testing.assert_array_equal(run(lambda g, x: g.integers([x.size(0), 7, x.size(1)]), 1), [3, 7, 4])
    np.testing.assert_array_equal(run(lambda g, x: g.arange(x.size(1)), 1), range(4))


def test_the_largest_first_and_equals_in_their_order() -> None:
    values = np.tile(np.array([[1], [3], [2], [3]], np.float32), 4)
    assert run(lambda g, x: g.top(x[:, 0], x.size(0), largest=True), 1, values).tolist() == [1, 3, 2, 0]
    assert run(lambda g, x: g.top(x[:, 0], x.size(0), largest=False), 1, values).tolist() == [0, 2, 1, 3]


def test_repeating_with_growing_shapes() -> None:
    def rows_until(g: GraphBuilder, x: Value) -> Value:
        state = [g.whole(0), g.empty(0, 4)]
        body = lambda i, kept: [i + 1, g.concat([kept, x[i][None] * 10])]  # noqa: E731
        return g.repeat(state, lambda i, kept: i < x.size(0) - 1, body)[1]

    np.testing.assert_array_equal(run(rows_until, 2), X[:-1] * 10)
    assert run(rows_until, 2, X[:1]).shape == (0, 4)


@pytest.mark.parametrize("rows, expected", [(1, 2), (3, 30)])
def test_choosing(rows: int, expected: float) -> None:
    x = np.ones((rows, 4), np.float32)
    build = lambda g, x: g.choose(x.size(0) > 2, lambda: x * 10, lambda: x * 2)  # noqa: E731
    assert run(build, 2, x).sum() / 4 == expected


def test_a_default_may_be_left_out_or_replaced() -> None:
    g = GraphBuilder()
    x, factor = g.input("x", np.float32, ["n"]), g.input("factor", np.float32, [], 3)
    g.output("y", x * factor, ["n"])
    session = onnxruntime.InferenceSession(to_bytes(g.model("test", 17, 8, {"name": "a"})))
    assert [each.name for each in session.get_inputs()] == ["x"]
    assert session.run(None, {"x": X[0]})[0].tolist() == (X[0] * 3).tolist()
    assert session.run(None, {"x": X[0], "factor": np.array(2, np.float32)})[0].tolist() == (X[0] * 2).tolist()
    assert session.get_modelmeta().custom_metadata_map == {"name": "a"}


def test_equal_constants_are_stored_once() -> None:
    g = GraphBuilder()
    x = g.input("x", np.float32, ["n"])
    g.output("y", (x + 2) * 2 + 2 + g.constant(np.float32(2), np.float32) + x.to(np.int64).to(np.float32) * 2, ["n"])
    assert len(g.model("test", 17, 8, {}).graph.initializer) == 1
