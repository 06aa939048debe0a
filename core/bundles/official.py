"""The official weights: read from the installed `mtcnn` wheel, converted, and stored as the bundle `official`.

The `mtcnn` package (MIT licence) contains the weights that the paper's authors released, as joblib lists for upright RGB
images. Kernels are in HWIO order, and features are flattened as column, row, channel. The package's Python code needs
TensorFlow and is never imported. The paper's authors never stated a licence for the weights themselves.
"""

import hashlib
import importlib.util
import io
from pathlib import Path

import numpy as np

from mtcnn_gluon import layers
from mtcnn_gluon.bundles import onnx_nets, params_file
from mtcnn_gluon.bundles.format import Bundle, new_manifest, read_bundle, write_bundle
from mtcnn_gluon.config import HEADS, NETS
from mtcnn_gluon.errors import ModelError, install_command
from mtcnn_gluon.io.cache import cache_path
from mtcnn_gluon.io.extras import need

DIGESTS = {  # sha256 of the files in mtcnn 1.0.0
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
_HEAD_ORDER = ("box", "landmark", "cls")  # in the wheel's lists

MANIFEST = new_manifest(
    "official",
    NETS,
    {net: layers.heads_of(table) for net, table in NETS.items()},
    "matlab",
    training_data="WIDER FACE (training set) and CelebA, by the authors of the paper",
    licence="not stated by the paper's authors; redistributed in the PyPI package mtcnn 1.0.0, whose code is MIT",
)


def official_bundle() -> Bundle:
    """The bundle `official`: from the cache folder if an intact one of this conversion is there, otherwise converted now.

    It contains parameters and, if `onnx` is installed, ONNX files.

    Raises:
        ModelError: if the `mtcnn` wheel is not installed, or its files have unknown contents.
    """
    has_onnx = importlib.util.find_spec("onnx") is not None
    folder = cache_path(f"official-params{'-onnx' * has_onnx}-{_conversion_digest()}")
    try:
        return read_bundle(folder)
    except ModelError:
        parameters = {net: layers.check_parameters(net, table, official_parameters(net)) for net, table in NETS.items()}

    def write(draft: Path) -> None:
        params_file.write_nets(draft, parameters)
        if has_onnx:
            onnx_nets.write_nets(draft, MANIFEST, parameters)

    return write_bundle(folder, MANIFEST, write)


def official_parameters(net: str) -> dict[str, np.ndarray]:
    """Parameters of `pnet`, `rnet` or `onet` in Gluon's layout: float32 arrays by name, such as `pnet_conv1_weight`.

    Raises:
        ModelError: if the `mtcnn` wheel is not installed, or its file has unknown contents.
    """
    arrays, parameters = iter(_read_wheel(net)), {}
    in_order = sorted(layers.walk(NETS[net]), key=lambda layer: layer.is_head and 1 + _HEAD_ORDER.index(layer.name))
    for layer in in_order:
        if layer.weight is None:
            continue
        weight, bias = next(arrays), next(arrays)
        if weight.ndim == 2:  # a dense layer's: (column, row, channel) and units
            weight = weight.reshape(layer.kernel, layer.kernel, layer.inputs, -1).swapaxes(0, 1)
        weight = weight.transpose(3, 2, 0, 1).reshape(layer.weight)  # HWIO -> OIHW, or (units, features)
        if layer.name == "landmark":
            weight, bias = _interleaved(weight), _interleaved(bias)
        parameters[f"{net}_{layer.name}_weight"] = np.ascontiguousarray(weight)
        parameters[f"{net}_{layer.name}_bias"] = bias
        if layer.prelu:
            parameters[f"{net}_{layer.prelu}_alpha"] = next(arrays).reshape(-1)
    return parameters


def _interleaved(values: np.ndarray) -> np.ndarray:
    """The rows of a landmark head, x1..x5, y1..y5, as x1, y1, .. x5, y5."""
    return values[np.arange(HEADS.landmark).reshape(2, -1).T.reshape(-1)]


def _read_wheel(net: str) -> list[np.ndarray]:
    # joblib reads the files with lz4
    joblib, _ = (need(name, "reading the official weights", "official", ModelError) for name in ("joblib", "lz4"))
    path = _wheel_file(net)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != DIGESTS[net]:
        raise ModelError(f"{path} is not the file of mtcnn 1.0.0 (its sha256 differs): run pip install mtcnn==1.0.0")
    return joblib.load(io.BytesIO(data))  # safe: the digest shows that the pickle inside is the known one


def _wheel_file(net: str) -> Path:
    spec = importlib.util.find_spec("mtcnn")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / "assets" / "weights" / f"{net}.lz4"
        if path.is_file():
            return path
    raise ModelError(f"the official weights are not installed: run {install_command('official')}")


def _conversion_digest() -> str:
    """A digest of this conversion, so that no version uses the cache of another one."""
    files = (__file__, layers.__file__, onnx_nets.__file__, params_file.__file__)
    sources = b"".join(Path(file).read_bytes() for file in files)
    return hashlib.sha256(sources + repr((sorted(DIGESTS.items()), MANIFEST)).encode()).hexdigest()[:12]
