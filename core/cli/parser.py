"""The command line's parser: it says what a misspelt option, verb or choice may have meant, and shows the usage of its verb."""

import argparse
import re
import sys
from typing import Any, Sequence

from mtcnn_gluon.errors import did_you_mean

NUMBERS = ("-inf", "-infinity", "-nan")  # which begin like options


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that takes options by their whole names only, for itself and for its verbs.

    An abbreviation that is good today would be ambiguous, or mean another option, when one is added.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """As in `ArgumentParser`, but arguments that this verb does not know are its own error, with its own usage.

        Misspelt options come first: the one that they stand for may be required, and is not missing.
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
        """Those arguments, without values, that can only be options of this verb, not of one below it; none after `--`."""
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
        return name in known or (not name.startswith("--") and name[:2] in known)  # -h, alone or with more in one word

    def _about_unknown(self, name: str) -> str:
        if self._subparsers is not None:
            return f"unknown option {name}{did_you_mean(name, self._option_string_actions) or ': options follow their verb'}"
        return f"unknown option {name}{did_you_mean(name, self._option_string_actions)}"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As in `ArgumentParser`, with a suggestion."""
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        near = did_you_mean(str(value), known)
        raise argparse.ArgumentError(action, f"{value!r} is none of {', '.join(known)}{near}")
