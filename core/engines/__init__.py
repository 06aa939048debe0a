"""Runtimes for the three nets. `create` picks one; nothing else in the package imports a framework to detect."""

import re

import numpy as np

from mtcnn_gluon.bundle import Bundle
from mtcnn_gluon.config import NETS
from mtcnn_gluon.engines.base import Engine
from mtcnn_gluon.errors import ConfigError, shown
from mtcnn_gluon.mxnet_loader import set_threads
from mtcnn_gluon.pyramid import CANVAS_SIZES

ENGINES = ("mxnet",)  # fastest first
WARM_BATCHES = (1, 2, 4, 8, 16, 32)


def prepare(engine: str, device: str, threads: int | None = None) -> None:
    """Check the names of an engine and a device, and set the number of threads, which a runtime reads when it is loaded.

    Raises:
        ConfigError: if there is no such engine, the device is not of the form cpu, gpu or gpu:N, or the runtime already runs
            with another number of threads.
    """
    if not isinstance(engine, str) or engine not in ("auto", *ENGINES):
        raise ConfigError(f"engine must be one of auto, {', '.join(ENGINES)}, not {shown(engine)}")
    if not isinstance(device, str) or not re.fullmatch(r"cpu|gpu(:[0-9]{1,3})?", device):
        raise ConfigError(f"device must be cpu, gpu or gpu:N, not {shown(device)}")
    if threads is not None:
        set_threads(threads)


def create(engine: str, bundle: Bundle, device: str = "cpu") -> Engine:
    """The engine named `engine` (`auto`: the fastest one that is installed) with the nets of `bundle`, warmed up.

    Raises:
        ConfigError: if there is no such engine or device.
        ModelError: if the engine's runtime is not installed, or cannot run this bundle on this device.
    """
    prepare(engine, device)
    from mtcnn_gluon.engines.mxnet import MXNetEngine

    created = MXNetEngine(bundle, device)
    _warm_up(created)
    return created


def _warm_up(engine: Engine) -> None:
    """Show the nets the shapes they will meet, so that no photo pays for what a runtime does at its first sight of one."""
    for height, width in CANVAS_SIZES:
        engine.pnet(np.zeros((1, 3, height, width), np.float32))
    for run, size in ((engine.rnet, NETS.rnet.size), (engine.onet, NETS.onet.size)):
        for count in WARM_BATCHES:
            run(np.zeros((count, 3, size, size), np.float32))
