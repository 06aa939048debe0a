"""Contact sheets and the summary: pictures of the expected sizes, in which targets are drawn where they lie."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon.detection.draw import BOX_COLOUR, POINT_COLOURS
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.layers import View
from mtcnn_gluon.prepare_data import show
from mtcnn_gluon.prepare_data.show import (
    BACKGROUND,
    CELL,
    COLUMNS,
    GAP,
    contact_sheet,
    draw_sample,
    sheets,
    summary,
)
from mtcnn_gluon.records.files import Reader, RecordWriter
from mtcnn_gluon.records.samples import Kind, Samples, pack_labels
from record_samples import make_samples

PITCH = CELL + GAP
BAR = (31, 119, 180)  # Matplotlib's first colour


def one(kind: Kind, size: int = 48, **changes: Any) -> Samples:
    """A single grey sample."""
    has_box, has_landmarks = kind in (Kind.POSITIVE, Kind.PART), kind == Kind.LANDMARK
    arrays = dict(
        crops=np.full((1, size, size, 3), 90, np.uint8), kinds=[kind], offsets=np.zeros((1, 4)), landmarks=np.zeros((1, 5, 2)),
        iou=[0.5], has_box=[has_box], has_landmarks=[has_landmarks], photos=[0], faces=[0],
    )  # fmt: skip
    return Samples(**{**arrays, **changes})


def readers(folder: Path, samples: Samples, names: tuple[str, ...] = ("pnet",)) -> dict[str, Reader]:
    for name in names:
        rows = samples.kinds == Kind[name.upper()] if name != "pnet" else slice(None)
        with RecordWriter(folder / name, {12: "pnet", 24: "rnet", 48: "onet"}[samples.size]) as writer:
            writer.write(samples[rows])
    return {name: Reader(folder / name) for name in names}


def has_colour(picture: np.ndarray, colour: tuple[int, ...]) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(-1) < 30).any())


@pytest.mark.parametrize("size", [12, 24, 48])
@pytest.mark.parametrize("count", [0, 1, 16, 17, 40])
def test_sheet(size: int, count: int) -> None:
    samples = make_samples(count, size)
    sheet = contact_sheet(samples, View(samples.size))
    assert sheet.shape == (-(-count // COLUMNS) * PITCH + GAP, COLUMNS * PITCH + GAP, 3) and sheet.dtype == np.uint8
    for i in range(-(-count // COLUMNS) * COLUMNS):
        y, x = GAP + i // COLUMNS * PITCH, GAP + i % COLUMNS * PITCH
        cell = sheet[y : y + CELL, x : x + CELL]
        if i < count:
            np.testing.assert_array_equal(cell, draw_sample(samples, i, View(samples.size)))
        else:
            assert (cell == BACKGROUND).all()
    assert contact_sheet(samples, View(samples.size), columns=3).shape[1] == 3 * PITCH + GAP


@pytest.mark.parametrize("size", [12, 24, 48])
def test_targets_are_drawn_where_they_lie(size: int) -> None:
    offsets = [[0.25, 0.125, -0.125, -0.25]]
    cell = draw_sample(one(Kind.PART, size, offsets=offsets), 0, View(size))
    ys, xs = np.nonzero((cell == BOX_COLOUR).all(2))
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == (24, 12, 84, 72)
    points = np.array([[(0.25, 0.25), (0.75, 0.25), (0.5, 0.5), (0.25, 0.75), (0.75, 0.75)]])
    for cell in (
        draw_sample(one(Kind.LANDMARK, size, landmarks=points), 0, View(size)),
        draw_sample(one(Kind.POSITIVE, size, landmarks=points, has_landmarks=[True]), 0, View(size)),
    ):
        for (x, y), colour in zip(np.rint(points[0] * CELL).astype(int), POINT_COLOURS):
            np.testing.assert_array_equal(cell[y, x], colour)
    plain = draw_sample(one(Kind.NEGATIVE, size), 0, View(size))
    assert (plain == 90).all()


@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_targets_far_outside_are_no_error(value: float) -> None:
    points = np.full((1, 5, 2), value)
    assert draw_sample(
        one(Kind.POSITIVE, offsets=np.full((1, 4), value), landmarks=points, has_landmarks=[True]), 0, View(12)
    ).any()


@pytest.mark.parametrize("names", [("pnet",), ("positive", "negative", "part", "landmark"), ("negative", "part")])
def test_sheets(tmp_path: Path, names: tuple[str, ...]) -> None:
    samples = make_samples(200, 24)
    records = readers(tmp_path, samples, names)
    pictures = sheets(records, 20)
    assert list(pictures) == [kind.name.lower() for kind in Kind if names == ("pnet",) or kind.name.lower() in names]
    for picture in pictures.values():
        assert picture.shape == (2 * PITCH + GAP, COLUMNS * PITCH + GAP, 3)
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    if "part" in pictures:
        assert has_colour(pictures["part"], BOX_COLOUR)
    if "landmark" in pictures:
        assert all(has_colour(pictures["landmark"], colour) for colour in POINT_COLOURS)
    again, other = sheets(records, 20), sheets(records, 20, seed=1)
    for kind, picture in pictures.items():
        np.testing.assert_array_equal(picture, again[kind])
        assert (picture != other[kind]).any()


def test_sheets_of_few_samples(tmp_path: Path) -> None:
    samples = Samples.concatenate([one(Kind.NEGATIVE, 12), one(Kind.LANDMARK, 12)])
    pictures = sheets(readers(tmp_path, samples), 160)
    assert {kind: picture.shape[0] for kind, picture in pictures.items()} == {"negative": PITCH + GAP, "landmark": PITCH + GAP}
    assert sheets(readers(tmp_path, Samples.empty(12)), 160) == {}


@pytest.mark.parametrize("kinds", [(), (Kind.NEGATIVE,), (Kind.POSITIVE, Kind.LANDMARK), tuple(Kind)], ids=len)
@pytest.mark.parametrize("with_figures", [False, True])
def test_summary(tmp_path: Path, kinds: tuple[Kind, ...], with_figures: bool) -> None:
    samples = Samples.concatenate([Samples.empty(24), *(one(kind, 24) for kind in kinds)])
    figures = {f"{kind.name.lower()}, side from {side} px": 3.0 for kind in kinds for side in (8, 128, 16)}
    page = summary(readers(tmp_path, samples), {"figures": figures} if with_figures else None)
    assert page.dtype == np.uint8 and page.shape[1] == show.PAGE_WIDTH and page.shape[0] > 100
    left, right = np.hsplit(page[80:], 2)  # below the title
    assert has_colour(left, BAR) == bool(kinds) and has_colour(right, BAR) == bool(kinds and with_figures)
    assert (page.min(axis=(1, 2)) < 100).any()  # text is written


def test_figures_of_the_summary() -> None:
    """Bars have the counts as heights, and a kind of which there is no sample has no row."""
    overlaps = [0.02, 0.03, 0.52, 1.0]
    samples = Samples.concatenate(
        [*(one(Kind.PART, iou=[overlap]) for overlap in overlaps), one(Kind.POSITIVE, has_landmarks=[True])]
    )
    figures = {"part, side from 16 px": 9.0, "part, side from 128 px": 1e9, "parts": 2.0}
    figure = show.summary_figure(pack_labels(samples), "onet", figures)
    assert figure.get_suptitle() == "5 samples for onet: 1 positive, 0 negative, 4 part, 0 landmark"
    positive, _, part, sides = figure.axes
    assert positive.get_title() == "1 positive, 1 of them with landmarks"
    assert part.get_title() == "4 part, 0 of them with landmarks"
    heights = {round(bar.get_x(), 2): bar.get_height() for bar in part.patches if bar.get_height()}
    assert heights == {0: 2, 0.5: 1, 0.95: 1}
    assert [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in sides.patches] == [(16, 16, 9), (128, 128, 1e9)]


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match="prepare show needs matplotlib"):
        summary(readers(tmp_path, one(Kind.NEGATIVE)), None)
