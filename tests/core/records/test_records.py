"""Records: what is written is read, MXNet agrees, and nothing half-written or damaged is taken for whole."""

import hashlib
import importlib.util
import json
import multiprocessing
import os
import pickle
import struct
import threading
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.records.files import Reader, RecordWriter, check
from mtcnn_gluon.records.info import Info, Stamp, record_files
from mtcnn_gluon.records.recordio import MAGIC
from mtcnn_gluon.records.samples import NO_FACE, Samples, pack_labels
from record_samples import assert_equal, make_samples

M = np.frombuffer(struct.pack("<I", MAGIC), np.uint8)


def write(path: Path, samples: Samples, net: str = "pnet", **options: Any) -> Path:
    with RecordWriter(path, net, **options) as writer:
        writer.write(samples)
    return path


def with_magic(samples: Samples) -> Samples:
    """Samples some of whose crops, and the photo of one, hold the magic, where it counts and where it does not."""
    crops = samples.crops.copy()
    flat = crops.reshape(len(crops), -1)
    for row, start in ((0, 0), (2, 8), (2, 12), (2, 40), (3, 5), (-1, flat.shape[1] - 4)):
        flat[row, start : start + 4 or None] = M
    photos = samples.photos.copy()
    photos[5] = MAGIC
    return Samples(**{**vars(samples), "crops": crops, "photos": photos})


@pytest.fixture
def samples() -> Samples:
    return with_magic(make_samples(100, 12))


# ---- writing and reading


@pytest.mark.parametrize("encoding", ["raw", "png"])
@pytest.mark.parametrize("net, size", [("pnet", 12), ("rnet", 24), ("onet", 48)])
def test_lossless(tmp_path: Path, net: str, size: int, encoding: Any) -> None:
    samples = with_magic(make_samples(80, size))
    reader = Reader(write(tmp_path / "a", samples, net, encoding=encoding))
    assert len(reader) == 80
    assert_equal(reader[:], samples)
    np.testing.assert_array_equal(reader.labels(), pack_labels(samples))


@pytest.mark.parametrize("encoding", ["raw", "png"])
@pytest.mark.parametrize(
    "index",
    [
        0,
        3,
        -1,
        np.int64(4),
        slice(None),
        slice(5, 2),
        slice(None, None, -7),
        [2, 2, 99, 0],
        np.zeros(0, int),
        np.arange(100) > 40,
    ],
    ids=lambda index: str(index)[:30],
)
def test_any_order(tmp_path: Path, samples: Samples, encoding: Any, index: Any) -> None:
    assert_equal(Reader(write(tmp_path / "a", samples, encoding=encoding))[index], samples[index])


@pytest.mark.parametrize("index", [100, -101, [0, 100]])
def test_out_of_range(tmp_path: Path, samples: Samples, index: Any) -> None:
    with pytest.raises(IndexError):
        Reader(write(tmp_path / "a", samples))[index]


@pytest.mark.parametrize(("encoding", "quality"), [("jpeg", None), ("jpeg", 100), ("webp", None), ("webp", 80)])
def test_lossy(tmp_path: Path, image: np.ndarray, encoding: Any, quality: int | None) -> None:
    tiles = image[:504, :504].reshape(21, 24, 21, 24, 3).swapaxes(1, 2).reshape(-1, 24, 24, 3)
    samples = Samples(**{**vars(make_samples(441, 24)), "crops": tiles})
    reader = Reader(write(tmp_path / "a", samples, "rnet", encoding=encoding, quality=quality))
    assert reader.info.encoding == encoding and reader.info.quality == (quality or 95)
    read = reader[:]
    assert np.abs(read.crops.astype(int) - tiles).mean() < 5
    assert_equal(Samples(**{**vars(read), "crops": tiles}), samples)
    assert_equal(Reader(tmp_path / "a", threads=1)[7], read[7])


