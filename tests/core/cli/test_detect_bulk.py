"""`detect --out`: partitions with the rows of `detect --json`, whoever makes them, however often the run is killed."""

import io
import json
import logging
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
from datetime import datetime
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow", reason="needs the extra bulk")
fsspec = pytest.importorskip("fsspec", reason="needs the extra bulk")

import pyarrow.parquet as pq  # noqa: E402
from process_watch import HAS_PROC, children, wait_for  # noqa: E402

from mtcnn_gluon.bulk.run import MANIFEST, PLAN  # noqa: E402
from mtcnn_gluon.cli import main as cli  # noqa: E402
from photo_table import PORTRAIT, as_png, expected, small_photos  # noqa: E402

QUICK = ["--model", "gluon-4", "--min-face", "48"]
DATA = small_photos()
NAMES = ("a.jpg", "b.png", "sub/c.jpg")
PATIENCE = 300  # seconds, for a machine that is busy
KILLS = int(os.environ.get("MTCNN_GLUON_KILLS", "1"))  # moments at which each kind of process is killed


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with photos in `in`. What `main` does to logging is undone."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    monkeypatch.chdir(tmp_path)
    for name, data in zip(NAMES, DATA):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(data)
    yield tmp_path
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


def run(*arguments: Any) -> int:
    return cli.main(["detect", *map(str, arguments), *QUICK])


def files(folder: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}


def partitions(folder: str | Path) -> dict[str, bytes]:
    return {name: data for name, data in files(folder).items() if name.startswith("part-")}


def manifest(folder: str | Path) -> dict[str, Any]:
    return json.loads((Path(folder) / MANIFEST).read_text())


def rows(folder: str | Path) -> list[dict[str, Any]]:
    """The rows of Parquet partitions, in their order."""
    return [row for data in partitions(folder).values() for row in pq.read_table(io.BytesIO(data)).to_pylist()]


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


# ---- what is written


@pytest.mark.parametrize("workers", [1, 2])
def test_json_lines_are_those_of_json(workers: int, capfd: pytest.CaptureFixture) -> None:
    arguments = ["in", "missing.jpg", "in/a.jpg"]  # which is taken once
    assert run(*arguments[:2], "--json", "one.jsonl") == 1
    assert run(*arguments, "--out", "o", "--format", "jsonl", "--part-size", 2, "--workers", workers) == 1
    assert b"".join(partitions("o").values()) == Path("one.jsonl").read_bytes()
    assert capfd.readouterr().out.endswith("o: 4 photos in 2 partitions, 1 faces, 2 photos that cannot be read\n")
    about = manifest("o")
    assert about["complete"] and (about["rows"], about["faces"], about["errors"], about["parts"]) == (4, 1, 2, 2)
    assert {each["name"]: each["bytes"] for each in about["partitions"]} == {n: len(d) for n, d in partitions("o").items()}


def test_parquet_of_photos() -> None:
    assert run("in", "--out", "o") == 1
    assert rows("o") == [{"image": f"in/{name}", **expected(f"in/{name}")} for name in NAMES]
    assert run("in", "--out", "two", "--workers", 2, "--part-size", 1) == 1
    assert rows("two") == rows("o") and len(partitions("two")) == 3
    found = pytest.importorskip("pyarrow.dataset").dataset("two")  # which passes over the manifest
    assert found.count_rows() == 3


@pytest.mark.parametrize("ending, mode", [("tar", "w"), ("tar.gz", "w:gz"), ("tgz", "w:gz")])
def test_tar_files(ending: str, mode: Any) -> None:
    Path("shards").mkdir()
    make_tar(Path(f"shards/1.{ending}"), {"k1.jpg": DATA[0], "k1.json": b"{}", "d/k2.png": DATA[1]}, mode)
    make_tar(Path(f"shards/2.{ending}"), {"k3.jpg": DATA[2]}, mode)
    for number, source in enumerate((["shards"], [f"shards/*.{ending}"], [f"shards/{n}.{ending}" for n in (1, 2)])):
        assert run(*source, "in/b.png", "--out", f"o{number}") == 1
        shards = [("k1.jpg", 1, 0), ("d/k2.png", 1, 1), ("k3.jpg", 2, 2)]
        wanted = [{"image": "in/b.png", **expected(DATA[1])}] + [
            {"image": f"tar://{name}::shards/{number}.{ending}", **expected(DATA[index])} for name, number, index in shards
        ]
        assert rows(f"o{number}") == wanted
    if ending != "tgz":  # which fsspec does not know
        with fsspec.open(f"tar://d/k2.png::shards/1.{ending}") as file:
            assert file.read() == DATA[1]  # the name of a photo leads to it


