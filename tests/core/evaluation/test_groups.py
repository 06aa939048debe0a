"""Whom a detector misses."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon.cli.main import main
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.evaluation.groups import FindInBorder, read_groups, wilson
from mtcnn_gluon.evaluation.run import Job
from mtcnn_gluon.io.images import read_image

PORTRAIT = Path(__file__).parents[2] / "portrait.jpg"


@pytest.fixture
def folder(tmp_path):
    """A portrait, a copy of it and two grey photos, in groups."""
    image = Image.open(PORTRAIT).convert("RGB")
    for name in ("a.png", "b.png"):
        image.save(tmp_path / name)
    for name in ("c.png", "d.png"):
        Image.new("RGB", (64, 64), (128, 128, 128)).save(tmp_path / name)
    (tmp_path / "list.csv").write_text("file,age,race\na.png,10-19,X\nb.png,3-9,Y\nc.png,3-9,X\nd.png,,X\n")
    return tmp_path


def evaluate(folder, *more):
    options = ["--list", folder / "list.csv", "--images", folder, "--json", folder / "out.json", *more]
    status = main(["evaluate", "groups", *map(str, options)])
    return status, json.loads((folder / "out.json").read_text())


def test_photos_with_a_face_count_by_group(folder, capsys):
    status, report = evaluate(folder, "--column", "age", "--column", "race", "--model", "default", "--border", 32)
    assert status == 0
    found = {column: {group: (each["default"]["found"], each["photos"]) for group, each in groups.items()}
             for column, groups in report["groups"].items()}  # fmt: skip
    assert found == {
        "all": {"all": (2, 4)},
        "age": {"3-9": (1, 2), "10-19": (1, 1), "(empty)": (0, 1)},
        "race": {"X": (1, 3), "Y": (1, 1)},
    }
    assert list(report["groups"]["age"]) == ["3-9", "10-19", "(empty)"]
    text = capsys.readouterr().out
    assert "Photos with a face found, by age" in text and "| X | 3 | 33.3 % [6.1, 79.2] |" in text
    assert "border of 32 black pixels" in text


def test_results_of_other_detectors_count_too(folder):
    face = {"box": [1, 2, 30, 40], "score": 0.9}
    rows = [{"image": "a.png", "faces": []}, {"image": "b.png", "faces": [face]}, {"image": "c.png", "faces": [face, face]}]
    (folder / "other.jsonl").write_text("\n".join(map(json.dumps, rows)))
    status, report = evaluate(folder, "--column", "race", "--results", folder / "other.jsonl", "--missing", "no-faces")
    assert report["groups"]["race"]["X"]["other"]["found"] == 1 and report["groups"]["race"]["Y"]["other"]["found"] == 1
    assert status == 1, "a photo without results is a problem"


def test_faces_in_a_border_have_the_photos_coordinates():
    detector, image = Detector(), read_image(PORTRAIT)
    plain = detector.detect(image)
    work = FindInBorder(40)
    (face,) = work(detector, image, Job("a", ""))["faces"]
    assert np.allclose(face["box"], plain.boxes[0], atol=6)
    assert np.allclose(list(face["landmarks"].values()), plain.landmarks[0], atol=6)
    assert work.__name__ == "find_faces_border_40"


def test_intervals_are_wilsons():
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe (1998), table I, method 3
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)
    assert wilson(5, 5)[1] == 1 and wilson(0, 0) is None


@pytest.mark.parametrize(
    "text, columns, error, words",
    [
        ("file,age\na,1\n", ["race"], ConfigError, "has no column race; it has file, age"),
        ("file,age\na,1\n", ["age", "age"], ConfigError, "column age is named twice"),
        ("file,age,age\na,1,2\n", ["age"], DataError, "has two columns age"),
        ("file,all\na,1\n", ["all"], ConfigError, "a column cannot be called all"),
        ("name,age\na,1\n", ["age"], DataError, "a column file and a row for each photo"),
        ("file,age\n", ["age"], DataError, "a row for each photo"),
        ("file,age\na,1\na,2\n", ["age"], DataError, "row 3: a is there twice"),
        ("file,age\na\n", ["age"], DataError, "row 2: expected 2 cells"),
        ("file,age\na,1,2\n", ["age"], DataError, "row 2: expected 2 cells"),
        ('file,age\n"a,1\n', ["age"], DataError, "expected csv"),
        ("file,age\n" + "".join(f"{n},{n}\n" for n in range(101)), ["age"], ConfigError, "101 different values"),
    ],
)
def test_unusable_lists_are_named(tmp_path, text, columns, error, words):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(error, match=words):
        read_groups(str(tmp_path / "list.csv"), columns)
