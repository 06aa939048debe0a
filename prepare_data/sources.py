"""The three sources of samples: faces and background, landmarks, and what an earlier net gets wrong."""

import os
import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.bundles.format import find_bundle
from mtcnn_gluon.config import NETS
from mtcnn_gluon.detection import cascade
from mtcnn_gluon.errors import ConfigError, shown
from mtcnn_gluon.prepare_data import sampling
from mtcnn_gluon.prepare_data.annotations import Photo
from mtcnn_gluon.prepare_data.cropping import cut_landmark_samples, cut_samples
from mtcnn_gluon.prepare_data.sampling import Crops, SamplingOptions
from mtcnn_gluon.records.info import check_seed
from mtcnn_gluon.records.samples import Kind, Samples

Stage = Literal["pnet", "rnet"]
NEXT_NET: dict[str, Literal["rnet", "onet"]] = {"pnet": "rnet", "rnet": "onet"}
MAX_FACE = 1e9
MODEL_KEYS = ("files", "colour_order", "mean", "scale", "thresholds", "nms", "box_convention")  # what proposals depend on
SMALLEST = NETS.pnet.size  # side in pixels of a crop for any net: no proposal in detection is smaller
RECALL_OVERLAP = 0.5  # intersection over union at which a proposal has found a face
SIDES = 2.0 ** np.arange(3, 12)  # borders in pixels of the histogram of crops' sides


