"""The parser of the command line. It suggests corrections for misspelt options, verbs and values."""

import argparse
import re
import sys
from typing import Any, Sequence

from mtcnn_gluon.errors import did_you_mean

NUMBERS = ("-inf", "-infinity", "-nan")  # values that begin like options


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that accepts no abbreviated options: with a new option, one could become ambiguous."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """As in `ArgumentParser`, but unknown arguments are reported with the usage of their verb.

        Misspelt options are reported first, because the intended option may be required and would be reported as missing.
        """
        words = sys.argv[1:] if args is None else list(args)
        self._refuse([self._about_unknown(word) for word in self._own_options(words) if not self._is_known(word)])
        namespace, rest = super().parse_known_args(words, namespace)
        self._refuse([f"unknown argument {word}" for word in rest])
        return namespace, rest

    def _refuse(self, reasons: Sequence[str]) -> None:
        if reasons:
            self.error("; ".join(dict.fromkeys(reasons)))

    def _own_options(self, words: Sequence[str]) -> list[str]:
        """The options among the arguments, without values; those after a verb belong to the verb's own parser."""
        options = []
        for word in words:
            if word == "--" or (self._subparsers is not None and not word.startswith("-")):
                break
            name = word.partition("=")[0]
            if re.match("-+[A-Za-z]", name) and " " not in name and name.lower() not in NUMBERS:
                options.append(name)
        return options

    def _is_known(self, name: str) -> bool:
        known = self._option_string_actions
        return name in known or (not name.startswith("--") and name[:2] in known)  # such as -h, also with letters behind it

    def _about_unknown(self, name: str) -> str:
        hint = did_you_mean(name, self._option_string_actions)
        return f"unknown option {name}{hint or (': options follow their verb' if self._subparsers is not None else '')}"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As in `ArgumentParser`, but with a suggestion."""
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            hint = did_you_mean(str(value), known)
            raise argparse.ArgumentError(action, f"{value!r} is none of {', '.join(known)}{hint}")
