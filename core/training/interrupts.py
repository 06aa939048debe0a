"""Ctrl-C while a net is trained."""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupts:
    """As long as this is entered, the first interrupt is only remembered, until `check` is asked; another is raised at once.

    Python drops a KeyboardInterrupt that arises in a destructor, and those of MXNet's arrays run at every step. Nothing is
    changed but in the main thread, and where Python's own handler is in use.
    """

    def __init__(self) -> None:
        self._came = self._is_ours = False

    def __enter__(self) -> "Interrupts":
        is_main = threading.current_thread() is threading.main_thread()
        self._is_ours = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._is_ours:
            signal.signal(signal.SIGINT, self._remember)
        return self

    def __exit__(self, *_: Any) -> None:
        if self._is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._came:
            signal.default_int_handler(number, frame)
        self._came = True

    def check(self) -> None:
        """Raises KeyboardInterrupt if one came."""
        if self._came:
            raise KeyboardInterrupt
