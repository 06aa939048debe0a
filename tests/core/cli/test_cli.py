"""The command line: what it reads, what it writes, what it reports and how it exits."""

import csv
import inspect
import io
import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator, NoReturn

import cv2
import numpy as np
import pytest
from PIL import Image

import mtcnn_gluon
from mtcnn_gluon import Faces, read_image
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.cli import detect as cli_detect
from mtcnn_gluon.cli import info as cli_info
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.detection import detector
from mtcnn_gluon.engines import ENGINES
from mtcnn_gluon.errors import ImageError, ModelError
from mtcnn_gluon.model import shipped_bundles
from mtcnn_gluon.operators import mxnet_operators

BOXES = np.array([[8.25, 4.5, 40, 44], [50, 20.125, 70, 46]])
SCORES = np.array([0.987654321, 0.7])
POINTS = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)])
LANDMARKS = BOXES[:, None, :2] + POINTS * (BOXES[:, None, 2:] - BOXES[:, None, :2])


def faces_of(image: np.ndarray) -> Faces:
    """What the fake detector finds: as many of the fixed faces as the red of the first pixel says."""
    n = int(image[0, 0, 0])
    return Faces(BOXES[:n], SCORES[:n], LANDMARKS[:n])


LICENCE = "mtcnn-gluon: licence of model fake: any use\n"  # which `run` leaves out


class FakeDetector:
    options: dict[str, Any]

    has_landmarks = True
    rotate = "0"
    bundle = SimpleNamespace(manifest={"name": "fake", "licence": "any use"})
    settings = SimpleNamespace(threshold=lambda stage, sides: np.full(len(sides), 0.6))

    def __init__(self, **options: Any) -> None:
        FakeDetector.options = options
        self.engine = SimpleNamespace(name=options.get("engine"), frames_at_once=1, batch_pixels=1_000_000)

    def detect(self, image: np.ndarray) -> Faces:
        assert image.dtype == np.uint8 and image.shape[2] == 3
        return faces_of(image)


@dataclass
class Outcome:
    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Outcome]


def runner(capsys: pytest.CaptureFixture) -> Run:
    def run(*arguments: Any) -> Outcome:
        capsys.readouterr()
        try:
            status = cli.main([str(each) for each in arguments])
        except SystemExit as stop:  # argparse
            status = stop.code
        printed = capsys.readouterr()
        return Outcome(status, printed.out, printed.err.replace(LICENCE, ""))

    return run


@pytest.fixture(autouse=True)
def quiet_logging() -> Iterator[None]:
    """`main` sets up logging on the standard error of its moment: undo it, for other tests."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Run:
    """Runs the command in this process with the fake detector."""
    for module in (cli_info, cli_detect):
        monkeypatch.setattr(module, "Detector", FakeDetector)
    return runner(capsys)


@pytest.fixture
def run_real(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Run:
    """Runs it with the real Detector, where no model can be had: an option must be refused before one is looked for."""

    def no_model(model: str) -> NoReturn:
        raise ModelError(f"{model}: this machine has none")

    monkeypatch.setattr(detector, "find_bundle", no_model)
    return runner(capsys)


def make_photo(path: Path, faces: int = 1, seed: int = 0) -> Path:
    """A picture of 80 x 50 noise in which the fake detector finds so many faces."""
    array = np.random.default_rng(seed).integers(60, 200, (50, 80, 3), dtype=np.uint8)
    array[0, 0] = faces
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **({"lossless": True} if path.suffix == ".webp" else {}))
    return path


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with `in`: three photos, one of them in a subfolder, of 1, 2 and no faces, and a text."""
    make_photo(tmp_path / "in/a.png", 1)
    make_photo(tmp_path / "in/b é [1].webp", 2, seed=1)
    make_photo(tmp_path / "in/sub/c.png", 0, seed=2)
    (tmp_path / "in/notes.txt").write_text("not a photo")
    monkeypatch.chdir(tmp_path)
    return tmp_path


ALL = ["in/a.png", "in/b é [1].webp", "in/sub/c.png"]
NOTE = "mtcnn-gluon: in: skipped 1 file: 1 .txt (not an image or video)\n"


