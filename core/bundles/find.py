"""Finding bundles by the name of a model or as a folder."""

import os

from mtcnn_gluon.bundles.format import Bundle, read_bundle
from mtcnn_gluon.bundles.official import official_bundle
from mtcnn_gluon.errors import ModelError, shown
from mtcnn_gluon.model import OTHER_NAMES, shipped_bundles


def find_bundle(model: str | os.PathLike) -> Bundle:
    """The bundle of a model name, one of `model_names`, or in a folder; `ModelError` if it is missing or cannot be used."""
    name = OTHER_NAMES.get(os.fspath(model), os.fspath(model))
    if name == "official":
        return official_bundle()
    if name in shipped_bundles():
        return read_bundle(shipped_bundles()[name])
    if not os.path.isdir(name):
        raise ModelError(f"model {shown(name)}: expected {', '.join(model_names())} or the folder of a model bundle")
    return read_bundle(name)


def model_names() -> tuple[str, ...]:
    """Names of the models that can be used without a folder."""
    return (*(name for name, real in OTHER_NAMES.items() if real in shipped_bundles()), "official", *shipped_bundles())
