"""Batches from crops: the kernel against its numpy stand-in and against a plain loop."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon.operators import make_batch
from mtcnn_gluon.operators.make_batch import _make_batch

SIZES = (1, 2, 5, 7, 12, 17, 24, 48)


def stand_in(
    crops: np.ndarray, rows: np.ndarray, mirror: np.ndarray, mix: np.ndarray | None = None, mean: float = 127.5,
    scale: float = 1 / 128,
) -> np.ndarray:  # fmt: skip
    return _make_batch(crops, rows, mirror, mix, mean, scale)


both = pytest.mark.parametrize("make", [make_batch, stand_in], ids=["kernel", "numpy"])


def plain(
    crops: np.ndarray, rows: np.ndarray, mirror: np.ndarray, mix: np.ndarray | None, mean: float, scale: float
) -> np.ndarray:
    """In double precision, a pixel at a time."""
    size = crops.shape[1]
    out = np.zeros((len(rows), 3, size, size))
    for n, row in enumerate(rows):
        for y in range(size):
            for x in range(size):
                colours = crops[row, y, size - 1 - x if mirror[n] else x].astype(float)
                if mix is not None:
                    colours = np.array([min(max(mix[n, c, :3] @ colours + mix[n, c, 3], 0), 255) for c in range(3)])
                out[n, :, y, x] = (colours - mean) * scale
    return out


def inputs(size: int, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Crops, and rows (with repeats), mirror and colour mixes (some far out of range) of `count` samples."""
    generator = np.random.default_rng(seed)
    crops = generator.integers(0, 256, (9, size, size, 3)).astype(np.uint8)
    mix = generator.normal(0, 1, (count, 3, 4)).astype(np.float32)
    mix[:, :, 3] *= 200
    return crops, generator.integers(0, 9, count), generator.random(count) < 0.5, mix


@both
@pytest.mark.parametrize("has_mix", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_against_a_plain_loop(make: Callable[..., np.ndarray], size: int, has_mix: bool) -> None:
    crops, rows, mirror, mix = inputs(size, 4)
    used = mix if has_mix else None
    found = make(crops, rows, mirror, used, 100.0, 0.5)
    assert found.shape == (4, 3, size, size) and found.dtype == np.float32
    np.testing.assert_allclose(found, plain(crops, rows, mirror, used, 100.0, 0.5), atol=1e-3)


@pytest.mark.parametrize("has_mix", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 500])
@pytest.mark.parametrize("size", SIZES)
def test_kernel_and_numpy_agree(size: int, count: int, has_mix: bool) -> None:
    crops, rows, mirror, mix = inputs(size, count, seed=count)
    used = mix if has_mix else None
    np.testing.assert_allclose(make_batch(crops, rows, mirror, used), stand_in(crops, rows, mirror, used), atol=1e-5)


@both
def test_defaults_are_what_nets_see(make: Callable[..., np.ndarray]) -> None:
    crops, rows, mirror, _ = inputs(12, 20)
    mirror[:] = False
    expected = (crops[rows].transpose(0, 3, 1, 2).astype(np.float32) - np.float32(127.5)) * np.float32(1 / 128)
    np.testing.assert_array_equal(make(crops, rows, mirror), expected)
    mirror[:] = True
    np.testing.assert_array_equal(make(crops, rows, mirror), expected[..., ::-1])


@both
def test_mixes(make: Callable[..., np.ndarray]) -> None:
    """No change, colours swapped, cut at both ends."""
    crops, rows, mirror, _ = inputs(24, 5)
    identity = np.tile(np.eye(3, 4, dtype=np.float32), (5, 1, 1))
    plain_batch = make(crops, rows, mirror)
    np.testing.assert_array_equal(make(crops, rows, mirror, identity), plain_batch)
    np.testing.assert_array_equal(make(crops, rows, mirror, identity[:, ::-1].copy()), plain_batch[:, ::-1])
    identity[:, :, 3] = [[-1000], [1000], [0.0], [300], [-300]] * np.ones((1, 3), np.float32)
    cut = make(crops, rows, mirror, identity)
    low, high = np.float32(-127.5 / 128), np.float32(127.5 / 128)
    assert (cut[[0, 4]] == low).all() and (cut[[1, 3]] == high).all()
    np.testing.assert_array_equal(cut[2], plain_batch[2])


@both
@pytest.mark.parametrize("view", ["memory-mapped", "every second", "backwards", "the same", "read-only"])
def test_crops_that_lie_apart(make: Callable[..., np.ndarray], view: str) -> None:
    """As in a record, where other bytes lie between two crops."""
    crops, rows, mirror, mix = inputs(12, 30)
    memory = np.random.default_rng(5).integers(0, 256, 9 * 500).astype(np.uint8)
    strided: Any = np.ndarray((9, 12, 12, 3), np.uint8, memory, 52, (500, 36, 3, 1))
    strided[:] = crops
    views = {
        "memory-mapped": strided, "every second": np.repeat(crops, 2, axis=0)[::2], "backwards": crops[::-1].copy()[::-1],
        "the same": np.broadcast_to(crops[3], crops.shape), "read-only": crops.copy(),
    }  # fmt: skip
    views["read-only"].flags.writeable = False
    whole = np.ascontiguousarray(views[view])
    np.testing.assert_array_equal(make(views[view], rows, mirror, mix), make(whole, rows, mirror, mix))


@pytest.mark.parametrize("axes", [(0, 2, 1, 3), (0, 1, 2, 3)], ids=["turned", "BGR"])
def test_crops_not_laid_out_as_the_kernel_reads_them(axes: tuple[int, ...]) -> None:
    crops, rows, mirror, mix = inputs(12, 30)
    view = crops.transpose(axes) if axes != (0, 1, 2, 3) else crops[..., ::-1]
    np.testing.assert_allclose(
        make_batch(view, rows, mirror, mix), make_batch(np.ascontiguousarray(view), rows, mirror, mix), atol=1e-5
    )


@pytest.mark.parametrize("has_kernel", [True, False])
def test_out(has_kernel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written to, nothing beside it is."""
    if not has_kernel:
        monkeypatch.setitem(make_batch.__globals__, "kernels", lambda: None)
    crops, rows, mirror, mix = inputs(12, 8)
    whole = np.full((20, 3, 12, 12), 7, np.float32)
    found = make_batch(crops, rows, mirror, mix, out=whole[5:13])
    assert np.shares_memory(found, whole)
    np.testing.assert_array_equal(whole[5:13], make_batch(crops, rows, mirror, mix))
    assert (whole[:5] == 7).all() and (whole[13:] == 7).all()


@pytest.mark.parametrize("rows", [[9], [-1], [0, 1, 2**40], [0, -(2**62)]])
def test_rows_out_of_range(rows: list[int]) -> None:
    crops = np.zeros((9, 12, 12, 3), np.uint8)
    with pytest.raises(IndexError, match="rows must be from 0 to 8, got"):
        make_batch(crops, np.array(rows), np.zeros(len(rows), bool))
    with pytest.raises(IndexError):
        make_batch(crops[:0], np.array([0]), np.zeros(1, bool))
    assert make_batch(crops[:0], np.zeros(0, int), np.zeros(0, bool)).shape == (0, 3, 12, 12)


def test_inputs_stay_as_they_are() -> None:
    arrays = inputs(12, 30)
    copies = [array.copy() for array in arrays]
    make_batch(*arrays)
    for array, copy in zip(arrays, copies):
        np.testing.assert_array_equal(array, copy)
