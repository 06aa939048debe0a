"""The configuration of a pipeline: a YAML file, read into options and checked before anything begins.

    name: mine                       # keys of `RunOptions`
    architecture:
      pnet, rnet, onet                   keys of `ArchitectureOptions`; the paper's net if missing
    data: {images: ..., ...}         # keys of `DataOptions`, or a list of such; `validation` has the same keys
    pnet:                            # rnet and onet have `mine` as well
      faces, landmarks, mine, records    options of `prepare wider`, `landmarks`, `mine` and `records`
      train                              options of `train`, but `samples` instead of `epochs`; `init` and `device` too
      finish                             one more training or a list of them; each begins with the net of the one before, and
                                         has its options unless it names others
    evaluate:
      wider, landmarks                   options of `evaluate wider` and `evaluate landmarks`

Options are named as on the command line, with `_` for `-`. What the pipeline sets itself, such as folders, has no key. Paths
are relative to the file's folder; `~` and `${VARIABLE}` in them are replaced.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Any, Mapping, TypeVar

import yaml

from mtcnn_gluon.bundles.find import model_names
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError, ModelError, did_you_mean, shown
from mtcnn_gluon.evaluation.options import LandmarkOptions, WiderOptions
from mtcnn_gluon.io.files import read_text
from mtcnn_gluon.layers import check_table, parse_layers
from mtcnn_gluon.options import Options, from_mapping, option, option_names, same
from mtcnn_gluon.prepare_data.merge import MergeOptions
from mtcnn_gluon.prepare_data.sampling import SamplingOptions
from mtcnn_gluon.prepare_data.sources import MAX_FACE
from mtcnn_gluon.prepare_data.tasks import FaceSampleOptions, LandmarkSampleOptions, MinedSampleOptions, SampleOptions
from mtcnn_gluon.training.devices import devices
from mtcnn_gluon.training.options import TrainingOptions

Chosen = TypeVar("Chosen", bound=Options)
SETS = {"data": "training", "validation": "validation"}  # sections of photos, and folders of the samples cut out of them
BEFORE = {"rnet": "pnet", "onet": "rnet"}  # the net that proposes to a net
PATHS = ("images", "annotations", "landmarks", "landmark_root", "landmark_list")
NET_DEFAULTS: dict[str, dict[str, Any]] = {  # of R- and O-Net's samples most negatives are mined
    "pnet": {"faces": {}, "landmarks": {}, "records": {}, "train": {"samples": 12_000_000, "landmarks": False}, "finish": []},
    "rnet": {
        "mine": {}, "faces": {"negatives": 0}, "landmarks": {}, "records": {},
        "train": {"samples": 10_000_000, "landmarks": False}, "finish": [],
    },
    "onet": {
        "mine": {}, "faces": {"negatives": 0}, "landmarks": {}, "records": {}, "train": {"samples": 5_000_000}, "finish": [],
    },
}  # fmt: skip
# What the pipeline sets in options of other verbs. The values stand for what is known only when the step is made.
CUTTING = {"landmarks": None, "min_score": 0.0, "out": "", "limit": None}
EVALUATING = {
    "model": ("",), "results": None, "missing": "leave-out", "limit": None, "json": None, "report": None, "detections": None,
    "resume": False,
}  # fmt: skip


@dataclass(frozen=True)
class RunOptions(Options):
    """Keys of the whole configuration."""

    name: str = option("mtcnn", "name of the model")
    training_data: str = option("not stated", "what the model was trained on, in words")
    licence: str = option("not stated", "licence of the model")
    seed: int = option(0, "random seed", least=0)
    workers: int = option(1, "worker processes that prepare samples", least=1)
    find_from: float = option(
        20, "smallest face in pixels to look for when samples are mined and P- and R-Net's thresholds are chosen",
        least=1, below=MAX_FACE,
    )  # fmt: skip
    thresholds: tuple[float, float, float] | None = option(
        None, "thresholds of the finished model", least=0, most=1, usual="those that the stages suggest"
    )
    large_side: float | None = option(
        None, "side in pixels of a candidate from which the finished model multiplies its thresholds by large_factors",
        least=1, below=MAX_FACE, usual="never",
    )  # fmt: skip
    large_factors: tuple[float, float, float] | None = option(None, "these factors", least=0, most=1)
    score_weights: tuple[float, float] | None = option(
        None, "by how much P- and R-Net's log-odds count in a face's score, beside O-Net's", least=0, most=1
    )
    calibrate: bool = option(False, "whether to shift the scores so that the stages would suggest these thresholds")
    compare: tuple[str, ...] | None = option(("official",), "models to evaluate beside the new one; [] for none")
    keep_samples: bool = option(True, "whether to keep samples after the records made of them have been checked")

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.large_side is None) != (self.large_factors is None):
            raise ConfigError("large_side and large_factors go together")
        if self.manifest_keys and not self.thresholds:  # the stages suggest thresholds for all sides and O-Net's own score
            raise ConfigError(f"{next(iter(self.manifest_keys))} needs thresholds that fit it: give thresholds")
        if self.calibrate and self.score_weights:
            raise ConfigError("calibrate and score_weights cannot go together: weighted scores would be shifted too")
        if self.calibrate and not (self.thresholds and all(0 < each < 1 for each in self.thresholds)):
            raise ConfigError(f"calibrate needs thresholds between 0 and 1 to shift scores to, not {shown(self.thresholds)}")

    @property
    def manifest_keys(self) -> dict[str, Any]:
        """The keys of the finished bundle's manifest that it need not have."""
        large = {"side": self.large_side, "factors": list(self.large_factors)} if self.large_factors else None
        weights = list(self.score_weights) if self.score_weights else None
        return {key: value for key, value in {"large_faces": large, "score_weights": weights}.items() if value}


