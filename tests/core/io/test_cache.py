"""The cache folder: the usual one where it can be used, else a temporary one, which is said once."""

import logging
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, Iterator

import pytest

from mtcnn_gluon.errors import ModelError, Unavailable
from mtcnn_gluon.io import cache
from mtcnn_gluon.operators import mxnet_operators

Setter = Callable[[pytest.MonkeyPatch, Path], None]
FORBIDDEN = "/proc/x"  # where nobody can make a folder, not even root


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of temporary files; the one that is taken in it is forgotten after each test."""
    for name in ("MTCNN_GLUON_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    cache._temporary_folder.cache_clear()
    yield tmp_path / "tmp"
    cache._temporary_folder.cache_clear()


def no_home(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def raise_error() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(cache.Path, "home", raise_error)


@pytest.mark.parametrize("variables, expected", [
    ({}, "home/.cache/mtcnn-gluon/x"),
    ({"XDG_CACHE_HOME": "xdg"}, "xdg/mtcnn-gluon/x"),
    ({"XDG_CACHE_HOME": "xdg", "MTCNN_GLUON_CACHE": "own/deep"}, "own/deep/x"),
])  # fmt: skip
def test_the_usual_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variables: dict, expected: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    assert cache.cache_path("x") == tmp_path / expected
    assert (tmp_path / expected).parent.is_dir() and not caplog.text


UNUSABLE: dict[str, tuple[Setter, str]] = {
    "cannot be made": (
        lambda patch, folder: patch.setenv(cache.VARIABLE, FORBIDDEN),
        f"{FORBIDDEN} cannot be written: No such",
    ),
    "a file": (lambda patch, folder: patch.setenv(cache.VARIABLE, "/dev/null"), "/dev/null cannot be written"),
    "below a file": (lambda patch, folder: patch.setenv(cache.VARIABLE, "/dev/null/x"), "/dev/null/x cannot be written"),
    "name too long": (lambda patch, folder: patch.setenv(cache.VARIABLE, "/" + "n" * 300), "File name too long"),
    "home cannot be made": (lambda patch, folder: patch.setenv("HOME", FORBIDDEN), f"{FORBIDDEN}/.cache/mtcnn-gluon cannot be"),
    "no home": (no_home, "the user has no home folder"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unusable_one(temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, case: str) -> None:
    make_unusable, message = UNUSABLE[case]
    make_unusable(monkeypatch, temporary)
    with caplog.at_level(logging.WARNING):
        paths = [cache.cache_path(name) for name in ("x", "y", "x")]
    folder = temporary / f"mtcnn-gluon-{os.getuid()}"
    assert paths == [folder / "x", folder / "y", folder / "x"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(caplog.records) == 1 and message in caplog.text and cache.VARIABLE in caplog.text


def test_what_is_there_is_used_even_if_nothing_can_be_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "shared"))
    (tmp_path / "shared/there").mkdir(parents=True)
    monkeypatch.setattr(cache, "_why_not_writable", lambda folder: "" if "tmp" in folder.parts[-2:] else "read-only")
    assert cache.cache_path("there") == tmp_path / "shared/there"
    assert cache.cache_path("other").parent != tmp_path / "shared"


@pytest.mark.parametrize("make", [
    lambda folder: folder.symlink_to(folder.parent),
    lambda folder: folder.write_text(""),
    lambda folder: (folder.mkdir(), folder.chmod(0o777)),
], ids=["link", "file", "open to all"])  # fmt: skip
def test_somebody_elses_folder_is_never_used(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.setenv(cache.VARIABLE, FORBIDDEN)
    make(temporary / f"mtcnn-gluon-{os.getuid()}")
    path = cache.cache_path("x")
    assert path.parent.parent == temporary and path.parent.name != f"mtcnn-gluon-{os.getuid()}"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_nowhere_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.VARIABLE, FORBIDDEN)
    monkeypatch.setattr(tempfile, "tempdir", FORBIDDEN)
    with pytest.raises(ModelError, match=f"{FORBIDDEN} cannot be written: .* no folder for temporary files.*{cache.VARIABLE}"):
        cache.cache_path("x")


@pytest.mark.parametrize("arguments", [["info"], ["detect", "--model", "official"]], ids=" ".join)
def test_the_command(temporary: Path, arguments: list[str]) -> None:
    """It works, and says so in one line; what was converted is there the next time."""
    pytest.importorskip("joblib")
    environment = {**os.environ, cache.VARIABLE: FORBIDDEN, "TMPDIR": str(temporary), "MTCNN_GLUON_NATIVE": "0"}
    command = [sys.executable, "-m", "mtcnn_gluon", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0 and "Traceback" not in ran.stderr, ran.stderr
    assert ran.stderr.startswith(f"WARNING: {FORBIDDEN} cannot be written")
    assert ran.stderr.count("\n") == 1 + ran.stderr.count("licence of model official: not stated")
    assert "official: yes" in ran.stdout or "1 face" in ran.stdout
    assert list(temporary.glob("mtcnn-gluon-*/official-*"))


def test_an_adapter_that_cannot_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "adapter.so").mkdir()  # which `unlink` refuses
    with pytest.raises(Unavailable, match=r"adapter\.so can neither be loaded nor replaced"):
        mxnet_operators._remove(tmp_path / "adapter.so")
