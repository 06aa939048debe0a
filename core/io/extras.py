"""Optional packages, imported when they are needed."""

import importlib
from typing import Any

from mtcnn_gluon.errors import ConfigError, MtcnnError, install_command, last_line


def need(module: str, purpose: str, extra: str = "evaluate", error_class: type[MtcnnError] = ConfigError) -> Any:
    """Import a module of one of this package's extras.

    Args:
        module: the name, such as `matplotlib.figure`.
        purpose: what needs the module, for the message.
        extra: the extra that installs it.
        error_class: class of the error to raise.

    Raises:
        MtcnnError: (an `error_class`) if the import fails; the message says what needs the package and how to install it.
    """
    package = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise error_class(f"{purpose} needs {package} ({error}): run {install_command(extra)}") from error
    except Exception as error:  # a damaged library may raise anything
        text = f"{purpose} needs {package}, which is installed but cannot be imported: {last_line(error)}"
        raise error_class(text) from error
