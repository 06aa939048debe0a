"""read_image: every way of giving an image ends in the same RGB array, and everything else in an ImageError."""

import io
import os
import zlib
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon.errors import ImageError, MtcnnError
from mtcnn_gluon.io import image_formats, images
from mtcnn_gluon.io.images import is_image_path, read_as_stored, read_image

COLOURS = [[(230, 20, 30), (20, 200, 40), (10, 40, 220)], [(250, 240, 10), (5, 5, 5), (200, 60, 240)]]
BLOCKS = np.repeat(np.repeat(np.array(COLOURS, np.uint8), 16, axis=0), 16, axis=1)  # (32, 48, 3): no symmetry
GREY = np.repeat(np.repeat(np.array([[0, 60, 255], [128, 17, 200]], np.uint8), 16, axis=0), 16, axis=1)  # (32, 48)
RAMP16 = np.array([[0, 1, 128, 129, 257, 385, 386], [32767, 32768, 40000, 65278, 65406, 65407, 65535]], np.uint16)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def on_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """What the docstring promises, in float64: `alpha` 0..255 (H, W) over white."""
    share = alpha.astype(np.float64)[:, :, None] / 255
    return rgb.astype(np.float64) * share + 255 * (1 - share)


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=2)


def close(image: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    is_image = image.dtype == np.uint8 and image.shape == expected.shape and image.flags.c_contiguous
    return bool(is_image and np.abs(image.astype(np.float64) - expected).max() <= tolerance)


def shows_blocks(image: np.ndarray, is_lossy: bool) -> bool:
    """Whether `image` is BLOCKS; lossy formats smear the edges of the blocks, so there their middles must do."""
    if not is_lossy:
        return close(image, BLOCKS, 0)
    inside = np.arange(48) % 16 // 4 % 3 > 0  # 4..11 of every 16
    keep = np.ix_(inside[:32], inside)
    return image.shape == BLOCKS.shape and close(np.ascontiguousarray(image[keep]), BLOCKS[keep], 2)


# Encoded files: kind, options, whether lossy, file ending.
FILES: dict[str, tuple[str, dict[str, Any], bool, str]] = {
    "jpeg": ("JPEG", {"quality": 95}, True, ".jpg"),
    "progressive jpeg": ("JPEG", {"quality": 95, "progressive": True}, True, ".jpeg"),
    "png": ("PNG", {}, False, ".png"),
    "webp": ("WEBP", {"quality": 95}, True, ".webp"),
    "lossless webp": ("WEBP", {"lossless": True}, False, ".webp"),
    "tiff": ("TIFF", {}, False, ".tif"),
    "lzw tiff": ("TIFF", {"compression": "tiff_lzw"}, False, ".tiff"),
    "deflate tiff": ("TIFF", {"compression": "tiff_adobe_deflate"}, False, ".tiff"),
    "bmp": ("BMP", {}, False, ".bmp"),
    "gif": ("GIF", {}, False, ".gif"),
}


def file_of(name: str, array: np.ndarray = BLOCKS) -> bytes:
    kind, options, _, _ = FILES[name]
    image = Image.fromarray(array)
    return encode(image.convert("P", palette=Image.Palette.ADAPTIVE) if kind == "GIF" else image, kind, **options)


@pytest.mark.parametrize("name", FILES)
def test_formats(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo{FILES[name][3]}"
    path.write_bytes(file_of(name))
    assert shows_blocks(read_image(path), FILES[name][2])
    assert is_image_path(path)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 1)], ids=str)
@pytest.mark.parametrize("name", [name for name, row in FILES.items() if not row[2]])
def test_smallest_pictures(name: str, size: tuple[int, int]) -> None:
    array = np.full((*size, 3), (10, 200, 90), np.uint8)
    assert close(read_image(file_of(name, array)), array, 0)


@pytest.mark.parametrize(
    "name",
    ["photo.png", "two words.png", "[1]*?.png", "%41&'\".png", "фото 猫 é.png", "🙂.png", "UPPER.PNG", "no_ending",
     "wrong.jpg", "x" * 251 + ".png"],
)  # fmt: skip
@pytest.mark.parametrize("kind", [str, Path])
def test_paths(name: str, kind: type, tmp_path: Path) -> None:
    path = tmp_path / "a folder ü" / name
    path.parent.mkdir()
    path.write_bytes(file_of("png"))
    assert shows_blocks(read_image(kind(path)), False)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes(kind: Callable[[bytes], Any]) -> None:
    assert close(read_image(kind(file_of("png"))), BLOCKS, 0)


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photo.png").write_bytes(file_of("png"))
    monkeypatch.chdir(tmp_path)
    assert close(read_image("photo.png"), BLOCKS, 0)


