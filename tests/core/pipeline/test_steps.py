"""Steps of a pipeline: done once, done again when their identity changes, continued; nothing foreign is ever deleted."""

import fcntl
import json
import logging
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.pipeline.steps import LOG, MARKER, Action, Pipeline, Step, StepFailed, check_folder


class Steps:
    """Steps `first` and `second`, which builds on it; each writes `made.txt`.

    Attributes:
        done: names of the steps that ran, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.done = folder, list[str]()
        self.options: dict[str, Any] = {"rate": 1}
        self.reads = {"photos": "some"}
        self.is_kept = True
        self.more: dict[str, dict[str, Any]] = {"first": {}, "second": {}}
        self.do: Callable[[str], None] = self.write

    def write(self, name: str) -> None:
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / name / "made.txt").write_text(f"{name} {self.options}")

    def pipeline(self) -> Pipeline:
        def work(name: str) -> Callable[[], Action]:
            return lambda: Action(f"do {name}", lambda: self.do(name))

        first = Step("net/first", work("net/first"), (), self.options, self.reads, "cut", 10, **self.more["first"])
        second = Step("second", work("second"), ("net/first",), {}, {}, "train", 5, **self.more["second"])
        return Pipeline(self.folder, [first, second], {"cut": 1.0, "train": 2.0}, self.is_kept)

    def run(self) -> list[str]:
        """Names of the steps that ran."""
        done = []

        @contextmanager
        def watch(step: Step) -> Iterator[None]:
            done.append(step.name)
            yield

        check_folder(self.folder)
        self.pipeline().run(watch)
        return done

    def states(self) -> list[str]:
        return [row.state for row in self.pipeline().status()]


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps(tmp_path / "a run")


BOTH = ["net/first", "second"]


def test_done_once_and_again_when_something_changed(steps: Steps) -> None:
    assert steps.states() == ["waiting", "waiting"] and not steps.folder.exists()
    assert sum(row.seconds for row in steps.pipeline().status()) == 20
    assert steps.run() == BOTH and steps.run() == [] and steps.states() == ["done", "done"]
    steps.options["rate"] = 2
    assert [(row.state, row.reason) for row in steps.pipeline().status()] == [("changed", "rate"), ("changed", "net/first")]
    assert steps.run() == BOTH and (steps.folder / "net/first/made.txt").read_text() == "net/first {'rate': 2}"
    steps.reads["photos"] = "others"
    assert steps.pipeline().status()[0].reason == "photos" and steps.run() == BOTH
    (steps.folder / "second/made.txt").unlink()
    (steps.folder / "second").rmdir()
    assert steps.run() == ["second"]


def test_a_moved_run_is_done(steps: Steps, tmp_path: Path) -> None:
    steps.run()
    steps.folder = steps.folder.rename(tmp_path / "moved")
    assert steps.run() == []


def test_what_is_begun_goes_on_and_what_has_changed_begins_anew(steps: Steps) -> None:
    """A step that failed finds what it has written, if it is still the same step."""
    found = []

    def fail(name: str) -> None:
        found.append((steps.folder / name / "made.txt").exists())
        steps.write(name)
        raise KeyboardInterrupt

    steps.do = fail
    steps.more["first"]["progress"] = lambda: 0.25
    for options, expected in (({"rate": 1}, [False]), ({"rate": 1}, [False, True]), ({"rate": 2}, [False, True, False])):
        steps.options = options
        with pytest.raises(KeyboardInterrupt):
            steps.run()
        assert found == expected and steps.pipeline().status()[0][1:3] == ("begun", 7.5)
    assert not list(steps.folder.glob("net/first.before*"))


@pytest.mark.parametrize(
    "error", [DataError("report.json does not exist"), KeyError("counts"), OSError(5, "Input/output error")]
)
def test_unknown_progress_counts_as_none(steps: Steps, error: Exception) -> None:
    def fail() -> float:
        raise error

    steps.more["first"]["progress"], steps.do = fail, lambda name: sys.exit(3)
    with pytest.raises(SystemExit):
        steps.run()
    assert steps.pipeline().status()[0][1:3] == ("begun", 10)


@pytest.mark.parametrize(("error", "reason"), [
    (DataError("no photos"), "no photos"), (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
    (OSError(28, "No space left on device", "a.rec"), "OSError: [Errno 28] No space left on device: 'a.rec'"),
])  # fmt: skip
def test_a_failure_names_step_reason_and_log(steps: Steps, error: Exception, reason: str) -> None:
    def fail(name: str) -> None:
        raise error

    steps.do = fail
    with pytest.raises(StepFailed) as failure:
        steps.run()
    log = steps.folder / LOG
    assert str(failure.value) == (f"step net/first failed: {reason} (details are in {log}); the same command continues with it")
    assert "Traceback" in log.read_text() and "INFO: step net/first: do net/first" in log.read_text()


def test_the_log_has_everything_and_the_terminal_warnings(steps: Steps, capfd: pytest.CaptureFixture) -> None:
    logger = logging.getLogger("mtcnn_gluon.some")
    before = logger.parent.handlers, logger.parent.level  # type: ignore[union-attr]

    def talk(name: str) -> None:
        print("figures \udcff")
        print("a bar", file=sys.stderr)
        logger.info("an epoch")
        logger.warning("careful")
        steps.write(name)

    steps.do = talk
    steps.run()
    out, err = capfd.readouterr()
    assert (out, err) == ("", "WARNING: careful\n" * 2)
    text = (steps.folder / LOG).read_text()
    for part in ("figures \\udcff", "a bar", "INFO: an epoch", "WARNING: careful"):
        assert text.count(part) == 2
    assert (logger.parent.handlers, logger.parent.level) == before  # type: ignore[union-attr]


def test_a_trained_net_is_moved_aside(steps: Steps, capfd: pytest.CaptureFixture) -> None:
    steps.more["second"]["is_training"] = True
    for rate in (1, 2, 3):
        steps.options["rate"] = rate
        steps.run()
    kept = [steps.folder / f"second.before-{number}" for number in (1, 2)]
    assert all((folder / "made.txt").exists() for folder in kept) and (steps.folder / "second/made.txt").exists()
    err = capfd.readouterr().err
    assert err.splitlines() == [f"WARNING: {steps.folder / 'second'} is kept as {folder}" for folder in kept]
    assert not list(steps.folder.glob("net/*.before*"))


def test_foreign_files_stay(steps: Steps) -> None:
    """Files in the run's folder, in a step's folder, and a folder where a step will write."""
    steps.run()
    (steps.folder / "notes.txt").write_text("mine")
    (steps.folder / "net/first/notes.txt").write_text("mine")
    steps.options["rate"] = 2
    steps.run()
    assert (steps.folder / "notes.txt").exists() and (steps.folder / "net/first.before-1/notes.txt").read_text() == "mine"
    assert [path.name for path in (steps.folder / "net/first").iterdir()] == ["made.txt"]
    other = Steps(steps.folder.parent / "other")
    other.do = lambda name: other.write(name) if name != "second" else sys.exit(3)
    with pytest.raises(SystemExit):
        other.run()
    state = other.folder / ".steps/second.json"
    state.unlink()
    (other.folder / "second").mkdir()
    (other.folder / "second/notes.txt").write_text("mine")
    other.do = other.write
    assert other.run() == ["second"] and (other.folder / "second.before-1/notes.txt").exists()


@pytest.mark.parametrize("is_noted", [True, False])  # False: the process was killed
def test_foreign_files_of_a_step_that_goes_on_stay(steps: Steps, is_noted: bool) -> None:
    """A file put into the folder of a step between two starts is not taken for the step's; its own files are deleted."""

    def begin(name: str) -> None:
        steps.write(name)
        if not is_noted:
            shutil.copytree(steps.folder / ".steps", steps.folder.parent / "before")
        raise KeyboardInterrupt

    def run(expected: list[str]) -> None:
        steps.do = steps.write
        assert steps.run() == expected
        steps.options = {"rate": steps.options["rate"] + 1}

    for notes in (["notes.txt"], []):
        steps.do = begin
        with pytest.raises(KeyboardInterrupt):
            steps.run()
        if not is_noted:
            shutil.rmtree(steps.folder / ".steps")
            (steps.folder.parent / "before").rename(steps.folder / ".steps")
        for name in notes:
            (steps.folder / "net/first" / name).write_text("mine")
        run(BOTH)
        run(BOTH)
        kept = sorted(str(path.relative_to(steps.folder)) for path in steps.folder.glob("net/first.before-*/*"))
        assert kept == ["net/first.before-1/made.txt", "net/first.before-1/notes.txt"]
    assert [path.name for path in (steps.folder / "net/first").iterdir()] == ["made.txt"]


