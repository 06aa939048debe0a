"""`mtcnn-gluon evaluate`: what it reads, prints and writes, what it refuses, and how it exits."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Sequence

import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon import read_image
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.cli.detect import portrait
from mtcnn_gluon.evaluation.names import file_stems
from mtcnn_gluon.evaluation.report import Line, Plot, draw_plot, json_text, number, percent
from mtcnn_gluon.evaluation.results import UNKNOWN
from wider_mat import write_mat

FACE = (60, 30, 50, 60)  # x, y, width, height
PNG = b"\x89PNG"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six photos with one annotated face each, the last with none; results that find four of five and two that are none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for index in range(6):
        Image.fromarray(rng.integers(0, 255, (150, 200, 3), np.uint8)).save(tmp_path / f"photos/{index}.png")
    lines = [f"{index}.png\n1\n{' '.join(map(str, FACE))}\n" for index in range(5)]
    (tmp_path / "list.txt").write_text("".join(lines) + "5.png\n0\n")
    found = [[(FACE, 0.9 - index / 20)] for index in range(4)] + [[((0, 0, 20, 20), 0.8)], [((0, 0, 20, 20), 0.1)]]
    (tmp_path / "good.jsonl").write_text("".join(row(f"{index}.png", faces) for index, faces in enumerate(found)))
    (tmp_path / "bad.jsonl").write_text("".join(row(f"{index}.png", []) for index in range(6)))
    return tmp_path


def row(image: str, faces: Sequence[tuple[Sequence[float], float]]) -> str:
    dicts = [{"box": [x, y, x + w, y + h], "score": score} for (x, y, w, h), score in faces]
    return json.dumps({"image": image, "width": 200, "height": 150, "faces": dicts}) + "\n"


def run(*arguments: str) -> int:
    return cli.main(["evaluate", *arguments])


WIDER = ("wider", "--annotations", "list.txt")


def test_wider(here: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(*WIDER, "--results", "good.jsonl", "--json", "out.json") == 0
    out = json.loads((here / "out.json").read_text())
    # two faces at precision 1, then one with the false one of the same score, then the fourth, when 4 of 5 are right
    expected = 2 / 5 + 2 / 5 * 4 / 5
    assert out["height_50"] == out["height_30"] == out["height_10"] == pytest.approx(expected)
    assert (
        out["complete"]
        and out["photos"] == {"used": 6, "of": 6}
        and out["faces"] == {"height_50": 5, "height_30": 5, "height_10": 5}
    )
    assert out["headline"] == "Faces by height: average precision on all 6 photos, 5 annotated faces"
    (detector,) = out["detectors"]
    low, high = detector["intervals"]["height_50"]
    assert detector["name"] == "good" and low < expected < high
    text = capsys.readouterr().out
    assert "**Faces by height: average precision on all 6 photos" in text and "0.720 [" in text
    assert "Photos without any annotated face (1), with what was found there (1), do not count" in text


def test_overlaps_other_than_the_published_are_named(here: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(*WIDER, "--results", "good.jsonl", "--json", "out.json", "--overlap", "0.7") == 0
    out = json.loads((here / "out.json").read_text())
    assert out["overlap"] == 0.7
    assert "average precision from an overlap of 0.7 on all 6 photos" in out["headline"]


def test_published_ground_truth(here: Path) -> None:
    """`easy`, `medium` and `hard`; results of WIDER FACE's own text; not the whole published set, which the headline says."""
    boxes, every, none = np.array([[*FACE], [0, 0, 20, 20]]), np.array([[1], [2]]), np.zeros((0, 0))
    sets = {"easy": np.array([[1]]), "medium": every, "hard": every}
    write_mat(here, {"0--Parade": {"0_Parade_1": (boxes, sets)}, "1--Dance": {"1_Dance_2": (none, dict.fromkeys(sets, none))}})
    for photo, lines in (("0--Parade/0_Parade_1", "1\n60 30 50 60 0.9\n"), ("1--Dance/1_Dance_2", "1\n5 5 5 5 0.3\n")):
        (here / f"found/{photo}.txt").parent.mkdir(parents=True)
        (here / f"found/{photo}.txt").write_text(f"{photo}\n{lines}")
    assert run("wider", "--ground-truth", ".", "--results", "found", "--json", "out.json") == 0
    out = json.loads((here / "out.json").read_text())
    assert (out["easy"], out["medium"], out["hard"]) == (1, 0.5, 0.5) and out["faces"] == {"easy": 1, "medium": 2, "hard": 2}
    published = "the ground truth holds 2 photos and the published one 3,226"
    assert (
        out["headline"] == f"PARTIAL: WIDER FACE validation: average precision on all 2 photos; {published}, 2 annotated faces"
    )


