"""Train R-Net on records from `mtcnn-gluon prepare`.

    python example/train_rnet.py --records rnet/records --validation rnet/validation --out runs/rnet --epochs 20

prints a line for each epoch, and which one is kept:

    INFO: epoch 1 samples_per_second ... loss 0.4768 cls 0.3114 box 0.3308 ... val_recall 0.7452 val_box_error 0.1523
    done: runs/rnet/best.npz is the best of 20 epochs

It is `mtcnn-gluon train --net rnet`, whose --help shows all options; --resume continues after an interruption.
"""

import sys

from mtcnn_gluon.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", "--net", "rnet", *sys.argv[1:]]))
