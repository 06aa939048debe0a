"""Printing: results on standard output, messages on standard error."""

import os
import sys
from contextlib import suppress

from tqdm import tqdm

from mtcnn_gluon.errors import DataError


def say(sentence: str) -> None:
    """Print a message on standard error, unless that is closed."""
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            tqdm.write(f"mtcnn-gluon: {sentence}", file=sys.stderr)


def put_out(text: str) -> None:
    """Write to standard output without buffering. Letters that its encoding lacks become escapes.

    Raises:
        DataError: if it cannot be written.
        BrokenPipeError: if the reader has closed it.
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
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  otherwise Python fails at exit, when it writes the rest
        raise DataError(f"standard output cannot be written: {error.strerror or error}") from error


def put_line(text: object) -> None:
    """Write a line, as `put_out`."""
    put_out(f"{text}\n")


def can_print(text: str) -> bool:
    """Whether standard output can encode all letters of a text."""
    encoding = getattr(sys.stdout, "encoding", None)
    try:
        text.encode(encoding or "utf-8", getattr(sys.stdout, "errors", None) or "strict")
    except UnicodeEncodeError:
        return not encoding
    return True
