"""One detector in several threads, and detectors in forked and spawned processes, answer as one alone does."""

import gc
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.context import BaseContext

import numpy as np
import pytest

from mtcnn_gluon import Detector, Faces, read_image
from mtcnn_gluon.cli.detect import portrait
from mtcnn_gluon.engines import AUTO

shared: Detector | None = None
THREADS = 2  # so that runtimes have threads, which a forked process lacks


@pytest.fixture(params=(*AUTO, "torch"))
def any_detector(request: pytest.FixtureRequest, detector: Detector) -> Detector:
    if request.param == "torch":
        pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
    return detector if request.param == "mxnet" else Detector("official", request.param, threads=THREADS)


def crop_of(index: int) -> np.ndarray:
    """Pictures of a few sizes, each with the portrait's face."""
    return read_image(portrait())[: 300 + 20 * (index % 3), 20 * (index % 4) :]


def with_own(engine: str, index: int) -> Faces:
    return Detector("official", engine).detect(crop_of(index))


def with_inherited(index: int) -> Faces:
    assert shared is not None
    return shared.detect(crop_of(index))


def assert_same(found: list[Faces], detector: Detector) -> None:
    for index, faces in enumerate(found):
        alone = detector.detect(crop_of(index))
        assert len(alone) == 1
        np.testing.assert_allclose(faces.boxes, alone.boxes, atol=1e-3)
        np.testing.assert_allclose(faces.scores, alone.scores, atol=1e-5)
        np.testing.assert_allclose(faces.landmarks, alone.landmarks, atol=1e-3)


def test_threads_share_a_detector(any_detector: Detector) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda index: any_detector.detect(crop_of(index)), range(16)))
    assert_same(found, any_detector)


def test_a_detector_in_every_thread(any_detector: Detector) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert_same(list(pool.map(partial(with_own, any_detector.engine.name), range(3))), any_detector)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_with_their_own_detectors(any_detector: Detector, method: str) -> None:
    context: BaseContext = multiprocessing.get_context(method)
    any_detector.detect(crop_of(0))  # so that the parent's runtime is running
    with context.Pool(2) as pool:
        assert_same(pool.map_async(partial(with_own, any_detector.engine.name), range(4)).get(timeout=120), any_detector)


def test_forked_processes_inherit_a_detector(any_detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.shared", any_detector)
    any_detector.detect(crop_of(0))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert_same(pool.map_async(with_inherited, range(4)).get(timeout=120), any_detector)


def collect_garbage(_: int) -> int:
    return gc.collect()


def test_an_abandoned_detector_may_end_in_a_forked_process() -> None:
    """One in a reference cycle ends whenever Python collects its garbage, which may be after a fork."""
    pytest.importorskip("onnxruntime")
    gc.disable()
    try:
        cycle = [Detector(engine="onnx", threads=THREADS)]
        cycle.append(cycle)  # type: ignore[arg-type]
        cycle[0].detect(crop_of(0))
        del cycle
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.map_async(collect_garbage, [0]).get(timeout=60)[0] > 0
    finally:
        gc.enable()
