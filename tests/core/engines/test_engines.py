"""The engines: they agree, `auto` takes what is there, and what cannot be used is named."""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, Iterator

import numpy as np
import pytest

from engine_agreement import Agreement
from mtcnn_gluon import Detector, engines, read_image
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.format import Bundle, read_bundle
from mtcnn_gluon.config import NETS
from mtcnn_gluon.engines import AUTO
from mtcnn_gluon.engines.base import MAX_BATCH, Engine
from mtcnn_gluon.engines.openvino import OpenVinoBf16Engine
from mtcnn_gluon.errors import ConfigError, ModelError, Unavailable
from mtcnn_gluon.export.bundle_files import export_bundle
from mtcnn_gluon.operators import native

ONNX_ENGINES = ("onnx", "openvino")
OTHERS = ("native", *ONNX_ENGINES, "torch")
ENDINGS = {"native": "-0000.params", "mxnet": "-0000.params", "onnx": ".onnx", "openvino": ".onnx"}  # of the files they read


def skip_without(engine: str) -> None:
    if engine == "torch":
        pytest.importorskip("torch", reason="needs PyTorch: pip install torch")


@pytest.fixture(scope="module", params=OTHERS)
def other(request: pytest.FixtureRequest, own_cache: None) -> Detector:
    skip_without(request.param)
    return Detector("official", request.param)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """The official weights in all formats, in a folder to be spoilt."""
    shutil.copytree(find_bundle("official").path, tmp_path / "model")
    return read_bundle(tmp_path / "model")


# ---- agreement


def test_faces_agree_on_real_photos(detector: Detector, other: Detector, dev_photos: list[Path]) -> None:
    agreement = Agreement()
    for path in dev_photos[::2]:
        image = read_image(path)
        agreement.add(detector.detect(image), other.detect(image))
    assert agreement.faces > 100 and agreement.share >= 0.995, agreement


@pytest.mark.parametrize("count", [1, 2, 3, 127, 129, 300])
def test_outputs_agree(detector: Detector, other: Detector, count: int) -> None:
    generator = np.random.default_rng(count)
    for net in ("rnet", "onet"):
        crops = generator.normal(0, 0.5, (count, 3, NETS[net].size, NETS[net].size)).astype(np.float32)
        found, expected = getattr(other.engine, net)(crops), getattr(detector.engine, net)(crops)
        assert [f.shape for f in found] == [e.shape for e in expected]
        for f, e in zip(found, expected):
            np.testing.assert_allclose(f, e, atol=1e-4)
    canvas = generator.normal(0, 0.5, (1, 3, 64, 128)).astype(np.float32)
    for f, e in zip(other.engine.pnet(canvas), detector.engine.pnet(canvas)):
        np.testing.assert_allclose(f, e, atol=1e-4)


def test_outputs_are_the_callers_own(other: Detector) -> None:
    crops = np.random.default_rng(0).normal(0, 0.5, (4, 3, 24, 24)).astype(np.float32)
    first = other.engine.rnet(crops)
    before = [output.copy() for output in first]
    other.engine.rnet(np.zeros_like(crops))
    for kept, output in zip(before, first):
        np.testing.assert_array_equal(kept, output)
    view = np.ascontiguousarray(crops[:, :, :, ::-1])[:, :, :, ::-1]  # not contiguous
    np.testing.assert_allclose(other.engine.rnet(view)[0], before[0], atol=1e-6)


def test_bfloat16_is_near(detector: Detector, image: np.ndarray, own_cache: None) -> None:
    try:
        faces = Detector("official", "openvino-bf16").detect(image)
    except ModelError as error:
        pytest.skip(str(error))
    expected = detector.detect(image)
    assert len(faces) == len(expected) == 1
    np.testing.assert_allclose(faces.boxes, expected.boxes, atol=3)
    np.testing.assert_allclose(faces.landmarks, expected.landmarks, atol=2)


