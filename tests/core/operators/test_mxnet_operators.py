"""The operators in MXNet: against stock MXNet, finite differences in double precision, and an oracle of the mining rule."""

import contextlib
import functools
import itertools
import subprocess
import sys
from typing import Any, Callable, Iterator, Sequence

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from engine_agreement import STRIDED_NET
from mtcnn_gluon import symbol
from mtcnn_gluon.config import NETS
from mtcnn_gluon.layers import parameter_shapes
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators.mxnet_operators import portable_prelu, register
from mtcnn_gluon.symbol.blocks import CascadeNet, set_parameters

mx = load_mxnet()
nd = mx.nd
FORWARD, GRADIENT = 1e-6, 1e-4  # of the largest value


@pytest.fixture(scope="module", autouse=True)
def native_operators() -> None:
    """Fails if they cannot be used, unless that is for want of a compiler."""
    reason = register()
    if reason and "compiler" in reason:
        pytest.skip(reason)
    assert reason is None


def assert_close(found: Any, expected: Any, tolerance: float, what: str = "") -> None:
    scale = max(np.abs(expected).max(), 1e-3)
    np.testing.assert_allclose(np.asarray(found) / scale, np.asarray(expected) / scale, atol=tolerance, rtol=0, err_msg=what)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def run(function: Callable, arrays: Sequence[np.ndarray], request: str = "write", passes: int = 1) -> list[np.ndarray]:
    """The output of a function of NDArrays, and the gradients of the sum of its output times fixed random numbers."""
    inputs = [nd.array(each) for each in arrays]
    for each in inputs:
        each.attach_grad(request)
    for _ in range(passes):
        with mx.autograd.record():
            output = function(*inputs)
        output.backward(nd.array(random(*output.shape, seed=9)))
    return [output.asnumpy(), *(each.grad.asnumpy() for each in inputs)]


def run_symbol(function: Callable, arrays: Sequence[np.ndarray], request: str = "write", passes: int = 1) -> list[np.ndarray]:
    """The same of a function of symbols, bound to arrays."""
    names = [f"input{i}" for i in range(len(arrays))]
    graph = function(*map(mx.sym.var, names))
    gradients = [nd.zeros(each.shape) for each in arrays]
    executor = graph.bind(mx.cpu(), dict(zip(names, map(nd.array, arrays))), dict(zip(names, gradients)), request)
    for _ in range(passes):
        output = executor.forward(is_train=True)[0]
        executor.backward(nd.array(random(*output.shape, seed=9)))
    return [output.asnumpy(), *(each.asnumpy() for each in gradients)]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray], passes: int = 1, tolerance: float = FORWARD) -> None:
    """Outputs, and gradients that were added up over so many passes."""
    assert_close(found[0], expected[0], tolerance)
    for i, (gradient, other) in enumerate(zip(found[1:], expected[1:])):
        assert_close(gradient, passes * other, GRADIENT, f"gradient of input {i}")


# ---- The operators in numpy, and their derivatives


