"""Options that are declared once, as the fields of a frozen dataclass.

    @dataclass(frozen=True)
    class Learning(Options):
        rate: float = option(0.002, "highest learning rate", above=0)
        optimiser: Literal["sgd", "adam"] = option("adam", "what makes the steps")

Checks, the command line with its `--help`, YAML and the documentation come from that declaration. A field may be a `bool`,
`int`, `float`, `str`, a `Literal` of texts, a tuple of one of these, each of them or None, or another class of options, whose
fields then stand beside those of its owner.
"""

import math
import types
from contextlib import suppress
from dataclasses import MISSING, Field, dataclass, field, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Iterator, Literal, Mapping, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from mtcnn_gluon.errors import ConfigError, did_you_mean, shown

if TYPE_CHECKING:
    from argparse import Namespace  # which `import mtcnn_gluon` does not wait for

NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
Chosen = TypeVar("Chosen", bound="Options")


@dataclass(frozen=True)
class Meaning:
    """What is known of an option beside its type and its default.

    Attributes:
        help: one sentence, or the rest of one that begins with the option's name; without its default.
        least, most: smallest and largest value.
        above, below: what the value must be above and below.
        metavar: what stands for the value in `--help`, or for each of several.
        form: words for what is allowed, where the type and the range do not say it well.
        usual: words for the default, where it depends on something else.
    """

    help: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    metavar: str | tuple[str, ...] | None = None
    form: str | None = None
    usual: str | None = None

    def __contains__(self, value: float) -> bool:
        low = (self.least is None or value >= self.least) and (self.above is None or value > self.above)
        return low and (self.most is None or value <= self.most) and (self.below is None or value < self.below)

    def range(self) -> str:
        """Such as `from 0 to 1`, `above 0 and at most 1` or `1 or more`; empty if every value is allowed."""
        low = f"above {self.above:g}" if self.above is not None else "" if self.least is None else f"{self.least:g}"
        high = f"below {self.below:g}" if self.below is not None else "" if self.most is None else f"{self.most:g}"
        if self.least is not None:
            return f"from {low} to {high}" if high else f"{low} or more"
        if self.most is not None:
            high = f"at most {high}"
        return " and ".join(part for part in (low, high) if part)


def option(default: Any, help: str, **more: Any) -> Any:
    """A field of a class of options.

    Args:
        default: its default; `...`: there is none, the option is required.
        help: see `Meaning`, as for the others.
    """
    known: Any = {} if default is ... else {"default": default}
    return field(metadata={"meaning": Meaning(help, **more)}, **known)


@dataclass(frozen=True)
class Options:
    """Base of classes of options: values are checked when one is made.

    Whole numbers become floats where floats are expected, and lists tuples, so that equal options compare equal.

    Raises:
        ConfigError: if a value has the wrong type or is out of range; the message names it.
    """

    def __post_init__(self) -> None:
        for each, kind in _own(type(self)):
            if not _is_group(kind):
                object.__setattr__(
                    self, each.name, checked(each.name, getattr(self, each.name), kind, each.metadata["meaning"])
                )


def checked(name: str, value: Any, kind: Any, meaning: Meaning) -> Any:
    """A value of the type `kind` that is in range.

    Raises:
        ConfigError: if `value` is none.
    """
    kind, may_be_none = _without_none(kind)
    if value is None and may_be_none:
        return None
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        is_open = parts[-1] is ...
        is_list = isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim == 1)
        if is_list and (len(value) > 0 if is_open else len(value) == len(parts)):
            try:
                return tuple(checked(name, each, parts[0], meaning) for each in value)
            except ConfigError:
                pass
    elif get_origin(kind) is Literal:
        if isinstance(value, str) and value in get_args(kind):
            return value
    elif kind in (bool, str):
        if type(value) is kind:
            return value
    elif isinstance(value, Real if kind is float else Integral) and not isinstance(value, (bool, np.timedelta64)):
        with suppress(OverflowError):  # a whole number of hundreds of digits
            if math.isfinite(number := kind(value)) and number in meaning:
                return number
    near = did_you_mean(value, get_args(kind)) if get_origin(kind) is Literal and isinstance(value, str) else ""
    raise ConfigError(f"{name} must be {_expected(kind, meaning)}, not {shown(value)}{near}")


def add_arguments(parser: Any, options: type[Options], leave_out: tuple[str, ...] = ()) -> None:
    """Declare an argument of the command line for every option; those of an inner class in a group of their own.

    Args:
        parser: an `argparse` parser or group.
        options: the class; the first line of an inner one's docstring is its group's title.
        leave_out: names of options that have no argument.
    """
    from argparse import BooleanOptionalAction

    for each, kind in _own(options):
        if each.name in leave_out:
            continue
        if _is_group(kind):
            add_arguments(parser.add_argument_group(str(kind.__doc__).partition("\n")[0].rstrip(".").lower()), kind, leave_out)
            continue
        meaning, more = each.metadata["meaning"], {}
        kind, _ = _without_none(kind)
        if kind is bool:
            more["action"] = BooleanOptionalAction
        else:
            more["type"], more["metavar"] = kind if kind in NAMES else str, meaning.metavar
        if get_origin(kind) is tuple:
            parts = get_args(kind)
            more["type"] = parts[0] if parts[0] in NAMES else str
            more["nargs"] = "+" if parts[-1] is ... else len(parts)
            if parts[-1] is ... and each.default is None:
                more["action"] = "extend"  # the option may be repeated
        required = each.default is MISSING
        text = _sentence(each, kind).replace("%", "%%")
        parser.add_argument(flag(each.name), required=required, default=None if required else each.default, help=text, **more)


