"""Clips with moving faces, sound and uneven times, that tests of videos share."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Iterable, Iterator, Sequence

import cv2
import numpy as np

TONE = 440  # Hz
SAMPLES = 48_000  # of the sound a second
LENGTH = 10.0  # seconds in which two faces cross


def moving_faces(portrait: np.ndarray, times: Sequence[float], width: int = 320, height: int = 180) -> Iterator[np.ndarray]:
    """Frames (height, width, 3) uint8 of these times, in which two faces cross and a third one moves and scales above them.

    The first face passes in front of the second, which it hides for more than a second, in the middle of ten seconds.
    """
    y, x = np.mgrid[:height, :width]
    ground = np.repeat((90 + 40 * np.sin(x / 37) * np.cos(y / 29))[:, :, None], 3, axis=2).astype(np.uint8)
    face = portrait[30:230, 80:250]
    for time in times:
        share = time / LENGTH
        frame = ground.copy()
        way = 0.15 + 0.7 * share
        third = 0.5 + 0.25 * math.sin(2 * math.pi * share)
        _put(frame, face, third * width, 0.25 * height, 0.36 * height * (1 + 0.3 * math.sin(4 * math.pi * share)))
        _put(frame, face[:, ::-1], (1 - way) * width, 0.72 * height, 0.42 * height)
        _put(frame, face, way * width, 0.76 * height, 0.45 * height)
        yield frame


def _put(frame: np.ndarray, face: np.ndarray, x: float, y: float, side: float) -> None:
    """Draw a portrait of `side` pixels height with its centre at x, y; what is outside the frame is cut off."""
    scale = side / face.shape[0]
    matrix = np.array([[scale, 0, x - scale * face.shape[1] / 2], [0, scale, y - side / 2]])
    small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    matrix[:, :2] /= scale
    size = frame.shape[1::-1]
    moved = cv2.warpAffine(small, matrix, size, flags=cv2.INTER_LINEAR)
    mask = cv2.warpAffine(np.full(small.shape[:2], 255, np.uint8), matrix, size, flags=cv2.INTER_NEAREST)
    frame[mask > 0] = moved[mask > 0]


def uneven_times(count: int, rate: float = 25) -> list[float]:
    """Times in seconds, in whole milliseconds, of frames that are `rate` a second on average and very unevenly apart."""
    steps = np.random.default_rng(0).choice([1, 1, 3, 4, 5, 11], count - 1)
    return [0.0, *(round(float(v), 3) for v in np.cumsum(steps) * (count - 1) / rate / steps.sum())]


def write_clip(
    path: Path, frames: Iterable[np.ndarray], times: Sequence[float], codec: str = "libx264",
    sound: str | None = "aac", start: float = 0.0,
) -> Path:  # fmt: skip
    """Write frames with their times, from `start` on, and a tone from 0 to the last frame, by PyAV."""
    import av

    ticks = 25 if path.suffix == ".avi" else 1000  # a second; avi has no uneven times
    with av.open(str(path), "w") as file:
        video = file.add_stream(codec, rate=25)
        frames = list(frames)
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt, video.codec_context.time_base = "yuv420p", Fraction(1, ticks)
        audio = file.add_stream(sound, rate=SAMPLES, layout="mono") if sound else None
        for image, time in zip(frames, times):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round((time + start) * ticks), Fraction(1, ticks)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
        if audio:
            for packet in _tone(audio, start + times[-1] + 0.04):
                file.mux(packet)
    return path


def _tone(audio, seconds: float) -> Iterator:  # type: ignore[no-untyped-def]
    import av

    wave = 0.3 * np.sin(2 * np.pi * TONE / SAMPLES * np.arange(round(seconds * SAMPLES)))
    for begin in range(0, len(wave), 1024):
        part = (wave[None, begin : begin + 1024] * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLES, begin, Fraction(1, SAMPLES)
        yield from audio.encode(frame)
    yield from audio.encode(None)
