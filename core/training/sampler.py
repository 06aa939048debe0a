"""Batches of training samples with exact numbers of each kind.

A batch depends on the records, the seed and its number alone: not on batches drawn before, nor on how many threads draw them.
So training is resumed exactly by going on with the next number.
"""

import itertools
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError, DataError, shown
from mtcnn_gluon.operators import make_batch
from mtcnn_gluon.prepare_data.merge import RATIO, check_ratio
from mtcnn_gluon.records.files import Reader
from mtcnn_gluon.records.info import KIND_NAMES, REPORT, check_options, check_seed
from mtcnn_gluon.records.samples import LABEL_LENGTH, Kind
from mtcnn_gluon.training.augment import Augmentation, mirror_labels
from mtcnn_gluon.training.options import SMALLEST_BATCH, Sampling

HELD = 3  # batches: while one is prepared for, one is computed, and one is looked at
KINDS = ("positive", "part", "landmark", "negative")  # in the order in which a batch has them
TASKS: dict[str, dict[str, int]] = {  # what each task's batches are made of; a task at a time, as in mtcnn-caffe
    "cls": {"positive": 1, "negative": 3},
    "box": {"positive": 1, "part": 1},
    "landmark": {"landmark": 1},
}


@dataclass(frozen=True)
class Batch:
    """Training samples as a net takes them.

    Attributes:
        number: of the batch in the run, from 0.
        task: cls, box or landmark if the batch is for one task only, else None.
        images: (N, 3, S, S) float32, normalised.
        labels: (N, 18) float32, see `samples`; of mirrored images mirrored as well. Those of a sampler that was taught have a
            19th value, the teacher's probability of a face, 0..1.
        views: what whoever takes batches has made of the two arrays' memory; batches in the same memory share the list.
    """

    number: int
    task: str | None
    images: np.ndarray
    labels: np.ndarray
    views: list[Any] = field(default_factory=list)

    @property
    def kinds(self) -> np.ndarray:
        """(N,) float32, values of `samples.Kind`."""
        return self.labels[:, 0]


class Record:
    """All samples of one record in memory: crops (M, S, S, 3) uint8 and labels (M, 18) float32, (M, 19) once it was taught."""

    def __init__(self, crops: np.ndarray, labels: np.ndarray) -> None:
        self.crops = crops
        self._labels = np.concatenate([labels, mirror_labels(labels)])

    @property
    def labels(self) -> np.ndarray:
        """Of the crops as they are."""
        return self._labels[: len(self.crops)]

    def fill(self, images: np.ndarray, labels: np.ndarray, rows: np.ndarray, mirror: np.ndarray, mix: Any) -> None:
        """Write samples `rows` (N,) to images (N, 3, S, S) and their labels; for the others see `Augmentation.draw`."""
        make_batch(self.crops, rows, mirror, mix, out=images)
        np.take(self._labels, rows + len(self.crops) * mirror, axis=0, out=labels, mode="clip")  # unbuffered in this mode

    def teach(self, taught: np.ndarray, share: float) -> None:
        """Mix what a teacher says into the labels, see `Sampler.teach`."""
        labels = self.labels.copy()
        known = labels[:, 16] > 0
        labels[known, 1:5] += share * (taught[known, 1:] - labels[known, 1:5])
        self._labels = np.hstack([np.concatenate([labels, mirror_labels(labels)]), np.tile(taught[:, :1], (2, 1))])


class Pool:
    """The samples of one kind, in an endless random order: every sample once, then every sample once again, and so on."""

    def __init__(self, record: Record, rows: np.ndarray, key: list[int]) -> None:
        self.record, self.rows, self._key = record, rows, key
        self._orders: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def pick(self, start: int, count: int) -> np.ndarray:
        """Rows (count,) of the record at places start, start + 1 ... of the endless order."""
        parts = [self.rows[:0]]
        while count:
            number, place = divmod(start, len(self))
            parts.append(self._order(number)[place : place + count])
            start, count = start + len(parts[-1]), count - len(parts[-1])
        return np.concatenate(parts)

    def _order(self, number: int) -> np.ndarray:
        orders = self._orders  # which another thread may replace at any time
        if number not in orders:
            recent = {each: order for each, order in orders.items() if abs(each - number) <= 2}
            generator = np.random.default_rng([*self._key, number])
            self._orders = orders = {**recent, number: generator.permutation(self.rows)}
        return orders[number]


