"""`mtcnn-gluon train`: its options, what it prints and writes, and the example scripts."""

import logging
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np
import pytest

from mtcnn_gluon import read_image
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.export.bundle_files import make_bundle
from mtcnn_gluon.records.files import RecordWriter
from mtcnn_gluon.records.info import REPORT
from mtcnn_gluon.training.checkpoints import read_checkpoint
from mtcnn_gluon.training.devices import devices
from mtcnn_gluon.training.runs import read_net
from record_samples import make_samples

ROOT = Path(__file__).parents[3]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    for net, table in NETS.items():
        with RecordWriter(folder / net, net) as writer:
            writer.write(make_samples(100, table.size))
    (folder / REPORT).write_text("{}")
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture) -> Iterator[Run]:
    """`mtcnn-gluon train`: its exit status, standard output and standard error."""
    root, package = logging.getLogger(), logging.getLogger("mtcnn_gluon")
    handlers, levels = root.handlers[:], (root.level, package.level)

    def main(*arguments: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = cli.main(["train", *map(str, arguments)])
        except SystemExit as stop:  # argparse
            status = stop.code
        return (status, *capsys.readouterr())

    yield main
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    package.setLevel(levels[1])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--net", "qnet"], "net must be pnet, rnet or onet, not 'qnet'"),
        (["--epochs", "0"], "epochs must be a whole number, 1 or more, not 0"),
        (["--epochs", "-3"], "epochs"),
        (["--epochs", "many"], "argument --epochs: invalid int value: 'many'"),
        (["--batch", "3"], "batch must be a whole number, 6 or more, not 3"),
        (["--batch", "0"], "batch"),
        (["--optimiser", "rmsprop"], "optimiser must be sgd, adam or muon, not 'rmsprop'"),
        (["--overlap-weight", -1], "overlap_weight must be a number, 0 or more, not -1"),
        (["--rate", "0"], "rate must be a number from 1e-30 to 1e+30, not 0"),
        (["--rate", "-1"], "rate"),
        (["--rate", "nan"], "rate"),
        (["--schedule", "linear"], "schedule must be step or cosine"),
        (["--warm-up", "-1"], "warm_up"),
        (["--decay", "-1"], "decay must be a number from 0 to below 1"),
        (["--keep-ratio", "0"], "keep_ratio must be a number above 0 and at most 1"),
        (["--average", "1"], "average must be a number from 0 to below 1"),
        (["--seed", "-1"], "seed must be a whole number, 0 or more"),
        (["--sampling", "random"], "sampling must be mixed or alternate"),
        (["--tasks", "classes"], "tasks must be one or more of cls, box or landmark"),
        (["--mirror", "1.5"], "mirror must be a number from 0 to 1"),
        (["--brightness", "-1"], "brightness"),
        (["--contrast", "nan"], "contrast"),
        (["--saturation", "2"], "saturation"),
        (["--device", "tpu"], "device must be cpu, gpu or gpu:N,N..., not 'tpu'"),
        (["--device", "cpu:x"], "device"),
        (["--device", "gpu:99"], "device 'gpu:99': MXNet sees"),
        (["--device", "cpu:0,1,2"], "batch must be a multiple of the 3 devices"),
        (["--resume"], "last.npz does not exist"),
        (["--init", "nothing"], "'nothing'"),
        (["--unknown"], "--unknown"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(tmp_path: Path, run: Run, records: Path, arguments: list[str], message: str) -> None:
    status, out, said = run("--net", "pnet", "--records", records, "--out", tmp_path / "run", "--batch", 32, *arguments)
    assert status == 2 and message in said and out == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("missing", ["--net", "--records", "--out"])
def test_missing_options_are_named(tmp_path: Path, run: Run, records: Path, missing: str) -> None:
    options = {"--net": "pnet", "--records": str(records), "--out": str(tmp_path / "run")}
    del options[missing]
    status, _, said = run(*(each for option in options.items() for each in option))
    assert status == 2 and f"required: {missing}" in said


@pytest.mark.parametrize("text, expected", [
    ("cpu", ["cpu(0)"]), ("cpu:0", ["cpu(0)"]), ("cpu:3", ["cpu(3)"]), ("cpu:1,0", ["cpu(1)", "cpu(0)"]),
])  # fmt: skip
def test_devices(text: str, expected: list[str]) -> None:
    assert list(map(str, devices(text))) == expected


@pytest.mark.parametrize(
    "text", ["", "CPU", "cpu:-1", "cpu:1,,2", "cpu:,", "cpu:²", "cpu:0,0", "cpu:1.5", "gpu:0,999", "cpu 0"]
)
def test_what_is_no_device(text: str) -> None:
    with pytest.raises(ConfigError, match="device"):
        devices(text)


@pytest.mark.parametrize("net", list(NETS))
def test_a_run(tmp_path: Path, run: Run, records: Path, net: str) -> None:
    options = ["--net", net, "--records", records, "--validation", records, "--epochs", 2, "--batch", 16, "--average", 0.9]
    status, out, said = run(*options, "--out", tmp_path / "run")
    assert status == 0 and "Traceback" not in said
    assert out == f"done: {tmp_path / 'run/best.npz'} is the best of 2 epochs\n"
    assert sorted(os.listdir(tmp_path / "run")) == ["best.npz", "curves.png", "last.npz", "log.csv"]
    lines = (tmp_path / "run/log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2"] and "val_recall" in lines[0]
    assert read_image(tmp_path / "run/curves.png").std() > 0
    assert read_checkpoint(tmp_path / "run/last.npz").about["options"]["net"] == net

    trained = read_net(str(tmp_path / "run/best.npz"), net)  # and on to a bundle, and back
    others = {} if net == "pnet" else {"pnet": read_net("official", "pnet")}
    bundle = make_bundle(tmp_path / "model", {**others, net: trained}, "ours", "noise", "MIT")
    again = read_net(str(bundle.path), net)
    assert again.heads == trained.heads and set(again.parameters) == set(trained.parameters)
    for name, value in trained.parameters.items():
        np.testing.assert_array_equal(again.parameters[name], value)


def test_equal_runs_give_equal_bits(tmp_path: Path, run: Run, records: Path) -> None:
    options = ["--net", "pnet", "--records", records, "--epochs", 1, "--batch", 16]
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert run(*options, "--out", tmp_path / name, "--seed", seed)[0] == 0
    a, b, c = (read_checkpoint(tmp_path / name / "last.npz").parameters["pnet_conv3_weight"] for name in "abc")
    assert np.array_equal(a, b) and not np.array_equal(a, c)


@pytest.mark.parametrize("option, has", [([], False), (["--landmarks"], True), (["--no-landmarks"], False)])
def test_landmark_heads(tmp_path: Path, run: Run, records: Path, option: list[str], has: bool) -> None:
    options = ["--net", "pnet", "--records", records, "--epochs", 1, "--batch", 16, "--out", tmp_path]
    assert run(*options, *option)[0] == 0
    assert ("pnet_landmark_bias" in read_checkpoint(tmp_path / "best.npz").parameters) == has


@pytest.mark.parametrize("net", list(NETS))
def test_example_scripts(tmp_path: Path, records: Path, net: str, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    script = ROOT / f"example/train_{net}.py"
    arguments = ["--records", records, "--out", tmp_path / "run", "--epochs", 1, "--batch", 16]
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(script), run_name="__main__")
    assert stop.value.code == 0 and read_checkpoint(tmp_path / "run/best.npz").about["options"]["net"] == net


def test_help_runs_without_mxnet() -> None:
    code = "import sys; sys.modules['mxnet'] = None; from mtcnn_gluon.cli.main import main; main(['train', '--help'])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 0 and "--keep-ratio" in process.stdout
