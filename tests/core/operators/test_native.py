"""The compiled kernels: against numpy, on every instruction set, with any number of threads; and what happens without them."""

import ctypes
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from mtcnn_gluon import Detector
from mtcnn_gluon.boxes import area, intersection
from mtcnn_gluon.errors import Unavailable
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators import LevelSource, crop_resize, draw_pieces, halve, mxnet_operators, native, nms
from mtcnn_gluon.operators.crop_resize import _crop_resize
from mtcnn_gluon.operators.nms import _nms

HERE = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def library() -> ctypes.CDLL:
    """The kernels. A library that does not fit fails the tests; only where none could be built are they skipped."""
    try:
        return native.load_kernels()
    except Unavailable as error:
        if "not built" in str(error):
            pytest.skip(str(error))
        raise


# ---- Suppression


def numpy_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float, mode: str, plus_one: bool) -> list[int]:
    order = np.argsort(-scores, kind="stable")
    return order[_nms(boxes[order].astype(np.float32).astype(np.float64), threshold, mode, float(plus_one))].tolist()


def oracle_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float, mode: str, plus_one: bool) -> list[int]:
    """Greedy suppression over the full matrix of overlaps."""
    boxes = boxes.astype(np.float64) + np.array([0, 0, plus_one, plus_one])
    shared, areas = intersection(boxes, boxes), area(boxes)
    whole = np.minimum(areas[:, None], areas) if mode == "min" else areas[:, None] + areas - shared
    keep: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if not any(shared[i, j] > threshold * whole[i, j] for j in keep):
            keep.append(i)
    return keep


def whole_boxes(generator: np.random.Generator, count: int) -> np.ndarray:
    """Boxes on whole pixels: many overlaps equal the thresholds, some boxes are empty, some turned inside out."""
    corner = generator.integers(0, 30, (count, 2))
    return np.hstack([corner, corner + generator.integers(-2, 13, (count, 2))]).astype(np.float32)


def fractional_boxes(generator: np.random.Generator, count: int) -> np.ndarray:
    corner = generator.uniform(0, 30, (count, 2))
    return np.hstack([corner, corner + generator.uniform(-1, 13, (count, 2))]).astype(np.float32)


def repeated_boxes(generator: np.random.Generator, count: int) -> np.ndarray:
    corner = 10 ** generator.uniform(-8, 0, (count, 2))
    boxes = np.hstack([corner, generator.uniform(500, 4000, (count, 2))]).astype(np.float32)
    return boxes[generator.integers(0, max(count, 1), count)]


def broken_boxes(generator: np.random.Generator, count: int) -> np.ndarray:
    boxes = fractional_boxes(generator, count)
    is_broken = generator.random(boxes.shape) < 0.05
    boxes[is_broken] = generator.choice([np.nan, np.inf, -np.inf, 3e38, -3e38], is_broken.sum())
    return boxes


@pytest.mark.filterwarnings("ignore:invalid value")  # numpy, of inf - inf
@pytest.mark.parametrize("plus_one", [False, True])
@pytest.mark.parametrize("mode", ["union", "min"])
@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("make", [whole_boxes, fractional_boxes, repeated_boxes, broken_boxes])
def test_nms_agrees_with_numpy_and_the_oracle(make: Callable, threshold: float, mode: Any, plus_one: bool) -> None:
    for seed, count in enumerate([0, 1, 2, 3, 31, 32, 33, 64, 120, 257, 300]):
        generator = np.random.default_rng(seed)
        boxes, scores = make(generator, count), generator.integers(0, 9, count) / 9  # many ties
        kept = nms(boxes, scores, threshold, mode, plus_one)
        assert kept.dtype == np.int64
        assert kept.tolist() == numpy_nms(boxes, scores, threshold, mode, plus_one)
        if make is not broken_boxes:
            assert kept.tolist() == oracle_nms(boxes, scores, threshold, mode, plus_one)


@pytest.mark.parametrize("box", [(np.nan,) * 4, (0, 0, np.nan, 10), (np.nan, 0, 10, 10), (5, 5, 5, 9), (9, 9, 1, 1)])
def test_a_box_of_nan_and_an_empty_one_overlap_nothing(box: tuple[float, ...]) -> None:
    boxes = np.array([box, (0, 0, 10, 10), box, (1, 1, 10, 10)], np.float32)
    assert nms(boxes, np.array([0.9, 0.8, 0.7, 0.6]), 0.5).tolist() == [0, 1, 2]


