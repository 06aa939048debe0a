"""Layers and training in bfloat16: exactly as in float32 where nothing is rounded, close to it elsewhere, refused in words."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon.config import NETS
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators.mxnet_operators import register
from mtcnn_gluon.operators.native import has_bfloat16
from mtcnn_gluon.training.checkpoints import LAST, read_checkpoint
from mtcnn_gluon.training.hooks import Checkpoints
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.state import Run
from mtcnn_gluon.training.trainer import fit
from training_runs import Train, assert_same_state, interrupt_after, write_records

mx = load_mxnet()
nd = mx.nd

needs_amx = pytest.mark.skipif(not has_bfloat16(), reason="bfloat16 needs a processor with AMX, under Linux, and the kernels")


@pytest.fixture(scope="module", autouse=True)
def native_operators() -> None:
    if reason := register():
        pytest.skip(reason)


def layer(inputs: list[np.ndarray], pool: int, bfloat16: bool, head: np.ndarray | None = None) -> list[np.ndarray]:
    """The output of prelu_pool_conv and, if there is a head gradient, the gradients of weight, bias, and of data and slopes."""
    data, weight, bias, *alpha = (nd.array(each) for each in inputs)
    for each in (data, weight, bias, *alpha):
        each.attach_grad()
    with mx.autograd.record():
        output = nd.prelu_pool_conv(data, weight, bias, *alpha, pool=pool, bfloat16=bfloat16)
    if head is None:
        return [output.asnumpy()]
    output.backward(nd.array(head))
    learned = (weight, bias, data, *alpha) if alpha else (weight, bias)
    return [output.asnumpy(), *(each.grad.asnumpy() for each in learned)]


def steps(generator: np.random.Generator, shape: tuple[int, ...], limit: int, unit: float) -> np.ndarray:
    """Multiples of `unit` up to `limit` of it, which bfloat16 holds."""
    return (generator.integers(-limit, limit + 1, shape) * unit).astype(np.float32)


SHAPES = [  # images, height, width, channels, pool (-1: a first layer), kernel, filters: those of the nets, then odd ones
    (3, 12, 12, 3, -1, 3, 10), (3, 10, 10, 10, 2, 3, 16), (3, 3, 3, 16, 0, 3, 32), (3, 1, 1, 32, 0, 1, 6),
    (2, 24, 24, 3, -1, 3, 28), (2, 22, 22, 28, 3, 3, 48), (2, 9, 9, 48, 3, 2, 64),
    (2, 48, 48, 3, -1, 3, 32), (2, 46, 46, 32, 3, 3, 64), (2, 21, 21, 64, 3, 3, 64), (2, 8, 8, 64, 2, 2, 128),
    (1, 1, 1, 1, 0, 1, 1), (40, 2, 3, 2, 0, 2, 17), (2, 33, 5, 33, 2, 3, 15), (3, 5, 40, 130, 3, 2, 33),
    (1, 60, 7, 1, 3, 3, 65), (2, 9, 4, 5, -1, 2, 49),
]  # fmt: skip


@needs_amx
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_not_rounded_is_as_in_float32(shape: tuple[int, ...]) -> None:
    """Small multiples of powers of two: bfloat16 holds every factor, and float32 every sum."""
    images, height, width, channels, pool, kernel, filters = shape
    generator = np.random.default_rng(shape[1:4])
    size = (images, channels, height, width) if pool < 0 else (images, height, width, channels)
    inputs = [steps(generator, size, 9, 0.5), steps(generator, (filters, channels, kernel, kernel), 7, 0.25)]
    inputs += [steps(generator, (filters,), 9, 0.5)] + [steps(generator, (channels,), 1, 0.5)] * (pool >= 0)
    head = steps(generator, layer(inputs, max(pool, 0), False)[0].shape, 5, 0.5)
    found, expected = (layer(inputs, max(pool, 0), bfloat16, head) for bfloat16 in (True, False))
    assert len(found) == (5 if pool >= 0 else 3)
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a, b)


@needs_amx
@pytest.mark.parametrize("shape", SHAPES[8:11])
def test_factors_are_rounded_and_sums_are_not(shape: tuple[int, ...]) -> None:
    images, height, width, channels, pool, kernel, filters = shape
    generator = np.random.default_rng(0)
    draw = generator.standard_normal
    inputs = [draw((images, height, width, channels)), draw((filters, channels, kernel, kernel)), draw(filters), draw(channels)]
    inputs = [each.astype(np.float32) for each in inputs]
    head = draw(layer(inputs, pool, False)[0].shape).astype(np.float32)
    found, expected = (layer(inputs, pool, bfloat16, head) for bfloat16 in (True, False))
    for a, b in zip(found, expected):
        error = np.abs(a - b).max() / np.abs(b).max()
        assert error < 2**-6  # a factor of 8 bits is off by 2 ** -9 at most, a sum of such products by little more
    assert np.abs(found[0] - expected[0]).max() > 0


@needs_amx
def test_not_a_number_is_seen() -> None:
    """In an output or not, what is not a number must reach the gradients, and nothing but the images that hold it."""
    generator = np.random.default_rng(0)
    inputs = [generator.standard_normal(shape).astype(np.float32) for shape in ((3, 9, 9, 20), (33, 20, 3, 3), (33,), (20,))]
    inputs[0][1, 4, 4, 7] = np.nan
    for pool in (0, 2, 3):
        head = np.ones_like(layer(inputs, pool, True)[0])
        output, weight, _, data, _ = layer(inputs, pool, True, head)
        assert np.isnan(output[1]).any() and np.isfinite(output[[0, 2]]).all()
        assert np.isnan(weight[:, 7]).any() and np.isfinite(data[[0, 2]]).all()


@needs_amx
@pytest.mark.parametrize("name", NETS)
def test_training_is_close_to_that_in_float32(tmp_path: Path, name: Any) -> None:
    data = write_records(tmp_path, 120, name)
    options = {"net": name, "epochs": 2, "batch": 32, "warm_up": 2}
    rows = {p: fit(Run(TrainingOptions(**options, precision=p), data, tmp_path / p)) for p in ("float32", "bfloat16")}
    for term in {"loss", "cls", "box", "landmark"} & set(rows["float32"]):
        assert rows["bfloat16"][term] == pytest.approx(rows["float32"][term], rel=0.05)
    assert rows["bfloat16"]["loss"] != rows["float32"]["loss"]


@needs_amx
def test_a_run_goes_on_in_bfloat16(tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    data, options = write_records(tmp_path, 120), TrainingOptions("pnet", epochs=2, batch=32, warm_up=2, precision="bfloat16")
    fit(Run(options, data, tmp_path / "whole"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoints, "after_epoch", interrupt_after(Checkpoints.after_epoch))
        fit(Run(options, data, tmp_path / "parts"))
    assert read_checkpoint(tmp_path / "parts" / LAST).about["epoch"] == 1
    same = ["--records", data, "--out", tmp_path / "parts", "--batch", 32, "--warm-up", 2, "--epochs", 2, "--resume"]
    status, said = train(*same)
    assert status == 2 and "precision was bfloat16, is float32" in said
    assert train(*same, "--precision", "bfloat16")[0] == 0
    assert_same_state(tmp_path / "parts", tmp_path / "whole")


WITHOUT = """
from mtcnn_gluon.errors import MtcnnError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators.mxnet_operators import register
from mtcnn_gluon.symbol import PNet
from mtcnn_gluon.training.options import TrainingOptions
mx, _ = load_mxnet(), register()
one = mx.nd.ones
inputs = one((1, 3, 4, 4)), one((5, 3, 1, 1)), one(5)
calls = (
    lambda: PNet(form="bfloat16"), lambda: mx.nd.prelu_pool_conv(*inputs, bfloat16=True),
    lambda: TrainingOptions("pnet", precision="bfloat16"),
)
for call in calls:
    try:
        call()
    except (MtcnnError, mx.base.MXNetError) as error:
        print(error)
"""


def test_a_processor_without_it_is_named() -> None:
    environment = {**os.environ, "MTCNN_GLUON_ISA": "avx2"}
    run = subprocess.run([sys.executable, "-c", WITHOUT], env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("needs a processor with AMX, under Linux") == 3, run.stdout
