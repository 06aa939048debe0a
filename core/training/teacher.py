"""What a trained net says of training samples, so that its successor learns that as well as the labels.

The teacher's word on a sample is the mean of what it says of the sample and of its mirror image, which is nearer to the truth
than either; so a net can be its own teacher (Radosavovic et al., 2018, "Data Distillation").
"""

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators import make_batch
from mtcnn_gluon.records.samples import mirror_offsets
from mtcnn_gluon.symbol.blocks import CascadeNet
from mtcnn_gluon.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from mtcnn_gluon.training.sampler import Record, Sampler

mx = load_mxnet()
logger = logging.getLogger(__name__)

TEACHER = "teacher.npz"
BATCH = 512


def teach(sampler: Sampler, net: CascadeNet, share: float, folder: Path, device: Any, resume: bool = False) -> None:
    """Teach a sampler what a net says of its samples, see `Sampler.teach`.

    It is kept in `folder`. A run that is resumed takes it from there, and so does a new one if it is of the same net.

    Args:
        sampler: to be taught.
        net: the teacher, initialised on `device`.
        share: of the teacher in what is learned, 0..1.
        folder: of the run.
        device: MXNet's context.
        resume: whether what is kept is taken whatever the net.

    Raises:
        DataError: if what is kept cannot be read or written, or is missing or of other samples where it is to be taken.
    """
    path = folder / TEACHER
    about = {"records": sampler.digests, "teacher": _digest(net, device)}
    kept = read_checkpoint(path) if path.exists() else None
    if kept is None or any(kept.about.get(key) != about[key] for key in (["records"] if resume else about)):
        if resume:
            raise DataError(f"{path} is missing or of other samples: without it the run cannot go on")
        logger.info("distilling: what the net says of all samples")
        taught = {str(place): look(net, record, device) for place, record in enumerate(sampler.records)}
        kept = Checkpoint(about, taught)
        write_checkpoint(path, kept)
    sampler.teach([kept.parameters[str(place)] for place in range(len(sampler.records))], share)


def look(net: CascadeNet, record: Record, device: Any) -> np.ndarray:
    """What a net says of all samples of a record: (M, 5) float32, the probability of a face and the box offsets."""
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
    """By how much a face's logit exceeds the other (N,), and the offsets (N, 4)."""
    images = make_batch(record.crops, rows, np.full(len(rows), is_mirrored))
    logits, offsets = (output.asnumpy().reshape(len(rows), -1) for output in net(mx.nd.array(images, ctx=device))[:2])
    return logits[:, 1] - logits[:, 0], offsets


def _digest(net: CascadeNet, device: Any) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(net.collect_params().items()):
        digest.update(name.encode() + value.data(device).asnumpy().tobytes())
    return digest.hexdigest()
