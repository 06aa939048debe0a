"""The shared vocabulary of the three nets: one block that builds any of them from the table in `config.NETS`."""

from typing import Any, Iterator, Literal, Mapping, Sequence

import numpy as np

from mtcnn_gluon.config import HEADS
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators.mxnet_operators import portable_prelu, register
from mtcnn_gluon.operators.native import has_bfloat16
from mtcnn_gluon.operators.native_net import why_not_layers

mx = load_mxnet()
nn: Any = mx.gluon.nn

Form = Literal["auto", "native", "bfloat16", "portable", "export"]


class CascadeNet(nn.HybridBlock):
    """One net of the cascade: a body of convolutions, poolings and at most one dense layer, and two or three linear heads.

    The forward pass takes images (N, 3, H, W) float32, normalised, and returns raw outputs, no softmax:

        class logits (N, 2), background and face
        box offsets (N, 4), as in `boxes.decode`
        landmarks (N, 10), x and y interleaved in 0..1 of the crop; only with `landmarks`

    A net without a dense layer is fully convolutional: on larger images its outputs are (N, 2, h, w) and so on.

    Args:
        layers: rows of the table that `config` describes.
        landmarks: whether the net has a landmark head.
        prefix: beginning of all parameter names, such as `pnet_`.
        form: which operators compute it; parameters and, but for `bfloat16`, results are the same.
            `native`: the package's own, on the CPU only, several times as fast. The symbol then holds operators that only
            this package knows, and the gradient of the images is not computed (it is NaN).
            `bfloat16`: native, with the factors of the convolutions' products rounded to bfloat16 and their sums float32, which
            makes training faster and needs a processor with AMX, under Linux. All arrays stay float32.
            `portable`: MXNet's, on any device.
            `export`: MXNet's, each PReLU one `LeakyReLU` node as other tools expect. Only for inference: when a net is
            hybridized, MXNet 1.9.1 lets that node overwrite its input, and computes wrong gradients of the slopes from it.
            `auto`: native if possible, else portable.

    Raises:
        ModelError: if `layers` holds something unknown, or native operators are asked for and cannot be used.
    """

    def __init__(self, layers: Sequence[Sequence[Any]], landmarks: bool, prefix: str, form: Form = "auto") -> None:
        super().__init__(prefix=prefix)
        reason = why_not_native(layers) if form in ("auto", "native", "bfloat16") else None
        if form == "bfloat16" and not reason and not has_bfloat16():
            reason = "bfloat16 needs a processor with AMX, under Linux"
        if form in ("native", "bfloat16") and reason:
            raise ModelError(f"native operators cannot be used: {reason}")
        is_native = form in ("native", "bfloat16") or (form == "auto" and not reason)
        self._form = "native" if is_native else "portable" if form == "auto" else form
        self.head_names = [name for name in HEADS if landmarks or name != "landmark"]
        with self.name_scope():
            self.body = nn.HybridSequential(prefix="")
            channels = self._add_layers(layers)
            is_dense = any(layer[0] == "dense" for layer in layers)
            for name in self.head_names:
                units = HEADS[name]
                head = nn.Dense(units, in_units=channels, prefix=f"{name}_") if is_dense else None
                setattr(self, name, head or nn.Conv2D(units, 1, in_channels=channels, prefix=f"{name}_"))
        if self._form == "native":
            # No child: its parameters would count twice.
            object.__setattr__(self, "_pass", NativePass(self, layers, form == "bfloat16"))

    def _add_layers(self, layers: Sequence[Sequence[Any]]) -> int:
        """Fill the body; returns the number of channels that leave it."""
        channels, counts = 3, {"conv": 0, "pool": 0, "dense": 0}
        for kind, *arguments in layers:
            if kind not in counts:
                raise ModelError(f"unknown layer {kind!r}: expected one of {', '.join(counts)}")
            counts[kind] += 1
            if kind == "pool":
                kernel, stride = arguments
                self.body.add(nn.MaxPool2D(kernel, stride, ceil_mode=True, prefix=f"pool{counts['pool']}_"))
                continue
            channels_before, channels = channels, arguments[0]
            name = f"{kind}{counts[kind]}_"
            if kind == "conv":
                self.body.add(nn.Conv2D(channels, arguments[1], in_channels=channels_before, prefix=name))
            else:
                self.body.add(nn.Dense(channels, prefix=name))
            prelu = nn.PReLU if self._form == "export" else PortablePReLU
            self.body.add(prelu(in_channels=channels, prefix=f"prelu{counts['conv'] + counts['dense']}_"))
        return channels

    def summary(self, *inputs: Any) -> None:
        """Print the layers with their output shapes and numbers of parameters, as Gluon does."""
        form, self._form = self._form, "portable"  # Gluon learns of a layer when it is called
        try:
            super().summary(*inputs)
        finally:
            self._form = form

    def hybrid_forward(self, F: Any, x: Any) -> tuple:
        """The heads' raw outputs."""
        if self._form == "native":
            return self._pass(x)
        x = self.body(x)
        return tuple(getattr(self, name)(x) for name in self.head_names)


class PortablePReLU(nn.PReLU):
    """Gluon's PReLU with right gradients in hybridized nets; see `CascadeNet`."""

    def hybrid_forward(self, F: Any, x: Any, alpha: Any) -> Any:
        """x (N, C, ...) where positive, else x times alpha (C,)."""
        return portable_prelu(F, x, alpha)


