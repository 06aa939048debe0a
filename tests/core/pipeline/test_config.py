"""Configurations: what is refused before anything begins, in words that name the place, and what is accepted."""

from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import yaml

from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.evaluation.options import LandmarkOptions, WiderOptions
from mtcnn_gluon.options import Options
from mtcnn_gluon.pipeline.config import (
    CUTTING,
    EVALUATING,
    ArchitectureOptions,
    DataOptions,
    RunOptions,
    TrainingStepOptions,
    read_config,
)  # fmt: skip
from mtcnn_gluon.prepare_data.merge import MergeOptions
from mtcnn_gluon.prepare_data.tasks import MinedSampleOptions, SampleOptions

ROOT = Path(__file__).parents[3]
MADE = {
    "net", "seed", "epochs", "workers", "ray", "images", "annotations", "model", "stage", "find_from", "folders", "out", "size",
    "context", "layers",
}  # fmt: skip
LISTS = {"root", "list", "ground_truth", "write_text", "landmarks", "min_score"}
SECTIONS: dict[str, tuple[type[Options], set[str]]] = {  # place, options, and those that the pipeline sets itself
    "": (RunOptions, set()),
    "data": (DataOptions, set()),
    "validation": (DataOptions, set()),
    **{f"{net}.{name}": (SampleOptions, {*CUTTING, *MADE}) for net in NETS for name in ("faces", "landmarks")},
    **{f"{net}.mine": (MinedSampleOptions, {*CUTTING, *MADE}) for net in ("rnet", "onet")},
    **{f"{net}.records": (MergeOptions, MADE) for net in NETS},
    **{f"{net}.train": (TrainingStepOptions, MADE) for net in NETS},
    **{f"{net}.finish": (TrainingStepOptions, {*MADE, "init", "landmarks"}) for net in NETS},
    **{f"architecture.{net}": (ArchitectureOptions, set()) for net in NETS},
    "evaluate.wider": (WiderOptions, {*EVALUATING, "images", "annotations", *LISTS}),
    "evaluate.landmarks": (LandmarkOptions, {*EVALUATING, *LISTS}),
}


def write(folder: Path, place: str = "", values: Any = None) -> Path:
    """The smallest configuration, with one section."""
    (folder / "faces.csv").touch()
    config: dict[str, Any] = {name: {"images": ".", "annotations": "faces.csv"} for name in ("data", "validation")}
    config["onet"] = {"finish": [{"samples": 10}]}
    where = config
    for name in place.split(".") if place else []:
        where = where.setdefault(name, {}) if name != "finish" else where.setdefault(name, [{}])[0]
    where |= values or {}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "config.yaml"


def leaves(options: type[Options]) -> list[tuple[Any, Any]]:
    """Fields of a class and of those inside it, with their types but for None."""
    found = []
    for each in fields(options):
        kind = get_type_hints(options)[each.name]
        if isinstance(kind, type) and issubclass(kind, Options):
            found += leaves(kind)
        else:
            kinds = [inner for inner in get_args(kind) if inner is not type(None)]
            found.append((each, kinds[0] if type(None) in get_args(kind) else kind))
    return found


def wrong_values(kind: Any, meaning: Any) -> list[Any]:
    """Values of another type, or out of range."""
    if get_origin(kind) is tuple:
        inner = wrong_values(get_args(kind)[0], meaning)
        return ["some", 7, {"a": 1}, *([[each, each, each] for each in inner] if get_args(kind)[-1] is not str else [[3]])]
    if get_origin(kind) is Literal or kind is str:
        return [3, True, ["a"], *(["no such thing"] if kind is not str else [])]
    if kind is bool:
        return [1, "maybe", []]
    limits = [meaning.above, meaning.below, meaning.least and -meaning.least, meaning.most and 2 * meaning.most]
    outside = [-1, *(kind(limit) for limit in limits if limit is not None and limit not in meaning)]
    return ["many", True, [1], float("nan"), *([1.5] if kind is int else []), *outside]


