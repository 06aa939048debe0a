"""Heads that nothing trains: they are left out, set to 0, or kept as they were, and never come out as random numbers."""

import csv
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mtcnn_gluon import Detector, Faces
from mtcnn_gluon.boxes import encode, iou
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.format import read_bundle
from mtcnn_gluon.bundles.parameters import bundle_parameters
from mtcnn_gluon.bundles.params_file import write_params
from mtcnn_gluon.bundles.trained import TrainedNet, as_trained
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import DataError, ModelError
from mtcnn_gluon.export.bundle_files import export_bundle, make_bundle
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators import crop_resize
from mtcnn_gluon.records.samples import NO_FACE, Samples
from mtcnn_gluon.symbol.blocks import CascadeNet, set_parameters
from mtcnn_gluon.training import state
from mtcnn_gluon.training.building import BEFORE
from mtcnn_gluon.training.checkpoints import BEST, LAST, read_checkpoint, write_checkpoint
from mtcnn_gluon.training.heads import plan_heads
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.runs import read_net
from mtcnn_gluon.training.state import Run
from mtcnn_gluon.training.trainer import fit
from onefile_session import Session
from record_samples import make_samples
from training_runs import write_records

mx = load_mxnet()
ENGINES = ("native", "onnx", "openvino", "mxnet")
SETTINGS: dict[str, Any] = {"epochs": 1, "batch": 32, "warm_up": 5}


def some(samples: Samples, rows: np.ndarray) -> Samples:
    return Samples(*(getattr(samples, each.name)[rows] for each in fields(Samples)))


def records_without(folder: Path, net: str, *kinds: int) -> Path:
    """Records of all kinds but some, no face of which has landmarks."""
    samples = make_samples(300, {"pnet": 12, "rnet": 24, "onet": 48}[net])
    samples = some(samples, ~np.isin(samples.kinds, [-2, *kinds]))
    return write_records(folder, net=net, samples=replace(samples, has_landmarks=np.zeros(len(samples.kinds), bool)))


