"""Batches of training samples with exact numbers of each kind.

A batch depends only on the records, the options and its number, not on earlier batches or the number of threads. So a resumed
run continues exactly, with the next number.
"""

import itertools
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from mtcnn_gluon.errors import DataError, shown
from mtcnn_gluon.layers import View
from mtcnn_gluon.operators import make_batch
from mtcnn_gluon.records.files import Reader
from mtcnn_gluon.records.info import REPORT
from mtcnn_gluon.records.samples import KIND_NAMES, LABEL_LENGTH, Column, Kind, mirror_labels, parse_ratio
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.share import WHOLE, Share

HELD = 3  # batches in use at a time: one is uploaded, one computed, and one has its outputs read
KINDS = ("positive", "part", "landmark", "negative")  # their order in a batch
TASKS: dict[str, dict[str, int]] = {  # shares of kinds in a batch for one task, as in mtcnn-caffe
    "cls": {"positive": 1, "negative": 3},
    "box": {"positive": 1, "part": 1},
    "landmark": {"landmark": 1},
}


@dataclass(frozen=True)
class Batch:
    """Training samples as the input of a net.

    Attributes:
        number: number of the batch in the run, from 0.
        task: cls, box or landmark if the batch is for one task only, else None.
        images: (N, 3, S, S) float32, normalised.
        labels: (N, 18) float32, see `samples.Column`, mirrored where the image is; (N, 19) after `Sampler.add_teacher`.
        views: MXNet arrays that share the memory of the two arrays. Batches in the same memory share the list.
    """

    number: int
    task: str | None
    images: np.ndarray
    labels: np.ndarray
    views: list[Any] = field(default_factory=list)

    @property
    def kinds(self) -> np.ndarray:
        """(N,) float32, values of `samples.Kind`."""
        return self.labels[:, Column.KIND]


class Record:
    """All samples of one record in memory: crops (M, S, S, 3) uint8 and labels (M, 18) float32, (M, 19) with a teacher."""

    def __init__(self, crops: np.ndarray, labels: np.ndarray) -> None:
        self.crops = crops
        self._labels = np.concatenate([labels, mirror_labels(labels)])

    @property
    def labels(self) -> np.ndarray:
        """Labels of the crops as they are, not mirrored."""
        return self._labels[: len(self.crops)]

    def fill(self, images: np.ndarray, labels: np.ndarray, rows: np.ndarray, mirror: np.ndarray, mix: Any) -> None:
        """Write samples `rows` (N,) to images (N, 3, S, S) and their labels; for `mirror` and `mix` see `Augmentation.draw`."""
        make_batch(self.crops, rows, mirror, mix, out=images)
        np.take(self._labels, rows + len(self.crops) * mirror, axis=0, out=labels, mode="clip")  # unbuffered in this mode

    def add_teacher(self, outputs: np.ndarray, share: float) -> None:
        """See `Sampler.add_teacher`."""
        labels = self.labels.copy()
        known = labels[:, Column.HAS_BOX] > 0
        labels[known, Column.OFFSETS] += share * (outputs[known, 1:] - labels[known, Column.OFFSETS])
        self._labels = np.hstack([np.concatenate([labels, mirror_labels(labels)]), np.tile(outputs[:, :1], (2, 1))])


class Pool:
    """The samples of one kind in an endless random order: all samples once, then all once more in another order, and so on."""

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
        orders = self._orders  # another thread may replace it at any time
        if number not in orders:
            recent = {each: order for each, order in orders.items() if abs(each - number) <= 2}
            generator = np.random.default_rng([*self._key, number])
            self._orders = orders = {**recent, number: generator.permutation(self.rows)}
        return orders[number]


