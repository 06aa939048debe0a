"""The verb `mtcnn-gluon serve`."""

import argparse
import webbrowser
from threading import Thread

from mtcnn_gluon.cli.output import put_line, say
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.serving.runtime import PACKAGE, find_runtime
from mtcnn_gluon.serving.server import HOST, make_server
from mtcnn_gluon.serving.site import make_site

PORT, LAST_PORT = 8000, 65535


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `serve`."""
    parser.set_defaults(run=serve)
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help=f"port on this machine; 0: any free one ({PORT})")
    opening = "open the page in the browser (yes)"
    parser.add_argument("--open", action=argparse.BooleanOptionalAction, default=True, help=opening)
    models = "also offer this model: one that info lists, or the folder of a bundle; may be repeated"
    parser.add_argument("--model", action="append", default=[], metavar="M", help=models)
    runtime = f"folder with the files of {PACKAGE} (the cache, filled by npm)"
    parser.add_argument("--runtime", metavar="DIR", help=runtime)


def serve(options: argparse.Namespace) -> int:
    """Serve a page that finds faces in photos and in the camera's picture, inside the browser. It is served to this machine
    only, and photos never leave the browser. The page runs the networks with onnxruntime-web, which npm fetches once."""
    if not 0 <= options.port <= LAST_PORT:
        raise ConfigError(f"--port must be a whole number from 0 to {LAST_PORT}, not {options.port}")
    site = make_site(find_runtime(options.runtime, say), options.model)
    with make_server(site, options.port) as server:
        address = f"http://{HOST}:{server.server_address[1]}/"
        put_line(address)
        say("Ctrl-C ends the server")
        if options.open:
            Thread(target=webbrowser.open, args=[address], daemon=True).start()  # a text browser would not return
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0
