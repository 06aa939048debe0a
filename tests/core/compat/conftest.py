"""Photos for the tests of the drop-in replacements."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon.compat import arrays


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    """A face in 340 x 320 pixels."""
    return Image.open(Path(__file__).parents[2] / "portrait.jpg").convert("RGB")


@pytest.fixture(scope="session")
def group(photo: Image.Image) -> Image.Image:
    """A large face on the left, and one of half its size in the middle of the right half."""
    picture = Image.new("RGB", (680, 320), (90, 90, 90))
    picture.paste(photo, (0, 0))
    picture.paste(photo.resize((170, 160)), (425, 80))
    return picture


@pytest.fixture
def folder(photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with photo.jpg and blank.png, which shows nobody."""
    photo.save(tmp_path / "photo.jpg", quality=95)
    Image.fromarray(np.zeros((100, 90, 3), np.uint8)).save(tmp_path / "blank.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """PyTorch cannot be imported."""
    monkeypatch.setattr(arrays, "torch_or_none", lambda: None)
