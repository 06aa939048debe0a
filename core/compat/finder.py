"""A detector whose options differ from call to call, on a device as other packages name it."""

import copy
import logging
import re
from dataclasses import replace
from typing import Any, Sequence

import numpy as np

from mtcnn_gluon.config import MAX_FACE, MAX_FACTOR
from mtcnn_gluon.detection import cascade
from mtcnn_gluon.detection.cascade import Candidates
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.errors import ConfigError, ModelError, Unavailable, shown
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.options import Meaning, checked

logger = logging.getLogger(__name__)

FACE = Meaning("", least=1, most=MAX_FACE, form="a number of pixels, 1 or more")
FACTOR = Meaning("", above=0, most=MAX_FACTOR)
SHARE = Meaning("", least=0, most=1)
Triple = tuple[float, float, float]

_DEVICE = re.compile(r"(?:/?device:|/)?(cpu|gpu|cuda|mps)(?::?([0-9]{1,3}))?")


class Finder:
    """A detector whose sizes, thresholds and overlaps are arguments of each call.

    Args:
        model: see `Detector`.
        engine: see `Detector`.
        device: as PyTorch or TensorFlow name it, such as `cuda:0` or `GPU:0`. Where no engine can use it, faces are found on
            the CPU, and a warning says so: programs ask their framework for a device, and the engines may have another one.

    Attributes:
        thresholds, nms: the model's own, see `Detector`.
        is_official: whether the model is `official`, the weights of the other packages.

    Raises:
        ConfigError: if an argument is out of range.
        ModelError: if the model cannot be used, or has no landmarks.
    """

    def __init__(self, model: Any, engine: str, device: Any) -> None:
        name = device_name(device)
        try:
            self._detector = Detector(model, engine, name)
        except Unavailable as error:
            if name == "cpu":
                raise
            logger.warning("faces are found on the CPU, since no engine can use the device %s: %s", device, error)
            self._detector = Detector(model, engine)
        if not self._detector.has_landmarks:
            raise ModelError(f"model {model} was trained without landmarks, which are part of the results here")
        self.thresholds: Triple = self._detector.settings.thresholds
        self.nms = self._detector.settings.nms
        self.is_official = self._detector.bundle.manifest["name"] == "official"

    def faces(self, images: Sequence[np.ndarray], **changes: Any) -> list[Faces]:
        """Faces in each of `images`, (H, W, 3) uint8 RGB, whose boxes may leave the image; `changes` to `Settings` by name."""
        return self._with(**changes).detect_batch(images)

    def candidates(self, image: np.ndarray, stages: int, **changes: Any) -> Candidates:
        """Squares, best first, after the first of the three stages or the first two, in an image (H, W, 3) uint8 RGB."""
        detector = self._with(**changes)
        found = cascade.propose([image], detector.engine, detector.settings)
        if stages > 1:
            found = cascade.refine([image], found, detector.engine, detector.settings)
        return found.take(np.argsort(-found.scores, kind="stable"))

    def _with(self, **changes: Any) -> Detector:
        """A detector with the same nets and other settings."""
        detector = copy.copy(self._detector)
        detector.settings = replace(self._detector.settings, is_clipped=False, **changes)
        return detector


def device_name(device: Any) -> str:
    """The name of a device for `Detector`: `cpu`, `gpu`, `gpu:N` or `mps`.

    Args:
        device: a name such as `cuda:0`, `CPU:0` or `/GPU:1`, a `torch.device`, the number of a GPU, or None for the CPU.

    Raises:
        ConfigError: if it is none of these.
    """
    text = f"gpu:{device}" if isinstance(device, int) else "cpu" if device is None else str(device).lower()
    match = _DEVICE.fullmatch(text)
    if match is None:
        raise ConfigError(f"device must be a name such as cpu, cuda:0 or GPU:0, not {shown(device)}")
    if match[1] in ("cpu", "mps"):
        return match[1]
    return "gpu" if match[2] is None else f"gpu:{match[2]}"


def pyramid_settings(name: str, face: Any, factor_name: str, factor: Any) -> dict[str, float]:
    """`Settings` of the image pyramid from options with the names that another package gives them; `ConfigError` if wrong."""
    return {"min_face": checked(name, face, float, FACE), "factor": checked(factor_name, factor, float, FACTOR)}
