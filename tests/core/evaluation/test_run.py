"""Running a model over photos: in several processes, resumed, and with photos that cannot be read."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from process_watch import HAS_PROC, children, is_running, wait_for

from mtcnn_gluon import Detector, read_image
from mtcnn_gluon.cli.detect import portrait
from mtcnn_gluon.errors import ConfigError, DataError, ModelError, MtcnnError
from mtcnn_gluon.evaluation import run
from mtcnn_gluon.evaluation.photos import PhotoSet, photo_path, photo_size
from mtcnn_gluon.evaluation.result_files import read_results
from mtcnn_gluon.evaluation.run import Job, find_faces, run_model

limit = 10**9
seen: list[str] = []


def count_photos(detector: Detector, image: np.ndarray, job: Job) -> dict[str, Any]:
    """Finds nothing; stops like Ctrl-C after some photos."""
    if len(seen) >= limit:
        raise KeyboardInterrupt
    seen.append(job.name)
    return {"faces": []}


def die(detector: Detector, image: np.ndarray, job: Job) -> dict[str, Any]:
    """Ends the process, as the system does for want of memory."""
    import os

    os._exit(9)


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    seen.clear()
    image = read_image(portrait())
    for index in range(16):
        Image.fromarray(image[: 200 + 4 * index, 100 : 340 - 3 * index]).save(tmp_path / f"{index}.png")
    (tmp_path / "5.png").write_bytes(b"not an image")
    return [Job(f"{index}.png", str(tmp_path / f"{index}.png")) for index in range(16)]


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_processes_find_what_one_finds(jobs: list[Job], tmp_path: Path) -> None:
    options = {"model": "official", "engine": "mxnet", "min_face": 40}
    one, about, _ = run_model(jobs, find_faces, options, tmp_path / "one.jsonl", workers=1)
    assert one == rows_of(tmp_path / "one.jsonl")
    two, other, _ = run_model(jobs, find_faces, options, workers=2)
    assert other == about
    assert [row["image"] for row in one] == [row["image"] for row in two] == [job.name for job in jobs]
    for a, b in zip(one, two):
        assert len(a["faces"]) == len(b["faces"]) == (0 if "error" in a else 1) and (a["image"] == "5.png") == ("error" in a)
        for x, y in zip(a["faces"], b["faces"]):
            np.testing.assert_allclose(x["box"], y["box"], atol=1e-3)
    assert about["thresholds"] == [0.6, 0.7, 0.7] and about["min_face"] == 40 and about["work"] == "find_faces"
    results = read_results(tmp_path / "one.jsonl", [job.name for job in jobs])
    assert results.unusable == {"5.png"} and results.photos["0.png"].size == (240, 200)
    alone = Detector("official", "mxnet", min_face=40).detect(tmp_path / "0.png")
    np.testing.assert_allclose(results.photos["0.png"].boxes, alone.boxes, rtol=1e-6)
    np.testing.assert_array_equal(results.photos["0.png"].scores.astype(np.float32), alone.scores)


def test_resuming(jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, options = tmp_path / "found.jsonl", {"engine": "mxnet"}
    monkeypatch.setitem(globals(), "limit", 7)
    with pytest.raises(KeyboardInterrupt):
        run_model(jobs, count_photos, options, path, workers=1)
    assert not path.exists() and (tmp_path / "found.jsonl.part").exists()
    monkeypatch.setitem(globals(), "limit", 10**9)
    run_model(jobs, count_photos, options, path, resume=True, workers=1)
    assert seen == [job.name for job in jobs if job.name != "5.png"]  # each once
    assert sorted(row["image"] for row in rows_of(path)) == sorted(job.name for job in jobs)
    seen.clear()
    run_model(jobs, count_photos, options, path, resume=True, workers=1)
    assert seen == [] and len(rows_of(path)) == 16  # the damaged photo was tried again
    run_model(jobs, count_photos, options, path, workers=1)
    assert len(seen) == 15


def test_photos_that_changed_are_looked_at_again(jobs: list[Job], tmp_path: Path) -> None:
    """Another content, even of the same size and time, other boxes, and a row that something else wrote; the rest is kept."""
    path, options = tmp_path / "found.jsonl", {"engine": "mxnet"}
    run_model(jobs, count_photos, options, path, workers=1)
    stat = (tmp_path / "1.png").stat()
    content = bytearray((tmp_path / "1.png").read_bytes())
    (tmp_path / "1.png").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(tmp_path / "1.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    jobs[2] = Job("2.png", jobs[2].path, ((1.0, 2.0, 3.0, 4.0),))
    rows = rows_of(path)
    rows[3].pop("made_from")
    rows[4]["made_from"] = rows[0]["made_from"]
    (tmp_path / "6.png").unlink()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    seen.clear()
    run_model(jobs, count_photos, options, path, resume=True, workers=1)
    assert seen == ["1.png", "2.png", "3.png", "4.png"]
    found = {row["image"]: row for row in rows_of(path)}
    assert len(rows_of(path)) == len(found) == 16 and "does not exist" in found["6.png"]["error"]
    seen.clear()
    run_model(jobs[:8], count_photos, options, path, resume=True, workers=1)
    assert seen == [] and len(rows_of(path)) == 16  # photos that are not asked for stay


@pytest.mark.parametrize("change", [{"mtcnn-gluon": "0.0.1"}, {"sha256": "0" * 64}, {"engine": "onnx"}, {"nms": [0, 0, 0, 0]}])
def test_what_made_them_must_be_the_same(jobs: list[Job], tmp_path: Path, change: dict[str, Any]) -> None:
    """The version of the package too; also if only the note beside the file was replaced, the rows are not taken."""
    path, note, options = tmp_path / "found.jsonl", tmp_path / "found.jsonl.about.json", {"engine": "mxnet"}
    about = run_model(jobs[:3], count_photos, options, path).about
    note.write_text(json.dumps({**about, **change}))
    with pytest.raises(ConfigError, match=f"cannot be resumed: it was made with {next(iter(change))} "):
        run_model(jobs[:3], count_photos, options, path, resume=True)
    rows = [{**row, "made_from": run._digest(json.dumps({**about, **change}, sort_keys=True), job)}
            for row, job in zip(rows_of(path), jobs)]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    note.write_text(json.dumps(about))
    seen.clear()
    run_model(jobs[:3], count_photos, options, path, resume=True)
    assert seen == ["0.png", "1.png", "2.png"]
    for text in ("[]", "null", "{", '"x"'):
        note.write_text(text)
        with pytest.raises(DataError, match=r"cannot be resumed: .*about.json, which says how it was made, cannot be read"):
            run_model(jobs[:3], count_photos, options, path, resume=True)


def test_resuming_with_other_options_is_refused(jobs: list[Job], tmp_path: Path) -> None:
    path = tmp_path / "found.jsonl"
    run_model(jobs[:2], count_photos, {"engine": "mxnet"}, path)
    with pytest.raises(ConfigError, match=r"found.jsonl cannot be resumed: it was made with min_face 20.0, not 30.0"):
        run_model(jobs, count_photos, {"engine": "mxnet", "min_face": 30}, path, resume=True)
    with pytest.raises(ConfigError, match="made with work count_photos, not find_faces"):
        run_model(jobs, find_faces, {"engine": "mxnet"}, path, resume=True)
    (tmp_path / "found.jsonl.about.json").unlink()
    with pytest.raises(DataError, match="which says how it was made, cannot be read"):
        run_model(jobs, count_photos, {"engine": "mxnet"}, path, resume=True)


def test_a_process_that_dies(jobs: list[Job], tmp_path: Path) -> None:
    with pytest.raises(MtcnnError, match=r"a worker process died while it worked on 0.png \(exit status 9\)"):
        run_model(jobs, die, {"engine": "mxnet"}, tmp_path / "found.jsonl", workers=2)


def cannot_start(work: Any, made: str, options: dict[str, Any]) -> Any:
    """Fails as a worker that cannot load the model does."""
    raise ModelError("the model cannot be loaded")


def test_why_a_worker_does_not_start_is_said(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_start", cannot_start)
    with pytest.raises(ModelError, match="the model cannot be loaded"):
        run_model(jobs, count_photos, {"engine": "mxnet"}, workers=2)


SLEEPER = """
import sys
from pathlib import Path
from mtcnn_gluon.evaluation.run import Job, run_model
from test_run import sleep

