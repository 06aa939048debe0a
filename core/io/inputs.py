"""Finding the photos and videos that command-line arguments name, and reporting skipped files.

In a folder, an input is every file with the ending of an image or video format, and every file without an ending whose first
bytes are those of an image. No other file is opened; they are only counted.
"""

import glob
import os
import re
import stat
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Iterable, Iterator
from urllib.parse import quote_from_bytes

import numpy as np

from mtcnn_gluon.errors import ConfigError, ImageError
from mtcnn_gluon.io.files import DRAFT, printable, real_path
from mtcnn_gluon.io.images import decode_image, is_image_file, is_image_path, is_url, no_url, read_image
from mtcnn_gluon.io.video import is_video_path

NO_RESULTS = "not searched, since results go there"
MOST_REASONS = 8  # largest number of reasons that a note lists one by one


class InputKind(Enum):
    """What an input is."""

    IMAGE = "image"
    VIDEO = "video"
    CAMERA = "camera"
    STANDARD_INPUT = "standard input"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, eq=False)
class Input:
    """One photo, video or camera, or something that cannot be read.

    Attributes:
        path: the path; the number of a camera; `-` for standard input.
        name: the path below the searched folder, or the file name. The names of results follow from it.
        kind: the kind of input.
        error: why it cannot be read, for a URL or a folder that must not be searched.
        text: the argument, if it is not a path.
    """

    path: Path
    name: Path
    kind: InputKind = InputKind.IMAGE
    error: str = ""
    text: str = ""

    @property
    def label(self) -> dict[str, str]:
        """The keys of its JSON object that identify it.

        `image` is the path. If the path contains bytes that are not UTF-8, `image` has replacement characters for them, and
        `image_bytes` is the percent-encoded path.
        """
        text = self.text or str(self.path)
        if printable(text) == text:
            return {"image": text}
        return {"image": printable(text), "image_bytes": quote_from_bytes(os.fsencode(text))}

    def read(self) -> np.ndarray:
        """The image (H, W, 3) uint8 RGB.

        Raises:
            ImageError: if it cannot be read.
        """
        if self.error:
            raise ImageError(self.error)
        if self.kind is not InputKind.STANDARD_INPUT:
            return read_image(self.path)
        if sys.stdin is None:
            raise ImageError("standard input is closed")
        try:
            return decode_image(sys.stdin.buffer.read(), "standard input")
        except OSError as error:
            raise ImageError(f"standard input cannot be read: {error.strerror or error}") from error


