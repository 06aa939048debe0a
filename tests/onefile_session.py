"""What the tests of the one-file cascade share: models, a session that gives `Faces`, and how far results agree."""

from typing import Any

import numpy as np
import onnxruntime

from mtcnn_gluon import Faces, boxes
from mtcnn_gluon.bundles.official import MANIFEST, official_parameters
from mtcnn_gluon.bundles.onnx_nets import to_bytes
from mtcnn_gluon.export.onefile import cascade_model

PARAMETERS = {net: official_parameters(net) for net in MANIFEST["architecture"]}


def make_model(**changes: Any) -> bytes:
    """The official weights' one-file cascade, with changes to the manifest."""
    return to_bytes(cascade_model({**MANIFEST, **changes}, PARAMETERS))


class Session:
    """ONNX Runtime with one model."""

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # else it warns of every input that may be left out
        self.runtime = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def detect(self, image: np.ndarray, **options: Any) -> Faces:
        """Faces in an image (H, W, 3) uint8; `Faces` checks shapes, types and ranges."""
        feeds = {name: np.array(value, np.float32) for name, value in options.items()}
        return Faces(*self.runtime.run(["boxes", "scores", "landmarks"], {"image": np.ascontiguousarray(image), **feeds}))


def agreeing(a: Faces, b: Faces) -> int:
    """How many faces of `a` are in `b` too: IoU 0.95, score within 0.01, landmarks within 0.5 px."""
    if not len(a) or not len(b):
        return 0
    overlap = boxes.iou(a.boxes, b.boxes)
    match = overlap.argmax(axis=1)
    same_box = overlap.max(axis=1) >= 0.95
    same_score = np.abs(a.scores - b.scores[match]) <= 0.01
    return int((same_box & same_score & (np.abs(a.landmarks - b.landmarks[match]) <= 0.5).all(axis=(1, 2))).sum())
