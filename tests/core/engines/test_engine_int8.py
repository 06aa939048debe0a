"""The engine in 8 bits: kernels compute what is written down, files are checked, faces are nearly those of native."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon import Detector, boxes
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.format import Bundle, read_bundle
from mtcnn_gluon.bundles.trained import as_trained
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import DataError, ModelError
from mtcnn_gluon.export.bundle_files import export_bundle, make_bundle, usual_formats
from mtcnn_gluon.export.int8 import add_int8
from mtcnn_gluon.export.quantise import quantise
from mtcnn_gluon.layers import parameter_shapes
from mtcnn_gluon.operators.int8_layers import Int8Layer, read_layers, write_layers
from mtcnn_gluon.operators.int8_net import Int8Net, int8_instructions
from mtcnn_gluon.operators.native import kernels
from mtcnn_gluon.operators.native_net import NativeNet

pytestmark = pytest.mark.skipif(kernels() is None, reason="the kernels were not built")
needs_int8 = pytest.mark.skipif(kernels() is None or not int8_instructions(), reason="8 bits are no faster here")
MEAN, SCALE = 127.5, 1 / 128
ROWS = [["conv", 5, 4, 2], ["conv", 17, 3], ["pool", 2, 2], ["conv", 9, 2], ["dense", 33]]
TABLE = {"size": 20, "landmarks": True, "layers": ROWS}
FULL = {"size": 14, "landmarks": False, "layers": [["conv", 6, 3], ["pool", 3, 2], ["conv", 40, 3], ["conv", 3, 2]]}


def random_layers(table: dict[str, Any], seed: int = 0) -> list[Int8Layer]:
    """A net fitted to random images, so that all of its bytes are used."""
    generator = np.random.default_rng(seed)
    parameters = {
        name: generator.normal(0, 1 / np.sqrt(np.prod(shape[1:]) or 1), shape).astype(np.float32)
        for name, shape in parameter_shapes("net", table).items()
    }
    return quantise("net", table, parameters, [random_images(40, table["size"])], MEAN, SCALE)


def random_images(count: int, side: int, seed: int = 1) -> np.ndarray:
    smooth = np.random.default_rng(seed).integers(0, 256, (count, 3, -(-side // 3), -(-side // 3)))
    whole = smooth.repeat(3, 2).repeat(3, 3)[:, :, :side, :side]
    return ((whole - MEAN) * SCALE).astype(np.float32)


def plain(layers: list[Int8Layer], images: np.ndarray) -> np.ndarray:
    """What the layers give, by einsum on whole numbers."""
    values = np.rint(images / SCALE + MEAN).astype(np.int64)  # (N, C, H, W)
    for layer in layers:
        if layer.pool:
            high, wide = (max(0, -((layer.pool - side) // 2)) + 1 for side in values.shape[2:])
            padded = np.pad(values, [(0, 0), (0, 0), (0, 3), (0, 3)], constant_values=-1)
            cells = [
                padded[:, :, y : y + 2 * high : 2, x : x + 2 * wide : 2] for y in range(layer.pool) for x in range(layer.pool)
            ]
            values = np.maximum.reduce([each[:, :, :high, :wide] for each in cells])
        kernel = layer.weight.shape[2]
        seen = np.lib.stride_tricks.sliding_window_view(values, (kernel, kernel), (2, 3))[
            :, :, :: layer.stride, :: layer.stride
        ]
        sums = np.einsum("nchwij,ocij->nohw", seen, layer.weight.astype(np.int64))
        column = (None, slice(None), None, None)
        found = sums * layer.scale[column].astype(np.float64) + layer.shift[column]
        if layer.alpha is None:
            return np.moveaxis(found, 1, -1)
        active = np.where(found > 0, found, found * layer.alpha[column])
        values = np.floor(np.clip(active * layer.to_byte[column] + layer.zero[column], 0, 255) + 0.5).astype(np.int64)
    raise AssertionError("the last layer has no activation")


@pytest.mark.parametrize("table, side", [(TABLE, 20), (FULL, 14), (FULL, 41)], ids=["dense", "its own size", "larger"])
def test_kernels_compute_what_is_written_down(table: dict[str, Any], side: int) -> None:
    layers, images = random_layers(table), random_images(5, side)
    net, expected = Int8Net(table, layers, MEAN, SCALE), plain(layers, images)
    found = net(images)
    step = max(float(np.abs(layers[-1].weight).max() * layers[-1].scale.max()), 1e-3)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 2 * step  # where a value is between two bytes, float and double may take either
    assert np.mean(np.abs(found - expected) > 1e-4) < 0.01
    for threads in (1, 2, 3):
        np.testing.assert_array_equal(net(images, threads), found)
    np.testing.assert_array_equal(np.concatenate([net(image[None]) for image in images]), found)


@pytest.mark.parametrize("table, side", [(TABLE, 20), (FULL, 41)], ids=["dense", "full"])
def test_pixels_are_taken_as_they_are(table: dict[str, Any], side: int) -> None:
    """Bytes give what the same pixels give as normalised floats, wherever their channels lie."""
    pixels = np.random.default_rng(1).integers(0, 256, (19, side, side, 3), np.uint8).transpose(0, 3, 1, 2)
    net = Int8Net(table, random_layers(table), MEAN, SCALE)
    expected = net((pixels - np.float32(MEAN)) * np.float32(SCALE))
    np.testing.assert_array_equal(net(pixels), expected)
    np.testing.assert_array_equal(net(np.ascontiguousarray(pixels), 2), expected)


@pytest.mark.parametrize("table", [TABLE, FULL], ids=["dense", "full"])
def test_rounding_costs_little(table: dict[str, Any]) -> None:
    generator = np.random.default_rng(3)
    parameters = {
        name: generator.normal(0, 1 / np.sqrt(np.prod(shape[1:]) or 1), shape).astype(np.float32)
        for name, shape in parameter_shapes("net", table).items()
    }
    layers = quantise("net", table, parameters, [random_images(64, table["size"])] * 2, MEAN, SCALE)
    images = random_images(50, table["size"], seed=9)
    exact, found = NativeNet("net", table, parameters)(images), Int8Net(table, layers, MEAN, SCALE)(images)
    assert np.sqrt(np.mean((found - exact) ** 2)) < 0.03 * exact.std()
    again = quantise("net", table, parameters, [random_images(64, table["size"])] * 2, MEAN, SCALE)
    assert all(np.array_equal(a.weight, b.weight) and np.array_equal(a.shift, b.shift) for a, b in zip(layers, again))


@pytest.mark.parametrize(
    "images", [np.zeros((0, 3, 20, 20), np.float32), np.zeros((1, 3, 20, 20)), np.zeros((1, 1, 20, 20), np.float32)]
)
def test_other_images_are_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="images must be"):
        Int8Net(TABLE, random_layers(TABLE), MEAN, SCALE)(images)


def test_files(tmp_path: Path) -> None:
    layers, path = random_layers(TABLE), tmp_path / "net.npz"
    write_layers(path, layers)
    first = path.read_bytes()
    for a, b in zip(layers, read_layers(path, TABLE), strict=True):
        assert (a.pool, a.stride) == (b.pool, b.stride)
        for name in ("weight", "scale", "shift", "alpha", "to_byte", "zero"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    write_layers(path, layers)
    assert path.read_bytes() == first


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "net.npz"
    write_layers(path, random_layers(TABLE))
    whole = dict(np.load(path))
    faults = {
        "0_weight": whole["0_weight"].astype(np.int16),
        "1_scale": np.full_like(whole["1_scale"], np.nan),
        "2_zero": whole["2_zero"][:-1],
        "4_shift": None,
        "4_alpha": np.zeros(16, np.float32),
    }
    for name, value in faults.items():
        np.savez(path, **{key: each for key, each in {**whole, name: value}.items() if each is not None})
        with pytest.raises(ModelError, match=name):
            read_layers(path, TABLE)
    np.savez(path, **{"0_weight": np.array([print])})
    with pytest.raises(ModelError, match="cannot be read as a net in 8 bits"):
        read_layers(path, TABLE)
    path.write_bytes(b"no archive")
    with pytest.raises(ModelError, match="cannot be read as a net in 8 bits"):
        read_layers(path, TABLE)
    write_layers(path, random_layers(FULL))
    with pytest.raises(ModelError, match="0_weight must be"):
        read_layers(path, TABLE)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of small random nets that find something everywhere."""
    generator = np.random.default_rng(5)
    tables = {
        "pnet": {"size": 12, "landmarks": False, "layers": [["conv", 4, 3], ["pool", 2, 2], ["conv", 6, 3], ["conv", 5, 3]]},
        "rnet": {"size": 24, "landmarks": False, "layers": [["conv", 4, 3], ["pool", 3, 2], ["conv", 7, 2], ["dense", 9]]},
        "onet": {"size": 20, "landmarks": True, "layers": ROWS},
    }
    nets = {
        net: {
            name: generator.normal(0, 0.5 / np.sqrt(np.prod(shape[1:]) or 1), shape).astype(np.float32)
            for name, shape in parameter_shapes(net, table).items()
        }
        for net, table in tables.items()
    }
    for net, values in nets.items():
        values[f"{net}_box_weight"] *= 0.1  # so that boxes stay boxes
        values[f"{net}_box_bias"] *= 0.1
    trained = as_trained(nets)
    trained = {net: type(each)(each.parameters, each.heads, table=tables[net]) for net, each in trained.items()}
    folder = tmp_path_factory.mktemp("small") / "bundle"
    return make_bundle(folder, trained, "small", "none", "any", (0.3, 0.3, 0.3), formats=("params",))


