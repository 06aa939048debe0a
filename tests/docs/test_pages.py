"""README and docs/: short where it must be, every link leads somewhere, and what the site fills in exists."""

import importlib.util
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

from markdown_pages import PAGES, ROOT, anchors, links

LONGEST_README = 150  # lines
PLACES = re.compile(r"(?<![\w.}])/(work|root|home|tmp|usr|opt|mnt)/")
page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs/hooks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= LONGEST_README


@page
def test_links(page: Path) -> None:
    for link in links(page):
        place, _, anchor = link.partition("#")
        if "://" in place:
            continue
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
        assert target.is_relative_to(ROOT / "docs") or page.parent != ROOT / "docs" or link.startswith("../"), link


@page
def test_no_page_names_a_place_of_one_machine(page: Path) -> None:
    assert not PLACES.findall(page.read_text("utf-8"))


@page
def test_what_the_site_fills_in(page: Path, hooks: ModuleType) -> None:
    """Tables of options and help texts, and pages from files outside docs/."""
    text = page.read_text("utf-8")
    for mark in hooks.MARK.findall(text):
        assert len(hooks.filled(*mark).splitlines()) > 3
    if page.parent == ROOT / "docs":
        assert {link[3:] for link in links(page) if link.startswith("../")} <= set(hooks.OUTSIDE)


def test_every_command_has_its_help(hooks: ModuleType) -> None:
    marks = hooks.MARK.findall((ROOT / "docs/cli.md").read_text("utf-8"))
    assert [name for kind, name in marks if kind == "help"] == [words for words in hooks.helps() if words]


@page
def test_documented_names_exist(page: Path) -> None:
    for name in re.findall(r"^::: (\S+)$", page.read_text("utf-8"), re.MULTILINE):
        pkgutil.resolve_name(name)


def test_every_page_is_in_the_navigation(hooks: ModuleType) -> None:
    named = re.findall(r"(\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    pages = [path.name for path in (ROOT / "docs").glob("*.md")] + [each for each in hooks.OUTSIDE.values() if ".md" in each]
    assert sorted(named) == sorted(pages)
