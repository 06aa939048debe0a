"""The identity of a training run, which must be the same in a resumed run, and its environment, which should be the same."""

import hashlib
import json
import logging
import os
from typing import Any, Callable, Mapping, Sequence

import numpy as np

import mtcnn_gluon
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators.native import kernels
from mtcnn_gluon.training.workers import Workers

logger = logging.getLogger(__name__)

# of keys that need one in messages
TITLES = {"validation": "validation records", "initial": "initial parameters", "teacher": "teacher's parameters"}
MADE_WITH = ("mtcnn-gluon", "mxnet")  # entries of `environment_of` that all workers must share
DATA = ("samples", "records", "validation")
SHOWN = 12  # digits of a digest


def digest(parameters: Mapping[str, np.ndarray]) -> str:
    """A digest of the names and values of parameters."""
    parts = (name.encode() + np.ascontiguousarray(value, np.float32).tobytes() for name, value in sorted(parameters.items()))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def check_same(path: str | os.PathLike, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Compare the identity of a run in the checkpoint `path` with that of the run which resumes it.

    Args:
        found, expected: by key, a value or values by name. Keys that only `found` has are ignored.

    Raises:
        ConfigError: if something differs. The message says what, and what to do.
    """
    changed = [key for key in expected if found.get(key) != expected[key]]
    if not changed:
        return
    text = _differences(found, expected, changed, "{name} was {old}, is {new}")
    remedy = f". Give the same again, or begin another run with --init {path}" if set(changed) & set(DATA) else ""
    raise ConfigError(f"{path} is of a run with other {_titles(changed)}: {text}{remedy}")


def check_same_for_all(workers: Workers, identity: Mapping[str, Any] | None, environment: Mapping[str, str]) -> None:
    """Compare the run of this worker with that of the first one, for which this waits.

    Args:
        identity: as `expected` in `check_same`; None if this worker's run cannot be made: then this only waits.
        environment: see `environment_of`.

    Raises:
        ConfigError: if something differs. The message says what.
    """
    own = None if identity is None else {"version": {name: environment[name] for name in MADE_WITH}, **identity}
    first = json.loads(workers.bytes_from_first(json.dumps(own).encode()))
    if own is None or not (changed := [key for key in own if first.get(key) != own[key]]):
        return
    text = _differences(first, own, changed, "{name} is {new}, there {old}")
    raise ConfigError(f"worker {workers.share.rank} differs from worker 0 in {_titles(changed)}: {text}")


def _titles(keys: Sequence[str]) -> str:
    return ", ".join(TITLES.get(key, key) for key in keys)


def _differences(found: Mapping[str, Any], expected: Mapping[str, Any], keys: Sequence[str], form: str) -> str:
    """What differs below these keys, each in the words of `form`."""
    differences = []
    for key in keys:
        old, new = _by_name(key, found.get(key)), _by_name(key, expected[key])
        names = [name for name in dict.fromkeys([*new, *old]) if old.get(name) != new.get(name)]
        show: Callable[[Any], str] = str if key in ("options", "version") else _shown
        differences += [form.format(name=name, old=show(old.get(name)), new=show(new.get(name))) for name in names]
    return "; ".join(differences)


def _by_name(key: str, value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {} if value is None else {key: value}


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)[:SHOWN]


def environment_of(devices: Sequence[Any], workers: int = 1) -> dict[str, str]:
    """Versions and hardware of a run on MXNet's contexts `devices`. With others the same run ends with other bits."""
    library = kernels()
    return {
        "mtcnn-gluon": mtcnn_gluon.__version__,
        "mxnet": load_mxnet().__version__,
        "kernels": "none" if library is None else library.mtcnn_instruction_set().decode(),
        "device": devices[0].device_type,
        "workers": str(workers),
    }


def warn_if_changed(path: str | os.PathLike, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Warn if the checkpoint `path` was made in another environment than the present one."""
    names = [name for name, value in expected.items() if found.get(name) != value]
    others = [f"{name} was {found.get(name, 'unknown')}, is {expected[name]}" for name in names]
    if others:
        logger.warning(
            "%s was made with something else (%s): the run goes on, but will not end with the same bits as if not interrupted",
            path, "; ".join(others),
        )  # fmt: skip
