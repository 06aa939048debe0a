"""Photos for tables, and what detection adds to their rows."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mtcnn_gluon import Detector, read_image
from mtcnn_gluon.errors import ImageError

PORTRAIT = Path(__file__).parent / "portrait.jpg"
OPTIONS: dict[str, Any] = {"model": "gluon-4", "min_face": 48}


def small_photos() -> list[bytes]:
    """Files of the portrait, of noise without a face, and of a photo that is cut off."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    return [PORTRAIT.read_bytes(), as_png(noise), PORTRAIT.read_bytes()[:5000]]


def as_png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


def expected(photo: Any) -> dict[str, Any]:
    """The added columns for a photo, from the detector itself."""
    try:
        image = read_image(photo)
    except ImageError as error:
        return {"width": None, "height": None, "faces": [], "error": str(error)}
    faces = Detector(**OPTIONS, threads=1).detect(image)
    listed = [
        {"box": box.tolist(), "score": float(score), "landmarks": points.ravel().tolist()}
        for box, score, points in zip(faces.boxes, faces.scores, faces.landmarks)
    ]
    return {"width": image.shape[1], "height": image.shape[0], "faces": listed, "error": None}
