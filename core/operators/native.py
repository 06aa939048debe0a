"""The compiled kernels: where they are, and why not if they are not.

`setup.py` builds them if there is a C++ compiler (GCC or Clang; nothing else is needed). Without them everything works on numpy
and stock operators, only slower. The environment variable `MTCNN_GLUON_NATIVE=0` has them ignored.
"""

import ctypes
import hashlib
import os
from functools import lru_cache
from pathlib import Path

from mtcnn_gluon.errors import Unavailable

SOURCES = Path(__file__).parent / "src"

_i64, _pointer = ctypes.c_int64, ctypes.c_void_p


@lru_cache(maxsize=1)
def load_kernels() -> ctypes.CDLL:
    """The library of compiled kernels, whose interface is `src/kernels.h`.

    Raises:
        Unavailable: if it was not built, is switched off, or does not fit its sources.
    """
    if os.environ.get("MTCNN_GLUON_NATIVE") == "0":
        raise Unavailable("switched off by MTCNN_GLUON_NATIVE=0")
    path = next(iter(sorted(Path(__file__).parent.glob("_kernels*.so"))), None)
    if path is None:
        raise Unavailable("not built: install a C++ compiler (on Debian and Ubuntu: apt-get install g++) and mtcnn-gluon again")
    try:
        library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)  # the MXNet adapter finds the kernels through the process
    except OSError as error:
        raise Unavailable(f"{path.name} cannot be loaded: {error}") from error
    for name in ("mtcnn_instruction_set", "mtcnn_source_digest"):
        getattr(library, name).restype = ctypes.c_char_p
    if library.mtcnn_source_digest().decode() != source_digest():
        raise Unavailable(f"{path.name} was built from other sources: install mtcnn-gluon again")
    library.mtcnn_has_bfloat16.restype = ctypes.c_bool
    library.mtcnn_nms.restype = _i64
    library.mtcnn_nms.argtypes = [_pointer, _i64, ctypes.c_double, ctypes.c_int, ctypes.c_float, _pointer]
    library.mtcnn_crop_resize.restype = ctypes.c_bool
    library.mtcnn_crop_resize.argtypes = [_pointer, *[_i64] * 2, _pointer, *[_i64] * 2, *[ctypes.c_float] * 2, _i64, _pointer]
    library.mtcnn_make_batch.restype = ctypes.c_bool
    library.mtcnn_make_batch.argtypes = [_pointer, _i64, *[_pointer] * 3, *[_i64] * 2, *[ctypes.c_float] * 2, _pointer]
    library.mtcnn_halve.restype = None
    library.mtcnn_halve.argtypes = [_pointer, *[_i64] * 4, _pointer]
    library.mtcnn_draw_pieces.restype = ctypes.c_bool
    library.mtcnn_draw_pieces.argtypes = [_pointer, _i64, *[ctypes.c_float] * 2, *[_i64] * 3, _pointer]
    library.mtcnn_packed.restype = _i64
    library.mtcnn_packed.argtypes = [_pointer]
    library.mtcnn_pack.restype = None
    library.mtcnn_pack.argtypes = [_pointer] * 4
    library.mtcnn_net_output.restype = ctypes.c_bool
    library.mtcnn_net_output.argtypes = [_pointer, *[_i64] * 3, *[_pointer] * 2]
    library.mtcnn_net_forward.restype = ctypes.c_bool
    library.mtcnn_net_forward.argtypes = [_pointer, *[_i64] * 5, *[_pointer] * 2]
    return library


def kernels() -> ctypes.CDLL | None:
    """The compiled kernels, or None."""
    try:
        return load_kernels()
    except Unavailable:
        return None


def has_bfloat16() -> bool:
    """Whether the kernels can compute layers in bfloat16: on an x86 processor with AMX, under Linux."""
    library = kernels()
    return library is not None and library.mtcnn_has_bfloat16()


def source_digest() -> str:
    """The digest of the C++ sources, which `setup.py` compiles into the library."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.h")) + sorted(SOURCES.glob("*.cc")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
