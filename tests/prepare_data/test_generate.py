"""From photos to records: the same bytes however they are made, what is wrong in the report, and mining."""

import itertools
import json
import os
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon import Detector
from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.format import read_bundle, write_bundle
from mtcnn_gluon.bundles.parameters import bundle_parameters
from mtcnn_gluon.bundles.trained import as_trained
from mtcnn_gluon.config import NETS
from mtcnn_gluon.detection import cascade
from mtcnn_gluon.detection.cascade import Candidates
from mtcnn_gluon.errors import ConfigError, DataError, ModelError, MtcnnError
from mtcnn_gluon.export.bundle_files import make_bundle
from mtcnn_gluon.io import files
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.operators import crop_resize
from mtcnn_gluon.operators.native import kernels
from mtcnn_gluon.prepare_data import generate as module
from mtcnn_gluon.prepare_data import sampling
from mtcnn_gluon.prepare_data.annotations import BAD_BOX, OUTSIDE, Annotations, Problems
from mtcnn_gluon.prepare_data.generate import OUTSIDE_PHOTO, PARTS, REPORT, UNREADABLE, SampleSource, generate, read_report
from mtcnn_gluon.prepare_data.readers import read_annotations
from mtcnn_gluon.prepare_data.sampling import SamplingOptions
from mtcnn_gluon.prepare_data.sources import FaceSource, LandmarkSource, MinedSource, MiningOptions
from mtcnn_gluon.records.files import Reader, check
from mtcnn_gluon.records.samples import KIND_NAMES, Kind, Samples
from painted_faces import HEADER, landmarks_of, make_annotations, make_photo, paint, write_photos
from record_samples import assert_equal

OPTIONS = SamplingOptions(negatives=8, negatives_near=2, jitters=6, landmark_jitters=5, min_face=15)
SMALL = make_annotations(14)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the photos of `SMALL`, which no test changes."""
    return write_photos(tmp_path_factory.mktemp("photos"), SMALL)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD", 4)


def faces(images: Path, net: str = "pnet", seed: int = 0, options: SamplingOptions = OPTIONS) -> FaceSource:
    return FaceSource(str(images), net, options, seed)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder, and the names of its subfolders."""
    return {path.name: path.read_bytes() if path.is_file() else b"" for path in sorted(folder.iterdir())}


def samples_of(folder: Path) -> dict[str, Samples]:
    return {kind: Reader(folder / kind)[:] for kind in KIND_NAMES if (folder / f"{kind}.json").exists()}


# ---- samples


@pytest.mark.parametrize(("net", "size"), [("pnet", 12), ("rnet", 24), ("onet", 48)])
def test_records_of_faces(tmp_path: Path, photos: Path, net: str, size: int) -> None:
    options = replace(OPTIONS, min_face=30)
    report = generate(faces(photos, net, options=options), SMALL, tmp_path / "out")
    names = [f"{kind}.{ending}" for kind in ("negative", "part", "positive") for ending in ("idx", "json", "rec")]
    assert sorted(contents(tmp_path / "out")) == sorted([*names, REPORT])
    assert read_report(tmp_path / "out") == json.loads(json.dumps(report))
    assert report["photos"] == 14 and not report["problems"] and report["made from"]["min_face"] == 30
    for kind, samples in samples_of(tmp_path / "out").items():
        assert check(tmp_path / "out" / kind).info.seed == 0
        assert len(samples) == report["counts"][kind] > 0 and samples.size == size
        assert (samples.kinds == Kind[kind.upper()]).all()
        low, high = {"positive": (0.65, 1.0001), "part": (0.4, 0.65), "negative": (0, 0.3)}[kind]
        assert ((samples.iou >= low) & (samples.iou < high)).all()
        assert sum(v for key, v in report["figures"].items() if key.startswith(f"{kind}, side from")) == len(samples)
    assert report["figures"]["faces"] == sum(sampling.learnable(photo, options).sum() for photo in SMALL.photos)


