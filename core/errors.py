"""The package's exceptions. Every message names the file or option, the expected and the actual value."""

import re
from typing import Iterable

NEAR = 0.6  # smallest similarity, in 0..1, between a word and a suggestion
BEHIND = 0.15  # largest difference in similarity between a suggestion and the best one
MANY = 8  # packages that a message can name
SUGGESTED = 3  # largest number of suggestions


class MtcnnError(Exception):
    """Base of every error that this package raises on purpose."""


class ImageError(MtcnnError):
    """An image cannot be read, or an array is not an image."""


class ModelError(MtcnnError):
    """A model bundle, or the runtime for it, is missing, damaged or unsuitable."""


class DataError(MtcnnError):
    """A file of annotations, records or results is missing, damaged or malformed, or a file cannot be written."""


class Unavailable(ModelError):
    """An optional part cannot be used here: the compiled kernels, a runtime, a device, or the bundle's files for a runtime."""


class ConfigError(MtcnnError, ValueError):
    """An option is unknown or out of range. Also a `ValueError`."""


class WorkerError(MtcnnError):
    """A worker process has died: it was killed, or it crashed."""


class LibraryError(MtcnnError, ImportError):
    """A required library cannot be imported. Also an `ImportError`."""


def shown(value: object) -> str:
    """A value as it appears in a message: its repr, cut to 100 characters, or its type if it has none."""
    try:
        text = repr(value)
    except Exception:  # for example a whole number with thousands of digits
        return f"a {type(value).__name__}"
    return text if len(text) <= 100 else text[:97] + "..."


def last_line(error: Exception) -> str:
    """The last line of an error's message, where libraries state the cause; lines about a stack trace do not count."""
    lines = [line for line in str(error).splitlines() if line.strip() and "Stack trace" not in line]
    return lines[-1].strip() if lines else type(error).__name__


def install_command(extra: str) -> str:
    """The command that installs what an extra of this package asks for, such as `pip install onnxruntime`."""
    from importlib.metadata import PackageNotFoundError, requires  # only here, so that `import mtcnn_gluon` stays fast

    try:
        lines = [line.partition(";") for line in requires("mtcnn-gluon") or ()]
    except PackageNotFoundError:  # run from its sources
        lines = []
    wanted = [name.strip() for name, _, marker in lines if f'extra == "{extra}"' in marker.replace("'", '"')]
    wanted = [f'"{name}"' if {"<", ">"} & set(name) else name for name in wanted if "needs.python" not in name]
    if not 0 < len(wanted) <= MANY:
        return f'pip install ".[{extra}]" in the folder of the sources of mtcnn-gluon'
    return f"pip install {' '.join(wanted)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question such as `: did you mean --min-face?`; empty if no known word is similar to `word`."""
    found = near(word, known)
    return f": did you mean {' or '.join(found)}?" if found else ""


def near(word: str, known: Iterable[str]) -> list[str]:
    """The known words most similar to `word`, best first. If some differ only in case or hyphens, only those are returned."""
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
    """Similarity in 0..1; at least `NEAR` if one word begins or ends with the other, as `thresholds` with `thresh`."""
    from difflib import SequenceMatcher  # only here, so that `import mtcnn_gluon` stays fast

    ratio = SequenceMatcher(None, word, other).ratio()
    short, long = sorted((word, other), key=len)
    is_part = len(short) >= 3 and (long.startswith(short) or long.endswith(short))
    return NEAR + (1 - NEAR) * ratio if is_part else ratio


def _plain(word: str) -> str:
    return re.sub("[-_]", "", word.lower())
