"""Runtimes for the three nets. `create` picks one; nothing else in the package imports a framework to detect."""

import re
from typing import Callable

import numpy as np

from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.config import HEADS, NETS
from mtcnn_gluon.engines.base import CANVAS_SIZES, Engine, NetRunner, first_line
from mtcnn_gluon.errors import ConfigError, ModelError, Unavailable, shown
from mtcnn_gluon.operators.native import kernels

ENGINES = ("native", "openvino", "openvino-bf16", "onnx", "mxnet")
AUTO = ("native", "openvino", "onnx", "mxnet")  # fastest first; bfloat16 only for those who ask for it
AUTO_BASELINE = ("openvino", "onnx", "native", "mxnet")  # where the kernels have no AVX2
WARM_BATCHES = (1, 2, 4, 8, 16, 32)


def check_names(engine: str, device: str) -> None:
    """Check the names of an engine and a device.

    Raises:
        ConfigError: if there is no such engine, or the device is not of the form cpu, gpu or gpu:N.
    """
    if not isinstance(engine, str) or engine not in ("auto", *ENGINES):
        raise ConfigError(f"engine must be one of auto, {', '.join(ENGINES)}, not {shown(engine)}")
    if not isinstance(device, str) or not re.fullmatch(r"cpu|gpu(:[0-9]{1,3})?", device):
        raise ConfigError(f"device must be cpu, gpu or gpu:N, not {shown(device)}")


def create(engine: str, bundle: Bundle, device: str = "cpu", threads: int | None = None) -> Engine:
    """The engine named `engine` with the nets of `bundle`, warmed up where that is of use.

    `auto` is the first of `auto_order` whose runtime is installed, for which the bundle holds files, and that knows the device.

    Raises:
        ConfigError: if there is no such engine or device, or MXNet already runs with another number of threads.
        ModelError: if the engine's runtime is not installed, or cannot run this bundle on this device.
    """
    check_names(engine, device)
    reasons = []
    for name in auto_order() if engine == "auto" else (engine,):
        try:
            created = _class_of(name)(bundle, device, threads)
        except Unavailable as error:
            reasons.append(f"{name}: {error}" if engine == "auto" else str(error))
            continue
        _warm_up(created, bundle)
        return created
    raise Unavailable("no engine can be used. " * (engine == "auto") + "; ".join(reasons))


def auto_order() -> tuple[str, ...]:
    """The engines that `auto` tries, fastest first for this processor."""
    library = kernels()
    return AUTO_BASELINE if library and library.mtcnn_instruction_set() == b"baseline" else AUTO


def _class_of(name: str) -> Callable[[Bundle, str, int | None], NetRunner]:
    if name == "native":
        from mtcnn_gluon.engines.native import NativeEngine

        return NativeEngine
    if name == "mxnet":
        from mtcnn_gluon.engines.mxnet import MXNetEngine

        return MXNetEngine
    if name == "onnx":
        from mtcnn_gluon.engines.onnx import OnnxEngine

        return OnnxEngine
    from mtcnn_gluon.engines.openvino import OpenVinoBf16Engine, OpenVinoEngine

    return OpenVinoEngine if name == "openvino" else OpenVinoBf16Engine


def _warm_up(engine: NetRunner, bundle: Bundle) -> None:
    """Show the nets the shapes they will meet, so that no photo pays for what a runtime does at its first sight of one.

    One shape of each net, to see that it runs, if the engine needs no warming.

    Raises:
        ModelError: if a net cannot run, or its outputs are not those that the manifest promises.
    """
    for net, table in NETS.items():
        heads = [head for head in HEADS if bundle.manifest["architecture"][net]["landmarks"] or head != "landmark"]
        if net == "pnet":
            shapes = [(1, 3, height, width) for height, width in CANVAS_SIZES]
        else:
            shapes = [(count, 3, table.size, table.size) for count in WARM_BATCHES]
        for shape in shapes if engine.needs_warming else shapes[:1]:
            cells = [(side - 10) // 2 for side in shape[2:]] if net == "pnet" else []
            _check_outputs(engine, net, shape, [(shape[0], HEADS[head], *cells) for head in heads], bundle)


def _check_outputs(
    engine: NetRunner, net: str, shape: tuple[int, ...], expected: list[tuple[int, ...]], bundle: Bundle
) -> None:
    file = bundle.file(f"{net}{engine.ending}")
    try:
        found = [tuple(output.shape) for output in engine.run(net, np.zeros(shape, np.float32))]
    except Exception as error:  # runtimes raise various kinds
        raise ModelError(f"{file} cannot run on images of shape {shape}: {first_line(error)}") from error
    if found != expected:
        raise ModelError(f"{file} was expected to return arrays of shapes {expected} for {shape}, not {found}")
