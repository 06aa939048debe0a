"""What is measured of a net in training, from its outputs on samples."""

from typing import Any

import numpy as np

from mtcnn_gluon.samples import Kind

FALSE_POSITIVES = 0.01  # share of negative samples at which recall is measured


class Tally:
    """Gathers outputs batch by batch; `figures` are over all of them."""

    def __init__(self) -> None:
        self._margins: list[np.ndarray] = []
        self._kinds: list[np.ndarray] = []
        self._sums = {"box": np.zeros(2), "landmark": np.zeros(2)}  # error, samples

    def add(self, outputs: list[np.ndarray], kinds: np.ndarray, targets: list[np.ndarray], known: list[np.ndarray]) -> None:
        """Take a batch.

        Args:
            outputs: logits (N, 2), offsets (N, 4) and perhaps landmarks (N, 10).
            kinds: (N,), values of `Kind`.
            targets: offsets (N, 4) and landmarks (N, 10).
            known: has_box (N,) and has_landmarks (N,), of which samples the targets are known.
        """
        logits, *others = outputs
        is_class = (kinds == Kind.POSITIVE) | (kinds == Kind.NEGATIVE)
        self._margins.append((logits[:, 1] - logits[:, 0])[is_class])
        self._kinds.append(kinds[is_class])
        for name, output, target, mask in zip(self._sums, others, targets, known):
            rows = mask > 0
            axes = 2 if name == "landmark" else 1
            points = (output - target)[rows].reshape(rows.sum(), output.shape[1] // axes, axes)
            distances = np.sqrt(np.square(points).sum(axis=2)).mean(axis=1)  # (K,)
            self._sums[name] += distances.sum(), len(distances)

    def figures(self) -> dict[str, float]:
        """The figures; NaN where there was no sample for one.

        positive_accuracy, negative_accuracy   shares of those samples that are taken for what they are, 0..1
        recall                                 share of positives above a threshold that 1 % of the negatives exceed, 0..1
        box_error                              mean absolute error of the offsets, in sides of the crop
        landmark_error                         mean distance of the landmarks from where they are, in sides of the crop
        """
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
