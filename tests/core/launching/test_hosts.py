"""Files of hosts, addresses and ports."""

import socket
from pathlib import Path

import pytest

from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.launching import hosts as module
from mtcnn_gluon.launching.hosts import Host, address_for, address_towards, free_port, read_hosts


def test_a_file_of_hosts(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("# two\nnode1 2\n\n  me@node2.example.org   # one worker\n10.0.0.3\nlocalhost 1")
    found = read_hosts(tmp_path / "hosts")
    assert found == [Host("node1", 2), Host("me@node2.example.org"), Host("10.0.0.3"), Host("localhost")]
    assert [host.is_here for host in found] == [False, False, False, True]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "names no host"),
        ("# none\n", "names no host"),
        (
            "node1 two",
            "line 1: expected a host such as node1 or .*, and perhaps its number of workers, got 'node1 two'",
        ),
        ("node1 0", "line 1"),
        ("node1 -1", "line 1"),
        ("node1 99999", "line 1"),
        ("node1 2 3", "line 1"),
        ("node1\n-oProxyCommand=evil", "line 2"),
        ("a@-b", "line 1"),
        ("node1;ls", "line 1"),
        ("node1\nnode1", "line 2: node1 stands there twice"),
    ],
)
def test_a_file_of_something_else(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "hosts").write_text(text)
    with pytest.raises(DataError, match=f"hosts.*{message}"):
        read_hosts(tmp_path / "hosts")


def test_no_file_of_hosts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="hosts does not exist"):
        read_hosts(tmp_path / "hosts")


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert address_towards("127.0.0.1") == "127.0.0.1"
    assert address_for([Host("localhost", 3)]) == "127.0.0.1"
    asked = []
    monkeypatch.setattr(module, "address_towards", lambda name: asked.append(name) or "10.0.0.1")
    assert address_for([Host("localhost"), Host("me@node2")]) == "10.0.0.1" and asked == ["node2"]


def test_an_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(module, "address_towards", unknown)
    with pytest.raises(ConfigError, match=r"the address of node2 is unknown \(Name or service not known\).*--address"):
        address_for([Host("node2")])


def test_ports() -> None:
    port = free_port("127.0.0.1", None)
    assert 1024 <= port < 65536 and free_port("127.0.0.1", port) == port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 cannot be used: Address already in use"):
            free_port("127.0.0.1", port)
    for wrong in (70_000, -5):
        with pytest.raises(ConfigError, match=f"port {wrong} of 127.0.0.1 cannot be used"):
            free_port("127.0.0.1", wrong)
    with pytest.raises(ConfigError, match="address 192.0.2.1 cannot be used"):  # an address for documents, of no machine
        free_port("192.0.2.1", None)