def records_of(image: np.ndarray, folder: Path) -> Path:
    """Records for O-Net of crops around the face of the portrait, and elsewhere in it, without landmarks."""
    generator = np.random.default_rng(0)
    count = 96
    kinds = np.repeat([1, -1, 0], count // 3)
    side = 120 * generator.uniform(0.8, 1.25, count)
    centres = np.where(kinds[:, None] == 0, [400, 380], [225, 120]) + generator.uniform(-1, 1, (count, 2)) * 20
    squares = np.hstack([centres - side[:, None] / 2, centres + side[:, None] / 2]).astype(np.float32)
    crops = crop_resize(image, squares, 48).transpose(0, 2, 3, 1)  # (N, 48, 48, 3)
    face = np.tile(np.array([165, 60, 285, 180], np.float32), (count, 1))
    samples = Samples(
        crops=np.rint(crops).astype(np.uint8), kinds=kinds, offsets=encode(squares, face), landmarks=np.zeros((count, 5, 2)),
        iou=np.diag(iou(squares, face)), has_box=kinds != 0, has_landmarks=np.zeros(count, bool), photos=np.zeros(count, int),
        faces=np.where(kinds == 0, NO_FACE, 0),
    )  # fmt: skip
    return write_records(folder, net="onet", samples=samples)


def shipped_net(net: str) -> TrainedNet:
    return read_net("gluon-4", net)


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """gluon-4's nets, O-Net's landmarks left out."""
    nets = {net: shipped_net(net) for net in ("pnet", "rnet", "onet")}
    nets["onet"] = replace(nets["onet"], heads=("cls", "box"))
    return make_bundle(tmp_path_factory.mktemp("bundles") / "silent", nets, "silent", "noise", "MIT").path


@pytest.mark.parametrize(
    ("settings", "kinds", "initial", "expected"),
    [
        ({}, (), False, ("cls box", "cls box", "")),
        ({}, (), True, ("cls box landmark", "cls box", "landmark")),
        ({"landmarks": False}, (), True, ("cls box", "cls box", "")),
        ({"landmarks": True}, (), False, ("cls box", "cls box", "")),
        ({"tasks": ("cls",)}, (), False, ("cls box", "cls", "")),
        ({"tasks": ("cls",)}, (), True, ("cls box landmark", "cls", "box landmark")),
        ({"tasks": ("box",)}, (), True, ("cls box landmark", "box", "cls landmark")),
        ({"box_weight": 0.0}, (), True, ("cls box landmark", "cls", "box landmark")),
        ({}, (1, -1), True, ("cls box landmark", "cls", "box landmark")),
        ({"sampling": "alternate"}, (), True, ("cls box landmark", "cls box", "landmark")),
        ({"listed_landmarks": True}, (), False, ("cls box", "cls box", "")),
        ({"listed_landmarks": True}, (), True, ("cls box landmark", "cls box", "landmark")),
        ({"listed_landmarks": True, "sampling": "alternate"}, (), True, ("cls box landmark", "cls box", "landmark")),
    ],
)
def test_plans(tmp_path: Path, settings: dict, kinds: tuple[int, ...], initial: bool, expected: tuple[str, ...]) -> None:
    records = records_without(tmp_path / "records", "onet", *kinds)
    run = Run(
        TrainingOptions("onet", **{**SETTINGS, **settings}),
        records,
        tmp_path / "run",
        initial=shipped_net("onet") if initial else None,
    )
    assert tuple(" ".join(heads) for heads in (run.heads.present, run.heads.learned, run.heads.kept)) == expected
    assert ("onet_landmark_weight" in run.parameters()) == ("landmark" in expected[0])


@pytest.mark.parametrize(
    ("kinds", "settings", "learns"),
    [
        ((1, 0, -1, -2), {}, True),
        ((1, 0, -1, -2), {"listed_landmarks": True}, True),
        ((1, 0, -1), {}, True),  # faces of photos have landmarks too
        ((1, 0, -1), {"listed_landmarks": True}, False),
        ((1, 0, -1, -2), {"ratio": "3:1:1:0", "listed_landmarks": True}, False),
        ((1, 0, -1, -2), {"landmark_weight": 0.0}, False),
        ((1, 0, -1), {"sampling": "alternate"}, False),  # whose batches for landmarks hold listed ones only
    ],
)
def test_when_landmarks_are_learned(tmp_path: Path, kinds: tuple[int, ...], settings: dict[str, Any], learns: bool) -> None:
    samples = make_samples(300, 48)
    samples = some(samples, np.isin(samples.kinds, kinds))
    assert samples.has_landmarks[samples.kinds == 1].any()
    records = write_records(tmp_path / "records", net="onet", samples=samples)
    run = Run(TrainingOptions("onet", **{**SETTINGS, **settings}), records, tmp_path / "run")
    assert ("landmark" in run.heads.trained) == learns == ("onet_landmark_weight" in run.parameters())


def outputs_on(values: Any, images: np.ndarray) -> list[np.ndarray]:
    net = CascadeNet({**NETS.onet, "landmarks": "onet_landmark_weight" in values}, "onet_")
    set_parameters(net, values, mx.cpu())
    return [output.asnumpy() for output in net(mx.nd.array(images))]


@pytest.mark.parametrize("sampling", ["mixed", "alternate"])
def test_landmarks_without_samples_stay_as_they_were(
    tmp_path: Path, image: np.ndarray, sampling: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained on without landmarks, they move much less than if they were not kept."""
    records = records_of(image, tmp_path / "records")
    options = TrainingOptions("onet", epochs=10, batch=32, warm_up=5, sampling=sampling, rate=0.001)
    moved = {}
    for name in ("kept", "not kept"):
        if name == "not kept":
            monkeypatch.setattr(state, "plan_heads", lambda *about: replace(plan_heads(*about), kept=()))
        run = Run(options, records, tmp_path / name, initial=shipped_net("onet"))
        crops = next(run.sampler.everything()).images[:32]  # positives come first
        before = outputs_on(run.parameters(), crops)[2]
        fit(run)
        moved[name] = np.abs(outputs_on(run.best_parameters(), crops)[2] - before).mean()
    assert moved["kept"] < 0.5 * moved["not kept"], moved
    assert read_net(str(tmp_path / "kept" / BEST), "onet").heads == ("cls", "box", "landmark")


def test_resumed_with_a_head_that_is_kept(tmp_path: Path) -> None:
    """What it was is read from the run's folder, so the model that it began with need not be given again."""
    records = records_without(tmp_path / "records", "onet")
    options = TrainingOptions("onet", epochs=2, batch=32, warm_up=5)
    whole = Run(options, records, tmp_path / "whole", initial=shipped_net("onet"))
    fit(whole)
    begun = Run(options, records, tmp_path / "begun", initial=shipped_net("onet"))
    begun.options = replace(options, epochs=1)
    fit(begun)
    begun.options = options
    last = read_checkpoint(tmp_path / "begun" / LAST)
    last.about["options"]["epochs"] = 2
    write_checkpoint(tmp_path / "begun" / LAST, last)
    resumed = Run(options, records, tmp_path / "begun", resume=True)
    assert resumed.heads == whole.heads
    fit(resumed)
    for name, value in whole.parameters().items():
        np.testing.assert_array_equal(resumed.parameters()[name], value, err_msg=name)


@pytest.mark.parametrize("content", [None, b"", b"other"])
def test_not_resumed_without_the_net_that_a_head_is_kept_of(tmp_path: Path, content: bytes | None) -> None:
    records = records_without(tmp_path / "records", "onet")
    options = TrainingOptions("onet", **SETTINGS)
    fit(Run(options, records, tmp_path / "run", initial=shipped_net("onet")))
    (tmp_path / "run" / BEFORE).unlink()
    if content == b"other":
        write_params(tmp_path / "run" / BEFORE, shipped_net("pnet").parameters)
    elif content is not None:
        (tmp_path / "run" / BEFORE).write_bytes(content)
    with pytest.raises(DataError, match=f"{BEFORE} is not the initial net of this run"):
        Run(options, records, tmp_path / "run", resume=True)


def test_a_checkpoint_without_a_head_that_it_calls_trained(tmp_path: Path) -> None:
    records = records_without(tmp_path / "records", "onet")
    fit(Run(TrainingOptions("onet", **SETTINGS), records, tmp_path / "run"))
    best = read_checkpoint(tmp_path / "run" / BEST)
    best.about["heads"]["trained"] = ["cls", "box", "landmark"]
    write_checkpoint(tmp_path / "run" / BEST, best)
    with pytest.raises(DataError, match="says that landmark was trained, but holds no such head"):
        read_net(str(tmp_path / "run" / BEST), "onet")


def test_a_box_head_that_nothing_trained_moves_nothing(tmp_path: Path) -> None:
    nets = {net: shipped_net(net) for net in ("pnet", "rnet", "onet")}
    nets["rnet"] = replace(nets["rnet"], heads=("cls",))
    bundle = make_bundle(tmp_path / "model", nets, "model", "noise", "MIT")
    assert bundle.manifest["trained"]["rnet"] == ["cls"]
    values = bundle_parameters(bundle)["rnet"]
    assert not values["rnet_box_weight"].any() and not values["rnet_box_bias"].any() and values["rnet_cls_weight"].any()


@pytest.mark.parametrize("engine", ENGINES)
def test_faces_without_landmarks_on_every_engine(silent: Path, image: np.ndarray, engine: str) -> None:
    expected = Detector("gluon-4", engine=engine).detect(image)
    detector = Detector(silent, engine=engine)
    faces = detector.detect(image)
    assert not detector.has_landmarks and faces.landmarks is None and len(faces) == len(expected) == 1
    np.testing.assert_allclose(faces.boxes, expected.boxes, atol=0.01)
    nothing, few = detector.detect_batch([np.zeros((40, 40, 3), np.uint8), image])
    assert nothing.landmarks is None and nothing.boxes.shape == (0, 4) and len(few) == 1
    assert faces[0].landmarks is None and faces[:0].landmarks is None and [face.landmarks for face in faces] == [None]
    assert [face["landmarks"] for face in faces.to_dicts()] == [None]
    with pytest.raises(ModelError, match="trained without"):
        faces.align(image)


def test_empty_faces() -> None:
    assert Faces.empty().landmarks.shape == (0, 5, 2) and Faces.empty(has_landmarks=False).landmarks is None


def test_one_file_without_landmarks(tmp_path: Path, silent: Path, image: np.ndarray) -> None:
    bundle = export_bundle(read_bundle(silent), tmp_path / "model", ["onnx", "onefile"])
    runtime = Session(bundle.file("mtcnn.onnx").read_bytes()).runtime
    assert [output.name for output in runtime.get_outputs()] == ["boxes", "scores"]
    assert "no landmarks" in runtime.get_modelmeta().custom_metadata_map["outputs"]
    for photo in (image, np.zeros((40, 40, 3), np.uint8)):
        np.testing.assert_allclose(runtime.run(["boxes"], {"image": photo})[0], Detector(silent).detect(photo).boxes, atol=0.01)


def test_on_the_command_line(tmp_path: Path, silent: Path, image: np.ndarray, capsys: pytest.CaptureFixture) -> None:
    photo = str(tmp_path / "photo.png")
    cv2.imwrite(photo, image[:, :, ::-1])
    words = ["detect", photo, "--model", str(silent)]
    assert cli.main([*words, "--json", f"{tmp_path}/a.jsonl", "--csv", f"{tmp_path}/a.csv", "--save", f"{tmp_path}/out"]) == 0
    (face,) = json.loads((tmp_path / "a.jsonl").read_text())["faces"]
    assert face["landmarks"] is None and face["score"] > 0.9
    with open(tmp_path / "a.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["score"] and [value for name, value in row.items() if "eye" in name or "nose" in name] == [""] * 6
    assert (tmp_path / "out/photo.png").exists()
    capsys.readouterr()
    assert cli.main([*words, "--crops", str(tmp_path / "crops")]) == 2
    assert "--crops aligns faces by landmarks" in capsys.readouterr().err and not (tmp_path / "crops").exists()


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        ({}, "rnet and onet are not trained but random numbers"),
        ({"rnet": ("cls", "box")}, "onet is not trained but random numbers"),
        ({"rnet": ("cls", "box"), "onet": ("cls", "box")}, "landmarks were not trained: faces have none"),
        ({"rnet": ("cls",), "onet": ("cls", "box", "landmark")}, "boxes were not trained in rnet"),
        ({"rnet": ("box",), "onet": ("cls", "box", "landmark")}, "rnet is not trained but random numbers"),
        ({"rnet": ("cls", "box"), "onet": ("cls", "box", "landmark")}, None),
    ],
)
def test_what_is_said_of_a_bundle(
    tmp_path: Path, image: np.ndarray, heads: dict[str, tuple[str, ...]], expected: str | None,
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    """By Detector with the first photo, and by export."""
    nets = {"pnet": shipped_net("pnet"), **{net: replace(shipped_net(net), heads=each) for net, each in heads.items()}}
    make_bundle(tmp_path / "model", nets, "model", "noise", "MIT")
    detector = Detector(tmp_path / "model")
    assert not caplog.messages
    for _ in range(2):
        detector.detect(image[::4, ::4])
    assert len(caplog.messages) == (expected is not None) and (expected or "") in caplog.text
    assert cli.main(["export", str(tmp_path / "model"), str(tmp_path / "again"), "--onnx"]) == 0
    said = capsys.readouterr().err
    assert expected in said if expected else not said
    assert cli.main(["info", "--json", "--model", str(tmp_path / "model")]) == 0
    state = json.loads(capsys.readouterr().out)["models"][str(tmp_path / "model")]
    assert state.startswith("yes") and (expected in state if expected else state == "yes; licence: MIT")


def test_landmarks_that_are_not_there_are_not_evaluated(tmp_path: Path, silent: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "list.txt").write_text("a.png 1 9 1 9 " + "3 " * 10)
    words = ["evaluate", "landmarks", "--list", str(tmp_path / "list.txt"), "--root", str(tmp_path)]
    assert cli.main([*words, "--model", "gluon-4", "--model", str(silent)]) == 2
    assert "was trained without landmarks" in capsys.readouterr().err


def test_every_head_of_the_shipped_models_is_trained() -> None:
    for model in ("gluon-4", "official"):
        manifest = find_bundle(model).manifest
        assert manifest["trained"] == {
            net: list(each.heads) for net, each in as_trained(bundle_parameters(find_bundle(model))).items()
        }
