"""From folders of samples to training records: ratios, scarce and missing kinds, folders that do not fit, order."""

import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any, Mapping

import numpy as np
import pytest

from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.prepare_data import merge
from mtcnn_gluon.prepare_data.generate import REPORT
from mtcnn_gluon.prepare_data.merge import MergeOptions, kinds_of, mixture, warn_if_starved
from mtcnn_gluon.records.files import Reader, RecordWriter, check
from mtcnn_gluon.records.samples import KIND_NAMES, Kind, Samples, parse_ratio
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.sampler import Sampler
from record_samples import assert_equal, make_samples

RATIO, PAPER = parse_ratio("3:1:1:1"), parse_ratio("3:1:1:2")


def make_records(folders: list[Path], net: Any, out: Path, **options: Any) -> dict[str, Any]:
    return merge.make_records(MergeOptions(net=net, folders=tuple(map(str, folders)), out=str(out), **options))


def of_kind(kind: str, count: int, size: int, seed: int = 0) -> Samples:
    """Samples of one kind, all different."""
    value = Kind[kind.upper()]
    has_box, has_landmarks = value in (Kind.POSITIVE, Kind.PART), value == Kind.LANDMARK
    samples = make_samples(count, size, seed)
    changes = dict(kinds=np.full(count, value), has_box=np.full(count, has_box), has_landmarks=np.full(count, has_landmarks))
    return Samples(**{**vars(samples), **changes})


def make_folder(path: Path, net: str = "pnet", encoding: Any = "raw", seed: int = 0, **counts: int) -> Path:
    """A folder as `generate` leaves it."""
    path.mkdir(parents=True, exist_ok=True)
    for kind, count in counts.items():
        with RecordWriter(path / kind, net, encoding) as writer:
            writer.write(of_kind(kind, count, NETS[net].size, [*KIND_NAMES].index(kind) + 10 * seed))
    figures = {"faces": 5.0, "positive, side from 16 px": 3.0}
    report = {"digest": path.name, "counts": {**dict.fromkeys(KIND_NAMES, 0), **counts}, "figures": figures}
    (path / REPORT).write_text(json.dumps({**report, "made from": {"samples": "faces"}}))
    return path


def keys(samples: Samples) -> list[bytes]:
    """What tells samples apart, with all that they hold."""
    return [
        b"".join([*(getattr(samples, name)[i].tobytes() for name in vars(samples))])
        for i in range(len(samples))
    ]  # fmt: skip


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- how many


@pytest.mark.parametrize(
    ("counts", "ratio", "expected"),
    [
        ((100, 300, 100, 100), RATIO, (100, 300, 100, 100)),
        ((100, 299, 100, 100), RATIO, (99, 299, 99, 99)),
        ((100, 1000, 50, 100), RATIO, (50, 150, 50, 50)),
        ((100, 1000, 100, 100), PAPER, (100, 300, 100, 100)),  # too few landmarks cost no other samples
        ((100, 1000, 100, 0), RATIO, (100, 300, 100, 0)),
        ((0, 1000, 0, 0), RATIO, (0, 1000, 0, 0)),
        ((7, 0, 9, 0), RATIO, (7, 0, 7, 0)),
        ((7, 0, 9, 8), {"part": 1.0}, (0, 0, 9, 0)),
        ((10, 10, 10, 10), {"positive": 0.1, "part": 0.3}, (3, 0, 10, 0)),
        ((10, 10, 10, 10), {**RATIO, "landmark": 0}, (3, 10, 3, 0)),
        ((1, 1, 1, 1), RATIO, (0, 1, 0, 0)),
        ((0, 0, 0, 0), RATIO, (0, 0, 0, 0)),
    ],
)
def test_mixture(counts: tuple, ratio: Mapping[str, float], expected: tuple) -> None:
    order = ("positive", "negative", "part", "landmark")
    assert mixture(dict(zip(order, counts)), ratio) == dict(zip(order, expected))


