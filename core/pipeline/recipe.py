"""The whole recipe of Zhang et al. (2016), section II-D, as steps: data for P-Net, P-Net, what P-Net lets through, R-Net, what
both let through, O-Net, and the bundle with its evaluation beside other models. A net may be trained twice, see `_train_steps`.

Every step is a command that can be run by hand as well. Thresholds for mining, and those of the finished bundle, come from the
measured recall of each stage on the validation photos (see `evaluation.stages`), unless the configuration says them.
"""

import hashlib
import json
import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping

import numpy as np

from mtcnn_gluon.bundles.format import read_bundle
from mtcnn_gluon.bundles.trained import TrainedNet
from mtcnn_gluon.config import CASCADE, NETS
from mtcnn_gluon.errors import DataError
from mtcnn_gluon.evaluation.names import clean_name
from mtcnn_gluon.export.bundle_files import make_bundle
from mtcnn_gluon.io.files import read_text, whole_file
from mtcnn_gluon.pipeline.config import flags
from mtcnn_gluon.pipeline.steps import Step, Words
from mtcnn_gluon.prepare_data.generate import PARTS, SHARD
from mtcnn_gluon.training.checkpoints import BEST, LAST, read_checkpoint
from mtcnn_gluon.training.runs import read_net

logger = logging.getLogger(__name__)

RATES = {  # seconds for a unit of work on two cores, until something was measured: photos, or samples to train on
    "cut": 0.005, "records": 0.001, "mine": 0.15, "look": 0.1,
    "pnet": 1 / 75_000, "rnet": 1 / 18_000, "onet": 1 / 3_500,
}  # fmt: skip
BEFORE = {"rnet": "pnet", "onet": "rnet"}
SETS = {"data": "training", "validation": "validation"}  # sections of the configuration, and folders of their samples
TOLD = "thresholds"
LOGITS = "--logits"
SUREST, ROUNDING = 0.99, 1e-6  # of scores
MEASURED = "report/bundle"  # the finished nets, of which the reports are


