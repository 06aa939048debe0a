"""The verb export: what it writes from bundles and from training runs, and what it refuses."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from mtcnn_gluon import Detector, read_image
from mtcnn_gluon.bundles import onnx_nets
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.format import read_bundle
from mtcnn_gluon.bundles.official import official_parameters
from mtcnn_gluon.bundles.trained import heads_in
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.cli.detect import portrait
from mtcnn_gluon.config import NETS
from mtcnn_gluon.training.checkpoints import Checkpoint, write_checkpoint
from mtcnn_gluon.training.heads import HeadPlan

Run = Callable[..., tuple[int, str, str]]
ONNX_FILES = ["onet.onnx", "pnet.onnx", "rnet.onnx"]
ALL_FILES = sorted([*ONNX_FILES, *(f"{net}-{end}" for net in NETS for end in ("0000.params", "symbol.json"))])


@pytest.fixture
def run(capsys: pytest.CaptureFixture) -> Run:
    def call(*arguments: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = cli.main(["export", *map(str, arguments)])
        except SystemExit as stop:
            status = int(stop.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


def write_run(folder: Path, net: str, name: str = "best.npz", scale: float = 1, average: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    values = {key: value * np.float32(scale) for key, value in official_parameters(net).items()}
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25, "val_recall": float("nan")}]
    heads = heads_in(net, values)
    plan = HeadPlan(present=heads, learned=heads, kept=()).to_json()
    checkpoint = Checkpoint({"options": {"net": net}, "rows": rows, "heads": plan}, values)
    if average:
        checkpoint.averages = {key: value * 2 for key, value in values.items()}
    write_checkpoint(folder / name, checkpoint)


@pytest.mark.parametrize("options, files", [([], ALL_FILES), (["--onnx"], ONNX_FILES)], ids=str)
def test_a_bundle(run: Run, tmp_path: Path, options: list[str], files: list[str]) -> None:
    status, out, said = run("official", tmp_path / "model", *options)
    assert (status, said) == (0, "") and out == f"{tmp_path / 'model'}: {', '.join(files)}\n"
    bundle = read_bundle(tmp_path / "model")
    assert sorted(bundle.manifest["files"]) == files and "not stated" in bundle.manifest["licence"]
    status, *_ = run(tmp_path / "model", tmp_path / "again", *options)
    assert status == 0 and read_bundle(tmp_path / "again").manifest == bundle.manifest


def test_the_manifest_can_be_changed(run: Run, tmp_path: Path) -> None:
    options = ["--name", "mine", "--training-data", "photos", "--licence", "MIT", "--thresholds", 0.5, 0.6, 0.7]
    assert run("official", tmp_path / "model", "--onnx", *options)[0] == 0
    manifest = read_bundle(tmp_path / "model").manifest
    assert [manifest[key] for key in ("name", "training_data", "licence")] == ["mine", "photos", "MIT"]
    assert manifest["thresholds"] == [0.5, 0.6, 0.7] and manifest["box_convention"] == "matlab"


def test_without_mxnet(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mxnet", None)
    status, out, said = run("official", tmp_path / "model")
    files = [name for name in ALL_FILES if not name.endswith(".json")]
    assert status == 0 and out == f"{tmp_path / 'model'}: {', '.join(files)}\n"
    assert re.fullmatch("mtcnn-gluon: note: symbol files are left out: MXNet is not installed: run pip .*\n", said)
    assert run("official", tmp_path / "model", "--onnx")[2] == ""


def test_without_onnx(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    status, _, said = run("official", tmp_path / "model")
    assert status == 0 and "ONNX files are left out" in said and "pip install onnx" in said
    assert not set(read_bundle(tmp_path / "model").manifest["files"]) & set(ONNX_FILES)
    assert run("official", tmp_path / "other", "--onnx")[0] == 2
    monkeypatch.setitem(sys.modules, "mxnet", None)
    assert not (tmp_path / "other").exists()
    assert run("official", tmp_path / "other")[0] == 0
    assert sorted(read_bundle(tmp_path / "other").manifest["files"]) == [f"{net}-0000.params" for net in sorted(NETS)]


SHIPPED = "gluon-4"


@pytest.mark.parametrize("missing", [("onnx",), ("mxnet",), ("onnx", "mxnet")], ids=str)
@pytest.mark.parametrize("options, files", [
    ([], ALL_FILES),
    (["--onnx"], ONNX_FILES),
    (["--thresholds", 0.5, 0.75, 0.8], ALL_FILES),  # as they are
])  # fmt: skip
def test_what_cannot_be_written_is_copied(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], options: list, files: list[str]
) -> None:
    source = find_bundle(SHIPPED)
    for module in missing:
        monkeypatch.setitem(sys.modules, module, None)
    status, _, said = run(SHIPPED, tmp_path / "model", *options)
    assert (status, said) == (0, "")
    bundle = read_bundle(tmp_path / "model")
    assert sorted(bundle.manifest["files"]) == files
    assert {key: value for key, value in bundle.manifest.items() if key != "files"} == {
        key: value for key, value in source.manifest.items() if key != "files"
    }
    copied = [name for name in files if name.endswith(".onnx") and "onnx" in missing]
    copied += [name for name in files if not name.endswith(".onnx") and "mxnet" in missing]
    for name in copied:
        assert bundle.file(name).read_bytes() == source.file(name).read_bytes(), name


@pytest.mark.parametrize("options, keys", [
    (["--name", "mine"], "name"),
    (["--licence", "MIT", "--training-data", "x"], "licence, training_data"),
    (["--thresholds", 0.5, 0.6, 0.7], "thresholds"),
])  # fmt: skip
def test_onnx_files_that_would_say_something_else_are_not_copied(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list, keys: str
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    status, out, said = run(SHIPPED, tmp_path / "model", *options)
    assert status == 0 and ".onnx" not in out and "pnet-0000.params" in out
    assert re.search(rf"ONNX files are left out: onnx is not installed: .*as they state the old {keys}\n", said), said
    status, _, said = run(SHIPPED, tmp_path / "other", "--onnx", *options)
    assert status == 2 and f"as they state the old {keys}" in said and not (tmp_path / "other").exists()


def test_the_cascade_is_never_copied(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing says which smallest face it was made for."""
    assert run(SHIPPED, tmp_path / "model", "--onefile")[0] == 0
    monkeypatch.setitem(sys.modules, "onnx", None)
    status, _, said = run(tmp_path / "model", tmp_path / "other", "--onefile")
    assert status == 2 and "onnx is not installed" in said
    assert run(tmp_path / "model", tmp_path / "other")[0] == 0
    assert sorted(read_bundle(tmp_path / "other").manifest["files"]) == ALL_FILES


