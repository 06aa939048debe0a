"""The bundles that ship with the package: whole, small, described, and good for what the README says."""

from pathlib import Path

import numpy as np
import pytest

from mtcnn_gluon import Detector
from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.bundles.find import find_bundle, model_names
from mtcnn_gluon.bundles.format import read_bundle
from mtcnn_gluon.bundles.onnx_nets import parameters_of
from mtcnn_gluon.bundles.parameters import bundle_parameters
from mtcnn_gluon.cli.detect import portrait
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.model import DEFAULT, shipped_bundles

CARD = "MODEL_CARD.md"
LARGEST = 10 * 2**20  # bytes


def test_names() -> None:
    assert model_names() == ("default", "open", "official", *shipped_bundles())
    assert find_bundle("default").manifest == find_bundle(DEFAULT).manifest
    with pytest.raises(ModelError, match=f"model 'none': expected {', '.join(model_names())} or the folder"):
        find_bundle("none")


@pytest.mark.parametrize("name", shipped_bundles())
def test_what_ships(name: str) -> None:
    folder = shipped_bundles()[name]
    bundle = read_bundle(folder)
    manifest, files = bundle.manifest, {path.name for path in folder.iterdir()}
    assert find_bundle(name).manifest == manifest and manifest["name"] == name
    assert files == {"manifest.json", CARD, *manifest["files"]}
    assert {f"{net}.onnx" for net in ("pnet", "rnet", "onet")} <= files
    assert sum((folder / file).stat().st_size for file in files) < LARGEST
    assert manifest["licence"] != "not stated" != manifest["training_data"] and manifest["figures"]["wider"]
    card = (folder / CARD).read_text("utf-8")
    assert all(word in card for word in (name, "Licence", "Data", "Reproduce", "Known failures"))


@pytest.mark.parametrize("name", shipped_bundles())
def test_formats_hold_the_same_nets(name: str) -> None:
    pytest.importorskip("onnx")
    bundle = find_bundle(name)
    for net, values in bundle_parameters(bundle).items():
        for parameter, value in parameters_of(bundle.file(f"{net}.onnx")).items():
            np.testing.assert_array_equal(value.reshape(values[parameter].shape), values[parameter])


@pytest.mark.parametrize("name", shipped_bundles())
def test_it_finds_the_portrait(name: str) -> None:
    faces, official = (Detector(model).detect(portrait()) for model in (name, "official"))
    assert len(faces) == 1 and box_ops.iou(faces.boxes, official.boxes)[0, 0] > 0.6
    eyes = np.linalg.norm(official.landmarks[0, 1] - official.landmarks[0, 0])
    assert np.linalg.norm(faces.landmarks - official.landmarks, axis=2).max() < 0.2 * eyes


def test_installed_files_are_those_of_the_source() -> None:
    """An installation that leaves a file out would show here, where the tests run on the installed package."""
    source = Path(__file__).parents[3] / "model"
    assert set(shipped_bundles()) == {path.parent.name for path in source.glob("*/manifest.json")}