@pytest.mark.parametrize("encoding", ["raw", "webp"])
def test_nothing(tmp_path: Path, encoding: Any) -> None:
    reader = Reader(write(tmp_path / "a", Samples.empty(12), encoding=encoding))
    assert len(reader) == 0 and reader.labels().shape == (0, 18)
    assert_equal(reader[:], Samples.empty(12))
    assert check(tmp_path / "a").photos == 0


def test_more_than_one_chunk(tmp_path: Path) -> None:
    samples = make_samples(200, 48)  # 1.4 MB
    half = Samples.concatenate([samples[:77], with_magic(samples[77:])])
    assert_equal(Reader(write(tmp_path / "a", half, "onet"))[:], half)


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_equal_samples_give_equal_bytes(tmp_path: Path, samples: Samples, encoding: Any) -> None:
    write(tmp_path / "a", samples, encoding=encoding, seed=3, threads=1)
    with RecordWriter(tmp_path / "b", "pnet", encoding, seed=3, threads=3) as writer:
        for part in (samples[:1], samples[1:1], samples[1:70], samples[70:]):
            writer.write(part)
    for one, other in zip(record_files(tmp_path / "a"), record_files(tmp_path / "b")):
        assert one.read_bytes() == other.read_bytes()


def test_names(tmp_path: Path, samples: Samples) -> None:
    write(tmp_path / "new/pos.v2", samples)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["pos.v2.idx", "pos.v2.json", "pos.v2.rec"]
    for name in ("pos.v2", "pos.v2.rec", "pos.v2.idx", "pos.v2.json"):
        assert len(Reader(tmp_path / "new" / name)) == 100