class NativePass(nn.HybridBlock):
    """The forward pass of a `CascadeNet` with the net's own parameters, on the native operators.

    Between the first convolution and the last all arrays are channels last, and each layer is one operator: the PReLU and
    the pooling before a convolution, and the convolution.
    """

    def __init__(self, net: CascadeNet, layers: Sequence[Sequence[Any]], bfloat16: bool) -> None:
        super().__init__(prefix="")
        self._head_names, self._units, self._bfloat16, pool = net.head_names, 0, bfloat16, 0
        self._steps: list[tuple[str, int]] = []  # convolutions, and the pooling before each
        for (kind, *arguments), block, activation in _with_activations(layers, net.body):
            if kind == "pool":
                pool = arguments[0]
                continue
            name = f"layer{len(self._steps)}"
            self._adopt(name, block)
            setattr(self, f"{name}_alpha", activation.alpha)
            if kind == "conv":
                self._steps.append((name, pool))
                pool = 0
            else:
                self._units, self._dense = arguments[0], name
        for name in self._head_names:
            self._adopt(name, getattr(net, name))
        self.params.update(net.collect_params())

    def _adopt(self, name: str, block: Any) -> None:
        setattr(self, f"{name}_weight", block.weight)
        setattr(self, f"{name}_bias", block.bias)

    def hybrid_forward(self, F: Any, x: Any, **parameters: Any) -> tuple:
        """The heads' raw outputs."""
        alpha = None
        for name, pool in self._steps:
            x = F.prelu_pool_conv(x, parameters[f"{name}_weight"], parameters[f"{name}_bias"], alpha, pool, self._bfloat16)
            alpha = parameters[f"{name}_alpha"]
        if self._units:
            x = F.prelu(F.transpose(x, (0, 3, 1, 2)), alpha)
            x = self._linear(F, x, self._dense, self._units, parameters)
            x = F.prelu(x, parameters[f"{self._dense}_alpha"])
            return tuple(self._linear(F, x, name, HEADS[name], parameters) for name in self._head_names)
        weight = F.concat(*[parameters[f"{name}_weight"] for name in self._head_names], dim=0)
        bias = F.concat(*[parameters[f"{name}_bias"] for name in self._head_names], dim=0)
        x = F.prelu_pool_conv(x, weight, bias, alpha, 0, self._bfloat16)
        x = F.transpose(x, (0, 3, 1, 2))  # (N, 6, h, w) or (N, 16, h, w)
        ends = np.cumsum([HEADS[name] for name in self._head_names]).tolist()
        return tuple(F.slice_axis(x, axis=1, begin=begin, end=end) for begin, end in zip([0, *ends], ends))

    @staticmethod
    def _linear(F: Any, x: Any, name: str, units: int, parameters: Mapping[str, Any]) -> Any:
        return F.FullyConnected(x, parameters[f"{name}_weight"], parameters[f"{name}_bias"], num_hidden=units)


def why_not_native(layers: Sequence[Sequence[Any]]) -> str | None:
    """Why a net of these layers cannot run on the native operators; None if it can."""
    return why_not_layers(layers) or register()


def _with_activations(layers: Sequence[Sequence[Any]], body: Any) -> Iterator[tuple[Sequence[Any], Any, Any]]:
    """Each layer of the table with its block and the PReLU behind it (None behind a pooling)."""
    blocks = iter(body)
    for layer in layers:
        block = next(blocks)
        yield layer, block, None if layer[0] == "pool" else next(blocks)


class FaceProbability(nn.HybridBlock):
    """A `CascadeNet` for inference: its first output is the softmax over the two classes, the others are unchanged."""

    def __init__(self, net: CascadeNet) -> None:
        super().__init__(prefix="")
        self.net = net

    def hybrid_forward(self, F: Any, x: Any) -> tuple:
        """Probabilities (N, 2, ...) and the other heads' outputs."""
        logits, *others = self.net(x)
        name = f"{self.net.prefix}probability"  # else MXNet counts, and the same net gives another file the next time
        return (F.softmax(logits, axis=1, name=name), *others)


def set_parameters(net: CascadeNet, values: Mapping[str, Any], ctx: Any = None) -> None:
    """Give a net its parameters, from arrays by full parameter name (`pnet_conv1_weight`), on `ctx` if it is nowhere yet.

    Raises:
        ModelError: if a parameter is missing, superfluous or of another shape.
    """
    parameters = net.collect_params()
    if wrong := set(parameters) ^ set(values):
        raise ModelError(f"parameters do not fit the net {net.prefix.rstrip('_')}: missing or unknown {sorted(wrong)}")
    for name, parameter in parameters.items():
        value = mx.nd.array(values[name], dtype="float32")
        expected = tuple(parameter.shape or value.shape)
        if len(expected) != value.ndim or any(e not in (0, -1, v) for e, v in zip(expected, value.shape)):
            raise ModelError(f"parameter {name}: expected shape {expected}, got {value.shape}")
        if parameter._data is None:  # else it stays where it is: trainers and compiled graphs hold on to its arrays
            parameter.shape = value.shape
            parameter.initialize(ctx=ctx, force_reinit=True)
        parameter.set_data(value)
