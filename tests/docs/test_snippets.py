"""Every command and snippet in README, docs/ and the cards: run, or marked in the Markdown with why it is not.

`<!-- not run: reason -->` on the line before a block marks it. Commands run in one folder, in the order of the pages, with
small files of the names that the pages use and with options that make them quick. Those of `PARSED_ONLY` are only parsed.
"""

import re
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from markdown_pages import PAGES, ROOT, Block, blocks, commands
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.io.video_writer import VideoWriter
from mtcnn_gluon.operators.int8_net import int8_instructions
from mtcnn_gluon.operators.native import kernels
from mtcnn_gluon.prepare_data.readers import read_annotations
from painted_faces import make_annotations, write_csv, write_photos

BLOCKS = [block for page in PAGES for block in blocks(page)]
RUN = [block for block in BLOCKS if not block.reason]
PARSED_ONLY = {  # beginnings of commands, and why they are not run
    "launch": "starts several processes; tests/launch trains with them",
    "pipeline": "trains for minutes; tests/core/pipeline runs one",
    "bench": "times for a minute; tests/core/bench runs one",
    "info": "starts every engine",
    "serve": "runs until it is ended; tests/web uses its page",
    "evaluate wider --ground-truth": "needs WIDER FACE's .mat files; tests/core/evaluation makes some",
    "evaluate fddb": "needs FDDB's folds; tests/core/evaluation makes some",
}
QUICK = {  # options that make a command quick, by its beginning
    "prepare wider": "--min-face 12 --jitters 5 --negatives 10 --workers 1",
    "prepare landmarks": "--min-face 12 --landmark-jitters 4 --workers 1",
    "prepare mine": "--thresholds 0.01 0.01 --min-face 12 --negatives-mined 20 --workers 1",
    "prepare show": "--count 4",
    "train": "--epochs 1 --batch 32 --warm-up 1",
    "evaluate": "--limit 3 --workers 1",
    "evaluate records": "",
    "evaluate stages": "--limit 3 --workers 1 --timed 1",
}


def each(language: str) -> Any:
    """A test for every block of a language."""
    chosen = [block for block in RUN if block.language == language]
    return pytest.mark.parametrize("block", chosen, ids=lambda block: block.name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files of the names that the pages use."""
    folder = tmp_path_factory.mktemp("docs")
    portrait = Image.open(ROOT / "tests/portrait.jpg").convert("RGB")
    for name in ("photo.jpg", "a.jpg", "b.png", "folder/c.jpg", "more/d/e.png", "archive/f.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        portrait.save(folder / name)
    writer = VideoWriter(folder / "clip.mp4", 25)
    for _ in range(2):
        writer.add(np.asarray(portrait.resize((256, 256))))
    writer.close()
    annotations = make_annotations(8)
    write_photos(folder / "photos", annotations)
    for name in ("train.csv", "validation.csv", "faces.csv"):
        write_csv(folder / name, annotations)
    rows = [
        f"{photo.path},{number % 2 + 20},{'xy'[number % 2]},{'ab'[number % 2]}"
        for number, photo in enumerate(annotations.photos)
    ]
    for name in ("groups.csv", "fairface_dev.csv"):
        (folder / name).write_text("\n".join(["file,age,race,gender", *rows]))
    for name in ("own/bundle", "runs/small/bundle", "runs/gluon-4/bundle"):  # what pipelines make
        shutil.copytree(ROOT / "model/gluon-4", folder / name)
    with pytest.MonkeyPatch.context() as patch:  # what other detectors found
        patch.chdir(folder)
        words = "evaluate wider --annotations faces.csv --images photos --model a=default --workers 1"
        assert cli.main([*words.split(), "--detections", ".", "--write-text", "wider_text"]) == 0
    shutil.copyfile(folder / "a.jsonl", folder / "yunet.jsonl")
    return folder


@pytest.fixture
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def test_every_block_is_known() -> None:
    """A block in another language, or indented instead of fenced, needs the mark."""
    known = {"sh", "python", "yaml", "csv"}
    assert [block.name for block in RUN if block.language not in known] == []


@each("sh")
def test_commands(block: Block, inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    for name, *words in commands(block.text):
        if name == "make":
            assert set(_targets(words)) <= set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        elif name == "pip":
            assert words[0] == "install" and set(_extras(words)) <= _known_extras(monkeypatch)
        else:
            arguments = words if name == "mtcnn-gluon" else _arguments_of_script(words, monkeypatch)
            if arguments is not None:
                _run(arguments, inside, capsys)


def _run(words: list[str], folder: Path, capsys: pytest.CaptureFixture) -> None:
    """Run a command in the folder if it is quick; parse it in any case."""
    line = " ".join(words)
    cli._parser().parse_args(words)
    if any(line.startswith(begin) for begin in PARSED_ONLY) or "DATA" in line:
        return
    if "native-int8" in words and (kernels() is None or not int8_instructions()):
        return  # this processor multiplies no bytes
    if "--out" in words:  # what a block before it made there
        shutil.rmtree(folder / words[words.index("--out") + 1], ignore_errors=True)
    begin = max((begin for begin in QUICK if line.startswith(begin)), key=len, default=None)
    status = cli.main([*words, *(QUICK[begin].split() if begin else [])])
    assert status == 0, f"{line}\n{capsys.readouterr().err}"


def _arguments_of_script(words: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str] | None:
    """The words that a script hands to `mtcnn-gluon`; None for a benchmark, of which the options must be in its text."""
    path, text = ROOT / words[0], (ROOT / words[0]).read_text("utf-8")
    if path.parent.name == "benchmarks":
        assert all(f'"{word}"' in text for word in words[1:] if word.startswith("--"))
        return None
    given: list[list[str]] = []
    with monkeypatch.context() as patch:
        patch.setattr("mtcnn_gluon.cli.main.main", lambda arguments: given.append(arguments))
        patch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit):
            runpy.run_path(str(path), run_name="__main__")
    return given[0]


def _targets(words: list[str]) -> list[str]:
    return [word for word in words if "=" not in word]


def _extras(words: list[str]) -> list[str]:
    return [name for word in words for part in re.findall(r"\[(.+)\]", word) for name in part.split(",")]


def _known_extras(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    given: dict[str, Any] = {}
    monkeypatch.setattr(pytest.importorskip("setuptools"), "setup", lambda **options: given.update(options))
    runpy.run_path(str(ROOT / "setup.py"))
    return set(given["extras_require"])


@each("python")
def test_python(block: Block, inside: Path, request: pytest.FixtureRequest) -> None:
    if "exported" in block.text and not (inside / "exported/mtcnn.onnx").is_file():
        pytest.importorskip("onnx")
        assert cli.main(["export", "official", "exported", "--onefile"]) == 0
    exec(compile(block.text, block.name, "exec"), {"__name__": "snippet"})


@each("yaml")
def test_configurations(block: Block, inside: Path) -> None:
    from mtcnn_gluon.pipeline.config import read_config

    path = inside / "snippet.yaml"
    path.write_text(block.text)
    assert read_config(path).photos["data"][0].images == str(inside / "photos")


@each("csv")
def test_lists(block: Block, inside: Path) -> None:
    path = inside / "snippet.csv"
    path.write_text(block.text)
    photos = read_annotations(path).photos
    assert len(photos) == len({line.split(",")[0] for line in block.text.splitlines()[1:]})
