"""The interface of facenet-pytorch: shapes, types, order, crops, files, errors; beside the package itself where installed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mtcnn_gluon.compat.facenet_pytorch as ours
from compat_programs import FACENET_PYTORCH, made_of, run
from mtcnn_gluon.boxes import iou
from mtcnn_gluon.errors import ConfigError, DataError, ImageError

OFFICIAL = {"model": "official"}
AGREED = {"overlap": 0.85, "points": 1.5, "score": 0.02}  # least IoU; most pixels, and difference of scores


@pytest.fixture(scope="module")
def theirs() -> Any:
    return pytest.importorskip("facenet_pytorch", reason="needs facenet-pytorch and PyTorch: pip install facenet-pytorch")


@pytest.fixture(scope="module")
def net() -> ours.MTCNN:
    return ours.MTCNN(**OFFICIAL)


@pytest.fixture(scope="module")
def every() -> ours.MTCNN:
    return ours.MTCNN(keep_all=True, **OFFICIAL)


def blank(width: int = 340, height: int = 320) -> Image.Image:
    return Image.new("RGB", (width, height))


def test_the_program_runs_with_its_import_changed(folder: Path) -> None:
    made = run(FACENET_PYTORCH, "mtcnn_gluon.compat.facenet_pytorch")
    assert tuple(made["face"].shape) == (3, 120, 120) and 0.8 < made["probability"] <= 1
    assert len(made["boxes"]) == 1 and tuple(made["cut"].shape) == (3, 80, 80)
    assert Image.open("out/face.png").size == (120, 120) and Image.open("out/cut_0.png").size == (80, 80)
    assert made["nobody"][0] is None and made["nobody"][1][0] is None


def test_the_program_gives_the_same_kinds_of_results(folder: Path, theirs: Any) -> None:
    here, there = run(FACENET_PYTORCH, "mtcnn_gluon.compat.facenet_pytorch"), run(FACENET_PYTORCH, "facenet_pytorch")
    names = ("face", "probability", "batch", "boxes", "probabilities", "points", "cut", "frame_boxes", "frame_probabilities",
             "frame_faces", "frame_odds", "nobody")  # fmt: skip
    assert {name: made_of(here[name]) for name in names} == {name: made_of(there[name]) for name in names}


def test_the_same_faces(theirs: Any, group: Image.Image) -> None:
    for each in (group, np.asarray(group)):
        a = theirs.MTCNN(keep_all=True).detect(each, landmarks=True)
        b = ours.MTCNN(keep_all=True, **OFFICIAL).detect(each, landmarks=True)
        (boxes, scores, points), (box, score, point) = ([part.astype(np.float64) for part in parts] for parts in (a, b))
        assert boxes.shape == box.shape == (2, 4)
        assert iou(boxes, box).diagonal().min() >= AGREED["overlap"]
        assert np.abs(points - point).max() <= AGREED["points"] and np.abs(scores - score).max() <= AGREED["score"]


@pytest.mark.parametrize("kind", ["pil", "array", "tensor"])
@pytest.mark.parametrize("margin, size", [(0, 160), (20, 97), (44, 182), (0, 20)])
@pytest.mark.parametrize("box", [(10.7, 20.2, 200.9, 250.4), (-30, -40, 100, 100), (200, 200, 500, 600.5)], ids=str)
def test_the_same_crops(theirs: Any, photo: Image.Image, kind: str, margin: int, size: int, box: tuple) -> None:
    torch = pytest.importorskip("torch")
    image = {"pil": photo, "array": np.array(photo), "tensor": torch.from_numpy(np.array(photo))}[kind]
    a, b = (each.extract_face(image, np.array(box), size, margin) for each in (theirs, ours))
    assert a.shape == b.shape and a.dtype == b.dtype and float((a - b).abs().max()) <= (1 if kind == "tensor" else 0)
    assert torch.allclose(theirs.prewhiten(a), ours.prewhiten(a), atol=1e-5)
    assert torch.equal(theirs.fixed_image_standardization(a), ours.fixed_image_standardization(a))


@pytest.mark.parametrize("method", ["probability", "largest", "largest_over_threshold", "center_weighted_size"])
@pytest.mark.parametrize("seed", range(5))
def test_the_same_choice(theirs: Any, net: ours.MTCNN, method: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 200, (6, 2))
    boxes, probs = np.hstack([corners, corners + rng.uniform(5, 100, (6, 2))]), rng.uniform(0.91, 1, 6)
    points = rng.random((6, 5, 2))
    for image, given in ((blank(), (boxes, probs, points)), ([blank()] * 2, ([boxes] * 2, [probs] * 2, [points] * 2))):
        a, b = (each.select_boxes(*given, image, method) for each in (theirs.MTCNN(), net))
        assert all(np.array_equal(np.array(x, float), np.array(y, float)) for x, y in zip(a, b))


# ---- without the package


def test_one_photo(net: ours.MTCNN, photo: Image.Image) -> None:
    boxes, probs, points = net.detect(photo, landmarks=True)
    assert boxes.shape == (1, 4) and probs.shape == (1,) and points.shape == (1, 5, 2)
    assert boxes.dtype == probs.dtype == points.dtype == object and isinstance(probs[0], float)
    assert len(net.detect(photo)) == 2 and points[0, 0, 0] < points[0, 1, 0]


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_several_photos(net: ours.MTCNN, photo: Image.Image, n: int) -> None:
    boxes, probs = net.detect([photo] * n)
    assert boxes.shape == ((n, 1, 4) if n else (0,)) and probs.shape == ((n, 1) if n else (0,))
    faces = net([photo] * n)
    assert isinstance(faces, list) and [tuple(face.shape) for face in faces] == [(3, 160, 160)] * n


def test_nobody(net: ours.MTCNN, every: ours.MTCNN, photo: Image.Image) -> None:
    for each in (net, every):
        boxes, probs, points = each.detect(blank(), landmarks=True)
        assert boxes is None and probs.tolist() == [None] and points is None and each(blank()) is None
    assert net(blank(), return_prob=True) == (None, None)
    assert every(blank(), return_prob=True)[1].tolist() == [None]
    faces, probs = net([photo, blank()], return_prob=True)  # facenet-pytorch fails here
    assert faces[1] is None and faces[0] is not None and probs[1, 0] is None and probs[0, 0] > 0.9
    boxes, probs = net.detect([blank(), photo])
    assert boxes.shape == (2,) and boxes[0] is None and boxes[1].shape == (1, 4) and probs.shape == (2, 1)


def test_photos_of_several_sizes(net: ours.MTCNN, photo: Image.Image, group: Image.Image) -> None:
    """facenet-pytorch refuses them."""
    boxes, _ = net.detect([photo, group])
    assert [len(each) for each in boxes] == [1, 2]
    for single, each in zip((photo, group), boxes):
        assert np.allclose(net.detect(single)[0].astype(float), each.astype(float))


def test_kinds_of_photos(net: ours.MTCNN, photo: Image.Image) -> None:
    array = np.asarray(photo)
    expected = net.detect(photo)[0]
    for each in (array, array.astype(np.float32), array.astype(np.int64), np.dstack([array, np.full(array.shape[:2], 255)])):
        assert np.array_equal(net.detect(each)[0], expected)
    for several in ((photo, array), [array, array], np.stack([array, array])):
        assert net.detect(several)[0].shape == (2, 1, 4)


@pytest.mark.parametrize("select_largest, first", [(True, "large"), (False, "probable")])
def test_order(group: Image.Image, select_largest: bool, first: str) -> None:
    boxes, probs = ours.MTCNN(select_largest=select_largest, **OFFICIAL).detect(group)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert len(boxes) == 2 and (areas[0] > areas[1] if first == "large" else probs[0] >= probs[1])


FIVE = np.array([[0, 0, 20, 20], [100, 100, 130, 130], [0, 0, 60, 60], [140, 140, 190, 190], [145, 135, 185, 185.0]])
SCORES = np.array([0.99, 0.95, 0.85, 0.5, 0.6])


@pytest.mark.parametrize(
    "method, threshold, weight, chosen",
    [
        ("probability", 0.9, 2, 0), ("largest", 0.9, 2, 2), ("largest_over_threshold", 0.9, 2, 1),
        ("largest_over_threshold", 0.8, 2, 2), ("largest_over_threshold", 0, 2, 2), ("largest_over_threshold", 0.99, 2, None),
        ("center_weighted_size", 0.9, 2, 3), ("center_weighted_size", 0.9, 0, 2),
    ],
)  # fmt: skip
def test_choosing_a_face(net: ours.MTCNN, method: str, threshold: float, weight: float, chosen: int | None) -> None:
    points = np.arange(50.0).reshape(5, 5, 2)
    for image in (blank(330, 330), np.zeros((330, 330, 3), np.uint8)):
        box, probability, point = net.select_boxes(FIVE, SCORES, points, image, method, threshold, weight)
        if chosen is None:
            assert box is None and probability is None and point is None
        else:
            assert np.array_equal(box, FIVE[[chosen]]) and probability == SCORES[chosen]
            assert np.array_equal(point, points[[chosen]])


def test_crops_of_one_and_of_all_faces(net: ours.MTCNN, every: ours.MTCNN, group: Image.Image) -> None:
    faces, probs = every(group, return_prob=True)
    assert tuple(faces.shape) == (2, 3, 160, 160) and probs.shape == (2,)
    face, probability = net(group, return_prob=True)
    assert tuple(face.shape) == (3, 160, 160) and probability == probs[0]
    assert float(abs(face - faces[0]).max()) == 0 and float(abs(face).max()) <= 1
    boxes, _ = every.detect(group)
    assert float(abs(every.extract(group, boxes, None) - faces).max()) == 0


def test_attributes_may_change(photo: Image.Image) -> None:
    net = ours.MTCNN(**OFFICIAL)
    assert net.thresholds == [0.6, 0.7, 0.7] and net.selection_method == "largest" and net.keep_all is False
    net.keep_all, net.image_size, net.post_process = True, 32, False
    face = net(photo)
    assert tuple(face.shape) == (1, 3, 32, 32) and float(face.max()) > 1
    net.min_face_size = 200
    assert net(photo) is None
    net.min_face_size = "large"
    with pytest.raises(ConfigError, match="min_face_size must be"):
        net(photo)


def test_without_torch(without_torch: None, every: ours.MTCNN, net: ours.MTCNN, group: Image.Image) -> None:
    for faces, shape in ((every(group), (2, 3, 160, 160)), (net(group), (3, 160, 160))):
        assert isinstance(faces, np.ndarray) and faces.dtype == np.float32 and faces.shape == shape


def test_saved_faces(every: ours.MTCNN, group: Image.Image, tmp_path: Path) -> None:
    faces = ours.MTCNN(keep_all=True, post_process=False, **OFFICIAL)(group, save_path=str(tmp_path / "new/face.png"))
    for face, name in zip(faces, ("face.png", "face_2.png")):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "new" / name)), np.asarray(face).transpose(1, 2, 0))
    every([group, blank()], save_path=[str(tmp_path / "a.png"), str(tmp_path / "b.png")])
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["a.png", "a_2.png"]


@pytest.mark.parametrize("paths", ["a.png", ["a.png"], ["a.png"] * 3], ids=str)
def test_paths_that_do_not_fit(net: ours.MTCNN, photo: Image.Image, paths: Any) -> None:
    with pytest.raises(ConfigError, match="save_path must be a list of 2 paths"):
        net([photo, photo], save_path=paths)


@pytest.mark.parametrize("boxes", [None, [], [FIVE], [FIVE] * 3, 5], ids=lambda value: type(value).__name__)
def test_results_of_other_photos(net: ours.MTCNN, photo: Image.Image, boxes: Any) -> None:
    for use in (
        lambda: net.extract([photo, photo], boxes, None),
        lambda: net.select_boxes(boxes, [SCORES], [FIVE], [photo] * 2),
    ):
        with pytest.raises(ConfigError, match="expected the results of 2 images"):
            use()


def test_endings_that_are_no_pictures(net: ours.MTCNN, photo: Image.Image, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the ending must be one of"):
        net(photo, save_path=str(tmp_path / "face.txt"))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"thresholds": 0.6}, "thresholds must be"), ({"thresholds": [0.6, 0.7]}, "thresholds must be"),
        ({"thresholds": [0.6, 0.7, 1.7]}, "thresholds must be"),
        ({"factor": 1}, "factor must be"), ({"factor": 0}, "factor must be"), ({"min_face_size": 0}, "min_face_size must be"),
        ({"device": "tpu"}, "device must be"), ({"engine": "jax"}, "engine must be"),
    ],
    ids=str,
)  # fmt: skip
def test_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ours.MTCNN(**options)


@pytest.mark.parametrize("image", ["photo.jpg", None, 5, np.zeros((3, 3)) - 1], ids=lambda value: type(value).__name__)
def test_no_photo(net: ours.MTCNN, image: Any) -> None:
    with pytest.raises(ImageError):
        net.detect(image)


def test_other_methods_of_choosing(net: ours.MTCNN, photo: Image.Image) -> None:
    with pytest.raises(ConfigError, match="method must be probability, largest"):
        net.select_boxes(FIVE, SCORES, FIVE, photo, "best")


@pytest.mark.parametrize(
    "box, size, margin, message",
    [
        ((10, 10, 10.5, 20), 160, 0, "holds no pixel"), ((400, 10, 500, 90), 160, 0, "holds no pixel"),
        ((30, 10, 20, 90), 160, 0, "holds no pixel"), ((10, 10, 90, 90), 160, 160, "margin must be"),
        ((10, 10, 90, 90), 160, -1, "margin must be"), ((10, 10, 90, 90), 0, 0, "image_size must be"),
        ((10, 10, 90, 90), (80, 80), 0, "image_size must be"), ((10, 10, 90), 160, 0, "box must be four numbers"),
        ((10, 10, 90, np.nan), 160, 0, "box must be four"), (None, 160, 0, "box must be four"), ("abcd", 160, 0, "box must be"),
    ],
)  # fmt: skip
def test_crops_that_cannot_be(photo: Image.Image, box: tuple, size: int, margin: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ours.extract_face(photo, box, size, margin)


def test_moving_to_another_device() -> None:
    net = ours.MTCNN(model="gluon-4", engine="native")
    assert net.to("cpu") is net and net.cpu().eval().train() is net and net.device == "cpu"
    assert net.cuda(0).device == 0  # on the CPU, with a warning


@pytest.mark.parametrize("name", ["InceptionResnetV1", "PNet", "training"])
def test_names_that_stay_there(name: str) -> None:
    with pytest.raises(ImportError, match=f"{name} is not part of mtcnn_gluon, which detects faces"):
        getattr(ours, name)
    assert not hasattr(ours, "something")
