"""H.264 and sound in MP4 files, by PyAV. Only `video_writer` imports this module, where PyAV is installed."""

import logging
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Iterator

import cv2
import numpy as np

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.io.extras import need

logger = logging.getLogger(__name__)

ENCODERS = {  # those that make what browsers play, best first, with their options for good quality
    "libx264": {"crf": "20", "preset": "fast"},
    "libopenh264": {"rc_mode": "quality"},
    "libvpx-vp9": {"crf": "28", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
}
TICKS = 90_000  # a second, the usual unit of time in videos
# Decoders of sound that browsers play from MP4 files; other sound is converted to AAC.
COPIED = ("aac", "flac", "libopus", "mp3", "mp3float", "opus")
# Labels of FFmpeg for the colours in a video: of BT.709, of BT.601, none, and of black as 16 and white as 235.
BT709, BT601, NONE, MPEG_RANGE = 1, 6, 2, 1


class AvEncoder:
    """An `Encoder` for MP4 files with H.264, or VP9 if PyAV has no H.264, that keeps times and sound.

    Args:
        path: the file to write.
        rate: usual frames a second.
        width, height: even sides in pixels; larger frames lose what is beyond.
        source: a video file with the sound to keep.

    Raises:
        OSError: here and in the methods: if the file cannot be written.
        DataError: if PyAV has no encoder.
    """

    def __init__(self, path: str, rate: float, width: int, height: int, source: Path | None) -> None:
        self._av = need("av", "writing videos", "video", DataError)
        self._width, self._height = width, height
        self._last = -1  # time of the last frame in ticks
        self._usual = max(1, round(TICKS / rate))  # ticks between two frames
        self._matrix = BT601  # how colours become brightness and two differences
        with _system_errors(self._av):
            self._file = self._av.open(path, "w", format="mp4", options={"movflags": "+faststart"})
        self._sound: Sound | None = None
        try:
            with _system_errors(self._av):
                self._video = self._video_stream(rate)
                self._sound = open_sound(self._av, source, self._file) if source else None
                self._keep_colours(source)
        except BaseException:
            self.release()
            raise

    def add(self, image: np.ndarray, time: float) -> None:
        """See `Encoder`."""
        ticks = max(self._last + 1, round(time * TICKS))  # every frame needs a time of its own
        self._last = ticks
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image[: self._height, : self._width]), format="rgb24")
        frame.pts, frame.time_base = ticks, Fraction(1, TICKS)
        with _system_errors(self._av):
            self._write_sound(ticks / TICKS)
            matrix = {"dst_colorspace": BT709} if self._matrix == BT709 else {}
            self._file.mux(self._video.encode(frame.reformat(format="yuv420p", **matrix)))

    def finish(self, is_whole: bool) -> None:
        """See `Encoder`."""
        with _system_errors(self._av):
            self._file.mux(self._video.encode(None))
            self._write_sound(float("inf") if is_whole else (self._last + self._usual) / TICKS)
            if self._sound:
                self._file.mux(self._sound.rest())
        self.release()

    def release(self) -> None:
        """See `Encoder`."""
        if self._sound:
            self._sound.close()
        with _system_errors(self._av):
            self._file.close()

    def _video_stream(self, rate: float) -> Any:
        """The stream for the frames."""
        name = next((name for name in ENCODERS if name in self._av.codecs_available), None)
        if name is None:
            raise DataError(f"this PyAV has none of the encoders {', '.join(ENCODERS)}")
        stream = self._file.add_stream(name, rate=Fraction(rate).limit_denominator(1001), options=ENCODERS[name])
        stream.width, stream.height, stream.pix_fmt = self._width, self._height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        return stream

    def _keep_colours(self, source: Path | None) -> None:
        """Label the colours as in the source, and undo how OpenCV read them: some builds heed labels, others assume BT.601."""
        file = _opened(self._av, source) if source else None
        if file is None:
            return
        with file:
            if not file.streams.video:
                return
            given, ours = file.streams.video[0].codec_context, self._video.codec_context
            for label in ("color_primaries", "color_trc"):
                setattr(ours, label, getattr(given, label))
            ours.colorspace, ours.color_range = given.colorspace, MPEG_RANGE
            if given.colorspace not in (BT601, NONE) and opencv_heeds_labels(self._video.codec_context.name):
                self._matrix = ours.colorspace = BT709 if given.colorspace == BT709 else BT601

    def _write_sound(self, until: float) -> None:
        """Write the sound before `until` in seconds, so that picture and sound alternate in the file."""
        if self._sound:
            for packet in self._sound.packets(until):
                self._file.mux(packet)


