"""Train R-Net on records from `mtcnn-gluon prepare`.

python example/train_rnet.py --records rnet/records --validation rnet/validation --out runs/rnet --epochs 20

The same as `mtcnn-gluon train --net rnet`; --help shows all options, --resume continues after an interruption.
"""

import sys

from mtcnn_gluon.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", "--net", "rnet", *sys.argv[1:]]))
