"""example/open_points.py, with a stand-in for MediaPipe's mesh that finds dots: where does it put what it finds?"""

import csv
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "example" / "open_points.py"
POINTS = np.array([(30.3, 27.6), (47.9, 26.1), (38.8, 38.2), (32.4, 48.7), (46.5, 47.3)])  # of a face in BOX
BOX = np.array([20.0, 12.0, 57.0, 60.0])
VERTICES = ((468, 33, 133), (473, 362, 263), (1, 4), (61, 57), (291, 287))
COLOURS = ((255, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 255))  # RGB of the dots: eyes, nose, corners of the mouth


def picture(fine: int = 16) -> np.ndarray:
    """A photo (70, 80, 3), RGB, of dots around the points."""
    image = np.zeros((70 * fine, 80 * fine, 3), np.uint8)
    for (x, y), colour in zip(POINTS, COLOURS):
        cv2.circle(image, (round(x * fine - 0.5), round(y * fine - 0.5)), 2 * fine, colour, -1)
    return cv2.resize(image, None, fx=1 / fine, fy=1 / fine, interpolation=cv2.INTER_AREA)


class Mesh:
    """As `mediapipe.solutions.face_mesh.FaceMesh`: shares of the picture's width and height, from its upper left corner."""

    def __init__(self, **options: Any) -> None:
        assert options["static_image_mode"]

    def process(self, image: np.ndarray) -> SimpleNamespace:
        places = []
        for colour, dots in ((0, 2), (1, 1), (2, 2)):
            is_dot = cv2.compare(image[:, :, colour], 127, cv2.CMP_GT)
            count, _, _, centres = cv2.connectedComponentsWithStats(is_dot)
            if count != dots + 1:
                return SimpleNamespace(multi_face_landmarks=None)
            places += sorted((centres[1:] + 0.5) / image.shape[1::-1], key=lambda place: place[0])
        points = [SimpleNamespace(x=np.nan, y=np.nan) for _ in range(478)]
        for vertices, (x, y) in zip(VERTICES, places):
            for vertex in vertices:
                points[vertex] = SimpleNamespace(x=x, y=y)
        return SimpleNamespace(multi_face_landmarks=[SimpleNamespace(landmark=points)])


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    face_mesh = SimpleNamespace(FaceMesh=Mesh)
    monkeypatch.setitem(sys.modules, "mediapipe", SimpleNamespace(solutions=SimpleNamespace(face_mesh=face_mesh)))
    return runpy.run_path(str(SCRIPT))


@pytest.fixture
def listed(tmp_path: Path, script: dict[str, Any]) -> Path:
    """A list of two faces: one of dots, whose points are a little off, and one in an empty photo."""
    rows = {"face.png": picture(), "empty.png": np.zeros((70, 80, 3), np.uint8)}
    with open(tmp_path / "faces.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file", *script["BOX"], "score", *script["COLUMNS"]))
        for name, image in rows.items():
            cv2.imwrite(str(tmp_path / name), image[:, :, ::-1])
            table.writerow((name, *BOX, 0.9, *(POINTS + 1).ravel()))
    return tmp_path / "faces.csv"


def test_points_are_where_the_photo_has_them(script: dict[str, Any]) -> None:
    """In continuous coordinates, whatever the size in which the face is looked at, and in mirror images."""
    found = script["points_of"](picture()[:, :, ::-1].copy(), BOX)
    np.testing.assert_allclose(found, POINTS, atol=0.08)


@pytest.mark.parametrize(("is_kept", "names"), [(False, ["face.png"]), (True, ["face.png", "empty.png"])])
def test_list(
    is_kept: bool, names: list[str], listed: Path, script: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "points.csv"
    words = ["open_points.py", "--root", str(tmp_path), "--list", str(listed), "--out", str(out), "--workers", "1"]
    monkeypatch.setattr(sys, "argv", words + ["--keep"] * is_kept)
    monkeypatch.setitem(script["main"].__globals__, "Pool", InPlace)
    script["main"]()
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == names
    placed = np.array([[float(row[name]) for name in script["COLUMNS"]] for row in rows]).reshape(-1, 5, 2)
    np.testing.assert_allclose(placed[0], POINTS, atol=0.08)
    if is_kept:
        np.testing.assert_allclose(placed[1], POINTS + 1)
    assert rows[0]["score"] == "0.9" and not list(tmp_path.glob("*.part"))


def test_an_empty_list(
    listed: Path, script: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    listed.write_text(listed.read_text().splitlines()[0] + "\n")
    monkeypatch.setattr(
        sys, "argv", ["x", "--root", str(tmp_path), "--list", str(listed), "--out", str(tmp_path / "points.csv")]
    )
    with pytest.raises(SystemExit):
        script["main"]()
    assert f"{listed} lists no face" in capsys.readouterr().err and not (tmp_path / "points.csv").exists()


class InPlace:
    """As a pool of processes, in this one, where the stand-in is."""

    def __init__(self, workers: int) -> None:
        pass

    def __enter__(self) -> "InPlace":
        return self

    def __exit__(self, *about: object) -> None:
        pass

    def imap(self, function: Any, tasks: Any, chunksize: int) -> Any:
        return map(function, tasks)
