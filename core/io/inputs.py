"""Finding the photos and videos that people mean, and saying what was left out.

In a folder, every file is taken whose ending is one of an image or a video that can be read when it is named directly, and
every file without an ending that begins as an image does. Nothing else is opened. What is not taken is counted.
"""

import glob
import os
import re
import stat
import sys
from collections import Counter
from dataclasses import dataclass, field
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
MOST_REASONS = 8  # of a folder, that are told apart


class Kind(Enum):
    """What an input is."""

    IMAGE = "image"
    VIDEO = "video"
    CAMERA = "camera"
    STANDARD_INPUT = "standard input"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, eq=False)
class Found:
    """One input.

    Attributes:
        path: where it is; of a camera its number, of standard input `-`.
        name: its path below the folder that was searched, or its file name: what its results are named after.
        kind: what it is.
        error: of a folder that may not be searched or an address elsewhere, why it cannot be read.
        text: what was asked for, where that is no path.
    """

    path: Path
    name: Path
    kind: Kind = Kind.IMAGE
    error: str = ""
    text: str = ""

    @property
    def label(self) -> dict[str, str]:
        """What tells it from all other inputs, as keys of a JSON object.

        `image` is the path. Where the path holds bytes that are no UTF-8, which become replacement marks in `image`, there is
        also `image_bytes`: the path's bytes, percent-encoded.
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
        if self.kind is not Kind.STANDARD_INPUT:
            return read_image(self.path)
        if sys.stdin is None:
            raise ImageError("standard input is closed")
        try:
            return decode_image(sys.stdin.buffer.read(), "standard input")
        except OSError as error:
            raise ImageError(f"standard input cannot be read: {error.strerror or error}") from error


@dataclass
class Search:
    """What command-line arguments stand for.

    Attributes:
        found: the inputs, in order.
        skipped: for every folder that was searched, how many of what it holds were left out, and why.
        remarks: sentences about folders that were not searched.
    """

    found: list[Found] = field(default_factory=list)
    skipped: dict[str, Counter[str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def notes(self) -> list[str]:
        """A sentence for every folder that was not searched, or in which something was left out."""
        sentences = [printable(remark) for remark in self.remarks]
        for folder, reasons in self.skipped.items():
            ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
            parts = [f"{count} {reason}" for reason, count in ranked[:MOST_REASONS]]
            if rest := sum(count for _, count in ranked[MOST_REASONS:]):
                parts.append(f"{rest} of {len(ranked) - MOST_REASONS} other kinds")
            total = sum(reasons.values())
            sentences.append(printable(f"{folder}: skipped {total} file{'' if total == 1 else 's'}: {', '.join(parts)}"))
        return sentences


def find_inputs(
    arguments: Iterable[str], takes_videos: bool = True, result_folders: Iterable[str] = (), result_files: Iterable[str] = ()
) -> Search:
    """The inputs that command-line arguments stand for, in order.

    A folder stands for all images and videos below it, sorted, those behind links to other folders too; a pattern that is not
    itself a file for what it matches (`**` crosses folders); `-` for an image on standard input; up to three digits for the
    camera with that number; anything else for itself, whether it exists or not, so that a mistyped name is reported where it
    is read. So are a folder that may not be searched and an address elsewhere.

    Args:
        arguments: what was asked for.
        takes_videos: whether videos in folders count.
        result_folders: folders to write into. Where one lies in a folder that is searched it is left out, since what it holds
            are the results of an earlier run.
        result_files: files to write, which are not counted as left out.

    Raises:
        ConfigError: if standard input is asked for twice.
    """
    finder = _Finder(takes_videos, result_folders, result_files)
    for argument in arguments:
        finder.add(argument)
    return finder.search


class _Finder:
    def __init__(self, takes_videos: bool, result_folders: Iterable[str], result_files: Iterable[str]) -> None:
        self._takes_videos = takes_videos
        self._result_folders, self._result_files = (
            {real_path(each) for each in kind} for kind in (result_folders, result_files)
        )
        self._result_names = {os.path.basename(each) for each in self._result_files}  # to look at few paths more closely
        self.search = Search()

    def add(self, argument: str) -> None:
        """Find what an argument stands for."""
        if argument == "-":
            if any(found.kind is Kind.STANDARD_INPUT for found in self.search.found):
                raise ConfigError("- stands for standard input, which can be read only once")
            self._take(Path("-"), Path("stdin.png"), Kind.STANDARD_INPUT)
        elif is_url(argument):
            self._refuse(Path(argument), no_url(argument), argument)
        elif os.path.isdir(argument):
            self._search(Path(argument), set())
        elif glob.has_magic(argument) and "\0" not in argument and not os.path.exists(argument):
            self._match(argument)
        else:
            self._take(Path(argument), Path(Path(argument).name), _kind(argument))

    def _take(self, path: Path, name: Path, kind: Kind) -> None:
        self.search.found.append(Found(path, name, kind))

    def _refuse(self, path: Path, error: str, text: str = "") -> None:
        self.search.found.append(Found(path, Path(path.name), Kind.UNREADABLE, error, text))

    def _skip(self, folder: object, reason: str) -> None:
        self.search.skipped.setdefault(str(folder), Counter())[reason] += 1

    def _match(self, pattern: str) -> None:
        """Take what a pattern matches."""
        seen: set[Path] = set()  # `**` matches a folder and also what is in it
        for closed in _closed_folders(pattern):
            self._refuse(Path(closed), f"{closed} cannot be searched: Permission denied")
            seen.add(Path(closed))
        start = real_path(_plain_part(pattern))
        results = [each for each in self._result_folders if _is_below(each, start)]
        for match in map(Path, sorted(glob.glob(pattern, recursive=True)) or [pattern]):
            if match in seen:
                continue
            if results and any(_is_below(real_path(match), each, or_equal=True) for each in results):
                if not os.path.isdir(match):
                    self._skip(pattern, "in a folder for results")
                elif real_path(match) in results:
                    self.search.remarks.append(f"{match}: {NO_RESULTS}")
            elif os.path.isdir(match):
                self._search(match, seen)
            else:
                self._take(match, Path(match.name), _kind(str(match)))
            seen.add(match)

    def _search(self, folder: Path, seen: set[Path]) -> None:
        """Take what is below a folder, but what is in `seen` not again."""
        errors: list[OSError] = []
        links = _Links(folder)
        for root, folders, files in os.walk(folder, onerror=errors.append, followlinks=True):
            self._refuse_closed(errors, seen)
            folders[:] = [name for name in sorted(folders) if self._is_searched(Path(root) / name, links)]
            for path in (Path(root) / name for name in sorted(files)):
                if path in seen or self._is_result(path):
                    continue
                seen.add(path)
                if reason := self._reason_against(path):
                    self._skip(folder, reason)
                else:
                    self._take(path, path.relative_to(folder), _kind_by_ending(path))
        self._refuse_closed(errors, seen)

    def _refuse_closed(self, errors: list[OSError], seen: set[Path]) -> None:
        for error in errors:
            if (path := Path(error.filename)) not in seen:
                seen.add(path)
                self._refuse(path, f"{path} cannot be searched: {error.strerror}")
        errors.clear()

    def _is_searched(self, folder: Path, links: "_Links") -> bool:
        if self._result_folders and real_path(folder) in self._result_folders:
            self.search.remarks.append(f"{folder}: {NO_RESULTS}")
            return False
        if links.lead_back(folder):
            self.search.remarks.append(f"{folder}: not searched, since it leads back to a folder that holds it")
            return False
        return links.lead_on(folder)

    def _is_result(self, path: Path) -> bool:
        is_other = is_image_path(path) or is_video_path(path) or path.name not in self._result_names
        return not is_other and real_path(path) in self._result_files

    def _reason_against(self, path: Path) -> str:
        """Why a file in a folder is not taken; empty if it is."""
        ending = path.suffix.lower()
        if path.name.startswith(DRAFT):
            return "left by a run that was killed"
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
        except OSError:  # a link that leads nowhere, say; with the ending of an image it is reported where it is read
            return "" if ending else "that cannot be read"


class _Links:
    """Which links to folders to follow: those that lead to what is not found without them."""

    def __init__(self, folder: Path) -> None:
        self._start = real_path(folder)
        self._followed: set[str] = set()

    def lead_back(self, folder: Path) -> bool:
        """Whether it is a link that leads back, out of the folder that is searched: to follow it would never end."""
        if not folder.is_symlink():
            return False
        target = real_path(folder)
        holds_it = any(_is_below(each, target, or_equal=True) for each in (self._start, real_path(folder.parent)))
        return holds_it and not _is_below(target, self._start, or_equal=True)

    def lead_on(self, folder: Path) -> bool:
        """Whether to search a folder: not one that is found without this link, or was found by another."""
        if not folder.is_symlink():
            return True
        target = real_path(folder)
        if _is_below(target, self._start, or_equal=True) or target in self._followed:
            return False
        self._followed.add(target)
        return True


def _is_below(path: str, folder: str, or_equal: bool = False) -> bool:
    return path.startswith(os.path.join(folder, "")) or (or_equal and path == folder)


def _kind(argument: str) -> Kind:
    """What a path that was given by itself is."""
    if re.fullmatch("[0-9]{1,3}", argument) and not os.path.exists(argument):
        return Kind.CAMERA
    return _kind_by_ending(Path(argument))


def _kind_by_ending(path: Path) -> Kind:
    return Kind.VIDEO if is_video_path(path) else Kind.IMAGE


def _plain_part(pattern: str) -> str:
    """The folders at the beginning of a pattern that hold no wildcards."""
    while glob.has_magic(pattern):
        pattern = os.path.dirname(pattern)
    return pattern


def _closed_folders(pattern: str) -> Iterator[str]:
    """The folders that a pattern would have to look into, and may not."""
    rest = pattern
    found: set[str] = set()
    while (folder := os.path.dirname(rest)) not in ("", rest):
        needs = os.R_OK | os.X_OK if glob.has_magic(os.path.basename(rest)) else os.X_OK
        matches = glob.glob(folder, recursive=True) if glob.has_magic(folder) else [folder]
        found.update(each.rstrip(os.sep) or os.sep for each in matches if os.path.isdir(each) and not os.access(each, needs))
        rest = folder
    yield from sorted(found)
