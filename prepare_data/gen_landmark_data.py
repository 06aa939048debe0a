"""Crops with landmarks for NET: pnet, rnet or onet.

python prepare_data/gen_landmark_data.py NET --root PHOTOS --list trainImageList.txt --out NET/landmarks

The same as `mtcnn-gluon prepare landmarks --net NET`; --help shows all options.
"""

import sys

from mtcnn_gluon.cli.main import main

if __name__ == "__main__":
    is_net = sys.argv[1:] and not sys.argv[1].startswith("-")
    sys.exit(main(["prepare", "landmarks", *(["--net"] if is_net else []), *sys.argv[1:]]))
