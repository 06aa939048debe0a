"""Count the faces in many photos, of any sizes, with the networks running on batches.

    python example/batch.py a.jpg b.png

prints a line for each photo: the number of faces, and their widths in pixels:

    a.jpg: 2 92 41
    b.png: 0
"""

import sys

from mtcnn_gluon import Detector

paths = sys.argv[1:]
if not paths:
    sys.exit(__doc__)
for path, faces in zip(paths, Detector().detect_batch(paths)):
    print(f"{path}:", len(faces), *(f"{right - left:.0f}" for left, _, right, _ in faces.boxes))
