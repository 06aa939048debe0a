"""The verb `mtcnn-gluon export`."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any, Iterator, Sequence

import numpy as np

from mtcnn_gluon.bundles.find import find_bundle, model_names
from mtcnn_gluon.bundles.format import MANIFEST, Bundle
from mtcnn_gluon.bundles.trained import warnings
from mtcnn_gluon.cli.output import put_line
from mtcnn_gluon.config import MAX_FACE, MIN_FACE
from mtcnn_gluon.errors import ConfigError, ModelError
from mtcnn_gluon.export.bundle_files import BundlePart, export_bundle, make_bundle, usual_formats, why_not_written
from mtcnn_gluon.export.int8 import add_int8
from mtcnn_gluon.io.images import is_url
from mtcnn_gluon.io.inputs import Search
from mtcnn_gluon.prepare_data.annotations import spread

INT8_PHOTOS = 64


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `export`."""
    parser.set_defaults(run=export)
    sources = "a model that info lists, a bundle folder, a training run, a folder of runs, or a pipeline's"
    parser.add_argument("source", metavar="SOURCE", help=sources)
    parser.add_argument("dest", metavar="DEST", help="folder of the bundle to make; a bundle there is replaced")
    kind = parser.add_argument_group(
        "formats", "by default: params, and symbols and ONNX if MXNet and onnx are installed or SOURCE has them"
    )
    kind.add_argument("--onnx", action="store_true", help="only ONNX: pnet.onnx, rnet.onnx, onet.onnx")
    kind.add_argument("--onefile", action="store_true", help="also the whole cascade as one file, mtcnn.onnx")
    photos = f"also the nets in 8 bits, for the engine native-int8, fitted to at most {INT8_PHOTOS} photos with faces"
    kind.add_argument("--int8", nargs="+", metavar="PATH", help=photos)
    smallest = f"smallest face in pixels that mtcnn.onnx looks for ({MIN_FACE:g})"
    kind.add_argument("--min-face", type=float, default=MIN_FACE, metavar="N", help=smallest)
    about = parser.add_argument_group("manifest", "a bundle keeps its own values unless given")
    about.add_argument("--name", help="name of the model (for a run: the name of DEST)")
    about.add_argument("--training-data", metavar="TEXT", help="photos that the model was trained on")
    about.add_argument("--licence", metavar="TEXT", help="licence of the model")
    about.add_argument("--thresholds", type=float, nargs=3, metavar=("P", "R", "O"), help="face probabilities in 0..1")


def export(options: argparse.Namespace) -> int:
    """Write a model as a bundle that runs without MXNet: parameters, ONNX files and, where MXNet is installed, symbols."""
    if not 1 <= options.min_face <= MAX_FACE:
        raise ConfigError(f"--min-face must be a number of pixels, 1 or more, not {options.min_face}")
    if options.dest == "-" or is_url(options.dest):
        raise ConfigError(f"DEST must be a folder, not {options.dest!r}")
    inside = os.path.join(options.source, "bundle")  # of a pipeline's folder
    source = inside if os.path.isfile(os.path.join(inside, MANIFEST)) else options.source
    given = {key: getattr(options, key) for key in ("name", "training_data", "licence", "thresholds")}
    changes = {key: value for key, value in given.items() if value is not None}
    photos = list(_photos(options.int8)) if options.int8 else []  # read first: what cannot be read leaves no bundle behind
    if is_bundle(source):
        before = find_bundle(source)
        bundle = export_bundle(before, options.dest, _formats(options, before, changes), changes, options.min_face)
    else:
        bundle = _export_runs(options, changes)
    if photos:
        bundle = add_int8(bundle, photos)
    for warning in warnings(bundle.manifest):
        print(f"mtcnn-gluon: warning: {bundle.path}: {warning}", file=sys.stderr)
    put_line(f"{bundle.path}: {', '.join(sorted(bundle.manifest['files']))}")
    return 0


def _photos(paths: Sequence[str]) -> Iterator[np.ndarray]:
    """At most `INT8_PHOTOS` of the photos, evenly spread.

    Raises:
        ConfigError: if there are none.
        ImageError: if one of them cannot be read.
    """
    search = Search(paths, takes_videos=False)
    for note in search.notes():
        print(f"mtcnn-gluon: note: {note}", file=sys.stderr)
    if not search.found:
        raise ConfigError(f"--int8: no photo found in {', '.join(paths)}")
    for found in spread(search.found, INT8_PHOTOS):
        yield found.read()


def is_bundle(source: str) -> bool:
    """Whether SOURCE is a model bundle; otherwise it is a training run or a folder of runs.

    Raises:
        ConfigError: if it does not exist.
    """
    if source in model_names() or os.path.isfile(os.path.join(source, MANIFEST)):
        return True
    if not os.path.exists(source):
        raise ConfigError(
            f"{source!r} does not exist: expected {', '.join(model_names())}, a bundle's folder or a training run"
        )
    return False


def _formats(options: argparse.Namespace, source: Bundle | None, changes: dict[str, Any]) -> tuple[BundlePart, ...]:
    """The requested formats; prints which of the usual ones are left out."""
    formats: tuple[BundlePart, ...] = ("onnx",) if options.onnx else usual_formats(source, changes)
    formats += ("onefile",) if options.onefile else ()
    for part in formats:
        if reason := why_not_written(part, source, changes):
            raise ModelError(reason)
    names: dict[BundlePart, str] = {"symbol": "symbol files", "onnx": "ONNX files"}
    for part, files in names.items():
        if not options.onnx and part not in formats:
            print(f"mtcnn-gluon: note: {files} are left out: {why_not_written(part, source, changes)}", file=sys.stderr)
    return formats


def _export_runs(options: argparse.Namespace, changes: dict[str, Any]) -> Bundle:
    from mtcnn_gluon.training.runs import read_runs

    formats = _formats(options, None, changes)
    nets = read_runs(options.source)
    about = {"name": Path(options.dest).resolve().name, "training_data": "not stated", "licence": "not stated", **changes}
    figures = {"training": {net: trained.figures for net, trained in nets.items()}}
    return make_bundle(options.dest, nets, **about, formats=formats, figures=figures, min_face=options.min_face)
