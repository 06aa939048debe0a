"""From crops to samples: pixels by the rule of detection, targets that undo, landmarks that lie on what was painted there."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plain_cascade
from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.layers import View
from mtcnn_gluon.operators import crop_resize
from mtcnn_gluon.prepare_data import cropping, sampling
from mtcnn_gluon.prepare_data.annotations import Photo
from mtcnn_gluon.prepare_data.sampling import SamplingOptions
from mtcnn_gluon.records.samples import MIRRORED, NO_FACE, Kind, Samples
from painted_faces import find_dots, make_photo, paint
from record_samples import assert_equal, make_samples

FACE = [[60.3, 40.8, 210.7, 200.1]]


def cut_landmarks(image: np.ndarray, photo: Photo, size: int = 48, seed: int = 0, **options: Any) -> Samples:
    generator = np.random.default_rng(seed)
    return cropping.cut_landmark_samples(image, photo, 7, View(size), SamplingOptions(**options), generator)


def distances(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Differences (K, 2) of those points (N, 5, 2) whose dots do not reach the border of their crop."""
    is_whole = ((expected > 0.12) & (expected < 0.88)).all(2)
    return (found - expected)[is_whole]


# ---- pixels


@given(st.floats(-30, 90), st.floats(-30, 70), st.floats(3, 90), st.sampled_from([12, 24, 48]))
def test_crops_are_those_of_detection(x: float, y: float, side: float, size: int) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    squares = np.array([[x, y, x + side, y + side], [0, 0, 48, 48]])
    crops = cropping.cut(picture, squares, View(size))
    assert crops.shape == (2, size, size, 3) and crops.dtype == np.uint8
    np.testing.assert_array_equal(crops, np.rint(crop_resize(picture, squares, size)).transpose(0, 2, 3, 1))
    expected = plain_cascade.sample(picture.astype(float), squares[0], size, size)
    assert np.abs(crops[0] - expected).max() <= 0.5 + 5e-3


def test_white_stays_white() -> None:
    white = np.full((97, 131, 3), 255, np.uint8)
    squares = np.random.default_rng(0).uniform(0, 45, (500, 2))
    assert (cropping.cut(white, np.hstack([squares, squares + np.linspace(3, 50, 500)[:, None]]), View(24)) == 255).all()


# ---- targets


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 900), st.floats(0, 900), st.floats(20, 900), st.floats(0.7, 1.4)), max_size=4),
    st.integers(0, 9),
)
def test_targets_give_the_faces_back(rows: list[tuple], seed: int) -> None:
    """To 1e-4 pixels, through the float32 of a record."""
    photo = make_photo("a.png", np.array([[x, y, x + w, y + w * r] for x, y, w, r in rows]).reshape(-1, 4))
    options = SamplingOptions(negatives=5)
    crops = sampling.draw(photo, (1800, 1800), 12, options, np.random.default_rng(seed))
    samples = cropping.cut_samples(np.zeros((9, 9, 3), np.uint8), crops, photo, 3, View(12))
    assert len(samples) == len(crops) and (samples.photos == 3).all()
    np.testing.assert_array_equal(samples.kinds, crops.kinds)
    np.testing.assert_array_equal(samples.has_box, crops.kinds != Kind.NEGATIVE)
    np.testing.assert_array_equal(samples.faces == NO_FACE, crops.kinds == Kind.NEGATIVE)
    known = samples.has_box
    boxes, faces = crops.boxes[known], samples.faces[known]
    np.testing.assert_allclose(box_ops.decode(boxes, samples.offsets[known]), photo.boxes[faces], atol=1e-4)
    assert not samples.offsets[~known].any() and not samples.landmarks[~known].any()
    known = samples.has_landmarks
    points = box_ops.decode_landmarks(crops.boxes[known], samples.landmarks[known].reshape(-1, 10))
    np.testing.assert_allclose(points, photo.landmarks[samples.faces[known]], atol=2e-4)


def test_positives_carry_landmarks_that_are_inside() -> None:
    boxes = np.repeat(FACE, 3, axis=0) + np.array([[0], [300], [600]])
    photo = make_photo("a.png", boxes)
    photo.landmarks[1] = np.nan  # unknown
    photo.landmarks[2, 4] = boxes[2, 2:] + 3  # a little outside its box
    crops = sampling.label(
        np.vstack([sampling.jittered(boxes, 40, SamplingOptions(), np.random.default_rng(0))]), photo, SamplingOptions()
    )
    samples = cropping.cut_samples(np.zeros((9, 9, 3), np.uint8), crops, photo, 0, View(12))
    positive = samples.kinds == Kind.POSITIVE
    known = photo.landmarks[crops.faces]
    low, high = crops.boxes[:, None, :2], crops.boxes[:, None, 2:]
    inside = ((known >= low) & (known <= high)).all((1, 2))
    np.testing.assert_array_equal(samples.has_landmarks, positive & inside)
    by_face = [samples.has_landmarks[positive & (crops.faces == face)] for face in range(3)]
    assert by_face[0].mean() > 0.9 and not by_face[1].any() and 0 < by_face[2].mean() < 0.9
    assert np.isfinite(samples.landmarks).all()


