"""The official weights: read from the installed `mtcnn` wheel, converted, and kept as the bundle `official`.

The `mtcnn` package (MIT licence) ships the weights that the paper's authors released, as joblib lists for upright RGB images
with kernels in HWIO order and features flattened column, row, channel. Its Python code, which needs TensorFlow, is never
imported. The licence of the weights themselves was never stated by the paper's authors.
"""

import hashlib
import importlib.util
import io
from pathlib import Path
from typing import Iterator

import numpy as np

from mtcnn_gluon.bundles import onnx_nets, params_file
from mtcnn_gluon.bundles.format import Bundle, read_bundle, write_bundle
from mtcnn_gluon.config import CASCADE, HEADS, NETS
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.export import bundle_files as export
from mtcnn_gluon.export.bundle_files import BundlePart, usual_formats, write_nets
from mtcnn_gluon.io.cache import cache_path

DIGESTS = {  # sha256 of the files in mtcnn 1.0.0
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
_HEAD_ORDER = ("box", "landmark", "cls")  # in the wheel's lists

MANIFEST = {
    "name": "official",
    "architecture": NETS,
    "trained": {net: [head for head in HEADS if head != "landmark" or NETS[net].landmarks] for net in NETS},
    "colour_order": "RGB",
    "mean": 127.5,
    "scale": 1 / 128,
    "layout": "NCHW",
    "thresholds": CASCADE.thresholds,
    "nms": CASCADE.nms,
    "box_convention": "matlab",
    "landmarks": 5,
    "training_data": "WIDER FACE (training set) and CelebA, by the authors of the paper",
    "licence": "not stated by the paper's authors; redistributed in the PyPI package mtcnn 1.0.0, whose code is MIT",
    "figures": {},
}


def official_bundle() -> Bundle:
    """The bundle `official`, from the cache folder if an undamaged one of this conversion is there, else converted anew.

    It holds parameters, symbols where MXNet is installed, and ONNX files where `onnx` is.

    Raises:
        ModelError: if the `mtcnn` wheel is not installed, or its files are not the known ones.
    """
    formats = usual_formats()
    try:
        return _cached_bundle(formats)
    except ModelError:
        if "symbol" not in formats:
            raise
        return _cached_bundle(("params", *formats[1:]))  # MXNet is there but cannot be loaded: only symbols need it


def _cached_bundle(formats: tuple[BundlePart, ...]) -> Bundle:
    folder = cache_path(f"official-{'-'.join(formats)}-{_conversion_digest()}")
    try:
        return read_bundle(folder)
    except ModelError:
        parameters = {net: official_parameters(net) for net in NETS}
        return write_bundle(folder, MANIFEST, lambda draft: write_nets(draft, MANIFEST, parameters, formats))


def official_parameters(net: str) -> dict[str, np.ndarray]:
    """Parameters of `pnet`, `rnet` or `onet` in Gluon's layout: name such as `pnet_conv1_weight` -> float32 array.

    Raises:
        ModelError: if the `mtcnn` wheel is not installed, or its file is not the known one.
    """
    arrays = iter(_read_wheel(net))
    parameters = {}
    features: tuple[int, ...] = ()  # (width, height, channels) of a convolution's output that a dense layer flattens
    side, channels, activations, counts = NETS[net].size, 3, 0, {"conv": 0, "dense": 0}
    for kind, *arguments in NETS[net].layers:
        if kind == "pool":
            kernel, stride = arguments
            side = -((kernel - side) // stride) + 1  # ceil mode
            continue
        counts[kind] += 1
        activations += 1
        if kind == "conv":
            side, channels = side - arguments[1] + 1, arguments[0]
            features = (side, side, channels)
        name = f"{net}_{kind}{counts[kind]}"
        parameters.update(_linear(name, arrays, features))
        parameters[f"{net}_prelu{activations}_alpha"] = next(arrays).reshape(-1)
        if kind == "dense":
            features = ()
    for head in _HEAD_ORDER:
        if head != "landmark" or NETS[net].landmarks:
            parameters.update(_linear(f"{net}_{head}", arrays, features))
    if NETS[net].landmarks:
        _interleave(parameters, f"{net}_landmark")
    return parameters


def _linear(name: str, arrays: Iterator[np.ndarray], features: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Weight and bias of a convolution (HWIO) or of a dense layer (inputs, units) that may follow a convolution."""
    weight, bias = next(arrays), next(arrays)
    if weight.ndim == 4:
        weight = weight.transpose(3, 2, 0, 1)  # OIHW
    elif features:
        weight = weight.reshape(*features, -1).transpose(3, 2, 1, 0).reshape(weight.shape[1], -1)  # WHC -> CHW
    else:
        weight = weight.T
    return {f"{name}_weight": np.ascontiguousarray(weight), f"{name}_bias": bias}


def _interleave(parameters: dict[str, np.ndarray], name: str) -> None:
    """Reorder a landmark head from x1..x5, y1..y5 to x1, y1, .. x5, y5."""
    order = np.arange(HEADS.landmark).reshape(2, -1).T.reshape(-1)
    for kind in ("weight", "bias"):
        parameters[f"{name}_{kind}"] = np.ascontiguousarray(parameters[f"{name}_{kind}"][order])


def _read_wheel(net: str) -> list[np.ndarray]:
    try:
        import joblib
        import lz4  # noqa: F401  # joblib reads the files with it
    except ImportError as error:
        raise ModelError(f'the official weights need {error.name}: run pip install "mtcnn-gluon[official]"') from error
    path = _wheel_file(net)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != DIGESTS[net]:
        raise ModelError(f"{path} is not the file of mtcnn 1.0.0 (its sha256 differs): run pip install mtcnn==1.0.0")
    return joblib.load(io.BytesIO(data))  # safe: the pickle inside is exactly the one whose digest is pinned above


def _wheel_file(net: str) -> Path:
    spec = importlib.util.find_spec("mtcnn")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / "assets" / "weights" / f"{net}.lz4"
        if path.is_file():
            return path
    raise ModelError('the official weights are not installed: run pip install "mtcnn-gluon[official]"')


def _conversion_digest() -> str:
    """Changes whenever this conversion does, so that an older version's cache is never taken for this one's."""
    modules = (export.__file__, onnx_nets.__file__, params_file.__file__)
    files = (Path(__file__), Path(__file__).parents[1] / "symbol/blocks.py", *map(Path, modules))
    sources = b"".join(path.read_bytes() for path in files)
    return hashlib.sha256(sources + repr((sorted(DIGESTS.items()), MANIFEST)).encode()).hexdigest()[:12]
