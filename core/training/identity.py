"""What a training run is of, and what it is computed with: the one must be the same when it is resumed, the other should be."""

import hashlib
import logging
import os
from typing import Any, Mapping, Sequence

import numpy as np

import mtcnn_gluon
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators.native import kernels

logger = logging.getLogger(__name__)

TITLES = {"validation": "validation records", "initial": "initial parameters"}  # of keys that do not say it
DATA = ("samples", "records", "validation")
SHOWN = 12  # digits of a digest


def digest(parameters: Mapping[str, np.ndarray]) -> str:
    """Changes with names and values of parameters."""
    parts = (name.encode() + np.ascontiguousarray(value, np.float32).tobytes() for name, value in sorted(parameters.items()))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def check_same(path: str | os.PathLike, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Compare what a checkpoint says its run is of with what it is to go on with.

    Args:
        path: of the checkpoint.
        found, expected: by key, a value or values by name. What `found` has beside the keys of `expected` does not matter.

    Raises:
        ConfigError: if something differs; the message says what, and how to go on.
    """
    changed = [key for key in expected if found.get(key) != expected[key]]
    if not changed:
        return
    differences = "; ".join(each for key in changed for each in _differences(key, found.get(key), expected[key]))
    remedy = f". Give the same again, or begin another run with --init {path}" if set(changed) & set(DATA) else ""
    titles = ", ".join(TITLES.get(key, key) for key in changed)
    raise ConfigError(f"{path} is of a run with other {titles}: {differences}{remedy}")


def _differences(key: str, found: Any, expected: Any) -> list[str]:
    if isinstance(found, dict) or isinstance(expected, dict):
        found, expected = found or {}, expected or {}
    else:
        found, expected = {key: found}, {key: expected}
    names = [name for name in dict.fromkeys([*expected, *found]) if found.get(name) != expected.get(name)]
    show = str if key == "options" else _shown
    return [f"{name} was {show(found.get(name))}, is {show(expected.get(name))}" for name in names]


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)[:SHOWN]


def surroundings(devices: Sequence[Any]) -> dict[str, str]:
    """What a run is computed with, on MXNet's contexts `devices`: in other surroundings the same run ends with other bits."""
    library = kernels()
    return {
        "mtcnn-gluon": mtcnn_gluon.__version__,
        "mxnet": load_mxnet().__version__,
        "kernels": "none" if library is None else library.mtcnn_instruction_set().decode(),
        "device": devices[0].device_type,
    }


def warn_of_others(path: str | os.PathLike, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Warn if a checkpoint was made in other surroundings than those it is to go on in."""
    names = [name for name, value in expected.items() if found.get(name) != value]
    changed = [f"{name} was {found.get(name, 'unknown')}, is {expected[name]}" for name in names]
    if changed:
        logger.warning(
            "%s was made with something else (%s): the run goes on, but will not end with the same bits as if not interrupted",
            path, "; ".join(changed),
        )  # fmt: skip