@pytest.mark.parametrize("place", SECTIONS)
def test_every_wrong_value_of_every_option_is_refused(place: str, tmp_path: Path) -> None:
    options, made = SECTIONS[place]
    count = 0
    for each, kind in leaves(options):
        is_path = (options is DataOptions and kind is str) or each.name in ("init", "teacher")  # of these any text may exist
        for value in wrong_values(kind, each.metadata["meaning"]) if not is_path and each.name not in made else []:
            path = write(tmp_path, place, {each.name: value})
            with pytest.raises(ConfigError) as error:
                read_config(path)
            assert str(error.value).startswith(f"{path}: {place}: {each.name} " if place else f"{path}: {each.name} ")
            count += 1
    assert count >= 6


@pytest.mark.parametrize("place", SECTIONS)
def test_every_option_is_accepted(place: str, tmp_path: Path) -> None:
    """Its default, unless the pipeline sets it, and then it is unknown."""
    options, made = SECTIONS[place]
    for each, _ in leaves(options):
        value = each.default if isinstance(each.default, (bool, int, float, str)) else None
        if each.name in made:
            with pytest.raises(ConfigError, match=f"{place}: unknown key '{each.name}'"):
                read_config(write(tmp_path, place, {each.name: value}))
        elif value is not None:
            read_config(write(tmp_path, place, {each.name: value}))


@pytest.mark.parametrize(("place", "values"), [
    ("rnet.mine", {"again": True, "top_up": 3, "thresholds": [0.5, 0.1]}),
    ("evaluate.wider", {"overlap": 0.6, "heights": [20]}),
    ("onet.records", {"encoding": "jpeg"}), ("pnet.train", {"samples": 2.5e6, "tasks": ["cls"], "sampling": "alternate"}),
    ("evaluate.landmarks", {"boxes": "given"}), ("", {"compare": [], "thresholds": [0, 1, 0.5]}), ("rnet", {"faces": None}),
    ("onet.train", {"distil": 0.5, "init": "default"}), ("onet.train", {"distil": 0.5, "teacher": "gluon-4"}),
    ("rnet", {"train": {"teacher": "gluon-4"}, "finish": {"distil": 0.5}}),
])  # fmt: skip
def test_what_options_may_be(place: str, values: dict[str, Any], tmp_path: Path) -> None:
    read_config(write(tmp_path, place, values))


