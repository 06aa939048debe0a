"""Options that are declared once, as the fields of a frozen dataclass.

    @dataclass(frozen=True)
    class Learning(Options):
        rate: float = option(0.002, "highest learning rate", above=0)
        optimiser: Literal["sgd", "adam"] = option("adam", "what makes the steps")

Checks, the command line with its `--help`, YAML and the documentation use that declaration. The type of a field is `bool`,
`int`, `float`, `str`, a `Literal` of texts, or a tuple of one of these, each also with `| None`; or another class of options,
whose fields are then used like fields of the outer class.
"""

import math
import types
from contextlib import suppress
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Iterator, Literal, Mapping, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from mtcnn_gluon.errors import ConfigError, did_you_mean, shown

if TYPE_CHECKING:
    from argparse import Namespace  # which `import mtcnn_gluon` does not wait for

TECHNICAL = 1e6  # a limit from here on, or a smallest value below its inverse, only keeps calculations finite
NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
Chosen = TypeVar("Chosen", bound="Options")


@dataclass(eq=False, repr=False)
class Meaning:
    """The description of an option beside its type and default.

    Attributes:
        help: the meaning in one sentence or phrase, without the default.
        least, most: smallest and largest allowed value.
        above, below: exclusive limits of the value.
        metavar: placeholder for the value in `--help`; a tuple for several values.
        form: the allowed values in words, if type and range do not describe them well.
        usual: the default in words, if it depends on something else.
        alone: the value of an option that stands on the command line without one; None: it needs one.
    """

    help: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    metavar: str | tuple[str, ...] | None = None
    form: str | None = None
    usual: str | None = None
    alone: str | None = None

    def __contains__(self, value: float) -> bool:
        low = (self.least is None or value >= self.least) and (self.above is None or value > self.above)
        return low and (self.most is None or value <= self.most) and (self.below is None or value < self.below)

    def range(self) -> str:
        """The limits in words, such as `from 0 to 1` or `1 or more`; empty if every value is allowed."""
        low = f"above {self.above:g}" if self.above is not None else "" if self.least is None else f"{self.least:g}"
        high = f"below {self.below:g}" if self.below is not None else "" if self.most is None else f"{self.most:g}"
        if self.least is not None:
            return f"from {low} to {high}" if high else f"{low} or more"
        if self.most is not None:
            high = f"at most {high}"
        return " and ".join(part for part in (low, high) if part)

    def without_technical_limits(self) -> "Meaning":
        """For help texts and tables: without limits of `TECHNICAL` size, which only error messages state."""
        no_upper = {name: None for name in ("most", "below") if (getattr(self, name) or 0) >= TECHNICAL}
        no_lower = {"least": None, "above": 0} if 0 < (self.least or 0) <= 1 / TECHNICAL else {}
        return replace(self, **no_upper, **no_lower)  # type: ignore[arg-type]


def option(default: Any, help: str, **more: Any) -> Any:
    """A field of a class of options; `default` is `...` for a required option. For `help` and `more` see `Meaning`."""
    known: Any = {} if default is ... else {"default": default}
    return field(metadata={"meaning": Meaning(help, **more)}, **known)


def same(options: type["Options"], name: str, default: Any = ...) -> Any:
    """A field with the meaning of an option of another class, and its default unless another one is given."""
    known = options.__dataclass_fields__[name]
    if default is ...:
        return field(default=known.default, metadata=known.metadata)
    return field(default=default, metadata={"meaning": replace(known.metadata["meaning"], usual=None)})


@dataclass(frozen=True)
class Options:
    """Base class of all classes of options. It checks the values.

    Whole numbers become floats where floats are expected, and lists become tuples. Thus equal options compare equal.

    Raises:
        ConfigError: if a value has the wrong type or is out of range.
    """

    def __post_init__(self) -> None:
        for each, kind in _own(type(self)):
            if not _is_group(kind):
                object.__setattr__(
                    self, each.name, checked(each.name, getattr(self, each.name), kind, each.metadata["meaning"])
                )


