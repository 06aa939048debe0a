"""Which crops of a photo become training samples: Zhang et al. (2016), section II-D, as functions on arrays.

A crop is a square. Its IoU (intersection over union) with the nearest face makes it positive (0.65 or more), part of a face
(0.4 to 0.65) or negative (below 0.3). Crops between 0.3 and 0.4 are not used. Faces that are too small or to be ignored have no
positive and part samples, and crops that overlap them are not negative either.

No square has an IoU of 0.65 with a face that is 1.62 times as high as wide, such as a head in profile. With `square_faces` the
IoU is computed with the square around the face instead.
"""

from dataclasses import dataclass, fields
from typing import Any, Sequence

import numpy as np

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.errors import ConfigError
from mtcnn_gluon.layers import LARGEST_SIZE
from mtcnn_gluon.options import Options, option
from mtcnn_gluon.prepare_data.annotations import Photo
from mtcnn_gluon.records.samples import NO_FACE, Kind

OVERLAPS = 1 << 21  # IoU values that are held in memory at a time
ATTEMPTS = 8  # crops drawn for each wanted negative; a crowded photo may still have too few negatives


@dataclass(frozen=True)
class SamplingOptions(Options):
    """How samples are drawn.

    `negatives_mined` is used in mining only; `landmark_jitters`, `rotation` and `mirror` for landmark samples only.
    """

    positive: float = option(0.65, "smallest IoU with a face of a positive sample", above=0, below=1, metavar="IOU")
    part: float = option(0.4, "smallest IoU of a part sample", above=0, below=1, metavar="IOU")
    negative: float = option(0.3, "a negative sample has a smaller IoU", above=0, below=1, metavar="IOU")
    square_faces: bool = option(
        False, "whether IoU is computed with the smallest square around a face instead of its box; box targets stay the same"
    )
    min_face: float = option(20, "shorter side of the smallest face to learn from", least=1, below=1e6, metavar="PIXELS")
    jitters: int = option(20, "crops near every face, most of them positive or part", least=0, below=1e6, metavar="N")
    jitters_large: int = option(0, "more crops near every face of at least --large-face", least=0, below=1e6, metavar="N")
    large_face: float = option(40, "shorter side from which a face is large", least=0, below=1e6, metavar="PIXELS")
    scale_low: float = option(
        0.8, "smallest side of a crop near a face, relative to its shorter side", above=0, below=1e6, metavar="FACTOR"
    )
    scale_high: float = option(
        1.25, "largest side of a crop near a face, relative to its longer side", above=0, below=1e6, metavar="FACTOR"
    )
    shift: float = option(
        0.2, "largest shift of a crop near a face, relative to the face's width and height", least=0, below=1e6, metavar="SHARE"
    )
    negatives: int = option(50, "negative crops anywhere in a photo", least=0, below=1e6, metavar="N")
    negatives_near: int = option(5, "negative crops that touch a face, for every face", least=0, below=1e6, metavar="N")
    negatives_mined: int = option(
        100, "prepare mine: largest number of false positives of the model per photo, highest score first",
        least=0, below=1e6, metavar="N",
    )  # fmt: skip
    landmark_jitters: int = option(10, "prepare landmarks: crops for every face", least=0, below=1e6, metavar="N")
    rotation: float = option(
        15, "prepare landmarks: largest rotation, of every second crop", least=0, most=90, metavar="DEGREES"
    )
    mirror: bool = option(True, "prepare landmarks: whether to add the mirror image of each crop")
    size: int | None = option(
        None, "side of the net's input", least=1, most=LARGEST_SIZE, metavar="PIXELS", usual="the paper's"
    )
    context: int = option(
        0, "pixels on each side of the net's input around the candidate", least=0, most=LARGEST_SIZE, metavar="PIXELS"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size is not None and 2 * self.context >= self.size:
            raise ConfigError(f"context must be less than half of size, {self.size}, not {self.context}")
        if not self.negative <= self.part <= self.positive:
            overlaps = self.negative, self.part, self.positive
            raise ConfigError(f"negative, part and positive must ascend, not {overlaps}")
        if self.scale_low > self.scale_high:
            raise ConfigError(f"scale_low must be at most scale_high, not {self.scale_low} and {self.scale_high}")


def declared(options: Options, kind: type[Options] | None = None) -> dict[str, Any]:
    """Options by name: all, or those of the class `kind`. Defaults stay as declared, `20` not `20.0`, for equal digests.

    `size` and `context` are left out where they are the paper's: earlier versions did not have them.
    """
    values = ((each, getattr(options, each.name)) for each in fields(kind or options))
    found = {each.name: each.default if value == each.default else value for each, value in values}
    return {name: value for name, value in found.items() if name not in ("size", "context") or value}


@dataclass(frozen=True)
class Crops:
    """Crops of one photo with their kinds; row i of every array belongs to crop i.

    Attributes:
        boxes: (N, 4) float64 squares in pixels.
        kinds: (N,) int64, values of `Kind`.
        faces: (N,) int64, index of the nearest face that may be learned from, or `NO_FACE`.
        iou: (N,) float64 in 0..1 with the nearest of all faces.
    """

    boxes: np.ndarray
    kinds: np.ndarray
    faces: np.ndarray
    iou: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, rows: np.ndarray) -> "Crops":
        """The crops at indices or in a mask."""
        return Crops(self.boxes[rows], self.kinds[rows], self.faces[rows], self.iou[rows])


