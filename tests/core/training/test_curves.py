"""The picture of a training run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon import read_image
from mtcnn_gluon.errors import DataError
from mtcnn_gluon.training.curves import PANELS, draw_curves, make_figure

NAN = float("nan")


def make_rows(count: int, **fixed: Any) -> list[dict[str, Any]]:
    names = [name for _, columns in PANELS for name in columns]
    return [{"epoch": e + 1, **{name: 0.5 + 0.4 / (e + k + 1) for k, name in enumerate(names)}, **fixed} for e in range(count)]


def drawn(rows: list[dict[str, Any]]) -> dict[str, tuple[list[float], list[float]]]:
    """By the name in a legend, the epochs and the values of each line."""
    found = {}
    for axes in make_figure(rows).axes:
        if legend := axes.get_legend():
            for text, line in zip(legend.get_texts(), axes.lines, strict=True):
                assert text.get_text() == line.get_label()
                found[text.get_text()] = list(line.get_xdata()), list(line.get_ydata())
    return found


@pytest.mark.parametrize("epochs", [1, 2, 20, 1000])
def test_every_column_is_drawn(tmp_path: Path, epochs: int) -> None:
    rows = make_rows(epochs)
    expected = {
        name: ([row["epoch"] for row in rows], [row[name] for row in rows]) for _, columns in PANELS for name in columns
    }
    assert drawn(rows) == expected
    for axes, (title, columns) in zip(make_figure(rows).axes, PANELS):
        assert axes.get_title() == title and [line.get_label() for line in axes.lines] == list(columns)
    draw_curves(rows, tmp_path / "curves.png")
    picture = read_image(tmp_path / "curves.png")
    assert picture.shape == (700, 1200, 3)
    for part in (picture[:350, :600], picture[:350, 600:], picture[350:, :600], picture[350:, 600:]):
        colours = part.reshape(-1, 3)
        assert len(np.unique(colours[np.ptp(colours, axis=1) > 60], axis=0)) > 10 and (colours == 255).all(1).mean() > 0.5


@pytest.mark.parametrize(
    "values",
    [[NAN], [NAN, NAN, NAN], [NAN, 1, NAN], [1, NAN, 2], [0], [0, 0], [1e30], [1e30, 1e30], [-1e20], [1e-300, 0],
     [1e300, -1e300], [1, 1e300], [np.inf, 1, 2], [-np.inf], [-1.234e-5, -1.2e-5], [0.123456, 0.123457]],
)  # fmt: skip
def test_strange_values(tmp_path: Path, values: list[float]) -> None:
    """Only finite ones are drawn, joined by a line, and a single one as a point."""
    rows = [{"epoch": i + 1, "loss": value} for i, value in enumerate(values)]
    known = [(row["epoch"], row["loss"]) for row in rows if np.isfinite(row["loss"])]
    assert drawn(rows) == ({"loss": tuple(map(list, zip(*known)))} if known else {})
    lines = make_figure(rows).axes[0].lines
    assert [line.get_marker() for line in lines] == (["." if len(known) == 1 else "None"] if known else [])
    draw_curves(rows, tmp_path / "curves.png")
    assert read_image(tmp_path / "curves.png").std() > 0


def test_resumed_rows_and_missing_columns(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"epoch": 4, "loss": 1.0}, {"epoch": 5, "loss": 0.5, "val_recall": 0.5}]
    assert drawn(rows) == {"loss": ([4, 5], [1.0, 0.5]), "val_recall": ([5], [0.5])}


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        draw_curves(make_rows(2), tmp_path / "file/curves.png")
