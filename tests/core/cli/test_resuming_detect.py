"""`detect --resume`: which inputs are done, in which order the rest comes, and that the results are those of one run."""

import csv
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon import Faces
from mtcnn_gluon.cli import detect as cli_detect
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.cli.resuming import plan, put_in_order, read_earlier, rows_to_begin_with
from mtcnn_gluon.errors import DataError
from mtcnn_gluon.io.inputs import Input, InputKind


def row(image: str, **more: Any) -> dict[str, Any]:
    return {"image": image, "width": 1, "height": 1, "faces": [], **more}


def failed(image: str) -> dict[str, Any]:
    return {"image": image, "width": None, "height": None, "faces": [], "error": "bad"}


def again(image: str, others: int = 0) -> dict[str, Any]:
    return {**failed(image), "again": others}


def frames(image: str, count: int) -> list[dict[str, Any]]:
    return [row(image, frame=index, time=float(index)) for index in range(count)]


def inputs(names: str) -> list[Input]:
    return [Input(Path(name), Path(name), InputKind.VIDEO if name.isupper() else InputKind.IMAGE) for name in names]


@pytest.mark.parametrize(
    "earlier, given, expected",
    [
        ([], "", ""),
        ([], "ab", "a? b?"),
        ([row("a")], "", "a+"),
        ([row("a")], "ab", "a+ b?"),
        ([row("b")], "ab", "b+ a?"),  # what is done keeps its place, and its names
        ([row("a"), row("c")], "abc", "a+ c+ b?"),
        ([row("a"), failed("b"), row("c")], "abcd", "a+ b? c+ d?"),
        ([again("a"), row("b"), row("a")], "ab", "a+ b+"),  # done at the second attempt
        ([again("a"), row("b"), failed("a")], "ab", "a? b+"),
        ([again("a"), row("b")], "ab", "a? b+"),
        ([again("a"), row("b"), again("a"), row("a")], "aba", "a+ b+ a?"),
        ([again("V"), row("b"), again("V"), *frames("V", 2)], "VbV", "V? b+ V?"),
        ([again("a", 1), row("b"), row("a"), failed("a"), row("c")], "abac", "a? b+ a+ c+"),
        ([row("a")], "aa", "a+ a?"),
        ([row("a"), row("a")], "aa", "a+ a+"),
        ([row("a"), row("a")], "a", "a+ a+"),
        ([failed("a"), failed("a")], "a", "a?"),
        ([failed("a"), row("a"), row("a")], "a", "a+ a+"),
        ([failed("a"), row("a"), failed("a")], "aa", "a? a+"),
        ([*frames("V", 2), *frames("V", 2)], "V", "V?"),
        ([failed("a"), row("b")], "b", "a+ b+"),  # of an input that is not asked for, what is known stays
        (frames("V", 3), "V", "V?"),
        ([*frames("V", 3), row("a")], "Vab", "V? a+ b?"),
        ([*frames("V", 3), *frames("V", 2), row("a")], "VVab", "V? V? a+ b?"),
        ([*frames("V", 3), failed("V"), row("a")], "Va", "V? a+"),
        ([*frames("V", 3), row("a")], "a", "V+ a+"),
    ],
)
def test_plan(earlier: list[dict[str, Any]], given: str, expected: str) -> None:
    """`a+` is done, or only of the earlier run; `a?` is left."""
    tasks = plan(earlier, inputs(given))
    names = [str(task.input.path) if task.input else task.rows[0]["image"] for task in tasks]
    assert " ".join(n + ("+" if task.is_done or task.input is None else "?") for n, task in zip(names, tasks)) == expected
    assert sorted(id(task.input) for task in tasks if task.input) == sorted(
        id(each) for each in {t.input for t in tasks} - {None}
    )
    assert sum(task.input is not None for task in tasks) == len(given)
    after = plan(rows_to_begin_with(tasks), inputs(given))  # killed before anything was done
    assert [(task.input and task.input.path, task.is_done) for task in after] == [
        (task.input and task.input.path, task.is_done) for task in tasks
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}', "[]", "1", '{"image": 1, "width": 1, "height": 1, "faces": []}',
        '{"image": [], "width": 1, "height": 1, "faces": []}', '{"image": "a", "width": 1, "height": 1, "faces": {}}',
        '{"image": "a", "width": 1, "height": 1, "faces": [1]}',
        '{"image": "a", "width": 1, "height": 1, "faces": [{"box": 1}]}',
        '{"image": "a", "image_bytes": 1, "width": 1, "height": 1, "faces": []}',
        '{"image": "a", "width": 1, "height": 1, "faces": [], "error": 1}',
        '{"image": "a", "width": 1, "height": 1, "faces": [{"box": [1, 2, 3], "score": 1}]}',
        '{"image": "a", "width": 1, "height": 1, "faces": [{"box": [1, 2, 3, "4"], "score": 1}]}',
        '{"image": "a", "width": 1, "height": 1, "faces": [{"box": [1, 2, 3, NaN], "score": 1}]}',
        '{"image": "a", "width": 1, "height": 1, "faces": [{"box": [1, 2, 3, 4], "score": null}]}',
        '{"image": "a", "width": 1, "height": 1, "faces": [{"box": [1, 2, 3, 4], "score": 1, "landmarks": [1, 2]}]}',
        '{"image": "a", "width": 1, "height": 1, "faces": [{"box": [1, 2, 3, 4], "score": 1, "landmarks": {"nose": 1}}]}',
        '{"image": "\\ud800", "width": 1, "height": 1, "faces": []}',
        '{"image": "a", "width": 1, "height": 1, "faces": [], "more": "\\udc80"}',
        "[" * 100_000,
    ],
)  # fmt: skip
def test_something_else(tmp_path: Path, text: str) -> None:
    (tmp_path / "j").write_text(f"{text}\n")
    with pytest.raises(DataError, match=r"j.*expected one result of mtcnn-gluon detect"):
        read_earlier(tmp_path / "j")


