"""Writing bundles: where, over what, and what is left when it fails. Nothing of anybody else's is ever lost."""

import json
import os
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from mtcnn_gluon.bundles.format import read_bundle, write_bundle
from mtcnn_gluon.bundles.official import MANIFEST
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.io import folders

Writer = Callable[[Path], None]
OLD, NEW = {"pnet-0000.params": "old", "pnet-symbol.json": "old"}, {"pnet-0000.params": "new", "pnet.onnx": "new"}


def put(files: dict[str, str]) -> Writer:
    def write(draft: Path) -> None:
        for name, text in files.items():
            (draft / name).write_text(text)

    return write


def contents(folder: Path) -> dict[str, Any]:
    """All that lies in a folder, deep; of a manifest, the name of the model."""
    found = {}
    for path in sorted(folder.rglob("*")):
        text = "folder" if path.is_dir() else path.read_text()
        is_manifest = path.name == "manifest.json" and '"schema"' in text
        found[str(path.relative_to(folder))] = json.loads(text).get("name") if is_manifest else text
    return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the test, with nothing in it."""
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


@pytest.mark.parametrize("path", [
    "model", "model/", "./model", "a/b/model", ".", "./", "../home", "empty", "empty/", "empty/.", "empty/../model", "link",
    "link/", "ö \t", "\udcff",
])  # fmt: skip
def test_where_there_is_nothing(home: Path, path: str) -> None:
    (home.parent / "target").mkdir()
    if path.startswith("empty"):
        Path("empty").mkdir()
    if path.startswith("link"):
        os.symlink(home.parent / "target", "link")
    identity = os.stat(path).st_ino if os.path.isdir(path) else None
    bundle = write_bundle(path, MANIFEST, put(NEW))
    assert contents(bundle.path) == {"manifest.json": "official", **NEW}
    if identity is not None:
        assert os.stat(path).st_ino == identity  # of the same folder: it may be somebody's working folder
    assert not [name for _, folders, files in os.walk(home.parent) for name in (*folders, *files) if name.startswith(".")]
    if path.startswith("link"):
        assert os.path.islink("link")


@pytest.mark.parametrize("path", [".", "./", "../home", "../home/", "../link"])
def test_over_a_bundle_with_files_of_others(home: Path, path: str) -> None:
    os.symlink(home, home.parent / "link")
    write_bundle(home, {**MANIFEST, "name": "first"}, put(OLD))
    others = {"MODEL_CARD.md": "mine", ".git": "folder", ".git/config": "mine", "rnet.onnx": "mine"}
    (home / ".git").mkdir()
    for name, text in others.items():
        if text != "folder":
            (home / name).write_text(text)
    write_bundle(path, {**MANIFEST, "name": "second"}, put(NEW))
    assert contents(home) == {"manifest.json": "second", **NEW, **others}
    assert sorted(os.listdir(home.parent)) == ["home", "link"]


@pytest.mark.parametrize("name, make", [
    ("pnet.onnx", lambda path: path.write_text("mine")),
    ("pnet.onnx", lambda path: path.mkdir()),
    ("pnet.onnx", lambda path: path.symlink_to("nowhere")),
], ids=["file", "folder", "link"])  # fmt: skip
def test_a_file_of_others_is_in_the_way(home: Path, name: str, make: Callable[[Path], None]) -> None:
    write_bundle(home, {**MANIFEST, "name": "first"}, put(OLD))
    make(home / name)
    before = sorted(os.listdir(home))
    with pytest.raises(ModelError, match=f"{name} does not belong to the bundle to be replaced"):
        write_bundle(home, {**MANIFEST, "name": "second"}, put(NEW))
    assert sorted(os.listdir(home)) == before and read_bundle(home).manifest["name"] == "first"


@pytest.mark.parametrize("files, expected", [
    ({"precious.txt": "mine"}, None),
    ({".hidden": "mine"}, None),
    ({"pnet.onnx": "mine"}, None),
    ({"manifest.json": '{"name": "a web page"}', "index.html": "mine"}, None),
    ({"manifest.json": '{"schema": 1, "files": ["index.html"]}', "index.html": "mine"}, None),
    ({"manifest.json": '{"schema": true, "files": {}}', "index.html": "mine"}, None),
    ({"manifest.json": "[]"}, None),
    ({"manifest.json": "{", "precious.txt": "mine"}, None),
    ({"manifest.json": "{", "pnet.onnx": "half", "onet.onnx": "x"}, NEW),  # a damaged bundle, and nothing else
    ({"manifest.json": ""}, NEW),
    ({"manifest.json": '{"schema": 2, "files": {"weights": "0"}}', "weights": "x", "mine": "mine"}, {**NEW, "mine": "mine"}),
    ({"manifest.json": '{"schema": 1, "files": {"../outside": "0", ".": "0"}}', "mine": "mine"}, {**NEW, "mine": "mine"}),
], ids=str)  # fmt: skip
def test_what_a_bundle_may_replace(home: Path, files: dict[str, str], expected: dict[str, str] | None) -> None:
    (home.parent / "outside").write_text("mine")
    put(files)(home)
    if expected is None:
        before = contents(home)
        with pytest.raises(ModelError, match="exists and is not a model bundle: not replaced"):
            write_bundle(home, MANIFEST, put(NEW))
        assert contents(home) == before
    else:
        write_bundle(home, MANIFEST, put(NEW))
        assert contents(home) == {"manifest.json": "official", **expected}
    assert contents(home.parent)["outside"] == "mine"


@pytest.mark.parametrize("path, message", [
    ("file", "file exists and is not a model bundle: not replaced"),
    ("file/", "not"),
    ("file/model", "file/model cannot be written: file is not a folder"),
    ("file/a/b/model", "file/a/b/model cannot be written: file is not a folder"),
    ("dangling/model", "dangling/model cannot be written: dangling is not a folder"),
    ("dangling", "dangling exists and is not a model bundle"),
    ("pipe", "pipe exists and is not a model bundle"),
    ("/proc/model", "/proc/model cannot be written: "),
    ("n" * 300, "nnn cannot be written: File name too long"),
    ("a\0b", "contains a zero byte"),
    ("", "a bundle needs a folder, not ''"),
], ids=repr)  # fmt: skip
def test_where_no_bundle_can_be(home: Path, path: str, message: str) -> None:
    Path("file").write_text("mine")
    os.symlink("nowhere", "dangling")
    os.mkfifo("pipe")
    before = sorted(os.listdir())
    with pytest.raises(ModelError, match=message):
        write_bundle(path, MANIFEST, put(NEW))
    assert sorted(os.listdir()) == before and Path("file").read_text() == "mine"


def fail(draft: Path) -> None:
    put(NEW)(draft)
    raise OSError(28, "No space left on device")


def interrupt(draft: Path) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("write, manifest, error, message", [
    (fail, MANIFEST, ModelError, "home cannot be written: No space left on device"),
    (interrupt, MANIFEST, KeyboardInterrupt, "^$"),
    (put(NEW), {**MANIFEST, "box_convention": "other"}, ModelError, "manifest.json: box_convention"),
    (put(NEW), {**MANIFEST, "figures": {"x": object()}}, ModelError, "manifest.json: the manifest cannot be written as JSON"),
])  # fmt: skip
@pytest.mark.parametrize("before", [{}, OLD], ids=["empty", "bundle"])
def test_what_fails_changes_nothing(
    home: Path, write: Writer, manifest: dict, error: type[BaseException], message: str, before: dict[str, str]
) -> None:
    if before:
        write_bundle(home, MANIFEST, put(before))
    expected = contents(home)
    with pytest.raises(error, match=message):
        write_bundle(home, manifest, write)
    assert contents(home) == expected and os.listdir(home.parent) == ["home"]


@pytest.mark.parametrize("turn", range(6))
@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()], ids=repr)
def test_a_replacement_that_fails_half_way_is_undone(
    home: Path, monkeypatch: pytest.MonkeyPatch, turn: int, error: BaseException
) -> None:
    write_bundle(home, {**MANIFEST, "name": "first"}, put(OLD))
    (home / "mine").write_text("mine")
    before, calls = contents(home), 0

    def failing(function: Callable) -> Callable:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == turn + 1:
                raise error
            return function(*arguments, **more)

        return call

    monkeypatch.setattr(folders.os, "replace", failing(os.replace))
    monkeypatch.setattr(folders.shutil, "copy2", failing(folders.shutil.copy2))
    with pytest.raises(ModelError if isinstance(error, OSError) else KeyboardInterrupt):
        write_bundle(home, {**MANIFEST, "name": "second"}, put(NEW))
    assert calls > turn
    assert contents(home) == before


def test_two_processes_make_the_same_bundle(home: Path) -> None:
    """The other one is ready first."""

    def write(draft: Path) -> None:
        write_bundle("model", MANIFEST, put(NEW))
        put(NEW)(draft)

    assert contents(write_bundle("model", MANIFEST, write).path) == {"manifest.json": "official", **NEW}
    assert os.listdir(home) == ["model"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs permissions")
def test_drafts_of_a_killed_process_do_not_count(home: Path) -> None:
    (home / ".mtcnn-gluon-abc").mkdir()
    write_bundle(home, MANIFEST, put(NEW))
    assert read_bundle(home).manifest["name"] == "official"
