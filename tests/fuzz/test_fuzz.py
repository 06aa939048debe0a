"""Random inputs, thousands of them: each gives a sound result or one of the package's own errors.

The environment variable MTCNN_GLUON_FUZZ says how many (100 unless set; `make fuzz` takes 2000). All is seeded: a run
repeats. Damaged files are read in a process of their own, so that a crash, what C libraries print and memory can be seen.
"""

import contextlib
import copy
import fractions
import io
import itertools
import logging
import os
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from dataclasses import replace
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import IO, Any, Callable, Iterator

import cv2
import hypothesis
import numpy as np
import psutil
import pytest
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image, PngImagePlugin

import mtcnn_gluon.detection.detector
import mtcnn_gluon.io.video
from mtcnn_gluon import Detector, Faces, read_image
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.detection import cascade, pyramid
from mtcnn_gluon.errors import ImageError, ModelError
from mtcnn_gluon.io import images
from mtcnn_gluon.layers import View

COUNT = int(os.environ.get("MTCNN_GLUON_FUZZ", "100"))


def fuzz(share: float, **strategies: st.SearchStrategy) -> Callable[[Callable], Callable]:
    """Run a test on `share` times COUNT inputs, the same ones every time."""

    def decorate(test: Callable) -> Callable:
        settings = hypothesis.settings(
            max_examples=max(1, round(share * COUNT)),
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        return settings(hypothesis.given(**strategies)(test))

    return decorate


def is_image(value: Any) -> bool:
    is_array = type(value) is np.ndarray and value.dtype == np.uint8 and value.flags.c_contiguous
    return is_array and value.ndim == 3 and value.shape[2] == 3 and 0 not in value.shape


# ---- valid files of every format


WIDTH, HEIGHT = 61, 43  # sizes that are easy to find again in a header
SMOOTH = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH))[:, :, None] * np.array([1, 2, 3, 4]) % 256
PIXELS = (SMOOTH + np.random.default_rng(0).integers(0, 30, SMOOTH.shape)).clip(0, 255).astype(np.uint8)  # RGBA
DEEP = (PIXELS.astype(np.uint16) * 257)[:, :, :3]


def picture(mode: str, shift: int = 0) -> Image.Image:
    rgba = Image.fromarray(np.roll(PIXELS, shift, axis=1))
    if mode in ("I;16", "I"):
        return Image.fromarray(DEEP[:, :, 0].astype("u2" if mode == "I;16" else "i4"))
    if mode == "F":
        return Image.fromarray(DEEP[:, :, 0].astype("f4") / 65535)
    if mode == "LAB":
        return Image.frombytes("LAB", (WIDTH, HEIGHT), PIXELS[:, :, :3].tobytes())
    return rgba.convert(mode) if mode in ("RGBA", "LA") else rgba.convert("RGB").convert(mode)


