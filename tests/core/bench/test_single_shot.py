"""YuNet and SCRFD: their decoding against plain loops, and small nets of the same form on real runtimes."""

import math
import sys
from pathlib import Path
from typing import Any, Sequence

import numpy as np
import pytest

from mtcnn_gluon.bench import single_shot
from mtcnn_gluon.bench.single_shot import ANCHORS, SIDE, STRIDES, Limits, scrfd, yunet_onnx, yunet_opencv

KINDS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
generator = np.random.default_rng(0)


def plain_yunet(outputs: dict[str, np.ndarray], width: int, least: float) -> list[list[float]]:
    """Box, score and points of every face, one by one."""
    faces = []
    for stride in STRIDES:
        cls, obj, box, points = (outputs[f"{kind}_{stride}"][0].tolist() for kind in KINDS)
        for cell in range(len(cls)):
            score = math.sqrt(min(max(cls[cell][0], 0), 1) * min(max(obj[cell][0], 0), 1))
            x, y = cell % (width // stride), cell // (width // stride)
            dx, dy, w, h = box[cell]
            left, top = (x + dx - math.exp(w) / 2) * stride, (y + dy - math.exp(h) / 2) * stride
            marks = [(place + (y if i % 2 else x)) * stride for i, place in enumerate(points[cell])]
            if score >= least:
                faces.append([left, top, left + math.exp(w) * stride, top + math.exp(h) * stride, score, *marks])
    return faces


def rows(found: single_shot.Arrays) -> np.ndarray:
    boxes, scores, points = found
    return np.hstack([boxes, scores[:, None], points.reshape(-1, 10)])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 96), (64, 32), (160, 192)])
