"""The proposal network."""

from mtcnn_gluon.config import NETS
from mtcnn_gluon.symbol.blocks import CascadeNet, Form


class PNet(CascadeNet):
    """Proposal network on 12 x 12 crops, see `CascadeNet`. By default it has the heads of the released model."""

    def __init__(self, landmarks: bool = NETS.pnet.landmarks, prefix: str = "pnet_", form: Form = "auto") -> None:
        super().__init__({**NETS.pnet, "landmarks": landmarks}, prefix, form)
