"""Timing whole detection against other packages and detectors with the same settings, photos and number of threads.

Every contender is a process of its own (`worker.py`); peers run in their own Python environments. Contenders take turns photo
by photo, in an order that changes every round, so that noise of the machine affects all of them. Photos are decoded once, and
all contenders get the same pixels. A contender that is missing, crashes or does not answer is left out and named. That is no
error for the package's own engines that cannot be used here, unless they were requested by name.

If the photos are annotated, what is found is measured too, see `accuracy.py`.
"""

import json
import os
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np

from mtcnn_gluon.bench.contenders import Contender
from mtcnn_gluon.config import FACTOR
from mtcnn_gluon.errors import ConfigError, MtcnnError, shown
from mtcnn_gluon.evaluation.options import BENCHMARK_THRESHOLDS
from mtcnn_gluon.io.processes import usable_processors
from mtcnn_gluon.options import Options, option

LOW_SCORE = 0.02  # smallest score of a face without a cascade, for average precision
START_LIMIT, TURN_LIMIT = 300.0, 300.0  # seconds without answer after which a contender is stopped
PAUSE = 0.25  # seconds between turns, so that spinning threads of the last contender stop
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class LostError(MtcnnError):
    """A contender cannot go on; the message is the reason."""


@dataclass(frozen=True)
class Rules(Options):
    """Settings, the same for all contenders."""

    min_face: tuple[int, ...] = option((20,), "smallest face in pixels; several: a contest with each", least=1, metavar="N")
    factor: float = option(FACTOR, "scale between neighbouring levels of the pyramid", above=0, below=1)
    thresholds: tuple[float, float, float] = option((0.6, 0.7, 0.7), "thresholds of P-, R- and O-Net", least=0, most=1)
    threads: int | None = option(None, "CPU threads of each contender", least=1, metavar="N", usual="one for each processor")
    rounds: int = option(5, "how often each photo is timed", least=1, metavar="N")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "threads", self.threads or usable_processors())
        if len(set(self.min_face)) < len(self.min_face):
            raise ConfigError(f"min_face must be different numbers of pixels, not {shown(list(self.min_face))}")

    def count_turns(self, photos: int, is_annotated: bool) -> int:
        """How often `run` calls `tick`."""
        return len(self.min_face) * photos * (1 + self.rounds + is_annotated)


class BenchPhoto(NamedTuple):
    """A photo: its name and pixels (H, W, 3) uint8 RGB."""

    name: str
    image: np.ndarray


class Unsure(NamedTuple):
    """The faces (N, 4) in one photo with their scores (N,) in 0..1, those of low scores included."""

    boxes: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class Timing:
    """Measurements of a contender with one smallest face, in R rounds over P photos."""

    contender: Contender
    versions: dict[str, str]  # of its packages
    seconds: np.ndarray  # (R, P) times of whole detections
    boxes: list[np.ndarray]  # (N, 4) x1, y1, x2, y2 for each photo
    scores: list[np.ndarray]  # (N,) in 0..1 for each photo
    peak_bytes: int  # memory of its process
    stages: np.ndarray | None = None  # (R, P, 3) seconds of P-, R- and O-Net's stages; None for peers
    nets: np.ndarray | None = None  # (R, P, 3) seconds in the nets themselves; None for peers
    operations: np.ndarray | None = None  # (R, P, 3) operations that the nets made; None for peers
    min_face: int = 20  # in pixels
    is_only: bool = True  # whether the contest has one smallest face
    unsure: list[Unsure] | None = None  # for each photo; None if that was not asked for

    @property
    def name(self) -> str:
        """The contender and, if the contest has several, the smallest face."""
        if self.is_only:
            return self.contender.name
        return f"{self.contender.name}, {'beside ' if self.contender.is_fixed else ''}{self.min_face} px"


def absent(contenders: Sequence[Contender], lost: Mapping[str, str]) -> set[str]:
    """The names in `lost` of optional contenders that cannot be used here: their worker raised `Unavailable`."""
    return {each.name for each in contenders if each.is_optional and lost.get(each.name, "").startswith("Unavailable: ")}


def run(
    contenders: Sequence[Contender], photos: Sequence[BenchPhoto], rules: Rules, tick: Callable[[], object] = lambda: None,
    is_annotated: bool = False,
) -> tuple[list[Timing], dict[str, str]]:  # fmt: skip
    """Let all contenders detect faces in all photos, in a round that does not count and then in `rules.rounds` rounds.

    This is done for each of `rules.min_face`, with new processes.

    Args:
        contenders: the contenders.
        photos: the photos.
        rules: the settings, the same for all.
        tick: called `rules.count_turns` times in all, after every photo of every round.
        is_annotated: whether faces with low scores are wanted too, for average precision. They are looked for after the rounds.

    Returns:
        the timings of the contenders that finished, and by name the reasons why the others did not. Who is lost with one
        smallest face is left out with the next ones, but keeps the timings that it has.
    """
    timings: list[Timing] = []
    lost: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="mtcnn-gluon-") as folder:
        paths = [Path(folder) / f"{index}.npy" for index in range(len(photos))]
        for path, photo in zip(paths, photos):
            np.save(path, np.ascontiguousarray(photo.image))
        for min_face in rules.min_face:
            workers = [Worker(each, rules, min_face, Path(folder)) for each in contenders if each.name not in lost]
            with ExitStack() as stack:
                for worker in workers:
                    stack.enter_context(closing(worker))
                timings += _hold(workers, paths, rules.rounds, lost, tick, is_annotated)
    return timings, lost


