"""The recipe of Zhang et al. (2016), section II-D, as steps.

Samples for P-Net are cut and P-Net is trained; what it proposes becomes samples for R-Net, what both propose samples for O-Net.
Each net may be trained several times. The result is a model, and reports that compare it with others.

Thresholds for mining and of the model come from the measured recall of each stage on the validation photos, see
`evaluation.stages`, unless the configuration names them.
"""

import hashlib
import json
import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, NamedTuple, Sequence

from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.format import read_bundle
from mtcnn_gluon.bundles.trained import TrainedNet
from mtcnn_gluon.config import CASCADE, NETS
from mtcnn_gluon.errors import ConfigError, DataError, ModelError
from mtcnn_gluon.evaluation.benchmarks import evaluate_landmarks, evaluate_stages, evaluate_wider, write_outputs
from mtcnn_gluon.evaluation.names import check_names, clean_name, named_paths
from mtcnn_gluon.evaluation.options import LandmarkOptions, ModelsOrDefault, Output, Running, StagesOptions
from mtcnn_gluon.evaluation.report import Report
from mtcnn_gluon.export.bundle_files import make_bundle
from mtcnn_gluon.io.files import whole_file
from mtcnn_gluon.layers import View
from mtcnn_gluon.pipeline.calibration import calibration, rescored
from mtcnn_gluon.pipeline.config import BEFORE, SETS, Config, DataOptions, TrainingStepOptions
from mtcnn_gluon.pipeline.content import Digests
from mtcnn_gluon.pipeline.progress import epochs, epochs_done, photos_done, read_json
from mtcnn_gluon.pipeline.sources import begins_with, initial_digest, teacher_digest
from mtcnn_gluon.pipeline.steps import Action, Step
from mtcnn_gluon.pipeline.words import command, identity
from mtcnn_gluon.prepare_data import tasks
from mtcnn_gluon.prepare_data.annotations import spread
from mtcnn_gluon.prepare_data.generate import UNREADABLE
from mtcnn_gluon.prepare_data.merge import make_records
from mtcnn_gluon.prepare_data.readers import read_annotations
from mtcnn_gluon.training.checkpoints import BEST, LAST
from mtcnn_gluon.training.checkpoints import LOG as TRAINING_LOG
from mtcnn_gluon.training.runs import read_net
from mtcnn_gluon.training.trainer import train

logger = logging.getLogger(__name__)

RATES = {  # seconds for a unit of work on two cores, until something was measured: photos, or samples to train on
    "cut": 0.005, "records": 0.001, "mine": 0.15, "evaluate": 0.1,
    "pnet": 1 / 75_000, "rnet": 1 / 18_000, "onet": 1 / 3_500,
}  # fmt: skip
PREPARE: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {  # the verb of `prepare` and its function
    "mined": ("mine", tasks.prepare_mined),
    "faces": ("wider", tasks.prepare_faces),
    "landmarks": ("landmarks", tasks.prepare_landmarks),
}
EVALUATED = "report/bundle"  # the finished nets, which the reports are about
Thresholds = tuple[float, float, float]


