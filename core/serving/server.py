"""A server for the browser page, for this machine only."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.serving.site import Site

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")  # under which a browser may ask
TYPES = {
    ".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
    ".json": "application/json", ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml", ".wasm": "application/wasm",
}  # fmt: skip
OTHER = "application/octet-stream"
HEADERS = {
    # Threads of WebAssembly need memory that they share, which a page has only if it is isolated from others by these two.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def make_server(site: Site, port: int) -> ThreadingHTTPServer:
    """A server on the loopback address, which `serve_forever` starts.

    Args:
        site: see `make_site`.
        port: 0: any free one.

    Raises:
        ConfigError: if the port cannot be used.
    """

    class PageHandler(Handler):
        contents = site

    try:
        server = PageServer((HOST, port), PageHandler)
    except OSError as error:
        raise ConfigError(
            f"--port {port} cannot be used ({error.strerror or error}): give another one, or 0 for any"
        ) from error
    return server


class PageServer(ThreadingHTTPServer):
    """A server that says nothing of browsers which close a connection before they have everything, as on a reload."""

    daemon_threads = True  # open connections do not keep the program from ending

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report the error of a request, unless the connection was lost."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD with what a site holds."""

    contents: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send the content of an address."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Send its headers."""
        self._answer(with_body=False)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the terminal shows the page's address."""

    def _answer(self, with_body: bool) -> None:
        if self.headers.get("Host", HOST).split(":")[0] not in NAMES:
            self.send_error(421)  # a site whose name was made to lead here (DNS rebinding) could read the models
            return
        name = unquote(urlsplit(self.path).path).lstrip("/") or "index.html"
        if name not in self.contents:
            self.send_error(404)
            return
        content = self.contents[name]
        try:
            body = content.read_bytes() if isinstance(content, Path) else content
        except OSError as error:  # a bundle that was moved since the start
            self.send_error(500, f"{name} cannot be read: {error.strerror}")
            return
        self.send_response(200)
        for header, value in {
            **HEADERS,
            "Content-Type": TYPES.get(Path(name).suffix, OTHER),
            "Content-Length": len(body),
        }.items():
            self.send_header(header, str(value))
        self.end_headers()
        if with_body:
            self.wfile.write(body)