def _hold(
    workers: Sequence["Worker"], photos: Sequence[Path], rounds: int, lost: dict[str, str], tick: Callable[[], object],
    is_annotated: bool,
) -> list[Timing]:  # fmt: skip
    """The timings of a contest with one smallest face; reasons why workers are lost are added to `lost`."""
    left = list[Worker]()

    def attempt(worker: Worker, turn: Callable[[], None]) -> bool:
        try:
            turn()
        except LostError as error:
            lost[worker.contender.name] = str(error)
            return False
        return True

    for worker in workers:
        if attempt(worker, worker.start):
            left.append(worker)
    for number in range(-1, rounds):
        for photo in photos:
            first = number % max(len(left), 1)
            for worker in left[first:] + left[:first]:
                if attempt(worker, partial(worker.take_turn, photo, is_counted=number >= 0)):
                    time.sleep(PAUSE)
                else:
                    left.remove(worker)
            tick()
    for photo in photos if is_annotated else ():
        left = [worker for worker in left if attempt(worker, partial(worker.look_closely, photo))]
        tick()
    return [worker.timing(rounds) for worker in left]


class Worker:
    """A contender's process.

    Args:
        contender: the contender.
        rules: its settings.
        min_face: side in pixels of the smallest face to find.
        folder: where the process's standard error is kept.
    """

    def __init__(self, contender: Contender, rules: Rules, min_face: int, folder: Path) -> None:
        self.contender = contender
        self.versions: dict[str, str] = {}
        self._answers: list[dict[str, Any]] = []  # for each photo of each round that counts
        self._unsure: list[Unsure] = []
        self._rules, self._min_face, self._folder = rules, min_face, folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, send the rules and wait until it is ready. Raises LostError if it cannot be used."""
        threads = dict.fromkeys(THREAD_VARIABLES, str(self._rules.threads))
        environment = {**os.environ, **threads, "CUDA_VISIBLE_DEVICES": "-1"}
        number, self._log = tempfile.mkstemp(".log", dir=self._folder)
        pipe = subprocess.PIPE
        try:
            with open(number, "wb") as errors:
                command = self.contender.command
                self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, env=environment)
        except OSError as error:
            raise LostError(f"cannot be started: {error.strerror or error}") from error
        options = {"contender": self.contender.key, "model": self.contender.model, **asdict(self._rules)}
        self.versions = self.ask({**options, "min_face": self._min_face, "score": None}, START_LIMIT)["versions"]

    def take_turn(self, photo: Path, is_counted: bool) -> None:
        """Detect faces in one photo. Raises LostError if that fails."""
        answer = self.ask({"photo": str(photo)}, TURN_LIMIT)
        if is_counted:
            if not self.contender.is_peer:
                answer |= self.ask({"photo": str(photo), "detail": True}, TURN_LIMIT)
            self._answers.append(answer)

    def look_closely(self, photo: Path) -> None:
        """Find the faces with low scores too in one photo, untimed. Raises LostError if that fails."""
        unsure = {"thresholds": BENCHMARK_THRESHOLDS, "score": LOW_SCORE}
        answer = self.ask({"photo": str(photo), "unsure": unsure}, START_LIMIT)
        self._unsure.append(Unsure(*_arrays(answer)))

    def timing(self, rounds: int) -> Timing:
        """The measurements of all rounds, and the faces of the first."""

        def table(key: str) -> np.ndarray:
            values = np.array([each[key] for each in self._answers])
            return values.reshape(rounds, len(values) // rounds, *values.shape[1:])

        found = [_arrays(each) for each in self._answers[: len(self._answers) // rounds]]  # in the first round
        details = () if self.contender.is_peer else ("stages", "nets", "operations")
        return Timing(
            contender=self.contender,
            versions=self.versions,
            seconds=table("seconds"),
            boxes=[boxes for boxes, _ in found],
            scores=[scores for _, scores in found],
            peak_bytes=int(table("peak_bytes").max(initial=0)),
            **{key: table(key) for key in details},
            min_face=self._min_face,
            is_only=len(self._rules.min_face) == 1,
            unsure=self._unsure or None,
        )

    def ask(self, message: dict[str, Any], limit: float) -> dict[str, Any]:
        """The answer to `message`. Raises LostError if there is none within `limit` seconds, or it is an error."""
        assert self._process and self._process.stdin and self._process.stdout
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
        assert self._process
        try:
            status = f"exit status {self._process.wait(5)}"
        except subprocess.TimeoutExpired:
            status = "its output is closed"
        lines = Path(self._log).read_text("utf-8", errors="replace").strip().splitlines()
        return f"crashed ({status})" + (f": {lines[-1][:200]}" if lines else "")

    def close(self) -> None:
        """Kill the process, if there is one."""
        if self._process is None:
            return
        self._process.kill()
        with suppress(OSError), self._process:  # closes its pipes, which may be broken
            self._process.wait()


def _arrays(answer: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) and scores (N,) of an answer."""
    return np.array(answer["boxes"], np.float64).reshape(-1, 4), np.array(answer["scores"], np.float64)
