"""`detect` with videos: one id a face, what browsers play, times and sound, hidden faces, a window; and without PyAV."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from moving_faces import SAMPLES, TONE, moving_faces, uneven_times, write_clip
from mtcnn_gluon import Detector, Faces, read_image
from mtcnn_gluon.cli import detect_outputs, detect_window
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.detection import video as detection_video
from mtcnn_gluon.detection.tracking import can_track
from mtcnn_gluon.io import video_writer
from mtcnn_gluon.io.video import Video
from mtcnn_gluon.io.video_writer import VideoWriter, has_pyav

needs_pyav = pytest.mark.skipif(not has_pyav(), reason="needs PyAV: pip install av")
needs_tracker = pytest.mark.skipif(not can_track(), reason="needs the tracker: pip install edgefirst-tracker==0.38.0")
PORTRAIT = Path(__file__).parents[3] / "example/portrait.jpg"
QUICK = ["--model", "gluon-4", "--threads", "1", "--min-face", "24"]
COUNT = 12  # frames of the short clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


def short() -> list[np.ndarray]:
    """The frames of a short clip, in which no face is hidden."""
    return list(moving_faces(read_image(PORTRAIT), uneven_times(COUNT)))


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    """A short clip, with sound and uneven times if PyAV is installed."""
    if has_pyav():
        return write_clip(folder / "clip.mp4", short(), uneven_times(COUNT))
    writer = VideoWriter(folder / "clip.mp4", 25)
    for image in short():
        writer.add(image)
    writer.close()
    return folder / "clip.mp4"


@pytest.fixture
def inside(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def streams(path: Path) -> SimpleNamespace:
    """Codecs, and times and sound from the first frame on."""
    import av

    with av.open(str(path)) as file:
        video, audio = file.streams.video[0], next(iter(file.streams.audio), None)
        start = float((video.start_time or 0) * video.time_base)
        times = [frame.time - start for frame in file.decode(video)]
        file.seek(0)
        sound = list(file.decode(audio)) if audio else []
        wave = np.concatenate([frame.to_ndarray()[0] for frame in sound]) if sound else np.zeros(0)
        return SimpleNamespace(
            container=file.format.name, codec=video.codec_context.name, pixels=video.codec_context.pix_fmt, times=times,
            sound=audio.codec_context.name if audio else None, wave=wave, sound_start=sound[0].time - start if sound else None,
        )  # fmt: skip


def pitch(wave: np.ndarray) -> float:
    """The loudest frequency in Hz."""
    return float(np.abs(np.fft.rfft(wave.astype(float))).argmax() * SAMPLES / len(wave))


@needs_pyav
@needs_tracker
@pytest.mark.parametrize("every", [1, 4])
def test_one_id_a_face_for_ten_seconds(inside: Path, every: int) -> None:
    """Three faces that move, scale and cross; one is hidden behind another for more than a second."""
    count = 120
    times = uneven_times(count, 12)
    write_clip(inside / "clip.mp4", moving_faces(read_image(PORTRAIT), times), times, sound=None)
    assert cli.main(["detect", "clip.mp4", "--json", "a.jsonl", "--every", str(every), *QUICK]) == 0
    rows = rows_of(inside / "a.jsonl")
    assert [row["frame"] for row in rows] == list(range(count)) and rows[-1]["time"] > 9.8
    ids = [{face["id"] for face in row["faces"]} for row in rows]
    assert set().union(*ids) == {1, 2, 3} and sum(len(each) == 3 for each in ids) > 0.8 * count
    assert min(map(len, ids)) >= 2 and all(len(each) == len(row["faces"]) for each, row in zip(ids, rows))
    left = {face["id"]: face["box"][0] for face in rows[0]["faces"]}
    right = {face["id"]: face["box"][0] for face in rows[-1]["faces"]}
    moved = sorted(right[number] - left[number] for number in left)
    assert moved[0] < -180 and abs(moved[1]) < 30 and moved[2] > 180  # the two that cross have changed sides


@needs_pyav
@needs_tracker
def test_what_is_saved(clip: Path, inside: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["detect", str(clip), "--save", "drawn", "--csv", "a.csv", *QUICK]) == 0
    given, made = streams(clip), streams(inside / "drawn/clip.mp4")
    assert (made.codec, made.pixels, made.sound) == ("h264", "yuv420p", "aac") and "mp4" in made.container
    assert b"moov" in (inside / "drawn/clip.mp4").read_bytes()[:64]  # what a browser reads first comes first
    np.testing.assert_allclose(made.times, given.times, atol=1e-4)
    assert len(made.wave) == len(given.wave) and pitch(made.wave) == pytest.approx(TONE, abs=2)
    assert made.sound_start == pytest.approx(given.sound_start, abs=1e-3)
    printed = capsys.readouterr()
    assert printed.out == f"{clip}: {COUNT} frames, {COUNT} with faces, 3 different faces\n"
    with open("a.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["id"] for row in table} == {"1", "2", "3"} and list(table[0])[5:8] == ["face", "id", "x1"]


@needs_pyav
@pytest.mark.parametrize("name, sound, start, saved", [
    ("a.mkv", "pcm_s16le", 0.0, "aac"), ("a.mkv", "libopus", 0.0, "opus"), ("a.mov", "aac", 0.5, "aac"),
    ("a.mkv", "pcm_s16le", 0.5, "aac"), ("a.mp4", "libmp3lame", 0.0, "mp3float"), ("a.avi", "pcm_s16le", 0.0, "aac"),
    ("a.mp4", None, 0.0, None),
])  # fmt: skip
def test_sound(
    inside: Path, name: str, sound: str | None, start: float, saved: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sound that browsers do not play becomes AAC; sound from before the first frame is left out."""
    monkeypatch.setattr(Detector, "detect", lambda self, image: Faces.empty())
    codec, times = ("mpeg4", [i / 25 for i in range(COUNT)]) if name.endswith("avi") else ("libx264", uneven_times(COUNT))
    write_clip(inside / name, short(), times, codec, sound, start)
    assert cli.main(["detect", name, "--save", "drawn", *QUICK, "--quiet"]) == 0
    made = streams(inside / "drawn/a.mp4")
    assert made.sound == saved
    np.testing.assert_allclose(made.times, times, atol=1e-3)
    if sound:
        assert len(made.wave) / SAMPLES == pytest.approx(times[-1] + 0.04, abs=0.1)
        assert pitch(made.wave) == pytest.approx(TONE, abs=2) and abs(made.sound_start) < 0.03


