"""The verb `mtcnn-gluon info`."""

import argparse
import importlib.metadata
import json
import platform
import sys
from contextlib import redirect_stdout
from typing import Any, Callable, Sequence

from mtcnn_gluon import __version__
from mtcnn_gluon.bundles.find import find_bundle, model_names
from mtcnn_gluon.bundles.trained import warnings
from mtcnn_gluon.cli.output import put_line
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.engines import ENGINES
from mtcnn_gluon.errors import ModelError, MtcnnError
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.operators.native import PEAK_SECONDS, has_bfloat16, load_kernels

PACKAGES = (
    "numpy", "opencv-python", "mxnet", "mxnet-cu112", "gluoncv", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "torch",
    "mtcnn", "av", "edgefirst-tracker",
)  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `info`."""
    parser.set_defaults(run=info)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--model", action="append", default=[], metavar="FOLDER", help="check this bundle as well")


def info(options: argparse.Namespace) -> int:
    """Show which runtimes, native operators and models can be used, or why not."""
    with redirect_stdout(sys.stderr):  # some runtimes print while loading, and the output must be JSON
        report = _report(options.model)
    if options.json:
        put_line(json.dumps(report, indent=2))
        return 0
    for key, value in report.items():
        if isinstance(value, dict):
            put_line(f"{key}:")
            for name, state in value.items():
                put_line(f"  {name}: {state or 'not installed'}")
        else:
            put_line(f"{key} {value}")
    return 0


def _report(models: Sequence[str]) -> dict[str, Any]:
    """Versions, and whether each set of operators, engine and model can be used; `models` are additional bundles."""
    return {
        "mtcnn-gluon": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "processor": {"instruction set": _state(_instruction_set), "peak of one thread": _state(_peak)},
        "native operators": {"kernels": _state(_kernels), "mxnet": _state(_mxnet_operators)},
        "engines": {name: _state(_engine, name) for name in (*ENGINES, "auto")},
        "models": {name: _state(_model, name) for name in (*model_names(), *models)},
    }


def _version(package: str) -> str | None:
    """The installed version of a package; None if it is missing or its metadata are damaged."""
    try:
        return importlib.metadata.version(package) or None
    except (importlib.metadata.PackageNotFoundError, KeyError, OSError):
        return None


def _state(attempt: Callable[..., str], *arguments: str) -> str:
    """The result of `attempt(*arguments)`, or `no: ` and why it failed; all other parts are shown anyway."""
    try:
        return printable(attempt(*arguments))
    except MtcnnError as error:
        return printable(f"no: {error}")
    except Exception as error:  # runtimes raise various kinds
        return printable(f"no: {type(error).__name__}: {error}")


def _kernels() -> str:
    return f"yes, for {load_kernels().mtcnn_instruction_set().decode()}"


def _instruction_set() -> str:
    return load_kernels().mtcnn_instruction_set().decode() + (", bfloat16" if has_bfloat16() else "")


def _peak() -> str:
    return f"{load_kernels().mtcnn_peak_flops(PEAK_SECONDS) / 1e9:.0f} GFLOP/s in float32"


def _mxnet_operators() -> str:
    from mtcnn_gluon.operators.mxnet_operators import register

    if reason := register():
        raise ModelError(reason)
    return "yes"


def _engine(name: str) -> str:
    found = Detector(engine=name).engine.name
    return f"takes {found}" if name == "auto" else "yes"


def _model(name: str) -> str:
    manifest = find_bundle(name).manifest
    return "; ".join(["yes", *warnings(manifest), f"licence: {manifest['licence']}"])