def numpy_prelu(data: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.where(data > 0, data, alpha.reshape(-1, *[1] * (data.ndim - 2)) * data)


def numpy_max_pool(data: np.ndarray, kernel: int) -> np.ndarray:
    """Of (N, C, H, W); windows may reach beyond the border."""
    rows, columns = (max(0, -((kernel - length) // 2)) + 1 for length in data.shape[2:])
    windows = [
        [data[:, :, 2 * r : 2 * r + kernel, 2 * c : 2 * c + kernel].max((2, 3)) for c in range(columns)] for r in range(rows)
    ]
    return np.array(windows).transpose(2, 3, 0, 1)


def numpy_layer(
    data: np.ndarray, weight: np.ndarray, bias: np.ndarray, alpha: np.ndarray | None = None, pool: int = 0, stride: int = 1
) -> np.ndarray:
    if alpha is not None:
        data = numpy_prelu(data.transpose(0, 3, 1, 2), alpha)
    if pool:
        data = numpy_max_pool(data, pool)
    windows = np.lib.stride_tricks.sliding_window_view(data, weight.shape[2:], (2, 3))  # (N, C, H', W', k, k)
    return np.einsum("nchwij,ocij->nhwo", windows[:, :, ::stride, ::stride], weight, optimize=True) + bias


def assert_derivatives(function: Callable, arrays: Sequence[np.ndarray], gradients: Sequence[np.ndarray]) -> None:
    """Gradients are the central differences of a function in numpy: at a few places each, and along a random direction."""
    arrays = [each.astype(np.float64) for each in arrays]
    head = random(*function(*arrays).shape, seed=9)

    def slope(index: int, step: np.ndarray) -> float:
        up, down = ([*arrays[:index], arrays[index] + sign * 1e-7 * step, *arrays[index + 1 :]] for sign in (1, -1))
        return float(((function(*up) - function(*down)) * head).sum() / 2e-7)

    generator = np.random.default_rng(0)
    for index, gradient in enumerate(gradients):
        scale = max(np.abs(gradient).max(), 1e-3)
        for place in generator.choice(gradient.size, min(gradient.size, 5), replace=False):
            step = np.zeros(gradient.size)
            step[place] = 1
            difference = slope(index, step.reshape(gradient.shape)) - gradient.reshape(-1)[place]
            assert abs(difference) < GRADIENT * scale, (index, place)
        step = generator.normal(size=gradient.shape)
        difference = slope(index, step) - (gradient.astype(np.float64) * step).sum()
        assert abs(difference) < GRADIENT * scale * np.sqrt(gradient.size), index


# ---- prelu


def stock_prelu(data: Any, alpha: Any) -> Any:
    return nd.LeakyReLU(data, alpha, act_type="prelu")


NET_PRELUS = [(n, *rest) for n in (1, 2, 5) for rest in [(64, 3, 3), (128,), (128, 3, 3), (256,)]]
PRELUS = [
    *NET_PRELUS, (1, 1), (3, 1), (1, 7), (4, 17), (384, 130), (2, 3, 1), (3, 10, 7), (2, 16, 64), (2, 17, 65), (40, 3, 129),
    (1, 1, 1, 1), (2, 10, 1, 5), (3, 16, 7, 9), (2, 28, 22, 22), (384, 10, 10, 10), (2, 3, 4, 5, 6),
]  # fmt: skip


@pytest.mark.parametrize("shape", PRELUS)
def test_prelu(shape: tuple[int, ...]) -> None:
    arrays = random(*shape), random(shape[1], seed=1)
    found = run(nd.prelu, arrays)
    assert_same(found, run(stock_prelu, arrays))
    assert_same(run_symbol(mx.sym.prelu, arrays), found)
    assert_close(found[0], numpy_prelu(*arrays), FORWARD)
    assert_derivatives(numpy_prelu, arrays, found[1:])
    portable = run(functools.partial(portable_prelu, nd), arrays)
    assert_same(portable, found)


def test_prelu_at_zero_and_infinity() -> None:
    data = np.array([[0, -0.0, 1, -1, np.inf, -np.inf, 1e-45, -1e-45, 3e38]], np.float32)
    for function in (nd.prelu, stock_prelu, functools.partial(portable_prelu, nd)):
        output, gradient, _ = run(function, (data, np.full(9, 0.5, np.float32)))
        np.testing.assert_array_equal(output, np.array([[0, 0, 1, -0.5, np.inf, -np.inf, 1e-45, -0.0, 3e38]], np.float32))
        slopes = gradient / random(1, 9, seed=9)
        np.testing.assert_allclose(np.delete(slopes, [0, 1], 1), [[1, 0.5, 1, 0.5, 1, 0.5, 1]], rtol=1e-6)


# ---- max_pool


def stock_max_pool(data: Any, kernel: int) -> Any:
    return nd.Pooling(data, kernel=(kernel, kernel), stride=(2, 2), pool_type="max", pooling_convention="full")


NET_POOLS = [
    (n, *rest) for n in (1, 2, 5)
    for rest in [(10, 10, 10, 2), (28, 22, 22, 3), (48, 9, 9, 3), (32, 46, 46, 3), (64, 21, 21, 3), (64, 8, 8, 2)]
]  # fmt: skip
POOLS = [
    *NET_POOLS, (384, 10, 10, 10, 2), *((2, 3, h, w, k) for h in (3, 4, 5) for w in (3, 4, 7, 33, 65) for k in (2, 3)),
    (1, 10, 38, 55, 2), (1, 1, 3, 3, 3), (3, 130, 5, 7, 3), (300, 5, 6, 5, 2),
]  # fmt: skip


@pytest.mark.parametrize("case", POOLS)
def test_max_pool(case: tuple[int, ...]) -> None:
    *shape, kernel = case
    arrays = (random(*shape),)
    found = run(functools.partial(nd.max_pool, kernel=kernel), arrays)
    assert_same(found, run(functools.partial(stock_max_pool, kernel=kernel), arrays))
    assert_same(run_symbol(functools.partial(mx.sym.max_pool, kernel=kernel), arrays), found)
    if found[0].size < 3000:
        np.testing.assert_array_equal(found[0], numpy_max_pool(arrays[0], kernel))
        assert_derivatives(functools.partial(numpy_max_pool, kernel=kernel), arrays, found[1:])


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (2, 2), (2, 40), (40, 2), (1, 33)])
def test_max_pool_smaller_than_its_kernel(size: tuple[int, int], kernel: int) -> None:
    arrays = (random(3, 5, *size),)
    found = run(functools.partial(nd.max_pool, kernel=kernel), arrays)
    np.testing.assert_array_equal(found[0], numpy_max_pool(arrays[0], kernel))
    assert_derivatives(functools.partial(numpy_max_pool, kernel=kernel), arrays, found[1:])


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 7), (9, 33), (10, 10)])
def test_each_window_gives_its_gradient_to_one_of_its_largest_values(size: tuple[int, int], kernel: int) -> None:
    generator = np.random.default_rng(0)
    for values in ([0, 1], [-np.inf, 0], [-np.inf], [3, 3]):
        data = generator.choice(values, (4, 3, *size)).astype(np.float32)
        output, gradient = run(functools.partial(nd.max_pool, kernel=kernel), (data,))
        head = random(*output.shape, seed=9)
        np.testing.assert_allclose(gradient.sum((2, 3)), head.sum((2, 3)), atol=1e-4)
        if max(values) > min(values):
            is_largest_somewhere = np.zeros(data.shape, bool)
            for r, c in np.ndindex(output.shape[2:]):
                window = (..., slice(2 * r, 2 * r + kernel), slice(2 * c, 2 * c + kernel))
                is_largest_somewhere[window] |= data[window] == output[..., r, c, None, None]
            assert not gradient[~is_largest_somewhere].any()


# ---- prelu_pool_conv


def stock_layer(data: Any, weight: Any, bias: Any, alpha: Any = None, pool: int = 0, stride: int = 1) -> Any:
    if alpha is not None:
        data = stock_prelu(nd.transpose(data, (0, 3, 1, 2)), alpha)
    if pool:
        data = stock_max_pool(data, pool)
    sizes = {"kernel": weight.shape[2:], "stride": (stride, stride), "num_filter": weight.shape[0]}
    output = nd.Convolution(data, weight, bias, **sizes)
    return nd.transpose(output, (0, 2, 3, 1))


