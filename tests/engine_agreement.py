"""How far two engines find the same faces: shared by the tests and the benchmark."""

from dataclasses import dataclass

import numpy as np

from mtcnn_gluon import Faces, boxes

OVERLAP, SCORE, POINTS = 0.95, 0.01, 0.5  # IoU at least; difference of scores, and of landmarks in pixels, at most

STRIDED_NET = {
    "size": 34, "landmarks": False,
    "layers": [["conv", 16, 4, 2], ["conv", 16, 3], ["pool", 2, 2], ["conv", 32, 3], ["conv", 48, 3], ["conv", 48, 3]],
}  # fmt: skip


@dataclass
class Agreement:
    """Counts over many photos.

    Attributes:
        faces: found by either engine, a pair counting twice.
        agreed: those of them whose pair is as near as the three limits say.
        score, points: the largest differences in pairs of IoU `OVERLAP`.
    """

    faces: int = 0
    agreed: int = 0
    score: float = 0.0
    points: float = 0.0

    @property
    def share(self) -> float:
        return self.agreed / max(1, self.faces)

    def add(self, first: Faces, second: Faces) -> None:
        """Count one photo."""
        overlap = boxes.iou(first.boxes, second.boxes)
        pairs = [(i, int(row.argmax())) for i, row in enumerate(overlap) if len(row) and row.max() >= OVERLAP]
        taken: set[int] = set()
        for i, j in pairs:
            if j in taken:
                continue
            taken.add(j)
            score = abs(float(first.scores[i] - second.scores[j]))
            points = float(np.abs(first.landmarks[i] - second.landmarks[j]).max())
            self.score, self.points = max(self.score, score), max(self.points, points)
            self.agreed += 2 * (score <= SCORE and points <= POINTS)
        self.faces += len(first) + len(second)
