"""Train P-Net on records from `mtcnn-gluon prepare`.

python example/train_pnet.py --records pnet/records --validation pnet/validation --out runs/pnet --epochs 20

The same as `mtcnn-gluon train --net pnet`; --help shows all options, --resume continues after an interruption.
"""

import sys

from mtcnn_gluon.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", "--net", "pnet", *sys.argv[1:]]))