def test_order_is_only_mended_where_it_must(tmp_path: Path) -> None:
    path = tmp_path / "j"
    rows = [again("a"), row("b"), again("c"), row("a")]
    path.write_text("".join(f"{json.dumps(each)}\n" for each in rows))
    put_in_order(path, inputs("abc"))
    assert read_earlier(path) == [row("a"), row("b"), failed("c")]
    before = path.stat()
    put_in_order(path, inputs("abc"))
    assert path.stat().st_ino == before.st_ino


# ---- whole runs: interrupted everywhere, and gone on with


class FakeDetector:
    """As many faces as the picture's first pixel says; the process dies, or Ctrl-C comes, at the picture `limit`."""

    asked = 0
    limit = 10**9
    end: type[BaseException] = KeyboardInterrupt
    has_landmarks = True
    rotate = "0"
    engine = SimpleNamespace(frames_at_once=1, batch_pixels=1_000_000)
    bundle = SimpleNamespace(manifest={"name": "fake", "licence": "any use"})
    settings = SimpleNamespace(threshold=lambda stage, sides: np.full(len(sides), 0.5))
    score = 0.9

    def __init__(self, **options: Any) -> None:
        FakeDetector.asked = 0

    def detect(self, image: np.ndarray) -> Faces:
        if FakeDetector.asked == FakeDetector.limit:
            raise FakeDetector.end
        FakeDetector.asked += 1
        n = int(image[0, 0, 0]) % 4
        points = np.array([[[6, 6], [12, 6], [9, 9], [6, 12], [12, 12]]] * n, float).reshape(n, 5, 2)
        return Faces(np.array([[2, 2, 16, 18]] * n, float).reshape(n, 4), np.full(n, self.score), points)


def make(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).integers(0, 256, (20, 24 + seed, 3), dtype=np.uint8)
    array[0, 0] = seed % 3
    if path.suffix == ".avi":
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 8, (24, 20))
        for index in range(3):
            writer.write(np.full((20, 24, 3), 2 + index, np.uint8))
        writer.release()
    else:
        Image.fromarray(array).save(path, "PNG")


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


