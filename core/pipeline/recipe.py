"""The recipe of Zhang et al. (2016), section II-D, as steps.

Samples for P-Net are cut and P-Net is trained; what it proposes becomes samples for R-Net, what both propose samples for O-Net.
Each net may be trained several times. The result is a model, and reports that compare it with others.

Thresholds for mining and of the model come from the measured recall of each stage on the validation photos, see
`evaluation.stages`, unless the configuration names them.
"""

import hashlib
import json
import logging
import math
import shlex
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from mtcnn_gluon.bundles.format import find_bundle, read_bundle
from mtcnn_gluon.bundles.trained import TrainedNet
from mtcnn_gluon.config import CASCADE, NETS
from mtcnn_gluon.errors import ConfigError, DataError, ModelError
from mtcnn_gluon.evaluation.benchmarks import evaluate_landmarks, evaluate_stages, evaluate_wider, write_outputs
from mtcnn_gluon.evaluation.names import check_names, clean_name, named_paths
from mtcnn_gluon.evaluation.options import LandmarkOptions, ModelsOrDefault, Output, Running, StagesOptions
from mtcnn_gluon.evaluation.report import Report
from mtcnn_gluon.export.bundle_files import make_bundle
from mtcnn_gluon.io.files import read_text, whole_file
from mtcnn_gluon.options import Options, to_mapping, to_words
from mtcnn_gluon.pipeline.config import BEFORE, SETS, Config, LessonOptions
from mtcnn_gluon.pipeline.content import Digests
from mtcnn_gluon.pipeline.steps import Step, Work
from mtcnn_gluon.prepare_data import tasks
from mtcnn_gluon.prepare_data.annotations import Photo, spread
from mtcnn_gluon.prepare_data.generate import PARTS, SHARD, UNREADABLE
from mtcnn_gluon.prepare_data.readers import read_annotations
from mtcnn_gluon.records.info import REPORT
from mtcnn_gluon.training.checkpoints import BEST, LAST
from mtcnn_gluon.training.identity import digest
from mtcnn_gluon.training.runs import read_net
from mtcnn_gluon.training.trainer import LOG as TRAINING_LOG
from mtcnn_gluon.training.trainer import train

logger = logging.getLogger(__name__)

RATES = {  # seconds for a unit of work on two cores, until something was measured: photos, or samples to train on
    "cut": 0.005, "records": 0.001, "mine": 0.15, "evaluate": 0.1,
    "pnet": 1 / 75_000, "rnet": 1 / 18_000, "onet": 1 / 3_500,
}  # fmt: skip
PREPARE = {  # the verb of `prepare` and its function
    "mined": ("mine", tasks.prepare_mined),
    "faces": ("wider", tasks.prepare_faces),
    "landmarks": ("landmarks", tasks.prepare_landmarks),
}
MEASURED = "report/bundle"  # the finished nets, which the reports are about
Thresholds = tuple[float, float, float]
TOP_SCORE, ROUNDING = 0.99, 1e-6  # of faces


class Photos(NamedTuple):
    """A list of photos.

    Attributes:
        units: number of the photos that are used.
        reads: digests of the list and of these photos.
        more: those of what else decides which faces are learned from.
    """

    units: int
    reads: dict[str, str]
    more: dict[str, str]


