"""Faces: its arrays, its dictionaries, aligned and cut faces, and pictures of them."""

import json
import sys
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon import Faces
from mtcnn_gluon.boxes import area, intersection
from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.detection.draw import BOX_COLOUR, POINT_COLOURS, draw_faces
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.faces import ARCFACE_TEMPLATE, similarity


def some_faces(n: int, seed: int = 0) -> Faces:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 100, (n, 2))
    boxes = np.hstack([corners, corners + rng.uniform(1, 50, (n, 2))])
    return Faces(boxes, np.sort(rng.random(n))[::-1], rng.uniform(0, 150, (n, 5, 2)))


def same(faces: Faces, boxes: np.ndarray, scores: np.ndarray, landmarks: np.ndarray) -> bool:
    pairs = ((faces.boxes, boxes), (faces.scores, scores), (faces.landmarks, landmarks))
    return all(mine.dtype == np.float32 and np.array_equal(mine, other) for mine, other in pairs)


# ---- arrays


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8])
def test_valid_arrays_become_float32(n: int, dtype: type) -> None:
    arrays = [(np.arange(np.prod(shape)) % 50).reshape(shape).astype(dtype) for shape in ((n, 4), (n,), (n, 5, 2))]
    faces = Faces(*arrays)
    assert len(faces) == n
    assert same(faces, *arrays)
    assert n == 0 or same(Faces(*(array.tolist() for array in arrays)), *arrays)


