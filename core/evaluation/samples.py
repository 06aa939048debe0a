"""The accuracy of a bundle's net on training samples: classes, boxes and landmarks, measured as in training."""

from functools import partial

import numpy as np

from mtcnn_gluon.engines.base import Engine
from mtcnn_gluon.layers import View
from mtcnn_gluon.training.metrics import Tally
from mtcnn_gluon.training.sampler import Sampler

FIGURES = ("positive_accuracy", "negative_accuracy", "recall", "box_error", "landmark_error")


def measure(engine: Engine, samples: Sampler, net: str, view: View) -> dict[str, float]:
    """`FIGURES` of a net on all samples, without augmentation; see `metrics.Tally.figures`.

    Args:
        engine: engine with the net's weights.
        samples: records of this net.
        net: pnet, rnet or onet.
        view: what the net sees; the samples must be cut for it.
    """
    tally = Tally()
    for batch in samples.everything():
        run = partial(_run_on_tiles, engine, view.stride) if net == "pnet" else getattr(engine, net)
        probability, *others = run(batch.images)
        tally.add(np.column_stack([1 - probability, probability, *others]), batch.labels)  # as logits these have the same order
    return tally.figures()


def _run_on_tiles(engine: Engine, stride: int, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P-Net's face probabilities (N,) and offsets (N, 4) for crops (N, 3, S, S), computed on one image of all crops."""
    count, size, columns = len(crops), crops.shape[2], int(np.ceil(np.sqrt(len(crops))))
    step = -(-size // stride)  # outputs from one crop to the next
    side = step * stride
    tiles = np.zeros((columns * columns, 3, side, side), np.float32)
    tiles[:count, :, :size, :size] = crops
    canvas = tiles.reshape(columns, columns, 3, side, side).transpose(2, 0, 3, 1, 4)
    probability, offsets = engine.pnet(canvas.reshape(1, 3, columns * side, columns * side))
    return probability[::step, ::step].reshape(-1)[:count], offsets[:, ::step, ::step].reshape(4, -1)[:, :count].T
