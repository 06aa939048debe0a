"""Writing files whole or not at all."""

import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Iterator

import cv2
import numpy as np

from mtcnn_gluon.errors import DataError, MtcnnError

DRAFT = ".mtcnn-gluon-"  # beginning of the names of temporary files
PICTURE_FORMATS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


@contextmanager
def whole_file(path: str | os.PathLike, mode: str = "w", keep_draft: bool = False) -> Iterator[IO]:
    """Open a file for writing under a temporary name. It gets its own name only when the block ends without an error.

    If the path is a link, its target is replaced and the link stays. With `keep_draft`, the temporary name is `draft_of(path)`,
    new text is appended to an existing draft, and the draft stays if the block fails or the process is killed. Thus long work
    can be resumed.

    Raises:
        DataError: if the file cannot be written, or the block raises an `OSError`; the message names the file.
    """
    target = Path(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    draft = ""
    with naming_target(target):
        if target.exists() and not target.is_file():  # a pipe or a terminal cannot be replaced
            file = open(target, mode, **text)  # type: ignore[call-overload]  # noqa: SIM115  closed below
        else:
            handle, draft = _open_draft(target, keep_draft)
            file = os.fdopen(handle, mode, **text)  # type: ignore[call-overload]
    try:
        with naming_target(target, names_others=True), file:
            yield file
        if draft:
            with naming_target(target):
                take_name(draft, end_of_links(target))
    finally:
        if draft and not keep_draft and os.path.exists(draft):
            os.unlink(draft)


def _open_draft(target: Path, is_kept: bool) -> tuple[int, str]:
    folder = end_of_links(target).parent
    folder.mkdir(parents=True, exist_ok=True)
    if not is_kept:
        return tempfile.mkstemp(prefix=DRAFT, dir=folder)
    draft = str(draft_of(target))
    return os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), draft


def remove_drafts(folder: str | os.PathLike) -> None:
    """Remove the temporary files that killed processes left in a folder."""
    for draft in Path(folder).glob(f"{DRAFT}*"):
        remove(draft)


def remove(path: Path) -> None:
    """Remove a file if it exists, or raise a `DataError`."""
    with naming_target(path), suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()


def take_name(draft: str, target: Path) -> None:
    """Give a finished temporary file its own name, and the permissions of a new file."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(draft, 0o666 & ~mask)
    os.replace(draft, target)


def draft_of(path: Path) -> Path:
    """The temporary name of `whole_file(path, keep_draft=True)`; `DataError` for a folder or a circle of links."""
    end = end_of_links(path)
    if not end.name:  # the root or the current folder
        raise DataError(f"{path} cannot be written: it is a folder")
    return end.with_name(end.name + ".part")


def end_of_links(path: Path) -> Path:
    """The target of a path that may be a link; it need not exist. `DataError` if links form a circle or cannot be read."""
    with naming_target(path):
        end = Path(os.path.realpath(path)) if path.is_symlink() else path
        is_circle = end.is_symlink()
    if is_circle:
        raise DataError(f"{path} cannot be written: it is a link that leads back to itself")
    return end


@contextmanager
def naming_target(target: Path | str, error_class: type[MtcnnError] = DataError, names_others: bool = False) -> Iterator[None]:
    """Turn system errors into an `error_class` that names the file or folder `target`.

    With `names_others`, the message names the file of the system error instead, if it states one.
    """
    if "\0" in str(target):
        raise error_class(f"{str(target)!r} cannot be written: the name contains a zero byte")
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if names_others and isinstance(error.filename, (str, bytes, os.PathLike)):
            raise error_class(f"{os.fsdecode(error.filename)} cannot be used: {error.strerror}") from error
        raise error_class(f"{target} cannot be written: {error.strerror or error}") from error


def write_picture(path: str | os.PathLike, image: np.ndarray) -> None:
    """Write an RGB image (H, W, 3) uint8 in the format of the path's ending, or raise a `DataError`."""
    write_bytes(path, encode_picture(path, image))


def encode_picture(path: str | os.PathLike, image: np.ndarray) -> bytes:
    """The content of the file that `write_picture` writes."""
    suffix = Path(path).suffix.lower()
    if suffix not in PICTURE_FORMATS:
        raise DataError(f"{path} cannot be written: the ending must be one of {', '.join(PICTURE_FORMATS)}")
    is_encoded, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not is_encoded:
        raise DataError(f"{path} cannot be written: encoding an image of shape {image.shape} failed")
    return data.tobytes()


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write a file, or raise a `DataError`."""
    with whole_file(path, "wb") as file:
        file.write(data)


def real_path(path: str | os.PathLike) -> str:
    """The absolute path without links; a path with a zero byte is returned as it is."""
    try:
        return os.path.realpath(path)
    except ValueError:
        return os.fspath(path)


def read_text(path: str | os.PathLike) -> str:
    """The text of a UTF-8 file with line feeds as line ends. Bytes that are not UTF-8 become surrogates, as in file names.

    Raises:
        DataError: if the file does not exist, cannot be read, or is not text.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            text = file.read().replace("\r\n", "\n")
    except FileNotFoundError:
        raise DataError(printable(f"{path} does not exist")) from None
    except (OSError, ValueError) as error:
        raise DataError(printable(f"{path} cannot be read: {error}")) from error
    if "\0" in text:
        raise DataError(printable(f"{path}: expected text in UTF-8, got binary data"))
    return text


def printable(value: object) -> str:
    """A text that can be written as UTF-8: bytes of a file name that are not UTF-8 become replacement characters."""
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
