"""The report of an evaluation: a Markdown page, JSON, curves as PNG, and pictures of errors."""

import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np

from mtcnn_gluon.evaluation.bootstrap import Interval
from mtcnn_gluon.evaluation.coverage import Coverage
from mtcnn_gluon.evaluation.gallery import Gallery, contact_sheet
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.io.files import printable, whole_file, write_picture
from mtcnn_gluon.prepare_data.annotations import Problems

EXAMPLES_OF_PROBLEMS = 5
LONGEST_LABEL, KEPT = 60, 26  # characters of a label in legends, and of each end of a longer one


@dataclass(frozen=True)
class Table:
    """A table: title, column heads, and rows of cells."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Line:
    """One curve: its label, x (N,) and y (N,)."""

    label: str
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class Plot:
    """Curves in one picture."""

    name: str  # file name without ending
    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    x_range: tuple[float, float] | None = None  # limits of the axis; None: it fits the curves
    y_range: tuple[float, float] | None = (0, 1.01)
    logarithmic: bool = False  # of the x axis


@dataclass(frozen=True, eq=False)
class Report:
    """The report of an evaluation."""

    headline: str  # one sentence: what was measured, and on how many photos of the set
    is_complete: bool  # the whole set was evaluated
    tables: tuple[Table, ...]
    summary: dict[str, Any]  # figures for JSON
    plots: tuple[Plot, ...] = ()
    galleries: tuple[Gallery, ...] = ()
    notes: tuple[str, ...] = ()  # sentences that explain the figures
    problems: dict[str, Problems] = field(default_factory=dict)  # with the inputs, by source
    curves: dict[str, Any] = field(default_factory=dict)  # further figures, only in the report's JSON
    photo_file: Callable[[str], Path] | None = None  # finds the file of a photo by its name; None if unknown

    @property
    def has_faults(self) -> bool:
        """Whether there are problems with the inputs."""
        return any(self.problems.values())

    def to_json(self, curves: bool = False) -> dict[str, Any]:
        """All figures, with the headline, the notes and the problems."""
        problems = {name: {"counts": each.counts, "lines": dict(each.found)} for name, each in self.problems.items() if each}
        whole = {"headline": self.headline, "complete": self.is_complete, **self.summary}
        return {**whole, "notes": list(self.notes), "problems": problems, **({"curves": self.curves} if curves else {})}

    def to_text(self) -> str:
        """Headline, tables and notes as Markdown."""
        parts = [f"**{self.headline}**", *map(_table, self.tables), "\n".join(f"- {note}" for note in self.notes)]
        return "\n\n".join(part for part in parts if part) + "\n"


def headline(title: str, what: str, coverage: Coverage, faces: int, problems: Sequence[Problems]) -> str:
    """A sentence such as `WIDER FACE validation: average precision on all 3,226 photos, 39,708 annotated faces`.

    It begins with PARTIAL if only part of the set was evaluated, and ends with the number of problems.
    """
    count = sum(map(len, problems))
    more = f"; {count:,} problem{'' if count == 1 else 's'} with the inputs, see below" if count else ""
    evaluated = f"{coverage.sentence()}, {faces:,} annotated face{'' if faces == 1 else 's'}"
    return f"{'' if coverage.is_complete else 'PARTIAL: '}{title}: {what} on {evaluated}{more}"


def number(
    value: float | None, interval: Interval | None = None, digits: int = 3, sign: bool = False, scale: float = 1, unit: str = ""
) -> str:
    """A value with its interval, such as `0.848 [0.840, 0.856]`; a dash for None or NaN."""
    if value is None or np.isnan(value):
        return "-"
    first, *bounds = (f"{scale * each:{'+' if sign else ''}.{digits}f}" for each in (value, *(interval or ())))
    return f"{first}{unit} [{', '.join(bounds)}]" if bounds else f"{first}{unit}"


def percent(value: float | None, interval: Interval | None = None) -> str:
    """A share with its interval, such as `4.2 % [4.0, 4.4]`; a dash for None or NaN."""
    return number(value, interval, digits=1, scale=100, unit=" %")


def json_text(content: dict[str, Any]) -> str:
    """Standard JSON: NaN becomes null."""
    return json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_report(report: Report, folder: str | Path) -> None:
    """Write `report.md`, `report.json`, the curves, and the galleries if the files of the photos are known.

    Raises:
        ConfigError: if Matplotlib is not installed.
        DataError: if a file cannot be written.
    """
    root = Path(folder)
    for plot in report.plots:
        with whole_file(root / f"{plot.name}.png", "wb") as file:
            file.write(draw_plot(plot))
    pictures = []
    for gallery in report.galleries:
        sheet = contact_sheet(gallery, report.photo_file) if gallery.examples and report.photo_file else None
        if sheet is not None:
            write_picture(root / f"{gallery.name}.png", sheet)
            pictures.append(gallery.name)
    for name, text in (("report.json", json_text(report.to_json(curves=True))), ("report.md", _page(report, pictures))):
        with whole_file(root / name) as file:
            file.write(text)


def _page(report: Report, pictures: Sequence[str]) -> str:
    parts = ["# Evaluation", report.to_text().rstrip()]
    parts += [_picture(plot) for plot in report.plots]
    for gallery in report.galleries:
        parts += [f"## {gallery.title}", *([_picture(gallery)] if gallery.name in pictures else [])]
        lines = [f"{index}. {printable(each.photo)}: {each.caption}" for index, each in enumerate(gallery.examples, 1)]
        parts.append("\n".join(lines) or "None.")
    for name, problems in report.problems.items():
        if problems:
            parts += [f"## Problems with {name}", "```\n" + problems.summary(EXAMPLES_OF_PROBLEMS) + "\n```"]
    return "\n\n".join(parts) + "\n"


def _picture(shown: Plot | Gallery) -> str:
    escaped = shown.title.replace("[", r"\[").replace("]", r"\]")
    return f"![{escaped}]({shown.name}.png)"


def _table(table: Table) -> str:
    rows = [table.head, ("---",) * len(table.head), *table.rows]
    cells = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([f"{table.title}:", "", *cells])


def draw_plot(plot: Plot) -> bytes:
    """A plot as PNG.

    Raises:
        ConfigError: if Matplotlib is not installed.
    """
    figure = need("matplotlib.figure", "drawing curves").Figure(figsize=(7, 5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for line, label in zip(plot.lines, legend_labels([line.label for line in plot.lines])):
        axes.plot(line.x, line.y, label=label, linewidth=1.5)
    if plot.logarithmic:
        axes.set_xscale("log")
    if plot.x_range:
        axes.set_xlim(*plot.x_range)
    if plot.y_range:
        axes.set_ylim(*plot.y_range)
    axes.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label)
    axes.grid(alpha=0.3)
    if plot.lines:
        axes.legend(fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def legend_labels(texts: Sequence[str]) -> list[str]:
    """Different one-line labels of curves, which Matplotlib can show.

    Matplotlib reads text between dollars as a formula, hides labels that begin with `_`, and has letters of few scripts. If a
    text must be shortened or has letters that cannot be shown, every label begins with the number of its curve.
    """
    fonts = need("matplotlib.font_manager", "drawing curves")
    known = fonts.get_font(fonts.findfont("DejaVu Sans")).get_charmap()
    shown = ["".join(each if ord(each) in known else "?" for each in printable(text)) for text in texts]
    shown = [text if len(text) <= LONGEST_LABEL else f"{text[:KEPT]} ... {text[-KEPT:]}" for text in shown]
    if shown != [printable(text) for text in texts]:
        shown = [f"{number}: {text}" for number, text in enumerate(shown, 1)]
    return [re.sub("^_", " _", text.replace("$", r"\$")) for text in shown]


def _plain(value: Any) -> Any:
    """The value in JSON's own types: arrays become lists of numbers with six decimals, NaN becomes None."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(np.round(value.astype(np.float64), 6).tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (bool, int, str)) or value is None:
        return printable(value) if isinstance(value, str) else value
    return float(value) if np.isfinite(value) else None
