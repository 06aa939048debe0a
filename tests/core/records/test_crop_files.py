"""Crops as image files."""

import cv2
import numpy as np
import pytest

from mtcnn_gluon.records.crop_files import decode_crops, encode_crops
from record_samples import make_samples


def files_of(encoded: list[bytes]) -> list[np.ndarray]:
    return [np.frombuffer(file, np.uint8) for file in encoded]


@pytest.mark.parametrize("threads", [None, 1, 3])
@pytest.mark.parametrize("count", [0, 1, 63, 64, 200])
def test_decode_undoes_encode(count: int, threads: int | None) -> None:
    crops = make_samples(count, 12).crops
    decoded, found = decode_crops(files_of(encode_crops(crops, "png", threads=threads)), 12, threads)
    np.testing.assert_array_equal(decoded, crops)
    np.testing.assert_array_equal(found, np.full((count, 2), 12))


@pytest.mark.parametrize(("file_format", "signature"), [("png", b"\x89PNG"), ("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF")])
def test_files_are_rgb_to_everyone(file_format: str, signature: bytes) -> None:
    red = np.zeros((1, 24, 24, 3), np.uint8)
    red[..., 0] = 255
    (file,) = encode_crops(red, file_format)
    assert file.startswith(signature)
    image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)  # BGR
    assert image[..., 2].min() > 240 and image[..., :2].max() < 15


def test_jpeg_keeps_colours_at_full_size() -> None:
    stripes = np.zeros((1, 12, 12, 3), np.uint8)
    stripes[:, :, ::2, 0] = stripes[:, :, 1::2, 2] = 255  # red and blue, a pixel wide
    decoded, _ = decode_crops(files_of(encode_crops(stripes, "jpeg", 95)), 12)
    assert np.abs(decoded.astype(int) - stripes).mean() < 5


def test_what_is_no_crop_of_that_size() -> None:
    good, large = encode_crops(make_samples(1, 12).crops, "png")[0], encode_crops(make_samples(1, 24).crops, "png")[0]
    decoded, found = decode_crops(files_of([good, large, b"", b"no image", good[:20]]), 12)
    assert found.tolist() == [[12, 12], [24, 24], [0, 0], [0, 0], [0, 0]]
    np.testing.assert_array_equal(decoded[:1], make_samples(1, 12).crops)