# ---- kinds of pixels


def palette(alpha: bool | bytes = False) -> bytes:
    image = Image.fromarray(GREY // 64).convert("P")  # indices 0..3
    image.putpalette([200, 0, 0, 0, 150, 0, 0, 0, 250, 90, 91, 92])
    if alpha is False:
        return encode(image, "PNG")
    return encode(image, "PNG", transparency=0 if alpha is True else alpha)


PALETTE_RGB = np.array([[200, 0, 0], [0, 150, 0], [0, 0, 250], [90, 91, 92]], np.uint8)[GREY // 64]
ALPHA = GREY.T.copy().reshape(32, 48)


def rgba(array: np.ndarray, alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([array, alpha]))


def cmyk() -> bytes:
    """Inks whose colours need no formula: none, each alone, all three, black. At 4:4:4 blocks do not blend."""
    inks = np.array([[(0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 0, 0)], [(0, 0, 255, 0), (255, 255, 255, 0), (0, 0, 0, 255)]])
    blocks = np.repeat(np.repeat(inks.astype(np.uint8), 16, axis=0), 16, axis=1)
    return encode(Image.frombytes("CMYK", (48, 32), blocks.tobytes()), "JPEG", quality=95, subsampling=0)


CMYK_RGB = np.array(
    [[(255, 255, 255), (0, 255, 255), (255, 0, 255)], [(255, 255, 0), (0, 0, 0), (0, 0, 0)]], np.uint8
).repeat(16, axis=0).repeat(16, axis=1)  # fmt: skip
TRANSPARENT_GIF = encode(Image.open(io.BytesIO(palette())), "GIF", transparency=2)
MODES = {
    "grey png": (encode(Image.fromarray(GREY), "PNG"), as_rgb(GREY), 0),
    "grey jpeg": (encode(Image.fromarray(GREY), "JPEG", quality=95), as_rgb(GREY), 3),
    "black and white": (encode(Image.fromarray(GREY > 127), "PNG"), as_rgb((GREY > 127) * np.uint8(255)), 0),
    "rgba": (encode(rgba(BLOCKS, ALPHA), "PNG"), on_white(BLOCKS, ALPHA), 0.51),
    "rgba, opaque": (encode(rgba(BLOCKS, ALPHA * 0 + 255), "PNG"), BLOCKS, 0),
    "rgba, invisible": (encode(rgba(BLOCKS, ALPHA * 0), "PNG"), np.full_like(BLOCKS, 255), 0),
    "rgba webp": (encode(rgba(BLOCKS, ALPHA), "WEBP", lossless=True, exact=True), on_white(BLOCKS, ALPHA), 0.51),
    "rgba tiff": (encode(rgba(BLOCKS, ALPHA), "TIFF"), on_white(BLOCKS, ALPHA), 0.51),
    "la": (encode(Image.fromarray(np.dstack([GREY, ALPHA])), "PNG"), on_white(as_rgb(GREY), ALPHA), 0.51),
    "palette": (palette(), PALETTE_RGB, 0),
    "palette, one index transparent": (palette(True), on_white(PALETTE_RGB, (GREY // 64 != 0) * 255), 0),
    "palette, alpha an index": (
        palette(bytes([0, 100, 255, 200])),
        on_white(PALETTE_RGB, np.array([0, 100, 255, 200])[GREY // 64]),
        0.51,
    ),
    "gif with a transparent index": (TRANSPARENT_GIF, on_white(PALETTE_RGB, (GREY // 64 != 2) * 255), 0),
    "rgb, one colour transparent": (
        encode(Image.fromarray(BLOCKS), "PNG", transparency=COLOURS[0][1]),
        on_white(BLOCKS, np.any(COLOURS[0][1] != BLOCKS, axis=2) * 255),
        0,
    ),
    "grey, one value transparent": (
        encode(Image.fromarray(GREY), "PNG", transparency=60), on_white(as_rgb(GREY), (GREY != 60) * 255), 0,
    ),
    "16-bit grey": (encode(Image.fromarray(RAMP16), "PNG"), np.rint(as_rgb(RAMP16) / 257), 0),
    "16-bit grey tiff": (encode(Image.fromarray(RAMP16), "TIFF"), np.rint(as_rgb(RAMP16) / 257), 0),
    "16-bit grey, one value transparent": (
        encode(Image.fromarray(RAMP16), "PNG", transparency=257),
        on_white(np.rint(as_rgb(RAMP16) / 257), (RAMP16 != 257) * 255),
        0,
    ),
    "float tiff": (encode(Image.fromarray((GREY / 255).astype(np.float32)), "TIFF"), as_rgb(GREY), 0),
    "cmyk jpeg": (cmyk(), CMYK_RGB, 4),
    "cmyk tiff": (encode(Image.open(io.BytesIO(cmyk())), "TIFF"), CMYK_RGB, 4),
}  # fmt: skip


@pytest.mark.parametrize("name", MODES)
def test_kinds_of_pixels(name: str) -> None:
    data, expected, tolerance = MODES[name]
    assert close(read_image(data), expected, tolerance)


@pytest.mark.parametrize("name", MODES)
def test_pil_images_read_as_their_files_do(name: str) -> None:
    data, expected, tolerance = MODES[name]
    with Image.open(io.BytesIO(data)) as image:
        assert close(read_image(image), expected, tolerance)


@pytest.mark.parametrize(
    "mode",
    ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "I", "I;16", "I;16B", "F"],
)
def test_pil_modes(mode: str) -> None:
    image = read_image(Image.new(mode, (4, 3)))
    assert image.shape == (3, 4, 3) and image.dtype == np.uint8
    shade = 0 if mode in ("1", "L", "P", "RGB", "RGBX", "HSV", "I", "I;16", "I;16B", "F") else 255  # no ink, or transparent
    assert mode == "YCbCr" or (image == shade).all()


def test_pil_image_is_left_as_it_is() -> None:
    image = rgba(BLOCKS, ALPHA)
    image.getexif()[0x0112] = 6
    before = image.mode, image.size, image.tobytes(), dict(image.getexif())
    assert read_image(image).shape == (48, 32, 3)
    assert (image.mode, image.size, image.tobytes(), dict(image.getexif())) == before


# ---- orientation and pages


UNDO: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # upright -> what a camera stores under that EXIF orientation
    1: lambda v: v,
    2: lambda v: v[:, ::-1],
    3: lambda v: v[::-1, ::-1],
    4: lambda v: v[::-1],
    5: lambda v: v.transpose(1, 0, 2),
    6: lambda v: np.rot90(v, 1),
    7: lambda v: v.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda v: np.rot90(v, -1),
    0: lambda v: v,  # not an orientation
    9: lambda v: v,
}


@pytest.mark.parametrize("name", ["jpeg", "progressive jpeg", "png", "lossless webp", "tiff"])
@pytest.mark.parametrize("orientation", UNDO)
def test_exif_orientation(name: str, orientation: int) -> None:
    kind, options, is_lossy, _ = FILES[name]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(np.ascontiguousarray(UNDO[orientation](BLOCKS))), kind, exif=exif, **options)
    assert shows_blocks(read_image(data), is_lossy)
    with Image.open(io.BytesIO(data)) as image:
        assert shows_blocks(read_image(image), is_lossy)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_as_stored(orientation: int, tmp_path: Path) -> None:
    """Without the rotation: rows and columns as the file has them."""
    stored = np.ascontiguousarray(UNDO[orientation](BLOCKS))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(stored), "PNG", exif=exif)
    (tmp_path / "photo.png").write_bytes(data)
    for source in (data, tmp_path / "photo.png", Image.open(io.BytesIO(data)), stored):
        assert np.array_equal(read_as_stored(source), stored)


@pytest.mark.parametrize("kind, options", [("GIF", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("PNG", {})])
def test_first_of_several_pages(kind: str, options: dict[str, Any]) -> None:
    first, others = Image.fromarray(BLOCKS), [Image.fromarray(np.ascontiguousarray(v)) for v in (BLOCKS[::-1], 255 - BLOCKS)]
    data = encode(first, kind, save_all=True, append_images=others, **options)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 3
    assert close(read_image(data), BLOCKS, 0)


# ---- arrays


DTYPES = ["u1", "<u2", ">u2", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "longdouble"]


def of_dtype(values: np.ndarray, dtype: str) -> np.ndarray:
    """uint8 `values` on the scale that an image of `dtype` has."""
    if np.dtype(dtype).kind == "f":
        return (values / 255).astype(dtype)
    return (values.astype(np.uint32) * (257 if np.dtype(dtype).itemsize == 2 else 1)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_array_dtypes_and_shapes(dtype: str) -> None:
    alpha = ALPHA[:, :, None]
    cases = [
        (GREY, as_rgb(GREY)),
        (GREY[:, :, None], as_rgb(GREY)),
        (BLOCKS, BLOCKS),
        (np.dstack([BLOCKS, alpha]), on_white(BLOCKS, ALPHA)),
        (np.dstack([BLOCKS, alpha * 0 + 255]), BLOCKS),
        (BLOCKS[:1, :1], BLOCKS[:1, :1]),
    ]
    for values, expected in cases:
        array = of_dtype(values, dtype)
        before = array.copy()
        assert close(read_image(array), expected, 0.51), values.shape
        assert (array == before).all()


def test_every_level_of_an_array() -> None:
    levels = np.arange(65536, dtype=np.uint16)[None]
    assert (read_image(levels)[0, :, 0] == np.rint(levels[0] / 257)).all()
    shares = np.linspace(0, 1, 1001)[None]
    assert (read_image(shares)[0, :, 0] == np.rint(shares[0] * 255)).all()


def test_rgb_array_is_not_copied_when_it_need_not_be() -> None:
    assert read_image(BLOCKS) is BLOCKS


@pytest.mark.parametrize(
    "view",
    [BLOCKS[:, :, ::-1], BLOCKS[::2, ::3], np.asfortranarray(BLOCKS), BLOCKS[::-1], np.broadcast_to(BLOCKS[:1], (9, 48, 3))],
    ids=["bgr", "steps", "fortran", "flipped", "broadcast"],
)
def test_strided_arrays(view: np.ndarray) -> None:
    assert close(read_image(view), view, 0)


@pytest.mark.parametrize(
    "array, words",
    [
        (np.zeros(()), "()"), (np.zeros(5, np.uint8), "(5,)"), (np.zeros((2, 2, 2), np.uint8), "(2, 2, 2)"),
        (np.zeros((3, 8, 8), np.uint8), "(3, 8, 8)"), (np.zeros((4, 4, 5), np.uint8), "(4, 4, 5)"),
        (np.zeros((1, 4, 4, 3), np.uint8), "(1, 4, 4, 3)"), (np.zeros((0, 0, 3), np.uint8), "(0, 0, 3)"),
        (np.zeros((0, 5), np.uint8), "(0, 5"), (np.zeros((5, 0, 3), np.float32), "(5, 0, 3)"),
        (np.zeros((5, 5, 0), np.uint8), "(5, 5, 0)"), (np.zeros((4, 4), bool), "bool"), (np.zeros((4, 4), np.int8), "int8"),
        (np.zeros((4, 4, 3), np.int32), "int32"), (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.zeros((4, 4, 3), np.uint32), "uint32"), (np.zeros((4, 4), complex), "complex128"),
        (np.zeros((4, 4), object), "object"), (np.array([["a", "b"]]), "<U1"),
        (np.full((4, 4, 3), np.nan), "nan"), (np.array([[0.5, np.nan]], np.float32), "nan"),
        (np.array([[0.5, np.inf]]), "inf"), (np.array([[-np.inf, 0.5]]), "inf"),
        (np.array([[0, 1.001]]), "1.001"), (np.array([[-0.001, 1]]), "-0.001"),
        (np.array([[0, 255]], np.float64), "255"), (np.full((4, 4, 4), np.nan, np.float16), "nan"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.dtype}",
)  # fmt: skip
def test_wrong_arrays(array: np.ndarray, words: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(array)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "source", [None, 5, 1.5, [[1, 2], [3, 4]], io.BytesIO(b""), object(), Image], ids=lambda source: type(source).__name__
)
def test_wrong_types(source: Any) -> None:
    with pytest.raises(ImageError, match=type(source).__name__):
        read_image(source)


# ---- what is not an image


def expect_error(source: Any, *words: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(source)
    assert isinstance(caught.value, MtcnnError)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["photo.jpg", "фото [1].jpg", "no/such/folder/photo.jpg", "x" * 300 + ".jpg", "x" * 5000])
def test_missing_path(name: str, tmp_path: Path) -> None:
    expect_error(tmp_path / name, name[:40])


def test_paths_that_are_not_files(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "photo.jpg").write_bytes(file_of("jpeg"))
    for name in ("folder.jpg", "loop.jpg", "gone.jpg", "photo.jpg/inside.jpg"):
        expect_error(tmp_path / name, name)
        expect_error(str(tmp_path / name), name)
    expect_error(tmp_path / "zero\0byte.jpg", "byte.jpg")
    expect_error("")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("closed", ["file", "folder"])
def test_forbidden_path(closed: str, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "photo.jpg"
    path.parent.mkdir()
    path.write_bytes(file_of("jpeg"))
    target = path if closed == "file" else path.parent
    target.chmod(0)
    try:
        expect_error(path, "photo.jpg")
    finally:
        target.chmod(0o700)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"This is a text, not a photo.\n" * 50, b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\xff\xd8\xff",
     b"GIF89a", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"BM", b"II*\0", bytes(100_000)],
    ids=lambda content: repr(content[:12]),
)  # fmt: skip
def test_files_without_an_image(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo é.jpg"
    path.write_bytes(content)
    expect_error(path, str(path))
    expect_error(content, f"{len(content)} bytes")


NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.03, 0.3, 0.6, 0.95])
def test_truncated_files(name: str, share: float, tmp_path: Path) -> None:
    data = file_of(name, NOISE)
    path = tmp_path / f"photo{FILES[name][3]}"
    path.write_bytes(data[: int(len(data) * share)])
    expect_error(path, str(path))


@pytest.mark.parametrize("name", ["jpeg", "png", "bmp", "gif"])
def test_truncated_pil_image(name: str) -> None:
    data = file_of(name, NOISE)
    with Image.open(io.BytesIO(data[: int(len(data) * 0.6)])) as image:  # Pillow decodes only when the pixels are asked for
        expect_error(image)


def test_closed_pil_image() -> None:
    image = Image.open(io.BytesIO(file_of("png")))
    image.close()
    expect_error(image)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "I", "I;16", "F"])
@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)], ids=str)
def test_pil_image_without_pixels(mode: str, size: tuple[int, int]) -> None:
    expect_error(Image.new(mode, size))


def test_memoryview_with_gaps() -> None:
    expect_error(memoryview(file_of("png"))[::2])


@pytest.mark.parametrize(
    "values",
    [np.array([[0, 1.5]], "f4"), np.array([[np.nan, 0]], "f4"), np.array([[-1, 5]], "i4"), np.array([[0, 65536]], "i4")],
    ids=["above 1", "nan", "negative", "17 bits"],
)
def test_deep_grey_out_of_range(values: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    Image.fromarray(values).save(path)
    expect_error(path, str(path))


def png_header(width: int, height: int) -> bytes:
    """A black-and-white PNG of that size whose pixels are missing."""
    whole = encode(Image.new("1", (1, 1)), "PNG")
    chunk = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + whole[24:29]
    return whole[:8] + b"\0\0\0\r" + chunk + zlib.crc32(chunk).to_bytes(4, "big") + whole[33:]


@pytest.mark.parametrize("size", [(14_000, 14_000), (20_001, 20_000), (100_000, 100_000), (2**31 - 1, 2**31 - 1)], ids=str)
def test_decompression_bomb(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(*size))
    expect_error(path, str(path))


def test_size_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest picture allowed is read, one pixel more is not; the limit is lowered here to spare memory."""
    for name in ("png", "jpeg"):
        with Image.open(io.BytesIO(file_of(name))) as image:
            monkeypatch.setattr(images, "MAX_PIXELS", 32 * 48)
            assert read_image(file_of(name)).shape == read_image(image).shape == (32, 48, 3)
            monkeypatch.setattr(images, "MAX_PIXELS", 32 * 48 - 1)
            expect_error(file_of(name), "megapixels")
            expect_error(image, "megapixels")


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, more often near the start where the headers are, and sometimes the end cut off."""
    mutable = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        reach = len(mutable) if rng.random() < 0.5 else min(len(mutable), 64)
        mutable[rng.integers(reach)] = rng.integers(256)
    return bytes(mutable[: rng.integers(1, len(mutable))] if rng.random() < 0.3 else mutable)


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_give_an_image_or_an_image_error(name: str) -> None:
    data, wrong = file_of(name, NOISE), []
    for seed in range(25):
        try:
            image = read_image(damaged(data, np.random.default_rng([seed, len(name)])))
        except ImageError:
            continue
        except BaseException as error:
            wrong.append((seed, repr(error)))
            continue
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            wrong.append((seed, f"{image.dtype} {image.shape}"))
    assert not wrong


@pytest.mark.parametrize(
    "name, expected",
    [("a.jpg", True), ("a.JPEG", True), ("a.b.Png", True), ("a/b.webp", True), ("a.gif", True), ("a.bmp", True),
     ("a.TIF", True), ("a.tiff", True), ("a.txt", False), ("jpg", False), (".jpg", False), ("a.jpg.part", False),
     ("", False), ("a.jpg/b", False)],
)  # fmt: skip
def test_is_image_path(name: str, expected: bool) -> None:
    assert is_image_path(name) is expected
    assert is_image_path(Path(name)) is expected


# ---- formats that need another package, and addresses

HEIC_HEAD = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
AVIF_HEAD = b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif"


@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "a.jpg", "a"])
@pytest.mark.parametrize("head", [HEIC_HEAD, HEIC_HEAD.replace(b"heic", b"heix"), HEIC_HEAD.replace(b"heic", b"mif1")])
def test_heic_without_its_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, head: bytes) -> None:
    monkeypatch.setattr(image_formats, "_register_heic", lambda: False)
    (tmp_path / name).write_bytes(head + bytes(100))
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name}: HEIC needs pillow-heif: pip install pillow-heif"


