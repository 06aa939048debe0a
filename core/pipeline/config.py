"""Configuration of the whole recipe: a YAML file, read, filled up with defaults, and checked before anything begins.

`DEFAULTS` has all keys. Paths are relative to the file's folder; `~` and `${VARIABLE}` in them are replaced. The sections
`faces`, `landmarks`, `mine`, `records` and `train` of a net, and those of `evaluate`, take the options of the command of that
name, with `_` for `-`; `train` has `samples`, how many to learn from in all, for `epochs`. Its `init` is a model's name, or a
path like the others. `finish` has options of another training, or a list of several: each goes on from where the one before
ended, with its options but for those it has itself.
"""

import copy
import hashlib
import os
from dataclasses import fields
from pathlib import Path
from string import Template
from typing import Any, Mapping

import yaml
from easydict import EasyDict

from mtcnn_gluon.bundles.format import model_names
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError, shown
from mtcnn_gluon.io.files import read_text
from mtcnn_gluon.prepare_data.merge import parse_ratio
from mtcnn_gluon.prepare_data.sampling import Options as Sampling
from mtcnn_gluon.records.info import check_options, check_seed
from mtcnn_gluon.training.augment import Augmentation
from mtcnn_gluon.training.options import TrainingOptions as Training

PHOTOS: dict[str, Any] = {
    "images": "",  # folder of photos
    "annotations": "",  # list of their faces
    "landmarks": None,  # list of the landmarks of those faces
    "min_score": 0.0,  # of landmarks that a program found
    "landmark_root": None,  # folder of more photos
    "landmark_list": None,  # list of their faces with landmarks
    "limit": None,  # photos of each list to use, evenly spread; None: all
}
DEFAULTS: dict[str, Any] = {
    "name": "mtcnn",  # of the bundle
    "training_data": "not stated",  # in words, for the bundle
    "licence": "not stated",
    "seed": 0,  # of all chance
    "workers": 1,  # processes that prepare samples
    "find_from": 20,  # smallest face in pixels that is looked for when samples are mined and P- and R-Net's thresholds chosen
    "thresholds": None,  # three, of the finished bundle; None: from what the stages find
    "calibrate": False,  # whether scores are moved, in the same order, until those thresholds are what the stages would find
    "compare": ["official"],  # models to evaluate beside the new one
    "data": PHOTOS,
    "validation": PHOTOS,
    "pnet": {"faces": {}, "landmarks": {}, "records": {}, "train": {"samples": 12_000_000, "landmarks": False},
             "finish": []},
    "rnet": {  # beside what is mined, crops near faces; faces: null for none
        "mine": {}, "faces": {"negatives": 0}, "landmarks": {}, "records": {},
        "train": {"samples": 10_000_000, "landmarks": False}, "finish": [],
    },
    "onet": {
        "mine": {}, "faces": {"negatives": 0}, "landmarks": {}, "records": {},
        "train": {"samples": 5_000_000}, "finish": [],
    },
    "evaluate": {"wider": {}, "landmarks": {}},
}  # fmt: skip
SAMPLING = {field.name for field in fields(Sampling)}
TRAINING = {field.name for field in fields(Training)} - {"net", "epochs", "seed", "augmentation"}
AUGMENTATION = {field.name for field in fields(Augmentation)}
DETECTING = {"min_face", "factor", "thresholds", "nms", "max_faces", "resamples", "engine", "workers"}
OPEN = {  # sections that are not filled up, and what they may hold
    "faces": SAMPLING,
    "landmarks": SAMPLING,
    "mine": SAMPLING | {"thresholds", "top_up"},
    "records": {"ratio", "encoding", "quality"},
    "train": TRAINING - {"distil"} | AUGMENTATION | {"samples", "device", "init"},
    "finish": TRAINING - {"landmarks"} | AUGMENTATION | {"samples", "device"},
    "evaluate.wider": DETECTING | {"heights"},
    "evaluate.landmarks": DETECTING | {"normaliser", "boxes"},
}
PATHS = ("images", "annotations", "landmarks", "landmark_root", "landmark_list")


def read_config(path: str | os.PathLike) -> EasyDict:
    """Read a configuration.

    Raises:
        DataError: if the file cannot be read.
        ConfigError: if it is not YAML, a key is unknown, or a value is missing or out of range; the message names it.
    """
    try:
        given = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    try:
        config = EasyDict(_merged(DEFAULTS, {} if given is None else given, ""))
        for section in ("data", "validation"):
            _resolve(config[section], section, Path(path).absolute().parent)
        for net in NETS:
            _resolve_init(config[net].train, f"{net}.train.init", Path(path).absolute().parent)
        _check(config)
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return config


def flags(options: Mapping[str, Any]) -> list[str]:
    """Options as words of a command line: {"min_face": 12, "mirror": False} is --min-face 12 --no-mirror."""
    words: list[str] = []
    for key, value in options.items():
        name = key.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        elif value is not None:
            words += [f"--{name}", *map(str, value if isinstance(value, (list, tuple)) else [value])]
    return words


def files_digest(photos: Mapping[str, Any]) -> str:
    """Changes with the lists of a section, and with the name or content of any file in its folders."""
    digest = hashlib.sha256()
    for key in PATHS:
        path = photos[key]
        if path and os.path.isdir(path):
            for name in _files_below(path):
                digest.update(os.fsencode(name) + b"\0" + hashlib.sha256(Path(path, name).read_bytes()).digest())
        elif path:
            digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def _files_below(folder: str) -> list[str]:
    """Path of every file in a folder and those below it, in order."""
    walk = os.walk(folder, followlinks=True)
    return sorted(os.path.relpath(os.path.join(below, name), folder) for below, _, names in walk for name in names)


