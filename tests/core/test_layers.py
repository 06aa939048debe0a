"""The walk over the layer tables: names and shapes as in figure 2 of the paper, and a builder for every kind."""

from typing import Any

import pytest

from mtcnn_gluon.bundles import onnx_nets
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.layers import KINDS, multiply_adds, walk

ONET = [  # name, inputs, channels, kernel, stride, side of the output, PReLU
    ("conv1", 3, 32, 3, 1, 46, "prelu1"), ("pool1", 32, 32, 3, 2, 23, None), ("conv2", 32, 64, 3, 1, 21, "prelu2"),
    ("pool2", 64, 64, 3, 2, 10, None), ("conv3", 64, 64, 3, 1, 8, "prelu3"), ("pool3", 64, 64, 2, 2, 4, None),
    ("conv4", 64, 128, 2, 1, 3, "prelu4"), ("dense1", 128, 256, 3, 1, 1, "prelu5"),
    ("cls", 256, 2, 1, 1, 1, None), ("box", 256, 4, 1, 1, 1, None), ("landmark", 256, 10, 1, 1, 1, None),
]  # fmt: skip


def test_onet() -> None:
    found = [
        (each.name, each.inputs, each.channels, each.kernel, each.stride, each.side, each.prelu) for each in walk(NETS.onet)
    ]
    assert found == ONET
    assert {each.kind for each in walk(NETS.onet) if each.is_head} == {"dense"}
    assert [each.weight for each in walk(NETS.onet) if each.kind == "dense"] == [(256, 1152), (2, 256), (4, 256), (10, 256)]


def test_heads_of_a_net_without_a_dense_layer_are_convolutions() -> None:
    assert [(each.kind, each.weight) for each in walk(NETS.pnet) if each.is_head] == [
        ("conv", (2, 32, 1, 1)), ("conv", (4, 32, 1, 1))
    ]  # fmt: skip


@pytest.mark.parametrize("row, side, stride", [
    (["conv", 8, 4, 2], 16, 2), (["conv", 8, 4, 4], 8, 4), (["conv", 8, 3, 2], 16, 2), (["conv", 8, 8, 5], 6, 5),
    (["conv", 8, 34, 34], 1, 34), (["conv", 8, 3, 1], 32, 1), (["conv", 8, 3], 32, 1),
])  # fmt: skip
def test_strides(row: list[Any], side: int, stride: int) -> None:
    layer, *_ = walk({"size": 34, "layers": [row], "landmarks": False})
    assert (layer.side, layer.stride, layer.weight) == (side, stride, (8, 3, row[2], row[2]))


@pytest.mark.parametrize("row", [["relu"], ["conv", 3], ["conv", 3, 13], [], "conv"])
def test_bad_rows(row: Any) -> None:
    with pytest.raises(ModelError, match=r"'layers\[0\]' must be "):
        list(walk({"size": 12, "layers": [row], "landmarks": False}))


@pytest.mark.parametrize("row, message", [
    (["conv", 3, 3, 1, 1], r'\["conv", channels, kernel\] or \["conv", channels, kernel, stride\] or \["pool"'),
    (["pool", 2], r'.* or \["pool", kernel, stride\] or \["dense", units\], got'),
    (["conv", 3, 3, 4], "a convolution whose stride is no larger than its kernel, got"),
    (["conv", 3, 3, 0], "made of whole numbers from 1 to"), (["conv", 3, 3, True], "made of whole numbers from 1 to"),
    (["conv", 3, 3, 1.0], "made of whole numbers from 1 to"), (["conv", 3, 3, None], "made of whole numbers from 1 to"),
])  # fmt: skip
def test_bad_strides(row: list[Any], message: str) -> None:
    with pytest.raises(ModelError, match=r"'layers\[0\]' must be " + message):
        list(walk({"size": 12, "layers": [row], "landmarks": False}))


def test_every_kind_has_its_builders() -> None:
    from mtcnn_gluon.symbol import blocks

    assert set(blocks._BUILDERS) == set(onnx_nets._BUILDERS) == set(KINDS)


def test_the_operations_of_a_net() -> None:
    """Against a count of every product, for the paper's nets and for others, on square and on long images."""

    def plain(table: dict, height: int, width: int) -> int:
        channels, total = 3, 0
        for kind, *numbers in table["layers"]:
            if kind == "pool":
                size, stride = numbers
                height, width = (-((size - side) // stride) + 1 for side in (height, width))
            elif kind == "conv":
                filters, size, stride = numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 1
                height, width = ((side - size) // stride + 1 for side in (height, width))
                for _ in range(height):
                    total += width * filters * size * size * channels
                channels = filters
            else:
                total += numbers[0] * channels * height * width
                channels, height, width = numbers[0], 1, 1
        heads = 2 + 4 + 10 * table["landmarks"]
        return total + heads * channels * height * width

    assert multiply_adds(NETS.pnet, 12, 12) == 27_000 + 12_960 + 4_608 + 192
    strided = {"size": 34, "layers": [["conv", 16, 4, 2], ["conv", 16, 3], ["pool", 2, 2], ["conv", 32, 3]], "landmarks": False}
    for table, height, width in (
        (NETS.pnet, 12, 12), (NETS.pnet, 640, 256), (NETS.pnet, 64, 131), (NETS.rnet, 24, 24), (NETS.onet, 48, 48),
        (strided, 64, 128), (strided, 63, 65),
    ):  # fmt: skip
        assert multiply_adds(table, height, width) == plain(table, height, width)
