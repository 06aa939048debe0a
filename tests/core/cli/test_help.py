"""What `--help` says: the meaning of every option of every verb."""

import argparse
import re
from typing import Iterator

import pytest

from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.config import NETS

Found = tuple[tuple[str, ...], argparse.ArgumentParser, argparse.Action]
NO_MEANING = {*NETS, "or", "and", "of", "the"}


def options(parser: argparse.ArgumentParser, verbs: tuple[str, ...] = ()) -> Iterator[Found]:
    """Every option of a parser and of those of its verbs, with the verbs that lead to it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, verb in action.choices.items():
                yield from options(verb, (*verbs, name))
        elif not isinstance(action, (argparse._HelpAction, argparse._VersionAction)):
            yield verbs, parser, action


FOUND = list(options(cli._parser()))


def name_of(found: Found) -> str:
    verbs, _, action = found
    return " ".join([*verbs, *(action.option_strings[:1] or [action.dest])])


def meaning(action: argparse.Action) -> list[str]:
    """The words that say what an option is: not its usual value, which stands in brackets, nor what it may be."""
    text = re.sub(r"\([^()]*\)", "", action.help or "")
    return [word for word in re.findall(r"[A-Za-z]{2,}", text) if word not in NO_MEANING]


@pytest.mark.parametrize("found", FOUND, ids=name_of)
def test_every_option_has_a_meaning(found: Found) -> None:
    _, parser, action = found
    assert meaning(action), f"{name_of(found)} is explained as {action.help!r}"
    assert plain(str(action.help)) in plain(parser.format_help())


def plain(text: str) -> str:
    """Words with one space between them, without what `argparse` breaks at hyphens."""
    return re.sub(r"-\s+", "-", re.sub(r"\s+", " ", text)).replace("%%", "%")


def test_the_walk_finds_verbs_and_groups() -> None:
    names = set(map(name_of, FOUND))
    assert {"prepare wider --jitters", "prepare mine --top-up", "prepare check folder", "train --blur", "info --json"} <= names
