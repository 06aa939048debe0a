"""Model bundles: a folder with the files of the three nets and a `manifest.json` that says everything else.

The manifest holds

    schema           2
    name             how people call the model
    files            sha256 of every file
    architecture     for pnet, rnet and onet: `size`, `layers`, `landmarks` as in `config.NETS`
    colour_order     "RGB" or "BGR"; `mean` and `scale`: nets see (pixel - mean) * scale, in `layout` "NCHW"
    thresholds, nms  defaults of the cascade, as in `config.CASCADE`
    trained          for pnet, rnet and onet: the heads that have learned something, see `trained`
    box_convention   how P-Net's cells and offsets decode, see `boxes`
    landmarks        number of landmarks (5)
    training_data, licence, figures   where the weights come from, what may be done with them, what was measured

A bundle is written whole or not at all, and its digests are checked before a file is used. Nothing in it is ever unpickled.
"""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from mtcnn_gluon.boxes import check_convention
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError, ModelError, shown
from mtcnn_gluon.model import DEFAULT, shipped_bundles
from mtcnn_gluon.trained import check_trained

SCHEMA = 2
MANIFEST = "manifest.json"
_KEYS = {
    "schema": int, "name": str, "files": dict, "architecture": dict, "trained": dict, "colour_order": str, "mean": float,
    "scale": float, "layout": str, "thresholds": list, "nms": list, "box_convention": str, "landmarks": int,
    "training_data": str, "licence": str, "figures": dict,
}  # fmt: skip


@dataclass(frozen=True)
class Bundle:
    """A verified model bundle: its folder and its manifest."""

    path: Path
    manifest: dict[str, Any]

    def file(self, name: str) -> Path:
        """Path of one of the bundle's files.

        Raises:
            ModelError: if the bundle does not list it.
        """
        if name not in self.manifest["files"]:
            raise ModelError(f"{self.path}: the bundle has no {name}; it holds {', '.join(sorted(self.manifest['files']))}")
        return self.path / name


def read_bundle(path: str | os.PathLike) -> Bundle:
    """Open a bundle folder and check every file's digest.

    Raises:
        ModelError: if the folder, the manifest or a file is missing, damaged or of a newer schema; the message says which.
    """
    folder = Path(path)
    manifest_path = folder / MANIFEST
    if not manifest_path.is_file():
        raise ModelError(f"{folder} is not a model bundle: it has no {MANIFEST}")
    try:
        manifest = json.loads(manifest_path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{manifest_path} cannot be read: {error}") from error
    _check_manifest(manifest, manifest_path)
    for name, expected in manifest["files"].items():
        _check_digest(folder / name, expected)
    return Bundle(folder, manifest)


def write_bundle(path: str | os.PathLike, manifest: dict[str, Any], write_files: Callable[[Path], None]) -> Bundle:
    """Write a bundle folder.

    Args:
        path: the folder to make; an existing bundle there is replaced.
        manifest: everything but `schema` and `files`.
        write_files: puts the nets' files into the empty folder it is given.

    Raises:
        ModelError: if the manifest is not valid, or `path` holds something that is not a bundle.
    """
    folder = Path(path)
    if folder.exists() and not (folder / MANIFEST).is_file():
        raise ModelError(f"{folder} exists and is not a model bundle: not replaced")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write_files(draft)
        files = {file.name: sha256(file) for file in sorted(draft.iterdir())}
        whole = {"schema": SCHEMA, "files": files, **manifest}
        _check_manifest(whole, draft / MANIFEST)
        (draft / MANIFEST).write_text(json.dumps(whole, indent=2) + "\n", "utf-8")
        draft.chmod(0o755)
        _replace_folder(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return read_bundle(folder)


def find_bundle(model: str | os.PathLike) -> Bundle:
    """The bundle of a model name, one of `model_names`, or of a folder.

    Raises:
        ModelError: if there is none, or it cannot be used.
    """
    name = DEFAULT if model == "default" else model
    if name == "official":
        from mtcnn_gluon.symbol.reference import official_bundle

        return official_bundle()
    if name in shipped_bundles():
        return read_bundle(shipped_bundles()[os.fspath(name)])
    if not os.path.isdir(name):
        raise ModelError(f"model {shown(os.fspath(name))}: expected {', '.join(model_names())} or the folder of a model bundle")
    return read_bundle(name)


def model_names() -> tuple[str, ...]:
    """Names of the models that can be used without a folder."""
    return ("default", "official", *shipped_bundles())


def cache_folder() -> Path:
    """Where converted models are kept: `MTCNN_GLUON_CACHE`, else `mtcnn-gluon` in the user's cache folder."""
    if own := os.environ.get("MTCNN_GLUON_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mtcnn-gluon"


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _replace_folder(draft: Path, folder: Path) -> None:
    """Move `draft` to `folder`; an old folder there is moved away first, since a folder cannot replace a full one."""
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        os.replace(folder, old / "bundle")
        os.replace(draft, folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(draft, folder)


def _check_manifest(manifest: Any, path: Path) -> None:
    if not isinstance(manifest, dict):
        raise ModelError(f"{path}: expected a JSON object")
    schema = manifest.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise ModelError(f"{path}: schema {schema} is newer than this package reads ({SCHEMA}); update mtcnn-gluon")
    if schema == 1:
        raise ModelError(f"{path}: schema 1 does not say which heads were trained: write the bundle again from its runs")
    for key, kind in _KEYS.items():
        value = manifest.get(key)
        if not isinstance(value, (int, float) if kind is float else kind):
            raise ModelError(f"{path}: {key!r} must be of type {kind.__name__}, got {value!r}")
    if set(manifest["architecture"]) != set(NETS):
        raise ModelError(f"{path}: 'architecture' must describe {', '.join(NETS)}")
    if manifest["colour_order"] not in ("RGB", "BGR") or manifest["layout"] != "NCHW":
        raise ModelError(f"{path}: 'colour_order' must be RGB or BGR and 'layout' NCHW")
    for key, count in (("thresholds", 3), ("nms", 4)):
        if len(manifest[key]) != count or not all(isinstance(v, (int, float)) and 0 <= v <= 1 for v in manifest[key]):
            raise ModelError(f"{path}: {key!r} must be {count} numbers from 0 to 1, got {manifest[key]!r}")
    for name in manifest["files"]:
        if Path(name).name != name:
            raise ModelError(f"{path}: file name {name!r} leaves the bundle's folder")
    try:
        check_convention(manifest["box_convention"])
        check_trained(manifest["trained"], manifest["architecture"])
    except ConfigError as error:
        raise ModelError(f"{path}: {error}") from error


def _check_digest(path: Path, expected: str) -> None:
    if not path.is_file():
        raise ModelError(f"{path} is missing, though the bundle's manifest lists it")
    if (found := sha256(path)) != expected:
        raise ModelError(f"{path} is damaged or was changed: sha256 {found}, the manifest says {expected}")
