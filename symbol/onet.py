"""The output network."""

from mtcnn_gluon.config import NETS
from mtcnn_gluon.symbol.blocks import CascadeNet, Form


class ONet(CascadeNet):
    """Output network on 48 x 48 crops; see `CascadeNet` for inputs and outputs.

    Args:
        landmarks: whether the net has a landmark head; the default is the paper's published model.
        prefix, form: see `CascadeNet`.
    """

    def __init__(self, landmarks: bool = NETS.onet.landmarks, prefix: str = "onet_", form: Form = "auto") -> None:
        super().__init__({**NETS.onet, "landmarks": landmarks}, prefix, form)
