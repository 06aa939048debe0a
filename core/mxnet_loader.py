"""The only place that imports MXNet. It repairs the environment first."""

import ctypes
import importlib
import importlib.util
import os
import re
import sys
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator, Mapping

import numpy as np

from mtcnn_gluon.errors import ConfigError, ModelError, install_command

# Libraries that libmxnet.so of mxnet-cu112 links, each after the ones it depends on.
_CUDA_LIBRARIES = (
    "cuda_runtime/lib/libcudart.so.11.0", "cuda_nvrtc/lib/libnvrtc.so.11.2", "nvtx/lib/libnvToolsExt.so.1",
    "cublas/lib/libcublasLt.so.11", "cublas/lib/libcublas.so.11", "cusparse/lib/libcusparse.so.11",
    "cusolver/lib/libcusolver.so.11", "cufft/lib/libcufft.so.10", "curand/lib/libcurand.so.10",
    "nccl/lib/libnccl.so.2", "cudnn/lib/libcudnn.so.8",
)  # fmt: skip
_MAX_THREADS = "MXNET_OMP_MAX_THREADS"
_PROBLEMS = {  # by part of an error's text: the advice
    "libcuda.so": "the CUDA build of MXNet needs the NVIDIA driver (libcuda.so.1), which this machine lacks; "
    "without an NVIDIA GPU install the package mxnet instead, in a new environment",
    "libquadmath": "MXNet needs the system library libquadmath.so.0: on Debian and Ubuntu, apt-get install libquadmath0",
    "distutils": "MXNet needs the module distutils, which this Python lacks: pip install setuptools",
}
_loaded_with: list[int] = []  # number of threads, once this module has loaded MXNet


@lru_cache
def load_mxnet(threads: int | None = None) -> Any:
    """The module `mxnet`. The environment variables that set MXNet's number of threads are unchanged afterwards.

    Args:
        threads: largest number of CPU threads of MXNet's operators, within `OMP_NUM_THREADS`; the first call in a process
            decides. None: any number if MXNet is running, otherwise `OMP_NUM_THREADS`, otherwise one for each core.

    Raises:
        ModelError: if MXNet is not installed or cannot be imported; one sentence says why and what to do.
        ConfigError: if MXNet is already running with another number of threads.
    """
    is_running = "mxnet" in sys.modules
    if threads is not None and is_running and _running_threads() != threads:
        raise ConfigError(
            f"threads={threads} comes too late: MXNet is already running in this process with "
            f"{_running_threads() or 'its own number of'} thread(s); give the first Detector this option"
        )
    if reason := why_not_mxnet():
        raise ModelError(reason)
    if "bool" not in vars(np):
        np.bool = np.bool_  # type: ignore[attr-defined]  # mxnet 1.9.1 reads the alias that numpy 1.24 removed
    _preload_cuda()
    try:
        with environment({} if is_running else _variables(threads)):
            return importlib.import_module("mxnet")
    except (ImportError, OSError) as error:
        advice = (text for part, text in _PROBLEMS.items() if part in str(error))
        raise ModelError(next(advice, f"MXNet is installed but cannot be imported: {error}")) from error


def why_not_mxnet() -> str | None:
    """Why MXNet cannot be imported, as far as this is known without trying; None if it probably can."""
    if importlib.util.find_spec("mxnet") is None and sys.version_info >= (3, 13):
        return f"MXNet is not installed, and there is none for Python {sys.version.split()[0]}: use Python 3.10 to 3.12"
    if importlib.util.find_spec("mxnet") is None:
        return f"MXNet is not installed: run {install_command('cpu')} (Linux x86-64, Python 3.10 to 3.12)"
    is_new = int(np.__version__.split(".")[0]) >= 2
    return f"MXNet 1.9.1 needs numpy older than 2, but numpy {np.__version__} is installed" if is_new else None


def usable_cores() -> int:
    """Number of cores that this process may use; hyper-threads of one core count once."""
    usable = os.sched_getaffinity(0)
    siblings = [Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list") for number in usable]
    try:
        return len({path.read_text() for path in siblings})
    except OSError:
        return len(usable)


def loaded_threads() -> int:
    """The number of threads that MXNet was told to use; 0 if nobody said one."""
    return _running_threads() or 0


def _running_threads() -> int | None:
    """The number of threads that MXNet was loaded with; from the environment if this module did not load it."""
    if _loaded_with:
        return _loaded_with[0]
    given = (os.environ.get(name, "") for name in ("OMP_NUM_THREADS", _MAX_THREADS))
    return next((int(number) for number in given if re.fullmatch("[1-9][0-9]{0,8}", number)), None)


def _variables(threads: int | None) -> dict[str, str | None]:
    """The environment variables for importing MXNet, None for unset ones. Also stores the number of threads."""
    if threads is None:
        _loaded_with[:] = [_running_threads() or usable_cores()]
        return {_MAX_THREADS: os.environ.get(_MAX_THREADS, str(usable_cores()))}  # MXNet's default is half of the processors
    _loaded_with[:] = [threads]
    with suppress(OSError):
        # OpenMP reads OMP_NUM_THREADS for the whole process when it is loaded. MXNet must not see that variable afterwards:
        # it would ignore its own one.
        ctypes.CDLL("libgomp.so.1")
    return {"OMP_NUM_THREADS": None, _MAX_THREADS: str(threads), "OPENBLAS_NUM_THREADS": str(threads)}


@contextmanager
def environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Change environment variables while the block runs; None unsets a variable."""

    def set_variables(values: Mapping[str, str | None]) -> None:
        for name, value in values.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    before = {name: os.environ.get(name) for name in variables}
    set_variables(variables)
    try:
        yield
    finally:
        set_variables(before)


def _preload_cuda() -> None:
    """Load the libraries of installed nvidia-*-cu11 wheels, so that the CUDA build of MXNet finds them."""
    spec = importlib.util.find_spec("nvidia")
    for root in spec.submodule_search_locations or () if spec else ():
        for library in _CUDA_LIBRARIES:
            if (path := Path(root) / library).is_file():
                ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