def _merged(defaults: Mapping[str, Any], given: Any, place: str) -> dict[str, Any]:
    """`given` with the defaults of what it leaves out."""
    if not isinstance(given, dict):
        raise ConfigError(f"{place or 'the whole'} must have keys with values, not {shown(given)}")
    allowed = OPEN.get(place) or OPEN.get(place.rpartition(".")[2]) if place.count(".") else None
    for key in given:
        if key not in (allowed or defaults):
            where = f" in {place}" if place else ""
            raise ConfigError(f"unknown key {key!r}{where}; there are {', '.join(sorted(allowed or defaults))}")
    merged = {**copy.deepcopy(dict(defaults)), **given}
    for key, value in defaults.items():
        if key == "faces" and merged[key] is None and place != "pnet":
            continue
        if key == "finish":
            trainings = merged[key] if isinstance(merged[key], list) else [merged[key]]
            merged[key] = [_merged({}, each, f"{place}.finish") for each in trainings] if trainings != [{}] else []
        elif isinstance(value, dict):
            merged[key] = _merged(value, merged[key], f"{place}.{key}" if place else key)
        elif value is not None and value is not merged[key]:
            merged[key] = _of_same_type(f"{place}.{key}" if place else key, merged[key], value)
    return merged


def _of_same_type(name: str, value: Any, default: Any) -> Any:
    """`value`, if it may stand for `default`; whole numbers may for others."""
    kinds = {bool: (bool,), int: (int, float), float: (int, float), str: (str,), list: (list,)}[type(default)]
    if not isinstance(value, kinds) or (isinstance(value, bool) and type(default) is not bool):
        names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
        raise ConfigError(f"{name} must be {names[type(default)]}, as {default!r} is, not {shown(value)}")
    return value


def _resolve(photos: EasyDict, section: str, base: Path) -> None:
    """Make the paths of a section whole, and check that they exist."""
    for key in PATHS:
        if not photos[key]:
            continue
        photos[key] = _whole_path(photos[key], f"{section}.{key}", base)
        if not os.path.exists(photos[key]):
            raise ConfigError(f"{section}.{key}: {photos[key]} does not exist")
    for key in ("images", "annotations"):
        if not photos[key]:
            raise ConfigError(f"{section}.{key} is missing")
    if bool(photos.landmark_root) != bool(photos.landmark_list):
        raise ConfigError(f"{section}: landmark_root and landmark_list go together")


def _resolve_init(train: EasyDict, name: str, base: Path) -> None:
    """Make the path of the parameters to begin with whole, if it is one and not a model's name."""
    if train.get("init") is None:
        return
    path = _whole_path(train.init, name, base)
    if os.path.exists(path):
        train.init = path
    elif train.init not in model_names():
        raise ConfigError(f"{name}: {path} does not exist, and the models are {', '.join(model_names())}")


def _whole_path(text: Any, name: str, base: Path) -> str:
    """A path relative to `base`, with `~` and variables replaced."""
    try:
        return str(base / os.path.expanduser(Template(str(text)).substitute(os.environ)))
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{name}: {text} names the environment variable {error}, which is not set") from None


def _check(config: EasyDict) -> None:
    """Refuse what a later step would refuse, hours later."""
    check_seed(config.seed)
    for name in ("workers", "find_from"):
        if not config[name] >= 1:
            raise ConfigError(f"{name} must be 1 or more, not {shown(config[name])}")
    _check_thresholds("thresholds", config.thresholds, 3)
    if config.calibrate and not (config.thresholds and all(0 < each < 1 for each in config.thresholds)):
        raise ConfigError(f"calibrate needs thresholds between 0 and 1 to shift scores to, not {shown(config.thresholds)}")
    for section in ("data", "validation"):
        limit = config[section].limit
        if limit is not None and (type(limit) is not int or limit < 1):
            raise ConfigError(f"{section}.limit must be a whole number, 1 or more, not {shown(limit)}")
    for net in NETS:
        try:
            _check_net(net, config[net])
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"{net}: {error}") from error


def _check_net(net: str, config: EasyDict) -> None:
    for section in ("faces", "landmarks", "mine"):
        options = config.get(section) or {}
        Sampling(**{key: value for key, value in options.items() if key in SAMPLING})
        _check_thresholds("mine.thresholds", options.get("thresholds"), 2)
    records = config.records
    check_options(net, records.get("encoding", "raw"), records.get("quality"))
    if "ratio" in records:
        parse_ratio(records.ratio)
    _check_training(net, "train", config.train)
    options = config.train
    for more in config.finish:
        options = {**options, **more}
        _check_training(net, "finish", options)


def _check_training(net: str, section: str, options: Mapping[str, Any]) -> None:
    samples = options["samples"]
    if type(samples) not in (int, float) or not samples >= 1:
        raise ConfigError(f"{section}.samples must be 1 or more, not {shown(samples)}")
    augmentation = Augmentation(**{key: value for key, value in options.items() if key in AUGMENTATION})
    others: dict[str, Any] = {key: value for key, value in options.items() if key in TRAINING}
    if "tasks" in others:
        others["tasks"] = tuple(others["tasks"])
    Training(net, **others, augmentation=augmentation)


def _check_thresholds(name: str, values: Any, count: int) -> None:
    are_right = isinstance(values, list) and len(values) == count
    if values is not None and not (are_right and all(isinstance(each, (int, float)) and 0 <= each <= 1 for each in values)):
        raise ConfigError(f"{name} must be {count} numbers from 0 to 1, not {shown(values)}")