def test_runs(run: Run, tmp_path: Path) -> None:
    """A folder of three runs; the averaged parameters and the better checkpoint count."""
    write_run(tmp_path / "runs/a", "pnet", average=True)
    write_run(tmp_path / "runs/b", "rnet", scale=3, name="last.npz")
    write_run(tmp_path / "runs/b", "rnet")
    write_run(tmp_path / "runs/c", "onet", name="last.npz")
    (tmp_path / "runs/notes").mkdir()
    status, out, said = run(tmp_path / "runs", tmp_path / "mine", "--licence", "CC0")
    assert (status, said) == (0, "") and "pnet-symbol.json" in out
    manifest = read_bundle(tmp_path / "mine").manifest
    assert (manifest["name"], manifest["licence"], manifest["training_data"]) == ("mine", "CC0", "not stated")
    assert manifest["figures"]["training"]["rnet"] == {"epoch": 2, "loss": 0.25}
    for net, factor in (("pnet", 2), ("rnet", 1), ("onet", 1)):
        found = onnx_nets.parameters_of(tmp_path / "mine" / f"{net}.onnx")
        for name, value in official_parameters(net).items():
            np.testing.assert_array_equal(found[name], value * np.float32(factor))


@pytest.mark.parametrize("source", ["run", "run/best.npz"])
def test_one_run(run: Run, tmp_path: Path, image: np.ndarray, source: str) -> None:
    write_run(tmp_path / "run", "pnet")
    status, _, said = run(tmp_path / source, tmp_path / "model", "--onnx")
    assert status == 0 and "model: rnet and onet are not trained but random numbers" in said
    assert read_bundle(tmp_path / "model").manifest["trained"] == {"pnet": ["cls", "box"], "rnet": [], "onet": []}
    Detector(tmp_path / "model").detect(image[::4, ::4])


