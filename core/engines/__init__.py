"""Runtimes for the three nets. `create` picks one; nothing else in the package imports a framework to detect."""

import re

from mtcnn_gluon.bundle import Bundle
from mtcnn_gluon.engines.base import Engine
from mtcnn_gluon.errors import ConfigError, shown

ENGINES = ("mxnet",)  # fastest first


def check(engine: str, device: str) -> None:
    """Check the names of an engine and a device, without loading anything.

    Raises:
        ConfigError: if there is no such engine, or the device is not of the form cpu, gpu or gpu:N.
    """
    if not isinstance(engine, str) or engine not in ("auto", *ENGINES):
        raise ConfigError(f"engine must be one of auto, {', '.join(ENGINES)}, not {shown(engine)}")
    if not isinstance(device, str) or not re.fullmatch(r"cpu|gpu(:[0-9]{1,3})?", device):
        raise ConfigError(f"device must be cpu, gpu or gpu:N, not {shown(device)}")


def create(engine: str, bundle: Bundle, device: str = "cpu", threads: int | None = None) -> Engine:
    """The engine named `engine` (`auto`: the fastest one that is installed) with the nets of `bundle`.

    Raises:
        ConfigError: if there is no such engine or device.
        ModelError: if the engine's runtime is not installed, or cannot run this bundle on this device.
    """
    check(engine, device)
    from mtcnn_gluon.engines.mxnet import MXNetEngine

    return MXNetEngine(bundle, device, threads)
