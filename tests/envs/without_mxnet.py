"""What must work where MXNet is not: run by `make test-envs` in an environment of its own, with any Python and numpy.

python tests/envs/without_mxnet.py
"""

import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from mtcnn_gluon import Detector, cli, read_image
from mtcnn_gluon.bundle import find_bundle
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.params_file import read_params

PORTRAIT = Path(__file__).parents[2] / "example/portrait.jpg"


def check_detection() -> None:
    """ONNX Runtime finds the face, and is what `auto` takes if OpenVINO is not there."""
    faces = Detector(model="official", engine="onnx").detect(PORTRAIT)
    assert len(faces) == 1 and faces.scores[0] > 0.99, faces
    chosen = Detector()
    assert chosen.engine.name == ("openvino" if importlib.util.find_spec("openvino") else "onnx")
    np.testing.assert_allclose(chosen.detect(read_image(PORTRAIT)).boxes, faces.boxes, atol=0.1)


def check_export(folder: Path) -> None:
    """Bundles are exported and exported again with the same bytes, with a note on what MXNet would have to write."""
    for source, name in (("official", "first"), (str(folder / "first"), "second")):
        assert cli.main(["export", source, str(folder / name)]) == 0
    files = sorted(path.name for path in (folder / "first").iterdir())
    assert files == ["manifest.json", "onet.onnx", "pnet.onnx", "rnet.onnx"], files
    for name in files:
        assert (folder / "first" / name).read_bytes() == (folder / "second" / name).read_bytes(), name
    assert len(Detector(folder / "second").detect(PORTRAIT)) == 1


def check_command(folder: Path) -> None:
    """`mtcnn-gluon detect` writes results, and `info` runs."""
    assert cli.main(["detect", str(PORTRAIT), "--json", str(folder / "faces.jsonl")]) == 0
    assert len(json.loads((folder / "faces.jsonl").read_text())["faces"]) == 1
    assert cli.main(["info"]) == 0


def check_messages(folder: Path) -> None:
    """What is missing is named, with the extra that brings it."""
    for engine, extra in (("mxnet", "[cpu]"), ("openvino", "[openvino]")):
        if importlib.util.find_spec(engine) is None:
            try:
                Detector(engine=engine)
            except ModelError as error:
                assert extra in str(error), error
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
    assert sorted(name for name in find_bundle("official").manifest["files"] if not name.endswith(".onnx")) == []
    with tempfile.TemporaryDirectory() as folder:
        check_detection()
        check_export(Path(folder))
        check_command(Path(folder))
        check_messages(Path(folder))
    assert sys.modules.get("mxnet") is None
    print(f"works without MXNet on Python {sys.version.split()[0]}, numpy {np.__version__}")


if __name__ == "__main__":
    main()
