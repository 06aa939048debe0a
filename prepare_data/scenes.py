"""Photos of scenes, composed of portraits or crops of faces and of photos without people.

A net that learns from crops of faces alone never sees a small face, a crowd or most of what is not a face. Scenes have them.
Faces are pasted in several ways, and so are pieces without a face: an edge then says nothing about what is inside it (cut,
paste and learn, Dwibedi et al., ICCV 2017).
"""

import csv
import json
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

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
QUALITY = (30, 96)  # of JPEG
CACHED = 1000  # images and outlines of persons that a process keeps


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
    workers: int = option(1, "worker processes", least=1, metavar="N")
    seed: int = option(0, "random seed", least=0, metavar="N")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least_face >= self.largest_face:
            raise ConfigError(f"least_face must be below largest_face, {self.largest_face:g}, not {self.least_face:g}")


class Piece(NamedTuple):
    """What is pasted: colours (H, W, 3) uint8, how far they cover (H, W) float32 0..1, and the face's points in it."""

    colours: np.ndarray
    cover: np.ndarray
    corners: np.ndarray  # (4, 2) of the face's box, pixels
    landmarks: np.ndarray  # (5, 2) pixels


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
    every, used = _portraits(options)
    counts = {"portraits": len(used), "left out": every - len(used), "scenes": 0, "faces": 0}
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


