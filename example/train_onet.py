"""Train O-Net on records from `mtcnn-gluon prepare`.

    python example/train_onet.py --records onet/records --validation onet/validation --out runs/onet --epochs 20

prints a line for each epoch, and which one is kept:

    INFO: epoch 1 samples_per_second ... loss 0.4768 cls 0.3114 box 0.3308 ... val_recall 0.7452 val_box_error 0.1523
    done: runs/onet/best.npz is the best of 20 epochs

It is `mtcnn-gluon train --net onet`, whose --help shows all options; --resume continues after an interruption.
"""

import sys

from mtcnn_gluon.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", "--net", "onet", *sys.argv[1:]]))