@pytest.mark.parametrize(("ratio", "landmarks"), [("3:1:1:1", 20), ("3:1:1:2", 40)])
def test_pnet_has_one_record_at_the_ratio(tmp_path: Path, ratio: str, landmarks: int) -> None:
    folder = make_folder(tmp_path / "in", positive=30, negative=100, part=20, landmark=50)
    report = make_records([folder], "pnet", tmp_path / "out", ratio=ratio)
    assert files_of(tmp_path / "out") == ["pnet.idx", "pnet.json", "pnet.rec", REPORT]
    expected = {"positive": 20, "negative": 60, "part": 20, "landmark": landmarks}
    assert report["counts"] == check(tmp_path / "out/pnet").info.counts == expected
    assert json.loads((tmp_path / "out" / REPORT).read_text()) == report
    samples = Reader(tmp_path / "out/pnet")[:]
    known = [key for kind in KIND_NAMES for key in keys(Reader(folder / kind)[:])]
    found = keys(samples)
    assert len(set(found)) == len(found) and set(found) <= set(known)  # each once, and just as it was
    runs = 1 + np.count_nonzero(np.diff(samples.kinds))
    assert runs > len(samples) / 3  # well mixed


@pytest.mark.parametrize("net", ["rnet", "onet"])
def test_the_others_have_a_record_a_kind_with_everything(tmp_path: Path, net: str) -> None:
    counts = {"positive": 15, "negative": 9, "landmark": 12}
    folder = make_folder(tmp_path / "in", net, **counts)
    report = make_records([folder], net, tmp_path / "out", ratio="0:0:1:0")
    assert report["counts"] == {**counts, "part": 0}
    assert [name for name in files_of(tmp_path / "out") if name.endswith("json")] == [
        "landmark.json", "negative.json", "positive.json", REPORT,
    ]  # fmt: skip
    for kind in counts:
        before, after = (Reader(path / kind)[:] for path in (folder, tmp_path / "out"))
        assert sorted(keys(before)) == sorted(keys(after)) and keys(before) != keys(after)
        assert check(tmp_path / "out" / kind).info.seed == 0


