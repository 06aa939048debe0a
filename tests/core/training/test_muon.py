"""Muon against plain numpy, and which parameters it is for."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.training.muon import ITERATION, Muon, orthogonal
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.trainer import Run, step
from training_runs import write_records

mx = load_mxnet()


def exactly(matrix: np.ndarray) -> np.ndarray:
    """What `orthogonal` approximates, by way of the singular values, in float64."""
    left, values, right = np.linalg.svd(matrix.astype(float), full_matrices=False)
    values /= np.linalg.norm(values) + 1e-7
    for _ in range(5):
        values = sum(factor * values ** (1 + 2 * i) for i, factor in enumerate(ITERATION))
    return left * values @ right


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99), st.sampled_from([1e-3, 1.0, 1e4]))
def test_orthogonal(rows: int, columns: int, seed: int, scale: float) -> None:
    matrix = np.random.default_rng(seed).normal(0, scale, (rows, columns)).astype(np.float32)
    found = orthogonal(matrix)
    assert found.shape == matrix.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, exactly(matrix), atol=0.005)  # float32 forgets the smallest singular values
    values = np.linalg.svd(matrix)[1]
    reached = np.linalg.svd(found)[1][values > 0.01 * np.linalg.norm(values)]
    assert (reached > 0.68).all() and (reached < 1.21).all()


def test_orthogonal_of_nothing() -> None:
    np.testing.assert_array_equal(orthogonal(np.zeros((3, 5), np.float32)), np.zeros((3, 5)))


def test_like_plain_numpy() -> None:
    """A matrix, then a vector, four steps."""
    generator = np.random.default_rng(0)
    start = generator.normal(size=30).astype(np.float32)
    gradients = generator.normal(size=(4, 30)).astype(np.float32)
    optimiser = Muon([(slice(0, 24), (4, 3, 2, 1))], wd=0.1)
    optimiser.set_learning_rate(0.02)
    weight = mx.nd.array(start)
    state = optimiser.create_state(0, weight)
    for gradient in gradients:
        optimiser.update(0, weight, mx.nd.array(gradient), state)

    expected, momentum, mean, square = start.astype(float), np.zeros(24), np.zeros(6), np.zeros(6)
    for count, gradient in enumerate(gradients.astype(float), 1):
        matrix, vector = gradient[:24], gradient[24:]
        momentum = momentum + 0.05 * (matrix - momentum)
        mean, square = 0.9 * mean + 0.1 * vector, 0.999 * square + 0.001 * vector**2
        nesterov = (0.95 * momentum + 0.05 * matrix).reshape(4, 6)
        adam = mean / (1 - 0.9**count) / (np.sqrt(square / (1 - 0.999**count)) + 1e-8)
        expected = 0.998 * expected - 0.02 * np.concatenate([0.2 * 6**0.5 * exactly(nesterov).ravel(), adam])
    np.testing.assert_allclose(weight.asnumpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("net", ["pnet", "onet"])
def test_hidden_weights_take_orthogonal_steps(net: str, tmp_path: Path) -> None:
    """All others take those of adam, the first of which is as long for every number."""
    run = Run(
        TrainingOptions(net, epochs=1, batch=32, optimiser="muon", rate=0.01, warm_up=0, clip=0),
        write_records(tmp_path / "records", net=net),
        tmp_path,
    )
    before = run.parameters()
    run.trainer.set_learning_rate(0.01)
    step(run, next(iter(run.sampler.batches(0, 1))))
    gradients = run.trained.parts(run.trained.list_grad()[0])
    for name, value in run.parameters().items():
        change, gradient = (value - before[name]) / 0.01, gradients[name].asnumpy()
        if name.endswith("_weight") and not any(head in name for head in ("cls", "box", "landmark")):
            matrix = change.reshape(len(change), -1)
            values = np.linalg.svd(matrix)[1] / (0.2 * max(matrix.shape) ** 0.5)
            assert 0.6 < values.max() < 1.21, name
        else:
            is_long = np.abs(gradient) > 1e-6  # beside adam's epsilon
            assert is_long.mean() > 0.5
            np.testing.assert_allclose(change[is_long], -np.sign(gradient[is_long]), atol=0.02)
