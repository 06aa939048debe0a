"""`FaceDetector` in Ray Data, and `detect --ray`: the rows of one process, also when processes are killed."""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest

pytest.importorskip("ray", reason="needs the extra ray: make test-scale")
psutil = pytest.importorskip("psutil")
pa = pytest.importorskip("pyarrow")

from process_watch import wait_for  # noqa: E402

from mtcnn_gluon import read_image  # noqa: E402
from mtcnn_gluon.cli import main as cli  # noqa: E402
from mtcnn_gluon.ray import FaceDetector  # noqa: E402
from photo_table import OPTIONS, PORTRAIT, as_png, expected, small_photos  # noqa: E402

DATA = small_photos()
QUICK = ["--model", "gluon-4", "--min-face", "48", "--part-size", "2", "--quiet"]
PATIENCE = 300  # seconds, for a machine that is busy
KILLS = int(os.environ.get("MTCNN_GLUON_KILLS", "2"))


def detected(ray: Any, dataset: Any, actors: int = 1, **more: Any) -> Any:
    compute = ray.data.ActorPoolStrategy(size=actors)
    options = {**OPTIONS, **more.pop("options", {})}
    return dataset.map_batches(FaceDetector, fn_constructor_kwargs=options, compute=compute, **more)


# ---- FaceDetector


@pytest.mark.parametrize("batch_format", ["numpy", "pandas", "pyarrow"])
@pytest.mark.parametrize("batch_size", [1, 4, None])
def test_the_same_as_the_detector(batch_format: str, batch_size: int | None, ray: Any) -> None:
    rows = [{"id": number, "image": DATA[number % 3]} for number in range(7)]
    found = detected(ray, ray.data.from_items(rows), batch_size=batch_size, batch_format=batch_format)
    by_id = sorted(found.take_all(), key=lambda row: row["id"])
    assert by_id == [{**row, **expected(row["image"])} for row in rows]


@pytest.mark.parametrize("batch_format", ["numpy", "pandas", "pyarrow"])
@pytest.mark.parametrize("is_even", [True, False], ids=["one size", "several sizes"])
def test_decoded_arrays(batch_format: str, is_even: bool, ray: Any, tmp_path: Path) -> None:
    images = [np.tile(np.arange(90, dtype=np.uint8)[:, None, None], (1, 80, 3)), portrait()]
    for number, image in enumerate(images[1:] * 2 if is_even else images):
        (tmp_path / f"{number}.png").write_bytes(as_png(image))
    dataset = ray.data.read_images(str(tmp_path), include_paths=True)
    found = detected(ray, dataset, batch_size=2, batch_format=batch_format).take_all()
    assert len(found) == 2 and {len(row["faces"]) for row in found} == ({1} if is_even else {0, 1})
    for row in found:
        assert {name: row[name] for name in ("width", "height", "faces", "error")} == expected(row["path"])


def portrait() -> np.ndarray:
    return read_image(PORTRAIT)


def test_one_schema_whatever_is_found(ray: Any) -> None:
    schemas = []
    for data in (DATA[0], DATA[1], DATA[2]):
        schema = detected(ray, ray.data.from_items([{"image": data}])).materialize().schema()
        schemas.append(dict(zip(schema.names, schema.types)))
    assert schemas[0] == schemas[1] == schemas[2] and list(schemas[0]) == ["image", "width", "height", "faces", "error"]


def test_columns_and_errors(ray: Any) -> None:
    rows = ray.data.from_items([{"bytes": DATA[0], "width": 3}])
    found = detected(ray, rows, options={"column": "bytes", "prefix": "face_"}).take_all()
    assert found[0]["width"] == 3 and found[0]["face_faces"] == expected(DATA[0])["faces"]
    with pytest.raises(Exception, match="has a column 'width' already"):
        detected(ray, rows, options={"column": "bytes"}).take_all()


def named(mark: str) -> list[Any]:
    """The processes of this name; Ray names its workers after what they do."""
    return [each for each in psutil.process_iter(["cmdline"]) if mark in " ".join(each.info["cmdline"] or ())]


