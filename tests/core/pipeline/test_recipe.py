"""The whole recipe on photos made of the portrait: steps run, are skipped, are done again, and go on after being killed."""

import fcntl
import json
import logging
import os
import pty
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np
import pytest

from mtcnn_gluon import Detector
from mtcnn_gluon.bundles import find
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.format import read_bundle
from mtcnn_gluon.bundles.parameters import bundle_parameters
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError, DataError, ModelError
from mtcnn_gluon.pipeline.calibration import calibration
from mtcnn_gluon.pipeline.config import read_config
from mtcnn_gluon.pipeline.content import Digests
from mtcnn_gluon.pipeline.recipe import Recipe
from mtcnn_gluon.pipeline.steps import LOG, Step
from mtcnn_gluon.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from mtcnn_gluon.training.heads import HeadPlan
from mtcnn_gluon.training.identity import digest
from mtcnn_gluon.training.runs import read_net
from pipeline_runs import make_photos, steps_begun, write_config

HEADS = {"heads": HeadPlan(("cls", "box"), ("cls", "box"), ()).to_json()}  # of a checkpoint
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, image: np.ndarray, detector: Detector) -> Path:
    """A folder with the photos to train on and those to validate on."""
    folder = tmp_path_factory.mktemp("it's some photos")
    for seed, (name, count) in enumerate((("data", 10), ("validation", 4))):
        make_photos(folder / name, count, image, detector, seed)
    return folder


@pytest.fixture
def run(capfd: pytest.CaptureFixture) -> Iterator[Run]:
    """`mtcnn-gluon pipeline`: its exit status and what it says."""
    root, handlers = logging.getLogger(), logging.getLogger().handlers[:]

    def main(config: Path, folder: Path, *more: str) -> tuple[int, str]:
        capfd.readouterr()
        status = cli.main(["pipeline", "--config", str(config), "--run", str(folder), *more])
        return status, "".join(capfd.readouterr())

    yield main
    root.handlers[:] = handlers