@pytest.mark.parametrize("damage", ["cut", "junk"])
def test_a_damaged_tar_file_is_a_row(damage: str) -> None:
    path = make_tar(Path("1.tar"), {"a.jpg": DATA[0], "b.png": DATA[1]})
    data = path.read_bytes()
    path.write_bytes(data[: len(DATA[0]) + 1600] if damage == "cut" else b"junk")
    assert run("1.tar", "--out", "o") == 1
    *good, bad = rows("o")
    assert bad["image"] == "1.tar" and bad["error"].startswith("1.tar: damaged tar file (")
    assert [row["image"] for row in good] == (["tar://a.jpg::1.tar"] if damage == "cut" else [])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_that_cannot_be_read_is_tried_again(workers: int, capfd: pytest.CaptureFixture) -> None:
    """It may be there later, and must not keep the others from being done."""
    arguments = ["1.tar", "2.tar", "--out", "o", "--workers", workers]
    make_tar(Path("2.tar"), {"b.png": DATA[1]})
    assert run(*arguments) == 2 and list(partitions("o")) == ["part-000001.parquet"] and not manifest("o")["complete"]
    *_, why, count = capfd.readouterr().err.splitlines()
    assert why == "mtcnn-gluon: part-000000.parquet: 1.tar does not exist"
    assert count == "mtcnn-gluon: 1 of 2 partitions could not be made; the same command tries them again"
    make_tar(Path("1.tar"), {"a.jpg": DATA[0]})
    assert run(*arguments) == 0 and [len(row["faces"]) for row in rows("o")] == [1, 0] and manifest("o")["complete"]


def test_what_json_does_not_have() -> None:
    more = {
        "time": [datetime(2026, 1, 2), None],
        "data": [b"\0\xff", None],
        "number": [math.nan, 1.0],
        "text": ["a\u2028b", "c"],
    }
    pq.write_table(pa.table({"image": DATA[:2], **more}), "t.parquet")
    for _ in range(2):
        assert run("t.parquet", "--out", "o", "--format", "jsonl") == 0
        Path("o", MANIFEST).write_text(json.dumps({**manifest("o"), "partitions": []}))  # as if killed: the file is read again
    lines = [json.loads(line) for line in partitions("o")["part-000000.jsonl"].decode().split("\n")[:-1]]
    wanted = [("2026-01-02T00:00:00", "AP8=", None, "a\u2028b"), (None, None, 1.0, "c")]
    assert [tuple(line[name] for name in more) for line in lines] == wanted


def parquet(path: str, count: int, group: int, **more: Any) -> Any:
    table = pa.table(
        {"id": range(count), "photo": [DATA[i % 3] for i in range(count)], "size": pa.array([1.5] * count), **more}
    )
    pq.write_table(table, path, row_group_size=group)
    return table


@pytest.mark.parametrize("size, parts", [(1, 4), (2, 4), (3, 2), (100, 1)])
def test_parquet_files(size: int, parts: int) -> None:
    parquet("t.parquet", 7, 2)
    assert run("t.parquet", "--out", "o", "--column", "photo", "--part-size", size) == 1
    found = expected(DATA[0]), expected(DATA[1]), {**expected(DATA[2])}
    wanted = [{"image": f"t.parquet#{i}", "id": i, "size": 1.5, **found[i % 3]} for i in range(7)]
    assert rows("o") == wanted and len(partitions("o")) == parts
    assert run("t.parquet", "--out", "j", "--column", "photo", "--format", "jsonl", "--workers", 2) == 1
    lines = [json.loads(line) for line in b"".join(partitions("j").values()).splitlines()]
    assert [(row["image"], row["id"], len(row["faces"])) for row in lines] == [
        (f"t.parquet#{i}", i, len(found[i % 3]["faces"])) for i in range(7)
    ]


def test_a_prefix() -> None:
    parquet("t.parquet", 3, 3, width=[9, 9, 9])
    assert run("t.parquet", "--out", "o", "--column", "photo") == 2
    assert run("t.parquet", "--out", "p", "--column", "photo", "--prefix", "face_") == 1
    assert list(rows("p")[0]) == ["face_image", "id", "size", "width", "face_width", "face_height", "face_faces", "face_error"]
    assert run("t.parquet", "--out", "j", "--column", "photo", "--prefix", "face_", "--format", "jsonl") == 1
    before = files("j")
    assert run("t.parquet", "--out", "j", "--column", "photo", "--prefix", "face_", "--format", "jsonl") == 1
    assert files("j") == before


