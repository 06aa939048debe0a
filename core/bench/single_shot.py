"""YuNet and SCRFD, single-shot detectors that many use today: from their ONNX files to faces, for comparison.

Both nets look at an image on three levels, with a cell every 8, 16 and 32 pixels. A cell of YuNet gives one face, of SCRFD two.

- YuNet (Wu et al., 2023): score = sqrt(cls * obj); centre = (cell + box[:2]) * stride, size = exp(box[2:]) * stride, landmarks
  = (cell + points) * stride. It takes BGR in 0..255, in images of any size that 32 divides. The smallest faces that it finds
  have about `SMALLEST` pixels, so that the size of the image decides what it finds, and how long that takes.
- SCRFD (Guo et al., 2021): box = the distances of its four sides from the cell's corner, in strides, landmarks likewise. It
  takes RGB as (x - 127.5) / 128, and photos of every size at 640 x 640: scaled, with black below or to the right.

This file also runs in processes of its own, see `worker.py`, whose memory is measured. So it imports nothing of this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping

import cv2
import numpy as np

STRIDES = (8, 16, 32)
UNIT = 32  # sides of YuNet's input are multiples of it
SIDE = 640  # of SCRFD's input
ANCHORS = 2  # of SCRFD, in every cell
MOST = 5000  # faces before suppression
SMALLEST = 10  # side in pixels of the smallest face that YuNet finds


@dataclass(frozen=True)
class Limits:
    """The smallest score of a face, and the largest overlap (IoU) of two faces, both in 0..1."""

    score: float
    overlap: float


YUNET = Limits(0.6, 0.3)  # as in OpenCV's model zoo; FaceDetectorYN's own 0.9 finds only a quarter of small faces
YUNET_OVERLAP = 0.45  # of its authors, when they measure average precision
SCRFD = Limits(0.5, 0.4)  # the defaults of insightface

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes (N, 4) x1, y1, x2, y2, scores (N,), landmarks (N, 5, 2), in pixels
Detect = Callable[[np.ndarray], Arrays]  # of an image (H, W, 3) uint8 RGB


def yunet_opencv(file: str, limits: Limits = YUNET, min_face: float = SMALLEST) -> Detect:
    """YuNet in OpenCV's `FaceDetectorYN`.

    Args:
        file: YuNet as an ONNX file for images of one size, whichever; OpenCV changes it.
        limits: what to keep.
        min_face: side in pixels of the smallest face to find. Images are scaled so that it has `SMALLEST` pixels.

    Raises:
        ValueError: if OpenCV cannot use the file.
    """
    try:
        detector = cv2.FaceDetectorYN.create(file, "", (SIDE, SIDE), limits.score, limits.overlap, MOST)
    except cv2.error as error:
        text = "expected YuNet for images of one size, as OpenCV's model zoo has it"
        raise ValueError(f"{file} cannot be used by OpenCV's FaceDetectorYN: {text}") from error

    def detect(image: np.ndarray) -> Arrays:
        small, scale = _scaled(image, SMALLEST / min_face)
        detector.setInputSize(small.shape[1::-1])
        rows = detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
        rows = np.zeros((0, 15), np.float32) if rows is None else rows
        boxes = np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]])
        return boxes / np.tile(scale, 2), rows[:, 14], rows[:, 4:14].reshape(-1, 5, 2) / scale

    return detect


def yunet_onnx(file: str, limits: Limits = YUNET, min_face: float = SMALLEST, threads: int | None = None) -> Detect:
    """YuNet on ONNX Runtime. `threads` is the number of CPU threads; for the other arguments see `yunet_opencv`.

    Files for images of one size are changed for all sizes, which needs the package `onnx`.

    Raises:
        ValueError: if the file is not YuNet.
        ImportError: if a package is missing.
    """
    session = open_session(file, threads)
    names = [output.name for output in session.get_outputs()]
    if sorted(names) != sorted(f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES):
        raise ValueError(f"{file} is not YuNet: expected the outputs cls_8 ... kps_32, got {', '.join(names)}")
    if isinstance(session.get_inputs()[0].shape[2], int):
        session = open_session(of_any_size(file), threads)
    source = session.get_inputs()[0].name

    def detect(image: np.ndarray) -> Arrays:
        small, scale = _scaled(image, SMALLEST / min_face)
        below, right = (-side % UNIT for side in small.shape[:2])
        bgr = cv2.copyMakeBorder(cv2.cvtColor(small, cv2.COLOR_RGB2BGR), 0, below, 0, right, cv2.BORDER_CONSTANT)
        outputs = session.run(names, {source: bgr.astype(np.float32).transpose(2, 0, 1)[None]})
        found = decode_yunet(dict(zip(names, outputs)), bgr.shape[0], bgr.shape[1], limits.score)
        boxes, scores, points = suppressed(*found, limits)
        return boxes / np.tile(scale, 2), scores, points / scale

    return detect


def scrfd(file: str, limits: Limits = SCRFD, threads: int | None = None) -> Detect:
    """SCRFD with landmarks on ONNX Runtime.

    Args:
        file: SCRFD as an ONNX file for images of 640 x 640 or of any size.
        limits: what to keep.
        threads: number of CPU threads; None: one a processor.

    Raises:
        ValueError: if the file is not such a net.
        ImportError: if ONNX Runtime is missing.
    """
    session = open_session(file, threads)
    source, outputs = session.get_inputs()[0], session.get_outputs()
    if len(outputs) != 3 * len(STRIDES):
        raise ValueError(f"{file} is not SCRFD with landmarks: expected {3 * len(STRIDES)} outputs, got {len(outputs)}")
    if any(isinstance(side, int) and side != SIDE for side in source.shape[2:]):
        raise ValueError(f"{file}: expected an input of {SIDE} x {SIDE} or of any size, got {source.shape}")

    def detect(image: np.ndarray) -> Arrays:
        scale = SIDE / max(image.shape[:2])
        height, width = (max(1, int(side * scale)) for side in image.shape[:2])
        canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
        canvas[:height, :width] = cv2.resize(image, (width, height))
        values = (canvas.astype(np.float32) - 127.5) / 128
        found = decode_scrfd(session.run(None, {source.name: values.transpose(2, 0, 1)[None]}), limits.score)
        boxes, scores, points = suppressed(*found, limits)
        exact = height / image.shape[0]  # of both axes, as insightface has it
        return boxes / exact, scores, points / exact

    return detect


def decode_yunet(outputs: Mapping[str, np.ndarray], height: int, width: int, least: float) -> Arrays:
    """The faces of at least the score `least`, before suppression.

    Args:
        outputs: `cls_8`, `obj_8` (1, N, 1), `bbox_8` (1, N, 4), `kps_8` (1, N, 10), and those of the other strides.
        height, width: of the net's input in pixels, multiples of 32.
        least: in 0..1.
    """

    def level(stride: int) -> Arrays:
        cls, obj, box, points = (outputs[f"{kind}_{stride}"][0] for kind in ("cls", "obj", "bbox", "kps"))
        scores = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
        rows = np.flatnonzero(scores >= least)
        cells, box, points = _cells(height, width, stride)[rows], box[rows], points[rows].reshape(-1, 5, 2)
        centres, half = (cells + box[:, :2]) * stride, np.exp(box[:, 2:]) * (stride / 2)
        return np.hstack([centres - half, centres + half]), scores[rows], (cells[:, None] + points) * stride

    return _joined(level(stride) for stride in STRIDES)


def decode_scrfd(outputs: list[np.ndarray], least: float) -> Arrays:
    """The faces of at least the score `least` in an input of `SIDE` x `SIDE` pixels, before suppression.

    Args:
        outputs: for each stride the scores (1, N, 1) or (N, 1), then for each the boxes (1, N, 4), then the points (1, N, 10).
        least: in 0..1.
    """

    def level(index: int, stride: int) -> Arrays:
        kinds = ((index + kind * len(STRIDES), size) for kind, size in enumerate((1, 4, 10)))
        scores, box, points = (outputs[place].reshape(-1, size) for place, size in kinds)
        rows = np.flatnonzero(scores[:, 0] >= least)
        corners = _cells(SIDE, SIDE, stride).repeat(ANCHORS, axis=0)[rows] * stride
        box, points = box[rows] * stride, points[rows].reshape(-1, 5, 2) * stride
        return np.hstack([corners - box[:, :2], corners + box[:, 2:]]), scores[rows, 0], corners[:, None] + points

    return _joined(level(index, stride) for index, stride in enumerate(STRIDES))


def suppressed(boxes: np.ndarray, scores: np.ndarray, points: np.ndarray, limits: Limits) -> Arrays:
    """The faces that overlap no better one by more than `limits` allow, best first."""
    sized = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    kept = cv2.dnn.NMSBoxes(sized.tolist(), scores.tolist(), limits.score, limits.overlap, top_k=MOST) if len(boxes) else []
    rows = np.reshape(kept, -1).astype(int)
    return boxes[rows], scores[rows], points[rows]


def open_session(model: str | bytes, threads: int | None) -> Any:
    """A session of ONNX Runtime on the CPU, from a file or its content."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads or 0, 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def of_any_size(file: str) -> bytes:
    """YuNet's file for images of one size, changed for images of all sizes: its layers do not depend on the size.

    Raises:
        ImportError: if `onnx` is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(f"{file} is for images of one size; changing that needs onnx: run pip install onnx") from error
    model = onnx.load(file)
    for place, name in ((2, "height"), (3, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_param = name
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]  # shapes between the layers
    return bytes(model.SerializeToString())


def _scaled(image: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """The image scaled by `factor`, and its exact scale in x and y (2,)."""
    if factor == 1:
        return image, np.ones(2, np.float32)
    size = [max(1, round(side * factor)) for side in image.shape[1::-1]]
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    return small, np.array([size[0] / image.shape[1], size[1] / image.shape[0]], np.float32)


def _cells(height: int, width: int, stride: int) -> np.ndarray:
    """Column and row (N, 2) float32 of every cell, row by row."""
    rows, columns = np.mgrid[: height // stride, : width // stride]
    return np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(np.float32)


def _joined(levels: Iterator[Arrays]) -> Arrays:
    boxes, scores, points = (np.concatenate(parts) for parts in zip(*levels))
    return boxes, scores, points
