"""`python -m mtcnn_gluon` is the command `mtcnn-gluon`."""

import sys

from mtcnn_gluon.cli.main import main

sys.exit(main())