@pytest.mark.parametrize(
    "boxes, scores, landmarks, wrong",
    [
        ((3, 4), (2,), (2, 5, 2), "boxes"), ((2, 4), (3,), (3, 5, 2), "boxes"), ((2, 5), (2,), (2, 5, 2), "boxes"),
        ((8,), (2,), (2, 5, 2), "boxes"), ((4,), (1,), (1, 5, 2), "boxes"), ((0,), (0,), (0, 5, 2), "boxes"),
        ((1, 2, 4), (2,), (2, 5, 2), "boxes"), ((2, 4), (2, 1), (2, 5, 2), "scores"), ((2, 4), (2, 2), (2, 5, 2), "scores"),
        ((2, 4), (2,), (3, 5, 2), "landmarks"), ((2, 4), (2,), (2, 10), "landmarks"), ((2, 4), (2,), (2, 5), "landmarks"),
        ((2, 4), (2,), (2, 2, 5), "landmarks"), ((2, 4), (2,), (2, 68, 2), "landmarks"),
        ((2, 4), (2,), (2, 5, 3), "landmarks"), ((0, 4), (0,), (0, 10), "landmarks"), ((0, 4), (0,), (1, 5, 2), "landmarks"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(boxes: tuple, scores: tuple, landmarks: tuple, wrong: str) -> None:
    with pytest.raises(ValueError, match=rf"{wrong} must have shape .*, got ") as caught:
        Faces(np.zeros(boxes), np.zeros(scores), np.zeros(landmarks))
    assert str({"boxes": boxes, "scores": scores, "landmarks": landmarks}[wrong]) in str(caught.value)


def test_empty() -> None:
    faces = Faces.empty()
    assert len(faces) == 0 and not faces and list(faces) == [] and faces.to_dicts() == []
    assert same(faces, np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)))
    assert faces.align(np.zeros((9, 9, 3), np.uint8)).shape == (0, 112, 112, 3)
    assert faces.align(np.zeros((9, 9, 3), np.uint8), 7).dtype == np.uint8
    assert faces.crops(np.zeros((9, 9, 3), np.uint8)) == []
    assert len(faces[:]) == len(faces[np.zeros(0, bool)]) == len(faces[[]]) == 0


def test_fields_cannot_be_replaced() -> None:
    with pytest.raises(AttributeError):
        some_faces(2).boxes = np.zeros((2, 4))  # type: ignore[misc]


@pytest.mark.parametrize(
    "index",
    [
        slice(None), slice(0, 2), slice(2, 2), slice(None, None, -1), slice(-2, None), slice(1, 100), slice(None, None, 2),
        [0, 3], [3, 0, 3], [-1], [], np.array([4, 1]), np.array([], int), np.zeros(5, bool), np.ones(5, bool),
        np.array([True, False, False, True, False]), [False, True, False, False, True], np.arange(5) > 2,
    ],
    ids=str,
)  # fmt: skip
def test_index_by_slice_mask_and_array(index: Any) -> None:
    faces = some_faces(5)
    assert same(faces[index], faces.boxes[index], faces.scores[index], faces.landmarks[index])


@pytest.mark.parametrize("index", [0, 4, -1, -5, np.int64(2), np.int32(-2), np.uint8(3)], ids=repr)
def test_index_by_number_gives_one_face(index: Any) -> None:
    faces = some_faces(5)
    row = int(index) % 5
    assert same(faces[index], faces.boxes[[row]], faces.scores[[row]], faces.landmarks[[row]])


@pytest.mark.parametrize("n, index", [(0, 0), (0, -1), (5, 5), (5, -6), (5, 10**20), (5, [5]), (5, np.ones(4, bool))])
def test_index_out_of_range(n: int, index: Any) -> None:
    with pytest.raises(IndexError):
        some_faces(n)[index]


@pytest.mark.parametrize("n", [0, 1, 5])
def test_iteration(n: int) -> None:
    faces = some_faces(n)
    assert [face.scores.tolist() for face in faces] == [[score] for score in faces.scores.tolist()]
    assert all(same(face, faces.boxes[i : i + 1], faces.scores[i : i + 1], faces.landmarks[i : i + 1])
               for i, face in enumerate(faces))  # fmt: skip
    assert len(list(faces)) == len(list(faces)) == n  # again from the start


# ---- dictionaries


@pytest.mark.parametrize("n", [0, 1, 3])
def test_to_dicts(n: int) -> None:
    faces = some_faces(n)
    rows = json.loads(json.dumps(faces.to_dicts(), allow_nan=False))
    assert rows == faces.to_dicts()
    assert len(rows) == n
    for row, box, score, points in zip(rows, faces.boxes, faces.scores, faces.landmarks):
        assert list(row) == ["box", "score", "landmarks"]
        assert tuple(row["landmarks"]) == LANDMARK_NAMES == ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
        assert np.abs(np.array(row["box"]) - box).max() <= 0.0051
        assert np.abs(np.array([*row["landmarks"].values()]) - points).max() <= 0.0051
        assert abs(row["score"] - score) <= 1e-6


def test_to_dicts_of_border_values() -> None:
    faces = Faces([[0, 0, 65535.5, 1e-3]], [1], [[[-12.345, 1e6], [0, 0], [1 / 3, 2 / 3], [5, 5], [5, 5]]])
    row = faces.to_dicts()[0]
    assert row["box"] == [0, 0, 65535.5, 0] and row["score"] == 1
    assert row["landmarks"]["left_eye"][1] == 1e6 and row["landmarks"]["nose"] == [0.33, 0.67]


def test_to_dicts_with_nine_digits_lose_nothing() -> None:
    faces = some_faces(3)[1:]
    for row, box, score, points in zip(faces.to_dicts(9), faces.boxes, faces.scores, faces.landmarks):
        np.testing.assert_array_equal(np.float32(row["box"]), box)
        np.testing.assert_array_equal(np.float32([*row["landmarks"].values()]), points)
        assert np.float32(row["score"]) == score
    assert Faces(faces.boxes, faces.scores, None).to_dicts(9)[0]["landmarks"] is None


@pytest.mark.parametrize("n", [0, 1, 3, 1000])
@pytest.mark.parametrize("has_landmarks", [True, False])
def test_from_dicts_undoes_to_dicts(n: int, has_landmarks: bool) -> None:
    faces = some_faces(n)
    faces = faces if has_landmarks else Faces(faces.boxes, faces.scores, None)
    text = json.dumps({"image": "a.jpg", "width": 9, "height": 9, "faces": faces.to_dicts(9)})  # a line of `detect --json`
    for given in (faces.to_dicts(9), json.loads(text), iter(faces.to_dicts(9))):
        again = Faces.from_dicts(given)
        assert np.array_equal(again.boxes, faces.boxes) and np.array_equal(again.scores, faces.scores)
        assert (again.landmarks is None) == (n > 0 and not has_landmarks)
        assert not has_landmarks or np.array_equal(again.landmarks, faces.landmarks)
    assert np.abs(Faces.from_dicts(faces.to_dicts()).boxes - faces.boxes).max(initial=0) <= 0.0051


POINTS = {name: [1, 2] for name in LANDMARK_NAMES}
FACE: dict[str, Any] = {"box": [1, 2, 3, 4], "score": 0.5, "landmarks": POINTS}


@pytest.mark.parametrize(
    "given, message",
    [
        ([FACE, {}], "face 1: expected a box of four numbers"),
        ([FACE, FACE | {"landmarks": None}], "face 1 has no landmarks, but face 0 has"),
        ([FACE | {"landmarks": None}, FACE], "face 0 has no landmarks, but face 1 has"),
        ([FACE | {"box": [1, 2, 3]}], "face 0"), ([FACE | {"box": [[1, 2, 3, 4]]}], "face 0"),
        ([FACE | {"box": [1, 2, 3, None]}], "face 0"), ([FACE | {"box": [1, 2, 3, float("nan")]}], "face 0"),
        ([FACE | {"box": [1, 2, 3, 1e999]}], "face 0"), ([FACE | {"box": "1234"}], "face 0"),
        ([FACE | {"score": None}], "face 0"), ([FACE | {"score": [0.5]}], "face 0"), ([FACE | {"score": "high"}], "face 0"),
        ([FACE | {"landmarks": {}}], "face 0"), ([FACE | {"landmarks": POINTS | {"nose": [1]}}], "face 0"),
        ([FACE | {"landmarks": POINTS | {"nose": [1, 2, 3]}}], "face 0"), ([FACE | {"landmarks": [[1, 2]] * 5}], "face 0"),
        ([{"box": [1, 2, 3, 4], "score": 0.5}], "face 0"), ([1], "face 0"), (["face"], "face 0"), ([None], "face 0"),
        ("faces", "a list of faces"), (None, "a list of faces"), (5, "a list of faces"), ({}, "a list of faces"),
        ({"faces": None}, "a list of faces"), (FACE, "a list of faces"),
        ({"image": "a.jpg", "faces": [], "error": "a.jpg does not exist"}, "a.jpg could not be read: a.jpg does not exist"),
    ],
    ids=str,
)  # fmt: skip
def test_from_dicts_of_something_else(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Faces.from_dicts(given)


# ---- merging


def at(*rows: tuple[float, float, float, float, float]) -> Faces:
    """Faces with these boxes and scores, and their upper left corners as landmarks."""
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Faces(table[:, :4], table[:, 4], np.repeat(table[:, None, :2], 5, axis=1))


A, SAME, HALF, INSIDE = (0, 0, 10, 10, 0.9), (0, 0, 10, 10, 0.8), (5, 0, 15, 10, 0.7), (4, 4, 6, 6, 0.6)
FAR, EMPTY = (100, 0, 110, 10, 0.95), (3, 3, 3, 3, 0.5)


@pytest.mark.parametrize(
    "results, overlap, kept",
    [
        ([], 0.5, []),
        ([at()], 0.5, []),
        ([at(), at()], 0.5, []),
        ([at(A)], 0, [A]),
        ([at(A), at()], 0.5, [A]),
        ([at(A, SAME, INSIDE)], 0, [A, SAME, INSIDE]),  # of one result
        ([at(A), at(SAME)], 0.5, [A]),
        ([at(SAME), at(A)], 0.5, [A]),
        ([at(A), at(A)], 0.5, [A]),
        ([at(A), at(SAME)], 1, [A, SAME]),  # nothing overlaps by more
        ([at(A), at(HALF)], 0.5, [A, HALF]),  # not more than half
        ([at(A), at(HALF)], 0.49, [A]),
        ([at(A), at(INSIDE)], 0.99, [A]),
        ([at(A), at(FAR)], 0, [FAR, A]),
        ([at(A), at(EMPTY)], 0, [A, EMPTY]),
        ([at(EMPTY), at(EMPTY)], 0, [EMPTY, EMPTY]),
        ([at(A), at(SAME, HALF)], 0.49, [A]),
        ([at(A, HALF), at(SAME)], 0.49, [A, HALF]),
        ([at(A), at(SAME), at(FAR), at(INSIDE, HALF)], 0.5, [FAR, A, HALF]),
    ],
    ids=lambda value: str(value) if isinstance(value, float) else "",
)
def test_merge(results: list[Faces], overlap: float, kept: list[tuple]) -> None:
    for order in permutations(results):
        merged = Faces.merge(order, overlap)
        assert same(merged, at(*kept).boxes, at(*kept).scores, at(*kept).landmarks)


@pytest.mark.parametrize("overlap", [0, 0.3, 0.5, 0.9])
def test_merge_beside_plain_loops(overlap: float) -> None:
    parts = [some_faces(n, seed=n) for n in (40, 0, 25, 60)]
    rows = sorted(((part.scores[i], k, i) for k, part in enumerate(parts) for i in range(len(part))), key=lambda row: -row[0])
    kept: list[tuple[int, np.ndarray]] = []
    for _, origin, i in rows:
        box = parts[origin].boxes[i : i + 1]
        near = [intersection(box, b)[0, 0] > overlap * min(area(box)[0], area(b)[0]) for other, b in kept if other != origin]
        if not any(near):
            kept.append((origin, box))
    assert np.array_equal(Faces.merge(iter(parts), overlap).boxes, np.concatenate([box for _, box in kept]))


def test_merge_of_many_faces() -> None:
    faces = some_faces(5000)
    assert np.array_equal(Faces.merge([faces, faces, faces], 0.9999).scores, faces.scores)


def test_merge_without_landmarks() -> None:
    plain, none = Faces(at(A).boxes, at(A).scores, None), Faces.empty(has_landmarks=False)
    assert Faces.merge([plain, plain]).landmarks is None and Faces.merge([none]).landmarks is None
    assert Faces.merge([plain, Faces.empty()]).landmarks is None and Faces.merge([none, at(A)]).landmarks is not None
    with pytest.raises(ConfigError, match="some of the results have landmarks"):
        Faces.merge([plain, at(A)])


@pytest.mark.parametrize(
    "results", [None, 5, "ab", [1], [at(A), None], at(A), [[at(A)]]], ids=lambda given: type(given).__name__
)
def test_merge_of_something_else(results: Any) -> None:
    with pytest.raises(ConfigError, match="results must be several Faces"):
        Faces.merge(results)


@pytest.mark.parametrize("overlap", [-0.1, 1.1, None, "0.5", np.nan], ids=str)
def test_merge_with_another_overlap(overlap: Any) -> None:
    with pytest.raises(ConfigError, match="overlap must be a number from 0 to 1"):
        Faces.merge([at(A)], overlap)


# ---- supervision


@pytest.mark.parametrize("n", [0, 1, 3])
@pytest.mark.parametrize("has_landmarks", [True, False])
def test_to_supervision(n: int, has_landmarks: bool) -> None:
    pytest.importorskip("supervision", reason="needs supervision: pip install supervision")
    faces = some_faces(n)
    faces = faces if has_landmarks else Faces(faces.boxes, faces.scores, None)
    found = faces.to_supervision()
    assert len(found) == n and np.array_equal(found.xyxy, faces.boxes) and np.array_equal(found.confidence, faces.scores)
    assert found.class_id.tolist() == [0] * n and found.data["class_name"].tolist() == ["face"] * n
    assert ("landmarks" in found.data) == has_landmarks
    picked = found[found.confidence > 0.5]
    if has_landmarks:
        assert np.array_equal(picked.data["landmarks"], faces.landmarks[faces.scores > 0.5])
    found.xyxy[:] = -1
    assert (faces.boxes >= 0).all()


def test_supervision_draws_the_faces() -> None:
    supervision = pytest.importorskip("supervision", reason="needs supervision: pip install supervision")
    picture = np.zeros((200, 200, 3), np.uint8)
    drawn = supervision.BoxAnnotator().annotate(picture.copy(), some_faces(2).to_supervision())
    assert supervision.LabelAnnotator().annotate(drawn.copy(), some_faces(2).to_supervision()).any() and drawn.any()


def test_without_supervision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match="to_supervision needs supervision .*: run pip install supervision"):
        some_faces(1).to_supervision()


# ---- similarity


def transform(scale: float, degrees: float, shift: tuple[float, float]) -> np.ndarray:
    cos, sin = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def least_squares(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The oracle: the four unknowns a, b, tx, ty of (ax - by + tx, bx + ay + ty) as plain linear least squares."""
    rows = [row for x, y in source for row in ((x, -y, 1, 0), (y, x, 0, 1))]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), target.ravel(), rcond=None)[0]
    return np.array([[a, -b, tx], [b, a, ty]])


@pytest.mark.parametrize("scale", [1, 0.001, 0.3, 7, 1000])
@pytest.mark.parametrize("degrees", [0, 1, 45, 90, 180, -90, -179])
@pytest.mark.parametrize("shift", [(0, 0), (-30.5, 1e4)], ids=str)
def test_similarity_recovers_a_known_transform(scale: float, degrees: float, shift: tuple[float, float]) -> None:
    known = transform(scale, degrees, shift)
    cloud = np.random.default_rng(1).normal(size=(50, 2))
    for points in (ARCFACE_TEMPLATE.astype(float), np.array([[0, 0], [3, 4.0]]), cloud):
        assert np.allclose(similarity(points, apply(known, points)), known, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("n", [2, 3, 5, 40])
@pytest.mark.parametrize("seed", range(10))
def test_similarity_is_the_least_squares_fit(n: int, seed: int) -> None:
    rng = np.random.default_rng([seed, n])
    source, target = rng.uniform(0, 500, (n, 2)), rng.uniform(0, 112, (n, 2))  # seldom alike: some fits want a reflection
    for each in (source, source[:, ::-1]):
        assert np.allclose(similarity(each, target), least_squares(each, target), rtol=1e-7, atol=1e-7)


def test_similarity_of_a_mirrored_face_does_not_mirror() -> None:
    matrix = similarity(ARCFACE_TEMPLATE * (-1, 1), ARCFACE_TEMPLATE)
    assert np.linalg.det(matrix[:, :2]) >= 0
    assert np.allclose(matrix, least_squares(ARCFACE_TEMPLATE * (-1, 1), ARCFACE_TEMPLATE), atol=1e-6)


@pytest.mark.parametrize("point", [(0, 0), (5, 7), (0.1, 0.3), (123.456, 78.9), (1e5 / 3, -1e4 / 7)], ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_similarity_of_coinciding_points(point: tuple[float, float], n: int, dtype: type) -> None:
    """They go to the target's centre, unscaled; also where their mean is off by a rounding error."""
    source = np.tile(np.array(point, dtype), (n, 1))
    target = np.random.default_rng(n).uniform(0, 112, (n, 2))
    matrix = similarity(source, target)
    assert np.allclose(matrix[:, :2], np.eye(2))
    assert np.allclose(apply(matrix, source.astype(float)), target.mean(axis=0))


@pytest.mark.parametrize("target", [np.zeros((5, 2)), np.full((5, 2), 33.3)], ids=["origin", "point"])
def test_similarity_onto_one_point_collapses(target: np.ndarray) -> None:
    matrix = similarity(ARCFACE_TEMPLATE, target)
    assert np.allclose(matrix[:, :2], 0) and np.allclose(matrix[:, 2], target[0])


def test_similarity_of_points_on_a_line() -> None:
    line = np.arange(5.0)[:, None] * (1, 2)
    known = transform(0.5, 30, (3, 4))
    assert np.allclose(similarity(line, apply(known, line)), known)


# ---- align


DOTS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)], np.uint8)


