"""The proposal network."""

from mtcnn_gluon.config import NETS
from mtcnn_gluon.symbol.blocks import CascadeNet, Form


class PNet(CascadeNet):
    """Proposal network on 12 x 12 crops; see `CascadeNet` for inputs and outputs.

    Args:
        landmarks: whether the net has a landmark head; the default is the paper's published model.
        prefix, form: see `CascadeNet`.
    """

    def __init__(self, landmarks: bool = NETS.pnet.landmarks, prefix: str = "pnet_", form: Form = "auto") -> None:
        super().__init__({**NETS.pnet, "landmarks": landmarks}, prefix, form)
