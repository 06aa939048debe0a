"""The trained heads of a bundle's nets.

A manifest's `trained` lists them for each net: some of `cls`, `box` and `landmark`. Untrained parameters are random numbers
and must not affect results:

    an untrained landmark head    is left out of the net, so faces have no landmarks
    an untrained box head         is set to 0, so boxes stay those of the candidates
    an untrained class head       makes all results of the net random. A bundle may contain such a net, since it can be used for
                                  mining with the nets before it; users of the bundle are warned
"""

from dataclasses import dataclass, field
from typing import Any, Mapping

import numpy as np

from mtcnn_gluon.config import HEADS, NETS
from mtcnn_gluon.errors import ConfigError, shown


@dataclass(frozen=True)
class TrainedNet:
    """One trained net.

    Attributes:
        parameters: by full name, such as `onet_conv1_weight`.
        heads: the trained heads, some of `config.HEADS`.
        figures: measured in the parameters' epoch; empty if unknown.
        table: its architecture, as in `config.NETS`; None: the paper's.
    """

    parameters: Mapping[str, np.ndarray]
    heads: tuple[str, ...]
    figures: Mapping[str, Any] = field(default_factory=dict)
    table: Mapping[str, Any] | None = None


def heads_in(net: str, parameters: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The heads with parameters in `parameters`, which are by full name."""
    return tuple(head for head in HEADS if f"{net}_{head}_weight" in parameters)


def as_trained(nets: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, TrainedNet]:
    """Nets with only trained heads, from parameters by net and full name."""
    return {net: TrainedNet(parameters, heads_in(net, parameters)) for net, parameters in nets.items()}


def without_untrained(net: str, trained: TrainedNet) -> dict[str, np.ndarray]:
    """The usable parameters of a net: an untrained landmark head is removed, and an untrained box head is set to 0."""
    values = dict(trained.parameters)
    for name in ("weight", "bias"):
        if "landmark" not in trained.heads:
            values.pop(f"{net}_landmark_{name}", None)
        if "box" not in trained.heads and f"{net}_box_{name}" in values:
            values[f"{net}_box_{name}"] = np.zeros_like(values[f"{net}_box_{name}"])
    return values


def check_trained(trained: Any, architecture: Mapping[str, Any]) -> None:
    """Check a manifest's `trained`.

    Raises:
        ConfigError: if it does not list heads for each net, or contradicts a net's `landmarks`.
    """
    if not isinstance(trained, dict) or set(trained) != set(NETS):
        raise ConfigError(f"'trained' must name the trained heads of {', '.join(NETS)}, got {shown(trained)}")
    for net, heads in trained.items():
        if not isinstance(heads, list) or not all(isinstance(head, str) and head in HEADS for head in heads):
            raise ConfigError(f"'trained' of {net} must be a list with some of {', '.join(HEADS)}, got {shown(heads)}")
        if ("landmark" in heads) != bool(architecture[net]["landmarks"]):
            raise ConfigError(f"'trained' of {net} is {shown(heads)}, which its architecture's 'landmarks' contradicts")


def warnings(manifest: Mapping[str, Any]) -> list[str]:
    """One sentence about each kind of untrained head in a bundle; none if all heads are trained."""
    trained = manifest["trained"]
    found = []
    if random := [net for net in NETS if "cls" not in trained[net]]:
        is_are = "is" if len(random) == 1 else "are"
        found.append(f"{' and '.join(random)} {is_are} not trained but random numbers: what this model finds means nothing")
    if unmoved := [net for net in NETS if "cls" in trained[net] and "box" not in trained[net]]:
        found.append(f"boxes were not trained in {' and '.join(unmoved)}, which leaves them as they are")
    if "cls" in trained["onet"] and "landmark" not in trained["onet"]:
        found.append("landmarks were not trained: faces have none")
    return found