def expected_row(path: str) -> dict[str, Any]:
    faces = []
    for box, score, points in zip(BOXES, SCORES, LANDMARKS.round(2).tolist()):
        names = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
        faces.append({"box": [round(v, 2) for v in box], "score": round(score, 6), "landmarks": dict(zip(names, points))})
    count = {"a.png": 1, "b é [1].webp": 2, "c.png": 0}[Path(path).name]
    return {"image": path, "width": 80, "height": 50, "faces": faces[:count]}


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# ---- what is read, and JSON


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["in"], ALL),
        (["in/"], ALL),
        (["in/a.png"], ALL[:1]),
        (["in/sub"], ALL[2:]),
        (["in/*.png"], ALL[:1]),
        (["in/**/*.png"], [ALL[0], ALL[2]]),
        (["in/b é [1].webp"], ALL[1:2]),
        (["in/sub/c.png", "in/a.png"], [ALL[2], ALL[0]]),
        (["in/a.png", "in/a.png"], [ALL[0], ALL[0]]),
        (["in/sub", "in/?.png"], [ALL[2], ALL[0]]),
    ],
    ids=" ".join,
)  # fmt: skip
def test_json(photos: Path, run: Run, arguments: list[str], expected: list[str]) -> None:
    rows = [expected_row(path) for path in expected]
    note = NOTE if Path(arguments[0]) == Path("in") else ""
    outcome = run("detect", *arguments, "--json", "-")
    assert (outcome.status, outcome.err) == (0, note)  # no progress bar where there is no terminal
    assert outcome.rows == rows
    outcome = run("detect", *arguments, "--json", "out/é.jsonl")
    assert (outcome.status, outcome.err) == (0, note)
    text = (photos / "out/é.jsonl").read_bytes().decode("utf-8")
    assert text.endswith("\n") and "\r" not in text
    assert [json.loads(line) for line in text.splitlines()] == rows
    assert [list(row) for row in map(json.loads, text.splitlines())] == [["image", "width", "height", "faces"]] * len(rows)


def test_summary(photos: Path, run: Run) -> None:
    for options in ([], ["--json", "out.jsonl"]):
        outcome = run("detect", "in", *options)
        lines = outcome.out.splitlines()
        assert [lines[0], lines[2], lines[5]] == ["in/a.png: 1 face", "in/b é [1].webp: 2 faces", "in/sub/c.png: 0 faces"]
        assert len(lines) == 6 and "0.9877" in lines[1] and "8.2 4.5 40.0 44.0" in lines[1]
    assert not run("detect", "in", "--json", "-").out.startswith("in/")


def test_portrait_where_no_path_is_given(photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_detect, "portrait", lambda: photos / "in/a.png")
    assert run("detect", "--json", "-").rows[0]["image"] == str(photos / "in/a.png")


def test_portrait() -> None:
    pytest.importorskip("skimage")
    assert read_image(cli_detect.portrait()).shape == (512, 512, 3)