PHOTOS = [
    "a/x.png",
    "a/x.gif",
    "a/X.png",
    "a/x-2.png",
    "a/x-face0.png",
    "b/x.png",
    "b/sub/x.png",
    "c/x.png",
    "a/bad.png",
    "b/bad.png",
]
RUNS: dict[str, list[str]] = {
    "files": ["a/x.png", "b/x.png", "a/x.gif", "c/x.png"],
    "folders": ["a", "b", "c"],
    "one of all": ["."],
    "twice": ["a/x.png", "b/x.png", "a/x.png", "a"],
    "failures first": ["a/bad.png", "a", "b/bad.png", "b/x.png", "c"],
    "videos": ["v/x.avi", "w/x.avi", "a/x.png", "v/x.avi", "v/x-frame1.png", "c"],
}


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    for seed, name in enumerate([*PHOTOS, "v/x-frame1.png", "v/x.avi", "w/x.avi"]):
        make(folder / name, seed)
    for name in ("a/bad.png", "b/bad.png"):
        (folder / name).write_bytes(b"bad")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(cli_detect, "Detector", FakeDetector)
    monkeypatch.setattr(FakeDetector, "limit", 10**9)
    monkeypatch.setattr(FakeDetector, "end", KeyboardInterrupt)
    return folder