def test_overlap_equal_to_the_threshold_is_allowed() -> None:
    boxes = np.array([[0, 0, 12, 12], [4, 0, 16, 12]], np.float32)  # 96 shared of 192
    assert nms(boxes, np.array([0.9, 0.8]), 0.5).tolist() == [0, 1]
    assert nms(boxes, np.array([0.9, 0.8]), np.nextafter(0.5, 0)).tolist() == [0]
    assert nms(boxes, np.array([0.9, 0.8]), 96 / 144, "min").tolist() == [0, 1]


def test_nms_takes_any_layout_and_type() -> None:
    boxes, scores = whole_boxes(np.random.default_rng(0), 100), np.random.default_rng(0).random(100)
    expected = nms(boxes, scores, 0.5).tolist()
    for same in (boxes.astype(np.float64), boxes.astype(int), np.asfortranarray(boxes), np.repeat(boxes, 2, 0)[::2]):
        assert nms(same, scores.astype(np.float64), 0.5).tolist() == expected


# ---- Crops


def assert_crops_agree(image: np.ndarray, boxes: Any, size: int) -> None:
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    expected = _crop_resize(image, boxes, size)
    crops = crop_resize(image, boxes, size)
    assert crops.dtype == np.float32 and crops.shape == (len(boxes), 3, size, size)
    np.testing.assert_allclose(crops, expected, atol=1e-4)  # of 255
    normalised = crop_resize(image, boxes, size, 127.5, 1 / 128)
    np.testing.assert_allclose(normalised, (expected - np.float32(127.5)) * np.float32(1 / 128), atol=1e-6)
    bytes_ = crop_resize(image, boxes, size, 127.5, 1 / 128, dtype=np.uint8)
    assert bytes_.dtype == np.uint8 and bytes_.transpose(0, 2, 3, 1).flags.c_contiguous
    np.testing.assert_allclose(bytes_, expected, atol=0.5001)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (61, 83, 3)).astype(np.uint8)


@pytest.mark.parametrize("size", [1, 2, 12, 24, 48])
@pytest.mark.parametrize("kind", ["ordinary", "whole pixels", "tiny", "huge", "slender"])
def test_random_crops_agree_with_numpy(picture: np.ndarray, kind: str, size: int) -> None:
    generator = np.random.default_rng(size)
    corner = generator.uniform(-60, 100, (60, 2))
    if kind == "whole pixels":
        corner = np.round(corner)
    powers = {"ordinary": (0, 2), "tiny": (-9, 0), "huge": (2, 8), "slender": (-5, 5)}
    sides = 10 ** generator.uniform(*powers[kind], (60, 2)) if kind in powers else generator.integers(1, 90, (60, 2))
    assert_crops_agree(picture, np.hstack([corner, corner + sides]), size)


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 83, 61), (82, 60, 83, 61), (-1, -1, 0, 0), (83, 61, 90, 70), (-500, -500, -400, -400),
        (-1e12, -1e12, 1e12, 1e12), (1e12, 3, 2e12, 9),
        (82.999, 60.999, 83.001, 61.001), (-0.001, 5, 0.001, 6), (5, 5, 5 + 1e-12, 6), (40, -1e6, 41, 1e6),
    ],
)  # fmt: skip
def test_crops_at_and_beyond_the_border_agree_with_numpy(picture: np.ndarray, box: tuple[float, ...]) -> None:
    for size in (1, 12, 24):
        assert_crops_agree(picture, [box], size)


@pytest.mark.parametrize(
    "view",
    [
        lambda image: image[::-1], lambda image: image[:, ::-1], lambda image: image[..., ::-1], lambda image: image[::2, ::3],
        lambda image: image.transpose(1, 0, 2), np.asfortranarray, lambda image: np.broadcast_to(image[:1], image.shape),
        lambda image: image[:1], lambda image: image[:, :1], lambda image: image[:1, :1], lambda image: image[5:40, 7:50],
    ],
)  # fmt: skip
def test_crops_of_any_view_agree_with_numpy(picture: np.ndarray, view: Callable) -> None:
    assert_crops_agree(view(picture), [(-3, -2, 9.5, 8.25), (0.25, 0.5, 0.75, 1), (0, 0, 1, 1), (5, 6, 40, 39)], 12)
    assert_crops_agree(view(picture), [], 12)


