"""The outputs of a trained net, the teacher, on the training samples, as targets beside the labels.

The targets are the mean of its outputs on a sample and on the mirrored sample. This mean is more exact than either output, so a
net can be its own teacher (Radosavovic et al., 2018, "Data Distillation"). A smaller net learns from a larger one so, too
(Hinton et al., 2015, "Distilling the Knowledge in a Neural Network").
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Sequence

import numpy as np
from tqdm import tqdm

from mtcnn_gluon.bundles.trained import TrainedNet, without_untrained
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.layers import View, view_of
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators import make_batch
from mtcnn_gluon.records.samples import mirror_offsets
from mtcnn_gluon.symbol.blocks import CascadeNet, set_parameters
from mtcnn_gluon.training.building import parameters_of, random_net
from mtcnn_gluon.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from mtcnn_gluon.training.identity import digest
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.sampler import Record, Sampler

mx = load_mxnet()
logger = logging.getLogger(__name__)

TEACHER = "teacher.npz"
BATCH = 512


def check_teacher(net: str, teacher: TrainedNet | None, view: View | None = None) -> None:
    """Check that a net can teach.

    Args:
        net: its name.
        view: what the samples show, which the teacher must see; None: the teacher is the net to train.

    Raises:
        ConfigError: if there is no teacher, it sees something else, or its outputs would be random, as it lacks a trained head
            for classes or boxes.
    """
    if teacher is None:
        raise ConfigError("distil needs a trained net to learn from: name it with --teacher, or with --init")
    if random := [head for head in ("cls", "box") if head not in teacher.heads]:
        raise ConfigError(f"distil needs a trained net to learn from: the {net} given has no trained {' or '.join(random)}")
    sees = view_of(_table(net, teacher))
    if view is not None and (sees.size, sees.context) != (view.size, view.context):
        raise ConfigError(
            f"the teacher sees {sees}, and the samples show {view}: cut samples of the teacher's size and context"
        )


def teacher_net(options: TrainingOptions, teacher: TrainedNet, devices: Sequence[Any]) -> CascadeNet:
    """A teacher that `check_teacher` accepts, on MXNet's contexts `devices`; in float32, as its outputs are kept.

    Raises:
        ModelError: if its parameters do not fit its architecture.
    """
    net = random_net(replace(options, precision="float32"), _table(options.net, teacher), devices)
    set_parameters(net, without_untrained(options.net, teacher), devices)
    return net


def _table(net: str, teacher: TrainedNet) -> dict[str, Any]:
    """The teacher's architecture, with a landmark head if that is trained."""
    paper = {"size": NETS[net].size, "layers": [list(row) for row in NETS[net].layers]}
    return {**(teacher.table or paper), "landmarks": "landmark" in teacher.heads}


def distil(sampler: Sampler, net: CascadeNet, share: float, folder: Path, device: Any, resume: bool = False) -> None:
    """Mix a net's outputs into the labels of a sampler, see `Sampler.add_teacher`.

    The outputs are stored in `folder`. A resumed run reads them from there, and so does a new run with the same teacher.

    Args:
        net: the teacher, initialised on `device`.
        share: share of the teacher in the targets, 0..1.
        resume: whether to use the stored outputs of any teacher.

    Raises:
        DataError: if the file cannot be read or written, or if the run is resumed and the file is missing or of other samples.
    """
    path = folder / TEACHER
    about = {"records": sampler.digests, "teacher": digest(parameters_of(net, device))}
    kept = read_checkpoint(path) if path.exists() else None
    if kept is None or any(kept.about.get(key) != about[key] for key in (["records"] if resume else about)):
        if resume:
            raise DataError(f"{path} is missing or of other samples, and resuming needs it")
        logger.info("distilling: the teacher's outputs on all samples")
        outputs = {str(place): predict(net, record, device) for place, record in enumerate(sampler.records)}
        kept = Checkpoint(about, outputs)
        write_checkpoint(path, kept)
    sampler.add_teacher([kept.parameters[str(place)] for place in range(len(sampler.records))], share)


def predict(net: CascadeNet, record: Record, device: Any) -> np.ndarray:
    """A net's outputs on all samples of a record: probability of a face and box offsets, (M, 5) float32."""
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
    """Logit of a face minus logit of background (N,), and box offsets (N, 4)."""
    images = make_batch(record.crops, rows, np.full(len(rows), is_mirrored))
    logits, offsets = (output.asnumpy().reshape(len(rows), -1) for output in net(mx.nd.array(images, ctx=device))[:2])
    return logits[:, 1] - logits[:, 0], offsets
