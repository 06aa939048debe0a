"""Devices as other packages name them, and settings that differ from call to call."""

import logging
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon import Detector
from mtcnn_gluon.compat.finder import Finder, device_name
from mtcnn_gluon.errors import ConfigError, ModelError


@pytest.mark.parametrize(
    "device, name",
    [
        (None, "cpu"), ("cpu", "cpu"), ("CPU:0", "cpu"), ("/CPU:0", "cpu"), ("/device:CPU:0", "cpu"), ("cuda", "gpu"),
        ("cuda:0", "gpu:0"), ("cuda:12", "gpu:12"), ("GPU:1", "gpu:1"), ("/GPU:1", "gpu:1"), ("gpu", "gpu"), (0, "gpu:0"),
        (3, "gpu:3"), ("mps", "mps"),
    ],
)  # fmt: skip
def test_names_of_devices(device: Any, name: str) -> None:
    assert device_name(device) == name


@pytest.mark.parametrize("device", ["", "cpu:", "cuda:x", "tpu", "cuda:0:1", -1, 2.5, ["cpu"]], ids=str)
def test_no_device(device: Any) -> None:
    with pytest.raises(ConfigError, match="device must be a name such as cpu, cuda:0 or GPU:0"):
        device_name(device)


def test_devices_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
    assert device_name(torch.device("cuda:1")) == "gpu:1" and device_name(torch.device("cpu")) == "cpu"


def test_a_gpu_that_cannot_be_used(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        finder = Finder("gluon-4", "native", "cuda:0")
    assert "faces are found on the CPU, since no engine can use the device cuda:0" in caplog.text
    assert finder.faces([np.zeros((40, 40, 3), np.uint8)])[0].boxes.shape == (0, 4)


def test_a_model_without_landmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Detector("gluon-4")
    made.has_landmarks = False
    monkeypatch.setattr("mtcnn_gluon.compat.finder.Detector", lambda *_: made)
    with pytest.raises(ModelError, match="gluon-4 was trained without landmarks"):
        Finder("gluon-4", "auto", "cpu")


def test_calls_do_not_change_one_another(photo: Image.Image) -> None:
    image = np.asarray(photo)
    finder = Finder("gluon-4", "auto", None)
    before = finder.faces([image])[0]
    assert len(finder.faces([image], min_face=200)[0]) == 0
    assert np.array_equal(finder.faces([image])[0].boxes, before.boxes)


def test_boxes_may_leave_the_image(photo: Image.Image) -> None:
    image = np.asarray(photo)[:, 130:]  # without an ear
    inside, free = Detector("gluon-4").detect(image), Finder("gluon-4", "auto", None).faces([image])[0]
    assert len(inside) == len(free) == 1 and inside.boxes[0, 0] == 0 and free.boxes[0, 0] < 0
    assert np.array_equal(np.clip(free.boxes, 0, [210, 320, 210, 320]), inside.boxes)
    assert np.array_equal(free.landmarks, inside.landmarks)


@pytest.mark.parametrize("stages", [1, 2])
def test_candidates(photo: Image.Image, stages: int) -> None:
    found = Finder("gluon-4", "auto", None).candidates(np.asarray(photo), stages)
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    assert len(found) > 1 and np.allclose(sides[:, 0], sides[:, 1], rtol=1e-3) and (np.diff(found.scores) <= 0).all()


def test_no_other_framework_is_loaded() -> None:
    code = (
        "import sys, mtcnn_gluon.compat.facenet_pytorch, mtcnn_gluon.compat.mtcnn; "
        "print(*(name for name in ('torch', 'tensorflow', 'mxnet', 'facenet_pytorch', 'mtcnn') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.strip(), f"the drop-in replacements load {done.stdout.strip()}"
