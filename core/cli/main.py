"""The command `mtcnn-gluon`."""

import logging
import os
import sys
from typing import Sequence

from mtcnn_gluon import __version__
from mtcnn_gluon.cli import bench, detect, evaluate, export, info, launch, pipeline, prepare, serve, train
from mtcnn_gluon.cli.parser import Parser
from mtcnn_gluon.errors import MtcnnError
from mtcnn_gluon.io.files import printable

VERBS = (  # name, short help, function that declares the options, object whose docstring describes the verb
    ("detect", "find faces in photos and videos", detect.add_options, detect.detect),
    ("prepare", "make training data", prepare.add_verbs, prepare),
    ("train", "train one of the nets", train.add_options, train.train),
    ("launch", "train one of the nets with several processes or hosts", launch.add_options, launch.launch),
    ("pipeline", "the whole recipe", pipeline.add_options, pipeline.pipeline),
    ("evaluate", "measure detectors on annotated photos", evaluate.add_options, evaluate),
    ("export", "write models for use without MXNet", export.add_options, export.export),
    ("serve", "a page that finds faces in the browser", serve.add_options, serve.serve),
    ("bench", "time detection, against other packages too", bench.add_options, bench.run),
    ("info", "show what is installed and usable", info.add_options, info.info),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit status: 0, 1 if an input could not be read, 2 for any other error, 130 after Ctrl-C.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # an unreadable photo is reported once, by us
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        status, message = 130, "interrupted"
    except BrokenPipeError:  # the reader of our output, such as head, has ended
        sys.stderr.close()
        return 0
    except MtcnnError as error:
        status, message = 2, str(error)
    except MemoryError as error:
        status, message = 2, f"there is not enough memory{f': {error}' if str(error) else ''}"
    except OSError as error:
        if not isinstance(error.filename, (str, bytes)):  # no file of the user's
            raise
        status, message = 2, f"{printable(os.fsdecode(error.filename))} cannot be used: {error.strerror}"
    print(f"mtcnn-gluon: {message}", file=sys.stderr)
    return status


def _parser() -> Parser:
    parser = Parser(prog="mtcnn-gluon", description="MTCNN face detection and alignment.")
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, text, add_options, described in VERBS:
        add_options(verbs.add_parser(name, help=text, description=described.__doc__))
    return parser
