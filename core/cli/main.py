"""The command `mtcnn-gluon`."""

import argparse
import importlib.metadata
import json
import logging
import os
import platform
import sys
from contextlib import redirect_stdout
from functools import partial
from typing import Any, Callable, Sequence

from mtcnn_gluon import __version__
from mtcnn_gluon.bundles.find import find_bundle, model_names
from mtcnn_gluon.bundles.trained import warnings
from mtcnn_gluon.cli import bench as cli_bench
from mtcnn_gluon.cli import detect as cli_detect
from mtcnn_gluon.cli import evaluate as cli_evaluate
from mtcnn_gluon.cli import export as cli_export
from mtcnn_gluon.cli import pipeline as cli_pipeline
from mtcnn_gluon.cli import prepare as cli_prepare
from mtcnn_gluon.cli import train as cli_train
from mtcnn_gluon.cli.output import put_line
from mtcnn_gluon.cli.parser import Parser
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.engines import ENGINES
from mtcnn_gluon.errors import ModelError, MtcnnError
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.operators.native import load_kernels

PACKAGES = (
    "numpy", "opencv-python", "mxnet", "mxnet-cu112", "gluoncv", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "mtcnn",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 if an input could not be read, 2 for anything else wrong."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # an unreadable photo is reported once, by us
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except MtcnnError as error:
        print(f"mtcnn-gluon: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"mtcnn-gluon: there is not enough memory{f': {error}' if str(error) else ''}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mtcnn-gluon: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        sys.stderr.close()
        return 0
    except OSError as error:
        if not isinstance(error.filename, (str, bytes)):  # not about a file that somebody named
            raise
        print(f"mtcnn-gluon: {printable(os.fsdecode(error.filename))} cannot be used: {error.strerror}", file=sys.stderr)
        return 2


def _parser() -> Parser:
    parser = Parser(prog="mtcnn-gluon", description="MTCNN face detection and alignment.")
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    detect = verbs.add_parser("detect", help="find faces in photos and videos", description=cli_detect.detect.__doc__)
    cli_detect.add_options(detect)
    prepare = verbs.add_parser("prepare", help="make training data", description=cli_prepare.__doc__)
    cli_prepare.add_verbs(prepare)
    train = verbs.add_parser("train", help="train one of the nets", description=cli_train.train.__doc__)
    cli_train.add_options(train)
    pipeline = verbs.add_parser("pipeline", help="the whole recipe", description=cli_pipeline.pipeline.__doc__)
    cli_pipeline.add_options(pipeline)
    evaluate = verbs.add_parser("evaluate", help="measure detectors on annotated photos", description=cli_evaluate.__doc__)
    cli_evaluate.add_options(evaluate)
    export = verbs.add_parser("export", help="write models for use without MXNet", description=cli_export.export.__doc__)
    cli_export.add_options(export)
    bench = verbs.add_parser("bench", help="time detection, against other packages too", description=cli_bench.run.__doc__)
    cli_bench.add_options(bench)
    info_parser = verbs.add_parser("info", help="say what is installed and usable", description=info.__doc__)
    info_parser.add_argument("--json", action="store_true", help="print JSON")
    info_parser.add_argument("--model", action="append", default=[], metavar="FOLDER", help="look at this bundle as well")
    info_parser.set_defaults(run=info)
    return parser


def info(options: argparse.Namespace) -> int:
    """Say which runtimes, native operators and models can be used, or why not."""
    with redirect_stdout(sys.stderr):  # some runtimes print when they are loaded; what we print must stay JSON
        report = _report(options.model)
    if options.json:
        put_line(json.dumps(report, indent=2))
        return 0
    for key, value in report.items():
        if not isinstance(value, dict):
            put_line(f"{key} {value}")
            continue
        put_line(f"{key}:")
        for name, state in value.items():
            put_line(f"  {name}: {state or 'not installed'}")
    return 0


def _report(models: Sequence[str]) -> dict[str, Any]:
    """What there is, `models` too, and of each thing whether it can be used."""
    return {
        "mtcnn-gluon": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "native operators": {"kernels": _state(_instruction_set), "mxnet": _state(_require_native_mxnet)},
        "engines": {**{name: _state(partial(_usable, name)) for name in ENGINES}, "auto": _state(_chosen_engine)},
        "models": {name: _state(partial(_found, name)) for name in (*model_names(), *models)},
    }


def _version(package: str) -> str | None:
    """The installed version of a package; None if there is none, or its metadata are damaged."""
    try:
        return importlib.metadata.version(package) or None
    except (importlib.metadata.PackageNotFoundError, KeyError, OSError):
        return None


def _state(attempt: Callable[[], str]) -> str:
    """What `attempt` says, or `no: ` and why it fails; one thing that is broken must not hide the others."""
    try:
        return printable(attempt())
    except MtcnnError as error:
        return printable(f"no: {error}")
    except Exception as error:  # runtimes raise various kinds
        return printable(f"no: {type(error).__name__}: {error}")


def _instruction_set() -> str:
    return f"yes, for {load_kernels().mtcnn_instruction_set().decode()}"


def _require_native_mxnet() -> str:
    from mtcnn_gluon.operators.mxnet_operators import register

    if reason := register():
        raise ModelError(reason)
    return "yes"


def _usable(engine: str) -> str:
    Detector(engine=engine)
    return "yes"


def _chosen_engine() -> str:
    return f"takes {Detector(engine='auto').engine.name}"


def _found(model: str) -> str:
    return "; ".join(["yes", *warnings(find_bundle(model).manifest)])
