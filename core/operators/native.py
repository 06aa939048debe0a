"""Loading the compiled kernels.

Wheels for one kind of machine hold them; from source `setup.py` builds them if there is a C++ compiler (GCC or Clang). Without
kernels everything works on numpy and the frameworks' own operators, but slower. The environment variable
`MTCNN_GLUON_NATIVE=0` switches them off.
"""

import ctypes
import os
import sys
from functools import lru_cache
from pathlib import Path

from mtcnn_gluon.errors import Unavailable
from mtcnn_gluon.operators.source_digest import source_digest

LIBRARY = {"win32": "_kernels.dll", "darwin": "_kernels.dylib"}.get(sys.platform, "_kernels.so")
PEAK_SECONDS = 0.02
_bool, _float, _i64, _pointer = ctypes.c_bool, ctypes.c_float, ctypes.c_int64, ctypes.c_void_p
_FUNCTIONS = {  # the functions of src/kernels.h: type of the result, types of the arguments
    "instruction_set": (ctypes.c_char_p, []),
    "source_digest": (ctypes.c_char_p, []),
    "has_bfloat16": (_bool, []),
    "peak_flops": (ctypes.c_double, [ctypes.c_double]),
    "set_operator_threads": (None, [_i64]),
    "nms": (_i64, [_pointer, _i64, ctypes.c_double, ctypes.c_int, _float, _pointer]),
    "crop_resize": (_bool, [_pointer, _i64, _i64, _pointer, _i64, _i64, _float, _float, _i64, _i64, _pointer]),
    "make_batch": (_bool, [_pointer, _i64, _pointer, _pointer, _pointer, _i64, _i64, _float, _float, _pointer]),
    "halve": (None, [_pointer, _i64, _i64, _i64, _i64, _pointer]),
    "draw_pieces": (_bool, [_pointer, _i64, _float, _float, _i64, _i64, _i64, _i64, _pointer]),
    "packed": (_i64, [_pointer]),
    "pack": (None, [_pointer, _pointer, _pointer, _pointer]),
    "int8_instructions": (ctypes.c_char_p, []),
    "int8_packed": (_i64, [_pointer]),
    "int8_pack": (None, [_pointer, _pointer, _pointer]),
    "int8_forward": (_bool, [_pointer, _i64, _i64, _i64, _i64, _i64, _float, _float, _i64, _pointer, _pointer]),
    "net_output": (_bool, [_pointer, _i64, _i64, _i64, _pointer, _pointer]),
    "net_forward": (_bool, [_pointer, _i64, _i64, _i64, _i64, _i64, _pointer, _pointer]),
}


@lru_cache(maxsize=1)
def load_kernels() -> ctypes.CDLL:
    """The library of compiled kernels; its interface is `src/kernels.h`.

    Raises:
        Unavailable: if the library was not built, is switched off, or was built from other sources.
    """
    if os.environ.get("MTCNN_GLUON_NATIVE") == "0":
        raise Unavailable("switched off by MTCNN_GLUON_NATIVE=0")
    path = Path(__file__).with_name(LIBRARY)
    if not path.is_file():
        raise Unavailable(
            "not built: install mtcnn-gluon from a wheel for this kind of machine, or install a C++ compiler (on Debian and "
            "Ubuntu: apt-get install g++) and then mtcnn-gluon from source"
        )
    try:
        library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)  # the MXNet adapter finds the kernels by name in the process
    except OSError as error:
        raise Unavailable(f"{path.name} cannot be loaded: {error}") from error
    library.mtcnn_source_digest.restype = ctypes.c_char_p
    if library.mtcnn_source_digest().decode() != source_digest():
        raise Unavailable(f"{path.name} was built from other sources: install mtcnn-gluon again")
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, f"mtcnn_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def kernels() -> ctypes.CDLL | None:
    """The compiled kernels, or None if they cannot be used."""
    try:
        return load_kernels()
    except Unavailable:
        return None


def instruction_set() -> str | None:
    """The instruction set that the kernels use: `avx512`, `avx2` or `baseline`; None without kernels."""
    library = kernels()
    return None if library is None else library.mtcnn_instruction_set().decode()


def peak_flops() -> float | None:
    """The most float32 operations a second that one thread reaches, a multiply-add counting as two; None without kernels.

    It is measured, in `PEAK_SECONDS`, by a loop of multiply-adds on registers with the vectors that the kernels use.
    """
    library = kernels()
    return None if library is None else library.mtcnn_peak_flops(PEAK_SECONDS)


def has_bfloat16() -> bool:
    """Whether the kernels can compute layers in bfloat16: on an x86 processor with AMX, under Linux."""
    library = kernels()
    return library is not None and library.mtcnn_has_bfloat16()
