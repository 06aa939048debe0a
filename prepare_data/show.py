"""Training data as pictures: contact sheets of samples, and histograms."""

from typing import Any, Mapping

import cv2
import numpy as np

from mtcnn_gluon.detection.draw import BOX_COLOUR, POINT_COLOURS
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.layers import View
from mtcnn_gluon.records.files import Reader
from mtcnn_gluon.records.samples import Column, Kind, Samples

CELL = 96  # pixels of a crop on a sheet
COLUMNS = 16
GAP = 2
PAGE_WIDTH = COLUMNS * (CELL + GAP) + GAP
BACKGROUND = (24, 24, 24)
ROW_HEIGHT = 240  # pixels of the summary for each kind
IOU_EDGES = np.linspace(0, 1, 21)


def contact_sheet(samples: Samples, view: View, columns: int = COLUMNS) -> np.ndarray:
    """A picture (H, W, 3) uint8 of samples that show `view`, with their targets: the face's box in the crop, and landmarks."""
    rows = -(-len(samples) // columns)
    sheet = np.full((rows * (CELL + GAP) + GAP, columns * (CELL + GAP) + GAP, 3), BACKGROUND, np.uint8)
    for i in range(len(samples)):
        y, x = (GAP + part * (CELL + GAP) for part in divmod(i, columns))
        sheet[y : y + CELL, x : x + CELL] = draw_sample(samples, i, view)
    return sheet


def draw_sample(samples: Samples, index: int, view: View) -> np.ndarray:
    """One sample, enlarged to (CELL, CELL, 3) uint8, with its targets."""
    first, side = CELL * view.context / view.size, CELL * view.cell / view.size  # of the candidate in the picture
    cell = cv2.resize(samples.crops[index], (CELL, CELL), interpolation=cv2.INTER_NEAREST)
    if samples.has_box[index]:
        box = first + (np.array([0, 0, 1, 1]) + samples.offsets[index]) * side
        x1, y1, x2, y2 = (round(float(v)) for v in box)
        cv2.rectangle(cell, (x1, y1), (x2, y2), BOX_COLOUR, 1)
    if samples.has_landmarks[index]:
        for (x, y), colour in zip(first + samples.landmarks[index] * side, POINT_COLOURS):
            cv2.circle(cell, (round(float(x)), round(float(y))), 2, colour, cv2.FILLED, cv2.LINE_AA)
    return cell


def sheets(records: Mapping[str, Reader], count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """A contact sheet of up to `count` random samples of each kind, by the kind's name."""
    pictures = {}
    for kind in Kind:
        parts = []
        for reader in records.values():
            rows = np.flatnonzero(reader.labels()[:, Column.KIND] == kind)
            if len(rows):
                chosen = np.random.default_rng(seed).permutation(rows)[:count]
                parts.append(reader[np.sort(chosen)])
        if parts:
            pictures[kind.name.lower()] = contact_sheet(Samples.concatenate(parts)[:count], reader.info.view)
    return pictures


def summary(records: Mapping[str, Reader], report: Mapping[str, Any] | None) -> np.ndarray:
    """A picture (H, PAGE_WIDTH, 3) uint8 of `summary_figure`, with the sizes of crops that the report has, if any."""
    labels = np.concatenate([reader.labels() for reader in records.values()])
    figure = summary_figure(labels, next(iter(records.values())).info.net, (report or {}).get("figures", {}))
    canvas = need("matplotlib.backends.backend_agg", "prepare show").FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def summary_figure(labels: np.ndarray, net: str, figures: Mapping[str, float]) -> Any:
    """Counts and histograms of samples as a Matplotlib figure, a row for each kind.

    Args:
        labels: (N, 18) label vectors.
        figures: of a report. `KIND, side from N px` is the number of crops whose side in the photo is from N to 2 N pixels.

    Raises:
        ConfigError: if Matplotlib is not installed.
    """
    of_kinds = {kind.name.lower(): labels[labels[:, Column.KIND] == kind] for kind in Kind}
    drawn = [name for name, rows in of_kinds.items() if len(rows)]
    size = PAGE_WIDTH / 100, 0.6 + ROW_HEIGHT / 100 * max(1, len(drawn))
    figure = need("matplotlib.figure", "prepare show").Figure(size, dpi=100, layout="constrained")
    figure.suptitle(f"{len(labels)} samples for {net}: {', '.join(f'{len(rows)} {name}' for name, rows in of_kinds.items())}")
    for row, name in enumerate(drawn):
        rows, prefix = of_kinds[name], f"{name}, side from "
        left, right = (figure.add_subplot(len(drawn), 2, 2 * row + column) for column in (1, 2))
        left.set_title(f"{len(rows)} {name}, {np.count_nonzero(rows[:, Column.HAS_LANDMARKS])} of them with landmarks")
        left.hist(rows[:, Column.IOU], IOU_EDGES)
        left.set_xlabel("intersection over union with the nearest face")
        sides = {float(key[len(prefix) :].split()[0]): v for key, v in figures.items() if key.startswith(prefix)}
        if not sides:
            right.set_axis_off()
            continue
        edges = list(sides)
        right.bar(edges, list(sides.values()), width=edges, align="edge", edgecolor="white")  # each bin ends at twice its edge
        right.set_xscale("log", base=2)
        right.xaxis.set_major_formatter("{x:g}")
        right.set_xlabel("side of the crop in its photo in pixels")
    for axes in figure.axes:
        axes.set_ylabel("samples")
    return figure
