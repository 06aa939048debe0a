"""The pages of README and docs/ as their tests see them: blocks of code, links and headings."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("model/*/MODEL_CARD.md"))]
HOLDERS = ("- ", "1. ", "!!! ", "::: ")  # beginnings of what indented lines belong to: items, admonitions, API entries
PROGRAMS = ("mtcnn-gluon", "make", "pip", "python")

_FENCE = re.compile(r"```(.*)")
_REASON = re.compile(r"<!-- not run: (.+) -->")
_RECORDED = "\x1e"  # ends a command of what `commands` prints


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page, line: the file, and the line that the block begins on.
        language: such as `python`; empty for an indented block.
        text: its lines.
        reason: why it is not run; empty if it is.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All blocks of a page."""
    found: list[Block] = []
    lines = page.read_text("utf-8").splitlines()
    number, before, holder = 0, "", ""
    while number < len(lines):
        line, start = lines[number], number
        if fence := _FENCE.fullmatch(line):
            number = lines.index("```", number + 1)
            reason = _REASON.fullmatch(before)
            found.append(Block(page, start + 1, fence[1], "\n".join(lines[start + 1 : number]), reason[1] if reason else ""))
        elif line.startswith("    ") and not holder.startswith(HOLDERS):
            found.append(Block(page, start + 1, "", line, ""))
        elif line and not line.startswith(" "):
            holder = line
        before = line
        number += 1
    return found


def commands(text: str) -> list[list[str]]:
    """The commands of a block of shell, as bash runs them: with loops, variables and comments resolved. Nothing is started.

    Raises:
        ValueError: if it is no bash, or uses a program beside `PROGRAMS`.
    """
    functions = "".join(f"{name}() {{ printf '%s\\0' {name} \"$@\"; printf '{_RECORDED}'; }}\n" for name in PROGRAMS)
    script = f"set -eu\n{functions}{text}"
    bash = [shutil.which("bash") or "bash", "--noprofile", "--norc", "-c"]
    done = subprocess.run([*bash, script], cwd="/", env={"PATH": ""}, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return [each.split("\0")[:-1] for each in done.stdout.split(_RECORDED)[:-1]]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    """Where a page's links and pictures point to."""
    return re.findall(r"\]\(([^()\s]+)\)", re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL))
