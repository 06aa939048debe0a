"""The three nets: parameter counts, shapes, heads, export, and parity with another conversion of the weights."""

import re
from pathlib import Path

import numpy as np
import pytest

import plain_cascade
from engine_agreement import STRIDED_NET
from mtcnn_gluon import Detector, symbol
from mtcnn_gluon.bundles import official as reference
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.export.bundle_files import export_bundle
from mtcnn_gluon.mxnet_loader import load_mxnet
from plain_cascade import ReferenceNets

mx = load_mxnet()
CLASSES = {"pnet": "PNet", "rnet": "RNet", "onet": "ONet"}


@pytest.mark.parametrize(("name", "count"), [("pnet", 6632), ("rnet", 100178), ("onet", 389040)])
def test_summary_prints_the_published_parameter_counts(name: str, count: int, capsys: pytest.CaptureFixture) -> None:
    net = getattr(symbol, CLASSES[name])()
    net.initialize()
    net.summary(mx.nd.zeros((1, 3, NETS[name].size, NETS[name].size)))
    assert re.search(rf"Total params: {count}\b", capsys.readouterr().out)


@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("name", CLASSES)
def test_heads(name: str, landmarks: bool) -> None:
    net = getattr(symbol, CLASSES[name])(landmarks=landmarks)
    net.initialize()
    net.hybridize()
    outputs = net(mx.nd.zeros((5, 3, NETS[name].size, NETS[name].size)))
    end = (1, 1) if name == "pnet" else ()
    assert [o.shape for o in outputs] == [(5, n, *end) for n in ((2, 4, 10) if landmarks else (2, 4))]
    assert any("landmark" in key for key in net.collect_params()) == landmarks


@pytest.mark.parametrize(("height", "width"), [(12, 12), (13, 12), (13, 15), (31, 46), (64, 77), (101, 50)])
def test_pnet_agrees_with_the_other_conversion(
    detector: Detector, reference_nets: ReferenceNets, height: int, width: int
) -> None:
    """Odd sizes too: pooling is in ceil mode in both."""
    picture = np.random.default_rng(height).uniform(0, 255, (height, width, 3))
    scores, offsets = detector.engine.pnet(((picture - 127.5) / 128).transpose(2, 0, 1)[None].astype(np.float32))
    expected = reference_nets.run("pnet", picture)
    np.testing.assert_allclose(scores, expected["score"], atol=1e-4)
    np.testing.assert_allclose(offsets.transpose(1, 2, 0), expected["box"], atol=1e-4)


@pytest.mark.parametrize("kind", ["random", "real"])
@pytest.mark.parametrize("name", ["rnet", "onet"])
def test_crops_agree_with_the_other_conversion(
    detector: Detector, reference_nets: ReferenceNets, image: np.ndarray, name: str, kind: str
) -> None:
    size = NETS[name].size
    generator = np.random.default_rng(0)
    crops = generator.uniform(0, 255, (9, size, size, 3))
    if kind == "real":
        corners = np.column_stack([generator.uniform(100, 250, (9, 2)), generator.uniform(30, 200, 9)])
        crops = np.stack([plain_cascade.sample(image, (x, y, x + s, y + s), size, size) for x, y, s in corners])
    outputs = getattr(detector.engine, name)(((crops - 127.5) / 128).transpose(0, 3, 1, 2).astype(np.float32))
    for i, crop in enumerate(crops):
        expected = reference_nets.run(name, crop)
        np.testing.assert_allclose(outputs[0][i], expected["score"], atol=1e-4)
        np.testing.assert_allclose(outputs[1][i], expected["box"], atol=1e-4)
        if name == "onet":
            np.testing.assert_allclose(outputs[2][i].reshape(5, 2).T.ravel(), expected["landmark"], atol=1e-4)


@pytest.mark.parametrize("name", CLASSES)
def test_symbols_load_without_the_package_and_agree(detector: Detector, name: str, tmp_path: Path) -> None:
    """What third parties load: `SymbolBlock.imports`, standard operators only."""
    folder = export_bundle(detector.bundle, tmp_path / "model", ["symbol"]).path
    block = mx.gluon.SymbolBlock.imports(str(folder / f"{name}-symbol.json"), ["data"], str(folder / f"{name}-0000.params"))
    crops = np.random.default_rng(0).normal(0, 0.5, (1, 3, NETS[name].size, NETS[name].size)).astype(np.float32)
    outputs = [o.asnumpy() for o in block(mx.nd.array(crops))]
    ours = getattr(detector.engine, name)(crops)
    np.testing.assert_allclose(outputs[0].ravel()[1], ours[0].ravel()[0], atol=1e-5)
    np.testing.assert_allclose(outputs[1].ravel(), ours[1].ravel(), atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3, 127, 128, 129, 300])
def test_results_do_not_depend_on_the_batch(detector: Detector, count: int) -> None:
    crops = np.random.default_rng(0).normal(0, 0.5, (count, 3, 24, 24)).astype(np.float32)
    scores, offsets = detector.engine.rnet(crops)
    assert scores.shape == (count,) and offsets.shape == (count, 4)
    alone = [detector.engine.rnet(crop[None]) for crop in crops[-3:]]
    np.testing.assert_allclose(scores[-3:], [s[0] for s, _ in alone], atol=1e-5)
    np.testing.assert_allclose(offsets[-3:], [o[0] for _, o in alone], atol=1e-5)


def test_parameters_that_do_not_fit_are_named() -> None:
    from mtcnn_gluon.symbol.blocks import CascadeNet, set_parameters

    values = reference.official_parameters("pnet")
    net = symbol.PNet()
    with pytest.raises(ModelError, match="pnet_cls_bias"):
        set_parameters(net, {k: v for k, v in values.items() if k != "pnet_cls_bias"})
    with pytest.raises(ModelError, match="pnet_conv1_weight: expected shape"):
        set_parameters(net, {**values, "pnet_conv1_weight": values["pnet_conv1_weight"][:, :2]})
    with pytest.raises(ModelError, match=r"'layers\[0\]' must be .* got \['relu', 1\]"):
        CascadeNet({"size": 12, "layers": [["relu", 1]], "landmarks": False}, "x_")


def test_bfloat16_takes_no_stride() -> None:
    from mtcnn_gluon.symbol.blocks import CascadeNet

    with pytest.raises(ModelError, match="native operators cannot be used: bfloat16 is only made for convolutions of stride 1"):
        CascadeNet(STRIDED_NET, "x_", "bfloat16")


def test_official_files_are_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "pnet.lz4"
    other.write_bytes(b"not the weights")
    monkeypatch.setattr(reference, "_wheel_file", lambda net: other)
    with pytest.raises(ModelError, match=r"pnet\.lz4 is not the file of mtcnn 1\.0\.0"):
        reference.official_parameters("pnet")


def test_official_bundle_is_mended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MTCNN_GLUON_CACHE", str(tmp_path))
    first = reference.official_bundle()
    params = first.path / "rnet-0000.params"
    whole = params.read_bytes()
    params.write_bytes(whole[:-5])
    assert reference.official_bundle().file("rnet-0000.params").read_bytes() == whole
