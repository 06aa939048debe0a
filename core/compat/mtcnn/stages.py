"""The stages of the cascade, by which a program for mtcnn says how far it goes."""


class Stage:
    """A stage: its `name` and its `id`, from 1."""

    name: str
    id: int


class StagePNet(Stage):
    """P-Net, which proposes squares."""

    name, id = "Stage PNET", 1


class StageRNet(Stage):
    """R-Net, which refines them."""

    name, id = "Stage RNET", 2


class StageONet(Stage):
    """O-Net, which decides, and finds landmarks."""

    name, id = "Stage ONET", 3


STAGES = (StagePNet, StageRNet, StageONet)
COMMON_STAGES = {"face_detection_only": STAGES[:2], "face_and_landmarks_detection": STAGES}