def test_side_by_side_and_report(here: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("matplotlib")
    arguments = ("--results", "A=good.jsonl", "--results", "B|x=bad.jsonl", "--images", "photos", "--report", "out")
    assert run(*WIDER, *arguments, "--heights", "50", "70") == 0
    report = json.loads((here / "out/report.json").read_text())
    assert report["height_70"] is None and [each["name"] for each in report["detectors"]] == ["A", "B|x"]
    difference = report["detectors"][1]["difference_to_first"]["height_50"]
    assert difference["value"] == pytest.approx(-0.72) and difference["interval"][0] < -0.72 < difference["interval"][1] < 0
    assert len(report["curves"]["A"]["height_50"]["recall"]) == 1000
    files = {path.name for path in (here / "out").iterdir()}
    stem = file_stems(["B|x"])["B|x"]
    assert files == {"report.json", "report.md", "precision_recall_height_50.png", "precision_recall_height_70.png",
                     "false_A.png", "missed_A.png", f"missed_{stem}.png"}  # fmt: skip
    page = (here / "out/report.md").read_text()
    assert "B\\|x" in page and "![A: surest false positives (1 of 1)](false_A.png)" in page
    assert "1. 4.png: score 0.800, overlap 0.00" in page and "B|x: surest false positives (0 of 0)" in page


def test_largest_faces_missed_are_shown(here: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run(*WIDER, "--results", "bad.jsonl", "--images", "photos", "--report", "out", "--resamples", "0") == 0
    assert read_image(here / "out/missed_bad.png").shape[2] == 3
    page = (here / "out/report.md").read_text()
    assert "bad: largest faces missed (5 of 5)" in page and "1. 0.png: 60 px high" in page
    assert json.loads((here / "out/report.json").read_text())["detectors"][0]["intervals"]["height_50"] is None


def test_without_photos_there_are_no_pictures(here: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run(*WIDER, "--results", "bad.jsonl", "--report", "out") == 0
    assert not (here / "out/missed_bad.png").exists() and "1. 0.png: 60 px high" in (here / "out/report.md").read_text()


def test_partial_evaluations_say_so(here: Path, capsys: pytest.CaptureFixture) -> None:
    lines = (here / "good.jsonl").read_text().splitlines(keepends=True)
    (here / "part.jsonl").write_text("".join(lines[:4]) + '{"image": "4.png", "fac\n' + row("elsewhere.png", []))
    assert run(*WIDER, "--results", "part.jsonl", "--json", "out.json") == 1
    captured = capsys.readouterr()
    headline = (
        "PARTIAL: Faces by height: average precision on 4 of 6 photos, 4 annotated faces; 4 problems with the inputs, see below"
    )
    assert f"**{headline}**" in captured.out
    out = json.loads((here / "out.json").read_text())
    assert not out["complete"] and out["headline"] == headline and out["height_50"] == 1
    counts = {"malformed lines, left out": 1, "photos without results": 2,
              "results for photos that are not in the set, left out": 1}  # fmt: skip
    assert out["problems"]["part"]["counts"] == counts
    assert "problems with part:" in captured.err and "part.jsonl:5: expected a photo's image and faces" in captured.err
    assert "part: 4.png" in captured.err and "elsewhere.png" in captured.err
    assert run(*WIDER, "--results", "part.jsonl", "--missing", "no-faces", "--json", "out.json") == 1
    assert json.loads((here / "out.json").read_text())["height_50"] == pytest.approx(0.8)


def test_results_of_other_photos_are_named(here: Path) -> None:
    with open(here / "good.jsonl", "a") as file:
        file.write(row("elsewhere.png", []))
    assert run(*WIDER, "--results", "good.jsonl", "--json", "out.json") == 1
    problems = json.loads((here / "out.json").read_text())["problems"]["good"]["lines"]
    assert problems == {UNKNOWN: ["good.jsonl:7: elsewhere.png"]}


def test_limit(here: Path) -> None:
    """Photos of the set that are not asked for are passed over, without being unknown or taken for others."""
    (here / "list.txt").write_text((here / "list.txt").read_text() + "x/0.png\n0\n")
    (here / "good.jsonl").write_text(row("x/0.png", []) + (here / "good.jsonl").read_text())
    assert run(*WIDER, "--results", "good.jsonl", "--limit", "2", "--json", "out.json") == 0
    out = json.loads((here / "out.json").read_text())
    assert out["photos"] == {"used": 2, "of": 7} and out["headline"].startswith("PARTIAL: ") and not out["complete"]
    assert out["height_50"] == 1  # not nothing, which was found in x/0.png


def test_json_on_standard_output(here: Path, capsys: pytest.CaptureFixture) -> None:
    assert run(*WIDER, "--results", "good.jsonl", "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["complete"]


def test_bad_annotations_are_problems(here: Path) -> None:
    with open(here / "list.txt", "a") as file:
        file.write("6.png\n1\n10 10 0 20\n")
    with open(here / "good.jsonl", "a") as file:
        file.write(row("6.png", []))
    assert run(*WIDER, "--results", "good.jsonl", "--json", "out.json") == 1
    problems = json.loads((here / "out.json").read_text())["problems"]
    assert list(problems) == ["the annotations"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*WIDER,), "nothing to evaluate: give --results or --model"),
        ((*WIDER, "--model", "official"), "--model needs --images"),
        (
            (*WIDER, "--results", "good.jsonl", "--images", "nowhere"),
            "nowhere is not a folder: expected the folder of all photos",
        ),
        ((*WIDER, "--results", "good.jsonl", "--resume"), "--resume needs --detections"),
        ((*WIDER, "--results", "good.jsonl", "--resamples", "-1"), "resamples must be a whole number, 0 or more, not -1"),
        ((*WIDER, "--results", "good.jsonl", "--results", "photos/../good.jsonl"), "two detectors are called good"),
        ((*WIDER, "--results", "good.jsonl", "--overlap", "0"), "overlap must be a number above 0 and at most 1, not 0.0"),
        ((*WIDER, "--results", "good.jsonl", "--limit", "0"), "limit must be a whole number, 1 or more, not 0"),
        ((*WIDER, "--results", "good.jsonl", "--missing", "no_faces"), "not 'no_faces': did you mean no-faces?"),
        ((*WIDER, "--results", "good.jsonl", "--factor", "7"), "factor must be a number above 0 and at most 0.99, not 7.0"),
        ((*WIDER, "--results", "good.jsonl", "--thresholds", "1", "2", "0"), "thresholds must be 3 numbers from 0 to 1"),
        (
            (*WIDER, "--results", "good.jsonl", "--device", "tpu"),
            "device must be cpu, gpu, gpu:N, cuda, cuda:N or mps, not",
        ),
        ((*WIDER, "--results", "good.jsonl", "--heights", "9", "9"), "heights must be different numbers of pixels"),
        ((*WIDER, "--results", "good.jsonl", "--ground-truth", "."), "either --ground-truth or --annotations"),
        (("wider", "--results", "good.jsonl"), "either --ground-truth or --annotations"),
        (("fddb", "--folds", ".", "--results", "x", "--regions", "Ellipse"), "not 'Ellipse': did you mean ellipse?"),
        (
            ("landmarks", "--list", "x", "--root", "x", "--results", "x", "--boxes", "all"),
            "boxes must be given, detected or both",
        ),
        ((*WIDER, "--results", "nowhere.jsonl"), "nowhere.jsonl does not exist"),
        (
            (*WIDER, "--results", "good.jsonl", "--results", "bad.jsonl", "--write-text", "x"),
            "--write-text is for one detector",
        ),
        (("wider", "--annotations", "nowhere.txt", "--results", "good.jsonl"), "nowhere.txt does not exist"),
        (("wider", "--ground-truth", ".", "--results", "good.jsonl"), "wider_face_val.mat does not exist"),
        (("fddb", "--folds", ".", "--results", "good.jsonl"), "holds no FDDB-fold-NN-ellipseList.txt"),
        (("landmarks", "--list", "list.txt", "--root", "photos", "--results", "good.jsonl"), "none of the 6 annotated photos"),
        ((*WIDER, "--model", "nowhere", "--images", "photos"), "'nowhere': expected default, open, official"),
    ],
)
def test_what_is_refused(here: Path, capsys: pytest.CaptureFixture, arguments: tuple[str, ...], message: str) -> None:
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


def test_curves_need_matplotlib(here: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run(*WIDER, "--results", "good.jsonl", "--report", "out") == 2
    assert "drawing curves needs matplotlib" in capsys.readouterr().err
    assert run(*WIDER, "--results", "good.jsonl") == 0  # figures do not


def test_fddb(here: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("scipy"), pytest.importorskip("matplotlib")  # type: ignore[func-returns-value]
    faces = "".join(f"{index}\n1\n30 25 1.5708 85 60 1\n" for index in range(5)) + "5\n0\n"
    (here / "FDDB-fold-01-ellipseList.txt").write_text(faces)
    arguments = ("--results", "good.jsonl", "--results", "bad.jsonl", "--images", "photos")
    assert run("fddb", "--folds", ".", *arguments, "--report", "out", "--json", "out.json") == 0
    out = json.loads((here / "out.json").read_text())
    assert out["discrete"] == {"50": 0.8, "100": 0.8, "200": 0.8, "500": 0.8, "1000": 0.8} and out["most_false_positives"] == 2
    assert 0.5 < out["continuous"]["50"] < 0.8
    assert out["headline"] == "PARTIAL: FDDB: ROC on all 6 photos; 1 of 10 folds, 5 annotated faces"
    assert out["detectors"][1]["difference_to_first"]["discrete_50"]["value"] == -0.8
    assert "good makes 2 false positives at most" in capsys.readouterr().out
    files = {path.name for path in (here / "out").glob("*.png")}
    assert files == {"roc_discrete.png", "roc_continuous.png", "missed_good.png", "false_good.png", "missed_bad.png"}
    assert run("fddb", "--folds", ".", "--results", "good.jsonl", "--regions", "box", "--json", "out.json") == 0
    assert json.loads((here / "out.json").read_text())["regions"] == "box"


def test_result_files_are_written(here: Path) -> None:
    assert run(*WIDER, "--results", "good.jsonl", "--write-text", "text", "--json", "one.json") == 0
    assert (here / "text/0.txt").read_text() == "0\n1\n60 30 50 60 0.9\n"
    assert run(*WIDER, "--results", "text", "--json", "two.json") == 0
    assert json.loads((here / "one.json").read_text())["height_50"] == json.loads((here / "two.json").read_text())["height_50"]


# ---- with a model


@pytest.fixture
def faces_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three photos with the portrait's face, and one that is none; boxes and landmarks by hand."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    image = read_image(portrait())
    lines = ["file,x1,y1,x2,y2," + ",".join(
        f"{name}_{axis}" for name in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth") for axis in "xy"
    )]  # fmt: skip
    points = np.array([[203, 101], [247, 103], [225, 129], [201, 139], [245, 142]])
    for index in range(3):
        Image.fromarray(image[:300, 20 * index : 400]).save(tmp_path / f"photos/{index}.png")
        shift = np.array([20 * index, 0])
        numbers = [*(np.array([[176, 60], [270, 176]]) - shift).ravel(), *(points - shift).ravel()]
        lines.append(f"{index}.png," + ",".join(map(str, numbers)))
    (tmp_path / "photos/3.png").write_bytes(b"not an image")
    lines.append(lines[-1].replace("2.png", "3.png"))
    (tmp_path / "faces.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


MODEL = ("--model", "official", "--images", "photos", "--engine", "mxnet", "--workers", "1")


def test_wider_with_a_model(own_cache: None, faces_here: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ("wider", "--annotations", "faces.csv", *MODEL, "--detections", "kept", "--json", "out.json")
    assert run(*arguments) == 1  # 3.png cannot be read
    out = json.loads((faces_here / "out.json").read_text())
    assert (
        out["height_50"] == pytest.approx(1) and out["photos"] == {"used": 3, "of": 4} and out["headline"].startswith("PARTIAL")
    )
    made = out["detectors"][0]["made"]
    assert made["min_face"] == 10 and made["thresholds"] == [0.5, 0.5, 0.3] and len(made["sha256"]) == 64
    assert "photos that the detector could not read" in capsys.readouterr().err
    rows = [json.loads(line) for line in (faces_here / "kept/official.jsonl").read_text().splitlines()]
    assert len(rows) == 4 and "error" in rows[3] and len(rows[0]["faces"][0]["landmarks"]) == 5
    shutil.copy(faces_here / "photos/2.png", faces_here / "photos/3.png")
    assert run(*arguments, "--resume") == 0
    out = json.loads((faces_here / "out.json").read_text())
    assert run("wider", "--annotations", "faces.csv", *MODEL, "--json", "memory.json") == 0
    assert out["complete"] and out == json.loads((faces_here / "memory.json").read_text())  # whether results are kept or not
    assert run(*arguments, "--resume", "--min-face", "30") == 2
    assert "cannot be resumed: it was made with min_face 10.0, not 30.0" in capsys.readouterr().err
    assert run("wider", "--annotations", "faces.csv", "--results", "kept/official.jsonl", "--json", "again.json") == 0
    again = json.loads((faces_here / "again.json").read_text())
    assert again["height_50"] == pytest.approx(1)


def test_landmarks_with_a_model(own_cache: None, faces_here: Path) -> None:
    pytest.importorskip("matplotlib")
    options = ["--root" if word == "--images" else word for word in MODEL]
    arguments = ("landmarks", "--list", "faces.csv", *options, "--json", "out.json")
    assert run(*arguments, "--report", "out", "--detections", "kept") == 1
    out = json.loads((faces_here / "out.json").read_text())
    assert out["photos"] == {"used": 3, "of": 4} and out["given"]["found"] == out["detected"]["found"] == 1
    assert out["given"]["mean_error"] < 0.1 and out["detected"]["mean_error"] < 0.1 and out["given"]["failures"] == 0
    files = {path.name for path in (faces_here / "out").glob("*.png")}
    assert files == {"errors.png", "errors_official_given.png", "errors_official_detected.png"}
    (faces_here / "photos/3.png").unlink()
    results = ("--results", "kept/official.jsonl", "--root", "photos", "--json", "out.json")
    assert run("landmarks", "--list", "faces.csv", *results) == 1
    again = json.loads((faces_here / "out.json").read_text())
    assert "given" not in again and again["detected"] == pytest.approx(out["detected"])
    assert run("landmarks", "--list", "faces.csv", *results, "--boxes", "given") == 2


def test_stages_with_a_model(own_cache: None, faces_here: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("matplotlib")
    (faces_here / "photos/3.png").unlink()
    assert run("stages", "--annotations", "faces.csv", *MODEL, "--json", "out.json", "--report", "out", "--timed", "2") == 1
    out = json.loads((faces_here / "out.json").read_text())
    assert out["faces"] == 3 and out["photos"] == {"used": 3, "of": 4}
    for stage in ("pnet", "rnet", "onet"):
        assert out[stage]["recall"] == 1 and out[stage]["milliseconds_median"] > 0
    assert out["pnet"]["proposals_per_photo"] > out["rnet"]["proposals_per_photo"] > out["onet"]["proposals_per_photo"] >= 1
    assert {path.name for path in (faces_here / "out").glob("*.png")} == {"stage_pnet.png", "stage_rnet.png", "stage_onet.png"}
    curves = json.loads((faces_here / "out/report.json").read_text())["curves"]["official"]["pnet"]
    assert curves["recall_by_size"]["80 to 160 px"][0] == 1 and curves["recall_by_size"]["0 to 20 px"][0] is None


def test_as_a_program_in_processes(own_cache: None, faces_here: Path) -> None:
    """`python -m mtcnn_gluon`, whose processes are spawned, and the example."""
    image = Image.open(faces_here / "photos/0.png")
    rows = [f"{index}.png,176,60,270,176" for index in range(16)]
    for index in range(16):
        image.save(faces_here / f"photos/{index}.png")
    for name, count in (("many.csv", 16), ("few.csv", 2)):
        (faces_here / name).write_text("\n".join(["file,x1,y1,x2,y2", *rows[:count]]))
    verb = ["-m", "mtcnn_gluon", "evaluate", "wider", "--annotations", "many.csv", "--model", "official", "--images", "photos"]
    example = [str(Path(__file__).parents[3] / "example/evaluate.py"), "few.csv", "photos"]
    for arguments, expected in (([*verb, "--workers", "2"], "all 16 photos, 16 annotated faces"), (example, "all 2 photos")):
        result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300)
        assert result.returncode == 0 and expected in result.stdout, result.stderr


# ---- small parts of the report


def test_numbers() -> None:
    assert number(0.12345) == "0.123" and number(None) == number(float("nan")) == percent(None) == "-"
    assert number(0.5, (0.25, 0.75)) == "0.500 [0.250, 0.750]" and number(0.5, sign=True) == "+0.500"
    assert percent(0.0456, (0.04, 0.05)) == "4.6 % [4.0, 5.0]"


def test_json_of_odd_numbers() -> None:
    content: dict[str, Any] = {
        "a": np.array([1.0, np.nan]),
        "b": np.float32(0.5),
        "c": float("inf"),
        "d": (1, True, None),
        5: {},
    }
    assert json.loads(json_text(content)) == {"a": [1, None], "b": 0.5, "c": None, "d": [1, True, None], "5": {}}


def test_plots_draw_anything() -> None:
    pytest.importorskip("matplotlib")
    odd = Line("$x^{", np.array([]), np.array([]))
    assert draw_plot(Plot("p", "t", "x", "y", ())).startswith(PNG)
    assert draw_plot(
        Plot("p", "t", "x", "y", (odd, Line("a", np.array([1, 10.0]), np.array([0, 1.0]))), logarithmic=True)
    ).startswith(PNG)
