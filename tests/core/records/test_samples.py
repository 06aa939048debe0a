"""Samples and their labels."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.errors import DataError
from mtcnn_gluon.records.samples import (
    MIRRORED,
    NO_FACE,
    Kind,
    Samples,
    mirror_labels,
    mirror_targets,
    pack_labels,
    unpack_labels,
)
from record_samples import assert_equal, make_samples


@given(st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_unpack_undoes_pack(count: int, seed: int) -> None:
    samples = make_samples(count, 2, seed)
    labels = pack_labels(samples)
    assert labels.shape == (count, 18) and labels.dtype == np.float32
    assert_equal(Samples(samples.crops, photos=samples.photos, faces=samples.faces, **unpack_labels(labels)), samples)


def test_the_label_is_laid_out_as_documented() -> None:
    one = Samples(
        np.zeros((1, 2, 2, 3), np.uint8), kinds=[Kind.PART], offsets=[[0.1, 0.2, 0.3, 0.4]],
        landmarks=np.arange(10).reshape(1, 5, 2), iou=[0.5], has_box=[True], has_landmarks=[False], photos=[7], faces=[NO_FACE],
    )  # fmt: skip
    np.testing.assert_allclose(pack_labels(one), [[-1, 0.1, 0.2, 0.3, 0.4, *range(10), 0.5, 1, 0]])


def test_shapes_of_nothing() -> None:
    none = Samples.empty(12)
    assert len(none) == 0 and none.size == 12
    assert none.landmarks.shape == (0, 5, 2) and none.crops.shape == (0, 12, 12, 3)
    assert pack_labels(none).shape == (0, 18)
    assert_equal(Samples.concatenate([none, make_samples(3, 12), none]), make_samples(3, 12))


def test_concatenate_and_index() -> None:
    samples = make_samples(10, 4)
    assert_equal(Samples.concatenate([samples[:3], samples[3:3], samples[3:]]), samples)
    assert_equal(samples[-1], samples[9:10])
    assert_equal(samples[[2, 0, 2]], Samples.concatenate([samples[2], samples[0], samples[2]]))
    assert_equal(samples[samples.kinds == Kind.PART], samples[np.flatnonzero(samples.kinds == -1)])
    assert sum(1 for _ in samples) == 10
    with pytest.raises(IndexError):
        samples[10]
    with pytest.raises(ValueError):
        Samples.concatenate([make_samples(1, 2), make_samples(1, 4)])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("crops", np.zeros((3, 4, 4, 3), np.float32)),
        ("crops", np.zeros((3, 4, 5, 3), np.uint8)),
        ("crops", np.zeros((3, 4, 4), np.uint8)),
        ("crops", np.zeros((3, 3, 4, 4), np.uint8)),
        ("kinds", np.zeros(2)),
        ("offsets", np.zeros((3, 5))),
        ("landmarks", np.zeros((3, 10))),
        ("iou", np.zeros((3, 1))),
        ("photos", 0),
    ],
)
def test_arrays_that_do_not_fit(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        changed(name, value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("kinds", [1, 2, 0], "kinds of sample 1 must be one of 1, 0, -1, -2, got 2"),
        ("kinds", [1, -1, 0.5], "kinds of sample 2 must be a whole number, got 0.5"),
        ("kinds", [1, -1, np.nan], "kinds of sample 2"),
        ("kinds", [1, 257, 0], "kinds of sample 1"),
        ("offsets", np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, np.inf, 0, 0]]), "offsets of sample 2 must be finite"),
        ("offsets", np.full((3, 4), 1e39), "offsets of sample 0 must be finite"),
        ("landmarks", np.full((3, 5, 2), np.nan), "landmarks of sample 0 must be finite"),
        ("iou", [0, 1.01, 0], r"iou of sample 1 must be in 0..1, got 1.0\d*"),
        ("iou", [0, -0.1, 0], "iou of sample 1"),
        ("iou", [np.nan, 0, 0], "iou of sample 0"),
        ("has_box", [True, False, False], "has_box of sample 1 must be true of positive and part"),
        ("has_box", [True, True, True], "has_box of sample 2 must be false of negative"),
        ("has_box", [1, 1, 0.5], "has_box of sample 2 must be 0 or 1, got 0.5"),
        ("has_landmarks", [False, False, True], "has_landmarks of sample 2 must be false of negative"),
        ("photos", [0, -1, 0], "photos of sample 1 must be at least 0, got -1"),
        ("photos", np.array([0, 2**64 - 1, 0], np.uint64), "photos of sample 1"),
        ("photos", [0, 0.5, 0], "photos of sample 1"),
        ("faces", [0, -2, 0], "faces of sample 1"),
    ],
)
def test_values_out_of_range(name: str, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        changed(name, value)


def test_landmark_samples_need_landmarks() -> None:
    with pytest.raises(DataError, match="has_landmarks of sample 1 must be true of landmark samples, got False"):
        changed("kinds", [1, -2, 0])


def changed(name: str, value: Any) -> Samples:
    """A positive, a part and a negative, all right but for one attribute."""
    attributes = {
        "crops": np.zeros((3, 4, 4, 3), np.uint8), "kinds": [1, -1, 0], "offsets": np.zeros((3, 4)),
        "landmarks": np.zeros((3, 5, 2)), "iou": [1, 0.5, 0], "has_box": [True, True, False], "has_landmarks": [False] * 3,
        "photos": [0, 1, 2], "faces": [0, 0, NO_FACE],
    }  # fmt: skip
    assert set(attributes) == {f.name for f in fields(Samples)}
    return Samples(**{**attributes, name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1, 30])
def test_mirrored_twice_is_the_identity(count: int) -> None:
    generator = np.random.default_rng(count)
    offsets, landmarks = generator.normal(size=(count, 4)).astype(np.float32), generator.random((count, 5, 2), np.float32)
    before = offsets.copy(), landmarks.copy()
    once = mirror_targets(offsets, landmarks)
    twice = mirror_targets(*once)
    for array, start, mirrored in zip(twice, before, once):
        np.testing.assert_allclose(array, start, atol=1e-6)
        assert mirrored.dtype == np.float32 and (count == 0 or np.abs(mirrored - start).max() > 0.1)
    np.testing.assert_array_equal(offsets, before[0])
    np.testing.assert_array_equal(landmarks, before[1])


def test_mirrored_targets_are_those_of_the_mirrored_photo() -> None:
    generator = np.random.default_rng(0)
    width = 300.0
    corners = generator.uniform(0, 200, (40, 2))
    crops = np.hstack([corners, corners + generator.uniform(20, 90, (40, 1))])
    faces = crops + generator.normal(0, 5, (40, 4))
    points = corners[:, None] + generator.uniform(0, 50, (40, 5, 2))

    def turned(boxes: np.ndarray) -> np.ndarray:
        return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)

    offsets, landmarks = mirror_targets(box_ops.encode(crops, faces), box_ops.encode_landmarks(crops, points).reshape(-1, 5, 2))
    np.testing.assert_allclose(box_ops.decode(turned(crops), offsets), turned(faces), atol=1e-9)
    found = box_ops.decode_landmarks(turned(crops), landmarks.reshape(-1, 10))
    for i, name in enumerate(LANDMARK_NAMES):
        other = {"left": "right", "right": "left"}.get(name.split("_")[0], "")
        source = LANDMARK_NAMES.index(name if not other else f"{other}_{name.split('_')[1]}")
        assert MIRRORED[i] == source
        np.testing.assert_allclose(found[:, i], points[:, source] * [-1, 1] + [width, 0], atol=1e-9)


def test_mirrored_labels_are_those_of_mirrored_targets() -> None:
    samples = make_samples(20, 2)
    labels = np.hstack([pack_labels(samples), np.full((20, 1), 0.25, np.float32)])  # with a teacher's column
    mirrored = mirror_labels(labels)
    offsets, landmarks = mirror_targets(samples.offsets, samples.landmarks)
    expected = replace(samples, offsets=offsets, landmarks=landmarks)
    np.testing.assert_array_equal(mirrored, np.hstack([pack_labels(expected), labels[:, 18:]]))
