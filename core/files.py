"""Finding the images that people mean, and writing files whole or not at all."""

import glob
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Iterable, Iterator

import cv2
import numpy as np

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.images import is_image_path


@dataclass(frozen=True)
class Found:
    """An input file: its `path`, and `name`, its path below the folder that was searched, or its file name."""

    path: Path
    name: Path


def find_images(arguments: Iterable[str]) -> Iterator[Found]:
    """The images that command-line arguments stand for, in order.

    A folder stands for all images below it, sorted; a pattern that is not itself a file for what it matches (`**` crosses
    folders); anything else for itself, whether it exists or not, so that a mistyped name is reported where it is read.
    """
    for argument in arguments:
        if os.path.isdir(argument):
            yield from _below(Path(argument))
        elif glob.has_magic(argument) and not os.path.exists(argument):
            matches = sorted(glob.glob(argument, recursive=True))
            for match in map(Path, matches or [argument]):
                if match.is_dir():
                    yield from _below(match)
                else:
                    yield Found(match, Path(match.name))
        else:
            yield Found(Path(argument), Path(Path(argument).name))


def _below(folder: Path) -> Iterator[Found]:
    for root, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            if is_image_path(file):
                path = Path(root) / file
                yield Found(path, path.relative_to(folder))


@contextmanager
def whole_file(path: str | os.PathLike, mode: str = "w") -> Iterator[IO]:
    """Open a file for writing under a temporary name; it takes its own name only when the block ends without an error.

    Raises:
        DataError: if the file cannot be written there.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=f".{target.name[:100]}-", dir=target.parent)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}") from error
    try:
        text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
        with os.fdopen(handle, mode, **text) as file:  # type: ignore[call-overload]
            yield file
        os.chmod(draft, 0o666 & ~_umask())
        os.replace(draft, target)
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        if os.path.exists(draft):
            os.unlink(draft)


def write_picture(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write an RGB image (H, W, 3) uint8 in the format that the path's ending names.

    Raises:
        DataError: if it cannot be written.
    """
    is_encoded, data = cv2.imencode(Path(path).suffix.lower(), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not is_encoded:
        raise DataError(f"{path} cannot be encoded")
    with whole_file(path, "wb") as file:
        file.write(data.tobytes())


class UniqueNames:
    """Gives out paths in a folder so that no two results of one run overwrite each other."""

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        self._taken: set[Path] = set()

    def path(self, name: Path) -> Path:
        """`folder / name`, or with `-2`, `-3` ... before the ending if that path was given out before."""
        path, number = self.folder / name, 1
        while path in self._taken:
            number += 1
            path = self.folder / name.with_name(f"{name.stem}-{number}{name.suffix}")
        self._taken.add(path)
        return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
