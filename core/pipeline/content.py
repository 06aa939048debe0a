"""Digests of what a pipeline reads: a file is known by its content, wherever it lies and whenever it was written."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Iterable

from tqdm import tqdm

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.evaluation.photos import photo_path
from mtcnn_gluon.io.files import whole_file

BLOCK_BYTES = 1 << 20


class Digests:
    """SHA-256 of files. A file of the same path, size and time of change is not read again.

    Args:
        cache: file that keeps the digests from one start of a pipeline to the next; `save` writes it.
    """

    def __init__(self, cache: Path) -> None:
        self._cache, self._is_changed = cache, False
        self._known: dict[str, list] = {}
        with suppress(OSError, ValueError):  # without it all files are read again
            self._known = dict(json.loads(cache.read_text("utf-8")))

    def of_file(self, path: str | Path) -> str:
        """Of one file; `missing` if it cannot be read, which is for the step that needs it to report."""
        try:
            about = Path(path).stat()
            stamp = [about.st_size, about.st_mtime_ns]
            *known, digest = self._known.get(str(path), [None])
            if known != stamp:
                digest = file_digest(path)
                self._known[str(path)] = [*stamp, digest]
                self._is_changed = True
            return str(digest)
        except (OSError, ValueError):
            return "missing"

    def of_photos(self, folder: str, names: Iterable[str]) -> str:
        """Of the photos with these names below a folder, in their order."""
        whole = hashlib.sha256()
        for name in tqdm(names, f"digests of {folder}", unit="photo", disable=None, leave=False):
            path = Path(folder) / name
            with suppress(DataError):  # neither of two that may be meant is read
                path = photo_path(folder, name)
            whole.update(f"{name}\0{self.of_file(path)}\n".encode("utf-8", "surrogateescape"))
        return whole.hexdigest()

    def save(self) -> None:
        """Keep the digests for the next start.

        Raises:
            DataError: if the file cannot be written.
        """
        if self._is_changed:
            with whole_file(self._cache) as file:
                json.dump(self._known, file)


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file; `OSError` if it cannot be read."""
    whole = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            whole.update(block)
    return whole.hexdigest()
