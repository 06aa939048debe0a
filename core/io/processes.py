"""Worker processes that do not outlive the one that started them."""

import os
import threading
from multiprocessing import connection, parent_process


def end_with_parent() -> None:
    """To be called in a worker process: it ends when its parent does. A killed parent cannot end its workers, which would wait
    for it for ever.
    """
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    if (parent := parent_process()) is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