class Recipe:
    """Makes the steps of a configuration.

    Args:
        config: what to do.
        folder: of the run, absolute.
        digests: of files.

    Raises:
        DataError, ConfigError, ModelError: if lists of photos, or models, cannot be used.
    """

    def __init__(self, config: Config, folder: Path, digests: Digests) -> None:
        self.config, self.folder, self._digests = config, folder, digests
        self._compared = self._find_compared()
        self._faces = {section: self._read_faces(section) for section in SETS}
        self._landmarks = {section: self._read_landmarks(section) for section in SETS if config.photos[section].landmark_list}

    def steps(self) -> list[Step]:
        """All steps, in order."""
        found: list[Step] = []
        for net in NETS:
            found += [step for section in SETS for step in self._sample_steps(net, section)]
            found += [*self._training_steps(net), self._net_bundle_step(net), self._stages_step(net)]
        reports = self._report_steps()
        measured, result = self._result_step(MEASURED, ("onet/stages",)), self._result_step("bundle", (MEASURED, *reports))
        about = {name: getattr(self.config.run, name) for name in ("name", "training_data", "licence")}
        return [*found, measured, *reports.values(), replace(result, options={**result.options, **about})]

    # ---- what is read

    def _read_faces(self, section: str) -> Photos:
        data = self.config.photos[section]
        annotations = read_annotations(data.annotations, landmarks=data.landmarks, min_score=data.min_score)
        more = {}
        if data.landmarks:
            more = {"landmarks": self._digests.of_file(data.landmarks), "min_score": str(data.min_score)}
        return self._photos(data.images, data.annotations, spread(annotations.photos, data.limit), more)

    def _read_landmarks(self, section: str) -> Photos:
        data = self.config.photos[section]
        root, path = str(data.landmark_root), str(data.landmark_list)
        annotations = read_annotations(path)
        for net in NETS:
            if self._is_cut(net, section, "landmarks"):
                options = replace(self.config.nets[net].samples["landmarks"], **self._places(section, "landmarks"))
                tasks.check_landmarks(annotations, options)
        return self._photos(root, path, spread(annotations.photos, data.limit), {})

    def _photos(self, folder: str, path: str, photos: Sequence[Photo], more: dict[str, str]) -> Photos:
        digest = self._digests.of_photos(folder, [photo.path for photo in photos])
        return Photos(len(photos), {"annotations": self._digests.of_file(path), "photos": digest}, more)

    def _find_compared(self) -> dict[str, str]:
        """Digests of the models to compare with, by their names in reports.

        Raises:
            ConfigError: if two models of a report would have one name.
            ModelError: if a model is missing, or has no landmarks where they are evaluated.
        """
        models, found = named_paths(self.config.run.compare or ()), {}
        try:
            check_names([clean_name(self.config.run.name), *(name for name, _ in models)])
        except ConfigError as error:
            raise ConfigError(f"name and compare: {error}") from error
        for name, model in models:
            try:
                manifest = find_bundle(model).manifest
            except ModelError as error:
                raise ModelError(f"compare: {error}; with `compare: []` there is nothing to compare with") from error
            if self.config.photos["validation"].landmark_list and "landmark" not in manifest["trained"]["onet"]:
                raise ModelError(
                    f"compare: {model} was trained without landmarks, and validation.landmark_list asks for theirs: "
                    "leave one out"
                )
            found[name] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
        return found

    # ---- samples

    def _sample_steps(self, net: str, section: str) -> list[Step]:
        steps = [
            self._cut_step(net, section, kind) for kind in self.config.nets[net].samples if self._is_cut(net, section, kind)
        ]
        return [*steps, self._records_step(net, section, [step.name for step in steps])]

    def _is_cut(self, net: str, section: str, kind: str) -> bool:
        """Whether there are photos for samples of a kind, and the net learns from them."""
        asked = self.config.nets[net].lessons[0].training.landmarks
        has_head = NETS[net].landmarks if asked is None else asked
        return kind != "landmarks" or bool(has_head and self.config.photos[section].landmark_list)

    def _cut_step(self, net: str, section: str, kind: str) -> Step:
        name, options = f"{net}/{SETS[section]}/{kind}", self.config.nets[net].samples[kind]
        photos = self._landmarks[section] if kind == "landmarks" else self._faces[section]
        verb, prepare = PREPARE[kind]
        places = {**self._places(section, kind), "out": self._path(name)}

        def work() -> Work:
            more = {}
            if kind == "mined":
                more = {"model": self._path(f"{BEFORE[net]}/bundle"), "thresholds": self._mining_thresholds(net)}
            whole = replace(options, **places, **more)
            return Work(command(f"prepare {verb}", whole), lambda: _log_samples(name, prepare(whole)))

        return Step(
            name, work, (f"{BEFORE[net]}/bundle", f"{BEFORE[net]}/stages") if kind == "mined" else (), _identity(options),
            {**photos.reads, **photos.more}, "mine" if kind == "mined" else "cut", photos.units,
            partial(_photos_done, self.folder / name, photos.units),
        )  # fmt: skip

    def _places(self, section: str, kind: str) -> dict[str, Any]:
        """The photos of a section, as options of `prepare`."""
        data = self.config.photos[section]
        if kind == "landmarks":
            return {"root": data.landmark_root, "list": data.landmark_list, "limit": data.limit}
        more = {"landmarks": data.landmarks, "min_score": data.min_score} if data.landmarks else {}
        return {"images": data.images, "annotations": data.annotations, "limit": data.limit, **more}

    def _records_step(self, net: str, section: str, sources: list[str]) -> Step:
        name, options = f"{net}/{SETS[section]}/records", self.config.nets[net].records
        whole = replace(options, folders=tuple(map(self._path, sources)), out=self._path(name))
        return Step(
            name, lambda: Work(command("prepare records", whole), partial(tasks.prepare_records, whole)), tuple(sources),
            _identity(options), kind="records", units=self._faces[section].units,
            frees=tuple(sources), check=partial(tasks.check_records, whole.out),
        )  # fmt: skip

    # ---- nets

    def _training_steps(self, net: str) -> list[Step]:
        """NET/train, NET/finish, NET/finish2 and so on; each but the first begins with the net of the one before."""
        names, lessons = self._trainings(net), self.config.nets[net].lessons
        return [self._training_step(net, *each) for each in zip(names, lessons, ["", *names])]

    def _trainings(self, net: str) -> list[str]:
        """Names of the steps that train a net, in order."""
        count = len(self.config.nets[net].lessons)
        return [f"{net}/train", f"{net}/finish", *(f"{net}/finish{number}" for number in range(2, count))][:count]

    def _training_step(self, net: str, name: str, lesson: LessonOptions, before: str) -> Step:
        records, validation = f"{net}/training/records", f"{net}/validation/records"
        init = f"{self._path(before)}/{BEST}" if before else lesson.init
        reads = {"init": _net_digest(init, net)} if init and not before else {}
        after = (records, validation, *filter(None, [before]))

        def work() -> Work:
            options = replace(lesson.training, epochs=_epochs(self.folder / records, lesson.samples))
            where = {"records": self._path(records), "validation": self._path(validation), "out": self._path(name)}
            resume = (self.folder / name / LAST).is_file()
            more = {"device": lesson.device, "init": init, **({"resume": True} if resume else {})}
            do = partial(train, options, **where, device=lesson.device, initial=init, resume=resume)
            return Work(command("train", options, **where, **more), do)

        progress = partial(_epochs_done, self.folder / name, self.folder / records, lesson.samples)
        options = {key: value for key, value in _identity(lesson).items() if key != "init"}
        return Step(name, work, after, options, reads, net, lesson.samples, progress, is_training=True)

    def _net_bundle_step(self, net: str) -> Step:
        """A bundle of the nets so far, with the thresholds for mining; O-Net's with those for detection."""
        nets, run = list(NETS)[: list(NETS).index(net) + 1], self.config.run
        after = (*(self._trainings(each)[-1] for each in nets), *(f"{each}/stages" for each in nets[:-1]))
        last = CASCADE.thresholds[2]
        if net == "onet":
            options = {"thresholds": run.thresholds and list(run.thresholds[:2]), "calibrate": run.calibrate}
            work = partial(self._bundle_work, f"{net}/bundle", nets, lambda: (*self._detection_thresholds(), last), nets[:2])
        elif net == "rnet":
            options = {"thresholds": to_mapping(self.config.nets[net].samples["mined"])["thresholds"]}
            work = partial(self._bundle_work, f"{net}/bundle", nets, lambda: (*self._mining_thresholds(net), last))
        else:
            options = {}
            work = partial(self._bundle_work, f"{net}/bundle", nets, lambda: (*CASCADE.thresholds[:2], last))
        return Step(f"{net}/bundle", work, after, options)

    def _result_step(self, name: str, after: Iterable[str]) -> Step:
        """A bundle of the finished nets; that of the last step says what was measured of the one before."""
        run = self.config.run

        def thresholds() -> Thresholds:
            return run.thresholds or (*self._detection_thresholds(), self._suggested("onet", "detection"))

        work = partial(self._bundle_work, name, list(NETS), thresholds, list(NETS), has_figures=name != MEASURED)
        return Step(
            name, work, tuple(after), {"thresholds": run.thresholds and list(run.thresholds), "calibrate": run.calibrate}
        )

    def _bundle_work(
        self, name: str, nets: Sequence[str], thresholds: Callable[[], Thresholds], calibrated: Sequence[str] = (),
        has_figures: bool = False,
    ) -> Work:  # fmt: skip
        """Make a bundle of trained nets, with shifted scores of some of them if the configuration asks for it."""
        run, out = self.config.run, self._path(name)
        files = {net: f"{self._path(self._trainings(net)[-1])}/{BEST}" for net in nets}
        chosen = thresholds()
        shifts = {net: self._calibration(net) for net in calibrated if run.calibrate}

        def make() -> None:
            trained = {net: _without_landmarks(net, read_net(path, net)) for net, path in files.items()}
            trained |= {net: _rescored(net, trained[net], *shift) for net, shift in shifts.items()}
            figures = self._figures() if has_figures else None
            make_bundle(out, trained, run.name, run.training_data, run.licence, chosen, figures)

        shifted = "".join(f", logits of {net} * {slope} + {offset}" for net, (slope, offset) in shifts.items())
        return Work(f"make the bundle {out} of {', '.join(files.values())}; thresholds {chosen}{shifted}", make)

    # ---- thresholds

    def _mining_thresholds(self, net: str) -> tuple[float, float]:
        """Of P- and R-Net, for mining samples for `net`; R-Net's is not used for its own."""
        if given := self.config.nets[net].samples["mined"].thresholds:
            return given
        return self._suggested("pnet", "mining"), self._suggested("rnet", "mining") if net == "onet" else CASCADE.thresholds[1]

    def _detection_thresholds(self) -> tuple[float, float]:
        """Of P- and R-Net in the finished cascade."""
        if given := self.config.run.thresholds:
            return given[:2]
        return self._suggested("pnet", "detection"), self._suggested("rnet", "detection")

    def _calibration(self, net: str) -> tuple[float, float]:
        assert self.config.run.thresholds is not None  # which `calibrate` needs
        self._suggested(net, "detection")
        return calibration(net, self._stage(net), dict(zip(NETS, self.config.run.thresholds))[net])

    def _suggested(self, net: str, use: str) -> float:
        value = self._stage(net)[f"suggested_for_{use}"]
        if value is None:
            log = f"{self._trainings(net)[-1]}/{TRAINING_LOG}"
            raise DataError(f"{net} finds no face in the validation photos: train it longer, or see {log}")
        return value

    def _stage(self, net: str) -> dict[str, Any]:
        """What was measured of the net's stage."""
        return _read_json(self.folder / net / "stages" / "stages.json")[net]

    # ---- evaluation

    def _stages_step(self, net: str) -> Step:
        """Measure what each stage lets through on the validation photos."""
        name, data = f"{net}/stages", self.config.photos["validation"]
        running = Running() if net == "onet" else Running(min_face=self.config.run.find_from)
        options = StagesOptions(
            annotations=data.annotations, images=data.images, limit=data.limit, timed=0, running=running,
            detectors=ModelsOrDefault((f"{net}={self._path(f'{net}/bundle')}",)),
            output=Output(f"{self._path(name)}/stages.json", self._path(name)),
        )  # fmt: skip
        about = {"min_face": running.min_face}
        return self._evaluation_step(
            name, "stages", evaluate_stages, options, about, self._faces["validation"], f"{net}/bundle"
        )

    def _report_steps(self) -> dict[str, Step]:
        """Evaluations of the finished nets beside other models, by name."""
        data = self.config.photos["validation"]
        where = {"annotations": data.annotations, "images": data.images, "limit": data.limit}
        found = [self._report_step("wider", evaluate_wider, self.config.wider, where, self._faces["validation"])]
        if data.landmark_list:
            where, photos = {"list": data.landmark_list, "root": data.landmark_root}, self._landmarks["validation"]
            found.append(self._report_step("landmarks", self._evaluate_landmarks, self.config.landmarks, where, photos))
        return {step.name: step for step in found}

    def _report_step(self, verb: str, evaluate: Any, options: Any, where: dict[str, Any], photos: Photos) -> Step:
        name = f"report/{verb}"
        models = (f"{self.config.run.name}={self._path(MEASURED)}", *(self.config.run.compare or ()))
        output = Output(f"{self._path(name)}/figures.json", self._path(name))
        whole = replace(options, **where, detectors=replace(options.detectors, model=models), output=output)
        step = self._evaluation_step(name, verb, evaluate, whole, _identity(options), photos, MEASURED)
        return replace(step, reads={**step.reads, **self._compared}, units=photos.units * len(models))

    def _evaluation_step(
        self, name: str, verb: str, evaluate: Any, options: Any, about: dict[str, Any], photos: Photos, after: str
    ) -> Step:
        work = Work(command(f"evaluate {verb}", options), lambda: _write_evaluation(name, evaluate(options), options.output))
        return Step(name, lambda: work, (after,), about, photos.reads, "evaluate", photos.units)

    def _evaluate_landmarks(self, options: LandmarkOptions) -> Report | None:
        """The report; None if O-Net has learned no landmarks."""
        if read_bundle(self.folder / MEASURED).manifest["architecture"]["onet"]["landmarks"]:
            return evaluate_landmarks(options)
        logger.warning("landmarks were not trained, so there are none to evaluate")
        return None

    def _figures(self) -> dict[str, Any]:
        """What the reports say of the new model, which is their first, without how it was measured."""
        found = {}
        for name in self._report_steps():
            rows = _read_json(self.folder / name / "figures.json")["detectors"]
            for row in (row for row in rows if row["name"] == rows[0]["name"]):
                key = "_".join([name.split("/")[1], *([row["boxes"]] if "boxes" in row else [])])
                found[key] = {key: value for key, value in row.items() if key not in ("name", "boxes", "made")}
        return found

    def _path(self, name: str) -> str:
        return str(self.folder / name)


