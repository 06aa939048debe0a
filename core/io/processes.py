"""Work in several processes, and the number of processors."""

import os
import pickle
import signal
import threading
from collections import deque
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager, suppress
from multiprocessing import connection, get_context, parent_process
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]
from typing import Any, Callable, Generator, Iterator, Sequence, TypeVar

from mtcnn_gluon.errors import MtcnnError, WorkerError
from mtcnn_gluon.mxnet_loader import environment

LOOK_AHEAD = 4  # largest number of items per worker that are in progress or whose results wait for the caller
State = TypeVar("State")
Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    function: Callable[[State, Item], Result], items: Sequence[Item], start: Callable[[], State], workers: int,
    name: Callable[[Item], str] = str, ordered: bool = True, threads: int | None = None,
) -> Generator[Result, None, None]:  # fmt: skip
    """Yield `function(state, item)` for every item, computed in worker processes.

    The workers end with the iterator (exhausted, closed, or ended by an error or Ctrl-C), and also when this process is killed.
    `function`, `start`, items and results are pickled.

    Args:
        function: the work on one item.
        items: the items.
        start: makes a worker's state, once in each worker.
        workers: number of processes, at most one for each item; with 1 this process does the work itself.
        name: describes an item in messages.
        ordered: whether results come in the order of the items; otherwise each comes as soon as it is computed.
        threads: threads of each worker (OMP_NUM_THREADS); None: as in this process.

    Raises:
        WorkerError: if a worker dies; the message names its item. Errors of `start` and `function` are raised unchanged, where
            the item's result would come.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        state = start() if items else None
        yield from (function(state, item) for item in items)  # type: ignore[arg-type]
        return
    with ExitStack() as stack:
        with environment({} if threads is None else {"OMP_NUM_THREADS": str(threads)}), _delayed_ctrl_c():
            team = [stack.enter_context(closing(_Worker(function, start, name))) for _ in range(workers)]
        by_pipe = {worker.pipe: worker for worker in team}
        left, begun = deque(items), list[Future]()
        while left or begun:
            for worker in by_pipe.values():
                if worker.future is None and left and len(begun) < LOOK_AHEAD * workers:
                    begun.append(worker.give(left.popleft()))
            for pipe in connection.wait(by_pipe):
                if not by_pipe[pipe].take_answer():  # type: ignore[index]
                    del by_pipe[pipe]  # type: ignore[arg-type]
            for future in list(begun):
                if future.done():
                    begun.remove(future)
                    yield future.result()
                elif ordered:
                    break


class _Worker:
    """The parent's view of a worker process.

    The worker gets one item at a time: if both ends sent large data at once, each would wait for the other forever.
    """

    def __init__(self, function: Callable, start: Callable, name: Callable[[Any], str]) -> None:
        context = get_context("spawn")  # MXNet may hang in a forked process
        self.pipe, other_end = context.Pipe()
        self.future: Future | None = None  # of the current item
        self._name, self._has_started = name, False
        self._process = context.Process(target=_serve, args=(other_end, function, start), daemon=True)
        self._process.start()
        other_end.close()

    def give(self, item: Any) -> Future:
        """Send an item; the future will hold its result."""
        self.future, self._item = Future(), item
        with suppress(OSError):  # the worker has died, which `take_answer` will report
            self.pipe.send(item)
        return self.future

    def take_answer(self) -> bool:
        """Read the worker's message; False if the worker has ended."""
        try:
            is_right, answer = self.pipe.recv()
        except (EOFError, OSError):
            is_right, answer = False, WorkerError(self._how_it_died())
        if self.future is None:
            raise answer
        if not is_right:
            self.future.set_exception(answer)
        elif self._has_started:
            self.future.set_result(answer)
            self.future = None
        self._has_started = True
        return is_right

    def _how_it_died(self) -> str:
        self._process.join()
        code = self._process.exitcode or 0
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        task = "started" if not self._has_started else f"worked on {self._name(self._item)}" if self.future else "waited"
        return f"a worker process died while it {task} ({how}), perhaps for lack of memory: fewer workers need less"

    def close(self) -> None:
        """End the process, even in the middle of an item."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


@contextmanager
def _delayed_ctrl_c() -> Iterator[None]:
    """Ctrl-C comes to this process after the block, and never to the processes that it starts, not even while they import.

    Otherwise a process that is half started would print a traceback.
    """
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    from multiprocessing import resource_tracker  # not on Windows

    resource_tracker.ensure_running()  # otherwise the first start does this, and lets the signal through
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number))  # other threads let it through
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, signal.SIG_DFL if handler is None else handler)
        for number in came[:1]:
            signal.raise_signal(number)


def _serve(pipe: Any, function: Callable, start: Callable) -> None:
    """Run a worker: send `(True, None)` after the start and `(True, result)` for each item, or `(False, error)` and end."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends its workers
    try:
        state = start()
        pipe.send((True, None))
        while True:
            item = pipe.recv()
            pipe.send((True, function(state, item)))
    except Exception as error:
        with suppress(OSError):  # the parent has died
            pipe.send((False, ExceptionWithTraceback(_portable(error), error.__traceback__)))


def end_with_parent() -> None:
    """End this worker process when its parent ends, since a killed parent cannot end its workers."""

    def wait() -> None:
        connection.wait([parent_process().sentinel])  # type: ignore[union-attr]
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _portable(error: Exception) -> Exception:
    """The error itself, or one with the same text if it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return MtcnnError(f"{type(error).__name__}: {error}")
    return error
