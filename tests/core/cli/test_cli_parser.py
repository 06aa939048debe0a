"""Misspelt options, verbs and choices: what is suggested, whose usage is shown, and that no abbreviation is taken."""

import argparse

import pytest

from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.cli.parser import Parser
from mtcnn_gluon.errors import near

WIDER = "evaluate wider --annotations a --results b"
VERBS = "detect, prepare, train, launch, pipeline, evaluate, export, serve, bench, info"
BENCHMARKS = "wider, fddb, landmarks, groups, stages, records"


def said(capsys: pytest.CaptureFixture, line: str) -> tuple[str, str]:
    """The first and the last line that a wrong command prints; its exit status is 2 and it prints no result."""
    with pytest.raises(SystemExit) as stop:
        cli.main(line.split(" "))
    printed = capsys.readouterr()
    assert stop.value.code == 2 and printed.out == ""
    first, *_, last = printed.err.splitlines()
    return first, last


@pytest.mark.parametrize(
    ("line", "verb", "unknown", "meant"),
    [
        ("detect a.jpg --min_face 40", "detect", "--min_face", "--min-face"),
        ("detect a.jpg --min_face=40", "detect", "--min_face", "--min-face"),
        ("detect a.jpg --MIN-FACE 40", "detect", "--MIN-FACE", "--min-face"),
        ("detect a.jpg --minface 40", "detect", "--minface", "--min-face"),
        ("detect a.jpg -json x", "detect", "-json", "--json"),
        ("detect a.jpg --crop out", "detect", "--crop", "--crops"),
        ("detect a.jpg --cvs out", "detect", "--cvs", "--csv"),
        ("detect a.jpg --treshold 0.5 0.5 0.5", "detect", "--treshold", "--thresholds"),
        ("detect a.jpg --thresh 0.5 0.5 0.5", "detect", "--thresh", "--thresholds or --threads"),
        ("train --optimizer adam", "train", "--optimizer", "--optimiser"),  # though required ones are missing too
        ("train --nett pnet --records a --out b", "train", "--nett", "--net"),
        ("train --batch-size 4", "train", "--batch-size", "--batch"),
        ("prepare mine --mdel x", "prepare mine", "--mdel", "--model"),
        ("prepare wider --no-square-face", "prepare wider", "--no-square-face", "--no-square-faces or --square-faces"),
        ("pipeline --conf x", "pipeline", "--conf", "--config"),
        ("evaluate wider --anotations a --results b", "evaluate wider", "--anotations", "--annotations"),
        (f"{WIDER} --min_face 5", "evaluate wider", "--min_face", "--min-face"),
        ("evaluate records --record a", "evaluate records", "--record", "--records"),
        ("export a b --license MIT", "export", "--license", "--licence"),
        ("bench --peer x", "bench", "--peer", "--peers"),
        ("info --jason", "info", "--jason", "--json"),
        ("--versoin", "", "--versoin", "--version"),
    ],
)
def test_misspelt_options(capsys: pytest.CaptureFixture, line: str, verb: str, unknown: str, meant: str) -> None:
    command = f"mtcnn-gluon {verb}".strip()
    first, last = said(capsys, line)
    assert first.startswith(f"usage: {command} [-h]")
    assert last == f"{command}: error: unknown option {unknown}: did you mean {meant}?"


@pytest.mark.parametrize(
    ("line", "verb", "message"),
    [
        ("detct a.jpg", "", f"'detct' is none of {VERBS}: did you mean detect?"),
        ("evaluate widr", "evaluate", f"'widr' is none of {BENCHMARKS}: did you mean wider?"),
        ("prepare recods", "prepare", "did you mean records?"),
        ("evaluate xyz", "evaluate", f"'xyz' is none of {BENCHMARKS}"),
    ],
)
def test_misspelt_verbs_and_choices(capsys: pytest.CaptureFixture, line: str, verb: str, message: str) -> None:
    command = f"mtcnn-gluon {verb}".strip()
    first, last = said(capsys, line)
    assert first.startswith(f"usage: {command} [-h]") and last.startswith(f"{command}: error: argument ")
    assert last.endswith(message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("detect a.jpg --lr 1", "mtcnn-gluon detect: error: unknown option --lr"),
        (
            "detect a.jpg --sav x --facto 1",
            "unknown option --sav: did you mean --save?; unknown option --facto: did you mean --factor?",
        ),
        ("--json - detect a.jpg", "mtcnn-gluon: error: unknown option --json: options follow their verb"),
        ("evaluate --model x wider", "mtcnn-gluon evaluate: error: unknown option --model: options follow their verb"),
        ("info extra", "mtcnn-gluon info: error: unknown argument extra"),
        ("detect a.jpg --min-face -inf", "mtcnn-gluon detect: error: argument --min-face: expected one argument"),
        ("detect a.jpg --json", "mtcnn-gluon detect: error: argument --json: expected one argument"),
    ],
)
def test_other_mistakes(capsys: pytest.CaptureFixture, line: str, message: str) -> None:
    assert said(capsys, line)[1].endswith(message)


def test_what_follows_two_hyphens_is_no_option(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["detect", "--json", "-", "--", "--no-such-photo.jpg"]) == 1
    assert "--no-such-photo.jpg does not exist" in capsys.readouterr().err


def test_abbreviations_are_taken_nowhere() -> None:
    """In no verb at any depth, though `argparse` takes them by default."""
    found = []

    def walk(parser: argparse.ArgumentParser) -> None:
        found.append(parser)
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for each in action.choices.values():
                    walk(each)

    walk(cli._parser())
    assert len(found) > 15 and all(isinstance(each, Parser) and not each.allow_abbrev for each in found)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("--out", ["--out"]),
        ("--OUT_", ["--out"]),
        ("--ou", []),
        ("--outp", ["--out", "--output"]),
        ("--nms", ["--nms"]),
        ("", []),
        ("--", []),
        ("--zzzzzz", []),
    ],
)
def test_near_words(word: str, meant: list[str]) -> None:
    assert near(word, ["--out", "--output", "--nms", "--min-face"]) == meant