# ---- Instruction sets, threads, processes


class Layer(ctypes.Structure):
    """`MtcnnLayer` of kernels.h."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in (
            "images", "height", "width", "channels", "pool", "kernel", "filters", "channels_first", "bfloat16", "stride"
        )
    ]  # fmt: skip


LAYERS = [
    (96, 10, 10, 10, 2, 3, 16, 0), (70, 3, 3, 16, 0, 3, 32, 0), (40, 22, 22, 28, 3, 3, 48, 0), (5, 9, 9, 48, 3, 2, 64, 0),
    (3, 46, 46, 32, 3, 3, 64, 0), (1, 150, 130, 3, 0, 3, 10, 1), (1, 101, 199, 10, 2, 3, 16, 0), (2, 5, 4, 130, 0, 2, 17, 0),
    (3, 3, 5, 1, 2, 2, 65, 0), (7, 4, 1, 3, 2, 1, 6, 0),
]  # fmt: skip
STRIDED = [
    (5, 35, 34, 3, 0, 4, 16, 1, 0, 2), (60, 12, 13, 3, 0, 3, 17, 1, 0, 2), (1, 700, 151, 3, 0, 8, 10, 1, 0, 4),
    (1, 83, 200, 2, 0, 3, 130, 1, 0, 3), (9, 8, 8, 3, 0, 8, 5, 1, 0, 4),
]  # fmt: skip
PRELUS = [(40, 28, 484), (100, 64, 9), (300, 128, 1), (3, 1, 65), (5, 17, 64)]  # outer, channels, inner
POOLS = [(60, 22, 22, 3), (700, 10, 10, 2), (3, 33, 65, 3), (40, 1, 33, 3), (5, 7, 1, 2)]  # planes, height, width, kernel


class Kernels:
    """Calls the library with random arrays and keeps what it writes."""

    def __init__(self) -> None:
        self.library = native.load_kernels()
        self.generator = np.random.default_rng(0)

    def random(self, *shape: int) -> np.ndarray:
        return self.generator.normal(size=shape).astype(np.float32)

    def call(self, name: str, *arguments: Any) -> None:
        pointers = [each.ctypes.data_as(ctypes.c_void_p) if isinstance(each, np.ndarray) else each for each in arguments]
        getattr(self.library, f"mtcnn_{name}")(*(ctypes.c_int64(each) if type(each) is int else each for each in pointers))

    def layer(self, *sizes: int) -> tuple[np.ndarray, ...]:
        """With a stride there are no slopes, and no gradient of the input."""
        s = Layer(*sizes)
        s.stride = max(s.stride, 1)
        rows, columns = ctypes.c_int64(), ctypes.c_int64()
        self.library.mtcnn_layer_output(ctypes.byref(s), ctypes.byref(rows), ctypes.byref(columns))
        data = self.random(s.images * s.height * s.width * s.channels)
        weight = self.random(s.filters * s.channels * s.kernel**2)
        alpha, bias = self.random(s.channels), self.random(s.filters)
        out = np.full(s.images * rows.value * columns.value * s.filters, np.nan, np.float32)
        gradients = [np.full_like(each, np.nan) for each in (data, alpha, weight, bias)]
        slopes, wanted = (None, [None, None, *gradients[2:]]) if s.stride > 1 else (alpha, gradients)
        self.call("layer_forward", ctypes.byref(s), data, slopes, weight, bias, out)
        self.call("layer_backward", ctypes.byref(s), self.random(len(out)), data, slopes, weight, *wanted)
        return (out, *(each for each in wanted if each is not None))

    def prelu(self, *sizes: int) -> tuple[np.ndarray, ...]:
        data, alpha = self.random(*sizes), self.random(sizes[1])
        out, *gradients = (np.full_like(each, np.nan) for each in (data, data, alpha))
        self.call("prelu_forward", data, alpha, out, *sizes)
        self.call("prelu_backward", self.random(*sizes), data, alpha, *gradients, *sizes)
        return (out, *gradients)

    def max_pool(self, planes: int, height: int, width: int, kernel: int) -> tuple[np.ndarray, ...]:
        data = self.random(planes, height, width)
        rows, columns = (max(0, -((kernel - length) // 2)) + 1 for length in (height, width))
        out, gradient = np.full((planes, rows, columns), np.nan, np.float32), np.full_like(data, np.nan)
        self.call("max_pool_forward", data, out, *data.shape, kernel)
        self.call("max_pool_backward", self.random(*out.shape), data, gradient, *data.shape, kernel)
        return out, gradient

    def boxes(self) -> tuple[np.ndarray, ...]:
        boxes, image = whole_boxes(self.generator, 700), self.generator.integers(0, 256, (90, 120, 3)).astype(np.uint8)
        corner = self.generator.uniform(-20, 90, (50, 2))
        sides = self.generator.uniform(0.1, 90, (50, 2))
        return nms(boxes, boxes[:, 0], 0.3), crop_resize(image, np.hstack([corner, corner + sides]), 24)

    def pyramid(self) -> tuple[np.ndarray, ...]:
        image = self.generator.integers(0, 256, (901, 1203, 3)).astype(np.uint8)
        halved, canvas = halve(image), np.zeros((3, 610, 340), np.float32)
        sources = [LevelSource(image, 541, 723), LevelSource(halved, 191, 255)]
        draw_pieces(canvas, sources, [(0, 390, 542, 333, 0, 0), (131, 1, 60, 255, 542, 80)], 127.5, 1 / 128)
        return halved, halve(halved), canvas


def kernel_results() -> dict[str, np.ndarray]:
    """What every kernel gives for fixed inputs, by name."""
    kernels = Kernels()
    tables = {
        "layer": (kernels.layer, LAYERS + STRIDED), "prelu": (kernels.prelu, PRELUS), "max_pool": (kernels.max_pool, POOLS)
    }  # fmt: skip
    results = {f"{name} {sizes}": function(*sizes) for name, (function, table) in tables.items() for sizes in table}
    results["boxes"], results["pyramid"] = kernels.boxes(), kernels.pyramid()
    results |= {f"bfloat16 layer {sizes}": kernels.layer(*sizes, 1) for sizes in LAYERS if native.has_bfloat16()}
    return {f"{name} {i}": array for name, arrays in results.items() for i, array in enumerate(arrays)}


def results_with(folder: Path, **environment: str) -> tuple[str, dict[str, np.ndarray]]:
    """The instruction set and `kernel_results` of a new process."""
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); import numpy, test_native as t; "
        "numpy.savez(sys.argv[1], **t.kernel_results()); print(t.native.load_kernels().mtcnn_instruction_set().decode())"
    )
    path = folder / "results.npz"
    output = run_python(code, str(path), **environment)
    return output.strip(), dict(np.load(path))


def run_python(code: str, *arguments: str, **environment: str) -> str:
    """What a new process prints."""
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def results() -> dict[str, np.ndarray]:
    return kernel_results()


@pytest.mark.parametrize("wanted", ["baseline", "avx2"])
def test_instruction_sets_agree(wanted: str, results: dict[str, np.ndarray], tmp_path: Path) -> None:
    found, others = results_with(tmp_path, MTCNN_GLUON_ISA=wanted)
    assert found in (wanted, "baseline")
    comparable = {name: array for name, array in results.items() if not name.startswith("bfloat16")}
    assert others.keys() == comparable.keys()
    for name, expected in comparable.items():
        scale = np.abs(expected).max()
        assert np.isfinite(scale), name
        np.testing.assert_allclose(others[name] / scale, expected / scale, atol=3e-6, err_msg=name)


@pytest.mark.parametrize("isa", ["baseline", ""])
def test_results_do_not_depend_on_the_number_of_threads(isa: str, tmp_path: Path) -> None:
    _, expected = results_with(tmp_path, OMP_NUM_THREADS="1", MTCNN_GLUON_ISA=isa)
    for threads in "25":
        _, others = results_with(tmp_path, OMP_NUM_THREADS=threads, MTCNN_GLUON_ISA=isa)
        for name, array in expected.items():
            np.testing.assert_array_equal(others[name], array, err_msg=f"{name}, {threads} threads")


def test_threads_of_python_can_use_the_kernels_at_once(results: dict[str, np.ndarray]) -> None:
    with ThreadPoolExecutor(4) as pool:
        for others in pool.map(lambda _: kernel_results(), range(4)):
            for name, array in results.items():
                np.testing.assert_array_equal(others[name], array, err_msg=name)


def test_the_peak_is_plausible() -> None:
    """Between a tenth of an operation a nanosecond and ten thousand: no unit is wrong, and nothing was left out."""
    assert native.instruction_set() in ("baseline", "avx2", "avx512")
    peaks = [native.peak_flops() for _ in range(2)]
    assert all(peak is not None and 1e8 < peak < 1e13 for peak in peaks)


def sum_of_crops(image: np.ndarray) -> float:
    return float(crop_resize(image, np.tile([[3, 4, 50, 60.0]], (64, 1)), 24).sum())


def test_a_forked_process_can_use_the_kernels(picture: np.ndarray) -> None:
    """Threads do not survive a fork; whoever waits for them waits forever."""
    expected = sum_of_crops(picture)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(sum_of_crops, [picture] * 2).get(timeout=20) == [expected] * 2


def test_forks_beside_busy_threads(picture: np.ndarray) -> None:
    """A process may fork while other threads hold the locks of the kernels' pool."""
    expected, stop, context = sum_of_crops(picture), threading.Event(), multiprocessing.get_context("fork")

    def work() -> None:
        while not stop.is_set():
            sum_of_crops(picture)

    def check() -> None:
        os._exit(0 if sum_of_crops(picture) == expected else 1)

    busy = [threading.Thread(target=work) for _ in range(2)]
    for thread in busy:
        thread.start()
    try:
        for _ in range(4):
            children = [context.Process(target=check) for _ in range(8)]
            for child in children:
                child.start()
            for child in children:
                child.join(30)
            assert [child.exitcode for child in children] == [0] * 8
    finally:
        stop.set()
        for thread in busy:
            thread.join()


