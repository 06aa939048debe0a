"""Options of the benchmarks. Each is declared once, and checked when the options are made."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from mtcnn_gluon.detection.options import DetectorOptions
from mtcnn_gluon.engines import check_names
from mtcnn_gluon.errors import ConfigError, shown
from mtcnn_gluon.evaluation.coverage import Missing
from mtcnn_gluon.evaluation.fddb import Regions
from mtcnn_gluon.evaluation.landmarks import Normaliser
from mtcnn_gluon.evaluation.names import named_paths
from mtcnn_gluon.evaluation.wider import IOU
from mtcnn_gluon.evaluation.wider_truth import HEIGHTS
from mtcnn_gluon.io.cluster import RAY
from mtcnn_gluon.options import Options, option, same

BENCHMARK_THRESHOLDS = (0.5, 0.5, 0.3)  # low: curves should reach a high recall
DETECTOR_OPTIONS = ("engine", "device", "min_face", "factor", "thresholds", "nms", "max_faces", "accurate")
PHOTOS = "the folder of all photos"
MODEL = "a model that info lists, or a bundle folder; may be repeated"
Named = list[tuple[str, str]]  # name and path, or name and model


_detector = partial(same, DetectorOptions)


@dataclass(frozen=True)
class Models(Options):
    """Detectors."""

    model: tuple[str, ...] | None = option(None, MODEL, metavar="[NAME=]MODEL")

    def named_models(self) -> Named:
        """The models with their names in reports."""
        return named_paths(self.model or ())

    def named_results(self) -> Named:
        """The result files with their names in reports."""
        return []


@dataclass(frozen=True)
class ModelsOrDefault(Models):
    """Detectors."""

    model: tuple[str, ...] | None = option(None, MODEL, metavar="[NAME=]MODEL", usual="default")

    def named_models(self) -> Named:
        """As in `Models`, or the default model if none is given."""
        return named_paths(self.model or ("default",))


@dataclass(frozen=True)
class Detectors(Models):
    """Detectors."""

    results: tuple[str, ...] | None = option(
        None,
        "what a detector found: JSON Lines, a folder of WIDER FACE's text files, or FDDB's text; may be repeated",
        metavar="[NAME=]PATH",
    )
    missing: Missing = option("leave-out", "photos without results: leave out for all detectors, or count as no faces")
    resamples: int = option(1000, "resamples of the photos for confidence intervals, 0 for none", least=0, metavar="N")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.results and not self.model:
            raise ConfigError("nothing to evaluate: give --results or --model")

    def named_results(self) -> Named:
        """As in `Models`."""
        return named_paths(self.results or ())


@dataclass(frozen=True)
class Runtime(Options):
    """Running models."""

    engine: str = _detector("engine")
    device: str = _detector("device")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_names(self.engine, self.device)


@dataclass(frozen=True)
class Running(Runtime):
    """Running models."""

    min_face: float = _detector("min_face")
    factor: float = _detector("factor")
    thresholds: tuple[float, float, float] | None = _detector("thresholds")
    nms: tuple[float, float, float, float] | None = _detector("nms")
    max_faces: int | None = _detector("max_faces")
    accurate: bool = _detector("accurate")
    workers: int | None = option(None, "worker processes", least=1, metavar="N", usual="one per processor, one on a GPU")
    ray: str | None = option(None, RAY, metavar="ADDRESS", alone="")
    detections: str | None = option(None, "keep what the models find in this folder, as NAME.jsonl", metavar="DIR")
    resume: bool = option(False, "skip the photos that an earlier run wrote to --detections")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resume and not self.detections:
            raise ConfigError("--resume needs --detections DIR, where the earlier run kept what it found")

    def detector_options(self) -> dict[str, Any]:
        """The arguments of `Detector`, except the model."""
        return {name: getattr(self, name) for name in DETECTOR_OPTIONS}


@dataclass(frozen=True)
class WiderRunning(Running):
    """Running models."""

    min_face: float = _detector("min_face", 10.0)
    thresholds: tuple[float, float, float] | None = _detector("thresholds", BENCHMARK_THRESHOLDS)


@dataclass(frozen=True)
class FddbRunning(Running):
    """Running models."""

    thresholds: tuple[float, float, float] | None = _detector("thresholds", BENCHMARK_THRESHOLDS)


@dataclass(frozen=True)
class Output(Options):
    """Output."""

    json: str | None = option(None, "write the figures as JSON; - for standard output", metavar="FILE")
    report: str | None = option(None, "write Markdown, JSON, curves and pictures of errors", metavar="DIR")


@dataclass(frozen=True, kw_only=True)
class PhotoOptions(Options):
    """Options that all benchmarks on photos share."""

    detectors: Models
    limit: int | None = option(None, "use only N photos, spread evenly over the set", least=1, metavar="N")
    running: Running = Running()
    output: Output = Output()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.detectors.model and not self.photo_folder:
            raise ConfigError(f"--model needs --images, {PHOTOS}")
        count = len(self.detectors.named_models()) + len(self.detectors.named_results())
        if getattr(self, "write_text", None) and count > 1:
            raise ConfigError("--write-text is for one detector")

    @property
    def photo_folder(self) -> str | None:
        """The value of `images` or `root`; None if it is not given."""
        return getattr(self, "images", None) or getattr(self, "root", None)


@dataclass(frozen=True, kw_only=True)
class WiderOptions(PhotoOptions):
    """WIDER FACE's protocol. The annotated faces come from either `ground_truth` or `annotations`."""

    ground_truth: str | None = option(
        None, "annotated faces: the folder of wider_face_val.mat, wider_easy_val.mat ...", metavar="DIR"
    )
    annotations: str | None = option(
        None, "annotated faces: a list, instead of --ground-truth; sets are made by height", metavar="FILE"
    )
    heights: tuple[float, ...] = option(
        HEIGHTS, "smallest face height of each set, with --annotations", above=0, below=1e6, metavar="PX"
    )
    overlap: float = option(IOU, "smallest IoU of a detection with its face", above=0, most=1, metavar="IOU")
    images: str | None = option(None, PHOTOS, metavar="DIR")
    write_text: str | None = option(None, "also write the detections as WIDER FACE's text files", metavar="DIR")
    detectors: Detectors
    running: WiderRunning = WiderRunning()

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.ground_truth) == bool(self.annotations):
            raise ConfigError("give the annotated faces as either --ground-truth or --annotations")
        if len(set(self.heights)) < len(self.heights):
            raise ConfigError(f"heights must be different numbers of pixels, not {shown(list(self.heights))}")


