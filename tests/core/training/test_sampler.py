"""Batches: exact kinds, every sample once a round, a function of seed and number alone, targets that follow their image."""

import json
import multiprocessing
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.layers import View
from mtcnn_gluon.prepare_data.cropping import cut_landmark_samples, cut_samples
from mtcnn_gluon.prepare_data.sampling import SamplingOptions, draw
from mtcnn_gluon.records.files import RecordWriter
from mtcnn_gluon.records.info import REPORT
from mtcnn_gluon.records.samples import (
    KIND_NAMES,
    LABEL_LENGTH,
    MIRRORED,
    RATIO_ORDER,
    Column,
    Kind,
    Samples,
    pack_labels,
    parse_ratio,
)
from mtcnn_gluon.training import sampler as module
from mtcnn_gluon.training.augment import Augmentation
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.sampler import HELD, TASKS, Batch, Pool, Record, Sampler, shares
from painted_faces import find_dots, landmarks_of, make_photo, paint
from record_samples import make_samples

PLAIN = Augmentation(mirror=0)
COLOURS = Augmentation(0.5, 0.2, 0.3, 0.4)
COUNTS = {"positive": 70, "negative": 150, "part": 90, "landmark": 40}


def of_counts(counts: dict[str, int], size: int = 12) -> Samples:
    """Samples whose first pixel is their number, in the order of `KIND_NAMES`."""
    kinds = np.repeat([int(Kind[name.upper()]) for name in counts], list(counts.values()))
    samples = make_samples(len(kinds), size)
    samples.crops[:, 0, 0, 0], samples.crops[:, 0, 0, 1] = np.divmod(np.arange(len(kinds)), 256)
    has_box = np.isin(kinds, [Kind.POSITIVE, Kind.PART])
    has_landmarks = (kinds == Kind.LANDMARK) | ((kinds == Kind.POSITIVE) & (np.arange(len(kinds)) % 2 == 0))
    return Samples(**{**vars(samples), "kinds": kinds, "has_box": has_box, "has_landmarks": has_landmarks})


