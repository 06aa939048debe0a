"""Reading and writing video."""

import os
import stat
import tempfile
import time as clock
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import cv2
import numpy as np

from mtcnn_gluon.errors import DataError, ImageError, shown
from mtcnn_gluon.io.files import DRAFT, end_of_links, naming_target, take_name
from mtcnn_gluon.io.images import is_url, no_url

EXTENSIONS = (
    ".3g2", ".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm",
    ".wmv",
)  # fmt: skip


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
        count: number of frames in the header; 0 if unknown.

    Raises:
        ImageError: if the source is neither a path nor a number, or cannot be opened. While iterating: if no frame can be read,
            or the video has far fewer frames than its header states.
    """

    def __init__(self, source: str | os.PathLike | int) -> None:
        if isinstance(source, bool) or not isinstance(source, (str, os.PathLike, int)):
            raise ImageError(f"a video must be a path, or the number of a camera, not {shown(source)}")
        if is_url(source):
            raise ImageError(no_url(source))
        self._name = f"camera {source}" if isinstance(source, int) else os.fspath(source)
        self._is_camera = isinstance(source, int)
        if not self._is_camera:
            _check_file(self._name)
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
            yield Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), index, round(time, 6))  # to a microsecond
            index += 1
        if index == 0:
            raise ImageError(f"{self._name}: no frame can be read")
        if index < 0.9 * self.count:  # some headers count a few frames too many
            raise ImageError(f"{self._name}: damaged or truncated, only {index} of {self.count} frames can be read")

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


class VideoWriter:
    """Writes frames as an MP4 file. The file gets its own name only after `close` has found all frames in it.

    Args:
        path: the file to make. If it is a link, its target is replaced and the link stays.
        rate: frames a second.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._writer: cv2.VideoWriter | None = None
        self._draft = ""
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def add(self, image: np.ndarray) -> None:
        """Append an image (H, W, 3) uint8 RGB. All images must have the same size.

        MPEG-4 files have even sides: an odd last column or row is left out.

        Raises:
            DataError: if the file cannot be written, or the image has another size.
        """
        if self._writer is None:
            self._shape, self._count = image.shape, 0
            self._writer = self._open(image.shape[1], image.shape[0])
        if image.shape != self._shape:
            sizes = " after ".join(f"{shape[1]} x {shape[0]}" for shape in (image.shape, self._shape))
            raise DataError(f"{self._path} cannot be written: its frames must have one size, but got {sizes} pixels")
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self._count += 1

    def close(self) -> None:
        """Finish the file, check it, and give it its name.

        Raises:
            DataError: if frames are missing, for example on a full disk; the file is then removed.
        """
        if self._writer is None:
            return
        self._writer.release()
        try:
            width, height, count = _measure(self._draft)
            expected = (self._shape[1] // 2 * 2, self._shape[0] // 2 * 2, self._count)
            if (width, height, count) != expected or not _has_its_length(self._draft):
                text = f"it was cut short, and {count} of its {self._count} frames can be read; is the disk full?"
                raise DataError(f"{self._path} cannot be written: {text}")
            with naming_target(self._path):
                take_name(self._draft, end_of_links(self._path))
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the file if it is not finished."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None
        if os.path.exists(self._draft):
            os.unlink(self._draft)

    def _open(self, width: int, height: int) -> cv2.VideoWriter:
        with naming_target(self._path):
            if self._path.exists() and not self._path.is_file():
                raise DataError(f"{self._path} cannot be written: it exists and is not a file")
            folder = end_of_links(self._path).parent
            folder.mkdir(parents=True, exist_ok=True)
            handle, self._draft = tempfile.mkstemp(prefix=DRAFT, suffix=".mp4", dir=folder)
        os.close(handle)
        writer = cv2.VideoWriter(self._draft, cv2.VideoWriter.fourcc(*"mp4v"), self._rate, (width, height))
        if not writer.isOpened():
            self.discard()
            what = f"{width} x {height} pixels at {self._rate:g} frames a second"
            raise DataError(
                f"{self._path} cannot be written: this OpenCV has no MPEG-4 encoder for {what}, or the disk is full"
            )
        return writer


def _measure(path: str) -> tuple[int, int, int]:
    """Width, height and number of readable frames of a video; zeros if the file is not a video."""
    capture = cv2.VideoCapture(path)
    try:
        width, height = (int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        count = 0
        while capture.grab():
            count += 1
    finally:
        capture.release()
    return width, height, count


def _has_its_length(path: str) -> bool:
    """Whether an MP4 file ends where its boxes (ISO/IEC 14496-12, 4.2) end."""
    start, end = 0, os.path.getsize(path)
    with open(path, "rb") as file:
        while start < end:
            file.seek(start)
            head = file.read(16)
            size = int.from_bytes(head[:4], "big")
            if size == 1:  # a long box
                size = int.from_bytes(head[8:], "big")
            if size < 8:
                return False
            start += size
    return start == end


def is_video_path(path: str | os.PathLike) -> bool:
    """Whether a path has the ending of a video format."""
    return Path(path).suffix.lower() in EXTENSIONS