def net_layers() -> Iterator[tuple[int, ...]]:
    """(H, W, C, pool, kernel, filters) of every `prelu_pool_conv` of the three nets; the first of each net has pool -1."""
    for net in NETS.values():
        side, channels, pool, is_first = net.size, 3, 0, True
        for kind, *arguments in net.layers:
            if kind == "pool":
                pool = arguments[0]
            if kind != "conv":
                continue
            filters, kernel = arguments
            yield side, side, channels, -1 if is_first else pool, kernel, filters
            side = (max(0, -((pool - side) // 2)) + 1 if pool else side) - kernel + 1
            channels, pool, is_first = filters, 0, False
    yield from [(1, 1, 32, 0, 1, 6), (1, 1, 32, 0, 1, 16)]  # the heads of P-Net


def layer_inputs(n: int, h: int, w: int, c: int, pool: int, kernel: int, filters: int) -> tuple[np.ndarray, ...]:
    """data, weight, bias and, unless it is a first layer, alpha."""
    data = random(n, c, h, w) if pool < 0 else random(n, h, w, c)
    weight, bias = random(filters, c, kernel, kernel) / np.float32(kernel * np.sqrt(c)), random(filters, seed=1)
    return (data, weight, bias) if pool < 0 else (data, weight, bias, random(c, seed=2))


def check_layer(case: tuple[int, ...], stride: int = 1) -> None:
    arrays, pool = layer_inputs(*case), case[4]
    options = {"pool": pool} if pool > 0 else {"stride": stride}
    tolerance = FORWARD * max(1, np.sqrt(arrays[1][0].size) / 12)  # sums of many products are not that exact
    ours, by_symbol, stock, reference = (
        functools.partial(function, **options)
        for function in (nd.prelu_pool_conv, mx.sym.prelu_pool_conv, stock_layer, numpy_layer)
    )
    found, others = run(ours, arrays), [run_symbol(by_symbol, arrays)]
    if min(case[1:3]) >= pool:  # stock pooling takes nothing smaller than its kernel
        others.append(run(stock, arrays))
    if pool < 0:  # a first layer: the gradient of data is NaN
        assert np.isnan(found.pop(1)).all() and np.isnan(others[0][1]).all()
        others = [[output, *gradients] for output, _, *gradients in others]
        reference = functools.partial(reference, arrays[0])
    for other in others:
        assert_same(found, other, tolerance=tolerance)
    if found[0].size * arrays[1][0].size < 1e6:
        arrays = arrays[len(arrays) - len(found) + 1 :]
        assert_close(found[0], reference(*(each.astype(np.float64) for each in arrays)), tolerance)
        assert_derivatives(reference, arrays, found[1:])


@pytest.mark.parametrize("layer", sorted(set(net_layers())))
def test_the_layers_of_the_nets(layer: tuple[int, ...]) -> None:
    is_of_pnet = layer in itertools.islice(net_layers(), 3) or layer[0] == 1
    for batch in (1, 2, 5, 384) if is_of_pnet else (1, 2, 5):
        check_layer((batch, *layer))


@pytest.mark.parametrize("pool", [-1, 0, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 3, 10, 16, 17, 28, 48, 64, 130])
def test_layers_of_any_channels(channels: int, kernel: int, pool: int) -> None:
    for filters, size in zip((1, 17, 48, 130), [(7, 9), (9, 7), (8, 8), (7, 10)]):
        check_layer((2, *size, channels, pool, kernel, filters))


@pytest.mark.parametrize("pool", [-1, 0, 2, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (3, 3), (1, 2), (33, 1), (1, 34)])
def test_layers_of_the_smallest_sizes(size: tuple[int, int], pool: int) -> None:
    for batch, channels in ((1, 1), (3, 2), (7, 17), (50, 3)):
        check_layer((batch, *size, channels, pool, 1, 5))


@pytest.mark.parametrize(
    "case",
    [
        (1, 150, 130, 3, -1, 3, 10), (1, 101, 199, 10, 2, 3, 16), (1, 38, 55, 10, 2, 3, 16), (1, 17, 26, 16, 0, 3, 32),
        (1, 700, 40, 2, 3, 2, 5), (1, 3, 900, 40, 0, 3, 7), (26, 3, 3, 130, 0, 3, 130), (30, 4, 5, 1, 2, 2, 65),
    ],
)  # fmt: skip
def test_large_and_odd_layers(case: tuple[int, ...]) -> None:
    check_layer(case)


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("kernel", [1, 3, 4, 8])
def test_first_layers_with_a_stride(kernel: int, stride: int) -> None:
    for batch, height, width in ((1, 34, 34), (7, 35, 9), (2, 8, 13), (50, 11, 8), (1, 500, 91), (1, 17, 400)):
        for channels, filters in ((3, 16), (1, 5), (5, 65)) if height < 34 else ((3, 16),):
            check_layer((batch, height, width, channels, -1, kernel, filters), stride)


# ---- Gradients written and added, graphs


CASES = {
    "prelu": (lambda F: F.prelu, (random(3, 17, 5, 7), random(17))),
    "prelu of a matrix": (lambda F: F.prelu, (random(3, 17), random(17))),
    "max_pool 2": (lambda F: functools.partial(F.max_pool, kernel=2), (random(3, 5, 7, 9),)),
    "max_pool 3": (lambda F: functools.partial(F.max_pool, kernel=3), (random(3, 5, 7, 9),)),
    "layer": (lambda F: functools.partial(F.prelu_pool_conv, pool=3), layer_inputs(3, 7, 9, 17, 3, 2, 10)),
    "layer without pool": (lambda F: F.prelu_pool_conv, layer_inputs(3, 7, 9, 17, 0, 2, 10)),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_added_up_if_asked(name: str) -> None:
    operator, arrays = CASES[name]
    once = run(operator(nd), arrays)
    assert_same(run(operator(nd), arrays, "add", passes=3), once, passes=3)
    assert_same(run(operator(nd), arrays, "write", passes=3), once)
    assert_same(run_symbol(operator(mx.sym), arrays, "add", passes=3), once, passes=3)
    assert_same(run_symbol(operator(mx.sym), arrays, "write", passes=3), once)


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_of_a_first_layer_are_added_up_if_asked(stride: int) -> None:
    arrays = layer_inputs(3, 7, 9, 3, -1, 2, 10)
    function, by_symbol = (functools.partial(F.prelu_pool_conv, stride=stride) for F in (nd, mx.sym))
    once = run(function, arrays)
    for found in (run(function, arrays, "add", 3), run_symbol(by_symbol, arrays, "add", 3)):
        assert_same(found[:1] + found[2:], once[:1] + once[2:], passes=3)


@pytest.mark.parametrize("count", [1, 2, 7, 8, 12])  # from eight on, MXNet adds gradients up in another way
@pytest.mark.parametrize("name", CASES)
def test_several_operators_may_take_the_same_arrays(name: str, count: int) -> None:
    operator, arrays = CASES[name]

    def several(F: Any) -> Callable:
        def function(*inputs: Any) -> Any:
            inputs = tuple(each * 1.0 for each in inputs)  # what an operator computed
            outputs = [operator(F)(*inputs) for _ in range(count)]
            return functools.reduce(lambda total, each: total + each, outputs)

        return function

    once = run(operator(nd), arrays)
    expected = [count * each for each in once]
    assert_same(run(several(nd), arrays), expected)
    assert_same(run_symbol(several(mx.sym), arrays), expected)
    assert_same(run_symbol(several(mx.sym), arrays, "add", passes=3), expected, passes=3)


@pytest.mark.parametrize("name", CASES)
def test_a_graph_can_be_saved_and_knows_its_output_shape(name: str) -> None:
    operator, arrays = CASES[name]
    graph = operator(mx.sym)(*(mx.sym.var(f"input{i}") for i in range(len(arrays))))
    graph = mx.sym.load_json(graph.tojson())
    known = {f"input{i}": each.shape for i, each in enumerate(arrays)}  # all: see `mxnet_operators`
    shapes, outputs, _ = graph.infer_shape(**known)
    assert dict(zip(graph.list_arguments(), shapes)) == {f"input{i}": each.shape for i, each in enumerate(arrays)}
    assert outputs == [run(operator(nd), arrays)[0].shape]


class Operators(mx.gluon.nn.HybridBlock):
    """Every operator with gradients, in one graph."""

    def __init__(self, prelu: str = "native") -> None:
        super().__init__(prefix="")
        self.kind = prelu
        shapes = {"w1": (10, 3, 3, 3), "w2": (17, 10, 2, 2), "a1": (10,), "a2": (17,), "b1": (10,), "b2": (17,)}
        for name, shape in shapes.items():
            setattr(self, name, self.params.get(name, shape=shape))

    def hybrid_forward(self, F: Any, x: Any, w1: Any, w2: Any, a1: Any, a2: Any, b1: Any, b2: Any) -> Any:
        """(N, 3, H, W) -> (N, 17, H', W')."""
        if self.kind == "native":
            x = F.prelu_pool_conv(F.prelu_pool_conv(x, w1, b1), w2, b2, a1, 3)
            x = F.prelu(F.transpose(x, (0, 3, 1, 2)), a2)
            return F.max_pool(x, kernel=2) + F.max_pool(F.prelu(x, a2))
        pool = functools.partial(F.Pooling, stride=(2, 2), pool_type="max", pooling_convention="full")
        kinds = {"portable": functools.partial(portable_prelu, F), "stock": functools.partial(F.LeakyReLU, act_type="prelu")}
        prelu = kinds[self.kind]
        x = F.Convolution(x, w1, b1, kernel=(3, 3), num_filter=10)
        x = F.Convolution(pool(prelu(x, a1), kernel=(3, 3)), w2, b2, kernel=(2, 2), num_filter=17)
        x = prelu(x, a2)
        return pool(x, kernel=(2, 2)) + pool(prelu(x, a2), kernel=(2, 2))


def gradients_of(block: Any, batches: Sequence[np.ndarray], request: str = "write") -> list[dict[str, np.ndarray]]:
    """Gradients of the parameters after each batch."""
    block.initialize(force_reinit=True)
    for name, parameter in block.collect_params().items():
        parameter.grad_req = request
        parameter.set_data(nd.array(random(*parameter.shape, seed=len(name)) / 3))
    results = []
    for batch in batches:
        with mx.autograd.record():
            output = block(nd.array(batch))
        output.backward(nd.array(random(*output.shape, seed=9)))
        results.append({name: each.grad().asnumpy() for name, each in block.collect_params().items()})
    return results


SIZES = [(3, 12, 15), (1, 9, 9), (5, 12, 15), (3, 12, 15), (2, 40, 8), (1, 9, 9)]
BATCHES = [random(count, 3, *size) for count, *size in SIZES]


@pytest.mark.parametrize("request_", ["write", "add"])
@pytest.mark.parametrize("flags", [{}, {"static_alloc": True}, {"static_alloc": True, "static_shape": True}, None])
def test_hybridized_blocks_of_many_shapes(flags: dict[str, bool] | None, request_: str) -> None:
    block, plain = Operators(), Operators("stock")
    if flags is not None:
        block.hybridize(**flags)
    expected = gradients_of(plain, BATCHES, request_)
    for found, other in zip(gradients_of(block, BATCHES, request_), expected):
        for name, gradient in found.items():
            assert_close(gradient, other[name], GRADIENT, name)


@pytest.mark.parametrize("kind", ["stock", "portable", "native"])
def test_only_stock_slopes_go_wrong_when_hybridized(kind: str) -> None:
    """MXNet 1.9.1 lets `LeakyReLU` overwrite its input, and then takes the gradient of the slopes from its output."""
    block, plain = Operators(kind), Operators(kind)
    block.hybridize()
    found, expected = gradients_of(block, BATCHES[:1])[0], gradients_of(plain, BATCHES[:1])[0]
    is_right = all(np.allclose(found[name], expected[name], atol=1e-3) for name in ("a1", "a2"))
    assert is_right == (kind != "stock")
    for name in ("w1", "b1", "w2", "b2"):
        assert_close(found[name], expected[name], GRADIENT, name)


# ---- NaN


@pytest.mark.filterwarnings("ignore:invalid value")  # numpy, of 0 * inf
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("operator", "reference", "shape"),
    [
        (lambda x: nd.prelu(x, nd.ones(5)), lambda x: x, (2, 5, 4, 9)),
        (lambda x: nd.prelu(x, nd.ones(5)), lambda x: x, (2, 5, 9, 9)),
        (lambda x: nd.prelu(x, nd.zeros(5)), lambda x: np.where(x > 0, x, x * 0), (2, 5)),
        (lambda x: portable_prelu(nd, x, nd.ones(5)), lambda x: x, (2, 5, 4, 9)),
        (lambda x: nd.max_pool(x, kernel=2), lambda x: numpy_max_pool(x, 2), (2, 2, 5, 9)),
        (lambda x: nd.max_pool(x, kernel=3), lambda x: numpy_max_pool(x, 3), (2, 2, 5, 9)),
        (lambda x: nd.max_pool(x, kernel=3), lambda x: numpy_max_pool(x, 3), (1, 1, 3, 40)),
    ],
)
def test_not_a_number_is_not_hidden(operator: Callable, reference: Callable, shape: tuple[int, ...], value: float) -> None:
    for place in range(np.prod(shape)):
        data = random(*shape)
        data.reshape(-1)[place] = value
        np.testing.assert_array_equal(operator(nd.array(data)).asnumpy(), reference(data))


@pytest.mark.parametrize("pool", [-1, 0, 2, 3])
def test_not_a_number_is_not_hidden_by_a_layer(pool: int) -> None:
    data, weight, bias, *alpha = layer_inputs(2, 5, 6, 3, pool, 2, 5)
    for place in range(data.size):
        data.reshape(-1)[place] = np.nan
        inputs = [nd.array(each) for each in (data, weight, bias, *alpha)]
        found = nd.prelu_pool_conv(*inputs, pool=max(pool, 0)).asnumpy()
        np.testing.assert_array_equal(np.isnan(found), np.isnan(numpy_layer(data, weight, bias, *alpha, pool=max(pool, 0))))
        data.reshape(-1)[place] = 0.5


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("where", ["input", "head"])
def test_not_a_number_is_seen_in_gradients(name: str, where: str) -> None:
    operator, arrays = CASES[name]
    inputs = [nd.array(each) for each in arrays]
    for each in inputs:
        each.attach_grad()
    if where == "input":
        inputs[0][1, 2] = np.nan
    with mx.autograd.record():
        output = operator(nd)(*inputs)
    head = nd.ones_like(output)
    if where == "head":
        head[1, 0] = np.nan
    output.backward(head)
    # A pooling passes gradients on whatever the values are; else NaN times something is in the parameters' gradients.
    is_seen = [np.isnan(each.grad.asnumpy()).any() for each in inputs]
    assert any(is_seen) or (where == "input" and name.startswith("max_pool"))


# ---- negativemining


def oracle_mask(logits: np.ndarray, label: np.ndarray, keep_ratio: float) -> np.ndarray:
    """The hardest of the samples labelled 0 or 1, by how far the other class's logit is above their own."""
    margin = np.where(label == 1, logits[:, 0] - logits[:, 1], logits[:, 1] - logits[:, 0])
    is_nan = np.isnan(margin)
    order = np.lexsort((np.arange(len(label)), -np.where(is_nan, 0, margin), ~is_nan))
    order = order[np.isin(label[order], (0, 1))]
    mask = np.zeros(len(label), np.float32)
    mask[order[: max(1, int(np.floor(keep_ratio * len(order) + 1e-6)))]] = 1
    return mask


RATIOS = [0.7, 0.7, 0.7, 1.0, 0.5, 0.3, 0.1, 0.01, 1e-9, 1e-30, 0.999999, 1 / 3]
LABELS = [[0, 1], [0, 1, -1, -2], [0], [1], [-1, -2], [0, -1], [1, -2, -2, -2], [0, 1, 0.5, 2, np.nan]]


def random_batches(count: int) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    generator = np.random.default_rng(0)
    for i in range(count):
        size = int(generator.choice([90, 170, 180])) if i % 10 == 0 else int(generator.integers(1, 201))
        logits = generator.normal(size=(size, 2)).astype(np.float32)
        if i % 3 == 1:
            logits = np.round(logits)  # many ties
        if i % 4 == 2:
            is_special = generator.random(logits.shape) < generator.choice([0.02, 0.3])
            logits[is_special] = generator.choice([np.nan, np.inf, -np.inf, 0, -0.0, 3e38, -3e38, 1e-45], is_special.sum())
        if i % 50 == 3:
            logits[:] = logits[0]
        labels = LABELS[0] if i % 10 == 0 else LABELS[generator.integers(len(LABELS))]
        yield logits, generator.choice(labels, size).astype(np.float32), RATIOS[generator.integers(len(RATIOS))]


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
def test_mining_agrees_with_the_oracle() -> None:
    for logits, label, ratio in random_batches(10_000):
        mask = nd.negativemining(nd.array(logits), nd.array(label), keep_ratio=ratio).asnumpy()
        if not np.array_equal(mask, oracle_mask(logits, label, ratio)):
            np.testing.assert_array_equal(mask, oracle_mask(logits, label, ratio), f"{logits} {label} {ratio}")


def portable_mining(logits: Any, label: Any, keep_ratio: float = 0.7) -> Any:
    return nd.Custom(logits, label, keep_ratio=keep_ratio, op_type="negativemining")


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
def test_portable_mining_agrees_with_the_native() -> None:
    for logits, label, ratio in random_batches(1000):
        inputs = nd.array(logits), nd.array(label)
        mask = portable_mining(*inputs, keep_ratio=ratio).asnumpy()
        np.testing.assert_array_equal(mask, nd.negativemining(*inputs, keep_ratio=ratio).asnumpy())


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (2, 1), (10, 7), (90, 63), (170, 119), (180, 126), (200, 140), (384, 268)])
def test_mining_keeps_the_same_number_whatever_rounding_does(count: int, kept: int) -> None:
    """0.7 * 90 is 62.999999999999993 in double precision."""
    logits, label = random(count, 2), np.arange(count) % 2
    for function in (nd.negativemining, portable_mining):
        assert function(nd.array(logits), nd.array(label)).sum().asscalar() == kept
        assert function(nd.array(logits), nd.array(label), keep_ratio=1.0).sum().asscalar() == count
        assert function(nd.array(logits), nd.array(label - 2)).sum().asscalar() == 0


def test_mining_follows_the_cross_entropy() -> None:
    logits, label = random(50, 2), (np.arange(50) % 3 == 0).astype(int)
    loss = np.log(np.exp(logits).sum(1)) - logits[np.arange(50), label]
    mask = nd.negativemining(nd.array(logits), nd.array(label)).asnumpy()
    assert set(np.flatnonzero(mask)) == set(np.argsort(-loss)[:35])
    assert oracle_mask(logits, label, 0.7).tolist() == mask.tolist()


@pytest.mark.parametrize("request_", ["write", "add"])
@pytest.mark.parametrize("function", [lambda *inputs: nd.negativemining(*inputs), portable_mining])
def test_no_gradient_flows_through_the_mask(function: Callable, request_: str) -> None:
    logits, label = nd.array(random(40, 2)), nd.array(np.arange(40) % 2)
    for each in (logits, label):
        each.attach_grad(request_)
        each.grad[:] = 5
    with mx.autograd.record():
        mask = function(logits, label)
        loss = ((logits.sum(1) + label) * mask).sum()
    loss.backward()
    before = 5 if request_ == "add" else 0
    mask = mask.asnumpy()
    np.testing.assert_array_equal(logits.grad.asnumpy(), before + np.stack([mask, mask], 1))
    np.testing.assert_array_equal(label.grad.asnumpy(), before + mask)
    with mx.autograd.record():
        only_mask = function(logits, label) * 3
    before = logits.grad.asnumpy() if request_ == "add" else 0
    only_mask.backward()
    np.testing.assert_array_equal(logits.grad.asnumpy(), before + np.zeros((40, 2)))


@pytest.mark.parametrize("is_portable", [False, True])
def test_mining_in_a_graph(is_portable: bool) -> None:
    inputs = {"logits": nd.array(random(90, 2)), "label": nd.array(np.arange(90) % 2)}
    names = [mx.sym.var(name) for name in inputs]
    graph = mx.sym.Custom(*names, op_type="negativemining") if is_portable else mx.sym.negativemining(*names)
    assert graph.infer_shape(logits=(90, 2))[:2] == ([(90, 2), (90,)], [(90,)])
    gradients = {name: nd.ones_like(each) for name, each in inputs.items()}
    executor = graph.bind(mx.cpu(), inputs, gradients, "add")
    mask = executor.forward(is_train=True)[0].asnumpy()
    executor.backward(nd.ones((90,)))
    np.testing.assert_array_equal(mask, nd.negativemining(*inputs.values()).asnumpy())
    assert all((each.asnumpy() == 1).all() for each in gradients.values())


# ---- What is refused


def one(*shape: int, dtype: str = "float32") -> Any:
    return nd.ones(shape, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "uint8", "int64"])
