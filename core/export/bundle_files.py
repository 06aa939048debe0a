"""Writing model bundles from parameters or from another bundle."""

import importlib.util
import math
import os
from pathlib import Path
from typing import Any, Iterable, Literal, Mapping

import numpy as np

from mtcnn_gluon.bundles import onnx_nets, params_file
from mtcnn_gluon.bundles.format import Bundle, new_manifest, write_bundle
from mtcnn_gluon.bundles.parameters import bundle_parameters
from mtcnn_gluon.bundles.trained import TrainedNet, heads_in, without_untrained
from mtcnn_gluon.config import MIN_FACE, NETS
from mtcnn_gluon.errors import ModelError, install_command, last_line
from mtcnn_gluon.layers import Parameters, check_parameters, parameter_shapes
from mtcnn_gluon.mxnet_loader import load_mxnet, why_not_mxnet
from mtcnn_gluon.operators.int8_layers import ENDING as INT8

BundlePart = Literal["symbol", "params", "onnx", "onefile", "int8"]
ONEFILE = "mtcnn.onnx"
_ENDINGS = {
    "symbol": ("-symbol.json", "-0000.params"),
    "params": ("-0000.params",),
    "onnx": (".onnx",),
    "int8": (INT8,),
}  # of a net's files


def why_not_written(part: BundlePart, source: Bundle | None = None, changes: Mapping[str, Any] | None = None) -> str | None:
    """Why `export_bundle` cannot write or copy a part of a bundle here; None if it can.

    A part that cannot be written is copied if the source has it and no contents would change.

    Args:
        part: the part.
        source: the bundle to export; None for a bundle of other nets.
        changes: changes to the source's manifest.
    """
    reason = _why_not_new(part)
    if reason is None or source is None or part == "onefile" or not set(_names(part)) <= set(source.manifest["files"]):
        return reason
    before, after = (onnx_nets.describe({**source.manifest, **more}) for more in ({}, changes or {}))
    changed = [key for key in after if before[key] != after[key]]
    if part == "onnx" and changed:
        return f"{reason}; those of {source.path} cannot be copied, as they state the old {', '.join(changed)}"
    return None


def _why_not_new(part: BundlePart) -> str | None:
    """Why a part cannot be written here, as far as this is known without loading MXNet; None if it can."""
    if part == "params":
        return None
    if part == "int8":
        return "nets in 8 bits are fitted to photos: give --int8 PHOTOS"
    if part != "symbol":
        return None if importlib.util.find_spec("onnx") else f"onnx is not installed: run {install_command('export')}"
    return why_not_mxnet()


def _names(part: BundlePart) -> list[str]:
    """Names of the nets' files in a part."""
    return [f"{net}{ending}" for net in NETS for ending in _ENDINGS[part]]


def usual_formats(source: Bundle | None = None, changes: Mapping[str, Any] | None = None) -> tuple[BundlePart, ...]:
    """The parts that a bundle can have here, see `why_not_written`.

    These are `symbol` or otherwise `params`; `onnx`; and `int8` if the source has it.
    """
    first: BundlePart = "params" if why_not_written("symbol", source, changes) else "symbol"
    others: tuple[BundlePart, ...] = ("onnx", "int8")
    return (first, *(part for part in others if not why_not_written(part, source, changes)))


def write_nets(
    folder: Path, manifest: Mapping[str, Any], parameters: Mapping[str, Parameters], formats: Iterable[BundlePart],
    min_face: float = MIN_FACE,
) -> None:  # fmt: skip
    """Write the nets' files.

    Args:
        folder: the folder for the files.
        manifest: the bundle's manifest; `files` and `schema` are ignored.
        parameters: the parameters of each net.
        formats: `symbol`: `{p,r,o}net-symbol.json` and `-0000.params`; `params`: only the latter; `onnx`: `{p,r,o}net.onnx`;
            `onefile`: the whole cascade as `mtcnn.onnx`.
        min_face: smallest face in pixels that `mtcnn.onnx` finds by default, 1 or more.

    Raises:
        ModelError: if parameters do not fit their net, a library for a format is missing, or MXNet cannot write its files.
    """
    formats = tuple(formats)
    values = {net: check_parameters(net, table, parameters[net]) for net, table in manifest["architecture"].items()}
    if "symbol" in formats:
        _write_symbols(folder, manifest["architecture"], values)
    elif "params" in formats:
        params_file.write_nets(folder, values)
    if "onnx" in formats:
        onnx_nets.write_nets(folder, manifest, values)
    if "onefile" in formats:
        from mtcnn_gluon.export.onefile import cascade_model

        (folder / ONEFILE).write_bytes(onnx_nets.to_bytes(cascade_model(manifest, values, min_face)))


