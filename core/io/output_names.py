"""Names for the pictures and crops of a run. No name overwrites another result, a photo or a table.

Names depend only on the inputs and their order, not on detected faces. Thus a resumed run gives the same names as an
uninterrupted one.
"""

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.io.files import PICTURE_FORMATS, real_path

CROP = re.compile(r"(.+-face)[0-9]+(?:-([0-9]+))?\.png", re.DOTALL)
FRAME = re.compile(r"(.+-frame)[0-9]+-face", re.DOTALL)
NUMBER = re.compile(r"-[0-9]+(?=(\.[^.]*)?$)")

Key = tuple[str, str]  # folder, and a file name or the beginning of the names of crops: NAME-face, for a video NAME-frame
Taken = str | tuple[str, str, int]  # a file, or all crops of an input: key, and number at the end of their names (1: none)


@dataclass(frozen=True)
class Names:
    """The names for the results of one input.

    Attributes:
        picture: path of the annotated picture or video; None if none is written.
        stem: path of the crops up to `-faceN` (for a video up to `-frameM-faceN`); None if none are written.
        number: number at the end of the crops' names; 1 is left out.
    """

    picture: Path | None = None
    stem: Path | None = None
    number: int = 1

    def crop(self, face: int, frame: int | None = None) -> Path:
        """The path of a crop."""
        assert self.stem is not None
        middle = "" if frame is None else f"-frame{frame}"
        return _numbered(self.stem.with_name(f"{self.stem.name}{middle}-face{face}.png"), self.number)


class OutputNames:
    """Gives out names, each once.

    Names that differ only in case or in the encoding of accents count as equal, since they are equal on some file systems.

    Args:
        pictures: the folder for pictures and videos, if they are written.
        crops: the folder for crops, if they are written.
        taken: other files that the run reads or writes.
    """

    def __init__(self, pictures: str | None, crops: str | None, taken: Iterable[str | os.PathLike] = ()) -> None:
        self._pictures, self._crops = (Path(each) if each else None for each in (pictures, crops))
        self._taken: set[Taken] = set()
        self._touched: set[Taken] = set()  # taken files, and all groups of crops that they may belong to
        self._folders: dict[Path, str] = {}
        self._next: dict[Key, int] = {}
        for path in taken:
            self._take(self._groups(Path(path)))

    def give(self, name: Path, is_video: bool) -> Names:
        """Names for the input `name`, with `-2`, `-3` ... if they are taken; the same input gets new names."""
        picture = stem = None
        number = 1
        if self._pictures:
            path = self._pictures / _picture_name(name, is_video)
            key = self._folder(path.parent), _folded(path.name)
            picture = _numbered(path, self._take_number(key, lambda number: self._groups(_numbered(path, number))))
        if self._crops:
            stem = self._crops / name.with_name(name.stem)
            begin = self._folder(stem.parent), _folded(stem.name) + ("-frame" if is_video else "-face")
            number = self._take_number(begin, lambda number: _crop_groups(*begin, number))
        return Names(picture, stem, number)

    def may_be_result(self, path: Path) -> bool:
        """Whether a file may be a result of an earlier run for an input that has names here."""
        folder, name = self._folder(path.parent), _folded(path.name)
        crops = [group[:2] for group in self._groups(path)[1:]]
        return not self._next.keys().isdisjoint([(folder, name), (folder, NUMBER.sub("", name)), *crops])

    def check_crop(self, path: Path) -> None:
        """Raise a `DataError` if the path of a crop is a link to another file of the run."""
        if os.path.islink(path) and _folded(real_path(path)) in self._taken:
            raise DataError(f"{path} cannot be written: it is a link to {real_path(path)}, which this run reads or writes")

    def _take_number(self, key: Key, groups_of: Callable[[int], list[Taken]]) -> int:
        """Take the first free number."""
        number = self._next.get(key, 1)
        while (groups := groups_of(number))[0] in self._touched or not self._taken.isdisjoint(groups):
            number += 1
        self._next[key] = number + 1
        self._take(groups)
        return number

    def _take(self, groups: list[Taken]) -> None:
        self._taken.add(groups[0])
        self._touched.update(groups)

    def _groups(self, path: Path) -> list[Taken]:
        """A file, and the groups of crops to which it may belong by its name."""
        match = CROP.fullmatch(_folded(path.name))
        crops = _crop_groups(self._folder(path.parent), match[1], int(match[2] or 1)) if match else []
        return [_folded(real_path(path)), *crops]

    def _folder(self, path: Path) -> str:
        if path not in self._folders:
            self._folders[path] = _folded(real_path(path))
        return self._folders[path]


def _crop_groups(folder: str, begin: str, number: int) -> list[Taken]:
    """The crops of an input, and those of a video whose frames they may be by their name."""
    match = FRAME.fullmatch(begin)
    return [(folder, begin, number), *([(folder, match[1], number)] if match else [])]


def _numbered(path: Path, number: int) -> Path:
    return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _picture_name(name: Path, is_video: bool) -> Path:
    """A photo keeps its format if that can be written, otherwise it becomes PNG; a video becomes MP4."""
    if is_video:
        return name.with_suffix(".mp4")
    return name.with_suffix(name.suffix if name.suffix.lower() in PICTURE_FORMATS else ".png")
