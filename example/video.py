"""Find the faces in a video, or in what a camera sees, frame by frame.

    python example/video.py clip.mp4
    python example/video.py 0

prints a line whenever the number of faces changes; Ctrl-C ends a camera:

    0.00 s: 1 face
    1.28 s: 2 faces
"""

import sys

from mtcnn_gluon import Detector

if len(sys.argv) != 2:
    sys.exit(__doc__)
source = int(sys.argv[1]) if sys.argv[1].isdecimal() else sys.argv[1]
before = None
for frame, faces in Detector(min_face=40).detect_video(source):
    if len(faces) != before:
        print(f"{frame.time:.2f} s: {len(faces)} face{'s' * (len(faces) != 1)}", flush=True)
        before = len(faces)