@dataclass(frozen=True)
class DataOptions(Options):
    """Keys of `data` and `validation`."""

    images: str = option(..., "folder of photos")
    annotations: str = option(..., "list of the faces in these photos")
    landmarks: str | None = option(None, "list of the landmarks of these faces")
    min_score: float = same(SampleOptions, "min_score")
    landmark_root: str | None = option(None, "folder of more photos, for landmarks")
    landmark_list: str | None = option(None, "list of the faces with landmarks in these")
    limit: int | None = option(None, "photos of each list to use, evenly spread", least=1, usual="all")

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.landmark_root) != bool(self.landmark_list):
            raise ConfigError("landmark_root and landmark_list go together")


@dataclass(frozen=True)
class ArchitectureOptions(Options):
    """Keys of `architecture.pnet` and so on."""

    size: int | None = same(SamplingOptions, "size")
    context: int = same(SamplingOptions, "context")
    layers: str | None = same(TrainingOptions, "layers")


@dataclass(frozen=True, kw_only=True)
class TrainingStepOptions(Options):
    """One training of a net: keys of `train` and `finish`."""

    samples: float = option(..., "number of samples to train on, rounded to whole epochs", least=1)
    device: str = option("cpu", "cpu, gpu or several, such as gpu:0,1")
    init: str | None = option(None, "parameters to begin with: a model or a file", usual="random ones")
    teacher: str | None = option(None, "network that `distil` learns from: a model or a file", usual="the one to begin with")
    options: TrainingOptions

    def __post_init__(self) -> None:
        super().__post_init__()
        devices(self.device)


@dataclass(frozen=True)
class NetOptions:
    """What is configured of a net; options lack what the pipeline sets.

    Attributes:
        samples: options of `mined`, `faces` and `landmarks` samples, of those that the net has.
        records: of the records made of them.
        trainings: trainings in order.
    """

    samples: dict[str, Any]
    records: MergeOptions
    trainings: tuple[TrainingStepOptions, ...]


@dataclass(frozen=True)
class Config:
    """A whole configuration; options of verbs lack what the pipeline sets.

    Attributes:
        run: keys of the whole.
        photos: the sources in `data` and `validation`. The latter has one.
        nets: by name.
        wider, landmarks: of the reports.
    """

    run: RunOptions
    photos: dict[str, tuple[DataOptions, ...]]
    nets: dict[str, NetOptions]
    wider: WiderOptions
    landmarks: LandmarkOptions


