"""What is missing on a machine is named in one sentence, with what to install; nobody sees a traceback."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mtcnn_gluon.cli import export as cli_export
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.errors import LibraryError, MtcnnError
from mtcnn_gluon.io.opencv import explain

COMMAND = Path(sys.executable).with_name("mtcnn-gluon")
NO_LIBRARY = "{}: cannot open shared object file: No such file or directory"
HEADLESS = r"pip install opencv-python-headless"


def run(tmp_path: Path, source: str, *command: object) -> subprocess.CompletedProcess:
    """A command where `import cv2` runs `source` in OpenCV's place."""
    (tmp_path / "cv2.py").write_text(source)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("command", [
    (COMMAND, "info"), (COMMAND, "detect"), (COMMAND, "detect", "nowhere.jpg"), (COMMAND, "--help"),
    (sys.executable, "-m", "mtcnn_gluon", "info"), (sys.executable, "-m", "mtcnn_gluon.prepare_data.gen_pnet_data"),
], ids=lambda command: " ".join(map(str, command[1:])))  # fmt: skip
def test_the_command_without_libgl(tmp_path: Path, command: tuple[object, ...]) -> None:
    ran = run(tmp_path, f"raise ImportError({NO_LIBRARY.format('libGL.so.1')!r})", *command)
    assert ran.returncode == 2 and ran.stdout == ""
    assert ran.stderr.count("\n") == 1 and ran.stderr.startswith("mtcnn-gluon: OpenCV needs the system library libGL.so.1")
    assert "apt-get install libgl1" in ran.stderr and HEADLESS in ran.stderr


@pytest.mark.parametrize("module", ["mtcnn_gluon", "mtcnn_gluon.bundles.format", "mtcnn_gluon.detection.detector"])
def test_the_library_without_libgl(tmp_path: Path, module: str) -> None:
    code = f"""
try:
    import {module}
except ImportError as error:
    print(type(error).__mro__[1].__name__, error)
"""
    ran = run(tmp_path, f"raise ImportError({NO_LIBRARY.format('libGL.so.1')!r})", sys.executable, "-c", code)
    assert ran.stdout.startswith("MtcnnError OpenCV needs the system library libGL.so.1"), ran.stderr
    assert issubclass(LibraryError, MtcnnError) and issubclass(LibraryError, ImportError)


def test_a_folder_without_a_library(tmp_path: Path) -> None:
    """What is left when one of OpenCV's two wheels is removed after the other was installed."""
    ran = run(tmp_path, "", COMMAND, "info")
    assert ran.returncode == 2 and "OpenCV is installed but cannot be imported: its library is missing" in ran.stderr


@pytest.mark.parametrize("error, message", [
    (ImportError(NO_LIBRARY.format("libgthread-2.0.so.0")), "libgthread-2.0.so.0, .*apt-get install libglib2.0-0"),
    (ImportError(NO_LIBRARY.format("libstrange-1.so.7.2")), f"libstrange-1.so.7.2, .*: install it, .*{HEADLESS}"),
    (ModuleNotFoundError("No module named 'cv2'", name="cv2"), "is not installed: run pip install opencv-python"),
    (ModuleNotFoundError("No module named 'numpy'", name="numpy"), "cannot be imported: No module named 'numpy'"),
    (ImportError("numpy.core.multiarray\nfailed"), "cannot be imported: numpy.core.multiarray failed$"),
    (ImportError(), "cannot be imported: $"),
], ids=str)  # fmt: skip
def test_what_opencv_lacks(error: ImportError, message: str) -> None:
    assert re.search(message, explain(error)), explain(error)


@pytest.mark.parametrize("more", [[], ["--status"]])
def test_a_pipeline_without_yaml(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, more: list[str]) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert cli.main(["pipeline", "--config", "x.yaml", "--run", "run", *more]) == 2
    assert re.search(r"yaml .*pip install mxnet==1.9.1 .*pyyaml", capsys.readouterr().err)


@pytest.mark.parametrize("error, message", [
    (MemoryError("Unable to allocate 8 GiB"), "not enough memory: Unable to allocate 8 GiB\n"),
    (MemoryError(), "not enough memory\n"),
], ids=repr)  # fmt: skip
def test_too_little_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, error: MemoryError, message: str
) -> None:
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr(cli_export, "find_bundle", fail)
    assert cli.main(["export", "official", "out"]) == 2
    assert capsys.readouterr().err.endswith(message)
