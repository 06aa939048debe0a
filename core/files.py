"""Finding the images that people mean, and writing files whole or not at all."""

import glob
import os
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Iterable, Iterator

import cv2
import numpy as np

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.images import is_image_path

DRAFT = ".mtcnn-gluon-"  # how the names of temporary files begin
PICTURE_FORMATS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


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
        elif glob.has_magic(argument) and "\0" not in argument and not os.path.exists(argument):
            yield from _matching(argument)
        else:
            yield Found(Path(argument), Path(Path(argument).name))


def _matching(pattern: str) -> Iterator[Found]:
    seen = set()  # `**` matches a folder and also what is in it
    for match in map(Path, sorted(glob.glob(pattern, recursive=True)) or [pattern]):
        for found in _below(match) if os.path.isdir(match) else [Found(match, Path(match.name))]:
            if found.path not in seen:
                seen.add(found.path)
                yield found


def _below(folder: Path) -> Iterator[Found]:
    for root, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            if is_image_path(file):
                path = Path(root) / file
                yield Found(path, path.relative_to(folder))


@contextmanager
def whole_file(path: str | os.PathLike, mode: str = "w", keep_draft: bool = False) -> Iterator[IO]:
    """Open a file for writing under a temporary name; it takes its own name only when the block ends without an error.

    With `keep_draft` the temporary name is that of `draft_of`, and stays if the block fails or the process is killed, so
    that long work can be resumed from it; what a draft already holds is kept.

    Raises:
        DataError: if the file cannot be written there.
    """
    target = Path(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    if "\0" in str(target):
        raise DataError(f"{str(target)!r} cannot be written: the name holds a zero byte")
    with _naming_target(target):
        if target.exists() and not target.is_file():  # a pipe or a terminal cannot be replaced, and need not be
            with open(target, mode, **text) as file:  # type: ignore[call-overload]
                yield file
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if keep_draft:
            draft = str(draft_of(target))
            handle = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        else:
            handle, draft = tempfile.mkstemp(prefix=DRAFT, dir=target.parent)
        try:
            with os.fdopen(handle, mode, **text) as file:  # type: ignore[call-overload]
                yield file
            take_name(draft, target)
        finally:
            if os.path.exists(draft) and not keep_draft:
                os.unlink(draft)


def remove_drafts(folder: str | os.PathLike) -> None:
    """Remove the temporary files that `whole_file` left in a folder when its process was killed."""
    for draft in Path(folder).glob(f"{DRAFT}*"):
        remove(draft)


def remove(path: Path) -> None:
    """Remove a file if it is there.

    Raises:
        DataError: if it cannot be removed.
    """
    with _naming_target(path), suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()


def take_name(draft: str, target: Path) -> None:
    """Give a finished temporary file its own name, and the permissions that a new file has."""
    os.chmod(draft, 0o666 & ~_umask())
    os.replace(draft, target)


def draft_of(path: Path) -> Path:
    """The name under which `whole_file(path, keep_draft=True)` writes."""
    return path.with_name(path.name + ".part")


@contextmanager
def _naming_target(target: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}") from error


def write_picture(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write an RGB image (H, W, 3) uint8 in the format that the path's ending names.

    Raises:
        DataError: if it cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in PICTURE_FORMATS:
        raise DataError(f"{path} cannot be written: the ending must be one of {', '.join(PICTURE_FORMATS)}")
    is_encoded, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not is_encoded:
        raise DataError(f"{path} cannot be written: encoding an image of shape {image.shape} failed")
    with whole_file(path, "wb") as file:
        file.write(data.tobytes())


class UniqueNames:
    """Gives out paths so that no result of a run overwrites another one, or one of the files in `taken`."""

    def __init__(self, taken: Iterable[str | os.PathLike] = ()) -> None:
        self._taken = {_resolved(path) for path in taken}

    def path(self, folder: str | os.PathLike, name: Path) -> Path:
        """`folder / name`, or with `-2`, `-3` ... before the ending if that path is taken."""
        path, number = Path(folder) / name, 1
        while _resolved(path) in self._taken:
            number += 1
            path = Path(folder) / name.with_name(f"{name.stem}-{number}{name.suffix}")
        self._taken.add(_resolved(path))
        return path


def _resolved(path: str | os.PathLike) -> str:
    try:
        return os.path.realpath(path)
    except ValueError:  # a zero byte: no such file can be
        return os.fspath(path)


def read_text(path: str | os.PathLike) -> str:
    """The text of a UTF-8 file, lines ending with a line feed; bytes that are not UTF-8 are kept as in names of files.

    Raises:
        DataError: if there is no such file, it cannot be read, or it is no text.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            text = file.read().replace("\r\n", "\n")
    except FileNotFoundError:
        raise DataError(printable(f"{path} does not exist")) from None
    except (OSError, ValueError) as error:
        raise DataError(printable(f"{path} cannot be read: {error}")) from error
    if "\0" in text:
        raise DataError(printable(f"{path}: expected text in UTF-8, got bytes of something else"))
    return text


def printable(value: object) -> str:
    """Text that any UTF-8 file or terminal takes: bytes of a file name that are no UTF-8 become replacement marks."""
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
