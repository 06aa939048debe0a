"""MTCNN: joint face detection and alignment with three small cascaded networks.

from mtcnn_gluon import Detector
faces = Detector().detect("photo.jpg")   # faces.boxes (N, 4), faces.scores (N,), faces.landmarks (N, 5, 2)
"""

from mtcnn_gluon.io import opencv as opencv  # first: it says what is missing

# isort: split
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.io.images import read_image

__version__ = "1.0.0rc1"
__all__ = ["Detector", "Faces", "__version__", "read_image"]
