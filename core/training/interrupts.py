"""Ctrl-C during training."""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupts:
    """A context in which the first Ctrl-C is only noted, and `check` raises it. The second Ctrl-C is raised at once.

    Python drops a KeyboardInterrupt that is raised in a destructor, and MXNet's arrays run theirs in every step. Nothing
    changes outside the main thread, or if another handler than Python's own is set.
    """

    def __init__(self) -> None:
        self._came = self._is_ours = False

    def __enter__(self) -> "Interrupts":
        is_main = threading.current_thread() is threading.main_thread()
        self._is_ours = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._is_ours:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: Any) -> None:
        if self._is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._came:
            signal.default_int_handler(number, frame)
        self._came = True

    def check(self) -> None:
        """Raises KeyboardInterrupt after a Ctrl-C."""
        if self._came:
            raise KeyboardInterrupt
