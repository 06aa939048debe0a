"""Reading and writing MXNet's `.params` files without MXNet. Nothing in them is executed, and every length is checked.

The format is that of `mx.nd.save` since MXNet 1.0 (`src/ndarray/ndarray.cc`), little-endian: a head, arrays, and their names.
"""

import math
import os
import struct
from pathlib import Path
from typing import Mapping

import numpy as np

from mtcnn_gluon.errors import ModelError

_LIST_MAGIC = 0x112
_ARRAY_MAGICS = (0xF993FAC9, 0xF993FACA)  # with the second one, arrays without dimensions are scalars
_DENSE = 0  # type of storage
_CPU = 1  # type of device
_FLOAT32 = 0
_TYPES = {_FLOAT32: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8"}
_MAX_DIMENSIONS = 32


def read_params(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of a `.params` file by name, without the prefixes `arg:` and `aux:` of `HybridBlock.export`.

    Raises:
        ModelError: if the file is missing, damaged, of an older format, or its arrays have no names.
    """
    try:
        reader = _Reader(Path(path).read_bytes())
        head, _, count = reader.take("<QQQ")
        if head != _LIST_MAGIC:
            raise ValueError("it does not begin like such a file")
        arrays = [reader.array() for _ in range(count)]
        names = [reader.text() for _ in range(*reader.take("<Q"))]
        if count and not names:
            raise ValueError("its arrays have no names")
        if len(set(names)) != count or reader.left():
            raise ValueError(f"{count} arrays, {len(set(names))} names, {reader.left()} bytes too many")
    except (OSError, ValueError, struct.error) as error:
        raise ModelError(f"{path} cannot be read as MXNet parameters: {error}") from error
    return {name.removeprefix("arg:").removeprefix("aux:"): array for name, array in zip(names, arrays)}


def write_params(path: str | os.PathLike, parameters: Mapping[str, np.ndarray]) -> None:
    """Write a `.params` file, see `to_params`."""
    Path(path).write_bytes(to_params(parameters))


def write_nets(folder: Path, parameters: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write `{p,r,o}net-0000.params` for a bundle, from the parameters of each net."""
    for net, values in parameters.items():
        write_params(folder / f"{net}-0000.params", values)


def to_params(parameters: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of a `.params` file of float32 arrays by name, equal to those of MXNet's `HybridBlock.export`.

    The arrays have at least one dimension.
    """
    parts = [struct.pack("<QQQ", _LIST_MAGIC, 0, len(parameters))]
    for value in parameters.values():
        array = np.ascontiguousarray(value, "<f4")
        parts.append(struct.pack(f"<IiI{array.ndim}q", _ARRAY_MAGICS[0], _DENSE, array.ndim, *array.shape))
        parts.append(struct.pack("<iii", _CPU, 0, _FLOAT32) + array.tobytes())
    parts.append(struct.pack("<Q", len(parameters)))
    for name in parameters:
        text = f"arg:{name}".encode()
        parts.append(struct.pack("<Q", len(text)) + text)
    return b"".join(parts)


class _Reader:
    """Takes values from the beginning of bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def take(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, self._bytes(struct.calcsize(form)))

    def text(self) -> str:
        return str(self._bytes(*self.take("<Q")), "utf-8")

    def array(self) -> np.ndarray:
        magic, storage, dimensions = self.take("<IiI")
        if magic not in _ARRAY_MAGICS or storage != _DENSE or dimensions > _MAX_DIMENSIONS:
            raise ValueError(f"an array of unknown form ({magic:#x}, storage {storage}, {dimensions} dimensions)")
        shape = self.take(f"<{dimensions}q")
        _, _, kind = self.take("<iii")  # type and number of its device
        if kind not in _TYPES or any(side < 0 for side in shape):
            raise ValueError(f"an array of type {kind} and shape {shape}")
        dtype = np.dtype(_TYPES[kind])
        return np.frombuffer(self._bytes(math.prod(shape) * dtype.itemsize), dtype).reshape(shape).copy()

    def left(self) -> int:
        return len(self._data)

    def _bytes(self, count: int) -> memoryview:
        if count > len(self._data):
            raise ValueError(f"it ends {count - len(self._data)} bytes too early")
        taken, self._data = self._data[:count], self._data[count:]
        return taken
