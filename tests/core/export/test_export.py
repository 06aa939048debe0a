"""Bundles from trained parameters: they load, detect like the nets they came from, and refuse what does not fit."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon import Detector
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.bundles.parameters import bundle_parameters
from mtcnn_gluon.bundles.trained import as_trained
from mtcnn_gluon.config import CASCADE, NETS
from mtcnn_gluon.engines import AUTO
from mtcnn_gluon.errors import MtcnnError
from mtcnn_gluon.export.bundle_files import BundlePart, Parameters, export_bundle, make_bundle
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.symbol.blocks import CascadeNet

mx = load_mxnet()
ABOUT = ("test", "noise", "MIT")  # name, training data, licence


def make_net(net: str, landmarks: bool | None = None, seed: int = 0) -> CascadeNet:
    table = NETS[net]
    block = CascadeNet({**table, "landmarks": table.landmarks if landmarks is None else landmarks}, f"{net}_", "portable")
    mx.random.seed(seed)
    block.initialize(mx.init.Normal(0.1))
    block(mx.nd.zeros((1, 3, table.size, table.size)))
    return block


def parameters_of(block: CascadeNet) -> dict[str, np.ndarray]:
    return {name: value.data().asnumpy() for name, value in block.collect_params().items()}


@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("trained", [("pnet",), ("pnet", "rnet"), ("pnet", "onet"), ("pnet", "rnet", "onet")])
def test_exported_nets_compute_the_same(tmp_path: Path, trained: tuple[str, ...], landmarks: bool) -> None:
    nets = {net: make_net(net, landmarks or net == "onet") for net in trained}
    bundle = make_bundle(tmp_path / "model", as_trained({net: parameters_of(block) for net, block in nets.items()}), *ABOUT)
    assert find_bundle(tmp_path / "model") == bundle
    assert {net for net, heads in bundle.manifest["trained"].items() if heads} == set(trained)
    endings = ("-0000.params", "-symbol.json", ".onnx")
    assert sorted(bundle.manifest["files"]) == sorted(f"{net}{end}" for net in NETS for end in endings)
    for net, table in NETS.items():
        has_landmarks = net in trained and (landmarks or table.landmarks)
        assert bundle.manifest["architecture"][net]["landmarks"] == has_landmarks
        files = [str(bundle.file(f"{net}-{end}")) for end in ("symbol.json", "0000.params")]
        images = mx.nd.random.normal(shape=(3, 3, table.size, table.size))
        outputs = mx.gluon.SymbolBlock.imports(files[0], ["data"], files[1])(images)
        assert len(outputs) == 2 + has_landmarks
        if net in trained:
            logits, *others = nets[net](images)
            for found, expected in zip(outputs, [mx.nd.softmax(logits, axis=1), *others]):
                np.testing.assert_allclose(found.asnumpy(), expected.asnumpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", AUTO)
def test_a_detector_takes_it(tmp_path: Path, image: np.ndarray, engine: str) -> None:
    nets = as_trained({"pnet": parameters_of(make_net("pnet", True))})
    make_bundle(tmp_path / "model", nets, *ABOUT, thresholds=(0.4, 0.4, 0.4))
    faces = Detector(tmp_path / "model", engine=engine).detect(image[::4, ::4])
    assert np.isfinite(faces.boxes).all()


def test_the_manifest(tmp_path: Path) -> None:
    parameters = as_trained({"pnet": parameters_of(make_net("pnet"))})
    figures = {"recall": 0.9, "trained on": "noise"}
    make_bundle(tmp_path / "model", parameters, "ours", "noise", "MIT", (0.5, 0.6, 0.8), figures)
    manifest = json.loads((tmp_path / "model/manifest.json").read_text())
    assert [manifest[key] for key in ("name", "training_data", "licence")] == ["ours", "noise", "MIT"]
    assert manifest["thresholds"] == [0.5, 0.6, 0.8] and manifest["nms"] == list(CASCADE.nms)
    assert manifest["figures"] == figures and manifest["colour_order"] == "RGB"
    assert find_bundle(str(make_bundle(tmp_path / "b", parameters, *ABOUT).path)).manifest["thresholds"] == CASCADE.thresholds
    assert not NETS.pnet.landmarks and not NETS.rnet.landmarks  # the tables are not what is written to


def of_another_shape(parameters: Parameters) -> Parameters:
    return {**parameters, "pnet_conv1_weight": np.zeros((10, 3, 5, 5))}


def without(name: str, parameters: Parameters) -> Parameters:
    return {key: value for key, value in parameters.items() if key != name}


WHOLE = parameters_of(make_net("pnet"))


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({}, "needs the parameters of pnet"),
        ({"rnet": WHOLE}, "needs the parameters of pnet"),
        ({"pnet": WHOLE, "qnet": WHOLE}, "not of .*qnet"),
        ({"pnet": without("pnet_conv2_bias", WHOLE)}, "pnet: missing or unknown .*pnet_conv2_bias"),
        ({"pnet": {**WHOLE, "pnet_conv9_bias": np.zeros(3)}}, "pnet: missing or unknown .*pnet_conv9_bias"),
        ({"pnet": {**WHOLE, "pnet_landmark_weight": np.zeros((10, 32, 1, 1))}}, "missing or unknown .*pnet_landmark_bias"),
        ({"pnet": of_another_shape(WHOLE)}, "pnet_conv1_weight: expected shape"),
        ({"pnet": WHOLE, "rnet": WHOLE}, "rnet: missing or unknown"),
        ({"pnet": WHOLE, "rnet": {}}, "rnet"),
        ({"pnet": {}}, "pnet"),
    ],
)
def test_parameters_that_do_not_fit(tmp_path: Path, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(MtcnnError, match=message):
        make_bundle(tmp_path / "model", as_trained(parameters), *ABOUT)
    assert not list(tmp_path.iterdir())


def test_a_bundle_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    make_bundle(tmp_path / "model", as_trained({"pnet": WHOLE}), "first", *ABOUT[1:])
    with pytest.raises(MtcnnError):
        make_bundle(tmp_path / "model", as_trained({"pnet": of_another_shape(WHOLE)}), "second", *ABOUT[1:])
    assert find_bundle(tmp_path / "model").manifest["name"] == "first"
    make_bundle(tmp_path / "model", as_trained({"pnet": WHOLE}), "second", *ABOUT[1:])
    assert find_bundle(tmp_path / "model").manifest["name"] == "second"

    (tmp_path / "other").mkdir()
    (tmp_path / "other/photo.jpg").write_text("")
    with pytest.raises(MtcnnError, match="other exists and is not a model bundle: not replaced"):
        make_bundle(tmp_path / "other", as_trained({"pnet": WHOLE}), *ABOUT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "other"]


def test_the_nets_of_a_bundle_are_read_without_mxnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From .params files and from .onnx files the same, though the latter hold slopes in another shape."""
    nets = {net: parameters_of(make_net(net, True)) for net in NETS}
    bundles = [make_bundle(tmp_path / kind, as_trained(nets), *ABOUT, formats=[kind]) for kind in ("symbol", "params", "onnx")]
    for net in NETS:
        assert bundles[0].file(f"{net}-0000.params").read_bytes() == bundles[1].file(f"{net}-0000.params").read_bytes()
    monkeypatch.setitem(sys.modules, "mxnet", None)
    for bundle in bundles:
        found = bundle_parameters(bundle)
        assert {net: set(found[net]) for net in found} == {net: set(nets[net]) for net in nets}
        for net, values in nets.items():
            for name, value in values.items():
                np.testing.assert_array_equal(found[net][name], value)