@pytest.mark.parametrize(
    "call",
    [
        lambda F, *a: F.prelu(one(2, 3, dtype=a[0]), one(3, dtype=a[0])),
        lambda F, *a: F.prelu(one(2, 3), one(3, dtype=a[0])),
        lambda F, *a: F.max_pool(one(2, 3, 4, 4, dtype=a[0])),
        lambda F, *a: F.negativemining(one(2, 2, dtype=a[0]), one(2, dtype=a[0])),
        lambda F, *a: F.negativemining(one(2, 2), one(2, dtype=a[0])),
        lambda F, *a: F.prelu_pool_conv(one(2, 3, 4, 4, dtype=a[0]), one(2, 3, 1, 1, dtype=a[0]), one(2, dtype=a[0])),
        lambda F, *a: F.prelu_pool_conv(one(2, 4, 4, 3), one(2, 3, 1, 1), one(2), one(3, dtype=a[0])),
    ],
)
def test_other_types_are_refused(call: Callable, dtype: str) -> None:
    with pytest.raises(mx.base.MXNetError, match=r"custom operator 'mtcnn_(.|\n)*every input must be float32"):
        call(nd, dtype).wait_to_read()


def pool_with(kernel: Any) -> Any:
    return nd.max_pool(one(2, 3, 4, 4), kernel=kernel)


