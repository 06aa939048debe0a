"""What MkDocs does beside rendering the pages: tables of options, help texts, and pages from files outside `docs/`.

A page may hold

    <!-- options: mtcnn_gluon.training.options.TrainingOptions -->     the table of a class of options
    <!-- keys: mtcnn_gluon.pipeline.config.RunOptions -->              the same, as keys of a YAML file
    <!-- help: train -->                                               what `mtcnn-gluon train --help` prints

All come from the installed package, so they cannot differ from it.
"""

import argparse
import importlib
import os
import re
from pathlib import Path
from typing import Any, Iterator

ROOT = Path(__file__).parents[1]
OUTSIDE = {  # files of the repository that are pages or pictures of the site: their place there
    "CHANGELOG.md": "changelog.md",
    "model/gluon-4/MODEL_CARD.md": "gluon-4.md",
    "model/open-3/MODEL_CARD.md": "open-3.md",
    "model/wide-1/MODEL_CARD.md": "wide-1.md",
    "example/gpu_check.py": "gpu_check.py",
    "example/heads/render.py": "render.py",
    "example/open_data.py": "open_data.py",
    "example/open_points.py": "open_points.py",
    "example/pipeline_open.yaml": "pipeline_open.yaml",
    "example/portrait.jpg": "portrait.jpg",
    "example/tour.ipynb": "tour.ipynb",
}
MARK = re.compile(r"<!-- (options|keys|help): ([\w.-]+(?: [\w-]+)*) -->")
FLAG = re.compile(r"^\| `--([\w-]+)` \|", re.MULTILINE)  # first cell of a row of a table of options
WIDTH = 100  # characters of help texts


def on_files(files: Any, config: Any) -> Any:
    """Add the files of `OUTSIDE` to the site."""
    from mkdocs.structure.files import File

    for source, place in OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(text: str, page: Any, **_: Any) -> str:
    """Fill in tables and help texts, and point links to files outside `docs/` to their pages."""
    for source, place in OUTSIDE.items():
        text = text.replace(f"](../{source}", f"]({place}")
    return MARK.sub(lambda mark: filled(*mark.groups()), text)


def filled(kind: str, name: str) -> str:
    """What stands on the site for a mark."""
    if kind == "help":
        return f"```text\n{helps()[name]}```"
    from mtcnn_gluon.options import table

    module, _, options = name.rpartition(".")
    text = table(getattr(importlib.import_module(module), options))
    if kind == "options":
        return text
    return FLAG.sub(lambda flag: f"| `{flag[1].replace('-', '_')}` |", text).replace("| option |", "| key |")


def helps() -> dict[str, str]:
    """The help text of every command, by its words, such as `prepare wider`."""
    from mtcnn_gluon.cli.main import _parser

    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(WIDTH)
    try:
        return {words: parser.format_help() for words, parser in _commands(_parser(), "")}
    finally:
        os.environ.pop("COLUMNS")
        os.environ.update({} if before is None else {"COLUMNS": before})


def _commands(parser: argparse.ArgumentParser, words: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield words, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                yield from _commands(each, f"{words} {name}".strip())
