"""Build the photos that pipeline_open.yaml learns from, all of which anyone may use.

    python example/open_data.py --sources SOURCES --yunet yunet.onnx --out OPEN

It copies photos to OPEN, at most 1,024 pixels wide or high, writes lists of faces and of photos without people, and composes
scenes of them. Put into SOURCES before:

    fairface/                photos of FairFace at 128 x 128 (CC BY 4.0, github.com/joojs/fairface), by their numbers
    congress/                portraits of github.com/unitedstates/images (public domain), at most 320 px
    18f.gsa.gov/             a clone of github.com/18F/18f.gsa.gov, commit 0a55c75 (CC0)
    hub/                     a clone of github.com/18F/hub, d1a91e5 (CC0)
    pif-website/             a clone of github.com/presidential-innovation-fellows/pif-website, 8ae57fa (CC0)
    rladies.github.io/       a clone of github.com/rladies/rladies.github.io, a2679af (CC BY 4.0)
    open-life-science.github.io/  a clone of github.com/open-life-science/open-life-science.github.io, 2064d3b (CC BY 4.0)
    sample-videos/           a clone of github.com/intel-iot-devkit/sample-videos, 5797889 (CC BY 4.0); VIDEOS are taken
    GroceryStoreDataset/     a clone of github.com/marcusklasson/GroceryStoreDataset, fc80ba9 (MIT)
    clothing-dataset-small/  a clone of github.com/alexeygrigorev/clothing-dataset-small, 1196151 (CC0)

open_faces.txt says which photos of FairFace and Congress were tried, with the beginnings of their SHA-256 (as WebP). yunet.onnx
is YuNet (MIT), of github.com/opencv/opencv_zoo.
"""

import argparse
import csv
import hashlib
import os
from pathlib import Path

import cv2
import numpy as np

from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.prepare_data.annotations import spread
from mtcnn_gluon.prepare_data.scenes import COLUMNS, SceneOptions, prepare_scenes

CROPS = ("fairface", "congress")
PHOTOS = (
    "18f.gsa.gov/assets",
    "hub/assets",
    "pif-website/assets/images",
    "rladies.github.io",
    "open-life-science.github.io",
    "sample-videos",
)
EMPTY = ("GroceryStoreDataset/dataset", "clothing-dataset-small")
KINDS = (".jpg", ".jpeg", ".png", ".webp")
VIDEOS = ("asl_gestures/*.mkv", "preview/*.gif", "bottle-detection.mp4", "car-detection.mp4", "one-by-one-person-detection.mp4")
EVERY = 10  # so many frames of a video one is taken
LONGEST = 1024  # pixels of a copied photo
SURE, UNSURE = 0.6, 0.3  # scores of YuNet from which a box is a face, and is neither face nor background
HELD_OUT = {"crops": 20, "photos": 8}  # every so many are for validation
TURNED = 0.31  # distance of the eyes / width of the face, below which it is turned


Rows = list[tuple[str, list[float]]]  # paths with boxes, scores and points


class Photos:
    """Copies photos, and finds faces in them with YuNet."""

    def __init__(self, sources: Path, out: Path, yunet: Path) -> None:
        self.sources, self.out = sources, out
        self.seen: set[str] = set()  # digests
        self.finder = cv2.FaceDetectorYN.create(str(yunet), "", (320, 320), UNSURE)

    def copied(self, path: str) -> np.ndarray | None:
        """A photo, copied and read, with OpenCV's order of colours; None if it is small or was there before."""
        image = cv2.cvtColor(read_image(self.sources / path), cv2.COLOR_RGB2BGR)
        digest = hashlib.sha256(image.tobytes()).hexdigest()
        if min(image.shape[:2]) < 100 or digest in self.seen:
            return None
        self.seen.add(digest)
        copy = self.out / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        if max(image.shape[:2]) <= LONGEST:
            copy.write_bytes((self.sources / path).read_bytes())
            return image
        scale = LONGEST / max(image.shape[:2])
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        if not cv2.imwrite(str(copy), image):
            raise OSError(f"{copy} cannot be written")
        return image

    def found(self, image: np.ndarray, scale: float = 1) -> list[list[float]]:
        """Boxes, scores and points of the faces in a photo."""
        image = cv2.resize(image, None, fx=scale, fy=scale)
        self.finder.setInputSize(image.shape[1::-1])
        rows = self.finder.detect(image)[1]
        return [] if rows is None else [[r[0], r[1], r[0] + r[2], r[1] + r[3], r[14], *r[4:14]] for r in rows.tolist()]


