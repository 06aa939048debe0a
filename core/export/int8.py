"""The nets of a bundle in 8 bits, fitted to photos."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterable, Sequence

import numpy as np

from mtcnn_gluon.bundles.format import Bundle, write_bundle
from mtcnn_gluon.bundles.parameters import bundle_parameters
from mtcnn_gluon.config import NETS
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.engines.base import Engine
from mtcnn_gluon.errors import DataError
from mtcnn_gluon.export.quantise import quantise
from mtcnn_gluon.operators.int8_layers import ENDING, Int8Layer, write_layers

logger = logging.getLogger(__name__)

MIN_FACE = 14  # smaller than usual, and thresholds lower: the nets' inputs shall be of all kinds
LOWER = 0.5  # of the bundle's thresholds
KEPT = {"pnet": 40, "rnet": 2048, "onet": 1024}  # inputs: canvases of at most 256 x 640, crops
BATCH = 64  # crops that are computed at once


def add_int8(bundle: Bundle, images: Iterable[np.ndarray]) -> Bundle:
    """Add the nets in 8 bits to a bundle, in its folder; old ones are replaced.

    Args, Raises: as of `quantised`.
    """
    layers = quantised(bundle, images)
    files = {name: bundle.file(name).read_bytes() for name in bundle.manifest["files"]}

    def write(folder: Path) -> None:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        for net, each in layers.items():
            write_layers(folder / f"{net}{ENDING}", each)

    manifest = {key: value for key, value in bundle.manifest.items() if key not in ("schema", "files")}
    return write_bundle(bundle.path, manifest, write)


def quantised(bundle: Bundle, images: Iterable[np.ndarray]) -> dict[str, list[Int8Layer]]:
    """The layers of each net in 8 bits.

    Args:
        bundle: the nets in float.
        images: photos (H, W, 3) uint8 RGB, of the kinds and sizes that the nets will see, with faces; about fifty are enough.

    Raises:
        DataError: if a net sees nothing of the photos: there must be faces in them.
        ModelError: if the bundle cannot be used.
    """
    seen = _seen(bundle, images)
    parameters, manifest = bundle_parameters(bundle), bundle.manifest
    layers = {}
    for net, table in manifest["architecture"].items():
        inputs = seen[net].parts(whole=net == "pnet")
        if not inputs:
            raise DataError(f"no photo shows what {net} sees: 8-bit nets need photos with faces")
        logger.info("%s in 8 bits, from %d inputs", net, sum(map(len, inputs)))
        layers[net] = quantise(net, table, parameters[net], inputs, manifest["mean"], manifest["scale"])
    return layers


@dataclass
class _Sample:
    """At most `size` of the inputs given to it, each with the same chance (reservoir sampling, Vitter 1985)."""

    size: int
    generator: np.random.Generator
    rows: list[np.ndarray] = field(default_factory=list)
    count: int = 0

    def add(self, images: np.ndarray) -> None:
        for image in images:
            self.count += 1
            if len(self.rows) < self.size:
                self.rows.append(image.copy())
            elif (place := self.generator.integers(self.count)) < self.size:
                self.rows[place] = image.copy()

    def parts(self, whole: bool) -> list[np.ndarray]:
        """The inputs (N, 3, H, W), `whole` ones one by one, as they differ in size."""
        size = 1 if whole else BATCH
        return [np.stack(self.rows[start : start + size]) for start in range(0, len(self.rows), size)]


def _seen(bundle: Bundle, images: Iterable[np.ndarray]) -> dict[str, _Sample]:
    """What the nets see when they detect."""
    generator = np.random.default_rng(0)
    seen = {net: _Sample(KEPT[net], generator) for net in NETS}
    thresholds = [LOWER * threshold for threshold in bundle.manifest["thresholds"]]
    detector = Detector(bundle.path, min_face=MIN_FACE, thresholds=thresholds)
    detector.engine = _Spy(detector.engine, seen)
    for image in images:
        detector.detect(image)
    return seen


class _Spy(Engine):
    """An engine that keeps what another one sees."""

    def __init__(self, engine: Engine, seen: dict[str, _Sample]) -> None:
        self._engine, self._seen = engine, seen
        self.kernel_threads = engine.kernel_threads

    def run(self, net: str, images: np.ndarray) -> Sequence[np.ndarray]:
        self._seen[net].add(images)
        return self._engine.run(net, images)

    def _run_batches(self, net: str, crops: np.ndarray) -> list[np.ndarray]:
        self._seen[net].add(crops)
        return self._engine._run_batches(net, crops)
