"""The engine on PyTorch, on the CPU: sampling, suppression and nets are those of the kernels; what cannot be used is named."""

import logging
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import plain_cascade
from engine_agreement import STRIDED_NET, Agreement
from mtcnn_gluon import Detector, engines, read_image
from mtcnn_gluon.detection import cascade, pyramid
from mtcnn_gluon.detection.photos import CpuPhotos
from mtcnn_gluon.engines.base import Level, mean_with_mirrored
from mtcnn_gluon.errors import ConfigError, ModelError, Unavailable
from mtcnn_gluon.layers import View, parameter_shapes
from mtcnn_gluon.operators import grouped_nms
from mtcnn_gluon.operators.native_net import NativeNet

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")

from mtcnn_gluon.engines import torch_graphs, torch_nets, torch_photos, torch_sampling, torch_suppression  # noqa: E402
from mtcnn_gluon.engines.torch import TorchEngine  # noqa: E402
from mtcnn_gluon.engines.torch_sheets import Sheet  # noqa: E402

CPU = torch.device("cpu")
PAPER, WIDE = View(12, 0, 2), View(34, 11, 4)
NETS = {
    "three sizes of pool": (31, [["conv", 5, 3], ["pool", 2, 2], ["conv", 17, 2], ["pool", 3, 2], ["conv", 33, 1]]),
    "dense on more than a pixel": (14, [["conv", 4, 5], ["pool", 3, 2], ["conv", 7, 2], ["dense", 65], ["dense", 9]]),
    "one convolution": (9, [["conv", 3, 3]]),
    "a stride": (STRIDED_NET["size"], STRIDED_NET["layers"]),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """Threads of PyTorch wait busily for one another where other tests run too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def ours() -> Detector:
    return Detector("gluon-4", "torch")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


# ---- nets


@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("size, layers", NETS.values(), ids=NETS)
def test_nets_are_those_of_the_kernels(size: int, layers: list[list[Any]], landmarks: bool) -> None:
    table = {"size": size, "layers": layers, "landmarks": landmarks}
    generator = np.random.default_rng(3)
    parameters = {
        name: generator.normal(0, 1 / np.sqrt(np.prod(shape[1:]) or 1), shape).astype(np.float32)
        for name, shape in parameter_shapes("net", table).items()
    }
    net, native = torch_nets.TorchNet("net", table, parameters, CPU, torch.float32), NativeNet("net", table, parameters)
    shapes = [(1, size, size), (5, size, size)] + ([] if native.is_dense else [(2, size + 9, size + 20)])
    for count, height, width in shapes:
        images = generator.normal(0, 0.5, (count, 3, height, width)).astype(np.float32)
        raw = native(images).transpose(0, 3, 1, 2)
        face = 1 / (1 + np.exp(raw[:, :1] - raw[:, 1:2]))
        expected = np.concatenate([face, raw[:, 2:]], axis=1)
        found = net(torch.from_numpy(images)).numpy()
        np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=2e-5)


def test_whole_float32_is_switched_on_and_back() -> None:
    switches, name, value = torch_nets._switches()
    before = [getattr(switch, name) for switch in switches]
    for switch in switches:
        setattr(switch, name, "tf32" if value == "ieee" else True)

    def work(_: int) -> bool:
        with torch_nets.whole_float32():
            return all(getattr(switch, name) == value for switch in switches)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(50)))
    assert all(getattr(switch, name) != value for switch in switches)
    for switch, old in zip(switches, before):
        setattr(switch, name, old)


# ---- sampling


BOXES = [
    (0, 0, 48, 48), (3.25, 7.5, 20.1, 24.35), (-5.5, -9.1, 11.2, 7.6), (30, 20, 90, 80), (10.3, 5.9, 11.35, 6.95),
    (-40, -30, 100, 90), (59.9, 39.9, 75, 55), (0.999, 0.001, 25, 24), (1e-7, 1e-7, 12, 12), (-1e-7, 2, 24, 26),
    (-200, -100, 500, 400),
]  # fmt: skip


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("size", [1, 12, 24, 48])
def test_crops_are_area_means(ours: Detector, size: int, is_large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In photos of two sizes in one batch; and with integral images in int64, as large photos need."""
    if is_large:
        monkeypatch.setattr(torch_sampling, "INT32_PIXELS", 0)
    pictures = [noise(40, 60, 3), noise(64, 31, 3, seed=1), noise(40, 60, 3, seed=2)]
    photos: Any = ours.engine.take_in(pictures, 127.5, 1 / 128, False, {})
    boxes, image = np.array(BOXES, np.float32), np.arange(len(BOXES)) % 3
    with ours.engine.at_work():  # type: ignore[attr-defined]
        found = photos._crop(*photos._on_device(image, boxes, size), size).numpy()
    for crop, box, index in zip(found, boxes.astype(float), image):
        expected = plain_cascade.sample(pictures[index].astype(float), box, size, size).transpose(2, 0, 1)
        np.testing.assert_allclose(crop, (expected - 127.5) / 128, atol=2e-6)


@pytest.mark.parametrize("view", [PAPER, WIDE], ids=["paper", "context"])
@pytest.mark.parametrize(
    "height, width, min_face", [(12, 12, 12), (13, 29, 12), (97, 61, 20), (61, 130, 5.5), (240, 135, 40), (300, 31, 13)]
)
def test_sheets_hold_the_levels(height: int, width: int, min_face: float, view: View) -> None:
    picture = noise(height, width, 3)
    levels = pyramid.plan_levels(height, width, min_face, 0.709, view)
    sheet = Sheet((height, width), levels, view, CPU)
    assert sheet.height % 64 == sheet.width % 64 == 0
    drawn = sheet.draw(torch_sampling.integral(torch.from_numpy(picture[None])), 127.5, 1 / 128).numpy()[0]
    sources = pyramid.level_sources(picture, levels)
    taken = np.zeros((sheet.height, sheet.width), int)
    for source, place in zip(sources, sheet._places):
        y, x = place.y - view.margin, place.x - view.margin
        whole = view.padded(source.height), view.padded(source.width)
        taken[y : y + whole[0], x : x + whole[1]] += 1
        black = ((0, 0), *((view.margin, side - each - view.margin) for each, side in zip(source.planes.shape[1:], whole)))
        expected = np.pad(source.planes, black, **(dict(mode="constant") if view.context else dict(mode="edge")))
        np.testing.assert_allclose(drawn[:, y : y + whole[0], x : x + whole[1]], (expected - 127.5) / 128, atol=2e-6)
    assert taken.max() == 1
    owned = [(sheet.owner.numpy() == index).sum() for index in range(len(levels))]
    assert owned == [view.outputs(view.padded(v.height)) * view.outputs(view.padded(v.width)) for v in levels]


def test_large_photos_have_larger_integrals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert torch_sampling.INT32_PIXELS * 255 < 2**31 <= (torch_sampling.INT32_PIXELS + 1) * 255
    monkeypatch.setattr(torch_sampling, "INT32_PIXELS", 100)
    for width, dtype in ((10, torch.int32), (11, torch.int64)):
        sums = torch_sampling.integral(torch.full((1, 10, width, 3), 255, dtype=torch.uint8))
        assert sums.dtype == dtype and int(sums[0, -1, -1, 0]) == 10 * width * 255


# ---- suppression


@pytest.mark.parametrize("overlap", [0, 0.3, 0.5, 0.7, 1])
@pytest.mark.parametrize("stride, side", [(2, 12), (4, 12), (1, 3), (3, 3)])
@pytest.mark.parametrize("scores_of", [lambda g, n: g.random(n), lambda g, n: g.integers(0, 3, n) / 2], ids=["all", "ties"])
def test_suppression_on_grids(stride: int, side: int, overlap: float, scores_of: Any) -> None:
    generator = np.random.default_rng(stride)
    cells = np.argwhere(generator.random((3, 17, 23)) < 0.4)
    scores = scores_of(generator, len(cells)).astype(np.float32)
    corners = stride * cells[:, :0:-1].astype(np.float32)
    expected = grouped_nms(np.hstack([corners, corners + side]), scores, cells[:, 0], overlap)
    neighbours = torch_suppression.grid_neighbours(stride, side, overlap)
    kept = torch_suppression.suppress_on_grids(torch.from_numpy(cells), (3, 17, 23), torch.from_numpy(scores), neighbours)
    np.testing.assert_array_equal(np.flatnonzero(kept.numpy()), np.sort(expected))


def test_nothing_to_suppress() -> None:
    none = torch.zeros((0, 3), dtype=torch.int64)
    assert len(torch_suppression.suppress_on_grids(none, (1, 2, 2), torch.zeros(0), [(0, 1), (0, -1)])) == 0
    assert len(torch_suppression.grouped_suppression(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), 0.5, CPU)) == 0