@pytest.mark.parametrize("size", [12, 24, 48])
def test_mirrored_twice_is_the_identity(size: int) -> None:
    samples = make_samples(50, size)
    once = cropping.mirrored(samples)
    np.testing.assert_array_equal(once.crops, samples.crops[:, :, ::-1])
    np.testing.assert_allclose(once.landmarks[:, 0], samples.landmarks[:, 1] * [-1, 1] + [1, 0], atol=1e-6)
    twice = cropping.mirrored(once)
    for name in ("offsets", "landmarks"):
        np.testing.assert_allclose(getattr(twice, name), getattr(samples, name), atol=1e-6)
    assert_equal(Samples(**{**vars(twice), "offsets": samples.offsets, "landmarks": samples.landmarks}), samples)


def test_a_mirrored_box_is_the_box_in_the_mirror() -> None:
    crop, face = np.array([[10.0, 20, 50, 60]]), np.array([[14.0, 18, 56, 61]])
    photo = make_photo("a.png", face)
    crops = sampling.label(crop, photo, SamplingOptions())
    width = 100
    turned = [[width - x2, y1, width - x1, y2] for x1, y1, x2, y2 in (crop[0], face[0])]
    samples = cropping.mirrored(cropping.cut_samples(np.zeros((80, width, 3), np.uint8), crops, photo, 0, View(12)))
    np.testing.assert_allclose(box_ops.decode(np.array(turned[:1]), samples.offsets), turned[1:], atol=1e-5)


# ---- landmarks


@pytest.mark.parametrize("rotation", [0, 15, 90])
@pytest.mark.parametrize("face", [FACE[0], [3.5, 100.2, 150, 255.9], [20, 0, 300, 300.0]], ids=["inside", "left", "all"])
def test_landmarks_lie_on_their_dots(face: list[float], rotation: float) -> None:
    """In crops as they are, turned, mirrored, turned and mirrored: to a fifth of a pixel of the crop, and without a bias."""
    photo = make_photo("a.png", [face])
    samples = cut_landmarks(paint(300, 320, photo), photo, landmark_jitters=60, rotation=rotation)
    half = len(samples) // 2
    assert half > 15 and (samples.kinds == Kind.LANDMARK).all() and (samples.photos == 7).all()
    found = find_dots(samples.crops)
    found[half:] = found[half:][:, MIRRORED]
    for part in (slice(None, half), slice(half, None)):  # as they are, in the mirror
        off = distances(found[part], samples.landmarks[part]) * 48
        assert len(off) > 80 and np.abs(off).max() < 0.2 and np.abs(off.mean(0)).max() < 0.03
    np.testing.assert_array_equal(samples.crops[half:], samples.crops[:half, :, ::-1])


def test_every_second_crop_is_turned() -> None:
    photo = make_photo("a.png", FACE)
    samples = cut_landmarks(paint(300, 300, photo), photo, landmark_jitters=200, rotation=20, mirror=False)
    eyes = samples.landmarks[:, 1] - samples.landmarks[:, 0]
    straight = photo.landmarks[0, 1] - photo.landmarks[0, 0]
    angles = np.degrees(np.arctan2(straight[1], straight[0]) - np.arctan2(eyes[:, 1], eyes[:, 0]))
    is_turned = np.abs(angles) > 1e-3
    assert 0.35 < is_turned.mean() < 0.65 and np.abs(angles).max() <= 20.001
    assert angles.max() > 10 and angles.min() < -10


def test_landmarks_of_several_faces() -> None:
    photo = make_photo("a.png", [FACE[0], [220, 30, 290, 100], [5, 5, 15, 15], [230, 200, 280, 260]], [0, 0, 0, 1])
    photo.landmarks[1] = np.nan
    samples = cut_landmarks(paint(300, 300, make_photo("a.png", FACE)), photo, landmark_jitters=30)
    assert len(samples) and set(samples.faces) == {0}  # the others: unknown, too small, to be ignored
    assert (samples.iou >= 0.65 - 1e-6).all() and samples.has_landmarks.all() and not samples.has_box.any()


def test_a_crop_that_a_landmark_leaves_is_dropped() -> None:
    photo = make_photo("a.png", FACE)
    image = paint(300, 300, photo)
    everything = cut_landmarks(image, photo, landmark_jitters=100)
    photo.landmarks[0, 3] = [FACE[0][0] + 2, FACE[0][3] - 2]  # in a corner of the box
    fewer = cut_landmarks(image, photo, landmark_jitters=100)
    assert 0 < len(fewer) < 0.7 * len(everything)
    for samples in (everything, fewer):
        assert (samples.landmarks >= 0).all() and (samples.landmarks <= 1).all()
    photo.landmarks[0, 3] = [0, 299]
    assert len(cut_landmarks(image, photo)) == 0


@pytest.mark.parametrize("options", [{"landmark_jitters": 0}, {"min_face": 400}])
def test_no_landmark_samples(options: dict[str, Any]) -> None:
    photo = make_photo("a.png", FACE)
    assert cut_landmarks(paint(300, 300, photo), photo, **options).crops.shape == (0, 48, 48, 3)
    assert len(cut_landmarks(paint(300, 300, photo), make_photo("a.png", []), **options)) == 0


def test_turning_in_a_photo_wider_than_opencv_can_turn() -> None:
    photo = make_photo("a.png", [[32900, 4, 32950, 58]])
    image = np.zeros((60, 33000, 3), np.uint8)
    image[:, 32800:] = paint(60, 200, make_photo("a.png", [[100, 4, 150, 58]]))
    samples = cut_landmarks(image, photo, landmark_jitters=60, mirror=False)
    assert len(samples) > 10
    assert np.abs(distances(find_dots(samples.crops), samples.landmarks)).max() * 48 < 0.5
