"""The devices to train on, from their names."""

import re
from typing import Any

from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.mxnet_loader import load_mxnet

MAX_CPUS = 1024  # MXNet accepts any number, and starts threads for it


def devices(text: str) -> list[Any]:
    """MXNet's contexts from a text such as `cpu`, `gpu` or `gpu:0,1`.

    Raises:
        ConfigError: if the text has another form, or MXNet does not see such a GPU.
    """
    kind, _, numbers = text.partition(":")
    if kind not in ("cpu", "gpu") or (numbers and not re.fullmatch("[0-9]+(,[0-9]+)*", numbers)):
        raise ConfigError(f"device must be cpu, gpu or gpu:N,N..., not {text!r}")
    chosen = [int(number) for number in numbers.split(",") if number] or [0]
    if len(set(chosen)) < len(chosen):
        raise ConfigError(f"device {text!r} names one twice")
    if kind == "cpu" and max(chosen) >= MAX_CPUS:
        raise ConfigError(f"device {text!r}: processors are numbered from 0 to {MAX_CPUS - 1}")
    mx = load_mxnet()
    if kind == "gpu" and max(chosen) >= mx.context.num_gpus():
        raise ConfigError(f"device {text!r}: MXNet sees {mx.context.num_gpus()} GPU(s)")
    return [getattr(mx, kind)(number) for number in chosen]
