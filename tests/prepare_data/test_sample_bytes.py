"""`mtcnn-gluon prepare` makes the same files, byte for byte, as the version that these digests come from.

The files must not depend on the machine. So the test gives the proposals instead of running nets, leaves out which files the
model's bundle has, which depends on what is installed, and rotates no crop, for which OpenCV is used. MXNet's own operators
round some pixels differently, so the test needs the package's kernels.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.operators.native import kernels
from mtcnn_gluon.prepare_data import sources
from mtcnn_gluon.prepare_data.sources import MinedSource
from painted_faces import make_annotations, write_csv, write_photos

COUNT = 40  # photos: two shards
DRAWING = ("--jitters", 4, "--negatives", 6, "--negatives-near", 1, "--landmark-jitters", 4, "--rotation", 0)
DIGESTS = {
    "pnet faces": "bf41a6eb6e4cb0c3ba4fc859cbe85f5fb586141b8ae1d1faa5af635782de92bf",
    "onet faces": "e1a85d6f3dda5491fb4bdb2337f5ed7a9d83d8d15a159a3dec763a1cd6c119c9",
    "pnet landmarks": "45df8015b3e1c170bda0c16c16a28a9bff5ee907a48a4c1e202017148601ae09",
    "onet landmarks": "e05cb5d08fc9910cb615a2b95d29f053f6df9e66776fa6dbdb418ddfcb51219d",
    "mined": "64b99b47c6f72fa5a3c61614b760d5c0507a0d8c9faedbc80046bddbe63832d5",
    "pnet records": "b1458cb33a4d03b674018dc3aa3a237145b9adf0595209b58820bfe20e323b2f",
    "onet records": "60d51f688d0d4fde303ccd0a71b16e3993be4ef07deddae31dd78c0f85cd494b",
}


def given_proposals(source: MinedSource, image: np.ndarray) -> np.ndarray:
    """Squares (60, 4) anywhere in a photo, the same for all photos of a size."""
    generator = np.random.default_rng(image.shape[:2])
    corners, sides = generator.uniform(-10, 70, (60, 2)), generator.uniform(12, 60, (60, 1))
    return np.hstack([corners, corners + sides])


def digest(folder: Path) -> str:
    """Of the names and contents of all files of a folder."""
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


@pytest.mark.skipif(kernels() is None, reason="needs the package's kernels")
def test_prepare_makes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: None) -> None:
    monkeypatch.setattr(MinedSource, "_propose", given_proposals)
    monkeypatch.setattr(sources, "MODEL_KEYS", tuple(key for key in sources.MODEL_KEYS if key != "files"))
    annotations = make_annotations(COUNT, seed=7)
    images, listed = write_photos(tmp_path / "images", annotations), write_csv(tmp_path / "list.csv", annotations)

    def prepare(name: str, verb: str, *arguments: Any) -> Path:
        out = tmp_path / name
        assert cli.main(["prepare", verb, *map(str, arguments), "--out", str(out)]) == 0
        return out

    faces = ("--images", images, "--annotations", listed, *DRAWING)
    made = {}
    for net in ("pnet", "onet"):
        made[f"{net} faces"] = prepare(f"{net} faces", "wider", "--net", net, "--seed", 3, *faces)
        points = ("--net", net, "--root", images, "--list", listed, *DRAWING)
        made[f"{net} landmarks"] = prepare(f"{net} landmarks", "landmarks", *points)
    made["mined"] = prepare("mined", "mine", "--model", "official", "--stage", "rnet", *faces, "--top-up", 1)
    for net, *folders in (("pnet", "pnet faces", "pnet landmarks"), ("onet", "mined", "onet faces", "onet landmarks")):
        where = ("--in", *(made[name] for name in folders), "--seed", 5)
        made[f"{net} records"] = prepare(f"{net} records", "records", "--net", net, *where)
    assert {name: digest(folder) for name, folder in made.items()} == DIGESTS