def test_files_changed_by_hand_stay(steps: Steps, tmp_path: Path) -> None:
    """Also those of the same size; other times alone, as in a copied run, are no change."""
    steps.run()
    steps.folder = Path(shutil.copytree(steps.folder, tmp_path / "copy", copy_function=shutil.copyfile))
    steps.options["rate"] = 2
    assert steps.run() == BOTH and not list(steps.folder.glob("net/*.before*"))
    for number, rate in enumerate((3, 4), 1):
        steps.options["rate"] = rate
        text = "x" * len((steps.folder / "net/first/made.txt").read_text()) * number
        (steps.folder / "net/first/made.txt").write_text(text)
        assert steps.run() == BOTH and (steps.folder / f"net/first.before-{number}/made.txt").read_text() == text
        assert (steps.folder / "net/first/made.txt").read_text() == f"net/first {{'rate': {rate}}}"


def test_a_step_whose_files_are_missing_is_made_again(steps: Steps) -> None:
    """It begins from nothing, and a trained net that is left is moved aside; other files may come and go."""
    steps.more["second"]["is_training"] = True
    steps.do = lambda name: [steps.write(name), (steps.folder / name / "other.txt").touch()]  # type: ignore[func-returns-value]
    assert steps.run() == BOTH
    (steps.folder / "second/notes.txt").touch()
    assert steps.run() == []
    (steps.folder / "second/notes.txt").unlink()
    assert steps.states() == ["done", "done"]
    (steps.folder / "second/made.txt").unlink()
    assert steps.states() == ["done", "waiting"] and steps.run() == ["second"] and steps.run() == []
    assert (steps.folder / "second/made.txt").exists() and (steps.folder / "second.before-1/other.txt").exists()


