"""Work on a Ray cluster, with a stand-in for Ray. `make test-scale` runs Ray itself."""

import os
import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mtcnn_gluon.errors import ConfigError, LibraryError, ModelError, WorkerError
from mtcnn_gluon.io import cluster
from mtcnn_gluon.io.cluster import on_ray

ITEMS = range(7)


class RayError(Exception):
    """In the place of Ray's."""


class RayTaskError(RayError):
    def __init__(self, cause: Exception) -> None:
        super().__init__("trace\nback")
        self.cause = cause


class Task:
    def __init__(self, item: int) -> None:
        self.item = item


class FakeRay(ModuleType):
    """Does a task when its result is asked for, the last one first."""

    def __init__(self, processors: int = 2) -> None:
        super().__init__("ray")
        self.exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
        self.processors, self.is_on, self.most, self.calls = processors, False, 0, list[Any]()
        self.errors: dict[int, Exception] = {}

    def is_initialized(self) -> bool:
        return self.is_on

    def init(self, address: str | None, **options: Any) -> None:
        if address == "nowhere":
            raise Exception("the node\ntimed out")
        self.calls.append(("init", address))

    def shutdown(self) -> None:
        self.calls.append("shutdown")

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(self.processors)}

    def remote(self, **needs: Any) -> Any:
        self.calls.append(needs)
        return lambda function: SimpleNamespace(remote=lambda common, item: Task(item))

    def put(self, value: Any) -> Any:
        return value

    def wait(self, running: list[Any]) -> tuple[list[Any], list[Any]]:
        self.most = max(self.most, len(running))
        return running[-1:], running[:-1]

    def get(self, task: Any) -> Any:
        if task.item in self.errors:
            raise self.errors[task.item]
        return task.item


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    return fake


def shared(address: str = "", *more: Any, **others: Any) -> Any:
    return on_ray(pow, ITEMS, int, address, *more, **others)


@pytest.mark.parametrize("is_ordered", [True, False])
@pytest.mark.parametrize("processors, threads, workers, most", [
    (2, 1, None, 2), (6, 1, None, 6), (6, 2, None, 3), (1, 4, None, 1), (2, 1, 5, 5), (99, 1, None, 7),
])  # fmt: skip
def test_items_at_a_time(ray: FakeRay, processors: int, threads: int, workers: int | None, most: int, is_ordered: bool) -> None:
    ray.processors = processors
    found = list(shared("", workers, ordered=is_ordered, threads=threads))
    assert sorted(found) == list(ITEMS) and (found == sorted(found) or not is_ordered)
    assert ray.most == most
    assert ray.calls == [("init", None), {"num_cpus": threads, "num_gpus": 0, "max_retries": 3}, "shutdown"]


def test_a_gpu_and_a_cluster_that_is_in_use(ray: FakeRay) -> None:
    ray.is_on = True
    assert len(list(shared("here:1", gpus=1))) == 7
    assert ray.calls == [{"num_cpus": 1, "num_gpus": 1, "max_retries": 3}]


@pytest.mark.parametrize("is_ordered", [True, False])
@pytest.mark.parametrize("error, kind, message", [
    (RayTaskError(ModelError("no such model")), ModelError, "no such model"),
    (RayTaskError(KeyError("x")), RayTaskError, "trace"),
    (RayError("a\nthe node died"), WorkerError, r"worked on photo 4 \(the node died\)"),
])  # fmt: skip
def test_errors(ray: FakeRay, error: Exception, kind: type, message: str, is_ordered: bool) -> None:
    ray.errors = {4: error}
    found = []
    with pytest.raises(kind, match=message):
        for number in shared("", None, "photo {}".format, is_ordered):
            found.append(number)
    assert 4 not in found and ray.calls[-1] == "shutdown"


def test_gpus() -> None:
    assert [cluster.gpus_of(device) for device in ("gpu", "gpu:1", "cuda", "cuda:0", "cpu", "mps")] == [1, 1, 1, 1, 0, 0]


def test_no_cluster(ray: FakeRay, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="^--ray=nowhere: there is no Ray cluster: timed out$"):
        list(shared("nowhere"))
    with pytest.raises(ConfigError, match="is a path and no address: write --ray behind the paths, or --ray=ADDRESS"):
        list(shared(str(tmp_path)))


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="--ray needs ray"):
        list(shared())


def test_a_face_detector_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra bulk")
    from mtcnn_gluon.ray import FaceDetector

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LibraryError, match="FaceDetector needs ray"):
        FaceDetector(model="gluon-4")({"image": [b""]})


def begun(notes: list[str]) -> int:
    notes.append(f"{Path.cwd().name} {os.environ['OMP_NUM_THREADS']}")
    return 2


def test_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins in the folder of the command, makes its state once, and refuses to work where a folder is missing."""
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "9")
    monkeypatch.setattr(cluster, "_states", {})
    notes: list[str] = []
    work = [pow, partial(begun, notes), str(tmp_path / "there"), [str(tmp_path / "o")], 3]
    with pytest.raises(ConfigError, match="is not on every machine of the cluster"):
        cluster._do(("a", *work), 5)
    (tmp_path / "o").mkdir()
    assert [cluster._do(("a", *work), 5), cluster._do(("a", *work), 6)] == [32, 64] and notes == ["there 3"]
    work[2] = "no such folder"
    assert cluster._do(("b", *work), 5) == 32 and len(notes) == 2
