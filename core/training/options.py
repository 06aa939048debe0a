"""How a net is trained, checked before anything begins."""

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.operators.native import has_bfloat16
from mtcnn_gluon.records.samples import parse_ratio
from mtcnn_gluon.training.augment import Augmentation
from mtcnn_gluon.training.losses import Regression, check_regression
from mtcnn_gluon.training.sampler import TASKS, Sampling, check_batch
from mtcnn_gluon.training.schedules import schedule

Precision = Literal["float32", "bfloat16"]

BATCH = {"pnet": 384, "rnet": 128, "onet": 128}  # the larger nets learn more from more steps, P-Net is faster by larger ones
RATE = {"pnet": 0.002, "rnet": 0.002, "onet": 0.0015}


@dataclass(frozen=True)
class Options:
    """How a net is trained.

    Attributes:
        net: pnet, rnet or onet.
        epochs: how often all samples are seen, on average; 1 or more.
        batch: samples a step; None: `BATCH` of the net.
        optimiser: sgd (with momentum 0.9), adam or muon, see `muon`.
        rate: highest learning rate; None: `RATE` of the net.
        schedule: step or cosine, see `schedules`.
        warm_up: steps of rising learning rate.
        decay: weight decay, 0 or more.
        clip: a longer gradient is shortened to this length; 0: never. Those of random weights are hundreds of times as long as
            later ones, and adam remembers them for thousands of steps, in which it hardly moves.
        keep_ratio: share of the hardest samples that the classes are learned from.
        box_weight, landmark_weight: of their terms in the loss, 0 or more; None: those of `losses.WEIGHTS`.
        landmark_faces: whether samples of kind landmark, which are faces, teach the classes as well.
        part_faces: overlap, 0..1, from which samples of kind part teach the classes as well, as faces; None: none of them. Many
            boxes that a net proposes to the next are such samples, of hard faces most of all.
        overlap_faces: overlap, above 0 and at most 1, from which a sample is wholly a face; one with less is a face by its
            share of that, so that of the boxes on a face the best gets the highest score. None: all are whole faces.
        regression: squared or absolute, the error of offsets and landmarks in the loss.
        overlap_weight: in the error of the boxes, of what they lack of a full overlap with the annotated ones, see `losses`; 0
            or more.
        listed_landmarks: whether landmarks are learned from samples of kind landmark only, and not from those of faces in
            photos, which may be a program's.
        distil: share, 0..1, that the net as it is at the beginning, as the mean of what it says of a sample and of its mirror
            image, has in the classes and boxes to learn; it must then begin with trained parameters. 0: labels alone.
        precision: float32, or bfloat16: what the factors of the convolutions' products are rounded to, see `CascadeNet`.
        average: decay of the running average of the weights, which is then what is evaluated and kept; 0 for none, below 1.
        sampling: mixed or alternate, see `sampler`.
        ratio: negative:positive:part:landmark in a mixed batch.
        tasks: some of cls, box and landmark.
        landmarks: whether the net gets a landmark head; None: as in `config.NETS`.
        seed: of all chance.
        augmentation: of the images.
    """

    net: str
    epochs: int = 20
    batch: int = None  # type: ignore[assignment]  # filled in
    optimiser: str = "adam"
    rate: float = None  # type: ignore[assignment]  # filled in
    schedule: Literal["step", "cosine"] = "cosine"
    warm_up: int = 200
    decay: float = 0.0
    clip: float = 5.0
    keep_ratio: float = 0.7
    box_weight: float | None = None
    landmark_weight: float | None = None
    landmark_faces: bool = False
    part_faces: float | None = None
    overlap_faces: float | None = None
    regression: Regression = "squared"
    overlap_weight: float = 0.0
    listed_landmarks: bool = False
    distil: float = 0.0
    precision: Precision = "float32"
    average: float = 0.999
    sampling: Sampling = "mixed"
    ratio: str = "3:1:1:1"
    tasks: tuple[str, ...] = tuple(TASKS)
    landmarks: bool | None = None
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        _check(self.net in NETS, "net", f"one of {', '.join(NETS)}", self.net)
        for name, usual in (("batch", BATCH), ("rate", RATE)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, usual[self.net])
        _check(self.epochs >= 1, "epochs", "1 or more", self.epochs)
        _check(self.optimiser in ("sgd", "adam", "muon"), "optimiser", "sgd, adam or muon", self.optimiser)
        _check(0 <= self.decay < 1, "decay", "from 0 to 1", self.decay)
        _check(0 <= self.clip < np.inf, "clip", "0 or more", self.clip)
        _check(0 < self.keep_ratio <= 1, "keep_ratio", "above 0 and at most 1", self.keep_ratio)
        for name in ("box_weight", "landmark_weight"):
            value = getattr(self, name)
            _check(value is None or 0 <= value < np.inf, name, "0 or more", value)
        _check(self.part_faces is None or 0 <= self.part_faces <= 1, "part_faces", "from 0 to 1", self.part_faces)
        whole = self.overlap_faces
        _check(whole is None or 0 < whole <= 1, "overlap_faces", "above 0 and at most 1", whole)
        check_regression(self.regression)
        _check(0 <= self.overlap_weight < np.inf, "overlap_weight", "0 or more", self.overlap_weight)
        _check(0 <= self.distil <= 1, "distil", "from 0 to 1", self.distil)
        _check(self.precision in get_args(Precision), "precision", "float32 or bfloat16", self.precision)
        if self.precision == "bfloat16" and not has_bfloat16():
            raise ConfigError("precision bfloat16 needs a processor with AMX, under Linux, and the compiled kernels")
        _check(0 <= self.average < 1, "average", "from 0 to below 1", self.average)
        _check(self.seed >= 0, "seed", "0 or more", self.seed)
        check_batch(self.batch)
        parse_ratio(self.ratio)
        schedule(self.schedule, self.rate, 1, self.warm_up)  # checks them


def _check(condition: bool, name: str, expected: str, value: object) -> None:
    if not condition:
        raise ConfigError(f"{name} must be {expected}, not {value!r}")