def picture_of_dots(points: np.ndarray, radius: float, height: int, width: int) -> np.ndarray:
    """Soft dots, bell curves of standard deviation `radius`, of the DOTS' colours, centred on continuous `points`."""
    picture = np.zeros((height, width, 3), np.uint8)
    reach = int(np.ceil(4 * radius))
    for (x, y), colour in zip(points, DOTS):
        rows = np.arange(max(0, int(y) - reach), min(height, int(y) + reach + 1))
        columns = np.arange(max(0, int(x) - reach), min(width, int(x) + reach + 1))
        squared = (rows[:, None] + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2
        part = np.rint(np.exp(-squared / (2 * radius**2))[:, :, None] * colour).astype(np.uint8)
        here = picture[rows[:, None], columns]
        picture[rows[:, None], columns] = np.maximum(here, part)
    return picture


def find_dots(picture: np.ndarray) -> np.ndarray:
    """(5, 2) continuous centres of the DOTS, NaN where there is none; the colour of a pixel says whose it is."""
    values = picture.astype(np.float64)
    brightness = values.max(axis=2)
    directions = DOTS / np.linalg.norm(DOTS.astype(float), axis=1, keepdims=True)
    owner = np.argmax(values @ directions.T, axis=2)
    found = np.full((5, 2), np.nan)
    for index in range(5):
        weight = np.where(owner == index, np.maximum(brightness - 130, 0), 0)  # without the tails, which mix
        if weight.sum() > 0:
            rows, columns = np.indices(weight.shape)
            found[index] = [(weight * (v + 0.5)).sum() / weight.sum() for v in (columns, rows)]
    return found


def face_at(points: np.ndarray) -> Faces:
    return Faces([[*points.min(axis=0), *points.max(axis=0)]], [0.9], [points])


@pytest.mark.parametrize("size", [112, 224])
@pytest.mark.parametrize("degrees", [0, 20, -75, 180])
@pytest.mark.parametrize(
    "side, tolerance",
    [(14, 0.4), (40, 0.08), (112, 0.05), (224, 0.05), (333, 0.05), (1000, 0.05), (2900, 0.05)],  # pixels at 112
)
def test_align_puts_landmarks_onto_the_template(side: int, tolerance: float, degrees: float, size: int) -> None:
    scale = side / 112
    height, width = int(side * 1.6) + 21, int(side * 1.7) + 32  # odd and even, and not square
    points = apply(transform(scale, degrees, (width * 0.52, height * 0.49)), ARCFACE_TEMPLATE - 56)
    picture = picture_of_dots(points, max(0.9, 0.025 * side), height, width)
    aligned = face_at(points).align(picture, size)
    assert aligned.shape == (1, size, size, 3) and aligned.dtype == np.uint8
    off = np.abs(find_dots(aligned[0]) - ARCFACE_TEMPLATE * (size / 112))
    assert off.max() <= tolerance * size / 112


def test_align_of_an_aligned_face_changes_nothing() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    aligned = face_at(ARCFACE_TEMPLATE).align(picture)[0].astype(int)
    assert np.abs(aligned - picture).max() <= 1


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_align_turns_quarters_exactly(turns: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    points = ARCFACE_TEMPLATE.astype(float)
    for _ in range(turns):  # np.rot90 sends x, y to y, 112 - x
        points = np.stack([points[:, 1], 112 - points[:, 0]], axis=1)
    turned = np.ascontiguousarray(np.rot90(picture, turns))
    aligned = face_at(points).align(turned)[0].astype(int)
    assert np.abs(aligned - picture).max() <= 4  # OpenCV interpolates at 1/32 pixel


def test_align_of_several_faces_keeps_their_order() -> None:
    spots = [(10, 20), (140, 5), (70, 130)]
    points = np.stack([ARCFACE_TEMPLATE + spot for spot in spots])
    picture = np.zeros((260, 270, 3), np.uint8)
    for each in points:
        picture = np.maximum(picture, picture_of_dots(each, 2, 260, 270))
    faces = Faces(np.zeros((3, 4)), [0.9, 0.8, 0.7], points)
    together = faces.align(picture)
    assert together.shape == (3, 112, 112, 3)
    for index, face in enumerate(faces):
        assert (face.align(picture)[0] == together[index]).all()


def test_align_does_not_alias_large_faces() -> None:
    """Stripes of two pixels must melt into their mean, not into broad bands."""
    stripes = np.zeros((2400, 2400, 3), np.uint8)
    stripes[:, np.arange(2400) // 2 % 2 == 0] = 240
    for scale in (4.3, 9.7, 19.1):
        points = (ARCFACE_TEMPLATE - 56) * scale + 1200
        aligned = face_at(points).align(stripes)[0].astype(int)
        assert np.abs(aligned - 120).max() <= 12


@pytest.mark.parametrize("scale", [0.1, 0.9, 1, 2.1, 7.7])
@pytest.mark.parametrize("degrees", [0, 33, 90, -120])
def test_align_is_filled_to_its_corners(scale: float, degrees: float) -> None:
    white = np.full((1300, 1301, 3), 255, np.uint8)
    points = apply(transform(scale, degrees, (650.3, 649.9)), ARCFACE_TEMPLATE - 56)
    assert (face_at(points).align(white) == 255).all()


@pytest.mark.parametrize("size", [1, 2, 112, 300])
def test_align_outside_is_black(size: int) -> None:
    white = np.full((50, 60, 3), 255, np.uint8)
    outside = face_at(ARCFACE_TEMPLATE + 5000).align(white, size)[0]
    assert outside.shape == (size, size, 3) and not outside.any()
    half = face_at(ARCFACE_TEMPLATE + np.array([4, -56])).align(white, 112)[0]  # image x 60 is column 56, y 0 is row 56
    assert not half[:55].any() and not half[:, 58:].any() and (half[57:105, :55] == 255).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (200, 1), (2, 3), (3, 5000)], ids=str)
@pytest.mark.parametrize("scale", [0.02, 1, 30])
def test_align_in_tiny_pictures(shape: tuple[int, int], scale: float) -> None:
    aligned = face_at(ARCFACE_TEMPLATE * scale).align(np.full((*shape, 3), 99, np.uint8))
    assert aligned.shape == (1, 112, 112, 3) and aligned.max() <= 99


def test_align_of_coinciding_landmarks() -> None:
    white = np.full((300, 300, 3), 255, np.uint8)
    assert (face_at(np.full((5, 2), 150.0)).align(white) == 255).all()


def test_align_of_landmarks_that_no_face_has() -> None:
    """Points whose best fit shrinks them to nothing: orthogonal to the template, as random landmarks may nearly be."""
    template = ARCFACE_TEMPLATE - ARCFACE_TEMPLATE.mean(axis=0)
    off = np.linalg.svd(np.vstack([template.T, np.ones(5)]))[2][3:]  # (2, 5), orthogonal to x, y and 1
    picture = np.full((120, 150, 3), 99, np.uint8)
    for points in (off.T * 40 + 60, off.T * (40, 0) + 60, np.round(off.T * 8) * 8 + 64):
        aligned = face_at(points).align(picture)
        assert aligned.shape == (1, 112, 112, 3) and aligned.max() <= 99


@pytest.mark.parametrize("centre", [(0, 0), (128, 96), (64, 0), (0, 48), (64, 48), (-300, 200)], ids=str)
@pytest.mark.parametrize("scale", [0.3, 1, 1.9])  # none is halved: then the parity of the frame would matter
@pytest.mark.parametrize("degrees", [0, 35])
def test_align_at_the_border_is_as_on_a_black_frame(centre: tuple[int, int], scale: float, degrees: float) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    points = apply(transform(scale, degrees, centre), ARCFACE_TEMPLATE - 56)
    framed = np.pad(picture, ((400, 400), (400, 400), (0, 0)))
    off = face_at(points).align(picture)[0].astype(int) - face_at(points + 400).align(framed)[0]
    assert np.abs(off).max() <= 8  # OpenCV interpolates at 1/32 pixel


@pytest.mark.parametrize("side", ["wide", "tall"])
@pytest.mark.parametrize("length", [32_000, 32_767, 33_000, 70_000])
def test_align_in_huge_pictures(side: str, length: int) -> None:
    """A panorama. OpenCV's warp refuses images of 32767 pixels or more a side."""
    offset = (length - 130, 5) if side == "wide" else (5, length - 130)
    shape = (125, length) if side == "wide" else (length, 125)
    points = ARCFACE_TEMPLATE.astype(float) + offset
    aligned = face_at(points).align(picture_of_dots(points, 2, *shape))[0]
    assert np.abs(find_dots(aligned) - ARCFACE_TEMPLATE).max() <= 0.2


def test_align_leaves_its_input_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    before = picture.copy()
    for view in (picture, picture[:, ::-1], picture[::2, :, ::-1]):
        face_at(ARCFACE_TEMPLATE * 3).align(view)
    picture.flags.writeable = False
    face_at(ARCFACE_TEMPLATE * 3).align(picture)
    assert (picture == before).all()


# ---- crops


HEIGHT, WIDTH = 40, 60
INDEXED = np.dstack([*np.mgrid[:HEIGHT, :WIDTH].astype(np.uint8), np.full((HEIGHT, WIDTH), 7, np.uint8)])  # row, column, 7


@pytest.mark.parametrize(
    "box, margin, rows, columns",
    [
        ((10, 5, 20, 15), 0, (5, 15), (10, 20)),
        ((10.2, 5.7, 19.1, 14.01), 0, (5, 15), (10, 20)),
        ((10.9, 5.9, 19.9, 14.9), 0, (5, 15), (10, 20)),
        ((0, 0, 60, 40), 0, (0, 40), (0, 60)),
        ((0, 0, 60, 40), 0.5, (0, 40), (0, 60)),
        ((0, 0, 10, 8), 0.5, (0, 12), (0, 15)),
        ((50, 32, 60, 40), 0.5, (28, 40), (45, 60)),
        ((20, 10, 40, 20), 0.25, (7, 23), (15, 45)),
        ((20, 10, 40, 20), 100, (0, 40), (0, 60)),
        ((59.5, 39.5, 60, 40), 0, (39, 40), (59, 60)),
        ((0, 0, 0.2, 0.2), 0, (0, 1), (0, 1)),
        ((10.3, 10.3, 10.4, 10.4), 0, (10, 11), (10, 11)),
        ((10, 10, 10, 10), 0, (10, 11), (10, 11)),
        ((10, 10, 10, 10), 0.3, (10, 11), (10, 11)),
        ((60, 40, 60, 40), 0, (39, 40), (59, 60)),
        ((0, 0, 0, 0), 0, (0, 1), (0, 1)),
        ((10, 0, 10.5, 40), 0, (0, 40), (10, 11)),
    ],
    ids=str,
)
def test_crops(box: tuple, margin: float, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    crop = Faces([box], [0.5], np.zeros((1, 5, 2))).crops(INDEXED, margin)[0]
    assert np.array_equal(crop, INDEXED[slice(*rows), slice(*columns)])
    assert crop.dtype == np.uint8 and crop.flags.c_contiguous


def test_crops_are_copies_in_order() -> None:
    image = INDEXED.copy()
    faces = Faces([[30, 20, 40, 30], [1, 2, 3, 4], [30, 20, 40, 30]], [0.9, 0.8, 0.7], np.zeros((3, 5, 2)))
    crops = faces.crops(image)
    assert [crop.shape for crop in crops] == [(10, 10, 3), (2, 2, 3), (10, 10, 3)]
    crops[0][:] = 255
    assert (image == INDEXED).all() and (crops[2] == INDEXED[20:30, 30:40]).all()


@pytest.mark.parametrize("seed", range(20))
def test_crops_hold_their_box_and_little_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = np.sort(rng.uniform(0, WIDTH, 2)).astype(np.float32), np.sort(rng.uniform(0, HEIGHT, 2)).astype(np.float32)
    crop = Faces([[x[0], y[0], x[1], y[1]]], [0.5], np.zeros((1, 5, 2))).crops(INDEXED)[0].astype(float)
    for (low, high), values in ((y, crop[:, :, 0]), (x, crop[:, :, 1])):
        assert low - 1 < values.min() <= low and high <= values.max() + 1 < high + 1


# ---- draw_faces


def upright(box: tuple[float, float, float, float]) -> np.ndarray:
    """Five landmarks where an upright face in `box` has them."""
    x1, y1, x2, y2 = box
    return np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]) * (x2 - x1, y2 - y1) + (x1, y1)


