"""The page's functions, in Node.js, against those of the package."""

import json
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.config import NETS
from mtcnn_gluon.detection import pyramid
from mtcnn_gluon.layers import view_of
from mtcnn_gluon.operators import crop_resize, nms
from mtcnn_gluon.operators.pyramid_pieces import LevelSource, draw_pieces, halve

TABLES = {"plain": dict(NETS.pnet), "context": find_bundle("wide-1").manifest["architecture"]["pnet"]}
random = np.random.default_rng(5)


@pytest.fixture
def call(scripts: Path) -> Any:
    """A function that runs calls [module, function, ...arguments] and returns their results."""

    def run(calls: list[list[Any]]) -> list[Any]:
        done = subprocess.run(
            ["node", "parts.mjs"], input=json.dumps(calls), cwd=scripts, capture_output=True, text=True, timeout=60
        )
        assert not done.returncode, done.stderr
        return json.loads(done.stdout)

    return run


def as_page(image: np.ndarray) -> dict[str, Any]:
    """An image (H, W, 3) as the page's functions take it."""
    return {"data": image.reshape(-1).tolist(), "width": image.shape[1], "height": image.shape[0], "step": 3}


def test_views(call: Any) -> None:
    tables = [table for name in ("wide-1", "gluon-4") for table in find_bundle(name).manifest["architecture"].values()]
    for table, view in zip(tables, call([["model", "viewOf", table] for table in tables])):
        expected = view_of(table)
        names = ("size", "context", "cell", "stride", "overhang", "margin")
        assert {name: view[name] for name in names} == {name: getattr(expected, name) for name in names}
        if table in TABLES.values():
            assert view["overlap"] == expected.overlap


def test_thresholds_of_a_model_are_not_rounded_to_the_steps_of_the_sliders(scripts: Path) -> None:
    command = ["node", "settings.mjs", "0.5", "0.755", "0.8749"]
    done = subprocess.run(command, cwd=scripts, capture_output=True, text=True, timeout=60)
    assert not done.returncode, done.stderr
    assert json.loads(done.stdout) == [[0.5, 0.755, 0.8749], [0.5, 0.3, 0.8749], [0.5, 0.755, 0.8749]]


@pytest.mark.parametrize("table", TABLES)
def test_levels(call: Any, table: str) -> None:
    view = view_of(TABLES[table])
    sizes = [(1, 1), (11, 40), (12, 12), (19, 300), (20, 20), (480, 640), (641, 479), (4000, 6000), (3, 5000)]
    cases = list(product(sizes, [12, 20, 33.3], [0.709, 0.5, 0.9]))
    calls = [
        ["pyramid", "planLevels", {"height": h, "width": w}, least, factor, {"view": TABLES[table]}]
        for (h, w), least, factor in cases
    ]
    for ((height, width), least, factor), levels in zip(cases, call(calls)):
        expected = pyramid.plan_levels(height, width, least, factor, view)
        assert [(each["height"], each["width"], each["halvings"]) for each in levels] == [each[:3] for each in expected]
        scales = [(each.scale_x, each.scale_y) for each in expected]
        np.testing.assert_allclose([each["scale"] for each in levels], scales, rtol=1e-12)


@pytest.mark.parametrize("table", TABLES)
def test_pieces_cover_every_cell_once_or_more(call: Any, table: str) -> None:
    view = view_of(TABLES[table])
    sizes = [(12, 12), (13, 15), (609, 610), (640, 641), (1300, 50)]
    calls = [["pyramid", "pieces", {"height": h, "width": w}, {"view": TABLES[table]}] for h, w in sizes]
    for (height, width), found in zip(sizes, call(calls)):
        padded = view.padded(height), view.padded(width)
        cells = np.zeros([view.outputs(side) for side in padded], bool)
        for piece in found:
            assert max(piece["height"], piece["width"]) <= 640
            assert piece["y"] + piece["height"] <= padded[0] and piece["x"] + piece["width"] <= padded[1]
            y, x = piece["y"] // view.stride, piece["x"] // view.stride
            cells[y : y + view.outputs(piece["height"]), x : x + view.outputs(piece["width"])] = True
        assert cells.all()


@pytest.mark.parametrize("table", TABLES)
def test_pixels_of_levels(call: Any, table: str) -> None:
    """A whole level and a part in its middle, shrunk and enlarged, with what lies around it."""
    view, image = view_of(TABLES[table]), random.integers(0, 256, (37, 52, 3), np.uint8)
    manifest = find_bundle("wide-1").manifest
    sizes = [(37, 52), (23, 31), (40, 90), (1, 2)]
    cases = []
    for height, width in sizes:
        whole = {"x": 0, "y": 0, "height": view.padded(height), "width": view.padded(width)}
        part = {"x": 2 * view.stride, "y": view.stride, "height": 6 * view.stride, "width": 4 * view.stride}
        cases += [(height, width, piece) for piece in (whole, part) if piece["height"] <= whole["height"]]
    calls = [
        ["pyramid", "drawPiece", piece, {"height": h, "width": w}, as_page(image), {"view": TABLES[table]}, {"input": manifest}]
        for h, w, piece in cases
    ]
    for (height, width, piece), found in zip(cases, call(calls)):
        level = np.zeros((3, height, width), np.float32)
        draw_pieces(level, [LevelSource(image, height, width)], [(0, 0, height, width, 0, 0)])
        m, rows, columns = view.margin, view.padded(height), view.padded(width)
        around = ((0, 0), (m, rows - height - m), (m, columns - width - m))
        whole = np.pad(level, around, mode="constant" if view.context else "edge")
        y, x = piece["y"], piece["x"]
        expected = (whole[:, y : y + piece["height"], x : x + piece["width"]] - 127.5) / 128
        wide = np.reshape(found, (3, piece["height"], piece["width"]))[:, : expected.shape[1], : expected.shape[2]]
        np.testing.assert_allclose(wide, expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 2), (3, 7), (20, 21)])
