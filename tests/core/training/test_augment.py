"""What chance does to a batch: shares, limits, colours, and targets that follow."""

from typing import Any

import numpy as np
import pytest

from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.operators import make_batch
from mtcnn_gluon.training.augment import LUMINANCE, Augmentation

NAMES = ("mirror", "brightness", "contrast", "saturation", "blur", "occlusion")


def mixes(count: int = 2000, **limits: float) -> np.ndarray:
    mix = Augmentation(**limits).draw(count, np.random.default_rng(0))[1]
    assert mix is not None and mix.shape == (count, 3, 4) and mix.dtype == np.float32
    return mix.astype(float)


def applied(mix: np.ndarray, colour: list[float]) -> np.ndarray:
    """What mixes (N, 3, 4) make of one colour (N, 3), not cut."""
    return mix[:, :, :3] @ np.array(colour, float) + mix[:, :, 3]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, np.inf, True, "0.5", None], ids=str)
def test_options_out_of_range(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be a number from 0 to 1"):
        Augmentation(**{name: value})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, 1, 0.5, np.float64(0.25)])
def test_options_in_range(name: str, value: float) -> None:
    """Each changes what it is for, more with a larger value, and nothing else; 0 changes nothing."""
    augmentation, generator = Augmentation(**{"mirror": 0, name: value}), np.random.default_rng(0)
    mirror, mix = augmentation.draw(400, generator)
    before = generator.uniform(-1, 1, (400, 3, 12, 12)).astype(np.float32)
    images = before.copy()
    augmentation.degrade(images, images.shape[-1], generator)
    colours = np.abs(mix - np.eye(3, 4, dtype=np.float32)).max((1, 2)) if mix is not None else np.zeros(400)
    shares = {
        "mirror": mirror.mean(),
        **dict.fromkeys(("brightness", "contrast", "saturation"), (colours > 0).mean()),
        **dict.fromkeys(("blur", "occlusion"), (images != before).any((1, 2, 3)).mean()),
    }
    others = {"brightness", "contrast", "saturation"} if name in ("brightness", "contrast", "saturation") else set()
    others |= {"blur", "occlusion"} if name in ("blur", "occlusion") else {name}
    assert all(share == 0 for each, share in shares.items() if each not in others)
    if name in ("mirror", "occlusion"):
        assert shares[name] == pytest.approx(value, abs=0.08 * (0 < value < 1))
    elif name == "blur":  # a narrow one changes nothing
        assert 0.5 * value <= shares[name] <= value + 0.08
    else:
        assert shares[name] == (value > 0) and (value == 0 or colours.max() > 0.5 * value)


@pytest.mark.parametrize(("share", "low", "high"), [(0, 0, 0), (1, 1, 1), (0.5, 0.45, 0.55), (0.1, 0.07, 0.13)])
def test_share_of_mirrored(share: float, low: float, high: float) -> None:
    mirror, mix = Augmentation(mirror=share).draw(2000, np.random.default_rng(0))
    assert mirror.shape == (2000,) and mirror.dtype == bool and low <= mirror.mean() <= high
    assert mix is None  # colours stay


