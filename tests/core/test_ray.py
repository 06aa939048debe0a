"""What `mtcnn_gluon.ray` asks of Ray, with a stand-in for it. `make test-scale` runs Ray itself."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="needs the extra bulk")

from mtcnn_gluon import ray as ours
from mtcnn_gluon.bulk.parts import Part
from mtcnn_gluon.bulk.run import Work
from mtcnn_gluon.detection.options import DetectorOptions
from mtcnn_gluon.errors import ConfigError, LibraryError, ModelError, WorkerError

PARTS = [Part(number, "photos", [f"{number}.jpg"]) for number in range(7)]


class RayError(Exception):
    """In the place of Ray's."""


class RayTaskError(RayError):
    def __init__(self, cause: Exception) -> None:
        super().__init__("trace\nback")
        self.cause = cause


class Task:
    def __init__(self, part: Part) -> None:
        self.part = part


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
        return lambda function: SimpleNamespace(remote=lambda work, part, folder: Task(part))

    def wait(self, running: list[Any]) -> tuple[list[Any], list[Any]]:
        self.most = max(self.most, len(running))
        return running[-1:], running[:-1]

    def get(self, task: Any) -> Any:
        if task.part.number in self.errors:
            raise self.errors[task.part.number]
        return task.part.number


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    return fake


def work(**options: Any) -> Work:
    return Work("o", "parquet", "image", "", DetectorOptions(**options))


@pytest.mark.parametrize("processors, options, workers, most", [
    (2, {}, None, 2), (6, {}, None, 6), (6, {"threads": 2}, None, 3), (1, {"threads": 4}, None, 1), (2, {}, 5, 5),
    (99, {}, None, 7),
])  # fmt: skip
def test_parts_at_a_time(ray: FakeRay, processors: int, options: Any, workers: int | None, most: int) -> None:
    ray.processors = processors
    assert sorted(ours.on_ray(work(**options), PARTS, "", workers)) == list(range(7))
    assert ray.most == most
    needs = {"num_cpus": options.get("threads", 1), "num_gpus": 0, "max_retries": 3}
    assert ray.calls == [("init", None), needs, "shutdown"]


def test_a_gpu_and_a_cluster_that_is_in_use(ray: FakeRay) -> None:
    ray.is_on = True
    assert len(list(ours.on_ray(work(device="gpu"), PARTS, "here:1", None))) == 7
    assert ray.calls == [{"num_cpus": 1, "num_gpus": 1, "max_retries": 3}]


@pytest.mark.parametrize("error, kind, message", [
    (RayTaskError(ModelError("no such model")), ModelError, "no such model"),
    (RayTaskError(KeyError("x")), RayTaskError, "trace"),
    (RayError("a\nthe node died"), WorkerError, r"worked on part 4, which begins with 4.jpg \(the node died\)"),
])  # fmt: skip
def test_errors(ray: FakeRay, error: Exception, kind: type, message: str) -> None:
    ray.errors = {4: error}
    found = []
    with pytest.raises(kind, match=message):
        for number in ours.on_ray(work(), PARTS, "", None):
            found.append(number)
    assert 4 not in found and ray.calls[-1] == "shutdown"


def test_no_cluster(ray: FakeRay) -> None:
    with pytest.raises(ConfigError, match="^--ray=nowhere: there is no Ray cluster: timed out$"):
        list(ours.on_ray(work(), PARTS, "nowhere", None))


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="--ray needs ray"):
        list(ours.on_ray(work(), PARTS, "", None))
    with pytest.raises(LibraryError, match="FaceDetector needs ray"):
        ours.FaceDetector(model="gluon-4")({"image": [b""]})


def test_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins in the folder of the command, and refuses a folder for results that its machine does not have."""
    (tmp_path / "there").mkdir()
    there = Work(str(tmp_path / "o"), "parquet", "image", "", DetectorOptions(model="gluon-4"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="is not on every machine of the cluster"):
        ours._do(there, PARTS[0], str(tmp_path / "there"))
    assert Path.cwd() == tmp_path / "there"
    (tmp_path / "o").mkdir()
    summary = ours._do(there, PARTS[0], "no such folder")
    assert (summary.rows, summary.errors) == (1, 1) and (tmp_path / "o" / summary.name).is_file()
