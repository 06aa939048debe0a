"""What models find of annotated faces, and how many of their boxes are on none, at given thresholds or their own.

    MTCNN_GLUON_DATA=DATA python tests/benchmarks/found.py gluon-4 official gluon-4=0.7,0.6,0.9

A face is found if a box overlaps it by half (intersection over union), each box standing for one face, best score first. A
box is false if it overlaps no annotated face by half, those to be ignored included. Sides are short sides in pixels.
"""

import argparse
import os
from pathlib import Path
from typing import Sequence

import numpy as np
from tqdm import tqdm

from mtcnn_gluon import Detector, Faces, boxes, read_image
from mtcnn_gluon.prepare_data.annotations import Photo
from mtcnn_gluon.prepare_data.readers import read_annotations

LISTS = {"247 photos": ("wider_train", "wider_face"), "138 photos of unseen events": ("wider_more", "wider_more")}
SIDES = (20, 40, 80)  # pixels
OVERLAP = 0.5


def count(photo: Photo, faces: Faces) -> np.ndarray:
    """Faces and faces found from each of `SIDES` on, then boxes and false boxes, all and from the last side on: (2 S + 4,)."""
    truth = photo.boxes.astype(np.float64)
    overlaps = boxes.iou(faces.boxes.astype(np.float64), truth)  # (N, M)
    is_found = np.zeros(len(truth), bool)
    free = overlaps.copy()
    for row in range(len(faces)):
        best = int(free[row].argmax()) if len(truth) else 0
        if len(truth) and free[row, best] >= OVERLAP:
            is_found[best] = True
            free[:, best] = 0
    sides = (truth[:, 2:] - truth[:, :2]).min(axis=1, initial=np.inf)
    counted = [(sides >= side) & ~photo.ignore for side in SIDES]
    is_false = overlaps.max(axis=1, initial=0) < OVERLAP
    is_large = (faces.boxes[:, 2:] - faces.boxes[:, :2]).min(axis=1, initial=np.inf) >= SIDES[-1]
    found = [value for rows in counted for value in (rows.sum(), (rows & is_found).sum())]
    return np.array([*found, len(faces), is_false.sum(), is_large.sum(), (is_large & is_false).sum()])


def describe(name: str, counts: np.ndarray) -> str:
    """One row of the table, from the sums of `count` over photos."""
    found = [f"{100 * found / max(1, faces):5.1f} %" for faces, found in counts[: 2 * len(SIDES)].reshape(-1, 2)]
    total, false, _, false_large = counts[2 * len(SIDES) :]
    return f"{name:34s} {'  '.join(found)}   {100 * (total - false) / max(1, total):5.1f} %  {false:4d}   {false_large:4d}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each list of photos."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL[=P,R,O]", help="a model, with thresholds if not its own")
    parser.add_argument("--min-face", type=float, default=20)
    options = parser.parse_args(arguments)
    data = Path(os.environ["MTCNN_GLUON_DATA"])
    detectors = {}
    for text in options.models:
        model, _, numbers = text.partition("=")
        detectors[text] = Detector(model, min_face=options.min_face, thresholds=[*map(float, numbers.split(","))] or None
                                   if numbers else None)  # fmt: skip
    for title, (folder, prefix) in LISTS.items():
        photos = read_annotations(data / folder / f"{prefix}_dev_bbx_gt.txt").photos
        sums = {text: np.zeros(2 * len(SIDES) + 4, int) for text in detectors}
        for photo in tqdm(photos, title, disable=None):
            image = read_image(data / folder / "images" / photo.path)
            for text, detector in detectors.items():
                sums[text] += count(photo, detector.detect(image))
        print(f"{title:34s} " + "  ".join(f"from {side}" for side in SIDES) + "   precision  false  false from 80")
        print("\n".join(describe(text, counts) for text, counts in sums.items()))


if __name__ == "__main__":
    main()
