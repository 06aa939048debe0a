"""All parameters of a net as parts of one array, which an optimiser updates with one operator.

With separate updates, P-Net's 13 parameters would take half of Python's time for a training step.
"""

import math
from typing import Any, Iterable, Sequence

from mtcnn_gluon.mxnet_loader import load_mxnet

mx = load_mxnet()
Parameter: Any = mx.gluon.Parameter

ALIGNMENT = 64  # floats: each part begins at a multiple of it, as separate arrays do


class FlatParameter(Parameter):
    """One parameter whose array and gradient contain those of other parameters.

    Attributes:
        places: for each of these, by name, its place in the array and its shape.

    Args:
        parameters: initialised on `devices`. Their data and gradients become views of this parameter's.
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
        """The parts of an array with this parameter's layout, by name. They share its memory."""
        return {name: whole[part].reshape(shape) for name, (part, shape) in self.places.items()}

    def is_written(self) -> None:
        """Mark the gradient as written by a backward pass: MXNet noticed this for the parts only."""
        for data in self.list_data():
            data._fresh_grad = True