class Sampler:
    """Draws batches from the records of one net.

    Args:
        records: a folder that `prepare records` has made.
        net: pnet, rnet or onet.
        batch: samples a batch. Kinds get fixed shares of it; kinds of which there is none, nothing.
        sampling: `mixed` has all kinds in every batch; `alternate` has the samples of one task, chosen at random.
        seed: of all chance.
        augmentation: what is done to the images.
        tasks: which tasks are trained; kinds that serve none of them are left out.
        ratio: of the kinds in a mixed batch, shares by name, 0 or more.

    Raises:
        ConfigError: if an option is out of range.
        DataError: if there are no records, or not of this net, or they are damaged.
    """

    def __init__(
        self, records: str | os.PathLike, net: str, batch: int = 384, sampling: Sampling = "mixed", seed: int = 0,
        augmentation: Augmentation | None = None, tasks: tuple[str, ...] = tuple(TASKS),
        ratio: Mapping[str, float] = RATIO,
    ) -> None:  # fmt: skip
        if sampling not in ("mixed", "alternate"):
            raise ConfigError(f"sampling must be mixed or alternate, not {sampling!r}")
        if not tasks or set(tasks) - set(TASKS):
            raise ConfigError(f"tasks must be some of {', '.join(TASKS)}, not {tasks!r}")
        check_batch(batch)
        check_ratio(ratio)
        check_options(net, "raw", None)
        check_seed(seed)
        self.seed, self.batch, self.augmentation = seed, batch, augmentation or Augmentation()
        self.size = NETS[net].size
        self.pools, self.digests = _pools(Path(records), net, seed)
        self.records = list(dict.fromkeys(pool.record for pool in self.pools.values()))
        self.label_length = LABEL_LENGTH
        self.tasks = tuple(task for task in tasks if set(TASKS[task]) & set(self.pools))
        if not self.tasks:
            raise DataError(f"{records}: there are no samples for {', '.join(tasks)}")
        wanted = {kind: ratio[kind] for kind in KINDS if any(kind in TASKS[task] for task in self.tasks)}
        if not any(wanted[kind] for kind in wanted.keys() & self.pools.keys()):
            raise DataError(f"{records}: the ratio {shown(dict(ratio))} leaves nothing for {', '.join(self.tasks)}")
        recipes: dict[str | None, Mapping[str, float]] = {None: wanted}
        if sampling == "alternate":
            recipes = {task: TASKS[task] for task in self.tasks}
        self._quotas = {task: shares(recipe, self.pools, batch) for task, recipe in recipes.items()}

    def __len__(self) -> int:
        """Batches of an epoch: as many as hold as many samples as there are."""
        return max(1, round(sum(map(len, self.pools.values())) / self.batch))

    def draw(self, number: int, memory: Batch | None = None) -> Batch:
        """Batch `number` of the run, from 0 to any number; in the memory of another one, or in new memory."""
        generator = np.random.default_rng([self.seed, 1, number])
        task = list(self._quotas)[generator.integers(len(self._quotas))]
        quotas = self._quotas[task]
        mirror, mix = self.augmentation.draw(self.batch, generator)
        batch = replace(memory or self._empty(), number=number, task=task)
        first = 0
        for record, rows in self._pick(quotas, number):
            part = slice(first, first + len(rows))
            record.fill(batch.images[part], batch.labels[part], rows, mirror[part], None if mix is None else mix[part])
            first += len(rows)
        self.augmentation.spoil(batch.images, generator)
        return batch

    def _empty(self) -> Batch:
        images = np.empty((self.batch, 3, self.size, self.size), np.float32)
        return Batch(0, None, images, np.empty((self.batch, self.label_length), np.float32))

    def teach(self, taught: Sequence[np.ndarray], share: float) -> None:
        """Let labels say what a teacher says of the samples. The sampler must not have been taught before.

        Args:
            taught: (M, 5) float32 for each of `records`: probability of a face, which becomes the label's 19th value, and box
                offsets, which are mixed with those of the label where they are known.
            share: of the teacher in the mixed offsets, 0..1.
        """
        for record, each in zip(self.records, taught, strict=True):
            record.teach(each, share)
        self.label_length = LABEL_LENGTH + 1

    def teaches(self, head: str, listed_landmarks: bool = False) -> bool:
        """Whether the batches have samples that a head can learn from.

        Args:
            head: cls, box or landmark.
            listed_landmarks: whether landmarks are learned from samples of kind landmark only.
        """
        quotas = self._quotas.get(head, self._quotas.get(None, {}))
        kinds = [kind for kind, count in quotas.items() if count]
        if head == "cls":
            return "positive" in kinds or "negative" in kinds
        if head == "landmark" and listed_landmarks:
            kinds = [kind for kind in kinds if kind == "landmark"]
        column = {"box": 16, "landmark": 17}[head]
        return any((pool.record.labels[pool.rows, column] > 0).any() for pool in map(self.pools.__getitem__, kinds))

    def _pick(self, quotas: Mapping[str, int], number: int) -> list[tuple[Record, np.ndarray]]:
        """The rows of every record that batch `number` has, kind after kind."""
        picked: list[tuple[Record, np.ndarray]] = []
        for kind, count in quotas.items():
            pool = self.pools[kind]
            rows = pool.pick(number * count, count)
            if picked and picked[-1][0] is pool.record:  # one record of all kinds: all at once
                picked[-1] = pool.record, np.concatenate([picked[-1][1], rows])
            else:
                picked.append((pool.record, rows))
        return picked

    def everything(self) -> Iterator[Batch]:
        """Every sample once, kind by kind and as it is, in batches of at most `batch`."""
        for pool in self.pools.values():
            for start in range(0, len(pool), self.batch):
                rows = pool.rows[start : start + self.batch]
                images = make_batch(pool.record.crops, rows, np.zeros(len(rows), bool))
                yield Batch(0, None, images, pool.record.labels[rows])

    def batches(self, start: int = 0, stop: int | None = None, ahead: int = 2, threads: int = 1) -> Iterator[Batch]:
        """Batches start, start + 1 ... up to before `stop` (None: without end), some drawn ahead by `threads` threads.

        New memory for every batch would take a tenth of P-Net's training time, so batches take turns in a few places: one is
        valid until `HELD` more have been taken.
        """
        ahead = max(ahead, threads)
        places = [self._empty() for _ in range(ahead + HELD)]
        waiting: deque[Future] = deque()
        with ThreadPoolExecutor(threads, "batches") as pool:
            try:
                for number in itertools.count(start) if stop is None else range(start, stop + ahead):
                    if stop is None or number < stop:
                        waiting.append(pool.submit(self.draw, number, places[number % len(places)]))
                    if number >= start + ahead:
                        yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


