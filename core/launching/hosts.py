"""The hosts of a training, from a file, and the addresses by which they meet."""

import re
import socket
from dataclasses import dataclass
from pathlib import Path

from mtcnn_gluon.errors import ConfigError, DataError, shown
from mtcnn_gluon.io.files import read_text

HERE = ("localhost", "127.0.0.1")  # hosts that need no ssh
NAME = re.compile(r"([\w.-]+@)?\w[\w.-]*")  # never begins with a hyphen, which ssh would take for an option
FORM = "a host such as node1 or user@node1, and perhaps its number of workers"


@dataclass(frozen=True)
class Host:
    """A host and the number of its workers.

    Attributes:
        name: for ssh, such as `node1` or `user@node1`, or one of `HERE`.
        workers: 1 or more.
    """

    name: str
    workers: int = 1

    @property
    def is_here(self) -> bool:
        """Whether it is this machine."""
        return self.name in HERE


def read_hosts(path: Path) -> list[Host]:
    """The hosts of a file, one a line: `HOST [WORKERS]`. Empty lines and all after a `#` do not count.

    Raises:
        DataError: if the file cannot be read, a line has another form, a host stands there twice, or there is none.
    """
    hosts: dict[str, Host] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        is_number = len(words) == 1 or re.fullmatch("[1-9][0-9]{0,3}", words[1])
        if len(words) > 2 or not is_number or not NAME.fullmatch(words[0]):
            raise DataError(f"{path}, line {number}: expected {FORM}, got {shown(line.strip())}")
        if words[0] in hosts:
            raise DataError(f"{path}, line {number}: {words[0]} stands there twice; write the number of its workers behind it")
        hosts[words[0]] = Host(words[0], *map(int, words[1:]))
    if not hosts:
        raise DataError(f"{path} names no host: expected a line with {FORM}")
    return list(hosts.values())


def address_for(hosts: list[Host]) -> str:
    """The IPv4 address of this machine on the way to the first host that is another one; 127.0.0.1 if there is none.

    Raises:
        ConfigError: if that host's address cannot be found.
    """
    name = next((host.name.rpartition("@")[2] for host in hosts if not host.is_here), None)
    if name is None:
        return HERE[1]
    try:
        return address_towards(name)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(
            f"the address of {name} is unknown ({reason}): give that of this machine for the others with --address"
        ) from error


def address_towards(host: str) -> str:
    """The IPv4 address that this machine has for another one. Nothing is sent.

    Raises:
        OSError: if the other one's address is unknown, or there is no way to it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))  # any port
        return str(probe.getsockname()[0])


def free_port(address: str, port: int | None) -> int:
    """A port of this machine that nothing listens at: the given one, or any.

    Raises:
        ConfigError: if the address is not of this machine, or the port is in use or not allowed.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was used a minute ago is free
        try:
            probe.bind((address, port or 0))
            probe.listen()
            return int(probe.getsockname()[1])
        except (OSError, OverflowError) as error:
            place = f"port {port} of {address}" if port else f"address {address}"
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"{place} cannot be used: {reason}") from error
