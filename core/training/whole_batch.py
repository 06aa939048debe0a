"""The loss of a batch that several workers share, as one worker would compute it.

The hardest samples are those of the whole batch, and each term is divided by the number of its samples in the whole batch. For
this, before they compute gradients, the workers tell one another six numbers a sample.
"""

from typing import Any, Mapping, Sequence

import numpy as np

from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.training.heads import loss_weights
from mtcnn_gluon.training.losses import TERMS
from mtcnn_gluon.training.state import Run

mx = load_mxnet()

COSTS, LOGITS = slice(0, 3), slice(3, 5)  # columns of the values per sample, see `losses.TrainingNet`


def backward_together(run: Run, outputs: Sequence[Sequence[Any]], weights: Mapping[str, float]) -> list[tuple[Any, Any]]:
    """Compute this worker's part of the gradient.

    Args:
        outputs: of `run.graph`, which must not have mined, for the samples of each device.
        weights: of the terms in the gradient, by name.

    Returns:
        For each device, the loss and its terms (4,), and the values per sample. The mean of the former over all devices of all
        workers is the loss of the whole batch.
    """
    values = [each[2].asnumpy() for each in outputs]
    parts = [slice(device, None, len(outputs)) for device in range(len(outputs))]  # as in `trainer.split`
    own = np.empty((sum(map(len, values)), 6), np.float32)
    for part, found, (*_, targets) in zip(parts, values, outputs):
        own[part] = np.hstack([found[:, LOGITS], targets.asnumpy()])
    share = run.workers.share
    factors = _factors(run, run.workers.interleaved(own))[share.rank :: share.count] * run.shares  # the trainer divides by it
    whole, scale = (_by_term(each) for each in (loss_weights(run.options, run.heads), weights))
    losses, gradients = [], []
    for part, found in zip(parts, values):
        terms = (found[:, COSTS] * factors[part]).sum(axis=0)
        losses.append(mx.nd.array(np.append(whole @ terms, terms), dtype="float32"))
        gradients.append(np.zeros_like(found))
        gradients[-1][:, COSTS] = factors[part] * scale
    samples = [each[2] for each in outputs]
    mx.autograd.backward(samples, [mx.nd.array(each, ctx=array.context) for each, array in zip(gradients, samples)])
    return list(zip(losses, samples))


def _by_term(weights: Mapping[str, float]) -> np.ndarray:
    return np.array([weights.get(term, 0) for term in TERMS], np.float32)


def _factors(run: Run, about: np.ndarray) -> np.ndarray:
    """What each sample's costs (N, 3) count in the terms of the whole batch.

    Args:
        about: (N, 6) float32: two logits, the kind for the class head, and whether the sample counts in each term.
    """
    counts = about[:, 3:].copy()
    if "cls" not in run.heads.kept:
        logits, kinds = (mx.nd.array(each, dtype="float32") for each in (about[:, :2], about[:, 2]))
        counts[:, 0] = mx.nd.negativemining(logits, kinds, run.options.keep_ratio).asnumpy()
    return counts / np.maximum(counts.sum(axis=0), 1)
