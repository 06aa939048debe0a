"""Which image formats can be read here, and what a file of another format would need."""

import importlib
from functools import lru_cache

from PIL import Image

HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}
UNDECODED = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF"}  # Pillow knows such a file when it sees one, and no more
LONGEST_HEAD = 4096  # bytes of a file in which all its brands stand


def formats_for(data: bytes) -> list[str]:
    """The formats, as Pillow names them, that the beginning of a file should be tried with.

    PostScript is none of them: Pillow would hand it to Ghostscript, to run as a program.
    """
    Image.init()
    if _brand(data) == "HEIC":
        _register_heic()
    return [name for name in Image.OPEN if name != "EPS"]


def missing_decoder(data: bytes) -> str:
    """What must be installed to read a file that begins with `data` and that Pillow does not know; empty if nothing helps."""
    brand = _brand(data)
    if brand == "HEIC" and not _register_heic():
        return 'HEIC needs pillow-heif: pip install "mtcnn-gluon[heic]"'
    if brand == "AVIF" and "AVIF" not in Image.OPEN:
        return "AVIF needs Pillow 11.3 or later: pip install -U pillow"
    return ""


def has_mark(name: str) -> bool:
    """Whether files of a format, as Pillow names it, can be told by their first bytes, and then be read."""
    return Image.OPEN[name][1] is not None and name not in UNDECODED


def _brand(data: bytes) -> str:
    """HEIC or AVIF, which share one kind of container (ISO/IEC 23008-12), or nothing."""
    if data[4:8] != b"ftyp":
        return ""
    end = min(int.from_bytes(data[:4], "big"), len(data), LONGEST_HEAD)
    brands = {data[8:12], *(data[start : start + 4] for start in range(16, end, 4))}
    if brands & AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & HEIC_BRANDS else ""


@lru_cache(maxsize=1)
def _register_heic() -> bool:
    """Teach Pillow to read HEIC, if pillow-heif is there and works."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except Exception:  # not installed, or built for another Pillow or another system
        return False
    return True
