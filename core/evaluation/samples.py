"""The accuracy of a bundle's net on training samples: classes, boxes and landmarks, measured as in training."""

import numpy as np

from mtcnn_gluon.boxes import STRIDE
from mtcnn_gluon.config import NETS
from mtcnn_gluon.engines.base import Engine
from mtcnn_gluon.training.metrics import Tally
from mtcnn_gluon.training.sampler import Sampler

FIGURES = ("positive_accuracy", "negative_accuracy", "recall", "box_error", "landmark_error")


def measure(engine: Engine, samples: Sampler, net: str) -> dict[str, float]:
    """`FIGURES` of a net on all samples, without augmentation; see `metrics.Tally.figures`.

    Args:
        engine: engine with the net's weights.
        samples: records of this net.
        net: pnet, rnet or onet.
    """
    tally = Tally()
    for batch in samples.everything():
        probability, *others = _run_on_tiles(engine, batch.images) if net == "pnet" else getattr(engine, net)(batch.images)
        tally.add(np.column_stack([1 - probability, probability, *others]), batch.labels)  # as logits these have the same order
    return tally.figures()


def _run_on_tiles(engine: Engine, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P-Net's face probabilities (N,) and offsets (N, 4) for crops (N, 3, 12, 12), computed on one image of all crops."""
    count, side, columns = len(crops), NETS["pnet"].size, int(np.ceil(np.sqrt(len(crops))))
    tiles = np.zeros((columns, columns, *crops.shape[1:]), np.float32)
    tiles.reshape(-1, *crops.shape[1:])[:count] = crops
    canvas = tiles.transpose(2, 0, 3, 1, 4).reshape(1, 3, columns * side, columns * side)
    probability, offsets = engine.pnet(np.ascontiguousarray(canvas))
    step = side // STRIDE
    return probability[::step, ::step].reshape(-1)[:count], offsets[:, ::step, ::step].reshape(4, -1)[:, :count].T
