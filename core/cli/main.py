"""The command `mtcnn-gluon`."""

import importlib
import logging
import os
import sys
from typing import Sequence

from mtcnn_gluon import __version__
from mtcnn_gluon.cli.parser import Parser
from mtcnn_gluon.errors import MtcnnError
from mtcnn_gluon.io.files import printable

VERBS = {  # each with its short help; a module of this package with its name declares its options and describes it
    "detect": "find faces in photos and videos",
    "prepare": "make training data",
    "train": "train one of the nets",
    "launch": "train one of the nets with several processes or hosts",
    "pipeline": "the whole recipe",
    "evaluate": "measure detectors on annotated photos",
    "export": "write models for use without MXNet",
    "serve": "a page that finds faces in the browser",
    "bench": "time detection, against other packages too",
    "info": "show what is installed and usable",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit status: 0, 1 if an input could not be read, 2 for any other error, 130 after Ctrl-C.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # an unreadable photo is reported once, by us
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser(words[0] if words else "").parse_args(words)
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


def _parser(first: str | None = None) -> Parser:
    """The parser for a command that begins with the word `first`, or for all. Only the module of that verb is imported, as all
    of them would take longer than finding a face."""
    parser = Parser(prog="mtcnn-gluon", description="MTCNN face detection and alignment.")
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, text in VERBS.items():
        verb = verbs.add_parser(name, help=text)
        if first in (None, name):
            module = importlib.import_module(f"mtcnn_gluon.cli.{name}")
            module.add_options(verb)
            verb.description = getattr(module, name, module).__doc__
    return parser
