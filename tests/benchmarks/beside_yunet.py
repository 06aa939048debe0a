"""Times of whole detection beside YuNet, which looks at the photo as it is: 15 photos with few and many faces, three sizes.

    MTCNN_GLUON_DATA=DATA python tests/benchmarks/beside_yunet.py yunet.onnx [--threads 1] [--model wide-1] [--engines ...]

The detectors take turns photo by photo. It prints medians over the photos, each photo's the median of its rounds, and how many
times as fast as YuNet on ONNX Runtime each is, the median of the photos' ratios.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np

from mtcnn_gluon import Detector, read_image
from mtcnn_gluon.bench import single_shot
from mtcnn_gluon.errors import Unavailable
from mtcnn_gluon.prepare_data.readers import read_annotations

ROOT = Path(os.environ["MTCNN_GLUON_DATA"]) / "wider_train"
SIZES = ((500, 375), (640, 480), (1920, 1080))
PHOTOS, ROUNDS = 15, 5


def chosen() -> list[np.ndarray]:
    """Development photos, from those with one face to those with many."""
    photos = sorted(read_annotations(ROOT / "wider_face_dev_bbx_gt.txt").photos, key=len)
    places = np.linspace(0.1 * len(photos), len(photos) - 10, PHOTOS).astype(int)
    return [read_image(ROOT / "images" / photos[place].path) for place in places]


def fitted(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The photo, scaled to fit into a frame; into the upright frame if it is upright."""
    frame = sorted((width, height), reverse=image.shape[1] > image.shape[0])
    scale = min(frame[0] / image.shape[1], frame[1] / image.shape[0])
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def times(detectors: dict[str, Callable[[np.ndarray], Any]], photos: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Milliseconds for each photo (N,) by detector."""
    found = {name: np.zeros((ROUNDS + 1, len(photos))) for name in detectors}
    for turn in range(ROUNDS + 1):  # the first one warms up
        for number, photo in enumerate(photos):
            for name, detect in detectors.items():
                start = time.perf_counter()
                detect(photo)
                found[name][turn, number] = 1000 * (time.perf_counter() - start)
    return {name: np.median(each[1:], 0) for name, each in found.items()}


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("yunet", help="YuNet as an ONNX file for images of one size")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", default="default")
    parser.add_argument("--min-face", type=float, default=20)
    parser.add_argument("--engines", nargs="+", default=["native", "native-int8"])
    options = parser.parse_args()
    cv2.setNumThreads(options.threads)
    detectors: dict[str, Callable[[np.ndarray], Any]] = {}
    for engine in options.engines:
        try:
            detector = Detector(options.model, engine=engine, threads=options.threads, min_face=options.min_face)
            detectors[engine] = detector.detect
        except Unavailable as error:
            print(f"{engine} is left out: {error}")
    detectors["YuNet, ONNX Runtime"] = single_shot.yunet_onnx(options.yunet, threads=options.threads)
    detectors["YuNet, OpenCV"] = single_shot.yunet_opencv(options.yunet)
    photos = chosen()
    for width, height in SIZES:
        found = times(detectors, [fitted(photo, width, height) for photo in photos])
        base = found["YuNet, ONNX Runtime"]
        row = (f"{name} {np.median(each):.1f} ms (x {np.median(base / each):.2f})" for name, each in found.items())
        print(f"{width} x {height}: {'; '.join(row)}")


if __name__ == "__main__":
    main()
