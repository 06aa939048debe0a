"""Nets that see more than the candidate, with a stride: what they see in detection, in training samples and in every engine."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Sequence

import numpy as np
import pytest

from mtcnn_gluon import Detector
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.bundles.onnx_nets import describe
from mtcnn_gluon.bundles.trained import TrainedNet
from mtcnn_gluon.detection import cascade
from mtcnn_gluon.detection.photos import CpuPhotos
from mtcnn_gluon.engines import ENGINES
from mtcnn_gluon.engines.base import Cells, Level
from mtcnn_gluon.errors import ModelError, Unavailable
from mtcnn_gluon.export.bundle_files import export_bundle, make_bundle
from mtcnn_gluon.layers import View, parameter_shapes, parse_layers, view_of
from mtcnn_gluon.operators import crop_resize
from mtcnn_gluon.prepare_data.annotations import Photo
from mtcnn_gluon.prepare_data.cropping import cut_samples
from mtcnn_gluon.prepare_data.sampling import Crops
from mtcnn_gluon.records.samples import NO_FACE, Kind

TABLES: dict[str, dict[str, Any]] = {
    "pnet": {"size": 34, "context": 11, "landmarks": False,
             "layers": parse_layers("conv 16 4 2, conv 24 3, pool 2 2, conv 32 3, conv 32 3, conv 32 3")},
    "rnet": {"size": 36, "context": 6, "landmarks": False,
             "layers": parse_layers("conv 16 4 2, conv 32 3, pool 2 2, conv 64 3, conv 64 3, dense 128")},
    "onet": {"size": 44, "context": 5, "landmarks": True,
             "layers": parse_layers("conv 16 4 2, conv 32 3, pool 2 2, conv 32 3, pool 2 2, conv 32 2, dense 64, dense 48")},
}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Random nets whose scores differ from crop to crop."""
    generator = np.random.default_rng(1)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if not name.endswith("_weight"):
            return np.full(shape, 0.2 if name.endswith("alpha") else 0, np.float32)
        gain = 4 if "_cls_" in name else 0.2 if "_box_" in name else 1.4
        return generator.normal(0, gain / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    nets = {
        net: TrainedNet(
            {name: draw(name, shape) for name, shape in parameter_shapes(net, table).items()},
            ("cls", "box", "landmark") if table["landmarks"] else ("cls", "box"), table=table,
        )
        for net, table in TABLES.items()
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("model") / "wide"
    return make_bundle(folder, nets, "wide", "noise", "MIT", thresholds=(0.9, 0.05, 0.2), formats=["params", "onnx", "onefile"])


def detector_of(bundle: Bundle, engine: str = "auto", **options: Any) -> Detector:
    try:
        return Detector(bundle.path, engine=engine, **options)
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_the_manifest_keeps_the_architecture(bundle: Bundle) -> None:
    assert bundle.manifest["architecture"] == TABLES
    views = {net: (view.size, view.context, view.stride, view.cell) for net, view in detector_of(bundle).settings.views.items()}
    assert views["pnet"] == (34, 11, 4, 12)
    assert views["rnet"][3] == 24 and views["onet"][3] == 34


def cells_of(image: np.ndarray, levels: Sequence[Level], detector: Detector, settings: cascade.Settings) -> Cells:
    """All cells of P-Net on these levels that reach the settings' thresholds."""
    photos = cascade.take_in([image], detector.engine, settings)
    assert isinstance(photos, CpuPhotos)
    sides = settings.views["pnet"].cell / np.array([each.scale_x for each in levels])
    return photos.cells([levels], settings.threshold(0, sides))


def test_pnet_sees_what_samples_show(bundle: Bundle, image: np.ndarray) -> None:
    """On the level whose scale is 1, a cell has the output of the crop around it, at the border as well."""
    image = image[100:259, 60:293]
    detector = detector_of(bundle, min_face=12, factor=0.1, thresholds=(0, 0.5, 0.5))
    view = detector.settings.views["pnet"]
    levels = cascade.pyramid.plan_levels(*image.shape[:2], 12, 0.01, view)
    _, cells, scores, offsets = cells_of(image, levels, detector, detector.settings)
    corners = cells[:, ::-1] * view.stride
    squares = np.hstack([corners, corners + view.cell]).astype(np.float64)
    inside = (squares[:, 2] <= 233 + 4) & (squares[:, 3] <= 159 + 4)
    assert squares.min() == -4
    assert inside.sum() == 39 * 58  # a cell every four pixels in 159 rows and 233 columns, and one beyond every border
    crops = crop_resize(image, view.around(squares[inside]), view.size, 127.5, 1 / 128)
    expected = [detector.engine.pnet(crop[None]) for crop in crops]
    np.testing.assert_allclose(scores[inside], [probability[0, 0] for probability, _ in expected], atol=1e-5)
    np.testing.assert_allclose(offsets[inside], [each[:, 0, 0] for _, each in expected], atol=1e-5)


@pytest.mark.parametrize("net", ["rnet", "onet"])
def test_other_nets_see_what_samples_show(bundle: Bundle, image: np.ndarray, net: Any) -> None:
    detector = detector_of(bundle)
    squares = np.array([[150, 60, 250, 160], [-20, -30, 60, 50], [490, 480, 530, 520], [200, 200, 213, 213]], np.float32)
    nobody = Photo("", *(np.zeros(shape) for shape in ((0, 4), 0, (0, 5, 2), 0)))  # type: ignore[arg-type]
    crops = Crops(squares.astype(np.float64), np.full(4, int(Kind.NEGATIVE)), np.full(4, NO_FACE), np.zeros(4))
    samples = cut_samples(image, crops, nobody, 0, view_of(TABLES[net]))
    expected = getattr(detector.engine, net)(
        ((samples.crops.transpose(0, 3, 1, 2) - np.float32(127.5)) / 128).astype(np.float32)
    )
    candidates = cascade.Candidates(np.zeros(4, int), squares, np.ones(4, np.float32))
    found = cascade.run_on_crops([image], candidates, detector.engine, net, detector.settings)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=0.03)  # samples are rounded to whole pixel values


def test_offsets_are_relative_to_the_candidate(bundle: Bundle, image: np.ndarray) -> None:
    photo = Photo("", np.array([[100, 100, 140, 160.0]]), np.zeros(1, bool), np.full((1, 5, 2), np.nan), np.zeros(1))
    crops = Crops(np.array([[100, 110, 150, 160.0]]), np.array([int(Kind.PART)]), np.array([0]), np.array([0.5]))
    wide, plain = (cut_samples(image, crops, photo, 0, view) for view in (View(36, 6), View(24)))
    np.testing.assert_allclose(wide.offsets, [[0, -0.2, -0.2, 0]])
    np.testing.assert_array_equal(wide.offsets, plain.offsets)
    np.testing.assert_allclose(wide.crops[0, 6:30, 6:30].astype(int), plain.crops[0], atol=1)


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree(bundle: Bundle, image: np.ndarray, engine: str) -> None:
    if engine in ("openvino-bf16", "native-int8", "torch-fp16"):
        pytest.skip("fewer bits differ by more")
    image = image[::2, ::2]
    expected, found = detector_of(bundle, "onnx").detect(image), detector_of(bundle, engine).detect(image)
    assert len(expected) > 10
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.02)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=0.02)