def check_batch(batch: object) -> None:
    """Check a number of samples a batch.

    Raises:
        ConfigError: if it is too small for a sample of every kind, or no whole number.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < SMALLEST_BATCH:
        raise ConfigError(f"batch must be a whole number, {SMALLEST_BATCH} or more, not {shown(batch)}")


def shares(recipe: Mapping[str, float], pools: Mapping[str, Pool], batch: int) -> dict[str, int]:
    """Whole numbers of samples of each kind that there is, as near to the recipe's shares as `batch` samples allow."""
    there = {kind: share for kind, share in recipe.items() if kind in pools}
    ends = np.rint(np.cumsum(list(there.values())) / sum(there.values()) * batch).astype(int)
    return dict(zip(there, np.diff(ends, prepend=0).tolist()))


def _pools(folder: Path, net: str, seed: int) -> tuple[dict[str, Pool], dict[str, str]]:
    """The samples of each kind, from one merged record or from one record a kind; and the digest of each record."""
    names = [net] if (folder / f"{net}.json").exists() else [kind for kind in KIND_NAMES if (folder / f"{kind}.json").exists()]
    if not names or not (folder / REPORT).exists():
        raise DataError(f"{folder} holds no finished records: mtcnn-gluon prepare records makes them")
    pools: dict[str, Pool] = {}
    digests: dict[str, str] = {}
    for name in names:
        reader = Reader(folder / name)
        if reader.info.net != net:
            raise DataError(f"{reader.files.rec} holds samples for {reader.info.net}, not for {net}")
        digests[name] = reader.info.rec.sha256
        record = Record(reader.crops(), reader.labels())
        for place, (kind, kind_name) in enumerate(zip(Kind, KIND_NAMES)):
            rows = np.flatnonzero(record.labels[:, 0] == kind)
            if len(rows):
                pools[kind_name] = Pool(record, rows, [seed, 0, place])
    if not pools:
        raise DataError(f"{folder}: its records are empty")
    return pools, digests