# ---- Where they cannot be used


def why_not() -> str:
    with pytest.raises(Unavailable) as caught:
        native.load_kernels.__wrapped__()
    return str(caught.value)


def test_the_reason_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("MTCNN_GLUON_NATIVE", "0")
        assert why_not() == "switched off by MTCNN_GLUON_NATIVE=0"
    with monkeypatch.context() as patch:
        patch.setattr(native, "source_digest", lambda: "0123456789abcdef")
        assert "was built from other sources: install mtcnn-gluon again" in why_not()
    monkeypatch.setattr(native, "__file__", str(tmp_path / "native.py"))
    assert "not built: install mtcnn-gluon from a wheel for this kind of machine, or install a C++ compiler" in why_not()
    (tmp_path / "_kernels.so").write_bytes(b"no library")
    assert "_kernels.so cannot be loaded" in why_not()


def test_without_them_numpy_does_the_work(monkeypatch: pytest.MonkeyPatch, picture: np.ndarray) -> None:
    boxes, scores = whole_boxes(np.random.default_rng(0), 300), np.random.default_rng(0).random(300)
    kept, crops = nms(boxes, scores, 0.4), crop_resize(picture, [[1, 2, 30, 40.5]], 24, 127.5, 1 / 128)
    monkeypatch.setattr(native, "load_kernels", native.load_kernels.__wrapped__)
    monkeypatch.setattr(native, "source_digest", lambda: "0123456789abcdef")
    assert native.kernels() is None and native.peak_flops() is None and native.instruction_set() is None
    assert nms(boxes, scores, 0.4).tolist() == kept.tolist()
    np.testing.assert_allclose(crop_resize(picture, [[1, 2, 30, 40.5]], 24, 127.5, 1 / 128), crops, atol=1e-6)