def test_urls() -> None:
    """Of fsspec's file system in memory, which other processes do not see."""
    memory = fsspec.filesystem("memory")
    memory.rm("/", recursive=True) if memory.exists("/b") else None
    for name, data in zip(NAMES, DATA):
        memory.pipe(f"/b/{name}", data)
    memory.pipe("/b/notes.txt", b"")
    make_tar(Path("1.tar"), {"k.jpg": DATA[0]})
    memory.put("1.tar", "/b/1.tar")
    memory.pipe("/out/.mtcnn-gluon-left", b"by a killed run")
    for number, source in enumerate((["memory://b"], ["memory://b/**"], [f"memory://b/{name}" for name in (*NAMES, "1.tar")])):
        out = f"memory://out/{number}"
        assert run(*source, "--out", out) == 1
        names = sorted(path.rpartition("/")[2] for path in memory.find(f"/out/{number}"))
        assert names == [MANIFEST, PLAN, "part-000000.parquet", "part-000001.parquet"]
        found = [row for n in names[2:] for row in pq.read_table(io.BytesIO(memory.cat(f"/out/{number}/{n}"))).to_pylist()]
        wanted = [(f"memory://b/{name}", len(expected(data)["faces"])) for name, data in zip(NAMES, DATA)]
        wanted.append(("tar://k.jpg::memory://b/1.tar", 1))
        assert [(row["image"].replace(":///", "://"), len(row["faces"])) for row in found] == wanted
        assert run(*source, "--out", out) == 1


# ---- going on


def test_what_is_there_is_not_done_again(capfd: pytest.CaptureFixture) -> None:
    assert run("in", "--out", "o", "--part-size", 1) == 1
    before, name = files("o"), "part-000001.parquet"
    stamps = {path: path.stat().st_mtime_ns for path in Path("o").glob("part-*")}
    Path("o", name).unlink()
    Path("o/.mtcnn-gluon-left").write_bytes(b"by a killed run")
    Path("in/0 new.jpg").write_bytes(DATA[0])  # the plan holds
    capfd.readouterr()
    assert run("in", "--out", "o", "--part-size", 1, "--workers", 2) == 1
    assert "2 of 3 partitions are done already" in capfd.readouterr().err
    assert files("o") == before
    assert [path.name for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp] == [name]


@pytest.mark.parametrize("change, message", [
    (["--min-face", "50"], "min_face was 48.0 then and is 50.0 now"),
    (["--model", "wide-1"], "model name was 'gluon-4' then and is 'wide-1' now"),
    (["--part-size", "9"], "part_size was 1000 then and is 9 now"),
    (["--format", "jsonl"], "format was 'parquet' then and is 'jsonl' now"),
    (["in", "in/a.jpg"], "sources was ['in'] then and is ['in', 'in/a.jpg'] now"),
])  # fmt: skip
def test_another_run(change: list[str], message: str, capfd: pytest.CaptureFixture) -> None:
    assert run("in", "--out", "o") == 1
    before = files("o")
    assert cli.main(["detect", "--out", "o", *QUICK, *(change if "in" in change else ["in", *change])]) == 2
    assert message in capfd.readouterr().err and files("o") == before


@pytest.mark.parametrize("name, data, message", [
    (MANIFEST, b"x", "_manifest.json is damaged"),
    (MANIFEST, b"{}", "_manifest.json is damaged"),
    (PLAN, b"x", "_plan.jsonl is damaged"),
    (MANIFEST, None, "has part-000000.parquet but no _manifest.json"),
    (PLAN, None, "_plan.jsonl does not exist"),
    ("part-000000.parquet", b"x", "part-000000.parquet is no partition of such a run"),
])  # fmt: skip
def test_damaged_folders(name: str, data: bytes | None, message: str, capfd: pytest.CaptureFixture) -> None:
    assert run("in", "--out", "o") == 1
    path = Path("o", name)
    path.unlink() if data is None else path.write_bytes(data)
    assert run("in", "--out", "o") == 2
    assert message in capfd.readouterr().err


