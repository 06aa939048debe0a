"""Which crops of a photo become samples: kinds against a plain oracle, limits, faces that must not be learned."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.prepare_data import sampling
from mtcnn_gluon.prepare_data.annotations import Photo
from mtcnn_gluon.prepare_data.sampling import Crops, SamplingOptions
from mtcnn_gluon.records.samples import NO_FACE, Kind
from painted_faces import make_photo


def plain_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes (4,)."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height)


def plain_targets(photo: Photo, options: SamplingOptions) -> np.ndarray:
    """What overlaps are taken with (N, 4): faces, or squares around them."""
    if not options.square_faces:
        return photo.boxes.astype(float)
    rows = []
    for x1, y1, x2, y2 in photo.boxes.astype(float):
        x, y, half = (x1 + x2) / 2, (y1 + y2) / 2, max(x2 - x1, y2 - y1) / 2
        rows.append([x - half, y - half, x + half, y + half])
    return np.array(rows).reshape(-1, 4)


def draw(photo: Photo, height: int, width: int, size: int = 12, seed: int = 0, **options: Any) -> Crops:
    return sampling.draw(photo, (height, width), size, SamplingOptions(**options), np.random.default_rng(seed))


def assert_right(crops: Crops, photo: Photo, options: SamplingOptions) -> None:
    """Every kind, face and overlap is what the plain oracle says."""
    targets = plain_targets(photo, options)
    for box, kind, face, iou in zip(crops.boxes, crops.kinds, crops.faces, crops.iou):
        overlaps = [plain_iou(box, other) for other in targets]
        assert iou == pytest.approx(max(overlaps, default=0), abs=1e-9)
        if kind == Kind.NEGATIVE:
            assert iou < options.negative and face == NO_FACE
            continue
        assert iou >= options.positive if kind == Kind.POSITIVE else options.part <= iou < options.positive
        assert overlaps[face] == pytest.approx(iou, abs=1e-9)
        assert not photo.ignore[face] and (photo.boxes[face, 2:] - photo.boxes[face, :2]).min() >= options.min_face


faces = st.tuples(st.floats(-20, 150), st.floats(-20, 100), st.floats(1, 120), st.floats(1, 120), st.booleans())


@st.composite
def photos(draw: st.DrawFn) -> Photo:
    rows = draw(st.lists(faces, max_size=6))
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in rows]).reshape(-1, 4)
    return make_photo("a.png", boxes, [row[4] for row in rows])


# ---- options


@pytest.mark.parametrize("name", [field.name for field in fields(SamplingOptions)])
@pytest.mark.parametrize("value", [-1, -0.5, np.nan, np.inf, 1e6, "1", None, 2 + 0j, [1]], ids=str)
def test_options_out_of_range(name: str, value: Any) -> None:
    if (name, value) == ("size", None):
        return  # the paper's
    with pytest.raises(ConfigError, match=name):
        SamplingOptions(**{name: value})


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"positive": 1.0}, "positive"),
        ({"positive": 0.3}, "part and positive"),
        ({"part": 0.2}, "part"),
        ({"part": 0.7}, "part"),
        ({"negative": 0}, "negative"),
        ({"negative": 0.5}, "negative"),
        ({"min_face": 0.99}, "min_face"),
        ({"scale_low": 0}, "scale_low"),
        ({"scale_low": 1.3}, "scale_low"),
        ({"scale_high": 0.7}, "scale_high"),
        ({"rotation": 90.5}, "rotation"),
        ({"jitters": 3.0}, "jitters"),  # a slice or a shape takes no float
        ({"negatives_mined": 2.5}, "negatives_mined"),
        ({"landmark_jitters": True}, "landmark_jitters"),
        ({"shift": True}, "shift"),
        ({"mirror": 1}, "mirror"),
        ({"square_faces": 1}, "square_faces"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        SamplingOptions(**options)


def test_options_at_their_limits() -> None:
    """What is allowed also works, and means what it says."""
    face = make_photo("a.png", [[100, 100, 160, 160]])
    equal = draw(face, 300, 300, positive=0.5, part=0.5, negative=0.5, jitters=100, shift=1)
    assert set(equal.kinds) == {Kind.POSITIVE, Kind.NEGATIVE}
    everything = np.array([[x, 100, x + 60, 160] for x in np.linspace(100, 160, 50)])
    assert (
        len(sampling.label(everything, face, SamplingOptions(positive=0.5, part=0.5, negative=0.5))) == 50
    )  # nothing lies between
    assert set(draw(face, 300, 300, jitters=0).kinds) == {Kind.NEGATIVE}
    still = draw(face, 300, 300, shift=0, scale_low=1, scale_high=1, negatives=0, negatives_near=0)
    assert len(still) == 20 and (still.boxes == face.boxes).all()
    tiny = make_photo("a.png", [[10, 10, 11, 13], [30, 30, 30.9, 40]])
    assert sampling.learnable(tiny, SamplingOptions(min_face=1)).tolist() == [True, False]
    assert set(draw(face, 300, 300, min_face=999_999).kinds) == {Kind.NEGATIVE}
    assert SamplingOptions(rotation=90).rotation == 90 and SamplingOptions(rotation=0).rotation == 0


# ---- kinds


@given(photos(), st.lists(st.tuples(st.floats(-30, 150), st.floats(-30, 100), st.floats(0.5, 200)), max_size=30), st.booleans())
def test_labels_agree_with_overlaps(photo: Photo, squares: list[tuple[float, float, float]], square_faces: bool) -> None:
    options = SamplingOptions(min_face=30, square_faces=square_faces)
    boxes = np.array([[x, y, x + side, y + side] for x, y, side in squares]).reshape(-1, 4)
    boxes = np.vstack([boxes, photo.boxes, photo.boxes + 3])
    found = sampling.label(boxes, photo, options)
    assert_right(found, photo, options)
    learnable = ~photo.ignore & ((photo.boxes[:, 2:] - photo.boxes[:, :2]).min(axis=1, initial=np.inf) >= 30)
    kept = []
    for box in boxes:
        overlaps = [plain_iou(box, other) for other in plain_targets(photo, options)]
        best = max(overlaps, default=0)
        is_learned = best >= 0.4 and learnable[int(np.argmax(overlaps))]
        kept.append(best < 0.3 or is_learned)
    np.testing.assert_array_equal(found.boxes, boxes[np.array(kept, bool)])


@pytest.mark.parametrize(
    ("side", "kind"),
    [
        (100, Kind.POSITIVE),
        (80, Kind.POSITIVE),
        (79.9, Kind.PART),
        (60, Kind.PART),
        (59.9, None),
        (50, None),
        (49.9, Kind.NEGATIVE),
    ],
)
def test_kinds_at_their_borders(side: float, kind: Kind | None) -> None:
    options = SamplingOptions(positive=0.64, part=0.36, negative=0.25)
    found = sampling.label(np.array([[0, 0, side, side]]), make_photo("a.png", [[0, 0, 100, 100]]), options)
    assert found.kinds.tolist() == ([] if kind is None else [kind])


def test_a_face_in_profile_is_positive_by_the_square_around_it() -> None:
    photo = make_photo("a.png", [[100, 100, 150, 200]])
    around, off_side = [75, 100, 175, 200], [150, 100, 250, 200]
    squares = np.array([around, off_side], float)
    assert sampling.label(squares, photo, SamplingOptions()).kinds.tolist() == [Kind.PART, Kind.NEGATIVE]
    found = sampling.label(squares, photo, SamplingOptions(square_faces=True))
    assert found.boxes.tolist() == [around, off_side] and found.kinds.tolist() == [Kind.POSITIVE, Kind.NEGATIVE]
    assert found.iou == pytest.approx([1, 1 / 7])
    most = {
        square: (draw(photo, 300, 300, jitters=200, square_faces=square).kinds == Kind.POSITIVE).sum()
        for square in (False, True)
    }
    assert most[False] == 0 and most[True] > 20


def test_the_nearest_face_decides() -> None:
    photo = make_photo("a.png", [[0, 0, 100, 100], [0, 0, 90, 90], [0, 0, 10, 10]], [False, True, False])
    squares = np.array([[0, 0, 99, 99], [0, 0, 91, 91], [0, 0, 11, 11], [0, 0, 30, 30.0]])
    found = sampling.label(squares, photo, SamplingOptions())
    assert found.boxes[:, 2].tolist() == [99, 30] and found.faces.tolist() == [0, NO_FACE]  # by the ignored and the small: none


# ---- drawing


@pytest.mark.parametrize("inside", [True, False])
@settings(max_examples=40, deadline=None)
@given(photos(), st.integers(10, 200), st.integers(10, 200), st.sampled_from([12, 24, 48]), st.integers(0, 99), st.booleans())
def test_drawn_crops(inside: bool, photo: Photo, height: int, width: int, size: int, seed: int, square_faces: bool) -> None:
    options = SamplingOptions(negatives=15, negatives_near=3, jitters=6, square_faces=square_faces)
    crops = sampling.draw(photo, (height, width), size, options, np.random.default_rng(seed), inside)
    assert_right(crops, photo, options)
    sides = crops.boxes[:, 2:] - crops.boxes[:, :2]
    np.testing.assert_allclose(sides[:, 0], sides[:, 1], atol=1e-9)
    assert (sides >= size - 1e-9).all()
    assert not inside or ((crops.boxes >= 0).all() and (crops.boxes[:, 2:] <= [width, height]).all())
    count = int(sampling.learnable(photo, options).sum())
    assert (crops.kinds == Kind.NEGATIVE).sum() <= 15 + 3 * count and (crops.kinds != Kind.NEGATIVE).sum() <= 6 * count
    again = sampling.draw(photo, (height, width), size, options, np.random.default_rng(seed), inside)
    np.testing.assert_array_equal(crops.boxes, again.boxes)


def test_faces_that_the_photo_cuts() -> None:
    """Where crops may reach beyond the photo, a face at its border gives as many as any other."""
    photo = make_photo("a.png", [[0, 30, 40, 80], [100, 30, 140, 80]])
    options = SamplingOptions(jitters=100, negatives=0, negatives_near=20)
    counts = []
    for inside in (True, False):
        crops = sampling.draw(photo, (200, 200), 12, options, np.random.default_rng(0), inside)
        counts.append(np.bincount(crops.faces[crops.kinds == Kind.POSITIVE], minlength=2))
        assert (crops.boxes.min() < 0) != inside
    assert counts[0][0] < 0.6 * counts[0][1] and counts[1][0] > 0.8 * counts[1][1]


def test_numbers_of_crops() -> None:
    photo = make_photo("a.png", [[100, 100, 160, 170], [250, 60, 330, 140]])
    crops = draw(photo, 300, 500)
    assert (crops.kinds == Kind.NEGATIVE).sum() == 50 + 2 * 5
    near = crops.boxes[crops.kinds == Kind.NEGATIVE][:10]
    assert all(0 < plain_iou(box, face) < 0.3 for box, face in zip(near, np.repeat(photo.boxes.astype(float), 5, axis=0)))
    assert 30 <= (crops.kinds != Kind.NEGATIVE).sum() <= 40  # nearly every jittered crop teaches something
    assert min((crops.kinds == kind).sum() for kind in (Kind.POSITIVE, Kind.PART)) >= 10
    assert set(draw(photo, 300, 500, jitters=0).kinds) == {Kind.NEGATIVE}
    assert (draw(photo, 300, 500, negatives=0, negatives_near=0).kinds != Kind.NEGATIVE).all()
    assert not len(draw(photo, 300, 500, negatives=0, negatives_near=0, jitters=0))
    large = draw(photo, 300, 500, negatives=0, negatives_near=0, jitters=3, jitters_large=200, large_face=70)  # the second
    assert (large.faces == 0).sum() <= 3 and 150 <= (large.faces == 1).sum() <= 203


@pytest.mark.parametrize(
    ("boxes", "height", "width", "expected"),
    [
        ([], 100, 100, 50),
        ([], 24, 300, 50),  # of twice the smallest side
        ([], 23, 300, 0),
        ([], 1, 1, 0),
        ([[0, 0, 100, 100]], 100, 100, 50),  # a crop of a half, at most, of a photo that is all face
        ([[1000, 1000, 1060, 1060]], 100, 100, 50),  # a face outside the photo
        ([[5, 5, 5, 5]], 100, 100, 50),  # of no size
    ],
)
def test_photos_of_little(boxes: list, height: int, width: int, expected: int) -> None:
    crops = draw(make_photo("a.png", boxes), height, width, jitters=0, negatives_near=0)
    assert len(crops) == expected and (crops.kinds == Kind.NEGATIVE).all()
    assert crops.boxes.shape == (expected, 4) and crops.boxes.dtype == np.float64


@pytest.mark.parametrize(("side", "ignore"), [(16, False), (19.9, False), (30, True)])
def test_faces_not_learned_leave_no_trace(side: float, ignore: bool) -> None:
    """They give no positives or parts, and no negative overlaps them, though many squares would."""
    photo = make_photo("a.png", [[10, 10, 10 + side, 10 + side]], [ignore])
    crops = draw(photo, 50, 50, negatives=100)
    assert (crops.kinds == Kind.NEGATIVE).all() and len(crops)
    assert max(plain_iou(box, photo.boxes[0].astype(float)) for box in crops.boxes) < 0.3
    without = draw(make_photo("a.png", []), 50, 50, negatives=100)
    assert max(plain_iou(box, photo.boxes[0].astype(float)) for box in without.boxes) > 0.3
    assert (draw(make_photo("a.png", photo.boxes), 50, 50, min_face=10).kinds == Kind.POSITIVE).any()


def test_a_crowd_gives_fewer_negatives_and_ends() -> None:
    x, y = np.meshgrid(np.arange(0, 200, 20), np.arange(0, 200, 20))
    corners = np.stack([x.ravel(), y.ravel()], axis=1)
    photo = make_photo("a.png", np.hstack([corners, corners + 25]))
    crops = draw(photo, 200, 200, negatives_near=50, negatives=1000, jitters=1)
    assert_right(crops, photo, SamplingOptions())
    assert 0 < (crops.kinds == Kind.NEGATIVE).sum() < 1000 + 50 * 100


@given(st.lists(faces, max_size=4), st.integers(0, 5), st.integers(0, 9))
def test_jittered(rows: list[tuple], count: int, seed: int) -> None:
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in rows]).reshape(-1, 4)
    squares = sampling.jittered(boxes, count, SamplingOptions(shift=0.1), np.random.default_rng(seed))
    assert squares.shape == (len(boxes) * count, 4)
    for square, box in zip(squares, np.repeat(boxes, count, axis=0)):
        sizes = box[2:] - box[:2]
        side = square[2] - square[0]
        assert 0.8 * sizes.min() - 1e-9 <= side <= 1.25 * sizes.max() + 1e-9
        assert (np.abs((square[:2] + square[2:]) - (box[:2] + box[2:])) / 2 <= 0.1 * sizes + 1e-9).all()


def test_concatenate_and_take() -> None:
    crops = draw(make_photo("a.png", [[10, 10, 60, 60]]), 100, 100)
    both = sampling.concatenate([crops, crops.take(np.array([1, 0])), crops.take(np.zeros(len(crops), bool))])
    assert len(both) == len(crops) + 2
    np.testing.assert_array_equal(both.boxes[-2:], crops.boxes[[1, 0]])
    np.testing.assert_array_equal(both.iou[-2:], crops.iou[[1, 0]])
