"""A small pipeline on photos made of the portrait, for tests."""

import json
import os
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from mtcnn_gluon import Detector
from painted_faces import HEADER

SMALL: dict[str, Any] = {
    "workers": 1, "find_from": 24, "compare": [],
    "pnet": {
        "faces": {"jitters": 400, "negatives": 800},  # many, so that there are few epochs, each of which takes a second
        "train": {"samples": 70_000, "batch": 128, "warm_up": 20, "average": 0.98},
    },
    "rnet": {
        "faces": {"jitters": 200, "negatives": 200},
        "train": {
            "samples": 12_000, "batch": 96, "rate": 0.001, "warm_up": 10, "average": 0.9, "landmarks": True,
            "landmark_faces": True, "init": "gluon-4",
        },
    },
    "onet": {
        "faces": {"jitters": 80, "negatives": 80}, "landmarks": {"landmark_jitters": 20},
        "train": {"samples": 5_000, "batch": 64, "rate": 0.001, "warm_up": 10, "average": 0.9},
        "finish": [
            {"samples": 2_000, "rate": 0.0005, "ratio": "3:1:1:2", "part_faces": 0.45},
            {"samples": 1_000, "distil": 0.7, "listed_landmarks": True},
        ],
    },
    "evaluate": {"wider": {"min_face": 24, "resamples": 0, "workers": 1}, "landmarks": {"resamples": 0, "workers": 1}},
}  # fmt: skip


def make_photos(folder: Path, count: int, image: np.ndarray, detector: Detector, seed: int) -> Path:
    """Photos with the portrait's face at several places and sizes on noise, and the list of the faces."""
    face = detector.detect(image)[:1]
    generator, lines = np.random.default_rng(seed), [HEADER]
    folder.mkdir(parents=True)
    for number in range(count):
        canvas = cv2.resize(generator.integers(0, 256, (20, 25, 3)).astype(np.uint8), (250, 200))
        side = int(generator.integers(100, 190))  # of the portrait, whose face is about a third of it
        x, y = int(generator.integers(0, 250 - side)), int(generator.integers(0, 200 - side))
        scale = side / image.shape[0]
        canvas[y : y + side, x : x + side] = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"{number}.png"), canvas[:, :, ::-1])
        values = np.concatenate([face.boxes.reshape(-1, 2), face.landmarks[0]]) * scale + [x, y]
        lines.append(",".join([f"{number}.png", *(f"{value:.2f}" for value in values.reshape(-1))]))
    (folder / "faces.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_config(folder: Path, photos: Path, changes: dict[str, Any] | None = None) -> Path:
    """A configuration with paths relative to it; `changes` by place, such as `onet.train.rate`."""
    config = json.loads(json.dumps(SMALL))
    for name in ("data", "validation"):
        root = Path(os.path.relpath(photos / name, folder))
        lists = str(root / "faces.csv")
        config[name] = {"images": str(root), "annotations": lists, "landmark_root": str(root), "landmark_list": lists}
    for path, value in (changes or {}).items():
        *sections, last = path.split(".")
        place = config
        for name in sections:
            place = place.setdefault(name, {})
        place[last] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "config.yaml"


def steps_begun(said: str) -> list[str]:
    """Names of the steps that a pipeline has begun, from what it said."""
    return re.findall(r"^\[\d+/\d+\] (\S+) begins;", said, re.MULTILINE)