def concatenate(parts: list[Crops]) -> Crops:
    """All crops of the parts, of which there is at least one, in order."""
    return Crops(*(np.concatenate(arrays) for arrays in zip(*(vars(part).values() for part in parts))))


def learnable(photo: Photo, options: SamplingOptions) -> np.ndarray:
    """(N,) bool, which faces of a photo may be learned from."""
    sides = photo.boxes[:, 2:] - photo.boxes[:, :2]  # (N, 2)
    return ~photo.ignore & (sides.min(axis=1, initial=np.inf) >= options.min_face)


def label(squares: np.ndarray, photo: Photo, options: SamplingOptions) -> Crops:
    """The crops among `squares` (M, 4) that are positive, part or negative, in order."""
    squares = np.asarray(squares, np.float64)
    if len(photo.boxes) == 0:
        zeros = np.zeros(len(squares))
        return Crops(squares, zeros.astype(np.int64), np.full(len(squares), NO_FACE), zeros)
    faces, iou = _nearest(squares, photo, options)
    kinds = np.select([iou >= options.positive, iou >= options.part], [int(Kind.POSITIVE), int(Kind.PART)], int(Kind.NEGATIVE))
    is_negative = iou < options.negative
    is_kept = is_negative | ((iou >= options.part) & learnable(photo, options)[faces])
    return Crops(squares, kinds, np.where(is_negative, NO_FACE, faces), iou).take(is_kept)


def draw(
    photo: Photo, shape: Sequence[int], smallest: int, options: SamplingOptions, generator: np.random.Generator,
    inside: bool = True,
) -> Crops:  # fmt: skip
    """Crops for classes and boxes: jittered crops near every face, and negatives near faces and anywhere.

    Args:
        shape: height and width of the photo in pixels.
        smallest: smallest side of a crop in pixels.
        inside: whether crops near faces must lie inside the photo, as P-Net's crops do in detection. Crops of R- and O-Net may
            reach beyond it, where they are black. Negatives anywhere always lie inside.
    """
    height, width = shape[:2]
    reach = (height, width) if inside else None
    faces = photo.boxes[learnable(photo, options)].astype(np.float64)
    large = faces[(faces[:, 2:] - faces[:, :2]).min(axis=1, initial=np.inf) >= options.large_face]
    counts = ((faces, options.jitters), (large, options.jitters_large))
    near = np.concatenate([jittered(each, count, options, generator) for each, count in counts])
    parts = [label(near[_are_allowed(near, reach, smallest)], photo, options)]
    parts[0] = parts[0].take(parts[0].kinds != Kind.NEGATIVE)
    largest = min(height, width) / 2
    if largest >= smallest:
        count = ATTEMPTS * options.negatives_near
        squares = _touching(np.repeat(faces, count, axis=0), smallest, largest, generator)
        owners = np.repeat(np.arange(len(faces)), count)
        parts.append(_negatives(squares, owners, options.negatives_near, photo, reach, smallest, options))
        squares = _anywhere(ATTEMPTS * options.negatives, height, width, smallest, largest, generator)
        owners = np.zeros(len(squares), np.int64)
        parts.append(_negatives(squares, owners, options.negatives, photo, reach, smallest, options))
    return concatenate(parts)


