"""`evaluate --ray` and `prepare --ray`: the files of one process, also when a worker is killed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

pytest.importorskip("ray", reason="needs the extra ray: make test-scale")
psutil = pytest.importorskip("psutil")

from process_watch import wait_for  # noqa: E402

from mtcnn_gluon.cli import main as cli  # noqa: E402
from photo_table import PORTRAIT, expected  # noqa: E402

PATIENCE = 300  # seconds, for a machine that is busy
DAMAGED = 1  # the status if a photo cannot be read
EVALUATE = ["evaluate", "wider", "--annotations", "list.txt", "--images", "photos", "--model", "gluon-4", "--min-face", "40"]
PREPARE = {
    "wider": ["prepare", "wider", "--net", "rnet", "--images", "photos", "--annotations", "list.txt", "--negatives", "3"],
    "mine": ["prepare", "mine", "--images", "photos", "--annotations", "list.txt", "--model", "gluon-4", "--stage", "pnet"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with 70 photos, of which one is damaged, and their list."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    lines, (x1, y1, x2, y2) = [], expected(PORTRAIT)["faces"][0]["box"]
    for index in range(70):
        (tmp_path / f"photos/{index:03}.jpg").write_bytes(b"none" if index == 7 else PORTRAIT.read_bytes())
        lines += [f"{index:03}.jpg", "1", f"{x1} {y1} {x2 - x1} {y2 - y1} 0 0 0 0 0 0"]
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n")
    yield tmp_path


def files(name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(name).iterdir())}


def test_evaluate(ray: Any, folder: Path, capsys: pytest.CaptureFixture) -> None:
    printed = []
    for more in ([], ["--ray"], ["--ray", "--workers", "1"]):
        assert cli.main([*EVALUATE, "--resamples", "0", "--detections", f"found{len(printed)}", *more]) == DAMAGED
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == printed[2] and "| gluon-4 | 1.000 |" in printed[0]
    assert files("found0") == files("found1") == files("found2")
    rows = [json.loads(line) for line in (folder / "found0/gluon-4.jsonl").read_text().splitlines()]
    assert [row["image"] for row in rows] == [f"{index:03}.jpg" for index in range(70)] and "error" in rows[7]


@pytest.mark.parametrize("verb", PREPARE)
def test_prepare(verb: str, ray: Any, folder: Path) -> None:
    assert cli.main([*PREPARE[verb], "--out", "whole"]) == DAMAGED
    assert cli.main([*PREPARE[verb], "--out", "shared", "--ray"]) == DAMAGED
    assert files("shared") == files("whole")


def test_a_killed_worker_is_replaced(ray: Any, folder: Path) -> None:
    assert cli.main([*PREPARE["mine"], "--out", "whole"]) == DAMAGED
    cluster = f"--ray={ray.get_runtime_context().gcs_address}"
    process = subprocess.Popen([sys.executable, "-m", "mtcnn_gluon", *PREPARE["mine"], "--out", "shared", cluster])
    try:
        wait_for(lambda: bool(working()) or process.poll() is not None, PATIENCE, 0.002)
        for worker in working()[:1]:
            worker.kill()
        assert process.wait(PATIENCE) == DAMAGED
    finally:
        process.kill()
    assert files("shared") == files("whole")


def working() -> list[Any]:
    """Ray's processes that do an item."""
    return [each for each in psutil.process_iter(["cmdline"]) if (each.info["cmdline"] or [""])[0].startswith("ray::_do")]


@pytest.mark.parametrize("words", [EVALUATE, [*PREPARE["wider"], "--out", "o"]], ids=["evaluate", "prepare"])
def test_no_cluster(words: list[str], folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main([*words, "--ray", "photos"]) == 2
    assert "--ray photos is a path and no address" in capsys.readouterr().err
