"""`mtcnn-gluon serve`: what it prints, whether it opens the browser, and what it refuses before it begins."""

import webbrowser
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Event

import pytest

from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.serving.runtime import DIGESTS


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with files in place of ONNX Runtime's; the server ends at once, as with Ctrl-C."""
    for name in DIGESTS:
        (tmp_path / name).write_text("")

    def stopped(self: ThreadingHTTPServer) -> None:
        assert self.server_address[0] == "127.0.0.1"
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", stopped)
    return str(tmp_path)


@pytest.mark.parametrize("words, opens", [([], True), (["--open"], True), (["--no-open"], False)])
def test_it_prints_and_opens_the_address(
    runtime: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, words: list[str], opens: bool
) -> None:
    opened, happened = [], Event()
    monkeypatch.setattr(webbrowser, "open", lambda address: (opened.append(address), happened.set()))
    assert cli.main(["serve", "--port", "0", "--runtime", runtime, *words]) == 0
    assert happened.wait(10) if opens else not opened
    printed = capsys.readouterr()
    address, _, rest = printed.out.partition("\n")
    assert address.startswith("http://127.0.0.1:") and address.endswith("/") and not rest
    assert opened == [address] * opens
    assert printed.err == "mtcnn-gluon: Ctrl-C ends the server\n"


@pytest.mark.parametrize(
    "words, message",
    [
        ("--port -1", "--port must be a whole number from 0 to 65535, not -1"),
        ("--port 65536", "--port must be a whole number from 0 to 65535, not 65536"),
        ("--runtime nowhere", "--runtime nowhere: expected ort.wasm.bundle.min.mjs and ort-wasm-simd-threaded.wasm"),
        ("--runtime {runtime} --model no-such-model", "model 'no-such-model': expected "),
    ],
)
def test_refusals(runtime: str, capsys: pytest.CaptureFixture, words: str, message: str) -> None:
    assert cli.main(["serve", "--no-open", *words.format(runtime=runtime).split()]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"mtcnn-gluon: {message}") and not printed.out


def test_a_port_that_is_no_number(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        cli.main(["serve", "--port", "http"])
    assert "argument --port: invalid int value: 'http'" in capsys.readouterr().err
