"""Hard examples: samples for the next net from what the nets before it propose.

python prepare_data/gen_hard_example.py --test_mode PNet --model BUNDLE --images IMAGES --annotations LIST --out rnet/mined
python prepare_data/gen_hard_example.py --test_mode RNet --model BUNDLE --images IMAGES --annotations LIST --out onet/mined

The same as `mtcnn-gluon prepare mine --stage pnet` and `--stage rnet`; --help shows all options.
"""

import argparse
import sys

from mtcnn_gluon.cli.main import main

STAGES = {"PNet": "pnet", "RNet": "rnet"}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--test_mode", choices=STAGES)
    mode, rest = parser.parse_known_args()
    stage = ["--stage", STAGES[mode.test_mode]] if mode.test_mode else []
    sys.exit(main(["prepare", "mine", *stage, *rest]))