def test_a_killed_actor(ray: Any) -> None:
    """Ray starts another and gives it the batch again."""
    rows = [{"id": number, "image": DATA[number % 3]} for number in range(60)]
    for moment in random.Random(0).sample(range(1, 30), KILLS):
        dataset = detected(ray, ray.data.from_items(rows, override_num_blocks=30), actors=2, batch_size=2)
        found = []
        for number, row in enumerate(dataset.iter_rows()):
            found.append(row)
            if number == moment:
                for actor in named("ray::MapWorker")[:1]:
                    actor.kill()
        assert sorted((row["id"], len(row["faces"])) for row in found) == [(n, int(n % 3 == 0)) for n in range(60)]


# ---- detect --ray


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder with 40 photos in `many`, and their rows in `whole`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "many").mkdir()
    noise = np.random.default_rng(1).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    for index in range(40):
        data = DATA[2] if index % 10 == 3 else DATA[0] if index % 2 else as_png(np.roll(noise, index, axis=1))
        (tmp_path / f"many/{index:03}.jpg").write_bytes(data)
    assert cli.main(["detect", "many", "--out", "whole", *QUICK]) == 1
    yield tmp_path


def files(name: str) -> dict[str, bytes]:
    """All files of a run: equal bytes are equal rows, in equal partitions."""
    return {path.name: path.read_bytes() for path in sorted(Path(name).iterdir()) if not path.name.startswith(".")}


def test_equal_rows(ray: Any, folder: Path) -> None:
    for more in ([], ["--workers", "1"], ["--format", "jsonl"]):
        assert cli.main(["detect", "many", "--out", "o", *QUICK, *more, "--ray"]) == 1
        if "jsonl" in more:
            shutil.rmtree("whole")
            assert cli.main(["detect", "many", "--out", "whole", *QUICK, *more]) == 1
        assert files("o") == files("whole")
        assert cli.main(["detect", "many", "--out", "o", *QUICK, *more, "--ray"]) == 1
        shutil.rmtree("o")


def test_errors_of_parts(ray: Any, folder: Path, capfd: pytest.CaptureFixture) -> None:
    assert cli.main(["detect", "none.tar", "--out", "o", *QUICK, "--ray"]) == 2
    assert "mtcnn-gluon: part-000000.parquet: none.tar does not exist" in capfd.readouterr().err.splitlines()


def detecting(*more: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "mtcnn_gluon", "detect", "many", "--out", "o", *QUICK, *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_parts(count: int, process: subprocess.Popen) -> None:
    wait_for(lambda: len(list(Path("o").glob("part-*"))) >= count or process.poll() is not None, PATIENCE, 0.002)


@pytest.mark.parametrize("who", ["driver", "worker"])
def test_killed_runs_go_on(who: str, ray: Any, folder: Path) -> None:
    """Another worker takes the part of a killed one; the run of a killed driver goes on when it is started again."""
    cluster = f"--ray={ray.get_runtime_context().gcs_address}"
    for moment in random.Random(who).sample(range(1, 15), KILLS):
        process = detecting(cluster)
        try:
            wait_for_parts(moment, process)
            if who == "driver":
                process.kill()
            for worker in named("ray::_do")[:1] if who == "worker" else []:
                worker.kill()
            status = process.wait(PATIENCE)
        finally:
            process.kill()
        there, whole = files("o"), files("whole")
        assert all(whole[name] == data for name, data in there.items() if name.startswith("part-"))
        if who == "driver" and status == -signal.SIGKILL:  # it may have ended before
            status = detecting(cluster).wait(PATIENCE)
        assert status == 1 and files("o") == whole
        shutil.rmtree("o")


def test_a_killed_driver_takes_its_own_cluster_with_it(folder: Path) -> None:
    process = detecting("--ray=local")
    try:
        wait_for_parts(1, process)
        below = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.kill()
    process.wait()
    assert below and not psutil.wait_procs(below, timeout=PATIENCE)[1]