@pytest.mark.parametrize("net", ["pnet", "rnet"])
def test_several_folders(tmp_path: Path, net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any encoding; a few samples at a time give the same as all at once."""
    folders = [
        make_folder(tmp_path / "a", net, positive=10, negative=40),
        make_folder(tmp_path / "b", net, encoding="png", seed=1, positive=7, part=20),
        make_folder(tmp_path / "c", net, seed=2, negative=30, landmark=20, part=1),
    ]
    report = make_records(folders, net, tmp_path / "out")
    assert report["counts"] == {"positive": 17, "negative": 51 if net == "pnet" else 70,
                                "part": 17 if net == "pnet" else 21, "landmark": 17 if net == "pnet" else 20}  # fmt: skip
    assert report["figures"] == {"faces": 15, "positive, side from 16 px": 9}
    assert report["made from"]["digests"] == ["a", "b", "c"]
    samples = Samples.concatenate([reader[:] for reader in kinds_of(tmp_path / "out").values()])
    known = {key for folder in folders for reader in kinds_of(folder).values() for key in keys(reader[:])}
    assert set(keys(samples)) <= known and len(set(keys(samples))) == len(samples)
    monkeypatch.setattr(merge, "BLOCK_BYTES", 3 * NETS[net].size ** 2 * 6)
    make_records(folders, net, tmp_path / "blocks")
    for name in files_of(tmp_path / "out"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "blocks" / name).read_bytes()


@pytest.mark.parametrize(("net", "name"), [("pnet", "pnet"), ("onet", "negative")])
def test_the_seed_decides_the_order(tmp_path: Path, net: str, name: str) -> None:
    folder = make_folder(tmp_path / "in", net, positive=20, negative=100, part=20, landmark=20)
    for out, seed in (("a", 5), ("b", 5), ("c", 6)):
        make_records([folder], net, tmp_path / out, seed=seed)
    a, b, c = ((tmp_path / out / f"{name}.rec").read_bytes() for out in "abc")
    assert a == b != c
    assert Reader(tmp_path / f"c/{name}").info.seed == 6


@pytest.mark.parametrize(("encoding", "quality"), [("png", None), ("jpeg", 90), ("webp", None)])
def test_encodings(tmp_path: Path, encoding: Any, quality: int | None) -> None:
    folder = make_folder(tmp_path / "in", "onet", positive=4, negative=4)
    make_records([folder], "onet", tmp_path / "out", encoding=encoding, quality=quality)
    reader = Reader(tmp_path / "out/positive")
    assert (reader.info.encoding, reader.info.quality) == (encoding, {"png": None, "jpeg": 90, "webp": 95}[encoding])
    if encoding == "png":
        assert sorted(keys(reader[:])) == sorted(keys(Reader(folder / "positive")[:]))


# ---- what does not fit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": "xnet"}, "net must be pnet, rnet or onet, not 'xnet'"),
        ({"seed": -1}, "seed must be a whole number, 0 or more, not -1"),
        ({"encoding": "gif"}, "encoding must be raw, png, jpeg or webp, not 'gif'"),
        ({"encoding": "jpeg", "quality": 101}, "quality must be a whole number from 1 to 100, not 101"),
        ({"quality": 90}, "quality must not be given for raw"),
        ({"ratio": "1:1:1"}, "ratio must be four numbers negative:positive:part:landmark, not '1:1:1'"),
        ({"ratio": "0:0:-1:0"}, "ratio must give shares"),
        *(({"ratio": ratio}, "ratio") for ratio in ("0:0:nan:0", "0:0:inf:0", "0:0:0:0", "", "a:1:1:1")),
        ({"out": "in"}, "out must be another folder than .*in, which holds samples"),
        ({"out": "other"}, "out must be another folder than .*other, which holds samples"),
    ],
)
def test_options_out_of_range(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """Nothing is written or removed for them."""
    folder, other = make_folder(tmp_path / "in", positive=2), make_folder(tmp_path / "other", positive=2)
    before = {path: path.read_bytes() for each in (folder, other) for path in each.iterdir()}
    out = tmp_path / change.get("out", "out")
    with pytest.raises(ConfigError, match=message):
        make_records(**{"folders": [folder], "net": "pnet", **change, "out": out})
    assert {path: path.read_bytes() for each in (folder, other) for path in each.iterdir()} == before
    assert not (tmp_path / "out").exists()


def test_folders_that_do_not_fit(tmp_path: Path) -> None:
    good = make_folder(tmp_path / "good", positive=9, negative=9)
    out = tmp_path / "out"
    with pytest.raises(DataError, match="nothing holds no samples: it has no report.json"):
        make_records([good, tmp_path / "nothing"], "pnet", out)
    with pytest.raises(DataError, match="holds samples for rnet, not for pnet"):
        make_records([good, make_folder(tmp_path / "rnet", "rnet", part=3)], "pnet", out)
    with pytest.raises(DataError, match="there are no samples in .*empty"):
        make_records([make_folder(tmp_path / "empty")], "pnet", out)
    with pytest.raises(DataError, match="leaves nothing of"):
        make_records([good], "pnet", out, ratio="0:0:0:1")
    with pytest.raises(ConfigError, match="folders must be one or more texts, not"):
        make_records([], "pnet", out)
    assert not out.exists()


@pytest.mark.parametrize("name", ["positive.json", "positive.rec", "positive.idx", REPORT])
@pytest.mark.parametrize("damage", ["missing", "short", "empty", "flipped"])
def test_damaged_folders(tmp_path: Path, name: str, damage: str) -> None:
    """A kind that the report counts and that is not there is no kind of which there is none."""
    folder = make_folder(tmp_path / "in", positive=9, negative=9)
    data = (folder / name).read_bytes()
    flipped = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    (folder / name).write_bytes({"short": data[:-5], "flipped": flipped}.get(damage, b""))
    if damage == "missing":
        (folder / name).unlink()
    with pytest.raises(DataError, match=f"positive|{REPORT}" if damage == "flipped" else name):
        make_records([folder], "pnet", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file/out", tmp_path / ("x" * 300)):
        with pytest.raises(DataError, match=r"cannot be (written|read)"):
            make_records([make_folder(tmp_path / "in", positive=9)], "pnet", out)


# ---- once more


@pytest.mark.parametrize("net", ["pnet", "rnet"])
def test_records_are_replaced_as_a_whole(tmp_path: Path, net: str) -> None:
    """Records of before, of kinds that there are no more, do not stay among the new ones."""
    both = make_folder(tmp_path / "both", "rnet", positive=9, negative=9, landmark=9)
    make_records([both], "rnet", tmp_path / "out")
    one = make_folder(tmp_path / "one", net, positive=9, negative=9)
    make_records([one], net, tmp_path / "out")
    make_records([one], net, tmp_path / "new")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "new")
    for name in files_of(tmp_path / "new"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "new" / name).read_bytes()


def test_a_folder_half_written_is_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "in", "rnet", positive=9, negative=9, part=9)
    make_records([folder], "rnet", tmp_path / "out")
    assert len(Sampler(tmp_path / "out", TrainingOptions("rnet")).pools) == 3
    written, write = [], merge._write

    def write_two(path: Path, *rest: Any) -> None:
        written.append(path)
        if len(written) == 3:
            raise KeyboardInterrupt
        write(path, *rest)

    monkeypatch.setattr(merge, "_write", write_two)
    for out in ("out", "new"):
        written.clear()
        with pytest.raises(KeyboardInterrupt):
            make_records([folder], "rnet", tmp_path / out, seed=1)
        with pytest.raises(DataError, match=f"{out} holds no finished records"):
            Sampler(tmp_path / out, TrainingOptions("rnet"))
    monkeypatch.undo()
    make_records([folder], "rnet", tmp_path / "new", seed=1)
    assert len(Sampler(tmp_path / "new", TrainingOptions("rnet")).pools) == 3


def test_kinds_of(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "in", positive=3, part=2)
    assert {name: len(reader) for name, reader in kinds_of(folder).items()} == {"positive": 3, "part": 2}
    with pytest.raises(DataError, match="holds no records"):
        kinds_of(tmp_path)
    assert_equal(kinds_of(folder)["part"][:], Reader(folder / "part")[:])


# ---- starving


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((10, 10, 1), []),
        ((10, 9, 1), ["only 9 negative samples for 10 positive ones"]),
        ((10, 0, 1), ["only 0 negative samples for 10 positive ones", "no samples of kind negative"]),
        ((0, 10, 0), ["no samples of kind positive", "no samples of kind part"]),
    ],
)
def test_starving_kinds(caplog: pytest.LogCaptureFixture, counts: tuple, expected: list[str]) -> None:
    with caplog.at_level(logging.WARNING):
        warn_if_starved({**dict(zip(("positive", "negative", "part"), counts)), "landmark": 0})
    assert len(caplog.messages) == len(expected)
    assert all(part in message for part, message in zip(expected, caplog.messages))
    assert "--thresholds" in caplog.text and "--top-up" in caplog.text if "only" in caplog.text else True


def test_records_warn_of_starving(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_records([make_folder(tmp_path / "in", "onet", positive=9, negative=3, part=2)], "onet", tmp_path / "out")
    assert "only 3 negative samples for 9 positive ones" in caplog.text


@pytest.mark.parametrize("net", ["pnet", "rnet"])
@pytest.mark.parametrize("way", ["same", "path", "link", "copy", "records"])
def test_nothing_counts_twice(tmp_path: Path, net: str, way: str) -> None:
    first, other = make_folder(tmp_path / "a", net, positive=3, negative=9), tmp_path / "other"
    make_folder(tmp_path / "b", net, seed=1, positive=3)
    if way == "link":
        other.symlink_to(first)
    elif way == "copy":
        shutil.copytree(first, other)
    elif way == "records":
        make_records([first], net, other)
    else:
        other = first if way == "same" else tmp_path / "b/../a"
    with pytest.raises(ConfigError, match=re.escape(f"{first} and {other} hold the same samples, which would count twice")):
        make_records([first, tmp_path / "b", other], net, tmp_path / "out")
    assert not (tmp_path / "out").exists()
