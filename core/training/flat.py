"""All parameters of a net as parts of one array, so that an optimiser updates them with one operator.

Separate updates of P-Net's 13 parameters would take half of Python's time for a training step.
"""

import math
from typing import Any, Iterable, Sequence

from mtcnn_gluon.mxnet_loader import load_mxnet

mx = load_mxnet()
Parameter: Any = mx.gluon.Parameter

ALIGNMENT = 64  # floats, so that each part is as aligned as a separate array


class FlatParameter(Parameter):
    """One parameter whose array and gradient hold those of others.

    Attributes:
        places: by name of each, its place in the array and its shape.

    Args:
        parameters: initialised on `devices`; from now on their data and gradients are views of this parameter's.
    """

    def __init__(self, name: str, parameters: Iterable[Any], devices: Sequence[Any]) -> None:
        self.places: dict[str, tuple[slice, tuple[int, ...]]] = {}
        parameters, size = list(parameters), 0
        for each in parameters:
            shape = each.data(devices[0]).shape
            length = math.prod(shape)
            self.places[each.name] = slice(size, size + length), shape
            size += -(-length // ALIGNMENT) * ALIGNMENT
        super().__init__(name, shape=(size,))
        self.initialize(mx.init.Zero(), devices)
        parts = [(self.parts(self.data(device)), self.parts(self.grad(device))) for device in devices]
        for each in parameters:
            for device, (data, _) in zip(devices, parts):
                data[each.name][:] = each.data(device)
            each._data, each._grad = ([part[i][each.name] for part in parts] for i in range(2))
            mx.autograd.mark_variables(each._data, each._grad, each.grad_req)

    def parts(self, whole: Any) -> dict[str, Any]:
        """By name, the parts of an array with this parameter's layout; they share its memory."""
        return {name: whole[part].reshape(shape) for name, (part, shape) in self.places.items()}

    def is_written(self) -> None:
        """Mark the gradient as written by a backward pass: MXNet saw only the parts being written."""
        for data in self.list_data():
            data._fresh_grad = True
