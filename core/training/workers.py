"""The workers of a training, which may run on several hosts, and what they tell one another.

Each worker computes the gradient of its share of every batch. Gluon's `Trainer` sums the gradients through MXNet's key-value
store, and each worker updates its own copy of the net, so that optimisers and learning rates are those of a single process. In
several processes the store is MXNet's parameter server; `mtcnn-gluon launch` starts its processes.
"""

import logging
import os
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
KEYS = {64: 1, 1 << 16: 2}  # numbers in a message, and its key in the store, where the trainer's is 0
ROUNDING = 1e-9  # largest difference between sums in another order, as a share of the sum of magnitudes
PACKED = 256.0 ** np.arange(6)  # six bytes make a number that a float64 holds exactly


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
        if not isinstance(store, str):
            for length, key in KEYS.items():
                store.init(key, load_mxnet().nd.zeros(length, dtype="float64"))

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
        """The sum of every worker's values (N,), in float64.

        Raises:
            WorkerError: if the server answers with another sum. Every message ends with the sum of its numbers, which tells.
        """
        if isinstance(self.store, str):
            return values.astype(np.float64)
        parts, start = [np.zeros(0)], 0
        while start < len(values):
            length = next((each for each in KEYS if each > len(values) - start), max(KEYS))
            part = values[start : start + length - 1].astype(np.float64)
            message = np.zeros(length)
            message[: len(part)], message[-1] = part, part.sum()
            answer = load_mxnet().nd.array(message, dtype="float64")
            self.store.pushpull(KEYS[length], answer)
            parts.append(_checked(answer.asnumpy())[: len(part)])
            start += len(part)
        return np.concatenate(parts)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean of every worker's values (N,), in float64."""
        return self.sum(values) / self.share.count

    def gathered(self, values: np.ndarray) -> np.ndarray:
        """The values (n,) of all workers, one after the other, (N,) of the same type. Each may have another n."""
        lengths = np.zeros(self.share.count)
        lengths[self.share.rank] = len(values)
        ends = np.cumsum(self.sum(lengths)).astype(int)
        everything = np.zeros(ends[-1])
        everything[ends[self.share.rank] - len(values) : ends[self.share.rank]] = values
        return self.sum(everything).astype(values.dtype)

    def from_first(self, values: np.ndarray) -> np.ndarray:
        """The values (N,) of the first worker, in float64. The others give as many, which do not matter."""
        return self.sum(values if self.is_first else np.zeros(len(values)))

    def bytes_from_first(self, data: bytes) -> bytes:
        """The bytes that the first worker gives; those of the others do not matter."""
        (length,) = self.from_first(np.array([float(len(data))])).astype(int)
        packed = np.zeros(-(-length // len(PACKED)))
        if self.is_first:
            filled = np.frombuffer(data.ljust(len(packed) * len(PACKED), b"\0"), np.uint8)
            packed = filled.reshape(-1, len(PACKED)) @ PACKED
        packed = self.from_first(packed).astype(np.uint64)
        each = packed[:, None] >> np.arange(0, 8 * len(PACKED), 8, dtype=np.uint64)
        return each.astype(np.uint8).tobytes()[:length]


def _checked(answer: np.ndarray) -> np.ndarray:
    """An answer (N,) without its last number, which must be the sum of the others."""
    values = answer[:-1]
    tolerance = ROUNDING * max(1.0, float(np.abs(values).sum()))
    if np.isfinite(answer).all() and abs(values.sum() - answer[-1]) > tolerance:
        raise WorkerError("the parameter server has sent numbers that are not the sum of what the workers gave")
    return values


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
