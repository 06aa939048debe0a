"""`detect --workers`: the same results as with one process, also after Ctrl-C and after a worker that dies."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator

import cv2
import numpy as np
import pytest
from PIL import Image
from process_watch import HAS_PROC, children, is_running, wait_for

from mtcnn_gluon import read_image
from mtcnn_gluon.cli import detect_photos
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.detection.options import DetectorOptions
from mtcnn_gluon.io.inputs import Input, InputKind
from mtcnn_gluon.io.video import Video
from mtcnn_gluon.model import shipped_bundles

PORTRAIT = Path(__file__).parents[2] / "portrait.jpg"
QUICK = ["--model", "gluon-4", "--min-face", "48"]
EVERYTHING = ["--json", "o/j.jsonl", "--csv", "o/t.csv", "--save", "o/s", "--crops", "o/c"]
NOISE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of many kinds, good and bad, and a video in between."""
    folder = tmp_path_factory.mktemp("photos") / "in"
    folder.mkdir()
    face = read_image(PORTRAIT)
    portrait = Image.fromarray(face)
    turned = Image.Exif()
    turned[0x0112] = 6
    shutil.copy(PORTRAIT, folder / "a.jpg")
    portrait.transpose(Image.Transpose.ROTATE_90).save(folder / "b turned.jpg", exif=turned, quality=95)
    (folder / "c half.jpg").write_bytes(PORTRAIT.read_bytes()[:5000])
    Image.fromarray(NOISE).save(folder / "d no face.png")
    writer = cv2.VideoWriter(str(folder / "e.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 8, face.shape[1::-1])
    for shift in range(3):
        writer.write(np.roll(face[:, :, ::-1], shift, axis=1))
    writer.release()
    portrait.convert("L").save(folder / "f grey.png")
    Image.fromarray(np.dstack([face, np.arange(face.shape[1], dtype=np.uint8)[None].repeat(len(face), 0)])).save(
        folder / "g clear.png"
    )
    (folder / "h.png").write_bytes(b"no photo")
    portrait.save(folder / "i.webp")
    (folder / "notes.txt").touch()
    return folder


@pytest.fixture(autouse=True)
def inside(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with the photos as `in`. What `main` does to logging is undone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    (tmp_path / "in").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    root.handlers[:], root.level = handlers, level


def content(path: Path) -> bytes:
    """The bytes of a file; of a video only its number of frames, as encoders may write the same frames in several ways."""
    if path.suffix != ".mp4":
        return path.read_bytes()
    with Video(path) as video:
        return b"%d frames" % len(list(video))


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): content(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def outcome(capfd: pytest.CaptureFixture, *arguments: Any) -> tuple[int, str, str, dict[str, bytes]]:
    """Exit status, what is printed, and the files below `o`, which are removed."""
    capfd.readouterr()
    status = cli.main(["detect", *map(str, arguments), *QUICK])
    files = tree(Path("o"))
    shutil.rmtree("o", ignore_errors=True)
    return status, *capfd.readouterr(), files


# ---- equality


@pytest.mark.parametrize(
    "options",
    [EVERYTHING, ["--save", "o/s", "--blur", "--rotate", "auto", "--csv", "-"], ["--save", "o", "--pixelate", "--json", "-"]],
    ids=" ".join,
)
def test_the_same_as_with_one_process(capfd: pytest.CaptureFixture, options: list[str]) -> None:
    arguments = ["https://a/b.jpg", "in", "missing.jpg", "in/a.jpg", *options]
    one = outcome(capfd, *arguments)
    assert one == outcome(capfd, *arguments, "--workers", 2)
    status, out, err, files = one
    assert status == 1 and (out.count("a.jpg") >= 2) and err.count("\n") == 6 and len(files) >= 7
    if options is EVERYTHING:
        assert out == outcome(capfd, *arguments, "--workers", 2, "--threads", 2)[1]
        rows = [json.loads(line) for line in files["j.jsonl"].splitlines()]
        names = [f"in/{name}" for name in ("a.jpg", "b turned.jpg", "c half.jpg", "d no face.png", *["e.avi"] * 3)]
        names += [f"in/{name}" for name in ("f grey.png", "g clear.png", "h.png", "i.webp")]
        assert [row["image"] for row in rows] == ["https://a/b.jpg", *names, "missing.jpg", "in/a.jpg"]
        assert [len(row["faces"]) for row in rows] == [0, 1, 1, 0, 0, *[1] * 3, 1, 1, 0, 1, 0, 1]


def test_more_workers_than_photos(capfd: pytest.CaptureFixture) -> None:
    for arguments in (["in/a.jpg"], ["in/a.jpg", "in/h.png"], ["in/e.avi"]):
        assert outcome(capfd, *arguments, *EVERYTHING) == outcome(capfd, *arguments, *EVERYTHING, "--workers", 9)


def test_what_only_the_main_process_can_read(capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input, and the paths that a shell gives for `<(command)`."""
    small = Path("small.png")
    Image.fromarray(NOISE[:20]).save(small)
    results = []
    for workers in (1, 3):
        with small.open("rb") as file, small.open("rb") as second:
            monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
            path = f"/dev/fd/{second.fileno()}" if os.path.isdir("/dev/fd") else small
            results.append(
                outcome(capfd, "in/a.jpg", path, "-", "in/d no face.png", "in/h.png", "--json", "-", "--workers", workers)
            )
    assert results[0] == results[1]
    assert [json.loads(line)["height"] for line in results[0][1].splitlines()] == [320, 20, 20, 120, None]


@pytest.mark.parametrize("path, expected", [
    ("a.jpg", True), ("/dev/fd/63", False), ("/proc/self/fd/0", False), ("/dev/../a.jpg", True), ("/device/a.jpg", True),
])  # fmt: skip
def test_what_can_be_shared(path: str, expected: bool) -> None:
    for kind in InputKind:
        shared = detect_photos.can_be_shared(Input(Path(path), Path(path), kind))
        assert shared == (expected and kind in (InputKind.IMAGE, InputKind.UNREADABLE))


@pytest.mark.parametrize("given, threads", [(None, 1), (1, 1), (3, 3)])
def test_threads_of_workers(given: int | None, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def in_processes(function: Any, items: Any, start: Any, workers: int, name: Any, threads: int) -> Iterator[Any]:
        asked.extend([start.args[0].threads, workers, threads])
        yield from ()

    monkeypatch.setattr(detect_photos, "in_processes", in_processes)
    finder = SimpleNamespace(warn=lambda: None)
    assert list(detect_photos.find_in_photos([None, None], finder, DetectorOptions(threads=given), None, 2)) == []
    assert asked == [threads, 2, threads]


@pytest.mark.parametrize("workers", ["0", "-1", "x", "1.5", ""])
def test_wrong_numbers(workers: str, inside: Path, capsys: pytest.CaptureFixture) -> None:
    try:
        status = cli.main(["detect", "in", "--workers", workers, *EVERYTHING])
    except SystemExit as stop:  # argparse
        status = stop.code
    error = capsys.readouterr().err.splitlines()[-1]
    assert status == 2 and "workers" in error and workers in error
    assert [path.name for path in inside.iterdir()] == ["in"]


def test_a_warning_about_the_model_comes_once(inside: Path) -> None:
    shutil.copytree(shipped_bundles()["gluon-4"], "bundle")
    manifest = json.loads(Path("bundle/manifest.json").read_text())
    manifest["trained"]["pnet"].remove("box")
    Path("bundle/manifest.json").write_text(json.dumps(manifest))
    command = [sys.executable, "-m", "mtcnn_gluon", "detect", "in/a.jpg", "in/d no face.png", "in/i.webp", "--model", "bundle"]
    done = subprocess.run([*command, "--workers", "2"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr.count("boxes were not trained in pnet") == 1


# ---- runs that end early


WAITING = ["wait1.png", "wait2.png"]
INPUTS = ["in/a.jpg", "in/e.avi", "in/f grey.png", *WAITING, "in/i.webp"]


def open_for_writing(pipe: str) -> int:
    """Open a named pipe once somebody reads it."""
    found: list[int] = []

    def is_open() -> bool:
        try:
            found.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    wait_for(is_open)
    return found[0]


def workers_of(process: int) -> list[int]:
    lines = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children(process)}
    return [child for child, line in lines.items() if b"spawn_main" in line]


def end_early(how: signal.Signals) -> tuple[int, str]:
    """A run that waits for two photos with both of its workers, while all before is written; exit status and messages."""
    for name in WAITING:
        os.mkfifo(name)
    command = [sys.executable, "-m", "mtcnn_gluon", "detect", *INPUTS, *EVERYTHING, *QUICK, "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    pipes: list[int] = []
    try:
        pipes += map(open_for_writing, WAITING)
        wait_for(lambda: os.path.exists("o/j.jsonl.part") and Path("o/j.jsonl.part").read_bytes().count(b"\n") == 5)
        workers = workers_of(process.pid)
        if how == signal.SIGINT:
            os.killpg(process.pid, how)
        else:
            for worker in workers:
                os.kill(worker, how)
        errors = process.communicate(timeout=20)[1]
    finally:
        process.kill()
        process.wait()
        for pipe in pipes:
            os.close(pipe)
        for name in WAITING:
            os.unlink(name)
    assert len(workers) == 2
    wait_for(lambda: not any(map(is_running, workers)))
    return process.returncode, errors


@pytest.mark.skipif(not HAS_PROC, reason="needs Linux")
@pytest.mark.parametrize("how, status, why", [
    (signal.SIGINT, 130, "interrupted"),
    (signal.SIGKILL, 2, "a worker process died while it worked on wait1.png (killed by SIGKILL), perhaps for lack of memory: "
     "fewer workers need less"),
])  # fmt: skip
def test_what_is_done_stays_and_is_resumed(
    how: signal.Signals, status: int, why: str, folder: Path, capfd: pytest.CaptureFixture
) -> None:
    found, errors = end_early(how)
    *rest, last = errors.splitlines()
    assert found == status and last == f"mtcnn-gluon: {why}; the results so far are written"
    assert all("licence" in line or "PyAV" in line for line in rest)
    begun = tree(Path("o"))
    assert begun["j.jsonl"].count(b"\n") == 5 and begun["t.csv"].count(b"\n") == 6
    assert {"s/a.jpg", "s/e.mp4", "s/f grey.png", "c/a-face0.png", "c/f grey-face0.png"} <= set(begun)
    assert not any("part" in name or name.startswith(".") for name in begun)
    for name in WAITING:
        shutil.copy(folder / "b turned.jpg", name)
    cli.main(["detect", *INPUTS, *EVERYTHING, *QUICK, "--resume", "--workers", "1" if how == signal.SIGINT else "3"])
    resumed = tree(Path("o"))
    shutil.rmtree("o")
    assert outcome(capfd, *INPUTS, *EVERYTHING)[3] == resumed


@pytest.mark.skipif(not HAS_PROC, reason="needs Linux")
def test_a_worker_that_dies_at_the_start_keeps_the_old_files(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    Path("j").write_text("old")
    monkeypatch.setattr(detect_photos, "_start", suicide)
    assert cli.main(["detect", "in", *QUICK, "--json", "j", "--workers", "2"]) == 2
    assert "mtcnn-gluon: a worker process died while it started (exit status 3)" in capfd.readouterr().err.splitlines()[-1]
    assert Path("j").read_text() == "old"


def suicide(options: Any, hiding: Any) -> Any:
    """In the place of `_start`."""
    os._exit(3)


def test_too_little_memory_in_a_worker(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    """It ends the run as in one process."""
    monkeypatch.setattr(detect_photos, "_result", no_memory)
    assert cli.main(["detect", "in", *QUICK, "--json", "j", "--workers", "2"]) == 2
    assert capfd.readouterr().err.splitlines()[-1] == "mtcnn-gluon: there is not enough memory: for b turned.jpg"
    rows = [json.loads(line)["image"] for line in Path("j.part").read_text().splitlines()]
    assert rows == ["in/a.jpg"] and not Path("j").exists()


def no_memory(finder: detect_photos.PhotoFinder, photo: detect_photos.Photo) -> Any:
    """In the place of `_result`."""
    if photo[0].path.name == "b turned.jpg":
        raise MemoryError("for b turned.jpg")
    return finder.result(*photo)