def from_arguments(options: type[Chosen], arguments: "Namespace", **more: Any) -> Chosen:
    """The options that a command line gave; `more` has values of those without an argument."""
    names = set(option_names(options)) - set(more)
    return from_mapping(options, {**{name: getattr(arguments, name) for name in names if hasattr(arguments, name)}, **more})


def from_mapping(options: type[Chosen], values: Mapping[str, Any], place: str = "") -> Chosen:
    """The options that a configuration gives, those that it leaves out with their defaults.

    Args:
        options: the class.
        values: by name, those of inner classes beside the others.
        place: where they stand, for messages, such as `pnet.train`.

    Raises:
        ConfigError: if a name is unknown, a required one is missing, or a value is wrong.
    """
    given = dict(values)
    try:
        if unknown := [name for name in given if name not in option_names(options)]:
            known = option_names(options)
            raise ConfigError(
                f"unknown key {unknown[0]!r}{did_you_mean(str(unknown[0]), known) or '; there are ' + ', '.join(known)}"
            )
        return _build(options, given)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}" if place else str(error)) from error


def _build(options: type[Chosen], given: Mapping[str, Any]) -> Chosen:
    found: dict[str, Any] = {}
    for each, kind in _own(options):
        if _is_group(kind):
            found[each.name] = _build(kind, given)
        elif each.name in given:
            found[each.name] = given[each.name]
        elif each.default is MISSING:
            raise ConfigError(f"{each.name} is missing")
    return options(**found)


def to_mapping(options: Options) -> dict[str, Any]:
    """All values by name, those of inner classes beside the others; tuples as lists, so that JSON and YAML hold the same."""
    found: dict[str, Any] = {}
    for each, kind in _own(type(options)):
        value = getattr(options, each.name)
        found |= to_mapping(value) if _is_group(kind) else {each.name: list(value) if isinstance(value, tuple) else value}
    return found


def to_words(values: Mapping[str, Any]) -> list[str]:
    """Options as words of a command line: {"min_face": 12, "mirror": False} is --min-face 12 --no-mirror; None is left out."""
    words: list[str] = []
    for name, value in values.items():
        if isinstance(value, bool):
            words.append(flag(name) if value else f"--no-{flag(name)[2:]}")
        elif value is not None:
            words += [flag(name), *map(str, value if isinstance(value, (list, tuple)) else [value])]
    return words


def option_names(options: type[Options]) -> list[str]:
    """Names of all options, those of inner classes too."""
    return [name for each, kind in _own(options) for name in (option_names(kind) if _is_group(kind) else [each.name])]


def table(options: type[Options]) -> str:
    """A Markdown table of all options with their types, ranges, defaults and meanings."""
    rows = ["| option | value | default | meaning |", "|---|---|---|---|"]
    return "\n".join([*rows, *_rows(options)])


def _rows(options: type[Options]) -> Iterator[str]:
    for each, kind in _own(options):
        if _is_group(kind):
            yield from _rows(kind)
        else:
            kind, _ = _without_none(kind)
            meaning = each.metadata["meaning"]
            cells = [f"`{flag(each.name)}`", _expected(kind, meaning), _default(each), meaning.help]
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def flag(name: str) -> str:
    """`--min-face` for `min_face`."""
    return "--" + name.replace("_", "-")


def _own(options: type[Options]) -> Iterator[tuple[Field, Any]]:
    """The fields of a class with their types."""
    hints = get_type_hints(options)
    return ((each, hints[each.name]) for each in fields(options))


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Options)


def _without_none(kind: Any) -> tuple[Any, bool]:
    """A type without `| None`, and whether it had that."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind, False
    (inner,) = (each for each in get_args(kind) if each is not type(None))
    return inner, True


def _expected(kind: Any, meaning: Meaning) -> str:
    if meaning.form is not None:
        return meaning.form
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        count = "one or more" if parts[-1] is ... else str(len(parts))
        inner = _expected(parts[0], meaning)
        plain = NAMES.get(parts[0], inner)
        return f"{count} of {inner}" if plain is inner else f"{count} {plain.removeprefix('a ')}s {meaning.range()}".rstrip()
    if get_origin(kind) is Literal:
        *others, last = get_args(kind)
        return f"{', '.join(others)} or {last}" if others else str(last)
    return f"{NAMES[kind]}{', ' if ' or more' in meaning.range() else ' '}{meaning.range()}".rstrip(", ")


def _default(each: Field) -> str:
    """Of a field, as `--help` shows it; empty for one that is required or may be left out without another value instead."""
    meaning, value = each.metadata["meaning"], each.default
    if meaning.usual is not None:
        return str(meaning.usual)
    if value is MISSING or value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


def _sentence(each: Field, kind: Any) -> str:
    meaning, default = each.metadata["meaning"], _default(each)
    is_choice = Literal in map(get_origin, (kind, *get_args(kind)))
    choices = f": {_expected(kind, meaning)}" if is_choice else ""
    span = f", {meaning.range()}" if meaning.most is not None and meaning.form is None else ""
    return f"{meaning.help}{choices}{span}{f' ({default})' if default else ''}"