def test_a_processor_without_bfloat16(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    class Core:
        def get_property(self, *_: str) -> list[str]:
            return ["FP32", "INT8"]

    monkeypatch.setattr("mtcnn_gluon.engines.openvino.need", lambda *_: SimpleNamespace(Core=Core))
    with pytest.raises(ModelError, match="no bfloat16"):
        OpenVinoBf16Engine(bundle)


def test_runtimes_meet_few_batch_sizes(other: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    if not other.engine.needs_warming:  # type: ignore[attr-defined]
        pytest.skip("any batch size will do")
    sizes, run = set(), other.engine.run  # type: ignore[attr-defined]
    monkeypatch.setattr(other.engine, "run", lambda net, x: (sizes.add(len(x)), run(net, x))[1])
    for count in range(1, 300, 7):
        other.engine.rnet(np.zeros((count, 3, 24, 24), np.float32))
    assert sizes <= {1 << i for i in range(8)} and max(sizes) == MAX_BATCH


@pytest.mark.parametrize(
    ("left", "crops_a_run", "expected"),
    [
        (100, 0, [64, 32, 4]), (100, 13, [64, 32, 4]), (100, 14, [128]), (128, 99, [128]), (1, 99, [1]), (3, 0, [2, 1]),
        (3, 1, [4]), (300, 0, [128, 128, 32, 8, 4]), (300, 7, [128, 128, 32, 16]), (300, 10, [128, 128, 64]),
        (129, 99, [128, 1]),
    ],
)  # fmt: skip
def test_crops_are_run_in_as_few_batches_as_pay(left: int, crops_a_run: int, expected: list[int]) -> None:
    class Sums(Engine):
        def __init__(self) -> None:
            self.crops_a_run, self.sizes = {"rnet": crops_a_run}, list[int]()

        def run(self, net: str, images: np.ndarray) -> list[np.ndarray]:
            self.sizes.append(len(images))
            return [images.sum((1, 2, 3)), images[:, :, 0, 0]]

    runner, crops = Sums(), np.random.default_rng(left).random((left, 3, 4, 4))
    sums, corners = runner._run_batches("rnet", crops)
    assert runner.sizes == expected
    np.testing.assert_allclose(sums, crops.sum((1, 2, 3)))
    np.testing.assert_array_equal(corners, crops[:, :, 0, 0])


@pytest.mark.parametrize("engine", OTHERS)
def test_threads(engine: str, image: np.ndarray) -> None:
    """Any number at any time, though MXNet already runs with another one."""
    skip_without(engine)
    for threads in (1, 2):
        assert len(Detector(engine=engine, threads=threads).detect(image)) == 1


# ---- what auto takes


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("MTCNN_GLUON_NATIVE", "0")
        native.load_kernels.cache_clear()
        yield
    native.load_kernels.cache_clear()


def test_auto_takes_the_kernels() -> None:
    assert Detector().engine.name == "native"


@pytest.mark.parametrize("absent, expected", [
    ([], "openvino"), (["openvino"], "onnx"), (["onnxruntime"], "openvino"), (["openvino", "onnxruntime"], "mxnet"),
])  # fmt: skip
def test_auto_takes_what_is_installed(
    absent: list[str], expected: str, no_kernels: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in absent:
        monkeypatch.setitem(sys.modules, module, None)
    assert Detector().engine.name == expected


def test_auto_on_an_old_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that use no more than SSE are not the fastest, but better than MXNet, which uses them too."""
    assert engines.auto_order() == AUTO
    monkeypatch.setattr(engines, "kernels", lambda: SimpleNamespace(mtcnn_instruction_set=lambda: b"baseline"))
    assert Detector().engine.name == "openvino"
    for module in ("openvino", "onnxruntime"):
        monkeypatch.setitem(sys.modules, module, None)
    assert Detector().engine.name == "native"


def test_auto_takes_what_the_bundle_holds(bundle: Bundle, tmp_path: Path, no_kernels: None) -> None:
    assert Detector(export_bundle(bundle, tmp_path / "symbol", ["symbol"]).path).engine.name == "mxnet"
    only = export_bundle(bundle, tmp_path / "onnx", ["onnx"])
    assert Detector(only.path).engine.name == "openvino"
    assert Detector(only.path, engine="mxnet").engine.name == "mxnet"


def test_auto_where_nothing_is_there(bundle: Bundle, tmp_path: Path, no_kernels: None, monkeypatch: pytest.MonkeyPatch) -> None:
    only = export_bundle(bundle, tmp_path / "onnx", ["onnx"])
    for module in ("openvino", "onnxruntime"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("mtcnn_gluon.engines.mxnet.load_mxnet", lambda threads: Detector(only.path, engine="openvino"))
    message = r"native: .*MTCNN_GLUON_NATIVE.*openvino: .*pip install openvino.*onnx: .*install onnxruntime.*mxnet: .*openvino"
    with pytest.raises(ModelError, match=message):
        Detector(only.path)


# ---- what cannot be used


@pytest.mark.parametrize("engine, module", [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_missing_runtime_names_its_package(engine: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModelError, match=rf"run pip install {module}$"):
        Detector(engine=engine)


@pytest.mark.parametrize("engine, module", [("onnx", "onnxruntime"), ("openvino", "openvino"), ("openvino-bf16", "openvino")])
def test_a_runtime_that_does_not_load(tmp_path: Path, engine: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{module}.py").write_text("raise OSError('libgomp.so.1: file too short')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(Unavailable, match=r"is installed but cannot be imported: libgomp\.so\.1: file too short"):
        Detector(engine=engine)


@pytest.mark.parametrize("engine, message", [
    ("onnx", "onnxruntime-gpu"), ("openvino", "runs on the cpu only"), ("openvino-bf16", "runs on the cpu only"),
    ("native", "runs on the cpu only"),
])  # fmt: skip
@pytest.mark.parametrize("device", ["gpu", "gpu:3"])
def test_no_gpu(engine: str, message: str, device: str) -> None:
    with pytest.raises(ModelError, match=rf"device='{device}'.*{message}"):
        Detector(engine=engine, device=device)


def replace(bundle: Bundle, name: str, data: bytes) -> None:
    """Put other bytes into a bundle, with the digest that belongs to them."""
    (bundle.path / name).write_bytes(data)
    files = {**bundle.manifest["files"], name: hashlib.sha256(data).hexdigest()}
    (bundle.path / "manifest.json").write_text(json.dumps({**bundle.manifest, "files": files}))


@pytest.mark.parametrize("engine", AUTO)
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("spoil", [
    lambda data: b"garbage", lambda data: b"", lambda data: data[: len(data) // 2], lambda data: bytes(len(data)),
], ids=["garbage", "empty", "half", "zeros"])  # fmt: skip
def test_a_file_that_is_none(bundle: Bundle, engine: str, net: str, spoil: Callable[[bytes], bytes]) -> None:
    """Its digest is right, so only the runtime can tell."""
    name = f"{net}{ENDINGS[engine]}"
    replace(bundle, name, spoil((bundle.path / name).read_bytes()))
    for chosen in (engine, "auto") if engine == AUTO[0] else (engine,):
        with pytest.raises(ModelError, match=name.replace(".", r"\.")):
            Detector(bundle.path, engine=chosen)


@pytest.mark.parametrize("engine", AUTO)
@pytest.mark.parametrize("there, instead", [("pnet", "rnet"), ("rnet", "onet"), ("onet", "rnet"), ("rnet", "pnet")])
def test_nets_in_each_others_place(bundle: Bundle, engine: str, there: str, instead: str) -> None:
    ending = ENDINGS[engine]
    replace(bundle, there + ending, (bundle.path / (instead + ending)).read_bytes())
    with pytest.raises(ModelError, match=there + ending.replace(".", r"\.")):
        Detector(bundle.path, engine=engine)


@pytest.mark.parametrize("name", ["pnet.onnx", "rnet-0000.params", "onet.onnx"])
def test_tampered_and_missing_files(bundle: Bundle, name: str) -> None:
    data = bytearray((bundle.path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle.path / name).write_bytes(data)
    with pytest.raises(ModelError, match=rf"{name} is damaged or was changed"):
        Detector(bundle.path)
    (bundle.path / name).unlink()
    with pytest.raises(ModelError, match=rf"{name} is missing"):
        Detector(bundle.path)


def test_a_newer_manifest(bundle: Bundle) -> None:
    (bundle.path / "manifest.json").write_text(json.dumps({**bundle.manifest, "schema": 99}))
    with pytest.raises(ModelError, match=r"manifest\.json: schema 99 is newer"):
        Detector(bundle.path)


@pytest.mark.parametrize("engine", ONNX_ENGINES)
def test_a_bundle_without_the_engines_files(bundle: Bundle, tmp_path: Path, engine: str) -> None:
    only = export_bundle(bundle, tmp_path / "symbol", ["symbol"])
    with pytest.raises(ModelError, match=r"has no pnet\.onnx, rnet\.onnx, onet\.onnx, which .* needs.*where onnx is installed"):
        Detector(only.path, engine=engine)


def test_names() -> None:
    for engine in ("ONNX", "openvino-int8", "", None):
        with pytest.raises(
            ConfigError, match="engine must be one of auto, native, native-int8, openvino, openvino-bf16, onnx, mxnet"
        ):
            engines.check_names(engine, "cpu")  # type: ignore[arg-type]
