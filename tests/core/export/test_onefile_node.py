"""The one-file cascade in JavaScript: ONNX Runtime's WebAssembly build finds what its Python build finds."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mtcnn_gluon import read_image
from onefile_session import Session, make_model

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "tests/node"


@pytest.fixture(scope="module")
def node_folder() -> Path:
    """A folder, kept between runs, with the scripts and the npm packages that they import."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("needs node and npm")
    folder = ROOT / "build/node"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "detect.mjs"):
        shutil.copy(SCRIPTS / name, folder)
    if not (folder / "node_modules/onnxruntime-web").is_dir():
        install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--fetch-retries=1"]
        try:
            subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=300)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"npm cannot install onnxruntime-web: {error}")
    return folder


@pytest.mark.parametrize("part", [slice(None), slice(0, 11)], ids=["portrait", "nothing"])
def test_javascript_finds_the_same(node_folder: Path, tmp_path: Path, part: slice) -> None:
    image = np.ascontiguousarray(read_image(ROOT / "example/portrait.jpg")[part])
    model = make_model()
    (tmp_path / "mtcnn.onnx").write_bytes(model)
    image.tofile(tmp_path / "pixels.rgb")
    command = ["node", "detect.mjs", tmp_path / "mtcnn.onnx", tmp_path / "pixels.rgb", *map(str, image.shape[:2])]
    printed = subprocess.run(command, cwd=node_folder, check=True, capture_output=True, timeout=120).stdout
    found = {name: np.reshape(each["values"], each["shape"]) for name, each in json.loads(printed).items()}

    expected = Session(model).detect(image)
    assert list(found) == ["boxes", "scores", "landmarks"]
    assert len(found["scores"]) == len(expected) == (1 if part == slice(None) else 0)
    np.testing.assert_allclose(found["boxes"], expected.boxes, atol=0.01)
    np.testing.assert_allclose(found["scores"], expected.scores, atol=1e-4)
    np.testing.assert_allclose(found["landmarks"], expected.landmarks, atol=0.01)