def mining_with(keep_ratio: Any) -> Any:
    return nd.negativemining(one(2, 2), one(2), keep_ratio=keep_ratio)


def layer_with(pool: Any, bfloat16: Any = 0) -> Any:
    return nd.mtcnn_prelu_pool_conv(one(2, 4, 4, 3), one(3), one(5, 3, 1, 1), one(5), pool=pool, bfloat16=bfloat16)


def first_layer_with(stride: Any, **others: Any) -> Any:
    return nd.mtcnn_prelu_pool_conv(one(2, 3, 4, 4), one(5, 3, 2, 2), one(5), **{"first": 1, "stride": stride, **others})


REFUSED = [
    (lambda: nd.prelu(one(3), one(3)), "prelu: data must be (N, C, ...), not (3)"),
    (lambda: nd.prelu(one(2, 3), one(4)), "prelu: alpha must be (3,) for data (2, 3), not (4)"),
    (lambda: nd.prelu(one(2, 3), one(3, 1)), "prelu: alpha must be (3,) for data (2, 3), not (3, 1)"),
    (lambda: nd.max_pool(one(2, 3)), "max_pool: data must be (N, C, H, W), not (2, 3)"),
    (lambda: nd.max_pool(one(2, 3, 4, 4, 4)), "max_pool: data must be (N, C, H, W), not (2, 3, 4, 4, 4)"),
    *((functools.partial(pool_with, k), f"max_pool: kernel must be 2 or 3, not {k}") for k in
      (0, 1, 4, -2, 2.5, "x", "", None, (2, 2), float("nan"), "2 3")),
    (lambda: nd.mtcnn_max_pool(one(2, 3, 4, 4), stride=2), "max_pool: unknown attribute stride; there is kernel"),
    (lambda: nd.mtcnn_prelu(one(2, 3), one(3), slope=1), "prelu: unknown attribute slope"),
    (lambda: nd.mtcnn_negativemining(one(2, 2), one(2), ratio=1), "negativemining: unknown attribute ratio; there is keep"),
    (lambda: nd.mtcnn_prelu_pool_conv(one(2, 4, 4, 3), one(3), one(5, 3, 1, 1), one(5), kernel=1),
     "prelu_pool_conv: unknown attribute kernel; there are first, pool, bfloat16 and stride"),
    (lambda: nd.mtcnn_prelu_pool_conv(one(2, 3, 4, 4), one(5, 3, 1, 1), one(5), first=1, pool=2), "prelu_pool_conv: pool"),
    (lambda: nd.mtcnn_prelu_pool_conv(one(2, 3, 4, 4), one(5, 3, 1, 1), one(5), first=2), "prelu_pool_conv: "),
    *((functools.partial(layer_with, 0, bfloat16=b), "prelu_pool_conv: bfloat16 must be 0 or 1") for b in (2, 0.5, "x", None)),
    *((functools.partial(first_layer_with, s), f"prelu_pool_conv: stride must be a whole number from 1 to 4, not {s}") for s in
      (0, 5, -1, 1.5, float("nan"), "x", "", None, (2, 2))),
    (lambda: nd.mtcnn_prelu_pool_conv(one(2, 4, 4, 3), one(3), one(5, 3, 1, 1), one(5), stride=2),
     "prelu_pool_conv: stride must be 1 without first=1"),
    (lambda: first_layer_with(2, bfloat16=1), "prelu_pool_conv: stride must be 1 with bfloat16=1"),
    (lambda: nd.prelu_pool_conv(one(2, 3, 4, 4), one(5, 3, 5, 5), one(5), stride=4),
     "prelu_pool_conv: data (2, 3, 4, 4) is too small for weight (5, 3, 5, 5)"),
    (lambda: nd.negativemining(one(2, 3), one(2)), "negativemining: logits must be (N, 2), not (2, 3)"),
    (lambda: nd.negativemining(one(4), one(2)), "negativemining: logits must be (N, 2), not (4)"),
    (lambda: nd.negativemining(one(2, 2), one(3)), "negativemining: label must be (2,), not (3)"),
    *((functools.partial(mining_with, r), f"negativemining: keep_ratio must be above 0 and at most 1, not {r}") for r in
      (0, -1, 1.0001, float("nan"), float("inf"), "x", None)),
    (lambda: nd.prelu_pool_conv(one(2, 4, 3), one(5, 3, 1, 1), one(5), one(3)), "prelu_pool_conv: data must have 4 axes"),
    (lambda: nd.prelu_pool_conv(one(2, 4, 4, 3), one(5, 4, 1, 1), one(5), one(3)),
     "prelu_pool_conv: weight must be (O, 3, k, k) for data (2, 4, 4, 3), not (5, 4, 1, 1)"),
    (lambda: nd.prelu_pool_conv(one(2, 4, 4, 3), one(5, 3, 1, 2), one(5), one(3)), "prelu_pool_conv: weight must be"),
    (lambda: nd.prelu_pool_conv(one(2, 4, 4, 3), one(5, 3, 1), one(5), one(3)), "prelu_pool_conv: weight must be"),
    (lambda: nd.prelu_pool_conv(one(2, 4, 4, 3), one(5, 3, 5, 5), one(5), one(3)),
     "prelu_pool_conv: data (2, 4, 4, 3) is too small for weight (5, 3, 5, 5)"),
    (lambda: nd.prelu_pool_conv(one(2, 4, 4, 3), one(5, 3, 1, 1), one(4), one(3)), "prelu_pool_conv: bias must be (5,)"),
    (lambda: nd.prelu_pool_conv(one(2, 4, 4, 3), one(5, 3, 1, 1), one(5), one(4)), "prelu_pool_conv: alpha must be (3,)"),
    *((functools.partial(layer_with, p), "prelu_pool_conv: pool must be 0, 2 or 3") for p in (1, 4, -2, 2.5, "x", None)),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_is_refused_by_name(call: Callable, message: str) -> None:
    with pytest.raises(mx.base.MXNetError) as caught:
        call().wait_to_read()
    assert message in str(caught.value)


def test_a_message_holds_nothing_of_those_before() -> None:
    for ratio in (2, 3, 4):
        with pytest.raises(mx.base.MXNetError) as caught:
            mining_with(ratio)
        assert str(caught.value).count("keep_ratio must be") == 1


def test_pooling_of_a_first_layer_is_refused() -> None:
    with pytest.raises((mx.base.MXNetError, ValueError), match="pool"):
        nd.prelu_pool_conv(one(2, 3, 4, 4), one(5, 3, 1, 1), one(5), pool=2).wait_to_read()


def test_a_stride_of_a_later_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="prelu_pool_conv: stride must be 1 with alpha"):
        nd.prelu_pool_conv(one(2, 4, 4, 3), one(5, 3, 2, 2), one(5), one(3), stride=2)


