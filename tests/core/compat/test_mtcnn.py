"""The interface of mtcnn: dictionaries, tables, options, stages and errors; beside the package itself where it is installed."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from compat_programs import MTCNN as PROGRAM
from compat_programs import made_of, run
from mtcnn_gluon.boxes import iou
from mtcnn_gluon.compat.mtcnn import MTCNN
from mtcnn_gluon.compat.mtcnn.mtcnn import _fitted
from mtcnn_gluon.compat.mtcnn.stages import StageONet, StagePNet, StageRNet
from mtcnn_gluon.compat.mtcnn.utils.images import load_image
from mtcnn_gluon.errors import ConfigError, ImageError

AGREED = {"overlap": 0.85, "points": 3, "score": 0.02}  # least IoU; most pixels, and difference of scores


@pytest.fixture(scope="module")
def theirs() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    pytest.importorskip("tensorflow", reason="needs mtcnn and TensorFlow: pip install mtcnn tensorflow-cpu")
    return pytest.importorskip("mtcnn", reason="needs mtcnn: pip install mtcnn")


@pytest.fixture(scope="module")
def net() -> MTCNN:
    return MTCNN(model="official")


def test_the_program_runs_with_its_import_changed(folder: Path) -> None:
    made = run(PROGRAM, "mtcnn_gluon.compat.mtcnn")
    assert len(made["faces"]) == 1 and made["sure"] and min(made["cut"].shape[:2]) > 50
    assert [len(faces) for faces in made["batch"]] == [1, 0] and made["table"].shape == (1, 16)
    assert made["nobody"][0] == [] and made["nobody"][1].shape == (0, 16) and list(made["found"][0]) == ["box", "confidence"]


def test_the_program_gives_the_same_kinds_of_results(folder: Path, theirs: Any) -> None:
    here, there = run(PROGRAM, "mtcnn_gluon.compat.mtcnn"), run(PROGRAM, "mtcnn")
    names = ("image", "faces", "eyes", "batch", "table", "nobody", "found")
    assert {name: made_of(here[name]) for name in names} == {name: made_of(there[name]) for name in names}
    assert list(here["faces"][0]) == list(there["faces"][0])
    assert list(here["faces"][0]["keypoints"]) == list(there["faces"][0]["keypoints"])


def test_the_same_faces(theirs: Any, net: MTCNN, group: Image.Image) -> None:
    tables = [each.detect_faces(np.asarray(group), output_type="numpy", box_format="xyxy") for each in (theirs.MTCNN(), net)]
    there, here = (table[np.argsort(table[:, 1])] for table in tables)
    assert there.shape == here.shape == (2, 16) and there.dtype == here.dtype
    assert iou(there[:, 1:5], here[:, 1:5]).diagonal().min() >= AGREED["overlap"]
    assert np.abs(there[:, 6:] - here[:, 6:]).max() <= AGREED["points"]
    assert np.abs(there[:, 5] - here[:, 5]).max() <= AGREED["score"]


# ---- without the package


def test_a_face(net: MTCNN, photo: Image.Image) -> None:
    (face,) = net.detect_faces(np.asarray(photo))
    assert list(face) == ["box", "confidence", "keypoints"] and all(type(value) is int for value in face["box"])
    assert list(face["keypoints"]) == ["nose", "mouth_right", "right_eye", "left_eye", "mouth_left"]
    points = face["keypoints"]
    assert (
        points["left_eye"][0] < points["nose"][0] < points["right_eye"][0]
        and points["mouth_left"][0] < points["mouth_right"][0]
    )
    assert points["left_eye"][1] < points["nose"][1] < points["mouth_left"][1]
    x, y, width, height = face["box"]
    corners = net.detect_faces(np.asarray(photo), box_format="xyxy")[0]["box"]
    assert np.abs(np.array(corners) - (x, y, x + width, y + height)).max() <= 1  # each is rounded


def test_tables(net: MTCNN, photo: Image.Image, group: Image.Image) -> None:
    images = [np.asarray(each) for each in (photo, Image.new("RGB", (50, 40)), group)]
    table, faces = net.detect_faces(images, output_type="numpy"), net.detect_faces(images)
    assert table.shape == (3, 16) and table.dtype == np.float64 and table[:, 0].tolist() == [0, 2, 2]
    assert [len(each) for each in faces] == [1, 0, 2]
    for row, face in zip(table, [each for several in faces for each in several]):
        assert np.rint(row[1:5]).tolist() == face["box"] and row[5] == face["confidence"]
        assert [round(row[8]), round(row[13])] == face["keypoints"]["nose"]
        assert [round(row[6]), round(row[11])] == face["keypoints"]["left_eye"]
    for number, image in enumerate(images):
        single = net.detect_faces(image, output_type="numpy")
        assert np.allclose(single[:, 1:], table[table[:, 0] == number, 1:], atol=0.01)


def test_kinds_of_photos(net: MTCNN, folder: Path) -> None:
    array = load_image("photo.jpg")
    assert array.dtype == np.float32 and array.max() > 200 and load_image("photo.jpg", "uint8").dtype == np.uint8
    content = Path("photo.jpg").read_bytes()
    results = [net.detect_faces(each) for each in ("photo.jpg", Path("photo.jpg"), content, array, array.astype(np.uint8))]
    assert len(results[0]) == 1 and all(each == results[0] for each in results)
    assert net.detect_faces(["photo.jpg", array]) == [results[0]] * 2 and net.predict("photo.jpg") == results[0]
    assert net.detect_faces([]) == [] and net.detect_faces([], output_type="numpy").shape == (0, 16)


def test_fitting_to_the_image(net: MTCNN, photo: Image.Image) -> None:
    image = np.asarray(photo)[:, 130:]  # without an ear
    options = {"box_format": "xyxy", "output_type": "numpy"}
    fitted, free = net.detect_faces(image, **options), net.detect_faces(image, fit_to_image=False, **options)
    assert fitted.shape == free.shape == (1, 16) and free[0, 1] < 0 == fitted[0, 1]
    assert np.array_equal(free[:, 2:], fitted[:, 2:])
    assert np.array_equal(free, net.detect_faces(image, postprocess=False, **options))


@pytest.mark.parametrize("is_limited", [False, True])
def test_fitting_landmarks(is_limited: bool) -> None:
    table = np.array([[0, -1, -2, 30, 40, 0.9, *([-1] * 2), *([30] * 3), *([-1] * 2), *([40] * 3)]], float)
    fitted = _fitted(table, (20, 10, 3), is_limited)[0].tolist()
    points = [0, 0, 9, 9, 9, 0, 0, 19, 19, 19] if is_limited else [-1, -1, 30, 30, 30, -1, -1, 40, 40, 40]
    assert fitted == [0, 0, 0, 9, 19, 0.9, *points] and table[0, 1] == -1


@pytest.mark.parametrize(
    "option, more",
    [
        ({"min_face_size": 200}, False), ({"min_face_size": 70}, True), ({"min_size": 1}, False), ({"scale_factor": 0.5}, True),
        ({"threshold_pnet": 1}, False), ({"threshold_rnet": 1}, False), ({"threshold_onet": 1}, False),
        ({"threshold_onet": 0.9, "nms_pnet1": 0.4, "nms_pnet2": 0.6, "nms_rnet": 0.6, "nms_onet": 0.3}, True),
    ],
    ids=str,
)  # fmt: skip
def test_options_of_the_stages(net: MTCNN, photo: Image.Image, option: dict, more: bool) -> None:
    assert bool(net.detect_faces(np.asarray(photo), **option)) == more
    assert net.detect_faces(np.asarray(photo))  # the next call has its own


def test_own_thresholds(net: MTCNN) -> None:
    from mtcnn_gluon.compat.mtcnn.options import StageOptions

    assert StageOptions().settings(net._finder)["thresholds"] == (0.6, 0.7, 0.8)
    assert StageOptions(threshold_rnet=0.5).settings(net._finder)["thresholds"] == (0.6, 0.5, 0.8)
    assert StageOptions().settings(MTCNN(model="gluon-4")._finder)["thresholds"] == (0.5, 0.75, 0.8)


@pytest.mark.parametrize(
    "stages, columns",
    [
        ("face_detection_only", 6), ("face_and_landmarks_detection", 16), ([StagePNet], 6), ([StagePNet, StageRNet()], 6),
        ((StagePNet(), StageRNet(), StageONet()), 16),
    ],
    ids=["name", "names", "class", "class and object", "objects"],
)  # fmt: skip
def test_stages(photo: Image.Image, stages: Any, columns: int) -> None:
    net = MTCNN(stages, model="official")
    table, faces = net.detect_faces(np.asarray(photo), output_type="numpy"), net.detect_faces(np.asarray(photo))
    assert table.shape == (len(faces), columns) and len(faces) >= 1 and ("keypoints" in faces[0]) == (columns == 16)
    assert (np.diff(table[:, 5]) <= 0).all()
    assert net.detect_faces(np.zeros((50, 50, 3), np.uint8), output_type="numpy").shape == (0, columns)


def test_names_of_stages(net: MTCNN) -> None:
    assert [(stage.id, stage.name) for stage in net.stages] == [(1, "Stage PNET"), (2, "Stage RNET"), (3, "Stage ONET")]
    assert net.get_stage(stage_id=2) is net.get_stage(stage_name="Stage RNET") is net.stages[1]
    assert net.get_stage() is None and net.get_stage(4) is None and net.device == "CPU:0"


@pytest.mark.parametrize(
    "stages", ["faces", "", [], [StageRNet], [StagePNet, StageONet], [StagePNet, StagePNet], ["Stage PNET"], None], ids=str
)
def test_other_stages(stages: Any) -> None:
    with pytest.raises(ConfigError, match="stages must be"):
        MTCNN(stages)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"box_format": "yxyx"}, "box_format must be xywh or xyxy"), ({"output_type": "tensor"}, "output_type must be"),
        ({"batch_stack_justification": "middle"}, "batch_stack_justification must be"),
        ({"threshold_onett": 0.5}, "did you mean threshold_onet"), ({"threshold_onet": 2}, "threshold_onet must be"),
        ({"min_face_size": 0}, "min_face_size must be"), ({"scale_factor": 1}, "scale_factor must be"),
        ({"min_size": 500}, r"min_face_size \* 12 / min_size must be"), ({"nms_rnet": -1}, "nms_rnet must be"),
    ],
    ids=str,
)  # fmt: skip
def test_options_out_of_range(net: MTCNN, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        net.detect_faces(np.zeros((40, 40, 3), np.uint8), **options)


@pytest.mark.parametrize("image", ["nothing.jpg", b"", b"text", None, 5, np.zeros((3, 3, 2))], ids=lambda v: type(v).__name__)
def test_no_photo(net: MTCNN, image: Any) -> None:
    for given in (image, [image]):
        with pytest.raises(ImageError):
            net.detect_faces(given)
