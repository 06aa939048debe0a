"""Records and runs that several tests of training use."""

import logging
from pathlib import Path
from typing import Any, Iterator

import pytest

from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.trainer import Run
from training_runs import Train, write_records


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_records(tmp_path_factory.mktemp("records"))


@pytest.fixture
def train(capsys: pytest.CaptureFixture) -> Iterator[Train]:
    """`mtcnn-gluon train` in this process: its exit status and what it says on the standard error."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: Any, net: str = "pnet") -> tuple[int, str]:
        capsys.readouterr()
        status = cli.main(["train", "--net", net, *map(str, arguments)])
        return status, capsys.readouterr().err

    yield run
    root.handlers[:], root.level = handlers, level


@pytest.fixture(scope="module")
def finished(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    Run(TrainingOptions("pnet", epochs=2, batch=32, warm_up=5, average=0.999), records, folder).fit()
    return folder
