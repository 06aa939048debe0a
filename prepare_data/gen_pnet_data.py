"""Crops of annotated photos for P-Net.

python prepare_data/gen_pnet_data.py --images IMAGES --annotations wider_face_train_bbx_gt.txt --out pnet/faces

The same as `mtcnn-gluon prepare wider --net pnet`; --help shows all options.
"""

import sys

from mtcnn_gluon.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["prepare", "wider", "--net", "pnet", *sys.argv[1:]]))