def test_info(tmp_path: Path, samples: Samples) -> None:
    write(tmp_path / "a", samples, seed=np.int64(5), source="ab12")
    info = Reader(tmp_path / "a").info
    counts = {name: int((samples.kinds == kind).sum()) for name, kind in
              (("positive", 1), ("negative", 0), ("part", -1), ("landmark", -2))}  # fmt: skip
    assert (info.net, info.size, info.encoding, info.quality, info.seed, info.source) == ("pnet", 12, "raw", None, 5, "ab12")
    assert info.counts == counts and len(info) == 100
    assert info.rec.bytes == (tmp_path / "a.rec").stat().st_size
    assert Info.from_json(info.to_json()) == info
    report = check(tmp_path / "a")
    assert report.info == info
    assert (report.with_box, report.with_landmarks) == (samples.has_box.sum(), samples.has_landmarks.sum())
    assert report.photos == len(set(samples.photos.tolist()))


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(net="qnet"), "net must be one of pnet, rnet, onet, not 'qnet'"),
        (dict(net=[]), "net"),
        (dict(encoding="gif"), "encoding must be one of raw, png, jpeg, webp, not 'gif'"),
        (dict(encoding="jpeg", quality=0), "quality of jpeg"),
        (dict(encoding="jpeg", quality=101), "from 1 to 100, not 101"),
        (dict(encoding="webp", quality=90.5), "quality of webp"),
        (dict(encoding="raw", quality=90), "quality must not be given for raw"),
        (dict(encoding="png", quality=9), "quality must not be given for png"),
    ],
)
def test_options_out_of_range(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RecordWriter(tmp_path / "a", **{"net": "pnet", **options})


# ---- MXNet


@pytest.fixture(scope="module")
def recordio() -> Any:
    if importlib.util.find_spec("mxnet") is None:
        pytest.skip("needs MXNet")
    return load_mxnet().recordio


def test_mxnet_reads_ours(tmp_path: Path, samples: Samples, recordio: Any) -> None:
    write(tmp_path / "a", samples)
    reader = recordio.MXIndexedRecordIO(str(tmp_path / "a.idx"), str(tmp_path / "a.rec"), "r")
    assert reader.keys == list(range(100))
    labels = pack_labels(samples)
    for i in (0, 1, 2, 3, 5, 50, 99):
        header, crop = recordio.unpack(reader.read_idx(i))
        assert header.flag == 18 and header.id == samples.photos[i]
        assert header.id2 == (samples.faces[i] if samples.faces[i] != NO_FACE else 2**64 - 1)
        np.testing.assert_array_equal(header.label, labels[i])
        assert crop == samples.crops[i].tobytes()
    reader.close()


def test_mxnet_decodes_ours(tmp_path: Path, samples: Samples, recordio: Any) -> None:
    write(tmp_path / "a", samples, encoding="png")
    reader = recordio.MXIndexedRecordIO(str(tmp_path / "a.idx"), str(tmp_path / "a.rec"), "r")
    image = recordio.unpack_img(reader.read_idx(2))[1]  # BGR
    np.testing.assert_array_equal(image[..., ::-1], samples.crops[2])
    reader.close()


def test_mxnet_writes_the_same(tmp_path: Path, samples: Samples, recordio: Any) -> None:
    write(tmp_path / "a", samples)
    writer = recordio.MXIndexedRecordIO(str(tmp_path / "b.idx"), str(tmp_path / "b.rec"), "w")
    faces = samples.faces.view(np.uint64)
    for i, label in enumerate(pack_labels(samples)):
        header = recordio.IRHeader(0, label, int(samples.photos[i]), int(faces[i]))
        writer.write_idx(i, recordio.pack(header, samples.crops[i].tobytes()))
    writer.close()
    for ending in ("rec", "idx"):
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    (tmp_path / "b.json").write_bytes((tmp_path / "a.json").read_bytes())
    assert_equal(Reader(tmp_path / "b")[:], samples)


# ---- whole or not at all


@pytest.mark.parametrize("error", [OSError(2, "No such photo"), DataError("x"), ValueError("x"), KeyboardInterrupt()])
@pytest.mark.parametrize("exists", [False, True])
def test_an_error_inside_leaves_what_was_there(tmp_path: Path, samples: Samples, error: BaseException, exists: bool) -> None:
    if exists:
        write(tmp_path / "a", samples[:7])
    with pytest.raises(type(error)) as caught, RecordWriter(tmp_path / "a", "pnet") as writer:
        writer.write(samples)
        raise error
    assert caught.value is error
    assert sorted(path.name for path in tmp_path.iterdir()) == (["a.idx", "a.json", "a.rec"] if exists else [])
    if exists:
        assert_equal(Reader(tmp_path / "a")[:], samples[:7])


def test_the_json_comes_last_and_the_old_one_goes_first(
    tmp_path: Path, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a", samples[:7])
    present, replace = [], os.replace

    def watched(draft: str, target: Path) -> None:
        present.append((target.name, (tmp_path / "a.json").exists()))
        replace(draft, target)

    monkeypatch.setattr(os, "replace", watched)
    write(tmp_path / "a", samples)
    assert present == [("a.rec", False), ("a.idx", False), ("a.json", False)]
    check(tmp_path / "a")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("count", [1, 3000])  # the error comes at the end, or in the middle
def test_a_full_disk(tmp_path: Path, samples: Samples, count: int) -> None:
    write(tmp_path / "a", samples[:7])
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(DataError, match="cannot be written: No space left"), RecordWriter(tmp_path / "a", "pnet") as writer:
        os.dup2(full, writer._rec.file.fileno())
        writer.write(make_samples(count, 12))
    os.close(full)
    assert_equal(Reader(tmp_path / "a")[:], samples[:7])
    assert len(list(tmp_path.iterdir())) == 3


def test_crops_of_another_size(tmp_path: Path, samples: Samples) -> None:
    with pytest.raises(DataError, match="crops for pnet must be 12 pixels wide, got 24"):
        write(tmp_path / "a", make_samples(3, 24))
    assert not list(tmp_path.iterdir())


def test_an_error_that_is_hushed_up_still_gives_no_record(tmp_path: Path, samples: Samples) -> None:
    with pytest.raises(DataError, match="was not written"), RecordWriter(tmp_path / "a", "pnet") as writer:
        with pytest.raises(DataError):
            writer.write(make_samples(3, 24))
        with pytest.raises(ValueError, match="not after an error"):
            writer.write(samples)
    assert not list(tmp_path.iterdir())


def test_writing_outside_the_statement(tmp_path: Path, samples: Samples) -> None:
    writer = RecordWriter(tmp_path / "a", "pnet")
    with pytest.raises(ValueError, match="only inside its with statement"):
        writer.write(samples)
    with pytest.raises(DataError, match=r"a\.\w+ cannot be written"), RecordWriter(Path(__file__) / "a", "pnet"):
        pass


# ---- damage


def edit(change: Callable[[bytearray], Any]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        content = bytearray(path.read_bytes())
        change(content)
        path.write_bytes(content)

    return apply


def put(start: int, content: bytes) -> Callable[[Path], None]:
    return edit(lambda data: data.__setitem__(slice(start, start + len(content)), content))


def field(name: str, value: Any) -> Callable[[Path], None]:
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))


@pytest.mark.parametrize(
    "ending, damage, message",
    [
        ("rec", Path.unlink, r"a\.rec is missing: a record is its \.rec, its \.idx and its \.json"),
        ("idx", Path.unlink, r"a\.idx is missing"),
        ("json", Path.unlink, r"a\.json is missing"),
        ("rec", edit(lambda data: data.pop()), r"a\.rec: expected \d+ bytes, as a\.json says, got \d+"),
        ("rec", edit(lambda data: data.extend(b"\0")), r"a\.rec: expected"),
        ("rec", edit(lambda data: data.clear()), r"a\.rec: expected \d+ bytes, as a\.json says, got 0"),
        ("idx", edit(lambda data: data.pop()), r"a\.idx: damaged, or of another record"),
        ("idx", put(2, b"4"), r"a\.idx: damaged, or of another record.*as a\.json says, got"),
        ("json", edit(lambda data: data.pop(0)), r"a\.json: expected JSON"),
        ("json", edit(lambda data: data.clear()), r"a\.json: expected JSON"),
        ("json", put(0, b"\xff\xfe"), r"a\.json: expected JSON"),
        ("json", lambda path: path.write_text("[" * 100_000), r"a\.json: expected JSON"),
        ("json", lambda path: path.write_text("[1]"), r"a\.json: expected a record of schema 1, got \[1\]"),
        ("json", lambda path: path.write_text("{}"), r"a\.json: expected a record of schema 1, got None"),
        ("json", field("schema", 2), r"a\.json: expected a record of schema 1, got 2"),
        ("json", field("new", 2), r"a\.json: expected the keys schema, net, .*; got .*new"),
        ("json", field("net", "qnet"), r"a\.json: net must be one of pnet, rnet, onet, not 'qnet'"),
        ("json", field("net", ["pnet"]), r"a\.json: net must be"),
        ("json", field("size", 24), r"a\.idx: .*take at least"),
        ("json", field("size", 12.0), r"a\.json: size must be a whole number from 1 to 512, not 12\.0"),
        ("json", field("size", 513), r"a\.json: size must be a whole number from 1 to 512, not 513"),
        ("json", field("context", 6), r"a\.json: context must be a whole number from 0 to below half of size, 12, not 6"),
        ("json", field("context", True), r"a\.json: context"),
        ("json", field("encoding", "bmp"), r"a\.json: encoding must be one of"),
        ("json", field("quality", 5), r"a\.json: quality must not be given"),
        ("json", field("counts", {"positive": 100}), r"a\.json: counts must be a count of each of"),
        ("json", field("counts", dict(positive=100, negative=1, part=0, landmark=-1)), r"a\.json: counts"),
        ("json", field("counts", dict(positive=100, negative=1, part=0, landmark=0)), r"a\.idx: expected 101 lines"),
        ("json", field("seed", "x"), r"a\.json: seed must be a whole number or null, got 'x'"),
        ("json", field("source", 1), r"a\.json: source must be a text"),
        ("json", field("rec", {"bytes": 1}), r"a\.json: rec must be bytes and sha256"),
        ("json", field("rec", {"bytes": -1, "sha256": ""}), r"a\.json: rec must be"),
    ],
)  # fmt: skip
def test_damage_that_shows_at_once(
    tmp_path: Path, samples: Samples, ending: str, damage: Callable[[Path], Any], message: str
) -> None:
    damage(write(tmp_path / "a", samples).with_suffix(f".{ending}"))
    with pytest.raises(DataError, match=message):
        Reader(tmp_path / "a")


def stamp_anew(path: Path) -> None:
    """Let the .json agree with files that were changed."""
    stamps = {}
    for ending in ("rec", "idx"):
        content = path.with_suffix(f".{ending}").read_bytes()
        stamps[ending] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    document = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**document, **stamps}))