DETECT = """
import json
from mtcnn_gluon import Detector
from mtcnn_gluon.cli.detect import portrait
from mtcnn_gluon.operators import mxnet_operators, native
faces = Detector("official", "mxnet").detect(portrait())
print(json.dumps([mxnet_operators.register(), native.kernels() is None, faces.boxes.tolist(), faces.scores.tolist()]))
"""


def test_detection_gives_the_same_faces_without_them(detector: Detector, image: np.ndarray) -> None:
    reason, is_without, boxes, scores = json.loads(run_python(DETECT, MTCNN_GLUON_NATIVE="0"))
    assert reason == "switched off by MTCNN_GLUON_NATIVE=0" and is_without
    faces = detector.detect(image)
    assert len(faces) == 1
    np.testing.assert_allclose(boxes, faces.boxes, atol=0.05)
    np.testing.assert_allclose(scores, faces.scores, atol=1e-4)


NET = """
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators import mxnet_operators, native
from mtcnn_gluon.symbol import PNet
mx, net = load_mxnet(), PNet()
net.initialize()
with mx.autograd.record():
    logits, offsets = net(mx.nd.ones((2, 3, 12, 12)))
    mask = mx.nd.negativemining(logits.reshape((2, 2)), mx.nd.array([0, 1]))
    loss = (logits.sum() + offsets.sum())
loss.backward()
assert loss.asscalar() == loss.asscalar() and mask.sum().asscalar() == 1
assert native.kernels() is not None
if mxnet_operators.register() is not None:
    try:
        PNet(form="native")
    except ModelError as error:
        print(error)
"""


