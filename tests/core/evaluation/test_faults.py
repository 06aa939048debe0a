"""What the README promises of every benchmark and every kind of result file: each fault is named and counted, what is faulty is
left out, and the exit status is 1; without faults it is 0."""

import json
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np
import pytest

from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.evaluation import results as kinds
from wider_mat import write_mat

BOX = (60, 30, 50, 60)  # x, y, width, height of the face in every photo
POINTS = [[75, 50], [95, 50], [85, 60], [77, 75], [93, 75]]
PHOTOS = ("x/0", "x/1", "y/2")
Faces = Sequence[str]  # lines of a photo's faces, as text or JSON


def json_face(box: Sequence[float] = BOX, score: Any = 0.9) -> str:
    x, y, w, h = box
    return json.dumps({"box": [x, y, x + w, y + h], "score": score, "landmarks": dict(zip(LANDMARK_NAMES, POINTS))})


def write_jsonl(path: Path, found: Sequence[tuple[str, Faces]]) -> None:
    path.write_text("".join(f'{{"image": "{photo}.png", "faces": [{", ".join(faces)}]}}\n' for photo, faces in found))


def write_wider(path: Path, found: Sequence[tuple[str, Faces]]) -> None:
    for number, (photo, faces) in enumerate(found):  # a photo that comes again is in a folder of its own
        is_again = photo in [other for other, _ in found[:number]]
        target = path / ("z/" * is_again + f"{photo}.txt")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join([photo, str(len(faces)), *faces]) + "\n")


def write_fddb(path: Path, found: Sequence[tuple[str, Faces]]) -> None:
    path.write_text("".join("\n".join([photo, str(len(faces)), *faces]) + "\n" for photo, faces in found))