def test_pixels_and_targets_of_a_record_are_of_the_same_crop(tmp_path: Path, photos: Path) -> None:
    """A box and its offsets say where the crop was: there detection would see the same pixels."""
    generate(faces(photos, "rnet"), SMALL, tmp_path / "out")
    for kind in ("positive", "part"):
        reader = Reader(tmp_path / "out" / kind)
        for samples in (reader[row] for row in range(0, len(reader), 3)):
            photo = SMALL.photos[int(samples.photos[0])]
            image, face = read_image(photos / photo.path), photo.boxes[samples.faces[0]].astype(float)
            dx1, dy1, dx2, _ = samples.offsets[0].astype(float)
            side = (face[2] - face[0]) / (1 + dx2 - dx1)
            corner = face[:2] - side * np.array([dx1, dy1])
            square = np.array([[*corner, *(corner + side)]])
            assert np.abs(crop_resize(image, square, 24)[0].transpose(1, 2, 0) - samples.crops[0]).max() < 0.6
            assert box_ops.iou(square, face[None])[0, 0] == pytest.approx(samples.iou[0], abs=1e-5)
            if samples.has_landmarks[0]:
                points = box_ops.decode_landmarks(square, samples.landmarks.reshape(1, 10))[0]
                np.testing.assert_allclose(points, photo.landmarks[samples.faces[0]], atol=1e-3)


def test_records_of_landmarks(tmp_path: Path, photos: Path) -> None:
    report = generate(LandmarkSource(str(photos), "onet", OPTIONS), SMALL, tmp_path / "out")
    assert sorted(contents(tmp_path / "out")) == ["landmark.idx", "landmark.json", "landmark.rec", REPORT]
    samples = Reader(tmp_path / "out/landmark")[:]
    assert len(samples) == report["counts"]["landmark"] > 20
    assert samples.has_landmarks.all() and ((samples.landmarks >= 0) & (samples.landmarks <= 1)).all()


# ---- the same, however


@pytest.mark.parametrize("kind", [FaceSource, LandmarkSource])
def test_one_process_or_two(tmp_path: Path, photos: Path, kind: Callable[..., SampleSource]) -> None:
    source = kind(str(photos), "pnet", OPTIONS, 3)
    assert generate(source, SMALL, tmp_path / "1", workers=1) == generate(source, SMALL, tmp_path / "2", workers=2)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    generate(replace(source, seed=4), SMALL, tmp_path / "other")  # type: ignore[type-var]
    records = [name for name in contents(tmp_path / "1") if name.endswith(".rec")]
    assert records and not any(
        (tmp_path / "1" / name).read_bytes() == (tmp_path / "other" / name).read_bytes() for name in records
    )


