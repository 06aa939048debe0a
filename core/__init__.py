"""MTCNN: joint face detection and alignment with three small cascaded networks.

from mtcnn_gluon import Detector
faces = Detector().detect("photo.jpg")   # faces.boxes (N, 4), faces.scores (N,), faces.landmarks (N, 5, 2)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mtcnn_gluon.io import opencv as opencv  # first: it says what is missing

if TYPE_CHECKING:
    from mtcnn_gluon.detection.detector import Detector
    from mtcnn_gluon.faces import Faces
    from mtcnn_gluon.io.images import read_image

__version__ = "1.0.0rc1"
__all__ = ["Detector", "Faces", "__version__", "read_image"]

HOMES = {"Detector": "detection.detector", "Faces": "faces", "read_image": "io.images"}


def __getattr__(name: str) -> Any:
    """A public name, whose module is imported when it is first used: that of all of them would take most of the time."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