def write(folder: Path, samples: Samples, net: str = "pnet", merged: bool = True, encoding: Any = "raw") -> Path:
    """Records as `make_records` leaves them: one of all kinds, or one a kind."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {net: samples}
    if not merged:
        parts = {name: samples[samples.kinds == Kind[name.upper()]] for name in KIND_NAMES}
    for name, part in parts.items():
        if len(part) or merged:
            with RecordWriter(folder / name, net, encoding) as writer:
                writer.write(part)
    (folder / REPORT).write_text(json.dumps({}))
    return folder


def numbers(batch: Batch) -> np.ndarray:
    """Which sample each of an unmirrored batch is (N,)."""
    pixels = np.rint(batch.images[:, :2, 0, 0] * 128 + 127.5).astype(int)
    return pixels[:, 0] * 256 + pixels[:, 1]


def kinds_of(batch: Batch) -> dict[str, int]:
    return {name: int((batch.kinds == Kind[name.upper()]).sum()) for name in KIND_NAMES if Kind[name.upper()] in batch.kinds}


def assert_same(a: Batch, b: Batch) -> None:
    for field in fields(Batch):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), field.name)


@pytest.fixture(scope="module")
def samples() -> Samples:
    return of_counts(COUNTS)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory, samples: Samples) -> Path:
    """A merged record of `COUNTS`, which no test changes."""
    order = np.random.default_rng(0).permutation(len(samples))
    return write(tmp_path_factory.mktemp("merged"), samples[order])


# ---- exact kinds


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (384, {"positive": 64, "part": 64, "landmark": 64, "negative": 192}),
        (6, {"positive": 1, "part": 1, "landmark": 1, "negative": 3}),
        (12, {"positive": 2, "part": 2, "landmark": 2, "negative": 6}),
        (100, {"positive": 17, "part": 16, "landmark": 17, "negative": 50}),
        (768, {"positive": 128, "part": 128, "landmark": 128, "negative": 384}),
    ],
)
@pytest.mark.parametrize("merged", [True, False])
def test_kinds_are_exact(tmp_path: Path, samples: Samples, batch: int, expected: dict[str, int], merged: bool) -> None:
    sampler = Sampler(write(tmp_path, samples, "pnet", merged), TrainingOptions("pnet", batch=batch))
    for number in (0, 1, 2, 97):
        drawn = sampler.draw(number)
        assert kinds_of(drawn) == expected and drawn.task is None and drawn.number == number
        assert drawn.images.shape == (batch, 3, 12, 12)


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        ("3:1:1:2", {"negative": 48, "positive": 16, "part": 16, "landmark": 32}),
        ("2:1:0:0.5", {"negative": 64, "positive": 32, "landmark": 16}),
    ],
)
def test_ratio(records: Path, ratio: str, expected: dict[str, int]) -> None:
    batch = sum(expected.values())
    assert kinds_of(Sampler(records, TrainingOptions("pnet", batch=batch, ratio=ratio)).draw(0)) == expected


def test_a_ratio_that_leaves_nothing(tmp_path: Path, records: Path) -> None:
    with pytest.raises(ConfigError, match="ratio must give shares"):
        Sampler(records, TrainingOptions("pnet", ratio="0:0:0:0"))
    negatives = write(tmp_path, of_counts({"negative": 20}), merged=False)
    with pytest.raises(DataError, match="the ratio .* leaves nothing for cls"):
        Sampler(negatives, TrainingOptions("pnet", ratio="0:1:1:1"))


@given(st.integers(6, 1000), st.sets(st.sampled_from(RATIO_ORDER), min_size=1))
def test_shares(batch: int, there: set[str]) -> None:
    """They add up, none is forgotten, and none is off by more than one."""
    ratio = parse_ratio("3:1:1:1")
    found = shares(ratio, dict.fromkeys(there), batch)  # type: ignore[arg-type]
    assert set(found) == there and sum(found.values()) == batch and min(found.values()) >= 1
    whole = sum(ratio[kind] for kind in there)
    assert all(abs(count - batch * ratio[kind] / whole) <= 1 for kind, count in found.items())


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (("positive", "negative"), {"positive": 96, "negative": 288}),
        (("positive", "negative", "part"), {"positive": 77, "part": 77, "negative": 230}),
        (("landmark",), {"landmark": 384}),
        (("negative",), {"negative": 384}),
    ],
)
def test_missing_kinds(tmp_path: Path, there: tuple[str, ...], expected: dict[str, int]) -> None:
    sampler = Sampler(write(tmp_path, of_counts(dict.fromkeys(there, 20)), merged=False), TrainingOptions("pnet"))
    assert kinds_of(sampler.draw(0)) == expected
    assert sampler.tasks == tuple(task for task in TASKS if set(TASKS[task]) & set(there))


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        (("cls",), {"positive": 96, "negative": 288}),
        (("box",), {"positive": 192, "part": 192}),
        (("landmark",), {"landmark": 384}),
        (("box", "cls"), {"positive": 77, "part": 77, "negative": 230}),
    ],
)
def test_tasks(records: Path, tasks: tuple[str, ...], expected: dict[str, int]) -> None:
    assert kinds_of(Sampler(records, TrainingOptions("pnet", tasks=tasks)).draw(3)) == expected


def test_alternate_batches_have_one_task(records: Path) -> None:
    sampler = Sampler(records, TrainingOptions("pnet", batch=32, sampling="alternate"))
    expected = {"cls": {"positive": 8, "negative": 24}, "box": {"positive": 16, "part": 16}, "landmark": {"landmark": 32}}
    drawn = [sampler.draw(number) for number in range(150)]
    assert all(kinds_of(batch) == expected[str(batch.task)] for batch in drawn)
    assert set(Counter(batch.task for batch in drawn)) == set(TASKS)
    assert all(30 <= count <= 70 for count in Counter(batch.task for batch in drawn).values())
    two = Sampler(records, TrainingOptions("pnet", batch=32, sampling="alternate", tasks=("cls", "box")))
    assert {two.draw(number).task for number in range(20)} == {"cls", "box"}


# ---- rounds


@pytest.mark.parametrize("batch", [6, 24, 100])
def test_every_sample_once_a_round(records: Path, samples: Samples, batch: int) -> None:
    sampler = Sampler(records, TrainingOptions("pnet", batch=batch, augmentation=PLAIN))
    seen: dict[str, list[int]] = {kind: [] for kind in KIND_NAMES}
    for drawn in sampler.batches(stop=400):
        for number, kind in zip(numbers(drawn), drawn.kinds):
            seen[Kind(int(kind)).name.lower()].append(number)
    for kind, order in seen.items():
        members = set(np.flatnonzero(samples.kinds == Kind[kind.upper()]))
        rounds = [order[i : i + len(members)] for i in range(0, len(order) - len(members) + 1, len(members))]
        assert all(set(each) == members for each in rounds)
        assert len(rounds) < 2 or rounds[0] != rounds[1]  # in another order


@pytest.mark.parametrize("count", [1, 2, 5])
def test_fewer_samples_than_a_batch_wants(tmp_path: Path, count: int) -> None:
    sampler = Sampler(
        write(tmp_path, of_counts({"positive": count, "negative": 300})), TrainingOptions("pnet", augmentation=PLAIN)
    )
    found = Counter(numbers(sampler.draw(5))[:96])
    assert set(found) == set(range(count)) and max(found.values()) - min(found.values()) <= 1


def test_length(records: Path) -> None:
    assert len(Sampler(records, TrainingOptions("pnet", batch=100))) == 4  # 350 samples
    assert len(Sampler(records, TrainingOptions("pnet"))) == 1


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 500), st.integers(1, 100)), max_size=8))
def test_pool(size: int, picks: list[tuple[int, int]]) -> None:
    """Any part of the endless order, in any sequence, is that part of it."""
    rows = np.arange(100, 100 + size)
    whole = Pool(Record(np.zeros(0), np.zeros((0, LABEL_LENGTH))), rows, [1, 2]).pick(0, 700)
    pool = Pool(Record(np.zeros(0), np.zeros((0, LABEL_LENGTH))), rows, [1, 2])
    for start, count in picks:
        np.testing.assert_array_equal(pool.pick(start, count), whole[start : start + count])
        assert len(pool._orders) <= 100 // size + 6  # orders of rounds that are over are forgotten


# ---- a function of seed and number


@pytest.mark.parametrize("sampling", ["mixed", "alternate"])
def test_a_batch_depends_on_seed_and_number_alone(records: Path, sampling: Any) -> None:
    options = dict(batch=24, sampling=sampling, augmentation=COLOURS)
    expected = [Sampler(records, TrainingOptions("pnet", **options, seed=3)).draw(number) for number in range(12)]
    again = Sampler(records, TrainingOptions("pnet", **options, seed=3))
    for number in (11, 0, 5, 5, 1000, 7, 3, 1, 2, 4, 6, 8, 9, 10):
        drawn = again.draw(number)
        if number < 12:
            assert_same(drawn, expected[number])
    for threads, ahead in ((1, 2), (1, 1), (1, 7), (3, 2), (4, 0)):
        for start in (0, 4, 12):
            taken = []
            for drawn in again.batches(start, 12, ahead, threads):
                taken.append(drawn)
                for valid in taken[-HELD:]:
                    assert_same(valid, expected[valid.number])
            assert [drawn.number for drawn in taken] == list(range(start, 12))
    other = Sampler(records, TrainingOptions("pnet", **options, seed=4)).draw(0)
    assert (other.images != expected[0].images).any() and (expected[1].images != expected[0].images).any()


def test_one_record_or_one_a_kind(tmp_path: Path, samples: Samples) -> None:
    """In the same order, however they are stored, they give the same batches."""
    folders = [
        write(tmp_path / "merged", samples),
        write(tmp_path / "separate", samples, merged=False),
        write(tmp_path / "png", samples, encoding="png"),
    ]
    merged, *others = (Sampler(folder, TrainingOptions("pnet", batch=36, augmentation=COLOURS)) for folder in folders)
    for number in (0, 1, 50):
        for other in others:
            assert_same(merged.draw(number), other.draw(number))


def test_endless_until_closed(records: Path) -> None:
    before = threading.active_count()
    batches = Sampler(records, TrainingOptions("pnet", batch=6)).batches(threads=2)
    assert [next(batches).number for _ in range(50)] == list(range(50))
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_errors_reach_the_caller(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = Sampler(records, TrainingOptions("pnet", batch=6))
    monkeypatch.setattr(module, "make_batch", lambda *_, **__: 1 / 0)
    for threads in (1, 2):
        with pytest.raises(ZeroDivisionError):
            next(sampler.batches(threads=threads))


def test_threads_may_draw_anything_at_once(tmp_path: Path) -> None:
    """From kinds of so few samples that every batch is of many rounds."""
    sampler = Sampler(write(tmp_path, of_counts({"positive": 2, "negative": 3})), TrainingOptions("pnet", batch=60))
    expected = [sampler.draw(number) for number in range(60)]
    shared = Sampler(tmp_path, TrainingOptions("pnet", batch=60))
    with ThreadPoolExecutor(8) as pool:
        for number, drawn in zip([*range(60), *reversed(range(60))], pool.map(shared.draw, [*range(60), *reversed(range(60))])):
            assert_same(drawn, expected[number])


def test_another_thread_may_forget_an_order_at_any_moment() -> None:
    class Forgetful(Pool):
        """As if another thread replaced the orders whenever they are set."""

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, {} if name == "_orders" else value)

    arguments = (Record(np.zeros(0), np.zeros((0, LABEL_LENGTH))), np.arange(7), [0])
    np.testing.assert_array_equal(Forgetful(*arguments).pick(3, 30), Pool(*arguments).pick(3, 30))


def draw_in_child(sampler: Sampler, number: int, results: Any) -> None:
    batch = sampler.draw(number)
    results.put((number, batch.images.tobytes(), batch.labels[:, Column.LANDMARKS].tobytes()))


def test_forked_processes_may_draw(records: Path) -> None:
    sampler = Sampler(records, TrainingOptions("pnet", augmentation=COLOURS))
    sampler.draw(0)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=draw_in_child, args=(sampler, number, results)) for number in (1, 2)]
    for process in processes:
        process.start()
    found = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    for number, images, landmarks in found:
        batch = sampler.draw(number)
        assert images == batch.images.tobytes() and landmarks == batch.labels[:, Column.LANDMARKS].tobytes()


# ---- what a batch holds


@pytest.mark.parametrize("net", ["pnet", "rnet", "onet"])
def test_a_batch_holds_what_was_recorded(tmp_path: Path, net: str) -> None:
    size = NETS[net].size
    samples = of_counts({"positive": 9, "negative": 20, "part": 9, "landmark": 9}, size)
    batch = Sampler(write(tmp_path, samples, net), TrainingOptions(net, batch=12, augmentation=PLAIN)).draw(2)
    rows = numbers(batch)
    np.testing.assert_array_equal(np.rint(batch.images * 128 + 127.5), samples.crops[rows].transpose(0, 3, 1, 2))
    assert np.abs(batch.images).max() <= 127.5 / 128
    np.testing.assert_array_equal(batch.labels, pack_labels(samples)[rows])
    for field in fields(Batch)[2:4]:
        array = getattr(batch, field.name)
        assert array.dtype == np.float32 and array.flags.c_contiguous and len(array) == 12


@pytest.mark.parametrize("merged", [True, False])
def test_mirrored_targets_follow_their_image(tmp_path: Path, merged: bool) -> None:
    """Dots of five colours say where the landmarks are, and a box's corners are two of them."""
    photo = make_photo("a.png", [[60, 50, 200, 190]])
    image = paint(250, 260, photo)
    options = SamplingOptions(landmark_jitters=40, jitters=40, negatives=0, negatives_near=0)
    landmarks = cut_landmark_samples(image, photo, 0, View(48), options, np.random.default_rng(0))
    crops = draw(photo, image.shape[:2], 48, options, np.random.default_rng(0))
    samples = Samples.concatenate([landmarks, cut_samples(image, crops, photo, 0, View(48))])
    batch = Sampler(
        write(tmp_path, samples, "onet", merged), TrainingOptions("onet", batch=96, augmentation=Augmentation(mirror=0.5))
    ).draw(0)
    pixels = batch.images.transpose(0, 2, 3, 1) * 128 + 127.5
    known = np.flatnonzero(batch.labels[:, Column.HAS_LANDMARKS])
    found, targets = find_dots(pixels[known]), batch.labels[:, Column.LANDMARKS][known].reshape(-1, 5, 2)
    is_whole = ((targets > 0.12) & (targets < 0.88)).all((1, 2))
    straight = np.abs(found - targets).max((1, 2)) < 0.25 / 48
    turned = np.abs(found[:, MIRRORED] - targets).max((1, 2)) < 0.25 / 48
    assert is_whole.sum() > 30 and (straight ^ turned)[is_whole].all()
    assert 0.3 < straight[is_whole].mean() < 0.7  # some are mirrored, or had been before, some are not
    box = known[batch.labels[:, Column.HAS_BOX][known] == 1]
    where = np.tile([0, 0, 1, 1], (len(box), 1)) + batch.labels[:, Column.OFFSETS][box]  # the face, in its crop
    of_box = found[batch.labels[:, Column.HAS_BOX][known] == 1]
    is_turned = of_box[:, 0, 0] > of_box[:, 1, 0]
    expected = landmarks_of(where)
    expected[is_turned] = landmarks_of(where[is_turned][:, [2, 1, 0, 3]])[:, MIRRORED]
    np.testing.assert_allclose(batch.labels[:, Column.LANDMARKS][box].reshape(-1, 5, 2), expected, atol=1e-5)
    assert 0 < is_turned.mean() < 1


