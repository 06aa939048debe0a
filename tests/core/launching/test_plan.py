"""The processes of a training and their commands."""

import shlex

from mtcnn_gluon import __version__
from mtcnn_gluon.launching.hosts import Host
from mtcnn_gluon.launching.plan import Plan

HOSTS = [Host("localhost", 2), Host("me@node2")]


def plan(servers: int = 1) -> Plan:
    return Plan(
        HOSTS, servers, "10.0.0.1", 9000, "/a python", "/it's here", ["train", "--net", "pnet", "--layers", "conv 16 3"]
    )


def test_every_process_has_its_place_and_role() -> None:
    members = plan(servers=3).members()
    assert list(map(str, members)) == [
        "scheduler", "server 0", "server 1 on me@node2", "server 2", "worker 0", "worker 1", "worker 2 on me@node2",
    ]  # fmt: skip
    assert [member.is_worker for member in members] == 4 * [False] + 3 * [True]
    for member in members:
        known = {**member.environment, **variables_there(member.command)}
        assert known["DMLC_ROLE"] == member.name.split()[0]
        assert known["DMLC_PS_ROOT_URI"] == "10.0.0.1" and known["DMLC_PS_ROOT_PORT"] == "9000"
        assert known["DMLC_NUM_WORKER"] == "3" and known["DMLC_NUM_SERVER"] == "3"
        assert known.get("MTCNN_GLUON_RANK") == (member.name.split()[1] if member.is_worker else None)
        assert int(known["MXNET_KVSTORE_BIGARRAY_BOUND"]) <= 6632  # P-Net's parameters are divided among servers


def variables_there(command: tuple[str, ...]) -> dict[str, str]:
    words = shlex.split(command[-1]) if command[0] == "ssh" else []
    return dict(word.split("=", 1) for word in words if word.startswith(("DMLC_", "MXNET_", "MTCNN_")))


def test_one_server_takes_all() -> None:
    assert "MXNET_KVSTORE_BIGARRAY_BOUND" not in plan().members()[0].environment


def test_commands() -> None:
    *_, here, there = plan().members()
    words = ["/a python", "-m", "mtcnn_gluon.cli.member", __version__]
    train = ["train", "--net", "pnet", "--layers", "conv 16 3"]
    assert list(here.command) == [*words, "2", *train]
    *options, host, text = there.command
    assert options[0] == "ssh" and "BatchMode=yes" in options and host == "me@node2" and not there.environment
    parts = shlex.split(text)
    assert parts[:5] == ["cd", "/it's here", "&&", "exec", "env"]
    assert parts[-len(words) - 1 - len(train) :] == [*words, "1", *train]
