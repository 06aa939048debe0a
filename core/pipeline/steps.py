"""Long work as steps that are skipped when nothing they depend on has changed.

A step is a command of this package with the steps it builds on. What it writes lies in `RUN/NAME`, and what is known of it in
`RUN/.steps/NAME.json`: its identity, whether it is done, and how long it took. The identity is a digest of the command, of the
inputs outside the run, and of the identities of the steps before it. A step whose identity has changed is done again from
nothing; one that was interrupted goes on where it was.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence

from mtcnn_gluon.errors import ConfigError, DataError, MtcnnError
from mtcnn_gluon.io.files import read_text, whole_file

STATES = ".steps"
LOCK = ".lock"
UNREADABLE_PHOTOS = 1  # exit status of a command that did its work but could not read some photos

Words = list[str]


class StepFailed(MtcnnError):
    """A step of a pipeline did not end well."""


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: such as `pnet/train`; also the folder below the run's that it writes to.
        command: gives the words of the command; it is called when the steps before it are done, and may read what they wrote.
        after: names of the steps that it builds on.
        kind: steps of a kind take as long for each unit of work.
        units: of work, None if that is not known yet.
        files: digest of the files outside the run that it reads.
        run: does the command and returns its exit status; None: it is a command of `mtcnn-gluon`.
        progress: the share in 0..1 that is done, of a step that was begun.
    """

    name: str
    command: Callable[[], Words]
    after: tuple[str, ...] = ()
    kind: str = ""
    units: float | None = None
    files: str = ""
    run: Callable[[Words], int] | None = None
    progress: Callable[[], float] = field(default=lambda: 0.0)


@dataclass(frozen=True)
class Status:
    """How far a step is.

    Attributes:
        step: the step.
        state: `done`, `changed` (it was done, but for something else), `begun` or `waiting`.
        seconds: that it took, or may still take; None if that cannot be told.
    """

    step: Step
    state: str
    seconds: float | None


class Pipeline:
    """Steps in the order in which they are done, and the folder they work in.

    Args:
        folder: of the run.
        steps: each after those it builds on.
        main: runs a command of `mtcnn-gluon`, given as words, and returns its exit status.
        rates: seconds for one unit of work of each kind, as a first guess.
    """

    def __init__(
        self, folder: Path, steps: Sequence[Step], main: Callable[[Words], int], rates: Mapping[str, float] | None = None
    ) -> None:
        self.folder, self.steps, self._main, self._rates = folder, steps, main, rates or {}

    def run(self, say: Callable[[str], None] = print) -> None:
        """Do all steps that are not done.

        Raises:
            StepFailed: if one ends with an error; those before it stay done.
            DataError: if the folder cannot be written, or another pipeline works in it.
        """
        with _locked(self.folder):
            done: dict[str, str] = {}
            for number, step in enumerate(self.steps, 1):
                words = step.command()
                identity = _identity(step, words, done)
                if not self._is_done(step, identity):
                    say(f"== {step.name} ({number} of {len(self.steps)}): mtcnn-gluon {' '.join(words)}")
                    self._do(step, words, identity)
                done[step.name] = identity

    def _do(self, step: Step, words: Words, identity: str) -> None:
        before = self._read(step)
        spent = before.get("seconds", 0.0) if before.get("identity") == identity else 0.0
        if before.get("identity") != identity:
            shutil.rmtree(self.folder / step.name, ignore_errors=True)
        state = {"identity": identity, "command": words, "kind": step.kind, "units": step.units}
        self._write(step, {**state, "state": "begun", "seconds": spent})
        start = time.monotonic()
        try:
            status = (step.run or self._main)(words)
        finally:
            spent += time.monotonic() - start
            self._write(step, {**state, "state": "begun", "seconds": spent})
        if status == 130:
            raise KeyboardInterrupt
        if status not in (0, UNREADABLE_PHOTOS):
            raise StepFailed(f"step {step.name} failed; run the same command again to go on with it")
        self._write(step, {**state, "state": "done", "seconds": spent})

    def status(self) -> list[Status]:
        """How far every step is, without doing anything."""
        done: dict[str, str] = {}
        rates = self._measured_rates()
        found = []
        for step in self.steps:
            state = self._read(step)
            identity = _identity(step, step.command(), done) if set(step.after) <= set(done) else None
            if identity is not None and self._is_done(step, identity):
                done[step.name] = identity
                found.append(Status(step, "done", state["seconds"]))
                continue
            rate = rates.get(step.kind)
            left = None if rate is None or step.units is None else rate * step.units
            name = "waiting" if not state else "changed"
            if state and state["identity"] == identity:
                name, left = "begun", None if left is None else left * (1 - step.progress())
            found.append(Status(step, name, left))
        return found

    def _measured_rates(self) -> dict[str, float]:
        rates = dict(self._rates)
        for state in map(self._read, self.steps):
            if state.get("state") == "done" and state.get("units"):
                rates[state["kind"]] = state["seconds"] / state["units"]
        return rates

    def _is_done(self, step: Step, identity: str) -> bool:
        state = self._read(step)
        return state.get("state") == "done" and state["identity"] == identity and (self.folder / step.name).exists()

    def _read(self, step: Step) -> dict[str, Any]:
        path = self._path(step)
        if not path.is_file():
            return {}
        try:
            state = json.loads(read_text(path))
            return {key: state[key] for key in ("identity", "state", "seconds", "kind", "units")}
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged: remove it, and the step is done again ({error})") from error

    def _write(self, step: Step, state: Mapping[str, Any]) -> None:
        with whole_file(self._path(step)) as file:
            json.dump(state, file, indent=1)

    def _path(self, step: Step) -> Path:
        return self.folder / STATES / f"{step.name.replace('/', '-')}.json"


def _identity(step: Step, words: Words, done: Mapping[str, str]) -> str:
    parts = [words, step.files, [done[name] for name in step.after]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """While one process works in a run's folder, no other does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_CREAT | os.O_WRONLY)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigError(f"{folder}: another pipeline is working in this folder") from None
    finally:
        os.close(handle)
