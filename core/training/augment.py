"""Random changes of a batch's images in training."""

from dataclasses import dataclass

import cv2
import numpy as np

from mtcnn_gluon.options import Options, option
from mtcnn_gluon.training.share import WHOLE, Share

SIGMA = 0.04  # largest blur, in sides of the candidate; a larger one would hide the face
COVERED = (0.15, 0.5)  # smallest and largest side of a covered part, in sides of the candidate
LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass(frozen=True)
class Augmentation(Options):
    """Random changes of the images."""

    mirror: float = option(0.5, "share of the samples that are mirrored", least=0, most=1, metavar="SHARE")
    brightness: float = option(0.0, "largest shift of the colours, as a share of their range", least=0, most=1, metavar="SHARE")
    contrast: float = option(0.0, "largest change of the contrast", least=0, most=1, metavar="SHARE")
    saturation: float = option(0.0, "largest change of the saturation", least=0, most=1, metavar="SHARE")
    blur: float = option(0.0, "share of the samples that are blurred", least=0, most=1, metavar="SHARE")
    occlusion: float = option(0.0, "share of the samples that are partly covered", least=0, most=1, metavar="SHARE")

    def draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
        """Which of `count` samples to mirror (count,) bool, and the colour mixes (count, 3, 4) of `make_batch`, if any."""
        mirror = generator.random(count) < self.mirror
        if not (self.brightness or self.contrast or self.saturation):
            return mirror, None
        limits = [self.brightness, self.contrast, self.saturation]
        brightness, contrast, saturation = generator.uniform(-1, 1, (count, 3)).T * np.array(limits)[:, None]
        mix = np.empty((count, 3, 4))
        grey = np.broadcast_to(LUMINANCE, (3, 3))
        mix[:, :, :3] = (1 + contrast)[:, None, None] * (grey + (1 + saturation)[:, None, None] * (np.eye(3) - grey))
        mix[:, :, 3] = (255 * brightness - 127.5 * contrast)[:, None]
        return mirror, mix.astype(np.float32)

    def degrade(self, images: np.ndarray, cell: int, generator: np.random.Generator, share: Share = WHOLE) -> None:
        """Blur some of `images` (N, 3, S, S) float32 and cover a part of some, in place. Their labels stay the same.

        `cell` is the side in pixels of the candidate in them, see `View`: a part as large as the context would hide the face.
        If the images are a share of a batch, they become what they would become in the whole batch.
        """
        size, count = images.shape[-1], len(images) * share.count
        for number in np.flatnonzero(generator.random(count) < self.blur):
            sigma = cell * SIGMA * generator.random() + 1e-3
            if (row := share.place(number)) is None:
                continue
            for channel in images[row]:
                cv2.GaussianBlur(channel, (0, 0), sigma, dst=channel, borderType=cv2.BORDER_REPLICATE)
        for number in np.flatnonzero(generator.random(count) < self.occlusion):
            sides = np.rint(generator.uniform(*COVERED, 2) * cell).astype(int)
            x, y = generator.integers(0, size + 1 - sides)
            colour = generator.uniform(-1, 1, (3, 1, 1))
            if (row := share.place(number)) is not None:
                images[row, :, y : y + sides[1], x : x + sides[0]] = colour
