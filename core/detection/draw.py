"""Drawing faces."""

import cv2
import numpy as np

from mtcnn_gluon.faces import Faces

BOX_COLOUR = (0, 220, 90)
ID_COLOURS = ((0, 220, 90), (70, 150, 255), (255, 150, 30), (255, 90, 200), (240, 220, 50), (60, 220, 230), (190, 130, 255))
POINT_COLOURS = ((255, 60, 60), (60, 120, 255), (255, 220, 0), (255, 60, 200), (0, 230, 230))
RIM = (20, 20, 20)  # around every landmark, so that it shows on every ground
_SHIFT = 4  # OpenCV draws at 1 / 2 ** 4 pixel


def draw_faces(image: np.ndarray, faces: Faces) -> np.ndarray:
    """A copy of an image (H, W, 3) uint8 RGB with the box, the score and any landmarks of every face.

    Faces with ids have their ids too, and every id has its colour.
    """
    picture = image.copy()
    line = max(1, round(min(image.shape[:2]) / 300))
    landmarks = np.zeros((len(faces), 0, 2)) if faces.landmarks is None else faces.landmarks
    ids = [None] * len(faces) if faces.ids is None else faces.ids.tolist()
    for box, score, points, number in zip(faces.boxes, faces.scores, landmarks, ids):
        colour = BOX_COLOUR if number is None else ID_COLOURS[(number - 1) % len(ID_COLOURS)]
        cv2.rectangle(picture, _fixed(box[:2]), _fixed(box[2:]), colour, line, cv2.LINE_AA, _SHIFT)
        _dots(picture, points, float(box[2] - box[0]), line)
        _label(picture, f"{score:.3f}" if number is None else f"{number}: {score:.2f}", box, line, colour)
    return picture


def _dots(picture: np.ndarray, points: np.ndarray, width: float, line: int) -> None:
    """Draw landmarks (5, 2) as dots with a rim. They are as thick as the lines in `picture`, but leave a small face visible."""
    radius = max(0.025 * width, min(1.5 * line, 0.06 * width), 1.2)
    for shown, colours in ((1.4 * radius, (RIM,) * len(POINT_COLOURS)), (radius, POINT_COLOURS)):
        if shown > radius and radius < 1.5:  # too small for a rim
            continue
        for point, colour in zip(points, colours):
            cv2.circle(picture, _fixed(point), round(shown * 2**_SHIFT), colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _label(picture: np.ndarray, text: str, box: np.ndarray, line: int, colour: tuple[int, int, int]) -> None:
    """Write `text` on a filled strip above the box, or inside it if there is no room above. Small faces get no text."""
    size, stroke = 0.3 * line + 0.1, max(1, line // 2)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, stroke)
    if width > 1.5 * (box[2] - box[0]):
        return
    left, top = int(box[0]), int(box[1])
    bottom = top if top > height + 4 * line else top + height + 4 * line
    cv2.rectangle(picture, (left, bottom - height - 4 * line), (left + width + 2 * line, bottom), colour, cv2.FILLED)
    origin = (left + line, bottom - 2 * line)
    cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), stroke, cv2.LINE_AA)


def _fixed(point: np.ndarray) -> tuple[int, int]:
    """A point in continuous coordinates as OpenCV's fixed-point numbers, which are relative to pixel centres."""
    x, y = (round((float(v) - 0.5) * 2**_SHIFT) for v in point)
    return x, y
