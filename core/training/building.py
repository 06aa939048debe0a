"""The parts of a training run: its net, the graph of net and loss, and the optimiser."""

from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from mtcnn_gluon.bundles.params_file import read_params, to_params
from mtcnn_gluon.bundles.trained import TrainedNet
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError, DataError, ModelError
from mtcnn_gluon.io.files import whole_file
from mtcnn_gluon.layers import View, check_table, parse_layers, view_of, walk
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.symbol.blocks import CascadeNet, Form, set_parameters
from mtcnn_gluon.training.flat import FlatParameter
from mtcnn_gluon.training.heads import HeadPlan, loss_weights
from mtcnn_gluon.training.losses import TrainingNet
from mtcnn_gluon.training.muon import Muon
from mtcnn_gluon.training.options import TrainingOptions

mx = load_mxnet()

BEFORE = "before.params"  # the initial net, in the folder of a run that keeps heads


def are_cpus(devices: Sequence[Any]) -> bool:
    """Whether all of MXNet's contexts are processors."""
    return all(device.device_type == "cpu" for device in devices)


def parameters_of(net: CascadeNet, device: Any) -> dict[str, np.ndarray]:
    """A net's parameters as arrays, by full name."""
    return {name: value.data(device).asnumpy() for name, value in net.collect_params().items()}


def table_of(options: TrainingOptions, view: View, has_landmarks: bool) -> dict[str, Any]:
    """The table of the net to train, as in `config.NETS`, for samples that show `view`.

    Raises:
        ConfigError: if the layers do not fit such samples.
    """
    layers = parse_layers(options.layers) if options.layers else [list(row) for row in NETS[options.net].layers]
    table = {"size": view.size, "layers": layers, "landmarks": has_landmarks}
    table |= {"context": view.context} if view.context else {}
    try:
        check_table(options.net, table, options.net)
    except ModelError as error:
        raise ConfigError(f"the layers do not fit samples of {view.size} pixels: {error}") from error
    return table


def random_net(options: TrainingOptions, table: Mapping[str, Any], devices: Sequence[Any], prefix: str = "") -> CascadeNet:
    """A net with random parameters, from the options' seed.

    Raises:
        ConfigError: if the devices do not support the precision.
    """
    form: Form = "auto" if are_cpus(devices) else "portable"
    if options.precision == "bfloat16":
        if not are_cpus(devices):
            raise ConfigError("precision must be float32 on a GPU")
        form = "bfloat16"
    net = CascadeNet(table, f"{prefix}{options.net}_", form)
    mx.random.seed(options.seed)
    net.initialize(mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2), devices)
    net(mx.nd.zeros((1, 3, table["size"], table["size"]), ctx=devices[0]))  # gives the dense layer its size
    return net


def initial_net(
    options: TrainingOptions, table: Mapping[str, Any], devices: Sequence[Any], initial: TrainedNet | None
) -> CascadeNet:
    """The net at the start of a run: the parameters of `initial`, and random parameters where it has none.

    A net that only sees more than `initial` begins with the same outputs, see `widened`. Of parameters whose architecture is
    not known, from a `.params` file, only the shapes are compared.

    Raises:
        ConfigError: if `initial` has other layers, size or context, and cannot be widened, or a landmark head that the net
            lacks and the options do not leave out.
        DataError: if it has other unknown parameters.
        ModelError: if a parameter has another shape.
    """
    net = random_net(options, table, devices)
    if initial is None:
        return net
    values, landmark = parameters_of(net, devices[0]), f"{options.net}_landmark_"
    is_left_out, start = options.landmarks is False, widened(options.net, initial, table)
    given = {name: each for name, each in start.items() if not (is_left_out and name.startswith(landmark))}
    unknown = sorted(set(given) - set(values))
    if unknown and all(name.startswith(landmark) for name in unknown):
        raise ConfigError(f"the initial {options.net} has a landmark head: --landmarks keeps it, --no-landmarks leaves it out")
    if unknown:
        raise DataError(f"the initial parameters do not fit {options.net}: {', '.join(unknown)} is unknown")
    set_parameters(net, {**values, **given}, devices)
    return net


