"""P-Net's samples from annotated photos: ours against the plain loop that most ports have, on the same crops.

    MTCNN_GLUON_DATA=DATA python tests/benchmarks/prepare.py [--every 10] [--workers 2]

The plain loop is one process: read a photo, cut and resize its crops one at a time with OpenCV, encode each as PNG, write it to
a RecordIO file. It is timed twice, with the reading of photos and without. So is ours, from photos to finished records.
"""

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from mtcnn_gluon import read_image
from mtcnn_gluon.config import NETS
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.prepare_data import sampling
from mtcnn_gluon.prepare_data.annotations import Annotations
from mtcnn_gluon.prepare_data.cropping import cut_samples
from mtcnn_gluon.prepare_data.generate import generate
from mtcnn_gluon.prepare_data.readers import read_annotations
from mtcnn_gluon.prepare_data.sources import FaceSource
from mtcnn_gluon.records import RecordWriter

ROOT = Path(os.environ["MTCNN_GLUON_DATA"]) / "wider_train"
SIZE = NETS.pnet.size
OPTIONS = sampling.Options()


def main() -> None:
    """Time both, taking turns photo by photo where that is possible."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=10, help="use every n-th photo of the training list (10)")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    listed = read_annotations(ROOT / "wider_face_train_bbx_gt.txt", "wider", ROOT / "wider_face_train_landmarks_auto.csv")
    photos = listed.photos[:: options.every]
    folder = Path(tempfile.mkdtemp(prefix="prepare-"))
    try:
        reading, plain, ours, count = in_memory(photos, folder)
        start = time.perf_counter()
        source = FaceSource(str(ROOT / "images"), "pnet", OPTIONS)
        generate(source, Annotations(photos, listed.problems), folder / "out", options.workers)
        whole = time.perf_counter() - start
    finally:
        shutil.rmtree(folder)
    print(f"{len(photos)} photos, {count} samples")
    print(f"photos decoded: plain loop {plain:.2f} s, ours {ours:.2f} s in one process (x {plain / ours:.1f})")
    print(f"from files: plain loop {reading + plain:.2f} s, ours {whole:.2f} s with {options.workers} workers "
          f"(x {(reading + plain) / whole:.1f})")  # fmt: skip


def in_memory(photos: list, folder: Path) -> tuple[float, float, float, int]:
    """Seconds of reading all photos, of the plain loop and of ours on them, and the number of samples."""
    mx = load_mxnet()
    reading = plain = ours = 0.0
    count = 0
    record = mx.recordio.MXIndexedRecordIO(str(folder / "plain.idx"), str(folder / "plain.rec"), "w")
    with RecordWriter(folder / "ours", "pnet") as writer:
        for number, photo in enumerate(photos):
            start = time.perf_counter()
            image = read_image(ROOT / "images" / photo.path)
            reading += time.perf_counter() - start

            crops = sampling.draw(photo, image.shape[:2], SIZE, OPTIONS, np.random.default_rng([0, number]))
            start = time.perf_counter()
            for crop, kind, face in zip(crops.boxes, crops.kinds, crops.faces):
                write_plainly(mx, record, count, image, crop, int(kind), photo.boxes[face])
                count += 1
            plain += time.perf_counter() - start

            start = time.perf_counter()
            crops = sampling.draw(photo, image.shape[:2], SIZE, OPTIONS, np.random.default_rng([0, number]))
            writer.write(cut_samples(image, crops, photo, number, SIZE))
            ours += time.perf_counter() - start
    record.close()
    return reading, plain, ours, count


def write_plainly(
    mx: object, record: object, index: int, image: np.ndarray, crop: np.ndarray, kind: int, face: np.ndarray
) -> None:
    """One sample, as the usual scripts make it; drawing the crops is not even counted."""
    x1, y1, x2, y2 = (round(float(v)) for v in crop)
    pixels = cv2.resize(image[y1:y2, x1:x2], (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    side = x2 - x1
    offsets = [(a - b) / side for a, b in zip(face.tolist(), (x1, y1, x2, y2))] if kind else [0.0] * 4
    header = mx.recordio.IRHeader(0, [kind, *offsets], index, 0)  # type: ignore[attr-defined]
    record.write_idx(index, mx.recordio.pack_img(header, pixels[:, :, ::-1], img_fmt=".png"))  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