def test_halving(call: Any, shape: tuple[int, int]) -> None:
    image = random.integers(0, 256, (*shape, 3), np.uint8)
    (found,) = call([["sampling", "halve", as_page(image)]])
    assert (found["height"], found["width"], found["step"]) == (shape[0] // 2, shape[1] // 2, 3)
    np.testing.assert_allclose(np.reshape(found["data"], (shape[0] // 2, shape[1] // 2, 3)), halve(image), atol=1e-4)


@pytest.mark.parametrize("most_summed", [0, 2000], ids=["large image", "small image"])
@pytest.mark.parametrize("bgr", [False, True])
def test_crops(call: Any, bgr: bool, most_summed: int) -> None:
    """Inside, over every border, outside, smaller than a pixel, and the whole image."""
    image = random.integers(0, 256, (40, 50, 3), np.uint8)
    boxes = [
        [5, 5, 29, 29], [5.3, 4.7, 17.2, 16.6], [-10, -7.5, 14, 16.5], [40, 30, 65, 55], [0, 0, 50, 50], [-30, -30, 90, 90],
        [60, 60, 70, 70], [-20, 3, -5, 18], [7.2, 8.1, 7.9, 8.8], [49, 39, 50, 40],
    ]  # fmt: skip
    manifest = {**find_bundle("gluon-4").manifest, "colour_order": "BGR" if bgr else "RGB"}
    (found,) = call([["crops", "cropperOf", as_page(image), most_summed, {"then": [boxes, 24, {"input": manifest}]}]])
    expected = crop_resize(image[:, :, ::-1] if bgr else image, np.array(boxes), 24, 127.5, 1 / 128)
    np.testing.assert_allclose(np.reshape(found, expected.shape), expected, atol=1e-4)


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_suppression(call: Any, count: int) -> None:
    corners = random.uniform(-20, 100, (count, 2))
    boxes = np.hstack([corners, corners + random.uniform(0, 60, (count, 2))]).astype(np.float32)
    scores = random.integers(0, 20, count).astype(np.float32) / 20  # many are equal
    candidates = [
        {"box": box, "score": score, "index": i} for i, (box, score) in enumerate(zip(boxes.tolist(), scores.tolist()))
    ]
    cases = [(0.0, False), (0.5, False), (0.7, True), (1.0, False)]
    for (threshold, smaller), kept in zip(cases, call([["boxes", "suppress", candidates, *case] for case in cases])):
        assert [each["index"] for each in kept] == nms(boxes, scores, threshold, "min" if smaller else "union").tolist()


@pytest.mark.parametrize("convention", ["continuous", "matlab"])
def test_geometry(call: Any, convention: Any) -> None:
    boxes = np.array([[2, 4, 14, 16], [-3, 0, 9, 12], [10.5, 3.25, 30.5, 43.25]], np.float32)
    offsets, scale, points = [0.1, -0.2, 0.05, 0.3], [0.61, 0.59], random.uniform(0, 1, 10).tolist()
    names = ("cellToImage", "decodeCell", "cropSquare", "decode", "decodeLandmarks", "clip", "isVisible")
    last = {
        "cellToImage": [scale, convention], "decodeCell": [offsets, convention], "cropSquare": [convention],
        "decode": [offsets], "decodeLandmarks": [points], "clip": [{"width": 12, "height": 10}],
        "isVisible": [{"width": 9, "height": 4}],
    }  # fmt: skip
    found = call([["boxes", name, box, *last[name]] for name in names for box in boxes.tolist()])
    many, rows = np.tile(np.float32(offsets), (3, 1)), iter(np.array_split(np.arange(len(found)), len(names)))
    expected = {
        "cellToImage": box_ops.cells_to_image(boxes, np.tile(np.float32(scale), (3, 1)), convention),
        "decodeCell": box_ops.decode_cells(boxes, many, convention),
        "cropSquare": box_ops.crop_squares(boxes, convention),
        "decode": box_ops.decode(boxes, many),
        "decodeLandmarks": box_ops.decode_landmarks(boxes, np.tile(np.float32(points), (3, 1))),
        "clip": box_ops.clip(boxes, 10, 12),
        "isVisible": [False, True, False],
    }
    for name in names:
        np.testing.assert_allclose([found[i] for i in next(rows)], expected[name], atol=1e-4, err_msg=name)
