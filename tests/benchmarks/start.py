"""How long a process takes until it has imported the package, and until it has found a face.

    python tests/benchmarks/start.py

Every process starts anew, in turn with the others; the files are in the cache. The photo is the portrait at 640 x 480.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2

PORTRAIT = Path(__file__).parents[2] / "example" / "portrait.jpg"
ROUNDS = 10
FIND = "from mtcnn_gluon import Detector; assert len(Detector().detect({!r}))"


def main() -> None:
    """Print the median time of each command."""
    with tempfile.TemporaryDirectory() as folder:
        photo = str(Path(folder) / "photo.jpg")
        cv2.imwrite(photo, cv2.resize(cv2.imread(str(PORTRAIT)), (640, 480)))
        commands = {
            "import numpy, cv2": ("-c", "import numpy, cv2"),
            "import mtcnn_gluon": ("-c", "import mtcnn_gluon"),
            "first face in Python": ("-c", FIND.format(photo)),
            "first face of detect": ("-m", "mtcnn_gluon", "detect", photo, "--quiet"),
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(ROUNDS + 1):
            for name, command in commands.items():
                start = time.perf_counter()
                subprocess.run([sys.executable, *command], check=True, capture_output=True)
                times[name].append(time.perf_counter() - start)
    for name, each in times.items():
        print(f"{name}: {statistics.median(each[1:]):.2f} s")


if __name__ == "__main__":
    main()
