"""Programs written for facenet-pytorch and for mtcnn, as their text, and what their results are made of."""

from typing import Any

import numpy as np

FACENET_PYTORCH = """
import numpy as np
from PIL import Image, ImageDraw
from facenet_pytorch import MTCNN, extract_face

photo = Image.open("photo.jpg")
one = MTCNN(image_size=120, margin=14, device="cpu").eval()
face, probability = one(photo, save_path="out/face.png", return_prob=True)
if face is not None:
    batch = face.unsqueeze(0) if hasattr(face, "unsqueeze") else face[None]

every = MTCNN(keep_all=True, min_face_size=30, select_largest=False, post_process=False, thresholds=[0.6, 0.7, 0.7])
boxes, probabilities, points = every.detect(photo, landmarks=True)
drawing = photo.copy()
draw = ImageDraw.Draw(drawing)
for number, (box, marks) in enumerate(zip(boxes, points)):
    draw.rectangle(box.tolist(), width=3)
    for mark in marks:
        draw.ellipse((mark - 2).tolist() + (mark + 2).tolist())
    cut = extract_face(photo, box, image_size=80, save_path=f"out/cut_{number}.png")
drawing.save("out/drawn.png")

frames = [photo, Image.new("RGB", photo.size)]
frame_boxes, frame_probabilities = every.detect(frames)
frame_faces, frame_odds = every(np.stack([np.asarray(frame) for frame in frames]), return_prob=True)
nobody = one(frames[1]), one.detect(frames[1], landmarks=True)
"""

MTCNN = """
from mtcnn import MTCNN
from mtcnn.utils.images import load_image

detector = MTCNN(device="CPU:0")
image = load_image("photo.jpg")
faces = detector.detect_faces(image, threshold_onet=0.85)
for face in faces:
    x, y, width, height = face["box"]
    cut = image[y : y + height, x : x + width]
    eyes = face["keypoints"]["left_eye"], face["keypoints"]["right_eye"]
    sure = face["confidence"] > 0.9

with open("photo.jpg", "rb") as file:
    content = file.read()
batch = detector.detect_faces(["photo.jpg", "blank.png"], box_format="xyxy", limit_boundaries_landmarks=True)
table = detector.predict(content, output_type="numpy", min_face_size=30, scale_factor=0.6)
nobody = detector.detect_faces("blank.png"), detector.detect_faces("blank.png", output_type="numpy")
found = MTCNN(stages="face_detection_only").detect_faces(image)[:1]
"""


def run(program: str, package: str) -> dict[str, Any]:
    """The variables of a program after it ran with the import of `package` instead of its own."""
    own = "facenet_pytorch" if program == FACENET_PYTORCH else "mtcnn"
    variables: dict[str, Any] = {"__name__": "program"}
    exec(compile(program.replace(f"from {own}", f"from {package}"), "program", "exec"), variables)
    return variables


def made_of(value: Any) -> Any:
    """Types and shapes of a result, and of everything in it."""
    kind = type(value).__name__
    if isinstance(value, dict):
        return {key: made_of(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype == object):
        shape = getattr(value, "shape", None)
        return [kind, shape, *(made_of(each) for each in (value if shape is None else value.ravel()))]
    if hasattr(value, "shape") and value.shape:
        return kind, str(value.dtype), tuple(value.shape)
    return kind
