"""What differs between the three nets, and the settings of the cascade, as data.

`NETS` describes the layers of Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks" (2016), figure 2, as the authors' released models have them. A layer is one of

    ["conv", channels, kernel]   stride 1, no padding, followed by a per-channel PReLU
    ["pool", kernel, stride]     max pooling in ceil mode (a partial window at the border still counts)
    ["dense", units]             on the flattened (channel, row, column) features, followed by a per-unit PReLU

A net ends in linear heads `cls` (2 logits: background, face), `box` (4 offsets) and, where `landmarks` is true, `landmark`
(10 numbers, x and y interleaved): 1x1 convolutions where the net has no dense layer, dense layers otherwise.
"""

from easydict import EasyDict

NETS = EasyDict(
    pnet=dict(
        size=12,
        layers=[["conv", 10, 3], ["pool", 2, 2], ["conv", 16, 3], ["conv", 32, 3]],
        landmarks=False,
    ),
    rnet=dict(
        size=24,
        layers=[["conv", 28, 3], ["pool", 3, 2], ["conv", 48, 3], ["pool", 3, 2], ["conv", 64, 2], ["dense", 128]],
        landmarks=False,
    ),
    onet=dict(
        size=48,
        layers=[
            ["conv", 32, 3], ["pool", 3, 2], ["conv", 64, 3], ["pool", 3, 2],
            ["conv", 64, 3], ["pool", 2, 2], ["conv", 128, 2], ["dense", 256],
        ],
        landmarks=True,
    ),
)  # fmt: skip

HEADS = EasyDict(cls=2, box=4, landmark=10)

CASCADE = EasyDict(
    thresholds=[0.6, 0.7, 0.7],  # face probability that P-, R- and O-Net must reach
    nms=[0.5, 0.7, 0.7, 0.7],  # overlap allowed: P-Net within a level, P-Net across levels, R-Net, O-Net ("min" mode)
)

MIN_FACE, MAX_FACE = 20.0, 1e9  # side in pixels of the smallest face to look for: default and largest value
FACTOR, MAX_FACTOR = (
    0.709,
    0.99,
)  # scale between pyramid levels: default (half the area), and at most (else thousands of levels)

LANDMARK_NAMES = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")  # left: the viewer's left