@pytest.mark.parametrize(("place", "values", "message"), [
    ("pnet.train", {"sampling": "mixd"}, "pnet.train: sampling must be mixed or alternate, not 'mixd': did you mean mixed"),
    ("onet.train", {"tasks": ["clss"]}, "onet.train: tasks must be"),
    ("rnet.train", {"device": "tpu"}, "rnet.train: device must be cpu, gpu or gpu:N,N..., not 'tpu'"),
    ("onet.finish", {"device": "cpu:0,0"}, "onet.finish: device 'cpu:0,0' names one twice"),
    ("rnet.records", {"ratio": "-1:1:1:1"}, "rnet.records: ratio must give shares, 0 or more"),
    ("pnet.records", {"ratio": "1:2"}, "pnet.records: ratio must be four numbers"),
    ("onet.finish", {"ratio": "0:0:0:0"}, "onet.finish: ratio must give shares"),
    ("pnet.records", {"encoding": "png", "quality": 50}, "pnet.records: quality must not be given for png"),
    ("rnet.mine", {"top_up": "many"}, "rnet.mine: top_up must be a whole number, 0 or more, not 'many'"),
    ("evaluate.wider", {"factor": 7}, "evaluate.wider: factor must be a number above 0 and at most 0.99, not 7"),
    ("evaluate.wider", {"heights": [10, 10]}, "evaluate.wider: heights must be different"),
    ("evaluate.wider", {"engine": "tensorflow"}, "evaluate.wider: engine must be"),
    ("evaluate.landmarks", {"boxes": "all"}, "evaluate.landmarks: boxes must be given, detected or both, not 'all'"),
    ("data", {"min_score": 3}, "data: min_score must be a number from 0 to 1, not 3"),
    ("data", {"limit": 0}, "data: limit must be a whole number, 1 or more, not 0"),
    ("data", {"images": "nowhere"}, "nowhere does not exist"),
    ("data", {"images": "${NOT_SET_AT_ALL}/x"}, "the environment variable 'NOT_SET_AT_ALL', which is not set"),
    ("data", {"annotations": ""}, "data: annotations is missing"),
    ("data", {"landmark_list": "faces.csv"}, "data: landmark_root and landmark_list go together"),
    ("pnet.train", {"rat": 1}, "pnet.train: unknown key 'rat': did you mean "),
    ("pnet", {"trian": {}}, "pnet: unknown key 'trian': did you mean train"),
    ("pnet", {"mine": {}}, "pnet: unknown key 'mine'; there are faces, finish, landmarks, records, train"),
    ("", {"quickly": 1}, "unknown key 'quickly'; there are architecture, calibrate, compare, data, "),
    ("", {"compare": [3]}, "compare must be one or more texts, not [3]"),
    ("pnet.train", {"samples": 0}, "pnet.train: samples must be a number, 1 or more, not 0"),
    ("onet.finish", {"landmarks": True}, "onet.finish: unknown key 'landmarks'"),
    ("onet.finish", {"init": "default"}, "onet.finish: unknown key 'init'"),
    ("onet.train", {"distil": 0.5}, "onet.train: distil needs a trained network to learn from: teacher or init names it"),
    ("rnet.train", {"teacher": "gluon-4"}, "rnet: the teacher gluon-4 is of no use, as no training with distil has it"),
    ("rnet.finish", {"teacher": "gluon-4"}, "rnet: the teacher gluon-4 is of no use, as no training with distil has it"),
    (
        "rnet", {"train": {"teacher": "gluon-4", "distil": 0.5}, "finish": {"teacher": "wide-1", "distil": 0}},
        "rnet: the teacher wide-1 is of no use, as no training with distil has it",
    ),
    ("rnet.train", {"distil": 0.5, "teacher": "nowhere"}, "nowhere does not exist, and the models are default, "),
    ("rnet.finish", {"distil": 0.5, "teacher": "nowhere"}, "nowhere does not exist, and the models are default, "),
    ("pnet.train", {"rate": "2e-4"}, "not '2e-4': write 0.0002"), ("pnet.train", {"rate": "1e-5"}, "not '1e-5': write 1.0e-05"),
    ("onet", {"finish": None}, "onet.finish must have keys with values, not None"),
    ("onet", {"finish": [{}, 3]}, "onet.finish must have keys with values, not 3"),
    ("onet.train", {"init": "nowhere"}, "nowhere does not exist, and the models are default, open, official, "),
    ("onet.train", {"init": "${NOT_SET_AT_ALL}/x"}, "onet.train.init: ${NOT_SET_AT_ALL}/x names the environment variable"),
    ("onet.faces", {"positive": 0.1}, "onet.faces: negative, part and positive must ascend"),
    ("", {"pnet": 3}, "pnet must have keys with values, not 3"),
    ("pnet", {"faces": None}, "pnet.faces must have keys with values, not None"),
    ("", {"calibrate": True}, "calibrate needs thresholds between 0 and 1 to shift scores to, not None"),
    ("", {"large_side": 40}, "large_side and large_factors go together"),
    ("", {"large_side": 40, "large_factors": [1, 1, 1]}, "large_faces needs thresholds that fit it"),
    ("", {"score_weights": [0.1, 0.2]}, "score_weights needs thresholds that fit it"),
    ("", {"calibrate": True, "thresholds": [0.5, 0.5, 0.5], "score_weights": [0.1, 0.2]}, "calibrate and score_weights "),
    ("", {"large_side": 0.5, "large_factors": [1, 1, 1]}, "large_side must be a number from 1 to below 1e+09"),
    ("", {"score_weights": [0.1]}, "score_weights must be "),
    ("", {"calibrate": True, "thresholds": [0.5, 0, 0.5]}, "calibrate needs thresholds between 0 and 1"),
])  # fmt: skip
def test_what_is_wrong_is_named(place: str, values: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path, place, values)
    with pytest.raises(ConfigError) as error:
        read_config(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)