@dataclass(frozen=True, kw_only=True)
class FddbOptions(PhotoOptions):
    """FDDB's protocol."""

    folds: str = option(..., "the folder of FDDB-fold-01-ellipseList.txt ...", metavar="DIR")
    regions: Regions = option("ellipse", "regions of annotated faces")
    images: str | None = option(None, PHOTOS, metavar="DIR")
    write_text: str | None = option(None, "also write the detections as FDDB's text", metavar="FILE")
    detectors: Detectors
    running: FddbRunning = FddbRunning()


@dataclass(frozen=True, kw_only=True)
class LandmarkOptions(PhotoOptions):
    """Errors of landmarks."""

    list: str = option(..., "CNN_FacePoint or CelebA list, CSV, or WIDER FACE list", metavar="FILE")
    root: str = option(..., PHOTOS, metavar="DIR")
    landmarks: str | None = option(None, "the list of landmarks, if --list holds only boxes", metavar="FILE")
    min_score: float = option(0.0, "smallest score of a WIDER FACE list's landmarks to use", least=0, most=1, metavar="S")
    normaliser: Normaliser = option(
        "eyes", "length that errors are divided by: distance of the eyes, or geometric mean of the sides of the box"
    )
    boxes: Literal["given", "detected", "both"] = option("both", "measure on annotated boxes, on detected ones or on both")
    detectors: Detectors

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.boxes == "given" and not self.detectors.model:
            raise ConfigError("--boxes given needs --model: result files hold only detected boxes")


@dataclass(frozen=True, kw_only=True)
class StagesOptions(PhotoOptions):
    """The stages of a cascade."""

    annotations: str = option(..., "a list of annotated faces", metavar="FILE")
    images: str = option(..., PHOTOS, metavar="DIR")
    timed: int = option(50, "photos to time, 0 for none", least=0, metavar="N")
    detectors: ModelsOrDefault = ModelsOrDefault()


@dataclass(frozen=True, kw_only=True)
class GroupsOptions(PhotoOptions):
    """Photos of one person each, in groups."""

    list: str = option(..., "a csv with a column file, and a column or more that name each photo's group", metavar="FILE")
    column: tuple[str, ...] = option(..., "columns of the groups, such as age", metavar="NAME")
    images: str | None = option(None, PHOTOS, metavar="DIR")
    border: int = option(
        0, "width of a black border to put around the photos; detectors miss faces that fill a photo", least=0, most=10_000,
        metavar="PX",
    )  # fmt: skip
    detectors: Detectors


@dataclass(frozen=True, kw_only=True)
class RecordsOptions(Options):
    """A net on training records."""

    records: str = option(..., "records of the net, from prepare records", metavar="DIR")
    net: Literal["pnet", "rnet", "onet"] = option(..., "net to measure")
    detectors: ModelsOrDefault = ModelsOrDefault()
    runtime: Runtime = Runtime()
    output: Output = Output()
