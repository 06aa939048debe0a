"""Drawing faces."""

import cv2
import numpy as np

from mtcnn_gluon.faces import Faces

BOX_COLOUR = (0, 220, 90)
POINT_COLOURS = ((255, 60, 60), (60, 120, 255), (255, 220, 0), (255, 60, 200), (0, 230, 230))
_SHIFT = 4  # OpenCV draws at 1 / 2 ** 4 pixel


def draw_faces(image: np.ndarray, faces: Faces) -> np.ndarray:
    """A copy of an image (H, W, 3) uint8 RGB with the box, the score and any landmarks of every face."""
    picture = image.copy()
    line = max(1, round(min(image.shape[:2]) / 300))
    landmarks = np.zeros((len(faces), 0, 2)) if faces.landmarks is None else faces.landmarks
    for box, score, points in zip(faces.boxes, faces.scores, landmarks):
        corner, opposite = _fixed(box[:2]), _fixed(box[2:])
        cv2.rectangle(picture, corner, opposite, BOX_COLOUR, line, cv2.LINE_AA, _SHIFT)
        radius = max(1.0, 0.02 * float(box[2] - box[0]))
        for point, colour in zip(points, POINT_COLOURS):
            cv2.circle(picture, _fixed(point), round(radius * 2**_SHIFT), colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)
        _label(picture, f"{score:.3f}", box, line)
    return picture


def _label(picture: np.ndarray, text: str, box: np.ndarray, line: int) -> None:
    """Write `text` on a filled strip above the box, or inside it if there is no room above. Small faces get no text."""
    size, stroke = 0.3 * line + 0.1, max(1, line // 2)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, stroke)
    if width > 1.5 * (box[2] - box[0]):
        return
    left, top = int(box[0]), int(box[1])
    bottom = top if top > height + 4 * line else top + height + 4 * line
    cv2.rectangle(picture, (left, bottom - height - 4 * line), (left + width + 2 * line, bottom), BOX_COLOUR, cv2.FILLED)
    origin = (left + line, bottom - 2 * line)
    cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), stroke, cv2.LINE_AA)


def _fixed(point: np.ndarray) -> tuple[int, int]:
    """A point in continuous coordinates as OpenCV's fixed-point numbers, which are relative to pixel centres."""
    x, y = (round((float(v) - 0.5) * 2**_SHIFT) for v in point)
    return x, y
