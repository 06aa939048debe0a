"""Which processes a training needs, where they run, and by what command each begins."""

import shlex
from dataclasses import dataclass
from typing import Mapping, Sequence

from mtcnn_gluon import __version__
from mtcnn_gluon.launching.hosts import Host
from mtcnn_gluon.training.workers import RANK

MODULE = "mtcnn_gluon.cli.member"  # what every process runs
SSH = (  # no questions, and a host that has gone is noticed in a quarter of a minute
    "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-T",
)  # fmt: skip
SPLIT_FROM = "1000"  # numbers from which on an array is divided among several servers; MXNet's own limit is a million


@dataclass(frozen=True)
class Member:
    """A process of a training.

    Attributes:
        name: such as `worker 0`.
        host: where it runs.
        command: what starts it, here or there.
        environment: its own environment variables, if it runs here.
    """

    name: str
    host: Host
    command: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def is_worker(self) -> bool:
        """Whether it is one that trains."""
        return self.name.startswith("worker")

    def __str__(self) -> str:
        return self.name if self.host.is_here else f"{self.name} on {self.host.name}"


@dataclass(frozen=True)
class Plan:
    """What `members` needs to know.

    Attributes:
        hosts: the hosts of the workers.
        servers: number of processes that sum the gradients.
        address, port: of the scheduler, which runs on this machine and to which all others connect.
        python: the Python that runs them, on every host.
        folder: the current folder of them all.
        arguments: of `mtcnn-gluon` in every worker.
    """

    hosts: Sequence[Host]
    servers: int
    address: str
    port: int
    python: str
    folder: str
    arguments: Sequence[str]

    def members(self) -> list[Member]:
        """The scheduler, which is first, the servers, in turn on all hosts, and the workers by rank."""
        places = [host for host in self.hosts for _ in range(host.workers)]
        servers = [self.hosts[number % len(self.hosts)] for number in range(self.servers)]
        return [
            self._member("scheduler", "scheduler", Host("localhost")),
            *(self._member("server", f"server {number}", host) for number, host in enumerate(servers)),
            *(self._member("worker", f"worker {rank}", host, {RANK: str(rank)}) for rank, host in enumerate(places)),
        ]

    def _member(self, role: str, name: str, host: Host, more: Mapping[str, str] | None = None) -> Member:
        environment = {
            "DMLC_ROLE": role,
            "DMLC_PS_ROOT_URI": self.address,
            "DMLC_PS_ROOT_PORT": str(self.port),
            "DMLC_NUM_WORKER": str(sum(host.workers for host in self.hosts)),
            "DMLC_NUM_SERVER": str(self.servers),
            "PYTHONUNBUFFERED": "1",
            **({"MXNET_KVSTORE_BIGARRAY_BOUND": SPLIT_FROM} if self.servers > 1 else {}),
            **(more or {}),
        }
        words = [self.python, "-m", MODULE, __version__, str(host.workers), *(self.arguments if role == "worker" else ())]
        if host.is_here:
            return Member(name, host, tuple(words), environment)
        variables = [f"{name}={value}" for name, value in environment.items()]
        text = f"cd {shlex.quote(self.folder)} && exec {shlex.join(['env', *variables, *words])}"
        return Member(name, host, (*SSH, host.name, text), {})
