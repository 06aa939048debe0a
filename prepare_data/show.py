"""Contact sheets: training data as pictures, so that a person sees them before a net does."""

from typing import Any, Mapping, Sequence

import cv2
import numpy as np

from mtcnn_gluon.detection.draw import BOX_COLOUR, POINT_COLOURS
from mtcnn_gluon.records.files import Reader
from mtcnn_gluon.records.samples import Column, Kind, Samples

CELL = 96  # pixels of a crop on a sheet
COLUMNS = 16
GAP = 2
PAGE_WIDTH = COLUMNS * (CELL + GAP) + GAP
BACKGROUND, INK, BAR = (24, 24, 24), (235, 235, 235), (90, 160, 250)
IOU_EDGES = np.linspace(0, 1, 21)


def contact_sheet(samples: Samples, columns: int = COLUMNS) -> np.ndarray:
    """A picture (H, W, 3) uint8 of samples with their targets: the face's box, as far as it lies in the crop, and landmarks."""
    rows = -(-len(samples) // columns)
    sheet = np.full((rows * (CELL + GAP) + GAP, columns * (CELL + GAP) + GAP, 3), BACKGROUND, np.uint8)
    for i in range(len(samples)):
        y, x = (GAP + part * (CELL + GAP) for part in divmod(i, columns))
        sheet[y : y + CELL, x : x + CELL] = draw_sample(samples, i)
    return sheet


def draw_sample(samples: Samples, index: int) -> np.ndarray:
    """One sample, enlarged to (CELL, CELL, 3) uint8, with its targets."""
    cell = cv2.resize(samples.crops[index], (CELL, CELL), interpolation=cv2.INTER_NEAREST)
    if samples.has_box[index]:
        box = (np.array([0, 0, 1, 1]) + samples.offsets[index]) * CELL
        x1, y1, x2, y2 = (round(float(v)) for v in box)
        cv2.rectangle(cell, (x1, y1), (x2, y2), BOX_COLOUR, 1)
    if samples.has_landmarks[index]:
        for (x, y), colour in zip(samples.landmarks[index] * CELL, POINT_COLOURS):
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
            pictures[kind.name.lower()] = contact_sheet(Samples.concatenate(parts)[:count])
    return pictures


def summary(records: Mapping[str, Reader], report: Mapping[str, Any] | None) -> np.ndarray:
    """A picture (H, W, 3) uint8 of counts and histograms: overlap with faces and, if the report has them, sides of crops."""
    labels = np.concatenate([reader.labels() for reader in records.values()])
    page = [_text(f"{len(labels)} samples for {next(iter(records.values())).info.net}", 0.9)]
    for kind in Kind:
        name, of_kind = kind.name.lower(), labels[labels[:, Column.KIND] == kind]
        if not len(of_kind):
            page.append(_text(f"no {name} samples", 0.6))
            continue
        with_points = int((of_kind[:, Column.HAS_LANDMARKS] > 0).sum())
        page.append(_text(f"{len(of_kind)} {name}, {with_points} of them with landmarks", 0.6))
        counts = np.histogram(of_kind[:, Column.IOU], IOU_EDGES)[0]
        plots = [histogram(counts, [f"{edge:.2f}" for edge in IOU_EDGES[:-1]], "intersection over union with the nearest face")]
        prefix = f"{name}, side from "
        sides = {key[len(prefix) :]: v for key, v in (report or {}).get("figures", {}).items() if key.startswith(prefix)}
        if sides:
            keys = sorted(sides, key=lambda key: float(key.split()[0]))
            plots.append(
                histogram([sides[key] for key in keys], [key.split()[0] for key in keys], "side of the crop in its photo, px")
            )
        page.append(np.hstack([*plots, *[np.full_like(plots[0], BACKGROUND)] * (2 - len(plots))]))
    return np.vstack(page)


def histogram(counts: Sequence[float] | np.ndarray, labels: Sequence[str], title: str) -> np.ndarray:
    """A bar chart (160, PAGE_WIDTH / 2, 3) uint8, every bar with its label below."""
    width, height, base = PAGE_WIDTH // 2, 160, 122
    plot = np.full((height, width, 3), BACKGROUND, np.uint8)
    step = (width - 40) / len(labels)
    top = max(*counts, 1)
    for i, (count, label) in enumerate(zip(counts, labels)):
        left = int(20 + i * step)
        bar = round(count / top * (base - 14))
        cv2.rectangle(plot, (left, base - bar), (int(left + step - 3), base), BAR, cv2.FILLED)
        cv2.putText(plot, label, (left, base + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.32, INK, 1, cv2.LINE_AA)
    cv2.putText(plot, f"{title} (highest bar: {top:.0f})", (20, height - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)
    return plot


def _text(text: str, size: float) -> np.ndarray:
    line = np.full((round(44 * size), PAGE_WIDTH // 2 * 2, 3), BACKGROUND, np.uint8)
    cv2.putText(line, text, (20, round(30 * size)), cv2.FONT_HERSHEY_SIMPLEX, size, INK, 1, cv2.LINE_AA)
    return line
