"""Model bundles: a folder with the files of the three nets and a `manifest.json` that describes them.

The manifest holds

    schema           2
    name             name of the model
    files            sha256 of every file
    architecture     for pnet, rnet and onet: `size`, `layers`, `landmarks` as in `config.NETS`
    colour_order     "RGB" or "BGR"; `mean` and `scale`: input is (pixel - mean) * scale, in `layout` "NCHW"
    thresholds, nms  defaults of the cascade, as in `config.CASCADE`
    large_faces      may be missing: `side` in pixels of a candidate from which the thresholds are multiplied by the three
                     `factors`, each from 0 to 1. There are few large candidates, so lower thresholds cost little there
    score_weights    may be missing: by how much, from 0 to 1, the log-odds of P-Net's and of R-Net's score count in a face's
                     score, beside O-Net's
    trained          for pnet, rnet and onet: the trained heads, see `trained`
    box_convention   decoding of P-Net's cells and offsets, see `boxes`
    landmarks        number of landmarks (5)
    training_data, licence, figures   origin of the weights, terms of use, measured results

A bundle is written whole or not at all. Digests are checked before a file is used. Nothing in a bundle is ever unpickled.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

from mtcnn_gluon.boxes import BoxConvention, check_convention
from mtcnn_gluon.bundles.trained import check_trained
from mtcnn_gluon.config import CASCADE, HEADS
from mtcnn_gluon.errors import ConfigError, ModelError, shown
from mtcnn_gluon.io.folders import naming, other_names, write_folder
from mtcnn_gluon.layers import check_architecture

SCHEMA = 2
MANIFEST = "manifest.json"
MANIFEST_BYTES = 1 << 24  # largest size; a usual manifest has a few thousand bytes
LARGEST = 1e6  # largest value of mean and scale
_BUNDLE_FILE = re.compile(r"[pro]net(-0000\.params|-symbol\.json|-int8\.npz|\.onnx)|mtcnn\.onnx|" + re.escape(MANIFEST))
_KEYS = {
    "schema": int, "name": str, "files": dict, "architecture": dict, "trained": dict, "colour_order": str, "mean": float,
    "scale": float, "layout": str, "thresholds": list, "nms": list, "box_convention": str, "landmarks": int,
    "training_data": str, "licence": str, "figures": dict,
}  # fmt: skip
_RULES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {  # allowed values in words, and a check of a typed value
    "schema": (str(SCHEMA), lambda value: value == SCHEMA),
    "colour_order": ("RGB or BGR", lambda value: value in ("RGB", "BGR")),
    "layout": ("NCHW", lambda value: value == "NCHW"),
    "mean": (f"a number from -{LARGEST:g} to {LARGEST:g}", lambda value: _is_in(value, -LARGEST, LARGEST)),
    "scale": (f"a number from {1 / LARGEST:g} to {LARGEST:g}", lambda value: _is_in(value, 1 / LARGEST, LARGEST)),
    "landmarks": (str(HEADS.landmark // 2), lambda value: value == HEADS.landmark // 2),
    "thresholds": ("3 numbers from 0 to 1", lambda values: len(values) == 3 and all(_is_in(value, 0, 1) for value in values)),
    "nms": ("4 numbers from 0 to 1", lambda values: len(values) == 4 and all(_is_in(value, 0, 1) for value in values)),
}


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


def new_manifest(
    name: str, architecture: Mapping[str, Any], trained: Mapping[str, Any], box_convention: BoxConvention, training_data: str,
    licence: str, thresholds: Sequence[float] | None = None, figures: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A manifest for `write_bundle` of nets with input (pixel - 127.5) / 128 in RGB; thresholds None: `config.CASCADE`'s."""
    return {
        "name": name, "architecture": architecture, "trained": trained, "colour_order": "RGB", "mean": 127.5,
        "scale": 1 / 128, "layout": "NCHW", "thresholds": list(thresholds or CASCADE.thresholds), "nms": list(CASCADE.nms),
        "box_convention": box_convention, "landmarks": HEADS.landmark // 2, "training_data": training_data, "licence": licence,
        "figures": dict(figures or {}),
    }  # fmt: skip


def read_bundle(path: str | os.PathLike) -> Bundle:
    """Open a bundle folder and check every file's digest.

    Raises:
        ModelError: if the folder, the manifest or a file is missing or damaged, or the schema is newer; the message says which.
    """
    folder = Path(path)
    manifest = _read_manifest(folder)
    _check_manifest(manifest, folder / MANIFEST)
    for name, expected in manifest["files"].items():
        _check_digest(folder / name, expected)
    return Bundle(folder, manifest)