BAD_RATIOS = """
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators.mxnet_operators import register
mx, _ = load_mxnet(), register()
for ratio in (0, -1, 1.5, float("nan"), "x", None):
    try:
        mx.nd.Custom(mx.nd.ones((2, 2)), mx.nd.ones(2), keep_ratio=ratio, op_type="negativemining").wait_to_read()
    except (mx.base.MXNetError, ValueError) as error:
        print(f"{error}\\nrefused {ratio}", flush=True)
"""


def test_portable_mining_refuses_bad_ratios() -> None:
    """In a process of its own: an exception where MXNet expects none ends it."""
    run = subprocess.run([sys.executable, "-c", BAD_RATIOS], capture_output=True, text=True, timeout=60)
    refused = [line.removeprefix("refused ") for line in run.stdout.splitlines() if line.startswith("refused ")]
    assert refused == ["0", "-1", "1.5", "nan", "x", "None"]
    for ratio in refused:  # MXNet prints what it catches
        assert f"keep_ratio must be above 0 and at most 1, not {ratio}" in run.stdout


def mostly(usual: Sequence[Any]) -> st.SearchStrategy:
    odd = st.one_of(st.integers(-3, 9), st.floats(-2, 4), st.text(max_size=3), st.none(), st.booleans(), st.just((2, 2)))
    return st.one_of(st.sampled_from(list(usual)), st.sampled_from(list(usual)), odd)


