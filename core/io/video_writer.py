"""Writing videos: with PyAV as H.264 with the times and the sound of their source, otherwise with OpenCV."""

import importlib.util
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from mtcnn_gluon.errors import DataError, install_command
from mtcnn_gluon.io.files import DRAFT, end_of_links, naming_target, take_name


def has_pyav() -> bool:
    """Whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


def what_opencv_lacks() -> str:
    """What is missing in videos that OpenCV writes, and how to get it, in one sentence."""
    lacks = "without PyAV, videos are written as MPEG-4, which browsers do not play, at a constant frame rate and without sound"
    return f"{lacks}: run {install_command('video')}"


class Encoder(Protocol):
    """Writes the frames of a video."""

    def add(self, image: np.ndarray, time: float) -> None:
        """Append an image (H, W, 3) uint8 RGB that is shown from `time` in seconds on."""

    def finish(self, is_whole: bool) -> None:
        """Write the rest and close the file. If the video is not whole, the sound ends with the last frame."""

    def release(self) -> None:
        """Close the file as it is; nothing happens if it is closed."""


class VideoWriter:
    """Writes frames as an MP4 file. The file gets its own name only after `close` has found all frames in it.

    With PyAV it is H.264, frames have their own times, and the sound of the source is kept. Without it, it is MPEG-4.

    Args:
        path: the file to make. If it is a link, its target is replaced and the link stays.
        rate: frames a second; for frames without a time, and for OpenCV.
        source: the video file whose sound to keep, if any.
    """

    def __init__(self, path: Path, rate: float, source: Path | None = None) -> None:
        self._path, self._rate, self._source = path, rate, source
        self._encoder: Encoder | None = None
        self._draft = ""
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def add(self, image: np.ndarray, time: float | None = None) -> None:
        """Append an image (H, W, 3) uint8 RGB. All images must have the same size.

        Videos have even sides: an odd last column or row is left out.

        Args:
            image: the frame.
            time: seconds from the first frame, later than that of the frame before; None: from the frame rate.

        Raises:
            DataError: if the file cannot be written, or the image has another size.
        """
        if self._encoder is None:
            self._shape, self._count = image.shape, 0
            self._encoder = self._open(image.shape[1], image.shape[0])
        if image.shape != self._shape:
            sizes = " after ".join(f"{shape[1]} x {shape[0]}" for shape in (image.shape, self._shape))
            raise DataError(f"{self._path} cannot be written: its frames must have one size, but got {sizes} pixels")
        with naming_target(self._path):
            self._encoder.add(image, self._count / self._rate if time is None else time)
        self._count += 1

    def close(self, is_whole: bool = True) -> None:
        """Finish the file, check it, and give it its name.

        Args:
            is_whole: whether all frames of the source were added; otherwise its sound ends with the last frame.

        Raises:
            DataError: if frames are missing, for example on a full disk; the file is then removed.
        """
        if self._encoder is None:
            return
        try:
            with naming_target(self._path):
                self._encoder.finish(is_whole)
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
        if self._encoder is not None:
            with suppress(OSError):  # the file is removed in any case
                self._encoder.release()
            self._encoder = None
        if os.path.exists(self._draft):
            os.unlink(self._draft)

    def _open(self, width: int, height: int) -> Encoder:
        with naming_target(self._path):
            if self._path.exists() and not self._path.is_file():
                raise DataError(f"{self._path} cannot be written: it exists and is not a file")
            folder = end_of_links(self._path).parent
            folder.mkdir(parents=True, exist_ok=True)
            handle, self._draft = tempfile.mkstemp(prefix=DRAFT, suffix=".mp4", dir=folder)
        os.close(handle)
        try:
            return self._encoder_for(width, height)
        except BaseException:
            self.discard()
            raise

    def _encoder_for(self, width: int, height: int) -> Encoder:
        what = f"{width} x {height} pixels at {self._rate:g} frames a second"
        if min(width, height) < 2:
            raise DataError(f"{self._path} cannot be written: a video needs two pixels a side, there is no encoder for {what}")
        if has_pyav():
            from mtcnn_gluon.io.video_av import AvEncoder

            with naming_target(self._path):
                return AvEncoder(self._draft, self._rate, width // 2 * 2, height // 2 * 2, self._source)
        encoder = OpenCvEncoder(self._draft, self._rate, width, height)
        if not encoder.is_open:
            raise DataError(
                f"{self._path} cannot be written: this OpenCV has no MPEG-4 encoder for {what}, or the disk is full"
            )
        return encoder


class OpenCvEncoder:
    """MPEG-4 by OpenCV, at a constant frame rate and without sound."""

    def __init__(self, path: str, rate: float, width: int, height: int) -> None:
        self._writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))

    @property
    def is_open(self) -> bool:
        """Whether there is an encoder for this size and rate."""
        return self._writer.isOpened()

    def add(self, image: np.ndarray, time: float) -> None:
        """See `Encoder`; the time is not used."""
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def finish(self, is_whole: bool) -> None:
        """See `Encoder`."""
        self.release()

    def release(self) -> None:
        """See `Encoder`."""
        self._writer.release()


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
