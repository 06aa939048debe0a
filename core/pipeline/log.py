"""The log of a run: everything goes to a file, and only warnings to the terminal."""

import logging
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Iterator

from tqdm import tqdm

from mtcnn_gluon.io.files import naming_target


class _Terminal(logging.Handler):
    """Warnings, above the progress bar if there is one."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._stream = sys.stderr  # what a step writes there goes to the log
        self.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=self._stream)


@contextmanager
def open_log(path: Path) -> Iterator[IO[str]]:
    """Write what the package logs to the end of a file, and warnings to the terminal as well.

    Raises:
        DataError: if the file cannot be written.
    """
    with naming_target(path):
        file = open(path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115  closed below
    handler = logging.StreamHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s"))
    package = logging.getLogger("mtcnn_gluon")
    before = package.handlers, package.propagate, package.level
    package.handlers, package.propagate = [handler, _Terminal()], False
    package.setLevel(logging.INFO)
    try:
        with file:
            yield file
    finally:
        package.handlers, package.propagate = before[:2]
        package.setLevel(before[2])