@pytest.mark.parametrize("source, message", [
    ("nowhere", "'nowhere' does not exist"),
    ("empty", "empty is neither a model bundle nor a training run"),
    ("twice", "twice holds two runs of pnet"),
    ("rnet", "a bundle needs the parameters of pnet"),
    ("damaged", r"best\.npz is not a whole checkpoint"),
    ("other", r"best\.npz: expected a checkpoint of pnet, rnet, onet, not of 'qnet'"),
    ("bundle", "schema 7 is newer"),
])  # fmt: skip
def test_what_cannot_be_exported(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "damaged", "bundle"):
        Path(folder).mkdir()
    write_run(Path("twice/a"), "pnet")
    write_run(Path("twice/b"), "pnet")
    write_run(Path("rnet"), "rnet")
    Path("damaged/best.npz").write_bytes(b"PK")
    Path("other").mkdir()
    write_checkpoint("other/best.npz", Checkpoint({"options": {"net": "qnet"}}, {}))
    Path("bundle/manifest.json").write_text(json.dumps({"schema": 7}))
    status, out, said = run(source, "model", "--onnx")
    assert (status, out) == (2, "") and "Traceback" not in said
    assert re.search(message, said), said
    assert not Path("model").exists()


def test_one_file(run: Run, tmp_path: Path) -> None:
    """The cascade is one more file; what it looks for unless told is an option."""
    runtime = pytest.importorskip("onnxruntime")
    image = read_image(portrait())
    counts = []
    for more in ([], ["--min-face", "300"]):
        assert run("official", tmp_path / "model", "--onnx", "--onefile", *more)[0] == 0
        assert sorted(read_bundle(tmp_path / "model").manifest["files"]) == ["mtcnn.onnx", *ONNX_FILES]
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        session = runtime.InferenceSession(str(tmp_path / "model/mtcnn.onnx"), options)
        counts.append(len(session.run(["scores"], {"image": image})[0]))
    assert counts == [1, 0]
    status, _, said = run("official", tmp_path / "model", "--onefile", "--min-face", "0")
    assert status == 2 and "--min-face must be a number of pixels, 1 or more, not 0" in said


def test_the_folder_of_a_pipeline(run: Run, tmp_path: Path) -> None:
    assert run("official", tmp_path / "run/bundle", "--onnx")[0] == 0
    assert run(tmp_path / "run", tmp_path / "model", "--onnx")[0] == 0
    assert read_bundle(tmp_path / "model").manifest == read_bundle(tmp_path / "run/bundle").manifest


@pytest.mark.parametrize("dest, status, message", [
    ("file/x", 2, "file/x cannot be written: file is not a folder"),
    ("file", 2, "file exists and is not a model bundle: not replaced"),
    (".", 2, r"\. exists and is not a model bundle: not replaced"),
    ("", 2, "a bundle needs a folder, not ''"),
    ("-", 2, "DEST must be a folder, not '-'"),
    ("https://example.org/m", 2, "DEST must be a folder, not 'https://example.org/m'"),
    ("empty", 0, "^$"),
    ("empty/", 0, "^$"),
    ("empty/.", 0, "^$"),
    ("new/deep", 0, "^$"),
])  # fmt: skip
def test_where_to(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dest: str, status: int, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    Path("empty").mkdir()
    found, _, said = run(SHIPPED, dest, "--onnx")
    assert found == status and re.search(message, said) and "Traceback" not in said, said
    if status == 0:
        assert sorted(read_bundle(dest).manifest["files"]) == ONNX_FILES
    assert Path("file").read_text() == "mine" and not [name for name in os.listdir() if name.startswith(".")]


def test_into_the_working_folder_twice(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run(SHIPPED, ".", "--onnx")[0] == 0
    Path("notes.txt").write_text("mine")
    assert run(".", ".", "--name", "second")[0] == 0
    assert sorted(os.listdir()) == sorted([*ALL_FILES, "manifest.json", "notes.txt"])
    assert os.listdir(tmp_path) == ["here"] and read_bundle(".").manifest["name"] == "second"


def test_a_full_disk(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MXNet writes its files itself."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        for options in ([], ["--onnx"]):
            status, _, said = run(SHIPPED, tmp_path / "model", *options)
            assert status == 2 and re.search("cannot (write the files of rnet|be written: File too large)", said), said
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not os.listdir(tmp_path)


def test_never_replaces_what_is_no_bundle(run: Run, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_text("")
    status, _, said = run("official", tmp_path / "photos", "--onnx")
    assert status == 2 and "is not a model bundle: not replaced" in said and (tmp_path / "photos/a.jpg").exists()


@pytest.mark.parametrize("arguments", [(), ("official",), ("official", "a", "b"), ("official", "a", "--nonsense")], ids=str)
def test_usage(run: Run, arguments: tuple[str, ...]) -> None:
    status, _, said = run(*arguments)
    assert status == 2 and "usage: mtcnn-gluon" in said
