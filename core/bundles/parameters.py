"""The parameters of a bundle's nets, from MXNet's params files or from ONNX files. Neither MXNet nor `onnx` is needed."""

from pathlib import Path

import numpy as np

from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.bundles.onnx_nets import parameters_of
from mtcnn_gluon.bundles.params_file import read_params
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.layers import check_parameters

PARAMS, ONNX = "-0000.params", ".onnx"  # endings of the files that hold a net's parameters


def parameters_ending(bundle: Bundle) -> str:
    """The ending of the files to read: that of ONNX files if the bundle has only these."""
    has = {ending: all(f"{net}{ending}" in bundle.manifest["files"] for net in NETS) for ending in (PARAMS, ONNX)}
    return ONNX if has[ONNX] and not has[PARAMS] else PARAMS


def read_parameters(path: Path) -> dict[str, np.ndarray]:
    """The parameters in a file of either kind: float32 by full name.

    Raises:
        ModelError: if the file cannot be read.
    """
    return parameters_of(path) if path.suffix == ONNX else read_params(path)


def bundle_parameters(bundle: Bundle) -> dict[str, dict[str, np.ndarray]]:
    """The parameters of each net of a bundle by full name.

    Raises:
        ModelError: if a file cannot be read, a net has no file, or its parameters do not fit its architecture.
    """
    parameters = {}
    for net, table in bundle.manifest["architecture"].items():
        ending = PARAMS if f"{net}{PARAMS}" in bundle.manifest["files"] else ONNX
        file = bundle.file(f"{net}{ending}")
        try:
            parameters[net] = check_parameters(net, table, read_parameters(file))
        except ModelError as error:
            raise ModelError(str(error) if str(file) in str(error) else f"{file}: {error}") from error
    return parameters