def faces_and_rooms(photos: Photos) -> tuple[dict[str, Rows], list[str]]:
    """The faces of crops and of photos, those for validation apart; and pictures of the websites that show nobody."""
    faces: dict[str, Rows] = {"crops": [], "photos": [], "crops_dev": [], "photos_dev": []}
    empty = []
    for kind, folders in (("crops", CROPS), ("photos", PHOTOS)):
        for number, path in enumerate(files_of(photos.sources, folders)):
            image = photos.copied(path)
            rows = [] if image is None else photos.found(image)
            is_dev = number % HELD_OUT[kind] == 0
            faces[kind + "_dev" * is_dev] += [(path, row) for row in rows if row[4] >= SURE or not is_dev]
            if kind == "photos" and not is_dev and image is not None and not rows and not photos.found(image, 2):
                empty.append(path)  # screens, drawings, rooms
    return faces, empty


def main() -> None:
    """Write the photos, lists of faces and of photos without people, those for validation, scenes, lists of turned faces."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("sources", "yunet", "out"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--scenes", type=int, default=3600)
    parser.add_argument("--empty", type=int, default=6000, help="photos without people to choose from")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    sources, out = arguments.sources, arguments.out
    if missing := [folder for folder in (*CROPS, *PHOTOS, *EMPTY) if not (sources / folder).is_dir()]:
        parser.error(f"{sources} lacks {', '.join(missing)}")
    out.mkdir(parents=True)
    photos = Photos(sources, out, arguments.yunet)
    write_frames(sources / "sample-videos")

    faces, rooms = faces_and_rooms(photos)
    every = faces["crops"] + faces["photos"]
    for name, rows in {**faces, "faces": every, "landmarks": [face for face in every if face[1][4] >= SURE]}.items():
        with open(out / f"{name}.csv", "w", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(("file", *COLUMNS[1:5], "score", *COLUMNS[5:]))
            table.writerows((path, *map("{:.3f}".format, row)) for path, row in rows)

    empty: dict[bool, list[str]] = {False: rooms, True: []}
    for path in spread(files_of(sources, EMPTY), arguments.empty):
        image = photos.copied(path)
        if image is not None and not photos.found(image, 2):
            empty["/test/" in path or "/val" in path].append(path)
    for name, is_dev in (("empty.txt", False), ("empty_dev.txt", True)):
        (out / name).write_text("\n".join(empty[is_dev]) + "\n")

    options = SceneOptions(
        images=str(out), annotations=str(out / "faces.csv"), min_score=SURE, backgrounds=str(out),
        background_list=str(out / "empty.txt"), out=str(out / "scenes"), count=arguments.scenes, workers=arguments.workers,
    )  # fmt: skip
    print(prepare_scenes(options)["counts"], "in", options.out)
    for name in ("crops", "photos", "scenes/faces"):
        write_turned(out / f"{name}.csv")


def write_frames(folder: Path) -> None:
    """Write frames of a folder's videos beside them, as NAME-NUMBER.png."""
    for video in sorted(path for pattern in VIDEOS for path in folder.glob(pattern)):
        capture, number = cv2.VideoCapture(str(video)), 0
        if not capture.isOpened():
            raise OSError(f"{video} cannot be read")
        while capture.grab():
            if number % EVERY == 0:
                frame = video.with_name(f"{video.stem}-{number:04d}.png")
                if not cv2.imwrite(str(frame), capture.retrieve()[1]):
                    raise OSError(f"{frame} cannot be written")
            number += 1


def write_turned(faces: Path) -> None:
    """Beside a list of faces, write NAME_turned.csv, where only turned faces have a score: there are few, and they are hard."""
    with open(faces, newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        value = {name: float(row[name] or "nan") for name in COLUMNS[1:]}
        x, y = (value[f"right_eye_{axis}"] - value[f"left_eye_{axis}"] for axis in "xy")
        is_turned = np.hypot(x, y) < TURNED * (value["x2"] - value["x1"])
        row["score"] = row.get("score", "1") if is_turned else "0"
    with open(faces.with_name(f"{faces.stem}_turned.csv"), "w", newline="") as file:
        table = csv.DictWriter(file, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def files_of(root: Path, folders: tuple[str, ...]) -> list[str]:
    """Paths of the photos of folders, without the pictures of single products on white."""
    found = []
    for folder in folders:
        paths = (path.relative_to(root).as_posix() for path in (root / folder).rglob("*") if path.suffix.lower() in KINDS)
        found += sorted(path for path in paths if "iconic" not in path and "sample_images" not in path)
    return found


if __name__ == "__main__":
    main()