def test_mirrored_or_not_it_is_the_same_sample(records: Path) -> None:
    plain, turned = (
        Sampler(records, TrainingOptions("pnet", batch=60, augmentation=Augmentation(mirror=share))).draw(4) for share in (0, 1)
    )
    np.testing.assert_array_equal(turned.images, plain.images[..., ::-1])
    offsets = plain.labels[:, Column.OFFSETS][:, [2, 1, 0, 3]] * [-1, 1, -1, 1]
    np.testing.assert_allclose(turned.labels[:, Column.OFFSETS], offsets)
    points = plain.labels[:, Column.LANDMARKS].reshape(-1, 5, 2)[:, MIRRORED] * [-1, 1] + [1, 0]
    np.testing.assert_allclose(turned.labels[:, Column.LANDMARKS], points.reshape(-1, 10), atol=1e-6)
    same = [Column.KIND, Column.IOU, Column.HAS_BOX, Column.HAS_LANDMARKS]
    np.testing.assert_array_equal(turned.labels[:, same], plain.labels[:, same])


def test_colours(records: Path) -> None:
    plain, changed = (
        Sampler(records, TrainingOptions("pnet", batch=60, augmentation=a)).draw(4) for a in (PLAIN, Augmentation(0, 1, 1, 1))
    )
    assert np.abs(changed.images).max() <= np.float32(127.5 / 128) and (changed.images != plain.images).mean() > 0.5
    np.testing.assert_array_equal(changed.labels[:, Column.LANDMARKS], plain.labels[:, Column.LANDMARKS])


