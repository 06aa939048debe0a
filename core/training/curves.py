"""The figures of a training run as a picture."""

import os
from typing import Any, Mapping, Sequence

import numpy as np

from mtcnn_gluon.io.extras import need
from mtcnn_gluon.io.files import whole_file

PANELS = (  # title, columns of the log
    ("loss", ("loss", "cls", "box", "landmark")),
    ("accuracy", ("positive_accuracy", "negative_accuracy", "val_positive_accuracy", "val_negative_accuracy")),
    ("recall at 1 % false positives", ("recall", "val_recall")),
    ("errors, in sides of the crop", ("box_error", "val_box_error", "landmark_error", "val_landmark_error")),
)


def draw_curves(rows: Sequence[Mapping[str, Any]], path: str | os.PathLike) -> None:
    """Write a PNG of the log's columns over the epochs.

    Raises:
        ConfigError: if Matplotlib is not installed.
        DataError: if it cannot be written.
    """
    figure = make_figure(rows)
    with whole_file(path, "wb") as file:
        figure.savefig(file, format="png", dpi=100)


def make_figure(rows: Sequence[Mapping[str, Any]]) -> Any:
    """A Matplotlib figure with one plot for each of `PANELS`. Columns without a finite value are left out."""
    figure = need("matplotlib.figure", "the picture of a training run", "cpu").Figure((12, 7), layout="constrained")
    epochs = np.array([row["epoch"] for row in rows])
    for axes, (title, columns) in zip(figure.subplots(2, 2).flat, PANELS):
        for place, name in enumerate(columns):
            values = np.array([row.get(name, np.nan) for row in rows], float)
            known = np.isfinite(values)
            if known.any():
                axes.plot(epochs[known], values[known], f"C{place}", label=name, marker="." if known.sum() == 1 else None)
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.4)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        if axes.lines:
            axes.legend(fontsize="small")
    return figure