def jittered(faces: np.ndarray, count: int, options: SamplingOptions, generator: np.random.Generator) -> np.ndarray:
    """`count` squares near each of faces (N, 4), as (N * count, 4) in the order of the faces."""
    faces = np.repeat(faces, count, axis=0)
    sizes = faces[:, 2:] - faces[:, :2]  # (M, 2)
    low, high = options.scale_low * sizes.min(axis=1), options.scale_high * sizes.max(axis=1)
    sides = generator.uniform(size=len(faces)) * (high - low) + low
    shifts = generator.uniform(-options.shift, options.shift, (len(faces), 2)) * sizes
    return _squares((faces[:, :2] + faces[:, 2:]) / 2 + shifts, sides)


def _touching(faces: np.ndarray, smallest: float, largest: float, generator: np.random.Generator) -> np.ndarray:
    """Squares (N, 4) that overlap faces (N, 4), one each, from half to twice the face's size."""
    sizes = faces[:, 2:] - faces[:, :2]  # (N, 2)
    sides = np.clip(sizes.max(axis=1, initial=0) * np.exp2(generator.uniform(-1, 1, len(faces))), smallest, largest)
    reach = (sides[:, None] + sizes) / 2  # (N, 2) distance of the centres if square and face just touch
    return _squares((faces[:, :2] + faces[:, 2:]) / 2 + generator.uniform(-1, 1, (len(faces), 2)) * reach, sides)


def _anywhere(
    count: int, height: int, width: int, smallest: float, largest: float, generator: np.random.Generator
) -> np.ndarray:
    """Squares (count, 4) inside a photo, of sides from `smallest` to `largest`."""
    sides = generator.uniform(smallest, largest, count)
    corners = generator.uniform(size=(count, 2)) * (np.array([width, height]) - sides[:, None])
    return np.hstack([corners, corners + sides[:, None]])


def _negatives(
    squares: np.ndarray, owners: np.ndarray, count: int, photo: Photo, reach: tuple[int, int] | None, smallest: int,
    options: SamplingOptions,
) -> Crops:  # fmt: skip
    """The first `count` negatives of each owner among squares (N, 4). The owners (N,) are sorted."""
    is_allowed = _are_allowed(squares, reach, smallest)
    squares, owners = squares[is_allowed], owners[is_allowed]
    is_negative = _nearest(squares, photo, options)[1] < options.negative
    owners = owners[is_negative]
    place = np.arange(len(owners)) - np.searchsorted(owners, owners)  # index among the negatives of the same owner
    return label(squares[is_negative][place < count], photo, options)


def _are_allowed(squares: np.ndarray, reach: tuple[int, int] | None, smallest: float) -> np.ndarray:
    """(N,) bool, which of squares (N, 4) are large enough and inside a photo of height and width `reach`, if it is given."""
    x1, y1, x2, y2 = squares.T
    is_large = x2 - x1 >= smallest
    return is_large if reach is None else is_large & (x1 >= 0) & (y1 >= 0) & (x2 <= reach[1]) & (y2 <= reach[0])


def overlapped(photo: Photo, options: SamplingOptions) -> np.ndarray:
    """(N, 4) float64, the boxes for IoU: a photo's faces, or the squares around them."""
    boxes = photo.boxes.astype(np.float64)
    return box_ops.square(boxes) if options.square_faces else boxes


def _nearest(squares: np.ndarray, photo: Photo, options: SamplingOptions) -> tuple[np.ndarray, np.ndarray]:
    """For each of squares (M, 4) the face with the largest IoU (M,) and that IoU (M,); zeros without faces."""
    faces, best = np.zeros(len(squares), np.int64), np.zeros(len(squares))
    boxes = overlapped(photo, options)
    step = max(1, OVERLAPS // max(1, len(boxes)))
    for start in range(0, len(squares) if len(boxes) else 0, step):
        overlaps = box_ops.iou(squares[start : start + step], boxes)
        faces[start : start + step], best[start : start + step] = overlaps.argmax(axis=1), overlaps.max(axis=1)
    return faces, best


def _squares(centres: np.ndarray, sides: np.ndarray) -> np.ndarray:
    half = sides[:, None] / 2
    return np.hstack([centres - half, centres + half])