def test_the_same_chance_twice() -> None:
    augmentation = Augmentation(0.5, 0.1, 0.2, 0.3)
    (a, b), (c, d) = (augmentation.draw(50, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(a, c)
    np.testing.assert_array_equal(b, d)


def test_none_at_all() -> None:
    mirror, mix = Augmentation(brightness=0.1).draw(0, np.random.default_rng(0))
    assert mirror.shape == (0,) and mix is not None and mix.shape == (0, 3, 4)


def degraded(images: np.ndarray, **shares: float) -> np.ndarray:
    images = images.copy()
    Augmentation(**shares).degrade(images, images.shape[-1], np.random.default_rng(0))
    return images


def test_nothing_is_degraded_unless_asked_for() -> None:
    images = np.random.default_rng(0).random((9, 3, 24, 24), np.float32)
    np.testing.assert_array_equal(degraded(images), images)
    assert degraded(images[:0], blur=1, occlusion=1).shape == (0, 3, 24, 24)


@pytest.mark.parametrize("size", [12, 24, 48])
def test_blur(size: int) -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (400, 3, size, size)).astype(np.float32)
    images += np.array([-2, 0, 2], np.float32)[:, None, None]
    changed = degraded(images, blur=0.25)
    is_changed = (changed != images).any((1, 2, 3))
    assert 60 <= is_changed.sum() <= 130  # a Gaussian that is narrow enough changes nothing
    np.testing.assert_allclose(changed.mean((2, 3)), images.mean((2, 3)), atol=0.1)  # each colour by itself
    contrast = (changed.std((2, 3)) / images.std((2, 3)))[is_changed].mean(1)
    assert contrast.max() <= 1 and contrast.min() < 0.9 and np.ptp(contrast) > 0.1  # some more, some less


@pytest.mark.parametrize("size", [12, 24, 48])
def test_occlusion(size: int) -> None:
    images = np.full((400, 3, size, size), 9, np.float32)
    changed = degraded(images, occlusion=0.25)
    is_covered = (changed != 9).all(axis=1)  # (400, S, S)
    assert 70 <= is_covered.any((1, 2)).sum() <= 130
    shares = []
    for image, covered in zip(changed, is_covered):
        if covered.any():
            rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
            patch = image[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert covered.sum() == patch[0].size and (patch == patch[:, :1, :1]).all() and np.abs(patch).max() <= 1
            shares.append(covered.sum() / size**2)
    assert 0.01 < min(shares) < 0.1 and 0.15 < max(shares) <= 0.27
    assert is_covered.any((0, 1)).all() and is_covered.any((0, 2)).all()  # anywhere


def test_brightness() -> None:
    for colour in ([0, 0, 0], [10, 200, 90]):
        shift = applied(mixes(brightness=0.2), colour) - colour
        np.testing.assert_allclose(shift, shift[:, :1] * np.ones(3), atol=1e-3)  # all colours alike
        assert np.abs(shift).max() <= 0.2 * 255 + 1e-3 and shift.min() < -45 and shift.max() > 45


def test_contrast() -> None:
    np.testing.assert_allclose(applied(mixes(contrast=0.4), [127.5] * 3), 127.5, atol=1e-3)  # the middle stays
    ratio = (applied(mixes(contrast=0.4), [227.5, 27.5, 137.5]) - 127.5) / [100, -100, 10]
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones(3), atol=1e-3)
    assert 0.6 - 1e-4 <= ratio.min() < 0.62 and 1.38 < ratio.max() <= 1.4 + 1e-4


def test_saturation() -> None:
    np.testing.assert_allclose(applied(mixes(saturation=0.5), [90] * 3), 90, atol=1e-3)  # grey stays grey
    colour = np.array([200.0, 30, 60])
    changed = applied(mixes(saturation=0.5), colour.tolist())
    np.testing.assert_allclose(changed @ LUMINANCE, colour @ LUMINANCE, atol=1e-2)  # as light as before
    ratio = (changed - colour @ LUMINANCE) / (colour - colour @ LUMINANCE)
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones(3), atol=1e-3)
    assert 0.5 - 1e-4 <= ratio.min() < 0.52 and 1.48 < ratio.max() <= 1.5 + 1e-4
    grey = applied(mixes(saturation=1.0), colour.tolist())
    assert np.ptp(grey, axis=1).min() < 5


def test_colours_are_cut_to_their_range() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (50, 12, 12, 3)).astype(np.uint8)
    mirror, mix = Augmentation(0, 1, 1, 1).draw(50, np.random.default_rng(1))
    batch = make_batch(crops, np.arange(50), mirror, mix)
    low, high = np.float32(-127.5 / 128), np.float32(127.5 / 128)
    assert batch.min() == low and batch.max() == high


def test_what_is_covered_is_no_larger_than_half_of_the_candidate() -> None:
    """Whatever lies around it: a larger part would hide the whole face."""
    images = np.full((400, 3, 34, 34), 5, np.float32)
    Augmentation(occlusion=1.0).degrade(images, 12, np.random.default_rng(0))
    covered = (images != 5).any(1)  # (400, 34, 34)
    assert covered.any(1).sum(1).max() == covered.any(2).sum(1).max() == 6
    places = covered.any(0)
    assert places[0].any() and places[-1].any() and places[:, 0].any() and places[:, -1].any()  # anywhere in the view
