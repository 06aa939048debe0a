"""Train O-Net on records from `mtcnn-gluon prepare`.

python example/train_onet.py --records onet/records --validation onet/validation --out runs/onet --epochs 20

The same as `mtcnn-gluon train --net onet`; --help shows all options, --resume continues after an interruption.
"""

import sys

from mtcnn_gluon.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", "--net", "onet", *sys.argv[1:]]))
