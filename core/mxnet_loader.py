"""The one place that imports MXNet, and mends what it needs first."""

import ctypes
import importlib
import importlib.util
import os
import re
import sys
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator, Mapping

import numpy as np

from mtcnn_gluon.errors import ConfigError, ModelError

# What libmxnet.so of mxnet-cu112 links, in an order in which each finds its own needs already loaded.
_CUDA_LIBRARIES = (
    "cuda_runtime/lib/libcudart.so.11.0", "cuda_nvrtc/lib/libnvrtc.so.11.2", "nvtx/lib/libnvToolsExt.so.1",
    "cublas/lib/libcublasLt.so.11", "cublas/lib/libcublas.so.11", "cusparse/lib/libcusparse.so.11",
    "cusolver/lib/libcusolver.so.11", "cufft/lib/libcufft.so.10", "curand/lib/libcurand.so.10",
    "nccl/lib/libnccl.so.2", "cudnn/lib/libcudnn.so.8",
)  # fmt: skip
_MOST = "MXNET_OMP_MAX_THREADS"
_wanted: ContextVar[int | None] = ContextVar("wanted", default=None)  # threads
_loaded_with: list[int] = []  # threads, once this module has loaded MXNet


@lru_cache(maxsize=1)
def load_mxnet() -> Any:
    """The module `mxnet`.

    Its operators may use as many CPU threads as `mxnet_threads` says or, without that, `OMP_NUM_THREADS`, else one for each
    core. MXNet learns of that from variables of the environment, which are as they were when this returns.

    Raises:
        ModelError: if MXNet is not installed or cannot be imported; one sentence says why and what to do.
    """
    if importlib.util.find_spec("mxnet") is None:
        raise ModelError('MXNet is not installed: run pip install "mtcnn-gluon[cpu]" (Linux x86-64, Python 3.10 to 3.12)')
    if int(np.__version__.split(".")[0]) >= 2:
        raise ModelError(f"MXNet 1.9.1 needs numpy older than 2, but numpy {np.__version__} is installed")
    if "bool" not in vars(np):
        np.bool = np.bool_  # type: ignore[attr-defined]  # mxnet 1.9.1 reads the alias that numpy 1.24 removed
    _preload_cuda()
    try:
        with environment({} if "mxnet" in sys.modules else _variables(_wanted.get())):
            return importlib.import_module("mxnet")
    except (ImportError, OSError) as error:
        raise ModelError(_explain(error)) from error


def usable_cores() -> int:
    """Number of cores that this process may use; processors that share one (hyper-threads) count once."""
    usable = os.sched_getaffinity(0)
    siblings = [Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list") for number in usable]
    try:
        return len({path.read_text() for path in siblings})
    except OSError:
        return len(usable)


@contextmanager
def mxnet_threads(threads: int | None) -> Iterator[None]:
    """If MXNet is first loaded in this block, its operators use at most `threads` CPU threads; None: as many as it likes.

    They never use more than `OMP_NUM_THREADS` says, if that is set.
    """
    before = _wanted.set(threads)
    try:
        yield
    finally:
        _wanted.reset(before)


def check_threads(threads: int) -> None:
    """Check that MXNet, if it is running already, was loaded to use this number of threads: it cannot be changed.

    Raises:
        ConfigError: if it was not.
    """
    if "mxnet" in sys.modules and _told() != threads:
        raise ConfigError(
            f"threads={threads} comes too late: MXNet is already running in this process with {_told() or 'its own number of'} "
            "thread(s); give the first Detector this option"
        )


def _told() -> int | None:
    """The number of threads that MXNet was told when it was loaded; by the environment, if somebody else loaded it."""
    if _loaded_with:
        return _loaded_with[0]
    given = (os.environ.get(name, "") for name in ("OMP_NUM_THREADS", _MOST))
    return next((int(number) for number in given if re.fullmatch("[1-9][0-9]{0,8}", number)), None)


def _variables(threads: int | None) -> dict[str, str | None]:
    """Variables of the environment for MXNet, None for those that must not be set; and remembers what it is told."""
    if threads is None:
        _loaded_with[:] = [_told() or usable_cores()]
        return {_MOST: os.environ.get(_MOST, str(usable_cores()))}  # its own guess is half of the processors
    _loaded_with[:] = [threads]
    with suppress(OSError):
        # OpenMP reads OMP_NUM_THREADS when it is loaded, for everyone in the process. MXNet must not see it afterwards, since
        # it would then not look at its own variable.
        ctypes.CDLL("libgomp.so.1")
    return {"OMP_NUM_THREADS": None, _MOST: str(threads), "OPENBLAS_NUM_THREADS": str(threads)}


@contextmanager
def environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Change some variables of the environment while the block runs; None: the variable is not set."""
    before = {name: os.environ.get(name) for name in variables}
    try:
        _set_variables(variables)
        yield
    finally:
        _set_variables(before)


def _set_variables(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _preload_cuda() -> None:
    """Load the nvidia-*-cu11 wheels' libraries, if they are there, so that the CUDA build of MXNet finds them."""
    spec = importlib.util.find_spec("nvidia")
    for root in spec.submodule_search_locations or () if spec else ():
        for library in _CUDA_LIBRARIES:
            if (path := Path(root) / library).is_file():
                ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def _explain(error: Exception) -> str:
    text = str(error)
    if "libcuda.so" in text:
        return (
            "the CUDA build of MXNet needs the NVIDIA driver (libcuda.so.1), which this machine lacks; "
            'without an NVIDIA GPU use pip install "mtcnn-gluon[cpu]" in a new environment'
        )
    if "libquadmath" in text:
        return "MXNet needs the system library libquadmath.so.0: on Debian and Ubuntu, apt-get install libquadmath0"
    if "distutils" in text:
        return "MXNet needs the module distutils, which this Python lacks: pip install setuptools"
    return f"MXNet is installed but cannot be imported: {text}"