def _write_symbols(folder: Path, architecture: Mapping[str, Any], parameters: Mapping[str, Parameters]) -> None:
    """Write `{p,r,o}net-symbol.json` and `-0000.params` with `HybridBlock.export`."""
    mx = load_mxnet()
    from mtcnn_gluon.symbol.blocks import CascadeNet, FaceProbability, set_parameters

    for name, table in architecture.items():
        net = CascadeNet(table, f"{name}_", "export")
        set_parameters(net, parameters[name])
        block = FaceProbability(net)
        block.hybridize()
        block(mx.nd.zeros((1, 3, table["size"], table["size"])))
        try:
            block.export(str(folder / name), epoch=0)
        except mx.base.MXNetError as error:  # for example a full disk
            raise ModelError(f"MXNet cannot write the files of {name}: {last_line(error)}") from error


def export_bundle(
    source: Bundle, path: str | os.PathLike, formats: Iterable[BundlePart], changes: Mapping[str, Any] | None = None,
    min_face: float = MIN_FACE,
) -> Bundle:  # fmt: skip
    """Write another bundle of the same nets. The same source gives the same bytes.

    Files of a format that cannot be written here are copied, see `why_not_written`.

    Args:
        source: the bundle.
        path: folder to make; an existing bundle there is replaced.
        formats, min_face: see `write_nets`.
        changes: changes to the manifest.

    Raises:
        ModelError: if the source cannot be used, a format can neither be written nor copied, or `path` is not a bundle.
    """
    manifest = {key: value for key, value in source.manifest.items() if key not in ("schema", "files")} | dict(changes or {})
    formats = tuple(dict.fromkeys(formats))
    copied = [part for part in formats if _why_not_new(part) and not why_not_written(part, source, changes)]
    written = [part for part in formats if part not in copied]
    parameters = bundle_parameters(source) if written else {}
    files = {name: source.file(name).read_bytes() for part in copied for name in _names(part)}

    def write(folder: Path) -> None:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        if written:
            write_nets(folder, manifest, parameters, written, min_face)

    return write_bundle(path, manifest, write)


def make_bundle(
    path: str | os.PathLike, nets: Mapping[str, TrainedNet], name: str, training_data: str, licence: str,
    thresholds: tuple[float, float, float] | None = None, figures: Mapping[str, Any] | None = None,
    formats: Iterable[BundlePart] | None = None, min_face: float = MIN_FACE, more: Mapping[str, Any] | None = None,
) -> Bundle:  # fmt: skip
    """Write a bundle of nets that this package has trained.

    A missing net gets random parameters, so that the nets before it can mine samples for it. The manifest's `trained` lists the
    trained heads; for the others see `bundles.trained`.

    Args:
        path: folder to make; an existing bundle there is replaced.
        nets: the trained nets, at least pnet.
        name, training_data, licence: for the manifest.
        thresholds: face probabilities in 0..1; None: `config.CASCADE`'s.
        figures: measured results, for the manifest.
        formats, min_face: see `write_nets`; formats None: `usual_formats`.
        more: keys of the manifest that a bundle need not have, such as `large_faces`.

    Raises:
        ModelError: if pnet is missing, parameters do not fit, or the folder is not a bundle.
    """
    if "pnet" not in nets or set(nets) - set(NETS):
        raise ModelError(f"a bundle needs the parameters of pnet, and perhaps rnet and onet, not of {sorted(nets)}")
    whole: dict[str, Parameters] = {}
    architecture: dict[str, Any] = {}
    trained: dict[str, list[str]] = {}
    for net in NETS:
        plain = {**((nets[net].table if net in nets else None) or NETS[net]), "landmarks": False}
        whole[net] = without_untrained(net, nets[net]) if net in nets else _random(net, plain)
        heads = heads_in(net, whole[net])
        architecture[net] = {**plain, "landmarks": "landmark" in heads}
        trained[net] = [head for head in heads if net in nets and head in nets[net].heads]
    manifest = new_manifest(name, architecture, trained, "continuous", training_data, licence, thresholds, figures)
    manifest |= more or {}
    chosen = usual_formats() if formats is None else tuple(formats)
    return write_bundle(path, manifest, lambda folder: write_nets(folder, manifest, whole, chosen, min_face))


def _random(net: str, table: Mapping[str, Any]) -> Parameters:
    """Random parameters from a fixed seed: weights as in Glorot and Bengio (2010), slopes of 0.25."""
    generator = np.random.default_rng(0)
    values = {}
    for name, shape in parameter_shapes(net, table).items():
        if name.endswith("_weight"):
            limit = math.sqrt(6 / (math.prod(shape[2:]) * (shape[0] + shape[1])))
            values[name] = generator.uniform(-limit, limit, shape).astype(np.float32)
        else:
            values[name] = np.full(shape, 0.25 if name.endswith("_alpha") else 0, np.float32)
    return values
