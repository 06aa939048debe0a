"""The verb `mtcnn-gluon launch`."""

import argparse
import os
import sys
from pathlib import Path

from mtcnn_gluon.cli import train
from mtcnn_gluon.cli.parser import Parser
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.launching.hosts import Host, address_for, free_port, read_hosts
from mtcnn_gluon.launching.plan import Plan
from mtcnn_gluon.launching.team import Team
from mtcnn_gluon.options import from_arguments
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.workers import DISTRIBUTED, JOINED


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `launch`."""
    parser.set_defaults(run=launch)
    places = parser.add_mutually_exclusive_group(required=True)
    places.add_argument("--hosts", metavar="FILE", help="hosts to start workers on, one a line: HOST [NUMBER OF WORKERS]")
    places.add_argument("--local", type=int, metavar="N", help="number of workers on this machine, without other hosts")
    parser.add_argument(
        "--servers", type=int, default=1, metavar="N", help="processes that sum the gradients, on the hosts in turn (1)"
    )
    parser.add_argument(
        "--address", metavar="IP", help="address of this machine for the hosts (that on the way to the first one)"
    )
    parser.add_argument("--port", type=int, metavar="N", help="port of this machine at which all processes meet (a free one)")
    parser.add_argument(
        "--python", default=sys.executable, metavar="PATH", help="Python on the hosts (the one of this command)"
    )
    parser.add_argument(
        "--patience", type=float, default=120.0, metavar="SECONDS", help="time for all processes to start and meet (120)"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- train ...", help="what every worker runs")


def launch(options: argparse.Namespace) -> int:
    """Train one net with several processes, on this machine or on several hosts, to which ssh must lead without a password.
    Every host needs the same version of this package, the same records and the same current folder. The first worker writes
    the folder of the run. When a process dies, all are ended."""
    command = options.command[options.command[:1] == ["--"] :]
    _check(options, command)
    hosts = [Host("localhost", options.local)] if options.local else read_hosts(Path(options.hosts))
    address = options.address or address_for(hosts)
    plan = Plan(hosts, options.servers, address, free_port(address, options.port), options.python, os.getcwd(), command)
    with Team(plan.members()) as team:
        team.watch(JOINED, options.patience)
    return 0


def _check(options: argparse.Namespace, command: list[str]) -> None:
    """Refuse what is wrong here once, instead of by every worker.

    Raises:
        ConfigError: if an option is out of range, or the command is none of `train`.
    """
    for name in ("local", "servers", "patience"):
        if (value := getattr(options, name)) is not None and not 0 < value <= 10_000:
            raise ConfigError(f"{name} must be above 0 and at most 10000, not {value}")
    if command[:1] != ["train"]:
        raise ConfigError(f"launch starts train only: expected -- train ..., got {' '.join(command[:1]) or 'nothing'}")
    parser = Parser(prog="mtcnn-gluon train")
    train.add_options(parser)
    given = parser.parse_args(command[1:])
    from_arguments(TrainingOptions, given)
    if given.kvstore not in (None, DISTRIBUTED):
        raise ConfigError(f"kvstore must be {DISTRIBUTED} under launch, not {given.kvstore}: each worker would train alone")