class Photos(NamedTuple):
    """A list of photos.

    Attributes:
        units: number of the photos that are used.
        faces: number of their annotated faces.
        reads: digests of the list and of these photos.
        reported: the same of the photos that the report is about; for landmarks these are all.
        more: what else decides which faces samples are cut from.
    """

    units: int
    faces: int
    reads: dict[str, str]
    reported: dict[str, str]
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
        self._photos = {section: [self._read_all(data, section) for data in config.photos[section]] for section in SETS}

    def steps(self) -> list[Step]:
        """All steps, in order."""
        found: list[Step] = []
        for net in NETS:
            found += [step for section in SETS for step in self._sample_steps(net, section)]
            found += [*self._training_steps(net), self._net_bundle_step(net), self._stages_step(net)]
        reports = self._report_steps()
        about = {name: getattr(self.config.run, name) for name in ("name", "training_data", "licence")}
        measured = self._result_step(EVALUATED, ["onet/stages"], {})
        return [*found, measured, *reports.values(), self._result_step("bundle", [EVALUATED, *reports], about)]

    # ---- what is read

    def _places(self, data: DataOptions, kind: str) -> dict[str, Any]:
        """The photos of a source, as options of `prepare` and `evaluate`."""
        if kind == "landmarks":
            return {"root": data.landmark_root, "list": data.landmark_list, "limit": data.limit}
        return {"images": data.images, "annotations": data.annotations, "limit": data.limit}

    def _landmarks_of_faces(self, data: DataOptions, kind: str) -> dict[str, Any]:
        """What else is known of annotated faces, as options of `prepare`."""
        if kind == "landmarks" or not (data.landmarks or data.min_score):
            return {}
        return {"landmarks": data.landmarks, "min_score": data.min_score}

    def _read_all(self, data: DataOptions, section: str) -> dict[str, Photos]:
        """The lists of a source by kind: faces and perhaps landmarks."""
        kinds = ("faces", "landmarks") if data.landmark_list else ("faces",)
        return {kind: self._read(data, section, kind) for kind in kinds}

    def _read(self, data: DataOptions, section: str, kind: str) -> Photos:
        if section == "validation" and data.min_score and not data.landmarks:
            raise ConfigError("validation.min_score is for landmarks, and there are none: reports count every annotated face")
        folder, path, limit = self._places(data, kind).values()
        more = self._landmarks_of_faces(data, kind)
        annotations = read_annotations(path, **more)
        for net in NETS if kind == "landmarks" else ():
            if self._is_cut(net, data, kind):
                tasks.check_landmarks(annotations, replace(self.config.nets[net].samples[kind], **self._places(data, kind)))
        used = spread(annotations.photos, limit)
        in_report = annotations.photos if kind == "landmarks" and section == "validation" else used
        if more:
            listed = self._digests.of_file(more["landmarks"]) if more["landmarks"] else ""
            more = {"landmarks": listed, "min_score": str(more["min_score"])}
        reads, reported = (
            {
                "annotations": self._digests.of_file(path),
                "photos": self._digests.of_photos(folder, [photo.path for photo in photos]),
            }
            for photos in (used, in_report)
        )
        return Photos(len(used), sum(map(len, used)), reads, reported, more)

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
                raise ModelError(f"compare: {error}; `compare: []` goes without other models") from error
            if self.config.photos["validation"][0].landmark_list and "landmark" not in manifest["trained"]["onet"]:
                raise ModelError(
                    f"compare: {model} was trained without landmarks, and validation.landmark_list asks for theirs: "
                    "leave one out"
                )
            found[f"model {name}"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
        return found

    # ---- samples

    def _sample_steps(self, net: str, section: str) -> list[Step]:
        steps = [
            self._cut_step(net, section, kind, source)
            for kind in self.config.nets[net].samples
            for source, data in enumerate(self.config.photos[section])
            if self._is_cut(net, data, kind) and self._gives_samples(net, section, kind, source)
        ]
        return [*steps, self._records_step(net, section, [step.name for step in steps])]

    def _is_cut(self, net: str, data: DataOptions, kind: str) -> bool:
        """Whether a source has photos for samples of a kind, and the net learns from them."""
        asked = self.config.nets[net].trainings[0].options.landmarks
        has_head = NETS[net].landmarks if asked is None else asked
        return kind != "landmarks" or bool(has_head and data.landmark_list)

    def _gives_samples(self, net: str, section: str, kind: str, source: int) -> bool:
        """Whether samples can come of a source: photos without a face give only random negatives, which may not be wanted."""
        negatives = self.config.nets[net].samples[kind].sampling.negatives
        return kind != "faces" or negatives > 0 or self._photos[section][source]["faces"].faces > 0

    def _cut_step(self, net: str, section: str, kind: str, source: int) -> Step:
        name, options = f"{net}/{SETS[section]}/{kind}{source + 1 if source else ''}", self.config.nets[net].samples[kind]
        photos = self._photos[section][source]["landmarks" if kind == "landmarks" else "faces"]
        (verb, prepare), data = PREPARE[kind], self.config.photos[section][source]
        places = {**self._places(data, kind), **self._landmarks_of_faces(data, kind), "out": self._path(name)}

        def action() -> Action:
            more = {}
            if kind == "mined":
                more = {"model": self._path(f"{BEFORE[net]}/bundle"), "thresholds": self._mining_thresholds(net)}
            whole = replace(options, **places, **more)
            return Action(command(f"prepare {verb}", whole), lambda: _log_samples(name, prepare(whole)))

        return Step(
            name, action, (f"{BEFORE[net]}/bundle", f"{BEFORE[net]}/stages") if kind == "mined" else (), identity(options),
            {**photos.reads, **photos.more}, "mine" if kind == "mined" else "cut", photos.units,
            partial(photos_done, self.folder / name, photos.units),
        )  # fmt: skip

    def _records_step(self, net: str, section: str, sources: Sequence[str]) -> Step:
        name, options = f"{net}/{SETS[section]}/records", self.config.nets[net].records
        whole = replace(options, folders=tuple(map(self._path, sources)), out=self._path(name))
        action = Action(command("prepare records", whole), partial(make_records, whole))
        return Step(
            name, lambda: action, tuple(sources), identity(options), kind="records",
            units=sum(each["faces"].units for each in self._photos[section]), frees=tuple(sources),
            check=partial(tasks.check_records, whole.out),
        )  # fmt: skip

    # ---- nets

    def _training_steps(self, net: str) -> list[Step]:
        """NET/train, NET/finish, NET/finish2 and so on; each but the first begins with the net of the one before."""
        names, trainings = self._training_names(net), self.config.nets[net].trainings
        return [self._training_step(net, *each) for each in zip(names, trainings, ["", *names])]

    def _training_names(self, net: str) -> list[str]:
        """Names of the steps that train a net, in order."""
        count = len(self.config.nets[net].trainings)
        return [f"{net}/train", f"{net}/finish", *(f"{net}/finish{number}" for number in range(2, count))][:count]

    def _training_step(self, net: str, name: str, training: TrainingStepOptions, before: str) -> Step:
        records, validation = f"{net}/training/records", f"{net}/validation/records"
        init = f"{self._path(before)}/{BEST}" if before else training.init
        teacher = training.teacher if training.options.distil else None
        about = training.options, self._view(net)
        reads = {"init": initial_digest(init, *about, f"{net}.train.init")} if init and not before else {}
        if teacher:
            reads["teacher"] = teacher_digest(teacher, *about, f"{net}.{'finish' if before else 'train'}: teacher")
        after = (records, validation, *filter(None, [before]))

        def action() -> Action:
            options = replace(training.options, epochs=epochs(self.folder / records, training.samples))
            where = {"records": self._path(records), "validation": self._path(validation), "out": self._path(name)}
            resume = (self.folder / name / LAST).is_file()
            more = {"device": training.device, "init": init, "teacher": teacher, **({"resume": True} if resume else {})}
            do = partial(train, options, **where, device=training.device, initial=init, resume=resume, teacher=teacher)
            return Action(command("train", options, **where, **more), do)

        progress = partial(epochs_done, self.folder / name, self.folder / records, training.samples)
        options = {key: value for key, value in identity(training).items() if key not in ("init", "teacher")}
        can_go_on = partial(begins_with, self.folder / name / LAST, init, net)
        return Step(name, action, after, options, reads, net, training.samples, progress, can_go_on, is_training=True)

    def _view(self, net: str) -> View:
        """What the samples of a net show."""
        sampling = self.config.nets[net].samples["landmarks"].sampling
        return View(sampling.size or NETS[net].size, sampling.context)

    def _net_bundle_step(self, net: str) -> Step:
        """A bundle of the nets so far, with the thresholds for mining; O-Net's with those for detection."""
        nets, run, last = list(NETS)[: list(NETS).index(net) + 1], self.config.run, CASCADE.thresholds[2]
        after = [*(self._training_names(each)[-1] for each in nets), *(f"{each}/stages" for each in nets[:-1])]
        if net == "onet":
            options = {"thresholds": run.thresholds and run.thresholds[:2], "calibrate": run.calibrate}
            return self._bundle_step(
                f"{net}/bundle", after, options, nets, lambda: (*self._detection_thresholds(), last), nets[:2]
            )
        options = {"thresholds": net in BEFORE and self.config.nets[net].samples["mined"].thresholds}
        return self._bundle_step(f"{net}/bundle", after, options, nets, lambda: (*self._mining_thresholds(net), last))

    def _result_step(self, name: str, after: Sequence[str], about: dict[str, Any]) -> Step:
        """A bundle of the finished nets; that of the last step says what was measured of the one before."""
        run = self.config.run

        def thresholds() -> Thresholds:
            return run.thresholds or (*self._detection_thresholds(), self._suggested("onet", "detection"))

        options = {"thresholds": run.thresholds, "calibrate": run.calibrate, **run.manifest_keys, **about}
        return self._bundle_step(name, after, options, list(NETS), thresholds, list(NETS), run.manifest_keys)

    def _bundle_step(
        self, name: str, after: Sequence[str], options: dict[str, Any], nets: Sequence[str],
        thresholds: Callable[[], Thresholds], calibrated: Sequence[str] = (), more: dict[str, Any] | None = None,
    ) -> Step:  # fmt: skip
        """A bundle of trained nets, with shifted scores of some of them if the configuration asks for it."""
        run, out = self.config.run, self._path(name)
        files = {net: f"{self._path(self._training_names(net)[-1])}/{BEST}" for net in nets}

        def action() -> Action:
            chosen, shifts = thresholds(), {net: self._calibration(net) for net in calibrated if run.calibrate}

            def make() -> None:
                trained = {net: _without_landmarks(net, read_net(path, net)) for net, path in files.items()}
                trained |= {net: rescored(net, trained[net], *shift) for net, shift in shifts.items()}
                figures = self._figures() if name == "bundle" else None
                make_bundle(out, trained, run.name, run.training_data, run.licence, chosen, figures, more=more)

            shifted = "".join(f", logits of {net} * {slope} + {offset}" for net, (slope, offset) in shifts.items())
            return Action(f"make the bundle {out} of {', '.join(files.values())}; thresholds {chosen}{shifted}", make)

        return Step(name, action, tuple(after), options)

    # ---- thresholds

    def _mining_thresholds(self, net: str) -> tuple[float, float]:
        """Of P- and R-Net, for mining samples for `net`; R-Net's is not used for its own."""
        if net not in BEFORE:
            return CASCADE.thresholds[0], CASCADE.thresholds[1]
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
            log = f"{self._training_names(net)[-1]}/{TRAINING_LOG}"
            raise DataError(f"{net} finds no face in the validation photos: train it longer, or see {log}")
        return value

    def _stage(self, net: str) -> dict[str, Any]:
        """What was measured of the net's stage."""
        return read_json(self.folder / net / "stages" / "stages.json")[net]

    # ---- evaluation

    def _stages_step(self, net: str) -> Step:
        """Measure what each stage lets through on the validation photos."""
        name = f"{net}/stages"
        running = Running() if net == "onet" else Running(min_face=self.config.run.find_from)
        detectors = ModelsOrDefault((f"{net}={self._path(f'{net}/bundle')}",))
        output = Output(f"{self._path(name)}/stages.json", self._path(name))
        where = self._places(self.config.photos["validation"][0], "faces")
        options = StagesOptions(**where, timed=0, detectors=detectors, running=running, output=output)
        return self._evaluation_step(name, f"{net}/bundle", evaluate_stages, options, {"min_face": running.min_face}, "faces")

    def _report_steps(self) -> dict[str, Step]:
        """Evaluations of the finished nets beside other models, by name."""
        found = [self._report_step("wider", evaluate_wider, self.config.wider, "faces")]
        if "landmarks" in self._photos["validation"][0]:
            found.append(self._report_step("landmarks", self._evaluate_landmarks, self.config.landmarks, "landmarks"))
        return {step.name: step for step in found}

    def _report_step(self, verb: str, evaluate: Any, options: Any, kind: str) -> Step:
        name = f"report/{verb}"
        models = (f"{self.config.run.name}={self._path(EVALUATED)}", *(self.config.run.compare or ()))
        where = {**self._places(self.config.photos["validation"][0], kind), **({"limit": None} if kind == "landmarks" else {})}
        output = Output(f"{self._path(name)}/figures.json", self._path(name))
        whole = replace(options, **where, detectors=replace(options.detectors, model=models), output=output)
        step = self._evaluation_step(
            name, EVALUATED, evaluate, whole, {**identity(options), "name": self.config.run.name}, kind
        )
        return replace(step, reads={**step.reads, **self._compared}, units=step.units * len(models))

    def _evaluation_step(self, name: str, after: str, evaluate: Any, options: Any, about: dict[str, Any], kind: str) -> Step:
        photos, verb = self._photos["validation"][0][kind], name.split("/")[1]
        action = Action(
            command(f"evaluate {verb}", options), lambda: _write_evaluation(name, evaluate(options), options.output)
        )
        return Step(name, lambda: action, (after,), about, photos.reported, "evaluate", photos.units)

    def _evaluate_landmarks(self, options: LandmarkOptions) -> Report | None:
        """The report; None if O-Net has learned no landmarks."""
        if read_bundle(self.folder / EVALUATED).manifest["architecture"]["onet"]["landmarks"]:
            return evaluate_landmarks(options)
        logger.warning("landmarks were not trained, so there are none to evaluate")
        return None

    def _figures(self) -> dict[str, Any]:
        """What the reports say of the new model, which is their first, without how it was measured."""
        found = {}
        for name in self._report_steps():
            rows = read_json(self.folder / name / "figures.json")["detectors"]
            for row in (row for row in rows if row["name"] == rows[0]["name"]):
                key = "_".join([name.split("/")[1], *([row["boxes"]] if "boxes" in row else [])])
                found[key] = {key: value for key, value in row.items() if key not in ("name", "boxes", "made")}
        return found

    def _path(self, name: str) -> str:
        return str(self.folder / name)


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