def test_once_more_does_nothing(tmp_path: Path, photos: Path) -> None:
    report = generate(faces(photos), SMALL, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = generate(replace(faces(photos), images=str(tmp_path)), SMALL, tmp_path)
    assert again == json.loads(json.dumps(report))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def run_and_kill(moment: int, after: bool, task: Callable[[], Any]) -> bool:
    """Run a task in a process that is killed when file number `moment` takes its name; returns whether it ended before that."""
    if child := os.fork():
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -signal.SIGKILL)
        return status == 0
    try:
        moments, take_name = itertools.count(), files.take_name

        def take_name_and_die(draft: str, target: Path) -> None:
            is_it = next(moments) == moment
            if is_it and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            take_name(draft, target)
            if is_it:
                os.kill(os.getpid(), signal.SIGKILL)

        files.take_name = take_name_and_die
        task()
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_moment(tmp_path: Path, photos: Path, after: bool) -> None:
    """At every file that takes its name: what is there is whole or no record, and going on gives the same bytes."""
    generate(faces(photos), SMALL, tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    for moment in range(100):
        out = tmp_path / str(moment)
        make = partial(generate, faces(photos), SMALL, out)
        if run_and_kill(moment, after, make):
            break
        for kind in KIND_NAMES:
            if (out / f"{kind}.json").exists():
                check(out / kind)
        assert not (out / REPORT).exists() or moment == 14
        run_and_kill(1, after, make)
        make()
        assert contents(out) == expected, moment
    assert moment == 15  # 1 identity, 4 shards, 3 records of 3 files, 1 report


def test_work_of_other_options_is_not_taken(tmp_path: Path, photos: Path) -> None:
    other = faces(photos, seed=1)
    run_and_kill(3, True, partial(generate, other, SMALL, tmp_path / "parts"))  # some shards, no record: begun again
    generate(faces(photos), SMALL, tmp_path / "parts")
    generate(faces(photos), SMALL, tmp_path / "new")
    assert contents(tmp_path / "parts") == contents(tmp_path / "new")
    run_and_kill(12, True, partial(generate, other, SMALL, tmp_path / "records"))  # some records: not mixed with others
    for folder in ("records", "new"):
        before = contents(tmp_path / folder)
        with pytest.raises(ConfigError, match=f"{folder} holds samples of other photos or options"):
            generate(LandmarkSource(str(photos), "pnet", OPTIONS), SMALL, tmp_path / folder)
        assert contents(tmp_path / folder) == before


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"net": "rnet"},
        *({"options": replace(OPTIONS, **{name: value})} for name, value in (
            ("positive", 0.7), ("part", 0.45), ("negative", 0.2), ("min_face", 16), ("jitters", 7), ("scale_low", 0.9),
            ("jitters_large", 1), ("large_face", 50),
            ("scale_high", 1.2), ("shift", 0.1), ("negatives", 9), ("negatives_near", 3), ("negatives_mined", 99),
            ("landmark_jitters", 6), ("rotation", 10), ("mirror", False),
        )),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("kind", [FaceSource, LandmarkSource])
def test_every_option_makes_other_samples(photos: Path, kind: Callable[..., Any], change: dict[str, Any]) -> None:
    source = kind(str(photos), "pnet", OPTIONS)
    assert replace(source, **change).describe() != source.describe() == replace(source, images="/").describe()


def test_faces_and_landmarks_are_not_the_same(photos: Path) -> None:
    assert faces(photos).describe() != LandmarkSource(str(photos), "pnet", OPTIONS).describe()


# ---- what is wrong


def test_photos_that_cannot_be_read(tmp_path: Path, photos: Path) -> None:
    """They are listed, and the other photos' samples stay what they were."""
    generate(faces(photos), SMALL, tmp_path / "whole")
    images = Path(shutil.copytree(photos, tmp_path / "images"))
    (images / "01.png").unlink()
    (images / "04.png").write_bytes((photos / "04.png").read_bytes()[:500])
    (images / "05.png").write_bytes(b"")
    (images / "07.png").unlink()
    (images / "07.png").mkdir()
    report = generate(faces(images), SMALL, tmp_path / "out")
    lines = report["problems"][UNREADABLE]
    assert [name in line for name, line in zip(("01.png", "04.png", "05.png", "07.png"), lines)] == [True] * 4
    assert "does not exist" in lines[0] and "truncated" in lines[1] and "empty" in lines[2] and "folder" in lines[3]
    assert report["photos"] == 10
    whole, found = samples_of(tmp_path / "whole"), samples_of(tmp_path / "out")
    for kind, samples in found.items():
        assert_equal(samples, whole[kind][~np.isin(whole[kind].photos, [1, 4, 5, 7])])


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    photos = [make_photo("a\udce9.png", [[10, 10, 60, 60]]), make_photo("b.png", [[10, 10, 60, 60]])]
    Image.fromarray(paint(100, 120, photos[1])).save(tmp_path / "b.png")
    report = generate(faces(tmp_path), Annotations(photos, Problems()), tmp_path / "out")
    assert report["problems"][UNREADABLE][0].encode() and report["photos"] == 1


