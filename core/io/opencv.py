"""Imports OpenCV before the rest of the package. If that fails, a message of one sentence says what to install.

The wheel `opencv-python` needs system libraries that a server may lack; `opencv-python-headless` does not.
"""

import re
import sys
from pathlib import Path

from mtcnn_gluon.errors import LibraryError

_DEBIAN = {  # packages of Debian and Ubuntu
    "libGL.so.1": "libgl1", "libgthread-2.0.so.0": "libglib2.0-0", "libglib-2.0.so.0": "libglib2.0-0", "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6", "libX11.so.6": "libx11-6", "libXext.so.6": "libxext6", "libXrender.so.1": "libxrender1",
    "libxcb.so.1": "libxcb1",
}  # fmt: skip


def explain(error: ImportError) -> str:
    """What to do about an `ImportError` of `import cv2`, in one sentence."""
    text = str(error)
    if isinstance(error, ModuleNotFoundError) and error.name == "cv2":
        return "OpenCV is not installed: run pip install opencv-python, or opencv-python-headless where there is no screen"
    if library := re.match(r"(lib\S+\.so[.\d]*): cannot open shared object file", text):
        name = library[1]
        install = f" (on Debian and Ubuntu: apt-get install {_DEBIAN[name]})" if name in _DEBIAN else ""
        return (
            f"OpenCV needs the system library {name}, which this machine lacks: install it{install}, or run "
            "pip uninstall opencv-python and then pip install opencv-python-headless, which does not need it"
        )
    return f"OpenCV is installed but cannot be imported: {' '.join(text.split())}"


def is_command() -> bool:
    """Whether this process is the command `mtcnn-gluon`, or `python -m` that has not found its module yet."""
    program = (sys.argv or [""])[0]
    return program == "-m" or Path(program).stem == "mtcnn-gluon"


try:
    import cv2

    if not hasattr(cv2, "resize"):  # an empty folder: opencv-python and -headless remove each other's files
        raise ImportError("its library is missing; run pip install --force-reinstall with the name of the wheel you want")
except ImportError as error:
    if is_command():  # where a traceback would not help
        print(f"mtcnn-gluon: {explain(error)}", file=sys.stderr)
        sys.exit(2)
    raise LibraryError(explain(error)) from error
