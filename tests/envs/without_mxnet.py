"""What must work where MXNet is not: run by `make test-envs` in an environment of its own, with any Python and numpy.

python tests/envs/without_mxnet.py
"""

import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from mtcnn_gluon import Detector, read_image
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.params_file import read_params
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.config import NETS
from mtcnn_gluon.engines import auto_order
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.operators.native import kernels

PORTRAIT = Path(__file__).parents[2] / "example/portrait.jpg"


def check_detection() -> None:
    """ONNX Runtime and, if there is a compiler, the package's own kernels find the face, and so does what `auto` takes."""
    for model, score in (("default", 0.9), ("official", 0.99)):
        faces = Detector(model, "onnx").detect(PORTRAIT)
        assert len(faces) == 1 and faces.scores[0] > score, faces
        chosen = Detector(model)
        assert chosen.engine.name == next(name for name in auto_order() if is_there(name))
        for detector in (chosen, *(Detector(model, "native") for _ in range(is_there("native")))):
            np.testing.assert_allclose(detector.detect(read_image(PORTRAIT)).boxes, faces.boxes, atol=0.1)


def is_there(engine: str) -> bool:
    """Whether what an engine needs is installed."""
    module = {"onnx": "onnxruntime"}.get(engine, engine)
    return kernels() is not None if engine == "native" else importlib.util.find_spec(module) is not None


def check_export(folder: Path) -> None:
    """Bundles are exported and exported again with the same bytes, with a note on what MXNet would have to write."""
    for source, name in (("official", "first"), (str(folder / "first"), "second")):
        assert cli.main(["export", source, str(folder / name)]) == 0
    files = sorted(path.name for path in (folder / "first").iterdir())
    nets = sorted(f"{net}{ending}" for net in NETS for ending in ("-0000.params", ".onnx"))
    assert files == ["manifest.json", *nets], files
    for name in files:
        assert (folder / "first" / name).read_bytes() == (folder / "second" / name).read_bytes(), name
    assert len(Detector(folder / "second").detect(PORTRAIT)) == 1
    for net, table in NETS.items():
        read = cv2.dnn.readNetFromONNX(str(folder / "first" / f"{net}.onnx"))
        read.setInput(np.zeros((1, 3, table.size, table.size), np.float32))
        assert read.forward("probability").size == 2


def check_command(folder: Path) -> None:
    """`mtcnn-gluon detect` writes results, and `info` runs."""
    assert cli.main(["detect", str(PORTRAIT), "--json", str(folder / "faces.jsonl")]) == 0
    assert len(json.loads((folder / "faces.jsonl").read_text())["faces"]) == 1
    assert cli.main(["info"]) == 0


def check_messages(folder: Path) -> None:
    """What is missing is named, with what brings it."""
    mxnet = "use Python 3.10 to 3.12" if sys.version_info >= (3, 13) else "run pip install mxnet==1.9.1"
    for engine, advice in (("mxnet", mxnet), ("openvino", "run pip install openvino")):
        if importlib.util.find_spec(engine) is None:
            try:
                Detector(engine=engine)
            except ModelError as error:
                assert advice in str(error), error
            else:
                raise AssertionError(f"{engine} is not there and yet it runs")
    (folder / "x.params").write_bytes(b"x")
    try:
        read_params(folder / "x.params")
    except ModelError as error:
        assert "x.params" in str(error)


def main() -> None:
    """Run all checks."""
    assert importlib.util.find_spec("mxnet") is None, "MXNet is installed here"
    assert not any(name.endswith(".json") for name in find_bundle("official").manifest["files"])
    with tempfile.TemporaryDirectory() as folder:
        check_detection()
        check_export(Path(folder))
        check_command(Path(folder))
        check_messages(Path(folder))
    assert sys.modules.get("mxnet") is None
    print(f"works without MXNet on Python {sys.version.split()[0]}, numpy {np.__version__}")


if __name__ == "__main__":
    main()
