"""Samples that tests of records share."""

from dataclasses import fields

import numpy as np

from mtcnn_gluon.records.samples import NO_FACE, Kind, Samples


def make_samples(count: int, size: int, seed: int = 0) -> Samples:
    """Samples of all kinds, with noise for crops."""
    generator = np.random.default_rng(seed)
    kinds = generator.choice(list(map(int, Kind)), count)
    return Samples(
        crops=generator.integers(0, 256, (count, size, size, 3), np.uint8),
        kinds=kinds,
        offsets=generator.normal(size=(count, 4)),
        landmarks=generator.random((count, 5, 2)),
        iou=generator.random(count),
        has_box=np.isin(kinds, [Kind.POSITIVE, Kind.PART]),
        has_landmarks=(kinds == Kind.LANDMARK) | ((kinds == Kind.POSITIVE) & (generator.random(count) < 0.5)),
        photos=generator.integers(0, 50, count),
        faces=generator.integers(NO_FACE, 4, count),
    )


def assert_equal(a: Samples, b: Samples) -> None:
    for f in fields(Samples):
        np.testing.assert_array_equal(getattr(a, f.name), getattr(b, f.name), f.name)
        assert getattr(a, f.name).dtype == getattr(b, f.name).dtype