@needs_pyav
@pytest.mark.parametrize("label", [1, 2, 6])
def test_colours(inside: Path, label: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those of the source, whether or not OpenCV heeds the label that says how they are coded."""
    import av

    monkeypatch.setattr(Detector, "detect", lambda self, image: Faces.empty())
    codes = np.full((270, 320), 120, np.uint8)
    codes[180:225], codes[225:] = 90, 170
    with av.open("a.mp4", "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.colorspace = 320, 180, "yuv420p", label
        file.mux(stream.encode(av.VideoFrame.from_ndarray(codes, format="yuv420p")))
        file.mux(stream.encode(None))
    assert cli.main(["detect", "a.mp4", "--save", "drawn", *QUICK, "--quiet"]) == 0
    with av.open("drawn/a.mp4") as file:
        frame = next(file.decode(video=0))
        assert int(frame.colorspace) == label and np.abs(frame.to_ndarray().astype(int) - codes).max() <= 2


@needs_pyav
def test_an_interrupted_run_cuts_the_sound(clip: Path, inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detect, asked = Detector.detect, []

    def interrupted(self: Detector, image: Any) -> Any:
        asked.append(1)
        if len(asked) > 7:
            raise KeyboardInterrupt
        return detect(self, image)

    monkeypatch.setattr(Detector, "detect", interrupted)
    assert cli.main(["detect", str(clip), "--save", "drawn", *QUICK]) == 130
    made = streams(inside / "drawn/clip.mp4")
    assert len(made.times) == 7 and len(made.wave) / SAMPLES == pytest.approx(made.times[-1] + 0.04, abs=0.05)


@needs_pyav
@pytest.mark.parametrize("hiding, more", [("--blur", []), ("--pixelate", ["--every", "3"]), ("--blur", ["--no-track"])])
def test_hidden_faces_are_not_found_again(clip: Path, inside: Path, hiding: str, more: list[str]) -> None:
    if "--every" in more and not can_track():
        pytest.skip("needs the tracker: pip install edgefirst-tracker==0.38.0")
    arguments = [str(clip), str(PORTRAIT), "--json", "a.jsonl", "--save", "hidden", hiding, *more, *QUICK, "--quiet"]
    assert cli.main(["detect", *arguments]) == 0
    assert all(row["faces"] for row in rows_of(inside / "a.jsonl"))
    detector = Detector("gluon-4", min_face=24)
    found = [len(faces) for _, faces in detector.detect_video("hidden/clip.mp4", track=False)]
    assert found == [0] * COUNT and len(detector.detect("hidden/portrait.jpg")) == 0


def test_quiet(clip: Path, inside: Path, capfd: pytest.CaptureFixture) -> None:
    (inside / "bad.jpg").write_bytes(b"no photo")
    assert cli.main(["detect", str(clip), str(PORTRAIT), "--save", "drawn", "--quiet", *QUICK]) == 0
    assert capfd.readouterr() == ("", "")
    assert cli.main(["detect", "bad.jpg", "--quiet", *QUICK]) == 1
    assert "bad.jpg: not an image" in capfd.readouterr().err


def test_without_the_extra(clip: Path, inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """OpenCV writes the video; what lacks is said once. Faces have no ids."""
    for module in (video_writer, detect_outputs):
        monkeypatch.setattr(module, "has_pyav", lambda: False)
    monkeypatch.setattr(detection_video, "can_track", lambda: False)
    assert cli.main(["detect", str(clip), str(clip), "--save", "drawn", "--json", "a.jsonl", *QUICK]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("without PyAV, videos are written as MPEG-4, which browsers do not play, at a constant frame") == 1
    assert "pip install" in printed.err and printed.out.startswith(f"{clip}: {COUNT} frames, {COUNT} with faces\n")
    assert "id" not in rows_of(inside / "a.jsonl")[0]["faces"][0]
    with Video(inside / "drawn/clip.mp4") as video:
        assert len(list(video)) == COUNT
    assert cli.main(["detect", str(PORTRAIT), "--save", "drawn", *QUICK]) == 0
    assert "PyAV" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("--blur", "--blur needs --save DIR"), ("--pixelate --json a", "--pixelate needs --save DIR"),
        ("--blur --pixelate --save d", "--blur and --pixelate exclude each other"), ("--every 0", "every must be"),
        ("--every 2 --no-track", "every needs track"), ("--rotate 45", "rotate must be 0, 90, 180, 270 or auto, not '45'"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(clip: Path, inside: Path, arguments: str, message: str, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["detect", str(clip), *arguments.split()]) == 2
    assert message in capsys.readouterr().err and not list(inside.iterdir())


@pytest.mark.parametrize("rotate, rotation", [("auto", 270), ("270", 270)])
def test_rotation(inside: Path, rotate: str, rotation: int, clip: Path) -> None:
    """A photo and a video that lie on their side: the boxes are in the frame as displayed."""
    cv2.imwrite("lying.png", cv2.rotate(cv2.imread(str(PORTRAIT)), cv2.ROTATE_90_CLOCKWISE))
    writer = cv2.VideoWriter("lying.avi", cv2.VideoWriter.fourcc(*"MJPG"), 8, (180, 320))
    for image in short()[:3]:
        writer.write(cv2.cvtColor(cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE), cv2.COLOR_RGB2BGR))
    writer.release()
    assert cli.main(["detect", "lying.png", "lying.avi", str(PORTRAIT), "--json", "a.jsonl", "--rotate", rotate, *QUICK]) == 0
    photo, *frames, upright = rows_of(inside / "a.jsonl")
    assert photo["rotation"] == rotation and (photo["width"], photo["height"]) == (320, 340)
    assert [(row["rotation"], len(row["faces"])) for row in frames] == [(rotation, 3)] * 3
    if rotate == "auto":
        assert upright["rotation"] == 0
        x1, y1, x2, y2 = upright["faces"][0]["box"]
        np.testing.assert_allclose(photo["faces"][0]["box"], [320 - y2, x1, 320 - y1, x2], atol=0.02)


# ---- the window


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A display that keeps what is shown, and a person who presses keys, by the number of the frame."""
    seen = SimpleNamespace(shown=[], keys={}, opened=0, closed=0, is_visible=1.0)
    monkeypatch.setattr(detect_window, "why_no_window", lambda: "")
    monkeypatch.setattr("mtcnn_gluon.cli.detect.why_no_window", lambda: "")
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: setattr(seen, "opened", seen.opened + 1))
    monkeypatch.setattr(cv2, "resizeWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "imshow", lambda _, image: seen.shown.append(image))
    monkeypatch.setattr(cv2, "waitKey", lambda _: seen.keys.get(len(seen.shown), -1))
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: seen.is_visible)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: setattr(seen, "closed", seen.closed + 1))
    return seen


