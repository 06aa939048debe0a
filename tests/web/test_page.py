"""The page in Chromium: photos, the camera, settings, files to save, keyboard, phones, and nothing sent after it has loaded."""

import json
import shutil
import subprocess
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Iterator

import cv2
import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon import Detector
from mtcnn_gluon.serving.runtime import find_runtime
from mtcnn_gluon.serving.server import make_server
from mtcnn_gluon.serving.site import make_site

pytest.importorskip("onnxruntime", reason="needs onnxruntime")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NAMES = ["none.png", "one.png", "twelve.png", "see-through.png", "turned.jpg", "text.jpg"]
PIXELS, SCORES = 0.02, 1e-4  # how far results for a PNG may be from the detector's; a JPEG is decoded by other code
JPEG_PIXELS, JPEG_SCORES = 0.5, 0.01


def make_photos(folder: Path, portrait: np.ndarray) -> None:
    """The photos of `NAMES`, one of 24 megapixels, and a video for the camera."""
    width, height = 640, 480
    Image.new("RGB", (300, 200), (90, 120, 150)).save(folder / "none.png")
    photo = Image.fromarray(portrait)
    photo.save(folder / "one.png")
    photo.putalpha(Image.fromarray(np.tile(np.linspace(255, 120, 512), (512, 1)).astype(np.uint8)))
    photo.save(folder / "see-through.png")
    photo = Image.fromarray(portrait)
    twelve = Image.new("RGB", (4 * 250, 3 * 250), (40, 60, 50))
    for i in range(12):
        side = 250 - 15 * i
        twelve.paste(photo.resize((side, side), Image.Resampling.BOX), (i % 4 * 250, i // 4 * 250))
    twelve.save(folder / "twelve.png")
    turned = Image.Exif()
    turned[0x112] = 6  # displayed after a quarter turn clockwise
    photo.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", exif=turned, quality=95)
    (folder / "text.jpg").write_text("This is not a photo.\n")
    large = Image.new("RGB", (6000, 4000), (70, 70, 90))
    large.paste(photo.resize((2048, 2048), Image.Resampling.BOX), (1000, 900))
    large.save(folder / "large.jpg", quality=90)
    frame = np.full((height, width, 3), 80, np.uint8)
    frame[:, 80:560] = cv2.resize(portrait, (480, 480), interpolation=cv2.INTER_AREA)
    Image.fromarray(frame).save(folder / "frame.png")
    planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes()
    (folder / "camera.y4m").write_bytes(b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg\n" + (b"FRAME\n" + planes) * 2)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, image: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    make_photos(folder, image)
    return folder


@pytest.fixture(scope="module")
def server(scripts: Path) -> Iterator[ThreadingHTTPServer]:
    server = make_server(make_site(find_runtime(str(scripts))), 0)
    thread = Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def report(
    scripts: Path, photos: Path, server: ThreadingHTTPServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What page.mjs saw. From the moment on that the page is loaded there is no server."""
    if not CHROMIUM:
        pytest.skip("needs Chromium: apt-get install chromium")
    task = {
        "address": f"http://127.0.0.1:{server.server_address[1]}/",
        "chromium": CHROMIUM,
        "camera": str(photos / "camera.y4m"),
        "folder": str(tmp_path_factory.mktemp("screens")),
        "photos": [str(photos / name) for name in NAMES],
        "large": str(photos / "large.jpg"),
    }
    command = ["node", "page.mjs"]
    with subprocess.Popen(command, cwd=scripts, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "loaded\n"
        server.shutdown()
        server.server_close()
        printed, _ = process.communicate("go on\n", timeout=600)
    assert process.returncode == 0
    return json.loads(printed)


def compare(rows: list[dict[str, Any]], photos: Path, detector: Detector, pixels: float, scores: float) -> list[int]:
    """Compare the page's results with a detector's; returns the numbers of faces."""
    for row in rows:
        expected = detector.detect(photos / row["image"])
        assert [list(face) for face in row["faces"]] == [["box", "score", "landmarks"]] * len(expected)
        for found, face in zip(row["faces"], expected.to_dicts()):
            np.testing.assert_allclose(found["box"], face["box"], atol=pixels)
            assert found["score"] == pytest.approx(face["score"], abs=scores)
            assert list(found["landmarks"]) == list(face["landmarks"])
            np.testing.assert_allclose([*found["landmarks"].values()], [*face["landmarks"].values()], atol=pixels)
    return [len(row["faces"]) for row in rows]


@pytest.mark.parametrize("key, model", [("wide", "wide-1"), ("gluon", "gluon-4")])
def test_photos(report: dict[str, Any], photos: Path, key: str, model: str) -> None:
    assert report[key]["name"] == "faces.jsonl"
    rows = report[key]["rows"]
    assert [row["image"] for row in rows] == NAMES
    unread = {"image": "text.jpg", "width": None, "height": None, "faces": []}  # as `detect --json` has it
    assert rows.pop() == {**unread, "error": "not an image that this browser can read"}
    detector = Detector(model, "onnx")
    assert compare(rows[:4], photos, detector, PIXELS, SCORES) == [0, 1, 12, 1]
    assert compare(rows[4:], photos, detector, JPEG_PIXELS, JPEG_SCORES) == [1]
    for row in rows:
        with Image.open(photos / row["image"]) as picture:
            assert (row["width"], row["height"]) == (picture.size if row["image"] != "turned.jpg" else picture.size[::-1])


def test_what_the_page_says(report: dict[str, Any]) -> None:
    assert report["ready"] == "Ready"
    faces = ["no faces", "1 face", "12 faces", "1 face", "1 face", "not an image that this browser can read"]
    assert report["status"] == {name: f"{name}: {text}" for name, text in zip(NAMES, faces)}
    assert report["label"] == "twelve.png with 12 faces marked" and report["rows"] == 12
    assert report["detail"].startswith("1000 \N{MULTIPLICATION SIGN} 750 pixels, ") and report["detail"].endswith(" ms")
    assert report["licence"].startswith("Licence: research")
    assert report["dropped"] == "dropped.png: 1 face"
    assert report["withoutWebAssembly"].startswith("This browser cannot run the page: it has no WebAssembly")
    assert report["troubles"] == []


def test_nothing_is_fetched_or_sent_after_loading(report: dict[str, Any]) -> None:
    """The server had ended by then, and no request was made to any other."""
    assert report["requests"] == [] and report["isIsolated"]


def test_the_saved_picture(report: dict[str, Any], photos: Path) -> None:
    assert report["picture"]["name"] == "twelve faces.png"
    picture = np.asarray(Image.open(report["picture"]["path"]).convert("RGB"), np.int16)
    before = np.asarray(Image.open(photos / "twelve.png"), np.int16)
    is_changed = np.abs(picture - before).max(axis=2) > 30
    assert picture.shape == before.shape and 0.005 < is_changed.mean() < 0.1
    assert all(is_changed[y : y + 250, x : x + 250].any() for y in (0, 250, 500) for x in (0, 250, 500, 750))


def test_a_photo_of_24_megapixels(report: dict[str, Any], photos: Path) -> None:
    assert report["progress"] == "large.jpg: looking for faces …"
    row = next(row for row in report["large"]["rows"] if row["image"] == "large.jpg")
    assert (row["width"], row["height"]) == (6000, 4000)
    assert compare([row], photos, Detector("gluon-4", "onnx", min_face=300), 8 * JPEG_PIXELS, JPEG_SCORES) == [1]


def test_the_camera(report: dict[str, Any], photos: Path) -> None:
    assert report["camera"] == "Camera: 1 face" and report["kept"].endswith(".png: 1 face")
    assert (
        report["cameraDetail"].startswith("640 \N{MULTIPLICATION SIGN} 480 pixels, ")
        and "pictures a second" in report["cameraDetail"]
    )
    (row,) = report["cameraJson"]["rows"]
    assert row["image"] == "camera"
    detector = Detector("gluon-4", "onnx", min_face=40, nms=(0.5, 0.7, 0.5, 0.7))
    found, expected = row["faces"][0], detector.detect(photos / "frame.png")
    np.testing.assert_allclose(found["box"], expected.boxes[0], atol=6)  # colours were YUV in between, at half size
    assert report["camera2"] == "Start camera"


def test_the_keyboard(report: dict[str, Any]) -> None:
    form = ["model", "min-face", "threshold-0", "threshold-1", "threshold-2", "reset"]
    wanted = ["files", "camera", *NAMES, *form, "save-json", "save-picture"]
    reached = [each for each in report["focus"] if each in wanted]
    assert reached[: len(wanted)] == wanted
    assert report["strict"] == "twelve.png: no faces" and report["reset"] == "twelve.png: 12 faces"


def test_accessibility_and_width(report: dict[str, Any]) -> None:
    """What axe-core finds, with light and dark colours, at a desktop's and at a phone's width, and while the camera runs."""
    views = {"desktop-light", "phone-light", "desktop-dark", "phone-dark", "empty", "camera"}
    assert report["axe"] == {view: [] for view in views}
    assert len(report["screens"]) == len(views) and all(Path(path).stat().st_size for path in report["screens"])