def shapes(*usual: tuple[int, ...]) -> st.SearchStrategy:
    odd = st.lists(st.integers(1, 5), min_size=1, max_size=5).map(tuple)
    return st.one_of(*(st.just(each) for each in usual), odd)


CALLS = st.one_of(
    st.tuples(st.just("prelu"), st.tuples(shapes((2, 3), (2, 3, 4)), shapes((3,))), st.just({})),
    st.tuples(
        st.just("max_pool"), st.tuples(shapes((2, 3, 4, 5), (1, 1, 1, 1))), st.fixed_dictionaries({"kernel": mostly([2, 3])})
    ),
    st.tuples(
        st.just("negativemining"),
        st.tuples(shapes((3, 2), (1, 2)), shapes((3,), (1,))),
        st.fixed_dictionaries({"keep_ratio": mostly([0.7, 1.0])}),
    ),
    st.tuples(
        st.just("prelu_pool_conv"),
        st.tuples(shapes((2, 3, 4, 3), (1, 1, 1, 3)), shapes((5, 3, 2, 2), (1, 3, 1, 1)), shapes((5,), (1,)), shapes((3,))),
        st.fixed_dictionaries({"pool": mostly([0, 2, 3])}),
    ),
    st.tuples(
        st.just("prelu_pool_conv"),
        st.tuples(shapes((2, 3, 4, 4)), shapes((5, 3, 2, 2)), shapes((5,))),
        st.fixed_dictionaries({"stride": mostly([1, 2])}),
    ),
    st.tuples(
        st.sampled_from(["mtcnn_prelu", "mtcnn_max_pool", "mtcnn_negativemining", "mtcnn_prelu_pool_conv"]),
        st.lists(shapes((2, 3, 4, 3), (3,), (5, 3, 2, 2), (5,), (2, 2), (2,)), max_size=5).map(tuple),
        st.dictionaries(
            st.sampled_from(["kernel", "pool", "first", "bfloat16", "stride", "keep_ratio", "other", "__x__"]),
            mostly([0, 1, 2]),
        ),
    ),
)  # fmt: skip


