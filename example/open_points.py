"""Set the landmarks of a list of faces by MediaPipe's face mesh, which places them better than YuNet.

    python example/open_points.py --root OPEN --list OPEN/landmarks.csv --out OPEN/points.csv

It needs MediaPipe (Apache 2.0) with its older interface, and so an environment of its own: pip install mediapipe==0.10.21. The
list is one of example/open_data.py or heads/render.py: a path below OPEN, a box and five points a row. A face is looked at in
several sizes and mirrored; its points are the medians. Faces that the mesh does not find, or finds elsewhere, keep no row; with
--keep they keep the points that they had: those of rendered people in profile are exact.
"""

import argparse
import csv
import os
from functools import lru_cache
from multiprocessing import Pool
from pathlib import Path

import cv2
import mediapipe
import numpy as np

SIDE = 384  # pixels of the square that the mesh is looked for in
SIZES = (1.3, 1.6, 2.2, 3)  # sides of squares, in the longer sides of boxes
BOX, POINTS = ("x1", "y1", "x2", "y2"), ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
COLUMNS = [f"{point}_{axis}" for point in POINTS for axis in "xy"]
# Shares of the mesh's vertices in each point. People mark an eye near its iris, but not as far as the gaze turns it; the tip of
# the nose between two vertices; a corner of the mouth a little outside the lips' red.
SHARES: tuple[dict[int, float], ...] = (
    {468: 0.75, 33: 0.125, 133: 0.125},
    {473: 0.75, 362: 0.125, 263: 0.125},
    {4: 0.8, 1: 0.2},
    {61: 0.75, 57: 0.25},
    {291: 0.75, 287: 0.25},
)
MIRRORED = [1, 0, 2, 4, 3]
FAR = 0.15  # mean distance from the listed points, in square roots of the box's area, from which it is another face


@lru_cache(1)
def mesh():
    """The finder of meshes."""
    return mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True, min_detection_confidence=0.3)


def five(square: np.ndarray) -> np.ndarray | None:
    """The landmarks (5, 2) of the face in a square picture, from its upper left corner, in pixels; None without a face."""
    found = mesh().process(cv2.cvtColor(square, cv2.COLOR_BGR2RGB)).multi_face_landmarks
    if not found:
        return None
    vertices = np.array([(point.x, point.y) for point in found[0].landmark]) * SIDE
    return np.array([sum(share * vertices[at] for at, share in shares.items()) for shares in SHARES])


def points_of(image: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """The landmarks (5, 2) of the face in a box of an image, in its pixels; None if there are none in any size."""
    found = []
    for size in SIZES:
        scale = SIDE / (size * max(box[2:] - box[:2]))
        shift = SIDE / 2 - scale * (box[:2] + box[2:]) / 2
        middles = shift + (scale - 1) / 2  # OpenCV counts from the middle of the first pixel
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        square = cv2.warpAffine(image, np.float32([[scale, 0, middles[0]], [0, scale, middles[1]]]), (SIDE, SIDE), flags=how)
        if (points := five(square)) is not None:
            found.append((points - shift) / scale)
        if (points := five(np.ascontiguousarray(square[:, ::-1]))) is not None:
            found.append((points[MIRRORED] * (-1, 1) + (SIDE, 0) - shift) / scale)
    return np.median(found, 0) if found else None


def placed(task: tuple[Path, list[dict[str, str]], bool]) -> list[dict[str, str]]:
    """The rows of a photo with the points of meshes; without rows that have none, unless they are to be kept."""
    path, rows, are_kept = task
    image = cv2.imread(str(path))
    if image is None:
        raise OSError(f"{path} cannot be read")
    kept = []
    for row in rows:
        box = np.array([float(row[name]) for name in BOX])
        listed = np.array([float(row[name]) for name in COLUMNS]).reshape(5, 2)
        points = points_of(image, box)
        if points is None or np.hypot(*(points - listed).T).mean() > FAR * np.sqrt(np.prod(box[2:] - box[:2])):
            kept += [row] * are_kept
            continue
        kept.append({**row, **dict(zip(COLUMNS, map("{:.3f}".format, points.ravel())))})
    return kept


def main() -> None:
    """Write the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("root", "list", "out"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--keep", action="store_true", help="keep rows whose faces have no mesh")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    with open(arguments.list, newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        parser.error(f"{arguments.list} lists no face")
    photos: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        photos.setdefault(row["file"], []).append(row)
    with Pool(arguments.workers) as pool:
        tasks = [(arguments.root / path, faces, arguments.keep) for path, faces in photos.items()]
        kept = [row for each in pool.imap(placed, tasks, chunksize=8) for row in each]
    part = arguments.out.with_name(arguments.out.name + ".part")
    with open(part, "w", newline="") as file:
        table = csv.DictWriter(file, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(kept)
    os.replace(part, arguments.out)
    print(f"{len(kept)} of {len(rows)} faces in {arguments.out}")


if __name__ == "__main__":
    main()
