"""What contenders find beside their times: reading annotated photos, and figures that `evaluate wider` gives too."""

from pathlib import Path

import numpy as np
import pytest

from mtcnn_gluon.bench import accuracy
from mtcnn_gluon.bench.accuracy import Accuracy, read_annotated
from mtcnn_gluon.bench.contenders import Contender
from mtcnn_gluon.bench.contest import BenchPhoto, Rules, Timing, Unsure
from mtcnn_gluon.bench.report import Machine, make_report
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.evaluation import wider
from mtcnn_gluon.evaluation.results import Detections, Results
from mtcnn_gluon.io.files import write_picture

LIST = """file,x1,y1,x2,y2
a.png,0,0,40,60
a.png,60,0,80,32
b.png,10,10,30,50
b.png,50,50,58,62
c.png,0,0,5,5
d.png,,,,
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "abcd":
        write_picture(tmp_path / f"{name}.png", np.full((80, 100, 3), ord(name), np.uint8))
    (tmp_path / "faces.csv").write_text(LIST)
    return tmp_path


def timing(name: str, faces: dict[str, list[list[float]]], unsure: dict[str, list[list[float]]]) -> Timing:
    """A timing with faces x1, y1, x2, y2, score by photo."""

    def split(found: dict[str, list[list[float]]]) -> list[Unsure]:
        tables = [np.array(found.get(f"{each}.png", []), float).reshape(-1, 5) for each in "abcd"]
        return [Unsure(table[:, :4], table[:, 4]) for table in tables]

    sure = split(faces)
    seconds, contender = np.full((2, 4), 0.01), Contender(name, name, (), True)
    return Timing(contender, {}, seconds, [boxes for boxes, _ in sure], [scores for _, scores in sure], 0, unsure=split(unsure))


A, B, C, D = [0, 0, 40, 60], [60, 0, 80, 32], [10, 10, 30, 50], [50, 50, 58, 62]
WRONG = [0, 64, 20, 80]


def test_reading(folder: Path) -> None:
    found = read_annotated(str(folder / "faces.csv"), str(folder))
    assert [photo.name for photo in found.photos] == ["a.png", "b.png", "c.png", "d.png"] and not found.unread
    assert [photo.image[0, 0, 0] for photo in found.photos] == [*b"abcd"]
    assert [photo.counts.sum(1).tolist() for photo in found.truth.photos] == [[1, 2, 2], [0, 1, 2], [0, 0, 0], [0, 0, 0]]
    half = read_annotated(str(folder / "faces.csv"), str(folder), limit=2)
    assert [photo.name for photo in half.photos] == ["a.png", "c.png"] == list(half.truth.names)


def test_photos_that_cannot_be_read_are_left_out(folder: Path) -> None:
    (folder / "a.png").unlink()
    (folder / "c.png").write_text("no picture")
    found = read_annotated(str(folder / "faces.csv"), str(folder))
    assert [photo.name for photo in found.photos] == ["b.png", "d.png"] == list(found.truth.names)
    assert len(found.unread) == 2 and "a.png" in found.unread[0] and "c.png" in found.unread[1]


def test_lists_that_cannot_be_used(folder: Path) -> None:
    (folder / "none.csv").write_text("file,x1,y1,x2,y2\nc.png,0,0,5,5\nd.png,,,,\n")
    with pytest.raises(ConfigError, match=r"none.csv: none of the 2 photos has a face of 10 px or higher"):
        read_annotated(str(folder / "none.csv"), str(folder))
    with pytest.raises(DataError, match="no.csv"):
        read_annotated(str(folder / "no.csv"), str(folder))


def test_found_right_and_precision(folder: Path) -> None:
    """Faces found and boxes right come from the timed faces, average precision from the unsure ones."""
    annotated = read_annotated(str(folder / "faces.csv"), str(folder))
    every = {"a.png": [[*A, 0.9], [*B, 0.8]], "b.png": [[*C, 0.7], [*D, 0.6]]}
    some = {"a.png": [[*A, 0.9], [*WRONG, 0.95]], "b.png": [[*D, 0.6]], "d.png": [[*WRONG, 0.99]]}
    timings = [timing("some", some, every), timing("nothing", {}, {}), timing("all", every, some)]
    found = accuracy.measure(annotated, timings)
    sets = ("height_50", "height_30", "height_10")
    assert found["some"] == Accuracy(
        dict.fromkeys(sets, 1.0), dict(zip(sets, (1, 1 / 3, 0.5))), dict(zip(sets, (0.5, 0.5, 2 / 3))),
    )  # fmt: skip
    assert found["nothing"] == Accuracy(dict.fromkeys(sets, 0.0), dict.fromkeys(sets, 0.0), dict.fromkeys(sets))
    assert found["all"].recall == found["all"].precision == dict.fromkeys(sets, 1)
    assert found["all"].ap == {"height_50": 0.5, "height_30": pytest.approx(1 / 6), "height_10": pytest.approx(1 / 3)}
    assert not any(annotated.problems.values())


def test_it_is_the_figure_of_evaluate(folder: Path) -> None:
    generator = np.random.default_rng(0)
    annotated = read_annotated(str(folder / "faces.csv"), str(folder))
    faces = {}
    for name, own in (("a.png", [A, B]), ("b.png", [C, D])):
        boxes = np.array(own * 20) + generator.normal(0, 4, (40, 4))
        faces[name] = np.hstack([boxes, generator.random((40, 1))]).tolist()
    found = accuracy.measure(annotated, [timing("one", {}, faces)])["one"]
    tables = {name: np.array(rows) for name, rows in faces.items()}
    results = Results("one", {name: Detections.of_boxes(table[:, :4], table[:, 4]) for name, table in tables.items()})
    _, (figures,) = wider.evaluate(annotated.truth, [results], "no-faces")
    assert found.ap == figures.values and 0 < figures.values["height_10"] < 1


def test_boxes_outside_their_photos_are_told(folder: Path) -> None:
    """As if a detector or a list were made on larger photos."""
    annotated = read_annotated(str(folder / "faces.csv"), str(folder))
    accuracy.measure(annotated, [timing("large", {"a.png": [[400, 0, 500, 60, 0.9]]}, {})])
    (kind,) = annotated.problems["large"].found
    assert "outside the photo" in kind
    (folder / "faces.csv").write_text("file,x1,y1,x2,y2\na.png,400,0,500,90\n")
    annotated = read_annotated(str(folder / "faces.csv"), str(folder))
    one = BenchPhoto("a.png", annotated.photos[0].image)
    assert annotated.photos[0].name == one.name
    accuracy.measure(annotated, [timing("right", {}, {})])
    assert annotated.problems["the photos"]


def test_the_table_tells_both(folder: Path) -> None:
    annotated = read_annotated(str(folder / "faces.csv"), str(folder))
    some = {"a.png": [[*A, 0.9], [*WRONG, 0.95]]}
    timings = [timing("some", some, some), timing("nothing", {}, {})]
    found = accuracy.measure(annotated, timings)
    report = make_report(annotated.photos, timings, {}, Rules(threads=1), Machine("here"), (), annotated, found)
    table = report.tables[0]
    assert table.head == (
        "", "100 x 80 (4 photos)", "faces of 50 px and higher", "faces of 30 px and higher", "faces of 10 px and higher",
    )  # fmt: skip
    assert table.rows[0] == ("some", "10.0 ms", "0.500; 100.0 %; 50.0 %", "0.167; 33.3 %; 50.0 %", "0.125; 25.0 %; 50.0 %")
    assert table.rows[1][2:] == ("0.000; 0.0 %; -",) * 3
    assert any(note.startswith("Annotated faces: ") and "thresholds 0.5 0.5 0.3" in note for note in report.notes)
    assert report.summary["contenders"][0]["accuracy"]["recall"]["height_50"] == 1