@pytest.mark.parametrize("batch", [7, 384])
def test_everything(records: Path, samples: Samples, batch: int) -> None:
    drawn = list(Sampler(records, TrainingOptions("pnet", batch=batch, augmentation=COLOURS)).everything())
    assert max(len(each.kinds) for each in drawn) <= batch
    seen = np.concatenate([numbers(each) for each in drawn])
    assert sorted(seen) == list(range(len(samples)))
    np.testing.assert_array_equal(np.concatenate([each.labels[:, Column.OFFSETS] for each in drawn]), samples.offsets[seen])


# ---- what does not fit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": "xnet"}, "net must be pnet, rnet or onet, not 'xnet'"),
        ({"batch": 5}, "batch must be a whole number, 6 or more, not 5"),
        ({"batch": 0}, "batch"),
        ({"batch": 12.5}, "batch"),
        ({"batch": "12"}, "batch"),
        ({"sampling": "random"}, "sampling must be mixed or alternate, not 'random'"),
        ({"seed": -1}, "seed must be a whole number, 0 or more, not -1"),
        ({"seed": 0.5}, "seed"),
        ({"tasks": ()}, "tasks must be one or more of cls, box or landmark"),
        ({"tasks": ("cls", "age")}, "tasks"),
        ({"tasks": "cls"}, "tasks"),
    ],
)
def test_options_out_of_range(records: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Sampler(records, TrainingOptions(**{"net": "pnet", **change}))


def test_records_that_do_not_fit(tmp_path: Path, samples: Samples, records: Path) -> None:
    with pytest.raises(DataError, match="holds no finished records: mtcnn-gluon prepare records makes them"):
        Sampler(tmp_path, TrainingOptions("pnet"))
    with pytest.raises(DataError, match="holds no finished records"):
        Sampler(records, TrainingOptions("rnet"))  # a merged record of another net
    with pytest.raises(DataError, match="holds samples for pnet, not for rnet"):
        Sampler(write(tmp_path / "separate", samples, merged=False), TrainingOptions("rnet"))
    with pytest.raises(DataError, match="its records are empty"):
        Sampler(write(tmp_path / "empty", samples[:0]), TrainingOptions("pnet"))
    only = write(tmp_path / "only", of_counts({"negative": 9}))
    with pytest.raises(DataError, match="there are no samples for box, landmark"):
        Sampler(only, TrainingOptions("pnet", tasks=("box", "landmark")))
    (only / REPORT).unlink()
    with pytest.raises(DataError, match="holds no finished records"):
        Sampler(only, TrainingOptions("pnet"))


@pytest.mark.parametrize("ending", ["rec", "idx", "json"])
def test_damaged_records(tmp_path: Path, samples: Samples, ending: str) -> None:
    folder = write(tmp_path, samples)
    path = folder / f"pnet.{ending}"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match=f"pnet.{ending}"):
        Sampler(folder, TrainingOptions("pnet"))
