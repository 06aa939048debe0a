"""Photos of scenes, composed of portraits or crops of faces and of photos without people.

A net that learns from crops of faces alone never sees a small face, a crowd or most of what is not a face. Scenes have them.
Faces are pasted in several ways, and so are pieces without a face: an edge then says nothing about what is inside it (cut,
paste and learn, Dwibedi et al., ICCV 2017). Photos that show more than faces also go in whole, several in a scene (a mosaic, as
in YOLOv4, Bochkovskiy et al. 2020).
"""

import csv
import json
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from mtcnn_gluon.config import LANDMARK_NAMES
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.io.files import printable, whole_file
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.io.processes import in_processes
from mtcnn_gluon.options import Options, option
from mtcnn_gluon.prepare_data.annotations import Photo
from mtcnn_gluon.prepare_data.readers import read_annotations
from mtcnn_gluon.records.samples import MIRRORED

LIST, PHOTOS, ABOUT = "faces.csv", "images", "scenes.json"
COLUMNS = ("file", "x1", "y1", "x2", "y2", *(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy"))
SHAPES = ((1, 1), (1, 0.75), (0.75, 1), (1, 0.6))  # width and height of a scene, in sides
ROOM = 0.55  # a crop is a portrait, which shows shoulders, if its face is at most this wide, in widths of the crop
HIDDEN = 0.35  # a face that others cover by more than this is painted over instead of listed
QUALITY = (25, 96)  # of JPEG
CACHED = 500  # images and outlines of persons that a process keeps
OUTLINED = 160  # longer side in pixels at which the outline of a person is looked for
GREY = np.array([[0.299], [0.587], [0.114]], np.float32)  # of red, green and blue, ITU-R BT.601
TURNED = 0.3  # a face looks aside if its nose is this far from the middle of its eyes, in distances of the eyes
SQUEEZED = 0.6  # the narrowest that a face is made, in its widths


@dataclass(frozen=True, kw_only=True)
class SceneOptions(Options):
    """Options of `prepare scenes`."""

    images: str = option(..., "folder of the portraits or crops of faces", metavar="DIR")
    annotations: str = option(..., "list of their faces, a csv or CNN_FacePoint list with landmarks", metavar="FILE")
    min_score: float = option(0.0, "smallest score of a face, in a csv with scores", least=0, most=1, metavar="S")
    backgrounds: str = option(..., "folder of the photos without people", metavar="DIR")
    background_list: str = option(..., "list of them, a path a line", metavar="FILE")
    out: str = option(..., "new folder for the scenes", metavar="DIR")
    count: int = option(3000, "number of scenes", least=1, metavar="N")
    side: int = option(640, "longer side of a scene, in pixels", least=64, most=8192, metavar="PX")
    least_face: float = option(9.0, "smallest height of a face, in pixels", least=4, metavar="PX")
    largest_face: float = option(300.0, "largest height of a face, in pixels", least=8, metavar="PX")
    whole: float = option(0.35, "share of the scenes made of whole photos, where some show more than a face", least=0, most=1)
    workers: int = option(1, "worker processes", least=1, metavar="N")
    seed: int = option(0, "random seed", least=0, metavar="N")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least_face >= self.largest_face:
            raise ConfigError(f"least_face must be below largest_face, {self.largest_face:g}, not {self.least_face:g}")


class Piece(NamedTuple):
    """What is pasted: colours (H, W, 3) uint8, how far they cover (H, W) float32 0..1, and its faces.

    `points` (F, 9, 2) has the corners of each face's box, clockwise from the left upper one, then its landmarks, pixels.
    """

    colours: np.ndarray
    cover: np.ndarray
    points: np.ndarray = np.zeros((0, 9, 2), np.float32)


def prepare_scenes(options: SceneOptions) -> dict[str, Any]:
    """Compose scenes of faces and of photos without people, with a list of their faces.

    Writes `images/*.jpg`, then `scenes.json` with the options and counts, which it returns, and `faces.csv` with boxes and
    landmarks, for `prepare wider` and the rest. The same options give the same scenes, whatever the number of workers.

    Raises:
        ConfigError: if `out` exists and is no unfinished work of this function, or an option is wrong.
        DataError: if a list or a photo cannot be read, or no portrait has exactly one face with landmarks.
    """
    out = Path(options.out)
    if out.exists() and (not out.is_dir() or any(path.name not in (PHOTOS, ABOUT) for path in out.iterdir())):
        raise ConfigError(f"out must be a new folder, or what an interrupted run left, but {out} is not")
    rows: list[list[Any]] = []
    composer = Composer(options)
    used = {photo.path for photo in composer.faces + (composer.whole if options.whole else [])}
    counts = {"portraits": len(used), "left out": composer.listed - len(used), "scenes": 0, "faces": 0}
    work = in_processes(_draw, range(options.count), partial(Composer, options), options.workers, "scene {}".format)
    for index, (picture, boxes, landmarks) in enumerate(work):
        name = f"{PHOTOS}/{index:05d}.jpg"
        with whole_file(out / name, "wb") as file:
            file.write(picture)
        for box, points in zip(boxes, landmarks):
            rows.append([name, *(f"{number:.2f}" for number in (*box, *points.ravel()))])
        if not len(boxes):
            rows.append([name, *[""] * (len(COLUMNS) - 1)])
        counts["scenes"] += 1
        counts["faces"] += len(boxes)
    about = {"counts": counts, "options": asdict(options)}
    with whole_file(out / ABOUT) as file:
        json.dump(about, file, indent=1)
    with whole_file(out / LIST) as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    return about


def _portraits(options: SceneOptions) -> tuple[int, list[Photo], list[Photo]]:
    """How many photos the list has, those that show one face, and those whose faces all have landmarks.

    Raises:
        DataError: if the list cannot be read, or has no photo of one face, sure enough and with landmarks.
    """
    photos = read_annotations(options.annotations, min_score=options.min_score).photos
    whole = [photo for photo in photos if not photo.ignore.all() and photo.has_landmarks[~photo.ignore].all()]
    single = [photo for photo in whole if len(photo) == 1]
    if not single:
        raise DataError(printable(f"{options.annotations} has no photo with one face and its landmarks"))
    return len(photos), single, whole


def _draw(composer: "Composer", index: int) -> tuple[bytes, np.ndarray, np.ndarray]:
    return composer.scene(index)


class Composer:
    """Composes scenes of the same sources.

    Args:
        options: of `prepare scenes`.

    Raises:
        DataError: if a list cannot be read, or no portrait has exactly one face with landmarks.
    """

    def __init__(self, options: SceneOptions) -> None:
        self.options = options
        self.listed, self.faces, photos = _portraits(options)
        self.empty = [photo.path for photo in read_annotations(options.background_list, format="photos").photos]
        self.read = lru_cache(CACHED)(read_image)
        self.outline = lru_cache(None)(lambda path, box: _person(self.read(path), np.array(box)))
        self.whole = [photo for photo in photos if self._shows_more(photo)]
        self.groups = [photo for photo in self.whole if (~photo.ignore).sum() > 1] or self.whole
        self.turned = [photo for photo in self.faces if _looks_aside(photo.landmarks[0])] or self.faces
        self.shows_person = {photo.path for photo in self.whole}
        self.portraits = [photo for photo in self.faces if photo.path in self.shows_person]

    def scene(self, index: int) -> tuple[bytes, np.ndarray, np.ndarray]:
        """Scene `index` as JPEG, and boxes (N, 4) x1, y1, x2, y2 and landmarks (N, 5, 2) x, y of its faces, float32 pixels."""
        generator = np.random.default_rng((self.options.seed, index))
        width, height = (int(self.options.side * share) for share in SHAPES[generator.integers(len(SHAPES))])
        canvas = self._background(width, height, generator)
        owner = np.full((height, width), -1, np.int32)  # the piece that each pixel shows
        pieces = self._photos if self.whole and generator.random() < self.options.whole else self._people
        placed = [
            (self._paste(canvas, owner, piece, spot, number, generator), number)
            for number, (piece, spot) in enumerate(pieces(width, height, generator))
        ]
        points = np.concatenate([np.zeros((0, 9, 2)), *(points for points, _ in placed)])
        numbers = np.repeat([number for _, number in placed], [len(each) for each, _ in placed])
        boxes = boxes_around(points[:, :4])
        is_seen = np.array([_share_seen(owner, *face) >= 1 - HIDDEN for face in zip(boxes, numbers)], bool)
        is_clear = is_seen & ~np.isnan(points).any((1, 2))
        for box, number in zip(boxes[~is_clear], numbers[~is_clear]):  # neither a clear face nor clear background
            part = _inside(canvas, box)
            part[_inside(owner, box) == number] = generator.integers(0, 256, 3)
        faces = boxes[is_clear].astype(np.float32), points[is_clear, 4:].astype(np.float32)
        return _photographed(canvas, generator), *faces

    def _people(self, width: int, height: int, generator: np.random.Generator) -> Iterator[tuple[Piece, np.ndarray]]:
        """Faces and their places, with pieces without a face among them and over them."""
        for centre, size in self._places(width, height, generator):
            if generator.random() < 0.4:
                spot = generator.random(2) * (width, height)
                yield self._nothing(size * generator.uniform(0.5, 2), generator), spot
            yield self._face(size, generator), centre
            if generator.random() < 0.12:  # something covers a part of the face
                angle, away = generator.uniform(0, 2 * np.pi), size * generator.uniform(0.5, 0.9)
                spot = centre + away * np.array([np.cos(angle), np.sin(angle)])
                yield self._nothing(size * generator.uniform(0.4, 1), generator), spot

    def _photos(self, width: int, height: int, generator: np.random.Generator) -> Iterator[tuple[Piece, np.ndarray]]:
        """Whole photos with their faces, and their places."""
        for _ in range(generator.integers(1, 7)):
            choice = self.groups if generator.random() < 0.5 else self.whole
            photo = choice[generator.integers(len(choice))]
            image = self._image(photo)
            points = np.concatenate([_corners(photo.boxes), photo.landmarks], 1)
            points[photo.ignore, 4:] = np.nan  # which makes it unclear
            size = _between(self.options.least_face, min(self.options.largest_face, 0.9 * height), generator)
            heights = photo.boxes[~photo.ignore, 3] - photo.boxes[~photo.ignore, 1]
            scale = min(size / generator.choice(heights), 2, 3 * width / image.shape[1])
            piece = Piece(image, np.ones(image.shape[:2], np.float32), points)
            yield _turned(piece, scale, generator), generator.random(2) * (width, height)

    # ---- what is pasted

    def _face(self, size: float, generator: np.random.Generator) -> Piece:
        """A face whose box is `size` pixels high."""
        choice = self.turned if generator.random() < 0.3 else self.faces
        photo = choice[generator.integers(len(choice))]
        image = self._image(photo)
        x1, y1, x2, y2 = photo.boxes[0]
        points = np.concatenate([_corners(photo.boxes), photo.landmarks], 1)
        if generator.random() < 0.06:
            image = _with_glasses(image, photo.landmarks[0], generator)
        style, scale = generator.random(), size / (y2 - y1)
        if photo.path in self.shows_person and style < 0.75:
            cover = self._person(photo)
        elif photo.path not in self.shows_person and style < 0.6:  # the head; what is beyond the crop's border is mirrored
            border = int(0.4 * max(image.shape[:2]))
            image = np.pad(image, [(border, border), (border, border), (0, 0)], "reflect")
            points = points + border
            cover = _oval(image.shape[:2], points[0, :4].mean(0), x2 - x1, y2 - y1, generator)
            if style < 0.35 and self.portraits:
                return self._with_body(Piece(image, cover, points), size, generator)
        elif style < 0.8:
            cover = _soft(image.shape[:2], generator.uniform(0.02, 0.15))
        else:
            cover = np.ones(image.shape[:2], np.float32)
        return _turned(Piece(image, cover, points), scale, generator)

    def _with_body(self, head: Piece, size: float, generator: np.random.Generator) -> Piece:
        """A head, `size` pixels high, in the place of the head of a random portrait."""
        photo = self.portraits[generator.integers(len(self.portraits))]
        image, person = self._image(photo), self._person(photo)
        x1, y1, x2, y2 = photo.boxes[0]
        scale = 1.05 * (y2 - y1) / np.ptp(head.points[0, :4, 1])
        shift = np.array([x1 + x2, y1 + y2]) / 2 - scale * head.points[0, :4].mean(0)
        move = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        shape = image.shape[1::-1]
        colours = cv2.warpAffine(head.colours, move, shape, flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        cover = cv2.warpAffine(head.cover, move, shape, flags=cv2.INTER_LINEAR)
        image = np.roll(image, max(0, generator.integers(5) - 2), 2)  # for some, clothes of other colours
        mixed = cover[..., None] * colours + (1 - cover[..., None]) * image
        piece = Piece(mixed.astype(np.uint8), np.maximum(cover, person), head.points * scale + shift)
        return _turned(piece, size / (1.05 * (y2 - y1)), generator)

    def _image(self, photo: Photo) -> np.ndarray:
        return self.read(self._path(photo))

    def _person(self, photo: Photo) -> np.ndarray:
        """How far the person of a portrait covers it, (H, W) float32 0..1."""
        outline = self.outline(self._path(photo), tuple(photo.boxes[0]))
        return cv2.resize(outline, self._image(photo).shape[1::-1], interpolation=cv2.INTER_LINEAR)

    def _path(self, photo: Photo) -> Path:
        return Path(self.options.images) / photo.path

    def _shows_more(self, photo: Photo) -> bool:
        """Whether a photo shows more than faces, such as shoulders."""
        path = self._path(photo)
        try:
            width = Image.open(path).width  # which reads no pixels
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise DataError(printable(f"{path} cannot be read: {error}")) from error
        return bool((photo.boxes[:, 2] - photo.boxes[:, 0]).max() <= ROOM * width)

    def _nothing(self, size: float, generator: np.random.Generator) -> Piece:
        """A piece without a face, pasted as faces are. Its sides are `size` pixels or somewhat more."""
        side = max(8, int(size * 1.3))
        if self.portraits and generator.random() < 0.15:
            photo = self.portraits[generator.integers(len(self.portraits))]
            below = self._image(photo)[int(photo.boxes[0, 3]) :]
            if min(below.shape[:2]) >= 16:
                image = cv2.resize(below, (side, max(4, side * below.shape[0] // below.shape[1])), interpolation=cv2.INTER_AREA)
                return Piece(image, np.ones(image.shape[:2], np.float32))
        image = self._background(side, side, generator)
        style, middle = generator.random(), np.array([side / 2, side / 2])
        if style < 0.45:
            cover = _oval(image.shape[:2], middle, side * 0.6, side * 0.75, generator)
        else:
            cover = (
                _soft(image.shape[:2], generator.uniform(0.02, 0.15)) if style < 0.65 else np.ones(image.shape[:2], np.float32)
            )
        return Piece(image, cover)

    def _background(self, width: int, height: int, generator: np.random.Generator) -> np.ndarray:
        """A random part of a photo without people, (height, width, 3) uint8."""
        image = self.read(Path(self.options.backgrounds) / self.empty[generator.integers(len(self.empty))])
        share = generator.uniform(0.4, 1) * min(image.shape[1] / width, image.shape[0] / height)
        w, h = max(2, int(share * width)), max(2, int(share * height))
        x, y = (generator.integers(0, room + 1) for room in (image.shape[1] - w, image.shape[0] - h))
        part = cv2.resize(
            image[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_AREA if share > 1 else cv2.INTER_LINEAR
        )
        return np.ascontiguousarray(part[:, ::-1]) if generator.random() < 0.5 else part

    # ---- where

    def _places(self, width: int, height: int, generator: np.random.Generator) -> list[tuple[np.ndarray, float]]:
        """Centres and heights in pixels of faces: a few of any size, a group, or a crowd in rows; the far ones first."""
        least, largest = self.options.least_face, min(self.options.largest_face, 0.9 * height)
        kind, places = generator.random(), []
        if kind < 0.45:
            for _ in range(generator.integers(1, 6)):
                size = _between(max(least, 0.05 * height), largest, generator)
                places.append((generator.random(2) * (width, height), size))
        else:
            low, high = (0.06, 0.3) if kind < 0.7 else (0.015, 0.06)
            size = _between(max(least, low * height), max(1.5 * least, high * height), generator)
            gap = size * generator.uniform(1.5, 4)
            for y in np.arange(generator.uniform(0, height / 2), height, gap * generator.uniform(0.7, 1.2)):
                for x in np.arange(generator.uniform(0, gap), width, gap):
                    if generator.random() < 0.7 and len(places) < 60:
                        spot = np.array([x, y]) + generator.normal(0, 0.2, 2) * size
                        places.append((spot, max(least, size * generator.uniform(0.75, 1.3))))
        return sorted(places, key=lambda place: place[1])

    def _paste(
        self,
        canvas: np.ndarray,
        owner: np.ndarray,
        piece: Piece,
        centre: np.ndarray,
        number: int,
        generator: np.random.Generator,
    ) -> np.ndarray:
        """Paste a piece with the middle of its first face, or its own, at `centre`; returns its points in the scene."""
        middle = piece.points[0, :4].mean(0) if len(piece.points) else np.array(piece.cover.shape[::-1]) / 2
        shift = np.rint(centre - middle).astype(int)
        x, y = shift
        h, w = piece.cover.shape
        left, top, right, bottom = max(0, x), max(0, y), min(canvas.shape[1], x + w), min(canvas.shape[0], y + h)
        if left < right and top < bottom:
            inside = slice(top - y, bottom - y), slice(left - x, right - x)
            there = slice(top, bottom), slice(left, right)
            cover = piece.cover[inside][..., None]
            colours = _lit(piece.colours[inside], generator)
            canvas[there] = np.clip(cover * colours + (1 - cover) * canvas[there] + 0.5, 0, 255)
            owner[there][piece.cover[inside] > 0.5] = number
        return piece.points + shift


# ---- faces


def _corners(boxes: np.ndarray) -> np.ndarray:
    """Corners (F, 4, 2) of boxes (F, 4), clockwise from the left upper one."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)


def boxes_around(corners: np.ndarray) -> np.ndarray:
    """Upright boxes (F, 4) around faces whose own boxes are turned, corners (F, 4, 2).

    A face fills its box as an ellipse does, whose bounds these are: for middle c and half sides u and v of the turned box,
    c +- sqrt(u^2 + v^2) in x and in y. A box around the corners would be up to 1.4 times as wide as the face.
    """
    middle = corners.mean(1)  # (F, 2)
    across, down = (corners[:, 1] - corners[:, 0]) / 2, (corners[:, 3] - corners[:, 0]) / 2
    half = np.hypot(across, down)
    return np.concatenate([middle - half, middle + half], 1)


def _inside(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of an image in a box, as a view."""
    x1, y1, x2, y2 = np.maximum(np.rint(box), 0).astype(int)
    return image[y1:y2, x1:x2]


def _share_seen(owner: np.ndarray, box: np.ndarray, number: int) -> float:
    """The share of a face's box that shows piece `number`. What is cut off at the border counts as not shown."""
    return float((_inside(owner, box) == number).sum() / max(1, np.prod(np.rint(box[2:]) - np.rint(box[:2]))))


def _looks_aside(landmarks: np.ndarray) -> bool:
    left, right, nose = landmarks[:3, 0]
    return bool(abs(nose - (left + right) / 2) > TURNED * max(1, abs(right - left)))


# ---- pictures


def _between(low: float, high: float, generator: np.random.Generator) -> float:
    """A random size, each octave as likely."""
    return float(np.exp(generator.uniform(np.log(low), np.log(max(low, high)))))


def _oval(
    shape: tuple[int, ...], middle: np.ndarray, width: float, height: float, generator: np.random.Generator
) -> np.ndarray:
    """A soft oval around a face of `width` x `height` pixels, with hair and ears; (H, W) float32 0..1."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    a, b = width * generator.uniform(0.6, 0.85), height * generator.uniform(0.6, 0.8)
    up = height * generator.uniform(0, 0.12)  # hair is above the box
    distance = (np.abs((x - middle[0]) / a) ** 2.5 + np.abs((y - middle[1] + up) / b) ** 2.5) ** 0.4
    return np.clip((1 - distance) / generator.uniform(0.03, 0.25) + 0.5, 0, 1)


def _lit(colours: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Colours under another light: brighter or darker, for some of another tint or grey; (H, W, 3) float32."""
    lit = colours.astype(np.float32)
    kind = generator.random()
    if kind < 0.06:
        lit = np.repeat(lit @ GREY, 3, 2)
    tint = generator.uniform(0.35, 1.2, 3) if 0.06 <= kind < 0.12 else generator.uniform(0.9, 1.1, 3)
    contrast = _between(0.5, 1.6, generator)
    middle = lit.mean() if lit.size else 0
    return ((lit - middle) * np.float32(contrast) + middle * np.float32(generator.uniform(0.6, 1.25))) * np.float32(tint)


def _with_glasses(image: np.ndarray, landmarks: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A copy of the image with dark glasses over the eyes of a face, landmarks (5, 2) pixels."""
    left, right = landmarks[:2]
    apart = max(2.0, float(np.hypot(*(right - left))))
    angle = float(np.degrees(np.arctan2(*(right - left)[::-1])))
    axes = int(apart * generator.uniform(0.3, 0.48)), int(apart * generator.uniform(0.22, 0.36))
    drawn, colour = image.copy(), [int(value) for value in generator.integers(0, 60, 3)]
    for eye in (left, right):
        cv2.ellipse(drawn, tuple(int(value) for value in eye), axes, angle, 0, 360, colour, -1, cv2.LINE_AA)
    ends = [tuple(int(value) for value in eye) for eye in (left, right)]
    cv2.line(drawn, ends[0], ends[1], colour, max(1, int(0.08 * apart)), cv2.LINE_AA)
    share = generator.uniform(0.7, 1)
    return cv2.addWeighted(drawn, share, image, 1 - share, 0)


def _soft(shape: tuple[int, ...], margin: float) -> np.ndarray:
    """A rectangle with a soft edge of `margin` sides, (H, W) float32 0..1."""
    ramps = [np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / (margin * n) for n in shape]
    return np.clip(np.minimum(ramps[0][:, None], ramps[1]), 0, 1).astype(np.float32)


def _person(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Where the person of a portrait is, by GrabCut from the box of the face; float32 0..1, at most `OUTLINED` wide or high."""
    scale = min(1, OUTLINED / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = small.shape[:2]
    x1, y1, x2, y2 = box * scale
    side = x2 - x1
    mask = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    mask[int(y2) :, int(max(0, x1 - side)) : int(x2 + side)] = cv2.GC_PR_FGD  # shoulders
    mask[max(0, int(y1 - 0.3 * side)) : int(y2), int(max(0, x1 - 0.2 * side)) : int(x2 + 0.2 * side)] = cv2.GC_PR_FGD
    mask[max(0, int(y1)) : int(y2), max(0, int(x1)) : int(x2)] = cv2.GC_FGD
    mask[: max(1, int(y1 - side)), :] = cv2.GC_BGD
    mask[: int(y1), [0, -1]] = cv2.GC_BGD
    cv2.setRNGSeed(0)  # GrabCut draws random numbers
    colours, behind, person = cv2.cvtColor(small, cv2.COLOR_RGB2BGR), np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(colours, mask, (0, 0, width, height), behind, person, 3, cv2.GC_INIT_WITH_MASK)
    return cv2.GaussianBlur(np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32), (0, 0), 1)


def _turned(piece: Piece, scale: float, generator: np.random.Generator) -> Piece:
    """A piece of another scale. Half are mirrored, some squeezed or turned by up to 25 degrees."""
    height, width = piece.cover.shape
    squeeze = generator.uniform(SQUEEZED, 1) if generator.random() < 0.2 else 1
    w, h = max(2, round(width * scale * squeeze)), max(2, round(height * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    colours, cover = (cv2.resize(each, (w, h), interpolation=way) for each in piece[:2])
    points = piece.points * (w / width, h / height)
    if generator.random() < 0.5:
        colours, cover = colours[:, ::-1], cover[:, ::-1]
        points = points * (-1, 1) + (w, 0)
        points[:, 4:] = points[:, 4:][:, MIRRORED]
    if generator.random() < 0.4:
        turn = cv2.getRotationMatrix2D((w / 2, h / 2), generator.uniform(-25, 25), 1)
        colours = cv2.warpAffine(colours, turn, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        cover = cv2.warpAffine(np.ascontiguousarray(cover), turn, (w, h), flags=cv2.INTER_LINEAR)
        points = points @ turn[:, :2].T + turn[:, 2]
    return Piece(colours, cover, points)


def _photographed(image: np.ndarray, generator: np.random.Generator) -> bytes:
    """A scene as a camera would give it: gamma, blur, for some grey, noise, JPEG."""
    gamma, light = np.float32(generator.uniform(0.6, 1.8)), np.float32(generator.uniform(0.5, 1.15))
    scaled: Any = _blurred((image / np.float32(255)) ** gamma * light, generator)
    if generator.random() < 0.08:
        scaled = np.repeat(scaled @ GREY, 3, 2)
    scaled += generator.standard_normal(scaled.shape, np.float32) * np.float32(generator.uniform(0, 0.04))
    whole = (np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(generator.integers(*QUALITY))]
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(whole, cv2.COLOR_RGB2BGR), quality)[1])


def _blurred(image: Any, generator: np.random.Generator) -> Any:
    """An image (H, W, 3) out of focus, of fewer pixels, moved, or as it is."""
    kind, (height, width) = generator.random(), image.shape[:2]
    if kind < 0.5:
        return cv2.GaussianBlur(image, (0, 0), generator.uniform(0.2, 1.5))
    if kind < 0.65:
        share = generator.uniform(0.35, 0.9)
        small = cv2.resize(image, (int(share * width), int(share * height)), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if kind < 0.75:
        side = 2 * int(generator.integers(1, 4)) + 1
        kernel = np.zeros((side, side), np.float32)
        kernel[side // 2] = 1 / side
        turn = cv2.getRotationMatrix2D((side // 2, side // 2), generator.uniform(0, 180), 1)
        kernel = np.asarray(cv2.warpAffine(kernel, turn, (side, side)), np.float32)
        return cv2.filter2D(image, -1, kernel / kernel.sum())
    return image
