"""The shared vocabulary of the three nets: one block that builds any of them from the table in `config.NETS`."""

from typing import Any, Mapping, Sequence

from mtcnn_gluon.config import HEADS
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.mxnet_loader import load_mxnet

mx = load_mxnet()
nn: Any = mx.gluon.nn


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

    Raises:
        ModelError: if `layers` holds something unknown.
    """

    def __init__(self, layers: Sequence[Sequence[Any]], landmarks: bool, prefix: str) -> None:
        super().__init__(prefix=prefix)
        head_names = [name for name in HEADS if landmarks or name != "landmark"]
        is_dense = any(layer[0] == "dense" for layer in layers)
        with self.name_scope():
            self.body = nn.HybridSequential(prefix="")
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
                self.body.add(nn.PReLU(in_channels=channels, prefix=f"prelu{counts['conv'] + counts['dense']}_"))
            for name in head_names:
                units = HEADS[name]
                head = nn.Dense(units, in_units=channels, prefix=f"{name}_") if is_dense else None
                setattr(self, name, head or nn.Conv2D(units, 1, in_channels=channels, prefix=f"{name}_"))
        self._head_names = head_names

    def hybrid_forward(self, F: Any, x: Any) -> tuple:
        """The heads' raw outputs."""
        x = self.body(x)
        return tuple(getattr(self, name)(x) for name in self._head_names)


class FaceProbability(nn.HybridBlock):
    """A `CascadeNet` for inference: its first output is the softmax over the two classes, the others are unchanged."""

    def __init__(self, net: CascadeNet) -> None:
        super().__init__(prefix="")
        self.net = net

    def hybrid_forward(self, F: Any, x: Any) -> tuple:
        """Probabilities (N, 2, ...) and the other heads' outputs."""
        logits, *others = self.net(x)
        return (F.softmax(logits, axis=1), *others)


def set_parameters(net: CascadeNet, values: Mapping[str, Any], ctx: Any = None) -> None:
    """Give a net its parameters, from arrays by full parameter name (`pnet_conv1_weight`), and put it on `ctx`.

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
        parameter.shape = value.shape
        parameter.initialize(ctx=ctx, force_reinit=True)
        parameter.set_data(value)