def checked(name: str, value: Any, kind: Any, meaning: Meaning) -> Any:
    """`value` converted to the type `kind`.

    Raises:
        ConfigError: if the value has another type or is out of range; the message names the option `name`.
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
    if kind is float and isinstance(value, str):  # YAML 1.1 takes 2e-4 for a text
        with suppress(ValueError):
            if math.isfinite(number := float(value)):
                near = f": write {number if '.' in str(number) else str(number).replace('e', '.0e')}"
    raise ConfigError(f"{name} must be {_expected(kind, meaning)}, not {shown(value)}{near}")


def add_arguments(parser: Any, options: type[Options], leave_out: tuple[str, ...] = ()) -> None:
    """Declare a command-line argument for every option. The options of an inner class form a group of arguments.

    Args:
        parser: an `argparse` parser or group.
        options: the class; the first line of an inner class's docstring is the title of its group.
        leave_out: names of options without an argument.
    """
    from argparse import BooleanOptionalAction

    for each, kind in _own(options):
        if each.name in leave_out:
            continue
        if _is_group(kind):
            add_arguments(parser.add_argument_group(str(kind.__doc__).partition("\n")[0].rstrip(".").lower()), kind, leave_out)
            continue
        meaning: Meaning = each.metadata["meaning"]
        more: dict[str, Any] = {}
        kind, _ = _without_none(kind)
        if kind is bool:
            more["action"] = BooleanOptionalAction
        else:
            more["type"], more["metavar"] = kind if kind in NAMES else str, meaning.metavar
        if meaning.alone is not None:
            more["nargs"], more["const"] = "?", meaning.alone
        if get_origin(kind) is tuple:
            parts = get_args(kind)
            more["type"] = parts[0] if parts[0] in NAMES else str
            more["nargs"] = "+" if parts[-1] is ... else len(parts)
            if parts[-1] is ... and each.default in (None, MISSING):
                more["action"] = "extend"  # the option may be repeated
        required = each.default is MISSING
        text = _sentence(each, kind).replace("%", "%%")
        parser.add_argument(flag(each.name), required=required, default=None if required else each.default, help=text, **more)


def from_arguments(options: type[Chosen], arguments: "Namespace", **more: Any) -> Chosen:
    """The options from parsed command-line arguments; `more` holds those without an argument."""
    names = set(option_names(options)) - set(more)
    return from_mapping(options, {**{name: getattr(arguments, name) for name in names if hasattr(arguments, name)}, **more})


def from_mapping(options: type[Chosen], values: Mapping[str, Any], place: str = "") -> Chosen:
    """The options from a configuration; missing ones get their defaults.

    Args:
        options: the class.
        values: values by option name; options of inner classes are on the same level.
        place: origin of the values for messages, such as `pnet.train`.

    Raises:
        ConfigError: if a name is unknown, a required one is missing, or a value is wrong.
    """
    given = dict(values)
    try:
        known = option_names(options)
        if unknown := [name for name in given if name not in known]:
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
    """All values by option name; options of inner classes are on the same level. Tuples become lists, as in JSON and YAML."""
    found: dict[str, Any] = {}
    for each, kind in _own(type(options)):
        value = getattr(options, each.name)
        found |= to_mapping(value) if _is_group(kind) else {each.name: list(value) if isinstance(value, tuple) else value}
    return found


def to_words(values: Mapping[str, Any]) -> list[str]:
    """Command-line words for options: {"min_face": 12, "mirror": False} is --min-face 12 --no-mirror. None is left out."""
    words: list[str] = []
    for name, value in values.items():
        if isinstance(value, bool):
            words.append(flag(name) if value else f"--no-{flag(name)[2:]}")
        elif value is not None:
            words += [flag(name), *map(str, value if isinstance(value, (list, tuple)) else [value])]
    return words


def option_names(options: type[Options]) -> list[str]:
    """Names of all options, also those of inner classes."""
    return [each.name for each, _ in _all(options)]


def table(options: type[Options]) -> str:
    """A Markdown table of all options with their types, ranges, defaults and meanings."""
    rows = ["| option | value | default | meaning |", "|---|---|---|---|"]
    for each, kind in _all(options):
        meaning = each.metadata["meaning"].without_technical_limits()
        cells = [f"`{flag(each.name)}`", _expected(_without_none(kind)[0], meaning), _default(each), meaning.help]
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


def flag(name: str) -> str:
    """`--min-face` for `min_face`."""
    return "--" + name.replace("_", "-")


def _own(options: type[Options]) -> Iterator[tuple[Field, Any]]:
    """The fields of a class and their types."""
    hints = get_type_hints(options)
    return ((each, hints[each.name]) for each in fields(options))


def _all(options: type[Options]) -> Iterator[tuple[Field, Any]]:
    """The fields of a class and of its inner classes, and their types."""
    for each, kind in _own(options):
        yield from _all(kind) if _is_group(kind) else [(each, kind)]


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Options)


def _without_none(kind: Any) -> tuple[Any, bool]:
    """A type without `| None`, and whether it had it."""
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
    """The default as `--help` shows it; empty if the option is required, or its default is None without `usual`."""
    meaning, value = each.metadata["meaning"], each.default
    if meaning.usual is not None:
        return str(meaning.usual)
    if value is MISSING or value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


def _sentence(each: Field, kind: Any) -> str:
    meaning, default = each.metadata["meaning"].without_technical_limits(), _default(each)
    is_choice = any(get_origin(each) is Literal for each in (kind, *get_args(kind)))
    choices = f": {_expected(kind, meaning)}" if is_choice else ""
    span = f", {meaning.range()}" if meaning.most is not None and meaning.form is None else ""
    return f"{meaning.help}{choices}{span}{f' ({default})' if default else ''}"
