"""The page's server: what it answers, with which headers, and to whom."""

import socket
import struct
import time
from http.client import HTTPConnection, HTTPResponse
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Iterator

import pytest

from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.serving.server import make_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadingHTTPServer]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "main.js").write_text("let a")
    (folder / "secret").write_text("secret")
    site: dict[str, bytes | Path] = {
        "index.html": b"<p>",
        "main.js": folder / "main.js",
        "runtime/a.wasm": b"\0asm",
        "x.odd": b"x",
        "large": bytes(10_000_000),
        "gone.js": folder / "gone.js",
    }
    made = make_server(site, 0)
    thread = Thread(target=made.serve_forever, args=[0.01])
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def ask(server: ThreadingHTTPServer, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


@pytest.mark.parametrize(
    "path, body, kind",
    [
        ("/", b"<p>", "text/html; charset=utf-8"),
        ("/index.html", b"<p>", "text/html; charset=utf-8"),
        ("/?a=1", b"<p>", "text/html; charset=utf-8"),
        ("/main.js", b"let a", "text/javascript; charset=utf-8"),
        ("/m%61in.js", b"let a", "text/javascript; charset=utf-8"),
        ("/runtime/a.wasm", b"\0asm", "application/wasm"),
        ("/x.odd", b"x", "application/octet-stream"),
    ],
)
def test_what_it_answers(server: ThreadingHTTPServer, path: str, body: bytes, kind: str) -> None:
    response, found = ask(server, path)
    assert (response.status, found, response.getheader("Content-Type")) == (200, body, kind)
    # both are needed for memory that threads share
    assert response.getheader("Cross-Origin-Opener-Policy") == "same-origin"
    assert response.getheader("Cross-Origin-Embedder-Policy") == "require-corp"
    head, nothing = ask(server, path, "HEAD")
    assert (head.status, nothing, head.getheader("Content-Length")) == (200, b"", str(len(body)))


@pytest.mark.parametrize("path", ["/none", "/secret", "/../secret", "/%2e%2e/secret", "//main.js/..", "/runtime", "/runtime/"])
def test_nothing_else_is_served(server: ThreadingHTTPServer, path: str) -> None:
    response, body = ask(server, path)
    assert response.status == 404 and body != b"secret"


@pytest.mark.parametrize(
    "host, status",
    [("127.0.0.1", 200), ("localhost:8000", 200), ("example.org:8000", 421), ("127.0.0.1.example.org", 421), ("", 421)],
)
def test_only_a_page_of_this_machine_may_ask(server: ThreadingHTTPServer, host: str, status: int) -> None:
    assert ask(server, "/", Host=host)[0].status == status


def test_a_file_that_is_gone(server: ThreadingHTTPServer) -> None:
    response, _ = ask(server, "/gone.js")
    assert (response.status, response.reason) == (500, "gone.js cannot be read: No such file or directory")


def test_a_browser_that_goes_away_is_not_worth_a_word(
    server: ThreadingHTTPServer, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    close = server.shutdown_request
    monkeypatch.setattr(server, "shutdown_request", lambda request: (close(request), seen.append(request)))
    with socket.create_connection(server.server_address[:2], 10) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets the connection
        client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(10)
    deadline = time.monotonic() + 10
    while not seen and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seen and capfd.readouterr().err == ""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_is_taken(server: ThreadingHTTPServer, method: str) -> None:
    assert ask(server, "/", method)[0].status == 501


def test_only_this_machine_is_answered(server: ThreadingHTTPServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken(server: ThreadingHTTPServer) -> None:
    port = server.server_address[1]
    with pytest.raises(ConfigError, match=f"^--port {port} cannot be used .*: give another one, or 0 for any"):
        make_server({}, port)
