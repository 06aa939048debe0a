"""The page's cascade, in Node.js, finds what `Detector` finds: every kind of model, size of photo and threshold."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon import Detector, Faces
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.errors import MtcnnError

pytest.importorskip("onnxruntime", reason="needs onnxruntime")

PIXELS, SCORES = 0.02, 1e-4  # how far the page's results may be from the detector's


def assert_same(found: list[dict[str, Any]], expected: Faces) -> None:
    assert len(found) == len(expected)
    if len(expected) and expected.landmarks is not None:
        np.testing.assert_allclose([face["box"] for face in found], expected.boxes, atol=PIXELS)
        np.testing.assert_allclose([face["score"] for face in found], expected.scores, atol=SCORES)
        np.testing.assert_allclose([face["landmarks"] for face in found], expected.landmarks, atol=PIXELS)


def tiled(portrait: np.ndarray) -> np.ndarray:
    """The portrait at half and at quarter size, whole and cut by the borders, on noise."""
    image = np.random.default_rng(0).integers(0, 256, (331, 453, 3), np.uint8)
    half, quarter = (portrait[: 512 // n * n, : 512 // n * n].reshape(512 // n, n, 512 // n, n, 3).mean((1, 3)) for n in (2, 4))
    image[:256, -256:] = half
    image[-90:, 50:306] = half[:90]
    image[20:148, :128] = quarter
    image[150:240, :100] = half[:90, 85:185]
    return image


def test_it_finds_the_same(scripts: Path, tmp_path: Path, image: np.ndarray) -> None:
    images = {"one": image, "many": tiled(image), "none": np.full((60, 80, 3), 99, np.uint8), "pixel": image[:1, :1]}
    cases: list[tuple[str, str, float, list[float] | None]] = [
        ("wide-1", "one", 20, None), ("wide-1", "many", 20, None), ("wide-1", "many", 50, [0.3, 0.4, 0.5]),
        ("wide-1", "none", 12, None), ("wide-1", "pixel", 12, None), ("gluon-4", "one", 40, None),
        ("gluon-4", "many", 20, None), ("gluon-4", "many", 30, [0.9, 0.2, 0.99]), ("gluon-4", "none", 12, [0.1, 0.1, 0.9]),
        ("official", "one", 20, None), ("official", "many", 40, None),
    ]  # fmt: skip
    jobs, expected = [], []
    for model, photo, least, thresholds in cases:
        try:
            detector = Detector(model, "onnx", min_face=least, thresholds=thresholds)
        except MtcnnError:
            assert model == "official"  # whose wheel need not be installed
            continue
        expected.append(detector.detect(images[photo]))
        height, width = images[photo].shape[:2]
        images[photo].tofile(tmp_path / photo)
        folder, pixels = str(find_bundle(model).path), str(tmp_path / photo)
        jobs.append(dict(folder=folder, pixels=pixels, width=width, height=height, minFace=least, thresholds=thresholds))
    command = ["node", "detect.mjs"]
    done = subprocess.run(command, input=json.dumps(jobs), cwd=scripts, capture_output=True, text=True, timeout=120)
    assert not done.returncode, done.stderr[-2000:]
    for found, faces in zip(json.loads(done.stdout), expected, strict=True):
        assert_same(found, faces)
    assert len(expected[0]) == 1 and len(expected[1]) > 2 and not len(expected[3])
