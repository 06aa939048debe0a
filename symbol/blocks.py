"""The block that builds any of the three nets from its table, as in `config.NETS`."""

from typing import Any, Callable, Literal, Mapping

import numpy as np

from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.layers import Layer, check_parameters, heads_of, walk
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators.mxnet_operators import portable_prelu, register
from mtcnn_gluon.operators.native import has_bfloat16
from mtcnn_gluon.operators.native_net import why_not_net

mx = load_mxnet()
nn: Any = mx.gluon.nn

Form = Literal["auto", "native", "bfloat16", "portable", "export"]
_BUILDERS: Mapping[str, Callable[[Layer, str], Any]] = {  # by kind: from a layer and the prefix of its parameters' names
    "conv": lambda layer, prefix: nn.Conv2D(
        layer.channels, layer.kernel, layer.stride, in_channels=layer.inputs, prefix=prefix
    ),
    "pool": lambda layer, prefix: nn.MaxPool2D(layer.kernel, layer.stride, ceil_mode=True, prefix=prefix),
    # Without `in_units` Gluon initialises a layer after all others. This must not change for a body's dense layer, since the
    # results of a seed depend on the order.
    "dense": lambda layer, prefix: nn.Dense(layer.channels, in_units=layer.inputs if layer.is_head else 0, prefix=prefix),
}


class CascadeNet(nn.HybridBlock):
    """One net of the cascade: a body of convolutions, poolings and dense layers, and two or three linear heads.

    The forward pass takes images (N, 3, H, W) float32, normalised, and returns raw outputs without softmax:

        class logits (N, 2), background and face
        box offsets (N, 4), as in `boxes.decode`
        landmarks (N, 10), x and y interleaved in 0..1 of the crop; only with `landmarks`

    A net without a dense layer is fully convolutional: on larger images its outputs are (N, 2, h, w) and so on.

    Args:
        table: `size`, `layers` and `landmarks`, as in `config.NETS`.
        prefix: beginning of all parameter names, such as `pnet_`.
        form: the operators. Parameters and, except for `bfloat16`, results do not depend on it.
            `native`: the package's own, on the CPU only, several times as fast. The symbol then contains operators that only
            this package has, and the gradient of the images is not computed (it is NaN).
            `bfloat16`: native, but convolutions multiply factors that are rounded to bfloat16 and add in float32. Training is
            faster. It needs a processor with AMX, under Linux, and convolutions of stride 1. All arrays stay float32.
            `portable`: MXNet's, on any device.
            `export`: MXNet's, with each PReLU as one `LeakyReLU` node, which other tools expect. Only for inference: in a
            hybridized net MXNet 1.9.1 lets that node overwrite its input and then computes wrong gradients of the slopes.
            `auto`: native if possible, otherwise portable.

    Raises:
        ModelError: if `layers` is malformed, or native operators are required and cannot be used.
    """

    def __init__(self, table: Mapping[str, Any], prefix: str, form: Form = "auto") -> None:
        super().__init__(prefix=prefix)
        reason = why_not_native(table) if form in ("auto", "native", "bfloat16") else None
        if form == "bfloat16":
            reason = reason or _why_not_bfloat16(table)
        if form in ("native", "bfloat16") and reason:
            raise ModelError(f"native operators cannot be used: {reason}")
        self._form = {"auto": "portable" if reason else "native", "bfloat16": "native"}.get(form, form)
        self.table, self.head_names = table, heads_of(table)
        with self.name_scope():
            self.body = nn.HybridSequential(prefix="")
            for layer in walk(table):
                block = _BUILDERS[layer.kind](layer, f"{layer.name}_")
                if layer.is_head:
                    setattr(self, layer.name, block)
                    continue
                self.body.add(block)
                if layer.prelu:
                    prelu = nn.PReLU if self._form == "export" else PortablePReLU
                    self.body.add(prelu(in_channels=layer.channels, prefix=f"{layer.prelu}_"))
        if self._form == "native":
            # Not as a child block, whose parameters would count twice.
            object.__setattr__(self, "_pass", NativePass(self, form == "bfloat16"))

    def summary(self, *inputs: Any) -> None:
        """Print the layers with their output shapes and numbers of parameters, as Gluon does."""
        form, self._form = self._form, "portable"  # Gluon only lists layers that are called
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
    """Gluon's PReLU with correct gradients in hybridized nets; see `CascadeNet`."""

    def hybrid_forward(self, F: Any, x: Any, alpha: Any) -> Any:
        """x (N, C, ...) where positive, else x times alpha (C,)."""
        return portable_prelu(F, x, alpha)