@pytest.mark.parametrize("least", [0.0, 0.5, 2.0])
def test_decoding_yunet(height: int, width: int, least: float) -> None:
    outputs = {
        f"{kind}_{stride}": generator.normal(0.5, 0.5, (1, height * width // stride**2, size)).astype(np.float32)
        for kind, size in KINDS.items()
        for stride in STRIDES
    }
    found = single_shot.decode_yunet(outputs, height, width, least)
    expected = plain_yunet(outputs, width, least)
    assert len(expected) == len(found[1]) and (least < 2) == bool(len(expected))
    np.testing.assert_allclose(rows(found), np.reshape(expected, (-1, 15)), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("has_batch", [True, False])
@pytest.mark.parametrize("least", [0.9, 2.0])
def test_decoding_scrfd(least: float, has_batch: bool) -> None:
    counts = [ANCHORS * (SIDE // stride) ** 2 for stride in STRIDES]
    outputs = [generator.random((count, size)).astype(np.float32) for size in (1, 4, 10) for count in counts]
    expected = []
    for level, stride in enumerate(STRIDES):
        scores, boxes, points = (outputs[level + 3 * kind].tolist() for kind in range(3))
        for place in range(counts[level]):
            cell = place // ANCHORS
            x, y = cell % (SIDE // stride) * stride, cell // (SIDE // stride) * stride
            left, top, right, below = (value * stride for value in boxes[place])
            marks = [value * stride + (y if i % 2 else x) for i, value in enumerate(points[place])]
            if scores[place][0] >= least:
                expected.append([x - left, y - top, x + right, y + below, scores[place][0], *marks])
    found = single_shot.decode_scrfd([each[None] if has_batch else each for each in outputs], least)
    assert (least < 2) == bool(expected)
    np.testing.assert_allclose(rows(found), np.reshape(expected, (-1, 15)), rtol=1e-5, atol=1e-3)


def test_suppression() -> None:
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60], [1, 0, 11, 10], [0, 0, 10, 4.9]], np.float32)
    scores, points = np.array([0.7, 0.5, 0.9, 0.6], np.float32), np.arange(40, dtype=np.float32).reshape(4, 5, 2)
    kept = single_shot.suppressed(boxes, scores, points, Limits(0.1, 0.5))
    assert kept[1].tolist() == scores[[2, 3, 1]].tolist()
    assert kept[0].tolist() == boxes[[2, 3, 1]].tolist() and kept[2].tolist() == points[[2, 3, 1]].tolist()
    none = single_shot.suppressed(boxes[:0], scores[:0], points[:0], Limits(0.1, 0.5))
    assert [each.shape for each in none] == [(0, 4), (0,), (0, 5, 2)]


@pytest.mark.parametrize(
    ("height", "width", "factor", "size"),
    [(40, 60, 1, (40, 60)), (40, 60, 0.5, (20, 30)), (41, 61, 0.5, (20, 30)), (1, 9, 0.01, (1, 1)), (10, 20, 2, (20, 40))],
)
def test_scaling_knows_its_exact_scale(height: int, width: int, factor: float, size: tuple[int, int]) -> None:
    small, scale = single_shot._scaled(np.zeros((height, width, 3), np.uint8), factor)
    assert small.shape == (*size, 3)
    np.testing.assert_allclose(scale, [size[1] / width, size[0] / height])


# ---- small nets of the same form


def make_net(path: Path, heads: dict[str, tuple[int, int, Sequence[float]]], side: int, channel: int, shift: float) -> Path:
    """An ONNX file whose outputs are, for each cell, a share of the mean of one colour in it, or constants.

    `heads`: by name, the stride, the number of columns, and what is in every column: `nan` for that share.
    """
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install onnx")
    nodes, constants, outputs = [], [], []

    def constant(name: str, values: Any, kind: type = np.float32) -> str:
        constants.append(onnx.numpy_helper.from_array(np.array(values, kind), name))
        return name

    for name, (stride, columns, values) in heads.items():
        weight, bias = np.zeros((3, columns)), np.nan_to_num(np.array(values), nan=shift)
        weight[channel, np.isnan(values)] = 1 / 255 if shift == 0 else 0.5
        nodes.append(
            onnx.helper.make_node("AveragePool", ["input"], [f"{name}_a"], kernel_shape=[stride] * 2, strides=[stride] * 2)
        )
        nodes.append(onnx.helper.make_node("Transpose", [f"{name}_a"], [f"{name}_b"], perm=[0, 2, 3, 1]))
        nodes.append(
            onnx.helper.make_node("Reshape", [f"{name}_b", constant(f"{name}_s", [1, -1, 3], np.int64)], [f"{name}_c"])
        )
        nodes.append(onnx.helper.make_node("MatMul", [f"{name}_c", constant(f"{name}_w", weight)], [f"{name}_d"]))
        nodes.append(onnx.helper.make_node("Add", [f"{name}_d", constant(f"{name}_z", bias)], [name]))
        shape = [1, (side // stride) ** 2, columns]
        if name.startswith("out"):  # SCRFD: two faces a cell
            shape = [1, ANCHORS * (side // stride) ** 2, columns // ANCHORS]
            nodes[-1].output[0] = f"{name}_e"
            target = constant(f"{name}_t", [1, -1, columns // ANCHORS], np.int64)
            nodes.append(onnx.helper.make_node("Reshape", [f"{name}_e", target], [name]))
        outputs.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    source = onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 3, side, side])
    graph = onnx.helper.make_graph(nodes, "net", [source], outputs, constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def yunet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finds red squares of 32 pixels on the grid of that stride: BGR comes in, so red is the last colour."""
    nan, heads = math.nan, {}
    for kind, values in {"cls": [nan], "obj": [nan], "bbox": [0.5, 0.5, 0, 0], "kps": [0.5, 0.25] * 5}.items():
        for stride in STRIDES:
            never = kind in ("cls", "obj") and stride < 32
            heads[f"{kind}_{stride}"] = (stride, KINDS[kind], [0.0] if never else values)
    return make_net(tmp_path_factory.mktemp("nets") / "yunet.onnx", heads, 64, channel=2, shift=0)


@pytest.fixture(scope="module")
def scrfd_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finds red squares of 32 pixels likewise, with the first of a cell's two faces: RGB comes in."""
    heads: dict[str, tuple[int, int, list[float]]] = {}
    for kind, (size, values) in enumerate([(1, [math.nan, 0]), (4, [0, 0, 1, 1] * 2), (10, [0.5, 0.25] * 10)]):
        for level, stride in enumerate(STRIDES):
            heads[f"out{3 * kind + level}"] = (stride, ANCHORS * size, [0.0] * 2 if kind == 0 and stride < 32 else values)
    return make_net(tmp_path_factory.mktemp("nets") / "scrfd.onnx", heads, SIDE, channel=0, shift=0.5)


def red_square(height: int, width: int, x: int, y: int, side: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[y : y + side, x : x + side, 0] = 255
    return image


@pytest.mark.parametrize(
    ("height", "width", "x", "y", "min_face"),
    [
        (64, 64, 32, 0, 10), (100, 70, 32, 64, 10), (40, 200, 128, 0, 10), (128, 192, 64, 64, 20), (30, 80, 16, 0, 5),
        (32, 32, 0, 0, 10),
    ],
)  # fmt: skip
def test_yunet_on_both_runtimes(yunet_file: Path, height: int, width: int, x: int, y: int, min_face: int) -> None:
    """A face of 32 pixels where the photo, scaled so that the smallest face has 10 pixels, has a square of 32."""
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install onnxruntime")
    side = 32 * min_face // 10
    image = red_square(height, width, x, y, side)
    for make in (yunet_opencv, yunet_onnx):
        boxes, scores, points = make(str(yunet_file), Limits(0.5, 0.3), min_face)(image)
        assert boxes.shape == (1, 4) and points.shape == (1, 5, 2), make
        np.testing.assert_allclose(boxes[0], [x, y, x + side, y + side], atol=0.01)
        np.testing.assert_allclose(points[0], [[x + side / 2, y + side / 4]] * 5, atol=0.01)
        assert scores == pytest.approx([1], abs=0.03)  # enlarging blurs the border
        empty = make(str(yunet_file))(np.zeros((height, width, 3), np.uint8))
        assert [each.shape for each in empty] == [(0, 4), (0,), (0, 5, 2)], make


@pytest.mark.parametrize(
    ("height", "width", "x", "y", "scale"), [(640, 640, 64, 96, 1), (320, 200, 16, 32, 2), (640, 1280, 128, 64, 0.5)]
)
def test_scrfd_looks_at_640_pixels(scrfd_file: Path, height: int, width: int, x: int, y: int, scale: float) -> None:
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install onnxruntime")
    side = round(32 / scale)
    boxes, scores, points = scrfd(str(scrfd_file), threads=1)(red_square(height, width, x, y, side))
    np.testing.assert_allclose(boxes, [[x, y, x + side, y + side]], atol=0.01)
    np.testing.assert_allclose(points[0], [[x + side / 2, y + side / 4]] * 5, atol=0.01)
    assert len(scores) == 1 and scores[0] > 0.9


def test_files_of_something_else(yunet_file: Path, scrfd_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime: pip install onnxruntime")
    bad = tmp_path / "bad.onnx"
    bad.write_text("no net")
    with pytest.raises(
        ValueError, match=r"bad.onnx cannot be used by OpenCV's FaceDetectorYN: expected YuNet for images of one"
    ):
        yunet_opencv(str(bad))
    with pytest.raises(ValueError, match=r"scrfd.onnx is not YuNet: expected the outputs cls_8 ... kps_32, got out0"):
        yunet_onnx(str(scrfd_file))
    with pytest.raises(ValueError, match=r"yunet.onnx is not SCRFD with landmarks: expected 9 outputs, got 12"):
        scrfd(str(yunet_file))
    heads = {f"out{i}": (STRIDES[i % 3], 2, [0.0, 0.0]) for i in range(9)}
    with pytest.raises(ValueError, match=r"expected an input of 640 x 640 or of any size, got \[1, 3, 64, 64\]"):
        scrfd(str(make_net(tmp_path / "small.onnx", heads, 64, 0, 0)))


def test_onnx_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        ImportError, match=r"yunet.onnx is for images of one size; changing that needs onnx: run pip install onnx"
    ):
        single_shot.of_any_size("yunet.onnx")
