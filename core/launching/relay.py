"""What a process prints, passed on line by line with its name before it."""

import threading
from collections import deque
from typing import IO, BinaryIO

LONGEST = 1 << 16  # bytes of a line that are passed on at once
KEPT = 20  # last lines of a process that are kept


class Relay(threading.Thread):
    """Reads what a process prints until its end, even if nobody can be told, so that the process never waits.

    Args:
        source: what the process prints.
        target: where it goes; None: nowhere.
        name: what stands before each line.
        lock: held while a line is written.

    Attributes:
        last: the last lines.
        is_broken: whether the target cannot be written.
    """

    def __init__(self, source: IO[bytes], target: BinaryIO | None, name: str, lock: threading.Lock) -> None:
        super().__init__(daemon=True)
        self._source, self._target, self._lock = source, target, lock
        self._prefix = f"[{name}] ".encode()
        self.last: deque[str] = deque(maxlen=KEPT)
        self.is_broken = False

    def run(self) -> None:
        """See the class."""
        for line in iter(lambda: self._source.readline(LONGEST), b""):
            line = line.rstrip(b"\r\n")
            self.last.append(line.decode(errors="replace"))
            if self._target is not None and not self.is_broken:
                try:
                    with self._lock:
                        self._target.write(self._prefix + line + b"\n")
                        self._target.flush()
                except (OSError, ValueError):
                    self.is_broken = True
