"""What the command prints: results on standard output, messages on standard error."""

import os
import sys
from contextlib import suppress

from tqdm import tqdm

from mtcnn_gluon.errors import DataError


def say(sentence: str) -> None:
    """Print a message on standard error, if that is possible."""
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            tqdm.write(f"mtcnn-gluon: {sentence}", file=sys.stderr)


def put_out(text: str) -> None:
    """Write to standard output at once. Letters that its encoding lacks become escapes.

    Raises:
        DataError: if it cannot be written.
        BrokenPipeError: if its reader has gone.
    """
    if sys.stdout is None:
        raise DataError("standard output cannot be written: it is closed")
    if not can_print(text):
        encoding = sys.stdout.encoding
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        tqdm.write(text, end="")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  or Python would write the rest when it ends, and complain
        raise DataError(f"standard output cannot be written: {error.strerror or error}") from error


def put_line(text: object) -> None:
    """As `put_out`, a whole line."""
    put_out(f"{text}\n")


def can_print(text: str) -> bool:
    """Whether the encoding of standard output has all letters of a text."""
    encoding = getattr(sys.stdout, "encoding", None)
    try:
        text.encode(encoding or "utf-8", getattr(sys.stdout, "errors", None) or "strict")
    except UnicodeEncodeError:
        return not encoding
    return True
