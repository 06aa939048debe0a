"""From crops in memory to an augmented batch, the input of a net."""

import numpy as np

from mtcnn_gluon.operators.native import kernels


def make_batch(
    crops: np.ndarray, rows: np.ndarray, mirror: np.ndarray, mix: np.ndarray | None = None, mean: float = 127.5,
    scale: float = 1 / 128, out: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Select crops, mirror some, change colours, and normalise.

    Args:
        crops: (M, S, S, 3) uint8; the last three axes are contiguous.
        rows: (N,) indices of crops.
        mirror: (N,) bool, whether to mirror each of them left to right.
        mix: (N, 3, 4), the weights of red, green, blue and 1 in each new colour, which is clipped to 0..255; None: no change.
        mean, scale: the output is (pixel - mean) * scale.
        out: (N, 3, S, S) float32, contiguous, the array to fill and return; None: a new array.

    Returns:
        (N, 3, S, S) float32.

    Raises:
        IndexError: if a row is out of range.
        MemoryError: if there is not enough memory.
    """
    rows = np.ascontiguousarray(rows, np.int64)
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(crops)):
        raise IndexError(f"rows must be from 0 to {len(crops) - 1}, got {rows.min()} to {rows.max()}")
    if out is None:
        out = np.empty((len(rows), 3, *crops.shape[1:3]), np.float32)
    library = kernels()
    if library is None or crops.strides[1:] != (3 * crops.shape[1], 3, 1):
        out[:] = _make_batch(crops, rows, mirror, mix, mean, scale)
        return out
    size = crops.shape[1]
    mirror = np.ascontiguousarray(mirror, np.uint8)
    mix = None if mix is None else np.ascontiguousarray(mix, np.float32)
    pointers = (rows.ctypes.data, mirror.ctypes.data, None if mix is None else mix.ctypes.data)
    arguments = (crops.strides[0], *pointers, len(rows), size, mean, scale, out.ctypes.data)
    if not library.mtcnn_make_batch(crops.ctypes.data, *arguments):
        raise MemoryError(f"a batch of {len(rows)} crops of {size} x {size} pixels needs more memory than there is")
    return out


def _make_batch(
    crops: np.ndarray, rows: np.ndarray, mirror: np.ndarray, mix: np.ndarray | None, mean: float, scale: float
) -> np.ndarray:
    picked = crops[rows].astype(np.float32)  # (N, S, S, 3)
    picked[mirror] = picked[mirror][:, :, ::-1]
    if mix is not None:
        picked = np.clip(np.einsum("nyxk,nck->nyxc", picked, mix[:, :, :3]) + mix[:, None, None, :, 3], 0, 255)
    return (picked.transpose(0, 3, 1, 2) - np.float32(mean)) * np.float32(scale)
