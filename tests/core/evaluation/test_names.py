"""Names of detectors: no two share a file, a curve or a row, whatever they are called."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Sequence

import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon import Faces
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.evaluation import run as runs
from mtcnn_gluon.evaluation.names import THE_ANNOTATIONS, THE_PHOTOS, check_names, clean_name, file_stems, named_paths
from mtcnn_gluon.evaluation.report import Line, Plot, draw_plot, legend_labels

LONG = "x" * 300
ALIKE = [
    ("my net", "my_net"),
    ("my net", "my-net", "my.net", "my/net", "my\\net", "my+net", " my net", "my net."),
    ("脸", "顔", "лицо", "😀", "detector", "___", "..", ".", "...", "-", "--"),
    ("A", "a"),
    ("Net", "net", "NET", "nEt"),
    (LONG, LONG + "x", LONG.upper(), "é" * 200, "è" * 200),
    ("../up", "/tmp/up", "up", "../../up"),
    ("a", "a+place_landmarks", "a-place_landmarks"),
    ("x", file_stems(["x y"])["x y"], "x y"),  # a name that is what another one's file is called
]


@pytest.mark.parametrize("names", ALIKE, ids=lambda names: names[0][:20])
def test_files_of_different_names_are_different(names: Sequence[str]) -> None:
    stems = list(file_stems(names).values())
    assert len({stem.lower() for stem in stems}) == len(names)
    for stem in stems:
        assert 0 < len(stem.encode()) <= 120 and stem == Path(stem).name and stem.isascii()
        assert not stem.startswith((".", "-")) and not stem.endswith(".") and not set(stem) & set("/\\+ ")


def test_files_of_a_name_are_the_same_in_every_run() -> None:
    """Unless names differ in case only, whatever else is evaluated with it; plain names are what they say."""
    assert file_stems(["my net", "b"])["my net"] == file_stems(["b", "my_net", "my net"])["my net"]
    plain = ["gluon-4", "official", "A", "v1.5", "_x", "a_b-c.d", "0"]
    assert file_stems(plain) == {name: name for name in plain}
    assert file_stems([]) == {}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a  b\n", "a b"),
        ("a\tb\x1b[31m\0", "a b [31m"),
        ("e\u0301", "é"),
        ("\u200bx\u2028", "x"),
        ("caf\udce9", "caf\ufffd"),
        (" \n", ""),
        ("脸", "脸"),
    ],
)
def test_names_are_one_line(text: str, name: str) -> None:
    assert clean_name(text) == name


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b", "a"], "two detectors are called a: give them names"),
        (["a", ""], "a detector's name is empty"),
        ([THE_ANNOTATIONS], "a detector cannot be called 'the annotations'"),
        ([THE_PHOTOS], "a detector cannot be called 'the photos'"),
    ],
)
def test_names_that_are_refused(names: list[str], message: str) -> None:
    check_names(["a", "A", "b"])
    with pytest.raises(ConfigError, match=message):
        check_names(names)


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        (["_net (0.9)", "a_b", "$x$"], [" _net (0.9)", "a_b", r"\$x\$"]),
        (["脸 (0.9)", "顔 (0.9)"], ["1: ? (0.9)", "2: ? (0.9)"]),
        (["лицо", "é"], ["лицо", "é"]),
        (["a", "x" * 100 + " (0.5)"], ["1: a", "2: " + "x" * 26 + " ... " + "x" * 20 + " (0.5)"]),
        ([], []),
    ],
)
@pytest.mark.filterwarnings("error")
def test_legends_tell_curves_apart(texts: list[str], labels: list[str]) -> None:
    """Matplotlib leaves out what begins with an underscore, takes dollars for formulas, and lacks most scripts."""
    figure = pytest.importorskip("matplotlib.figure").Figure()
    assert legend_labels(texts) == labels
    axes = figure.add_subplot()
    for label in labels:
        axes.plot([0, 1], [0, 1], label=label)
    assert not labels or len(axes.legend().get_texts()) == len(labels)
    line = np.array([0.0, 1.0])
    draw_plot(Plot("p", "t", "x", "y", tuple(Line(text, line, line) for text in texts)))


# ---- through the command


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two photos, and models whose findings are told by their names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for index in range(2):
        Image.new("RGB", (200, 150)).save(tmp_path / f"photos/{index}.png")
    (tmp_path / "list.csv").write_text("file,x1,y1,x2,y2\n0.png,60,30,110,90\n1.png,60,30,110,90\n")
    monkeypatch.setattr(runs, "Detector", FakeDetector)
    return tmp_path


class FakeDetector:
    """`good` finds the face, others something else."""

    def __init__(self, model: str, **options: Any) -> None:
        self.model = model
        self.bundle = SimpleNamespace(manifest={"name": model})
        self.engine = SimpleNamespace(name="fake")
        self.settings = SimpleNamespace(
            min_face=10.0, factor=0.7, thresholds=(0.5, 0.5, 0.5), nms=(0.5, 0.5, 0.5, 0.5), is_accurate=False
        )
        self.max_faces = None

    def detect(self, image: np.ndarray) -> Any:
        box = [60, 30, 110, 90] if self.model == "good" else [0, 0, 20, 20]
        return Faces(np.array([box]), np.ones(1), np.zeros((1, 5, 2)))


@pytest.mark.parametrize(
    "names", [("my net", "my_net"), ("脸", "顔"), ("A", "a"), (LONG, LONG + "x"), ("..", "a/b"), ("n=1", "n=2")]
)
@pytest.mark.parametrize("detections", [True, False])
def test_detectors_with_names_alike_keep_their_figures(photos: Path, names: tuple[str, str], detections: bool) -> None:
    pytest.importorskip("matplotlib")
    arguments = ["evaluate", "wider", "--annotations", "list.csv", "--images", "photos", "--resamples", "0", "--workers", "1"]
    arguments += ["--model", f"{names[0]}=good", "--model", f"{names[1]}=bad", "--json", "out.json", "--report", "report"]
    for model in ("good", "bad"):  # what a path is, of an argument with several `=`
        (photos / model).mkdir(exist_ok=True)
    for more in ([], ["--resume"]) if detections else ([],):
        assert cli.main([*arguments, *(["--detections", "kept", *more] if detections else [])]) == 0
        found = json.loads((photos / "out.json").read_text())["detectors"]
        assert [(each["name"], each["height_50"]) for each in found] == [(names[0], 1.0), (names[1], 0.0)]
        assert [each["made"]["model"] for each in found] == ["good", "bad"]
    if detections:
        assert len(list((photos / "kept").glob("*.jsonl"))) == 2
    page = (photos / "report/report.md").read_text()
    pictures = [path.name for path in (photos / "report").glob("*_*.png") if not path.name.startswith("precision")]
    assert len(pictures) == 2 and all(f"({name})" in page for name in pictures)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--results", "good.jsonl", "--json", "good.jsonl"], "good.jsonl would be overwritten, but it is an input"),
        (["--results", "good.jsonl", "--json", "photos/../list.csv"], "list.csv would be overwritten"),
        (["--results", "x=k/y.jsonl", "--model", "y=good", "--detections", "k"], "k/y.jsonl would be overwritten"),
        (["--results", "a b=good.jsonl", "--results", "a  b=good.jsonl"], "two detectors are called a b"),
        (["--results", "good.jsonl", "--results", "good.jsonl"], "two detectors are called good"),
        (["--results", "the annotations=good.jsonl"], "a detector cannot be called 'the annotations'"),
    ],
)
def test_what_is_refused(photos: Path, capsys: pytest.CaptureFixture, arguments: list[str], message: str) -> None:
    (photos / "k").mkdir()
    for path in ("good.jsonl", "k/y.jsonl"):
        (photos / path).write_text('{"image": "0.png", "faces": []}\n')
    before = (photos / "good.jsonl").read_text()
    assert cli.main(["evaluate", "wider", "--annotations", "list.csv", "--images", "photos", *arguments]) == 2
    assert message in capsys.readouterr().err and (photos / "good.jsonl").read_text() == before


def test_folders_of_models_are_called_by_their_whole_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("v1.5", "v1.6", "a=b"):
        (tmp_path / name).mkdir()
    assert named_paths(["v1.5", "v1.6", "x.jsonl"]) == [("v1.5", "v1.5"), ("v1.6", "v1.6"), ("x", "x.jsonl")]
    assert named_paths(["a=b", "n=a=b", "p=q=official", "=x", "x="]) == [
        ("a=b", "a=b"), ("n", "a=b"), ("p=q", "official"), ("=x", "=x"), ("x=", "x="),
    ]  # fmt: skip
