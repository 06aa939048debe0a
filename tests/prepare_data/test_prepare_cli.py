"""`mtcnn-gluon prepare` and the scripts: what they make, report and refuse, killed or with a full disk."""

import logging
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any, Callable, Iterator

import cv2
import numpy as np
import pytest
from PIL import Image
from process_watch import HAS_PROC, children, is_running, wait_for

from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.prepare_data.annotations import spread
from mtcnn_gluon.prepare_data.generate import PARTS, REPORT, SHARD, UNREADABLE, read_report
from mtcnn_gluon.prepare_data.sampling import SamplingOptions
from mtcnn_gluon.prepare_data.show import CELL, GAP, PAGE_WIDTH
from mtcnn_gluon.records.files import Reader, check
from mtcnn_gluon.training.sampler import Sampler
from painted_faces import HEADER, make_annotations, write_csv, write_photos

SCRIPTS = Path(__file__).parents[2] / "prepare_data"
COUNT = 2 * SHARD + 10  # photos: three shards
QUICK = ("--jitters", 4, "--negatives", 6, "--negatives-near", 1, "--landmark-jitters", 4)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `list.csv`, `wider.txt` and `images`, which no test changes."""
    folder = tmp_path_factory.mktemp("cli")
    annotations = make_annotations(COUNT, seed=1)
    write_photos(folder / "images", annotations)
    write_csv(folder / "list.csv", annotations)
    lines = []
    for photo in annotations.photos:
        sizes = photo.boxes[:, 2:] - photo.boxes[:, :2]
        faces = [f"{x} {y} {w} {h} 0 0 0 0 0 0" for (x, y), (w, h) in zip(photo.boxes[:, :2], sizes)]
        lines += [photo.path, str(len(faces)), *(faces or ["0 0 0 0 0 0 0 0 0 0"])]
    (folder / "wider.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(autouse=True)
def quiet_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def run(capsys: pytest.CaptureFixture) -> Run:
    """Runs `mtcnn-gluon prepare` in this process; returns its status and what it printed."""

    def run(*arguments: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = cli.main(["prepare", *map(str, arguments)])
        except SystemExit as stop:  # argparse
            status = stop.code  # type: ignore[assignment]
        return (status, *capsys.readouterr())

    return run


def command(*arguments: Any) -> list[str]:
    return [sys.executable, "-m", "mtcnn_gluon", "prepare", *map(str, arguments)]


def wider(folder: Path, out: Path, *more: Any) -> tuple:
    where = ("--images", folder / "images", "--annotations", folder / "list.csv", "--out", out)
    return ("wider", "--net", "pnet", *where, *QUICK, *more)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() if path.is_file() else b"" for path in sorted(folder.iterdir())}


# ---- all verbs


@pytest.mark.parametrize("net", ["pnet", "onet"])
def test_from_photos_to_batches(run: Run, photos: Path, tmp_path: Path, net: str) -> None:
    size, images = {"pnet": 12, "onet": 48}[net], photos / "images"
    faces = ("wider", "--net", net, "--images", images, "--annotations", photos / "wider.txt", "--out", tmp_path / "faces")
    status, out, err = run(*faces, "--min-face", 12, *QUICK)
    assert (status, err) == (0, "")
    lines = re.fullmatch(
        rf"{COUNT} photos, (\d+) faces learned from\nsamples: (\d+) positive, (\d+) negative, (\d+) part\n.*report.json\n", out
    )
    assert lines
    counts = read_report(tmp_path / "faces")["counts"]  # type: ignore[index]
    assert [counts[kind] for kind in ("positive", "negative", "part")] == list(map(int, lines.groups()[1:]))
    points = ("landmarks", "--net", net, "--root", images, "--list", photos / "list.csv", "--out", tmp_path / "landmarks")
    status, out, err = run(*points, *QUICK, "--no-mirror", "--rotation", 5)
    assert (status, err) == (0, "") and re.search(r"\nsamples: \d+ landmark\n", out)
    assert read_report(tmp_path / "landmarks")["made from"]["mirror"] is False  # type: ignore[index]
    folders = ("--in", tmp_path / "faces", tmp_path / "landmarks", "--out", tmp_path / "records")
    ratio = ("--ratio", "2:1:1:1", "--seed", 3) if net == "pnet" else ()
    status, out, err = run("records", "--net", net, *folders, *ratio)
    assert status == 0 and re.fullmatch(r"records of \d+ positive, \d+ negative, \d+ part, \d+ landmark\n", out)
    status, out, err = run("check", tmp_path / "records")
    assert (status, err) == (0, "")
    names = ["pnet"] if net == "pnet" else ["positive", "negative", "part", "landmark"]
    assert [line.split(":")[0] for line in out.splitlines()] == names
    if net == "pnet":
        counts = check(tmp_path / "records/pnet").info.counts
        assert counts["positive"] == counts["part"] == counts["landmark"] == counts["negative"] // 2
    batch = Sampler(tmp_path / "records", net, 12).draw(0)
    assert batch.images.shape == (12, 3, size, size) and sorted(set(batch.kinds)) == [-2, -1, 0, 1]


def test_show(run: Run, photos: Path, tmp_path: Path) -> None:
    run(*wider(photos, tmp_path / "faces"))
    status, out, _ = run("show", tmp_path / "faces", "--out", tmp_path / "sheets/page.png", "--count", 20, "--seed", 1)
    names = ["page.png", "page-positive.png", "page-negative.png", "page-part.png"]
    assert status == 0 and [Path(line).name for line in out.splitlines()] == names
    assert sorted(contents(tmp_path / "sheets")) == sorted(names)
    pictures = [cv2.imread(line) for line in out.splitlines()]
    assert pictures[0].shape[1] == PAGE_WIDTH
    assert all(picture.shape == (2 * (CELL + GAP) + GAP, PAGE_WIDTH, 3) for picture in pictures[1:])
    assert all(picture.std() > 5 for picture in pictures)


def test_mine(run: Run, caplog: pytest.LogCaptureFixture, tmp_path: Path, image: np.ndarray) -> None:
    """The whole portrait, and a face marked where none is: starved of what the nets get right."""
    (tmp_path / "images").mkdir()
    Image.fromarray(image[:200, 100:340]).save(tmp_path / "images/a.png")
    (tmp_path / "list.csv").write_text("file,x1,y1,x2,y2\na.png,65,55,180,170\na.png,5,140,60,195\n")
    where = ("--images", tmp_path / "images", "--annotations", tmp_path / "list.csv", "--out", tmp_path / "out")
    options = ("--model", "official", "--stage", "rnet", "--thresholds", 0.5, 0.9, "--find-from", 24)
    status, out, _ = run("mine", *where, *options)
    assert status == 0 and re.search(r"\nproposals a photo: \d+\.0; faces found by one: 50.0 %\n", out)
    assert Reader(tmp_path / "out/positive").info.net == "onet"
    report = read_report(tmp_path / "out")
    assert report is not None and report["made from"]["thresholds"] == [0.5, 0.9] and report["counts"]["negative"] == 0
    assert "only 0 negative samples for" in caplog.text and "--top-up 5" in caplog.text


def test_limit(run: Run, photos: Path, tmp_path: Path) -> None:
    """Some photos only, evenly spread."""
    run(*wider(photos, tmp_path / "all"))
    status, out, _ = run(*wider(photos, tmp_path / "some"), "--limit", 2)
    assert status == 0 and out.startswith("2 photos, ")
    assert spread(range(COUNT), 2) == (0, COUNT // 2)
    assert sum(read_report(tmp_path / "some")["counts"].values()) < sum(read_report(tmp_path / "all")["counts"].values())


@pytest.mark.parametrize("ending", ["idx", "rec"])
def test_check_finds_a_flipped_byte(run: Run, photos: Path, tmp_path: Path, ending: str) -> None:
    run(*wider(photos, tmp_path / "out"))
    path = tmp_path / f"out/part.{ending}"
    data = path.read_bytes()
    for place in [0, len(data) - 1, *np.random.default_rng(0).integers(0, len(data), 10)]:
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        status, _, err = run("check", tmp_path / "out")
        assert status == 2 and f"part.{ending}" in err
    path.write_bytes(data)
    assert run("check", tmp_path / "out")[0] == 0


@pytest.mark.parametrize("key", ["net", "size", "part", "negative", "bytes", "sha256"])
def test_check_finds_a_wrong_description(run: Run, photos: Path, tmp_path: Path, key: str) -> None:
    run(*wider(photos, tmp_path / "out"))
    path = tmp_path / "out/part.json"
    text = re.sub(f'("{key}": "?.)', r"\g<1>1", path.read_text(), count=1)
    assert text != path.read_text()
    path.write_text(text)
    status, _, err = run("check", tmp_path / "out")
    assert status == 2 and "part." in err


@pytest.mark.parametrize("missing", ["part.json", "part.*", REPORT])
def test_check_finds_what_is_missing(run: Run, photos: Path, tmp_path: Path, missing: str) -> None:
    run(*wider(photos, tmp_path / "out"))
    for path in (tmp_path / "out").glob(missing):
        path.unlink()
    status, _, err = run("check", tmp_path / "out")
    assert status == 2 and ("report.json: what makes it was not finished" in err or "as report.json says" in err)


# ---- trouble


def test_problems_are_counted_and_shown(run: Run, photos: Path, tmp_path: Path) -> None:
    images = Path(shutil.copytree(photos / "images", tmp_path / "images"))
    for number in (3, 5, 7, 9):
        (images / f"{number:02d}.png").unlink()
    (images / "08.png").write_bytes((images / "08.png").read_bytes()[:300])
    text = (photos / "list.csv").read_text().splitlines()
    text.append("10.png,10,10,10,50" + 10 * ",")
    (tmp_path / "list.csv").write_text("\n".join(text))
    status, out, err = run(*wider(tmp_path, tmp_path / "out"))
    assert (status, err) == (1, "")
    assert "\n1 boxes without an area or not finite, to be ignored:\n" in out
    assert f"\n5 {UNREADABLE}:\n" in out and out.count("does not exist") == 3
    assert len(read_report(tmp_path / "out")["problems"][UNREADABLE]) == 5  # type: ignore[index]
    assert run(*wider(tmp_path, tmp_path / "out"))[:2] == (1, out)  # once more: the same report


def test_names_that_no_terminal_takes(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"file,x1,y1,x2,y2\n\xe9.png,1,2,50,60\n00.png,1,2,50,60\n")
    (tmp_path / "images").symlink_to(photos / "images")
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command(*wider(tmp_path, tmp_path / "out")), env=environment, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, b"") and "\ufffd.png does not exist" in done.stdout.decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,x1,y1,x2,y2\n00.png,1,2,x,4\n", "list.csv:2: expected numbers"),
        ("file,x1,y1,x2,y2\n00.png,1,2,3\n", "list.csv:2: expected 5 cells"),
        ("00.png\n2\n1 2 3 4\n", "list.csv:2: expected a line for each of 2 faces"),
        ("", "list.csv: expected a list, got an empty file"),
        (None, "list.csv does not exist"),
    ],
)
def test_broken_lists(run: Run, photos: Path, tmp_path: Path, text: str | None, message: str) -> None:
    (tmp_path / "images").symlink_to(photos / "images")
    if text is not None:
        (tmp_path / "list.csv").write_text(text)
    status, out, err = run(*wider(tmp_path, tmp_path / "out"))
    assert (status, out) == (2, "") and message in err and not (tmp_path / "out").exists()


WIDER_LIST, CELEBA_LIST = "00.png\n1\n20 20 60 60\n", "1\nimage_id x_1 y_1 width height\n00.png 20 20 60 60\n"
FOUND_HEADER = "file,face,score,iou,lex,ley,rex,rey,nx,ny,lmx,lmy,rmx,rmy\n"
FOUND = "00.png,0,0.5,0.9,30,30,60,30,45,45,35,60,55,60\n"
CELEBA_HEADER = "1\nlefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x leftmouth_y rightmouth_x rightmouth_y\n"
NO_FACE = f"{HEADER}\n00.png{',' * 14}\n"
POINTS = "30,30,60,30,45,45,35,60,55,60"


@pytest.mark.parametrize(
    ("text", "landmarks", "more", "message"),
    [
        ("file,x1,y1,x2,y2\n00.png,20,20,80,80\n", None, (), "a csv needs the columns left_eye_x,left_eye_y,right_eye_x"),
        (f"{HEADER}\n00.png,20,20,80,80{',' * 10}\n", None, (), "all cells of left_eye_x, left_eye_y ... are empty"),
        (NO_FACE, None, (), "all cells of left_eye_x, left_eye_y ... are empty"),
        (f"{HEADER}\n00.png,20,20,80,80,{'nan,' * 9}1\n", None, (), "; 1 landmarks not finite, taken as unknown"),
        (f"{HEADER}\n00.png,520,520,580,580,{POINTS}\n", None, (), "; 1 landmarks far outside their box, taken as unknown"),
        (f"00.png 520 580 520 580 {POINTS.replace(',', ' ')}\n", None, (), "; 1 landmarks far outside their box"),
        (WIDER_LIST, None, (), "wider holds boxes alone; its list of landmarks must be named too (--landmarks)"),
        (CELEBA_LIST, None, (), "a list of format celeba holds boxes alone"),
        (WIDER_LIST, FOUND_HEADER, (), "points.csv holds none of its faces"),
        (WIDER_LIST, FOUND_HEADER + FOUND, ("--min-score", 0.6), "none with a score of at least 0.6 (--min-score)"),
        (WIDER_LIST, FOUND_HEADER + FOUND.replace("00", "01"), (), "; 1 landmarks of a photo that is not in the list"),
        (CELEBA_LIST, f"{CELEBA_HEADER}9.png {POINTS.replace(',', ' ')}\n", (), "; 1 landmarks of a photo that is not in"),
        (f"{HEADER}\n00.png,20,20,80,80,{POINTS}\n", None, ("--min-face", 61), "its short side must be 61 pixels"),
        (f"{NO_FACE}01.png,20,20,80,80,{POINTS}\n", None, ("--limit", 1), "in the photos that --limit leaves can be learned"),
    ],
)  # fmt: skip
def test_a_list_without_landmarks(
    run: Run, photos: Path, tmp_path: Path, text: str, landmarks: str | None, more: tuple, message: str
) -> None:
    (tmp_path / "list").write_text(text)
    if landmarks is not None:
        (tmp_path / "points.csv").write_text(landmarks)
        more = ("--landmarks", tmp_path / "points.csv", *more)
    where = ("--root", photos / "images", "--list", tmp_path / "list", "--out", tmp_path / "out")
    status, out, err = run("landmarks", "--net", "pnet", *where, *QUICK, *more)
    assert (status, out) == (2, "") and message in err and f"{tmp_path / 'list'}" in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_sample_at_all(run: Run, photos: Path, tmp_path: Path) -> None:
    """What is known of the reason is told."""
    (tmp_path / "list.csv").write_text("file,x1,y1,x2,y2\n00.png,1,2,10,11\nmissing.png,1,2,50,60\n")
    where = ("--images", photos / "images", "--annotations", tmp_path / "list.csv", "--out", tmp_path / "out")
    status, _, err = run("wider", "--net", "pnet", *where, "--negatives", 0)
    assert status == 2 and "no sample came of 1 photos (1 more could not be read); 0 of their faces can be learned from" in err
    assert "missing.png does not exist" in err


OUT_OF_RANGE = [
    *((f"--{field.name.replace('_', '-')}", "-1", field.name) for field in fields(SamplingOptions) if field.type is not bool),
    ("--positive", "1.5", "positive"),
    ("--positive", "nan", "positive"),
    ("--rotation", "91", "rotation"),
    ("--min-face", "0", "min_face"),
    ("--seed", "-1", "seed"),
    ("--workers", "0", "workers"),
    ("--net", "xnet", "net"),
    ("--limit", "0", "limit"),
    ("--min-score", "2", "min_score"),
    ("--min-score", "0.5", "min_score"),  # a csv has none
    ("--landmarks", "list", "landmarks"),
]


@pytest.mark.parametrize(("option", "value", "name"), OUT_OF_RANGE)
@pytest.mark.parametrize("verb", ["wider", "landmarks", "mine"])
def test_options_out_of_range(run: Run, photos: Path, tmp_path: Path, verb: str, option: str, value: str, name: str) -> None:
    images, annotations = ("--root", "--list") if verb == "landmarks" else ("--images", "--annotations")
    own = ("--model", "official", "--stage", "pnet") if verb == "mine" else ("--net", "pnet")
    if (verb, option) == ("mine", "--net"):
        option, name = "--stage", "stage"
    where = (images, photos / "images", annotations, photos / "list.csv", "--out", tmp_path / "out")
    status, out, err = run(verb, *own, *where, f"{option}={value}")
    assert (status, out) == (2, "") and re.search(rf"^mtcnn-gluon: {name}\b|\b{name} ", err) and "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("--thresholds", "0.5", "2"), "thresholds"),
        (("--find-from", "0"), "find_from"),
        (("--top-up=-1",), "top_up"),
        (("--images", "/nowhere"), "images"),
        (("--model", "/nowhere"), "model"),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_mining_options_out_of_range(run: Run, photos: Path, tmp_path: Path, arguments: tuple, name: str, workers: int) -> None:
    where = ("--images", photos / "images", "--annotations", photos / "list.csv", "--out", tmp_path / "out")
    status, out, err = run("mine", "--model", "official", "--stage", "pnet", *where, "--workers", workers, *arguments)
    assert (status, out) == (2, "") and err.startswith(f"mtcnn-gluon: {name} ")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("records", "--net", "xnet"), "net"),
        (("records", "--net", "rnet"), "holds samples for pnet, not for rnet"),
        (("records", "--net", "pnet", "--seed", "-1"), "seed"),
        (("records", "--net", "pnet", "--ratio", "1:2:3"), "ratio"),
        (("records", "--net", "pnet", "--ratio", "1:2:3:x"), "ratio"),
        (("records", "--net", "pnet", "--ratio", "0:0:0:0"), "ratio"),
        (("records", "--net", "pnet", "--ratio", "nan:1:1:1"), "ratio"),
        (("records", "--net", "pnet", "--ratio", "0:0:0:1"), "ratio"),
        (("records", "--net", "pnet", "--encoding", "gif"), "encoding"),
        (("records", "--net", "pnet", "--quality", "50"), "quality"),
        (("records", "--net", "pnet", "--encoding", "jpeg", "--quality", "0"), "quality"),
        (("show", "--count", "0"), "count"),
        (("show", "--seed", "-1"), "seed"),
        (("show", "--out", "page.gif"), "ending"),
        (("show", "--out", "page"), "ending"),
    ],
)
def test_other_options_out_of_range(run: Run, photos: Path, tmp_path: Path, arguments: tuple, name: str) -> None:
    run(*wider(photos, tmp_path / "in"))
    verb, *rest = arguments
    where = (
        ("--in", tmp_path / "in", "--out", tmp_path / "out") if verb == "records" else (tmp_path / "in", "--out", "page.png")
    )
    status, out, err = run(verb, *where, *rest)
    assert (status, out) == (2, "") and name in err and not (tmp_path / "out").exists() and not Path("page.png").exists()


@pytest.mark.parametrize("verb", ["show", "check"])
def test_folders_without_records(run: Run, tmp_path: Path, verb: str) -> None:
    where = ("--out", tmp_path / "page.png") if verb == "show" else ()
    for folder in (tmp_path, tmp_path / "nothing"):
        status, out, err = run(verb, folder, *where)
        assert (status, out) == (2, "") and "holds no records" in err


def test_samples_of_other_options_stay(run: Run, photos: Path, tmp_path: Path) -> None:
    run(*wider(photos, tmp_path / "out"))
    before = contents(tmp_path / "out")
    status, _, err = run(*wider(photos, tmp_path / "out", "--seed", 1))
    assert status == 2 and "out holds samples of other photos or options: remove it, or name another folder" in err
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("bytes_", "name"), [(5_000, r"\.parts/\d+.npz"), (200_000, r"negative.rec")])
def test_a_full_disk(photos: Path, tmp_path: Path, bytes_: int, name: str, workers: int) -> None:
    """A clear stop and nothing that looks whole; with room again it goes on."""
    arguments = wider(photos, tmp_path / "out", "--workers", workers)
    limited = ["bash", "-c", f'ulimit -f {bytes_ // 1024}; exec "$@"', "bash", *command(*arguments)]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and re.fullmatch(rf"mtcnn-gluon: .*/{name} cannot be written: File too large\n", done.stderr)
    assert sorted(contents(tmp_path / "out")) == [PARTS]
    assert subprocess.run(command(*arguments), timeout=60, capture_output=True).returncode == 0
    assert cli.main(["prepare", *map(str, wider(photos, tmp_path / "new"))]) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "new")


# ---- killed


@pytest.mark.skipif(not HAS_PROC, reason="needs Linux")
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_half_way_and_run_again(photos: Path, tmp_path: Path, workers: int) -> None:
    """A photo that never comes, a pipe, stops it in the second shard; workers do not outlive their parent."""
    images = Path(shutil.copytree(photos / "images", tmp_path / "images"))
    (tmp_path / "list.csv").write_bytes((photos / "list.csv").read_bytes())
    pipes = [images / f"{SHARD + 3}.png", images / f"{2 * SHARD + 3}.png"]
    for pipe in pipes:
        pipe.unlink()
        os.mkfifo(pipe)
    arguments = wider(tmp_path, tmp_path / "out", "--workers", workers)
    process = subprocess.Popen(command(*arguments), stderr=subprocess.DEVNULL)
    workers_found: list[int] = []
    try:
        wait_for((tmp_path / f"out/{PARTS}/{0:08d}.npz").exists)
        time.sleep(0.2)
        workers_found = children(process.pid)
        assert process.poll() is None and len(workers_found) >= (2 if workers == 2 else 0)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert sorted(contents(tmp_path / "out")) == [PARTS]
    wait_for(lambda: not any(map(is_running, workers_found)))
    for pipe in pipes:
        pipe.unlink()
        shutil.copy(photos / "images" / pipe.name, pipe)
    (images / "01.png").unlink()  # its shard is made already
    assert subprocess.run(command(*arguments), capture_output=True, timeout=60).returncode == 0
    assert cli.main(["prepare", *map(str, wider(photos, tmp_path / "new"))]) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "new")


# ---- scripts


def script(name: str, *arguments: Any) -> subprocess.CompletedProcess:
    arguments = (sys.executable, SCRIPTS / name, *arguments)
    return subprocess.run([str(each) for each in arguments], capture_output=True, text=True, timeout=120)


def test_scripts(photos: Path, tmp_path: Path, run: Run) -> None:
    """Each makes what its verb makes."""
    images, where = photos / "images", ("--annotations", photos / "wider.txt", "--out")
    run("wider", "--net", "pnet", "--images", images, *where, tmp_path / "faces", *QUICK)
    done = script("gen_pnet_data.py", "--images", images, *where, tmp_path / "faces2", "--workers", 2, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    points = ("--root", images, "--list", photos / "list.csv", *QUICK, "--out")
    run("landmarks", "--net", "pnet", *points, tmp_path / "landmarks")
    assert script("gen_landmark_data.py", "pnet", *points, tmp_path / "landmarks2").returncode == 0
    run("records", "--net", "pnet", "--in", tmp_path / "faces", tmp_path / "landmarks", "--out", tmp_path / "records")
    folders = ("--in", tmp_path / "faces2", tmp_path / "landmarks2")
    assert script("gen_records.py", "pnet", *folders, "--out", tmp_path / "records2").returncode == 0
    for name in ("faces", "landmarks", "records"):
        assert contents(tmp_path / name) == contents(tmp_path / f"{name}2")


def test_script_for_hard_examples(tmp_path: Path, image: np.ndarray) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(image[:200, 100:340]).save(tmp_path / "images/a.png")
    (tmp_path / "list.csv").write_text("file,x1,y1,x2,y2\na.png,65,55,180,170\n")
    where = ("--images", tmp_path / "images", "--annotations", tmp_path / "list.csv", "--out", tmp_path / "out")
    done = script("gen_hard_example.py", "--test_mode", "RNet", "--model", "official", *where)
    assert done.returncode == 0 and "WARNING: only 0 negative samples for" in done.stderr  # it finds faces only
    assert Reader(tmp_path / "out/positive").info.net == "onet"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("gen_pnet_data.py --out PNet", "wider --net pnet --out PNet"),
        ("gen_landmark_data.py rnet --out RNet", "landmarks --net rnet --out RNet"),
        ("gen_records.py onet --in a b", "records --net onet --in a b"),
        ("gen_hard_example.py --test_mode PNet --out RNet", "mine --stage pnet --out RNet"),
        ("gen_hard_example.py --out PNet --test_mode=RNet", "mine --stage rnet --out PNet"),
        ("gen_hard_example.py --stage rnet", "mine --stage rnet"),
    ],
)
def test_arguments_of_scripts(monkeypatch: pytest.MonkeyPatch, arguments: str, expected: str) -> None:
    name, *rest = arguments.split()
    given: list[str] = []
    monkeypatch.setattr(sys, "argv", [name, *rest])
    monkeypatch.setattr(cli, "main", given.extend)
    with pytest.raises(SystemExit):
        runpy.run_path(str(SCRIPTS / name), run_name="__main__")
    assert given == ["prepare", *expected.split()]


@pytest.mark.parametrize("name", ["gen_pnet_data", "gen_landmark_data", "gen_hard_example", "gen_records"])
def test_scripts_help_and_refuse(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    for arguments, status in ((["--help"], 0), ([], 2)):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")
        printed = capsys.readouterr()
        assert stop.value.code == status
        text = printed.err if status else printed.out
        assert text.startswith("usage: mtcnn-gluon prepare") and "--out" in text
        assert not status or "the following arguments are required" in text
