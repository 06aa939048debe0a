"""The image formats that can be read here, and what to install for others."""

import importlib
from functools import lru_cache

from PIL import Image

from mtcnn_gluon.errors import install_command

HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}
UNDECODED = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF"}  # Pillow recognises these formats but cannot decode them
COMMON = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}  # by the beginnings of files, which no other format has
LONGEST_HEAD = 4096  # bytes to read from a file; they contain all its brands


def formats_for(data: bytes) -> list[str]:
    """Pillow's names of the formats to try for a file that begins with `data`.

    PostScript is left out: Pillow would let Ghostscript run it as a program. For the common formats the modules of all others
    are not loaded, which take longer than finding a face.
    """
    for beginning, name in COMMON.items():
        if data.startswith(beginning):
            Image.preinit()
            return [name]
    Image.init()
    if _brand(data) == "HEIC":
        _register_heic()
    return [name for name in Image.OPEN if name != "EPS"]


def missing_decoder(data: bytes) -> str:
    """What to install for a file that begins with `data` and that Pillow cannot read; empty if nothing helps."""
    brand = _brand(data)
    if brand == "HEIC" and not _register_heic():
        return f"HEIC needs pillow-heif: {install_command('heic')}"
    if brand == "AVIF" and "AVIF" not in Image.OPEN:
        return "AVIF needs Pillow 11.3 or later: pip install -U pillow"
    return ""


def has_mark(name: str) -> bool:
    """Whether Pillow can decode a format and recognise it by the first bytes of a file."""
    return Image.OPEN[name][1] is not None and name not in UNDECODED


def _brand(data: bytes) -> str:
    """HEIC or AVIF, which share one container format (ISO/IEC 23008-12), or an empty text."""
    if data[4:8] != b"ftyp":
        return ""
    end = min(int.from_bytes(data[:4], "big"), len(data), LONGEST_HEAD)
    brands = {data[8:12], *(data[start : start + 4] for start in range(16, end, 4))}
    if brands & AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & HEIC_BRANDS else ""


@lru_cache(maxsize=1)
def _register_heic() -> bool:
    """Let Pillow read HEIC; False if pillow-heif is not installed or does not work."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except Exception:  # not installed, or built for another Pillow or another system
        return False
    return True
