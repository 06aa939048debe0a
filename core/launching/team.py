"""Starts the processes of a training, watches them, and ends all of them when one dies.

Left alone, the others would wait for it forever. A process ends when its standard input ends (see `cli.member`), so none
outlives this one, on whatever host it runs.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Sequence

from mtcnn_gluon.errors import WorkerError, last_line
from mtcnn_gluon.launching.plan import Member
from mtcnn_gluon.launching.relay import Relay

EVERY = 0.1  # seconds between looks at the processes
PATIENCE = 10.0  # seconds in which processes end that have nothing more to do, or have been told to
SAID = "mtcnn-gluon: "  # beginning of the line with which a process says why it ends
SSH_FAILED = 255


class Process:
    """A running member of a team and what it has said."""

    def __init__(self, member: Member, lock: threading.Lock) -> None:
        self.member = member
        try:
            self._process = subprocess.Popen(
                member.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, **member.environment}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise WorkerError(
                f"{member} cannot be started: {member.command[0]}: {error.strerror or last_line(error)}"
            ) from error
        pipes = (self._process.stdout, sys.stdout), (self._process.stderr, sys.stderr)
        self._relays = [Relay(pipe, getattr(out, "buffer", None), str(member), lock) for pipe, out in pipes if pipe is not None]
        for relay in self._relays:
            relay.start()

    @property
    def status(self) -> int | None:
        """Its exit status, less than 0 if a signal has killed it; None while it runs."""
        return self._process.poll()

    @property
    def is_heard(self) -> bool:
        """Whether what it prints can be passed on."""
        return not any(relay.is_broken for relay in self._relays)

    def has_said(self, ending: str) -> bool:
        """Whether one of its last lines ends like this."""
        return any(line.endswith(ending) for relay in self._relays for line in list(relay.last))

    def end(self) -> None:
        """Tell it to end; this does not wait."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        if self.status is None:
            self._process.terminate()

    def kill(self) -> None:
        """End it at once, and read the rest of what it said."""
        if self.status is None:
            self._process.kill()
            self._process.wait()
        self.hear()

    def hear(self) -> None:
        """Wait for the rest of what it said; not for long, as a process that it has started may hold the pipe."""
        for relay in self._relays:
            relay.join(1.0)

    def how_it_ended(self) -> str:
        """In words, such as `worker 1 on node2 was killed by SIGKILL`."""
        status, lines = self.status or 0, [line for line in self._relays[-1].last if line.strip()]
        said = [line.removeprefix(SAID) for line in lines if line.startswith(SAID)]
        reason = said[-1] if said else lines[-1] if lines else ""
        if status < 0:
            return f"{self.member} was killed by {signal.Signals(-status).name}"
        if status == SSH_FAILED and not self.member.host.is_here:
            return f"ssh to {self.member.host.name} failed or {self.member} was killed{f': {reason}' if reason else ''}"
        if status > 128 and not said:
            return f"{self.member} was killed by signal {status - 128}"
        return f"{self.member} ended with status {status}{f': {reason}' if reason and status else ''}"


class Team:
    """The processes of a training. The context ends them, however its block ends."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members, self._lock = members, threading.Lock()
        self._processes: list[Process] = []

    def __enter__(self) -> "Team":
        try:
            for member in self._members:
                self._processes.append(Process(member, self._lock))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def watch(self, joined: str, patience: float) -> None:
        """Wait until all workers have ended well.

        Args:
            joined: the end of the line that a worker prints when it has met all others.
            patience: seconds that they have for it.

        Raises:
            WorkerError: if a process dies, or ends when it should not, or the workers do not meet.
            BrokenPipeError: if what they print cannot be passed on.
        """
        workers = [process for process in self._processes if process.member.is_worker]
        helpers = [process for process in self._processes if not process.member.is_worker]
        start, have_met, helpers_left = time.monotonic(), False, 0.0
        while any(worker.status is None for worker in workers):
            self._check(workers + helpers)
            have_met = have_met or all(worker.has_said(joined) for worker in workers)
            if not have_met and time.monotonic() - start > patience:
                raise WorkerError(_who_is_missing(workers, joined, patience))
            if not any(helper.status == 0 for helper in helpers):
                helpers_left = time.monotonic()
            elif time.monotonic() - helpers_left > PATIENCE:
                gone = next(helper for helper in helpers if helper.status == 0)
                raise WorkerError(f"{gone.member} ended before the workers")
            time.sleep(EVERY)
        self._check(workers)
        self._wait(PATIENCE)

    def _check(self, processes: Sequence[Process]) -> None:
        dead = [process for process in processes if process.status]
        if dead:
            for process in dead:
                process.hear()
            raise WorkerError(f"{dead[0].how_it_ended()}; all other processes have been ended")
        if not all(process.is_heard for process in self._processes):
            raise BrokenPipeError

    def _end(self) -> None:
        for process in self._processes:
            process.end()
        self._wait(PATIENCE)
        for process in self._processes:
            process.kill()

    def _wait(self, seconds: float) -> None:
        stop = time.monotonic() + seconds
        while any(process.status is None for process in self._processes) and time.monotonic() < stop:
            time.sleep(EVERY / 2)


def _who_is_missing(workers: Sequence[Process], joined: str, patience: float) -> str:
    missing = [str(worker.member) for worker in workers if not worker.has_said(joined)]
    return (
        f"after {patience:g} s {', '.join(missing)} {'has' if len(missing) == 1 else 'have'} not joined the others: "
        "all hosts must reach one another on all ports, and --patience gives them more time"
    )
