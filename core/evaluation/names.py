"""The names of detectors: in reports, where they must differ, and in file names, where few characters are safe.

`file_stems` names the files. A name of plain characters is used unchanged; another name becomes its plain characters and a
digest of the whole name. So two names never share a file, even in different runs, and no name leads outside the folder.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Iterable, Sequence

from mtcnn_gluon.bundles.find import model_names
from mtcnn_gluon.errors import ConfigError, shown
from mtcnn_gluon.io.files import printable

THE_ANNOTATIONS, THE_PHOTOS = "the annotations", "the photos"  # other sources of problems in reports
PLAIN = re.compile("[A-Za-z0-9_][A-Za-z0-9._-]*[A-Za-z0-9_-]|[A-Za-z0-9_]")
LONGEST = 80  # characters: file systems allow 255 bytes, and endings are added
DIGITS = 10  # length of a digest
MARKED = re.compile(f"-[0-9a-f]{{{DIGITS}}}$")


def clean_name(text: str) -> str:
    """A name on one line, as reports show it: unprintable characters and repeated spaces become one space."""
    whole = unicodedata.normalize("NFC", printable(text))
    return " ".join("".join(each if each.isprintable() else " " for each in whole).split())


def named_paths(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Name and path from arguments `[NAME=]PATH`. The default name is the path's last part, without the ending of a file."""
    pairs = []
    for argument in arguments:
        name, path = _split(argument)
        last = Path(argument).name if os.path.isdir(argument) else Path(argument).stem
        pairs.append((clean_name(name or last or argument), path))
    return pairs


def _split(argument: str) -> tuple[str, str]:
    """Name (empty if not given) and path of an argument. Names and paths may contain `=`."""
    marks = [place for place, letter in enumerate(argument) if letter == "=" and 0 < place < len(argument) - 1]
    splits = [(argument[:place], argument[place + 1 :]) for place in marks]
    if os.path.exists(argument) or not splits:
        return "", argument
    return next((split for split in splits if split[1] in model_names() or os.path.exists(split[1])), splits[0])


def check_names(names: Iterable[str]) -> None:
    """Check the names of all detectors of a report, as from `clean_name`.

    Raises:
        ConfigError: if two are the same, or one is empty or reserved.
    """
    for name, count in Counter(names).items():
        if not name:
            raise ConfigError("a detector's name is empty: give it one, as in NAME=PATH")
        if name in (THE_ANNOTATIONS, THE_PHOTOS):
            raise ConfigError(f"a detector cannot be called {shown(name)}: give it another name, as in NAME=PATH")
        if count > 1:
            raise ConfigError(f"two detectors are called {name}: give them names, as in NAME=PATH")


def file_stems(names: Iterable[str]) -> dict[str, str]:
    """The stem of the file names for each detector of a report.

    Stems have at most 91 characters, and differ even on file systems that ignore case.
    """
    stems = {name: name if _is_plain(name) else _marked(name) for name in names}
    counts = Counter(stem.lower() for stem in stems.values())
    return {name: stem if counts[stem.lower()] == 1 else _marked(name) for name, stem in stems.items()}


def _is_plain(name: str) -> bool:
    """Whether a name can be a stem; a name that ends like a digest could be the stem of another name."""
    return len(name) <= LONGEST and PLAIN.fullmatch(name) is not None and not MARKED.search(name)


def _marked(name: str) -> str:
    plain = re.sub("[^A-Za-z0-9.-]+", "_", name).strip("._-")[:LONGEST] or "detector"
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:DIGITS]}"