TEXT = {
    "none": "60 30 50 60 0.9", "nan": "60 30 50 60 nan", "infinite": "60 30 inf 60 0.9", "negative": "60 30 -50 60 0.9",
    "malformed": "60 30 fifty 60 0.9", "short": "60 30",
}  # fmt: skip
JSON = {
    "none": json_face(), "nan": json_face(score=float("nan")), "infinite": json_face((60, 30, float("inf"), 60)),
    "negative": json_face((60, 30, -50, 60)), "malformed": '{"box": [60, 30, "fifty", 60], "score": 1}', "short": "{}",
}  # fmt: skip
WRITERS: dict[str, tuple[Callable[..., None], dict[str, str]]] = {
    "r.jsonl": (write_jsonl, JSON), "wider": (write_wider, TEXT), "fddb.txt": (write_fddb, TEXT),
}  # fmt: skip
EXPECTED = {
    "none": None, "nan": kinds.NOT_FINITE, "infinite": kinds.NOT_FINITE, "negative": kinds.NEGATIVE,
    "malformed": kinds.MALFORMED, "short": kinds.MALFORMED, "missing": kinds.MISSING, "unknown": kinds.UNKNOWN,
    "repeated": kinds.REPEATED,
}  # fmt: skip
VERBS = {
    "wider": ["wider", "--annotations", "list.csv"],
    "mat": ["wider", "--ground-truth", "."],
    "fddb": ["fddb", "--folds", "."],
    "landmarks": ["landmarks", "--list", "list.csv", "--root", "photos"],
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same faces as a list with landmarks, as FDDB's folds and as WIDER FACE's ground truth."""
    pytest.importorskip("scipy")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    x, y, w, h = BOX
    head = ["file", "x1", "y1", "x2", "y2", *(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy")]
    numbers = [x, y, x + w, y + h, *np.ravel(POINTS)]
    rows = [",".join(map(str, row)) for row in (head, *([f"{photo}.png", *numbers] for photo in PHOTOS))]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    folds = "".join(f"{photo}\n1\n30 25 1.5708 85 60 1\n" for photo in PHOTOS)
    (tmp_path / "FDDB-fold-01-ellipseList.txt").write_text(folds)
    face = (np.array([[*BOX]]), dict.fromkeys(("easy", "medium", "hard"), np.array([[1]])))
    write_mat(tmp_path, {"x": {"0": face, "1": face}, "y": {"2": face}})
    return tmp_path


@pytest.mark.parametrize("fault", EXPECTED)
@pytest.mark.parametrize(
    ("verb", "file"), [(verb, file) for verb in VERBS for file in WRITERS if verb != "landmarks" or file == "r.jsonl"]
)
def test_faults_are_named(here: Path, capsys: pytest.CaptureFixture, verb: str, file: str, fault: str) -> None:
    write, lines = WRITERS[file]
    found = [(photo, [lines["none"]]) for photo in PHOTOS]
    if fault == "missing":
        found = found[:-1]
    elif fault in ("unknown", "repeated"):
        found.append(("elsewhere/9" if fault == "unknown" else PHOTOS[0], [lines["none"]]))
    elif fault != "none":
        found[0][1].append(lines[fault])
    write(here / file, found)
    arguments = ["evaluate", *VERBS[verb], "--results", f"mine={file}", "--json", "out.json", "--resamples", "0"]
    assert cli.main(arguments) == (0 if fault == "none" else 1)
    report, printed = json.loads((here / "out.json").read_text()), capsys.readouterr()
    problems = list(report["problems"].values())
    assert [each["counts"] for each in problems] == ([] if fault == "none" else [{EXPECTED[fault]: 1}])
    assert ("1 problem with the inputs" in printed.out) == (fault != "none")
    if fault != "none":
        assert "problems with mine" in printed.err and EXPECTED[fault] in printed.err
    figure = {"wider": "height_50", "mat": "easy"}.get(verb)
    value = report[figure] if figure else report["discrete"]["50"] if verb == "fddb" else report["detected"]["found"]
    assert value == 1  # what is faulty does not count
    assert report["photos"]["used"] == (2 if fault == "missing" else 3)


@pytest.mark.parametrize("verb", ["wider", "fddb", "landmarks"])
def test_photos_that_could_not_be_read_are_named(here: Path, verb: str) -> None:
    write_jsonl(here / "r.jsonl", [(photo, [JSON["none"]]) for photo in PHOTOS])
    text = (here / "r.jsonl").read_text().splitlines()
    text[1] = '{"image": "x/1.png", "width": null, "height": null, "faces": [], "error": "damaged"}'
    (here / "r.jsonl").write_text("\n".join(text))
    assert cli.main(["evaluate", *VERBS[verb], "--results", "r.jsonl", "--json", "out.json"]) == 1
    report = json.loads((here / "out.json").read_text())
    assert [each["counts"] for each in report["problems"].values()] == [{kinds.UNREAD: 1}]
    assert report["photos"]["used"] == 2 and not report["complete"]


@pytest.mark.parametrize("text", ["", "\n", "file,x1,y1,x2,y2\n", "file,x1,y1,x2,y2\na.png,,,,\n"])
@pytest.mark.parametrize("verb", ["wider", "landmarks", "stages"])
def test_lists_without_a_face(here: Path, capsys: pytest.CaptureFixture, verb: str, text: str) -> None:
    """A sentence, or for photos without any face a report of none: no figure that looks like one."""
    (here / "list.csv").write_text(text)
    write_jsonl(here / "r.jsonl", [("a", [JSON["none"]])])
    arguments = VERBS.get(verb, ["stages", "--annotations", "list.csv", "--images", "photos"])
    status = cli.main(["evaluate", *arguments, *([] if verb == "stages" else ["--results", "r.jsonl"]), "--json", "out.json"])
    if "a.png" in text and verb == "wider":
        report = json.loads((here / "out.json").read_text())
        assert status == 0 and report["height_50"] is None and report["faces"]["height_50"] == 0
    else:
        assert status == 2 and len(capsys.readouterr().err.splitlines()) < 8


def test_nothing_usable_says_why(here: Path, capsys: pytest.CaptureFixture) -> None:
    write_jsonl(here / "r.jsonl", [("elsewhere/a", [])])
    assert cli.main(["evaluate", *VERBS["wider"], "--results", "r.jsonl"]) == 2
    said = capsys.readouterr().err
    assert "none of the 3 photos, such as x/0.png, has usable results from r" in said
    assert "1 results for photos that are not in the set" in said and "elsewhere/a.png" in said


@pytest.mark.parametrize("heights", [("10", "50", "40"), ("50", "40", "10")])
def test_heights_in_any_order(here: Path, heights: tuple[str, ...]) -> None:
    """The last set, from which pictures are, is the one that holds all others; heights that differ little stay apart."""
    pytest.importorskip("matplotlib")
    write_jsonl(here / "r.jsonl", [(photo, []) for photo in PHOTOS])
    more = ["--heights", *heights, "60.00001", "60", "--report", "report"]
    assert cli.main(["evaluate", *VERBS["wider"], "--results", "r.jsonl", "--json", "out.json", *more]) == 0
    report = json.loads((here / "out.json").read_text())
    assert report["faces"] == {"height_60.00001": 0, "height_60": 3, "height_50": 3, "height_40": 3, "height_10": 3}
    assert report["height_60.00001"] is None and "largest faces missed (3 of 3)" in (here / "report/report.md").read_text()
