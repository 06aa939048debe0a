"""The package's exceptions. Every message names the file or option, what was expected and what came."""


class MtcnnError(Exception):
    """Base of every error that this package raises on purpose."""


class ImageError(MtcnnError):
    """An image cannot be read, or an array is not an image."""


class ModelError(MtcnnError):
    """A model bundle, or the runtime that should run it, is missing, damaged or unsuitable."""


class DataError(MtcnnError):
    """An annotation, a record file or a result file is missing, damaged or malformed."""


class ConfigError(MtcnnError, ValueError):
    """An option is unknown or out of range. Also a `ValueError`."""


class LibraryError(MtcnnError, ImportError):
    """A library that everything here needs cannot be imported. Also an `ImportError`."""


def shown(value: object) -> str:
    """A value as it appears in a message: its repr, cut to 100 characters, or its type if it has none."""
    try:
        text = repr(value)
    except Exception:  # such as a whole number of thousands of digits
        return f"a {type(value).__name__}"
    return text if len(text) <= 100 else text[:97] + "..."
