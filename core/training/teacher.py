"""A trained net's outputs on the training samples, as targets beside the labels.

The targets are the mean of its outputs on a sample and on the mirrored sample, which is more exact than either; so a net can be
its own teacher (Radosavovic et al., 2018, "Data Distillation").
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mtcnn_gluon.bundles.trained import TrainedNet
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators import make_batch
from mtcnn_gluon.records.samples import mirror_offsets
from mtcnn_gluon.symbol.blocks import CascadeNet
from mtcnn_gluon.training.building import parameters_of
from mtcnn_gluon.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from mtcnn_gluon.training.identity import digest
from mtcnn_gluon.training.sampler import Record, Sampler

mx = load_mxnet()
logger = logging.getLogger(__name__)

TEACHER = "teacher.npz"
BATCH = 512


def check_teacher(net: str, initial: TrainedNet | None) -> None:
    """Refuse to learn from random numbers.

    Raises:
        ConfigError: if the initial parameters do not have trained heads for classes and boxes.
    """
    if initial is None:
        raise ConfigError("distil needs trained parameters to begin with: --init names them")
    if random := [head for head in ("cls", "box") if head not in initial.heads]:
        raise ConfigError(
            f"distil needs trained parameters to begin with: nothing has trained {' and '.join(random)} of the {net} that "
            "--init names"
        )


def distil(sampler: Sampler, net: CascadeNet, share: float, folder: Path, device: Any, resume: bool = False) -> None:
    """Mix a net's outputs into the labels of a sampler, see `Sampler.add_teacher`.

    The outputs are kept in `folder`. A resumed run reads them from there, and so does a new one with the same teacher.

    Args:
        net: the teacher, initialised on `device`.
        share: of the teacher in the targets, 0..1.
        folder: of the run.
        device: MXNet's context.
        resume: whether to use the kept outputs of any teacher.

    Raises:
        DataError: if the file cannot be read or written, or if a resumed run lacks it or it is of other samples.
    """
    path = folder / TEACHER
    about = {"records": sampler.digests, "teacher": digest(parameters_of(net, device))}
    kept = read_checkpoint(path) if path.exists() else None
    if kept is None or any(kept.about.get(key) != about[key] for key in (["records"] if resume else about)):
        if resume:
            raise DataError(f"{path} is missing or of other samples: without it the run cannot go on")
        logger.info("distilling: the teacher's outputs on all samples")
        outputs = {str(place): predict(net, record, device) for place, record in enumerate(sampler.records)}
        kept = Checkpoint(about, outputs)
        write_checkpoint(path, kept)
    sampler.add_teacher([kept.parameters[str(place)] for place in range(len(sampler.records))], share)


def predict(net: CascadeNet, record: Record, device: Any) -> np.ndarray:
    """A net's outputs on all samples of a record: (M, 5) float32, the probability of a face and the box offsets."""
    found = []
    for start in tqdm(range(0, len(record.crops), BATCH), "distilling", disable=None, leave=False):
        rows = np.arange(start, min(start + BATCH, len(record.crops)))
        margins, offsets = zip(*(_outputs(net, record, rows, is_mirrored, device) for is_mirrored in (False, True)))
        faces = np.exp(-np.logaddexp(0, -np.mean(margins, axis=0)))  # the sigmoid, without overflow
        found.append(np.hstack([faces[:, None], np.mean([offsets[0], mirror_offsets(offsets[1])], axis=0)]))
    return np.concatenate(found).astype(np.float32)


def _outputs(
    net: CascadeNet, record: Record, rows: np.ndarray, is_mirrored: bool, device: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The logit of a face minus the other logit (N,), and the offsets (N, 4)."""
    images = make_batch(record.crops, rows, np.full(len(rows), is_mirrored))
    logits, offsets = (output.asnumpy().reshape(len(rows), -1) for output in net(mx.nd.array(images, ctx=device))[:2])
    return logits[:, 1] - logits[:, 0], offsets