@dataclass
class FaceSource:
    """Samples for classes and boxes from annotated faces.

    Args:
        images: folder of the photos.
        net: the net that they are for.
        options: how samples are drawn.
        seed: of all random numbers.
    """

    images: str
    net: str
    options: SamplingOptions = field(default_factory=SamplingOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        _check_source(self)

    def describe(self) -> dict[str, Any]:
        """See `generate.Source`."""
        return {"samples": "faces", "net": self.net, "seed": self.seed, "inside": self._is_inside(), **self.options.to_json()}

    def prepare(self) -> None:
        """See `generate.Source`."""

    def _is_inside(self) -> bool:
        """Whether crops near faces must lie inside the photo, see `sampling.draw`."""
        return self.net == "pnet"

    def samples(self, image: np.ndarray, photo: Photo, number: int) -> tuple[Samples, dict[str, float]]:
        """See `generate.Source`."""
        generator = np.random.default_rng([self.seed, number])
        crops = sampling.draw(photo, image.shape[:2], SMALLEST, self.options, generator, self._is_inside())
        return cut_samples(image, crops, photo, number, NETS[self.net].size), _figures(crops, photo, self.options)


@dataclass
class LandmarkSource(FaceSource):
    """Samples of landmarks from annotated faces; for the arguments see `FaceSource`."""

    def describe(self) -> dict[str, Any]:
        """See `generate.Source`."""
        return {**super().describe(), "samples": "landmarks"}

    def samples(self, image: np.ndarray, photo: Photo, number: int) -> tuple[Samples, dict[str, float]]:
        """See `generate.Source`."""
        generator = np.random.default_rng([self.seed, number])
        samples = cut_landmark_samples(image, photo, number, NETS[self.net].size, self.options, generator)
        return samples, {"faces": float(sampling.learnable(photo, self.options).sum())}


@dataclass
class MinedSource:
    """Samples for the next net from what the nets before it let through.

    Args:
        images: folder of the photos.
        model: bundle whose nets propose: a name or a folder.
        stage: the last net that proposes.
        thresholds: face probability in 0..1 that P- and R-Net must give; None: the bundle's own.
        find_from: smallest face in pixels to look for, 1 or more.
        again: a second round: of the negatives, those come first that the net they are for, as it is in the bundle, takes for
            faces most certainly.
        top_up: near-face negatives to draw for every face in addition, for want of mined ones.
        options, seed: as of `FaceSource`.
    """

    images: str
    model: str
    stage: Stage
    thresholds: tuple[float, float] | None = None
    find_from: float = 20
    top_up: int = 0
    again: bool = False
    options: SamplingOptions = field(default_factory=SamplingOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.stage not in NEXT_NET:
            raise ConfigError(f"stage must be one of {', '.join(NEXT_NET)}, not {shown(self.stage)}")
        if self.thresholds is not None and not (len(self.thresholds) == 2 and all(0 <= each <= 1 for each in self.thresholds)):
            raise ConfigError(f"thresholds must be two numbers from 0 to 1, not {shown(self.thresholds)}")
        if not 1 <= self.find_from <= MAX_FACE:
            raise ConfigError(f"find_from must be a number of pixels, 1 or more, not {shown(self.find_from)}")
        if self.top_up < 0:
            raise ConfigError(f"top_up must be 0 or more, not {shown(self.top_up)}")
        self.net: str = NEXT_NET[self.stage]
        _check_source(self)

    def describe(self) -> dict[str, Any]:
        """See `generate.Source`."""
        manifest = find_bundle(self.model).manifest
        self._check_trained(manifest)
        mine = {
            "model": {name: manifest[name] for name in MODEL_KEYS},
            **{name: getattr(self, name) for name in ("stage", "thresholds", "find_from", "top_up", "again")},
        }
        return {"samples": "mined", "seed": self.seed, **mine, **self.options.to_json()}

    def prepare(self) -> None:
        """See `generate.Source`."""
        from mtcnn_gluon.detection.detector import Detector

        thresholds = None if self.thresholds is None else (*self.thresholds, 1.0)
        given = os.environ.get("OMP_NUM_THREADS", "")  # which not every runtime reads: 1 in processes that share the processors
        threads = int(given) if re.fullmatch("[1-9][0-9]?", given) else None
        self._detector = Detector(self.model, min_face=self.find_from, thresholds=thresholds, threads=threads)
        self._check_trained(self._detector.bundle.manifest)

    def _check_trained(self, manifest: dict[str, Any]) -> None:
        """Random nets propose nothing that is worth learning from."""
        asked = [*list(NETS)[: list(NETS).index(self.stage) + 1], *([self.net] if self.again else [])]
        if random := [net for net in asked if "cls" not in manifest["trained"][net]]:
            what = "again" if random == [self.net] else f"stage {self.stage}"
            raise ConfigError(f"{what} needs a model whose {' and '.join(random)} is trained; that of {self.model} is not")

    def samples(self, image: np.ndarray, photo: Photo, number: int) -> tuple[Samples, dict[str, float]]:
        """See `generate.Source`."""
        proposals = self._propose(image)
        crops = sampling.label(proposals, photo, self.options)
        negatives = np.flatnonzero(crops.kinds == Kind.NEGATIVE)  # most certain first, as they come
        is_kept = crops.kinds != Kind.NEGATIVE
        is_kept[negatives[: self.options.negatives_mined]] = True
        crops = crops.take(is_kept)
        if self.top_up:
            crops = sampling.concatenate([crops, self._near_negatives(image, photo, number)])
        figures = {**_figures(crops, photo, self.options), **_recall(proposals, photo, self.options)}
        return cut_samples(image, crops, photo, number, NETS[self.net].size), figures

    def _propose(self, image: np.ndarray) -> np.ndarray:
        """Squares (N, 4) that reach the next net, most certain first."""
        detector = self._detector
        candidates = cascade.propose([image], detector.engine, detector.settings)
        if self.stage == "rnet":
            candidates = cascade.refine([image], candidates, detector.engine, detector.settings)
        scores = candidates.scores
        if self.again:
            scores = cascade.run_on_crops([image], candidates, detector.engine, NEXT_NET[self.stage], detector.settings)[0]
        return candidates.boxes[np.argsort(-scores, kind="stable")]

    def _near_negatives(self, image: np.ndarray, photo: Photo, number: int) -> Crops:
        options = replace(self.options, jitters=0, jitters_large=0, negatives=0, negatives_near=self.top_up)
        generator = np.random.default_rng([self.seed, number])
        return sampling.draw(photo, image.shape[:2], int(self.find_from), options, generator, inside=False)


def _check_source(source: Any) -> None:
    if source.net not in NETS:
        raise ConfigError(f"net must be one of {', '.join(NETS)}, not {shown(source.net)}")
    if not os.path.isdir(source.images):
        raise ConfigError(f"images must be a folder, not {shown(source.images)}")
    check_seed(source.seed)


def _figures(crops: Crops, photo: Photo, options: SamplingOptions) -> dict[str, float]:
    """Faces learned from, and how many crops of each kind are how large."""
    figures = {"faces": float(sampling.learnable(photo, options).sum())}
    sides = crops.boxes[:, 2] - crops.boxes[:, 0]
    for kind in np.unique(crops.kinds):
        for edge, count in zip(SIDES, np.histogram(sides[crops.kinds == kind], [*SIDES, np.inf])[0]):
            if count:
                figures[f"{Kind(kind).name.lower()}, side from {edge:.0f} px"] = float(count)
    return figures


def _recall(proposals: np.ndarray, photo: Photo, options: SamplingOptions) -> dict[str, float]:
    """Proposals, and faces that any of them has found."""
    faces = sampling.overlapped(photo, options)[sampling.learnable(photo, options)]
    best = box_ops.iou(proposals, faces).max(axis=0, initial=0)  # (N,)
    return {"proposals": float(len(proposals)), "faces found": float((best >= RECALL_OVERLAP).sum())}
