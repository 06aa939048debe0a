"""Export a model or a training run to files that need no MXNet.

    python example/export.py official exported/ --onnx
    python example/export.py runs/ exported/ --licence MIT

prints the files that it wrote, beside manifest.json:

    exported: onet.onnx, pnet.onnx, rnet.onnx

It is `mtcnn-gluon export`, whose --help shows all options.
"""

import sys

from mtcnn_gluon.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
