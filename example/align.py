"""Cut the faces out of a photo, upright and of one size, as networks that recognise faces expect them.

    python example/align.py photo.jpg faces/

prints a line for each face and writes it as a PNG of 112 x 112:

    faces/0.png: score 0.997, the eyes tilt by 4 degrees
"""

import sys
from pathlib import Path

import numpy as np

from mtcnn_gluon import Detector, read_image
from mtcnn_gluon.io.files import write_picture

if len(sys.argv) != 3:
    sys.exit(__doc__)
image, folder = read_image(sys.argv[1]), Path(sys.argv[2])
faces = Detector().detect(image)
for number, (face, aligned) in enumerate(zip(faces, faces.align(image))):
    write_picture(folder / f"{number}.png", aligned)
    x, y = face.landmarks[0, 1] - face.landmarks[0, 0]  # from the left eye to the right one
    tilt = np.degrees(np.arctan2(y, x))
    print(f"{folder / str(number)}.png: score {face.scores[0]:.3f}, the eyes tilt by {tilt:.0f} degrees")
