"""From parameters to model bundles."""

import copy
import os
from pathlib import Path
from typing import Any, Mapping

import numpy as np

from mtcnn_gluon.bundle import Bundle, write_bundle
from mtcnn_gluon.config import CASCADE, NETS
from mtcnn_gluon.errors import ModelError

Parameters = Mapping[str, np.ndarray]  # by full name, such as pnet_conv1_weight


def write_symbols(folder: Path, architecture: Mapping[str, Any], parameters: Mapping[str, Parameters]) -> None:
    """Write `{p,r,o}net-symbol.json` and `-0000.params`, in the form that `HybridBlock.export` gives them.

    Args:
        folder: where to.
        architecture: of each net, as in `config.NETS`.
        parameters: of each net.

    Raises:
        ModelError: if parameters do not fit their net, or MXNet cannot be loaded.
    """
    from mtcnn_gluon.mxnet_loader import load_mxnet
    from mtcnn_gluon.symbol.blocks import CascadeNet, FaceProbability, set_parameters

    mx = load_mxnet()
    for name, table in architecture.items():
        net = CascadeNet(table["layers"], table["landmarks"], prefix=f"{name}_", form="export")
        set_parameters(net, parameters[name])
        block = FaceProbability(net)
        block.hybridize()
        block(mx.nd.zeros((1, 3, table["size"], table["size"])))
        block.export(str(folder / name), epoch=0)


def make_bundle(
    path: str | os.PathLike, parameters: Mapping[str, Parameters], name: str, training_data: str, licence: str,
    thresholds: tuple[float, float, float] | None = None, figures: Mapping[str, Any] | None = None,
) -> Bundle:  # fmt: skip
    """Write a bundle of nets that this package has trained.

    A net without parameters gets random ones, so that the nets before it can be used to mine samples for it; the bundle's
    `figures` say which are trained.

    Args:
        path: the folder to make; a bundle there is replaced.
        parameters: of the nets that are trained, at least of pnet.
        name, training_data, licence: for the manifest.
        thresholds: face probabilities in 0..1; None: those of `config.CASCADE`.
        figures: what was measured, for the manifest.

    Raises:
        ModelError: if pnet is missing, parameters do not fit, or the folder holds something else.
    """
    if "pnet" not in parameters or set(parameters) - set(NETS):
        raise ModelError(f"a bundle needs the parameters of pnet, and perhaps rnet and onet, not of {sorted(parameters)}")
    architecture = copy.deepcopy({net: dict(table) for net, table in NETS.items()})
    for net, values in parameters.items():
        architecture[net]["landmarks"] = f"{net}_landmark_weight" in values
    whole = {net: parameters[net] if net in parameters else _random(net) for net in NETS}
    manifest = {
        "name": name, "architecture": architecture, "colour_order": "RGB", "mean": 127.5, "scale": 1 / 128, "layout": "NCHW",
        "thresholds": list(thresholds or CASCADE.thresholds), "nms": list(CASCADE.nms), "box_convention": "continuous",
        "landmarks": 5, "training_data": training_data, "licence": licence,
        "figures": {"trained": sorted(parameters), **(figures or {})},
    }  # fmt: skip
    return write_bundle(path, manifest, lambda folder: write_symbols(folder, architecture, whole))


def _random(net: str) -> Parameters:
    from mtcnn_gluon.mxnet_loader import load_mxnet
    from mtcnn_gluon.symbol.blocks import CascadeNet

    mx = load_mxnet()
    table = NETS[net]
    block = CascadeNet(table.layers, table.landmarks, prefix=f"{net}_", form="export")
    block.initialize(mx.init.Xavier())
    block(mx.nd.zeros((1, 3, table.size, table.size)))
    return {name: value.data().asnumpy() for name, value in block.collect_params().items()}