def write_bundle(path: str | os.PathLike, manifest: dict[str, Any], write_files: Callable[[Path], None]) -> Bundle:
    """Write a bundle folder, whole or not at all.

    The files that an existing bundle's manifest lists are replaced. All other files in the folder stay.

    Args:
        path: folder to make; an existing folder must be empty or contain a bundle.
        manifest: all entries except `schema` and `files`.
        write_files: writes the nets' files into an empty folder.

    Raises:
        ModelError: if the manifest is not valid, `path` contains something other than a bundle or cannot be written, or a file
            would be replaced that the old manifest does not list.
    """
    if not os.fspath(path):
        raise ModelError("a bundle needs a folder, not ''")
    folder = Path(path)

    def write(draft: Path) -> None:
        write_files(draft)
        files = {file.name: sha256(file) for file in sorted(draft.iterdir())}
        try:
            text = json.dumps({"schema": SCHEMA, "files": files, **manifest}, indent=2) + "\n"
        except (TypeError, ValueError) as error:
            raise ModelError(f"{folder / MANIFEST}: the manifest cannot be written as JSON: {error}") from error
        _check_manifest(json.loads(text), folder / MANIFEST)
        (draft / MANIFEST).write_text(text, "utf-8")

    if os.path.lexists(folder) and not folder.is_dir():
        raise ModelError(f"{folder} exists and is not a model bundle: not replaced")
    write_folder(folder, write, _own_files, first=MANIFEST)
    return read_bundle(folder)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_manifest(folder: Path) -> Any:
    path = folder / MANIFEST
    try:
        with open(path, "rb") as file:
            text = file.read(MANIFEST_BYTES + 1)
        if len(text) > MANIFEST_BYTES:
            raise ValueError(f"it is longer than {MANIFEST_BYTES} bytes")
        return json.loads(text.decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(f"{folder} is not a model bundle: it has no {MANIFEST}") from None
    except RecursionError:
        raise ModelError(f"{path} cannot be read: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def _own_files(folder: Path) -> set[str]:
    """Names of the files in a folder that a new bundle may replace: those that the old manifest lists, and the manifest.

    Raises:
        ModelError: if the folder is not a bundle. With a damaged manifest, it is a bundle if it contains only files of bundles.
    """
    with naming(folder):
        names = set(other_names(folder))
    if not names:
        return names
    refusal = ModelError(f"{folder} exists and is not a model bundle: not replaced")
    if MANIFEST not in names:
        raise refusal
    try:
        manifest = _read_manifest(folder)
    except ModelError:
        if all(map(_BUNDLE_FILE.fullmatch, names)):
            return names
        raise refusal from None
    if not isinstance(manifest, dict) or type(manifest.get("schema")) is not int or not isinstance(manifest.get("files"), dict):
        raise refusal
    return {MANIFEST, *filter(_is_plain_name, manifest["files"])}


def _check_manifest(manifest: Any, path: Path) -> None:
    if not isinstance(manifest, dict):
        raise ModelError(f"{path}: expected a JSON object")
    schema = manifest.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise ModelError(f"{path}: schema {shown(schema)} is newer than this package reads ({SCHEMA}); update mtcnn-gluon")
    if schema == 1 and not isinstance(schema, bool):
        raise ModelError(f"{path}: schema 1 does not say which heads were trained: write the bundle again from its runs")
    for key, kind in _KEYS.items():
        value = manifest.get(key)
        is_right = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
        if not is_right or (isinstance(value, str) and not _is_text(value)):
            raise ModelError(f"{path}: {key!r} must be of type {kind.__name__}, got {shown(value)}")
    for key, (expected, is_valid) in _RULES.items():
        if not is_valid(manifest[key]):
            raise ModelError(f"{path}: {key!r} must be {expected}, got {shown(manifest[key])}")
    for name, digest in manifest["files"].items():
        if not _is_plain_name(name):
            raise ModelError(f"{path}: file name {shown(name)} leaves the bundle's folder, or is the manifest's own")
        if not isinstance(digest, str):
            raise ModelError(f"{path}: 'files.{name}' must be a sha256 in hexadecimal digits, got {shown(digest)}")
    try:
        check_architecture(manifest["architecture"])
        check_convention(manifest["box_convention"])
        check_trained(manifest["trained"], manifest["architecture"])
        _check_large_faces(manifest.get("large_faces"))
        _check_score_weights(manifest.get("score_weights"))
    except (ConfigError, ModelError) as error:
        raise ModelError(f"{path}: {error}") from error


def _check_large_faces(value: Any) -> None:
    if value is None:
        return
    has_keys = isinstance(value, dict) and set(value) == {"side", "factors"} and isinstance(value["factors"], list)
    is_right = has_keys and len(value["factors"]) == 3 and all(_is_in(each, 0, 1) for each in value["factors"])
    if not is_right or not _is_in(value["side"], 1, LARGEST):
        raise ModelError(f"'large_faces' must be a side of 1 pixel or more and 3 factors from 0 to 1, got {shown(value)}")


def _check_score_weights(value: Any) -> None:
    if value is not None and not (isinstance(value, list) and len(value) == 2 and all(_is_in(each, 0, 1) for each in value)):
        raise ModelError(f"'score_weights' must be 2 numbers from 0 to 1, got {shown(value)}")


def _is_in(value: object, low: float, high: float) -> bool:
    """Whether it is a number in a range; not NaN."""
    return type(value) in (int, float) and low <= value <= high  # type: ignore[operator]


def _is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: JSON may contain half a character."""
    return not re.search("[\ud800-\udfff]", value)


def _is_plain_name(name: str) -> bool:
    is_elsewhere = name in ("", ".", "..", MANIFEST) or re.search(r"[/\\\0]", name)
    return not is_elsewhere and _is_text(name)


def _check_digest(path: Path, expected: str) -> None:
    try:
        found = sha256(path) if path.is_file() else None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    if found is None:
        raise ModelError(f"{path} is missing, though the bundle's manifest lists it")
    if found != expected:
        raise ModelError(f"{path} is damaged or was changed: sha256 {found}, the manifest says {expected}")
