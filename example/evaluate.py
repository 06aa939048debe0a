"""Measure the official weights on annotated photos of one's own, with the Python interface.

python example/evaluate.py faces.csv photos/
"""

import sys
from pathlib import Path

from mtcnn_gluon.evaluation import wider, wider_truth
from mtcnn_gluon.evaluation.results import read_results
from mtcnn_gluon.evaluation.run import Job, find_faces, photo_path, run_model
from mtcnn_gluon.prepare_data.readers import read_annotations


def main() -> None:
    """Print average precision for faces of at least 50, 30 and 10 pixels height."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    annotations, photos = sys.argv[1:]
    truth = wider_truth.from_annotations(read_annotations(annotations), annotations)
    jobs = [Job(name, str(photo_path(photos, name))) for name in truth.names]
    options = {"model": "official", "min_face": 10, "thresholds": (0.5, 0.5, 0.3)}
    run_model(jobs, find_faces, options, Path("found.jsonl"))
    coverage, (outcome,) = wider.evaluate(truth, [read_results("found.jsonl", truth.names)], resamples=1000)
    print(coverage.sentence())
    for name, each in outcome.sets.items():
        print(name, each.ap, each.interval)


if __name__ == "__main__":  # processes that are started import this file
    main()
