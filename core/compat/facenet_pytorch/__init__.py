"""The face detection of facenet-pytorch 2.6 on this package's detector.

    from mtcnn_gluon.compat.facenet_pytorch import MTCNN     # instead of: from facenet_pytorch import MTCNN

Recognition (`InceptionResnetV1`) stays with facenet-pytorch.
"""

from typing import Any

from mtcnn_gluon.compat.facenet_pytorch.crops import extract_face, fixed_image_standardization, prewhiten
from mtcnn_gluon.compat.facenet_pytorch.mtcnn import MTCNN
from mtcnn_gluon.errors import LibraryError

__all__ = ["MTCNN", "extract_face", "fixed_image_standardization", "prewhiten"]

_THERE = ("InceptionResnetV1", "PNet", "RNet", "ONet", "training")


def __getattr__(name: str) -> Any:
    if name in _THERE:
        raise LibraryError(f"{name} is not part of mtcnn_gluon, which detects faces: import it from facenet_pytorch")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
