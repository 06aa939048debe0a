"""Result files of three formats: what they say, what is wrong with them, and that writing is undone by reading."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.evaluation.result_files import read_results, to_row, write_results
from mtcnn_gluon.evaluation.results import (
    CUT_OFF,
    MALFORMED,
    NEGATIVE,
    NO_POINTS,
    NOT_FINITE,
    REPEATED,
    SURPLUS,
    UNKNOWN,
    UNREAD,
    Detections,
    PhotoNames,
    Results,
    ellipse_boxes,
    results_of_rows,
)

NAMES = ("0--Parade/a.jpg", "0--Parade/b.jpg", "1--Dance/c")


def rows(results: Results, name: str) -> list[list[float]]:
    found = results.photos[name]
    return np.column_stack([found.boxes, found.scores]).tolist()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# ---- names


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("0--Parade/a.jpg", "0--Parade/a.jpg"),
        ("0--Parade/a", "0--Parade/a.jpg"),
        ("0--Parade/a.webp", "0--Parade/a.jpg"),
        ("/data/runs/0--Parade/a.PNG", "0--Parade/a.jpg"),
        ("runs\\0--Parade\\a.jpg", "0--Parade/a.jpg"),
        ("1--Dance/c.jpg", "1--Dance/c"),
        ("a.jpg", None),
        ("1--Dance/a.jpg", None),
        ("0--Parade/a.txt", None),
        ("", None),
    ],
)
def test_names(path: str, name: str | None) -> None:
    assert PhotoNames(NAMES).find(path) == name


def test_names_that_differ_in_their_ending_only() -> None:
    names = PhotoNames(["a.jpg", "a.png", "x/a.jpg"])
    assert names.find("runs/a.png") == "a.png" and names.find("a.jpg") == "a.jpg"
    assert names.find("a.webp") is None and names.find("x/a.webp") == "x/a.jpg"
    assert names.find("runs/x/a.jpg") == "x/a.jpg"  # the longest part goes first


# ---- WIDER FACE's text


def test_wider_folder(tmp_path: Path) -> None:
    write(tmp_path / "0--Parade/a.txt", "a\n2\n10 20 30 40 0.9\n1.5 2.5 3 4 0.25\n")
    write(tmp_path / "0--Parade/b.txt", "0--Parade/b.jpg\n0\n")
    write(tmp_path / "1--Dance/c.txt", "c\n1\n1e1 2 3 4 5 6 7 8\n\n")  # what follows five numbers is not used
    write(tmp_path / "1--Dance/notes.md", "nothing")
    results = read_results(tmp_path, NAMES)
    assert rows(results, "0--Parade/a.jpg") == [[10, 20, 40, 60, 0.9], [1.5, 2.5, 4.5, 6.5, 0.25]]
    assert rows(results, "0--Parade/b.jpg") == []
    assert rows(results, "1--Dance/c") == [[10, 2, 13, 6, 5]]
    assert not results.problems and not results.unusable and results.name == tmp_path.name


def test_wider_problems(tmp_path: Path) -> None:
    lines = [
        "1 2 3 4 0.5",
        "1 2 3 4 nan",
        "1 2 inf 4 0.5",
        "1 2 -3 4 0.5",
        "1 2 3 -0.001 0.5",
        "1 2 3",
        "1 2 3 x 0.5",
        "0 0 0 0 1",
    ]
    write(tmp_path / "0--Parade/a.txt", "a\n8\n" + "\n".join(lines) + "\n5 5 5 5 0.5\n")
    write(tmp_path / "0--Parade/b.txt", "b\n3\n1 2 3 4 0.5\n")
    write(tmp_path / "1--Dance/c.txt", "c\nmany\n")
    write(tmp_path / "1--Dance/d.txt", "d\n0\n")
    write(tmp_path / "x/0--Parade/a.txt", "a\n0\n")
    results = read_results(tmp_path, NAMES)
    assert rows(results, "0--Parade/a.jpg") == [[1, 2, 4, 6, 0.5], [0, 0, 0, 0, 1]]
    assert set(results.photos) == {"0--Parade/a.jpg"} and results.unusable == {"0--Parade/b.jpg", "1--Dance/c"}
    assert results.problems.counts == {
        SURPLUS: 1, MALFORMED: 2, NOT_FINITE: 2, NEGATIVE: 2, CUT_OFF: 2, UNKNOWN: 1, REPEATED: 1,
    }  # fmt: skip
    folder = tmp_path / "0--Parade"
    assert results.problems.found[NOT_FINITE][0] == f"{folder}/a.txt:4: 1 2 3 4 nan"
    assert results.problems.found[MALFORMED][0] == f"{folder}/a.txt:8: expected 5 numbers, got '1 2 3'"
    assert results.problems.found[SURPLUS] == [f"{folder}/a.txt:11: 5 5 5 5 0.5"]
    assert results.problems.found[CUT_OFF][0] == f"{folder}/b.txt:2: expected 3 faces, got 1 lines"
    assert "c.txt:2: expected the number of faces, got 'many'" in results.problems.found[CUT_OFF][1]


# ---- FDDB's text


def test_fddb_boxes_and_folders(tmp_path: Path) -> None:
    one = write(tmp_path / "out/fold-01-out.txt", "0--Parade/a\n1\n10 20 30 40 0.9\n")
    write(tmp_path / "out/fold-02-out.txt", "0--Parade/b\n0\n1--Dance/c\n2\n1 2 3 4 -1.5\n1 2 3 4 5\n")
    for path, names in ((tmp_path / "out", set(NAMES)), (one, set(NAMES[:1]))):
        results = read_results(path, NAMES)
        assert set(results.photos) == names and not results.problems
        assert results.photos["0--Parade/a.jpg"].ellipses is None
        assert rows(results, "0--Parade/a.jpg") == [[10, 20, 40, 60, 0.9]]


def test_fddb_ellipses(tmp_path: Path) -> None:
    path = write(
        tmp_path / "out.txt", "0--Parade/b\n0\n0--Parade/a\n2\n40 30 0 100 50 0.9\n40 30 1.5707963267948966 100 50 0.8\n"
    )
    found = read_results(path, NAMES).photos["0--Parade/a.jpg"]
    assert found.ellipses is not None
    np.testing.assert_allclose(found.ellipses[0], [40, 30, 0, 100, 50])
    np.testing.assert_allclose(found.boxes, [[60, 20, 140, 80], [70, 10, 130, 90]])


def test_ellipse_boxes_hold_the_ellipse() -> None:
    rng = np.random.default_rng(0)
    ellipses = np.column_stack([rng.uniform(1, 50, (20, 2)), rng.uniform(-4, 4, 20), rng.uniform(0, 99, (20, 2))])
    turn = np.linspace(0, 2 * math.pi, 4001)
    for (a, b, angle, x, y), box in zip(ellipses, ellipse_boxes(ellipses)):
        u, v = a * np.cos(turn), b * np.sin(turn)
        edge = [x + u * np.cos(angle) - v * np.sin(angle), y + u * np.sin(angle) + v * np.cos(angle)]
        np.testing.assert_allclose(box, [edge[0].min(), edge[1].min(), edge[0].max(), edge[1].max()], atol=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n", r"out.txt:2: expected the number of faces of a, got the end of the file"),
        ("a\nx\n", r"out.txt:2: expected the number of faces of a, got 'x'"),
        ("a\n2\n1 2 3 4 5\n", r"out.txt:1: expected a line for each of 2 faces of a, got 1 until the end of the file"),
        ("a\n1\n1 2 3 4 5\n1 2 3 4 5\n", r"out.txt:5: expected the number of faces of 1 2 3 4 5, got the end"),
        ("a\n1\0", r"out.txt: expected text"),
    ],
)
def test_fddb_text_that_cannot_be_followed(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_results(write(tmp_path / "out.txt", text), NAMES)


def test_fddb_problems(tmp_path: Path) -> None:
    text = "0--Parade/a\n4\n1 2 3 4 0.5\n1 2 3 4 5 6\n1 2 -3 4 0.5\n1 2 3 4 nan\nelse/a\n0\n0--Parade/a\n0\n"
    results = read_results(write(tmp_path / "out.txt", text), NAMES)
    assert rows(results, "0--Parade/a.jpg") == [[1, 2, 4, 6, 0.5]]
    assert results.problems.counts == {MALFORMED: 1, NEGATIVE: 1, NOT_FINITE: 1, UNKNOWN: 1, REPEATED: 1}


# ---- JSON Lines

FACE = {"box": [1, 2, 4, 6], "score": 0.5, "landmarks": {name: [i, i + 1] for i, name in enumerate(LANDMARK_NAMES)}}


def jsonl(path: Path, *objects: Any) -> Path:
    return write(path, "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in objects))


def test_jsonl(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "found.jsonl",
        {"image": "x/0--Parade/a.jpg", "width": 640, "height": 480, "faces": [FACE, {"box": [0, 0, 1, 1], "score": 2}]},
        {"image": "0--Parade/b.jpg", "faces": []},
    )
    results = read_results(path, NAMES)
    first, second = results.photos["0--Parade/a.jpg"], results.photos["0--Parade/b.jpg"]
    assert rows(results, "0--Parade/a.jpg") == [[1, 2, 4, 6, 0.5], [0, 0, 1, 1, 2]] and first.size == (640, 480)
    np.testing.assert_array_equal(first.landmarks[0], [[i, i + 1] for i in range(5)])
    assert np.isnan(first.landmarks[1]).all()
    assert len(second) == 0 and second.landmarks.shape == (0, 5, 2) and second.size is None
    assert not results.problems and results.name == "found"


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ('{"image": "0--Parade/a.jpg", "faces": [', MALFORMED),
        ("[]", MALFORMED),
        ("null", MALFORMED),
        ("{}", MALFORMED),
        ("[" * 100_000, MALFORMED),
        ({"image": 3, "faces": []}, MALFORMED),
        ({"image": "0--Parade/a.jpg", "faces": {}}, MALFORMED),
        ({"image": "0--Parade/a.jpg", "frame": 0, "faces": []}, MALFORMED),
        ({"image": "elsewhere/a.jpg", "faces": []}, UNKNOWN),
        ({"image": "0--Parade/b.jpg", "faces": []}, REPEATED),
        ({"image": "0--Parade/a.jpg", "faces": [], "error": "damaged"}, UNREAD),
    ],
)
def test_jsonl_lines_that_cannot_be_used(tmp_path: Path, row: Any, kind: str) -> None:
    results = read_results(jsonl(tmp_path / "x.jsonl", {"image": "0--Parade/b.jpg", "faces": []}, row), NAMES)
    assert set(results.photos) == {"0--Parade/b.jpg"} and results.problems.counts == {kind: 1}
    assert results.unusable == ({"0--Parade/a.jpg"} if kind == UNREAD else set())
    assert results.problems.found[kind][0].startswith(f"{tmp_path}/x.jsonl:2: ")


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"box": [1, 2, 3]}, MALFORMED),
        ({"box": "1 2 3 4"}, MALFORMED),
        ({"box": [1, 2, 3, "4"]}, MALFORMED),
        ({"box": [1, 2, 3, True]}, MALFORMED),
        ({"score": None}, MALFORMED),
        ({"score": 10**400}, MALFORMED),
        ({"score": math.nan}, NOT_FINITE),
        ({"score": -math.inf}, NOT_FINITE),
        ({"box": [1, 2, math.inf, 4]}, NOT_FINITE),
        ({"box": [-1e308, 2, 1e308, 4]}, NOT_FINITE),
        ({"box": [5, 2, 3, 4]}, NEGATIVE),
        ({"box": [1, 5, 3, 4]}, NEGATIVE),
    ],
)
def test_faces_that_cannot_be_used(tmp_path: Path, change: dict[str, Any], kind: str) -> None:
    path = jsonl(tmp_path / "x.jsonl", {"image": "0--Parade/a.jpg", "faces": [{**FACE, **change}, FACE]})
    results = read_results(path, NAMES)
    assert rows(results, "0--Parade/a.jpg") == [[1, 2, 4, 6, 0.5]] and results.problems.counts == {kind: 1}


@pytest.mark.parametrize(
    "landmarks", [[], {"left_eye": [1, 2]}, {**FACE["landmarks"], "nose": [1, math.nan]}, {**FACE["landmarks"], "nose": 3}]
)  # type: ignore[dict-item]
def test_malformed_landmarks_are_unknown(tmp_path: Path, landmarks: Any) -> None:
    path = jsonl(tmp_path / "x.jsonl", {"image": "0--Parade/a.jpg", "faces": [{**FACE, "landmarks": landmarks}]})
    results = read_results(path, NAMES)
    assert np.isnan(results.photos["0--Parade/a.jpg"].landmarks).all() and results.problems.counts == {NO_POINTS: 1}


@pytest.mark.parametrize("size", [(0, 5), (None, 5), ("4", "5"), (math.nan, 5), (1e300, 5)])
def test_sizes_that_are_none(tmp_path: Path, size: tuple[Any, Any]) -> None:
    path = jsonl(tmp_path / "x.jsonl", {"image": "0--Parade/a.jpg", "width": size[0], "height": size[1], "faces": []})
    assert read_results(path, NAMES).photos["0--Parade/a.jpg"].size is None


words = st.sampled_from(
    ["0--Parade/a", "1", "2", "1 2 3 4 0.5", "1 2 3 4 5 6", "x", "", "-1", "nan nan nan nan nan", "{}", "\ud800"]
)
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.sampled_from(["0--Parade/a.jpg", "x"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["image", "faces", "box", "score"]), inner),
    max_leaves=12,
)
face_like = st.fixed_dictionaries({"box": st.lists(values, max_size=5), "score": values}, optional={"landmarks": values})
row_like = st.fixed_dictionaries({"image": st.just("0--Parade/a.jpg"), "faces": st.lists(face_like | values, max_size=3)})


@given(st.lists(words, max_size=12) | st.lists((row_like | values).map(json.dumps), max_size=3))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    """Whatever is read is finite and not negative; whatever cannot be read is a `DataError`."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "wider/0--Parade").mkdir(parents=True)
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    for path, format in (("wider/0--Parade/a.txt", "wider"), ("a.txt", "fddb"), ("a.jsonl", "jsonl")):
        (folder / path).write_bytes(text)
        try:
            results = read_results(folder / ("wider" if format == "wider" else path), NAMES, format)  # type: ignore[arg-type]
        except DataError:
            continue
        for found in results.photos.values():
            assert np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()
            assert (found.boxes[:, 2:] >= found.boxes[:, :2]).all()


