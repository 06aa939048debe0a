"""Accuracy, recall and errors of a net in training, from its outputs on samples."""

from typing import Any

import numpy as np

from mtcnn_gluon.records.samples import Column, Kind
from mtcnn_gluon.training.workers import Workers

TOGETHER = 64  # batches that are processed at once, for speed
FALSE_POSITIVES = 0.01  # share of negative samples at which recall is measured


class Tally:
    """Collects outputs batch by batch; `figures` are over all of them.

    Args:
        listed_landmarks: whether only the landmarks of landmark samples count, as in `losses`.
    """

    def __init__(self, listed_landmarks: bool = False) -> None:
        self._listed_landmarks = listed_landmarks
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._margins: list[np.ndarray] = []
        self._kinds: list[np.ndarray] = []
        self._sums = {"box": np.zeros(2), "landmark": np.zeros(2)}  # error, samples

    def add(self, outputs: np.ndarray, labels: np.ndarray) -> None:
        """Add a batch.

        Args:
            outputs: (N, 6) or (N, 16) of the net: 2 logits, 4 offsets and perhaps 10 numbers of landmarks.
            labels: (N, 18), see `samples`.
        """
        self._waiting.append((outputs, labels.copy()))  # a later batch reuses its memory
        if len(self._waiting) >= TOGETHER:
            self._process()

    def _process(self) -> None:
        if not self._waiting:
            return
        outputs, labels = (np.concatenate(parts) for parts in zip(*self._waiting))
        self._waiting.clear()
        kinds = labels[:, Column.KIND]
        is_class = (kinds == Kind.POSITIVE) | (kinds == Kind.NEGATIVE)
        self._margins.append((outputs[:, 1] - outputs[:, 0])[is_class])
        self._kinds.append(kinds[is_class])
        self._add_errors("box", outputs[:, 2:6], labels[:, Column.OFFSETS], labels[:, Column.HAS_BOX] > 0, axes=1)
        has_landmarks = (labels[:, Column.HAS_LANDMARKS] > 0) & ((kinds == Kind.LANDMARK) | (not self._listed_landmarks))
        self._add_errors("landmark", outputs[:, 6:16], labels[:, Column.LANDMARKS], has_landmarks, axes=2)

    def _add_errors(self, name: str, output: np.ndarray, target: np.ndarray, rows: np.ndarray, axes: int) -> None:
        if output.shape[1]:
            points = (output - target)[rows].reshape(rows.sum(), target.shape[1] // axes, axes)
            distances = np.sqrt(np.square(points).sum(axis=2)).mean(axis=1)  # (K,)
            self._sums[name] += distances.sum(), len(distances)

    def gather(self, workers: Workers) -> None:
        """Add what the other workers have collected."""
        if not workers.are_many:
            return
        self._process()
        self._margins = [workers.gathered(np.concatenate([np.zeros(0, np.float32), *self._margins]))]
        self._kinds = [workers.gathered(np.concatenate([np.zeros(0, np.float32), *self._kinds]))]
        self._sums = {name: workers.sum(sums) for name, sums in self._sums.items()}

    def figures(self) -> dict[str, float]:
        """The figures; NaN if there was no sample for a figure.

        positive_accuracy, negative_accuracy   shares of these samples that are classified correctly, 0..1
        recall                                 share of positives above the threshold that 1 % of the negatives exceed, 0..1
        box_error                              mean absolute error of the offsets, in sides of the crop
        landmark_error                         mean distance of the landmarks from the annotated ones, in sides of the crop
        """
        self._process()
        margins = np.concatenate(self._margins) if self._margins else np.zeros(0)
        kinds = np.concatenate(self._kinds) if self._kinds else np.zeros(0)
        positive, negative = margins[kinds == Kind.POSITIVE], margins[kinds == Kind.NEGATIVE]
        figures = {
            "positive_accuracy": _mean(positive > 0),
            "negative_accuracy": _mean(negative <= 0),
            "recall": _mean(positive > np.quantile(negative, 1 - FALSE_POSITIVES)) if len(negative) else np.nan,
        }
        for name, (error, count) in self._sums.items():
            figures[f"{name}_error"] = float(error / count) if count else np.nan
        return figures


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else np.nan