def test_wrong_faces_are_listed(tmp_path: Path, photos: Path) -> None:
    """Of no size, outside their photo, or landmarks outside their box: counted, listed and not learned."""
    boxes = [
        [10, 10, 60, 60],
        [30, 30, 30, 60],
        [500, 20, 560, 80],
        [95, 20, 155, 80],
        [80, 20, 130, 80],
        [-9e5, -9e5, 9e5, 9e5],
    ]
    points = [landmarks_of(np.array(box))[0] for box in boxes]
    points[4] = points[4] + 100
    rows = [",".join(["01.png", *map(str, box), *map(str, point.ravel())]) for box, point in zip(boxes, points)]
    (tmp_path / "list.csv").write_text("\n".join([HEADER, *rows]))
    annotations = read_annotations(tmp_path / "list.csv")
    for source in (faces(photos), LandmarkSource(str(photos), "pnet", OPTIONS)):
        out = tmp_path / type(source).__name__
        report = generate(source, annotations, out)
        assert {kind: len(lines) for kind, lines in report["problems"].items()} == {BAD_BOX: 1, OUTSIDE: 1, OUTSIDE_PHOTO: 3}
        assert report["problems"][OUTSIDE_PHOTO][0] == "01.png: face 2 from 500, 20 to 560, 80 in a photo of 120 x 100 pixels"
        assert report["figures"]["faces"] == 2
        learned = np.concatenate([samples.faces for samples in samples_of(out).values()])
        assert set(learned) <= {0, 4, -1}
        if isinstance(source, LandmarkSource):
            assert set(learned) == {0}


def test_no_sample_at_all_and_then_the_right_folder(tmp_path: Path, photos: Path) -> None:
    for annotations in (Annotations([], Problems()), SMALL):
        with pytest.raises(DataError, match="out: no sample came of 0 photos"):
            generate(faces(tmp_path), annotations, tmp_path / "out")
    assert generate(faces(photos), SMALL, tmp_path / "out")["photos"] == 14


@pytest.mark.parametrize(
    "out", ["file", "file/out", "x" * 300, "a\0b", "/proc/out"], ids=["file", "in a file", "too long", "zero byte", "proc"]
)
def test_folders_that_cannot_be_written(tmp_path: Path, photos: Path, out: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match=r"cannot be (written|read)"):
        generate(faces(photos), SMALL, tmp_path / out)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\udcff"], ids=["empty", "half", "list", "null", "bytes"])