RAW = 8 + 24 + 72 + 432  # bytes of a raw record of pnet


@pytest.mark.parametrize(
    "ending, damage, message",
    [
        ("rec", put(3 * RAW, b"\1\2\3\4"), rf"the record at byte {3 * RAW} must begin with the magic {MAGIC}, got 67305985"),
        ("rec", put(3 * RAW + 8, b"\5\0\0\0"), rf"the record at byte {3 * RAW} must have a label of 18 numbers, got 5"),
        ("rec", put(3 * RAW + 4, struct.pack("<I", 528 - 4)), r"must hold a raw crop of 432 bytes, got 428"),
        ("rec", put(3 * RAW + 4, struct.pack("<I", 50)), r"must have a length of at least 96 bytes, got 50"),
        ("rec", put(9 * RAW + 4, struct.pack("<I", 10**6)), r"must end before the file does, at byte 5360, got"),
        ("rec", put(3 * RAW + 4, struct.pack("<I", 1 << 29 | 528)), r"a\.rec: .*expected flag 2 or 3 of a part at byte 2144"),
        ("rec", put(3 * RAW + 4, struct.pack("<I", 2 << 29 | 528)), r"a\.rec: .*expected flag 0 or 1"),
        ("rec", put(3 * RAW + 32, struct.pack("<f", 3)), r"a\.rec.*kinds of sample 3 must be one of 1, 0, -1, -2, got 3"),
        ("rec", put(3 * RAW + 32 + 60, struct.pack("<f", 7)), r"a\.rec.*iou of sample 3 must be in 0..1, got 7"),
        ("rec", put(3 * RAW + 36, struct.pack("<f", np.nan)), r"a\.rec.*offsets of sample 3 must be finite"),
        ("rec", put(3 * RAW + 32 + 64, struct.pack("<f", 0.5)), r"a\.rec.*has_box of sample 3 must be 0 or 1, got 0.5"),
        ("idx", edit(lambda data: data.extend(b"10\t99\n")), r"a\.idx: expected 10 lines, numbered from 0"),
        ("idx", put(0, b"1"), r"a\.idx: expected 10 lines, numbered from 0"),
        ("idx", put(0, b"x"), r"a\.idx: expected lines of a number, a tab and a byte"),
        ("idx", put(2, b"4"), r"a\.idx: expected records from the beginning of a\.rec on, got \[4\]"),
        ("idx", lambda path: path.write_bytes(path.read_bytes().replace(b"1072", b"1074")), r"must begin at a multiple of 4"),
        ("idx", lambda path: path.write_bytes(path.read_bytes().replace(b"1072", b"1080")), r"take at least 536 bytes, got"),
        ("idx", lambda path: path.write_bytes(path.read_bytes().replace(b"4824", b"9999999999999999999999")), r"a\.\w\w\w"),
    ],
)  # fmt: skip
def test_damage_whose_digests_are_right(tmp_path: Path, ending: str, damage: Callable[[Path], Any], message: str) -> None:
    damage(write(tmp_path / "a", make_samples(10, 12)).with_suffix(f".{ending}"))
    stamp_anew(tmp_path / "a")
    with pytest.raises(DataError, match=message):
        Reader(tmp_path / "a")[:]
    with pytest.raises(DataError, match=message):
        check(tmp_path / "a")


