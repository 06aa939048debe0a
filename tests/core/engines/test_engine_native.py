"""The engine on the package's own kernels: right for every net and shape, in any number of threads, with no framework."""

import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping

import numpy as np
import pytest

from engine_agreement import STRIDED_NET, Agreement
from mtcnn_gluon import Detector, read_image
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.trained import as_trained
from mtcnn_gluon.config import NETS
from mtcnn_gluon.engines.native import NativeEngine
from mtcnn_gluon.errors import ModelError, Unavailable
from mtcnn_gluon.export.bundle_files import export_bundle, make_bundle
from mtcnn_gluon.layers import parameter_shapes, walk
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators import native
from mtcnn_gluon.operators.native_net import NativeNet, why_not_net
from mtcnn_gluon.symbol.blocks import CascadeNet, set_parameters

mx = load_mxnet()
PNET_SIZES = [(12, 12), (13, 12), (12, 15), (31, 46), (64, 77), (333, 101), (640, 256), (12, 900), (700, 13)]
COUNTS = [1, 2, 7, 8, 9, 17, 33, 128, 300]
OTHER_NETS = {
    "three sizes of pool": (31, [["conv", 5, 3], ["pool", 2, 2], ["conv", 17, 2], ["pool", 3, 2], ["conv", 33, 1]]),
    "dense on more than a pixel": (14, [["conv", 4, 5], ["pool", 3, 2], ["conv", 70, 2], ["dense", 65]]),
    "one convolution": (9, [["conv", 3, 3]]),
    "as deep as it may be": (40, [["conv", 2 + i, 2] for i in range(15)]),
}


