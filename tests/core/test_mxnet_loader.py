"""The MXNet import: what goes wrong is said in one sentence."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mtcnn_gluon import mxnet_loader
from mtcnn_gluon.errors import ModelError

BROKEN = {
    "missing": (None, r"MXNet is not installed: .*pip install mxnet==1.9.1"),
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
    assert re.search(message, result.stdout), result.stdout
    assert result.stdout.count("\n") == 1


def test_numpy_two_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mxnet_loader.np, "__version__", "2.1.0")
    mxnet_loader.load_mxnet.cache_clear()
    with pytest.raises(ModelError, match="numpy older than 2, but numpy 2.1.0"):
        mxnet_loader.load_mxnet()
    mxnet_loader.load_mxnet.cache_clear()


@pytest.mark.parametrize("told", [None, "7"])
def test_all_cores_are_used_unless_told(told: str | None) -> None:
    """MXNet would use half of them. What it is told so is gone from the environment afterwards."""
    name = "MXNET_OMP_MAX_THREADS"
    environment = {key: value for key, value in os.environ.items() if key not in (name, "OMP_NUM_THREADS")}
    code = f"""
import os, sys
from mtcnn_gluon import mxnet_loader
real = mxnet_loader.importlib.import_module
def seen(module):
    if module == "mxnet":
        print(os.environ["{name}"], os.environ.get("OMP_NUM_THREADS"))
    return real(module)
mxnet_loader.importlib.import_module = seen
mxnet_loader.load_mxnet()
print(mxnet_loader.usable_cores(), os.environ.get("{name}"))
"""
    environment |= {} if told is None else {name: told}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    threads, others, cores, left = ran.stdout.split()
    assert 1 <= int(cores) <= len(os.sched_getaffinity(0))
    assert threads == (told or cores) and others == "None" and left == str(told)


LOADED = """
import mtcnn_gluon.mxnet_loader as loader
{load}
loader.load_mxnet()
try:
    loader.load_mxnet(3)
    print("right")
except loader.ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize("load, variables, message", [
    ("loader.load_mxnet(3)", {}, "right"),
    ("loader.load_mxnet(2)", {}, "threads=3 comes too late: .* with 2 thread"),
    ("loader.load_mxnet(2)", {"OMP_NUM_THREADS": "3"}, "with 2 thread"),
    ("loader.load_mxnet()", {"OMP_NUM_THREADS": "3"}, "right"),
    ("loader.load_mxnet()", {"OMP_NUM_THREADS": "4"}, "with 4 thread"),
    ("loader.load_mxnet()", {"MXNET_OMP_MAX_THREADS": "3"}, "right"),
    ("import numpy; numpy.bool = bool; import mxnet", {"OMP_NUM_THREADS": "3"}, "right"),
    ("import numpy; numpy.bool = bool; import mxnet", {"OMP_NUM_THREADS": "many"}, "with its own number of thread"),
], ids=str)  # fmt: skip
def test_who_loads_mxnet_first_decides(tmp_path: Path, load: str, variables: dict[str, str], message: str) -> None:
    (tmp_path / "mxnet.py").write_text("")  # it need not be the real one
    environment = {key: value for key, value in os.environ.items() if "OMP" not in key}
    environment |= {"PYTHONPATH": str(tmp_path), **variables}
    code = LOADED.format(load=load)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert re.search(message, ran.stdout), ran.stdout + ran.stderr
