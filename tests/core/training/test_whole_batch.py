"""Several workers: their shares of the batches, what they tell one another, and what is refused."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import numpy as np
import pytest

from mtcnn_gluon.errors import ConfigError, WorkerError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.training.augment import Augmentation
from mtcnn_gluon.training.identity import check_same_for_all
from mtcnn_gluon.training.metrics import Tally
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.sampler import Sampler
from mtcnn_gluon.training.share import Share
from mtcnn_gluon.training.state import Run
from mtcnn_gluon.training.store import SumStore
from mtcnn_gluon.training.trainer import backward, read_losses
from mtcnn_gluon.training.workers import Workers, join
from training_runs import Train

mx = load_mxnet()
EVERYTHING = Augmentation(brightness=0.2, contrast=0.2, saturation=0.2, blur=0.5, occlusion=0.5)


class Meeting:
    """A store for threads instead of processes: it sums as MXNet's server does, key by key and in float32."""

    def __init__(self, count: int) -> None:
        self.num_workers = count
        self._barrier, self._lock = threading.Barrier(count), threading.Lock()
        self._sums: dict[int, np.ndarray] = {}

    def init(self, key: int, value: Any) -> None:
        with self._lock:
            self._sums.setdefault(key, np.zeros(value.shape))

    def pushpull(self, key: int, value: Any) -> None:
        self._barrier.wait(300)
        with self._lock:
            self._sums[key] = np.float32(self._sums[key] + value.asnumpy())
        self._barrier.wait(300)
        value[:] = self._sums[key]
        self._barrier.wait(300)
        self._sums[key] = np.zeros_like(self._sums[key])

    def leave(self) -> None:
        self._barrier.abort()


def together(count: int, function: Callable[[Workers], Any], store: type[Meeting] = Meeting) -> list[Any]:
    """What each of several workers returns, or the error that it raises."""
    found: list[Any] = [None] * count
    meeting = store(count)
    teams = [Workers(meeting, rank) for rank in range(count)]

    def work(rank: int) -> None:
        try:
            found[rank] = function(teams[rank])
        except Exception as error:
            found[rank] = error

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


# ---- shares


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_hold_everything_once(count: int) -> None:
    shares = [Share(rank, count) for rank in range(count)]
    for first, stop in ((0, 0), (0, 1), (0, 20), (5, 6), (5, 18), (13, 13)):
        rows = [number for share in shares for number in list(range(30))[share.of(first, stop)]]
        assert sorted(rows) == list(range(first, stop))
    for number in range(20):
        assert [share.place(number) for share in shares].count(None) == count - 1
        assert shares[number % count].place(number) == number // count


@pytest.mark.parametrize("sampling", ["mixed", "alternate"])
@pytest.mark.parametrize("count", [2, 3])
def test_workers_share_each_batch(records: Path, count: int, sampling: Any) -> None:
    """Every sample goes to one worker, with the same changes as if there were only one."""
    options = TrainingOptions("pnet", batch=60, sampling=sampling, augmentation=EVERYTHING)
    whole = Sampler(records, options)
    shares = [Sampler(records, options, Share(rank, count)) for rank in range(count)]
    assert len({len(sampler) for sampler in [whole, *shares]}) == 1
    for number in range(4):
        batch, parts = whole.draw(number), [sampler.draw(number) for sampler in shares]
        assert {part.task for part in parts} == {batch.task}
        for rank, part in enumerate(parts):
            np.testing.assert_array_equal(part.images, batch.images[rank::count])
            np.testing.assert_array_equal(part.labels, batch.labels[rank::count])


@pytest.mark.parametrize("count", [2, 5])
def test_workers_share_everything(records: Path, count: int) -> None:
    options = TrainingOptions("pnet", batch=50)
    images = [batch.images for batch in Sampler(records, options).everything()]
    parts = [batch.images for rank in range(count) for batch in Sampler(records, options, Share(rank, count)).everything()]
    whole, shared = (sorted(map(bytes, np.concatenate(each))) for each in (images, parts))
    assert whole == shared and len(whole) == 300


@pytest.mark.parametrize(
    "workers, devices, message",
    [(4, 1, "a multiple of the 4 workers, not 30"), (2, 2, "a multiple of the 4 devices of all workers, not 30")],
)
def test_batches_that_workers_cannot_share(tmp_path: Path, records: Path, workers: int, devices: int, message: str) -> None:
    chosen = [mx.cpu(number) for number in range(devices)]
    with pytest.raises(ConfigError, match=message):
        Run(TrainingOptions("pnet", batch=30), records, tmp_path, devices=chosen, workers=Workers(Meeting(workers), 1))


