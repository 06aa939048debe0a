"""Runtimes for the three nets. `create` picks one; detection imports a framework nowhere else."""

import re
from importlib import import_module

import numpy as np

from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.config import HEADS
from mtcnn_gluon.engines.base import CANVAS_SIZES, Engine
from mtcnn_gluon.errors import ConfigError, ModelError, Unavailable, last_line, shown
from mtcnn_gluon.layers import heads_of, output_side
from mtcnn_gluon.operators.native import kernels

_CLASSES = {  # module and class of each engine; a module is imported only when its engine is used
    "native": ("native", "NativeEngine"),
    "native-int8": ("native", "NativeInt8Engine"),
    "openvino": ("openvino", "OpenVinoEngine"),
    "openvino-bf16": ("openvino", "OpenVinoBf16Engine"),
    "onnx": ("onnx", "OnnxEngine"),
    "mxnet": ("mxnet", "MXNetEngine"),
    "torch": ("torch", "TorchEngine"),
    "torch-fp16": ("torch", "TorchHalfEngine"),
}
ENGINES = tuple(_CLASSES)
AUTO = ("native", "openvino", "onnx", "mxnet")  # fastest first; fewer bits only on request
AUTO_BASELINE = ("openvino", "onnx", "native", "mxnet")  # for processors without AVX2
AUTO_GPU = ("torch", "onnx", "mxnet")
WARM_BATCHES = (1, 2, 4, 8, 16, 32)


def check_names(engine: str, device: str) -> None:
    """Raise a `ConfigError` if there is no such engine, or the device is none of cpu, gpu, gpu:N, cuda, cuda:N and mps."""
    if not isinstance(engine, str) or engine not in ("auto", *ENGINES):
        raise ConfigError(f"engine must be one of auto, {', '.join(ENGINES)}, not {shown(engine)}")
    if not isinstance(device, str) or not re.fullmatch(r"cpu|mps|(gpu|cuda)(:[0-9]{1,3})?", device):
        raise ConfigError(f"device must be cpu, gpu, gpu:N, cuda, cuda:N or mps, not {shown(device)}")


def create(engine: str, bundle: Bundle, device: str = "cpu", threads: int | None = None) -> Engine:
    """The engine named `engine` with the nets of `bundle`, warmed up if that helps.

    `auto` stands for the first engine of `auto_order` whose runtime is installed, that supports the device, and for which the
    bundle has files.

    Raises:
        ConfigError: if there is no such engine or device, or MXNet is already running with another number of threads.
        ModelError: if the engine's runtime is not installed, or cannot run this bundle on this device.
    """
    check_names(engine, device)
    reasons = []
    for name in auto_order(device) if engine == "auto" else (engine,):
        module, class_name = _CLASSES[name]
        try:
            created = getattr(import_module(f"{__name__}.{module}"), class_name)(bundle, device, threads)
        except Unavailable as error:
            reasons.append(f"{name}: {error}" if engine == "auto" else str(error))
            continue
        _warm_up(created, bundle)
        return created
    raise Unavailable("no engine can be used. " * (engine == "auto") + "; ".join(reasons))


def auto_order(device: str = "cpu") -> tuple[str, ...]:
    """The engines that `auto` tries, fastest first for this processor or for a GPU."""
    if device != "cpu":
        return AUTO_GPU
    library = kernels()
    return AUTO_BASELINE if library and library.mtcnn_instruction_set() == b"baseline" else AUTO


def _warm_up(engine: Engine, bundle: Bundle) -> None:
    """Run the nets on zeros and check the shapes of their outputs.

    An engine that needs warming gets every shape that detection uses, so that no image waits for it. Others get one shape.

    Raises:
        ModelError: if a net cannot run, or its outputs do not match the manifest.
    """
    for net, table in bundle.manifest["architecture"].items():
        file, is_pnet, size = bundle.file(f"{net}{engine.ending}"), net == "pnet", table["size"]
        shapes = [(1, 3, *canvas) for canvas in CANVAS_SIZES] if is_pnet else [(n, 3, size, size) for n in WARM_BATCHES]
        for shape in shapes if engine.needs_warming else shapes[:1]:
            cells = [output_side(table, side) for side in shape[2:]] if is_pnet else []
            expected = [(shape[0], HEADS[head], *cells) for head in heads_of(table)]
            try:
                found = [tuple(output.shape) for output in engine.run(net, np.zeros(shape, np.float32))]
            except Exception as error:  # each runtime raises its own classes of errors
                raise ModelError(f"{file} cannot run on images of shape {shape}: {last_line(error)}") from error
            if found != expected:
                raise ModelError(f"{file} was expected to return arrays of shapes {expected} for {shape}, not {found}")