class NativePass(nn.HybridBlock):
    """The forward pass of a `CascadeNet` on the native operators, with the net's own parameters.

    Between the first and the last convolution, arrays are channels last. One operator computes a convolution with the PReLU and
    the pooling before it.
    """

    def __init__(self, net: CascadeNet, bfloat16: bool) -> None:
        super().__init__(prefix="")
        self._layers, self._bfloat16, blocks = list(walk(net.table)), bfloat16, iter(net.body)
        for layer in self._layers:
            block = getattr(net, layer.name) if layer.is_head else next(blocks)
            if layer.weight:
                setattr(self, f"{layer.name}_weight", block.weight)
                setattr(self, f"{layer.name}_bias", block.bias)
            if layer.prelu:
                setattr(self, f"{layer.name}_alpha", next(blocks).alpha)
        self.params.update(net.collect_params())

    def hybrid_forward(self, F: Any, x: Any, **parameters: Any) -> tuple:
        """The heads' raw outputs."""
        heads = [layer for layer in self._layers if layer.is_head]
        alpha, pool, is_flat = None, 0, False

        def linear(x: Any, layer: Layer) -> Any:
            weight, bias = parameters[f"{layer.name}_weight"], parameters[f"{layer.name}_bias"]
            return F.FullyConnected(x, weight, bias, num_hidden=layer.channels)

        for layer in self._layers[: -len(heads)]:
            if layer.kind == "pool":
                pool = layer.kernel
                continue
            if layer.kind == "conv":
                weight, bias = parameters[f"{layer.name}_weight"], parameters[f"{layer.name}_bias"]
                x = F.prelu_pool_conv(x, weight, bias, alpha, pool, self._bfloat16, layer.stride)
            else:
                x = x if is_flat else F.transpose(x, (0, 3, 1, 2))
                x, is_flat = linear(F.prelu(x, alpha), layer), True
            alpha, pool = parameters[f"{layer.name}_alpha"], 0
        if heads[0].kind == "dense":
            x = F.prelu(x, alpha)
            return tuple(linear(x, head) for head in heads)
        weights, biases = ([parameters[f"{head.name}_{kind}"] for head in heads] for kind in ("weight", "bias"))
        x = F.prelu_pool_conv(x, F.concat(*weights, dim=0), F.concat(*biases, dim=0), alpha, 0, self._bfloat16)
        x = F.transpose(x, (0, 3, 1, 2))  # (N, 6, h, w) or (N, 16, h, w)
        ends = np.cumsum([head.channels for head in heads]).tolist()
        return tuple(F.slice_axis(x, axis=1, begin=begin, end=end) for begin, end in zip([0, *ends], ends))


def why_not_native(table: Mapping[str, Any]) -> str | None:
    """Why this net cannot run on the native operators; None if it can."""
    return why_not_net(table) or register()


def _why_not_bfloat16(table: Mapping[str, Any]) -> str | None:
    if any(layer.kind == "conv" and layer.stride > 1 for layer in walk(table)):
        return "bfloat16 is only made for convolutions of stride 1"
    return None if has_bfloat16() else "bfloat16 needs a processor with AMX, under Linux"


class FaceProbability(nn.HybridBlock):
    """A `CascadeNet` for inference: the first output is the softmax over the two classes, the others are unchanged."""

    def __init__(self, net: CascadeNet) -> None:
        super().__init__(prefix="")
        self.net = net

    def hybrid_forward(self, F: Any, x: Any) -> tuple:
        """Probabilities (N, 2, ...) and the other heads' outputs."""
        logits, *others = self.net(x)
        name = f"{self.net.prefix}probability"  # MXNet's own numbered name would make files of the same net differ
        return (F.softmax(logits, axis=1, name=name), *others)


def set_parameters(net: CascadeNet, values: Mapping[str, Any], ctx: Any = None) -> None:
    """Set a net's parameters from arrays by full name, such as `pnet_conv1_weight`; uninitialised ones are put on `ctx`.

    Raises:
        ModelError: if a parameter is missing, superfluous or of another shape.
    """
    checked = check_parameters(net.prefix.rstrip("_"), net.table, values)
    for name, parameter in net.collect_params().items():
        if parameter._data is None:  # otherwise its arrays must stay, since trainers and compiled graphs use them
            parameter.shape = checked[name].shape
            parameter.initialize(ctx=ctx, force_reinit=True)
        parameter.set_data(mx.nd.array(checked[name]))