@pytest.mark.parametrize("keys, shown", [({}, COUNT), ({5: ord("q")}, 5), ({1: 27}, 1), ({4: ord("x")}, COUNT)])
def test_window(clip: Path, inside: Path, screen: SimpleNamespace, keys: dict[int, int], shown: int) -> None:
    screen.keys = keys
    assert cli.main(["detect", str(clip), str(PORTRAIT), "--show", "--json", "a.jsonl", "--save", "drawn", *QUICK]) == 0
    assert len(screen.shown) == shown and screen.opened == screen.closed == 1
    rows = rows_of(inside / "a.jsonl")
    assert [row.get("frame") for row in rows] == [*range(shown), None]  # the next input follows
    with Video(inside / "drawn/clip.mp4") as video:
        assert len(list(video)) == shown


def test_a_closed_window_ends_the_video(clip: Path, inside: Path, screen: SimpleNamespace) -> None:
    screen.is_visible = 0.0
    assert cli.main(["detect", str(clip), "--show", *QUICK]) == 0 and len(screen.shown) == 1


def test_no_display(clip: Path, inside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert cli.main(["detect", str(clip), "--show"]) == 2
    assert "--show cannot open a window: there is no display" in capsys.readouterr().err
    monkeypatch.setenv("DISPLAY", ":987")
    reason = detect_window.why_no_window()
    assert "display" in reason or "no windows" in reason