class Sampler:
    """Draws batches from the records of one net.

    Args:
        records: a folder that `prepare records` has made.
        options: `net`, `batch`, `sampling`, `ratio`, `tasks`, `augmentation` and `seed` are used. Kinds that no task needs are
            left out. The others share the place of missing kinds.
        share: which samples of each batch are drawn, and which of `everything`. `options.batch`, a multiple of the number of
            shares, is the size of the whole batch, which does not depend on them.

    Raises:
        DataError: if records are missing, damaged, of another net, or without samples for the tasks.

    Attributes:
        view: what the samples show.
    """

    def __init__(self, records: str | os.PathLike, options: TrainingOptions, share: Share = WHOLE) -> None:
        self.options, self.share, self.label_length = options, share, LABEL_LENGTH
        self.pools, self.digests, self.view = _pools(Path(records), options.net, options.seed)
        self.records = list(dict.fromkeys(pool.record for pool in self.pools.values()))
        self.tasks = tuple(task for task in options.tasks if set(TASKS[task]) & set(self.pools))
        if not self.tasks:
            raise DataError(f"{records}: there are no samples for {', '.join(options.tasks)}")
        ratio = parse_ratio(options.ratio)
        wanted = {kind: ratio[kind] for kind in KINDS if any(kind in TASKS[task] for task in self.tasks)}
        if not any(wanted[kind] for kind in wanted.keys() & self.pools.keys()):
            raise DataError(f"{records}: the ratio {shown(ratio)} leaves nothing for {', '.join(self.tasks)}")
        recipes: dict[str | None, Mapping[str, float]] = {None: wanted}
        if options.sampling == "alternate":
            recipes = {task: TASKS[task] for task in self.tasks}
        self._quotas = {task: shares(recipe, self.pools, options.batch) for task, recipe in recipes.items()}

    def __len__(self) -> int:
        """Number of batches per epoch. Together they have about as many samples as the records."""
        return max(1, round(sum(map(len, self.pools.values())) / self.options.batch))

    def draw(self, number: int, memory: Batch | None = None) -> Batch:
        """This share of batch `number` of the run, 0 or more, in the memory of another batch or in new memory."""
        augmentation, generator = self.options.augmentation, np.random.default_rng([self.options.seed, 1, number])
        task = list(self._quotas)[generator.integers(len(self._quotas))]
        mirror, mix = augmentation.draw(self.options.batch, generator)
        batch = replace(memory or self._empty(), number=number, task=task)
        first = filled = 0
        for record, rows in self._pick(self._quotas[task], number):
            part = self.share.of(first, first + len(rows))  # of the whole batch
            own = rows[part.start - first :: part.step]
            place = slice(filled, filled + len(own))  # in this share
            record.fill(batch.images[place], batch.labels[place], own, mirror[part], None if mix is None else mix[part])
            first, filled = first + len(rows), place.stop
        augmentation.degrade(batch.images, self.view.cell, generator, self.share)
        return batch

    def _empty(self) -> Batch:
        count = self.options.batch // self.share.count
        images = np.empty((count, 3, self.view.size, self.view.size), np.float32)
        return Batch(0, None, images, np.empty((len(images), self.label_length), np.float32))

    def add_teacher(self, outputs: Sequence[np.ndarray], share: float) -> None:
        """Mix a teacher's outputs into the labels; at most once.

        Args:
            outputs: (M, 5) float32 for each of `records`: the probability of a face, which becomes `Column.TEACHER` of the
                label, and box offsets, which are mixed with the label's where these are known.
            share: share of the teacher in the mixed offsets, 0..1.
        """
        for record, each in zip(self.records, outputs, strict=True):
            record.add_teacher(each, share)
        self.label_length = LABEL_LENGTH + 1

    def has_targets(self, head: str, listed_landmarks: bool = False) -> bool:
        """Whether the batches have samples that can train a head: cls, box or landmark.

        Args:
            listed_landmarks: whether only landmark samples train landmarks.
        """
        quotas = self._quotas.get(head, self._quotas.get(None, {}))
        kinds = [kind for kind, count in quotas.items() if count]
        if head == "cls":
            return "positive" in kinds or "negative" in kinds
        if head == "landmark" and listed_landmarks:
            kinds = [kind for kind in kinds if kind == "landmark"]
        column = {"box": Column.HAS_BOX, "landmark": Column.HAS_LANDMARKS}[head]
        return any((pool.record.labels[pool.rows, column] > 0).any() for pool in map(self.pools.__getitem__, kinds))

    def _pick(self, quotas: Mapping[str, int], number: int) -> list[tuple[Record, np.ndarray]]:
        """The records and their rows in batch `number`, kind by kind."""
        picked: list[tuple[Record, np.ndarray]] = []
        for kind, count in quotas.items():
            pool = self.pools[kind]
            rows = pool.pick(number * count, count)
            if picked and picked[-1][0] is pool.record:  # one record of all kinds: take them together
                picked[-1] = pool.record, np.concatenate([picked[-1][1], rows])
            else:
                picked.append((pool.record, rows))
        return picked

    def everything(self) -> Iterator[Batch]:
        """All samples of this share once, kind by kind and not augmented, in batches of at most `options.batch`."""
        first = 0
        for pool in self.pools.values():
            own = pool.rows[self.share.of(first, first + len(pool)).start - first :: self.share.count]
            first += len(pool)
            for start in range(0, len(own), self.options.batch):
                rows = own[start : start + self.options.batch]
                images = make_batch(pool.record.crops, rows, np.zeros(len(rows), bool))
                yield Batch(0, None, images, pool.record.labels[rows])

    def batches(self, start: int = 0, stop: int | None = None, ahead: int = 2, threads: int = 1) -> Iterator[Batch]:
        """Batches from `start` to before `stop` (None: endless); `threads` threads draw `ahead` batches in advance.

        Batches reuse memory, as allocating it would take a tenth of P-Net's training time: a batch is valid until `HELD` more
        have been taken.
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


def shares(recipe: Mapping[str, float], pools: Mapping[str, Any], batch: int) -> dict[str, int]:
    """The number of samples of each kind in `pools`, as near to the recipe's shares as possible; the sum is `batch`."""
    there = {kind: share for kind, share in recipe.items() if kind in pools}
    ends = np.rint(np.cumsum(list(there.values())) / sum(there.values()) * batch).astype(int)
    return dict(zip(there, np.diff(ends, prepend=0).tolist()))


def _pools(folder: Path, net: str, seed: int) -> tuple[dict[str, Pool], dict[str, str], View]:
    """The samples of each kind, from one record of all kinds or one per kind, the digest of each record, and what they show."""
    names = [net] if (folder / f"{net}.json").exists() else [kind for kind in KIND_NAMES if (folder / f"{kind}.json").exists()]
    if not names or not (folder / REPORT).exists():
        raise DataError(f"{folder} holds no finished records: mtcnn-gluon prepare records makes them")
    pools: dict[str, Pool] = {}
    digests: dict[str, str] = {}
    views: dict[View, str] = {}
    for name in names:
        reader = Reader(folder / name)
        if reader.info.net != net:
            raise DataError(f"{reader.files.rec} holds samples for {reader.info.net}, not for {net}")
        digests[name] = reader.info.rec.sha256
        views[reader.info.view] = name
        record = Record(reader.crops(), reader.labels())
        for place, (kind, kind_name) in enumerate(zip(Kind, KIND_NAMES)):
            rows = np.flatnonzero(record.labels[:, Column.KIND] == kind)
            if len(rows):
                pools[kind_name] = Pool(record, rows, [seed, 0, place])
    if not pools:
        raise DataError(f"{folder}: its records are empty")
    if len(views) > 1:
        raise DataError(f"{folder}: its records {' and '.join(views.values())} differ in the size or context of their crops")
    return pools, digests, next(iter(views))