def test_files_that_are_no_such_image(tmp_path: Path) -> None:
    write(tmp_path / "a", make_samples(10, 12), encoding="png")
    place = (tmp_path / "a.rec").read_bytes().index(b"\x89PNG", 1000)
    put(place, b"none")(tmp_path / "a.rec")
    stamp_anew(tmp_path / "a")
    with pytest.raises(DataError, match=r"a\.rec: the record at byte \d+ must hold a png of 12 x 12 pixels, got \[0 0\]"):
        Reader(tmp_path / "a")[:]


def test_raw_record_that_the_json_calls_png(tmp_path: Path) -> None:
    write(tmp_path / "a", make_samples(10, 12))
    field("encoding", "png")(tmp_path / "a.json")
    with pytest.raises(DataError, match="must hold a png"):
        Reader(tmp_path / "a")[:]


def test_a_record_of_other_parts(tmp_path: Path, samples: Samples) -> None:
    write(tmp_path / "a", make_samples(10, 12, seed=1))
    write(tmp_path / "b", make_samples(10, 12, seed=2))
    os.replace(tmp_path / "b.rec", tmp_path / "a.rec")  # of the same size
    with pytest.raises(DataError, match=r"a\.rec: damaged, or of another record"):
        check(tmp_path / "a")


@pytest.mark.parametrize("place", [0, 1, 40, 110, -1, -200])
def test_check_finds_any_change(tmp_path: Path, place: int) -> None:
    path = write(tmp_path / "a", make_samples(10, 12)).with_suffix(".rec")
    check(tmp_path / "a")
    edit(lambda data: data.__setitem__(place, data[place] ^ 1))(path)
    with pytest.raises(DataError, match=r"a\.rec: damaged"):
        check(tmp_path / "a")


