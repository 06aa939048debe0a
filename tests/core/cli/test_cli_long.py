"""Long work on the command line: resuming, and video."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon import Faces
from mtcnn_gluon.cli import detect as cli_detect
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.cli import resuming
from mtcnn_gluon.errors import DataError
from mtcnn_gluon.io.video import Video


class FakeDetector:
    """Finds one face in every image, and counts how often it is asked; stops after `limit`."""

    asked = 0
    limit = 10**9

    has_landmarks = True
    rotate = "0"
    engine = SimpleNamespace(frames_at_once=1, batch_pixels=1_000_000)
    bundle = SimpleNamespace(manifest={"name": "fake", "licence": "any use"})
    settings = SimpleNamespace(threshold=lambda stage, sides: np.full(len(sides), 0.6))

    def __init__(self, **options: Any) -> None:
        FakeDetector.asked = 0

    def detect(self, image: np.ndarray) -> Faces:
        if FakeDetector.asked == FakeDetector.limit:
            raise KeyboardInterrupt
        FakeDetector.asked += 1
        points = np.array([[[6, 6], [12, 6], [9, 9], [6, 12], [12, 12]]])
        return Faces(np.array([[2, 2, 16, 18]]), np.array([0.9]), points)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_detect, "Detector", FakeDetector)
    for i in range(6):
        Image.new("RGB", (20, 30 + i)).save(tmp_path / f"{i}.png")
    (tmp_path / "7.png").write_bytes(b"not an image")
    return tmp_path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 8, (64, 48))
    for i in range(10):
        writer.write(np.full((48, 64, 3), 20 * i, np.uint8))
    writer.release()
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_resume_does_what_is_left(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["detect", ".", "--json", "out.jsonl", "--csv", "out.csv", "--save", "drawn"]
    monkeypatch.setattr(FakeDetector, "limit", 2)
    assert cli.main(command) == 130
    assert [row["image"] for row in read_rows(photos / "out.jsonl")] == ["0.png", "1.png"]
    monkeypatch.setattr(FakeDetector, "limit", 10**9)
    (photos / "drawn/0.png").unlink()  # done, so not made again
    assert cli.main([*command, "--resume"]) == 1  # 7.png cannot be read
    assert FakeDetector.asked == 4 + 1  # whether the detector is the same
    rows = read_rows(photos / "out.jsonl")
    assert [row["image"] for row in rows] == [*(f"{i}.png" for i in range(6)), "7.png"]  # drawn/1.png is a result, no photo
    with open(photos / "out.csv", newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == [row["image"] for row in rows]
    assert not (photos / "drawn/0.png").exists() and (photos / "drawn/5.png").exists()
    assert not (photos / "out.jsonl.part").exists()


def test_resume_tries_failed_photos_again(photos: Path) -> None:
    command = ["detect", "0.png", "7.png", "--json", "out.jsonl", "--resume"]
    assert cli.main(command) == 1
    Image.new("RGB", (9, 9)).save(photos / "7.png")
    assert cli.main(command) == 0
    assert FakeDetector.asked == 1 + 1
    assert ["error" in row for row in read_rows(photos / "out.jsonl")] == [False, False]


def test_resume_after_a_kill(photos: Path) -> None:
    """A killed process leaves FILE.part, perhaps with half a line at its end."""
    assert cli.main(["detect", "0.png", "1.png", "--json", "out.jsonl"]) == 0
    whole = (photos / "out.jsonl").read_text()
    (photos / "out.jsonl").unlink()
    (photos / "out.jsonl.part").write_text(whole + '{"image": "2.pn')
    assert cli.main(["detect", *(f"{i}.png" for i in range(4)), "--json", "out.jsonl", "--resume"]) == 0
    assert FakeDetector.asked == 2 + 1
    assert [row["image"] for row in read_rows(photos / "out.jsonl")] == [f"{i}.png" for i in range(4)]


def test_resume_from_something_else(photos: Path, capsys: pytest.CaptureFixture) -> None:
    (photos / "out.jsonl").write_text('{"a": 1}\n')
    assert cli.main(["detect", "0.png", "--json", "out.jsonl", "--resume"]) == 2
    assert "out.jsonl, line 1: expected one result" in capsys.readouterr().err
    assert (photos / "out.jsonl").read_text() == '{"a": 1}\n'
    with pytest.raises(DataError, match="line 1"):
        resuming.read_earlier(photos / "out.jsonl")
    assert cli.main(["detect", "0.png", "--resume"]) == 2
    assert "--resume needs --json FILE" in capsys.readouterr().err


def test_resume_loses_nothing_if_it_fails_at_once(photos: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["detect", "0.png", "--json", "out.jsonl"]) == 0
    (photos / "out.jsonl").rename(photos / "out.jsonl.part")
    before = (photos / "out.jsonl.part").read_text()
    assert cli.main(["detect", ".", "--json", "out.jsonl", "--resume", "--csv", "0.png/table.csv"]) == 2
    assert (photos / "out.jsonl.part").read_text() == before


def test_resume_with_line_ends_in_names(photos: Path) -> None:
    (photos / "0.png").rename(photos / "a\u2028b\x85.png")
    assert cli.main(["detect", "a\u2028b\x85.png", "1.png", "--json", "out.jsonl"]) == 0
    assert cli.main(["detect", "a\u2028b\x85.png", "1.png", "--json", "out.jsonl", "--resume"]) == 0
    assert FakeDetector.asked == 1


def test_a_killed_process_can_be_resumed(photos: Path) -> None:
    """A real process, killed by SIGKILL between two photos."""
    script = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.cli import detect as cli_detect
import test_cli_long
class Killed(test_cli_long.FakeDetector):
    def detect(self, image):
        if image.shape[0] == 33:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().detect(image)
cli_detect.Detector = Killed
cli.main(["detect", ".", "--json", "out.jsonl"])
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == -9
    assert len(read_rows(photos / "out.jsonl.part")) == 3 and not (photos / "out.jsonl").exists()
    assert cli.main(["detect", ".", "--json", "out.jsonl", "--resume"]) == 1
    assert FakeDetector.asked == 3 + 1 and len(read_rows(photos / "out.jsonl")) == 7


def test_video(photos: Path, clip: Path, capsys: pytest.CaptureFixture) -> None:
    options = ["--json", "out.jsonl", "--csv", "out.csv", "--save", "drawn", "--crops", "crops"]
    assert cli.main(["detect", "clip.avi", "0.png", *options]) == 0
    rows = read_rows(photos / "out.jsonl")
    assert [row.get("frame") for row in rows] == [*range(10), None]
    assert [row["time"] for row in rows[:10]] == pytest.approx([i / 8 for i in range(10)], abs=1e-3)
    assert {(row["width"], row["height"]) for row in rows[:10]} == {(64, 48)}
    assert capsys.readouterr().out.startswith("clip.avi: 10 frames, 10 with faces")
    with Video(photos / "drawn/clip.mp4") as drawn:
        frames = [frame.image for frame in drawn]
        assert len(frames) == 10 and frames[0].shape == (48, 64, 3) and drawn.rate == pytest.approx(8)
    assert (photos / "drawn/clip.mp4").stat().st_mode == (photos / "drawn/0.png").stat().st_mode
    assert frames[0].max() > 100 > 60 > np.median(frames[2])  # a bright box on a dark frame
    assert len(list((photos / "crops").glob("clip-frame*-face0.png"))) == 10
    assert sorted(p.name for p in (photos / "drawn").iterdir()) == ["0.png", "clip.mp4"]


def test_interrupted_video(photos: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeDetector, "limit", 4)
    assert cli.main(["detect", "clip.avi", "--json", "out.jsonl", "--save", "drawn"]) == 130
    with Video(photos / "drawn/clip.mp4") as drawn:
        assert len(list(drawn)) == 4
    assert len(read_rows(photos / "out.jsonl")) == 4


def test_crash_leaves_no_half_video(photos: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(self: FakeDetector, image: np.ndarray) -> Faces:
        FakeDetector.asked += 1
        if FakeDetector.asked == 3:
            raise RuntimeError
        return Faces.empty()

    monkeypatch.setattr(FakeDetector, "detect", crash)
    with pytest.raises(RuntimeError):
        cli.main(["detect", "clip.avi", "--save", "drawn"])
    assert list((photos / "drawn").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not a video", None], ids=["empty", "text", "truncated"])
def test_damaged_video(photos: Path, clip: Path, capfd: pytest.CaptureFixture, content: bytes | None) -> None:
    whole = clip.read_bytes()
    (photos / "bad.avi").write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert cli.main(["detect", "bad.avi", "clip.avi", "--json", "out.jsonl"]) == 1
    rows = read_rows(photos / "out.jsonl")
    assert ["error" in row for row in rows].count(True) == 1
    assert [row["frame"] for row in rows if row["image"] == "clip.avi"] == list(range(10))
    assert "bad.avi" in capfd.readouterr().err


def test_no_camera(photos: Path, capfd: pytest.CaptureFixture) -> None:
    assert cli.main(["detect", "63"]) == 1
    assert "camera 63 cannot be opened" in capfd.readouterr().err