if __name__ == "__main__":
    jobs = [Job(f"{i}.png", f"{sys.argv[1]}/{i}.png") for i in range(16)]
    run_model(jobs, sleep, {"engine": "mxnet"}, Path(sys.argv[2]), workers=2)
"""


def sleep(detector: Detector, image: np.ndarray, job: Job) -> dict[str, Any]:
    """Takes longer than a test."""
    time.sleep(60)
    return {"faces": []}


@pytest.mark.skipif(not HAS_PROC, reason="needs Linux")
def test_processes_do_not_outlive_the_one_that_started_them(jobs: list[Job], tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    arguments = [sys.executable, str(tmp_path / "sleeper.py"), str(tmp_path), str(tmp_path / "out.jsonl")]
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.DEVNULL)
    workers: list[int] = []
    try:
        wait_for(lambda: process.poll() is not None or len(children(process.pid)) >= 2)
        workers = children(process.pid)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not any(map(is_running, workers)))


def test_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "usable_processors", lambda: 6)
    assert run._workers(None, 1000, "cpu") == 6 and run._workers(None, 1000, "gpu:1") == 1
    assert run._workers(None, 20, "cpu") == 2 and run._workers(4, 1000, "gpu") == 4 and run._workers(4, 0, "cpu") == 1
    with pytest.raises(ConfigError, match="workers must be a whole number, 1 or more, not 0"):
        run._workers(0, 10, "cpu")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
def test_names_that_are_not_unicode(tmp_path: Path) -> None:
    """They are shown with a replacement mark, and their files are found all the same; two that look the same are refused."""
    odd = [os.fsdecode(b"caf\xe9.png"), os.fsdecode(b"caf\xe8.png")]
    (tmp_path / odd[0]).touch()
    photos = PhotoSet([odd[0], "b.png", odd[0]], tmp_path)
    assert photos.names == ("caf\ufffd.png", "b.png") and photos.path("caf\ufffd.png") == tmp_path / odd[0]
    with pytest.raises(DataError, match="two photos are called caf\ufffd.png: their names differ only in bytes"):
        PhotoSet(odd)


def test_a_photo_under_two_names_is_refused() -> None:
    for other in ("./a.png", "x/../a.png", "a.png/"):
        with pytest.raises(DataError, match="a.png and .* are the same photo, and would count twice"):
            PhotoSet(["a.png", "b.png", other])


def test_photos_of_a_set_do_not_stand_for_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    files = PhotoSet(["a.png", "a.jpg", "b.jpg"], tmp_path)
    assert files.path("a.jpg") == tmp_path / "a.jpg" and files.path("b.jpg") == tmp_path / "b.jpg"
    (tmp_path / "b.PNG").touch()
    assert files.path("b.jpg") == tmp_path / "b.PNG"


def test_photo_paths_and_sizes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "a/x.JPG", "JPEG")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a/turned.jpg", exif=exif)
    assert photo_path(tmp_path, "a/x") == tmp_path / "a/x.JPG" == photo_path(tmp_path, "a/x.webp")
    assert photo_path(tmp_path, "a/none.jpg") == tmp_path / "a/none.jpg"
    assert photo_path(tmp_path, "a/x.png", {"a/x.JPG"}) == tmp_path / "a/x.png"  # the other one is another photo
    (tmp_path / "a/x.gif").touch()
    assert photo_path(tmp_path, "a/x.JPG") == tmp_path / "a/x.JPG"
    with pytest.raises(DataError, match=r"a/x.png does not exist, but x.gif and x.JPG do: which is meant\?"):
        photo_path(tmp_path, "a/x.png")
    assert photo_size(tmp_path / "a/x.JPG") == (30, 20) and photo_size(tmp_path / "a/turned.jpg") == (20, 30)
    assert read_image(tmp_path / "a/turned.jpg").shape == (30, 20, 3)
    assert photo_size(tmp_path / "none") is None
