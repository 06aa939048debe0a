"""What the cascade needs of a runtime."""

from typing import Protocol

import numpy as np


class Engine(Protocol):
    """Runs the three nets. Inputs are normalised float32 in NCHW; outputs are numpy arrays of the caller's own.

    Implementations may be called from several threads.
    """

    name: str

    def pnet(self, canvas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(1, 3, H, W) -> face probability (h, w) and offsets (4, h, w), with h = (H - 10) / 2 and w = (W - 10) / 2."""
        ...

    def rnet(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3, 24, 24), N > 0 -> face probability (N,) and offsets (N, 4)."""
        ...

    def onet(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N, 3, 48, 48), N > 0 -> face probability (N,), offsets (N, 4) and landmarks (N, 10), x and y interleaved."""
        ...
