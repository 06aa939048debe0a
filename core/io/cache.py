"""The cache folder for converted models and compiled code, or a temporary folder where it cannot be used."""

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
    """The path of a file or folder in the cache, which may not exist yet.

    The cache is the folder named by `MTCNN_GLUON_CACHE`, or `mtcnn-gluon` in the user's cache folder. If a missing file cannot
    be written there, its path is in a temporary folder, and one warning says so.

    Raises:
        ModelError: if there is no folder for temporary files either.
    """
    get = os.environ.get
    try:
        cache = Path(get(VARIABLE) or Path(get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mtcnn-gluon")
    except RuntimeError:
        return _temporary_folder("the user has no home folder") / name
    if os.path.exists(cache / name):
        return cache / name  # even if the folder is read-only
    reason = _why_not_writable(cache)
    return (_temporary_folder(reason) if reason else cache) / name


def _why_not_writable(folder: Path) -> str:
    """Why files cannot be written to a folder; empty if they can. A missing folder is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{folder} cannot be written: {error.strerror or error}"


@lru_cache(maxsize=1)
def _temporary_folder(reason: str) -> Path:
    """A folder that stays from run to run; if another user owns that name, a folder for this process only."""
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
    """Whether only this user may write to a folder, since code is loaded from it. A missing folder is made."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    about = folder.lstat()
    is_own = stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & 0o022
    return is_own and not _why_not_writable(folder)