def command(verb: str, options: Options, **more: Any) -> str:
    """The command line of a verb of `mtcnn-gluon`, as a shell takes it, without options that have their default."""
    return shlex.join(["mtcnn-gluon", *verb.split(), *to_words({**_given(options), **more})])


def _given(options: Options) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in fields(options):
        value = getattr(options, each.name)
        if isinstance(value, Options):
            found |= _given(value)
        elif value != each.default:
            found["in" if each.name == "folders" else each.name] = value
    return found


def _identity(options: Options) -> dict[str, Any]:
    return {key: value for key, value in to_mapping(options).items() if key != "workers"}


def calibration(net: str, stage: Mapping[str, float], wanted: float) -> tuple[float, float]:
    """Slope and offset of a net's face logits that make `wanted` the threshold that its stage suggests for detection.

    O-Net's scores are also drawn together until one in a thousand is above `TOP_SCORE`. Scores are often read with three
    digits, as WIDER FACE's program does; faces with scores nearer to 1 could not be told apart.
    """
    goal, found, slope = _logit(wanted), _logit(stage["suggested_for_detection"]), 1.0
    if net == "onet" and wanted < TOP_SCORE:
        top = _logit(min(stage["surest"], 1 - ROUNDING))
        slope = min(1.0, (_logit(TOP_SCORE) - goal) / max(top - found, 1e-3))
    return round(slope, 4), round(goal - slope * found, 4)