def test_check_compares_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "a", make_samples(10, 12)).with_suffix(".json")
    counts = json.loads(path.read_text())["counts"]
    field("counts", {**counts, "positive": counts["negative"] + 1, "negative": counts["positive"] - 1})(path)
    with pytest.raises(DataError, match=r"a\.json: expected the counts .*, which a\.rec holds, got"):
        check(tmp_path / "a")


def test_names_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "b.json").mkdir()
    for name in ("b", "zero\0byte", "n" * 300):
        with pytest.raises(DataError, match=name[:4]):
            Reader(tmp_path / name)


# ---- threads and processes


def test_threads_share_a_reader(tmp_path: Path) -> None:
    samples = make_samples(500, 12)
    reader = Reader(write(tmp_path / "a", samples))
    wrong: list[int] = []

    def read(seed: int) -> None:
        for i in np.random.default_rng(seed).integers(0, 500, 300):
            if not np.array_equal(reader[int(i)].crops[0], samples.crops[i]):
                wrong.append(int(i))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def _sum_of(reader: Reader, index: int) -> int:
    return int(reader[index].crops.sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_share_a_reader(tmp_path: Path, samples: Samples, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    reader = Reader(write(tmp_path / "a", samples))
    with multiprocessing.get_context(method).Pool(2) as pool:
        sums = pool.starmap(_sum_of, [(reader, i) for i in range(20)])
    assert sums == [int(crop.sum()) for crop in samples.crops[:20]]


def test_a_pickled_reader_finds_its_file(tmp_path: Path, samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(Reader(write(Path("a"), samples)))
    monkeypatch.chdir("/")
    assert len(pickle.loads(pickled)) == 100


def test_stamps_compare() -> None:
    assert Stamp(1, "a") == Stamp(1, "a") != Stamp(2, "a")