@pytest.mark.parametrize("pairs", [50, 10**6])
@pytest.mark.parametrize("overlap", [0, 0.5, 0.7, 1])
@pytest.mark.parametrize("count, groups", [(1, 1), (2, 1), (300, 1), (300, 7), (40, 40)])
def test_suppression_in_groups(count: int, groups: int, overlap: float, pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With equal boxes, equal scores, empty boxes and NaN among them."""
    monkeypatch.setattr(torch_suppression, "PAIRS", pairs)
    generator = np.random.default_rng(count)
    corners = generator.integers(0, 30, (count, 2))
    boxes = np.hstack([corners, corners + generator.integers(-1, 25, (count, 2))]).astype(np.float32)
    boxes[::9] = np.nan
    scores, group = (generator.integers(0, 9, count) / 8).astype(np.float32), generator.integers(0, groups, count)
    found = torch_suppression.grouped_suppression(boxes, scores, group, overlap, CPU)
    np.testing.assert_array_equal(found, grouped_nms(boxes, scores, group, overlap))


# ---- photos


def both(ours: Detector, pictures: list[np.ndarray], is_bgr: bool = False) -> tuple[Any, CpuPhotos]:
    """The photos on the engine's device, and on the CPU with the same nets."""
    sampling = pictures, 127.5, 1 / 128, is_bgr, ours.settings.views
    photos = ours.engine.take_in(*sampling)
    assert photos is not None
    return photos, CpuPhotos(ours.engine, *sampling)


@pytest.mark.parametrize("sheet_pixels", [1, 30_000, 10**9])
def test_cells_of_photos_of_many_sizes(
    ours: Detector, image: np.ndarray, sheet_pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where P-Net runs on strips of sheets, and on one or several sheets at once."""
    monkeypatch.setattr(ours.engine, "sheet_pixels", sheet_pixels)
    pictures = [image[::3, ::3], image[5:100, 90:300], image[:11, :50], image[1::3, 1::3], image[40:60, 100:130]]
    levels = [pyramid.plan_levels(*picture.shape[:2], 12, 0.709, PAPER) for picture in pictures]
    assert not levels[2]
    thresholds = np.full(sum(map(len, levels)), 0.3, np.float32)
    found, expected = (each.scan(levels, thresholds, 0.5) for each in both(ours, pictures))
    assert len(expected.level) > 50
    np.testing.assert_array_equal(found.level, expected.level)
    np.testing.assert_array_equal(found.places, expected.places)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(found.offsets, expected.offsets, atol=1e-5)


def test_each_level_has_its_own_threshold(ours: Detector, image: np.ndarray) -> None:
    picture = image[::2, ::2]
    levels = [pyramid.plan_levels(*picture.shape[:2], 20, 0.709, PAPER)]
    thresholds = np.where(np.arange(len(levels[0])) % 2, 0.05, 2).astype(np.float32)
    found, expected = (each.scan(levels, thresholds, 0.5) for each in both(ours, [picture]))
    assert set(expected.level % 2) == {1}
    np.testing.assert_array_equal(found.places, expected.places)


@pytest.mark.parametrize("is_mirrored_too", [False, True])
@pytest.mark.parametrize("net", ["rnet", "onet"])
def test_outputs_for_boxes(
    ours: Detector, image: np.ndarray, net: Any, is_mirrored_too: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours.engine, "crop_corners", 40_000)  # several rounds
    pictures = [image, image[50:300, 100:200]]
    boxes = np.repeat(np.array([[60, 40, 200, 180], [-20, -30, 60, 50], [10, 10, 33, 33]], np.float32), 9, axis=0)
    boxes += np.arange(27, dtype=np.float32)[:, None]
    index = np.arange(27) % 2
    for photos in (both(ours, pictures), both(ours, pictures, is_bgr=True)):
        found, expected = (each.look(net, index, boxes, is_mirrored_too) for each in photos)
        assert [each.shape for each in found] == [each.shape for each in expected]
        for f, e in zip(found, expected, strict=True):
            np.testing.assert_allclose(f, e, atol=2e-5)


def test_many_boxes_are_suppressed_on_the_device(ours: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, expected = both(ours, [noise(20, 20, 3)])
    corners = np.random.default_rng(0).random((200, 2)).astype(np.float32) * 40
    boxes = np.hstack([corners, corners + 10])
    arguments = boxes, np.linspace(0, 1, 200), np.arange(200) % 3, 0.4
    asked: list[int] = []
    monkeypatch.setattr(
        torch_photos, "grouped_suppression",
        lambda *given: (asked.append(len(given[0])), torch_suppression.grouped_suppression(*given))[1],
    )  # fmt: skip
    for few, on_device in ((1000, []), (10, [200])):
        monkeypatch.setattr(torch_photos, "FEW_BOXES", few)
        np.testing.assert_array_equal(photos.suppress(*arguments), expected.suppress(*arguments))
        assert asked == on_device


def test_the_plans_of_many_sizes_do_not_fill_the_memory(ours: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtcnn_gluon.engines.torch.SHEETS", 3)
    engine: Any = ours.engine
    level = Level(12, 12, 0, 1.0, 1.0)
    sheets = [engine.sheet((12, 12 + extra), (level,), PAPER) for extra in range(5)]
    assert len(engine._sheets) == 3 and engine.sheet((12, 16), (level,), PAPER) is sheets[4]


# ---- faces


def test_faces_agree_with_native(dev_photos: list[Path], ours: Detector) -> None:
    native, agreement = Detector("gluon-4", "native"), Agreement()
    pictures = [read_image(path) for path in dev_photos[::6]]
    for found, expected in zip(ours.detect_batch(pictures), map(native.detect, pictures)):
        agreement.add(found, expected)
    assert agreement.faces > 20 and agreement.share == 1 and agreement.score < 1e-4, agreement


@pytest.mark.parametrize("options", [{"accurate": True}, {"rotate": "auto"}, {"min_face": 60, "max_faces": 2}], ids=str)
@pytest.mark.parametrize("model", ["gluon-4", "wide-1"])
def test_options(image: np.ndarray, model: str, options: dict[str, Any]) -> None:
    pictures = [np.hstack([image[::2, ::2], image[::2, ::-2]]), image[:0:-2, ::-2]]
    found, expected = (Detector(model, engine, **options).detect_batch(pictures) for engine in ("torch", "native"))
    for f, e in zip(found, expected):
        assert len(f) == len(e)
        np.testing.assert_allclose(f.boxes, e.boxes, atol=0.01)
        np.testing.assert_allclose(f.scores, e.scores, atol=1e-4)
        np.testing.assert_allclose(f.landmarks, e.landmarks, atol=0.01)


def test_photos_alone_and_together(ours: Detector, image: np.ndarray) -> None:
    pictures = [image[::2, ::2], image[:1, :1], image[:200], image[::2, ::2], image[:30, :40]]
    for together, picture in zip(ours.detect_batch(pictures), pictures):
        alone = ours.detect(picture)
        assert len(together) == len(alone)
        np.testing.assert_allclose(together.boxes, alone.boxes, atol=1e-3)
    assert ours.detect_batch([]) == []


def test_half_precision_is_near(image: np.ndarray) -> None:
    half, whole = (Detector("gluon-4", engine).detect(image) for engine in ("torch-fp16", "torch"))
    assert len(half) == len(whole) == 1
    np.testing.assert_allclose(half.boxes, whole.boxes, atol=1.5)
    np.testing.assert_allclose(half.scores, whole.scores, atol=0.01)
    assert (half.boxes != whole.boxes).any()


# ---- graphs


class FakeGraph:
    made = 0
    wrong: float = 0
    error: Exception | None = None

    def __init__(self, function: Any, values: Any) -> None:
        if self.error:
            raise self.error
        self._function = function
        FakeGraph.made += 1

    def __call__(self, values: Any) -> Any:
        return self._function(values) + self.wrong


@pytest.mark.parametrize("wrong, error", [(0, None), (1, None), (0, RuntimeError("no capture here"))])
def test_graphs(
    wrong: float, error: Exception | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a shape that comes again has one; one that fails, or whose result differs, ends them all and is told of once."""
    monkeypatch.setattr(torch_graphs, "_Graph", FakeGraph)
    for name, value in (("made", 0), ("wrong", wrong), ("error", error)):
        monkeypatch.setattr(FakeGraph, name, value)
    graphs = torch_graphs.Graphs(True)
    with caplog.at_level(logging.WARNING):
        for round_ in range(6):
            for size in (2, 3):
                values = torch.full((size,), float(round_))
                assert torch.equal(graphs.run("double", lambda x: 2 * x, values), 2 * values)
        graphs.run("once", lambda x: x, torch.zeros(1))
    fails = bool(wrong or error)
    assert FakeGraph.made == (2 if not fails else 0 if error else 1)
    assert caplog.text.count("CUDA graphs are not used") == fails


def test_graphs_are_few_and_off_unless_asked_for(ours: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_graphs, "_Graph", FakeGraph)
    monkeypatch.setattr(torch_graphs, "KEYS", 20)
    graphs = torch_graphs.Graphs(True)
    for key in range(30):
        for _ in range(4):
            graphs.run(key, lambda x: x, torch.zeros(1))
    assert len(graphs._graphs) == torch_graphs.GRAPHS and len(graphs._seen) <= 22
    assert not ours.engine.graphs._is_on  # type: ignore[attr-defined]


# ---- what cannot be used


@pytest.mark.parametrize("engine", ["torch", "torch-fp16"])
def test_a_missing_runtime_names_its_package(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=rf"the engine {engine} needs torch .*: run pip install .*torch"):
        Detector(engine=engine)


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("device, message", [
    ("gpu", "PyTorch .*(built for the CPU only|finds no GPU)"), ("gpu:3", "PyTorch"), ("cuda", "PyTorch"),
    ("cuda:1", "PyTorch"), ("mps", "cannot use an Apple GPU here"),
])  # fmt: skip
def test_no_gpu(device: str, message: str) -> None:
    with pytest.raises(Unavailable, match=rf"^device='{device}': .*{message}"):
        Detector(engine="torch", device=device)
    with pytest.raises(
        Unavailable, match=rf"no engine can be used\. torch: device='{device}': .*{message}.*; onnx: .*; mxnet: "
    ):
        Detector(device=device)


def test_devices_of_pytorch(ours: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gpu` is another name of PyTorch's `cuda`; a GPU that does not exist, and one that fails, are named."""
    engine: Any = ours.engine
    fake = SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: True, device_count=lambda: 2), device=torch.device,
        ones=lambda size, device: SimpleNamespace(sum=lambda: torch.zeros(())),
    )  # fmt: skip
    monkeypatch.setattr(engine, "_torch", fake)
    for given, expected in (("gpu", "cuda:0"), ("gpu:1", "cuda:1"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")):
        assert str(engine._usable(given)) == expected
    with pytest.raises(Unavailable, match=r"device='gpu:2' does not exist: PyTorch sees 2 GPU"):
        engine._usable("gpu:2")

    def fail(size: int, device: Any) -> None:
        raise RuntimeError("CUDA error: no kernel image is available\nfor this device")

    fake.ones = fail
    with pytest.raises(Unavailable, match=r"device='gpu' cannot run PyTorch's kernels: for this device"):
        engine._usable("gpu")


def test_names_of_devices() -> None:
    for device in ("cpu", "gpu", "gpu:7", "cuda", "cuda:12", "mps"):
        engines.check_names("auto", device)
    for device in ("mps:0", "cuda:", "cuda:x", "CUDA", "cpu:0"):
        with pytest.raises(ConfigError, match=re.escape("device must be cpu, gpu, gpu:N, cuda, cuda:N or mps, not")):
            engines.check_names("auto", device)
    assert "torch" not in engines.auto_order() and engines.auto_order("cuda") == engines.auto_order("gpu:1") == engines.AUTO_GPU


def test_a_full_memory_is_named(ours: Detector) -> None:
    with (
        pytest.raises(MemoryError, match=r"the memory of cpu is full \(no more\): use a smaller batch_size"),
        ours.engine.at_work(),
    ):  # type: ignore[attr-defined]
        raise torch.cuda.OutOfMemoryError("no more")


def test_a_gpu_after_a_fork(ours: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    engine: Any = ours.engine
    monkeypatch.setattr(engine, "_process", os.getpid() + 1)
    monkeypatch.setattr(engine, "device", torch.device("cuda:0"))
    with (
        pytest.raises(Unavailable, match=r"'cuda:0' cannot be used after a fork: start processes with spawn"),
        engine.at_work(),
    ):
        pass


def test_threads_are_those_of_the_call(ours: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    engine: Any = TorchEngine(ours.bundle, threads=2)
    before = torch.get_num_threads()
    with engine.at_work():
        assert torch.get_num_threads() == 2 and torch.is_inference_mode_enabled()
    assert torch.get_num_threads() == before and not torch.is_inference_mode_enabled()
    monkeypatch.setattr("mtcnn_gluon.engines.torch._forks", [True])  # in a forked process
    with engine.at_work():
        assert torch.get_num_threads() == 1


def test_means_with_mirrored_outputs() -> None:
    points = np.zeros((1, 10), np.float32)
    points[0, :2] = 0.25, 0.5  # the left eye
    first = [np.float32([0.5]), np.float32([[0.1, 0.2, 0.3, 0.4]]), points]
    score, offsets, found = mean_with_mirrored(first, first)
    np.testing.assert_allclose(score, [0.5])
    np.testing.assert_allclose(offsets, [[(0.1 - 0.3) / 2, 0.2, (0.3 - 0.1) / 2, 0.4]])
    np.testing.assert_allclose(found.reshape(5, 2)[:2], [[(0.25 + 1) / 2, 0.25], [(0 + 0.75) / 2, 0.25]])


def test_the_cascade_works_alike(ours: Detector, image: np.ndarray) -> None:
    """Stage by stage, as evaluation and mining call it."""
    settings, native = ours.settings, Detector("gluon-4", "native").engine
    proposed, expected = (cascade.propose([image], engine, settings) for engine in (ours.engine, native))
    np.testing.assert_allclose(proposed.boxes, expected.boxes, atol=0.01)
    refined, expected = (cascade.refine([image], expected, engine, settings) for engine in (ours.engine, native))
    np.testing.assert_allclose(refined.boxes, expected.boxes, atol=0.01)
    assert len(cascade.output([image], refined, ours.engine, settings)[0]) == 1