def random_parameters(net: str, table: Mapping[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    shapes = parameter_shapes(net, table)
    return {
        name: generator.normal(0, 1 / np.sqrt(np.prod(shape[1:]) or 1), shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def table_of(net: str, landmarks: bool) -> dict[str, Any]:
    return dict(NETS[net], landmarks=landmarks)


def assert_right(net: str, table: Mapping[str, Any], shapes: list[tuple[int, int, int]]) -> None:
    """The heads' outputs are those of MXNet's own operators."""
    parameters = random_parameters(net, table)
    ours = NativeNet(net, table, parameters)
    reference = CascadeNet(table, f"{net}_", "portable")
    set_parameters(reference, parameters)
    for count, height, width in shapes:
        images = np.random.default_rng(count + width).normal(0, 0.5, (count, 3, height, width)).astype(np.float32)
        expected = [output.asnumpy() for output in reference(mx.nd.array(images))]
        expected = [values if values.ndim == 4 else values[:, :, None, None] for values in expected]
        found = ours(images)
        assert found.dtype == np.float32 and found.shape[1:3] == ours.output_size(height, width)
        np.testing.assert_allclose(found.transpose(0, 3, 1, 2), np.concatenate(expected, axis=1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("net", NETS)
def test_nets(net: str, landmarks: bool) -> None:
    size = NETS[net].size
    shapes = [(count, size, size) for count in (COUNTS if net != "onet" else COUNTS[:-2])]
    shapes += [(1, *each) for each in PNET_SIZES] + [(3, 65, 40), (9, 300, 300)] if net == "pnet" else []
    assert_right(net, table_of(net, landmarks), shapes)


@pytest.mark.parametrize("size, layers", OTHER_NETS.values(), ids=OTHER_NETS)
def test_other_nets(size: int, layers: list[list[Any]]) -> None:
    assert_right("net", {"size": size, "layers": layers, "landmarks": True}, [(1, size, size), (5, size, size)])


STRIDED_SHAPES = [(1, 34, 34), (5, 34, 34), (40, 35, 37), (1, 61, 203), (3, 90, 64), (1, 900, 101), (1, 37, 640)]


def test_a_strided_net() -> None:
    assert_right("net", dict(STRIDED_NET, landmarks=True), STRIDED_SHAPES)


@pytest.mark.parametrize("kernel, stride", [(2, 2), (3, 2), (8, 2), (3, 3), (4, 4), (7, 4), (8, 4)])
def test_strides(kernel: int, stride: int) -> None:
    layers = [["conv", 17, kernel, stride], ["pool", 3, 2], ["conv", 32, 2]]
    assert_right("net", {"size": 34, "layers": layers, "landmarks": False}, STRIDED_SHAPES)
    dense = [["conv", 17, kernel, stride], ["pool", 3, 2], ["conv", 32, 2], ["dense", 20]]
    assert_right("net", {"size": 34, "layers": dense, "landmarks": False}, STRIDED_SHAPES[:2])
    assert_right("net", {"size": 34, "layers": layers[:1], "landmarks": False}, STRIDED_SHAPES)


@pytest.mark.parametrize("shape", [(1, 3, 640, 256), (37, 3, 34, 34), (1, 3, 35, 34)])
def test_results_of_a_strided_net_do_not_depend_on_threads(shape: tuple[int, ...]) -> None:
    ours = NativeNet("net", STRIDED_NET, random_parameters("net", STRIDED_NET))
    images = np.random.default_rng(0).normal(0, 0.5, shape).astype(np.float32)
    expected = ours(images)
    for threads in (1, 2, 3, 7, 64):
        np.testing.assert_array_equal(ours(images, threads), expected)
    np.testing.assert_array_equal(np.concatenate([ours(image[None]) for image in images]), expected)


@pytest.mark.parametrize("net, shape", [("pnet", (1, 3, 640, 256)), ("pnet", (1, 3, 64, 64)), ("rnet", (37, 3, 24, 24)),
                                        ("onet", (1, 3, 48, 48)), ("onet", (19, 3, 48, 48))])  # fmt: skip
def test_results_do_not_depend_on_threads(net: str, shape: tuple[int, ...]) -> None:
    ours = NativeNet(net, NETS[net], random_parameters(net, NETS[net]))
    images = np.random.default_rng(0).normal(0, 0.5, shape).astype(np.float32)
    expected = ours(images)
    for threads in (1, 2, 3, 7, 64):
        np.testing.assert_array_equal(ours(images, threads), expected)
    np.testing.assert_array_equal(np.concatenate([ours(image[None]) for image in images]), expected)  # nor on the batch
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: ours(images, 2), range(8)):
            np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="module")
def engine(own_cache: None) -> NativeEngine:
    return NativeEngine(find_bundle("official"), threads=2)


inherited: NativeEngine | None = None


def outputs(engine: NativeEngine) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    crops = {
        net: generator.normal(0, 0.5, (9, 3, NETS[net].size, NETS[net].size)).astype(np.float32) for net in ("rnet", "onet")
    }
    canvas = generator.normal(0, 0.5, (1, 3, 128, 256)).astype(np.float32)
    return [*engine.pnet(canvas), *engine.rnet(crops["rnet"]), *engine.onet(crops["onet"])]


def inherited_outputs(_: int) -> list[np.ndarray]:
    assert inherited is not None
    return outputs(inherited)


def test_after_a_fork(engine: NativeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads do not survive a fork; whoever waits for them waits forever."""
    monkeypatch.setattr(f"{__name__}.inherited", engine)
    expected = outputs(engine)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for found in pool.map_async(inherited_outputs, range(4)).get(timeout=60):
            for values, others in zip(found, expected):
                np.testing.assert_array_equal(values, others)


def test_run_gives_what_the_stages_give(engine: NativeEngine) -> None:
    crops = np.random.default_rng(1).normal(0, 0.5, (9, 3, 48, 48)).astype(np.float32)
    probability, offsets, landmarks = engine.run("onet", crops)
    assert [values.shape for values in (probability, offsets, landmarks)] == [(9, 2), (9, 4), (9, 10)]
    for values, expected in zip((probability[:, 1], offsets, landmarks), engine.onet(crops)):
        np.testing.assert_array_equal(values, expected)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-6)
    scores, offsets = engine.pnet(np.zeros((1, 3, 31, 46), np.float32))
    assert scores.shape == (11, 18) and offsets.shape == (4, 11, 18)  # an odd side: the last window is partial


@pytest.mark.filterwarnings("error")
def test_logits_of_any_size(tmp_path: Path) -> None:
    """The probability is 0 or 1, with no warning, where the exponential is beyond float32."""
    values = {net: random_parameters(net, NETS[net]) for net in NETS}
    for logit, expected in ((1e4, 0), (-1e4, 1)):
        values["rnet"]["rnet_cls_bias"] = np.array([logit, 0], np.float32)
        bundle = make_bundle(tmp_path / "model", as_trained(values), "huge", "noise", "MIT", formats=["params"])
        scores, _ = NativeEngine(bundle).rnet(np.zeros((2, 3, 24, 24), np.float32))
        assert scores.tolist() == [expected] * 2


@pytest.mark.parametrize("images", [
    np.zeros((0, 3, 24, 24), np.float32), np.zeros((1, 3, 24, 24)), np.zeros((1, 24, 24, 3), np.float32),
    np.zeros((3, 24, 24), np.float32), np.zeros((1, 3, 9, 24), np.float32),
], ids=["none", "float64", "channels last", "no batch", "too small"])  # fmt: skip
def test_other_images(images: np.ndarray) -> None:
    ours = NativeNet("rnet", NETS.rnet, random_parameters("rnet", NETS.rnet))
    with pytest.raises(ValueError, match=r"images .*(must be|too small)"):
        ours(images)


# ---- Detecting


def test_faces_are_those_of_mxnet(detector: Detector, dev_photos: list[Path]) -> None:
    """The same kernels: what differs is the order of sums in dense layers."""
    agreement, own = Agreement(), Detector("official", "native")
    for path in dev_photos:
        image = read_image(path)
        agreement.add(detector.detect(image), own.detect(image))
    assert agreement.faces > 100 and agreement.agreed == agreement.faces, agreement
    assert agreement.score < 1e-3 and agreement.points < 0.01, agreement


DETECT = """
import json, sys
for name in ("mxnet", "onnx", "onnxruntime", "openvino"):
    sys.modules[name] = None
from mtcnn_gluon import Detector
from mtcnn_gluon.cli.detect import portrait
detector = Detector("official")
print(json.dumps([detector.engine.name, sorted(detector.bundle.manifest["files"]), detector.detect(portrait()).boxes.tolist()]))
"""


def test_no_framework_is_needed(detector: Detector, image: np.ndarray, tmp_path: Path) -> None:
    """Also to make a bundle of the official weights."""
    environment = {**os.environ, "MTCNN_GLUON_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", DETECT], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    engine, files, boxes = json.loads(done.stdout)
    assert engine == "native" and files == [f"{net}-0000.params" for net in sorted(NETS)]
    np.testing.assert_allclose(boxes, detector.detect(image).boxes, atol=0.01)


# ---- Where it cannot be used


def test_without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTCNN_GLUON_NATIVE", "0")
    monkeypatch.setattr(native, "load_kernels", native.load_kernels.__wrapped__)
    with pytest.raises(ModelError, match="the compiled kernels cannot be used: switched off by MTCNN_GLUON_NATIVE=0"):
        Detector(engine="native")


@pytest.mark.parametrize("layers", [
    [["conv", 4, 3], ["pool", 2, 1]], [["conv", 4, 3], ["pool", 4, 2], ["conv", 4, 3]], [["pool", 2, 2], ["conv", 4, 3]],
    [["conv", 4, 3], ["pool", 2, 2], ["dense", 5]], [["conv", 2, 1]] * 16, [],
], ids=["stride 1", "pool of 4", "pool first", "pool last", "too deep", "nothing"])  # fmt: skip
def test_nets_that_the_kernels_cannot_run(layers: list[list[Any]]) -> None:
    table = {"size": 24, "layers": layers, "landmarks": False}
    assert why_not_net(table)
    bundle = find_bundle("official")
    tables = {**bundle.manifest["architecture"], "rnet": table}
    with pytest.raises(Unavailable, match="rnet: they only support convolutions, poolings of 2 or 3"):
        NativeEngine(replace(bundle, manifest={**bundle.manifest, "architecture": tables}))


@pytest.mark.parametrize("layers", [
    [["conv", 4, 8, 5]], [["conv", 4, 3], ["conv", 4, 3, 2]], [["conv", 4, 3, 2], ["pool", 2, 2], ["conv", 4, 2, 2]],
], ids=["stride of 5", "second layer", "last layer"])  # fmt: skip
def test_strides_that_the_kernels_cannot_run(layers: list[list[Any]]) -> None:
    table = {"size": 24, "layers": layers, "landmarks": False}
    message = "they only support a stride of 1 to 4 in the first convolution and of 1 in the others"
    with pytest.raises(Unavailable, match=message):
        NativeNet("net", table, random_parameters("net", table))
    with pytest.raises(ModelError, match=f"native operators cannot be used: {message}"):
        CascadeNet(table, "net_", "native")
    net = CascadeNet(table, "net_")  # on MXNet's operators
    set_parameters(net, random_parameters("net", table))
    assert net(mx.nd.zeros((1, 3, 24, 24)))[0].shape[2:] == (list(walk(table))[-1].side,) * 2


def test_a_bundle_with_onnx_files_only(tmp_path: Path, image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = export_bundle(find_bundle("official"), tmp_path / "model", ["onnx"])
    monkeypatch.setitem(sys.modules, "onnx", None)
    found, expected = (Detector(model, engine="native").detect(image) for model in (bundle.path, "official"))
    np.testing.assert_array_equal(found.boxes, expected.boxes)