def _net_digest(source: str, net: str) -> str:
    """Of parameters to begin with.

    Raises:
        DataError, ModelError: if there are none for this net.
    """
    found = read_net(source, net)
    return f"{digest(found.parameters)} {' '.join(found.heads)}"


def _log_samples(name: str, report: dict[str, Any]) -> None:
    logger.info("%s", tasks.summary(report))
    if unreadable := report["problems"].get(UNREADABLE):
        logger.warning("step %s: %d %s", name, len(unreadable), UNREADABLE)


def _write_evaluation(name: str, report: Report | None, output: Output) -> None:
    """Write a report; None: figures of no detector."""
    if report is None:
        with whole_file(str(output.json)) as file:
            json.dump({"detectors": []}, file)
        return
    logger.info("%s", report.to_text())
    for source, problems in report.problems.items():
        if problems:
            logger.info("problems with %s:\n%s", source, problems.summary())
            logger.warning("step %s: %d problems with %s", name, len(problems), source)
    write_outputs(report, output)


def _without_landmarks(net: str, trained: TrainedNet) -> TrainedNet:
    """Without a head that only helped in training."""
    if NETS[net].landmarks:
        return trained
    return replace(trained, heads=tuple(head for head in trained.heads if head != "landmark"))


def _rescored(net: str, trained: TrainedNet, slope: float, offset: float) -> TrainedNet:
    """With other scores of the same order: a score p becomes sigmoid(slope * logit(p) + offset)."""
    weight, bias = f"{net}_cls_weight", f"{net}_cls_bias"
    factor, values = np.float32(slope), trained.parameters
    moved = values[bias] * factor + np.array([0, offset], np.float32)
    return replace(trained, parameters={**values, weight: values[weight] * factor, bias: moved})


def _logit(score: float) -> float:
    return math.log(score / (1 - score))


def _epochs(records: Path, samples: float) -> int:
    """As many epochs as come nearest to a number of samples, at least one."""
    counts = _read_json(records / REPORT)["counts"]
    return max(1, round(samples / max(1, sum(counts.values()))))


def _photos_done(folder: Path, photos: int) -> float:
    """The share of its photos that `prepare` has worked on."""
    shards = len(list((folder / PARTS).glob("*.npz")))
    return min(1.0, shards * SHARD / max(1, photos))


def _epochs_done(folder: Path, records: Path, samples: float) -> float:
    """The share of its epochs that `train` has done."""
    log = folder / TRAINING_LOG
    rows = len(read_text(log).splitlines()) - 1 if log.is_file() else 0
    return rows / _epochs(records, samples)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
