"""Long work as steps, each done once.

A step is a function with options, and the steps it builds on. What it makes lies in `RUN/NAME`, and what is known of it in
`RUN/.steps/NAME.json`. A step runs again if its identity changes: its options, digests of the contents that it reads, or the
identity of a step it builds on. Places, times and numbers of processes are no part of it. A step that was interrupted is
continued; one whose identity has changed begins from nothing. Nothing that the pipeline has not made is ever deleted, and no
trained net: they are moved to `RUN/NAME.before-1` and so on.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any, Callable, ContextManager, Iterator, Mapping, NamedTuple, Sequence

from mtcnn_gluon.errors import ConfigError, DataError, MtcnnError
from mtcnn_gluon.io.files import DRAFT, naming_target, read_text, whole_file
from mtcnn_gluon.pipeline.content import file_digest
from mtcnn_gluon.pipeline.log import open_log

MARKER = "pipeline.json"  # in every folder of a run
FORMAT = 2  # of what a run's folder holds
STATES, LOCK, LOG = ".steps", ".lock", "pipeline.log"

logger = logging.getLogger(__name__)


class StepFailed(MtcnnError):
    """A step of a pipeline failed."""


class Action(NamedTuple):
    """What a step does: the command that does the same, or words, and the function."""

    text: str
    do: Callable[[], object]


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: such as `pnet/train`; also the folder below the run's that it writes to.
        action: what to do; called when the steps before it are done, whose results it may read.
        after: names of the steps that it builds on.
        options: what it is done with, as JSON.
        reads: digests of the files outside the run that it reads, by what they are.
        kind: steps of a kind take as long for each unit of work.
        units: of work.
        progress: the share in 0..1 that is done, of a step that has begun.
        can_go_on: whether a step that has begun can be continued; if not, it begins from nothing.
        is_training: whether it makes a trained net, which is never deleted.
        frees: steps whose results may be removed when this one is done and `check` has found no fault.
        check: raises DataError if what the step has made is damaged.
    """

    name: str
    action: Callable[[], Action]
    after: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    reads: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    units: float = 0
    progress: Callable[[], float] = field(default=lambda: 0.0)
    can_go_on: Callable[[], bool] = field(default=lambda: True)
    is_training: bool = False
    frees: tuple[str, ...] = ()
    check: Callable[[], object] = field(default=lambda: None)


class Status(NamedTuple):
    """How far a step is.

    Attributes:
        name: of the step.
        state: `done`, `changed` (it was done with other options or contents), `begun` or `waiting`.
        seconds: that it took, or may still take.
        reason: what has changed.
    """

    name: str
    state: str
    seconds: float
    reason: str = ""