def drawn(picture: np.ndarray, *boxes: tuple[float, float, float, float]) -> tuple[np.ndarray, Faces]:
    faces = Faces(boxes, np.linspace(1, 0.7, len(boxes)), [upright(box) for box in boxes])
    return draw_faces(picture, faces), faces


@pytest.mark.parametrize(
    "shape, boxes",
    [
        ((200, 300), [(100, 60, 180, 150)]),
        ((200, 300), [(20, 30, 70, 90), (200, 100, 280, 190)]),
        ((200, 300), [(0, 0, 80, 90)]),
        ((200, 300), [(230.4, 120.7, 300, 200)]),
        ((200, 300), [(0, 0, 300, 200)]),
        ((200, 300), [(100, 3, 160, 90)]),
        ((200, 300), [(50, 50, 60, 60)]),
        ((200, 300), [(50, 50, 51, 51)]),
        ((200, 300), [(299, 199, 300, 200)]),
        ((1500, 1200), [(300, 500, 700, 1000), (10, 10, 60, 60)]),
        ((1, 1), [(0, 0, 1, 1)]),
        ((3, 2000), [(1000, 0, 1003, 3)]),
        ((40, 40_000), [(39_900, 2, 39_936, 40)]),
    ],
    ids=str,
)
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_draw_faces(shape: tuple[int, int], boxes: list[tuple[float, float, float, float]], shade: int) -> None:
    picture = np.full((*shape, 3), shade, np.uint8)
    result, faces = drawn(picture, *boxes)
    assert (picture == shade).all()
    assert result.shape == picture.shape and result.dtype == np.uint8 and not np.shares_memory(result, picture)
    changed = (result != shade).any(axis=2)
    assert changed.any()
    near = np.zeros(shape, bool)
    line = max(1, round(min(shape) / 300))
    for x1, y1, x2, y2 in faces.boxes:
        reach = 0.6 * (x2 - x1) + 2 * line + 2
        rows = slice(int(max(0, y1 - reach)), int(y2 + reach) + 1)
        near[rows, int(max(0, x1 - reach)) : int(x2 + reach) + 1] = True
        assert changed[rows, int(max(0, x1 - reach)) : int(x2 + reach) + 1].any()
    assert not (changed & ~near).any()


