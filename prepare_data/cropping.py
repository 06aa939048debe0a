"""Training samples from crops of a photo: pixels, box offsets and landmarks."""

from dataclasses import replace

import cv2
import numpy as np

from mtcnn_gluon import boxes as box_ops
from mtcnn_gluon.layers import View
from mtcnn_gluon.operators import crop_resize
from mtcnn_gluon.prepare_data.annotations import Photo
from mtcnn_gluon.prepare_data.sampling import Crops, SamplingOptions, jittered, learnable, overlapped
from mtcnn_gluon.records.samples import NO_FACE, Kind, Samples, mirror_targets


def cut(image: np.ndarray, squares: np.ndarray, view: View) -> np.ndarray:
    """What a net sees of squares (N, 4) of an image (H, W, 3) uint8, sampled as detection samples it, then rounded.

    The result is (N, S, S, 3) uint8, with S as `view.size`.
    """
    return np.rint(crop_resize(image, view.around(squares), view.size)).astype(np.uint8).transpose(0, 2, 3, 1)


def cut_samples(image: np.ndarray, crops: Crops, photo: Photo, number: int, view: View) -> Samples:
    """Samples of crops of one photo. A positive sample has its face's landmarks if all are known and inside the crop.

    Args:
        image: (H, W, 3) uint8 RGB.
        photo: the faces of the image.
        number: index of the photo in its list.
        view: what the net sees of a crop.
    """
    count, has_box = len(crops), crops.faces != NO_FACE
    offsets, landmarks = np.zeros((count, 4)), np.full((count, 5, 2), np.nan)
    squares, faces = crops.boxes[has_box], crops.faces[has_box]
    offsets[has_box] = box_ops.encode(squares, photo.boxes[faces].astype(np.float64))
    landmarks[has_box] = box_ops.encode_landmarks(squares, photo.landmarks[faces]).reshape(-1, 5, 2)
    has_landmarks = (crops.kinds == Kind.POSITIVE) & _are_inside(landmarks)
    return Samples(
        crops=cut(image, crops.boxes, view), kinds=crops.kinds, offsets=offsets, landmarks=np.nan_to_num(landmarks),
        iou=crops.iou, has_box=has_box, has_landmarks=has_landmarks, photos=np.full(count, number), faces=crops.faces,
    )  # fmt: skip


def cut_landmark_samples(
    image: np.ndarray, photo: Photo, number: int, view: View, options: SamplingOptions, generator: np.random.Generator
) -> Samples:
    """Landmark samples of one photo: crops near its faces, every second one rotated, and the mirror image of each.

    A crop is dropped if a landmark lies outside it. For the arguments see `cut_samples` and `sampling.draw`.
    """
    known = np.flatnonzero(learnable(photo, options) & photo.has_landmarks)
    squares = jittered(photo.boxes[known].astype(np.float64), options.landmark_jitters, options, generator)  # (N, 4)
    faces = np.repeat(known, options.landmark_jitters)  # (N,)
    angles = generator.uniform(-options.rotation, options.rotation, len(faces))
    angles[::2] = 0
    iou = box_ops.iou(squares, overlapped(photo, options))[np.arange(len(faces)), faces]
    turned = _rotate(photo.landmarks[faces].astype(np.float64), squares, angles)
    landmarks = box_ops.encode_landmarks(squares, turned).reshape(-1, 5, 2)
    rows = np.flatnonzero((iou >= options.positive) & _are_inside(landmarks))
    samples = Samples(
        crops=_cut_rotated(image, squares[rows], angles[rows], view), kinds=np.full(len(rows), int(Kind.LANDMARK)),
        offsets=np.zeros((len(rows), 4)), landmarks=landmarks[rows], iou=iou[rows],
        has_box=np.zeros(len(rows), bool), has_landmarks=np.ones(len(rows), bool),
        photos=np.full(len(rows), number), faces=faces[rows],
    )  # fmt: skip
    return Samples.concatenate([samples, mirrored(samples)]) if options.mirror else samples


def mirrored(samples: Samples) -> Samples:
    """The mirror images of samples, with their offsets and landmarks. Mirroring twice gives the samples back."""
    offsets, landmarks = mirror_targets(samples.offsets, samples.landmarks)
    return replace(samples, crops=samples.crops[:, :, ::-1], offsets=offsets, landmarks=landmarks)


def _are_inside(landmarks: np.ndarray) -> np.ndarray:
    """(N,) bool, whether all landmarks (N, 5, 2) of a sample are in 0..1. NaN is not."""
    with np.errstate(invalid="ignore"):
        return ((landmarks >= 0) & (landmarks <= 1)).all(axis=(1, 2))


def _rotate(points: np.ndarray, squares: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Points (N, 5, 2) rotated about the centres of squares (N, 4) by angles (N,) in degrees, with OpenCV's sign."""
    centres = ((squares[:, :2] + squares[:, 2:]) / 2)[:, None]  # (N, 1, 2)
    cosine, sine = np.cos(np.radians(angles)), np.sin(np.radians(angles))
    matrices = np.array([[cosine, sine], [-sine, cosine]]).transpose(2, 0, 1)  # (N, 2, 2)
    return (points - centres) @ matrices.transpose(0, 2, 1) + centres


def _cut_rotated(image: np.ndarray, squares: np.ndarray, angles: np.ndarray, view: View) -> np.ndarray:
    """As `cut`, of an image rotated by angles (N,) in degrees about the centres of the squares."""
    crops = np.empty((len(squares), view.size, view.size, 3), np.uint8)
    is_straight = angles == 0
    crops[is_straight] = cut(image, squares[is_straight], view)
    for row, seen in zip(np.flatnonzero(~is_straight), view.around(squares[~is_straight])):
        crops[row] = _cut_one_rotated(image, seen, angles[row], view.size)
    return crops


def _cut_one_rotated(image: np.ndarray, square: np.ndarray, angle: float, size: int) -> np.ndarray:
    """Rotate the surroundings of a square (4,) at full resolution, then cut it out as (size, size, 3)."""
    side, centre = square[2] - square[0], (square[:2] + square[2:]) / 2
    reach = side / np.sqrt(2) + 1
    low = np.floor(np.maximum(centre - reach, 0)).astype(int)
    high = np.ceil(np.maximum(centre + reach, 0)).astype(int)
    around = image[low[1] : high[1], low[0] : high[0]]  # OpenCV cannot rotate a photo of 32768 pixels or more
    pixels = int(np.ceil(side))
    matrix = np.asarray(cv2.getRotationMatrix2D(tuple(centre - low - 0.5), angle, 1))  # OpenCV: pixel centres are whole
    matrix[:, 2] = matrix[:, 2] - (square[:2] - low)
    upright = cv2.warpAffine(around, matrix, (pixels, pixels), flags=cv2.INTER_LINEAR)
    return cut(upright, np.array([[0, 0, side, side]]), View(size))[0]
