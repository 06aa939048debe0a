"""The options of a step as a command line, and as what identifies it."""

import shlex
from dataclasses import fields
from typing import Any

from mtcnn_gluon.options import Options, to_mapping, to_words


def command(verb: str, options: Options, **more: Any) -> str:
    """The command line of a verb of `mtcnn-gluon`, as a shell takes it, without options that have their default."""
    return shlex.join(["mtcnn-gluon", *verb.split(), *to_words({**_given(options), **more})])


def identity(options: Options) -> dict[str, Any]:
    """All options that the result of a step depends on."""
    return {key: value for key, value in to_mapping(options).items() if key not in ("workers", "ray")}


def _given(options: Options) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in fields(options):
        value = getattr(options, each.name)
        if isinstance(value, Options):
            found |= _given(value)
        elif value != each.default:
            found["in" if each.name == "folders" else each.name] = value
    return found
