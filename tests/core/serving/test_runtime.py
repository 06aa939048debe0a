"""ONNX Runtime's files for the page: from a folder, from the cache, from npm; and what is said where they cannot be had."""

import hashlib
import stat
import sys
import tarfile
from pathlib import Path

import pytest

from mtcnn_gluon.errors import ConfigError, ModelError
from mtcnn_gluon.serving import runtime
from mtcnn_gluon.serving.runtime import DIGESTS, MODULE, PACKAGE, PROGRAM, VERSION, find_runtime

CONTENTS = {name: f"content of {name}".encode() for name in DIGESTS}


def fill(folder: Path, names: tuple[str, ...] = (MODULE, PROGRAM)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(CONTENTS[name])
    return folder


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Small files in place of the real ones, an empty cache, and no npm."""
    for name, content in CONTENTS.items():
        monkeypatch.setitem(DIGESTS, name, hashlib.sha256(content).hexdigest())
    monkeypatch.setenv("MTCNN_GLUON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def give_npm(tmp_path: Path, script: str) -> None:
    """Put a program `npm` on the path: Python with `arguments`, the words after npm, and `root`, where a package may lie."""
    npm = tmp_path / "bin/npm"
    npm.parent.mkdir()
    npm.write_text(f"#!{sys.executable}\nimport shutil, sys\narguments, root = sys.argv[1:], {str(tmp_path)!r}\n{script}\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)


def give_package(tmp_path: Path, names: tuple[str, ...] = (MODULE, PROGRAM)) -> None:
    """An npm that fetches a package with these files."""
    fill(tmp_path / "package/dist", names)
    with tarfile.open(tmp_path / "fetched.tgz", "w:gz") as package:
        package.add(tmp_path / "package", "package")
    target = f"arguments[arguments.index('--pack-destination') + 1] + '/{PACKAGE}-{VERSION}.tgz'"
    give_npm(
        tmp_path, f"open(root + '/calls', 'a').write(arguments[-1] + chr(10))\nshutil.copy(root + '/fetched.tgz', {target})"
    )


@pytest.mark.parametrize("place", ["", "dist", "package/dist", "node_modules/onnxruntime-web/dist"])
def test_a_named_folder(tmp_path: Path, place: str) -> None:
    folder = fill(tmp_path / "own" / place)
    assert find_runtime(str(tmp_path / "own")) == folder


@pytest.mark.parametrize("names", [(), (MODULE,), (PROGRAM,)])
def test_a_named_folder_without_the_files(tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = fill(tmp_path / "own", names)
    with pytest.raises(ConfigError, match=f"^--runtime .*own: expected {MODULE} and {PROGRAM} of {PACKAGE}"):
        find_runtime(str(folder))
    with pytest.raises(ConfigError, match="^--runtime .*none: expected"):
        find_runtime(str(tmp_path / "none"))


def test_npm_is_asked_once(tmp_path: Path) -> None:
    give_package(tmp_path)
    told: list[str] = []
    found = [find_runtime(tell=told.append), find_runtime(tell=told.append)]
    assert found[0] == found[1] and found[0].is_relative_to(tmp_path / "cache")
    assert {path.name: path.read_bytes() for path in found[0].iterdir()} == CONTENTS
    assert (tmp_path / "calls").read_text() == f"{PACKAGE}@{VERSION}\n"
    assert told == [f"npm fetches {PACKAGE} {VERSION}, once: 33 MB"]
    (found[0] / PROGRAM).write_text("damaged")
    assert (find_runtime() / PROGRAM).read_bytes() == CONTENTS[PROGRAM]
    assert len((tmp_path / "calls").read_text().splitlines()) == 2


def test_without_npm_the_message_says_what_to_do() -> None:
    with pytest.raises(
        ModelError, match="npm, which fetches it, is missing: install Node.js, or unpack https://.* as --runtime"
    ):
        find_runtime()


@pytest.mark.parametrize(
    "script, reason",
    [
        (
            "print('npm error code E404', 'npm error not found', sep=chr(10), file=sys.stderr); sys.exit(1)",
            "npm error not found",
        ),
        ("sys.exit(1)", "returned non-zero exit status 1"),
        ("pass", "No such file"),
    ],
)
def test_npm_fails(tmp_path: Path, script: str, reason: str) -> None:
    give_npm(tmp_path, script)
    with pytest.raises(ModelError, match=f"npm cannot fetch {PACKAGE} {VERSION} .*{reason}.*: try again, or unpack"):
        find_runtime()
    assert not (tmp_path / "cache" / f"{PACKAGE}-{VERSION}").exists()


def test_a_package_without_the_files(tmp_path: Path) -> None:
    give_package(tmp_path, (MODULE,))
    with pytest.raises(ModelError, match="npm cannot fetch .*not found"):
        find_runtime()


def test_a_package_with_other_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_package(tmp_path)
    monkeypatch.setitem(runtime.DIGESTS, MODULE, "0" * 64)
    with pytest.raises(ModelError, match="has unknown contents"):
        find_runtime()
