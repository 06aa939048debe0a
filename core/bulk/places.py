"""Files and folders, on local disks or where fsspec leads: reading, listing, and writing whole files."""

import os
from typing import IO, Any

from mtcnn_gluon.errors import ConfigError, DataError, ImageError
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.io.files import DRAFT, naming_target, remove_drafts, write_bytes
from mtcnn_gluon.io.images import is_url


def file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path there.

    Raises:
        ConfigError: if fsspec, or a package that it needs for this kind of URL, is missing.
    """
    fsspec = need("fsspec", f"{url}: a URL", "bulk")
    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{url} cannot be opened: {error}") from error


def read_url(url: str) -> bytes:
    """The content behind a URL; `ImageError` if it cannot be read."""
    system, path = file_system(url)
    try:
        return system.cat_file(path)
    except FileNotFoundError:
        raise ImageError(f"{url} does not exist") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"{url} cannot be read: {error}") from error


def open_file(path: str) -> IO[bytes]:
    """Open a path or a URL for reading; `DataError` if that fails."""
    try:
        if is_url(path):
            system, inner = file_system(path)
            return system.open(inner, "rb")
        return open(path, "rb")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


class Folder:
    """A folder for results.

    A file gets its name when it is whole: it is written under a temporary name and renamed. Names that begin with a point
    or an underscore are hidden to what reads a folder of Parquet files.

    Args:
        place: a local path, or a URL for fsspec.
    """

    def __init__(self, place: str) -> None:
        self.place = place if is_url(place) else os.path.abspath(place)
        self._system: Any = None
        self._root = self.place
        if is_url(place):
            self._system, self._root = file_system(place)

    def is_local(self) -> bool:
        """Whether it lies on a local disk, or one mounted there."""
        return self._system is None

    def make(self) -> None:
        """Make the folder if it is missing, and remove the temporary files of killed runs; `DataError` if that fails."""
        with naming_target(self.place):
            if self._system is None:
                os.makedirs(self.place, exist_ok=True)
                remove_drafts(self.place)
            else:
                self._system.makedirs(self._root, exist_ok=True)
                for name, _ in self._list():
                    if name.startswith(DRAFT):
                        self._system.rm_file(f"{self._root}/{name}")

    def sizes(self) -> dict[str, int]:
        """The names of the finished files in it, and their sizes in bytes."""
        with naming_target(self.place):
            return {name: size for name, size in self._list() if not name.startswith(DRAFT)}

    def _list(self) -> list[tuple[str, int]]:
        if self._system is None:
            with os.scandir(self.place) as found:
                return [(each.name, each.stat().st_size) for each in found]
        self._system.invalidate_cache()
        found = self._system.ls(self._root, detail=True)
        return [(each["name"].rstrip("/").rpartition("/")[2], each["size"] or 0) for each in found]

    def read(self, name: str) -> bytes:
        """The content of a file; `DataError` if it cannot be read."""
        with open_file(f"{self.place.rstrip('/')}/{name}") as file:
            return file.read()

    def write(self, name: str, data: bytes) -> None:
        """Write a file, whole or not at all; `DataError` if that fails."""
        if self._system is None:
            write_bytes(os.path.join(self.place, name), data)
            return
        with naming_target(f"{self.place}/{name}"):
            draft = f"{self._root}/{DRAFT}{name}-{os.urandom(4).hex()}"
            self._system.pipe_file(draft, data)
            self._system.mv(draft, f"{self._root}/{name}")
