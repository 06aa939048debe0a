"""The cache folder, which keeps converted models and compiled code; a temporary folder where it cannot be used."""

import atexit
import logging
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from functools import lru_cache
from multiprocessing import parent_process
from pathlib import Path

from mtcnn_gluon.errors import ModelError

VARIABLE = "MTCNN_GLUON_CACHE"
log = logging.getLogger(__name__)


def cache_path(name: str) -> Path:
    """The path of a file or folder in the cache, which need not exist.

    The cache is the folder `MTCNN_GLUON_CACHE`, or `mtcnn-gluon` in the user's cache folder. A file that does not exist and
    cannot be written there is put in a temporary folder, with one warning.

    Raises:
        ModelError: if there is no folder for temporary files either.
    """
    variables = os.environ
    try:
        cache = Path(variables.get(VARIABLE) or Path(variables.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mtcnn-gluon")
    except RuntimeError:
        return _temporary_folder("the user has no home folder") / name
    if os.path.exists(cache / name):
        return cache / name  # also if it cannot be written
    reason = _why_not_writable(cache)
    return (_temporary_folder(reason) if reason else cache) / name


def _why_not_writable(folder: Path) -> str:
    """Why files cannot be written to a folder, which is made if it is missing; empty if they can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{folder} cannot be written: {error.strerror or error}"


@lru_cache(maxsize=1)
def _temporary_folder(reason: str) -> Path:
    """A folder that this user keeps from run to run; if another user has taken its name, one for this process."""
    try:
        folder = Path(tempfile.gettempdir()) / f"mtcnn-gluon-{os.getuid()}" if hasattr(os, "getuid") else None
        if folder is None or not _is_safe(folder):
            folder = Path(tempfile.mkdtemp(prefix="mtcnn-gluon-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
    except OSError as error:
        raise ModelError(f"{reason}, and there is no folder for temporary files: {error}; set {VARIABLE}") from error
    if parent_process() is None:  # a parent has warned already
        log.warning("%s; the cache is %s until %s names a folder that can be written", reason, folder, VARIABLE)
    return folder


def _is_safe(folder: Path) -> bool:
    """Whether only this user may write to a folder, which is made if it is missing: code is loaded from it."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    about = folder.lstat()
    is_own = stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & 0o022
    return is_own and not _why_not_writable(folder)
