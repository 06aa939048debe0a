"""Images that programs give: PIL images, arrays and tensors of any type."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon.compat.arrays import as_tensor, pixels, stacked, torch_or_none
from mtcnn_gluon.errors import ImageError

VALUES = np.arange(24, dtype=np.uint8).reshape(2, 4, 3) * 10


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint16, np.float16, np.float32, np.float64])
def test_values_of_any_type(dtype: type) -> None:
    found = pixels(VALUES.astype(dtype))
    assert found.dtype == np.uint8 and np.array_equal(found, VALUES)


@pytest.mark.parametrize("value, expected", [(0.4, 0), (-0.4, 0), (254.6, 255), (255.4, 255), (1, 1), (0.6, 1)])
def test_fractions_are_rounded(value: float, expected: int) -> None:
    assert (pixels(np.full((3, 3, 3), value, np.float64)) == expected).all()


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4), (1, 1, 3)])
def test_shapes(shape: tuple[int, ...]) -> None:
    assert pixels(np.full(shape, 255.0)).shape == (*shape[:2], 3)


@pytest.mark.parametrize(
    "image, message",
    [
        (np.full((3, 3, 3), np.nan), "without NaN"), (np.full((3, 3, 3), 256), r"0..255, without NaN; this one spans 256..256"),
        (np.full((3, 3, 3), -1), "0..255"), (np.full((3, 3, 3), np.inf), "0..255"), (np.zeros((2, 3, 3, 3)), "shape"),
        (np.zeros((0, 3, 3)), "shape"), (np.zeros((3, 3, 2)), "shape"), (np.zeros((3, 3, 3), bool), "bool"),
        (np.zeros((3, 3, 3), complex), "complex"), ("photo.jpg", "a PIL image, an array or a tensor here, not str"),
        (None, "not NoneType"), ([[1]], "not list"), (b"", "not bytes"),
    ],
    ids=lambda value: "" if isinstance(value, np.ndarray) else str(value),
)  # fmt: skip
def test_no_image(image: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        pixels(image)


@pytest.mark.parametrize(
    "mode, value", [("RGB", (9, 8, 7)), ("L", 9), ("RGBA", (9, 8, 7, 255)), ("P", 0), ("CMYK", (0, 0, 0, 9))]
)
def test_pil_images_of_all_modes(mode: str, value: Any) -> None:
    assert pixels(Image.new(mode, (5, 4), value)).shape == (4, 5, 3)


def test_the_orientation_in_a_file_does_not_count() -> None:
    """As in the packages, whose arrays have the rows and columns that are stored."""
    image = Image.fromarray(VALUES)
    image.getexif()[0x0112] = 6
    assert np.array_equal(pixels(image), VALUES)


def test_results_without_torch(without_torch: None) -> None:
    made = as_tensor(np.zeros((3, 4, 5)).transpose(2, 0, 1))
    assert isinstance(made, np.ndarray) and made.dtype == np.float32 and made.flags.c_contiguous
    assert stacked([made, made]).shape == (2, 5, 3, 4)


def test_tensors() -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
    assert torch_or_none() is torch
    for given in (torch.from_numpy(VALUES), torch.from_numpy(VALUES).float().requires_grad_()):
        assert np.array_equal(pixels(given), VALUES)
    made = as_tensor(np.float32(VALUES).transpose(2, 0, 1))
    assert isinstance(made, torch.Tensor) and tuple(stacked([made, made]).shape) == (2, 3, 2, 4)
