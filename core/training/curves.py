"""The course of a training run as a picture."""

import os
from typing import Any, Mapping, Sequence

import cv2
import numpy as np

from mtcnn_gluon.io.files import write_picture

WIDTH, HEIGHT, MARGIN = 480, 260, 76
HEAD, FOOT, LINE = 30, 40, 16  # pixels above and below the curves, and between lines of text
FONT, SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.33
PAPER, INK, GRID = (255, 255, 255), (40, 40, 40), (225, 225, 225)
COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40))
PANELS = (  # title, columns of the log
    ("loss", ("loss", "cls", "box", "landmark")),
    ("accuracy", ("positive_accuracy", "negative_accuracy", "val_positive_accuracy", "val_negative_accuracy")),
    ("recall at 1 % false positives", ("recall", "val_recall")),
    ("errors, in sides of the crop", ("box_error", "val_box_error", "landmark_error", "val_landmark_error")),
)


def draw_curves(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike) -> None:
    """Write a PNG of the log's columns over the epochs.

    Raises:
        DataError: if it cannot be written.
    """
    panels = [panel(rows, title, columns) for title, columns in PANELS]
    write_picture(path, np.vstack([np.hstack(panels[:2]), np.hstack(panels[2:])]))


def panel(rows: Sequence[Mapping[str, Any]], title: str, columns: Sequence[str]) -> np.ndarray:
    """One plot (HEIGHT, WIDTH, 3) uint8 of some columns over the epochs."""
    plot = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    epochs = [float(row["epoch"]) for row in rows]
    lines = {name: [float(row.get(name, np.nan)) for row in rows] for name in columns}
    finite = [value for values in lines.values() for value in values if np.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    high = high if high > low else low + max(1, abs(low))
    for share in (0, 0.5, 1):
        y = _row(low + share * (high - low), low, high)
        cv2.line(plot, (MARGIN, y), (WIDTH - 10, y), GRID)
        text = f"{low + share * (high - low):.3g}"
        _write(plot, text, (MARGIN - 6 - _length(text), y + 4))
    there = [name for name, values in lines.items() if np.isfinite(values).any()]
    places = dict(zip(there, _legend(there)))
    for (name, values), colour in zip(lines.items(), COLOURS):
        points = [(_column(e, epochs), _row(v, low, high)) for e, v in zip(epochs, values) if np.isfinite(v)]
        for point in points if len(points) == 1 else ():
            cv2.circle(plot, point, 2, colour, cv2.FILLED, cv2.LINE_AA)
        cv2.polylines(plot, [np.array(points, np.int32).reshape(-1, 1, 2)], False, colour, 1, cv2.LINE_AA)
        if name in places:
            _write(plot, name, places[name], colour)
    _write(plot, f"{title}, epoch {epochs[0]:.0f} to {epochs[-1]:.0f}", (MARGIN, 16))
    return plot


def _legend(names: Sequence[str]) -> list[tuple[int, int]]:
    """Where the names below a plot begin, side by side; what does not fit goes into the next line."""
    places, x, y = [], MARGIN, HEIGHT - FOOT + LINE
    for name in names:
        width = _length(name)
        if x > MARGIN and x + width > WIDTH - 10:
            x, y = MARGIN, y + LINE
        places.append((x, y))
        x += width + LINE
    return places


def _length(text: str) -> int:
    """Of a text as it is written, in pixels."""
    return cv2.getTextSize(text, FONT, SIZE, 1)[0][0]


def _column(epoch: float, epochs: Sequence[float]) -> int:
    return round(MARGIN + (WIDTH - 10 - MARGIN) * (epoch - epochs[0]) / max(1, epochs[-1] - epochs[0]))


def _row(value: float, low: float, high: float) -> int:
    return round(HEIGHT - FOOT - (HEIGHT - FOOT - HEAD) * (value - low) / (high - low))


def _write(plot: np.ndarray, text: str, origin: tuple[int, int], colour: tuple[int, int, int] = INK) -> None:
    cv2.putText(plot, text, origin, FONT, SIZE, colour, 1, cv2.LINE_AA)
