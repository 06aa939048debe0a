"""How far the engines agree with MXNet on the development photos, and with each other's options.

MTCNN_GLUON_DATA=DATA python tests/benchmarks/engines_agree.py
"""

import os
import sys
from pathlib import Path

from tqdm import tqdm

from mtcnn_gluon import Detector, read_image
from mtcnn_gluon.engines import ENGINES
from mtcnn_gluon.errors import ModelError

sys.path.insert(0, str(Path(__file__).parents[1]))
from engine_agreement import OVERLAP, POINTS, SCORE, Agreement

ROOT = Path(os.environ["MTCNN_GLUON_DATA"]) / "wider_train"


def main() -> None:
    """Print the table."""
    lines = (ROOT / "wider_face_dev_bbx_gt.txt").read_text().splitlines()
    names = [line for line in lines if line.endswith(".webp")]
    reference, others = Detector(engine="mxnet"), {}
    for engine in ENGINES:
        try:
            if engine != "mxnet":
                others[engine] = Detector(engine=engine)
        except ModelError as error:
            print(f"{engine} is left out: {error}", file=sys.stderr)
    results = {engine: Agreement() for engine in others}
    for name in tqdm(names, disable=None):
        image = read_image(ROOT / "images" / name)
        expected = reference.detect(image)
        for engine, detector in others.items():
            results[engine].add(expected, detector.detect(image))
    print(f"{len(names)} photos; agreed: IoU >= {OVERLAP}, scores within {SCORE}, landmarks within {POINTS} px")
    print("| against mxnet | faces of both | agreed | largest difference of scores | of landmarks |\n|---|---|---|---|---|")
    for engine, each in results.items():
        print(f"| {engine} | {each.faces} | {100 * each.share:.2f} % | {each.score:.5f} | {each.points:.3f} px |")


if __name__ == "__main__":
    main()
