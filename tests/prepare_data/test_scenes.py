"""Scenes composed of portraits and photos without people."""

import csv
import json

import cv2
import numpy as np
import pytest

from mtcnn_gluon.cli.main import main
from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.prepare_data.readers import read_annotations
from mtcnn_gluon.prepare_data.scenes import Composer, SceneOptions, boxes_around, prepare_scenes

COLUMNS = ["file", "x1", "y1", "x2", "y2", *(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy")]
FACE, UNSURE, EMPTY = (255, 0, 0), (0, 0, 255), (0, 90, 0)  # colours RGB: scenes show a face where they are red


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Two crops of a red face, a portrait with a small one, a group of two, and green photos without people."""
    folder, rows = tmp_path_factory.mktemp("sources"), []
    for name, side, *boxes in (
        ("a.png", 64, (8, 6, 56, 60)),
        ("b.png", 64, (6, 8, 58, 62)),
        ("portrait.png", 160, (60, 40, 100, 90)),
        ("group.png", 160, (20, 30, 50, 70), (70, 30, 100, 70), (120, 30, 140, 55)),
    ):
        image = np.full((side, side, 3), 128, np.uint8)
        for number, (x1, y1, x2, y2) in enumerate(boxes):
            is_sure = number < 2
            image[y1:y2, x1:x2] = FACE if is_sure else UNSURE
            places = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
            points = (v for x, y in places for v in (x1 + x * (x2 - x1), y1 + y * (y2 - y1)))
            rows.append([name, x1, y1, x2, y2, *points, 0.9 if is_sure else 0.4])
        cv2.imwrite(str(folder / name), image[..., ::-1])
    (folder / "empty").mkdir()
    for name in ("0.png", "1.png"):
        cv2.imwrite(str(folder / "empty" / name), np.full((200, 300, 3), EMPTY[::-1], np.uint8))
    with open(folder / "faces.csv", "w", newline="") as file:
        csv.writer(file).writerows([[*COLUMNS, "score"], *rows])
    (folder / "empty.txt").write_text("empty/0.png\nempty/1.png\n")
    return folder


def options_of(sources, out, **more):
    lists = {"annotations": str(sources / "faces.csv"), "background_list": str(sources / "empty.txt")}
    sizes = {"side": 200, "largest_face": 90, "count": 6, "min_score": 0.5}
    return SceneOptions(images=str(sources), backgrounds=str(sources), out=str(out), **{**lists, **sizes, **more})


@pytest.mark.parametrize("whole", [0, 1])
def test_boxes_and_landmarks_lie_on_the_faces(sources, tmp_path, whole):
    prepare_scenes(options_of(sources, tmp_path / "out", count=16, whole=whole))
    reds, blues = [], []
    for photo in read_annotations(tmp_path / "out/faces.csv").photos:
        image = read_image(tmp_path / "out" / photo.path).astype(int)
        for box, points in zip(photo.boxes, photo.landmarks):
            size = box[3] - box[1]
            inside = ((points >= box[:2] - 0.1 * size) & (points <= box[2:] + 0.1 * size)).all()
            assert inside, "landmarks lie in the box"
            x, y = np.clip(np.rint(points[2]).astype(int), 0, np.array(image.shape[1::-1]) - 1)
            red, green, blue = image[y, x]
            reds.append(red - max(green, blue) > 20)
            blues.append(blue - max(red, green) > 20)
    assert len(reds) > 20
    assert np.mean(reds) > 0.7  # grey or tinted light, noise and other faces in front change some
    assert np.mean(blues) < 0.1  # what is not sure to be a face is no face


@pytest.mark.parametrize("angle", [0, 10, 25, 45, 90, -25])
def test_the_box_of_a_turned_face_is_that_of_an_ellipse(angle):
    corners = np.array([[[-20, -30], [20, -30], [20, 30], [-20, 30]]], np.float64)
    turn = cv2.getRotationMatrix2D((0, 0), angle, 1)[:, :2]
    around = np.linspace(0, 2 * np.pi, 10_000)
    ellipse = np.stack([20 * np.cos(around), 30 * np.sin(around)], 1) @ turn.T + (100, 50)
    wanted = [*ellipse.min(0), *ellipse.max(0)]
    np.testing.assert_allclose(boxes_around(corners @ turn.T + (100, 50)), [wanted], atol=1e-3)


def test_the_same_options_give_the_same_scenes_with_any_number_of_workers(sources, tmp_path):
    for name, workers in (("one", 1), ("two", 2)):
        prepare_scenes(options_of(sources, tmp_path / name, workers=workers))
    for path in sorted((tmp_path / "one").rglob("*.*")):
        if path.name != "scenes.json":
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
    other = prepare_scenes(options_of(sources, tmp_path / "other", seed=1))
    assert (tmp_path / "other/faces.csv").read_bytes() != (tmp_path / "one/faces.csv").read_bytes()
    assert other == json.loads((tmp_path / "other/scenes.json").read_text())


def test_faces_have_the_heights_asked_for_and_none_is_hidden(sources, tmp_path):
    composer = Composer(options_of(sources, tmp_path, least_face=12))
    heights, hidden = [], 0
    for index in range(20):
        picture, boxes, landmarks = composer.scene(index)
        height, width = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape[:2]
        assert max(height, width) == 200 and len(boxes) == len(landmarks)
        heights += (boxes[:, 3] - boxes[:, 1]).tolist()
        inside = np.clip(boxes, 0, [width, height] * 2)
        shares = np.prod(inside[:, 2:] - inside[:, :2], 1) / np.prod(boxes[:, 2:] - boxes[:, :2], 1)
        hidden += int((shares < 0.6).sum())
    assert min(heights) >= 11 and max(heights) <= 90 * 1.5  # turning makes a box higher
    assert hidden == 0


def test_prepare_reads_what_the_command_writes(sources, tmp_path, capsys):
    out = tmp_path / "scenes"
    arguments = ["--images", sources, "--annotations", sources / "faces.csv", "--backgrounds", sources]
    more = ["--background-list", sources / "empty.txt", "--out", out, "--count", 2, "--side", 128, "--min-score", 0.5]
    assert main(["prepare", "scenes", *map(str, arguments + more)]) == 0
    said = capsys.readouterr().out
    assert "4 portraits; 0 left out" in said and "2 scenes with" in said
    cut = ["--net", "pnet", "--images", out, "--annotations", out / "faces.csv", "--out", tmp_path / "samples"]
    assert main(["prepare", "wider", *map(str, cut)]) == 0


@pytest.mark.parametrize(
    "change, error, words",
    [
        ({"least_face": 100, "largest_face": 90}, ConfigError, "least_face must be below largest_face, 90, not 100"),
        ({"annotations": "boxes.csv", "min_score": 0}, DataError, "has no photo with one face and its landmarks"),
        ({"background_list": "missing.txt"}, DataError, "missing.txt"),
        ({"background_list": "faces.csv"}, DataError, "expected the path of a photo"),
    ],
)
def test_wrong_options_are_named(sources, tmp_path, change, error, words):
    (sources / "boxes.csv").write_text("file,x1,y1,x2,y2\na.png,8,6,56,60\n")
    paths = {key: str(sources / value) if isinstance(value, str) else value for key, value in change.items()}
    with pytest.raises(error, match=words):
        prepare_scenes(options_of(sources, tmp_path / "out", **paths))
    assert not (tmp_path / "out").exists()


def test_a_damaged_photo_is_named_and_a_used_folder_is_refused(sources, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used/file").touch()
    with pytest.raises(ConfigError, match="out must be a new folder"):
        prepare_scenes(options_of(sources, tmp_path / "used"))
    (sources / "damaged.png").write_bytes(b"no image")
    (sources / "damaged.csv").write_text((sources / "faces.csv").read_text().replace("a.png", "damaged.png"))
    with pytest.raises(DataError, match="damaged.png cannot be read"):
        prepare_scenes(options_of(sources, tmp_path / "out", annotations=str(sources / "damaged.csv")))
