"""The whole recipe on photos made of the portrait: steps run, are skipped, are done again, and go on after being killed."""

import fcntl
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import cv2
import numpy as np
import pytest
import yaml
from easydict import EasyDict

from mtcnn_gluon import Detector
from mtcnn_gluon.bundles.format import find_bundle, read_bundle
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import DataError
from mtcnn_gluon.export.bundle_files import bundle_parameters
from mtcnn_gluon.pipeline.config import PHOTOS, files_digest, flags, read_config
from mtcnn_gluon.pipeline.recipe import SETS, Recipe
from mtcnn_gluon.pipeline.steps import Step
from mtcnn_gluon.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from mtcnn_gluon.training.heads import HeadPlan
from mtcnn_gluon.training.runs import read_net
from painted_faces import HEADER

ROOT = Path(__file__).parents[3]
HEADS = {"heads": HeadPlan(("cls", "box"), ("cls", "box"), ()).to_json()}  # of a checkpoint
Run = Callable[..., tuple[int, str]]
SMALL = {
    "workers": 1, "find_from": 24, "compare": [],
    "pnet": {
        "faces": {"jitters": 100, "negatives": 200},
        "train": {"samples": 100_000, "batch": 128, "warm_up": 20, "average": 0.98},
    },
    "rnet": {
        "faces": {"jitters": 60, "negatives": 60},
        "train": {
            "samples": 16_000, "batch": 96, "rate": 0.001, "warm_up": 10, "average": 0.9, "landmarks": True,
            "landmark_faces": True, "init": "default",
        },
    },
    "onet": {
        "faces": {"jitters": 30, "negatives": 30}, "landmarks": {"landmark_jitters": 20},
        "train": {"samples": 5_000, "batch": 64, "rate": 0.001, "warm_up": 10, "average": 0.9},
        "finish": [
            {"samples": 2_000, "rate": 0.0005, "ratio": "3:1:1:2", "part_faces": 0.45},
            {"samples": 1_000, "distil": 0.7, "listed_landmarks": True},
        ],
    },
    "evaluate": {"wider": {"min_face": 24, "resamples": 0, "workers": 1}, "landmarks": {"resamples": 0, "workers": 1}},
}  # fmt: skip


