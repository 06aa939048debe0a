"""Names for the pictures and crops of a run, so that nothing overwrites another result, a photo or a table.

Names depend on the inputs and their order alone, not on what is found in them: a run that is resumed gives the same names as
one that was not interrupted.
"""

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.io.files import PICTURE_FORMATS, real_path

CROP = re.compile(r"(.+)-face[0-9]+(?:-([0-9]+))?\.png", re.DOTALL)
FRAME = re.compile(r"(.+)-frame[0-9]+", re.DOTALL)

NUMBER = re.compile(r"-[0-9]+(?=(\.[^.]*)?$)")

Series = tuple[str, str, int]  # of crops: folder, what comes before -faceN, and the number after it; 1 for none


@dataclass(frozen=True)
class Names:
    """The names for one input.

    Attributes:
        picture: the annotated picture or video; None if no picture is to be written.
        stem: what the names of its crops begin with, in their folder; None if no crops are to be written.
        number: what they end with, where it is not 1.
    """

    picture: Path | None = None
    stem: Path | None = None
    number: int = 1

    def crop(self, face: int, frame: int | None = None) -> Path:
        """The path of a crop, NAME-faceN.png, of a video NAME-frameM-faceN.png."""
        assert self.stem is not None
        middle = "" if frame is None else f"-frame{frame}"
        end = "" if self.number == 1 else f"-{self.number}"
        return self.stem.with_name(f"{self.stem.name}{middle}-face{face}{end}.png")


class OutputNames:
    """Gives out names, each once.

    A name differs from another one if it does so on every file system: not only by capitals, or by how its accents are coded.

    Args:
        pictures: the folder for pictures and videos, if they are written.
        crops: the folder for crops, if they are written.
        taken: files that the run reads or writes otherwise.
    """

    def __init__(self, pictures: str | None, crops: str | None, taken: Iterable[str | os.PathLike] = ()) -> None:
        self._pictures, self._crops = (Path(each) if each else None for each in (pictures, crops))
        self._files: set[str] = set()
        self._crops_of = {False: set[Series](), True: set[Series]()}  # photos, videos
        self._alike: set[Series] = set()  # what files that are no crops of this run look like
        self._frames: set[Series | None] = set()  # videos whose crops some photos' crops, or some files, look like
        self._wished: set[tuple[str, str]] = set()  # folders and names of pictures without numbers, and of crops up to -face
        self._folders: dict[Path, str] = {}
        self._next: dict[object, int] = {}
        for path in taken:
            self._take(Path(path))

    def give(self, name: Path, is_video: bool) -> Names:
        """Names for the input `name`, with `-2`, `-3` ... where they are taken; an input that comes twice gets others again."""
        picture = stem = None
        number = 1
        if self._pictures:
            picture = self._give_picture(self._pictures / _picture_name(name, is_video))
        if self._crops:
            stem = self._crops / name.with_name(name.stem)
            number = self._give_number(stem, is_video)
        return Names(picture, stem, number)

    def may_be_result(self, path: Path) -> bool:
        """Whether a file may be what a run wrote for an input that was given names here."""
        folder, name = self._folder(path.parent), _folded(path.name)
        candidates = {(folder, name), (folder, NUMBER.sub("", name))}
        if series := self._series(path):
            candidates.add(series[:2])
            if video := _video(series):
                candidates.add((folder, f"{video[1]}-frame"))
        return not candidates.isdisjoint(self._wished)

    def check_crop(self, path: Path) -> None:
        """Refuse to write a crop that is a link to another file which the run reads or writes.

        Raises:
            DataError: if it is.
        """
        if os.path.islink(path) and _folded(real_path(path)) in self._files:
            raise DataError(f"{path} cannot be written: it is a link to {real_path(path)}, which this run reads or writes")

    def _give_picture(self, path: Path) -> Path:
        key = (self._folder(path.parent), _folded(path.name))
        self._wished.add(key)
        number = self._next.get(key, 1)
        while not self._is_free(numbered := path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")):
            number += 1
        self._next[key] = number + 1
        self._take(numbered)
        return numbered

    def _is_free(self, path: Path) -> bool:
        series = self._series(path)
        if series and (series in self._crops_of[False] or _video(series) in self._crops_of[True]):
            return False
        return _folded(real_path(path)) not in self._files

    def _take(self, path: Path) -> None:
        self._files.add(_folded(real_path(path)))
        if series := self._series(path):
            self._alike.add(series)
            self._frames.add(_video(series))

    def _give_number(self, stem: Path, is_video: bool) -> int:
        folder, name = self._folder(stem.parent), _folded(stem.name)
        key = (folder, name, is_video)
        self._wished.add((folder, f"{name}-frame" if is_video else name))
        number = self._next.get(key, 1)
        while self._is_taken((folder, name, number), is_video):
            number += 1
        self._next[key] = number + 1
        self._crops_of[is_video].add((folder, name, number))
        if not is_video:
            self._frames.add(_video((folder, name, number)))
        return number

    def _is_taken(self, series: Series, is_video: bool) -> bool:
        if series in self._crops_of[is_video]:
            return True
        return series in self._frames if is_video else series in self._alike or _video(series) in self._crops_of[True]

    def _series(self, path: Path) -> Series | None:
        """The series of crops that a file would belong to if it were a crop."""
        match = CROP.fullmatch(_folded(path.name))
        return (self._folder(path.parent), match[1], int(match[2] or 1)) if match else None

    def _folder(self, path: Path) -> str:
        if path not in self._folders:
            self._folders[path] = _folded(real_path(path))
        return self._folders[path]


def _video(series: Series) -> Series | None:
    """The video that a series of crops is of, if it is one of a video's frame."""
    folder, name, number = series
    match = FRAME.fullmatch(name)
    return (folder, match[1], number) if match else None


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _picture_name(name: Path, is_video: bool) -> Path:
    """A photo keeps its format where that can be written, and becomes PNG otherwise; a video becomes MP4."""
    if is_video:
        return name.with_suffix(".mp4")
    return name.with_suffix(name.suffix if name.suffix.lower() in PICTURE_FORMATS else ".png")
