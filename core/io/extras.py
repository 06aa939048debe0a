"""Optional packages, imported when they are needed."""

import importlib
from typing import Any

from mtcnn_gluon.errors import ConfigError


def need(module: str, purpose: str, extra: str = "evaluate") -> Any:
    """Import a module of one of this package's extras.

    Args:
        module: its name, such as `matplotlib.figure`.
        purpose: what needs it, for the message.
        extra: the extra that installs it.

    Raises:
        ConfigError: if it cannot be imported; the message says what needs it and how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise ConfigError(f'{purpose} needs {package} ({error}): pip install "mtcnn-gluon[{extra}]"') from error
