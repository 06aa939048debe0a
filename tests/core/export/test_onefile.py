"""The cascade as one ONNX file against the Python cascade with the same weights."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest

from mtcnn_gluon import Detector, Faces, read_image
from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.bundles.onnx_nets import to_bytes
from mtcnn_gluon.bundles.parameters import bundle_parameters
from mtcnn_gluon.bundles.trained import as_trained
from mtcnn_gluon.detection import cascade
from mtcnn_gluon.export.bundle_files import make_bundle
from mtcnn_gluon.export.onefile import cascade_model
from onefile_session import MANIFEST, PARAMETERS, Session, agreeing, make_model
from painted_faces import make_photo, paint

LOW = (0.3, 0.2, 0.1)  # thresholds at which much is found that is no face
PORTRAIT = Path(__file__).parents[2] / "portrait.jpg"


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(make_model())


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return read_image(PORTRAIT)  # (320, 340, 3)


@cache
def official_detector() -> Detector:
    return Detector("official", engine="onnx")


def detect(image: np.ndarray, **options: Any) -> Faces:
    """What the Python cascade finds, with options as in `cascade.Settings`."""
    detector = official_detector()
    return cascade.detect([image], detector.engine, replace(detector.settings, **options))[0]


def assert_same(session: Session, image: np.ndarray, at_least: int, **options: Any) -> None:
    expected, found = detect(image, **options), session.detect(image, **options)
    assert len(found) == len(expected) >= at_least
    assert agreeing(expected, found) == agreeing(found, expected) == len(expected)
    np.testing.assert_allclose(found.scores, expected.scores, atol=0.01)  # in the same order


@pytest.mark.parametrize("options", [{}, {"thresholds": LOW}, {"min_face": 12}, {"min_face": 80.3, "thresholds": LOW}])
def test_the_portrait(session: Session, portrait: np.ndarray, options: dict[str, Any]) -> None:
    assert_same(session, portrait, 1, **options)


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.8])
def test_factors(session: Session, portrait: np.ndarray, factor: float) -> None:
    assert_same(session, portrait, 1, factor=factor, thresholds=LOW)


@pytest.mark.parametrize("height, width", [(319, 339), (201, 340), (320, 177), (150, 151)])
def test_odd_sizes(session: Session, portrait: np.ndarray, height: int, width: int) -> None:
    assert_same(session, portrait[-height:, :width], 1, thresholds=LOW)


@pytest.mark.parametrize("rows, columns", [(slice(60, 320), slice(170, 340)), (slice(0, 140), slice(0, 170))])
def test_faces_across_the_border(session: Session, portrait: np.ndarray, rows: slice, columns: slice) -> None:
    assert_same(session, portrait[rows, columns], 1, thresholds=(0.2, 0.05, 0.01))


def test_levels_in_several_strips(session: Session, portrait: np.ndarray) -> None:
    assert_same(session, cv2.resize(portrait, None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR), 1, min_face=15)


def test_many_faces(session: Session, portrait: np.ndarray) -> None:
    small = [cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA) for side in (75, 100, 150)]
    assert_same(session, np.hstack([np.tile(each, (300 // len(each), 300 // len(each), 1)) for each in small]), 20)


@pytest.mark.parametrize("height, width", [(13, 3000), (3000, 13), (40, 2000)])
def test_long_images(session: Session, portrait: np.ndarray, height: int, width: int) -> None:
    side = min(height, width)
    tile = cv2.resize(portrait[40:190, 90:240], (side, side), interpolation=cv2.INTER_AREA)
    image = np.tile(tile, (-(-height // side), -(-width // side), 1))[:height, :width]
    assert_same(session, image, 0, min_face=12, thresholds=(0.1, 0.1, 0.01))


def test_grey_images(session: Session, portrait: np.ndarray) -> None:
    grey = portrait.mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    assert_same(session, grey, 1)


@pytest.mark.parametrize("seed", range(3))
def test_painted_faces(session: Session, seed: int) -> None:
    photo = make_photo("a.png", [[20, 30, 80, 90], [100, 20, 130, 50], [140, 60, 230, 150]])
    assert_same(session, paint(170, 260, photo, seed), 4, thresholds=(0.05, 0.005, 0.001))


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (12, 12), (19, 19), (20, 20), (21, 33), (5, 2000)])
@pytest.mark.parametrize("value", [0, 255])
def test_images_without_faces(session: Session, shape: tuple[int, int], value: int) -> None:
    faces = session.detect(np.full((*shape, 3), value, np.uint8))
    assert faces.boxes.shape == (0, 4) and faces.scores.shape == (0,) and faces.landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize("thresholds", [(1, 0, 0), (0.6, 1, 0), (0.6, 0.7, 1)])
def test_nothing_passes_a_stage(session: Session, portrait: np.ndarray, thresholds: tuple[float, ...]) -> None:
    assert len(session.detect(portrait, thresholds=thresholds)) == len(detect(portrait, thresholds=thresholds)) == 0


@pytest.mark.parametrize(
    "name, value", [("min_face", 0), ("min_face", 1e9), ("min_face", np.nan), ("factor", 0), ("factor", 2)]
)
def test_senseless_options_end(session: Session, portrait: np.ndarray, name: str, value: float) -> None:
    assert len(session.detect(portrait[:40, :40], **{name: value})) == 0


def test_photos(session: Session, dev_photos: list[Path]) -> None:
    total = same = found = 0
    for path in dev_photos[::4]:
        image = read_image(path)
        expected, faces = detect(image), session.detect(image)
        total, found, same = total + len(expected), found + len(faces), same + agreeing(expected, faces)
    assert total > 30 and abs(found - total) <= 0.01 * total
    assert same >= 0.99 * total


def test_continuous_boxes(tmp_path: Path, portrait: np.ndarray) -> None:
    bundle = make_bundle(tmp_path / "model", as_trained(PARAMETERS), "test", "none", "MIT")
    assert bundle.manifest["box_convention"] == "continuous"
    compare_bundle(bundle, portrait, 1)


def test_random_nets(tmp_path: Path, portrait: np.ndarray) -> None:
    generator = np.random.default_rng(0)
    parameters = {
        net: {name: generator.normal(0, 0.05, value.shape).astype(np.float32) for name, value in values.items()}
        for net, values in PARAMETERS.items()
    }
    bundle = make_bundle(tmp_path / "model", as_trained(parameters), "test", "noise", "MIT", thresholds=(0.5, 0.3, 0.3))
    compare_bundle(bundle, portrait[::4, ::4], 20)


def compare_bundle(bundle: Bundle, image: np.ndarray, at_least: int) -> None:
    model = to_bytes(cascade_model(bundle.manifest, bundle_parameters(bundle)))
    expected, found = Detector(bundle.path, engine="onnx").detect(image), Session(model).detect(image)
    assert len(expected) == len(found) >= at_least
    assert agreeing(expected, found) == len(expected)


def test_nets_made_for_bgr(session: Session, portrait: np.ndarray) -> None:
    swapped = {
        net: {name: value[:, ::-1] if name == f"{net}_conv1_weight" else value for name, value in values.items()}
        for net, values in PARAMETERS.items()
    }
    model = to_bytes(cascade_model({**MANIFEST, "colour_order": "BGR"}, swapped))
    np.testing.assert_array_equal(Session(model).detect(portrait).boxes, session.detect(portrait).boxes)


def test_defaults_of_the_file(session: Session, portrait: np.ndarray) -> None:
    changed = Session(to_bytes(cascade_model({**MANIFEST, "thresholds": LOW}, PARAMETERS, min_face=50, factor=0.5)))
    expected = session.detect(portrait, thresholds=LOW, min_face=50, factor=0.5)
    np.testing.assert_array_equal(changed.detect(portrait).boxes, expected.boxes)
    assert len(expected) != len(session.detect(portrait))


def test_the_file(session: Session) -> None:
    model = onnx.load_from_string(make_model())
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 17)]
    assert all(node.domain == "" for node in all_nodes(model.graph))
    metadata = {each.key: each.value for each in model.metadata_props}
    assert metadata["name"] == "official" and metadata["licence"] and metadata["inputs"] and metadata["outputs"]
    inputs = session.runtime.get_inputs()
    assert [(each.name, each.type, each.shape) for each in inputs] == [("image", "tensor(uint8)", ["height", "width", 3])]
    assert [each.name for each in session.runtime.get_overridable_initializers()] == ["min_face", "factor", "thresholds"]
    shapes = {each.name: each.shape for each in session.runtime.get_outputs()}
    assert shapes == {"boxes": ["faces", 4], "scores": ["faces"], "landmarks": ["faces", 5, 2]}


def all_nodes(graph: Any) -> list[Any]:
    nodes = list(graph.node)
    for node in graph.node:
        nodes += [inner for attribute in node.attribute if attribute.HasField("g") for inner in all_nodes(attribute.g)]
    return nodes


def test_the_same_bytes_every_time() -> None:
    assert make_model() == make_model() != make_model(thresholds=[0.5, 0.5, 0.5])


def test_images_of_another_kind(session: Session) -> None:
    for image in (np.zeros((20, 20), np.uint8), np.zeros((20, 20, 4), np.uint8), np.zeros((20, 20, 3), np.float32)):
        with pytest.raises(Exception, match=r"(?i)invalid"):
            session.runtime.run(None, {"image": image})


def test_one_thread_and_many_find_the_same(portrait: np.ndarray) -> None:
    results = []
    for threads in (1, 3):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        results.append(onnxruntime.InferenceSession(make_model(), options).run(None, {"image": portrait}))
    for one, many in zip(*results):
        np.testing.assert_allclose(one, many, atol=1e-3)
