"""How far the drop-in replacements find the faces that the packages themselves find.

    python tests/benchmarks/compat.py PHOTOS LIST [--limit 60] [--model official] [--package facenet-pytorch]

It needs facenet-pytorch with PyTorch, and mtcnn with TensorFlow. The list is of any format that `prepare` reads. A
face counts as the same if the boxes' intersection is at least half of their union. Pairs count by the package's box.
"""

import argparse
import os
from pathlib import Path
from typing import Any, Callable

import numpy as np
from PIL import Image

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.compat import facenet_pytorch as our_facenet
from mtcnn_gluon.compat import mtcnn as our_mtcnn
from mtcnn_gluon.prepare_data.readers import read_annotations

Found = tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes (N, 4), scores (N,), landmarks (N, 5, 2)
SAME = 0.5  # intersection over union
SIZES = (20, 40, 80)  # pixels: the square root of a box's area


def by_facenet(package: Any, **more: Any) -> Callable[[Image.Image], Found]:
    """What `detect` of facenet-pytorch, or of what replaces it, finds."""
    net = package.MTCNN(keep_all=True, **more)

    def find(image: Image.Image) -> Found:
        boxes, scores, points = net.detect(image, landmarks=True)
        if boxes is None:
            return np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2))
        return boxes.astype(float), scores.astype(float), points.astype(float)

    return find


def by_mtcnn(package: Any, **more: Any) -> Callable[[Image.Image], Found]:
    """What `detect_faces` of mtcnn, or of what replaces it, finds."""
    net = package.MTCNN(**more)

    def find(image: Image.Image) -> Found:
        rows = net.detect_faces(np.asarray(image), box_format="xyxy", output_type="numpy")
        return rows[:, 1:5], rows[:, 5], np.stack([rows[:, 6:11], rows[:, 11:16]], axis=2)

    return find


def pairs(theirs: Found, ours: Found) -> list[tuple[int, int]]:
    """Faces that are the same: each is the other's best."""
    overlaps = box_ops.iou(theirs[0], ours[0])
    best = [(i, int(row.argmax())) for i, row in enumerate(overlaps) if row.size]
    return [(i, j) for i, j in best if overlaps[i, j] >= SAME and overlaps[:, j].argmax() == i]


def report(package: str, photos: list[tuple[Found, Found]]) -> None:
    """Print a row for each size."""
    for least in SIZES:
        counts, rows = np.zeros(2, int), []
        for theirs, ours in photos:
            counts += [int((box_ops.area(boxes) >= least**2).sum()) for boxes in (theirs[0], ours[0])]
            for i, j in pairs(theirs, ours):
                if (side := box_ops.area(theirs[0][i : i + 1])[0] ** 0.5) >= least:
                    overlap = box_ops.iou(theirs[0][i : i + 1], ours[0][j : j + 1])[0, 0]
                    distance = np.linalg.norm(theirs[2][i] - ours[2][j], axis=1).mean() / side
                    rows.append((overlap, distance, abs(theirs[1][i] - ours[1][j])))
        overlap, distance, score = np.mean(rows, axis=0)
        print(
            f"{package}, faces from {least} px: {counts[0]} there, {counts[1]} here, {len(rows)} the same; "
            f"overlap {overlap:.3f}, landmarks {distance:.2%} of the face, scores {score:.4f}"
        )


def main() -> None:
    """Print how far they agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("list")
    parser.add_argument("--limit", type=int, default=60, help="photos, spread over the list")
    parser.add_argument("--model", default="official")
    parser.add_argument("--package", choices=("facenet-pytorch", "mtcnn"), action="append")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    names = [photo.path for photo in read_annotations(arguments.list).photos]
    images = [Image.open(arguments.photos / name).convert("RGB") for name in names[:: max(1, len(names) // arguments.limit)]]
    for package in arguments.package or ("facenet-pytorch", "mtcnn"):
        if package == "mtcnn":
            import mtcnn

            finds = by_mtcnn(mtcnn), by_mtcnn(our_mtcnn, model=arguments.model)
        else:
            import facenet_pytorch

            finds = by_facenet(facenet_pytorch), by_facenet(our_facenet, model=arguments.model)
        print(f"{len(images)} photos, model {arguments.model}")
        report(package, [(finds[0](image), finds[1](image)) for image in images])


if __name__ == "__main__":
    main()
