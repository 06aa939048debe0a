"""What each address of the browser page holds: the page, the models and ONNX Runtime.

index.html, *.js ...        the page's own files, `example/web` of the sources
models/index.json           the manifests of the models, without their figures; the first is the default
models/N/pnet.onnx ...      the nets of model N
runtime/                    ONNX Runtime for WebAssembly
"""

import importlib.util
import json
from pathlib import Path
from typing import Mapping, Sequence

from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.model import DEFAULT, shipped_bundles
from mtcnn_gluon.serving.runtime import DIGESTS

PAGE = "mtcnn_gluon.web"  # a folder without code in the installed package
Site = Mapping[str, bytes | Path]


def make_site(runtime: Path, more_models: Sequence[str] = ()) -> Site:
    """The content, or the file with it, of every address, relative to the page's.

    Args:
        runtime: folder of ONNX Runtime's files, see `find_runtime`.
        more_models: names of models or folders of bundles, to offer beside those that ship.

    Raises:
        ModelError: if a model cannot be used or has no ONNX files, or the page's own files are not installed.
    """
    found = [find_bundle(name) for name in (DEFAULT, *shipped_bundles(), *more_models)]
    bundles = list({each.path: each for each in found}.values())  # each once, in this order
    manifests = [{key: value for key, value in each.manifest.items() if key != "figures"} for each in bundles]
    nets = {f"models/{number}/{net}.onnx": each.file(f"{net}.onnx") for number, each in enumerate(bundles) for net in NETS}
    return {
        **{path.name: path for path in sorted(page_folder().iterdir()) if path.is_file()},
        "models/index.json": json.dumps(manifests).encode(),
        **nets,
        **{f"runtime/{name}": runtime / name for name in DIGESTS},
    }


def page_folder() -> Path:
    """The folder of the page's own files, or a `ModelError` if they are not installed."""
    spec = importlib.util.find_spec(PAGE)
    for place in (spec and spec.submodule_search_locations) or ():
        if (Path(place) / "index.html").is_file():
            return Path(place)
    raise ModelError("the files of the browser page are missing: install mtcnn-gluon again")
