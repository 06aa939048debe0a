"""How long WIDER FACE's whole validation set takes to measure: 3,226 photos with 200 made-up detections each.

python tests/benchmarks/evaluation.py
"""

import tempfile
import time
from pathlib import Path

import numpy as np

from mtcnn_gluon.evaluation import wider
from mtcnn_gluon.evaluation.result_files import read_results, write_results
from mtcnn_gluon.evaluation.results import Detections, Results
from mtcnn_gluon.evaluation.wider_truth import Truth, TruthPhoto

PHOTOS, DETECTIONS, FACES, EVENTS = 3226, 200, 39708, 61


def made_up() -> tuple[Truth, Results]:
    """As many photos, events and faces as the validation set has, three sets of them, and 200 detections a photo."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(FACES, rng.dirichlet(np.full(PHOTOS, 0.3)))
    photos, found = [], {}
    for index, count in enumerate(counts):
        corner = rng.uniform(0, 900, (count, 2))
        faces = np.hstack([corner, corner + rng.lognormal(3, 0.8, (count, 2))])
        name = f"{index % EVENTS}--Event/{index}"
        photos.append(TruthPhoto(name, faces, rng.random((3, count)) < [[0.2], [0.4], [0.8]]))
        near = (
            faces[rng.integers(0, max(count, 1), DETECTIONS // 2)] + rng.normal(0, 2, (DETECTIONS // 2, 4)) if count else faces
        )
        corner = rng.uniform(0, 900, (DETECTIONS - len(near), 2))
        boxes = np.vstack([near, np.hstack([corner, corner + rng.lognormal(3, 0.8, corner.shape)])])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
        found[name] = Detections.of_boxes(boxes, rng.random(DETECTIONS))
    truth = Truth(tuple(photos), PHOTOS, (), "made up", "made up", ("easy", "medium", "hard"))
    return truth, Results("made up", found)


def main() -> None:
    """Print seconds for each part."""
    truth, results = made_up()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results"
        write_results(path, results, "wider", truth.names)
        start = time.perf_counter()
        read = read_results(path, truth.names)
        print(f"reading {PHOTOS:,} text files of {DETECTIONS} detections: {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    _, (outcome,) = wider.evaluate(truth, [read])
    print(f"matching and scoring three sets: {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    wider.evaluate(truth, [read], resamples=1000)
    print(f"the same with 1,000 resamples: {time.perf_counter() - start:.1f} s")
    print(outcome.values)


if __name__ == "__main__":
    main()