# ---- telling formats, and files that are none


def test_formats_are_told(tmp_path: Path) -> None:
    write(tmp_path / "wider/0--Parade/a.txt", "a\n0\n")
    write(tmp_path / "fddb/out.txt", "0--Parade/a\n0\n")
    write(tmp_path / "plain.txt", "0--Parade/a\n0\n")
    write(tmp_path / "json.txt", '\n{"image": "0--Parade/a", "faces": []}\n')
    for path, kind in (("wider", "wider"), ("fddb", "fddb"), ("plain.txt", "fddb"), ("json.txt", "jsonl")):
        results = read_results(tmp_path / path, NAMES)
        assert set(results.photos) == {"0--Parade/a.jpg"} and results.about["format"] == kind


def test_flat_folders_are_told_by_what_their_texts_are_called(tmp_path: Path) -> None:
    """WIDER FACE's texts may have further numbers on a line, which FDDB's reader would take for ellipses."""
    for photo in "ab":
        write(tmp_path / f"flat/{photo}.txt", f"{photo}.jpg\n1\n10 20 30 40 0.9 0\n")
        write(tmp_path / f"folds/fold-0{photo}.txt", f"{photo}\n1\n10 20 0.5 40 0.9 0.8\n")
    flat, folds = (read_results(tmp_path / name, ["a.jpg", "b.jpg"]) for name in ("flat", "folds"))
    assert flat.about["format"] == "wider" and rows(flat, "a.jpg") == rows(flat, "b.jpg") == [[10, 20, 40, 60, 0.9]]
    assert folds.about["format"] == "fddb" and folds.photos["a.jpg"].ellipses is not None


