"""What other detectors find, as a result file for `mtcnn-gluon evaluate --results`.

    python tests/benchmarks/peers.py yunet yunet.onnx photos list.txt yunet.jsonl [--border 64] [--least 0.02]
    python tests/benchmarks/peers.py scrfd scrfd_500m_kps.onnx photos list.txt scrfd.jsonl

The list is of any format that `prepare` reads, or a csv with a column `file`. YuNet runs in OpenCV at the size of the photo,
SCRFD on ONNX Runtime at 640 x 640 (letterboxed), as their authors' programs do.
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np

from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.prepare_data.readers import read_annotations

Found = list[tuple[np.ndarray, float, np.ndarray]]  # box x1, y1, x2, y2, score, points (5, 2)
SIDE, STRIDES, ANCHORS, OVERLAP = 640, (8, 16, 32), 2, 0.45


def yunet(file: str, least: float) -> Callable[[np.ndarray], Found]:
    """YuNet of OpenCV's model zoo."""
    detector = cv2.FaceDetectorYN.create(file, "", (SIDE, SIDE), least, OVERLAP, 5000)

    def detect(image: np.ndarray) -> Found:
        detector.setInputSize(image.shape[1::-1])
        rows = detector.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
        rows = np.zeros((0, 15)) if rows is None else rows
        return [(np.concatenate([row[:2], row[:2] + row[2:4]]), row[14], row[4:14].reshape(5, 2)) for row in rows]

    return detect


def scrfd(file: str, least: float) -> Callable[[np.ndarray], Found]:
    """SCRFD of InsightFace."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def detect(image: np.ndarray) -> Found:
        scale = SIDE / max(image.shape[:2])
        canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
        small = cv2.resize(image, None, fx=scale, fy=scale)[:SIDE, :SIDE]
        canvas[: small.shape[0], : small.shape[1]] = small
        outputs = session.run(None, {name: ((canvas.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]})
        boxes, scores, points = [], [], []
        for level, stride in enumerate(STRIDES):
            score, box, point = (
                np.reshape(outputs[kind * len(STRIDES) + level], (-1, size)) for kind, size in enumerate((1, 4, 10))
            )
            cells = SIDE // stride
            centres = np.stack(np.mgrid[:cells, :cells][::-1], -1).reshape(-1, 2).repeat(ANCHORS, 0) * stride
            keep = score[:, 0] >= least
            centres, score, box, point = centres[keep], score[keep], box[keep] * stride, point[keep] * stride
            boxes.append(np.hstack([centres - box[:, :2], centres + box[:, 2:]]))
            scores.append(score[:, 0])
            points.append(centres[:, None] + point.reshape(-1, 5, 2))
        every, sure, marks = np.concatenate(boxes) / scale, np.concatenate(scores), np.concatenate(points) / scale
        sized = np.hstack([every[:, :2], every[:, 2:] - every[:, :2]])
        kept = cv2.dnn.NMSBoxes(sized.tolist(), sure.tolist(), least, OVERLAP)
        return [(every[row], sure[row], marks[row]) for row in np.reshape(kept, -1).astype(int)]

    return detect


def names(path: str) -> list[str]:
    """The photos of a list."""
    text = Path(path).read_text("utf-8")
    if "file" in text.partition("\n")[0].split(","):
        return list(dict.fromkeys(row["file"] for row in csv.DictReader(text.splitlines())))
    return [photo.path for photo in read_annotations(path).photos]


def main() -> None:
    """Write the result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("detector", choices=("yunet", "scrfd"))
    for name in ("model", "images", "list", "out"):
        parser.add_argument(name)
    parser.add_argument("--border", type=int, default=0, help="black pixels around each photo")
    parser.add_argument("--least", type=float, default=0.02, help="smallest score")
    arguments = parser.parse_args()
    detect = {"yunet": yunet, "scrfd": scrfd}[arguments.detector](arguments.model, arguments.least)
    with open(arguments.out, "w") as file:
        for name in names(arguments.list):
            image, border = read_image(Path(arguments.images) / name), arguments.border
            rows: list[dict[str, Any]] = []
            for box, score, points in detect(cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_CONSTANT)):
                marks = dict(zip(LANDMARK_NAMES, (points - border).astype(float).tolist()))
                rows.append({"box": (box - border).astype(float).tolist(), "score": float(score), "landmarks": marks})
            size = {"width": image.shape[1], "height": image.shape[0]}
            file.write(json.dumps({"image": name, **size, "faces": rows}) + "\n")


if __name__ == "__main__":
    main()
