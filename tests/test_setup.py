"""What the extras ask for on each Python: nothing that pip would have to compile for many minutes before it fails."""

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

requirements = pytest.importorskip("packaging.requirements")
setuptools = pytest.importorskip("setuptools")

SETUP = Path(__file__).parents[1] / "setup.py"
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14", "3.20"]


@pytest.fixture
def extras(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """`extras_require`, as setup.py hands it over."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **options: given.update(options))
    runpy.run_path(str(SETUP))
    return given["extras_require"]


def wanted(lines: list[str], python: str) -> list[Any]:
    """The requirements that count on a Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.1"}
    each = map(requirements.Requirement, lines)
    return [one for one in each if one.marker is None or one.marker.evaluate(environment)]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("extra, mxnet", [("cpu", "mxnet"), ("cu112", "mxnet-cu112")])
def test_mxnet_on_each_python(extras: dict[str, list[str]], extra: str, mxnet: str, python: str) -> None:
    found = wanted(extras[extra], python)
    names = [one.name for one in found]
    if python in ("3.10", "3.11", "3.12"):
        assert {mxnet, "numpy", "gluoncv", "pyyaml"} <= set(names) and len(names) == len(set(names))
        assert next(one for one in found if one.name == mxnet).specifier.contains("1.9.1")
        assert next(one for one in found if one.name == "numpy").specifier.contains("1.26.4")
        return
    (refusal,) = found  # nothing is fetched or compiled beside it
    assert "needs.python.3.12.or.older" in str(refusal.specifier)
    assert not refusal.specifier.contains("1.9.1")  # nor any other version that PyPI takes: it takes none with a "+"
    assert "+" in str(refusal.specifier)


@pytest.mark.parametrize("python", PYTHONS)
def test_the_other_extras_do_not_ask_for_an_old_numpy(extras: dict[str, list[str]], python: str) -> None:
    for extra, lines in extras.items():
        if extra not in ("cpu", "cu112"):
            found = wanted(lines, python)
            assert found and not any(one.name in ("numpy", "mxnet") for one in found), extra


def test_building_needs_nothing_that_is_installed() -> None:
    """`pip install .` runs setup.py before the package, or anything that it needs, is there."""
    blocked = "import sys; sys.modules.update(dict.fromkeys(('mtcnn_gluon', 'numpy', 'cv2')))"
    script = f"{blocked}; sys.argv = ['setup.py', '--version']; import runpy; runpy.run_path({str(SETUP)!r})"
    process = subprocess.run([sys.executable, "-c", script], cwd=SETUP.parent, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
