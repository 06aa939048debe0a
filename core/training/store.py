"""MXNet's parameter server, as a store that sums what all workers give."""

import ctypes
from typing import Any

from mtcnn_gluon.mxnet_loader import load_mxnet

mx = load_mxnet()
KVStoreBase: Any = mx.kvstore.KVStoreBase


class SumStore(KVStoreBase):
    """MXNet's store `dist_sync`, for Gluon's `Trainer` too. Its making waits for all workers.

    Sums are pushed, then pulled: the server answers a `pull` after all that it was sent before. `pushpull` saves a message, but
    has answered too early in some versions (apache/mxnet#17007). Only float32 is exact: the server of 1.9.1 may round float64.
    """

    def __init__(self) -> None:
        self._store = mx.kv.create("dist_sync")

    def init(self, key: int, value: Any) -> None:
        """Make room for the sums of a key, an array of the shape and type of `value`."""
        self._store.init(key, value)

    def broadcast(self, key: int, value: Any, out: Any, priority: int = 0) -> None:
        """Write the value of one worker, always the same one, into the arrays `out` of all; once for each key.

        This waits: otherwise the first `pushpull` of the key may be sent before this pull, which would then get gradients.
        """
        self._store.init(key, value)
        self._store.pull(key, out=out, priority=priority)
        for array in out if isinstance(out, (list, tuple)) else [out]:
            array.wait_to_read()

    def pushpull(self, key: int, value: Any, out: Any = None, priority: int = 0) -> None:
        """Write the sum of all workers' arrays `value`, one or one for each device, into `out`; None: into `value`."""
        self._store.push(key, value, priority=priority)
        self._store.pull(key, out=value if out is None else out, priority=priority)

    @staticmethod
    def is_capable(capability: str) -> bool:
        """Whether it can hold an optimiser: no."""
        return False

    @property
    def type(self) -> str:
        """The name of MXNet's store."""
        return str(self._store.type)

    @property
    def rank(self) -> int:
        """Number of this worker, by the order in which they came."""
        return int(self._store.rank)

    @property
    def num_workers(self) -> int:
        """Number of workers."""
        return int(self._store.num_workers)

    def leave(self) -> None:
        """Do not wait for the other workers at the end of the process."""
        mx.base.check_call(mx.base._LIB.MXKVStoreSetBarrierBeforeExit(self._store.handle, ctypes.c_int(0)))
