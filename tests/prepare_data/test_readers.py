"""Readers of annotation files: hand-written lists of every kind, what is wrong with them, and the real ones."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.prepare_data.annotations import (
    BAD_BOX,
    BAD_LANDMARKS,
    OUTSIDE,
    REPEATED,
    UNLISTED,
    Annotations,
    Photo,
    Place,
    Problems,
)
from mtcnn_gluon.prepare_data.readers import read_annotations, read_csv, read_wider

WIDER = """\
0--Parade/a b.jpg
2
10 20 30 40 0 0 0 0 0 0 
1 2 3 4 2 0 0 1 2 1 
0--Parade/none.jpg
0
0 0 0 0 0 0 0 0 0 0 
1--Handshaking/c.jpg
1
5.5 6.5 10 20 0 0 0 0 0 0 
"""  # noqa: W291
FOUND = "file,face,score,iou,lex,ley,rex,rey,nx,ny,lmx,lmy,rmx,rmy\n"
ONE = "0--Parade/a b.jpg,0,0.9,0.8"  # file, face, score, iou
POINTS = "15 30,30 30,22 40,15 50,30 50".replace(" ", ",")
POINTS_XY = [[15, 30], [30, 30], [22, 40], [15, 50], [30, 50]]
LIST = "lfw_5590\\A B_0001.jpg 84 161 92 169 106.25 107.75 146.75 112.25 125.25 142.75 105.25 157.75 139.75 161.75\n"
CELEBA = "2\nimage_id x_1 y_1 width height\n000001.jpg    95  71 226 313\n101283.jpg     0   0   0   0\n"
CELEBA_POINTS = (
    "2\nlefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y\n"
    "000001.jpg 165  184  244  176  196  249  194  271  266  260\n101283.jpg 1 2 3 4 5 6 7 8 9 10\n"
)
COLUMNS = "file,x1,y1,x2,y2"
ALL_COLUMNS = ",".join([COLUMNS, *(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy")])
OWN = f"""\
{ALL_COLUMNS}
a.jpg,10,20,40,60,{POINTS}
"b, c.jpg",1,2,3,4,,,,,,,,,,
none.jpg,,,,,,,,,,,,,,
a.jpg,0,0,9,9,,,,,,,,,,
"""


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str | bytes, name: str = "list.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def paths(annotations: Annotations) -> list[str]:
    return [photo.path for photo in annotations.photos]


def photo(annotations: Annotations, path: str) -> Photo:
    return next(photo for photo in annotations.photos if photo.path == path)


# ---- wider


def test_wider(file: Any) -> None:
    read = read_annotations(file(WIDER))
    assert paths(read) == ["0--Parade/a b.jpg", "0--Parade/none.jpg", "1--Handshaking/c.jpg"]
    first, none, last = read.photos
    np.testing.assert_array_equal(first.boxes, [[10, 20, 40, 60], [1, 2, 4, 6]])
    assert first.boxes.dtype == np.float32
    assert first.ignore.tolist() == [False, True]
    assert np.isnan(first.landmarks).all() and not first.has_landmarks.any() and np.isnan(first.scores).all()
    assert len(none) == 0 and none.boxes.shape == (0, 4) and none.landmarks.shape == (0, 5, 2)
    np.testing.assert_array_equal(last.boxes, [[5.5, 6.5, 15.5, 26.5]])
    assert not read.problems


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg\n0\nb.jpg\n1\n1 2 3 4\n",  # no line of zeros
        "a.jpg\n0\n0 0 0 0 0 0 0 0 0 0 \nb.jpg\n1\n1 2 3 4\n",
        "a.jpg\r\n0\r\n0 0 0 0\r\nb.jpg\r\n1\r\n1 2 3 4\r\n",
        "\ufeffa.jpg\n0\n\n\nb.jpg\n 1 \n\n1\t2 3  4",
        "b.jpg\n1\n1 2 3 4 0 0 0 0 0 0\na.jpg\n0\n0 0 0 0 0 0 0 0 0 0",
        "b.jpg\n1\n1 2 3 4 0 0 0 0 0 0\na.jpg\n0",
    ],
)
def test_wider_photos_without_a_face(file: Any, text: str) -> None:
    read = read_annotations(file(text))
    assert sorted(paths(read)) == ["a.jpg", "b.jpg"]
    assert len(photo(read, "a.jpg")) == 0
    np.testing.assert_array_equal(photo(read, "b.jpg").boxes, [[1, 2, 4, 6]])


@pytest.mark.parametrize(
    "text, message",
    [
        ("a.jpg\n2\n1 2 3 4\n", r"list.txt:2: expected a line for each of 2 faces of a.jpg, got '1 until the end of the file'"),
        ("a.jpg\n2\n1 2 3 4\nb.jpg\n1\n1 2 3 4", r"list.txt:4: expected 4 or 10 numbers .*, got 'b.jpg'"),
        ("a.jpg\n1\n1 2 3 4\n5 6 7 8\nb.jpg\n0", r"list.txt:5: expected the number of faces of 5 6 7 8, got 'b.jpg'"),
        ("a.jpg\n1\n1 2 3 x\n", r"list.txt:3: expected 4 or 10 numbers .*, got '1 2 3 x'"),
        ("a.jpg\n1\n1 2 3 4 5\n", r"list.txt:3: expected 4 or 10 numbers"),
        ("a.jpg\n\n-1\n", r"list.txt:3: expected the number of faces of a.jpg, got '-1'"),
        ("a.jpg\n" + "9" * 5000, r"list.txt:2: expected the number of faces"),
        ("a.jpg\n", r"list.txt:1: expected the number of its faces on the line after this photo, got 'the end of the file'"),
        ("a.jpg\n0\na.jpg\n0\n", r"list.txt:3: expected each photo once, got 'a.jpg'"),
        ("", r"list.txt: expected a list, got an empty file"),
        (" \n\r\n\t", r"list.txt: expected a list, got an empty file"),
        ("a.jpg\n1\n1 2 3 4\n".encode("utf-16"), r"list.txt: expected text in UTF-8"),
    ],
)
def test_wider_that_is_wrong(file: Any, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_wider(file(text))


@given(st.lists(st.lists(st.tuples(*[st.integers(-50, 2000)] * 2, *[st.integers(1, 900)] * 2, st.booleans()), max_size=3)))
def test_wider_says_what_was_written(tmp_path_factory: pytest.TempPathFactory, photos: list[list[tuple]]) -> None:
    text = io.StringIO()
    for i, faces in enumerate(photos):
        text.write(f"{i}--x/p {i}.jpg\n{len(faces)}\n")
        for x, y, w, h, invalid in faces:
            text.write(f"{x} {y} {w} {h} 0 1 0 {int(invalid)} 2 1 \n")
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_text(text.getvalue() or "none.jpg\n0\n")
    read = read_annotations(path)
    assert [len(photo) for photo in read.photos] == ([len(faces) for faces in photos] or [0])
    for found, faces in zip(read.photos, photos):
        np.testing.assert_array_equal(found.boxes, np.array([[x, y, x + w, y + h] for x, y, w, h, _ in faces]).reshape(-1, 4))
        assert found.ignore.tolist() == [invalid for *_, invalid in faces]


# ---- landmarks of a wider list


def test_found_landmarks(file: Any) -> None:
    rows = f"0--Parade/a b.jpg,0,0.9,0.8,{POINTS}\n1--Handshaking/c.jpg,0,0.59,0.8,{POINTS}\nother.jpg,0,0.9,0.9,{POINTS}\n"
    landmarks = file(FOUND + rows, "found.csv")
    read = read_annotations(file(WIDER), landmarks=landmarks, min_score=0.6)
    first = read.photos[0]
    np.testing.assert_array_equal(first.landmarks[0], POINTS_XY)
    assert first.has_landmarks.tolist() == [True, False]
    np.testing.assert_array_equal(first.scores, np.array([0.9, np.nan], np.float32))
    assert not read.photos[2].has_landmarks.any()
    assert read.problems.counts == {UNLISTED: 1}
    assert read.problems.found[UNLISTED] == [f"{landmarks}:4: other.jpg"]
    assert read_annotations(file(WIDER), landmarks=landmarks).problems.counts == {UNLISTED: 1, OUTSIDE: 1}


@pytest.mark.parametrize(
    "rows, message",
    [
        (f"{FOUND}0--Parade/a b.jpg,2,0.9,0.8,{POINTS}", "found.csv:2: expected the index of one of 2 faces of 0--.*, got 2"),
        (f"{FOUND}0--Parade/none.jpg,0,0.9,0.8,{POINTS}", "found.csv:2: expected the index of one of 0 faces"),
        (f"{FOUND}0--Parade/a b.jpg,-1,0.9,0.8,{POINTS}", "found.csv:2: expected the index of a face, got '-1'"),
        (f"{FOUND}0--Parade/a b.jpg,0,1.9,0.8,{POINTS}", "found.csv:2: expected a score from 0 to 1, got 1.9"),
        (f"{FOUND}0--Parade/a b.jpg,0,nan,0.8,{POINTS}", "found.csv:2: expected a score from 0 to 1, got nan"),
        (f"{FOUND}{ONE},{POINTS[:-2]}x", "found.csv:2: expected numbers, got"),
        (f"{FOUND}{ONE},{POINTS[:-3]}", "found.csv:2: expected 14 cells, got"),
        (f"{FOUND}{ONE},{POINTS}\n{ONE},{POINTS}", "found.csv:3: expected each face once, got 'face 0 of 0--Parade"),
        ("file,face\n", r"found.csv:1: expected the columns file,face,score,lex.* got 'file,face'"),
        ("", r"found.csv: expected a list, got an empty file"),
    ],
)  # fmt: skip
def test_found_landmarks_that_are_wrong(file: Any, rows: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_annotations(file(WIDER), landmarks=file(rows, "found.csv"))


# ---- points


def test_points(file: Any) -> None:
    read = read_annotations(file(LIST + LIST.replace("\\A B", "/C").replace("\n", "\r\n") + LIST))
    assert paths(read) == ["lfw_5590/A B_0001.jpg", "lfw_5590/C_0001.jpg"]
    first = read.photos[0]  # listed twice: two faces
    np.testing.assert_array_equal(first.boxes, [[84, 92, 161, 169]] * 2)
    expected = [[106.25, 107.75], [146.75, 112.25], [125.25, 142.75], [105.25, 157.75], [139.75, 161.75]]
    np.testing.assert_array_equal(first.landmarks, [expected] * 2)
    assert not first.ignore.any() and np.isnan(first.scores).all() and not read.problems


@pytest.mark.parametrize("text", ["a.jpg 1 2 3 4\n", LIST.replace("161 ", ""), LIST.replace("161 ", "x ")])
def test_points_that_are_wrong(file: Any, text: str) -> None:
    with pytest.raises(DataError, match=r"list.txt:2: expected a photo and 14 numbers x1 x2 y1 y2 and five x y, got"):
        read_annotations(file(LIST + text))


# ---- celeba


def test_celeba(file: Any) -> None:
    boxes, landmarks = file(CELEBA), file(CELEBA_POINTS, "landmarks.txt")
    read = read_annotations(boxes, landmarks=landmarks)
    assert paths(read) == ["000001.jpg", "101283.jpg"]
    np.testing.assert_array_equal(read.photos[0].boxes, [[95, 71, 321, 384]])
    np.testing.assert_array_equal(read.photos[0].landmarks, [[[165, 184], [244, 176], [196, 249], [194, 271], [266, 260]]])
    assert [photo.ignore.tolist() for photo in read.photos] == [[False], [True]]
    assert read.problems.found == {BAD_BOX: [f"{boxes}:4: x1, y1, x2, y2 = 0 0 0 0"]}
    assert not read_annotations(boxes).photos[0].has_landmarks.any()


@pytest.mark.parametrize(
    "boxes, landmarks, message",
    [
        (CELEBA.replace("2\n", "3\n", 1), None, "list.txt:1: expected 3 lines after the column names, got 2"),
        (CELEBA[:-8], None, "list.txt:4: expected a photo and 4 numbers x_1 y_1 width height, got"),
        (CELEBA.replace("226", "wide"), None, "list.txt:3: expected a photo and 4 numbers"),
        (CELEBA.replace("101283", "000001"), None, "list.txt:4: expected each photo once, got '000001.jpg'"),
        (CELEBA, CELEBA, "landmarks.txt:2: expected the column names lefteye_x .*, got 'image_id"),
        (CELEBA, "2\n", "landmarks.txt:1: expected the column names lefteye_x .*, got 'the end'"),
        (CELEBA, CELEBA_POINTS.replace("101283", "000001"), "landmarks.txt:4: expected each photo once"),
    ],
)
def test_celeba_that_is_wrong(file: Any, boxes: str, landmarks: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_annotations(file(boxes), landmarks=landmarks and file(landmarks, "landmarks.txt"))


def test_celeba_landmarks_of_another_photo(file: Any) -> None:
    read = read_annotations(file(CELEBA), landmarks=file(CELEBA_POINTS.replace("101283", "9"), "landmarks.txt"))
    assert read.problems.counts == {BAD_BOX: 1, UNLISTED: 1}


# ---- csv


def test_own_csv(file: Any) -> None:
    read = read_annotations(file(OWN))
    assert paths(read) == ["a.jpg", "b, c.jpg", "none.jpg"]
    np.testing.assert_array_equal(read.photos[0].boxes, [[10, 20, 40, 60], [0, 0, 9, 9]])
    assert read.photos[0].has_landmarks.tolist() == [True, False]
    np.testing.assert_array_equal(read.photos[0].landmarks[0], POINTS_XY)
    assert [len(photo) for photo in read.photos] == [2, 1, 0]
    assert not read.problems


@pytest.mark.parametrize(
    "text",
    [
        f"{COLUMNS}\nmy photo.jpg,1,2,3,4\n",
        f"\ufeff{COLUMNS}\r\nmy photo.jpg,1,2,3,4\r\n\r\n,,,,\r\n",
        '"file","x1","y1","x2","y2"\n"my photo.jpg","1","2","3","4"',
        "x2, y2, x1, y1, file\n3, 4, 1, 2, my photo.jpg\n",
    ],
)
def test_own_csv_as_programs_write_it(file: Any, text: str) -> None:
    (only,) = read_annotations(file(text)).photos
    assert only.path == "my photo.jpg"
    np.testing.assert_array_equal(only.boxes, [[1, 2, 3, 4]])


def test_scores_of_faces_in_a_csv(file: Any) -> None:
    text = f"{COLUMNS},score\na.jpg,1,2,3,4,0.4\na.jpg,5,6,9,9,0.6\nb.jpg,1,2,3,4,\nc.jpg,,,,,\n"
    assert [photo.ignore.tolist() for photo in read_annotations(file(text)).photos] == [[False, False], [False], []]
    marked = read_annotations(file(text), min_score=0.5).photos
    assert [photo.ignore.tolist() for photo in marked] == [[True, False], [False], []]
    with pytest.raises(ConfigError, match="min_score needs a column score, which .*list.txt does not have"):
        read_annotations(file(f"{COLUMNS}\na.jpg,1,2,3,4\n"), min_score=0.5)
    with pytest.raises(DataError, match="list.txt:2: expected a score from 0 to 1, got 1.5"):
        read_annotations(file(f"{COLUMNS},score\na.jpg,1,2,3,4,1.5\n"))


def test_photos_without_faces(file: Any) -> None:
    photos = read_annotations(file("shop/a.webp\nshop\\my photo.JPG\n")).photos
    assert [photo.path for photo in photos] == ["shop/a.webp", "shop/my photo.JPG"]
    assert all(photo.boxes.shape == (0, 4) for photo in photos)
    with pytest.raises(DataError, match="list.txt:3: expected the path of a photo, got 'notes'"):
        read_annotations(file("a.webp\nb.webp\nnotes\n"))
    read = read_annotations(file("a.webp\nb.webp\n\na.webp\n"))
    assert [photo.path for photo in read.photos] == ["a.webp", "b.webp"]
    assert [text.split("/")[-1] for text in read.problems.found[REPEATED]] == ["list.txt:4: a.webp"]


def test_own_csv_without_rows(file: Any) -> None:
    assert read_annotations(file(COLUMNS)).photos == []


@pytest.mark.parametrize(
    "text, message",
    [
        (f"{COLUMNS}\na.jpg,1,2,3,x\n", r"list.txt:2: expected numbers, or nothing, for x1, y1, x2, y2, got 'a.jpg,1,2,3,x'"),
        (f"{COLUMNS}\na.jpg,1,2,3,\n", r"list.txt:2: expected numbers, or nothing, for x1"),
        (f"{COLUMNS}\n\na.jpg,1,2,3\n", r"list.txt:3: expected 5 cells, got 'a.jpg,1,2,3'"),
        (f"{COLUMNS}\n,1,2,3,4\n", r"list.txt:2: expected a file, got"),
        (f"{COLUMNS},lefteye_x\na.jpg,1,2,3,4,5\n", r"list.txt:1: expected the columns file,x1,y1,x2,y2 \[left_eye_x.*, got"),
        (f"{COLUMNS},left_eye_x\na.jpg,1,2,3,4,5\n", r"list.txt:1: expected the columns"),
        (f"{COLUMNS},x1\na.jpg,1,2,3,4,5\n", r"list.txt:1: expected the columns"),
        (
            f"{ALL_COLUMNS}\na.jpg,1,2,3,4,{POINTS[:-2]}\n",
            r"list.txt:2: expected numbers, or nothing, for left_eye_x",
        ),
        (f"{ALL_COLUMNS}\na.jpg,,,,,{POINTS}\n", r"list.txt:2: expected a box where there are landmarks, got"),
        (f"{ALL_COLUMNS}\na.jpg,1,2,3,4,,2,3,4,5,6,7,8,9,0\n", r"list.txt:2: expected numbers, or nothing, for left_eye_x"),
        (f'{COLUMNS}\n"{"x" * 200_000}",1,2,3,4', r"list.txt:2: expected csv: field larger"),
        ("file;x1;y1;x2;y2\na.jpg;1;2;3;4\n", r"list.txt:1: expected a list of format"),
    ],
)
def test_own_csv_that_is_wrong(file: Any, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_annotations(file(text))


names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\"), min_size=1).map(str.strip).filter(bool)


@given(st.lists(st.tuples(names, st.floats(-99, 99, width=32), st.floats(-99, 99, width=32)), max_size=5))
def test_own_csv_says_what_was_written(tmp_path_factory: pytest.TempPathFactory, faces: list[tuple[str, float, float]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS.split(","))
    writer.writerows([name, x, y, x + 64, y + 64] for name, x, y in faces)
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text(text.getvalue(), "utf-8")
    read = read_csv(path)
    assert paths(read) == list(dict.fromkeys(name for name, _, _ in faces))
    for found in read.photos:
        expected = [[x, y, x + 64, y + 64] for name, x, y in faces if name == found.path]
        np.testing.assert_allclose(found.boxes, expected)


# ---- problems


@pytest.mark.parametrize(
    "box, count",
    [
        ("1,2,3,4", 0), ("-5,-5,3,4", 0), ("1,2,1,4", 1), ("1,2,3,2", 1), ("3,2,1,4", 1), ("0,0,0,0", 1),
        ("nan,2,3,4", 1), ("1,2,inf,4", 1), ("1,2,1e39,4", 1),
    ],
)  # fmt: skip
def test_bad_boxes_are_counted_and_ignored(file: Any, box: str, count: int) -> None:
    read = read_annotations(file(f"{COLUMNS}\na.jpg,{box}\na.jpg,5,5,9,9\n"))
    assert read.problems.counts == ({BAD_BOX: 1} if count else {})
    assert read.photos[0].ignore.tolist() == [bool(count), False]
    assert np.isfinite(read.photos[0].boxes).all()


@pytest.mark.parametrize(
    "points, kind",
    [
        (POINTS, None),
        ("-4,30," + POINTS[6:], None),  # less than half a box to the left
        ("-6,30," + POINTS[6:], OUTSIDE),
        ("15,81," + POINTS[6:], OUTSIDE),
        ("nan,30," + POINTS[6:], BAD_LANDMARKS),
        ("15,-inf," + POINTS[6:], BAD_LANDMARKS),
        ("1e39,30," + POINTS[6:], BAD_LANDMARKS),
    ],
)
def test_bad_landmarks_are_counted_and_unknown(file: Any, points: str, kind: str | None) -> None:
    path = file(f"{ALL_COLUMNS}\na.jpg,10,20,40,60,{points}\nb.jpg,10,20,40,60,{POINTS}\n")
    read = read_annotations(path)
    assert read.problems.counts == ({kind: 1} if kind else {})
    assert [photo.has_landmarks.tolist() for photo in read.photos] == [[kind is None], [True]]
    assert np.isnan(read.photos[0].landmarks).all() == (kind is not None)
    assert not read.photos[0].ignore.any()
    assert f"{path}:2: " in read.problems.summary() or kind is None


def test_summary() -> None:
    problems = Problems()
    assert problems.summary() == "" and len(problems) == 0
    for line in range(1, 6):
        problems.add("odd names", Place("a.txt", line), "x")
    problems.add("others", Place("b.txt", 7), "y")
    assert problems.summary(2) == "5 odd names\n  a.txt:1: x\n  a.txt:2: x\n  and 3 more\n1 others\n  b.txt:7: y"
    assert len(problems) == 6


# ---- any list


@pytest.mark.parametrize(
    "text, expected", [(WIDER, "wider"), ("a.jpg\n1\n1 2 3 4", "wider"), (LIST, "points"), (CELEBA, "celeba"), (OWN, "csv")]
)
def test_formats_are_told_apart(file: Any, text: str, expected: Any) -> None:
    path = file(text)
    by_itself, by_name = read_annotations(path), read_annotations(path, expected)
    assert paths(by_itself) == paths(by_name)
    for other in {"wider", "points", "celeba", "csv"} - {expected}:
        with pytest.raises(DataError, match=r"list\.txt:\d"):
            read_annotations(path, other)


@pytest.mark.parametrize("text", ["hello\nworld\n", "1 2 3\n", "a.jpg 1 2 3 4\n", "{}", "a" * 10**6, b"\xff\xd8\xff\xe0 JFIF"])
def test_what_is_no_list(file: Any, text: str | bytes) -> None:
    with pytest.raises(DataError, match=r"list.txt:1: expected a list of format wider, points, celeba, csv or photos, got"):
        read_annotations(file(text))


@pytest.mark.parametrize(
    "text, options, message",
    [
        (WIDER, dict(format="yolo"), "format must be one of auto, wider, points, celeba, csv, photos, not 'yolo'"),
        (WIDER, dict(min_score=1.5), "min_score must be from 0 to 1, not 1.5"),
        (WIDER, dict(min_score=float("nan")), "min_score"),
        (WIDER, dict(min_score=0.5), "min_score is for the landmarks of a list of format wider"),
        (CELEBA, dict(min_score=0.5, landmarks="x"), "min_score is for"),
        (OWN, dict(landmarks="x"), "landmarks is for lists of format wider and celeba, but .*list.txt is of format csv"),
        (LIST, dict(landmarks="x", format="points"), "landmarks is for lists"),
        (FOUND, {}, "list.txt is a list of landmarks: give it as landmarks"),
        (CELEBA_POINTS, {}, "list.txt is a list of landmarks: give it as landmarks"),
    ],
)
def test_options_that_do_not_fit(file: Any, text: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_annotations(file(text), **options)


@pytest.mark.parametrize("format", ["auto", "wider", "points", "celeba", "csv"])
@pytest.mark.parametrize("name", ["missing.txt", "", "zero\0byte"])
def test_files_that_cannot_be_read(tmp_path: Path, format: Any, name: str) -> None:
    with pytest.raises(DataError, match="does not exist|cannot be read"):
        read_annotations(f"{tmp_path}/{name}", format)


@pytest.mark.parametrize("format", ["wider", "csv"])
def test_names_in_another_encoding_still_name_their_files(file: Any, tmp_path: Path, format: Any) -> None:
    name = b"caf\xe9.jpg"  # Latin-1
    text = name + b"\n1\n1 2 3 4\n" if format == "wider" else b"file,x1,y1,x2,y2\n" + name + b",1,2,3,4\n"
    (only,) = read_annotations(file(text), format).photos
    assert only.path.encode("utf-8", "surrogateescape") == name
    with pytest.raises(DataError) as caught:
        read_annotations(file(text.replace(b"4\n", b"\xe9\n")), format)
    str(caught.value).encode("utf-8")  # can be printed


@given(
    st.lists(
        st.sampled_from(["a.jpg", "0", "1", "2", " ", "\n", "\n", ",", "x_1 y_1 width height", COLUMNS, "file", '"', "-1e39"])
    ),
    st.sampled_from(["auto", "wider", "points", "celeba", "csv"]),
)
def test_any_text_is_a_list_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], format: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_text("".join(pieces))
    try:
        read = read_annotations(path, format)
    except (DataError, ConfigError) as error:
        assert str(path) in str(error)
    else:
        names = [photo.path for photo in read.photos]
        assert len(set(names)) == len(names) and all(names)
        assert all(np.isfinite(photo.boxes).all() for photo in read.photos)


@pytest.mark.parametrize(
    "text", ['"', '""\n,,\n', ",,,,\n", f'{COLUMNS}\na.jpg,1,2,3,4\n"b.jpg,1,2,3,4\n', f'{COLUMNS}\n"a"b.jpg,1,2,3,4\n']
)
def test_a_csv_without_a_header_or_with_a_lone_quote_is_refused(file: Any, text: str) -> None:
    with pytest.raises(DataError, match="expected the columns|expected csv"):
        read_annotations(file(text), "csv")


def test_photo_checks_its_arrays() -> None:
    with pytest.raises(ValueError, match=r"landmarks of a.jpg must have shape \(1, 5, 2\), got \(1, 10\)"):
        Photo("a.jpg", np.zeros((1, 4)), np.zeros(1), np.zeros((1, 10)), np.zeros(1))


# ---- the real lists


@pytest.mark.parametrize(
    "split, photos, faces, bad, with_landmarks", [("train", 2801, 58594, 12, 21058), ("dev", 247, 4202, 0, 1677)]
)
def test_real_wider(data: Path, split: str, photos: int, faces: int, bad: int, with_landmarks: int) -> None:
    folder = data / "wider_train"
    read = read_annotations(
        folder / f"wider_face_{split}_bbx_gt.txt", landmarks=folder / f"wider_face_{split}_landmarks_auto.csv"
    )
    assert len(read.photos) == photos and sum(map(len, read.photos)) == faces
    assert read.problems.counts == ({BAD_BOX: bad} if bad else {})
    assert sum(int(photo.has_landmarks.sum()) for photo in read.photos) == with_landmarks
    assert all((folder / "images" / photo.path).is_file() for photo in read.photos)


@pytest.mark.parametrize("split, faces", [("train", 12838), ("dev", 500)])
def test_real_points(data: Path, split: str, faces: int) -> None:
    read = read_annotations(data / f"landmarks/{split}ImageList.txt")
    assert len(read.photos) == sum(map(len, read.photos)) == faces
    assert all(photo.has_landmarks.all() for photo in read.photos) and not read.problems
    assert all((data / "landmarks" / photo.path).is_file() for photo in read.photos)


@pytest.mark.parametrize("other", ["./a.png", "x/../a.png", ".\\a.png"])
def test_a_photo_under_two_names_is_refused(tmp_path: Path, other: str) -> None:
    """Crops without a face would be cut out of the faces that the other name has."""
    (tmp_path / "faces.csv").write_text(f"file,x1,y1,x2,y2\na.png,1,2,30,40\n{other},50,60,80,90\n")
    with pytest.raises(DataError, match="are the same photo and would count twice: use one name"):
        read_annotations(tmp_path / "faces.csv")
