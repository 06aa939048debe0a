"""Draws the people of people.py on transparent pictures, with OpenGL: EGL, but neither a screen nor a GPU."""

from dataclasses import dataclass
from typing import Callable

import moderngl
import numpy as np
from people import Person

VERTEX = """#version 330
uniform mat4 camera; uniform mat4 lamp;
in vec3 position; in vec3 normal; in vec2 uv;
out vec3 at; out vec3 facing; out vec2 coordinate; out vec4 lit;
void main() {
    at = position; facing = normal; coordinate = uv;
    lit = lamp * vec4(position, 1); gl_Position = camera * vec4(position, 1);
}"""
FRAGMENT = """#version 330
#define THIN
uniform sampler2D image; uniform sampler2DShadow shadow;
uniform vec4 tint; uniform vec3 look; uniform int layer;
uniform vec3 sky; uniform vec3 ground; uniform vec3 directions[3]; uniform vec3 colours[3]; uniform vec3 up;
in vec3 at; in vec3 facing; in vec2 coordinate; in vec4 lit;
out vec4 result;
void main() {
    vec4 texel = texture(image, coordinate);
#ifdef THIN
    if (layer == 0 && texel.a < 0.55) discard;
    if (layer == 1 && (texel.a >= 0.55 || texel.a < 0.04)) discard;
#endif
    vec3 eye = normalize(-at), n = normalize(facing);
    if (dot(n, eye) < -0.1) n = -n;
    vec3 albedo = pow(texel.rgb, vec3(2.2));
    float grey = dot(albedo, vec3(0.3, 0.6, 0.1));
    albedo = mix(albedo, pow(tint.rgb, vec3(2.2)) * (0.35 + 4 * grey / (1 + 2 * grey)), tint.a);
    vec3 light = mix(ground, sky, 0.5 + 0.5 * dot(n, up)), shine = vec3(0);
    vec3 soft = vec3(look.x, look.x * 0.45, look.x * 0.35);
    float open = 0;
    for (int i = -1; i < 2; i += 2) for (int j = -1; j < 2; j += 2)
        open += texture(shadow, vec3(lit.xy + vec2(i, j) / 900.0, lit.z - 0.004)) / 4;
    for (int k = 0; k < 3; k++) {
        float seen = k == 0 ? open : 1;
        float cosine = dot(n, directions[k]);
        light += colours[k] * seen * max(vec3(0), (cosine + soft) / (1 + soft));
        shine += colours[k] * seen * look.y * pow(max(0, dot(n, normalize(directions[k] + eye))), look.z) * max(0, cosine);
    }
    float rim = pow(1 - max(0, dot(n, eye)), 4);
    vec3 colour = albedo * light + shine * (1 + 2 * rim);
    colour = 1 - exp(-1.35 * colour);
    result = vec4(pow(colour, vec3(1 / 2.2)), 1);
#ifdef THIN
    if (layer == 1) result.a = texel.a;
#endif
}"""
SOLID = FRAGMENT.replace("#define THIN\n", "").replace("uniform int layer;", "")  # without discard, which costs time
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
        """Lights by lot, of which the first comes rather from above and from the camera."""
        directions = rng.normal(0, 1, (3, 3)) + np.array([(0, 0.8, 0.9), (0, 0.2, 0.2), (0, 0.3, -0.3)])
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        colours = rng.uniform(0.75, 1, (3, 3))
        colours *= np.array([rng.uniform(0.15, 1.3), rng.uniform(0, 0.5), rng.uniform(0, 0.5)])[:, None]
        ambient = rng.uniform(0.15, 0.7)
        sky, ground = ambient * rng.uniform(0.85, 1.1, 3), ambient * rng.uniform(0.3, 0.8) * rng.uniform(0.85, 1.1, 3)
        return Lights(directions, colours, sky, ground)