def widened(net: str, initial: TrainedNet, table: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
    """The parameters of `initial` for a net with the same layers and cell, but perhaps more context around the cell.

    The first dense layer gets weights of 0 for what the initial net did not see, so the outputs stay the same. Only pooling
    windows that reached beyond the smaller input now see a line of context.

    Raises:
        ConfigError: if the initial net has other layers or another cell, or the stride of the layers does not divide what is
            added on each side.
    """
    if initial.table is None:
        return initial.parameters
    before, now = ({**each, "layers": [list(row) for row in each["layers"]]} for each in (initial.table, table))
    old, new = view_of(before), view_of(now)
    added = new.context - old.context
    if before["layers"] != now["layers"] or old.cell != new.cell or added < 0 or added % new.stride:
        raise ConfigError(
            f"the initial {net} is another net than the one to train: it sees {old} through {before['layers']}, "
            f"not {new} through {now['layers']}"
        )
    small, large = (next((layer for layer in walk(each) if layer.kind == "dense"), None) for each in (before, now))
    if not added or small is None or large is None:
        return initial.parameters
    name, first = f"{net}_{small.name}_weight", added // new.stride
    place = slice(first, first + small.kernel)
    weight = np.zeros((large.channels, large.inputs, large.kernel, large.kernel), np.float32)
    weight[:, :, place, place] = initial.parameters[name].reshape(-1, small.inputs, small.kernel, small.kernel)
    return {**initial.parameters, name: weight.reshape(large.channels, -1)}


def net_before(net: CascadeNet, options: TrainingOptions, devices: Sequence[Any], folder: Path, resume: bool) -> CascadeNet:
    """The net at the start of the run, with which kept heads are compared: a copy of `net`, or of a resumed run the file.

    Raises:
        DataError: if the file in the folder is missing or damaged.
    """
    path = folder / BEFORE
    if not resume:
        with whole_file(path, "wb") as file:
            file.write(to_params(parameters_of(net, devices[0])))
    before = random_net(options, net.table, devices, "before_")
    try:
        set_parameters(before, {f"before_{name}": value for name, value in read_params(path).items()}, devices)
    except ModelError as error:
        raise DataError(f"{path} is not the initial net of this run, which resuming needs: {error}") from error
    before.collect_params().setattr("grad_req", "null")
    return before


def make_graph(
    net: CascadeNet, options: TrainingOptions, plan: HeadPlan, devices: Sequence[Any], before: CascadeNet | None
) -> TrainingNet:
    """The net with its loss as one compiled graph."""
    graph = TrainingNet(net, options, loss_weights(options, plan), not are_cpus(devices), before, plan.kept)
    graph.hybridize(static_alloc=True, static_shape=True)
    return graph


def trained_parameters(net: CascadeNet, options: TrainingOptions, plan: HeadPlan, devices: Sequence[Any]) -> FlatParameter:
    """All parameters as one, without those of heads that neither learn nor are kept."""
    wanted = (*options.tasks, *plan.kept)
    frozen = {name for head in net.head_names if head not in wanted for name in getattr(net, head).collect_params()}
    trained = [parameter for name, parameter in net.collect_params().items() if name not in frozen]
    return FlatParameter(f"{options.net}_trained", trained, devices)


def make_trainer(net: CascadeNet, options: TrainingOptions, trained: FlatParameter, kvstore: Any = "device") -> Any:
    """Gluon's trainer of the trained parameters, with the optimiser that the options name. `kvstore`: see `Workers.store`.

    The parameter server only sums gradients. If it also held the optimiser, it would ignore changes of the learning rate, and
    muon would have to be sent to it.
    """
    if options.optimiser == "muon":
        heads = {name for head in net.head_names for name in getattr(net, head).collect_params()}
        hidden = [place for name, place in trained.places.items() if name.endswith("_weight") and name not in heads]
        optimiser: Any = Muon(hidden, options.decay)
    else:
        more = {"momentum": 0.9} if options.optimiser == "sgd" else {}
        optimiser = mx.optimizer.create(options.optimiser, wd=options.decay, **more)
    return mx.gluon.Trainer({"trained": trained}, optimiser, kvstore=kvstore, update_on_kvstore=False)
