"""The one place that imports MXNet, and mends what it needs first."""

import ctypes
import importlib
import importlib.util
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mtcnn_gluon.errors import ConfigError, ModelError

# What libmxnet.so of mxnet-cu112 links, in an order in which each finds its own needs already loaded.
_CUDA_LIBRARIES = (
    "cuda_runtime/lib/libcudart.so.11.0", "cuda_nvrtc/lib/libnvrtc.so.11.2", "nvtx/lib/libnvToolsExt.so.1",
    "cublas/lib/libcublasLt.so.11", "cublas/lib/libcublas.so.11", "cusparse/lib/libcusparse.so.11",
    "cusolver/lib/libcusolver.so.11", "cufft/lib/libcufft.so.10", "curand/lib/libcurand.so.10",
    "nccl/lib/libnccl.so.2", "cudnn/lib/libcudnn.so.8",
)  # fmt: skip


@lru_cache(maxsize=1)
def load_mxnet() -> Any:
    """The module `mxnet`.

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
    os.environ.setdefault("MXNET_OMP_MAX_THREADS", str(usable_cores()))  # its own guess is half of the processors
    try:
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


def set_threads(threads: int) -> None:
    """Let MXNet's operators use `threads` CPU threads. Works only before MXNet is first imported in the process.

    Raises:
        ConfigError: if MXNet is already running with another number.
    """
    running = "mxnet" in sys.modules
    if running and os.environ.get("OMP_NUM_THREADS") != str(threads):
        raise ConfigError(
            f"threads={threads} comes too late: MXNet is already running in this process with "
            f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '(unset)')}; give the first Detector this option"
        )
    os.environ["OMP_NUM_THREADS"] = str(threads)


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
