"""The three sources of samples: annotated faces and background, landmarks, and proposals of the nets before."""

import os
import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.config import MAX_FACE, NETS
from mtcnn_gluon.detection import cascade
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.layers import View
from mtcnn_gluon.options import Options, option
from mtcnn_gluon.prepare_data import sampling
from mtcnn_gluon.prepare_data.annotations import Photo
from mtcnn_gluon.prepare_data.cropping import cut_landmark_samples, cut_samples
from mtcnn_gluon.prepare_data.sampling import Crops, SamplingOptions, declared
from mtcnn_gluon.records.samples import Kind, Samples

Stage = Literal["pnet", "rnet"]
NEXT_NET: dict[str, Literal["rnet", "onet"]] = {"pnet": "rnet", "rnet": "onet"}
MODEL_KEYS = ("files", "colour_order", "mean", "scale", "thresholds", "nms", "box_convention")  # on which proposals depend
SMALLEST = NETS.pnet.size  # side in pixels of the smallest crop for any net, as no proposal is smaller
RECALL_OVERLAP = 0.5  # a proposal with at least this IoU has found a face
SIDES = 2.0 ** np.arange(3, 12)  # edges in pixels of the histogram of crops' sides


@dataclass(frozen=True, kw_only=True)
class MiningOptions(Options):
    """How samples are mined."""

    model: str = option(..., "model whose nets propose: a name that info lists, or a bundle folder")
    stage: Stage = option(..., "last net that proposes")
    thresholds: tuple[float, float] | None = option(
        None, "face probabilities that P- and R-Net must give", least=0, most=1, metavar=("P", "R"), usual="the model's"
    )
    find_from: float = option(20, "smallest face in pixels to look for", least=1, below=MAX_FACE, metavar="N")
    top_up: int = option(0, "near-face negatives to add for every face", least=0, metavar="N")
    again: bool = option(False, "whether negatives are ranked by the score of the model's next net, the one to be trained")


@dataclass
class FaceSource:
    """Samples of `net` for classes and boxes, from annotated faces of the photos in the folder `images`."""

    images: str
    net: str
    options: SamplingOptions = field(default_factory=SamplingOptions)
    seed: int = 0

    @property
    def view(self) -> View:
        """See `generate.SampleSource`."""
        return _view(self.net, self.options)

    def describe(self) -> dict[str, Any]:
        """See `generate.SampleSource`."""
        return {"samples": "faces", "net": self.net, "seed": self.seed, "inside": self.net == "pnet", **declared(self.options)}

    def prepare(self) -> "FaceSource":
        """See `generate.SampleSource`."""
        return self

    def samples(self, image: np.ndarray, photo: Photo, number: int) -> tuple[Samples, dict[str, float]]:
        """See `generate.SampleSource`."""
        generator = np.random.default_rng([self.seed, number])
        crops = sampling.draw(photo, image.shape[:2], SMALLEST, self.options, generator, inside=self.net == "pnet")
        return cut_samples(image, crops, photo, number, self.view), _figures(crops, photo, self.options)


@dataclass
class LandmarkSource(FaceSource):
    """Samples of landmarks from annotated faces, see `FaceSource`."""

    def describe(self) -> dict[str, Any]:
        """See `generate.SampleSource`."""
        return {**super().describe(), "samples": "landmarks"}

    def samples(self, image: np.ndarray, photo: Photo, number: int) -> tuple[Samples, dict[str, float]]:
        """See `generate.SampleSource`."""
        generator = np.random.default_rng([self.seed, number])
        samples = cut_landmark_samples(image, photo, number, self.view, self.options, generator)
        return samples, {"faces": float(sampling.learnable(photo, self.options).sum())}


