"""Options declared once: checks, command line, mappings, words and the table that documents them."""

import argparse
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest

from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.options import (
    Meaning,
    Options,
    add_arguments,
    from_arguments,
    from_mapping,
    option,
    option_names,
    table,
    to_mapping,
    to_words,
)  # fmt: skip


@dataclass(frozen=True)
class Look(Options):
    """Looks.

    More words."""

    blur: float = option(0.0, "share that is blurred", least=0, most=1, metavar="SHARE")


@dataclass(frozen=True)
class Some(Options):
    net: str = option(..., "net to train")
    epochs: int = option(20, "how often all samples are seen", least=1)
    rate: float | None = option(None, "highest rate", above=0, usual="0.002")
    keep: float = option(0.7, "share that is kept, 50 % or more is usual", above=0, most=1)
    average: float = option(0.5, "decay", least=0, below=1)
    optimiser: Literal["sgd", "adam", "muon"] = option("adam", "what makes the steps")
    tasks: tuple[Literal["cls", "box"], ...] = option(("cls", "box"), "what is learned")
    thresholds: tuple[float, float] | None = option(None, "of P- and R-Net", least=0, most=1)
    square: bool = option(False, "whether faces are squares")
    look: Look = field(default_factory=Look)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_arguments(made, Some)
    return made


@pytest.mark.parametrize(("name", "value", "expected"), [
    ("net", 3, "a text"), ("epochs", 0, "a whole number, 1 or more"), ("epochs", 1.5, "a whole number, 1 or more"),
    ("epochs", True, "a whole number, 1 or more"), ("epochs", None, "a whole number, 1 or more"),
    ("rate", 0, "a number above 0"),
    ("rate", float("nan"), "a number above 0"), ("rate", float("inf"), "a number above 0"), ("rate", "1", "a number above 0"),
    ("keep", 0, "a number above 0 and at most 1"), ("keep", 1.1, "a number above 0 and at most 1"),
    ("average", 1, "a number from 0 to below 1"),
    ("optimiser", "sdg", "sgd, adam or muon"), ("optimiser", None, "sgd, adam or muon"),
    ("tasks", (), "one or more of cls or box"), ("tasks", ["clss"], "one or more of cls or box"),
    ("tasks", "cls", "one or more of cls or box"), ("thresholds", [0.5], "2 numbers from 0 to 1"),
    ("thresholds", [0.5, 2], "2 numbers from 0 to 1"), ("square", 1, "true or false"), ("blur", -1, "a number from 0 to 1"),
])  # fmt: skip
def test_wrong_values_are_named(name: str, value: Any, expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        from_mapping(Some, {"net": "pnet", name: value}, "pnet.train")
    assert str(error.value).startswith(f"pnet.train: {name} must be {expected}, not ")


def test_unknown_and_missing_names() -> None:
    with pytest.raises(ConfigError, match="^a: unknown key 'epoch': did you mean epochs"):
        from_mapping(Some, {"net": "pnet", "epoch": 3}, "a")
    with pytest.raises(ConfigError, match="^unknown key 'zzzzz'; there are net, epochs, rate"):
        from_mapping(Some, {"net": "pnet", "zzzzz": 3})
    with pytest.raises(ConfigError, match="net is missing"):
        from_mapping(Some, {})
    with pytest.raises(ConfigError, match="did you mean sgd"):
        Some("pnet", optimiser="sgdd")  # type: ignore[arg-type]


def test_equal_options_are_equal_however_they_are_written() -> None:
    plain = Some("pnet", keep=1, thresholds=[0, 1])  # type: ignore[arg-type]
    assert plain == Some("pnet", keep=1.0, thresholds=(0.0, 1.0))
    assert to_mapping(plain)["thresholds"] == [0.0, 1.0] and type(plain.keep) is float
    assert type(Some("pnet", keep=np.float64(0.25)).keep) is float
    assert from_mapping(Some, to_mapping(plain)) == plain


def test_the_command_line_gives_what_a_mapping_gives() -> None:
    values = {"net": "onet", "epochs": 3, "rate": 0.1, "tasks": ["box"], "thresholds": [0.1, 0.2], "square": True, "blur": 0.5}
    found = from_arguments(Some, parser().parse_args(to_words(values)))
    assert found == from_mapping(Some, values) and found.look == Look(0.5)
    assert from_arguments(Some, parser().parse_args(["--net", "pnet"])) == Some("pnet")
    assert from_arguments(Some, argparse.Namespace(), net="pnet") == Some("pnet")


def test_words_say_no_and_leave_out_none() -> None:
    assert to_words({"min_face": 12, "mirror": False, "a": None, "b": (1, 2)}) == [
        "--min-face",
        "12",
        "--no-mirror",
        "--b",
        "1",
        "2",
    ]


def test_help_and_table_say_what_was_declared() -> None:
    text = " ".join(parser().format_help().split())
    for part in (
        "how often all samples are seen (20)", "highest rate (0.002)", "50 % or more is usual, above 0 and at most 1 (0.7)",
        "what makes the steps: sgd, adam or muon (adam)", "what is learned: one or more of cls or box (cls box)",
        "--no-square", "looks:", "from 0 to 1 (0)",
    ):  # fmt: skip
        assert part in text
    rows = table(Some).splitlines()
    assert "| `--rate` | a number above 0 | 0.002 | highest rate |" in rows and len(rows) == 2 + len(option_names(Some))
    assert "| `--tasks` | one or more of cls or box | cls box | what is learned |" in rows


@pytest.mark.parametrize(("limits", "said"), [
    ({}, ""), ({"least": 1}, "1 or more"), ({"most": 2}, "at most 2"), ({"below": 2}, "below 2"), ({"above": 0}, "above 0"),
    ({"least": 0, "most": 1}, "from 0 to 1"), ({"least": 0, "below": 1}, "from 0 to below 1"),
    ({"above": 0, "below": 1}, "above 0 and below 1"),
])  # fmt: skip
def test_ranges_in_words(limits: dict[str, float], said: str) -> None:
    assert Meaning("x", **limits).range() == said


def test_technical_limits_are_only_in_messages() -> None:
    @dataclass(frozen=True)
    class Wide(Options):
        rate: float = option(1.0, "highest rate", least=1e-30, most=1e30)
        count: int = option(2, "crops of a face", least=0, below=1e6)

    made = argparse.ArgumentParser()
    add_arguments(made, Wide)
    shown = f"{made.format_help()} {table(Wide)}"
    assert "highest rate, above 0" not in shown and "1e+" not in shown and "1e-" not in shown
    assert "| a number above 0 | 1 | highest rate |" in shown and "| a whole number, 0 or more | 2 |" in shown
    with pytest.raises(ConfigError, match=r"rate must be a number from 1e-30 to 1e\+30, not 0"):
        Wide(rate=0)
