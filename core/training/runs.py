"""Trained nets, read from checkpoints of training runs and from other files with parameters."""

import math
import os
from pathlib import Path
from typing import Any

from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.parameters import bundle_parameters
from mtcnn_gluon.bundles.params_file import read_params
from mtcnn_gluon.bundles.trained import TrainedNet, as_trained
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import DataError, ModelError
from mtcnn_gluon.layers import check_table
from mtcnn_gluon.training.checkpoints import BEST, LAST, Checkpoint, check_run, read_checkpoint


def read_runs(source: str | os.PathLike) -> dict[str, TrainedNet]:
    """The trained net of each training run, by net.

    Args:
        source: a checkpoint (`.npz`), the folder of a run, or a folder whose subfolders are runs.

    Raises:
        DataError: if there is no run, a checkpoint is damaged, or two runs have the same net.
    """
    nets: dict[str, TrainedNet] = {}
    origin: dict[str, Path] = {}
    for path in _checkpoints(Path(source)):
        checkpoint = read_checkpoint(path)
        options = checkpoint.about.get("options")
        net = options.get("net") if isinstance(options, dict) else None
        if not isinstance(net, str) or net not in NETS:
            raise DataError(f"{path}: expected a checkpoint of {', '.join(NETS)}, not of {net!r}")
        if net in nets:
            raise DataError(f"{source} holds two runs of {net}, {origin[net]} and {path}: give the folder of one")
        nets[net], origin[net] = _trained_net(checkpoint, path), path
    return nets


def read_net(source: str, net: str) -> TrainedNet:
    """One net from a checkpoint, a `.params` file or a bundle. All heads in a `.params` file count as trained.

    Raises:
        DataError, ModelError: if the source has no such net.
    """
    path = Path(source)
    if path.suffix == ".npz":
        found = _trained_net(read_checkpoint(path), path)
    elif path.suffix == ".params":
        found = as_trained({net: read_params(path)})[net]
    else:
        bundle = find_bundle(source)
        manifest = bundle.manifest
        table = manifest["architecture"][net]
        found = TrainedNet(bundle_parameters(bundle)[net], tuple(manifest["trained"][net]), table=table)
    names = sorted(found.parameters)
    if not names or not all(name.startswith(f"{net}_") for name in names):
        raise DataError(f"{source} holds no parameters of {net}: {', '.join(names[:3])} ...")
    return found


def _trained_net(checkpoint: Checkpoint, path: Path) -> TrainedNet:
    """The net of a checkpoint, with the averaged parameters if there are any, else the current ones."""
    check_run(path, checkpoint.about)
    rows = checkpoint.about.get("rows")
    row: dict[str, Any] = rows[-1] if isinstance(rows, list) and rows and isinstance(rows[-1], dict) else {}
    figures = {key: value for key, value in row.items() if not isinstance(value, float) or math.isfinite(value)}
    parameters, heads = checkpoint.averages or checkpoint.parameters, tuple(checkpoint.about["heads"]["trained"])
    if missing := [head for head in heads if not any(name.endswith(f"_{head}_weight") for name in parameters)]:
        raise DataError(f"{path} is damaged: it says that {', '.join(missing)} was trained, but holds no such head")
    table = checkpoint.about.get("architecture")  # earlier versions trained the paper's nets only, and did not write it
    if table is not None:
        try:
            check_table(checkpoint.about["options"]["net"], table, "architecture")
        except (ModelError, KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged: {error}") from error
    return TrainedNet(parameters, heads, figures, table)


def _checkpoints(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    folders = [source, *sorted(path for path in source.iterdir() if path.is_dir())] if source.is_dir() else []
    found = [[folder / name for name in (BEST, LAST) if (folder / name).is_file()] for folder in folders]
    if paths := [candidates[0] for candidates in found if candidates]:
        return paths
    raise DataError(f"{source} is neither a model bundle nor a training run: no manifest.json, no {BEST} or {LAST}")
