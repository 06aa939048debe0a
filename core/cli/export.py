"""The verb `mtcnn-gluon export`."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from mtcnn_gluon.bundles.format import MANIFEST, Bundle, find_bundle, model_names
from mtcnn_gluon.bundles.trained import warnings
from mtcnn_gluon.cli.output import put_line
from mtcnn_gluon.detection.options import MAX_FACE
from mtcnn_gluon.errors import ConfigError, ModelError
from mtcnn_gluon.export.bundle_files import MIN_FACE, Format, export_bundle, make_bundle, usual_formats, why_not_written
from mtcnn_gluon.io.images import is_url


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `export`."""
    parser.set_defaults(run=export)
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a model that info lists, a bundle folder, a training run, a folder of runs, or a pipeline's",
    )
    parser.add_argument("dest", metavar="DEST", help="folder of the bundle to make; a bundle there is replaced")
    kind = parser.add_argument_group(
        "formats", "without these: params, and symbols and ONNX if MXNet and onnx are installed or SOURCE has them"
    )
    kind.add_argument("--onnx", action="store_true", help="only ONNX: pnet.onnx, rnet.onnx, onet.onnx")
    kind.add_argument("--onefile", action="store_true", help="also the whole cascade as one file, mtcnn.onnx")
    kind.add_argument(
        "--min-face",
        type=float,
        default=MIN_FACE,
        metavar="N",
        help=f"smallest face in pixels that mtcnn.onnx looks for ({MIN_FACE:g})",
    )
    about = parser.add_argument_group("manifest", "of a bundle these are kept unless given")
    about.add_argument("--name", help="of the model (for a run: the name of DEST)")
    about.add_argument("--training-data", metavar="TEXT", help="what the model was trained on")
    about.add_argument("--licence", metavar="TEXT", help="under which the model may be used")
    about.add_argument("--thresholds", type=float, nargs=3, metavar=("P", "R", "O"), help="face probabilities in 0..1")


def export(options: argparse.Namespace) -> int:
    """Write a model as a bundle that needs no MXNet to be run: parameters, ONNX files and, where MXNet is, symbols."""
    if not 1 <= options.min_face <= MAX_FACE:
        raise ConfigError(f"--min-face must be a number of pixels, 1 or more, not {options.min_face}")
    if options.dest == "-" or is_url(options.dest):
        raise ConfigError(f"DEST must be a folder, not {options.dest!r}")
    changes = {key: getattr(options, key) for key in ("name", "training_data", "licence") if getattr(options, key) is not None}
    source = _finished_bundle(options.source)
    if is_bundle(source):
        if options.thresholds:
            changes["thresholds"] = options.thresholds
        before = find_bundle(source)
        bundle = export_bundle(before, options.dest, _formats(options, before, changes), changes, options.min_face)
    else:
        bundle = _export_runs(options, _formats(options, None, changes), changes)
    for warning in warnings(bundle.manifest):
        print(f"mtcnn-gluon: warning: {bundle.path}: {warning}", file=sys.stderr)
    put_line(f"{bundle.path}: {', '.join(sorted(bundle.manifest['files']))}")
    return 0


def _finished_bundle(source: str) -> str:
    """The bundle in the folder of a pipeline's run, if it is one; else the source itself."""
    inside = os.path.join(source, "bundle")
    return inside if os.path.isfile(os.path.join(inside, MANIFEST)) else source


def is_bundle(source: str) -> bool:
    """Whether a SOURCE is a model bundle rather than training runs.

    Raises:
        ConfigError: if it is nothing at all.
    """
    if source in model_names() or os.path.isfile(os.path.join(source, MANIFEST)):
        return True
    if not os.path.exists(source):
        raise ConfigError(
            f"{source!r} does not exist: expected {', '.join(model_names())}, a bundle's folder or a training run"
        )
    return False


def _formats(options: argparse.Namespace, source: Bundle | None, changes: dict[str, Any]) -> tuple[Format, ...]:
    """The formats that the options ask for; says which of the usual ones are left out."""
    formats: tuple[Format, ...] = ("onnx",) if options.onnx else usual_formats(source, changes)
    formats += ("onefile",) if options.onefile else ()
    for kind in formats:
        if reason := why_not_written(kind, source, changes):
            raise ModelError(reason)
    names: dict[Format, str] = {"symbol": "symbol files", "onnx": "ONNX files"}
    for kind, files in names.items():
        if not options.onnx and kind not in formats:
            print(f"mtcnn-gluon: note: {files} are left out: {why_not_written(kind, source, changes)}", file=sys.stderr)
    return formats


def _export_runs(options: argparse.Namespace, formats: tuple[Format, ...], changes: dict[str, Any]) -> Bundle:
    from mtcnn_gluon.training.runs import read_runs

    nets = read_runs(options.source)
    about = {"name": Path(options.dest).resolve().name, "training_data": "not stated", "licence": "not stated", **changes}
    return make_bundle(
        options.dest, nets, **about, thresholds=options.thresholds, formats=formats, min_face=options.min_face,
        figures={"training": {net: trained.figures for net, trained in nets.items()}},
    )  # fmt: skip