def command(config: Path, folder: Path) -> list[str]:
    return [sys.executable, "-m", "mtcnn_gluon", "pipeline", "--config", str(config), "--run", str(folder)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The folder of a run that was not interrupted; beside it are its configuration, and what it said."""
    folder = tmp_path_factory.mktemp('finished "runs"')
    config = write_config(folder, photos)
    done = subprocess.run(command(config, folder / "a run"), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (folder / "said.txt").write_text(done.stdout)
    return folder / "a run"


@pytest.fixture
def copied(tmp_path: Path, finished: Path) -> Path:
    """A copy of that run."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def test_status_before_anything_is_done(tmp_path: Path, photos: Path, run: Run) -> None:
    status, said = run(write_config(tmp_path, photos), tmp_path / "run", "--status")
    assert status == 0 and "0 of 35 steps done, about" in said and said.startswith("pnet/training/faces              next")
    assert not (tmp_path / "run").exists()


def test_the_result(photos: Path, finished: Path) -> None:
    """A model that works, with what was measured of it; each training began with the net of the one before."""
    assert len(Detector(finished / "bundle", min_face=24).detect(photos / "validation" / "0.png")) >= 1
    manifest = read_bundle(finished / "bundle").manifest
    figures = manifest["figures"]
    assert all("box" in heads for heads in manifest["trained"].values()) and figures["wider"]["height_30"] > 0.5
    assert figures["landmarks_given"]["photos"] == figures["landmarks_detected"]["photos"] == 4
    stages = json.loads((finished / "onet/stages/stages.json").read_text())
    assert [manifest["architecture"][net]["landmarks"] for net in ("pnet", "rnet", "onet")] == [False, False, True]
    assert "rnet_landmark_weight" in read_checkpoint(finished / "rnet/train/best.npz").parameters  # which only helped
    assert manifest["thresholds"][2] == stages["onet"]["suggested_for_detection"]
    assert_finished(finished / "onet", commands(finished), 0.0005)


def test_a_line_when_a_step_begins_and_one_when_it_is_done(finished: Path) -> None:
    lines = (finished.parent / "said.txt").read_text().splitlines()
    assert (
        len(lines) == 2 * 35 + 1 and lines[-1] == f"done: {finished}/bundle is the model, {finished}/report says how good it is"
    )
    for number, (begin, end) in enumerate(zip(lines[::2], lines[1::2]), 1):
        title = begin.partition(" begins; about ")[0]
        assert title.startswith(f"[{number}/35] ") and end.startswith(f"{title} done in ") and end.endswith(" left in all")


def commands(folder: Path) -> dict[str, list[str]]:
    """The words of all commands in the log of a run, by step."""
    lines = [line.split("INFO: step ", 1)[1] for line in (folder / LOG).read_text().splitlines() if "INFO: step " in line]
    return {name: shlex.split(text)[1:] for name, _, text in (each.partition(": ") for each in lines) if "mtcnn-gluon" in text}


def test_every_command_in_the_log_works(finished: Path, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    """In a shell too, with spaces and quotes in paths; one of a step that is done does it once more or says that it is done."""
    found = commands(finished)
    assert len(found) == 30  # all but bundles
    for name, words in found.items():
        options = cli._parser().parse_args(words)
        if words[0] == "train":
            assert cli.main(words) == 2 and "holds a training run: go on with --resume" in capsys.readouterr().err
        elif words[0] == "prepare":
            out = finished / name / "report.json"
            before = out.read_bytes()
            assert options.run(options) == 0 and out.read_bytes() == before
    words = [sys.executable, "-m", "mtcnn_gluon", *found["report/wider"]]
    assert subprocess.run(["bash", "-c", shlex.join(words)], capture_output=True, timeout=120).returncode == 0


def assert_finished(folder: Path, words: dict[str, list[str]], rate: float) -> None:
    """Each training began with the net of the one before, and had its options but for those of its own."""
    names = ("train", "finish", "finish2")
    own: dict[str, Any] = {"finish": {"rate": rate, "ratio": "3:1:1:2", "part_faces": 0.45},
                           "finish2": {"distil": 0.7, "listed_landmarks": True}}  # fmt: skip
    for before, name in zip(names, names[1:]):
        first, second = (read_checkpoint(folder / each / "last.npz").about["options"] for each in (before, name))
        assert second == {**first, "epochs": second["epochs"], **own[name]} != first
        begun = words[f"onet/{name}"]
        assert begun[begun.index("--init") + 1] == str(folder / before / "best.npz")


def test_places_times_and_processes_do_not_matter(
    tmp_path: Path, photos: Path, finished: Path, copied: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is done for a copied run, copied photos, other times or another number of processes; all are found by content."""
    elsewhere = Path(shutil.copytree(photos, tmp_path / "elsewhere", copy_function=shutil.copy))
    for path in elsewhere.rglob("*.png"):
        os.utime(path, (0, 0))
    (tmp_path / "config").mkdir()
    config = write_config(tmp_path / "config", elsewhere, {"workers": 2, "evaluate.wider.workers": 2})
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*") if path.parent.name not in (copied.name, ".steps")}
    status, said = run(config, copied)
    assert status == 0 and steps_begun(said) == []
    assert before == {path: path.stat().st_mtime_ns for path in before}
    monkeypatch.chdir(copied.parent)
    assert "all 35 steps are done" in run(Path("config/config.yaml"), Path("copy"), "--status")[1]
    (elsewhere / "data/3.png").write_bytes((elsewhere / "data/4.png").read_bytes())
    said = run(config, copied, "--status")[1]
    assert "pnet/training/faces              changed  about 0 s (photos)" in said


def test_words_about_the_model_change_bundle_and_reports_only(copied: Path, tmp_path: Path, photos: Path, run: Run) -> None:
    changes = {"name": "mine = best", "training_data": "photos", "licence": "mine alone"}
    config = write_config(tmp_path, photos, changes)
    before = read_bundle(copied / "bundle").manifest
    assert steps_begun(run(config, copied)[1]) == ["report/wider", "report/landmarks", "bundle"]
    for name in ("wider", "landmarks"):
        rows = json.loads((copied / f"report/{name}/figures.json").read_text())["detectors"]
        assert {row["name"] for row in rows} == {"mine = best"}
    after = read_bundle(copied / "bundle").manifest
    assert {key: after[key] for key in changes} == changes and after["figures"] == before["figures"] != {}


def test_a_change_has_done_again_what_comes_after_it(copied: Path, tmp_path: Path, photos: Path, run: Run) -> None:
    """And only that; a trained net stays."""
    before, trained = read_bundle(copied / "bundle").manifest["files"], (copied / "onet/train/best.npz").read_bytes()
    changed = write_config(tmp_path, photos, {"onet.train.rate": 0.002})
    said = run(changed, copied, "--status")[1]
    assert "onet/train                       changed  about" in said and "(rate)" in said and "26 of 35 steps done" in said
    said = run(changed, copied)[1]
    assert steps_begun(said) == [
        "onet/train", "onet/finish", "onet/finish2", "onet/bundle", "onet/stages",
        "report/bundle", "report/wider", "report/landmarks", "bundle",
    ]  # fmt: skip
    after = read_bundle(copied / "bundle").manifest["files"]
    assert {name[:4] for name in before if after[name] != before[name]} == {"onet"}
    assert f"WARNING: {copied / 'onet/train'} is kept as {copied / 'onet/train.before-1'}" in said
    assert (copied / "onet/train.before-1/best.npz").read_bytes() == trained

    changes = {"onet.train.rate": 0.002, "thresholds": [0.8, 0.6, 0.7], "calibrate": True}
    changes |= {"large_side": 60.0, "large_factors": [0.5, 0.5, 1.0]}
    calibrated = write_config(tmp_path, photos, changes)
    assert steps_begun(run(calibrated, copied)[1])[0] == "onet/bundle"
    assert_calibrated(copied, changes["thresholds"])
    assert read_bundle(copied / "bundle").manifest["large_faces"] == {"side": 60.0, "factors": [0.5, 0.5, 1.0]}
    changes |= {"calibrate": False, "score_weights": [0.1, 0.25]}
    assert steps_begun(run(write_config(tmp_path, photos, changes), copied)[1])[0] == "onet/bundle"
    assert read_bundle(copied / "bundle").manifest["score_weights"] == [0.1, 0.25]
    changes["compare"] = ["default"]
    said = run(write_config(tmp_path, photos, changes), copied)[1]
    assert steps_begun(said) == ["report/wider", "report/landmarks", "bundle"]


def assert_calibrated(folder: Path, thresholds: list[float]) -> None:
    """Scores of the finished nets are those of the trained ones, moved as the thresholds are from what the stages found."""
    bundle = read_bundle(folder / "bundle")
    assert bundle.manifest["thresholds"] == thresholds
    assert bundle.manifest["files"] == read_bundle(folder / "report/bundle").manifest["files"]  # the figures are of these nets
    parameters = bundle_parameters(bundle)
    for net, wanted in zip(NETS, thresholds):
        stage = json.loads((folder / f"{net}/stages/stages.json").read_text())[net]
        slope = slope_for(net, stage, wanted)
        trained = read_net(str(folder / net / ("finish2" if net == "onet" else "train") / "best.npz"), net).parameters
        moved = {
            f"{net}_cls_weight": slope * trained[f"{net}_cls_weight"],
            f"{net}_cls_bias": slope * trained[f"{net}_cls_bias"]
            + [0, logit(wanted) - slope * logit(stage["suggested_for_detection"])],
        }
        for name, value in parameters[net].items():
            np.testing.assert_allclose(value, moved.get(name, trained[name]), atol=1e-3 if name in moved else 0)


def slope_for(net: str, stage: dict[str, float], wanted: float) -> float:
    if net != "onet":
        return 1
    return min(1, (logit(0.99) - logit(wanted)) / (logit(stage["surest"]) - logit(stage["suggested_for_detection"])))


def logit(score: float) -> float:
    return float(np.log(score / (1 - score)))


@pytest.mark.parametrize(
    "surest, slope", [(0.9, 1), (0.95, 1), (0.99999, (logit(0.99) - logit(0.7)) / logit(0.99999)),
                      (1.0, (logit(0.99) - logit(0.7)) / logit(1 - 1e-6)), (0.5, 1)],
)  # fmt: skip
def test_high_scores_are_drawn_together(surest: float, slope: float) -> None:
    """O-Net's, until one in a thousand is above 0.99, and no more than that; its threshold stays where it is wanted."""
    stage = {"suggested_for_detection": 0.5, "surest": surest}
    assert calibration("pnet", stage, 0.8) == pytest.approx([1, logit(0.8)], abs=1e-4)
    assert calibration("rnet", stage, 0.6) == pytest.approx([1, logit(0.6)], abs=1e-4)
    assert calibration("onet", stage, 0.7) == pytest.approx([slope, logit(0.7)], abs=1e-4)


def test_samples_may_go(copied: Path, tmp_path: Path, photos: Path, run: Run) -> None:
    """Of a run that is finished as well; nothing is done again."""
    records = (copied / "onet/training/records/positive.rec").read_bytes()
    status, said = run(write_config(tmp_path, photos, {"keep_samples": False}), copied)
    assert status == 0 and steps_begun(said) == []
    assert sorted(path.name for path in copied.glob("*/*/*") if path.suffix == "" and path.is_dir()) == ["records"] * 6
    assert (copied / "onet/training/records/positive.rec").read_bytes() == records
    assert "all 35 steps are done" in run(write_config(tmp_path, photos), copied, "--status")[1]
    said = run(write_config(tmp_path, photos, {"pnet.records": {"encoding": "png"}}), copied, "--status")[1]
    assert "pnet/training/faces              next" in said and "pnet/training/records            changed" in said


def start_and_stop(config: Path, folder: Path, when: Callable[[], bool], kind: signal.Signals) -> tuple[int, str]:
    """`mtcnn-gluon pipeline` in a process of its own, which gets a signal as soon as `when` is true; its status and words."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command(config, folder), stdout=pipe, stderr=subprocess.STDOUT, text=True) as process:
        while process.poll() is None and not when():
            time.sleep(0.02)
        process.send_signal(kind)
        said = process.communicate()[0]
        return process.returncode, said


def test_killed_it_goes_on_where_it_was(tmp_path: Path, photos: Path, finished: Path, run: Run) -> None:
    """While P-Net is trained: what was done before is not done again, and P-Net ends up the same, in another place too."""
    config, folder = write_config(tmp_path, photos), tmp_path / "run"
    assert start_and_stop(config, folder, (folder / "pnet/train/last.npz").exists, signal.SIGKILL)[0] == -9
    folder = folder.rename(tmp_path / "moved")
    assert "pnet/train                       begun" in run(config, folder, "--status")[1]
    said = start_and_stop(config, folder, (folder / "pnet/bundle").exists, signal.SIGKILL)[1]
    assert steps_begun(said)[0] == "pnet/train" and "--resume" in commands(folder)["pnet/train"]
    found, expected = (read_checkpoint(each / "pnet/train/last.npz") for each in (folder, finished))
    assert found.about["epoch"] == expected.about["epoch"]
    for name, value in expected.averages.items():
        np.testing.assert_array_equal(found.averages[name], value, err_msg=name)


def test_interrupted_it_says_how_to_go_on(tmp_path: Path, photos: Path, run: Run) -> None:
    config, folder = write_config(tmp_path, photos), tmp_path / "run"
    status, said = start_and_stop(config, folder, (folder / "pnet/train/last.npz").exists, signal.SIGINT)
    assert status == 130 and said.endswith("mtcnn-gluon: interrupted; the same command goes on\n")
    assert "pnet/train                       begun" in run(config, folder, "--status")[1]


def test_a_bar_on_a_terminal(copied: Path, tmp_path: Path, photos: Path) -> None:
    """Steps have a bar while they are done and a line afterwards, and none before."""
    shutil.rmtree(copied / "report/wider")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    done = subprocess.run(command(write_config(tmp_path, photos), copied), stdout=slave, stderr=slave, timeout=120)
    os.close(slave)
    said = os.read(master, 1 << 20).decode()
    assert done.returncode == 0 and "[33/35] report/wider   0 % |" in said and "begins" not in said
    assert "[33/35] report/wider done in " in said and "left in all\r\n" in said


def test_a_step_that_fails(tmp_path: Path, photos: Path, run: Run) -> None:
    """The step, the reason, the log and what to do; a second try fails the same way."""
    config = write_config(tmp_path, photos, {"data.images": "."})
    for _ in range(2):
        status, said = run(config, tmp_path / "run")
        assert status == 2 and "mtcnn-gluon: step pnet/training/faces failed: " in said
        assert "no sample came of 0 photos (10 more could not be read)" in said
        assert f"(details are in {tmp_path / 'run' / LOG}); the same command continues with it" in said


def test_unreadable_photos_are_warned_of(tmp_path: Path, photos: Path) -> None:
    """And the step is done."""
    copy = Path(shutil.copytree(photos, tmp_path / "photos"))
    (copy / "data/3.png").unlink()
    config = write_config(tmp_path, copy)
    said = start_and_stop(config, tmp_path / "run", (tmp_path / "run/pnet/train/last.npz").exists, signal.SIGKILL)[1]
    assert "WARNING: step pnet/training/faces: 1 photos that cannot be read" in said
    assert "3.png does not exist" not in said and "3.png does not exist" in (tmp_path / "run" / LOG).read_text()


def steps_of(folder: Path, photos: Path, changes: dict[str, Any]) -> dict[str, Step]:
    """The steps of a configuration by name; the run is `folder / "run"`."""
    config = read_config(write_config(folder, photos, changes))
    return {step.name: step for step in Recipe(config, folder / "run", Digests(folder / "none")).steps()}


def test_a_limit_changes_what_reads_the_photos(tmp_path: Path, photos: Path) -> None:
    """Samples and measured stages, but not the report on landmarks, which is about all photos."""
    whole, part = (steps_of(tmp_path, photos, changes) for changes in ({}, {"validation.limit": 2}))
    changed = [name for name, step in whole.items() if step.reads != part[name].reads]
    samples = ["pnet/validation/faces", "rnet/validation/mined", "rnet/validation/faces", "rnet/validation/landmarks",
               "onet/validation/mined", "onet/validation/faces", "onet/validation/landmarks"]  # fmt: skip
    assert sorted(changed) == sorted([*samples, "pnet/stages", "rnet/stages", "onet/stages", "report/wider"])


def test_trainings_that_begin_with_a_trained_net(tmp_path: Path, photos: Path) -> None:
    """A model's name or a path; only the first training of a net begins with it; other parameters make another step."""

    def steps(changes: dict[str, Any]) -> dict[str, Step]:
        return steps_of(tmp_path, photos, changes)

    def initial(step: Step) -> list[str]:
        words = shlex.split(step.action().text)
        return [value for word, value in zip(words, words[1:]) if word == "--init"]

    nets = bundle_parameters(find_bundle("gluon-4"))
    write_checkpoint(tmp_path / "best.npz", Checkpoint(HEADS, nets["rnet"]))
    for net in NETS:
        records = tmp_path / "run" / net / "training/records"
        records.mkdir(parents=True)
        (records / "report.json").write_text('{"counts": {"positive": 5000}}')
    changes = {"rnet.train.init": "best.npz", "onet.train.init": "gluon-4"}
    found = steps(changes)
    assert [initial(found[f"{net}/train"]) for net in NETS] == [[], [str(tmp_path / "best.npz")], ["gluon-4"]]
    assert initial(found["onet/finish"]) == [str(tmp_path / "run/onet/train/best.npz")]

    write_checkpoint(tmp_path / "other.npz", Checkpoint(HEADS, nets["rnet"]))
    assert steps({**changes, "rnet.train.init": "other.npz"})["rnet/train"].reads == found["rnet/train"].reads
    nets["rnet"]["rnet_cls_bias"] += 1
    write_checkpoint(tmp_path / "best.npz", Checkpoint(HEADS, nets["rnet"]))
    changed = steps(changes)
    assert [net for net in NETS if changed[f"{net}/train"].reads != found[f"{net}/train"].reads] == ["rnet"]
    with pytest.raises(DataError, match="holds no parameters of onet"):
        steps({"onet.train.init": "best.npz"})
    with pytest.raises(ConfigError, match="rnet.train.init: wide-1: the initial rnet is another net than the one to train"):
        steps({"rnet.train.init": "wide-1"})


def test_what_a_training_learns_from(tmp_path: Path, photos: Path) -> None:
    """A teacher is known by its content, and only trainings whose targets it shares depend on it."""
    records = tmp_path / "run/onet/training/records"
    records.mkdir(parents=True)
    (records / "report.json").write_text('{"counts": {"positive": 5000}}')
    nets = bundle_parameters(find_bundle("gluon-4"))
    write_checkpoint(tmp_path / "best.npz", Checkpoint(HEADS, nets["onet"]))

    def steps(**more: Any) -> dict[str, Step]:
        return steps_of(tmp_path, photos, {f"onet.train.{key}": value for key, value in more.items()})

    plain, named, copied = steps(), steps(teacher="gluon-4", distil=0.5), steps(teacher="best.npz", distil=0.5)
    words = shlex.split(copied["onet/train"].action().text)
    assert words[words.index("--teacher") + 1] == str(tmp_path / "best.npz") and "--distil" in words
    assert named["onet/train"].reads == copied["onet/train"].reads != plain["onet/train"].reads
    assert named["onet/train"].options == copied["onet/train"].options
    last = steps(teacher="gluon-4")  # the last training of the configuration has a share of 0.7, the others none
    assert [name for name in plain if last[name].reads != plain[name].reads] == ["onet/finish2"]
    with pytest.raises(
        ConfigError, match="onet.train: teacher: wide-1: the teacher sees 64 pixels with a context of 8, and the"
    ):
        steps(teacher="wide-1", distil=0.5)
    with pytest.raises(DataError, match="holds no parameters of rnet"):
        steps_of(tmp_path, photos, {"rnet.train.teacher": "best.npz", "rnet.train.distil": 0.5})


def test_a_training_goes_on_only_with_the_net_it_began_with(tmp_path: Path, photos: Path) -> None:
    """Not if the training before it has made another net since."""
    step, last = steps_of(tmp_path, photos, {})["onet/finish"], tmp_path / "run/onet/finish/last.npz"
    parameters = bundle_parameters(find_bundle("gluon-4"))["onet"]
    for path in (last, tmp_path / "run/onet/train/best.npz"):
        path.parent.mkdir(parents=True)
    write_checkpoint(tmp_path / "run/onet/train/best.npz", Checkpoint(HEADS, parameters))
    assert step.can_go_on()  # nothing has been trained yet
    write_checkpoint(last, Checkpoint({**HEADS, "initial": digest(parameters)}, parameters))
    assert step.can_go_on()
    parameters["onet_cls_bias"] += 1
    write_checkpoint(tmp_path / "run/onet/train/best.npz", Checkpoint(HEADS, parameters))
    assert not step.can_go_on()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"compare": ["nowhere"]}, "nowhere does not exist, and the models are default, open, official"),
        ({"compare": ["official"], "name": "official"}, "name and compare: two detectors are called official"),
        ({"compare": ["gluon-4", "gluon-4"]}, "name and compare: two detectors are called gluon-4"),
        ({"compare": [], "name": " the  photos"}, "name and compare: a detector cannot be called 'the photos'"),
        ({"compare": [], "name": ""}, "name and compare: a detector's name is empty"),
        ({"pnet.train.rate": -1}, "config.yaml: pnet.train: rate must be"),
        ({"data.min_score": 0.5, "data.landmarks": "none.csv"}, "data.landmarks: "),
        ({"data.landmark_list": "bare.csv"}, "bare.csv has no face with landmarks: "),
        ({"onet.landmarks.min_face": 400}, "no face with landmarks can be learned from: its short side must be 400 pixels"),
    ],
)
def test_what_is_refused_before_anything_begins(
    tmp_path: Path, photos: Path, run: Run, changes: dict[str, Any], message: str
) -> None:
    (tmp_path / "bare.csv").write_text("file,x1,y1,x2,y2\n0.png,20,20,80,80\n")
    status, said = run(write_config(tmp_path, photos, changes), tmp_path / "run")
    assert status == 2 and message in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_official_weights_that_are_missing(tmp_path: Path, photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says that a run does not need them."""

    def missing() -> None:
        raise ModelError("the official weights are not installed")

    monkeypatch.setattr(find, "official_bundle", missing)
    status, said = run(write_config(tmp_path, photos, {"compare": ["official"]}), tmp_path / "run")
    assert (
        status == 2 and "the official weights are not installed" in said and "`compare: []` goes without other models" in said
    )


def test_a_foreign_folder(tmp_path: Path, photos: Path, run: Run) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("mine")
    for more in ([], ["--status"]):
        status, said = run(write_config(tmp_path, photos), tmp_path / "run", *more)
        assert status == 2 and said.endswith("is not empty, and not the folder of a pipeline's run: name another folder\n")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_photos_from_several_places(tmp_path: Path, photos: Path) -> None:
    """Each gets its own samples; the records are made of all. Photos without faces and without landmarks are a place too."""
    (tmp_path / "none.txt").write_text("3.png\n4.png\n")
    faces = {"images": str(photos / "data"), "annotations": str(photos / "data/faces.csv")}
    points = {"landmark_root": str(photos / "data"), "landmark_list": str(photos / "data/faces.csv")}
    data = [{**faces, "limit": 4}, {**faces, "annotations": "none.txt"}, {**faces, **points}]
    steps = steps_of(tmp_path, photos, {"data": data})
    training = [name for name in steps if name.startswith("rnet/training/")]
    cut = [f"rnet/training/{kind}" for kind in ("mined", "mined2", "mined3", "faces", "faces2", "faces3", "landmarks3")]
    assert training == [*cut, "rnet/training/records"]
    records = steps["rnet/training/records"]
    assert list(records.after) == cut and records.units == 4 + 2 + 10
    assert [steps[name].units for name in cut[:3]] == [4, 2, 10]
    for negatives, expected in ((1, True), (0, False)):  # of photos without faces come only these
        steps = steps_of(tmp_path, photos, {"data": data, "onet.faces": {"negatives": negatives}})
        assert ("onet/training/faces2" in steps) == expected and "onet/training/faces3" in steps
        assert ("onet/training/faces2" in steps["onet/training/records"].after) == expected


def test_an_architecture_reaches_samples_and_trainings(tmp_path: Path, photos: Path) -> None:
    table = {"size": 30, "context": 3, "layers": "conv 8 4 2, pool 2 2, conv 16 3, dense 32"}
    plain, other = (
        steps_of(tmp_path, photos, {"rnet.train.init": None, **changes}) for changes in ({}, {"architecture.rnet": table})
    )
    assert other["rnet/training/mined"].options["size"] == other["rnet/validation/faces"].options["size"] == 30
    assert other["rnet/training/mined"].options["context"] == 3
    assert other["rnet/train"].options["layers"] == table["layers"] and plain["rnet/train"].options["layers"] is None
    changed = [name for name in plain if plain[name].options != other[name].options]
    assert changed == [name for name in plain if name.startswith(("rnet/t", "rnet/v"))
                       if not name.endswith("records")]  # fmt: skip


def test_scores_of_validation_faces(tmp_path: Path, photos: Path) -> None:
    with pytest.raises(ConfigError, match="validation.min_score is for landmarks, and there are none"):
        steps_of(tmp_path, photos, {"validation.min_score": 0.5})