def test_ellipses_have_angles_in_radians(tmp_path: Path) -> None:
    """Six numbers may also be a box with a class, or have degrees: not a word would be said of wrong regions."""
    text = "0--Parade/a\n3\n10 20 30 40 0.9 1\n30 20 90 40 50 0.8\n30 20 -1.57 40 50 0.7\n"
    results = read_results(write(tmp_path / "out.txt", text), NAMES)
    assert results.photos["0--Parade/a.jpg"].scores.tolist() == [0.7] and results.problems.counts == {MALFORMED: 2}
    assert "expected 6 numbers, the third an angle in radians, got '10 20 30" in results.problems.found[MALFORMED][0]


def test_photos_that_are_not_wanted_are_passed_over(tmp_path: Path) -> None:
    """They are not unknown, are not read closely, and are not taken for others whose name is a part of theirs."""
    texts = [{"image": "x/a.jpg", "faces": [{}]}, {"image": "x/a.jpg", "faces": []}, {"image": "y/a.jpg", "faces": []}]
    results = read_results(jsonl(tmp_path / "r.jsonl", *texts), ["a.jpg"], others=["a.jpg", "x/a.jpg"])
    assert list(results.photos) == ["a.jpg"] and not results.problems
    assert read_results(tmp_path / "r.jsonl", ["a.jpg"]).problems.counts == {MALFORMED: 1, REPEATED: 2}
    own = results_of_rows(texts, ["a.jpg", "y/a.jpg"], "mine", {})
    assert list(own.photos) == ["y/a.jpg"] and not own.problems


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no results"):
        read_results(tmp_path / "empty", NAMES)
    with pytest.raises(DataError, match=r"nowhere.txt does not exist"):
        read_results(tmp_path / "nowhere.txt", NAMES)
    with pytest.raises(DataError, match="is not a folder of EVENT/PHOTO.txt"):
        read_results(tmp_path / "x.txt", NAMES, "wider")
    with pytest.raises(ConfigError, match="format must be auto, jsonl, wider or fddb, not 'xml'"):
        read_results(tmp_path, NAMES, "xml")  # type: ignore[arg-type]