def test_damage_between_two_runs(tmp_path: Path, photos: Path, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    generate(faces(photos), SMALL, tmp_path / "whole")
    for damaged in ("about.json", "00000004.npz"):
        out = tmp_path / damaged
        run_and_kill(4, True, partial(generate, faces(photos), SMALL, out))
        (out / PARTS / damaged).write_bytes(data)
        if damaged == "about.json":
            generate(faces(photos), SMALL, out)
            assert contents(out) == contents(tmp_path / "whole")
        else:
            with pytest.raises(DataError, match=r"00000004.npz is damaged: remove it and run the same command again"):
                generate(faces(photos), SMALL, out)
    (tmp_path / "whole" / REPORT).write_bytes(data)
    with pytest.raises(DataError, match=REPORT):
        generate(faces(photos), SMALL, tmp_path / "whole")


@pytest.mark.parametrize("kind", [FaceSource, LandmarkSource])
def test_a_folder_of_photos_that_does_not_exist(tmp_path: Path, kind: Callable[..., SampleSource]) -> None:
    with pytest.raises(ConfigError, match="images must be a folder, not '/nowhere'"):
        generate(kind("/nowhere", "pnet"), SMALL, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- mining


@pytest.fixture(scope="session")
def mining(tmp_path_factory: pytest.TempPathFactory, image: np.ndarray) -> tuple[Path, Annotations]:
    """Three cuts of the portrait, in which its face and one that is not there are marked."""
    folder = tmp_path_factory.mktemp("mining")
    photos = []
    for number, (x, y) in enumerate([(0, 0), (60, 20), (110, 0)]):
        Image.fromarray(image[y : y + 300, x : x + 300]).save(folder / f"{number}.png")
        boxes = np.array([[165, 55, 280, 170], [20, 220, 80, 290]]) - [x, y, x, y]
        photos.append(make_photo(f"{number}.png", boxes[:1] if number else boxes))
    return folder, Annotations(photos, Problems())


def miner(folder: Path, stage: Any = "pnet", model: Any = "official", **mining: Any) -> MinedSource:
    return MinedSource(str(folder), MiningOptions(model=str(model), stage=stage, **mining))


class NoNets(MinedSource):
    """Mining whose proposals are given."""

    given: np.ndarray

    def _propose(self, image: np.ndarray) -> np.ndarray:
        return self.given


@pytest.mark.parametrize("stage", ["pnet", "rnet"])
def test_proposals_are_those_of_the_detector(mining: tuple[Path, Annotations], own_cache: None, stage: Any) -> None:
    folder, annotations = mining
    detector = Detector("official")
    source = miner(folder, stage, thresholds=(0.5, 0.4), find_from=24)
    source.options = SamplingOptions(negatives_mined=10**5)
    source.prepare()
    settings = replace(detector.settings, min_face=24, thresholds=(0.5, 0.4, 1))
    for number, photo in enumerate(annotations.photos):
        image = read_image(folder / photo.path)
        expected = cascade.propose([image], detector.engine, settings)
        if stage == "rnet":
            expected = cascade.refine([image], expected, detector.engine, settings)
        proposals = source._propose(image)
        assert len(proposals) == len(expected) > 0
        order = np.argsort(-expected.scores, kind="stable")
        np.testing.assert_array_equal(proposals, expected.boxes[order])
        samples, figures = source.samples(image, photo, number)
        labelled = sampling.label(proposals, photo, source.options)
        np.testing.assert_array_equal(samples.kinds, labelled.kinds)
        np.testing.assert_array_equal(samples.iou, labelled.iou.astype(np.float32))
        assert {Kind.POSITIVE, Kind.NEGATIVE} <= set(samples.kinds)
        crops = np.rint(crop_resize(image, labelled.boxes, samples.size)).transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(samples.crops, crops)
        assert (figures["proposals"], figures["faces"], figures["faces found"]) == (len(proposals), len(photo), 1)


def test_a_model_of_other_colours(mining: tuple[Path, Annotations], tmp_path: Path) -> None:
    """A bundle that wants BGR sees BGR, as in the Detector."""
    bundle = Path(shutil.copytree(find_bundle("official").path, tmp_path / "bgr"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**manifest, "colour_order": "BGR"}))
    image = read_image(mining[0] / "0.png")
    ours, other = miner(mining[0]), miner(mining[0], model=bundle)
    ours.prepare()
    other.prepare()
    np.testing.assert_array_equal(other._propose(image[:, :, ::-1].copy()), ours._propose(image))


@pytest.mark.skipif(kernels() is None, reason="MXNet's own operators differ in the last digits with the number of threads")
def test_mining_with_one_process_or_two(
    mining: tuple[Path, Annotations], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD", 1)
    one, two = (generate(miner(mining[0], "rnet"), mining[1], tmp_path / f"{n}", n) for n in (1, 2))
    assert one == two and contents(tmp_path / "1") == contents(tmp_path / "2")
    assert one["figures"]["faces found"] == 3 and one["figures"]["faces"] == 4
    assert Reader(tmp_path / "1/positive").info.net == "onet"


def test_mined_kinds_limits_and_figures(tmp_path: Path) -> None:
    """Proposals, best first: three on the face, three elsewhere, one on a face that is too small."""
    photo = make_photo("a.png", [[20, 20, 60, 60], [80, 20, 92, 32], [100, 60, 130, 90]])
    image = paint(100, 140, photo)
    none = MiningOptions(model="", stage="pnet")
    source = NoNets(str(tmp_path), none, SamplingOptions(negatives_mined=2))
    source.given = np.array([
        [0, 0, 12, 12], [22, 22, 60, 60], [60, 60, 80, 80], [20, 20, 50, 50], [81, 21, 92, 32], [-30, -30, 90, 90],
        [60, 0, 80, 20],
    ], np.float32)  # fmt: skip
    samples, figures = source.samples(image, photo, 5)
    assert samples.kinds.tolist() == [Kind.NEGATIVE, Kind.POSITIVE, Kind.NEGATIVE, Kind.PART]  # the best two negatives
    assert samples.faces.tolist() == [-1, 0, -1, 0] and samples.size == 24 and (samples.photos == 5).all()
    assert samples.has_landmarks.tolist() == [False, True, False, False]
    assert (figures["proposals"], figures["faces"], figures["faces found"]) == (7, 2, 1)
    source.options = SamplingOptions()
    assert (source.samples(image, photo, 5)[0].kinds == Kind.NEGATIVE).sum() == 4
    source.mining = replace(none, top_up=3)
    topped = source.samples(image, photo, 5)[0]
    assert (topped.kinds == Kind.NEGATIVE).sum() == 4 + 2 * 3
    assert ((topped.iou[-6:] > 0) & (topped.iou[-6:] < 0.3)).all()
    source.given, source.mining = source.given[:0], none
    samples, figures = source.samples(image, photo, 5)
    assert len(samples) == 0 and (figures["proposals"], figures["faces found"]) == (0, 0)


def test_proposals_come_best_first(
    monkeypatch: pytest.MonkeyPatch, mining: tuple[Path, Annotations], detector: Detector
) -> None:
    boxes = np.arange(20, dtype=np.float32).reshape(5, 4)
    scores = np.array([0.7, 0.9, 0.6, 0.9, 1], np.float32)
    monkeypatch.setattr(cascade, "propose", lambda *_: Candidates(np.zeros(5, int), boxes, scores))
    source = miner(mining[0])
    source._detector = detector
    np.testing.assert_array_equal(source._propose(np.zeros((9, 9, 3), np.uint8)), boxes[[4, 1, 3, 0, 2]])


@pytest.mark.parametrize("stage, net", [("pnet", "rnet"), ("rnet", "onet")])
def test_a_second_round_asks_the_next_net(mining: tuple[Path, Annotations], own_cache: None, stage: Any, net: str) -> None:
    """The same proposals as in the first round, in the order of what the net that learns from them says of them."""
    folder, annotations = mining
    rounds = [miner(folder, stage, thresholds=(0.3, 0.1), find_from=24, again=again) for again in (False, True)]
    image = read_image(folder / annotations.photos[0].path)
    for source in rounds:
        source.prepare()
    first, second = (source._propose(image) for source in rounds)
    assert len(first) > 10 and not np.array_equal(first, second)
    np.testing.assert_array_equal(first[np.lexsort(first.T)], second[np.lexsort(second.T)])
    crops = crop_resize(image, second, NETS[net].size, 127.5, 1 / 128)
    scores = getattr(rounds[1]._detector.engine, net)(crops)[0]
    assert (np.diff(scores) <= 1e-6).all() and scores[0] > 0.9 > 0.1 > scores[-1]


def test_a_second_round_needs_a_trained_net(mining: tuple[Path, Annotations], tmp_path: Path) -> None:
    bundle = make_bundle(
        tmp_path / "bundle", as_trained({"pnet": bundle_parameters(find_bundle("official"))["pnet"]}), "first", "", ""
    )
    source = miner(mining[0], model=bundle.path, again=True)
    with pytest.raises(ConfigError, match="again needs a model whose rnet is trained"):
        source.prepare()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("again, damage, message", [
    (True, b"", "again needs a model whose rnet is trained"),
    (False, b"damage", "(?i)no engine can be used|cannot be (used|read)"),
], ids=["untrained", "damaged"])  # fmt: skip
def test_why_nobody_can_work_is_said(
    mining: tuple[Path, Annotations], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, again: bool, damage: bytes,
    message: str,
) -> None:  # fmt: skip
    """Also where it shows in worker processes only: they are not said to have died."""
    monkeypatch.setattr(module, "SHARD", 1)
    nets = as_trained({"pnet": bundle_parameters(find_bundle("official"))["pnet"]})
    path = make_bundle(tmp_path / "bundle", nets, "first", "", "", formats=["params"]).path
    if damage:
        manifest = {key: value for key, value in read_bundle(path).manifest.items() if key not in ("schema", "files")}
        write_bundle(
            path, manifest, lambda folder: [(folder / f"{net}-0000.params").write_bytes(damage) for net in NETS] and None
        )
    source = miner(mining[0], model=path, again=again)
    with pytest.raises(MtcnnError, match=message) as refusal:
        generate(source, mining[1], tmp_path / "out", workers)
    assert "died" not in str(refusal.value)


@pytest.mark.parametrize(
    "change",
    [
        *({"mining": MiningOptions(**{"model": "official", "stage": "pnet", **change})} for change in (
            {"stage": "rnet"}, {"thresholds": (0.5, 0.5)}, {"find_from": 24}, {"top_up": 1}, {"again": True},
        )),
        {"seed": 1},
        {"options": SamplingOptions(min_face=24)}, {"options": SamplingOptions(negatives_mined=9)},
        "weights", "thresholds", "colour_order",
    ],
    ids=str,
)  # fmt: skip
def test_everything_that_mining_depends_on(mining: tuple[Path, Annotations], tmp_path: Path, change: Any) -> None:
    source = miner(mining[0])
    if isinstance(change, dict):
        assert replace(source, **change).describe() != source.describe()
        return
    bundle = Path(shutil.copytree(find_bundle("official").path, tmp_path / "other"))
    assert miner(mining[0], model=bundle).describe() == source.describe()  # wherever the model is
    manifest = json.loads((bundle / "manifest.json").read_text())
    if change == "weights":
        (bundle / "more").write_text("x")
        manifest["files"]["more"] = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    else:
        manifest[change] = {"thresholds": [0.5, 0.7, 0.7], "colour_order": "BGR"}[change]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    assert miner(mining[0], model=bundle).describe() != source.describe()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": "onet"}, "stage must be pnet or rnet, not 'onet'"),
        ({"top_up": -1}, "top_up must be a whole number, 0 or more, not -1"),
        ({"thresholds": (0.5, 1.5)}, "thresholds must be 2 numbers from 0 to 1"),
        ({"thresholds": (-0.1, 0.5)}, "thresholds"),
        ({"thresholds": (np.nan, 0.5)}, "thresholds"),
        ({"thresholds": (0.5,)}, "thresholds"),
        ({"find_from": 0.5}, "find_from must be a number from 1 to below 1e\\+09, not 0.5"),
        ({"find_from": np.nan}, "find_from"),
        ({"find_from": np.inf}, "find_from"),
    ],
)
def test_mining_options_out_of_range(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MiningOptions(**{"model": "official", "stage": "pnet", **change})


def test_defaults_are_described_as_they_are_declared(mining: tuple[Path, Annotations]) -> None:
    """`20` and `20.0` are equal, but not their digests."""
    assert '"find_from": 20,' in json.dumps(miner(mining[0], find_from=20.0).describe())


def test_mining_without_a_model(mining: tuple[Path, Annotations], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nothing"):
        generate(miner(mining[0], model=tmp_path / "nothing"), mining[1], tmp_path / "out")


# ---- real photos


def test_real_photos(data: Path, tmp_path: Path) -> None:
    folder = data / "wider_train"
    landmarks = folder / "wider_face_dev_landmarks_auto.csv"
    annotations = read_annotations(folder / "wider_face_dev_bbx_gt.txt", landmarks=landmarks)
    annotations = Annotations(annotations.photos[::13], annotations.problems)
    assert len(annotations.photos) == 19
    report = generate(FaceSource(str(folder / "images"), "pnet"), annotations, tmp_path / "faces")
    assert report["photos"] == 19 and min(report["counts"][kind] for kind in ("positive", "part", "negative")) > 100
    for kind in ("positive", "part", "negative"):
        assert check(tmp_path / "faces" / kind).info.counts[kind] == report["counts"][kind]
    assert check(tmp_path / "faces/positive").with_landmarks > 100
    report = generate(LandmarkSource(str(folder / "images"), "onet"), annotations, tmp_path / "landmarks")
    assert report["counts"]["landmark"] > 100 and check(tmp_path / "landmarks/landmark").with_landmarks