def test_draw_faces_puts_colours_where_they_belong() -> None:
    picture = np.full((300, 300, 3), 128, np.uint8)
    result, faces = drawn(picture, (60.5, 70.5, 219.5, 249.5))  # edges in the middle of pixels: not shared between two
    for (x, y), colour in zip(faces.landmarks[0], POINT_COLOURS):
        assert np.abs(result[int(y), int(x)].astype(int) - colour).max() <= 2
    for x, y in ((60, 160), (219, 160), (140, 249), (140, 70)):
        assert np.abs(result[y, x].astype(int) - BOX_COLOUR).max() <= 15
    assert (result[100, 70] == 128).all() and (result[240, 140] == 128).all()  # not filled


@pytest.mark.parametrize(
    "height, width, side",
    [(120, 160, 30), (360, 640, 60), (720, 1280, 140), (2160, 3840, 90), (3000, 4000, 400), (6000, 4000, 60)],
)
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_dots_are_seen_at_any_resolution(height: int, width: int, side: int, shade: int) -> None:
    """Each is at least a 400th of the picture wide, or else a tenth of the face, and at least two pixels; they stay apart."""
    picture = np.full((height, width, 3), shade, np.uint8)
    result, faces = drawn(picture, (width // 2, height // 2, width // 2 + side, height // 2 + side))
    least = max(2, min(height / 400, 0.1 * side))
    for (x, y), colour in zip(faces.landmarks[0], POINT_COLOURS):
        reach = int(0.2 * side)
        part = result[int(y) - reach : int(y) + reach, int(x) - reach : int(x) + reach].astype(int)
        inside = np.abs(part - colour).max(axis=2) < 60
        assert np.pi / 4 * (least - 1) ** 2 <= inside.sum() <= (0.2 * side) ** 2
        assert inside.any(axis=0).sum() >= least - 0.5


def test_ids_are_drawn_in_colours_of_their_own() -> None:
    boxes = [(20, 20, 90, 110), (110, 20, 180, 110)]
    faces = Faces(boxes, [0.9, 0.8], [upright(box) for box in boxes], np.array([3, 4]))
    result = draw_faces(np.zeros((200, 200, 3), np.uint8), faces)
    edges = [result[109:112, x].max(axis=0).tolist() for x in (50, 140)]
    assert edges[0] != edges[1] and not (result == draw_faces(np.zeros((200, 200, 3), np.uint8), faces[:1])).all()


def test_ids() -> None:
    faces = Faces(np.zeros((3, 4)), [0.9, 0.8, 0.7], None, np.array([7, 2, 5], np.int32), 90)
    assert faces.ids.dtype == np.int64 and [face["id"] for face in faces.to_dicts()] == [7, 2, 5]
    assert list(faces.to_dicts()[0]) == ["id", "box", "score", "landmarks"]
    for part, ids in ((faces[1:], [2, 5]), (faces[[2, 0]], [5, 7]), (faces[1], [2]), (faces[:0], [])):
        assert part.ids.tolist() == ids and part.rotation == 90
    assert "id" not in Faces(np.zeros((1, 4)), [0.5], None).to_dicts()[0] and Faces.empty().ids is None
    with pytest.raises(ValueError, match=r"ids must have shape \(3,\), got \(2,\)"):
        Faces(np.zeros((3, 4)), [0.9, 0.8, 0.7], None, np.array([1, 2]))


def test_draw_nothing() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    result = draw_faces(picture, Faces.empty())
    assert (result == picture).all() and not np.shares_memory(result, picture)


def test_draw_on_views_and_read_only_arrays() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    picture.flags.writeable = False
    for view in (picture, picture[:, ::-1], picture[:, :, ::-1], picture[::2, ::2], np.asfortranarray(picture)):
        before = view.copy()
        result, _ = drawn(view, (20, 20, 90, 90))
        assert (view == before).all() and (result != view).any()
        assert (result == drawn(np.ascontiguousarray(view), (20, 20, 90, 90))[0]).all()


def test_draw_landmarks_outside_the_picture() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    faces = Faces([[40, 40, 60, 60]], [0.5], [[[-50, -50], [150, 50], [50, 50], [50, 1e6], [-1e6, 50]]])
    changed = draw_faces(picture, faces).any(axis=2)
    changed[35:66, 35:66] = False
    assert not changed.any()
