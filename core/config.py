"""The architectures of the three nets and the settings of the cascade, as data.

`NETS` has the nets of Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks"
(2016), figure 2, as in the authors' released models. A net takes images of `size` x `size` pixels. Each row of `layers` is one
layer, see `mtcnn_gluon.layers`. Linear heads follow: `cls` (2 logits: background, face), `box` (4 offsets) and, if
`landmarks` is true, `landmark` (10 numbers, x and y interleaved). The table of another net may also have `context`: the number
of pixels on each side of the input that lie around the candidate. The candidate fills the input if it is missing.
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
    thresholds=[0.6, 0.7, 0.7],  # lowest face probability after P-, R- and O-Net
    nms=[0.5, 0.7, 0.7, 0.7],  # allowed overlap: P-Net within a level, P-Net across levels, R-Net, O-Net ("min" mode)
)
MIN_FACE, MAX_FACE = 20.0, 1e9  # side in pixels of the smallest face to find: default and largest value
FACTOR = 0.709  # scale between two levels of the image pyramid: each level has half the area of the previous one
MAX_FACTOR = 0.99  # a value closer to 1 would give thousands of levels
SURE = 1e-4  # P- and R-Net's scores count as no closer to 0 or 1 in a score of all three nets

LANDMARK_NAMES = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")  # left: the viewer's left