# ---- what they tell one another


@pytest.mark.parametrize("length", [0, 1, 63, 64, (1 << 16) - 1, 1 << 16, (1 << 16) + 70])
def test_sums(length: int) -> None:
    values = [np.random.default_rng(rank).normal(size=length) for rank in range(3)]
    for found in together(3, lambda workers: workers.sum(values[workers.share.rank])):
        np.testing.assert_allclose(found, sum(values), rtol=1e-12, atol=1e-12)
    for found in together(3, lambda workers: workers.from_first(values[workers.share.rank])):
        np.testing.assert_array_equal(found, values[0])


def test_values_of_all() -> None:
    values = [np.arange(3, dtype=np.float32), np.zeros(0, np.float32), np.full(70_000, 0.1, np.float32)]
    for found in together(3, lambda workers: workers.gathered(values[workers.share.rank])):
        np.testing.assert_array_equal(found, np.concatenate(values))
        assert found.dtype == np.float32


@pytest.mark.parametrize("length", [0, 1, 5, 6, 7, 1000, 500_000])
def test_bytes_of_the_first(length: int) -> None:
    data = np.random.default_rng(0).bytes(length)
    assert together(2, lambda workers: workers.bytes_from_first(b"other" if workers.share.rank else data)) == [data, data]


def test_rows_of_all_in_the_order_of_the_batch() -> None:
    whole = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    whole[7, 2] = np.nan
    for found in together(3, lambda workers: workers.interleaved(whole[workers.share.rank :: 3])):
        np.testing.assert_array_equal(found, whole)


def test_first_parameters_are_there_before_gradients_are_sent() -> None:
    """Else the server may answer with gradients."""
    waited, said = [], []
    array = SimpleNamespace(wait_to_read=lambda: waited.append(list(said)))
    store = SumStore.__new__(SumStore)
    store._store = SimpleNamespace(
        init=lambda key, value: said.append("init"), pull=lambda key, out, priority: said.append("pull")
    )
    store.broadcast(0, array, [array, array])
    assert waited == 2 * [["init", "pull"]]


@pytest.mark.parametrize("wrong", [1, 0.25, np.nan, -1e9])
@pytest.mark.parametrize("place", [0, 9, 20])
def test_wrong_sums_are_noticed(wrong: float, place: int) -> None:
    class Wrong(Meeting):
        """A store that answers with something else."""

        def pushpull(self, key: int, value: Any) -> None:
            super().pushpull(key, value)
            value[place] += wrong

    def total(workers: Workers) -> np.ndarray:
        with workers:  # one that notices leaves, so that the other does not wait for it
            return workers.sum(np.arange(10.0))

    found = together(2, total, Wrong)
    changes = wrong >= 1 or wrong < 0 or np.isnan(wrong)  # a quarter is dropped with the decimals
    assert any(isinstance(each, WorkerError) for each in found) == changes


