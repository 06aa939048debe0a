"""Evaluate the official weights on your own annotated photos.

    python example/evaluate.py faces.csv photos/

prints a table of average precision, with intervals, for faces of at least 50, 30 and 10 pixels height:

    **Faces by height: average precision on all 25 photos, 40 annotated faces**
"""

import sys

from mtcnn_gluon.evaluation.benchmarks import evaluate_wider
from mtcnn_gluon.evaluation.options import WiderOptions
from mtcnn_gluon.options import from_mapping


def main() -> None:
    """Print average precision for faces of at least 50, 30 and 10 pixels height."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    annotations, photos = sys.argv[1:]
    options = from_mapping(WiderOptions, {"annotations": annotations, "images": photos, "model": ["official"]})
    print(evaluate_wider(options).to_text())


if __name__ == "__main__":  # worker processes import this file
    main()
