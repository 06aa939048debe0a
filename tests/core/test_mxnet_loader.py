"""The MXNet import: what goes wrong is said in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtcnn_gluon import mxnet_loader
from mtcnn_gluon.errors import ModelError

BROKEN = {
    "missing": (None, r"MXNet is not installed: .*mtcnn-gluon\[cpu\]"),
    "driver": ("raise OSError('libcuda.so.1: cannot open shared object file')", "needs the NVIDIA driver"),
    "quadmath": ("raise OSError('libquadmath.so.0: cannot open shared object file')", "apt-get install libquadmath0"),
    "distutils": ("raise ImportError(\"No module named 'distutils'\")", "pip install setuptools"),
    "other": ("raise ImportError('something else')", "cannot be imported: something else"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_install_is_explained(case: str, tmp_path: Path) -> None:
    source, message = BROKEN[case]
    if source is not None:
        (tmp_path / "mxnet.py").write_text(source)
    code = f"""
import importlib.util, sys
sys.path.insert(0, {str(tmp_path)!r})
if {source is None}:
    real = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *a: None if name == "mxnet" else real(name, *a)
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.errors import ModelError
try:
    load_mxnet()
except ModelError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert __import__("re").search(message, result.stdout), result.stdout
    assert result.stdout.count("\n") == 1


def test_numpy_two_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mxnet_loader.np, "__version__", "2.1.0")
    mxnet_loader.load_mxnet.cache_clear()
    with pytest.raises(ModelError, match="numpy older than 2, but numpy 2.1.0"):
        mxnet_loader.load_mxnet()
    mxnet_loader.load_mxnet.cache_clear()


@pytest.mark.parametrize("told", [None, "7"])
def test_all_cores_are_used_unless_told(told: str | None) -> None:
    """MXNet would use half of them."""
    name = "MXNET_OMP_MAX_THREADS"
    environment = {key: value for key, value in os.environ.items() if key != name} | ({} if told is None else {name: told})
    code = "import os; from mtcnn_gluon.mxnet_loader import load_mxnet, usable_cores; load_mxnet();"
    code += f"print(usable_cores(), os.environ['{name}'], os.environ.get('OMP_NUM_THREADS'))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    cores, threads, others = ran.stdout.split()
    assert 1 <= int(cores) <= len(os.sched_getaffinity(0))
    assert threads == (told or cores) and others == str(os.environ.get("OMP_NUM_THREADS"))
