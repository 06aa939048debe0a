"""Videos: what is read and written, with PyAV and without, and that a file which was cut short is not taken for a video."""

import os
import resource
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon.errors import DataError, ImageError
from mtcnn_gluon.io import video_writer
from mtcnn_gluon.io.video import EXTENSIONS, Video, is_video_path
from mtcnn_gluon.io.video_writer import VideoWriter, has_pyav

PYAV = pytest.param(True, id="pyav", marks=pytest.mark.skipif(not has_pyav(), reason="needs PyAV: pip install av"))


@pytest.fixture(params=[pytest.param(False, id="opencv"), PYAV], autouse=True)
def uses_pyav(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Every test runs with OpenCV's encoder and with PyAV's."""
    monkeypatch.setattr(video_writer, "has_pyav", lambda: request.param)
    return request.param


def noise(seed: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write(path: Path, count: int, width: int = 64, height: int = 48, rate: float = 25) -> None:
    writer = VideoWriter(path, rate)
    for seed in range(count):
        writer.add(noise(seed, width, height))
    writer.close()


@pytest.mark.parametrize("rate", [25, 24, 30, 30000 / 1001, 24000 / 1001, 8, 0.5, 240, 12.5])
@pytest.mark.parametrize("width, height", [(64, 48), (63, 47), (2, 2), (7, 200)])
def test_what_is_written_can_be_read(tmp_path: Path, rate: float, width: int, height: int) -> None:
    write(tmp_path / "a.mp4", 12, width, height, rate)
    assert os.listdir(tmp_path) == ["a.mp4"]
    with Video(tmp_path / "a.mp4") as video:
        frames = list(video)
    assert len(frames) == video.count == 12 and video.rate == pytest.approx(rate, rel=1e-3)
    assert {frame.image.shape for frame in frames} == {(height // 2 * 2, width // 2 * 2, 3)}
    assert [frame.time for frame in frames] == pytest.approx([i / rate for i in range(12)], abs=2e-3 + 1e-3 * 12 / rate)


@pytest.mark.parametrize("rate", [25, 30, 50, 100, 8])
def test_times_are_not_longer_than_they_are_exact(tmp_path: Path, rate: int) -> None:
    write(tmp_path / "a.mp4", 60, 16, 16, rate)
    with Video(tmp_path / "a.mp4") as video:
        assert [frame.time for frame in video] == [round(float(Fraction(i, rate)), 6) for i in range(60)]


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("kilobytes", [0, 1, 300])
def test_a_disk_that_is_full(tmp_path: Path, kilobytes: int, old: bytes | None, uses_pyav: bool) -> None:
    """The process may write no file larger than that; the whole video has about 600 kB."""
    if old:
        (tmp_path / "a.mp4").write_bytes(old)
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_video import write
from mtcnn_gluon.errors import DataError
from mtcnn_gluon.io import video_writer
video_writer.has_pyav = lambda: {uses_pyav}
try:
    write(Path("a.mp4"), 30, 300, 200)
except DataError as error:
    sys.exit(str(error))
"""
    limit = kilobytes * 1024
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=tmp_path, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    reasons = ("File too large",) if uses_pyav else ("is the disk full?", "or the disk is full")
    assert done.returncode == 1 and "a.mp4 cannot be written: " in done.stderr and done.stderr.strip().endswith(reasons)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == ({"a.mp4": old} if old else {})


@pytest.mark.parametrize("cut", [1, 100, 5000, 50_000])
def test_whatever_cuts_a_file_short(tmp_path: Path, cut: int) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", 25)
    for seed in range(10):
        writer.add(noise(seed))
    draft, inner = Path(writer._draft), writer._encoder
    assert inner is not None

    class Cut:
        def finish(self, is_whole: bool) -> None:
            inner.finish(is_whole)
            os.truncate(draft, max(0, draft.stat().st_size - cut))

        def release(self) -> None:
            inner.release()

    writer._encoder = Cut()  # type: ignore[assignment]
    with pytest.raises(DataError, match=r"a\.mp4 cannot be written"):
        writer.close()
    assert not list(tmp_path.iterdir())


def test_frames_of_several_sizes(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", 25)
    writer.add(noise(0))
    with pytest.raises(DataError, match=r"a\.mp4 .* one size, but got 64 x 50 after 64 x 48 pixels"):
        writer.add(noise(0, 64, 50))
    writer.discard()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("width, height", [(1, 1), (1, 48), (64, 1)])
def test_frames_too_small_for_a_video(tmp_path: Path, width: int, height: int) -> None:
    with pytest.raises(DataError, match=rf"a\.mp4 cannot be written: .* for {width} x {height} pixels at 25 frames a second"):
        write(tmp_path / "a.mp4", 1, width, height)
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "a.mp4").mkdir()
    (tmp_path / "b.mp4").symlink_to("b.mp4")
    (tmp_path / "c.mp4").symlink_to("/dev/null")
    for name in ("file/a.mp4", "a.mp4", "b.mp4", "c.mp4"):
        with pytest.raises(DataError, match=f"{name} cannot be written"):
            write(tmp_path / name, 1)
    assert (
        sorted(os.listdir(tmp_path)) == ["a.mp4", "b.mp4", "c.mp4", "file"] and os.readlink(tmp_path / "c.mp4") == "/dev/null"
    )


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_written_through(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "real").mkdir()
    if exists:
        (tmp_path / "real/b.mp4").write_bytes(b"old")
    (tmp_path / "a.mp4").symlink_to("real/b.mp4")
    write(tmp_path / "a.mp4", 3)
    assert os.readlink(tmp_path / "a.mp4") == "real/b.mp4" and os.listdir(tmp_path / "real") == ["b.mp4"]
    with Video(tmp_path / "real/b.mp4") as video:
        assert len(list(video)) == 3


def test_nothing_is_written_without_frames(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", 25)
    writer.close()
    writer.discard()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "source, message",
    [
        ("missing.mp4", "missing.mp4 does not exist"), ("", "does not exist"), ("zero\0", "does not exist"),
        (".", "not a file"), ("x" * 300, "x cannot be read: File name too long"), ("https://x/a.mp4", "https://x/a.mp4: URLs"),
        ("rtsp://x//a", "rtsp://x//a: URLs are not fetched"), (None, "not None"), (1.0, "not 1.0"), (True, "not True"),
        (b"a.mp4", "not b'a.mp4'"), (["a.mp4"], "a video must be a path"),
    ],
)  # fmt: skip
def test_what_is_no_video(source: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        Video(source)


def test_a_video_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("os.stat", "builtins.open"):
        with monkeypatch.context() as patch, pytest.raises(ImageError, match=r"a\.mp4 cannot be read: Permission denied"):
            patch.setattr(name, refuse)
            Video(tmp_path / "a.mp4")


def test_endings() -> None:
    assert all(is_video_path(f"a{ending.upper()}") for ending in EXTENSIONS)
    assert not any(is_video_path(name) for name in ("a.jpg", "mp4", ".mp4", "a.mp4.part", "a.ts", ""))
