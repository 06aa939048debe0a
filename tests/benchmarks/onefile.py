"""The one-file cascade against the Python cascade on ONNX Runtime, on the development photos: agreement, time and memory.

MTCNN_GLUON_DATA=DATA python tests/benchmarks/onefile.py [--threads 2]

Times are medians of alternating runs on photos brought to 640 x 480. Memory is what a process grows by, at its peak, in three
runs on a mosaic of photos of 12 megapixels, after one on a small photo.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

import cv2
import numpy as np
import onnxruntime
from tqdm import tqdm

from mtcnn_gluon import Detector, Faces, boxes, read_image
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.onnx_nets import to_bytes
from mtcnn_gluon.bundles.parameters import bundle_parameters
from mtcnn_gluon.export.onefile import cascade_model

ROOT = Path(os.environ["MTCNN_GLUON_DATA"]) / "wider_train"
ROUNDS, EVERY = 9, 10  # of the timing: runs of a photo, and which photos
Detect = Callable[[np.ndarray], Faces]


def make_detect(kind: str, threads: int) -> Detect:
    """`onefile` or `python`."""
    if kind == "python":
        return Detector(engine="onnx", threads=threads).detect
    bundle = find_bundle("default")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    model = to_bytes(cascade_model(bundle.manifest, bundle_parameters(bundle)))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda image: Faces(*session.run(None, {"image": image}))


def agreeing(a: Faces, b: Faces) -> int:
    """How many faces of `a` are in `b` too: IoU 0.95, score within 0.01, landmarks within 0.5 px."""
    if not len(a) or not len(b):
        return 0
    overlap = boxes.iou(a.boxes, b.boxes)
    match = overlap.argmax(axis=1)
    close = (overlap.max(axis=1) >= 0.95) & (np.abs(a.scores - b.scores[match]) <= 0.01)
    return int((close & (np.abs(a.landmarks - b.landmarks[match]) <= 0.5).all(axis=(1, 2))).sum())


def agreement(photos: list[Path], python: Detect, onefile: Detect) -> str:
    """Faces of either that the other finds too."""
    counts, shared = np.zeros(2, int), np.zeros(2, int)
    for path in tqdm(photos, disable=None):
        image = read_image(path)
        a, b = python(image), onefile(image)
        counts += len(a), len(b)
        shared += agreeing(a, b), agreeing(b, a)
    names = ("the Python cascade", "the file")
    parts = [f"{100 * s / n:.2f} % of the {n} faces of {name}" for s, n, name in zip(shared, counts, names)]
    return f"found by both on {len(photos)} photos: {', '.join(parts)}"


def timing(photos: list[Path], python: Detect, onefile: Detect) -> str:
    """Medians over photos of the medians of their runs, and of the ratios."""
    medians = []
    for path in tqdm(photos, disable=None):
        image = cv2.resize(read_image(path), (640, 480), interpolation=cv2.INTER_AREA)
        times = np.array([[_seconds(detect, image) for detect in (python, onefile)] for _ in range(ROUNDS)])
        medians.append(np.median(times[1:], axis=0))
    a, b = np.array(medians).T
    ratio = b / a
    return (
        f"640 x 480, {len(photos)} photos: Python {1e3 * np.median(a):.1f} ms, file {1e3 * np.median(b):.1f} ms; "
        f"file / Python: median {np.median(ratio):.2f}, {ratio.min():.2f} to {ratio.max():.2f}"
    )


def _seconds(detect: Detect, image: np.ndarray) -> float:
    start = time.perf_counter()
    detect(image)
    return time.perf_counter() - start


def memory(photos: list[Path], detect: Detect) -> str:
    """See the module."""
    mosaic = np.zeros((3000, 4000, 3), np.uint8)
    sources = iter(photos)
    for y in range(0, 3000, 750):
        for x in range(0, 4000, 1000):
            mosaic[y : y + 750, x : x + 1000] = cv2.resize(read_image(next(sources)), (1000, 750))
    detect(np.ascontiguousarray(mosaic[:480, :640]))
    before = _peak()
    found = [len(detect(mosaic)) for _ in range(3)]
    return f"{_peak() - before:.0f} MiB on top of {before:.0f} MiB ({found[0]} faces)"


def _peak() -> float:
    """Peak of this process' resident memory in MiB, as Linux tells it; not `getrusage`, which counts the parent's too."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def main() -> None:
    """Print the three comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", choices=("python", "onefile"), help="print only the memory of this one")
    options = parser.parse_args()
    lines = (ROOT / "wider_face_dev_bbx_gt.txt").read_text().splitlines()
    photos = [ROOT / "images" / line for line in lines if line.endswith(".webp")]
    if options.memory:
        print(memory(photos, make_detect(options.memory, options.threads)))
        return
    python, onefile = (make_detect(kind, options.threads) for kind in ("python", "onefile"))
    print(agreement(photos, python, onefile), flush=True)
    print(timing(photos[::EVERY], python, onefile), flush=True)
    for kind in ("python", "onefile"):
        command = [sys.executable, __file__, "--memory", kind, "--threads", str(options.threads)]
        print(f"12 megapixels, {kind}: {subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()}")


if __name__ == "__main__":
    main()
