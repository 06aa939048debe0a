"""What the nets trained so far get wrong, as samples for the next one.

python prepare_data/gen_hard_example.py --test_mode PNet --model BUNDLE --images IMAGES --annotations LIST --out rnet/mined
python prepare_data/gen_hard_example.py --test_mode RNet --model BUNDLE --images IMAGES --annotations LIST --out onet/mined

The same as `mtcnn-gluon prepare mine --stage pnet` and `--stage rnet`; --help shows all options.
"""

import sys

from mtcnn_gluon.cli import main

STAGES = {"PNet": "pnet", "RNet": "rnet"}

if __name__ == "__main__":
    arguments = ["--stage" if argument == "--test_mode" else STAGES.get(argument, argument) for argument in sys.argv[1:]]
    sys.exit(main(["prepare", "mine", *arguments]))
