"""Bundles: what is written is read again, and whatever is wrong is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.format import read_bundle, write_bundle
from mtcnn_gluon.bundles.official import MANIFEST
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ModelError

NAN, INFINITY = float("nan"), float("inf")


def put_files(folder: Path) -> None:
    (folder / "pnet-0000.params").write_bytes(b"p" * 100)
    (folder / "rnet-0000.params").write_bytes(b"r" * 100)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "model", MANIFEST, put_files).path


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_round_trip(folder: Path) -> None:
    bundle = read_bundle(folder)
    assert bundle.manifest["name"] == "official" and bundle.manifest["schema"] == 2
    assert bundle.file("pnet-0000.params").read_bytes() == b"p" * 100
    assert find_bundle(folder).manifest == find_bundle(str(folder)).manifest == bundle.manifest
    with pytest.raises(ModelError, match="no pnet.onnx.*pnet-0000.params"):
        bundle.file("pnet.onnx")


def test_writing_again_replaces_and_failing_changes_nothing(folder: Path) -> None:
    before = read_bundle(folder).manifest
    with pytest.raises(ZeroDivisionError):
        write_bundle(folder, MANIFEST, lambda draft: 1 / 0)  # type: ignore[arg-type,return-value]
    with pytest.raises(ModelError, match="box_convention"):
        write_bundle(folder, {**MANIFEST, "box_convention": "other"}, put_files)
    assert read_bundle(folder).manifest == before
    write_bundle(folder, {**MANIFEST, "name": "second"}, put_files)
    assert read_bundle(folder).manifest["name"] == "second"
    assert [path.name for path in folder.parent.iterdir()] == ["model"]  # no drafts are left


@pytest.mark.parametrize(("changes", "message"), [
    ({"schema": 3}, "schema 3 is newer"),
    ({"schema": 1}, "schema 1 does not say which heads were trained"),
    ({"trained": None}, "'trained'"),
    ({"trained": {"pnet": ["cls"]}}, "'trained' must name the trained heads of pnet, rnet, onet"),
    ({"trained": dict.fromkeys(NETS, "cls")}, "'trained' of pnet must be a list"),
    ({"trained": {net: ["nose"] for net in NETS}}, "'trained' of pnet must be a list with some of cls, box, landmark"),
    ({"trained": {net: ["cls", "box"] for net in NETS}}, "'trained' of onet .* architecture"),
    ({"trained": {net: ["cls", "landmark"] for net in NETS}}, "'trained' of pnet .* architecture"),
    ({"schema": None}, "'schema'"),
    ({"thresholds": "high"}, "'thresholds' must be of type list"),
    ({"colour_order": "HSV"}, "'colour_order'"),
    ({"layout": "NHWC"}, "'layout'"),
    ({"box_convention": "caffe"}, "box_convention"),
    ({"architecture": {"pnet": {}}}, r"'architecture' must describe pnet, rnet, onet, got \['pnet'\]"),
    ({"architecture": {"pnet": {}, "rnet": {}, "onet": {}}}, "pnet.size' must be a whole number from 1 to 512, got None"),
    ({"architecture": []}, "'architecture' must be of type dict"),
    ({"landmarks": 68}, "'landmarks' must be 5, got 68"),
    ({"mean": True}, "'mean' must be of type float, got True"),
    ({"mean": NAN}, "'mean' must be a number from -1e.06 to 1e.06, got nan"),
    ({"mean": 10**400}, "'mean' must be a number from .*, got 10{96}"),
    ({"scale": INFINITY}, "'scale' must be a number from"),
    ({"scale": 0}, "'scale' must be a number from 1e-06 to"),
    ({"scale": -1}, "'scale' must be a number from"),
    ({"schema": True}, "'schema' must be of type int, got True"),
    ({"schema": 0}, "'schema' must be 2, got 0"),
    ({"schema": 10**300}, "schema 10+... is newer"),
    ({"thresholds": [0.5, True, 0.5]}, "'thresholds' must be 3 numbers"),
    ({"thresholds": [0.5, NAN, 0.5]}, "'thresholds' must be 3 numbers"),
    ({"thresholds": [0.5, "0.5", 0.5]}, "'thresholds' must be 3 numbers"),
    ({"thresholds": [[0.5], 0.5, 0.5]}, "'thresholds' must be 3 numbers"),
    ({"nms": [0.5, 0.5, 0.5, -INFINITY]}, "'nms' must be 4 numbers"),
    ({"nms": [None] * 4}, "'nms' must be 4 numbers"),
    ({"files": []}, "'files' must be of type dict"),
    ({"files": {"pnet-0000.params": 5}}, "'files.pnet-0000.params' must be a sha256"),
    ({"files": {"pnet-0000.params": None}}, "'files.pnet-0000.params' must be a sha256"),
    ({"files": {"..": "0"}}, "leaves the bundle's folder"),
    ({"files": {"": "0"}}, "leaves the bundle's folder"),
    ({"files": {"a\0b": "0"}}, "leaves the bundle's folder"),
    ({"files": {"..\\a": "0"}}, "leaves the bundle's folder"),
    ({"files": {"manifest.json": "0"}}, "is the manifest's own"),
    ({"files": {"n" * 5000: "0"}}, "cannot be read|is missing"),
    ({"name": ["x"]}, "'name' must be of type str"),
    ({"licence": "\ud800"}, "'licence' must be of type str"),
    ({"figures": None}, "'figures' must be of type dict"),
    ({"colour_order": ["RGB"]}, "'colour_order'"),
    ({"thresholds": [0.5, 2, 0.5]}, "'thresholds' must be 3 numbers"),
    ({"nms": [0.5]}, "'nms' must be 4 numbers"),
    ({"files": {"../outside": "0"}}, "leaves the bundle's folder"),
    ({"files": {"onet-0000.params": "0"}}, "onet-0000.params is missing"),
    ({"files": {"pnet-0000.params": "0"}}, "pnet-0000.params is damaged or was changed"),
])  # fmt: skip
def test_bad_manifest(folder: Path, changes: dict, message: str) -> None:
    edit(folder, **changes)
    with pytest.raises(ModelError, match=message):
        read_bundle(folder)


@pytest.mark.parametrize(("net", "changes", "message"), [
    ("pnet", {"size": 24}, "'architecture.pnet.size' must be what the layers see, 12 pixels, got 24"),
    ("pnet", {"size": 11}, "'architecture.pnet.size' must be what the layers see, 12 pixels, got 11"),  # leaves one output
    ("pnet", {"size": 3, "layers": [["conv", 3, 3, 3]]}, "pnet.layers' must be of a stride that divides 64, not 3"),
    ("pnet", {"size": 65, "layers": [["conv", 3, 65]]}, "'architecture.pnet.size' must be at most 64, got 65"),
    ("rnet", {"size": "24"}, "'architecture.rnet.size' must be a whole number from 1 to 512, got '24'"),
    ("rnet", {"size": 24.0}, "'architecture.rnet.size' must be a whole number from 1 to 512, got 24.0"),
    ("rnet", {"context": 12}, "'architecture.rnet.context' must be less than half of size, 24, got 12"),
    ("rnet", {"context": 1.5}, "'architecture.rnet.context' must be a whole number, 0 or more, got 1.5"),
    ("rnet", {"context": None}, "'architecture.rnet.context' must be a whole number, 0 or more, got None"),
    ("rnet", {"layers": [["conv", 3, 3]]}, "'architecture.rnet.layers' must be with a dense layer at the end"),
    ("pnet", {"layers": [["conv", 3, 3], ["dense", 3]]}, "'architecture.pnet.layers' must be without a dense layer"),
    ("onet", {"landmarks": 1}, "'architecture.onet.landmarks' must be true or false, got 1"),
    ("onet", {"landmarks": None}, "'architecture.onet.landmarks'"),
    ("onet", {"layers": None}, "'architecture.onet.layers' must be a list of layers, got None"),
    ("onet", {"layers": []}, "'architecture.onet.layers'"),
    ("onet", {"layers": {"0": ["conv", 3, 3]}}, "'architecture.onet.layers'"),
    ("onet", {"layers": [["conv", 3, 1]] * 65}, "'architecture.onet.layers'"),
    ("pnet", {"layers": ["conv"]}, r"'architecture.pnet.layers\[0\]' must be \[\"conv\", channels, kernel\] or"),
    ("pnet", {"layers": [[]]}, r"layers\[0\]' must be \[\"conv"),
    ("pnet", {"layers": [[["conv"], 3, 3]]}, r"layers\[0\]' must be \[\"conv"),
    ("pnet", {"layers": [["lstm", 3, 3]]}, r"layers\[0\]' must be \[\"conv"),
    ("pnet", {"layers": [["conv", 3]]}, r"layers\[0\]' must be \[\"conv"),
    ("pnet", {"layers": [["conv", 3, 3], ["pool", 2, 2, 2]]}, r"layers\[1\]' must be"),
    ("pnet", {"layers": [["conv", "3", 3]]}, r"layers\[0\]' must be made of whole numbers from 1 to 65536"),
    ("pnet", {"layers": [["conv", 3, True]]}, r"layers\[0\]' must be made of whole numbers"),
    ("pnet", {"layers": [["conv", 3, 3.0]]}, r"layers\[0\]' must be made of whole numbers"),
    ("pnet", {"layers": [["conv", 0, 3]]}, r"layers\[0\]' must be made of whole numbers"),
    ("pnet", {"layers": [["conv", -3, 3]]}, r"layers\[0\]' must be made of whole numbers"),
    ("pnet", {"layers": [["conv", 10**30, 3]]}, r"layers\[0\]' must be made of whole numbers"),
    ("pnet", {"layers": [["pool", 2, 0]]}, r"layers\[0\]' must be made of whole numbers"),
    ("pnet", {"layers": [["conv", 3, 13]]}, r"layers\[0\]' must be no larger than what is left of an image, 12 pixels"),
    ("pnet", {"layers": [["pool", 2, 2], ["conv", 3, 7]]}, r"layers\[1\]' must be no larger than .* 6 pixels"),
    ("pnet", {"layers": [["conv", 3, 2], ["pool", 3, 2], ["pool", 6, 1]]}, r"layers\[2\]' must be no larger than .* 5 pixels"),
    ("rnet", {"layers": [["dense", 3], ["conv", 3, 3]]}, r"layers\[1\]' must be a dense layer"),
])  # fmt: skip
def test_bad_architecture(folder: Path, net: str, changes: dict, message: str) -> None:
    architecture = json.loads((folder / "manifest.json").read_text())["architecture"]
    edit(folder, architecture={**architecture, net: {**architecture[net], **changes}})
    with pytest.raises(ModelError, match=message) as refusal:
        read_bundle(folder)
    assert str(folder / "manifest.json") in str(refusal.value)


@pytest.mark.parametrize("key", ["size", "layers", "landmarks"])
def test_a_part_of_the_architecture_is_missing(folder: Path, key: str) -> None:
    architecture = json.loads((folder / "manifest.json").read_text())["architecture"]
    del architecture["onet"][key]
    edit(folder, architecture=architecture)
    with pytest.raises(ModelError, match=f"architecture.onet.{key}"):
        read_bundle(folder)


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: b"x" + d[1:], lambda d: b""])
def test_damaged_file(folder: Path, damage: Any) -> None:
    path = folder / "pnet-0000.params"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match="pnet-0000.params is damaged"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "\x00", "[" * 100_000, "{}", '"schema"', "1" * 5000, " " * (1 << 24) + "{}"],
    ids=lambda text: text[:9],
)
def test_unreadable_manifest(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match=r"manifest\.json"):
        read_bundle(folder)


def test_bytes_that_are_no_text(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ModelError, match=r"manifest\.json cannot be read"):
        read_bundle(folder)


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no manifest.json"):
        read_bundle(tmp_path)
    with pytest.raises(ModelError, match="'offical': expected default, open, official, .* or the folder"):
        find_bundle("offical")