def make_photos(folder: Path, count: int, image: np.ndarray, detector: Detector, seed: int) -> Path:
    """Photos with the portrait's face at several places and sizes on noise, and the list of the faces."""
    face = detector.detect(image)[:1]
    generator, lines = np.random.default_rng(seed), [HEADER]
    folder.mkdir()
    for number in range(count):
        canvas = cv2.resize(generator.integers(0, 256, (20, 25, 3)).astype(np.uint8), (250, 200))
        side = int(generator.integers(100, 190))  # of the portrait, whose face is about a third of it
        x, y = int(generator.integers(0, 250 - side)), int(generator.integers(0, 200 - side))
        scale = side / image.shape[0]
        canvas[y : y + side, x : x + side] = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"{number}.png"), canvas[:, :, ::-1])
        values = np.concatenate([face.boxes.reshape(-1, 2), face.landmarks[0]]) * scale + [x, y]
        lines.append(",".join([f"{number}.png", *(f"{value:.2f}" for value in values.reshape(-1))]))
    (folder / "faces.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, image: np.ndarray, detector: Detector) -> Path:
    """A folder with the photos to train on and those to validate on."""
    folder = tmp_path_factory.mktemp("photos")
    for seed, (name, count) in enumerate((("data", 10), ("validation", 4))):
        make_photos(folder / name, count, image, detector, seed)
    return folder


def write_config(folder: Path, photos: Path, changes: dict[str, Any] | None = None) -> Path:
    """A configuration with paths relative to it."""
    sections = {}
    for name in ("data", "validation"):
        root = Path(os.path.relpath(photos / name, folder))
        sections[name] = {"images": str(root), "annotations": str(root / "faces.csv"),
                          "landmark_root": str(root), "landmark_list": str(root / "faces.csv")}  # fmt: skip
    config = json.loads(json.dumps({**SMALL, **sections}))
    for path, value in (changes or {}).items():
        *sections_of, last = path.split(".")
        place = config
        for name in sections_of:
            place = place.setdefault(name, {})
        place[last] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "config.yaml"


@pytest.fixture
def run(capfd: pytest.CaptureFixture) -> Iterator[Run]:
    """`mtcnn-gluon pipeline`: its exit status and what it says."""
    root, package = logging.getLogger(), logging.getLogger("mtcnn_gluon")
    handlers, levels = root.handlers[:], (root.level, package.level)

    def main(config: Path, folder: Path, *more: str) -> tuple[int, str]:
        capfd.readouterr()
        status = cli.main(["pipeline", "--config", str(config), "--run", str(folder), *more])
        return status, "".join(capfd.readouterr())

    yield main
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    package.setLevel(levels[1])


def steps_done(said: str) -> list[str]:
    return [line.split()[1] for line in said.splitlines() if line.startswith("== ")]


def digests(folder: Path) -> dict[str, str]:
    return read_bundle(folder / "bundle").manifest["files"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The folder of a run that was not interrupted; beside it is its configuration."""
    folder = tmp_path_factory.mktemp("finished")
    assert cli.main(["pipeline", "--config", str(write_config(folder, photos)), "--run", str(folder / "run")]) == 0
    return folder / "run"


def test_status_before_anything_is_done(tmp_path: Path, photos: Path, run: Run) -> None:
    status, said = run(write_config(tmp_path, photos), tmp_path / "run", "--status")
    assert status == 0 and "0 of 35 steps done, about" in said and said.startswith("pnet/training/faces              next")
    assert not (tmp_path / "run").exists()


def test_end_to_end(photos: Path, finished: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result is a bundle that works; nothing is done twice, and a change has done again what comes after it."""
    config, folder = finished.parent / "config.yaml", finished
    faces = Detector(folder / "bundle", min_face=24).detect(photos / "validation" / "0.png")
    assert len(faces) >= 1
    manifest = read_bundle(folder / "bundle").manifest
    figures = manifest["figures"]
    assert all("box" in heads for heads in manifest["trained"].values()) and figures["wider"]["height_30"] > 0.5
    assert figures["landmarks_given"]["photos"] == figures["landmarks_detected"]["photos"] == 4
    stages = json.loads((folder / "onet/stages/stages.json").read_text())
    assert [manifest["architecture"][net]["landmarks"] for net in ("pnet", "rnet", "onet")] == [False, False, True]
    assert "rnet_landmark_weight" in read_checkpoint(folder / "rnet/train/best.npz").parameters  # which only helped
    assert manifest["thresholds"][2] == stages["onet"]["suggested_for_detection"]
    assert_finished(folder / "onet", 0.0005)

    before = digests(folder)
    assert steps_done(run(config, folder)[1]) == []
    _, said = run(config, folder, "--status")
    assert "all 35 steps are done" in said and "next" not in said
    monkeypatch.chdir(finished.parent)
    assert "all 35 steps are done" in run(Path("config.yaml"), Path("run"), "--status")[1]

    changed = write_config(finished.parent, photos, {"onet.train.rate": 0.002})
    _, said = run(changed, folder, "--status")
    assert "onet/train" in said and "changed" in said and "26 of 35 steps done" in said
    assert steps_done(run(changed, folder)[1]) == [
        "onet/train", "onet/finish", "onet/finish2", "onet/bundle", "onet/stages",
        "report/bundle", "report/wider", "report/landmarks", "bundle",
    ]  # fmt: skip
    after = digests(folder)
    assert {name[:4] for name in before if after[name] != before[name]} == {"onet"}

    changes = {"onet.train.rate": 0.002, "thresholds": [0.8, 0.6, 0.7], "calibrate": True}
    calibrated = write_config(finished.parent, photos, changes)
    assert steps_done(run(calibrated, folder)[1])[0] == "onet/bundle"
    assert_calibrated(folder, changes["thresholds"])


def assert_finished(folder: Path, rate: float) -> None:
    """Each training began with the net of the one before, and had its options but for those of its own."""
    names = ("train", "finish", "finish2")
    own: dict[str, Any] = {"finish": {"rate": rate, "ratio": "3:1:1:2", "part_faces": 0.45},
                           "finish2": {"distil": 0.7, "listed_landmarks": True}}  # fmt: skip
    for before, name in zip(names, names[1:]):
        first, second = (read_checkpoint(folder / each / "last.npz").about["options"] for each in (before, name))
        assert second == {**first, "epochs": second["epochs"], **own[name]} != first
        begun = json.loads((folder.parent / f".steps/onet-{name}.json").read_text())["command"]
        assert begun[begun.index("--init") + 1] == str(folder / before / "best.npz")


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
def test_sure_scores_are_drawn_together(surest: float, slope: float, tmp_path: Path) -> None:
    """O-Net's, until one in a thousand is above 0.99, and no more than that; its threshold stays where it is wanted."""
    for net in NETS:
        (tmp_path / net / "stages").mkdir(parents=True)
        figures = {net: {"suggested_for_detection": 0.5, "surest": surest}}
        (tmp_path / net / "stages/stages.json").write_text(json.dumps(figures))
    config = EasyDict(calibrate=True, thresholds=[0.8, 0.6, 0.7])
    words = Recipe(config, tmp_path, {}, {}, lambda words: 0)._logits(NETS)
    found = {word.split("=")[0]: [float(number) for number in word.split("=")[1].split(",")] for word in words[1:]}
    assert found["pnet"] == pytest.approx([1, logit(0.8)], abs=1e-4)
    assert found["rnet"] == pytest.approx([1, logit(0.6)], abs=1e-4)
    assert found["onet"] == pytest.approx([slope, logit(0.7)], abs=1e-4)


def start_and_kill(config: Path, folder: Path, when: Callable[[], bool]) -> str:
    """`mtcnn-gluon pipeline` in a process of its own, killed as soon as `when` is true; returns what it said."""
    command = [sys.executable, "-m", "mtcnn_gluon", "pipeline", "--config", str(config), "--run", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None and not when():
            time.sleep(0.02)
        process.kill()
        return process.communicate()[0]


def test_killed_it_goes_on_where_it_was(tmp_path: Path, photos: Path, finished: Path, run: Run) -> None:
    """Killed while P-Net is trained: what was done before is not done again, and P-Net ends up the same."""
    config, folder = write_config(tmp_path, photos), tmp_path / "run"
    start_and_kill(config, folder, (folder / "pnet/train/last.npz").exists)
    assert "pnet/train                       begun" in run(config, folder, "--status")[1]
    said = start_and_kill(config, folder, (folder / "pnet/bundle").exists)
    assert steps_done(said)[0] == "pnet/train"
    found, expected = (read_checkpoint(each / "pnet/train/last.npz") for each in (folder, finished))
    assert found.about["epoch"] == expected.about["epoch"]
    for name, value in expected.averages.items():
        np.testing.assert_array_equal(found.averages[name], value, err_msg=name)


def test_one_at_a_time(tmp_path: Path, photos: Path, run: Run) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with open(folder / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        status, said = run(write_config(tmp_path, photos), folder)
    assert status == 2 and "another pipeline is working in this folder" in said


def test_a_step_that_fails(tmp_path: Path, photos: Path, run: Run) -> None:
    """The message of the command, the step, and what to do; a second try fails the same way."""
    config = write_config(tmp_path, photos, {"data.images": "."})
    for _ in range(2):
        status, said = run(config, tmp_path / "run")
        assert status == 2 and "no sample came of 0 photos (10 more could not be read)" in said
        assert "step pnet/training/faces failed; run the same command again to go on with it" in said


@pytest.mark.parametrize(
    "given, expected",
    [({}, []), ([], []), ({"rate": 0.001}, [{"rate": 0.001}]), ([{"rate": 0.001}, {}], [{"rate": 0.001}, {}])],
)
def test_trainings_to_finish_with(tmp_path: Path, photos: Path, given: Any, expected: list[dict[str, Any]]) -> None:
    assert read_config(write_config(tmp_path, photos, {"onet.finish": given})).onet.finish == expected


def test_trainings_that_begin_with_a_trained_net(tmp_path: Path, photos: Path) -> None:
    """A model's name or a path; only the first training of a net begins with it; other parameters make another step."""

    def steps(changes: dict[str, Any]) -> dict[str, Step]:
        config = read_config(write_config(tmp_path, photos, changes))
        made = Recipe(config, tmp_path / "run", dict.fromkeys(SETS, 1), dict.fromkeys(SETS, ""), cli.main).steps()
        return {step.name: step for step in made}

    def initial(step: Step) -> list[str]:
        words = step.command()
        return [value for word, value in zip(words, words[1:]) if word == "--init"]

    nets = bundle_parameters(find_bundle("default"))
    write_checkpoint(tmp_path / "best.npz", Checkpoint(HEADS, nets["rnet"]))
    for net in NETS:
        records = tmp_path / "run" / net / "training/records"
        records.mkdir(parents=True)
        (records / "report.json").write_text('{"counts": {"positive": 5000}}')
    changes = {"rnet.train.init": "best.npz", "onet.train.init": "default"}
    found = steps(changes)
    assert [initial(found[f"{net}/train"]) for net in NETS] == [[], [str(tmp_path / "best.npz")], ["default"]]
    assert initial(found["onet/finish"]) == [str(tmp_path / "run/onet/train/best.npz")]

    nets["rnet"]["rnet_cls_bias"] += 1
    write_checkpoint(tmp_path / "best.npz", Checkpoint(HEADS, nets["rnet"]))
    changed = steps(changes)
    assert [net for net in NETS if changed[f"{net}/train"].files != found[f"{net}/train"].files] == ["rnet"]
    with pytest.raises(DataError, match="holds no parameters of onet"):
        steps({"onet.train.init": "best.npz"})


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"pnet.train.rat": 1}, "unknown key 'rat' in pnet.train; there are average, "),
        ({"pnet.trian": {}}, "unknown key 'trian' in pnet; there are faces, finish, landmarks, records, train"),
        ({"compare": ["nowhere"]}, "model 'nowhere': expected default, official"),
        ({"compare": [3]}, "compare must be a list of models, not [3]"),
        ({"compare": ["official"], "name": "official"}, "name and compare: two detectors are called official"),
        ({"compare": ["gluon-4", "gluon-4"]}, "name and compare: two detectors are called gluon-4"),
        ({"compare": [], "name": " the  photos"}, "name and compare: a detector cannot be called 'the photos'"),
        ({"compare": [], "name": ""}, "name and compare: a detector's name is empty"),
        ({"speed": 1}, "unknown key 'speed'; there are calibrate, compare, data, "),
        ({"pnet.train.rate": -1}, "pnet: rate must be a number from"),
        ({"pnet.train.batch": 2}, "pnet: batch must be a whole number, 6 or more, not 2"),
        ({"pnet.train.samples": 0}, "pnet: train.samples must be 1 or more, not 0"),
        ({"pnet.train.samples": "many"}, "pnet.train.samples must be a number, as 12000000 is, not 'many'"),
        ({"onet.finish": {"landmarks": True}}, "unknown key 'landmarks' in onet.finish; there are average, "),
        ({"onet.finish": {"rate": -1}}, "onet: rate must be a number from"),
        ({"onet.finish": [{}, {"samples": "many"}]}, "onet: finish.samples must be 1 or more, not 'many'"),
        ({"onet.finish": [{"distil": 2}]}, "onet: distil must be a number from 0 to 1, not 2"),
        ({"onet.finish": None}, "onet.finish must have keys with values, not None"),
        ({"onet.train.init": "nowhere"}, "nowhere does not exist, and the models are default, official, "),
        ({"onet.train.init": "${NOT_SET_AT_ALL}/x"}, "onet.train.init: ${NOT_SET_AT_ALL}/x names the environment variable"),
        ({"onet.finish": {"init": "default"}}, "unknown key 'init' in onet.finish; there are average, "),
        ({"onet.train.distil": 0.5}, "unknown key 'distil' in onet.train; there are average, "),
        ({"rnet.train.mirror": 2}, "rnet: mirror must be a number from 0 to 1, not 2"),
        ({"rnet.mine.thresholds": [0.5]}, "rnet: mine.thresholds must be 2 numbers from 0 to 1, not [0.5]"),
        ({"onet.faces.positive": 0.1}, "onet: negative, part and positive must ascend"),
        ({"onet.records.encoding": "gif"}, "onet: encoding must be one of raw, png, jpeg, webp, not 'gif'"),
        ({"pnet.records.ratio": "1:2"}, "pnet: ratio must be four numbers"),
        ({"pnet": 3}, "pnet must have keys with values, not 3"),
        ({"pnet.faces": None}, "pnet.faces must have keys with values, not None"),
        ({"seed": -1}, "seed must be a whole number, 0 or more, not -1"),
        ({"workers": 0}, "workers must be 1 or more, not 0"),
        ({"thresholds": [1, 2, 3]}, "thresholds must be 3 numbers from 0 to 1"),
        ({"calibrate": True}, "calibrate needs thresholds between 0 and 1 to shift scores to, not None"),
        ({"calibrate": True, "thresholds": [0.5, 0, 0.5]}, "calibrate needs thresholds between 0 and 1"),
        ({"data.limit": 0}, "data.limit must be a whole number, 1 or more, not 0"),
        ({"data.images": "nowhere"}, "nowhere does not exist"),
        ({"data.images": "${NOT_SET_AT_ALL}/x"}, "the environment variable 'NOT_SET_AT_ALL', which is not set"),
        ({"data.annotations": ""}, "data.annotations is missing"),
        ({"data.landmark_root": None}, "data: landmark_root and landmark_list go together"),
    ],
)
def test_configurations_that_are_wrong(tmp_path: Path, photos: Path, run: Run, changes: dict[str, Any], message: str) -> None:
    """Refused at once, with the name of the key, and nothing is written."""
    config = write_config(tmp_path, photos, changes)
    status, said = run(config, tmp_path / "run")
    assert status == 2 and message in said and (f"{config}: " in said or "compare" in changes)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text, message", [("a: [", "is not YAML"), ("3", "the whole must have keys"), ("\0", "expected text")])
def test_files_that_are_no_configuration(tmp_path: Path, run: Run, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    status, said = run(tmp_path / "config.yaml", tmp_path / "run")
    assert status == 2 and message in said
    status, said = run(tmp_path / "none.yaml", tmp_path / "run")
    assert status == 2 and "none.yaml does not exist" in said


def test_a_damaged_state(tmp_path: Path, photos: Path, run: Run) -> None:
    (tmp_path / "run/.steps").mkdir(parents=True)
    (tmp_path / "run/.steps/pnet-train.json").write_text("{")
    status, said = run(write_config(tmp_path, photos), tmp_path / "run", "--status")
    assert status == 2 and "pnet-train.json is damaged: remove it" in said


def test_files_are_known_by_name_and_content(tmp_path: Path) -> None:
    """A copy of the photos with other times is the same data; a list is known by its content."""
    for name in ("a.png", "below/b.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"some")
    (tmp_path / "faces.csv").write_text("one")
    section = {**PHOTOS, "images": str(tmp_path / "photos"), "annotations": str(tmp_path / "faces.csv")}
    before = files_digest(section)
    os.utime(tmp_path / "photos/a.png", (0, 0))
    assert files_digest({**section, "images": str(shutil.copytree(tmp_path / "photos", tmp_path / "copy"))}) == before
    found = [before]
    for path, content in ((tmp_path / "copy/below/b.png", "same"), (tmp_path / "faces.csv", "two")):
        path.write_text(content)
        found.append(files_digest({**section, "images": str(tmp_path / "copy")}))
    (tmp_path / "copy/a.png").rename(tmp_path / "copy/c.png")
    found.append(files_digest({**section, "images": str(tmp_path / "copy")}))
    assert len(set(found)) == 4


def test_flags() -> None:
    options = {"min_face": 12, "mirror": False, "landmarks": True, "tasks": ["cls", "box"], "thresholds": None, "rate": 0.1}
    assert flags(options) == ["--min-face", "12", "--no-mirror", "--landmarks", "--tasks", "cls", "box", "--rate", "0.1"]


@pytest.mark.parametrize("name", ["pipeline.yaml", "pipeline_small.yaml"])
def test_examples_are_right(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("wider_train/images", "landmarks"):
        (tmp_path / path).mkdir(parents=True)
    for each in ("train", "dev"):
        (tmp_path / f"wider_train/wider_face_{each}_bbx_gt.txt").touch()
        (tmp_path / f"wider_train/wider_face_{each}_landmarks_auto.csv").touch()
        (tmp_path / f"landmarks/{'trainImageList' if each == 'train' else 'devImageList'}.txt").touch()
    monkeypatch.setenv("MTCNN_GLUON_DATA", str(tmp_path))
    config = read_config(ROOT / "example" / name)
    assert config.data.images == str(tmp_path / "wider_train/images")