def test_portrait_without_scikit_image(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    outcome = run("detect")
    assert outcome.status == 2 and outcome.out == "" and "pip install scikit-image" in outcome.err


@pytest.mark.parametrize("path", [".", "empty", "empty/"])
def test_nothing_to_read(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    outcome = run("detect", path, "--json", "out.jsonl")
    assert outcome.status == 2 and f"no image found in {path}" in outcome.err
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("name", ["clip.avi", "x.avif", "x.jfif", "x.jpe", "x.JP2", "x.ppm", "x.tga", "x.ico", "noending"])
def test_a_folder_gives_what_naming_gives(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    image = Image.new("RGB", (64, 48), (1, 0, 0))
    if name == "clip.avi":
        writer = cv2.VideoWriter(f"d/{name}", cv2.VideoWriter_fourcc(*"MJPG"), 8, (64, 48))
        writer.write(np.asarray(image)[:, :, ::-1])
        writer.release()
    elif name == "x.avif" and "AVIF" not in (Image.init() or Image.SAVE):
        pytest.skip("this Pillow writes no AVIF")
    else:
        image.save(tmp_path / "d" / name, "JPEG" if name == "noending" else None)
    direct, search = (run("detect", argument, "--json", "-") for argument in (f"d/{name}", "d"))
    assert direct.status == search.status == 0 and direct.rows == search.rows and len(direct.rows) == 1


def test_a_folder_that_may_not_be_searched(photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def forbidding(path: Any) -> Any:
        if os.fspath(path) in ("in/sub", "shut"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    (photos / "shut").mkdir()
    monkeypatch.setattr(os, "scandir", forbidding)
    for argument, folder, count in (("in", "in/sub", 2), ("shut", "shut", 0)):
        outcome = run("detect", argument, "--json", "-", "--save", "out")
        assert outcome.status == 1
        message = f"{folder} cannot be searched: Permission denied"
        assert f"mtcnn-gluon: {message}\n" in outcome.err
        assert [row.get("error") for row in outcome.rows] == [None] * count + [message]


# ---- standard input and addresses


class StandardInput(SimpleNamespace):
    """Standard input that holds so many bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(buffer=io.BytesIO(data))


def test_standard_input(photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StandardInput((photos / "in/a.png").read_bytes()))
    outcome = run("detect", "in/sub", "-", "--json", "-", "--save", "s", "--crops", "c")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.rows[1] == {**expected_row("in/a.png"), "image": "-"}
    assert files_below(photos / "s") == ["c.png", "stdin.png"] and files_below(photos / "c") == ["stdin-face0.png"]


@pytest.mark.parametrize(
    "data, message",
    [(b"", "standard input: empty, not an image"), (b"no", "standard input: not an image"), (None, "is closed")],
)
def test_standard_input_without_an_image(run: Run, monkeypatch: pytest.MonkeyPatch, data: bytes | None, message: str) -> None:
    monkeypatch.setattr(sys, "stdin", None if data is None else StandardInput(data))
    outcome = run("detect", "-")
    assert outcome.status == 1 and message in outcome.err and "bytes given" not in outcome.err


def test_a_file_with_the_name_of_standard_input(photos: Path, run: Run) -> None:
    make_photo(photos / "x.png").rename(photos / "-")
    assert run("detect", "./-", "--json", "-").rows[0]["width"] == 80


def test_addresses(photos: Path, run: Run) -> None:
    outcome = run("detect", "https://example.org/a.jpg?x=[1]", "in/a.png", "--json", "-", "--save", "s")
    message = "https://example.org/a.jpg?x=[1]: URLs are not fetched; download the file and give its path"
    assert outcome.status == 1 and outcome.err == f"mtcnn-gluon: {message}\n"
    assert outcome.rows[0]["image"] == "https://example.org/a.jpg?x=[1]" and outcome.rows[0]["error"] == message


# ---- options about results


@pytest.mark.parametrize(
    "options, message",
    [
        (["--json", "-", "--csv", "-"], "--json - and --csv - would mix"),
        (["--json", "o", "--csv", "o"], "--csv o would overwrite what --json o writes"),
        (["--json", "o", "--csv", "./in/../o"], "would overwrite"),
        (["--json", "o", "--csv", "o.part"], "would overwrite"),
        (["--json", "link", "--csv", "o"], "would overwrite"),
        (["--json", "in/a.png"], "--json in/a.png would overwrite one of the photos"),
        (["--csv", "in/sub/../a.png"], "would overwrite one of the photos"),
        (["--csv", "photo"], "--csv photo would overwrite one of the photos"),
        (["--json", ""], "--json must be a file, not ''"),
        (["--csv", ""], "--csv must be a file, not ''"),
        (["--save", ""], "--save must be a folder, not ''"),
        (["--save", "-"], "--save must be a folder, not '-'"),
        (["--crops", "-"], "--crops must be a folder, not '-'"),
        (["--json", "s3://bucket/o"], "--json must be a file, not 's3://bucket/o'"),
        (["--save", "s3://bucket/o"], "--save must be a folder"),
        (["--resume", "--json", "-"], "--resume needs --json FILE"),
        (["-", "--resume", "--json", "o"], "--resume cannot tell whether the photo on standard input is done"),
    ],
    ids=" ".join,
)
def test_results_that_would_be_lost(photos: Path, run: Run, options: list[str], message: str) -> None:
    (photos / "link").symlink_to("o")
    (photos / "photo").symlink_to("in/a.png")
    before = {name: (photos / name).read_bytes() for name in files_below(photos)}
    outcome = run("detect", "in", *options)
    assert outcome.status == 2 and outcome.out == "" and message in outcome.err
    assert {name: (photos / name).read_bytes() for name in files_below(photos)} == before


# ---- tables


def test_csv_on_standard_output(photos: Path, run: Run) -> None:
    run("detect", "in", "missing.jpg", "--csv", "t.csv")
    outcome = run("detect", "in", "missing.jpg", "--csv", "-", "--json", "j")
    assert outcome.status == 1 and outcome.out.encode() == (photos / "t.csv").read_bytes()
    assert not (photos / "-").exists() and len((photos / "j").read_text().splitlines()) == 4
    outcome = run("detect", "in/a.png", "in/sub/c.png", "--csv", "-", "--json", "j", "--resume")
    images = [line.split(",")[0] for line in outcome.out.splitlines()]
    assert images == ["image", "in/a.png", *["in/b é [1].webp"] * 2, "in/sub/c.png", "missing.jpg"]


CSV_HEAD = [
    "image", "frame", "time", "width", "height", "face", "x1", "y1", "x2", "y2", "score", "left_eye_x", "left_eye_y",
    "right_eye_x",
    "right_eye_y", "nose_x", "nose_y", "left_mouth_x", "left_mouth_y", "right_mouth_x", "right_mouth_y", "error",
]  # fmt: skip


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == CSV_HEAD
        return list(reader)


def test_csv(photos: Path, run: Run) -> None:
    make_photo(photos / 'in/sub/d, "e".png', 1)
    outcome = run("detect", "in", "missing.jpg", "--csv", "out/table.csv")
    assert outcome.status == 1
    rows = read_table(photos / "out/table.csv")
    images = ["in/a.png", *["in/b é [1].webp"] * 2, "in/sub/c.png", 'in/sub/d, "e".png', "missing.jpg"]
    assert [row["image"] for row in rows] == images
    assert [row["face"] for row in rows] == ["0", "0", "1", "", "0", ""]
    assert [row["width"] for row in rows] == ["80"] * 5 + [""]
    assert [row["error"] for row in rows] == [""] * 5 + ["missing.jpg does not exist"]
    for index, row in zip((0, 0, 1, None, 0, None), rows):
        numbers = [row[name] for name in CSV_HEAD[6:-1]]
        if index is None:
            assert numbers == [""] * 15
        else:
            expected = [*BOXES[index], SCORES[index], *LANDMARKS[index].ravel()]
            assert np.abs(np.array(numbers, float) - expected).max() <= 0.0051
    assert rows[0]["x1"] == "8.25" and rows[0]["score"] == "0.987654" and rows[2]["left_eye_x"] == "56.0"


def test_all_outputs_at_once_agree(photos: Path, run: Run) -> None:
    outcome = run("detect", "in", "--json", "o/j.jsonl", "--csv", "o/t.csv", "--save", "o/pictures", "--crops", "o/faces")
    assert outcome.status == 0
    rows = [json.loads(line) for line in (photos / "o/j.jsonl").read_text("utf-8").splitlines()]
    table = read_table(photos / "o/t.csv")
    assert sum(len(row["faces"]) for row in rows) == sum(row["face"] != "" for row in table) == 3
    assert [float(table[1][name]) for name in ("x1", "y1", "x2", "y2")] == rows[1]["faces"][0]["box"]
    assert len(files_below(photos / "o/faces")) == 3 and len(files_below(photos / "o/pictures")) == 3


# ---- pictures


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["in"], ["a.png", "b é [1].webp", "sub/c.png"]),
        (["in/sub/c.png"], ["c.png"]),
        (["in/**/*.png"], ["a.png", "c.png"]),
        (["in/sub", "in/sub"], ["c-2.png", "c.png"]),
    ],
    ids=" ".join,
)
def test_save(photos: Path, run: Run, arguments: list[str], expected: list[str]) -> None:
    assert run("detect", *arguments, "--save", "out").status == 0
    assert files_below(photos / "out") == expected
    for name in expected:
        source = {"a": "in/a.png", "b": "in/b é [1].webp", "c": "in/sub/c.png"}[Path(name).name[0]]
        image, picture = read_image(source), read_image(photos / "out" / name)
        assert picture.shape == image.shape
        difference = np.abs(picture.astype(int) - image).mean()
        is_lossy = name.endswith(".webp")
        assert (difference == 0) if source.endswith("c.png") else (difference > (1 if is_lossy else 0.5))


@pytest.mark.parametrize(
    "name, saved",
    [("p.png", "p.png"), ("p.JPG", "p.JPG"), ("p.jpeg", "p.jpeg"), ("p.bmp", "p.bmp"), ("p.tif", "p.tif"),
     ("p.TIFF", "p.TIFF"), ("p.webp", "p.webp"), ("p.gif", "p.png"), ("p.ppm", "p.png"), ("p", "p.png"),
     (".png", ".png.png")],
)  # fmt: skip
def test_save_keeps_the_format_where_it_can(tmp_path: Path, run: Run, name: str, saved: str) -> None:
    Image.fromarray(np.zeros((50, 80, 3), np.uint8)).save(tmp_path / name, "PNG")
    assert run("detect", tmp_path / name, "--save", tmp_path / "out").status == 0
    assert files_below(tmp_path / "out") == [saved]
    with Image.open(tmp_path / "out" / saved) as picture:
        kinds = {".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
        assert picture.format == kinds.get(Path(saved).suffix.lower(), "PNG")


def test_crops(photos: Path, run: Run) -> None:
    assert run("detect", "in", "--crops", "out").status == 0
    assert files_below(photos / "out") == ["a-face0.png", "b é [1]-face0.png", "b é [1]-face1.png"]
    for path, n in (("in/a.png", 1), ("in/b é [1].webp", 2)):
        image = read_image(path)
        for index, aligned in enumerate(faces_of(image).align(image)):
            crop = read_image(photos / "out" / f"{Path(path).stem}-face{index}.png")
            assert crop.shape == (112, 112, 3) and (crop == aligned).all()
        assert index == n - 1


def test_equal_names_do_not_overwrite_each_other(photos: Path, run: Run) -> None:
    sources = [make_photo(photos / f"{folder}/x.png", 1, seed=9 + i) for i, folder in enumerate("pqr")]
    run("detect", *sources, "--save", "saved", "--crops", "faces")
    assert files_below(photos / "saved") == ["x-2.png", "x-3.png", "x.png"]
    assert files_below(photos / "faces") == ["x-face0-2.png", "x-face0-3.png", "x-face0.png"]
    for source, name in zip(sources, ("x-face0.png", "x-face0-2.png", "x-face0-3.png")):
        image = read_image(source)
        assert (read_image(photos / "faces" / name) == faces_of(image).align(image)[0]).all()


def test_names_that_become_equal_by_their_endings(photos: Path, run: Run) -> None:
    """A GIF cannot be written and becomes a PNG; crops are always PNG."""
    (photos / "in2").mkdir()
    for name in ("x.gif", "x.png", "x.bmp"):
        Image.new("RGB", (80, 50), (1, 0, 0)).save(photos / "in2" / name)  # one face
    assert run("detect", "in2", "--save", "saved", "--crops", "faces").status == 0
    assert files_below(photos / "saved") == ["x-2.png", "x.bmp", "x.png"]
    assert files_below(photos / "faces") == ["x-face0-2.png", "x-face0-3.png", "x-face0.png"]


def test_pictures_and_crops_in_one_folder_do_not_overwrite_each_other(photos: Path, run: Run) -> None:
    make_photo(photos / "in2/x.png", 1, seed=1)
    make_photo(photos / "in2/x-face0.png", 1, seed=2)
    assert run("detect", "in2/x.png", "in2/x-face0.png", "--save", "out", "--crops", "out").status == 0
    assert len(files_below(photos / "out")) == 4


def test_save_does_not_overwrite_the_photos(photos: Path, run: Run) -> None:
    """`--save` into the folder that is read: another name or a refusal, but the photo stays."""
    before = (photos / "in/a.png").read_bytes()
    run("detect", "in", "--save", "in")
    assert (photos / "in/a.png").read_bytes() == before


def test_running_twice_replaces_the_results(photos: Path, run: Run) -> None:
    for _ in range(2):
        assert run("detect", "in", "--json", "j", "--csv", "t", "--save", "s", "--crops", "c").status == 0
    assert len(files_below(photos / "s")) == 3 and len(files_below(photos / "c")) == 3
    assert len((photos / "j").read_text("utf-8").splitlines()) == 3 and len(read_table(photos / "t")) == 4


# ---- what cannot be read or written


def test_unreadable_files_among_good_ones(photos: Path, run: Run) -> None:
    (photos / "in/broken.jpg").write_bytes(b"not a photo")
    (photos / "in/empty.png").touch()
    (photos / "in/half.png").write_bytes((photos / "in/a.png").read_bytes()[:2000])
    bad = ["in/broken.jpg", "in/empty.png", "in/half.png", "in/missing.jpg"]
    arguments = ["detect", "in/missing.jpg", "in", "--csv", "t.csv", "--save", "saved", "--crops", "faces"]
    outcome = run(*arguments, "--json", "-")
    assert outcome.status == 1
    rows = {row["image"]: row for row in outcome.rows}
    assert sorted(rows) == sorted(ALL + bad) and len(outcome.rows) == 7
    for path in ALL:
        assert rows[path] == expected_row(path)
    for path in bad:
        assert list(rows[path]) == ["image", "width", "height", "faces", "error"]
        assert (rows[path]["width"], rows[path]["height"], rows[path]["faces"]) == (None, None, [])
        assert path in rows[path]["error"]
    assert outcome.err.startswith(NOTE)
    lines = outcome.err.splitlines()[1:]
    assert len(lines) == 4 and all(line.startswith("mtcnn-gluon: ") for line in lines)
    assert sorted(line.removeprefix("mtcnn-gluon: ") for line in lines) == sorted(rows[path]["error"] for path in bad)
    assert {row["image"]: row["error"] for row in read_table(photos / "t.csv") if row["error"]} == {
        path: rows[path]["error"] for path in bad
    }
    assert len(files_below(photos / "saved")) == 3 and len(files_below(photos / "faces")) == 3
    outcome = run(*arguments)  # the summary does not mention what could not be read
    assert outcome.status == 1 and not any(path in outcome.out for path in bad)


@pytest.mark.parametrize(
    "bad",
    ["missing.jpg", "in/notes.txt", "no/such/*.jpg", "", "in/*.txt", "x" * 300, "*" + "x" * 300, "x.mp4", "x" * 300 + ".mp4"],
)
def test_only_an_unreadable_file(photos: Path, run: Run, bad: str) -> None:
    outcome = run("detect", bad, "--json", "-")
    assert outcome.status == 1 and len(outcome.rows) == 1 and outcome.rows[0]["error"]
    assert len(outcome.err.splitlines()) == 1


def test_an_image_that_the_detector_refuses(photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FakeDetector, image: np.ndarray) -> Faces:
        if len(faces_of(image)) == 1:
            raise ImageError("too odd")
        return faces_of(image)

    monkeypatch.setattr(FakeDetector, "detect", refuse)
    outcome = run("detect", "in", "--json", "-")
    assert outcome.status == 1 and "too odd" in outcome.err
    assert [row.get("error") for row in outcome.rows] == ["too odd", None, None]


class Terminal(io.TextIOWrapper):
    """A standard stream in a UTF-8 locale; `text` is what it was given."""

    def __init__(self, errors: str) -> None:
        super().__init__(io.BytesIO(), "utf-8", errors, newline="\n", write_through=True)

    @property
    def text(self) -> str:
        return self.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
@pytest.mark.parametrize("output", ["--json -", "--json o", "--csv o", "--save s", "--crops s", ""])
@pytest.mark.parametrize("is_good", [True, False])
def test_names_that_are_not_unicode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, is_good: bool) -> None:
    """Old archives hold Latin-1 names: they are read like any other, and what is written about them is UTF-8."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_detect, "Detector", FakeDetector)
    out, err = Terminal("strict"), Terminal("backslashreplace")  # as Python sets them up
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    make_photo(tmp_path / "in/good.png")
    odd = tmp_path / "in" / os.fsdecode(b"caf\xe9.png")
    odd.write_bytes((tmp_path / "in/good.png").read_bytes() if is_good else b"")
    assert cli.main(["detect", "in", *output.split()]) == (0 if is_good else 1)
    assert len(err.text.replace(LICENCE, "").splitlines()) == (not is_good)
    if "json" in output:
        text = out.text if "-" in output.split() else (tmp_path / "o").read_bytes().decode("utf-8")
        rows = [json.loads(line) for line in text.splitlines()]
        assert ["error" in row for row in rows] == [not is_good, False]
        assert [row["image"][:6] for row in rows] == ["in/caf", "in/goo"]
    if "csv" in output:
        assert [bool(row["error"]) for row in read_table(tmp_path / "o")] == [not is_good, False]
    if output.endswith(" s"):
        assert len(files_below(tmp_path / "s")) == 1 + is_good


@pytest.mark.parametrize("option", ["--json", "--csv"])
@pytest.mark.parametrize("target", ["file/below.txt", "folder", ".", "..", "/", "folder/..", "n" * 300, "folder/" + "n" * 300])
def test_unwritable_result(photos: Path, run: Run, option: str, target: str) -> None:
    (photos / "file").write_text("old")
    (photos / "folder").mkdir()
    outcome = run("detect", "in", option, target)
    assert outcome.status == 2 and f"mtcnn-gluon: {target} cannot be written" in outcome.err
    assert (photos / "file").read_text() == "old" and files_below(photos / "folder") == []


@pytest.mark.parametrize("option", ["--save", "--crops"])
def test_unwritable_picture_folder(photos: Path, run: Run, option: str) -> None:
    (photos / "file").write_text("old")
    outcome = run("detect", "in", option, "file")
    assert outcome.status == 2 and "mtcnn-gluon: file/a" in outcome.err and "cannot be written" in outcome.err


def test_a_crash_keeps_the_old_results_and_what_is_done(photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(self: FakeDetector, image: np.ndarray) -> NoReturn:
        raise RuntimeError("out of memory")

    (photos / "j").write_text("old")
    monkeypatch.setattr(FakeDetector, "detect", crash)
    with pytest.raises(RuntimeError, match="out of memory"):
        run("detect", "in", "--json", "j")
    assert (photos / "j").read_text() == "old" and files_below(photos) == sorted([*ALL, "in/notes.txt", "j", "j.part"])


def test_interrupt_keeps_what_is_done(photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: FakeDetector, image: np.ndarray) -> Faces:
        if len(faces_of(image)) == 2:
            raise KeyboardInterrupt
        return faces_of(image)

    monkeypatch.setattr(FakeDetector, "detect", interrupt)
    outcome = run("detect", "in", "--json", "j", "--csv", "t.csv")
    assert outcome.status == 130 and "interrupted" in outcome.err
    assert [json.loads(line) for line in (photos / "j").read_text("utf-8").splitlines()] == [expected_row("in/a.png")]
    assert len(read_table(photos / "t.csv")) == 1


@pytest.mark.parametrize(
    "options", [["--json", "-"], [], ["--json", "-", "--csv", "t.csv"], ["--json", "j"], ["--csv", "-"]], ids=str
)
def test_a_reader_that_goes_away_is_no_error(
    photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    class ClosedPipe(io.StringIO):
        def write(self, text: str) -> NoReturn:
            raise BrokenPipeError(32, "Broken pipe")

    class OpenErr(io.StringIO):
        def close(self) -> None:
            """Keep what was written."""

    err = OpenErr()
    monkeypatch.setattr(sys, "stdout", ClosedPipe())
    monkeypatch.setattr(sys, "stderr", err)
    assert cli.main(["detect", "in", *options]) == 0
    assert err.getvalue() == NOTE + LICENCE


class Full(io.StringIO):
    """A stream on a full disk."""

    def flush(self) -> NoReturn:
        raise OSError(28, "No space left on device")

    def write(self, text: str) -> NoReturn:
        self.flush()


@pytest.mark.parametrize(
    "options", [["--json", "j"], ["--csv", "t"], ["--json", "-", "--csv", "t"], ["--csv", "-"], []], ids=str
)
def test_a_full_standard_output_is_named(photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    monkeypatch.setattr(sys, "stdout", Full())
    outcome = run("detect", "in/*.png", *options)
    assert outcome.status == 2
    assert outcome.err == "mtcnn-gluon: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("stream", [None, Full()], ids=["closed", "full"])
def test_where_nobody_can_be_told(photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch, stream: Any) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    assert run("detect", "in", "missing.jpg", "--json", "j").status == 1
    assert len((photos / "j").read_text().splitlines()) == 4


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_standard_output_that_lacks_letters(photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    name = "in/ж\u20ac.png"
    make_photo(photos / name, 1)
    texts = []
    for options in ([], ["--json", "-"], ["--csv", "-"]):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding, newline="\n"))
        assert run("detect", name, *options).status == 0
        texts.append(sys.stdout.buffer.getvalue().decode(encoding))
    assert texts[0].startswith("in/\\u0436")
    assert json.loads(texts[1])["image"] == name
    assert "in/\\u0436" in texts[2]


def test_closed_standard_output(photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert run("detect", "in/*.png", "--json", "j").status == 0
    outcome = run("detect", "in/*.png", "--json", "-")
    assert outcome.status == 2 and "standard output cannot be written: it is closed" in outcome.err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_real_full_standard_output(photos: Path) -> None:
    script = (
        "import sys; from mtcnn_gluon.cli import detect, main as cli; import test_cli; detect.Detector = test_cli.FakeDetector"
    )
    command = [sys.executable, "-c", f"{script}; sys.exit(cli.main(sys.argv[1:]))", "detect", "in/a.png", "--json", "j"]
    with open("/dev/full", "w") as full:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert done.stderr == LICENCE + "mtcnn-gluon: standard output cannot be written: No space left on device\n"
    assert done.returncode == 2 and not (photos / "j").exists()


@pytest.mark.parametrize("words", [["info"], ["info", "--json"], ["export", "default", "made", "--onefile"]], ids=" ".join)
def test_other_verbs_on_a_full_standard_output(
    photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    monkeypatch.setattr(cli_info, "_report", lambda models: {"mtcnn-gluon": "0"})
    outcome = run(*words)
    assert outcome.status == 2
    assert outcome.err == "mtcnn-gluon: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize("name", ["a.png", b"\xe9.png"])
def test_a_file_that_the_system_refuses_is_named(
    photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch, name: str | bytes
) -> None:
    def refuse(options: Any) -> NoReturn:
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(cli_detect, "Search", lambda *_, **__: refuse(None))
    outcome = run("detect", "in")
    shown = "a.png" if isinstance(name, str) else "\ufffd.png"
    assert outcome.status == 2 and outcome.err == f"mtcnn-gluon: {shown} cannot be used: Permission denied\n"


# ---- options


def test_options_reach_the_detector(photos: Path, run: Run) -> None:
    assert run("detect", "in/a.png").status == 0
    assert FakeDetector.options == {
        "model": "default", "engine": "auto", "device": "cpu", "min_face": 20, "factor": 0.709, "thresholds": None,
        "nms": None, "max_faces": None, "threads": None, "accurate": False, "rotate": "0",
    }  # fmt: skip
    options = "--model m --engine mxnet --device gpu:1 --min-face 31.5 --factor 0.5 --max-faces 3 --threads 2 --accurate"
    options += " --rotate auto --thresholds 0.1 0.2 0.3 --nms 0.4 0.5 0.6 0.7"
    run("detect", "in/a.png", *options.split())
    assert FakeDetector.options == {
        "model": "m", "engine": "mxnet", "device": "gpu:1", "min_face": 31.5, "factor": 0.5, "thresholds": (0.1, 0.2, 0.3),
        "nms": (0.4, 0.5, 0.6, 0.7), "max_faces": 3, "threads": 2, "accurate": True, "rotate": "auto",
    }  # fmt: skip


def test_defaults_are_those_of_the_detector(photos: Path, run: Run) -> None:
    run("detect", "in/a.png")
    parameters = inspect.signature(detector.Detector).parameters
    assert FakeDetector.options == {name: parameter.default for name, parameter in parameters.items()}


@pytest.mark.parametrize(
    "arguments",
    [
        "--min-face 0", "--min-face -5", "--min-face 0.99", "--min-face nan", "--min-face inf", "--min-face big",
        "--min-face", "--factor 0", "--factor 1", "--factor 1.5", "--factor -0.5", "--factor nan", "--factor x",
        "--thresholds 0.6 0.7", "--thresholds 0.6 0.7 1.1", "--thresholds -0.1 0.7 0.7", "--thresholds 0.6 nan 0.7",
        "--thresholds 0.6 0.7 x", "--nms 0.5 0.7 0.7", "--nms 0.5 0.7 0.7 1.1", "--nms 0.5 0.7 0.7 nan", "--nms -1 0 0 0",
        "--max-faces 0", "--max-faces -1", "--max-faces 1.5", "--max-faces x", "--threads 0", "--threads -2", "--threads x",
        "--engine tensorflow", "--engine ''", "--device tpu", "--device gpu:x", "--device gpu:-1",
    ],
)  # fmt: skip
def test_option_errors(photos: Path, run_real: Run, arguments: str) -> None:
    name, *values = arguments.replace("''", "").split(" ")
    outcome = run_real("detect", "in/a.png", "--json", "out.jsonl", name, *values)
    assert outcome.status == 2 and outcome.out == ""
    assert name.strip("-").replace("-", "_") in outcome.err.splitlines()[-1].replace("-", "_")
    assert not (photos / "out.jsonl").exists()


@pytest.mark.parametrize(
    "arguments", ["", "nonsense", "detect --nonsense", "detect in --json", "detect in --csv", "info extra", "--json -"]
)
def test_wrong_usage(run: Run, arguments: str) -> None:
    outcome = run(*arguments.split())
    assert outcome.status == 2 and outcome.out == "" and "usage: mtcnn-gluon" in outcome.err


@pytest.mark.parametrize("model", ["no/such/folder", "in/a.png", "in", "nonsense"])
def test_missing_model(photos: Path, capsys: pytest.CaptureFixture, model: str) -> None:
    outcome = runner(capsys)("detect", "in/a.png", "--model", model)
    assert outcome.status == 2 and outcome.out == ""
    assert outcome.err.startswith("mtcnn-gluon: ") and model in outcome.err and "model" in outcome.err


# ---- the other verbs


def test_info(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(model: str) -> Bundle:
        if model == "official":
            raise ModelError("not installed here")
        return find_bundle(model)

    monkeypatch.setattr(cli_info, "find_bundle", find)
    outcome = run("info", "--json")
    report = json.loads(outcome.out)
    assert (outcome.status, outcome.err) == (0, "")
    assert report["mtcnn-gluon"] == mtcnn_gluon.__version__ and report["python"].startswith(f"3.{sys.version_info.minor}.")
    assert report["packages"]["numpy"] == np.__version__
    states = {name: f"yes; licence: {find_bundle(name).manifest['licence']}" for name in ("default", *shipped_bundles())}
    assert {**report["models"], **states} == {**report["models"], "official": "no: not installed here"}
    assert report["engines"] == {**dict.fromkeys(ENGINES, "yes"), "auto": "takes auto"}
    assert set(report["processor"]) == {"instruction set", "peak of one thread"}
    assert FakeDetector.options == {"engine": "auto"}
    outcome = run("info")
    assert (outcome.status, outcome.err) == (0, "")
    assert f"mtcnn-gluon {mtcnn_gluon.__version__}" in outcome.out and "  official: no: not installed here" in outcome.out


def test_the_licence_is_said_once(photos: Path, run: Run, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["detect", "in/a.png", "in/sub", "--json", "-"]) == 0
    assert capsys.readouterr().err.count(LICENCE) == 1


def test_info_where_nothing_works(run_real: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_info, "find_bundle", detector.find_bundle)
    outcome = run_real("info", "--json")
    report = json.loads(outcome.out)
    assert outcome.status == 0
    states = [*report["engines"].values(), *report["models"].values()]
    assert states and all(state.startswith("no: ") and "this machine has none" in state for state in states)


@pytest.mark.parametrize(
    "error",
    [OSError("libtbb.so.12"), RuntimeError("dead \udce9"), KeyError("name"), MemoryError(), ImportError()],
)
def test_info_stays_json_whatever_is_broken(run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """A cache that cannot be written, a runtime that is damaged and prints, packages without metadata."""

    def fail(*arguments: Any, **options: Any) -> NoReturn:
        print("a library that talks")
        raise error

    for name in ("find_bundle", "Detector", "load_kernels"):
        monkeypatch.setattr(cli_info, name, fail)
    monkeypatch.setattr(mxnet_operators, "register", fail)
    monkeypatch.setattr(cli_info.importlib.metadata, "version", lambda name: {}[name] if name == "numpy" else None)
    outcome = run("info", "--json")
    report = json.loads(outcome.out)
    assert outcome.status == 0 and set(report["packages"].values()) == {None} and "a library that talks" in outcome.err
    states = [state for part in ("processor", "native operators", "engines", "models") for state in report[part].values()]
    assert len(states) == 2 + 2 + len(ENGINES) + 1 + len(report["models"])
    assert all(state.startswith(f"no: {type(error).__name__}") and state.isprintable() for state in states)
    assert run("info").status == 0


@pytest.mark.parametrize("arguments", [["--help"], ["detect", "--help"], ["info", "--help"]], ids=str)
def test_help(run: Run, arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert (outcome.status, outcome.err) == (0, "") and outcome.out.startswith("usage: mtcnn-gluon")


def test_version(run: Run) -> None:
    outcome = run("--version")
    assert (outcome.status, outcome.out.strip(), outcome.err) == (0, mtcnn_gluon.__version__, "")


def test_python_m(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mtcnn_gluon", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True, timeout=30)
    assert (done.stdout.strip(), done.stderr) == (mtcnn_gluon.__version__, "")


IMPORT = """
import sys, time
start = time.perf_counter()
import mtcnn_gluon
seconds = time.perf_counter() - start
import json
print(json.dumps([seconds, sorted({name.split(".")[0] for name in sys.modules})]))
"""


def test_import_is_quick_and_loads_no_framework(tmp_path: Path) -> None:
    times = []
    for _ in range(3):
        command = [sys.executable, "-c", IMPORT]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True, timeout=30)
        seconds, modules = json.loads(done.stdout)
        assert "mtcnn_gluon" in modules and done.stderr == ""
        assert not {"mxnet", "torch", "tensorflow", "onnxruntime", "openvino", "gluoncv", "onnx", "ray"} & set(modules)
        times.append(seconds)
    assert min(times) < 0.5
