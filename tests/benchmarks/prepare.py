"""P-Net's samples from annotated photos: ours against the plain loop that most ports have, on the same crops.

    OMP_NUM_THREADS=1 MTCNN_GLUON_DATA=DATA python tests/benchmarks/prepare.py [--every 5] [--workers 2]

The plain loop is one process: read a photo, cut and resize its crops one at a time with OpenCV, encode each as PNG, write it to
a RecordIO file. Both are timed from decoded photos and from files.
"""

import argparse
import os
import tempfile
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Callable, Sequence

import cv2
import numpy as np

from mtcnn_gluon import read_image
from mtcnn_gluon.config import NETS
from mtcnn_gluon.layers import View
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.prepare_data import sampling
from mtcnn_gluon.prepare_data.annotations import Annotations, Photo
from mtcnn_gluon.prepare_data.cropping import cut_samples
from mtcnn_gluon.prepare_data.generate import generate
from mtcnn_gluon.prepare_data.readers import read_annotations
from mtcnn_gluon.prepare_data.sources import FaceSource
from mtcnn_gluon.records.files import RecordWriter

ROOT = Path(os.environ["MTCNN_GLUON_DATA"]) / "wider_train"
SIZE = NETS.pnet.size
OPTIONS = sampling.SamplingOptions()


def main() -> None:
    """Time both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=5, help="use every n-th photo of the training list (5)")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    listed = read_annotations(ROOT / "wider_face_train_bbx_gt.txt", "wider", ROOT / "wider_face_train_landmarks_auto.csv")
    photos = listed.photos[:: options.every]
    with tempfile.TemporaryDirectory(prefix="prepare-") as name:
        folder = Path(name)
        reading, images = timed(lambda: [read_image(ROOT / "images" / photo.path) for photo in photos])
        share = partial(make_share, photos=photos, workers=options.workers, folder=folder)
        _decoded[:] = images
        with get_context("fork").Pool(options.workers) as pool:  # its processes have the decoded photos
            decoded, _ = timed(lambda: pool.map(share, range(options.workers)))
        plain, count = timed(lambda: make_plainly(images, photos, folder))
        source = FaceSource(str(ROOT / "images"), "pnet", OPTIONS)
        whole, _ = timed(lambda: generate(source, Annotations(photos, listed.problems), folder / "out", options.workers))
    print(f"{len(photos)} photos, {count} samples, {options.workers} workers against one plain loop")
    print(f"photos decoded: plain loop {plain:.2f} s, ours {decoded:.2f} s (x {plain / decoded:.1f})")
    print(f"from files: plain loop {reading + plain:.2f} s, ours {whole:.2f} s (x {(reading + plain) / whole:.1f})")


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call takes, and what it returns."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


_decoded: list[np.ndarray] = []


def make_share(first: int, photos: Sequence[Photo], workers: int, folder: Path) -> None:
    """Ours, on one worker's share of the decoded photos."""
    with RecordWriter(folder / f"ours{first}", "pnet") as writer:
        for number in range(first, len(photos), workers):
            image, photo = _decoded[number], photos[number]
            crops = sampling.draw(photo, image.shape[:2], SIZE, OPTIONS, np.random.default_rng([0, number]))
            writer.write(cut_samples(image, crops, photo, number, View(SIZE)))


def make_plainly(images: Sequence[np.ndarray], photos: Sequence[Photo], folder: Path) -> int:
    """The plain loop; returns the number of samples."""
    record = load_mxnet().recordio.MXIndexedRecordIO(str(folder / "plain.idx"), str(folder / "plain.rec"), "w")
    count = 0
    for number, (image, photo) in enumerate(zip(images, photos)):
        crops = sampling.draw(photo, image.shape[:2], SIZE, OPTIONS, np.random.default_rng([0, number]))
        for crop, kind, face in zip(crops.boxes, crops.kinds, crops.faces):
            write_plainly(record, count, image, crop, int(kind), photo.boxes[face])
            count += 1
    record.close()
    return count


def write_plainly(record: Any, index: int, image: np.ndarray, crop: np.ndarray, kind: int, face: np.ndarray) -> None:
    """One sample, as the usual scripts make it."""
    recordio = load_mxnet().recordio
    x1, y1, x2, y2 = (round(float(v)) for v in crop)
    pixels = cv2.resize(image[y1:y2, x1:x2], (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    side = x2 - x1
    offsets = [(a - b) / side for a, b in zip(face.tolist(), (x1, y1, x2, y2))] if kind else [0.0] * 4
    header = recordio.IRHeader(0, [kind, *offsets], index, 0)
    record.write_idx(index, recordio.pack_img(header, pixels[:, :, ::-1], img_fmt=".png"))


if __name__ == "__main__":
    main()
