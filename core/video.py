"""Reading and writing video."""

import os
import tempfile
import time as clock
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Iterator

import cv2
import numpy as np

from mtcnn_gluon.errors import DataError, ImageError
from mtcnn_gluon.files import take_name

EXTENSIONS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video: `image` (H, W, 3) uint8 RGB, `index` from 0, `time` in seconds from the start."""

    image: np.ndarray
    index: int
    time: float


class Video:
    """A video file, or the camera with a number, read frame by frame. Use it in a `with` statement.

    Attributes:
        rate: frames a second; 25 where the source does not say.
        count: how many frames there should be; 0 if that is not known.

    Raises:
        ImageError: if it cannot be opened, or its first frame cannot be read; while iterating, if it ends long before the
            number of frames that its header promises.
    """

    def __init__(self, source: str | os.PathLike | int) -> None:
        self._name = f"camera {source}" if isinstance(source, int) else os.fspath(source)
        self._is_camera = isinstance(source, int)
        if not self._is_camera and not os.path.isfile(self._name):
            raise ImageError(f"{self._name} does not exist or is not a file")
        self._capture = cv2.VideoCapture(source if isinstance(source, int) else self._name)
        if not self._capture.isOpened():
            raise ImageError(f"{self._name} cannot be opened as a {'camera' if self._is_camera else 'video'}")
        rate, count = (self._capture.get(key) for key in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        self.rate = rate if 0 < rate < 1000 else 25.0
        self.count = int(count) if 0 < count < 1e9 and not self._is_camera else 0

    def __iter__(self) -> Iterator[Frame]:
        started, index = clock.monotonic(), 0
        while True:
            is_frame, bgr = self._capture.read()
            if not is_frame:
                break
            time = clock.monotonic() - started if self._is_camera else self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            yield Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), index, time)
            index += 1
        if index == 0:
            raise ImageError(f"{self._name}: no frame can be read")
        if index < 0.9 * self.count:  # headers count a little too many now and then
            raise ImageError(f"{self._name}: damaged or truncated, only {index} of {self.count} frames can be read")

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._capture.release()


class VideoWriter:
    """Writes frames as an MP4 file, which takes its own name only when `close` is called.

    Args:
        path: the file to make.
        rate: frames a second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._writer: cv2.VideoWriter | None = None
        self._draft = ""

    def add(self, image: np.ndarray) -> None:
        """Append an image (H, W, 3) uint8 RGB; all must have the size of the first.

        Raises:
            DataError: if the file cannot be written.
        """
        if self._writer is None:
            self._writer = self._open(image.shape[1], image.shape[0])
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()
            take_name(self._draft, self._path)
            self._writer = None

    def discard(self) -> None:
        """Remove what is written, if the file was not finished."""
        if self._writer is not None:
            self._writer.release()
            os.unlink(self._draft)
            self._writer = None

    def _open(self, width: int, height: int) -> cv2.VideoWriter:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, self._draft = tempfile.mkstemp(prefix=".mtcnn-gluon-", suffix=".mp4", dir=self._path.parent)
        except OSError as error:
            raise DataError(f"{self._path} cannot be written: {error.strerror or error}") from error
        os.close(handle)
        writer = cv2.VideoWriter(self._draft, cv2.VideoWriter.fourcc(*"mp4v"), self._rate, (width, height))
        if not writer.isOpened():
            os.unlink(self._draft)
            raise DataError(f"{self._path} cannot be written: this OpenCV has no MPEG-4 encoder")
        return writer


def is_video_path(path: str | os.PathLike) -> bool:
    """Whether a path's ending is one of a video format."""
    return Path(path).suffix.lower() in EXTENSIONS
