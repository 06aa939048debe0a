"""The verb `mtcnn-gluon pipeline`."""

import argparse
import importlib
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtcnn_gluon.bundles.format import find_bundle
from mtcnn_gluon.cli.output import put_line
from mtcnn_gluon.errors import ConfigError, ModelError, shown
from mtcnn_gluon.evaluation.extras import need
from mtcnn_gluon.evaluation.names import check_names, clean_name, named_paths
from mtcnn_gluon.prepare_data.annotations import spread
from mtcnn_gluon.prepare_data.readers import read_annotations

if TYPE_CHECKING:
    from mtcnn_gluon.pipeline.steps import Pipeline


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `pipeline`."""
    parser.set_defaults(run=pipeline)
    parser.add_argument("--config", required=True, metavar="YAML", help="what to do: see example/pipeline.yaml")
    parser.add_argument("--run", required=True, dest="folder", metavar="DIR", help="folder of the run")
    parser.add_argument("--status", action="store_true", help="say what is done, what is next and how long it takes")


def pipeline(options: argparse.Namespace) -> int:
    """Do the whole recipe, from photos to an evaluated bundle. What is done is not done again unless what it depends on has
    changed; what was interrupted goes on where it was."""
    _need_yaml()
    from mtcnn_gluon.cli.main import main
    from mtcnn_gluon.pipeline.config import files_digest, read_config
    from mtcnn_gluon.pipeline.recipe import RATES, SETS, Recipe
    from mtcnn_gluon.pipeline.steps import Pipeline

    config = read_config(options.config)
    need("matplotlib.figure", "drawing curves")
    _check_models(config)
    counts = {}
    for section in SETS:
        annotations = read_annotations(config[section].annotations, landmarks=config[section].landmarks)
        counts[section] = len(spread(annotations.photos, config[section].limit))
    digests = {section: files_digest(config[section]) for section in SETS}
    recipe = Recipe(config, Path(options.folder).absolute(), counts, digests, main)
    work = Pipeline(recipe.folder, recipe.steps(), main, RATES)
    if options.status:
        put_line(_table(work))
        return 0
    logging.getLogger("mtcnn_gluon").setLevel(logging.INFO)
    try:
        work.run(put_line)
    except KeyboardInterrupt:
        print("mtcnn-gluon: interrupted; the same command goes on", file=sys.stderr)
        return 130
    put_line(f"done: {recipe.folder / 'bundle'} is the model, {recipe.folder / 'report'} says how good it is")
    return 0


def _check_models(config: Any) -> None:
    """Refuse now, and not hours later, what the reports cannot compare.

    Raises:
        ConfigError: if two models of a report would have one name.
        ModelError: if a model to compare with is missing, or has no landmarks where they are evaluated.
    """
    if not all(isinstance(model, str) for model in config.compare):
        raise ConfigError(f"compare must be a list of models, not {shown(config.compare)}")
    others = named_paths(config.compare)
    try:
        check_names([clean_name(config.name), *(name for name, _ in others)])
    except ConfigError as error:
        raise ConfigError(f"name and compare: {error}") from error
    for _, model in others:
        trained = find_bundle(model).manifest["trained"]
        if config.validation.landmark_list and "landmark" not in trained["onet"]:
            raise ModelError(
                f"compare: {model} was trained without landmarks, and validation.landmark_list asks for theirs: leave one out"
            )


def _need_yaml() -> None:
    """Check that configurations can be read.

    Raises:
        ConfigError: if `yaml` is missing; the message names the extra that brings it, with all else that a pipeline needs.
    """
    try:
        importlib.import_module("yaml")
    except ImportError as error:
        raise ConfigError(
            f"a pipeline needs PyYAML to read its configuration, and MXNet to train ({error}): "
            'run pip install "mtcnn-gluon[cpu]", or [cu112] for an NVIDIA GPU'
        ) from error


def _table(work: "Pipeline") -> str:
    """What is done, what is next, and how long it takes."""
    rows = work.status()
    left = [row for row in rows if row.state != "done"]
    lines = []
    for row in rows:
        state = "next" if left and row is left[0] and row.state == "waiting" else row.state
        time = "" if row.seconds is None else ("" if row.state == "done" else "about ") + _duration(row.seconds)
        lines.append(f"{row.step.name:32s} {state:8s} {time}".rstrip())
    if not left:
        return "\n".join([*lines, f"all {len(rows)} steps are done"])
    total = sum(row.seconds or 0 for row in left)
    return "\n".join([*lines, f"{len(rows) - len(left)} of {len(rows)} steps done, about {_duration(total)} left"])


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