@hypothesis.settings(max_examples=1500, derandomize=True, database=None, deadline=None)
@hypothesis.given(CALLS)
def test_no_shape_or_attribute_ends_the_process(call: tuple[str, tuple, dict[str, Any]]) -> None:
    name, inputs, attributes = call
    arrays = [one(*shape) for shape in inputs]
    for each in arrays:
        each.attach_grad()
    with contextlib.suppress(mx.base.MXNetError, TypeError, ValueError):
        with mx.autograd.record():
            output = getattr(nd, name)(*arrays, **attributes)
        output.backward()
        for each in (output, *(array.grad for array in arrays)):
            each.wait_to_read()
        return
    with contextlib.suppress(mx.base.MXNetError, TypeError, ValueError):  # refused: as a graph too
        names = [f"input{i}" for i in range(len(inputs))]
        graph = getattr(mx.sym, name)(*map(mx.sym.var, names), **attributes)
        graph.infer_shape(**dict(zip(names, inputs)))
        graph.simple_bind(mx.cpu(), **dict(zip(names, inputs)))
        raise AssertionError(f"refused as an array, taken as a graph: {call}")


# ---- The nets


def net_with(form: str, name: str, values: dict[str, np.ndarray]) -> CascadeNet:
    net = getattr(symbol, {"pnet": "PNet", "rnet": "RNet", "onet": "ONet"}[name])(form=form)
    set_parameters(net, values)
    return net


def random_parameters(name: str) -> dict[str, np.ndarray]:
    net = getattr(symbol, {"pnet": "PNet", "rnet": "RNet", "onet": "ONet"}[name])(form="portable")
    net.initialize()
    net(nd.zeros((1, 3, NETS[name].size, NETS[name].size)))
    values = {key: random(*each.shape, seed=i) for i, (key, each) in enumerate(net.collect_params().items())}
    return {key: each / np.float32(max(1, np.sqrt(np.prod(each.shape[1:])))) for key, each in values.items()}


def outputs_and_gradients(net: CascadeNet, images: np.ndarray) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    with mx.autograd.record():
        outputs = net(nd.array(images))
        loss = sum((each * nd.array(random(*each.shape, seed=9))).sum() for each in outputs)
    loss.backward()
    return [each.asnumpy() for each in outputs], {key: each.grad().asnumpy() for key, each in net.collect_params().items()}


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("is_hybridized", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_the_forms_of_a_net_agree(name: str, is_hybridized: bool, batch: int) -> None:
    values, size = random_parameters(name), NETS[name].size
    images = random(batch, 3, size, size)
    nets = {form: net_with(form, name, values) for form in ("native", "portable", "export")}
    if is_hybridized:
        for net in nets.values():
            net.hybridize()
    results = {form: outputs_and_gradients(net, images) for form, net in nets.items()}
    outputs, gradients = results["portable"]
    for form in ("native", "export"):
        for found, expected in zip(results[form][0], outputs):
            assert_close(found, expected, 1e-5, form)
        if form == "export" and is_hybridized:
            continue  # its slopes go wrong
        for key, found in results[form][1].items():
            assert_close(found, gradients[key], GRADIENT, f"{form} {key}")


@pytest.mark.parametrize("size", [(12, 12), (13, 12), (31, 46), (64, 77), (12, 200)])
def test_the_forms_of_pnet_agree_on_larger_images(size: tuple[int, int]) -> None:
    values, images = random_parameters("pnet"), random(1, 3, *size)
    expected = net_with("portable", "pnet", values)(nd.array(images))
    for form in ("native", "export"):
        for found, other in zip(net_with(form, "pnet", values)(nd.array(images)), expected):
            assert_close(found.asnumpy(), other.asnumpy(), 1e-5, form)


@pytest.mark.parametrize("is_hybridized", [False, True])
@pytest.mark.parametrize("shape", [(7, 3, 34, 34), (1, 3, 61, 203)])
def test_the_forms_of_a_strided_net_agree(shape: tuple[int, ...], is_hybridized: bool) -> None:
    values = {
        name: random(*sizes, seed=i) / np.float32(max(1, np.sqrt(np.prod(sizes[1:]))))
        for i, (name, sizes) in enumerate(parameter_shapes("net", STRIDED_NET).items())
    }
    results = {}
    for form in ("native", "portable", "export"):
        net = CascadeNet(STRIDED_NET, "net_", form)
        set_parameters(net, values)
        if is_hybridized:
            net.hybridize()
        results[form] = outputs_and_gradients(net, random(*shape))
    outputs, gradients = results["portable"]
    for form in ("native", "export"):
        for found, expected in zip(results[form][0], outputs):
            assert_close(found, expected, 1e-5, form)
    for key, found in results["native"][1].items():
        assert_close(found, gradients[key], GRADIENT, key)
