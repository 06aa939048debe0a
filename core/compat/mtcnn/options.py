"""The options of a call of `MTCNN.detect_faces` that mtcnn hands to its stages."""

from dataclasses import dataclass
from typing import Any

from mtcnn_gluon.compat.finder import FACE, Finder, Triple, pyramid_settings
from mtcnn_gluon.options import Options, option

OFFICIAL = (0.6, 0.7, 0.8)  # mtcnn's own thresholds for these weights
CELL = 12  # side of P-Net's input there


@dataclass(frozen=True)
class StageOptions(Options):
    """The stages.

    None stands for mtcnn's own value with the official weights, and for the model's with others.
    """

    min_face_size: float = option(20, "side in pixels of the smallest face to find", least=1, form=FACE.form)
    min_size: float = option(CELL, "side in pixels that it has in the largest level of the pyramid", least=1)
    scale_factor: float = option(0.709, "scale between neighbouring levels", above=0, most=0.99)
    threshold_pnet: float | None = option(None, "face probability that P-Net must reach", usual="0.6", least=0, most=1)
    threshold_rnet: float | None = option(None, "face probability that R-Net must reach", usual="0.7", least=0, most=1)
    threshold_onet: float | None = option(None, "face probability that O-Net must reach", usual="0.8", least=0, most=1)
    nms_pnet1: float | None = option(None, "overlap allowed within a level", usual="0.5", least=0, most=1)
    nms_pnet2: float | None = option(None, "overlap allowed across levels", usual="0.7", least=0, most=1)
    nms_rnet: float | None = option(None, "overlap allowed after R-Net", usual="0.7", least=0, most=1)
    nms_onet: float | None = option(None, "overlap allowed after O-Net", usual="0.7", least=0, most=1)

    def settings(self, finder: Finder) -> dict[str, Any]:
        """The options as `Settings` of the cascade."""
        usual: Triple = OFFICIAL if finder.is_official else finder.thresholds
        thresholds = (self.threshold_pnet, self.threshold_rnet, self.threshold_onet)
        overlaps = (self.nms_pnet1, self.nms_pnet2, self.nms_rnet, self.nms_onet)
        face = self.min_face_size * CELL / self.min_size
        return {
            **pyramid_settings("min_face_size * 12 / min_size", face, "scale_factor", self.scale_factor),
            "thresholds": tuple(own if given is None else given for given, own in zip(thresholds, usual)),
            "nms": tuple(own if given is None else given for given, own in zip(overlaps, finder.nms)),
        }