@pytest.mark.parametrize("end", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("same", [True, False], ids=["one folder", "two folders"])
@pytest.mark.parametrize("arguments", RUNS.values(), ids=RUNS.keys())
def test_a_resumed_run_equals_a_whole_one(
    photos: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], same: bool, end: type[BaseException]
) -> None:
    options = ["--json", "o/j.jsonl", "--csv", "o/t.csv", "--save", "o/s", "--crops", "o/s" if same else "o/c"]
    cli.main(["detect", *arguments, *options])
    expected, count = tree(photos / "o"), FakeDetector.asked
    monkeypatch.setattr(FakeDetector, "end", end)
    for stop in (1, count // 2, count - 1):
        shutil.rmtree(photos / "o")
        for limit, resume in ((stop, []), (2, ["--resume"]), (10**9, ["--resume"])):  # which looks at one photo once more
            monkeypatch.setattr(FakeDetector, "limit", limit)
            try:
                cli.main(["detect", *arguments, *options, *resume])
            except MemoryError:
                assert end is MemoryError
        assert tree(photos / "o") == expected


def test_new_photos_get_names_that_are_free(photos: Path, capsys: pytest.CaptureFixture) -> None:
    options = ["--json", "p.jsonl", "--save", "o", "--crops", "k"]
    assert cli.main(["detect", "b/x.png", *options]) == 0
    before = tree(photos / "o") | tree(photos / "k")
    for arguments in (["a/x.png", "b/x.png"], ["c/x.png"], ["b", "a"], ["b/sub"]):
        cli.main(["detect", *arguments, *options, "--resume"])
        after = tree(photos / "o") | tree(photos / "k")
        assert {name: after[name] for name in before} == before, arguments
        before = after
    rows = read_earlier(photos / "p.jsonl")
    written = sum(len(row["faces"]) for row in rows) + sum("error" not in row for row in rows)
    assert len(tree(photos / "o")) + len(tree(photos / "k")) == written


def test_photos_that_mend_between_two_runs(photos: Path) -> None:
    options = ["--json", "p.jsonl", "--save", "o"]
    assert cli.main(["detect", "a/bad.png", "b/bad.png", "c/x.png", *options]) == 1
    make(photos / "b/bad.png", 8)
    assert cli.main(["detect", "a/bad.png", "b/bad.png", "c/x.png", *options, "--resume"]) == 1
    assert sorted(tree(photos / "o")) == ["bad-2.png", "x.png"]  # as a run with both would have called it
    make(photos / "a/bad.png", 9)
    assert cli.main(["detect", "a/bad.png", "b/bad.png", "c/x.png", *options, "--resume"]) == 0
    assert FakeDetector.asked == 1 + 1  # whether the detector is the same
    assert [row["image"] for row in read_earlier(photos / "p.jsonl")] == ["a/bad.png", "b/bad.png", "c/x.png"]


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode there")
def test_names_that_differ_in_bytes_that_are_no_utf8(photos: Path, capsys: pytest.CaptureFixture) -> None:
    first, second = (os.fsdecode(b"n/" + byte + b".png") for byte in (b"\xe9", b"\xe8"))
    for seed, name in enumerate([first, second, "n/\ufffd.png"]):
        make(photos / name, seed)
    options = ["--json", "p.jsonl", "--csv", "t.csv", "--resume"]
    for arguments, asked in (([first], 1), ([second], 1 + 1), (["n"], 1 + 1), (["n"], 1), ([second, first], 1)):
        assert cli.main(["detect", *arguments, *options]) == 0
        assert FakeDetector.asked == asked, arguments
    rows = read_earlier(photos / "p.jsonl")
    assert [row.get("image_bytes") for row in rows] == ["n/%E9.png", "n/%E8.png", None]
    with open(photos / "t.csv", newline="") as file:
        assert {row["image"] for row in csv.DictReader(file)} == {"n/\ufffd.png"}


@pytest.mark.parametrize(
    "first, second, said",
    [
        (["a/x.png"], ["a/x.png"], "the photo is done already"),
        (["a/x.png", "c"], ["a/x.png", "c"], "all 2 photos are done already"),
        (["a/x.png"], ["a/x.png", "c"], "1 of 2 photos are done already"),
        (["a/x.png"], ["c"], ""),
    ],
)
def test_what_is_done_is_said(
    photos: Path, capsys: pytest.CaptureFixture, first: list[str], second: list[str], said: str
) -> None:
    assert cli.main(["detect", *first, "--json", "p.jsonl"]) == 0
    capsys.readouterr()
    assert cli.main(["detect", *second, "--json", "p.jsonl", "--resume"]) == 0
    said_of_model = "mtcnn-gluon: licence of model fake: any use\n"
    assert capsys.readouterr().err == (f"mtcnn-gluon: {said}\n" if said else "") + said_of_model


@pytest.mark.parametrize("arguments", [["b"], ["b/*.png"], ["b/x.png", "b/x-2.png", "b/bad.png"]])
def test_results_among_the_photos_are_not_taken_for_photos(
    photos: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(FakeDetector, "limit", 1)
    (photos / "b/bad.png").unlink()
    first = arguments if len(arguments) == 1 else ["b/x.png", "b/sub/x.png"]
    assert cli.main(["detect", "b/x.png", *first, "--json", "p.jsonl", "--save", "b"]) == 130
    before = tree(photos)
    assert "b/x-2.png" in before
    assert cli.main(["detect", "b/x.png", *arguments, "--json", "p.jsonl", "--save", "b", "--resume"]) == 2
    assert "--resume cannot tell: b/x-2.png may be a photo, or what the earlier run wrote" in capsys.readouterr().err
    assert tree(photos) == before


@pytest.mark.parametrize("arguments", [["a/x-2.png"], ["a/x.png", "a/x-2.png"], ["c"]])
def test_another_detector_is_noticed(
    photos: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    options = ["--json", "p.jsonl", "--csv", "t.csv", "--save", "o", "--crops", "o"]
    assert cli.main(["detect", "a/x.png", "a/x.gif", "a/X.png", *options]) == 0
    before = tree(photos)
    monkeypatch.setattr(FakeDetector, "score", 0.88)
    assert cli.main(["detect", *arguments, *options, "--resume"]) == 2
    said = capsys.readouterr().err
    assert "--resume: p.jsonl was made by another model, with other options or of another photo: in a/x.gif 1 face then" in said
    assert tree(photos) == before and FakeDetector.asked == 1
    make(photos / "a/x.gif", 11)  # other photos under these names cannot tell
    (photos / "a/X.png").unlink()
    monkeypatch.setattr(FakeDetector, "score", 0.905)  # as another engine may say
    assert cli.main(["detect", *arguments, *options, "--resume"]) == 0


def test_a_file_that_may_not_be_read(photos: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli.main(["detect", "c", "--json", "p.jsonl"]) == 0

    def refuse(*_: Any, **__: Any) -> str:
        raise PermissionError(13, "Permission denied", "p.jsonl")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert cli.main(["detect", "c", "--json", "p.jsonl", "--resume"]) == 2
    assert "p.jsonl cannot be read: Permission denied" in capsys.readouterr().err
