"""The command line's parser: it says what a misspelt option, verb or choice may have meant, and shows the usage of its verb."""

import argparse
import difflib
import re
import sys
from typing import Any, Iterable, Sequence

NUMBERS = ("-inf", "-infinity", "-nan")  # which begin like options
NEAR = 0.6  # similarity, in 0..1, from which a word may be a slip of another one
BEHIND = 0.15  # how much less near than the nearest word a further suggestion may be
SUGGESTED = 3  # at most so many words


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


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Such as `: did you mean --min-face?`; empty if nothing in `known` is near to `word`."""
    found = near(word, known)
    return f": did you mean {' or '.join(found)}?" if found else ""


def near(word: str, known: Iterable[str]) -> list[str]:
    """The words that `word` may be a slip of, best first; those that differ only in case or hyphens, if there are any."""
    own, plain = _plain(word), {other: _plain(other) for other in known}
    if same := [other for other, text in plain.items() if text == own]:
        return same[:SUGGESTED]
    if len(own) < 3:
        return []
    likeness = {other: _likeness(own, text) for other, text in plain.items()}
    least = max(NEAR, max(likeness.values(), default=0) - BEHIND)
    close = [other for other in plain if likeness[other] >= least]
    return sorted(close, key=lambda other: -likeness[other])[:SUGGESTED]


def _likeness(word: str, other: str) -> float:
    """0..1; of a word that begins or ends the other one, as `thresh` does `thresholds`, at least `NEAR`."""
    ratio = difflib.SequenceMatcher(None, word, other).ratio()
    short, long = sorted((word, other), key=len)
    is_part = len(short) >= 3 and (long.startswith(short) or long.endswith(short))
    return NEAR + (1 - NEAR) * ratio if is_part else ratio


def _plain(word: str) -> str:
    return re.sub("[-_]", "", word.lower())