@needs_int8
def test_export_and_detect(small: Bundle, image: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    picture = tmp_path / "picture.png"
    Image.fromarray(image[::4, ::4]).save(picture)
    out = tmp_path / "out"
    assert cli.main(["export", str(small.path), str(out), "--int8", str(picture)]) == 0
    assert "pnet-int8.npz" in capsys.readouterr().out
    bundle = read_bundle(out)
    assert {f"{net}-int8.npz" for net in NETS} <= set(bundle.manifest["files"])
    found = Detector(out, engine="native-int8", min_face=14).detect(image[::4, ::4])
    assert len(found) and found.landmarks is not None
    copied = export_bundle(bundle, tmp_path / "copy", usual_formats(bundle), {"name": "renamed"})
    for net in NETS:
        assert copied.file(f"{net}-int8.npz").read_bytes() == bundle.file(f"{net}-int8.npz").read_bytes()


def test_without_files_or_faces(small: Bundle, image: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="export --int8|neither AVX2 alone nor VNNI"):
        Detector(small.path, engine="native-int8")
    bundle = export_bundle(small, tmp_path / "bundle", ("params",), {})
    with pytest.raises(DataError, match="what pnet sees: 8-bit nets need photos with faces"):
        add_int8(bundle, [np.zeros((8, 8, 3), np.uint8)])
    assert set(read_bundle(bundle.path).manifest["files"]) == {f"{net}-0000.params" for net in NETS}


@needs_int8
@pytest.mark.parametrize("wanted", ["avx512", "avx2"])
def test_instruction_sets_agree(wanted: str, tmp_path: Path) -> None:
    """Sums of products are exact, and what is done with them is the same wherever there is FMA: in tiles of one image, of
    several images, and of few pixels."""
    code = (
        "import sys, numpy as np; from mtcnn_gluon.bundles.find import find_bundle; "
        "from mtcnn_gluon.operators.int8_layers import read_layers; from mtcnn_gluon.operators.int8_net import Int8Net\n"
        "bundle, generator, found = find_bundle('default'), np.random.default_rng(0), {}\n"
        "for net, shapes in {'pnet': [(1, 90, 131), (3, 34, 50)], 'rnet': [(1, 36, 36), (19, 36, 36)], "
        "'onet': [(35, 64, 64)]}.items():\n"
        "    table = bundle.manifest['architecture'][net]\n"
        "    run = Int8Net(table, read_layers(bundle.file(f'{net}-int8.npz'), table), 127.5, 1 / 128)\n"
        "    for number, height, width in shapes:\n"
        "        images = generator.normal(0, 0.5, (number, 3, height, width)).clip(-1, 1).astype(np.float32)\n"
        "        found[f'{net} {number}'] = run(images)\n"
        "np.savez(sys.argv[1], **found)"
    )
    results = []
    for isa in ("", wanted):
        path = tmp_path / f"{isa}.npz"
        subprocess.run([sys.executable, "-c", code, str(path)], env={**os.environ, "MTCNN_GLUON_ISA": isa}, check=True)
        results.append(np.load(path))
    for name, expected in results[0].items():
        np.testing.assert_array_equal(results[1][name], expected, err_msg=name)


def test_where_nothing_multiplies_bytes() -> None:
    code = "from mtcnn_gluon import Detector; Detector(engine='native-int8')"
    environment = {**os.environ, "MTCNN_GLUON_ISA": "baseline"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "neither AVX2 alone nor VNNI" in done.stderr.splitlines()[-1]


@needs_int8
@pytest.mark.parametrize("model", ["default"])
def test_shipped_models_find_the_same_face(model: str, image: np.ndarray) -> None:
    if "pnet-int8.npz" not in find_bundle(model).manifest["files"]:
        pytest.skip("the model has no nets in 8 bits")
    exact, found = (Detector(model, engine=engine).detect(image) for engine in ("native", "native-int8"))
    assert len(found) == len(exact) == 1
    assert boxes.iou(found.boxes, exact.boxes)[0, 0] > 0.93
    assert abs(found.scores[0] - exact.scores[0]) < 0.02
    side = np.sqrt(np.prod(exact.boxes[0, 2:] - exact.boxes[0, :2]))
    assert np.abs(found.landmarks - exact.landmarks).max() < 0.04 * side
