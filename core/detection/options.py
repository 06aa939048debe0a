"""The options of a detector, declared once: for `Detector`, the command line and evaluation."""

from dataclasses import dataclass

from mtcnn_gluon.config import FACTOR, MAX_FACE, MAX_FACTOR, MIN_FACE
from mtcnn_gluon.detection.rotation import Rotation
from mtcnn_gluon.engines import ENGINES, check_names
from mtcnn_gluon.faces import ROTATIONS
from mtcnn_gluon.options import Options, option

MAX_THREADS = 1024
MAX_EVERY = 30  # frames that are held in memory


@dataclass(frozen=True)
class DetectorOptions(Options):
    """The detector.

    These are the arguments of `Detector`, which explains them: `Detector(**vars(options))`.
    """

    model: str = option("default", "a model that info lists, or the folder of a bundle", form="a name or a folder")
    engine: str = option("auto", f"runtime of the nets: auto, {', '.join(ENGINES)}")
    device: str = option("cpu", "cpu, gpu or gpu:N (also cuda or cuda:N), or mps")
    min_face: float = option(
        MIN_FACE, "smallest face in pixels", least=1, most=MAX_FACE, form="a number of pixels, 1 or more", metavar="N"
    )
    factor: float = option(FACTOR, "scale between neighbouring levels of the image pyramid", above=0, most=MAX_FACTOR)
    thresholds: tuple[float, float, float] | None = option(
        None, "face probabilities that P-, R- and O-Net must reach",
        usual="the model's", least=0, most=1, metavar=("P", "R", "O"),
    )  # fmt: skip
    nms: tuple[float, float, float, float] | None = option(
        None, "overlaps allowed within and across P-Net's levels, after R-Net and after O-Net",
        usual="the model's", least=0, most=1, metavar=("LEVEL", "P", "R", "O"),
    )  # fmt: skip
    max_faces: int | None = option(None, "keep only the N best faces of an image", usual="all", least=1, metavar="N")
    threads: int | None = option(
        None, "largest number of CPU threads", usual="the runtime's choice", least=1, most=MAX_THREADS, metavar="N"
    )
    accurate: bool = option(False, "whether R- and O-Net also see each candidate mirrored; slower, finds more")
    rotate: Rotation = option(
        "0", "degrees by which to turn images clockwise to have them upright; auto takes those with the most confident faces",
        metavar="DEGREES",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if not isinstance(self.rotate, (bool, str)) and self.rotate in ROTATIONS:
            object.__setattr__(self, "rotate", str(int(self.rotate)))
        super().__post_init__()
        check_names(self.engine, self.device)


@dataclass(frozen=True)
class VideoOptions(Options):
    """Videos.

    These are the arguments of `Detector.detect_video`, which explains them.
    """

    every: int = option(1, "look for faces only in every N-th frame; those between get them from both sides", least=1,
        most=MAX_EVERY, metavar="N")  # fmt: skip
    track: bool | None = option(
        None, "whether a face has one id in all frames, and steady boxes", usual="yes if edgefirst-tracker is installed"
    )
