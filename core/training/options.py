"""How a net is trained: every option with its type, default, range and meaning."""

from dataclasses import dataclass, field
from typing import Literal

from mtcnn_gluon.errors import ConfigError, ModelError
from mtcnn_gluon.layers import parse_layers
from mtcnn_gluon.operators.native import has_bfloat16
from mtcnn_gluon.options import Options, option
from mtcnn_gluon.records.info import Net
from mtcnn_gluon.records.samples import parse_ratio
from mtcnn_gluon.training.augment import Augmentation

Task = Literal["cls", "box", "landmark"]

BATCH = {"pnet": 384, "rnet": 128, "onet": 128}  # R- and O-Net learn more with more steps, P-Net is faster with larger ones
RATE = {"pnet": 0.002, "rnet": 0.002, "onet": 0.0015}


@dataclass(frozen=True)
class TrainingOptions(Options):
    """How a net is trained.

    Raises:
        ConfigError: if a value has the wrong type or is out of range, or this machine cannot compute in `precision`.
    """

    net: Net = option(..., "net to train")
    layers: str | None = option(
        None, "layers of the net: conv CHANNELS KERNEL [STRIDE], pool KERNEL STRIDE, dense UNITS",
        metavar="LAYERS", form="a text such as 'conv 16 3, pool 2 2, dense 128'", usual="the paper's",
    )  # fmt: skip
    epochs: int = option(20, "passes over the training samples", least=1, metavar="N")
    batch: int = option(None, "samples per step", least=6, metavar="N", usual="P-Net 384, others 128")
    optimiser: Literal["sgd", "adam", "muon"] = option("adam", "optimiser, sgd with a momentum of 0.9")
    rate: float = option(None, "highest learning rate", least=1e-30, most=1e30, usual="0.002, O-Net 0.0015")  # as float32
    schedule: Literal["step", "cosine"] = option("cosine", "course of the learning rate after the warm-up")
    warm_up: int = option(200, "steps in which the learning rate rises from zero", least=0, metavar="STEPS")
    decay: float = option(0.0, "weight decay", least=0, below=1)
    # At random weights gradients are hundreds of times longer than later, and adam averages them over thousands of steps.
    clip: float = option(5.0, "largest norm of the gradient, 0 for any", least=0, metavar="NORM")
    keep_ratio: float = option(0.7, "share of the samples in the class loss, hardest first", above=0, most=1)
    box_weight: float | None = option(None, "weight of the box loss", least=0, metavar="W", usual="0.5")
    landmark_weight: float | None = option(None, "weight of the landmark loss", least=0, metavar="W", usual="0.5, O-Net 1")
    landmark_faces: bool = option(False, "whether landmark samples train the class head too, as faces")
    part_faces: float | None = option(
        None, "smallest IoU of part samples that train the class head too, as faces", least=0, most=1, metavar="IOU",
        usual="no part samples",
    )  # fmt: skip
    overlap_faces: float | None = option(
        None, "faces' class target is min(1, IoU of the sample / this value)", above=0, most=1, metavar="IOU", usual="always 1"
    )  # fmt: skip
    regression: Literal["squared", "absolute"] = option("squared", "error of offsets and landmarks in the loss")
    overlap_weight: float = option(0.0, "weight of 1 - IoU in the box loss", least=0, metavar="W")
    listed_landmarks: bool = option(False, "whether only landmark samples, not faces in photos, train the landmark head")
    distil: float = option(0.0, "share of the teacher's outputs in the targets", least=0, most=1, metavar="SHARE")
    precision: Literal["float32", "bfloat16"] = option(
        "float32", "number format of the convolutions, bfloat16 is faster but needs AMX and Linux"
    )
    average: float = option(
        0.999, "decay of the moving average of weights that is measured and kept, 0 for none", least=0, below=1
    )
    sampling: Literal["mixed", "alternate"] = option("mixed", "samples in a batch, of all kinds or of one task")
    ratio: str = option("3:1:1:1", "shares of negative:positive:part:landmark samples in a mixed batch", metavar="N:P:P:L")
    tasks: tuple[Task, ...] = option(("cls", "box", "landmark"), "what is trained")
    landmarks: bool | None = option(None, "whether the net has a landmark head", usual="O-Net only")
    seed: int = option(0, "random seed", least=0)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for name, usual in (("batch", BATCH), ("rate", RATE)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, usual.get(str(self.net)))
        super().__post_init__()
        if self.precision == "bfloat16" and not has_bfloat16():
            raise ConfigError("precision bfloat16 needs a processor with AMX, under Linux, and the compiled kernels")
        parse_ratio(self.ratio)
        if self.layers is not None:
            try:
                parse_layers(self.layers)
            except ModelError as error:
                raise ConfigError(str(error)) from error