def test_a_step_that_cannot_go_on_begins_from_nothing(steps: Steps) -> None:
    def fail(name: str) -> None:
        steps.write(name)
        raise KeyboardInterrupt

    for can_go_on, kept in ((True, 0), (False, 1), (True, 1)):
        steps.more["first"] = {"is_training": True, "can_go_on": lambda can_go_on=can_go_on: can_go_on}
        steps.do = fail
        with pytest.raises(KeyboardInterrupt):
            steps.run()
        assert len(list(steps.folder.glob("net/first.before-*"))) == kept


def test_samples_are_freed_once_the_records_are_checked(steps: Steps) -> None:
    """They still count as done; a change has them made again, also one of the step that freed them."""
    checked = []
    steps.more["second"] = {"frees": ("net/first",), "check": lambda: checked.append((steps.folder / "net/first").exists())}
    assert steps.run() == BOTH and checked == []
    steps.is_kept = False
    assert steps.run() == [] and checked == [True]
    assert not (steps.folder / "net/first").exists() and steps.states() == ["done", "done"]
    steps.is_kept = True
    assert steps.run() == [] and checked == [True]
    steps.is_kept = False
    steps.options["rate"] = 2
    assert steps.run() == BOTH and checked == [True, True] and not (steps.folder / "net/first").exists()
    (steps.folder / "second/made.txt").unlink()
    (steps.folder / "second").rmdir()
    assert steps.states() == ["waiting", "waiting"] and steps.run() == BOTH

    def damaged() -> None:
        raise DataError("damaged")

    steps.options["rate"] = 3
    steps.more["second"]["check"] = damaged
    with pytest.raises(DataError, match="step second: damaged; the same command makes it again"):
        steps.run()
    assert (steps.folder / "net/first/made.txt").exists() and steps.states() == ["done", "waiting"]
    del steps.more["second"]["check"]
    assert steps.run() == ["second"] and not (steps.folder / "net/first").exists() and steps.run() == []


@pytest.mark.parametrize(("files", "message"), [
    ({"photo.jpg": ""}, "is not empty, and not the folder of a pipeline's run: name another folder"),
    ({MARKER: "{}"}, "is the run of another version"), ({MARKER: '{"made by": "me", "format": 2}'}, "another version"),
    ({MARKER: "["}, "is not empty"), ({".steps/pnet-train.json": "{}"}, "is the run of another version"),
    ({MARKER: '{"made by": "mtcnn-gluon pipeline", "format": 1}'}, "cannot be continued: name another folder"),
])  # fmt: skip
def test_other_folders_are_refused(steps: Steps, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (steps.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (steps.folder / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        steps.run()
    assert {str(path.relative_to(steps.folder)) for path in steps.folder.rglob("*") if path.is_file()} == set(files)


def test_folders_that_cannot_be_written(steps: Steps) -> None:
    steps.folder.write_text("a file")
    with pytest.raises(DataError, match="cannot be written: File exists"):
        steps.run()
    steps.folder = Path("/proc/nowhere")
    with pytest.raises(DataError, match="/proc/nowhere cannot be written"):
        steps.run()


def test_one_at_a_time(steps: Steps) -> None:
    steps.folder.mkdir()
    with open(steps.folder / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another pipeline is working in this folder"):
            steps.run()
    assert steps.run() == BOTH


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps({"identity": {}, "state": "done"})])
def test_a_damaged_state(steps: Steps, text: str) -> None:
    steps.run()
    (steps.folder / ".steps/net-first.json").write_text(text)
    with pytest.raises(DataError, match="net-first.json is damaged: remove it"):
        steps.states()
