"""Runtimes for the three nets. `create` picks one; nothing else in the package imports a framework to detect."""

from mtcnn_gluon.bundle import Bundle
from mtcnn_gluon.engines.base import Engine
from mtcnn_gluon.errors import ConfigError

ENGINES = ("mxnet",)  # fastest first


def create(engine: str, bundle: Bundle, device: str = "cpu", threads: int | None = None) -> Engine:
    """The engine named `engine` (`auto`: the fastest one that is installed) with the nets of `bundle`.

    Raises:
        ConfigError: if there is no such engine.
        ModelError: if its runtime is not installed, or cannot run this bundle on this device.
    """
    if engine not in ("auto", *ENGINES):
        raise ConfigError(f"engine must be one of auto, {', '.join(ENGINES)}, not {engine!r}")
    from mtcnn_gluon.engines.mxnet import MXNetEngine

    return MXNetEngine(bundle, device, threads)
