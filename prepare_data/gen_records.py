"""Training records for NET, one of pnet, rnet and onet, from folders of samples.

python prepare_data/gen_records.py NET --in NET/faces NET/landmarks --out NET/records

The same as `mtcnn-gluon prepare records --net NET`; --help shows all options.
"""

import sys

from mtcnn_gluon.cli.main import main

if __name__ == "__main__":
    is_net = sys.argv[1:] and not sys.argv[1].startswith("-")
    sys.exit(main(["prepare", "records", *(["--net"] if is_net else []), *sys.argv[1:]]))
