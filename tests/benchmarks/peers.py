"""What other detectors find, as a result file for `mtcnn-gluon evaluate --results`.

    python tests/benchmarks/peers.py yunet yunet.onnx photos list.txt yunet.jsonl [--border 64] [--least 0.02]
    python tests/benchmarks/peers.py scrfd scrfd_500m_kps.onnx photos list.txt scrfd.jsonl

The list is of any format that `prepare` reads, or a csv with a column `file`. YuNet runs in OpenCV at the size of the photo,
SCRFD on ONNX Runtime at 640 x 640, as their authors' programs do. `mtcnn-gluon bench` times both.
"""

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import cv2

from mtcnn_gluon.bench.single_shot import SCRFD, YUNET_OVERLAP, Limits, scrfd, yunet_opencv
from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.prepare_data.readers import read_annotations


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
    make, overlap = (yunet_opencv, YUNET_OVERLAP) if arguments.detector == "yunet" else (scrfd, SCRFD.overlap)
    detect = make(arguments.model, Limits(arguments.least, overlap))
    with open(arguments.out, "w") as file:
        for name in names(arguments.list):
            image, border = read_image(Path(arguments.images) / name), arguments.border
            rows: list[dict[str, Any]] = []
            found = detect(cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_CONSTANT))
            for box, score, points in zip(*found):
                marks = dict(zip(LANDMARK_NAMES, (points - border).astype(float).tolist()))
                rows.append({"box": (box - border).astype(float).tolist(), "score": float(score), "landmarks": marks})
            size = {"width": image.shape[1], "height": image.shape[0]}
            file.write(json.dumps({"image": name, **size, "faces": rows}) + "\n")


if __name__ == "__main__":
    main()
