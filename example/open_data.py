"""Build the photos that pipeline_open.yaml learns from, all of which anyone may use.

    python example/open_data.py --sources SOURCES --yunet yunet.onnx --out OPEN

It writes lists of faces and of photos without people, and composes scenes of them. Put into SOURCES before:

    fairface/                photos of FairFace at 128 x 128 (CC BY 4.0, github.com/joojs/fairface), by their numbers
    congress/                portraits of github.com/unitedstates/images (public domain), at most 320 px
    GroceryStoreDataset/     a clone of github.com/marcusklasson/GroceryStoreDataset (MIT)
    clothing-dataset-small/  a clone of github.com/alexeygrigorev/clothing-dataset-small (CC0)

open_faces.txt says which photos of FairFace and Congress were tried, with the beginnings of their SHA-256 (as WebP). yunet.onnx
is YuNet (BSD), of github.com/opencv/opencv_zoo.
"""

import argparse
import csv
import os
from pathlib import Path

import cv2

from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.prepare_data.annotations import spread
from mtcnn_gluon.prepare_data.scenes import COLUMNS, SceneOptions, prepare_scenes

FACES = ("fairface", "congress")
EMPTY = ("GroceryStoreDataset/dataset", "clothing-dataset-small")
HELD_OUT = 20  # every 20th face is for validation


def files_of(folder: Path, root: Path) -> list[str]:
    """Paths of the photos of a folder, without the pictures of single products on white."""
    paths = (path.relative_to(root).as_posix() for path in folder.rglob("*") if path.suffix in (".jpg", ".png", ".webp"))
    return sorted(path for path in paths if "iconic" not in path and "sample_images" not in path)


def main() -> None:
    """Write faces.csv, faces_dev.csv, empty.txt, empty_dev.txt and the folders scenes and scenes_dev."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("sources", "yunet", "out"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--scenes", type=int, default=3000)
    parser.add_argument("--empty", type=int, default=2600, help="photos without people to choose from")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    sources, out = arguments.sources, arguments.out
    out.mkdir(parents=True)
    finder = cv2.FaceDetectorYN.create(str(arguments.yunet), "", (320, 320), 0.6)

    def found(path: str, scale: float = 1) -> list[list[float]]:
        """Scores, boxes and points of the faces that YuNet finds in a photo."""
        image = cv2.resize(cv2.cvtColor(read_image(sources / path), cv2.COLOR_RGB2BGR), None, fx=scale, fy=scale)
        finder.setInputSize(image.shape[1::-1])
        rows = finder.detect(image)[1]
        return [] if rows is None else [[r[14], r[0], r[1], r[0] + r[2], r[1] + r[3], *r[4:14]] for r in rows.tolist()]

    def write(name: str, header: tuple[str, ...], rows: list[list[object]]) -> None:
        with open(out / name, "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows])

    faces, header = [], ("file", *COLUMNS[1:5], "score", *COLUMNS[5:])
    for path in (path for folder in FACES for path in files_of(sources / folder, sources)):
        faces.append(
            [[path, *map("{:.2f}".format, row[1:5]), f"{row[0]:.3f}", *map("{:.2f}".format, row[5:])] for row in found(path)]
        )
    write("faces.csv", header, [row for number, rows in enumerate(faces) for row in rows if number % HELD_OUT])
    write("faces_dev.csv", header, [row for rows in faces[::HELD_OUT] for row in rows])

    empty = spread([path for folder in EMPTY for path in files_of(sources / folder, sources)], arguments.empty)
    empty = [path for path in empty if not found(path, scale=2)]
    is_dev = [("/test/" in path or "/val" in path) for path in empty]
    for name, wanted in (("empty.txt", False), ("empty_dev.txt", True)):
        (out / name).write_text("\n".join(path for path, dev in zip(empty, is_dev) if dev == wanted) + "\n")

    for name, count in (("", arguments.scenes), ("_dev", arguments.scenes // 20)):
        options = SceneOptions(
            images=str(sources), annotations=str(out / f"faces{name}.csv"), min_score=0.6,
            backgrounds=str(sources), background_list=str(out / f"empty{name}.txt"),
            out=str(out / f"scenes{name}"), count=count, workers=arguments.workers,
        )  # fmt: skip
        print(prepare_scenes(options)["counts"], "in", options.out)


if __name__ == "__main__":
    main()