@pytest.mark.parametrize("arguments, message", [
    (["in", "--out", "o", "--json", "j"], "--out DIR and --json exclude each other"),
    (["in", "--out", "o", "--save", "s", "--blur"], "--out DIR and --save exclude each other"),
    (["in", "--out", "o", "--resume"], "--out DIR needs no --resume"),
    (["in", "--out", "o", "--every", "3"], "--out DIR is for photos, and --every for videos"),
    (["--out", "o"], "--out DIR needs at least one PATH"),
    (["in", "--out", ""], "--out must be a folder"),
    (["--out", "o", "--ray", "in"], "--ray in is a path and no address: write --ray behind the paths"),
    (["in", "--ray"], "--ray needs --out DIR"),
    (["in", "--format", "jsonl"], "--format needs --out DIR"),
    (["0", "--out", "o"], "0 is a camera: give --json FILE instead"),
    (["-", "--out", "o"], "- is a standard input"),
    (["a.mp4", "--out", "o"], "a.mp4 is a video"),
    (["in/*.gif", "--out", "o"], None),
    (["t.parquet", "in", "--out", "o"], "Parquet files have columns of their own, so in/a.jpg needs a run without them"),
    (["t.parquet", "--out", "o"], "t.parquet has no column 'image'; it has id, photo, size"),
    (["t.parquet", "u.parquet", "--out", "o", "--column", "photo"], "u.parquet has other columns than t.parquet"),
    (["v.parquet", "--out", "o"], "v.parquet cannot be read as Parquet"),
    (["w.parquet", "--out", "o"], "w.parquet does not exist"),
    (["empty", "--out", "o"], "no photo found in empty"),
    (["c.parquet", "--out", "o"], "the table has a column 'width' already, which detection would add: give --prefix"),
    (["in", "--out", "in/a.jpg"], "in/a.jpg"),
    (["none://x/y.jpg", "--out", "o"], "none://x/y.jpg cannot be opened: Protocol not known"),
])  # fmt: skip
def test_wrong_arguments(arguments: list[str], message: str | None, capfd: pytest.CaptureFixture) -> None:
    parquet("t.parquet", 3, 3)
    parquet("u.parquet", 3, 3, more=[1, 2, 3])
    pq.write_table(pa.table({"image": DATA, "width": [1, 2, 3]}), "c.parquet")
    Path("v.parquet").write_bytes(b"junk")
    Path("empty").mkdir()
    status = run(*arguments)
    if message is None:  # a pattern without a match is a path that does not exist
        assert status == 1
        return
    assert status == 2 and message in capfd.readouterr().err.splitlines()[-1] and not Path("o/part-000000.parquet").exists()


def test_results_are_no_inputs() -> None:
    """The folder for results may lie among the photos."""
    assert run("in", "--out", "in/o") == run("in", "--out", "in/o") == 1
    assert manifest("in/o")["rows"] == 3


# ---- killed runs


def many(count: int) -> None:
    """Photos for a run of a second or more."""
    noise = np.random.default_rng(1).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    Path("many").mkdir()
    for index in range(count):
        data = DATA[2] if index % 10 == 3 else PORTRAIT.read_bytes() if index % 2 else as_png(np.roll(noise, index, axis=1))
        Path(f"many/{index:03}.jpg").write_bytes(data)


def killed(out: str, done: int, more: list[str], victims: Any) -> int:
    """A run of which some processes are killed once so many partitions are there; its exit status."""
    command = [sys.executable, "-m", "mtcnn_gluon", "detect", "many", "--part-size", "2", "--out", out, *QUICK, *more]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(list(Path(out).glob("part-*"))) >= done or process.poll() is not None, PATIENCE, 0.002)
        for victim in victims(process.pid):
            os.kill(victim, signal.SIGKILL)
        process.wait(PATIENCE)
    finally:
        process.kill()
    return process.returncode


@pytest.mark.skipif(not HAS_PROC, reason="needs Linux")
@pytest.mark.parametrize("who", ["the main process", "a worker"])
def test_killed_runs_go_on(who: str) -> None:
    many(40)
    arguments = ["many", "--part-size", "2"]
    assert run(*arguments, "--out", "whole") == 1
    assert manifest("whole")["rows"] == 40 and manifest("whole")["errors"] == 4

    def victims(process: int) -> list[int]:
        if who == "the main process":
            return [process]
        return [c for c in children(process) if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()][:1]

    for moment in random.Random(who).sample(range(19), KILLS):
        status = killed("o", moment, ["--workers", "2"], victims)
        there, whole = partitions("o"), partitions("whole")
        assert all(whole[name] == data for name, data in there.items())
        assert status == (-signal.SIGKILL if who == "the main process" else 2) or len(there) == 20  # which was too late
        assert run(*arguments, "--out", "o") == 1
        assert partitions("o") == whole
        ours, theirs = manifest("o"), manifest("whole")
        assert ours == theirs and ours["complete"]
        shutil.rmtree("o")