class Sound:
    """The first sound track of a video file, packet by packet, for another file.

    Args:
        av: the module.
        file: the opened source; it is closed by `close`.
        target: the file to write, in which a stream is made.
    """

    def __init__(self, av: Any, file: Any, target: Any) -> None:
        self._av, self._file, self._source = av, file, file.streams.audio[0]
        video = file.streams.video[0] if file.streams.video else None
        # Time zero of the frames, in seconds, is where the picture begins.
        self._zero = float((video.start_time or 0) * video.time_base) if video is not None and video.time_base else 0.0
        self._is_copied = self._source.codec_context.name in COPIED
        self._packets = self._demuxed()
        self._next: Any = None
        if self._is_copied:
            self._stream = target.add_stream_from_template(self._source)
        else:
            self._stream = target.add_stream("aac", rate=self._source.codec_context.sample_rate)
            self._stream.codec_context.layout = "mono" if self._source.codec_context.layout.nb_channels == 1 else "stereo"

    def packets(self, until: float) -> Iterator[Any]:
        """The packets that begin before `until`, in seconds from the first frame."""
        while True:
            if self._next is None:
                self._next = next(self._packets, None)
            if self._next is None or self._next[0] >= until:
                return
            packet, self._next = self._next[1], None
            if self._is_copied:
                packet.stream = self._stream
                yield packet
            else:
                yield from self._converted(packet)

    def rest(self) -> list[Any]:
        """The packets that a converter still holds."""
        return [] if self._is_copied else self._stream.encode(None)

    def close(self) -> None:
        """Close the source."""
        self._file.close()

    def _demuxed(self) -> Iterator[tuple[float, Any]]:
        """Every packet that is not before the first frame with its time in seconds; its own times are moved to that zero."""
        for packet in self._file.demux(self._source):
            if packet.pts is None:
                continue
            time = float(packet.pts * packet.time_base) - self._zero
            if time + float((packet.duration or 0) * packet.time_base) <= 0:
                continue
            shift = round(self._zero / packet.time_base)
            packet.pts -= shift
            if packet.dts is not None:
                packet.dts -= shift
            yield time, packet

    def _converted(self, packet: Any) -> Iterator[Any]:
        """A packet as AAC; sound that cannot be decoded is left out."""
        try:
            frames = packet.decode()
        except self._av.error.FFmpegError:
            return
        for frame in frames:
            yield from self._stream.encode(frame)


@cache
def opencv_heeds_labels(encoder: str) -> bool:
    """Whether this OpenCV reads the colours of a video by their label: it is tried with a red that is 204 or 189 bright."""
    import av

    with TemporaryDirectory() as folder:
        path = f"{folder}/red.mp4"
        with av.open(path, "w") as file:
            stream = file.add_stream(encoder, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            stream.codec_context.colorspace = BT709
            red = np.full((96, 64), 80, np.uint8)  # the brightness, and below it the two differences, each in a sixth
            red[64:80], red[80:] = 128, 200
            file.mux(stream.encode(av.VideoFrame.from_ndarray(red, format="yuv420p")))
            file.mux(stream.encode(None))
        is_read, bgr = cv2.VideoCapture(path).read()
    return bool(is_read) and int(bgr[32, 32, 2]) > 196


def open_sound(av: Any, source: Path, target: Any) -> Sound | None:
    """The sound of a video file for the opened file `target`; None if it has none. If it cannot be read, a warning says so."""
    file = _opened(av, source)
    if file is None:
        logger.warning("%s: PyAV cannot read it, so its sound is not kept", source)
        return None
    if file.streams.audio and file.streams.audio[0].codec_context is not None:
        return Sound(av, file, target)
    if file.streams.audio:
        logger.warning("%s: PyAV does not know its sound, so it is not kept", source)
    file.close()
    return None


def _opened(av: Any, source: Path) -> Any:
    """A video file, opened to read it even if its metadata are not UTF-8; None if PyAV cannot."""
    try:
        try:
            return av.open(str(source), metadata_errors="ignore")
        except TypeError:  # since PyAV 19 they never are an error
            return av.open(str(source))
    except (av.error.FFmpegError, OSError):
        return None


@contextmanager
def _system_errors(av: Any) -> Iterator[None]:
    """Turn FFmpeg's errors into system errors, as reading and writing files raises them."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise OSError(error.errno, error.strerror or str(error)) from error
