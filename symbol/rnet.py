"""The refinement network."""

from mtcnn_gluon.config import NETS
from mtcnn_gluon.symbol.blocks import CascadeNet, Form


class RNet(CascadeNet):
    """Refinement network on 24 x 24 crops, see `CascadeNet`. By default it has the heads of the released model."""

    def __init__(self, landmarks: bool = NETS.rnet.landmarks, prefix: str = "rnet_", form: Form = "auto") -> None:
        super().__init__({**NETS.rnet, "landmarks": landmarks}, prefix, form)
