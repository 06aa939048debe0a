"""Find the faces in a photo and draw them.

    python example/detect.py photo.jpg out.jpg

prints a line for each face, the surest first, and writes the picture:

    {'box': [179.05, 64.44, 271.24, 178.48], 'score': 0.997227, 'landmarks': {'left_eye': [204.76, 100.98], ...}}
"""

import sys

from mtcnn_gluon import Detector, read_image
from mtcnn_gluon.detection.draw import draw_faces
from mtcnn_gluon.io.files import write_picture

if len(sys.argv) != 3:
    sys.exit(__doc__)
source, target = sys.argv[1:]
image = read_image(source)
faces = Detector(min_face=20).detect(image)
for face in faces.to_dicts():
    print(face)
write_picture(target, draw_faces(image, faces))