def test_detections_check_their_shapes() -> None:
    with pytest.raises(ValueError, match=r"boxes must have shape \(2, 4\), got \(1, 4\)"):
        Detections(np.zeros((1, 4)), np.zeros(2), np.zeros((2, 5, 2)))
    with pytest.raises(ValueError, match="ellipses must have shape"):
        Detections(np.zeros((1, 4)), np.zeros(1), np.zeros((1, 5, 2)), np.zeros((1, 4)))


# ---- writing

numbers = st.floats(-1e4, 1e4, width=32)
a_face = st.tuples(numbers, numbers, st.floats(0, 1e4, width=32), st.floats(0, 1e4, width=32), st.floats(0, 1, width=32))


@given(st.lists(st.lists(a_face, max_size=4), min_size=3, max_size=3), st.sampled_from(["jsonl", "wider", "fddb"]))
@settings(max_examples=40, deadline=None)
def test_reading_undoes_writing(
    tmp_path_factory: pytest.TempPathFactory, faces: list[list[tuple[float, ...]]], format: Any
) -> None:
    path = tmp_path_factory.mktemp("written") / "results"
    photos = {}
    for name, each in zip(NAMES, faces):
        array = np.array(each, np.float64).reshape(-1, 5)
        array = array[np.argsort(-array[:, 4], kind="stable")]
        photos[name] = Detections.of_boxes(np.hstack([array[:, :2], array[:, :2] + array[:, 2:4]]), array[:, 4])
    write_results(path, Results("mine", photos), format, NAMES)
    read = read_results(path, NAMES, format)
    assert not read.problems
    for name, found in photos.items():
        np.testing.assert_allclose(read.photos[name].boxes, found.boxes, rtol=1e-7, atol=1e-4)
        np.testing.assert_array_equal(read.photos[name].scores.astype(np.float32), found.scores.astype(np.float32))


