"""The trained nets that a training begins with or learns from: models, files, or what a step before has made."""

from pathlib import Path

from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.layers import View
from mtcnn_gluon.training.building import table_of, widened
from mtcnn_gluon.training.checkpoints import read_checkpoint
from mtcnn_gluon.training.identity import digest
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.runs import read_net
from mtcnn_gluon.training.teacher import check_teacher


def initial_digest(source: str, options: TrainingOptions, view: View, place: str) -> str:
    """What a training begins with, as a digest.

    Args:
        source: a model's name, or a file.
        view: what the samples show.
        place: of the source in the configuration, for messages.

    Raises:
        ConfigError: if it is another net than the one to train.
        DataError, ModelError: if it holds no parameters of this net.
    """
    found = read_net(source, options.net)
    try:
        widened(options.net, found, table_of(options, view, "landmark" in found.heads))
    except ConfigError as error:
        raise ConfigError(f"{place}: {source}: {error}") from error
    return f"{digest(found.parameters)} {' '.join(found.heads)}"


def teacher_digest(source: str, options: TrainingOptions, view: View, place: str) -> str:
    """What a training learns from, as a digest; arguments and other errors as for `initial_digest`.

    Raises:
        ConfigError: if the net cannot teach, see `check_teacher`.
    """
    found = read_net(source, options.net)
    try:
        check_teacher(options.net, found, view)
    except ConfigError as error:
        raise ConfigError(f"{place}: {source}: {error}") from error
    return digest(found.parameters)


def begins_with(last: Path, init: str | None, net: str) -> bool:
    """Whether a training, whose last checkpoint is `last`, began with the parameters that `init` holds now.

    They may be others if the step before has trained another net since.
    """
    if init is None or not last.is_file():
        return True
    return bool(read_checkpoint(last).about.get("initial") == digest(read_net(init, net).parameters))
