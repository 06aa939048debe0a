"""Chance in training: what is done to a batch's images, and to its targets with them."""

from dataclasses import dataclass

import cv2
import numpy as np

from mtcnn_gluon.options import Options, option
from mtcnn_gluon.records.samples import LABEL_LENGTH

MIRRORED = [1, 0, 2, 4, 3]  # where each landmark is found in a mirrored face
SIGMA = 0.04  # of a blurred face; larger ones leave little to be seen of it
COVERED = (0.15, 0.5)  # sides of what covers a face, as shares of the crop's side
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

    def spoil(self, images: np.ndarray, generator: np.random.Generator) -> None:
        """Blur some of `images` (N, 3, S, S) float32 and cover parts of some, in place; what to find in them stays the same."""
        size = images.shape[-1]
        for row in np.flatnonzero(generator.random(len(images)) < self.blur):
            sigma = size * SIGMA * generator.random() + 1e-3
            for channel in images[row]:
                cv2.GaussianBlur(channel, (0, 0), sigma, dst=channel, borderType=cv2.BORDER_REPLICATE)
        for row in np.flatnonzero(generator.random(len(images)) < self.occlusion):
            sides = np.rint(generator.uniform(*COVERED, 2) * size).astype(int)
            x, y = generator.integers(0, size + 1 - sides)
            images[row, :, y : y + sides[1], x : x + sides[0]] = generator.uniform(-1, 1, (3, 1, 1))


def mirror_targets(offsets: np.ndarray, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Box offsets (N, 4) and landmarks (N, 5, 2) of mirrored crops: left becomes right. Doing it twice undoes it."""
    flipped = landmarks[:, MIRRORED] * np.array([-1, 1], np.float32) + np.array([1, 0], np.float32)
    return mirror_offsets(offsets), flipped


def mirror_offsets(offsets: np.ndarray) -> np.ndarray:
    """Box offsets (N, 4) of mirrored crops."""
    return offsets[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32)


def mirror_labels(labels: np.ndarray) -> np.ndarray:
    """Label vectors (N, 18) of mirrored crops, see `samples`; all at once what `mirror_targets` does."""
    return labels[:, _LABEL_ORDER] * _LABEL_SIGN + _LABEL_SHIFT


def _label_mirror() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which entry of a label each entry of its mirror image comes from, its sign, and what is added."""
    order, sign, shift = np.arange(LABEL_LENGTH), np.ones(LABEL_LENGTH, np.float32), np.zeros(LABEL_LENGTH, np.float32)
    offsets, landmarks = (values.reshape(-1) for values in mirror_targets(order[None, 1:5], order[None, 5:15].reshape(1, 5, 2)))
    order[1:5], sign[1:5] = np.abs(offsets), np.sign(offsets)
    shift[5:15:2], sign[5:15:2] = 1, -1
    landmarks[::2] = 1 - landmarks[::2]
    order[5:15] = landmarks
    return order, sign, shift


_LABEL_ORDER, _LABEL_SIGN, _LABEL_SHIFT = _label_mirror()
