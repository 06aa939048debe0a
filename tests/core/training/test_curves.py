"""The picture of a training run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon import read_image
from mtcnn_gluon.errors import DataError
from mtcnn_gluon.training.curves import COLOURS, FOOT, HEIGHT, MARGIN, PANELS, WIDTH, draw_curves, panel

NAN = float("nan")


def make_rows(count: int, **fixed: Any) -> list[dict[str, Any]]:
    names = [name for _, columns in PANELS for name in columns]
    return [{"epoch": e + 1, **{name: 0.5 + 0.4 / (e + k + 1) for k, name in enumerate(names)}, **fixed} for e in range(count)]


def is_of(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Which pixels are of a colour, or of a paler one, as on the edge of a line."""
    ink, expected = 255.0 - picture, 255.0 - np.array(colour)
    length = np.linalg.norm(ink, axis=2)
    return (length > 30) & (ink @ expected > 0.99 * length * np.linalg.norm(expected))


def drawn_in(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Which pixels above the legend are of a colour."""
    return is_of(picture[: HEIGHT - FOOT + 4], colour)


@pytest.mark.parametrize("title, columns", PANELS)
def test_legends_do_not_overlap(title: str, columns: tuple[str, ...]) -> None:
    legend = panel(make_rows(3), title, columns)[HEIGHT - FOOT + 4 :]
    boxes = []
    for colour in COLOURS[: len(columns)]:
        y, x = np.nonzero(is_of(legend, colour))
        boxes.append((x.min(), y.min(), x.max(), y.max()))
        assert len(x) > 30 and x.min() >= MARGIN - 1 and x.max() < WIDTH - 5
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[0] > b[2] + 4 or b[0] > a[2] + 4 or a[1] > b[3] or b[1] > a[3]


def test_what_there_is_no_figure_of_is_not_in_the_legend() -> None:
    rows = [{"epoch": 1, "a": 0.5, "b": NAN}]
    np.testing.assert_array_equal(panel(rows, "", ("a", "b", "c")), panel(rows, "", ("a",)))


@pytest.mark.parametrize("values", [[-1.234e-5, -1.2e-5], [-1.234e-300, 0], [-1.234e300, 1], [0.123456, 0.123457]])
def test_numbers_do_not_reach_into_the_plot(values: list[float]) -> None:
    plot = panel([{"epoch": i, "a": value} for i, value in enumerate(values)], "", ("a",))
    assert (plot[20 : HEIGHT - FOOT + 4, MARGIN - 3 : MARGIN - 1] == 255).all()


@pytest.mark.parametrize("epochs", [1, 2, 20, 1000])
def test_every_column_is_drawn(tmp_path: Path, epochs: int) -> None:
    draw_curves(make_rows(epochs), tmp_path / "curves.png")
    picture = read_image(tmp_path / "curves.png")
    assert picture.shape == (2 * HEIGHT, 2 * WIDTH, 3)
    for place, (_, columns) in enumerate(PANELS):
        top, left = HEIGHT * (place // 2), WIDTH * (place % 2)
        part = picture[top : top + HEIGHT, left : left + WIDTH]
        assert all(drawn_in(part, colour).any() for colour in COLOURS[: len(columns)])


@pytest.mark.parametrize(
    "values",
    [[NAN], [NAN, NAN, NAN], [NAN, 1, NAN], [1, NAN, 2], [0], [0, 0], [1e30], [1e30, 1e30], [-1e20], [1e-300, 0],
     [1e300, -1e300], [1, 1e300], [np.inf, 1, 2], [-np.inf]],
)  # fmt: skip
def test_strange_values(values: list[float]) -> None:
    plot = panel([{"epoch": i + 1, "a": value} for i, value in enumerate(values)], "title", ("a", "missing"))
    assert plot.shape == (HEIGHT, WIDTH, 3) and plot.dtype == np.uint8
    assert drawn_in(plot, COLOURS[0]).any() == bool(np.isfinite(values).any())
    assert not drawn_in(plot, COLOURS[1]).any()


def test_higher_values_are_drawn_higher() -> None:
    plot = panel([{"epoch": e, "a": e, "b": -e} for e in (1, 2, 3)], "", ("a", "b"))
    rows = [np.flatnonzero(drawn_in(plot, colour)[:, -16:].any(axis=1)) for colour in COLOURS[:2]]
    assert rows[0].max() < rows[1].min()


def test_resumed_rows_and_missing_columns(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"epoch": 4, "loss": 1.0}, {"epoch": 5, "loss": 0.5, "val_recall": 0.5}]
    draw_curves(rows, tmp_path / "curves.png")
    assert read_image(tmp_path / "curves.png").std() > 0


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        draw_curves(make_rows(2), tmp_path / "file/curves.png")