class Pipeline:
    """Steps in the order in which they are done, and the folder they work in.

    Args:
        folder: of the run.
        steps: each after those it builds on.
        rates: seconds for one unit of work of each kind, as a first guess.
        is_kept: whether results that may be removed are kept.
    """

    def __init__(self, folder: Path, steps: Sequence[Step], rates: Mapping[str, float], is_kept: bool = True) -> None:
        self.folder, self.steps, self._rates, self._is_kept = folder, steps, rates, is_kept
        self._identities: dict[str, dict[str, Any]] = {}
        for step in steps:
            after = {name: _digest(self._identities[name]) for name in step.after}
            identity = {"options": dict(step.options), "reads": dict(step.reads), "after": after}
            self._identities[step.name] = json.loads(json.dumps(identity))
        self._freed_by = {name: step for step in steps for name in step.frees}

    def run(self, watch: Callable[[Step], ContextManager], begin: Callable[[], object] = lambda: None) -> None:
        """Do all steps that are not done.

        Args:
            watch: entered while a step is done.
            begin: called when the folder is there and no other process works in it.

        Raises:
            StepFailed: if a step fails; those before it stay done.
            DataError: if the folder cannot be written.
            ConfigError: if another pipeline works in it.
        """
        with _locked(self.folder), open_log(self.folder / LOG) as log:
            begin()
            for step in self.steps:
                if not self._is_done(step):
                    with watch(step):
                        self._do(step, log)
                if not self._is_kept and any((self.folder / name).exists() for name in step.frees):
                    self._free(step)

    def _free(self, step: Step) -> None:
        """Remove what only this step needed; if `check` finds a fault, the next run makes the step again."""
        try:
            step.check()
        except MtcnnError as error:
            self._write(step.name, {**self._read(step.name), "state": "damaged"})
            raise DataError(f"step {step.name}: {error}; the same command makes it again") from error
        for name in step.frees:
            self._write(name, {**self._read(name), "removed": True})
            self._clear(name)

    def _do(self, step: Step, log: IO[str]) -> None:
        before, identity = self._read(step.name), self._identities[step.name]
        if before.get("state") != "begun" or before["identity"] != identity or not step.can_go_on():
            self._clear(step.name, step.is_training)
            before = {}
        start = time.monotonic() - before.get("seconds", 0.0)
        foreign = {name: stamp for name, stamp in self._stamps(step.name).items() if name not in before.get("files", ())}

        def note(state: str) -> None:
            about = {"identity": identity, "state": state, "kind": step.kind, "units": step.units}
            files = {name: stamp for name, stamp in self._stamps(step.name).items() if foreign.get(name) != stamp}
            if state == "done":
                with naming_target(self.folder / step.name):
                    digests = {name: file_digest(self.folder / step.name / name) for name in files}
                about["written"] = {name: [*stamp, digests[name]] for name, stamp in files.items()}
            self._write(step.name, {**about, "seconds": time.monotonic() - start, "files": list(files)})

        note("begun")
        try:
            with redirect_stdout(log), redirect_stderr(log):
                text, do = step.action()
                logger.info("step %s: %s", step.name, text)
                do()
        except BaseException as error:
            with suppress(MtcnnError):  # such as a full disk, for which the step may have failed
                note("begun")
            if not isinstance(error, Exception):
                raise
            logger.info("step %s failed", step.name, exc_info=True)
            reason = error if isinstance(error, MtcnnError) else f"{type(error).__name__}: {error}"
            raise StepFailed(
                f"step {step.name} failed: {reason} (details are in {self.folder / LOG}); the same command continues with it"
            ) from error
        note("done")

    def _clear(self, name: str, is_training: bool = False) -> None:
        """Delete what a step has made; if a net, changed or other files are there, move all aside instead."""
        folder, found = self.folder / name, self._stamps(name)
        with naming_target(folder):
            if found and (is_training or not self._is_ours(name, found)):
                place = next(each for number in count(1) if not (each := Path(f"{folder}.before-{number}")).exists())
                folder.rename(place)
                logger.warning("%s is kept as %s", folder, place)
            elif folder.exists():
                shutil.rmtree(folder)

    def _is_ours(self, name: str, found: Mapping[str, list[int]]) -> bool:
        """Whether a step has written all files that were found in its folder, and nobody has changed them since."""
        folder, state = self.folder / name, self._read(name)
        if folder.is_symlink() or not set(found) <= set(state.get("files", ())):
            return False
        return all(
            found.get(file, stamp) == stamp  # a copy of a run has other times
            or (found[file][0] == stamp[0] and file_digest(folder / file) == digest)
            for file, (*stamp, digest) in state.get("written", {}).items()
        )

    def _stamps(self, name: str) -> dict[str, list[int]]:
        """Size and time of change of the files below a step's folder, but for those that a killed process was writing."""
        folder, found = self.folder / name, {}
        for path in sorted(folder.rglob("*")):
            if not path.is_dir() and not path.name.startswith(DRAFT):
                about = path.lstat()
                found[str(path.relative_to(folder))] = [about.st_size, about.st_mtime_ns]
        return found

    def status(self) -> list[Status]:
        """How far every step is; nothing is changed."""
        rates, found = self._measured_rates(), []
        for step in self.steps:
            state, left = self._read(step.name), rates.get(step.kind, 0) * step.units
            if self._is_done(step):
                found.append(Status(step.name, "done", state["seconds"]))
            elif reason := self._changes(step, state):
                found.append(Status(step.name, "changed", left, reason))
            elif state.get("state") == "begun":
                found.append(Status(step.name, "begun", left * (1 - _progress(step))))
            else:
                found.append(Status(step.name, "waiting", left))
        return found

    def _changes(self, step: Step, state: Mapping[str, Any]) -> str:
        """Names of the options, of the things it reads and of the steps before it that have changed since it began."""
        now = self._identities[step.name]
        then = state.get("identity", now)
        return ", ".join(
            key for part in now for key in {**now[part], **then[part]} if now[part].get(key) != then[part].get(key)
        )

    def _measured_rates(self) -> dict[str, float]:
        rates = dict(self._rates)
        for state in (self._read(step.name) for step in self.steps):
            if state.get("state") == "done" and state["units"]:
                rates[state["kind"]] = state["seconds"] / state["units"]
        return rates

    def _is_done(self, step: Step) -> bool:
        state = self._read(step.name)
        if state.get("state") != "done" or state["identity"] != self._identities[step.name]:
            return False
        if state.get("removed"):
            return step.name in self._freed_by and self._is_done(self._freed_by[step.name])
        folder = self.folder / step.name
        return folder.exists() and all(os.path.lexists(folder / file) for file in state.get("files", ()))

    def _read(self, name: str) -> dict[str, Any]:
        """What is known of a step, empty if nothing is."""
        path = self._path(name)
        if not path.is_file():
            return {}
        try:
            state = json.loads(read_text(path))
            if set(state["identity"]) != {"options", "reads", "after"} or not {"state", "seconds", "kind", "units"} <= set(
                state
            ):
                raise ValueError("keys are missing")
            return state
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged: remove it, and the step is done again ({error})") from error

    def _write(self, name: str, state: Mapping[str, Any]) -> None:
        with whole_file(self._path(name)) as file:
            json.dump(state, file, indent=1)

    def _path(self, name: str) -> Path:
        return self.folder / STATES / f"{name.replace('/', '-')}.json"


def _progress(step: Step) -> float:
    """The share that is done of a step that has begun; 0 if it is unknown, such as when a file it is read from is missing."""
    with suppress(Exception):
        return step.progress()
    return 0.0


def _digest(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def check_folder(folder: Path) -> None:
    """Raises ConfigError if a folder holds anything, but not the run of a pipeline of this format."""
    if not folder.is_dir() or not [name for name in os.listdir(folder) if name != LOCK and not name.startswith(DRAFT)]:
        return
    try:
        marker = json.loads((folder / MARKER).read_text("utf-8"))
    except (OSError, ValueError):
        marker = None
    if isinstance(marker, dict) and marker.get("made by") == "mtcnn-gluon pipeline" and marker.get("format") == FORMAT:
        return
    if marker is None and not (folder / STATES).is_dir():
        raise ConfigError(f"{folder} is not empty, and not the folder of a pipeline's run: name another folder")
    raise ConfigError(f"{folder} is the run of another version of mtcnn-gluon, which cannot be continued: name another folder")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """While one process works in a run's folder, no other does."""
    with naming_target(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_CREAT | os.O_WRONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with whole_file(folder / MARKER) as file:
            json.dump({"made by": "mtcnn-gluon pipeline", "format": FORMAT}, file)
        yield
    except BlockingIOError:
        raise ConfigError(f"{folder}: another pipeline is working in this folder") from None
    finally:
        os.close(handle)
