"""JSON Lines files, written line by line so that interrupted or killed work can be resumed."""

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Sequence

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.io.files import draft_of, whole_file


def read_rows(path: Path, keys: Sequence[str], what: str) -> list[dict[str, Any]]:
    """The objects that an earlier run, finished or not, wrote to `path`; none if there is no such file.

    A last line that was cut off is dropped.

    Args:
        path: the file; if an unfinished run left a draft of it, the draft is read.
        keys: keys that every object must have.
        what: description of an object, for messages.

    Raises:
        DataError: if the file cannot be read or contains something else; the message names the line.
    """
    draft = draft_of(path)
    source = draft if os.path.isfile(draft) else path
    if not os.path.isfile(source):
        return []
    try:
        text = source.read_text("utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}") from error
    rows = []
    *lines, rest = text.split("\n")  # not splitlines: names may contain other line ends
    for number, line in enumerate([*lines, rest] if rest else lines, 1):
        try:
            row = json.loads(line)
            for key in keys:
                row[key]
            if "\\u" in line:
                _line(row).encode()  # fails for half a character, which JSON can contain and UTF-8 cannot
        except (ValueError, KeyError, TypeError, RecursionError):
            if number > len(lines):
                break
            raise DataError(f"{source}, line {number}: expected {what}, got {line[:80]!r}") from None
        rows.append(row)
    return rows


class RowWriter:
    """Writes objects to a JSON Lines file, each at once: written lines stay if the process is killed.

    Args:
        path: the file; it has the name of its draft until `stack` closes without an error.
        earlier: objects of an earlier run, for the top of the file.
        stack: closes the file.

    Raises:
        DataError: if the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike, earlier: Sequence[dict[str, Any]], stack: ExitStack) -> None:
        draft = draft_of(Path(path))
        if earlier or os.path.lexists(draft):
            with whole_file(draft) as file:  # never half-written: it may be all that an earlier run left
                file.writelines(_line(row) for row in earlier)
        self._file = stack.enter_context(whole_file(path, keep_draft=True))

    def write(self, row: dict[str, Any]) -> None:
        """Write a line."""
        self._file.write(_line(row))
        self._file.flush()


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