def read_config(path: str | os.PathLike) -> Config:
    """Read a configuration.

    Raises:
        DataError: if the file cannot be read.
        ConfigError: if it is not YAML, a key is unknown, or a value is missing, of the wrong type or out of range; the message
            names its place.
    """
    try:
        given = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    try:
        return _config({} if given is None else given, Path(path).absolute().parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _config(given: Any, base: Path) -> Config:
    _check_keys(given, [*option_names(RunOptions), "architecture", *SETS, *NETS, "evaluate"], "")
    if given.get("compare") == []:
        given = {**given, "compare": None}
    run = from_mapping(RunOptions, {key: value for key, value in given.items() if key in option_names(RunOptions)})
    if run.compare:
        run = replace(run, compare=tuple(_compared(each, base) for each in run.compare))
    photos = {section: _sources(given.get(section, {}), section, base) for section in SETS}
    architecture = given.get("architecture", {})
    _check_keys(architecture, NETS, "architecture")
    nets = {net: _net(net, given.get(net, {}), _architecture(net, architecture.get(net, {})), run, base) for net in NETS}
    evaluate = _filled({"wider": {}, "landmarks": {}}, given.get("evaluate", {}), "evaluate")
    wider = {**EVALUATING, "annotations": "-", "ground_truth": None, "images": ".", "write_text": None}
    landmarks = {**EVALUATING, "list": "-", "root": ".", "landmarks": None, "min_score": 0.0}
    return Config(
        run, photos, nets, read_section(WiderOptions, evaluate["wider"], "evaluate.wider", wider),
        read_section(LandmarkOptions, evaluate["landmarks"], "evaluate.landmarks", landmarks),
    )  # fmt: skip


def _sources(given: Any, section: str, base: Path) -> tuple[DataOptions, ...]:
    """The sources of photos in a section: one, or for training a list of them."""
    if section == "data" and isinstance(given, list) and given:
        return tuple(_photos(each, f"{section}[{number}]", base) for number, each in enumerate(given))
    return (_photos(given, section, base),)


def _photos(given: Any, section: str, base: Path) -> DataOptions:
    """A source of photos with whole paths to what exists."""
    _check_keys(given, option_names(DataOptions), section)
    values = {key: value for key, value in given.items() if key not in PATHS or value}
    for key in PATHS:
        if key in values:
            values[key] = _whole_path(values[key], f"{section}.{key}", base)
            if not os.path.exists(values[key]):
                raise ConfigError(f"{section}.{key}: {values[key]} does not exist")
    return from_mapping(DataOptions, values, section)


def _architecture(net: str, given: Any) -> ArchitectureOptions:
    """The architecture of a net, whose layers fit its size."""
    place = f"architecture.{net}"
    found = read_section(ArchitectureOptions, given, place, {})
    size = found.size or NETS[net].size
    try:
        layers = NETS[net].layers if found.layers is None else parse_layers(found.layers)
        check_table(net, {"size": size, "context": found.context, "layers": layers, "landmarks": False}, place)
    except ModelError as error:
        raise ConfigError(str(error)) from error
    return found


def _net(net: str, given: Any, architecture: ArchitectureOptions, run: RunOptions, base: Path) -> NetOptions:
    sections = _filled(NET_DEFAULTS[net], given, net)
    view = {"size": architecture.size, "context": architecture.context}
    fixed = {**CUTTING, **view, "seed": run.seed, "workers": run.workers, "ray": None}
    lists, of_net = {**fixed, "images": "", "annotations": ""}, {"net": net}
    samples: dict[str, Any] = {}
    if net in BEFORE:
        own = {"model": "", "stage": BEFORE[net], "find_from": run.find_from}
        samples["mined"] = read_section(MinedSampleOptions, sections["mine"], f"{net}.mine", {**lists, **own})
    if sections["faces"] is not None:
        samples["faces"] = read_section(FaceSampleOptions, sections["faces"], f"{net}.faces", {**lists, **of_net})
    lists = {**fixed, **of_net, "root": "", "list": ""}
    samples["landmarks"] = read_section(LandmarkSampleOptions, sections["landmarks"], f"{net}.landmarks", lists)
    merging = {**of_net, "folders": ("",), "out": "", "seed": run.seed}
    records = read_section(MergeOptions, sections["records"], f"{net}.records", merging)
    about = {"net": net, "layers": architecture.layers, "seed": run.seed, "epochs": 1}
    return NetOptions(samples, records, _trainings(net, sections, about, base))


def _trainings(net: str, sections: Mapping[str, Any], about: dict[str, Any], base: Path) -> tuple[TrainingStepOptions, ...]:
    """The trainings of a net; `about` has the options that the pipeline sets."""
    options = dict(sections["train"])
    for key in ("init", "teacher"):
        if options.get(key) is not None:
            options[key] = _model(options[key], f"{net}.train.{key}", base)
    trainings = [read_section(TrainingStepOptions, options, f"{net}.train", about)]
    if trainings[0].options.distil and not (trainings[0].init or trainings[0].teacher):
        raise ConfigError(f"{net}.train: distil needs a trained network to learn from: teacher or init names it")
    fixed = {**about, "init": None, "landmarks": options.pop("landmarks", None)}
    options.pop("init", None)
    finish = sections["finish"] if isinstance(sections["finish"], list) else [sections["finish"]]
    for more in finish if finish != [{}] else []:
        _check_keys(more, [], f"{net}.finish", is_open=True)
        options |= more
        if more.get("teacher") is not None:
            options["teacher"] = _model(more["teacher"], f"{net}.finish.teacher", base)
        trainings.append(read_section(TrainingStepOptions, options, f"{net}.finish", fixed))
    heard = {each.teacher for each in trainings if each.options.distil}
    if unheard := [each.teacher for each in trainings if each.teacher and each.teacher not in heard]:
        raise ConfigError(f"{net}: the teacher {unheard[0]} is of no use, as no training with distil has it")
    return tuple(trainings)


def read_section(options: type[Chosen], given: Any, place: str, fixed: Mapping[str, Any]) -> Chosen:
    """The options of a section, with those that the pipeline sets (`fixed`) and that the section may not have.

    Raises:
        ConfigError: if a key is unknown or a value is wrong.
    """
    _check_keys(given, [name for name in option_names(options) if name not in fixed], place)
    return from_mapping(options, {**given, **fixed}, place)


def _filled(defaults: Mapping[str, Any], given: Any, place: str) -> dict[str, Any]:
    """Sections, each with the defaults of what it leaves out; `faces` may be null where samples are mined."""
    _check_keys(given, defaults, place)
    filled = {**defaults, **given}
    for name, value in defaults.items():
        if isinstance(value, dict) and not (name == "faces" and filled[name] is None and "mine" in defaults):
            _check_keys(filled[name], [], f"{place}.{name}", is_open=True)
            filled[name] = {**value, **filled[name]}
    return filled


def _check_keys(given: Any, known: Any, place: str, is_open: bool = False) -> None:
    """Raises ConfigError if a section is none, or has a key that is not in `known`."""
    where = f"{place}: " if place else ""
    if not isinstance(given, dict):
        raise ConfigError(f"{place or 'the whole'} must have keys with values, not {shown(given)}")
    for key in given:
        if key not in known and not is_open:
            raise ConfigError(
                f"{where}unknown key {key!r}{did_you_mean(str(key), known) or '; there are ' + ', '.join(sorted(known))}"
            )


def _model(text: Any, place: str, base: Path) -> str:
    """Where parameters are: a whole path, or a model's name."""
    path = _whole_path(text, place, base)
    if os.path.exists(path):
        return path
    if text in model_names():
        return str(text)
    raise ConfigError(f"{place}: {path} does not exist, and the models are {', '.join(model_names())}")


def _compared(text: str, base: Path) -> str:
    """`[NAME=]MODEL`, with a whole path if the model is a folder. Names and paths may contain `=`."""
    splits = [0, *(place + 1 for place, letter in enumerate(text) if letter == "=" and 0 < place < len(text) - 1)]
    for start in splits:
        if text[start:] in model_names():
            return text
        if os.path.exists(path := _whole_path(text[start:], "compare", base)):
            return text[:start] + path
    raise ConfigError(f"compare: {path} does not exist, and the models are {', '.join(model_names())}")


def _whole_path(text: Any, place: str, base: Path) -> str:
    """A path relative to `base`, with `~` and variables replaced."""
    try:
        return str(base / os.path.expanduser(Template(str(text)).substitute(os.environ)))
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{place}: {text} names the environment variable {error}, which is not set") from None