@dataclass
class MinedSource:
    """Samples for the next net from the proposals of the nets before it, hard negatives among them.

    With `mining.again`, negatives are ranked by the score that the model's next net gives them.
    """

    images: str
    mining: MiningOptions
    options: SamplingOptions = field(default_factory=SamplingOptions)
    seed: int = 0

    def __post_init__(self) -> None:
        self.net: str = NEXT_NET[self.mining.stage]

    @property
    def view(self) -> View:
        """See `generate.SampleSource`."""
        return _view(self.net, self.options)

    def describe(self) -> dict[str, Any]:
        """See `generate.SampleSource`."""
        manifest = find_bundle(self.mining.model).manifest
        self._check_trained(manifest)
        model = {name: manifest[name] for name in (*MODEL_KEYS, "large_faces") if name in manifest}
        if contexts := {net: table["context"] for net, table in manifest["architecture"].items() if table.get("context")}:
            model["contexts"] = contexts
        mining = declared(self.mining, MiningOptions) | {"model": model}
        return {"samples": "mined", "seed": self.seed, **mining, **declared(self.options)}

    def prepare(self) -> "MinedSource":
        """See `generate.SampleSource`."""
        from mtcnn_gluon.detection.detector import Detector

        thresholds = None if self.mining.thresholds is None else (*self.mining.thresholds, 1.0)
        given = os.environ.get("OMP_NUM_THREADS", "")  # 1 in worker processes; not every runtime reads it
        threads = int(given) if re.fullmatch("[1-9][0-9]?", given) else None
        self._detector = Detector(self.mining.model, min_face=self.mining.find_from, thresholds=thresholds, threads=threads)
        self._check_trained(self._detector.bundle.manifest)
        return self

    def _check_trained(self, manifest: dict[str, Any]) -> None:
        """Raises ConfigError if a net that is used was not trained: its outputs are random."""
        needed = [*list(NETS)[: list(NETS).index(self.mining.stage) + 1], *([self.net] if self.mining.again else [])]
        if random := [net for net in needed if "cls" not in manifest["trained"][net]]:
            what = "again" if random == [self.net] else f"stage {self.mining.stage}"
            names = " and ".join(random)
            raise ConfigError(f"{what} needs a model whose {names} is trained; that of {self.mining.model} is not")

    def samples(self, image: np.ndarray, photo: Photo, number: int) -> tuple[Samples, dict[str, float]]:
        """See `generate.SampleSource`."""
        proposals = self._propose(image)
        crops = sampling.label(proposals, photo, self.options)
        negatives = np.flatnonzero(crops.kinds == Kind.NEGATIVE)  # highest score first
        is_kept = np.ones(len(crops), bool)
        is_kept[negatives[self.options.negatives_mined :]] = False
        crops = crops.take(is_kept)
        if self.mining.top_up:
            crops = sampling.concatenate([crops, self._near_negatives(image, photo, number)])
        figures = {**_figures(crops, photo, self.options), **_recall(proposals, photo, self.options)}
        return cut_samples(image, crops, photo, number, self.view), figures

    def _propose(self, image: np.ndarray) -> np.ndarray:
        """Squares (N, 4) that the next net gets, highest score first."""
        detector = self._detector
        candidates = cascade.propose([image], detector.engine, detector.settings)
        if self.mining.stage == "rnet":
            candidates = cascade.refine([image], candidates, detector.engine, detector.settings)
        scores = candidates.scores
        if self.mining.again:
            net = NEXT_NET[self.mining.stage]
            scores = cascade.run_on_crops([image], candidates, detector.engine, net, detector.settings)[0]
        return candidates.boxes[np.argsort(-scores, kind="stable")]

    def _near_negatives(self, image: np.ndarray, photo: Photo, number: int) -> Crops:
        options = replace(self.options, jitters=0, jitters_large=0, negatives=0, negatives_near=self.mining.top_up)
        generator = np.random.default_rng([self.seed, number])
        return sampling.draw(photo, image.shape[:2], int(self.mining.find_from), options, generator, inside=False)


def _view(net: str, options: SamplingOptions) -> View:
    """What a net sees of a sample's square."""
    view = View(options.size or NETS[net].size, options.context)
    if view.cell < 1:
        raise ConfigError(f"context must be less than half of the size of {net}, {view.size}, not {view.context}")
    return view


def _figures(crops: Crops, photo: Photo, options: SamplingOptions) -> dict[str, float]:
    """The number of faces that are learned from, and a histogram of the crops' sides for each kind."""
    figures = {"faces": float(sampling.learnable(photo, options).sum())}
    sides = crops.boxes[:, 2] - crops.boxes[:, 0]
    for kind in np.unique(crops.kinds):
        for edge, count in zip(SIDES, np.histogram(sides[crops.kinds == kind], [*SIDES, np.inf])[0]):
            if count:
                figures[f"{Kind(kind).name.lower()}, side from {edge:.0f} px"] = float(count)
    return figures


def _recall(proposals: np.ndarray, photo: Photo, options: SamplingOptions) -> dict[str, float]:
    """The numbers of proposals and of faces that at least one proposal has found."""
    faces = sampling.overlapped(photo, options)[sampling.learnable(photo, options)]
    best = box_ops.iou(proposals, faces).max(axis=0, initial=0)  # (N,)
    return {"proposals": float(len(proposals)), "faces found": float((best >= RECALL_OVERLAP).sum())}