def test_the_one_file_agrees(bundle: Bundle, image: np.ndarray) -> None:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(bundle.path / "mtcnn.onnx"), providers=["CPUExecutionProvider"])
    for part in (image[::2, ::2], image[30:71, 40:140]):
        expected = detector_of(bundle, "onnx").detect(part)
        boxes, scores, landmarks = session.run(None, {"image": np.ascontiguousarray(part)})
        assert len(boxes) == len(expected) > 0
        np.testing.assert_allclose(boxes, expected.boxes, atol=0.02)
        np.testing.assert_allclose(scores, expected.scores, atol=1e-4)
        np.testing.assert_allclose(landmarks, expected.landmarks, atol=0.02)


def test_batches_and_single_images_agree(bundle: Bundle, image: np.ndarray) -> None:
    detector = detector_of(bundle)
    images = [image[::2, ::2], image[:90, :120], image[::3, ::2]]
    for one, each in zip(detector.detect_batch(images), images):
        alone = detector.detect(each)
        np.testing.assert_allclose(one.boxes, alone.boxes, atol=1e-3)


@pytest.fixture(scope="module")
def with_large_faces(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same nets with lower thresholds for large faces, and a score of all three."""
    changes = {"large_faces": {"side": 45, "factors": [0.5, 0.2, 0.5]}, "score_weights": [0.1, 0.25]}
    return export_bundle(bundle, tmp_path_factory.mktemp("large") / "model", ["params", "onnx", "onefile"], changes)


def test_thresholds_of_large_faces(bundle: Bundle, with_large_faces: Bundle, image: np.ndarray) -> None:
    """Candidates of each stage are those of the low thresholds, without the small ones that the high ones refuse."""
    picture = image[::2, ::2]
    detector = detector_of(with_large_faces)
    high = detector.settings
    low = replace(high, thresholds=(0.45, 0.01, 0.1), large_side=np.inf)
    levels = cascade.pyramid.plan_levels(*picture.shape[:2], high.min_face, high.factor, high.views["pnet"])
    level, _, scores, _ = cells_of(picture, levels, detector, low)
    sides = 12 / np.array([each.scale_x for each in levels])[level]
    passed = scores >= np.where(sides >= 45, 0.45, 0.9)
    assert passed.sum() < len(passed) and (sides[passed] >= 45).any() and (sides[passed] < 45).any()
    np.testing.assert_array_equal(cells_of(picture, levels, detector, high).scores, scores[passed])
    assert len(cascade.propose([picture], detector.engine, high)) > len(
        cascade.propose([picture], detector.engine, detector_of(bundle).settings)
    )
    squares = np.array([[0, 0, 45, 45], [0, 0, 44, 44]])
    np.testing.assert_allclose(high.threshold(1, squares[:, 2]), [0.01, 0.05])


@pytest.mark.parametrize("engine", ["native", "onnx", "one file"])
def test_engines_agree_on_large_faces_and_scores_of_all_nets(with_large_faces: Bundle, image: np.ndarray, engine: str) -> None:
    picture = np.ascontiguousarray(image[::2, ::2])
    expected = detector_of(with_large_faces, "native").detect(picture)
    if engine == "one file":
        runtime = pytest.importorskip("onnxruntime")
        session = runtime.InferenceSession(str(with_large_faces.path / "mtcnn.onnx"), providers=["CPUExecutionProvider"])
        boxes, scores, _ = session.run(None, {"image": picture})
    else:
        found = detector_of(with_large_faces, engine).detect(picture)
        boxes, scores = found.boxes, found.scores
    np.testing.assert_allclose(scores, expected.scores, atol=1e-4)
    np.testing.assert_allclose(boxes, expected.boxes, atol=0.02)


@pytest.mark.parametrize("weights", [(0.1, 0.25), (0.1, 0), (0, 0.25), (0, 0)])
def test_scores_of_all_nets(bundle: Bundle, image: np.ndarray, weights: tuple[float, float]) -> None:
    """The log-odds of a face's score are O-Net's, and P- and R-Net's by their weights."""
    picture = image[::2, ::2]
    detector = detector_of(bundle)
    settings = replace(detector.settings, score_weights=weights, thresholds=(0.9, 0.05, 0), nms=(0.5, 0.7, 1, 1))
    proposed = cascade.propose([picture], detector.engine, settings)
    first, _ = cascade.run_on_crops([picture], proposed, detector.engine, "rnet", settings)
    refined = cascade.refine([picture], proposed, detector.engine, settings)
    own, _, _ = cascade.run_on_crops([picture], refined, detector.engine, "onet", settings)
    faces = cascade.output([picture], refined, detector.engine, settings)[0]
    assert (proposed.odds is None) == (not weights[0]) and (refined.odds is None) == (weights == (0, 0))

    def log_odds(scores: np.ndarray) -> np.ndarray:
        scores = np.clip(scores.astype(np.float64), 1e-4, 1 - 1e-4)
        return np.log(scores / (1 - scores))

    rows = [np.flatnonzero(first == score)[0] for score in refined.scores]
    expected = weights[0] * log_odds(proposed.scores[rows]) + weights[1] * log_odds(first[rows])
    expected = own / (own + (1 - own) * np.exp(-expected))
    assert len(set(rows)) == len(rows) > 10
    np.testing.assert_allclose(np.sort(faces.scores), np.sort(expected), atol=1e-5)


@pytest.mark.parametrize("value", [[0.1], [0.1, 0.2, 1], [0.1, -1], [0.1, 2], [0.1, True], "0.1 0.2", {}, [None, None]])
def test_score_weights_that_cannot_be(bundle: Bundle, tmp_path: Path, value: Any) -> None:
    with pytest.raises(ModelError, match="'score_weights' must be 2 numbers from 0 to 1, got"):
        export_bundle(bundle, tmp_path / "model", ["params"], {"score_weights": value})


@pytest.mark.parametrize("value", [
    {}, {"side": 40}, {"side": 0, "factors": [1, 1, 1]}, {"side": 40, "factors": [1, 1]}, {"side": 40, "factors": [1, 1, 1.5]},
    {"side": True, "factors": [1, 1, 1]}, {"side": 40, "factors": [1, 1, None]}, [40, 1, 1, 1],
    {"side": float("nan"), "factors": [1, 1, 1]},
])  # fmt: skip
def test_large_faces_that_cannot_be(bundle: Bundle, tmp_path: Path, value: Any) -> None:
    with pytest.raises(ModelError, match="'large_faces' must be a side of 1 pixel or more and 3 factors from 0 to 1, got"):
        export_bundle(bundle, tmp_path / "model", ["params"], {"large_faces": value})


def test_metadata_of_onnx_files_says_what_the_nets_see(with_large_faces: Bundle) -> None:
    onnx = pytest.importorskip("onnx")
    for name in ("pnet.onnx", "mtcnn.onnx"):
        texts = {each.key: each.value for each in onnx.load(with_large_faces.path / name).metadata_props}
        assert texts["context"] == '{"pnet": 11, "rnet": 6, "onet": 5}'
        assert texts["large_faces"] == '{"side": 45, "factors": [0.5, 0.2, 0.5]}'
        assert texts["score_weights"] == "[0.1, 0.25]"
    assert not {"context", "large_faces", "score_weights"} & set(describe(find_bundle("gluon-4").manifest))
