"""The package's operators against MXNet's, numpy's and OpenCV's, in one run.

    python tests/benchmarks/operators.py

Prints the median times of interleaved calls; "x 3.0" means that ours is three times as fast. MXNet and the kernels use
OMP_NUM_THREADS threads, OpenCV as many as it likes.
"""

from typing import Any, Callable

import cv2
import numpy as np
from contest import medians, row

from mtcnn_gluon.config import NETS
from mtcnn_gluon.detection import pyramid
from mtcnn_gluon.layers import view_of
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators import crop_resize, nms
from mtcnn_gluon.operators.crop_resize import _crop_resize
from mtcnn_gluon.operators.mxnet_operators import register
from mtcnn_gluon.symbol.blocks import CascadeNet, FaceProbability

mx = load_mxnet()
Operator = Callable[[Any, Any], Any]  # from F and the input
BATCH = 384
SHAPES = {"pnet": (BATCH, 10, 10, 10), "rnet": (BATCH, 28, 22, 22), "onet": (BATCH, 32, 46, 46)}  # after the first convolution


def main() -> None:
    """Run every comparison."""
    if reason := register():
        raise SystemExit(f"there are no native operators to measure: {reason}")
    for name, shape in SHAPES.items():
        compare_prelu(name, shape)
        compare_pooling(name, shape, NETS[name].layers[1][1])
    compare_mining()
    compare_nms()
    compare_crops()
    compare_pyramid()


def compare_prelu(name: str, shape: tuple[int, ...]) -> None:
    """PReLU after the first convolution of a net."""
    slope = dict(shape=(shape[1],), val=0.25)

    def stock(F: Any, x: Any) -> Any:
        return F.LeakyReLU(x, F.full(**slope), act_type="prelu")

    compare(f"prelu, {name}", shape, lambda F, x: F.prelu(x, F.full(**slope)), stock)


def compare_pooling(name: str, shape: tuple[int, ...], kernel: int) -> None:
    """Pooling after the first convolution of a net."""
    options = dict(kernel=(kernel, kernel), stride=(2, 2), pool_type="max", pooling_convention="full")
    compare(f"max_pool, {name}", shape, lambda F, x: F.max_pool(x, kernel), lambda F, x: F.Pooling(x, **options))


class Alone(mx.gluon.HybridBlock):
    """An operator behind a copy of its input, which stands for the layer before it in a net."""

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self._operator = operator
        self.hybridize(static_alloc=True, static_shape=True)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        """The operator's output."""
        return self._operator(F, F.identity(x))


def compare(label: str, shape: tuple[int, ...], ours: Operator, stock: Operator) -> None:
    """An operator against its stock counterpart in hybridized blocks, forward and with the backward pass."""
    x = mx.nd.random.normal(shape=shape)
    blocks = {"ours": Alone(ours), "MXNet": Alone(stock)}

    def train(block: Any) -> None:
        with mx.autograd.record():
            y = block(x)
        y.backward()
        mx.nd.waitall()

    forward = {name: lambda block=block: block(x).wait_to_read() for name, block in blocks.items()}
    print(row(f"{label}, forward", "ours", medians(forward)))
    x.attach_grad()
    both = {name: lambda block=block: train(block) for name, block in blocks.items()}
    print(row(f"{label}, forward and backward", "ours", medians(both)))


def compare_mining() -> None:
    """The native operator against its Python form and plain numpy."""
    generator = np.random.default_rng(0)
    logits, label = generator.standard_normal((BATCH, 2)).astype(np.float32), generator.choice([1.0, 0, 0, 0, -1, -2], BATCH)
    x, y = mx.nd.array(logits), mx.nd.array(label)

    def plain() -> np.ndarray:
        margin = np.where(label == 1, logits[:, 0] - logits[:, 1], logits[:, 1] - logits[:, 0])
        valid = np.flatnonzero((label == 0) | (label == 1))
        mask = np.zeros(BATCH, np.float32)
        mask[valid[np.argsort(-margin[valid], kind="stable")][: int(0.7 * len(valid) + 1e-6)]] = 1
        return mask

    contenders = {
        "ours": lambda: mx.nd.negativemining(x, y).wait_to_read(),
        "Python operator": lambda: mx.nd.Custom(x, y, op_type="negativemining").wait_to_read(),
        "numpy": plain,
    }
    print(row(f"negativemining, {BATCH} samples", "ours", medians(contenders)))


def compare_nms() -> None:
    """5,000 boxes against the loop that most ports have, one round of numpy calls a kept box."""
    generator = np.random.default_rng(0)
    corner = generator.uniform(0, 2000, (5000, 2))
    boxes = np.hstack([corner, corner + generator.uniform(12, 120, (5000, 1))]).astype(np.float32)
    scores = generator.random(5000).astype(np.float32)

    def loop() -> list[int]:
        x1, y1, x2, y2 = boxes.T
        areas, order, keep = (x2 - x1) * (y2 - y1), np.argsort(-scores, kind="stable"), []
        while len(order):
            best, rest = order[0], order[1:]
            keep.append(int(best))
            width = np.maximum(0, np.minimum(x2[best], x2[rest]) - np.maximum(x1[best], x1[rest]))
            height = np.maximum(0, np.minimum(y2[best], y2[rest]) - np.maximum(y1[best], y1[rest]))
            shared = width * height
            order = rest[shared <= 0.5 * (areas[best] + areas[rest] - shared)]
        return keep

    assert loop() == nms(boxes, scores, 0.5).tolist()
    print(row("nms, 5,000 boxes", "ours", medians({"ours": lambda: nms(boxes, scores, 0.5), "numpy loop": loop})))


def compare_crops() -> None:
    """128 crops of a VGA photo."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (480, 640, 3)).astype(np.uint8)
    corner = generator.uniform(0, 300, (128, 2))
    boxes = np.hstack([corner, corner + generator.uniform(20, 180, (128, 1))])

    def opencv(size: int) -> list[np.ndarray]:  # whole pixels, since it cannot do others
        parts = (image[int(y1) : int(y2), int(x1) : int(x2)] for x1, y1, x2, y2 in boxes)
        return [cv2.resize(part.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA) for part in parts]

    for size in (24, 48):
        contenders = {
            "ours": lambda size=size: crop_resize(image, boxes, size, 127.5, 1 / 128),
            "numpy": lambda size=size: _crop_resize(image, boxes, size),
            "OpenCV": lambda size=size: opencv(size),
        }
        print(row(f"crop_resize, 128 crops of {size}", "ours", medians(contenders)))


def compare_pyramid() -> None:
    """P-Net over all canvases of a VGA photo's pyramid, faces of 20 pixels and more."""
    view = view_of(NETS.pnet)
    levels = pyramid.plan_levels(480, 640, 20, 0.709, view)
    sources = pyramid.level_sources(np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8), levels)
    canvases = pyramid.plan_canvases(tuple((source.height, source.width) for source in sources), view)
    inputs = [mx.nd.array(pyramid.fill_canvas(canvas, sources, 127.5, 1 / 128)) for canvas in canvases]
    nets = {}
    for name, form in (("ours", "native"), ("MXNet", "export")):
        net = FaceProbability(CascadeNet(NETS.pnet, f"{form}_", form))  # type: ignore[arg-type]
        net.initialize(mx.init.Xavier())
        net.hybridize()
        nets[name] = net

    def scan(net: Any) -> None:
        for canvas in inputs:
            net(canvas)
        mx.nd.waitall()

    print(row("P-Net, pyramid of 640 x 480", "ours", medians({name: lambda net=net: scan(net) for name, net in nets.items()})))


if __name__ == "__main__":
    main()