@pytest.mark.parametrize("kind", [ImportError, OSError, AttributeError, ValueError])
def test_a_heic_decoder_that_does_not_work(monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
    def fail(name: str) -> None:
        raise kind("libheif.so.1: no such file")

    image_formats._register_heic.cache_clear()
    monkeypatch.setattr(image_formats.importlib, "import_module", fail)
    try:
        with pytest.raises(ImageError, match=r"the 124 bytes given: HEIC needs pillow-heif"):
            read_image(HEIC_HEAD + bytes(100))
    finally:
        image_formats._register_heic.cache_clear()


@pytest.mark.parametrize("orientation", [None, 6])
@pytest.mark.parametrize("name", ["a.heic", "a.hif", "a.jpg", "a"])
def test_heic(tmp_path: Path, name: str, orientation: int | None) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    image = Image.fromarray(BLOCKS)
    exif = image.getexif()
    if orientation:
        exif[0x0112] = orientation
    image.save(tmp_path / name, "HEIF", exif=exif.tobytes(), quality=95)
    picture = read_image(tmp_path / name)
    expected = np.rot90(BLOCKS, -1) if orientation else BLOCKS
    assert picture.shape == expected.shape
    assert np.abs(picture[8::16, 8::16].astype(int) - expected[8::16, 8::16]).max() < 30
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:200])
    with pytest.raises(ImageError, match=name):
        read_image(tmp_path / name)


def test_avif_without_its_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    Image.init()
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    with pytest.raises(ImageError, match=r"the 128 bytes given: AVIF needs Pillow 11\.3 or later"):
        read_image(AVIF_HEAD + bytes(100))


@pytest.mark.parametrize(
    "data", [b"\0\0\0\x18ftypisom\0\0\0\0mp42avc1", b"\0\0\0\x08ftyp", b"\xff\xff\xff\xffftyp", b"ftypheic"]
)
def test_other_containers_need_nothing(data: bytes) -> None:
    with pytest.raises(ImageError, match="not an image of a known format"):
        read_image(data + bytes(100))


@pytest.mark.parametrize("source", ["https://example.org//a.jpg", "http://a", "ftp://a/b", "data+x://y", "FILE:///a.jpg"])
def test_addresses_are_not_fetched(source: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(source)
    assert str(caught.value) == f"{source}: URLs are not fetched; download the file and give its path"


@pytest.mark.parametrize("source", ["C://a.jpg", "a:/b.jpg", "://a", "a/https://b", "1a://b"])
def test_what_is_no_address(source: str) -> None:
    with pytest.raises(ImageError, match="does not exist"):
        read_image(source)
