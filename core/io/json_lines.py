"""JSON Lines files that long work writes line by line, so that it can go on where it was interrupted or killed."""

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Sequence

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.io.files import draft_of, whole_file


def read_rows(path: Path, keys: Sequence[str], what: str) -> list[dict[str, Any]]:
    """The objects that an earlier run, finished or not, wrote to `path`; none if there is no such file.

    A last line that was cut off is only dropped.

    Args:
        path: the file; the draft of an unfinished run goes first.
        keys: what every object must hold.
        what: what an object is, for messages.

    Raises:
        DataError: if the file cannot be read, or holds something else; the message names the line.
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
    *lines, rest = text.split("\n")  # not splitlines: names may hold other line ends
    for number, line in enumerate([*lines, rest] if rest else lines, 1):
        try:
            row = json.loads(line)
            for key in keys:
                row[key]
            if "\\u" in line:
                _line(row).encode()  # JSON can spell half a character, which no file takes
        except (ValueError, KeyError, TypeError, RecursionError):
            if number > len(lines):
                break
            raise DataError(f"{source}, line {number}: expected {what}, got {line[:80]!r}") from None
        rows.append(row)
    return rows


class RowWriter:
    """Writes objects to a JSON Lines file as they come; what is written stays if the process is killed.

    Args:
        path: the file; until `stack` closes without an error it has the name of its draft.
        earlier: objects of an earlier run, to be kept at the top of the file.
        stack: closes the file.

    Raises:
        DataError: if the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike, earlier: Sequence[dict[str, Any]], stack: ExitStack) -> None:
        draft = draft_of(Path(path))
        if earlier or os.path.lexists(draft):
            with whole_file(draft) as file:  # whole at any moment: it may be all that an earlier run left
                file.writelines(_line(row) for row in earlier)
        self._file = stack.enter_context(whole_file(path, keep_draft=True))

    def write(self, row: dict[str, Any]) -> None:
        """Write a line."""
        self._file.write(_line(row))
        self._file.flush()


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