@pytest.mark.parametrize("count, devices", [(2, 1), (3, 2)])
@pytest.mark.parametrize(
    "more", [{}, {"keep_ratio": 0.3}, {"sampling": "alternate"}, {"part_faces": 0.5}, {"overlap_faces": 0.8}]
)
def test_gradients_are_those_of_the_whole_batch(
    tmp_path: Path, records: Path, more: dict[str, Any], count: int, devices: int
) -> None:
    """The hardest samples too."""
    options, chosen = TrainingOptions("pnet", batch=60, **more), [mx.cpu(number) for number in range(devices)]

    def make(folder: str, workers: Workers) -> Run:
        return Run(options, records, tmp_path / folder, devices=chosen if workers.are_many else None, workers=workers)

    def computed(run: Run, workers: Workers) -> list[np.ndarray]:
        run.workers = workers
        found = []
        for number in range(4):
            batch = run.sampler.draw(number)
            losses = read_losses(run, batch, backward(run, batch), Tally())
            gradient = sum(each.asnumpy() for each in run.trained.list_grad()) / run.shares
            found += [workers.mean(losses), workers.sum(gradient)]
        return found

    whole = computed(make("whole", Workers()), Workers())
    runs = [make(str(rank), Workers(Meeting(count), rank)) for rank in range(count)]
    for found in together(count, lambda workers: computed(runs[workers.share.rank], workers)):
        for a, b in zip(found, whole, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_parameters_that_drift_apart_are_noticed(tmp_path: Path, records: Path) -> None:
    def differ(workers: Workers) -> np.ndarray:
        run = Run(TrainingOptions("pnet", batch=60), records, tmp_path / str(workers.share.rank), workers=workers)
        data = run.trained.data()
        for change in (1 + 1e-6, 1.5):
            data[:] = data * (change if workers.share.rank else 1)
            run.synchronise()
        return data.asnumpy()

    first, other = together(2, differ)
    assert isinstance(first, np.ndarray)
    assert isinstance(other, WorkerError) and "worker 1 has other parameters than worker 0" in str(other)


def test_one_worker_needs_no_store() -> None:
    workers = Workers()
    assert workers.is_first and not workers.are_many
    np.testing.assert_array_equal(workers.gathered(np.arange(3)), [0, 1, 2])
    assert workers.bytes_from_first(b"same") == b"same"


def test_figures_are_those_of_all_samples() -> None:
    generator = np.random.default_rng(0)
    outputs = generator.normal(size=(90, 16)).astype(np.float32)
    labels = np.zeros((90, 18), np.float32)
    labels[:, 0] = generator.choice([1, 0, -1, -2], 90)
    labels[:, 16:] = generator.random((90, 2)) < 0.5

    def figures(rows: slice, workers: Workers) -> dict[str, float]:
        tally = Tally()
        tally.add(outputs[rows], labels[rows])
        tally.gather(workers)
        return tally.figures()

    whole = figures(slice(None), Workers())
    for found in together(3, lambda workers: figures(slice(workers.share.rank, None, 3), workers)):
        assert found == pytest.approx(whole, rel=1e-6)


SAME = {"options": {"rate": 0.1}, "records": {"pnet": "a" * 64}, "initial": None}
VERSIONS = {"mtcnn-gluon": "1.0", "mxnet": "1.9.1", "kernels": "avx2"}


@pytest.mark.parametrize(
    "identity, environment, message",
    [
        (SAME, VERSIONS, None),
        (SAME, {**VERSIONS, "kernels": "avx512"}, None),  # hosts may have different processors
        (SAME, {**VERSIONS, "mxnet": "1.9.0"}, "worker 1 differs from worker 0 in version: mxnet is 1.9.0, there 1.9.1"),
        ({**SAME, "records": {"pnet": "b" * 64}}, VERSIONS, "in records: pnet is bbbbbbbbbbbb, there aaaaaaaaaaaa"),
        ({**SAME, "initial": "c" * 64}, VERSIONS, "in initial parameters: initial is cccccccccccc, there none"),
        ({**SAME, "options": {"rate": 0.2}}, VERSIONS, "in options: rate is 0.2, there 0.1"),
        (None, {}, None),  # a worker that has an error of its own says that
    ],
)
def test_workers_with_other_runs(identity: Any, environment: Any, message: str | None) -> None:
    def check(workers: Workers) -> None:
        if workers.is_first:
            check_same_for_all(workers, SAME, VERSIONS)
        else:
            check_same_for_all(workers, identity, environment)

    first, other = together(2, check)
    assert first is None
    assert other is None if message is None else message in str(other)


# ---- what is refused


@pytest.mark.parametrize(
    "kvstore, role, message",
    [
        ("dist_sink", None, "kvstore must be local, device or dist_sync, not 'dist_sink': did you mean dist_sync?"),
        ("dist_async", None, "kvstore must be local, device or dist_sync, not 'dist_async'"),
        ("dist_sync", None, "kvstore dist_sync needs several processes: mtcnn-gluon launch starts them"),
        ("local", "worker", "kvstore must be dist_sync in a process of mtcnn-gluon launch, not local"),
    ],
)
def test_stores_that_do_not_suit(
    tmp_path: Path, records: Path, train: Train, monkeypatch: pytest.MonkeyPatch, kvstore: str, role: str | None, message: str
) -> None:
    monkeypatch.delenv("DMLC_ROLE", raising=False)
    if role:
        monkeypatch.setenv("DMLC_ROLE", role)
    status, said = train("--records", records, "--out", tmp_path / "run", "--kvstore", kvstore)
    assert status == 2 and message in said and not (tmp_path / "run").exists()


@pytest.mark.parametrize("kvstore", ["local", "device", None])
def test_stores_of_one_process(kvstore: str | None) -> None:
    with join(kvstore) as workers:
        assert workers.store == (kvstore or "device") and not workers.are_many
