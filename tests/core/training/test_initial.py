"""Parameters that training begins with."""

import os
from pathlib import Path
from typing import Any, Callable, Mapping

import numpy as np
import pytest

from mtcnn_gluon.bundles.trained import TrainedNet
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.layers import parse_layers
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.symbol.blocks import CascadeNet, set_parameters
from mtcnn_gluon.training.building import widened
from mtcnn_gluon.training.checkpoints import LAST, Checkpoint, read_checkpoint, write_checkpoint
from mtcnn_gluon.training.heads import HeadPlan
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.runs import read_net
from mtcnn_gluon.training.state import Run
from training_runs import Train, write_records

mx = load_mxnet()
NONE = HeadPlan((), (), ()).to_json()


def values_of(source: Path, net: str = "pnet") -> Mapping[str, np.ndarray]:
    return read_net(str(source), net).parameters


@pytest.mark.parametrize("ending", ["npz", "params"])
def test_begun_from_a_file(tmp_path: Path, records: Path, finished: Path, ending: str) -> None:
    expected = read_checkpoint(finished / LAST).averages
    source = finished / LAST
    if ending == "params":
        source = tmp_path / "a.params"
        mx.nd.save(str(source), {f"arg:{name}": mx.nd.array(value) for name, value in expected.items()})
    run = Run(TrainingOptions("pnet", landmarks=True), records, tmp_path / "run", initial=read_net(str(source), "pnet"))
    found = run.parameters()
    assert set(found) - set(expected) == {"pnet_landmark_weight", "pnet_landmark_bias"}  # which stay random
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_begun_from_the_official_weights(tmp_path: Path, train: Train) -> None:
    pytest.importorskip("joblib")
    for net in ("pnet", "rnet", "onet"):
        data = write_records(tmp_path / "records", 40, net)
        options = ["--records", data, "--epochs", 1, "--batch", 16, "--init", "official", "--out", tmp_path / net]
        assert train(*options, "--optimiser", "sgd", "--rate", "1e-9", net=net)[0] == 0
        official = values_of(Path("official"), net)
        for name, value in read_checkpoint(tmp_path / net / LAST).parameters.items():
            np.testing.assert_allclose(value, official[name], atol=1e-6, err_msg=name)


def make_params(path: Path, values: Any) -> Path:
    mx.nd.save(str(path), values)
    return path


def with_landmarks(folder: Path, finished: Path, **more: Any) -> Path:
    values = {name: mx.nd.array(value) for name, value in read_checkpoint(finished / LAST).parameters.items()}
    return make_params(folder / "a.params", {**values, "pnet_landmark_bias": mx.nd.zeros(10), **more})


def with_more(folder: Path, finished: Path) -> Path:
    return with_landmarks(folder, finished, pnet_conv9_bias=mx.nd.zeros(10))


def of_another_shape(folder: Path, finished: Path) -> Path:
    return make_params(folder / "a.params", {"pnet_conv1_weight": mx.nd.zeros((10, 3, 5, 5))})


def of_rnet(folder: Path, finished: Path) -> Path:
    write_checkpoint(folder / "a.npz", Checkpoint({"heads": NONE}, {"rnet_conv1_weight": np.zeros((28, 3, 3, 3))}))
    return folder / "a.npz"


def garbage(folder: Path, finished: Path) -> Path:
    (folder / "a.params").write_bytes(b"no parameters" * 100)
    return folder / "a.params"


def cut(folder: Path, finished: Path) -> Path:
    path = with_landmarks(folder, finished)
    os.truncate(path, 500)
    return path


@pytest.mark.parametrize(
    "make, message",
    [
        (with_landmarks, "the initial pnet has a landmark head: --landmarks keeps it, --no-landmarks leaves it out"),
        (with_more, "the initial parameters do not fit pnet: pnet_conv9_bias, pnet_landmark_bias is unknown"),
        (of_another_shape, "pnet_conv1_weight: expected shape (10, 3, 3, 3), got (10, 3, 5, 5)"),
        (of_rnet, "holds no parameters of pnet: rnet_conv1_weight"),
        (garbage, "a.params cannot be read"),
        (cut, "a.params cannot be read"),
        (lambda folder, _: make_params(folder / "a.params", [mx.nd.zeros(3)]), "its arrays have no names"),
        (lambda folder, _: make_params(folder / "a.params", {"body.0.weight": mx.nd.zeros(3)}), "holds no parameters of pnet"),
        (lambda folder, _: folder / "missing.params", "missing.params"),
        (lambda folder, _: folder / "missing.npz", "missing.npz does not exist"),
        (lambda folder, _: folder, "is not a model bundle"),
        (lambda folder, _: "nothing", "or the folder of a model bundle"),
    ],
)
def test_wrong_parameters_to_begin_with(
    tmp_path: Path, train: Train, records: Path, finished: Path, make: Callable[[Path, Path], Any], message: str
) -> None:
    source = make(tmp_path, finished)
    status, said = train("--records", records, "--out", tmp_path / "run", "--init", source)
    assert status == 2 and message in said
    assert not (tmp_path / "run" / LAST).exists()


NARROW = {"size": 10, "layers": parse_layers("conv 8 3, pool 2 2, conv 6 3, dense 16"), "landmarks": False}
WIDE = {**NARROW, "size": 18, "context": 4}


def test_a_net_that_sees_more_begins_with_the_same_outputs() -> None:
    narrow, wide = (CascadeNet(table, f"{name}_", "portable") for name, table in (("rnet", NARROW), ("rnet", WIDE)))
    narrow.initialize(mx.init.Normal(0.3))
    images = mx.nd.array(np.random.default_rng(0).normal(size=(5, 3, 18, 18)))
    expected = narrow(images[:, :, 4:14, 4:14])
    trained = TrainedNet({name: each.data().asnumpy() for name, each in narrow.collect_params().items()}, (), table=NARROW)
    set_parameters(wide, widened("rnet", trained, WIDE))
    for a, b in zip(wide(images), expected):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), atol=1e-5)
    assert widened("rnet", trained, NARROW) is trained.parameters


@pytest.mark.parametrize("table", [
    {**NARROW, "size": 16, "context": 3},  # the layers' stride is 2
    {**NARROW, "size": 18, "context": 3},
    {**NARROW, "layers": parse_layers("conv 8 3, pool 3 2, conv 6 3, dense 16")},
])  # fmt: skip
def test_nets_that_cannot_be_widened(table: dict) -> None:
    with pytest.raises(ConfigError, match="is another net .*: it sees 10 pixels with a context of 0 through .*, not"):
        widened("rnet", TrainedNet({}, (), table=NARROW), table)