def _portraits(options: SceneOptions) -> tuple[int, list[Photo]]:
    """How many photos the list has, and those that show one face, which is sure enough and has landmarks.

    Raises:
        DataError: if the list cannot be read, or has no such photo.
    """
    photos = read_annotations(options.annotations, min_score=options.min_score).photos
    used = [photo for photo in photos if len(photo) == 1 and photo.has_landmarks[0] and not photo.ignore[0]]
    if not used:
        raise DataError(printable(f"{options.annotations} has no photo with one face and its landmarks"))
    return len(photos), used


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
        _, self.faces = _portraits(options)
        self.empty = [photo.path for photo in read_annotations(options.background_list, format="photos").photos]
        self.read = lru_cache(CACHED)(read_image)
        self.person = lru_cache(CACHED)(self._person)
        self.portraits = [photo for photo in self.faces if self._is_portrait(photo)]
        self.shows_person = {photo.path for photo in self.portraits}

    def scene(self, index: int) -> tuple[bytes, np.ndarray, np.ndarray]:
        """Scene `index` as JPEG, and boxes (N, 4) x1, y1, x2, y2 and landmarks (N, 5, 2) x, y of its faces, float32 pixels."""
        generator = np.random.default_rng((self.options.seed, index))
        width, height = (int(self.options.side * share) for share in SHAPES[generator.integers(len(SHAPES))])
        canvas = self._background(width, height, generator)
        owner = np.full((height, width), -1, np.int32)  # the face that each pixel shows
        placed: list[tuple[np.ndarray, np.ndarray]] = []
        for centre, size in self._places(width, height, generator):
            if generator.random() < 0.4:
                spot = generator.random(2) * (width, height)
                self._paste(canvas, owner, self._nothing(size * generator.uniform(0.5, 2), generator), spot, -1, generator)
            piece = self._face(size, generator)
            placed.append(self._paste(canvas, owner, piece, centre, len(placed), generator))
        boxes = np.array([box for box, _ in placed], np.float32).reshape(-1, 4)
        landmarks = np.array([points for _, points in placed], np.float32).reshape(-1, 5, 2)
        seen = [self._share_seen(owner, box, number) for number, box in enumerate(boxes)]
        for number in np.flatnonzero(np.array(seen) < 1 - HIDDEN):  # neither a clear face nor clear background
            canvas[owner == number] = generator.integers(0, 256, 3)
        keep = np.flatnonzero(np.array(seen) >= 1 - HIDDEN)
        return _photographed(canvas, generator), boxes[keep], landmarks[keep]

    # ---- what is pasted

    def _face(self, size: float, generator: np.random.Generator) -> Piece:
        """A face whose box is `size` pixels high."""
        photo = self.faces[generator.integers(len(self.faces))]
        image = self._image(photo)
        x1, y1, x2, y2 = photo.boxes[0]
        corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32)
        landmarks = photo.landmarks[0]
        style = generator.random()
        if photo.path in self.shows_person and style < 0.75:
            cover = self.person(photo)
        elif photo.path not in self.shows_person and style < 0.6:  # the head; what is beyond the crop's border is mirrored
            border = int(0.4 * max(image.shape[:2]))
            image = np.pad(image, [(border, border), (border, border), (0, 0)], "reflect")
            corners, landmarks = corners + border, landmarks + border
            cover = _oval(image.shape[:2], corners[[0, 2]].mean(0), x2 - x1, y2 - y1, generator)
            if style < 0.35 and self.portraits:
                return _turned(self._with_body(Piece(image, cover, corners, landmarks), generator), size, generator)
        elif style < 0.8:
            cover = _soft(image.shape[:2], generator.uniform(0.02, 0.15))
        else:
            cover = np.ones(image.shape[:2], np.float32)
        return _turned(Piece(image, cover, corners, landmarks), size, generator)

    def _with_body(self, head: Piece, generator: np.random.Generator) -> Piece:
        """A head in the place of the head of a random portrait."""
        photo = self.portraits[generator.integers(len(self.portraits))]
        image, person = self._image(photo), self.person(photo)
        x1, y1, x2, y2 = photo.boxes[0]
        scale = 1.05 * (y2 - y1) / np.ptp(head.corners[:, 1])
        shift = np.array([x1 + x2, y1 + y2]) / 2 - scale * head.corners.mean(0)
        move = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        shape = image.shape[1::-1]
        colours = cv2.warpAffine(head.colours, move, shape, flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        cover = cv2.warpAffine(head.cover, move, shape, flags=cv2.INTER_LINEAR)
        image = np.roll(image, max(0, generator.integers(5) - 2), 2)  # for some, clothes of other colours
        mixed = cover[..., None] * colours + (1 - cover[..., None]) * image
        return Piece(
            mixed.astype(np.uint8), np.maximum(cover, person), head.corners * scale + shift, head.landmarks * scale + shift
        )

    def _image(self, photo: Photo) -> np.ndarray:
        return self.read(Path(self.options.images) / photo.path)

    def _person(self, photo: Photo) -> np.ndarray:
        return _person(self._image(photo), photo.boxes[0])

    def _is_portrait(self, photo: Photo) -> bool:
        path = Path(self.options.images) / photo.path
        try:
            width = Image.open(path).width  # which reads no pixels
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise DataError(printable(f"{path} cannot be read: {error}")) from error
        return photo.boxes[0, 2] - photo.boxes[0, 0] <= ROOM * width

    def _nothing(self, size: float, generator: np.random.Generator) -> Piece:
        """A piece without a face, pasted as faces are. Its sides are `size` pixels or somewhat more."""
        side = max(8, int(size * 1.3))
        if self.portraits and generator.random() < 0.15:
            photo = self.portraits[generator.integers(len(self.portraits))]
            below = self._image(photo)[int(photo.boxes[0, 3]) :]
            if min(below.shape[:2]) >= 16:
                image = cv2.resize(below, (side, max(4, side * below.shape[0] // below.shape[1])), interpolation=cv2.INTER_AREA)
                return Piece(image, np.ones(image.shape[:2], np.float32), np.zeros((4, 2)), np.zeros((5, 2)))
        image = self._background(side, side, generator)
        style, middle = generator.random(), np.array([side / 2, side / 2])
        if style < 0.45:
            cover = _oval(image.shape[:2], middle, side * 0.6, side * 0.75, generator)
        else:
            cover = (
                _soft(image.shape[:2], generator.uniform(0.02, 0.15)) if style < 0.65 else np.ones(image.shape[:2], np.float32)
            )
        return Piece(image, cover, np.zeros((4, 2)), np.zeros((5, 2)))

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
    ) -> tuple[np.ndarray, np.ndarray]:
        """Paste a piece with its face's middle at `centre`; returns the face's box (4,) and landmarks (5, 2) in the scene."""
        middle = piece.corners.mean(0) if number >= 0 else np.array(piece.cover.shape[::-1]) / 2
        shift = np.rint(centre - middle).astype(int)
        x, y = shift
        corners, landmarks = piece.corners + shift, piece.landmarks + shift
        h, w = piece.cover.shape
        left, top, right, bottom = max(0, x), max(0, y), min(canvas.shape[1], x + w), min(canvas.shape[0], y + h)
        if left < right and top < bottom:
            inside = slice(top - y, bottom - y), slice(left - x, right - x)
            there = slice(top, bottom), slice(left, right)
            cover = piece.cover[inside][..., None]
            gain, shift = generator.uniform(0.7, 1.25), generator.uniform(-20, 20)
            colours = piece.colours[inside] * gain + shift
            canvas[there] = np.clip(cover * colours + (1 - cover) * canvas[there] + 0.5, 0, 255)
            owner[there][piece.cover[inside] > 0.5] = number
        return np.concatenate([corners.min(0), corners.max(0)]), landmarks

    @staticmethod
    def _share_seen(owner: np.ndarray, box: np.ndarray, number: int) -> float:
        """The share of a face's box that shows this face. What is cut off at the border counts as not shown."""
        x1, y1, x2, y2 = np.rint(box).astype(int)
        part = owner[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)]
        return float((part == number).sum() / max(1, (x2 - x1) * (y2 - y1)))


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


def _soft(shape: tuple[int, ...], margin: float) -> np.ndarray:
    """A rectangle with a soft edge of `margin` sides, (H, W) float32 0..1."""
    ramps = [np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / (margin * n) for n in shape]
    return np.clip(np.minimum(ramps[0][:, None], ramps[1]), 0, 1).astype(np.float32)


def _person(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Where the person of a portrait is, by GrabCut from the box of the face; (H, W) float32 0..1."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    side = x2 - x1
    mask = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    mask[int(y2) :, int(max(0, x1 - side)) : int(x2 + side)] = cv2.GC_PR_FGD  # shoulders
    mask[max(0, int(y1 - 0.3 * side)) : int(y2), int(max(0, x1 - 0.2 * side)) : int(x2 + 0.2 * side)] = cv2.GC_PR_FGD
    mask[max(0, int(y1)) : int(y2), max(0, int(x1)) : int(x2)] = cv2.GC_FGD
    mask[: max(1, int(y1 - side)), :] = cv2.GC_BGD
    mask[: int(y1), [0, -1]] = cv2.GC_BGD
    cv2.setRNGSeed(0)  # GrabCut draws random numbers
    colours, behind, person = cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(colours, mask, (0, 0, width, height), behind, person, 3, cv2.GC_INIT_WITH_MASK)
    is_person = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    return cv2.GaussianBlur(is_person, (0, 0), 1.5)


def _turned(piece: Piece, size: float, generator: np.random.Generator) -> Piece:
    """A piece whose face becomes `size` pixels high; some are turned by up to 25 degrees, half of them mirrored."""
    height, width = piece.cover.shape
    scale = size / float(np.ptp(piece.corners[:, 1]))
    w, h = max(2, round(width * scale)), max(2, round(height * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    colours, cover = (cv2.resize(each, (w, h), interpolation=way) for each in piece[:2])
    points = np.concatenate(piece[2:]) * (w / width, h / height)
    if generator.random() < 0.5:
        colours, cover = colours[:, ::-1], cover[:, ::-1]
        points = points * (-1, 1) + (w, 0)
        points[4:] = points[4:][MIRRORED]
    if generator.random() < 0.4:
        turn = cv2.getRotationMatrix2D((w / 2, h / 2), generator.uniform(-25, 25), 1)
        colours = cv2.warpAffine(colours, turn, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        cover = cv2.warpAffine(np.ascontiguousarray(cover), turn, (w, h), flags=cv2.INTER_LINEAR)
        points = points @ turn[:, :2].T + turn[:, 2]
    return Piece(colours, cover, points[:4], points[4:])


def _photographed(image: np.ndarray, generator: np.random.Generator) -> bytes:
    """A scene as a camera would give it: gamma, blur, noise, JPEG."""
    scaled: Any = (image / np.float32(255)) ** np.float32(generator.uniform(0.7, 1.5)) * np.float32(generator.uniform(0.6, 1.1))
    if generator.random() < 0.6:
        scaled = cv2.GaussianBlur(scaled, (0, 0), generator.uniform(0.2, 1.2))
    scaled += generator.standard_normal(scaled.shape, np.float32) * np.float32(generator.uniform(0, 0.03))
    whole = (np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(generator.integers(*QUALITY))]
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(whole, cv2.COLOR_RGB2BGR), quality)[1])
