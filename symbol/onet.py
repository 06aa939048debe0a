"""The output network."""

from mtcnn_gluon.config import NETS
from mtcnn_gluon.symbol.blocks import CascadeNet, Form


class ONet(CascadeNet):
    """Output network on 48 x 48 crops, see `CascadeNet`. By default it has the heads of the released model."""

    def __init__(self, landmarks: bool = NETS.onet.landmarks, prefix: str = "onet_", form: Form = "auto") -> None:
        super().__init__({**NETS.onet, "landmarks": landmarks}, prefix, form)