def test_what_is_written(tmp_path: Path) -> None:
    results = Results("mine", {NAMES[0]: Detections.of_boxes([[1, 2, 4, 6], [1, 2, 5, 8]], [0.25, 0.75])})
    write_results(tmp_path / "wider", results, "wider", NAMES)
    assert (tmp_path / "wider/0--Parade/a.txt").read_text() == "a\n2\n1 2 4 6 0.75\n1 2 3 4 0.25\n"
    assert [path.name for path in (tmp_path / "wider").rglob("*.txt")] == ["a.txt"]
    write_results(tmp_path / "fddb.txt", results, "fddb", NAMES)
    expected = "0--Parade/a\n2\n1 2 4 6 0.75\n1 2 3 4 0.25\n0--Parade/b\n0\n1--Dance/c\n0\n"
    assert (tmp_path / "fddb.txt").read_text() == expected
    ellipses = Detections(np.zeros((1, 4)), np.ones(1), np.full((1, 5, 2), np.nan), np.array([[4.0, 3, 0.5, 9, 8]]))
    write_results(tmp_path / "e.txt", Results("mine", {"a": ellipses}), "fddb", ["a"])
    assert (tmp_path / "e.txt").read_text() == "a\n1\n4 3 0.5 9 8 1\n"
    with pytest.raises(ConfigError, match="format must be jsonl, wider or fddb"):
        write_results(tmp_path / "x", results, "xml", NAMES)  # type: ignore[arg-type]


