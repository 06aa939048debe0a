"""The names of detectors: in reports, where each must be another one, and in names of files, where few characters are good.

Files go by `file_stems`: a name of plain characters stands for itself, any other one for what is plain in it with a digest of
the whole name, so that two names never share a file, in one run or in two, and no name leaves its folder.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Iterable, Sequence

from mtcnn_gluon.bundles.format import model_names
from mtcnn_gluon.errors import ConfigError, shown
from mtcnn_gluon.io.files import printable

THE_ANNOTATIONS, THE_PHOTOS = "the annotations", "the photos"  # what else reports name problems of
PLAIN = re.compile("[A-Za-z0-9_][A-Za-z0-9._-]*[A-Za-z0-9_-]|[A-Za-z0-9_]")
LONGEST = 80  # characters: file systems end at 255 bytes, and an ending and a mark of an unfinished file are added
DIGITS = 10  # of a digest
MARKED = re.compile(f"-[0-9a-f]{{{DIGITS}}}$")


def clean_name(text: str) -> str:
    """A name in one line, as it is shown: what cannot be printed and repeated spaces become one space."""
    whole = unicodedata.normalize("NFC", printable(text))
    return " ".join("".join(each if each.isprintable() else " " for each in whole).split())


def named_paths(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Name and path of arguments `[NAME=]PATH`; without a name it is the path's last part, without a file's ending."""
    pairs = []
    for argument in arguments:
        name, path = _split(argument)
        if not name:
            name = Path(argument).name if os.path.isdir(argument) else Path(argument).stem
        pairs.append((clean_name(name or argument), path))
    return pairs


def _split(argument: str) -> tuple[str, str]:
    """Name, empty if there is none, and path of an argument; names and paths may hold `=` themselves."""
    parts = argument.split("=")
    splits = [("=".join(parts[:at]), "=".join(parts[at:])) for at in range(1, len(parts))]
    splits = [(name, path) for name, path in splits if name and path]
    if os.path.exists(argument) or not splits:
        return "", argument
    return next((split for split in splits if split[1] in model_names() or os.path.exists(split[1])), splits[0])


def check_names(names: Iterable[str]) -> None:
    """Check the names of all detectors of a report, as `clean_name` returns them.

    Raises:
        ConfigError: if two are the same, or one is empty or what reports call something else.
    """
    for name, count in Counter(names).items():
        if not name:
            raise ConfigError("a detector's name is empty: give it one, as in NAME=PATH")
        if name in (THE_ANNOTATIONS, THE_PHOTOS):
            raise ConfigError(f"a detector cannot be called {shown(name)}: give it another name, as in NAME=PATH")
        if count > 1:
            raise ConfigError(f"two detectors are called {name}: give them names, as in NAME=PATH")


def file_stems(names: Iterable[str]) -> dict[str, str]:
    """For each of a report's names, the beginning of the names of its files.

    They differ also where the file system takes capitals and small letters for the same, and are at most 91 characters.
    """
    stems = {name: name if _is_plain(name) else _marked(name) for name in names}
    counts = Counter(stem.lower() for stem in stems.values())
    return {name: stem if counts[stem.lower()] == 1 else _marked(name) for name, stem in stems.items()}


def _is_plain(name: str) -> bool:
    """Whether a name may be one of a file; not if it could be that of another name with its digest."""
    return len(name) <= LONGEST and PLAIN.fullmatch(name) is not None and not MARKED.search(name)


def _marked(name: str) -> str:
    plain = re.sub("[^A-Za-z0-9.-]+", "_", name).strip("._-")[:LONGEST] or "detector"
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:DIGITS]}"