@dataclass(frozen=True)
class Recipe:
    """Makes the steps of a configuration.

    Attributes:
        config: see `config.read_config`.
        folder: of the run.
        counts: photos of each set, by section.
        digests: of the files outside the run that each set consists of, by section.
        main: runs a command of `mtcnn-gluon`.
    """

    config: Any
    folder: Path
    counts: Mapping[str, int]
    digests: Mapping[str, str]
    main: Callable[[Words], int]

    def steps(self) -> list[Step]:
        """All steps, in order."""
        found: list[Step] = []
        for net in NETS:
            found += [step for section in SETS for step in self._sample_steps(net, section)]
            found += [*self._train_steps(net), self._bundle_step(net), self._stages_step(net)]
        reports = self._report_steps()
        result = self._result_step("bundle", tuple(step.name for step in reports), "--figures")
        return [*found, self._result_step(MEASURED, ("onet/stages",)), *reports, result]

    # ---- samples

    def _sample_steps(self, net: str, section: str) -> list[Step]:
        steps = [] if net == "pnet" else [self._mined_step(net, section)]
        if self.config[net].faces is not None:
            steps.append(self._faces_step(net, section))
        if self._has_landmark_samples(net, section):
            steps.append(self._landmarks_step(net, section))
        return [*steps, self._records_step(net, section, [step.name for step in steps])]

    def _has_landmark_samples(self, net: str, section: str) -> bool:
        asked = self.config[net].train.get("landmarks")
        has_head = NETS[net].landmarks if asked is None else asked
        return bool(has_head and self.config[section].landmark_list)

    def _faces_step(self, net: str, section: str) -> Step:
        name = f"{net}/{SETS[section]}/faces"
        words = ["prepare", "wider", "--net", net, *self._photos(section), *self._making(name), *flags(self.config[net].faces)]
        return self._cut_step(name, words, section, "cut")

    def _landmarks_step(self, net: str, section: str) -> Step:
        name, data = f"{net}/{SETS[section]}/landmarks", self.config[section]
        where = ["--root", data.landmark_root, "--list", data.landmark_list, *self._limit(section)]
        words = ["prepare", "landmarks", "--net", net, *where, *self._making(name), *flags(self.config[net].landmarks)]
        return self._cut_step(name, words, section, "cut")

    def _mined_step(self, net: str, section: str) -> Step:
        before = BEFORE[net]
        name = f"{net}/{SETS[section]}/mined"
        options = {key: value for key, value in self.config[net].mine.items() if key != TOLD}

        def command() -> Words:
            first = self._mining_thresholds(net)
            where = ["--model", self._path(f"{before}/bundle"), "--stage", before, "--thresholds", *map(str, first)]
            where += ["--find-from", str(self.config.find_from)]
            return ["prepare", "mine", *where, *self._photos(section), *self._making(name), *flags(options)]

        return self._cut_step(name, command, section, "mine", (f"{before}/bundle", f"{before}/stages"))

    def _cut_step(
        self, name: str, command: Words | Callable[[], Words], section: str, kind: str, after: tuple[str, ...] = ()
    ) -> Step:
        words = command if callable(command) else lambda: command
        progress = _Parts(self.folder / name, self.counts[section])
        return Step(name, words, after, kind, self.counts[section], self.digests[section], progress=progress)

    def _records_step(self, net: str, section: str, sources: list[str]) -> Step:
        name = f"{net}/{SETS[section]}/records"
        words = ["prepare", "records", "--net", net, "--in", *map(self._path, sources), "--out", self._path(name)]
        words += ["--seed", str(self.config.seed), *flags(self.config[net].records)]
        return Step(name, lambda: words, tuple(sources), "records", self.counts[section])

    def _photos(self, section: str) -> Words:
        data = self.config[section]
        words = ["--images", data.images, "--annotations", data.annotations, *self._limit(section)]
        if data.landmarks:
            words += ["--landmarks", data.landmarks, "--min-score", str(data.min_score)]
        return words

    def _limit(self, section: str) -> Words:
        limit = self.config[section].limit
        return [] if limit is None else ["--limit", str(limit)]

    def _making(self, name: str) -> Words:
        return ["--out", self._path(name), "--seed", str(self.config.seed), "--workers", str(self.config.workers)]

    # ---- nets

    def _train_steps(self, net: str) -> list[Step]:
        """A training, and those that the configuration has in `finish`, each of which begins with the net of the one before."""
        options = self.config[net].train
        names = self._trainings(net)
        steps = [self._train_step(net, names[0], options)]
        for before, name, more in zip(names, names[1:], self.config[net].finish):
            options = {**options, **more, "init": f"{self._path(before)}/{BEST}"}
            steps.append(self._train_step(net, name, options, before))
        return steps

    def _trainings(self, net: str) -> list[str]:
        """Steps that train the net, in order: NET/train, NET/finish, NET/finish2 and so on."""
        count = len(self.config[net].finish)
        return [f"{net}/train", *(f"{net}/finish{number if number > 1 else ''}" for number in range(1, count + 1))]

    def _trained(self, net: str) -> str:
        """The step that ends with the net's parameters."""
        return self._trainings(net)[-1]

    def _train_step(self, net: str, out: str, options: Mapping[str, Any], before: str | None = None) -> Step:
        records, validation = f"{net}/training/records", f"{net}/validation/records"
        samples = options["samples"]
        words = ["train", "--net", net, "--records", self._path(records), "--validation", self._path(validation)]
        words += ["--out", self._path(out), "--seed", str(self.config.seed)]
        words += flags({key: value for key, value in options.items() if key != "samples"})

        def command() -> Words:
            return [*words, "--epochs", str(_epochs(self.folder / records, samples))]

        after = (records, validation, *([before] if before else []))
        files = "" if before else self._initial_digest(net)
        return Step(out, command, after, net, samples, files, run=self._train, progress=_Epochs(self.folder / out))

    def _initial_digest(self, net: str) -> str:
        """Changes with the parameters that the net begins with; empty for random ones.

        Raises:
            DataError, ModelError: if there are none for this net where the configuration says.
        """
        source = self.config[net].train.get("init")
        if source is None:
            return ""
        parameters = sorted(read_net(source, net).parameters.items())
        return hashlib.sha256(b"".join(name.encode() + value.tobytes() for name, value in parameters)).hexdigest()

    def _train(self, words: Words) -> int:
        """Runs what a step of training says, and goes on with what was interrupted."""
        is_begun = (Path(words[words.index("--out") + 1]) / LAST).is_file()
        return self.main([*words, *(["--resume"] if is_begun else [])])

    def _bundle_step(self, net: str) -> Step:
        """The nets so far, with the thresholds that they are to mine with; O-Net's with those of detection."""
        nets = list(NETS)[: list(NETS).index(net) + 1]

        def command() -> Words:
            thresholds = tuple(CASCADE.thresholds)
            if net != "pnet":
                first = self._mining_thresholds(net) if net == "rnet" else self._detection_thresholds()
                thresholds = (*first, thresholds[2])
            words = ["bundle", *self._weights(nets), "--out", self._path(f"{net}/bundle")]
            logits = self._logits(nets[:2]) if net == "onet" else []
            return [*words, "--thresholds", *map(str, thresholds), *logits]

        after = (*map(self._trained, nets), *(f"{each}/stages" for each in nets[:-1]))
        return Step(f"{net}/bundle", command, after, run=self._make_bundle)

    def _weights(self, nets: Iterable[str]) -> Words:
        return [f"{net}={self._path(self._trained(net))}/{BEST}" for net in nets]

    def _make_bundle(self, words: Words) -> int:
        """Runs what `_bundle_step` says; the figures, if there are any, are the finished bundle's."""
        pairs = [word.split("=", 1) for word in words[1 : words.index("--out")]]
        nets = {net: _without_landmarks(net, read_net(path, net)) for net, path in pairs}
        out = words[words.index("--out") + 1]
        first, second, third = map(float, words[words.index("--thresholds") + 1 :][:3])
        for word in words[words.index(LOGITS) + 1 :] if LOGITS in words else []:
            net, _, numbers = word.partition("=")
            nets[net] = _rescored(net, nets[net], *map(float, numbers.split(",")))
        figures = self._figures() if "--figures" in words else None
        config = self.config
        make_bundle(out, nets, config.name, config.training_data, config.licence, (first, second, third), figures)
        return 0

    # ---- thresholds

    def _stages_step(self, net: str) -> Step:
        """What each stage lets through on the validation photos: the last of what is detected unless told otherwise."""
        name = f"{net}/stages"
        words = ["evaluate", "stages", "--model", f"{net}={self._path(f'{net}/bundle')}", *self._validation()]
        words += ["--json", f"{self._path(name)}/stages.json", "--report", self._path(name), "--timed", "0"]
        words += ["--min-face", str(self.config.find_from)] if net != "onet" else []
        return self._look_step(name, words, f"{net}/bundle")

    def _mining_thresholds(self, net: str) -> tuple[float, float]:
        """Of P- and R-Net, for mining samples for `net`; R-Net's is not used for its own."""
        if told := self.config[net].mine.get(TOLD):
            return tuple(told)
        return self._suggested("pnet", "mining"), self._suggested("rnet", "mining") if net == "onet" else CASCADE.thresholds[1]

    def _detection_thresholds(self) -> tuple[float, float]:
        """Of P- and R-Net in the finished cascade."""
        if told := self.config[TOLD]:
            return tuple(told[:2])
        return self._suggested("pnet", "detection"), self._suggested("rnet", "detection")

    def _logits(self, nets: Iterable[str]) -> Words:
        """Slope and offset of nets' face logits, for scores whose thresholds are those of the configuration.

        O-Net's are also drawn together until one in a thousand is above `SUREST`: a program that looks at three digits of a
        score, as WIDER FACE's does, could not tell the faces apart that are near 1.
        """
        if not self.config.calibrate:
            return []
        words = []
        for net in nets:
            wanted = _logit(dict(zip(NETS, self.config[TOLD]))[net])
            found, slope = _logit(self._suggested(net, "detection")), 1.0
            if net == "onet" and wanted < _logit(SUREST):
                surest = _logit(min(self._stage(net)["surest"], 1 - ROUNDING))
                slope = min(1.0, (_logit(SUREST) - wanted) / max(surest - found, 1e-3))
            words.append(f"{net}={slope:.4f},{wanted - slope * found:.4f}")
        return [LOGITS, *words]

    def _suggested(self, net: str, use: str) -> float:
        value = self._stage(net)[f"suggested_for_{use}"]
        if value is None:
            log = f"{self._trained(net)}/log.csv"
            raise DataError(f"{net} finds no face in the validation photos: train it longer, or look at {log}")
        return value

    def _stage(self, net: str) -> dict[str, Any]:
        """What was measured of the net's stage."""
        return _read_json(self.folder / net / "stages" / "stages.json")[net]

    # ---- the result

    def _report_steps(self) -> list[Step]:
        """The evaluation of the nets beside other models."""
        models = ["--model", f"{self.config.name}={self._path(MEASURED)}"]
        for other in self.config.compare:
            models += ["--model", other]
        data, steps = self.config.validation, []
        for name in ("wider", "landmarks"):
            if name == "landmarks" and not data.landmark_list:
                continue
            where = self._validation() if name == "wider" else ["--list", data.landmark_list, "--root", data.landmark_root]
            out = self._path(f"report/{name}")
            words = ["evaluate", name, *models, *where, "--report", out, "--json", f"{out}/figures.json"]
            words += flags(self.config.evaluate[name])
            step = self._look_step(f"report/{name}", words, MEASURED, len(self.config.compare) + 1)
            steps.append(step if name == "wider" else replace(step, run=self._evaluate_landmarks))
        return steps

    def _evaluate_landmarks(self, words: Words) -> int:
        """Runs what the step says; a model whose O-Net learned no landmarks is left out, and measured like that."""
        if not read_bundle(self.folder / MEASURED).manifest["architecture"]["onet"]["landmarks"]:
            logger.warning("landmarks were not trained, so there are none to evaluate")
            with whole_file(self.folder / "report/landmarks/figures.json") as file:
                json.dump({"detectors": []}, file)
            return 0
        return self.main(words)

    def _look_step(self, name: str, words: Words, after: str, models: int = 1) -> Step:
        units = models * self.counts["validation"]
        return Step(name, lambda: words, (after,), "look", units, self.digests["validation"])

    def _validation(self) -> Words:
        return ["--annotations", self.config.validation.annotations, "--images", self.config.validation.images,
                *self._limit("validation")]  # fmt: skip

    def _result_step(self, name: str, after: tuple[str, ...], *more: str) -> Step:
        """The bundle of the finished nets; with --figures it says what was measured of them."""

        def command() -> Words:
            told = self.config[TOLD]
            thresholds = (*self._detection_thresholds(), told[2] if told else self._suggested("onet", "detection"))
            words = ["bundle", *self._weights(NETS), "--out", self._path(name), *more]
            return [*words, "--thresholds", *map(str, thresholds), *self._logits(NETS)]

        return Step(name, command, after, run=self._make_bundle)

    def _figures(self) -> dict[str, Any]:
        """What the reports say of the bundle, without how it was measured."""
        found = {}
        for step in self._report_steps():
            for each in _read_json(self.folder / step.name / "figures.json")["detectors"]:
                if each["name"] == clean_name(self.config.name):  # as reports show it
                    name = "_".join([step.name.split("/")[1], *([each["boxes"]] if "boxes" in each else [])])
                    found[name] = {key: value for key, value in each.items() if key not in ("name", "boxes", "made")}
        return found

    def _path(self, name: str) -> str:
        return str(self.folder / name)


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
    counts = _read_json(records / "report.json")["counts"]
    return max(1, round(samples / max(1, sum(counts.values()))))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


@dataclass(frozen=True)
class _Parts:
    """The share of its photos that `prepare` has worked on."""

    folder: Path
    photos: int

    def __call__(self) -> float:
        shards = len(list((self.folder / PARTS).glob("*.npz")))
        return min(1.0, shards * SHARD / max(1, self.photos))


@dataclass(frozen=True)
class _Epochs:
    """The share of its epochs that `train` has done."""

    folder: Path

    def __call__(self) -> float:
        path = self.folder / LAST
        if not path.is_file():
            return 0.0
        about = read_checkpoint(path).about
        return about["epoch"] / about["options"]["epochs"]