class Search:
    """The inputs that command-line arguments stand for.

    - A folder stands for all images and videos below it, sorted; links to other folders are followed.
    - A pattern that is not itself a file stands for its matches; `**` matches any number of folders.
    - `-` stands for an image on standard input, and up to three digits for the camera with that number.
    - Anything else is a path, even if it does not exist: reading it reports the error. Reading also reports URLs and folders
      without permission.

    Args:
        arguments: the command-line arguments.
        takes_videos: whether videos in folders count.
        result_folders: folders for results. A search skips them, since they contain the results of earlier runs.
        result_files: files to write. They are not counted as skipped.
        also: endings of other files to take from folders, in small letters.

    Attributes:
        found: the inputs, in order.
        skipped: for each searched folder, the number of skipped files by reason.
        remarks: sentences about folders that were not searched.

    Raises:
        ConfigError: if standard input is given twice.
    """

    def __init__(
        self, arguments: Iterable[str], takes_videos: bool = True, result_folders: Iterable[str] = (),
        result_files: Iterable[str] = (), also: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.found: list[Input] = []
        self.skipped: dict[str, Counter[str]] = defaultdict(Counter)
        self.remarks: list[str] = []
        self._takes_videos, self._also = takes_videos, also
        self._result_folders = {real_path(each) for each in result_folders}
        self._result_files = {real_path(each) for each in result_files}
        self._result_names = {os.path.basename(each) for each in self._result_files}  # so that few paths must be resolved
        for argument in arguments:
            self._add(argument)

    def notes(self) -> list[str]:
        """A sentence for each folder that was not searched or in which files were skipped."""
        sentences = [printable(remark) for remark in self.remarks]
        for folder, reasons in self.skipped.items():
            ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
            parts = [f"{count} {reason}" for reason, count in ranked[:MOST_REASONS]]
            if rest := sum(count for _, count in ranked[MOST_REASONS:]):
                parts.append(f"{rest} of {len(ranked) - MOST_REASONS} other kinds")
            total = sum(reasons.values())
            sentences.append(printable(f"{folder}: skipped {total} file{'' if total == 1 else 's'}: {', '.join(parts)}"))
        return sentences

    def _add(self, argument: str) -> None:
        if argument == "-":
            if any(found.kind is InputKind.STANDARD_INPUT for found in self.found):
                raise ConfigError("- stands for standard input, which can be read only once")
            self._take(Path("-"), Path("stdin.png"), InputKind.STANDARD_INPUT)
        elif is_url(argument):
            self._refuse(Path(argument), no_url(argument), argument)
        elif os.path.isdir(argument):
            self._search(Path(argument), set())
        elif glob.has_magic(argument) and "\0" not in argument and not os.path.exists(argument):
            self._match(argument)
        else:
            self._take(Path(argument), Path(Path(argument).name), _kind(argument))

    def _take(self, path: Path, name: Path, kind: InputKind) -> None:
        self.found.append(Input(path, name, kind))

    def _refuse(self, path: Path, error: str, text: str = "") -> None:
        self.found.append(Input(path, Path(path.name), InputKind.UNREADABLE, error, text))

    def _match(self, pattern: str) -> None:
        """Take the matches of a pattern."""
        seen: set[Path] = set()  # `**` matches a folder and also the files in it
        for closed in _closed_folders(pattern):
            self._refuse(Path(closed), f"{closed} cannot be searched: Permission denied")
            seen.add(Path(closed))
        start = real_path(_plain_part(pattern))
        results = [each for each in self._result_folders if each != start and _is_inside(each, start)]
        for match in map(Path, sorted(glob.glob(pattern, recursive=True)) or [pattern]):
            if match in seen:
                continue
            if results and any(_is_inside(real_path(match), each) for each in results):
                if not os.path.isdir(match):
                    self.skipped[pattern]["in a folder for results"] += 1
                elif real_path(match) in results:
                    self.remarks.append(f"{match}: {NO_RESULTS}")
            elif os.path.isdir(match):
                self._search(match, seen)
            else:
                self._take(match, Path(match.name), _kind(str(match)))
            seen.add(match)

    def _search(self, folder: Path, seen: set[Path]) -> None:
        """Take the images and videos below a folder, except those in `seen`."""
        errors: list[OSError] = []
        start, followed = real_path(folder), set[str]()
        for root, folders, files in os.walk(folder, onerror=errors.append, followlinks=True):
            self._refuse_closed(errors, seen)
            folders[:] = [name for name in sorted(folders) if self._is_searched(Path(root) / name, start, followed)]
            for path in (Path(root) / name for name in sorted(files)):
                if path in seen or self._is_result(path):
                    continue
                seen.add(path)
                if reason := self._reason_against(path):
                    self.skipped[str(folder)][reason] += 1
                else:
                    self._take(path, path.relative_to(folder), _kind_by_ending(path))
        self._refuse_closed(errors, seen)

    def _refuse_closed(self, errors: list[OSError], seen: set[Path]) -> None:
        for error in errors:
            if (path := Path(error.filename)) not in seen:
                seen.add(path)
                self._refuse(path, f"{path} cannot be searched: {error.strerror}")
        errors.clear()

    def _is_searched(self, folder: Path, start: str, followed: set[str]) -> bool:
        """Whether to search a folder below `start`; `followed` holds the targets of all links followed so far."""
        if self._result_folders and real_path(folder) in self._result_folders:
            self.remarks.append(f"{folder}: {NO_RESULTS}")
            return False
        if not folder.is_symlink():
            return True
        target = real_path(folder)
        is_found = _is_inside(target, start)  # without this link
        if not is_found and any(_is_inside(each, target) for each in (start, real_path(folder.parent))):
            self.remarks.append(f"{folder}: not searched, since it leads back to a folder that contains it")
            return False
        if is_found or target in followed:
            return False
        followed.add(target)
        return True

    def _is_result(self, path: Path) -> bool:
        is_input = path.name not in self._result_names or is_image_path(path) or is_video_path(path)
        return not is_input and real_path(path) in self._result_files

    def _reason_against(self, path: Path) -> str:
        """Why a file in a folder is skipped; empty if it is not."""
        ending = path.suffix.lower()
        if path.name.startswith(DRAFT):
            return "left by a run that was killed"
        if path.name.lower().endswith(self._also):
            return ""
        if is_video_path(path) and not self._takes_videos:
            return f"{ending} (a video)"
        if ending and not is_image_path(path) and not is_video_path(path):
            return f"{ending} (not an image or video)"
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                return "neither a file nor a folder"
            return "" if ending or is_image_file(path) else "without an ending (not an image)"
        except PermissionError:
            return "" if ending else "without permission to read"
        except OSError:  # for example a broken link; if it has the ending of an image, reading it reports the error
            return "" if ending else "that cannot be read"


def _is_inside(path: str, folder: str) -> bool:
    """Whether a path is the folder itself or below it."""
    return path == folder or path.startswith(os.path.join(folder, ""))


def _kind(argument: str) -> InputKind:
    """The kind of an argument that is a path or the number of a camera."""
    if re.fullmatch("[0-9]{1,3}", argument) and not os.path.exists(argument):
        return InputKind.CAMERA
    return _kind_by_ending(Path(argument))


def _kind_by_ending(path: Path) -> InputKind:
    return InputKind.VIDEO if is_video_path(path) else InputKind.IMAGE


def _plain_part(pattern: str) -> str:
    """The folders at the beginning of a pattern, up to the first one with wildcards."""
    while glob.has_magic(pattern):
        pattern = os.path.dirname(pattern)
    return pattern


def _closed_folders(pattern: str) -> Iterator[str]:
    """The folders that a pattern needs to search, but for which there is no permission."""
    rest = pattern
    found: set[str] = set()
    while (folder := os.path.dirname(rest)) not in ("", rest):
        needs = os.R_OK | os.X_OK if glob.has_magic(os.path.basename(rest)) else os.X_OK
        matches = glob.glob(folder, recursive=True) if glob.has_magic(folder) else [folder]
        found.update(each.rstrip(os.sep) or os.sep for each in matches if os.path.isdir(each) and not os.access(each, needs))
        rest = folder
    yield from sorted(found)
