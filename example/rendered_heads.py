"""People of MakeHuman's assets, drawn with OpenGL; example/open_heads.py makes pictures of them.

It reads MakeHuman's files (targets: `vertex dx dy dz` a line; .mhclo: each vertex is a mean of three vertices of the body and an
offset) and draws with moderngl, which needs EGL but no screen and no GPU.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import moderngl
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
    parts: list[Part]
    joints: np.ndarray  # (3, 3) where head, left arm and right arm turn
    head: np.ndarray  # (2, 3) centre of the head, and its size
    arms: float = 0.0  # how far the arms are lowered, radians
    about: dict = field(default_factory=dict)


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
            keys = [tuple(int(number or 1) - 1 for number in (each.split("/") + ["1"])[:2]) for each in rest]
            face = [corners.setdefault(key, len(corners)) for key in keys]
            faces += [(face[0], face[i], face[i + 1]) for i in range(1, len(face) - 1)]
    pairs = np.array(list(corners), int)
    return Mesh(pairs[:, 0], np.array(uvs or [[0, 0]], np.float32)[pairs[:, 1]], np.array(faces, np.int32), np.array(positions))


def read_image(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise SystemExit(f"{path} is no picture; is it a pointer of Git LFS?")
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGBA)


class Assets:
    """MakeHuman's files below a folder, read when they are needed."""

    def __init__(self, root: Path) -> None:
        import json

        self.data, self.clothes = root / DATA, root / CLOTHES
        self.base = read_obj(self.data / "3dobjs/base.obj", "body")
        weights = json.loads((self.data / "rigs/default_weights.mhw").read_text())["weights"]
        joints = json.loads((self.data / "rigs/default.mhskel").read_text())["joints"]
        self.turning, total = np.zeros((len(self.base.positions), 3)), np.zeros(len(self.base.positions))
        for bone, pairs in weights.items():
            index, share = np.array(pairs).T
            total[index.astype(int)] += share
            if arm := ARM.match(bone):
                self.turning[index.astype(int), 1 + (arm[2] == "R")] += share
            else:
                self.turning[index.astype(int), 0] += share * TURNING.get(bone, 0 if STILL.search(bone) else 1)
        self.turning /= np.maximum(total, 1e-6)[:, None]
        self.joints = [joints[f"{name}____head"] for name in ("neck02", "upperarm01.L", "upperarm01.R")]
        targets = self.data / "targets"
        names = sorted(p.relative_to(targets).as_posix() for folder in SHAPES for p in (targets / folder).rglob("*.target"))
        self.shapes = [name for name in names if not NOT_SHAPES.search(name)]
        self.target = lru_cache(None)(self._target)
        self.image = lru_cache(None)(read_image)
        self.obj = lru_cache(None)(read_obj)
        self.fitting = lru_cache(None)(self._fitting)

    def _target(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        rows = np.array([row.split() for row in (self.data / "targets" / name).read_text().splitlines() if row[:1].isdigit()], float)
        rows = rows.reshape(-1, 4)
        return rows[:, 0].astype(int), rows[:, 1:]

    def _fitting(self, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, list, np.ndarray]:
        """Vertices (V, 3), shares (V, 3) and offsets (V, 3) of a .mhclo, its three measures, and the skin that it hides."""
        rows, measures, hidden, mode = [], {}, [], ""
        for line in path.read_text(errors="replace").splitlines():
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if re.fullmatch("[xyz]_scale", words[0]):
                measures[words[0][0]] = (int(words[1]), int(words[2]), float(words[3]))
            elif words[0] in ("verts", "delete_verts", "weights"):
                mode = words[0]
            elif mode == "verts" and len(words) in (1, 9) and words[0].isdigit():
                numbers = [float(each) for each in words]
                rows.append(numbers if len(numbers) == 9 else [numbers[0]] * 3 + [1, 0, 0, 0, 0, 0])
            elif mode == "delete_verts":
                for first, last in re.findall(r"(\d+)(?:\s*-\s*(\d+))?", line):
                    hidden += range(int(first), int(last or first) + 1)
        table = np.array(rows)
        return table[:, :3].astype(int), table[:, 3:6], table[:, 6:], [measures.get(axis) for axis in "xyz"], np.array(hidden, int)

    def fitted(self, path: Path, shape: np.ndarray) -> tuple[Mesh, np.ndarray, np.ndarray, np.ndarray]:
        """The mesh of a .mhclo, its vertices on a body `shape`, how they turn, and the skin that it hides."""
        refs, shares, offsets, measures, hidden = self.fitting(path)
        scale = [1 if m is None else abs(shape[m[0], axis] - shape[m[1], axis]) / m[2] for axis, m in enumerate(measures)]
        name = re.search(r"^obj_file *(\S+)", path.read_text(errors="replace"), re.M)[1]
        mesh = self.obj(path.parent / name)
        count = len(mesh.positions)
        positions = (shape[refs] * shares[..., None]).sum(1) + offsets * scale
        turning = (self.turning[refs] * shares[..., None]).sum(1).clip(0, 1)
        return mesh, positions[:count], turning[:count], hidden

    def person(self, rng: np.random.Generator, plain: bool = False) -> Person:
        """Someone drawn by lot; with `plain`, without hair, hat and expression."""
        about, shape = self._shape(rng, plain)
        age, sex = about["age"], about["sex"]
        parts, hidden = [], []

        def wear(path: Path, image: np.ndarray, **look) -> None:
            mesh, positions, turning, hides = self.fitted(path, shape)
            parts.append(Part(mesh, positions, turning, image, **look))
            hidden.append(hides)

        suits = sorted(p for p in (self.clothes / "clothes").glob(f"{sex}_*suit*/*.mhclo"))
        suit = suits[rng.integers(len(suits))]
        colour = tuple(rng.random(3) ** 1.5)
        wear(suit, self._texture(suit), tint=(*colour, float(rng.choice([0, 0.6, 0.9, 1]))), look=(0.1, 0.03, 8))
        eyes = sorted((self.clothes / "eyes/materials").glob("*_eye.png"))
        brown = self.data / "eyes/materials/brown_eye.png"
        iris = brown if rng.random() < (0.5 if about["race"] == "caucasian" else 0.95) else eyes[rng.integers(len(eyes))]
        wear(self.data / "eyes/high-poly/high-poly.mhclo", self.image(iris), look=(0.2, 0.5, 80), is_thin=True)

        hair = HAIR_COLOURS[rng.integers(6 if about["race"] == "caucasian" else 3)]
        if about["race"] == "caucasian" and rng.random() < 0.35:
            hair = HAIR_COLOURS[rng.integers(len(HAIR_COLOURS))]
        if age > 0.6 and rng.random() < age:
            hair = HAIR_COLOURS[-rng.integers(1, 3)]
        hair = hair / 255 * rng.uniform(0.8, 1.25)
        brows = sorted((self.clothes / "eyebrows").glob("*/*.mhclo"))
        brow = brows[rng.integers(len(brows))]
        wear(brow, self._texture(brow), tint=(*(hair * 0.8), 1), is_thin=True)
        lashes = sorted((self.clothes / "eyelashes").glob("*/*.mhclo"))[rng.integers(4)]
        wear(lashes, self._texture(lashes), tint=(0.03, 0.025, 0.02, 1), is_thin=True)
        if about["open"] > 0.1:
            teeth = sorted((self.clothes / "teeth").glob("*/*.mhclo"))[rng.integers(6)]
            wear(teeth, self._texture(teeth), tint=(0.45, 0.42, 0.38, 0.6), look=(0.2, 0.1, 30))
            tongue = self.clothes / "tongue/tongue01/tongue01.mhclo"
            wear(tongue, self._texture(tongue), tint=(0.4, 0.15, 0.15, 0.6), look=(0.2, 0.1, 30))
        if not plain:
            styles = HAIR if sex == "female" else MENS_HAIR
            style = styles[rng.integers(len(styles))]
            hat = rng.random() < 0.1
            bald = rng.random() < (0.12 if sex == "male" else 0.01)
            style = str(rng.choice(UNDER_HATS)) if hat else style
            if not bald:
                path = self.clothes / f"hair/{style}/{style}.mhclo"
                wear(path, self._texture(path), tint=(*hair, 0.85), look=(0.15, 0.12, 14), is_thin=True)
            if hat:
                path = self.clothes / f"clothes/fedora01/{rng.choice(['fedora', 'fedora_cocked'])}.mhclo"
                texture = sorted((self.clothes / "clothes/fedora01/materials").glob("fedora_texture*.png"))[rng.integers(3)]
                wear(path, self.image(texture), tint=(*colour, float(rng.choice([0, 0.7]))), look=(0.1, 0.02, 8))
            if rng.random() < 0.2 and not about["child"]:
                parts.append(glasses(parts[1].positions, rng))
            about["hair"], about["hat"] = "bald" if bald else style, hat
        joints = np.array([shape[index].mean(0) for index in self.joints])
        gone = np.zeros(len(shape), bool)
        gone[np.concatenate(hidden)] = True
        mesh = self.base
        kept = mesh.triangles[~gone[mesh.source[mesh.triangles]].all(1)]
        skin = Mesh(mesh.source, mesh.uv, kept, mesh.positions)
        parts.insert(0, Part(skin, shape, self.turning, self._skin(about, rng), look=(0.35, rng.uniform(0.05, 0.22), 14)))
        points = shape[:BODY][self.turning[:BODY, 0] > 0.99]
        low, high = points.min(0), points.max(0)
        return Person(parts, joints, np.array([(low + high) / 2, high - low]), np.radians(rng.uniform(30, 45)), about)

    def _shape(self, rng: np.random.Generator, plain: bool) -> tuple[dict, np.ndarray]:
        """What someone is, and the vertices (V, 3) of the body."""
        races, sex = ("african", "asian", "caucasian"), ("female", "male")[rng.integers(2)]
        mixture = rng.dirichlet([0.35] * 3)
        manly = rng.uniform(0.75, 1) if sex == "male" else rng.uniform(0, 0.25)
        is_child, age = rng.random() < 0.13, rng.random() ** 1.2  # from young to old
        ages = {"child": rng.uniform(0.5, 1)} if is_child else {"old": age}
        ages["young"] = 1 - sum(ages.values())
        about = {"sex": sex, "mixture": mixture, "race": races[mixture.argmax()], "age": 0 if is_child else age, "child": is_child}
        amounts: dict[str, float] = {}
        weight = rng.uniform(-0.5, 1)
        fat = {"averageweight": 1 - abs(weight), "maxweight" if weight > 0 else "minweight": abs(weight)}
        for gender, share in (("male", manly), ("female", 1 - manly)):
            for stage, part in ages.items():
                for race, much in zip(races, mixture):
                    amounts[f"macrodetails/{race}-{gender}-{stage}.target"] = share * part * much
                for build, much in fat.items():
                    amounts[f"macrodetails/universal-{gender}-{stage}-averagemuscle-{build}.target"] = share * part * much
        for index in rng.choice(len(self.shapes), 22, replace=False):
            amounts[self.shapes[index]] = float(rng.uniform(0, 0.55))
        about["open"] = 0 if plain or rng.random() < 0.6 else rng.uniform(0.15, 0.9)
        unit = f"expression/units/{about['race']}/"
        amounts[unit + "mouth-open.target"] = about["open"]
        if not plain:
            for name in ("mouth-corner-puller", "mouth-retraction", "mouth-depression", "eyebrows-left-up", "nose-compression"):
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

    def _skin(self, about: dict, rng: np.random.Generator) -> np.ndarray:
        stage = "old" if about["age"] > 0.75 else "middleage" if about["age"] > 0.35 else "young"
        mixed = np.zeros((512, 512, 3), np.float32)
        for race, share in zip(("african", "asian", "caucasian"), about["mixture"]):
            folder = self.clothes / f"skins/{stage}_{race}_{about['sex']}"
            name = re.search(r"^diffuseTexture.*?([^/\s]+)$", sorted(folder.glob("*.mhmat"))[0].read_text(), re.M)[1]
            mixed += share * cv2.resize(self.image(self.clothes / "skins/textures" / name)[..., :3], (512, 512))
        mixed = cv2.resize(mixed, (1024, 1024), interpolation=cv2.INTER_CUBIC)
        blotches = sum(cv2.resize(rng.normal(0, 1, (size, size, 1)).astype(np.float32), (1024, 1024)) * much
                       for size, much in ((24, 0.02), (90, 0.02), (400, 0.02)))  # fmt: skip
        mixed *= (1 + blotches[..., None]) * rng.uniform(0.85, 1.12) * rng.uniform(0.95, 1.05, 3)
        return np.dstack([mixed.clip(0, 255).astype(np.uint8), np.full((1024, 1024), 255, np.uint8)])

    def _texture(self, path: Path) -> np.ndarray:
        """The texture of the material that a .mhclo names."""
        material = path.parent / re.search(r"^material *(\S+)", path.read_text(errors="replace"), re.M)[1]
        name = re.search(r"^diffuseTexture.*?([^/\s]+)$", material.read_text(errors="replace"), re.M)[1]
        return self.image(material.parent / name)


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
        strip(np.stack([hinge, hinge + (side * 0.1 * gap, 0, -0.35), hinge + (side * 0.14 * gap, 0, -1.25)]), thick, 0.25)
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


VERTEX = """#version 330
uniform mat4 camera; uniform mat4 lamp;
in vec3 position; in vec3 normal; in vec2 uv;
out vec3 at; out vec3 facing; out vec2 coordinate; out vec4 lit;
void main() {
    at = position; facing = normal; coordinate = uv;
    lit = lamp * vec4(position, 1); gl_Position = camera * vec4(position, 1);
}"""
FRAGMENT = """#version 330
uniform sampler2D image; uniform sampler2DShadow shadow;
uniform vec4 tint; uniform vec3 look; uniform int layer;
uniform vec3 sky; uniform vec3 ground; uniform vec3 directions[3]; uniform vec3 colours[3]; uniform vec3 up;
in vec3 at; in vec3 facing; in vec2 coordinate; in vec4 lit;
out vec4 result;
void main() {
    vec4 texel = texture(image, coordinate);
    if (layer == 0 && texel.a < 0.55) discard;
    if (layer == 1 && (texel.a >= 0.55 || texel.a < 0.04)) discard;
    vec3 eye = normalize(-at), n = normalize(facing);
    if (dot(n, eye) < -0.1) n = -n;
    vec3 albedo = pow(texel.rgb, vec3(2.2));
    float grey = dot(albedo, vec3(0.3, 0.6, 0.1));
    albedo = mix(albedo, pow(tint.rgb, vec3(2.2)) * (0.35 + 4 * grey / (1 + 2 * grey)), tint.a);
    vec3 light = mix(ground, sky, 0.5 + 0.5 * dot(n, up)), shine = vec3(0);
    vec3 soft = vec3(look.x, look.x * 0.45, look.x * 0.35);
    float open = 0;
    for (int i = -1; i < 2; i += 2) for (int j = -1; j < 2; j += 2)
        open += texture(shadow, vec3(lit.xy + vec2(i, j) / 1000.0, lit.z - 0.004)) / 4;
    for (int k = 0; k < 3; k++) {
        float seen = k == 0 ? open : 1;
        float cosine = dot(n, directions[k]);
        light += colours[k] * seen * max(vec3(0), (cosine + soft) / (1 + soft));
        shine += colours[k] * seen * look.y * pow(max(0, dot(n, normalize(directions[k] + eye))), look.z) * max(0, cosine);
    }
    float rim = pow(1 - max(0, dot(n, eye)), 4);
    vec3 colour = albedo * light + shine * (1 + 2 * rim);
    colour = 1 - exp(-1.35 * colour);
    float alpha = layer == 0 ? 1 : texel.a;
    result = vec4(pow(colour, vec3(1 / 2.2)), alpha);
}"""
DEPTH = """#version 330
uniform sampler2D image; in vec2 coordinate;
void main() { if (texture(image, coordinate).a < 0.4) discard; }"""


@dataclass
class Lights:
    """Three lamps of which the first throws shadows, and the light from above and below."""

    directions: np.ndarray  # (3, 3)
    colours: np.ndarray  # (3, 3)
    sky: np.ndarray
    ground: np.ndarray

    @staticmethod
    def drawn(rng: np.random.Generator) -> "Lights":
        directions = rng.normal(0, 1, (3, 3)) + [(0, 0.8, 0.9), (0, 0.2, 0.2), (0, 0.3, -0.3)]
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        colours = rng.uniform(0.75, 1, (3, 3)) * np.array([rng.uniform(0.15, 1.3), rng.uniform(0, 0.5), rng.uniform(0, 0.5)])[:, None]
        ambient = rng.uniform(0.15, 0.7)
        sky, ground = ambient * rng.uniform(0.85, 1.1, 3), ambient * rng.uniform(0.3, 0.8) * rng.uniform(0.85, 1.1, 3)
        return Lights(directions, colours, sky, ground)


class Renderer:
    """Draws persons on transparent pictures."""

    def __init__(self) -> None:
        self.gl = moderngl.create_context(standalone=True, backend="egl")
        self.program = self.gl.program(VERTEX, FRAGMENT)
        self.depth = self.gl.program(VERTEX, DEPTH)
        self.shadow = self.gl.depth_texture((1024, 1024))
        self.shadow.compare_func = "<="
        self.shadow_target = self.gl.framebuffer(depth_attachment=self.shadow)
        self.targets: dict = {}
        self.kept: list = []

    def load(self, person: Person, lights: Lights, place) -> None:
        """Take a person to draw; `place` maps vertices and how they turn to the camera's space (it looks along -z, y is up)."""
        for each in self.kept:
            each.release()
        self.kept, self.vaos = [], []
        points = []
        for part in person.parts:
            positions = place(part.positions, part.turning).astype(np.float32)
            normals = normals_of(positions, part.mesh.source[part.mesh.triangles])
            source = part.mesh.source
            rows = np.concatenate([positions[source], normals[source], part.mesh.uv * (1, -1) + (0, 1)], 1).astype(np.float32)
            vertices, index = self.gl.buffer(rows.tobytes()), self.gl.buffer(part.mesh.triangles.astype(np.int32).tobytes())
            texture = self.gl.texture(part.texture.shape[1::-1], 4, part.texture.tobytes())
            texture.build_mipmaps()
            texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
            vao = self.gl.vertex_array(self.program, [(vertices, "3f 3f 2f", "position", "normal", "uv")], index)
            dark = self.gl.vertex_array(self.depth, [(vertices, "3f 12x 2f", "position", "uv")], index)
            self.kept += [vertices, index, texture, vao, dark]
            self.vaos.append((part, texture, vao, dark))
            points.append(positions[np.unique(source[part.mesh.triangles])])
        self._set(lights, np.concatenate(points))

    def _set(self, lights: Lights, points: np.ndarray) -> None:
        program = self.program
        program["directions"].write(lights.directions.astype("f4").tobytes())
        program["colours"].write(lights.colours.astype("f4").tobytes())
        program["sky"], program["ground"], program["up"] = tuple(lights.sky), tuple(lights.ground), (0, 1, 0)
        forward = lights.directions[0]
        side = np.cross(forward, (0.3, 1, 0.2))
        side /= np.linalg.norm(side)
        axes = np.stack([side, np.cross(forward, side), -forward])
        seen = points @ axes.T
        low, high = seen.min(0), seen.max(0)
        lamp = np.eye(4)
        lamp[:3, :3] = axes / (high - low)[:, None]
        lamp[:3, 3] = -low / (high - low)  # 0..1
        program["lamp"].write(lamp.T.astype("f4").tobytes())
        clip = np.diag([2.0, 2, 2, 1])
        clip[:3, 3] = -1
        self.depth["camera"].write((clip @ lamp).T.astype("f4").tobytes())
        self.shadow_target.use()
        self.gl.enable_only(moderngl.DEPTH_TEST)
        self.shadow_target.clear(depth=1.0)
        for _, texture, _, dark in self.vaos:
            texture.use(0)
            dark.render()

    def draw(self, width: int, height: int, focal: float, centre: tuple[float, float]) -> np.ndarray:
        """The person as (H, W, 4) float32 0..1, colours times cover; a point is at centre + focal * (x, -y) / -z, pixels."""
        if (width, height) not in self.targets:
            buffers = self.gl.renderbuffer((width, height), 4), self.gl.depth_renderbuffer((width, height))
            self.targets[width, height] = self.gl.framebuffer(*buffers)
        target = self.targets[width, height]
        target.use()
        target.clear(0, 0, 0, 0, depth=1)
        near, far = 0.5, 2000.0
        camera = np.zeros((4, 4))
        camera[0, 0], camera[0, 2] = 2 * focal / width, 1 - 2 * centre[0] / width
        camera[1, 1], camera[1, 2] = 2 * focal / height, 2 * centre[1] / height - 1
        camera[2, 2], camera[2, 3], camera[3, 2] = -(far + near) / (far - near), -2 * far * near / (far - near), -1
        self.program["camera"].write(camera.T.astype("f4").tobytes())
        self.gl.enable_only(moderngl.DEPTH_TEST | moderngl.BLEND)
        self.gl.blend_func = moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA, moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA
        self.program["image"], self.program["shadow"] = 0, 1
        self.shadow.use(1)
        for layer in (0, 1):
            target.depth_mask = layer == 0
            for part, texture, vao, _ in self.vaos:
                if layer == 0 or part.is_thin:
                    texture.use(0)
                    self.program["tint"], self.program["look"], self.program["layer"] = part.tint, part.look, layer
                    vao.render()
        target.depth_mask = True
        raw = np.frombuffer(target.read(components=4), np.uint8).reshape(height, width, 4)
        return raw[::-1].astype(np.float32) / 255


def normals_of(positions: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3) of vertices, means of those of their triangles by area."""
    a, b, c = (positions[triangles[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    total = np.stack(
        [sum(np.bincount(triangles[:, i], across[:, axis], len(positions)) for i in range(3)) for axis in range(3)], 1
    )
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)
