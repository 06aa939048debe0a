"""A classifier learns real faces: 100 faces and 100 other crops of scikit-image's lfw_subset, a quarter of them held out."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mtcnn_gluon.records.files import RecordWriter
from mtcnn_gluon.records.info import REPORT
from mtcnn_gluon.records.samples import NO_FACE, Kind, Samples
from mtcnn_gluon.training.augment import Augmentation
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.trainer import Run

SIZE = 24


def lfw_samples() -> Samples:
    """The crops as samples for R-Net: faces are positive with the whole crop as their box, the others negative."""
    images = pytest.importorskip("skimage.data").lfw_subset()  # (200, 25, 25) in 0..1, faces first
    grey = [cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for image in np.rint(255 * images).astype(np.uint8)]
    is_face = np.arange(len(images)) < 100
    return Samples(
        crops=np.repeat(np.stack(grey)[..., None], 3, axis=3),
        kinds=np.where(is_face, Kind.POSITIVE, Kind.NEGATIVE),
        offsets=np.zeros((len(images), 4)), landmarks=np.zeros((len(images), 5, 2)),
        iou=is_face, has_box=is_face, has_landmarks=np.zeros(len(images)),
        photos=np.arange(len(images)), faces=np.where(is_face, 0, NO_FACE),
    )  # fmt: skip


def write(folder: Path, samples: Samples) -> Path:
    for name, kind in (("positive", Kind.POSITIVE), ("negative", Kind.NEGATIVE)):
        with RecordWriter(folder / name, "rnet") as writer:
            writer.write(samples[samples.kinds == kind])
    (folder / REPORT).write_text("{}")
    return folder


def learn(folder: Path, seed: int = 0, **settings: Any) -> dict[str, Any]:
    """The last row of the log of a run on three quarters, measured on the fourth."""
    samples = lfw_samples()
    is_held_out = np.arange(len(samples)) % 4 == 3
    training, validation = write(folder / "training", samples[~is_held_out]), write(folder / "validation", samples[is_held_out])
    options = TrainingOptions("rnet", batch=32, rate=0.001, warm_up=20, average=0.99, tasks=("cls",), seed=seed,
                      augmentation=Augmentation(brightness=0.1, contrast=0.2), **settings)  # fmt: skip
    return Run(options, training, folder / "run", validation).fit()


def test_faces_are_told_from_other_crops(tmp_path: Path) -> None:
    row = learn(tmp_path, epochs=40)
    accuracy = (row["val_positive_accuracy"] + row["val_negative_accuracy"]) / 2  # 25 of each
    assert accuracy > 0.95
    assert row["positive_accuracy"] > 0.95 and row["negative_accuracy"] > 0.95 and row["cls"] < 0.3
