"""Reading video."""

import os
import stat
import time as clock
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import cv2
import numpy as np

from mtcnn_gluon.errors import ImageError, shown
from mtcnn_gluon.io.images import is_url, no_url

EXTENSIONS = (
    ".3g2", ".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm",
    ".wmv",
)  # fmt: skip
COUNTED = (".3g2", ".3gp", ".avi", ".m4v", ".mov", ".mp4")  # formats whose headers count the frames


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video: `image` (H, W, 3) uint8 RGB, `index` from 0, `time` in seconds from the start."""

    image: np.ndarray
    index: int
    time: float


class Video:
    """A video file or a camera (by number), read frame by frame. Use it in a `with` statement.

    Attributes:
        rate: frames a second; 25 if unknown.
        is_camera: whether it is a camera.
        count: number of frames in the header, or a guess from the length and the rate; 0 if unknown.

    Raises:
        ImageError: if the source is neither a path nor a number, or cannot be opened. While iterating: if no frame can be read,
            or the video has far fewer frames than its header states.
    """

    def __init__(self, source: str | os.PathLike | int) -> None:
        if isinstance(source, bool) or not isinstance(source, (str, os.PathLike, int)):
            raise ImageError(f"a video must be a path, or the number of a camera, not {shown(source)}")
        if is_url(source):
            raise ImageError(no_url(source))
        if isinstance(source, int) and not 0 <= source < 2**31:
            raise ImageError(f"the number of a camera must be from 0 to {2**31 - 1}, not {source}")
        self._name = f"camera {source}" if isinstance(source, int) else os.fspath(source)
        self.is_camera = isinstance(source, int)
        if not self.is_camera:
            _check_file(self._name)
        self._capture = cv2.VideoCapture(source if isinstance(source, int) else self._name)
        if not self._capture.isOpened():
            raise ImageError(f"{self._name} cannot be opened as a {'camera' if self.is_camera else 'video'}")
        rate, count = (self._capture.get(key) for key in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        self.rate = rate if 0 < rate < 1000 else 25.0
        self.count = int(count) if 0 < count < 1e9 and not self.is_camera else 0

    def __iter__(self) -> Iterator[Frame]:
        started, index, time = clock.monotonic(), 0, 0.0
        while True:
            is_frame, bgr = self._capture.read()
            if not is_frame:
                break
            time = clock.monotonic() - started if self.is_camera else self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            yield Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), index, round(time, 6))  # to a microsecond
            index += 1
        if index == 0:
            raise ImageError(f"{self._name}: no frame can be read")
        if self._lacks_frames(index, time):
            raise ImageError(f"{self._name}: damaged or truncated, only {index} of {self.count} frames can be read")

    def _lacks_frames(self, found: int, last: float) -> bool:
        """Whether far fewer frames were found than the header states; `last` is the time of the last one in seconds."""
        is_short = found < 0.9 * self.count  # some headers count a few frames too many
        if Path(self._name).suffix.lower() in COUNTED:
            return is_short
        # The count is guessed from the length of picture and sound and from the rate, which may vary.
        return is_short and last < 0.9 * self.count / self.rate - 1

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *error: object) -> None:
        self._capture.release()


def _check_file(name: str) -> None:
    """Raise an `ImageError` with the reason if a file cannot be read; OpenCV gives no reason."""
    try:
        if stat.S_ISREG(os.stat(name).st_mode):
            with open(name, "rb"):
                return
    except (FileNotFoundError, NotADirectoryError, ValueError):
        pass
    except OSError as error:
        raise ImageError(f"{name} cannot be read: {error.strerror}") from error
    raise ImageError(f"{name} does not exist or is not a file")


def is_video_path(path: str | os.PathLike) -> bool:
    """Whether a path has the ending of a video format."""
    return Path(path).suffix.lower() in EXTENSIONS