def saved(kind: str, mode: str, pages: int, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    others = {"save_all": True, "append_images": [picture(mode, 7 * k) for k in range(1, pages)]} if pages > 1 else {}
    picture(mode).save(stream, kind, **others, **options)
    return stream.getvalue()


def pillow(kind: str, mode: str = "RGB", pages: int = 1, **options: Any) -> Callable[[], bytes]:
    return partial(saved, kind, mode, pages, options)


def opencv(ending: str, array: np.ndarray) -> Callable[[], bytes]:
    return lambda: cv2.imencode(ending, array)[1].tobytes()


def interlaced_png() -> bytes:
    """A PNG in seven passes, which neither library writes."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = [row for y, x, dy, dx in passes for row in PIXELS[y::dy, x::dx]]
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 6, 0, 0, 1)),
        (b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*part) for part in parts)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def icns() -> bytes:
    """An icon of one size; Pillow writes all, up to 1024 x 1024."""
    stream = io.BytesIO()
    picture("RGB").resize((128, 128)).save(stream, "PNG")
    data = b"ic07" + struct.pack(">I", 8 + stream.tell()) + stream.getvalue()
    return b"icns" + struct.pack(">I", 8 + len(data)) + data


def metadata() -> dict[str, Any]:
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010F: "maker", 0x8298: "rights"})
    exif.get_ifd(0x8769).update({0x9003: "2020:01:01 00:00:00", 0x927C: b"note" * 5})
    return {"exif": exif.tobytes(), "icc_profile": bytes(range(200))}


def png_text() -> PngImagePlugin.PngInfo:
    text = PngImagePlugin.PngInfo()
    text.add_text("title", "words " * 20, zip=True)
    text.add_itxt("title", "Wörter")
    return text


FILES: dict[str, Callable[[], bytes]] = {
    "jpeg": pillow("JPEG"),
    "progressive jpeg": pillow("JPEG", progressive=True),
    "grey jpeg": pillow("JPEG", "L"),
    "cmyk jpeg": pillow("JPEG", "CMYK"),
    "restart jpeg": pillow("JPEG", restart_marker_rows=1, subsampling=2, comment=b"words"),
    "exif jpeg": pillow("JPEG", **metadata()),
    "mpo": pillow("MPO", pages=2),
    **{f"{mode} png": pillow("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")},
    **{f"{bits}-bit palette png": pillow("PNG", "P", bits=bits) for bits in (1, 2, 4)},
    "transparent grey png": pillow("PNG", "L", transparency=7),
    "transparent rgb png": pillow("PNG", "RGB", transparency=(1, 2, 3)),
    "transparent 16-bit png": pillow("PNG", "I;16", transparency=257),
    "transparent palette png": pillow("PNG", "P", transparency=bytes(range(256))),
    "annotated png": pillow("PNG", pnginfo=png_text(), dpi=(72, 72), **metadata()),
    "animated png": pillow("PNG", "RGBA", pages=3),
    "interlaced png": interlaced_png,
    "16-bit rgb png": opencv(".png", DEEP),
    "webp": pillow("WEBP"),
    "lossless webp": pillow("WEBP", lossless=True),
    "transparent webp": pillow("WEBP", "RGBA", **metadata()),
    "animated webp": pillow("WEBP", "RGBA", pages=3),
    "gif": pillow("GIF", "P"),
    "grey gif": pillow("GIF", "L", interlace=0),
    "transparent gif": pillow("GIF", "P", transparency=3),
    "animated gif": pillow("GIF", "RGBA", pages=3, loop=0, disposal=2),
    **{f"{mode} bmp": pillow("BMP", mode) for mode in ("1", "L", "P", "RGB", "RGBA")},
    "16-bit bmp, opencv": opencv(".bmp", PIXELS),
    **{f"{mode} tiff": pillow("TIFF", mode) for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "LAB", "I;16", "I", "F")},
    **{f"{way} tiff": pillow("TIFF", compression=way) for way in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")},
    **{f"{way} tiff": pillow("TIFF", compression=way) for way in ("zstd", "lzma")},
    **{f"{way} tiff": pillow("TIFF", "1", compression=way) for way in ("group3", "group4", "tiff_ccitt")},
    "16-bit lzw tiff": pillow("TIFF", "I;16", compression="tiff_lzw"),
    "big tiff": pillow("TIFF", big_tiff=True),
    "tiff of pages": pillow("TIFF", pages=3),
    "exif tiff": pillow("TIFF", **metadata()),
    "ycbcr tiff": pillow("TIFF", "YCbCr", compression="jpeg"),
    "16-bit rgb tiff": opencv(".tiff", DEEP),
    "float rgb tiff": opencv(".tiff", DEEP.astype(np.float32) / 65535),
    **{f"{mode} ppm": pillow("PPM", mode) for mode in ("1", "L", "RGB", "I;16", "F")},
    **{f"{ending} of opencv": opencv(f".{ending}", PIXELS[:, :, :3]) for ending in ("ppm", "pam", "ras", "hdr")},
    "16-bit ppm": opencv(".ppm", DEEP),
    "pfm": opencv(".pfm", DEEP.astype(np.float32) / 65535),
    "ico": pillow("ICO", "RGBA", sizes=[(16, 16), (32, 32)]),
    "bmp ico": pillow("ICO", "RGBA", sizes=[(16, 16), (32, 32)], bitmap_format="bmp"),
    **{f"{mode} tga": pillow("TGA", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")},
    "rle tga": pillow("TGA", "RGBA", compression="tga_rle"),
    "icns": icns,
    "jpeg 2000": pillow("JPEG2000", "RGBA", num_resolutions=3),
    "lossy jpeg 2000": pillow("JPEG2000", irreversible=True, quality_layers=[20], num_resolutions=3),
    "16-bit jpeg 2000": pillow("JPEG2000", "I;16", num_resolutions=3),
    "tiled jpeg 2000": pillow("JPEG2000", tile_size=(16, 16), num_resolutions=2, no_jp2=True),
    "avif": pillow("AVIF", speed=10),
    "transparent avif": pillow("AVIF", "RGBA", speed=10, exif=metadata()["exif"]),
    "animated avif": pillow("AVIF", speed=10, pages=2),
    **{f"{way} dds": pillow("DDS", "RGBA", pixel_format=way) for way in ("DXT1", "DXT3", "DXT5")},
    "blp": pillow("BLP", "P"),
}  # fmt: skip
STUBS = ("BUFR", "GRIB", "HDF5", "WMF")  # Pillow writes these only with the help of other programs


def add_other_kinds() -> None:
    """The rest of what Pillow writes, each in the first mode that it takes."""
    Image.init()
    written = {"ICNS", *STUBS, *(write.args[0] for write in FILES.values() if isinstance(write, partial))}
    for kind, mode in itertools.product(sorted(set(Image.SAVE) - written), ("RGB", "P", "1", "F")):
        with contextlib.suppress(OSError, ValueError, KeyError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some kinds are deprecated
            saved(kind, mode, 1, {})
            FILES.setdefault(kind.lower(), pillow(kind, mode))


add_other_kinds()
if "AVIF" not in Image.SAVE:
    FILES = {name: write for name, write in FILES.items() if "avif" not in name}
UNREADABLE = ("float rgb tiff", "pam of opencv", "hdr of opencv", "pfm", "spider", "palm", "pdf", "eps")


def test_every_kind_that_pillow_writes_is_here() -> None:
    if "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF; all other kinds are tested")
    kinds = {write.args[0] for write in FILES.values() if isinstance(write, partial)}
    assert set(Image.SAVE) - set(STUBS) - kinds - {"HEIF"} == {"ICNS"}  # HEIF: of pillow-heif, if it was loaded


@cache
def valid_file(name: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some kinds are deprecated
        return FILES[name]()


@pytest.mark.parametrize("name", FILES)
def test_valid_files(name: str) -> None:
    """What is damaged below is whole: it has the picture's size, or is of a kind that is only written."""
    with contextlib.nullcontext() if name not in UNREADABLE else pytest.raises(ImageError):
        image = read_image(valid_file(name))
        assert is_image(image)
        assert sorted(image.shape[:2]) == [HEIGHT, WIDTH] or "ico" in name or name == "icns"


# ---- damage


HUGE = [0, 1, 2, 1415, 13_000, 20_000, 32_767, 65_535, 2**24 - 1, 2**31 - 1, 2**32 - 1]


def damaged(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    for _ in range(rng.integers(1, 4)):
        way = DAMAGES[rng.integers(len(DAMAGES))]
        data = way(data, other, rng) or data
    return with_digests(data) if rng.random() < 0.6 else data


def two_places(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    """A range, often near the start where the headers are, and often short."""
    reach = len(data) if rng.random() < 0.6 else min(len(data), 96)
    start = int(rng.integers(reach))
    return start, min(len(data), start + int(rng.integers(1, 2 ** rng.integers(1, 12))))


def flip(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    mutable = bytearray(data)
    for _ in range(rng.integers(1, 12)):
        start, _ = two_places(data, rng)
        mutable[start] = mutable[start] ^ (1 << rng.integers(8)) if rng.random() < 0.5 else rng.integers(256)
    return bytes(mutable)


def cut(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    start, stop = two_places(data, rng)
    return data[:start] + (data[stop:] if rng.random() < 0.7 else b"")


def overwrite(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    start, stop = two_places(data, rng)
    fills = (bytes(stop - start), b"\xff" * (stop - start), rng.bytes(stop - start), other[start:stop])
    return data[:start] + fills[rng.integers(4)] + data[stop:]


def repeat(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    start, stop = two_places(data, rng)
    return data[:start] + data[start:stop] * int(rng.integers(2, 60)) + data[stop:]


def swap(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    a, b, c, d = sorted((*two_places(data, rng), *two_places(data, rng)))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def mix_chunks(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Chunks of the file dropped, repeated or exchanged."""
    parts = chunks(data)
    for _ in range(rng.integers(1, 3)):
        i, j = rng.integers(len(parts), size=2)
        match rng.integers(3):
            case 0:
                parts[i], parts[j] = parts[j], parts[i]
            case 1:
                parts.insert(i, parts[j] * int(rng.integers(1, 40)))
            case 2:
                parts[i] = b""
    return b"".join(parts)


def resize(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Width or height in the header made huge, or nothing, in whatever way it is written there."""
    ways: list[Callable[[int], bytes]] = [
        *(lambda n, size=size, order=order: (n % 256**size).to_bytes(size, order) for size, order in
          ((2, "big"), (2, "little"), (4, "big"), (4, "little"))),
        lambda n: ((n - 1) % 2**24).to_bytes(3, "little"),
        lambda n: str(n).encode(),
    ]  # fmt: skip
    found = [way for way in ways if way(WIDTH) in data and way(HEIGHT) in data]
    if not found:
        return b""
    way = found[rng.integers(len(found))]
    for old in (WIDTH, HEIGHT):
        if rng.random() < 0.8:
            times = -1 if rng.random() < 0.3 else 1
            data = data.replace(way(old), way(HUGE[rng.integers(len(HUGE))]), times)
    return data


DAMAGES = (flip, flip, cut, overwrite, repeat, swap, mix_chunks, resize, resize)


def chunks(data: bytes) -> list[bytes]:
    """The parts of a PNG, RIFF, JPEG or ISO file, joined the file; of others, pieces of equal length."""
    starts = [0]
    if data[:4] == b"\x89PNG":
        starts, step = [0, 8], lambda at: 12 + int.from_bytes(data[at : at + 4], "big")
    elif data[:4] == b"RIFF":
        starts, step = [0, 12], lambda at: (9 + int.from_bytes(data[at + 4 : at + 8], "little")) // 2 * 2
    elif data[:2] == b"\xff\xd8":
        starts, step = [0, 2], lambda at: 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    elif data[4:8] in (b"ftyp", b"jP  "):
        step = lambda at: max(8, int.from_bytes(data[at : at + 4], "big"))  # noqa: E731
    else:
        step = lambda at: 1 + len(data) // 12  # noqa: E731
    while (following := starts[-1] + step(starts[-1])) < len(data):
        starts.append(following)
    return [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)])]


def with_digests(data: bytes) -> bytes:
    """A damaged PNG with right digests, so that the damage gets further than the first check."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return data
    first, *rest = chunks(data)
    return first + b"".join(png_chunk(part[4:8], part[8:-4]) if len(part) >= 12 else part for part in rest)


def damaged_file(name: str, seed: int) -> bytes:
    """Damaged file number `seed` of a format."""
    names = list(FILES)
    rng = np.random.default_rng([seed, *name.encode()])
    return damaged(valid_file(name), valid_file(names[rng.integers(len(names))]), rng)


# ---- reading them


LIMIT = 2500 * 2500  # pixels; lowered from 178 million, so that the largest pictures allowed are soon read
BYTES_PER_PIXEL, SLACK = 28, 30 * 2**20  # what reading may take: 5 GB for the largest pictures at the real limit
SECONDS = 10  # of processor time


def largest_files() -> Iterator[tuple[str, bytes]]:
    """Tiny files of the largest pictures allowed."""
    side = int(LIMIT**0.5)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        stream = io.BytesIO()
        Image.new(mode, (side, side)).save(stream, "PNG", **({"transparency": 0} if mode == "P" else {}))
        yield f"largest {mode} png", stream.getvalue()
    for name in ("gif", "transparent gif"):  # a small frame on a large canvas
        yield f"largest {name}", valid_file(name)[:6] + struct.pack("<HH", side, side) + valid_file(name)[10:]


@pytest.fixture(scope="module")
def damage_report() -> list[list[str]]:
    """What another process says that reads damaged files: rows of kind of fault, file and fault.

    The file is the arguments of `damaged_file`.
    """
    each = max(2, COUNT // 8)
    command = [sys.executable, __file__, str(each)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=1200, errors="replace")
    rows = [line.split("\t") for line in child.stdout.splitlines()]
    assert child.returncode == 0, f"crashed with status {child.returncode} at {rows[-1:]}\n{child.stderr[-3000:]}"
    assert sum(row[0] == "reading" for row in rows) == each * len(FILES) + len(list(largest_files()))
    return rows


@pytest.mark.parametrize("fault", ["result", "seconds", "memory", "printed"])
def test_damaged_files(fault: str, damage_report: list[list[str]]) -> None:
    """Each is an image or an ImageError, in bounded time and memory, and nothing is printed but by libtiff."""
    assert not [row[1:] for row in damage_report if row[0] == fault]


def read_damaged_files(each: int) -> None:
    """The other process: prints what it is `reading`, and a row for everything that is wrong."""
    images.MAX_PIXELS = LIMIT
    EpsImagePlugin.gs_binary = False  # damaged programs are not run on anybody's machine
    report = os.fdopen(os.dup(1), "w", buffering=1)
    with tempfile.TemporaryFile(buffering=0) as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        warnings.simplefilter("always")
        damaged_files = ((f"{name}, {seed}", damaged_file(name, seed)) for name in FILES for seed in range(each))
        for name, data in itertools.chain(largest_files(), damaged_files):
            report.write(f"reading\t{name}\n")
            for kind, fault in faults_of(data, printed):
                report.write(f"{kind}\t{name}\t{fault}\n")


def faults_of(data: bytes, printed: IO[bytes]) -> Iterator[tuple[str, str]]:
    """What goes wrong when `data` is read: kind and words."""
    restart_peak()
    before, started = memory("VmRSS"), time.process_time()
    try:
        image = read_image(data)
        if not is_image(image):
            yield "result", f"{type(image)} {image.dtype} {image.shape}"
    except ImageError:
        pass
    except BaseException as error:
        yield "result", repr(error)
    if (seconds := time.process_time() - started) > SECONDS:
        yield "seconds", f"{seconds:.1f}"
    if (grown := memory("VmHWM") - before) > LIMIT * BYTES_PER_PIXEL + SLACK:
        yield "memory", f"{grown / 2**20:.0f} MB"
    printed.seek(0)
    if words := printed.read():
        if data[:2] not in (b"II", b"MM"):  # libtiff prints by itself, and Pillow has no switch for it
            yield "printed", repr(words[:300])
        printed.truncate(0)
        printed.seek(0)


def restart_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def memory(key: str) -> int:
    """Bytes that this process holds (VmRSS) or held at most since `restart_peak` (VmHWM; elsewhere than on Linux: now)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024
    except OSError:
        return psutil.Process().memory_info().rss


# ---- arrays


SIMPLE = [np.dtype(code) for code in np.typecodes["All"] if code not in "SUV"]
DTYPES = [*SIMPLE, *(dtype.newbyteorder(">") for dtype in SIMPLE), *map(np.dtype, ("S3", "U2", "V5", "u1,f4", "(2,3)u1"))]
IMAGE_DTYPES = [np.dtype(code) for code in ("u1", "<u2", ">u2", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "longdouble")]
SIDES = st.integers(0, 70)
SHAPES = st.one_of(
    st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES, st.sampled_from([1, 3, 4])), st.lists(SIDES, max_size=5).map(tuple)
)
FILLS = ("bytes", "unit", "zero", "one", "nan", "beyond")


LARGEST = 400_000  # values that an array really holds; larger ones repeat them


def filled(shape: tuple[int, ...], dtype: np.dtype, fill: str, seed: int) -> np.ndarray:
    """An array of any dtype."""
    rng = np.random.default_rng(seed)
    held = tuple(n if np.prod(shape[i:], dtype=float) <= LARGEST else min(n, 1) for i, n in enumerate(shape))
    n = int(np.prod(held))
    if dtype.kind == "O":
        array = np.array([None, 0.5, "x", 3][seed % 4], object).repeat(n)
    elif fill == "bytes" or dtype.kind not in "uif":
        array = np.frombuffer(rng.bytes(n * dtype.itemsize), dtype).copy() if n and dtype.itemsize else np.zeros(n, dtype)
    elif fill == "unit":
        array = (rng.random(n) if dtype.kind == "f" else rng.integers(0, 100, n)).astype(dtype)
    else:
        special = {"zero": 0, "one": 1, "nan": np.nan if dtype.kind == "f" else 0, "beyond": 1.001}[fill]
        array = np.zeros(n).astype(dtype)
        array[rng.integers(0, 2, n) > 0] = special
    if array.dtype.names is None and array.shape != (n,):  # sub-array dtypes become axes
        array = array.reshape(-1)[:n]
    return np.broadcast_to(array.reshape(held), shape)


def mapped(array: np.ndarray) -> np.ndarray:
    if array.size == 0 or array.dtype.hasobject:
        return array
    with tempfile.TemporaryFile() as file:
        copied = np.memmap(file, array.dtype, "w+", shape=array.shape)
        copied[...] = array
        return copied


def unaligned(array: np.ndarray) -> np.ndarray:
    if array.dtype.hasobject or not array.nbytes:
        return array
    return np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:].view(array.dtype).reshape(array.shape)


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda array: array,
    "copied": np.array,
    "fortran": np.asfortranarray,
    "reversed": lambda array: array[tuple(slice(None, None, -1) for _ in array.shape)],
    "steps": lambda array: array.repeat(2, axis=0)[::2] if array.ndim else array,
    "moved axes": lambda array: np.moveaxis(np.moveaxis(array, 0, -1).copy(), -1, 0) if array.ndim > 1 else array,
    "read-only": lambda array: np.broadcast_to(array.copy(), array.shape),
    "unaligned": unaligned,
    "memory-mapped": mapped,
    "masked": lambda array: np.ma.masked_array(array, mask=np.arange(array.size).reshape(array.shape) % 3 == 0),
    "all masked": lambda array: np.ma.masked_array(array, mask=True),
    "matrix": lambda array: array.view(np.matrix) if array.ndim == 2 else array,
    "record array": lambda array: array.view(np.recarray),
    "character array": lambda array: array.view(np.chararray) if array.dtype.kind in "SU" else array,
}


@fuzz(
    10,
    shape=SHAPES,
    dtype=st.sampled_from(DTYPES) | st.sampled_from(IMAGE_DTYPES),
    fill=st.sampled_from(FILLS),
    layout=st.sampled_from(list(LAYOUTS)),
    seed=st.integers(0, 2**32 - 1),
)
def test_arrays(shape: tuple[int, ...], dtype: np.dtype, fill: str, layout: str, seed: int) -> None:
    array = filled(shape, dtype, fill, seed)
    if array.size <= LARGEST:
        array = LAYOUTS[layout](array)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            image = read_image(array)
        except ImageError:
            image = None
    if image is not None:
        assert is_image(image)
        assert image.shape == (*array.shape[:2], 3)
    elif "masked" not in layout:
        assert not is_valid(np.asarray(array))
    if image is not None and array.dtype == np.uint8 and array.shape[2:] == (3,):
        assert (image == np.asarray(array)).all()


def is_valid(array: np.ndarray) -> bool:
    """What `read_image` promises to take."""
    has_shape = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not has_shape or array.size == 0 or array.dtype.newbyteorder("=") not in IMAGE_DTYPES:
        return False
    with np.errstate(all="ignore"):
        return array.dtype.kind == "u" or bool(((array >= 0) & (array <= 1)).all())


# ---- detection


SHARES = st.sampled_from([0.0, 1.0]) | st.floats(0, 1)
SIZES = st.one_of(
    st.tuples(st.integers(30, 200), st.integers(30, 200)),
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.tuples(st.integers(1, 16), st.integers(200, 3000)) | st.tuples(st.integers(200, 3000), st.integers(1, 16)),
    st.sampled_from([(1, 1), (1, 3000), (3000, 13), (12, 12), (11, 200), (13, 13)]),
)
FLAT = ("constant", "noise", "gradient", "stripes", "checks")
WITH_FACES = ("portrait", "pasted", "rotated", "faint")
PICTURES = st.fixed_dictionaries(
    {"size": SIZES, "kind": st.sampled_from(WITH_FACES) | st.sampled_from(FLAT), "seed": st.integers(0, 2**32 - 1)}
)
LOW = st.tuples(*[st.floats(0, 0.4)] * 3)
OPTIONS = st.fixed_dictionaries({
    "min_face": st.floats(8, 40) | st.integers(8, 200).map(float),
    "factor": st.floats(0.3, 0.95),
    "thresholds": LOW | st.tuples(SHARES, SHARES, SHARES) | st.just((0.6, 0.7, 0.7)),
    "nms": st.tuples(SHARES, SHARES, SHARES, SHARES) | st.just((0.5, 0.7, 0.7, 0.7)),
})  # fmt: skip
CELLS = 1200  # that P-Net may propose at a low threshold: they are few, so that time stays bounded


def paint(portrait: np.ndarray, size: tuple[int, int], kind: str, seed: int) -> np.ndarray:
    """A picture of `size` (height, width), uint8 RGB."""
    rng, (h, w) = np.random.default_rng(seed), size
    low, high = rng.integers(0, 256, (2, 3))
    y, x = np.mgrid[:h, :w]
    match kind:
        case "constant":
            return np.full((h, w, 3), rng.choice([low, [0, 0, 0], [255, 255, 255]]), np.uint8)
        case "noise":
            return rng.integers(0, rng.integers(2, 257), (h, w, 3), dtype=np.int64).astype(np.uint8)
        case "gradient":
            share = (x / w * rng.random() + y / h * rng.random())[:, :, None] / 2
            return (low + (high - low) * share).astype(np.uint8)
        case "stripes" | "checks":
            period = rng.integers(1, 20)
            cell = x // period + (y // period if kind == "checks" else 0)
            return np.where((cell % 2 == 0)[:, :, None], low, high).astype(np.uint8)
    face = portrait[40:240, 130:330]
    if kind == "rotated":
        turn = cv2.getRotationMatrix2D((100, 100), rng.uniform(0, 360), rng.uniform(0.3, 1.5))
        face = cv2.warpAffine(face, turn, (200, 200))
    if kind != "pasted":
        side = max(h, w)
        whole = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        whole = np.ascontiguousarray(whole[(side - h) // 2 :, (side - w) // 2 :][:h, :w])
        return whole // 16 * 2 if kind == "faint" else whole
    canvas = np.full((h, w, 3), low, np.uint8)
    for _ in range(rng.integers(1, 6)):
        side = int(rng.integers(8, 200))
        top, left = rng.integers(0, h), rng.integers(0, w)
        part = canvas[top : top + side, left : left + side]
        part[:] = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)[: part.shape[0], : part.shape[1]]
    return canvas


def cut_to_cells(image: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    """As much of the picture as has few enough P-Net cells, if most of them pass."""

    def cells() -> float:
        levels = pyramid.plan_levels(*image.shape[:2], options["min_face"], options["factor"], View(12, 0, 2))
        return sum(level.height * level.width / 4 for level in levels)

    while options["thresholds"][0] < 0.5 and cells() > CELLS:
        h, w = image.shape[:2]
        image = image[: h * 2 // 3] if h > w else image[:, : w * 2 // 3]
    return image


def check_faces(faces: Faces, shape: tuple[int, ...], threshold: float) -> None:
    n = len(faces)
    for array, expected in ((faces.boxes, (n, 4)), (faces.scores, (n,)), (faces.landmarks, (n, 5, 2))):
        assert array.shape == expected and array.dtype == np.float32
        assert np.isfinite(array).all()
    assert (faces.boxes >= 0).all() and (faces.boxes[:, 2:] <= shape[1::-1]).all()
    assert (faces.boxes[:, 2:] > faces.boxes[:, :2]).all()
    assert (np.diff(faces.scores) <= 0).all()
    assert (faces.scores >= np.float32(threshold)).all() and (faces.scores >= 0).all() and (faces.scores <= 1).all()


def variant(detector: Detector, max_faces: int | None = None, **options: Any) -> Detector:
    """The same detector with other options, without loading the nets again."""
    other = copy.copy(detector)
    other.settings, other.max_faces = replace(detector.settings, **options), max_faces
    return other


@fuzz(1, spec=PICTURES, options=OPTIONS, max_faces=st.none() | st.integers(1, 20))
def test_any_picture_and_options(
    spec: dict[str, Any], options: dict[str, Any], max_faces: int | None, detector: Detector, image: np.ndarray
) -> None:
    picture = cut_to_cells(paint(image, **spec), options)
    before = picture.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        all_faces = cascade.detect([picture], detector.engine, replace(detector.settings, **options))[0]
        faces = variant(detector, max_faces, **options).detect(picture)
    assert (picture == before).all()
    check_faces(all_faces, picture.shape, options["thresholds"][2])
    check_faces(faces, picture.shape, options["thresholds"][2])
    assert len(faces) == (len(all_faces) if max_faces is None else min(max_faces, len(all_faces)))


@fuzz(
    0.3,
    specs=st.lists(PICTURES, max_size=7),
    batch_size=st.none() | st.integers(1, 8),
    min_face=st.integers(12, 60),
    factor=st.floats(0.5, 0.8),
    thresholds=st.sampled_from([(0.6, 0.7, 0.7), (0.5, 0.4, 0.3)]),
)
def test_a_batch_equals_one_by_one(
    specs: list[dict[str, Any]],
    batch_size: int | None,
    min_face: int,
    factor: float,
    thresholds: tuple[float, float, float],
    detector: Detector,
    image: np.ndarray,
) -> None:
    pictures = [paint(image, **spec) for spec in specs]
    other = variant(detector, min_face=float(min_face), factor=factor, thresholds=thresholds)
    together = other.detect_batch(pictures, batch_size)
    assert len(together) == len(pictures)
    for picture, faces in zip(pictures, together):
        alone = other.detect(picture)
        assert len(faces) == len(alone)
        np.testing.assert_allclose(faces.boxes, alone.boxes, rtol=0, atol=0.02)
        np.testing.assert_allclose(faces.scores, alone.scores, rtol=0, atol=1e-4)


# ---- options


NUMBERS = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.fractions(), st.decimals(), st.complex_numbers(),
    st.tuples(st.sampled_from([-1, 1]), st.sampled_from([20, 400, 5000])).map(lambda pair: pair[0] * 10 ** pair[1]),
    st.sampled_from([2**63, -0.0, 5e-324, 1.0000001, Decimal("0.5")]),
    st.floats(width=32).map(np.float32), st.floats(width=16).map(np.float16), st.floats().map(np.longdouble),
    st.integers(-(2**63), 2**63 - 1).map(np.int64), st.integers(0, 255).map(np.uint8), st.booleans().map(np.bool_),
    st.integers(-5, 5).map(lambda n: np.timedelta64(n, "D")),
)  # fmt: skip
SINGLES = st.one_of(
    st.none(), NUMBERS, st.text(), st.binary(), st.text().map(np.str_), st.text().map(Path),
    st.sampled_from([
        ..., object(), list, Detector, len, range(3), range(4), np.nan, np.array(0.5), np.array(5), np.array("auto"),
        np.array(["cpu"]), np.array(["default", "x"]), np.zeros(3), np.zeros((3, 1)), np.full(4, np.nan), np.eye(4),
        np.array([None] * 3), np.zeros(0), np.ma.masked_all(3), np.ma.masked, np.datetime64("NaT"), np.timedelta64("NaT"),
        np.zeros(3, "m8[s]"), np.zeros(4, "u1,f4"), np.void(b"abc"), memoryview(b"abc"), {0.1, 0.2, 0.3},
        dict.fromkeys((0.1, 0.2, 0.3)), NotImplemented, type, Exception("x"), fractions.Fraction(1, 3),
        "AUTO", "auto ", "cpu\n", "gpu:", "gpu:-1", "gpu:٣", "gpu:" + "9" * 30, "nan", "\0", "a\0b", "x" * 5000, "", ".",
        "\ud800", "\udc80", b"cpu", b"\xff", Path("nowhere"), Path("/dev/null"),
    ]),
    st.builds(lambda: iter([0.1, 0.2, 0.3])),
)  # fmt: skip
JUNK = SINGLES | st.recursive(
    SINGLES, lambda inner: st.lists(inner, max_size=5) | st.lists(inner, min_size=3, max_size=4).map(tuple), max_leaves=6
)
NEARLY = st.lists(SHARES | NUMBERS, min_size=3, max_size=4)  # of the right length, and most of it right
NAMES = ("model", "engine", "device", "min_face", "factor", "thresholds", "nms", "max_faces", "threads")


@pytest.fixture
def cheap(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Detectors without nets: only the options are real, and models that are not there."""
    find_bundle = mtcnn_gluon.detection.detector.find_bundle

    def find(model: Any) -> Any:
        is_name = isinstance(model, str) and model in ("default", "open", "official")
        return detector.bundle if is_name else find_bundle(model)

    monkeypatch.setattr(mtcnn_gluon.detection.detector, "find_bundle", find)
    monkeypatch.setattr(mtcnn_gluon.detection.detector.engines, "create", lambda *arguments: None)


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("name", NAMES)
def test_any_option(name: str) -> None:
    """A Detector whose options are usable, or a ValueError or ModelError that names the option."""

    @fuzz(1, value=JUNK | NEARLY if name in ("thresholds", "nms") else JUNK | NUMBERS)
    def check(value: Any) -> None:
        check_options({name: value})

    check()


@pytest.mark.usefixtures("cheap")
@fuzz(2, options=st.dictionaries(st.sampled_from(NAMES), JUNK, min_size=2))
def test_several_options(options: dict[str, Any]) -> None:
    check_options(options)


@pytest.mark.usefixtures("cheap")
@fuzz(0.2, name=st.text())
def test_unknown_options(name: str) -> None:
    if name not in NAMES:
        with pytest.raises(TypeError):
            Detector(**{name: 1})


def check_options(options: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            detector = Detector(**options)
        except (ValueError, ModelError) as error:
            assert any(name in str(error) for name in options), repr(error)
            return
    settings = detector.settings
    numbers = (settings.min_face, settings.factor, *settings.thresholds, *settings.nms)
    assert all(type(number) is float and np.isfinite(number) for number in numbers)
    assert settings.min_face >= 1 and 0 < settings.factor < 1 and len(settings.thresholds) == 3 and len(settings.nms) == 4
    assert all(0 <= share <= 1 for share in (*settings.thresholds, *settings.nms))
    assert len(Faces.empty()[: detector.max_faces]) == 0


# ---- command line


NAME_PARTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("[]*?-.!\0\n\udc80\udcff"), max_size=12),
    st.sampled_from(["", "-", "--", "--json", "-h", "[", "[]", "[!", "*", "**", "?", "a.png", "b [1].png", "sub", "text.jpg",
                     ".", "~", "x" * 300, "x" * 5000, "é" * 200, ".png", "clip.mp4", "a\0.png", "*\0", "NUL", "🙂.png",
                     "0", "7", "²", "٣", "9" * 30, "9" * 5000, "a.mkv"]),
)  # fmt: skip
PATHS = st.lists(NAME_PARTS, min_size=1, max_size=3).map("/".join).filter(lambda path: stays_inside(path))
VALUES = st.one_of(st.floats().map(str), st.integers().map(str), st.text(st.characters(exclude_categories=["Cs"])), PATHS)
FLAGS = st.one_of(
    st.tuples(st.sampled_from(["--json", "--csv", "--save", "--crops"]), PATHS | st.just("-")),
    st.tuples(st.sampled_from(["--min-face", "--factor", "--max-faces", "--engine", "--device", "--model"]), VALUES),
    st.tuples(st.just("--thresholds"), VALUES, VALUES, VALUES) | st.just(("--thresholds", "0", "0.5", "1")),
    st.tuples(st.just("--nms"), VALUES, VALUES, VALUES, VALUES) | st.just(("--min-face", "30")),
    st.just(("--resume",)),
)


def stays_inside(path: str) -> bool:
    """Whether a path cannot lead out of the current folder, so that a test searches and writes only there."""
    return not path.startswith(("/", "~")) and ".." not in path.split("/")


def as_arguments(flag: tuple[str, ...]) -> list[str]:
    name, *values = flag
    return [f"{name}={values[0]}"] if len(values) == 1 else [name, *values]


def fake_detect(self: Detector, source: Any) -> Faces:
    image = read_image(source)
    side = min(image.shape[:2])
    points = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]) * side
    return Faces([[0, 0, side, side]], [0.9], points[None])


def no_camera(source: str | int) -> cv2.VideoCapture:
    """OpenCV's, on a machine without cameras."""
    return OPENCV_CAPTURE("no camera" if isinstance(source, int) and source < 2**31 else source)


OPENCV_CAPTURE = cv2.VideoCapture


@pytest.mark.usefixtures("cheap")
@fuzz(2, paths=st.lists(PATHS, max_size=4), flags=st.lists(FLAGS, max_size=3), is_marked=st.booleans())
def test_command_line(paths: list[str], flags: list[tuple[str, ...]], is_marked: bool) -> None:
    """The exit status is 0, 1 or 2 and nothing is raised, whatever the arguments."""
    arguments = ["detect", *itertools.chain(*map(as_arguments, flags)), *(["--"] if is_marked else []), *paths]
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder, silence() as streams:
        patch.setattr(Detector, "detect", fake_detect)
        patch.setattr(mtcnn_gluon.io.video.cv2, "VideoCapture", no_camera)
        patch.chdir(folder)
        for name in ("a.png", "b [1].png", "sub/c.webp"):
            Path(name).parent.mkdir(exist_ok=True)
            picture("RGB").save(name)
        Path("text.jpg").write_text("not a photo")
        try:
            status = cli.main(arguments)
        except SystemExit as stop:  # argparse
            status = stop.code or 0
    assert status in (0, 1, 2)
    assert "Traceback" not in streams


@contextlib.contextmanager
def silence() -> Iterator[list[str]]:
    """Standard output and error as a UTF-8 terminal would take them; logging as it was."""
    root, words = logging.getLogger(), []
    handlers, level = root.handlers[:], root.level
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors=errors) for errors in ("strict", "backslashreplace"))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield words
    finally:
        root.handlers[:], root.level = handlers, level
        words += [] if err.closed else err.buffer.getvalue().decode().splitlines()


if __name__ == "__main__":
    read_damaged_files(int(sys.argv[1]))
