"""The workers of a training, which may run on several hosts, and what they tell one another.

Each worker computes the gradient of its share of every batch. Gluon's `Trainer` sums the gradients through MXNet's key-value
store, and each worker updates its own copy of the net, so that optimisers and learning rates are those of a single process. In
several processes the store is MXNet's parameter server; `mtcnn-gluon launch` starts its processes.
"""

import logging
import os
import zlib
from types import TracebackType
from typing import Any, Literal, get_args

import numpy as np

from mtcnn_gluon.errors import ConfigError, WorkerError, did_you_mean
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.training.share import Share

logger = logging.getLogger(__name__)

Store = Literal["local", "device", "dist_sync"]
DISTRIBUTED = "dist_sync"
RANK = "MTCNN_GLUON_RANK"  # environment variable: the rank that `launch` gives a worker
JOINED = "has joined the others"  # end of the line by which `launch` sees that a worker has begun
SIZES = 64, 1 << 16  # numbers in a message
LARGEST = 1 << 34  # bytes of a message
WRONG = "the parameter server has sent other numbers than the workers gave"


class Workers:
    """The team of workers, as one of them sees it. All must call the same methods in the same order.

    As a context: if the block ends with an error, the process can end without the other workers.

    Args:
        store: `local` or `device` for one worker, or the `store.SumStore` that connects several.
        rank: number of this worker, from 0.
    """

    def __init__(self, store: Any = "device", rank: int = 0) -> None:
        self.store = store
        self.share = Share(rank, 1 if isinstance(store, str) else store.num_workers)
        self._keys: dict[int, int] = {}  # in the store, by the length of their arrays

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None and not isinstance(self.store, str):
            # Otherwise MXNet would wait at the end of the process for the other workers, which wait for this one.
            self.store.leave()

    @property
    def is_first(self) -> bool:
        """Whether this worker is the one that writes files."""
        return self.share.rank == 0

    @property
    def are_many(self) -> bool:
        """Whether there are others."""
        return self.share.count > 1

    def sum(self, values: np.ndarray) -> np.ndarray:
        """The sum of every worker's values (N,), in float64."""
        own = np.ascontiguousarray(values, np.float64)
        return np.sum([np.frombuffer(each) for each in self._bytes_of_all(own.tobytes())], axis=0)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean of every worker's values (N,), in float64."""
        return self.sum(values) / self.share.count

    def gathered(self, values: np.ndarray) -> np.ndarray:
        """The values (n,) of all workers, one after the other, (N,) of the same type. Each may have another n."""
        return np.concatenate([np.frombuffer(each, values.dtype) for each in self._bytes_of_all(values.tobytes())])

    def interleaved(self, values: np.ndarray) -> np.ndarray:
        """The rows (n, M) float32 of all workers, (n * count, M), ordered as in the whole batch. All give equally many.

        Raises:
            WorkerError: if other rows come back than this worker gave.
        """
        if not self.are_many:
            return values
        rank, count = self.share.rank, self.share.count
        whole = np.zeros((len(values) * count, values.shape[1]), np.float32)
        whole[rank::count] = values
        found = self._sum(whole.ravel()).reshape(whole.shape)
        if not np.array_equal(found[rank::count], values, equal_nan=True):
            raise WorkerError(WRONG)
        return found

    def from_first(self, values: np.ndarray) -> np.ndarray:
        """The values (N,) that the first worker gives, all of one type; those of the others do not matter."""
        return np.frombuffer(self.bytes_from_first(values.tobytes()), values.dtype)

    def bytes_from_first(self, data: bytes) -> bytes:
        """The bytes that the first worker gives; those of the others do not matter."""
        return self._bytes_of_all(data if self.is_first else b"")[0]

    def _bytes_of_all(self, data: bytes) -> list[bytes]:
        """What every worker gives, by rank.

        Raises:
            WorkerError: if what comes is not what a worker sent. Each sends a checksum along.
        """
        if not self.are_many:
            return [data]
        head = np.array([len(data), zlib.crc32(data)], np.uint64).tobytes()
        heads = np.frombuffer(self._side_by_side(head, [len(head)] * self.share.count), np.uint64).reshape(-1, 2)
        lengths = heads[:, 0].tolist()
        if sum(lengths) > LARGEST or lengths[self.share.rank] != len(data):
            raise WorkerError(WRONG)
        even = [length + length % 2 for length in lengths]
        whole = self._side_by_side(data, even)
        found = [whole[end - size : end - size + length] for size, end, length in zip(even, np.cumsum(even), lengths)]
        if any(zlib.crc32(each) != check for each, check in zip(found, heads[:, 1].tolist())):
            raise WorkerError(WRONG)
        return found

    def _side_by_side(self, data: bytes, sizes: list[int]) -> bytes:
        """The bytes of all workers, one after the other, each filled up to its even size.

        They are summed as numbers of two bytes, where all others give zeros: the server rounds float64 to float32, which holds
        such numbers exactly.
        """
        place = sum(sizes[: self.share.rank]) // 2
        numbers = np.frombuffer(data.ljust(sizes[self.share.rank], b"\0"), np.uint16)
        values = np.zeros(sum(sizes) // 2, np.float32)
        values[place : place + len(numbers)] = numbers
        parts, start = [values[:0]], 0
        while start < len(values):
            length = next((size for size in SIZES if size >= len(values) - start), max(SIZES))
            part = values[start : start + length]
            parts.append(self._sum(np.pad(part, (0, length - len(part))))[: len(part)])
            start += length
        found = np.concatenate(parts)
        if not ((found >= 0) & (found < 1 << 16)).all():
            raise WorkerError(WRONG)
        return found.astype(np.uint16).tobytes()

    def _sum(self, values: np.ndarray) -> np.ndarray:
        """The sum (N,) of every worker's values (N,) float32."""
        message = load_mxnet().nd.array(values, dtype="float32")
        if len(values) not in self._keys:
            self._keys[len(values)] = 1 + len(self._keys)  # 0 is the trainer's
            self.store.init(self._keys[len(values)], load_mxnet().nd.zeros_like(message))
        self.store.pushpull(self._keys[len(values)], message)
        return message.asnumpy()


def join(kvstore: str | None = None) -> Workers:
    """Meet the other workers. In a process that `mtcnn-gluon launch` has started this waits for all of them.

    Args:
        kvstore: `local` or `device`: one worker, where MXNet's kvstore of this name sums the gradients of several devices.
            `dist_sync`: the workers of `launch`. None: `dist_sync` in a process of `launch`, otherwise `device`.

    Raises:
        ConfigError: if there is no such kvstore, or it does not suit this process.
    """
    is_launched = os.environ.get("DMLC_ROLE") == "worker"
    kvstore = kvstore or (DISTRIBUTED if is_launched else "device")
    known = get_args(Store)
    if kvstore not in known:
        raise ConfigError(
            f"kvstore must be {', '.join(known[:-1])} or {known[-1]}, not {kvstore!r}{did_you_mean(kvstore, known)}"
        )
    if kvstore != DISTRIBUTED and is_launched:
        raise ConfigError(
            f"kvstore must be {DISTRIBUTED} in a process of mtcnn-gluon launch, not {kvstore}: each would train alone"
        )
    if kvstore != DISTRIBUTED:
        return Workers(kvstore)
    if not is_launched:
        raise ConfigError(f"kvstore {DISTRIBUTED} needs several processes: mtcnn-gluon launch starts them")
    from mtcnn_gluon.training.store import SumStore  # only here, since it loads MXNet

    store = SumStore()
    workers = Workers(store, int(os.environ.get(RANK, store.rank)))
    logger.info("worker %d of %d %s", workers.share.rank, workers.share.count, JOINED)
    return workers
