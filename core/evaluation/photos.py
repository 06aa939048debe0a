"""The photos of a set: their names in reports and result files, and their files."""

import os
import posixpath
from pathlib import Path
from typing import Callable, Container, Iterable

from PIL import Image

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.evaluation.results import without_ending
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.io.images import EXTENSIONS

ORIENTATION = 0x0112  # of EXIF


class PhotoSet:
    """All photos of a set.

    Args:
        paths: paths of the photos below their folder, with forward slashes.
        folder: folder of all photos; None if it is not given.

    Attributes:
        names: names of the photos in reports and result files, which are UTF-8.

    Raises:
        DataError: if two photos have the same name, or one photo has two names.
    """

    def __init__(self, paths: Iterable[str], folder: str | os.PathLike | None = None) -> None:
        self._folder = folder
        self._paths: dict[str, str] = {}  # by name
        normal: dict[str, str] = {}
        for path in paths:
            name = printable(path)
            if self._paths.setdefault(name, path) != path:
                raise DataError(f"two photos are called {name}: their names differ only in bytes that are not UTF-8")
            if (other := normal.setdefault(posixpath.normpath(path), path)) != path:
                raise DataError(printable(f"{other} and {path} are the same photo, and would count twice"))
        self._taken = set(self._paths.values())
        self.names = tuple(self._paths)

    @property
    def finder(self) -> Callable[[str], Path] | None:
        """The method `path`; None if the folder is not given."""
        return None if self._folder is None else self.path

    def path(self, name: str) -> Path:
        """The file of a photo, as `photo_path` finds it; files of other photos of the set do not count."""
        assert self._folder is not None
        return photo_path(self._folder, self._paths.get(name, name), self._taken)

    def size(self, name: str) -> tuple[int, int] | None:
        """Width and height of a photo; None if it cannot be read or the folder is not given."""
        return None if self._folder is None else photo_size(self.path(name))


def photo_path(folder: str | os.PathLike, name: str, taken: Container[str] = ()) -> Path:
    """The file of a photo: `folder / name` or, if only that exists, the file with another image ending.

    Args:
        folder: folder of all photos.
        name: path below it.
        taken: paths of other photos, which are not used for this one.

    Raises:
        DataError: if there are several files with other endings.
    """
    path = Path(folder) / name
    if path.is_file():
        return path
    bare = without_ending(name)
    others = [bare + ending for ending in (*EXTENSIONS, *(ending.upper() for ending in EXTENSIONS))]
    found = [Path(folder) / other for other in others if other not in taken and (Path(folder) / other).is_file()]
    if any(not other.samefile(found[0]) for other in found[1:]):
        raise DataError(printable(f"{path} does not exist, but {found[0].name} and {found[1].name} do: which is meant?"))
    return found[0] if found else path


def photo_size(path: Path) -> tuple[int, int] | None:
    """Width and height of a photo as displayed, from the header of its file; None if it cannot be read."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION, 1) >= 5  # by 90 degrees
    except Exception:  # decoders raise nearly anything on damaged files
        return None
    return (height, width) if turned else (width, height)