@pytest.mark.parametrize("formats", [("symbol", "onnx"), ("onnx",), ("params",)], ids=str)
def test_exporting_again_gives_the_same_bytes(tmp_path: Path, formats: tuple[BundlePart, ...]) -> None:
    first = export_bundle(find_bundle("official"), tmp_path / "first", formats)
    second = export_bundle(first, tmp_path / "second", formats)
    assert first.manifest == second.manifest
    assert {**first.manifest, "files": {}} == {**find_bundle("official").manifest, "files": {}}
    for name in (*first.manifest["files"], "manifest.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    only = export_bundle(second, tmp_path / "second", ["onnx"])  # onto itself
    assert sorted(only.manifest["files"]) == ["onet.onnx", "pnet.onnx", "rnet.onnx"]
    if "onnx" in formats:
        assert only.manifest["files"].items() <= first.manifest["files"].items()


def test_a_bundle_whose_parameters_are_others_than_its_manifest_says(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "model", as_trained({"pnet": WHOLE}), *ABOUT, formats=["onnx"])
    architecture = {**bundle.manifest["architecture"], "pnet": dict(NETS.pnet, landmarks=True)}
    with pytest.raises(MtcnnError, match=r"pnet\.onnx: .*pnet_landmark_bias"):
        export_bundle(Bundle(bundle.path, {**bundle.manifest, "architecture": architecture}), tmp_path / "other", ["onnx"])
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("thresholds", [(0.5, 0.5), (0.5, 0.5, 2), (0.5, -0.1, 0.5)])
def test_thresholds_out_of_range(tmp_path: Path, thresholds: Any) -> None:
    with pytest.raises(MtcnnError, match="'thresholds' must be 3 numbers from 0 to 1"):
        make_bundle(tmp_path / "model", as_trained({"pnet": WHOLE}), *ABOUT, thresholds=thresholds)
    assert not list(tmp_path.iterdir())
