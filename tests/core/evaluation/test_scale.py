"""Boxes of another scale than their photos: what is left out, what is named, and what is let pass."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.errors import DataError
from mtcnn_gluon.evaluation.results import Detections, Results
from mtcnn_gluon.evaluation.scale import ANNOTATED_OUTSIDE, OTHER_SIZE, OUTSIDE, Size, check_scale

BOX = np.array([[60.0, 30, 110, 90]])
SIZE = (200, 150)


def results(name: str = "mine", size: Size | None = SIZE, boxes: Any = BOX, photos: int = 2) -> Results:
    return Results(name, {f"{index}.jpg": Detections.of_boxes(boxes, np.ones(len(boxes)), size) for index in range(photos)})


def check(*each: Results, true: Size | None = SIZE, faces: Any = BOX) -> dict[str, int]:
    """What is noted about the photos."""
    return check_scale({"0.jpg": faces, "1.jpg": faces}, each, lambda name: true).counts


@pytest.mark.parametrize("true", [SIZE, None])
@pytest.mark.parametrize("size", [SIZE, None])
def test_what_fits_is_let_pass(true: Size | None, size: Size | None) -> None:
    one, two = results(size=size), results("other", size=None)
    assert not check(one, two, true=true) and not one.problems and not two.problems and len(one.photos) == 2


@pytest.mark.parametrize("size", [(100, 75), (400, 300), (150, 200), (199, 150)])  # scaled, turned, cut
def test_results_of_another_size_are_left_out(size: Size) -> None:
    one, two = results(size=size), results("other")
    assert not check(one, two)
    assert one.problems.counts == {OTHER_SIZE: 2} and one.unusable == {"0.jpg", "1.jpg"} and not one.photos
    assert one.problems.found[OTHER_SIZE][0] == f"mine: 0.jpg: {size[0]} x {size[1]}, but the photo is 200 x 150"
    assert not two.problems and len(two.photos) == 2


def test_without_the_photos_nobody_knows_who_is_right() -> None:
    one, two, three = results(size=(100, 75)), results("other"), results("third", size=None)
    check(one, two, three, true=None)
    assert one.problems.counts == two.problems.counts == {OTHER_SIZE: 2} and not three.problems
    assert "100 x 75, but other results have another size" in one.problems.found[OTHER_SIZE][0]


def test_boxes_of_another_scale_are_named() -> None:
    doubled = results(size=None, boxes=BOX * 3)
    assert not check(doubled) and doubled.problems.counts == {OUTSIDE: 2} and len(doubled.photos) == 2
    fine = results()
    assert check(fine, faces=BOX * 3) == {ANNOTATED_OUTSIDE: 2} and not fine.problems
    assert not check(results(size=None, boxes=BOX * 3), true=None)  # nothing tells


def test_a_few_boxes_beyond_the_border_are_no_matter() -> None:
    many = np.vstack([np.tile(BOX, (150, 1)), BOX + 500])
    one = results(boxes=many)
    assert not check(one, faces=many) and not one.problems
    cut_off = np.array([[-40.0, -40, 60, 60]])  # its centre is inside
    assert not check(results(boxes=cut_off), faces=cut_off)


@pytest.mark.parametrize(
    ("boxes", "is_refused"),
    [
        ([[0.1, 0.2, 0.5, 0.6]], True),
        ([[0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5]], True),
        ([[0.1, 0.2, 0.5, 0.6], [1, 2, 30, 40]], False),
        ([[0, 0, 0, 0]], False),
        ([], False),
    ],
)
def test_shares_of_the_sides_are_refused(boxes: Any, is_refused: bool) -> None:
    given = results(boxes=np.array(boxes, np.float64).reshape(-1, 4))
    if not is_refused:
        check(given)
        return
    with pytest.raises(DataError, match="mine: all boxes lie in 0..1: expected pixels of the photos, got shares"):
        check(given)


def test_nothing() -> None:
    assert not check_scale({}, [], lambda name: None) and not check_scale({}, [results()], lambda name: None)


def test_through_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """Results on a photo of half the size than in --images: formerly low figures, without a word."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    Image.new("RGB", SIZE).save(tmp_path / "photos/0.png")
    Image.new("RGB", SIZE).save(tmp_path / "photos/1.png")
    (tmp_path / "list.csv").write_text("file,x1,y1,x2,y2\n0.png,60,30,110,90\n1.png,60,30,110,90\n")
    row = '{{"image": "{}.png", "width": {}, "height": {}, "faces": [{{"box": {}, "score": 0.9}}]}}\n'
    half = row.format(0, 100, 75, "[30, 15, 55, 45]") + row.format(1, 200, 150, "[60, 30, 110, 90]")
    (tmp_path / "half.jsonl").write_text(half)
    arguments = ["evaluate", "wider", "--annotations", "list.csv", "--results", "half.jsonl", "--images", "photos"]
    assert cli.main(arguments) == 1
    printed = capsys.readouterr()
    assert "PARTIAL" in printed.out and "1 of 2 photos" in printed.out and "100 x 75, but the photo is 200 x 150" in printed.err
    shares = row.format(0, 200, 150, "[0.1, 0.1, 0.2, 0.2]") + row.format(1, 200, 150, "[0.1, 0.1, 0.2, 0.2]")
    (tmp_path / "half.jsonl").write_text(shares)
    assert cli.main(arguments) == 2 and "got shares of their sides" in capsys.readouterr().err