@pytest.mark.parametrize("text, message", [("a: [", "is not YAML"), ("3", "the whole must have keys"), ("\0", "expected text")])
def test_files_that_are_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises((ConfigError, DataError), match=message):
        read_config(tmp_path / "config.yaml")
    with pytest.raises(DataError, match="none.yaml does not exist"):
        read_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(("given", "rates"), [
    ({}, [0.0015]), ([], [0.0015]), ({"rate": 0.001}, [0.0015, 0.001]), ([{"rate": 0.001}, {}], [0.0015, 0.001, 0.001]),
])  # fmt: skip
def test_trainings_to_finish_with(tmp_path: Path, given: Any, rates: list[float]) -> None:
    """Each has the options of the one before but for its own."""
    trainings = read_config(write(tmp_path, "onet", {"finish": given})).nets["onet"].trainings
    assert [each.options.rate for each in trainings] == rates
    assert {each.samples for each in trainings} == {5_000_000}


@pytest.mark.parametrize("name", ["pipeline.yaml", "pipeline_small.yaml", "pipeline_wide.yaml"])
def test_examples_are_right(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("wider_train/images", "wider_more/images", "landmarks", "open"):
        (tmp_path / path).mkdir(parents=True)
    for name_of_list in ("fairface.csv", "congress.csv", "groceries.txt"):
        (tmp_path / "open" / name_of_list).touch()
    (tmp_path / "wider_more/wider_more_train_bbx_gt.txt").touch()
    (tmp_path / "wider_more/wider_more_train_landmarks_auto.csv").touch()
    for each in ("train", "dev"):
        (tmp_path / f"wider_train/wider_face_{each}_bbx_gt.txt").touch()
        (tmp_path / f"wider_train/wider_face_{each}_landmarks_auto.csv").touch()
        (tmp_path / f"landmarks/{'trainImageList' if each == 'train' else 'devImageList'}.txt").touch()
    monkeypatch.setenv("MTCNN_GLUON_DATA", str(tmp_path))
    config = read_config(ROOT / "example" / name)
    assert config.photos["data"][0].images == str(tmp_path / "wider_train/images")


def test_models_to_compare_with_are_beside_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old=net").mkdir()
    monkeypatch.setenv("MODELS", str(tmp_path))
    given = ["official", "mine=official", "old=net", "before=old=net", "${MODELS}/old=net"]
    whole = str(tmp_path / "old=net")
    found = read_config(write(tmp_path, "", {"compare": given})).run.compare
    assert found == ("official", "mine=official", whole, f"before={whole}", whole)
    monkeypatch.chdir(tmp_path.parent)
    (tmp_path.parent / "elsewhere").mkdir(exist_ok=True)  # in the current folder, which does not count
    for model in ("elsewhere", "name=elsewhere"):
        with pytest.raises(ConfigError, match=r"compare: .*elsewhere does not exist, and the models are default, open"):
            read_config(write(tmp_path, "", {"compare": [model]}))
    with pytest.raises(ConfigError, match=r"compare: .*names the environment variable 'MISSING', which is not set"):
        read_config(write(tmp_path, "", {"compare": ["${MISSING}/net"]}))


@pytest.mark.parametrize("values, message", [
    ({"size": 24}, "'architecture.pnet.size' must be what the layers see, 12 pixels, got 24"),
    ({"context": 6}, "'architecture.pnet.context' must be less than half of size, 12, got 6"),
    ({"layers": "conv 16 3, relu"}, "'architecture.pnet.layers[1]' must be "),
    ({"layers": "conv 16 x"}, "layers must have the form of 'conv 16 3, pool 2 2, dense 128', not 'conv 16 x'"),
    ({"layers": ""}, "layers must have the form of"),
    ({"layers": "conv 16 3, dense 3"}, "'architecture.pnet.layers' must be without a dense layer"),
])  # fmt: skip
def test_architectures_that_cannot_be(tmp_path: Path, values: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_config(write(tmp_path, "architecture.pnet", values))
    assert message in str(error.value)


def test_sources_are_named_by_their_place_in_the_list(tmp_path: Path) -> None:
    source = {"images": ".", "annotations": "faces.csv"}
    path = write(tmp_path, "", {"data": [source, {**source, "limt": 3}]})
    with pytest.raises(ConfigError, match=r"data\[1\]: unknown key 'limt': did you mean limit"):
        read_config(path)
    with pytest.raises(ConfigError, match="validation: the whole|validation must have keys"):
        read_config(write(tmp_path, "", {"validation": [source]}))
    with pytest.raises(ConfigError, match="data must have keys with values"):
        read_config(write(tmp_path, "", {"data": []}))