class Renderer:
    """Draws persons on transparent pictures."""

    def __init__(self) -> None:
        try:
            self.gl = moderngl.create_context(standalone=True, backend="egl")
        except Exception as error:  # moderngl says no more
            raise SystemExit(f"there is no EGL to draw with (Debian: libegl1 libgl1-mesa-dri): {error}") from None
        self.programs = {True: self.gl.program(VERTEX, FRAGMENT), False: self.gl.program(VERTEX, SOLID)}  # by is_thin
        self.textures: dict[int, tuple] = {}  # of assets, by their images' addresses
        self.depth = self.gl.program(VERTEX, DEPTH)
        self.shadow = self.gl.depth_texture((768, 768))
        self.shadow.compare_func = "<="
        self.shadow_target = self.gl.framebuffer(depth_attachment=self.shadow)
        self.targets: dict = {}
        self.kept: list = []

    def load(self, person: Person, lights: Lights, place: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
        """Take a person to draw; `place` maps vertices and how they turn to the camera's space (it looks along -z, y is up)."""
        for each in self.kept:
            each.release()
        self.kept, self.vaos = [], []
        if len(self.textures) > 150:
            for texture, _ in self.textures.values():
                texture.release()
            self.textures.clear()
        points = []
        for part in person.parts:
            positions = place(part.positions, part.turning).astype(np.float32)
            normals = normals_of(positions, part.mesh.source[part.mesh.triangles])
            source = part.mesh.source
            rows = np.concatenate([positions[source], normals[source], part.mesh.uv * (1, -1) + (0, 1)], 1).astype(np.float32)
            vertices, index = self.gl.buffer(rows.tobytes()), self.gl.buffer(part.mesh.triangles.astype(np.int32).tobytes())
            texture = self._texture(part.texture)
            vao = self.gl.vertex_array(self.programs[part.is_thin], [(vertices, "3f 3f 2f", "position", "normal", "uv")], index)
            dark = self.gl.vertex_array(self.depth, [(vertices, "3f 12x 2f", "position", "uv")], index)
            self.kept += [vertices, index, vao, dark]
            self.vaos.append((part, texture, vao, dark))
            points.append(positions[np.unique(source[part.mesh.triangles])])
        self.points = np.concatenate(points)
        self._set(lights, self.points)

    def _texture(self, image: np.ndarray) -> moderngl.Texture:
        """A texture of an image, kept because people share many."""
        if id(image) not in self.textures:
            texture = self.gl.texture(image.shape[1::-1], 4, image.tobytes())
            texture.build_mipmaps()
            texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
            self.textures[id(image)] = texture, image  # the image, so that its address stays its own
        return self.textures[id(image)][0]

    def _set(self, lights: Lights, points: np.ndarray) -> None:
        """Set the lights, and draw what the first one sees of points (N, 3)."""
        forward = lights.directions[0]
        side = np.cross(forward, (0.3, 1, 0.2))
        side /= np.linalg.norm(side)
        axes = np.stack([side, np.cross(forward, side), -forward])
        seen = points @ axes.T
        low, high = seen.min(0), seen.max(0)
        lamp = np.eye(4)
        lamp[:3, :3] = axes / (high - low)[:, None]
        lamp[:3, 3] = -low / (high - low)  # 0..1
        for program in self.programs.values():
            program["directions"].write(lights.directions.astype("f4").tobytes())
            program["colours"].write(lights.colours.astype("f4").tobytes())
            program["sky"], program["ground"], program["up"] = tuple(lights.sky), tuple(lights.ground), (0, 1, 0)
            program["lamp"].write(lamp.T.astype("f4").tobytes())
            program["image"], program["shadow"] = 0, 1
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
        for program in self.programs.values():
            program["camera"].write(camera.T.astype("f4").tobytes())
        self.gl.enable_only(moderngl.DEPTH_TEST | moderngl.BLEND)
        self.gl.blend_func = moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA, moderngl.ONE, moderngl.ONE_MINUS_SRC_ALPHA
        self.shadow.use(1)
        for layer in (0, 1):
            target.depth_mask = layer == 0
            for part, texture, vao, _ in self.vaos[1:] + self.vaos[:1]:  # the skin last: clothes and hair hide much of it
                if layer == 0 or part.is_thin:
                    texture.use(0)
                    program = self.programs[part.is_thin]
                    program["tint"], program["look"] = part.tint, part.look
                    if part.is_thin:
                        program["layer"] = layer
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