def test_writing_does_not_mix_photos_up(tmp_path: Path) -> None:
    """Two photos that would share a text, one outside the folder, and what an earlier run found where nothing is now."""
    one = Detections.of_boxes([[1, 2, 4, 6]], [0.5])

    def write_as(format: Any, *names: str) -> None:
        write_results(tmp_path / "out", Results("mine", dict.fromkeys(names, one)), format, names)

    for names in (("a.jpg", "a.png"), ("x/a.jpg", "x/A.jpg")):
        with pytest.raises(DataError, match=f"{names[0]} and {names[1]} would become one photo"):
            write_as("wider", *names)
    with pytest.raises(DataError, match="a.jpg and a.png would become one"):
        write_as("fddb", "a.jpg", "a.png")
    for name in (f"{tmp_path}/photos/a.jpg", "../a.jpg", "x/../../a.jpg"):
        with pytest.raises(DataError, match="expected a path below the folder of all photos"):
            write_as("wider", name)
    assert not list(tmp_path.rglob("*.txt"))
    write_as("wider", "x/a.jpg", "x/b.jpg")
    write_results(tmp_path / "out", Results("mine", {"x/b.jpg": one}), "wider", ["x/a.jpg", "x/b.jpg"])
    assert [path.name for path in tmp_path.rglob("*.txt")] == ["b.txt"]


def test_a_row_keeps_landmarks() -> None:
    row = {"image": "a", "width": 3, "height": 4, "faces": [FACE]}
    found = Detections([[1, 2, 4, 6]], [0.5], [[[i, i + 1] for i in range(5)]], None, (3, 4))  # type: ignore[arg-type]
    assert to_row("a", found) == row
