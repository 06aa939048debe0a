"""Bundles: what is written is read again, and whatever is wrong is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from mtcnn_gluon.bundle import find_bundle, read_bundle, write_bundle
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.symbol.reference import MANIFEST


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


def test_never_replaces_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ModelError, match="not a model bundle"):
        write_bundle(tmp_path, MANIFEST, put_files)
    assert (tmp_path / "precious.txt").read_text() == "mine"


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
    ({"architecture": {"pnet": {}}}, "'architecture'"),
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


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: b"x" + d[1:], lambda d: b""])
def test_damaged_file(folder: Path, damage: Any) -> None:
    path = folder / "pnet-0000.params"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match="pnet-0000.params is damaged"):
        read_bundle(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00"])
def test_unreadable_manifest(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match=r"manifest\.json"):
        read_bundle(folder)


def test_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no manifest.json"):
        read_bundle(tmp_path)
    with pytest.raises(ModelError, match="'offical': expected default, official, .* or the folder"):
        find_bundle("offical")
