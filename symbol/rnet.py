"""The refinement network."""

from mtcnn_gluon.config import NETS
from mtcnn_gluon.symbol.blocks import CascadeNet, Form


class RNet(CascadeNet):
    """Refinement network on 24 x 24 crops; see `CascadeNet` for inputs and outputs.

    Args:
        landmarks: whether the net has a landmark head; the default is the paper's published model.
        prefix, form: see `CascadeNet`.
    """

    def __init__(self, landmarks: bool = NETS.rnet.landmarks, prefix: str = "rnet_", form: Form = "auto") -> None:
        super().__init__({**NETS.rnet, "landmarks": landmarks}, prefix, form)
