"""Muon, an optimiser with orthogonal steps for matrices."""

from typing import Any, Sequence

import numpy as np
from threadpoolctl import ThreadpoolController

from mtcnn_gluon.mxnet_loader import load_mxnet

mx = load_mxnet()
Optimizer: Any = mx.optimizer.Optimizer

ITERATION = (3.4445, -4.7750, 2.0315)  # of x, x^3 and x^5; Jordan's values bring singular values close to 1 in few rounds
ROUNDS = 5
MOMENTUM = 0.95
BETAS, EPSILON = (0.9, 0.999), 1e-8  # of adam
LENGTH = 0.2  # root mean square of an orthogonal step divided by the learning rate, about as adam's


class Muon(Optimizer):
    """Muon for the weights of hidden layers, adam for all other parameters. It learns more per sample than adam alone.

    A weight is seen as a matrix of its first axis by all others. Its step is `orthogonal` of its Nesterov momentum: Jordan et
    al. (2024), "Muon: An optimizer for hidden layers in neural networks". The step is scaled as in Liu et al. (2025), "Muon is
    Scalable for LLM Training", so that the same learning rates suit both optimisers.

    Args:
        matrices: place and shape of the weight of each hidden layer, see `flat.FlatParameter`.
        wd: decoupled weight decay, 0 or more, as in Loshchilov and Hutter (2019): a step scales a weight by 1 - rate * wd.
    """

    def __init__(self, matrices: Sequence[tuple[slice, tuple[int, ...]]], wd: float = 0.0) -> None:
        super().__init__(wd=wd)
        self._matrices = sorted(matrices, key=lambda matrix: matrix[0].start)
        places = [place for place, _ in self._matrices]
        starts, stops = [0, *(place.stop for place in places)], [*(place.start for place in places), None]
        # MXNet's threads spin after their work. numpy's would wait for the processors, which takes longer than to do without.
        self._blas = ThreadpoolController()
        self._others = [slice(start, stop) for start, stop in zip(starts, stops)]  # the parts between matrices

    def create_state(self, index: int, weight: Any) -> tuple[Any, Any]:
        """Moving averages of the gradient and its square, (N,) each as the weight; for matrices the first is the momentum."""
        return mx.nd.zeros_like(weight), mx.nd.zeros_like(weight)

    def update(self, index: int, weight: Any, grad: Any, state: tuple[Any, Any]) -> None:
        """Update `weight` (N,) by one step, in place."""
        with self._blas.limit(limits=1, user_api="blas"):
            self._update(index, weight, grad, state)

    def _update(self, index: int, weight: Any, grad: Any, state: tuple[Any, Any]) -> None:
        self._update_count(index)
        count, rate = self._index_update_count[index], self._get_lr(index)
        gradient = grad.asnumpy() * np.float32(self.rescale_grad)
        mean, square = (each.asnumpy() for each in state)
        step = np.empty_like(gradient)
        for place, shape in self._matrices:
            momentum, part = mean[place], gradient[place]  # views
            momentum += (1 - MOMENTUM) * (part - momentum)
            nesterov = part + MOMENTUM * (momentum - part)
            direction = orthogonal(nesterov.reshape(shape[0], -1))
            step[place] = LENGTH * max(direction.shape) ** 0.5 * direction.ravel()
        for place in self._others:
            mean[place] = BETAS[0] * mean[place] + (1 - BETAS[0]) * gradient[place]
            square[place] = BETAS[1] * square[place] + (1 - BETAS[1]) * gradient[place] ** 2
            unbiased = square[place] / (1 - BETAS[1] ** count)
            step[place] = mean[place] / (1 - BETAS[0] ** count) / (np.sqrt(unbiased) + EPSILON)
        state[0][:], state[1][:] = mean, square
        weight[:] = (1 - rate * self._get_wd(index)) * weight - mx.nd.array(rate * step, ctx=weight.context)


def orthogonal(matrix: np.ndarray) -> np.ndarray:
    """A matrix (M, N) with its singular values moved to 0.68..1.21 by the Newton-Schulz iteration, see `Muon`. Values below
    0.002 of the matrix's norm may stay smaller; zeros stay zeros.
    """
    if len(matrix) > matrix.shape[1]:
        return orthogonal(matrix.T).T
    matrix = matrix / (np.linalg.norm(matrix) + np.float32(1e-7))
    first, third, fifth = (np.float32(factor) for factor in ITERATION)
    identity = np.eye(len(matrix), dtype=matrix.dtype)

    def polynomial(square: np.ndarray) -> np.ndarray:
        return first * identity + third * square + fifth * square @ square

    square = matrix @ matrix.T  # each round multiplies the matrix from the left by a polynomial of its square
    product = factor = polynomial(square)
    for _ in range(ROUNDS - 1):
        square = factor @ square @ factor
        factor = polynomial(square)
        product = factor @ product
    return product @ matrix
