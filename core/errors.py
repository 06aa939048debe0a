"""The package's exceptions. Every message names the file or option, what was expected and what came."""

import difflib
import re
from typing import Iterable

NEAR = 0.6  # similarity, in 0..1, from which a word may be a slip of another one
BEHIND = 0.15  # how much less near than the nearest word a further suggestion may be
SUGGESTED = 3  # at most so many words


class MtcnnError(Exception):
    """Base of every error that this package raises on purpose."""


class ImageError(MtcnnError):
    """An image cannot be read, or an array is not an image."""


class ModelError(MtcnnError):
    """A model bundle, or the runtime that should run it, is missing, damaged or unsuitable."""


class DataError(MtcnnError):
    """An annotation, a record file or a result file is missing, damaged or malformed."""


class Unavailable(ModelError):
    """Something optional cannot be used here: the compiled kernels, a runtime, a device, or the bundle's files for it."""


class ConfigError(MtcnnError, ValueError):
    """An option is unknown or out of range. Also a `ValueError`."""


class LibraryError(MtcnnError, ImportError):
    """A library that everything here needs cannot be imported. Also an `ImportError`."""


def shown(value: object) -> str:
    """A value as it appears in a message: its repr, cut to 100 characters, or its type if it has none."""
    try:
        text = repr(value)
    except Exception:  # such as a whole number of thousands of digits
        return f"a {type(value).__name__}"
    return text if len(text) <= 100 else text[:97] + "..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Such as `: did you mean --min-face?`; empty if nothing in `known` is near to `word`."""
    found = near(word, known)
    return f": did you mean {' or '.join(found)}?" if found else ""


def near(word: str, known: Iterable[str]) -> list[str]:
    """The words that `word` may be a slip of, best first; those that differ only in case or hyphens, if there are any."""
    own, plain = _plain(word), {other: _plain(other) for other in known}
    if same := [other for other, text in plain.items() if text == own]:
        return same[:SUGGESTED]
    if len(own) < 3:
        return []
    likeness = {other: _likeness(own, text) for other, text in plain.items()}
    least = max(NEAR, max(likeness.values(), default=0) - BEHIND)
    close = [other for other in plain if likeness[other] >= least]
    return sorted(close, key=lambda other: -likeness[other])[:SUGGESTED]


def _likeness(word: str, other: str) -> float:
    """0..1; of a word that begins or ends the other one, as `thresh` does `thresholds`, at least `NEAR`."""
    ratio = difflib.SequenceMatcher(None, word, other).ratio()
    short, long = sorted((word, other), key=len)
    is_part = len(short) >= 3 and (long.startswith(short) or long.endswith(short))
    return NEAR + (1 - NEAR) * ratio if is_part else ratio


def _plain(word: str) -> str:
    return re.sub("[-_]", "", word.lower())