def adapter_path() -> Path:
    mx = load_mxnet()
    return mxnet_operators._adapter(Path(mx.__file__).parent, mx.__version__)


def prepare_nothing(folder: Path) -> dict[str, str]:
    return {"MTCNN_GLUON_CACHE": str(folder / "cache"), "CXX": "c++"}


def prepare_no_compiler(folder: Path) -> dict[str, str]:
    return {**prepare_nothing(folder), "PATH": str(folder)}


def prepare_compiler(folder: Path, script: str) -> dict[str, str]:
    compiler = folder / "own-c++"
    compiler.write_text(f"#!/bin/bash\n{script}\n")
    compiler.chmod(0o755)
    return {**prepare_nothing(folder), "CXX": str(compiler)}


def prepare_compiler_that_fails(folder: Path) -> dict[str, str]:
    return prepare_compiler(folder, "echo 'adapter.cc:1: error: no good' >&2; exit 1")


def prepare_compiler_that_is_none(folder: Path) -> dict[str, str]:
    environment = prepare_compiler(folder, "")
    Path(environment["CXX"]).write_bytes(b"\0")
    return environment


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (prepare_no_compiler, "there is no C++ compiler (on Debian and Ubuntu: apt-get install g++)"),
        (prepare_compiler_that_fails, "cannot compile the adapter to MXNet: adapter.cc:1: error: no good"),
        (prepare_compiler_that_is_none, "the adapter to MXNet cannot be written: [Errno 8] Exec format error"),
    ],
)
def test_nets_run_on_stock_operators_without_the_adapter(prepare: Callable, reason: str, tmp_path: Path) -> None:
    output = run_python(NET, **prepare(tmp_path))
    assert output.startswith("native operators cannot be used: ") and reason in output


def test_a_damaged_adapter_is_compiled_again(tmp_path: Path) -> None:
    compiler = f'for last; do [ "$option" = -o ] && output=$last; option=$last; done; cp {adapter_path()} $output'
    environment = prepare_compiler(tmp_path, compiler)
    damaged = tmp_path / "cache" / adapter_path().name
    damaged.parent.mkdir()
    damaged.write_bytes(b"no library")
    assert run_python(NET, **environment) == ""
    assert damaged.read_bytes() == adapter_path().read_bytes()


def test_two_processes_can_compile_the_adapter_at_once(tmp_path: Path) -> None:
    slowly = f"""
for last; do [ "$option" = -o ] && output=$last; option=$last; done
head -c 100000 {adapter_path()} > $output; sleep 1; cp {adapter_path()} $output; touch {tmp_path}/done-$$"""
    environment = prepare_compiler(tmp_path, slowly)  # what it compiles, a real one has compiled before
    with ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(lambda _: run_python(NET, **environment), range(2)))
    assert outputs == ["", ""]
    assert len(list(tmp_path.glob("done-*"))) == 2
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [adapter_path().name]
