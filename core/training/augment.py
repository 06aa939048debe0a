"""Random changes of a batch's images in training."""

from dataclasses import dataclass

import cv2
import numpy as np

from mtcnn_gluon.errors import ConfigError

SIGMA = 0.04  # of a blurred face; larger ones leave little to be seen of it
COVERED = (0.15, 0.5)  # sides of what covers a face, as shares of the crop's side
LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass(frozen=True)
class Augmentation:
    """How images are changed at random.

    Attributes:
        mirror: share of the samples that are mirrored, 0..1.
        brightness: by how much of the whole range colours are shifted at most, up or down, 0..1.
        contrast, saturation: by which share they are raised or lowered at most, 0..1.
        blur: share of the samples that are blurred, 0..1, by a Gaussian of up to `SIGMA` times their side.
        occlusion: share of the samples of which a rectangle is covered by one colour, 0..1.

    Raises:
        ConfigError: if one of them is out of range.
    """

    mirror: float = 0.5
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    blur: float = 0.0
    occlusion: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise ConfigError(f"{name} must be a number from 0 to 1, not {value!r}")

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
