"""Packages that only evaluation needs, imported when they are needed."""

import importlib
from typing import Any

from mtcnn_gluon.errors import ConfigError


def need(module: str, purpose: str) -> Any:
    """A module of the extra `[evaluate]`.

    Raises:
        ConfigError: if it cannot be imported; the message says what it is needed for.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise ConfigError(f'{purpose} needs {package} ({error}): pip install "mtcnn-gluon[evaluate]"') from error
