"""The cascade against the plain one, against other batches, and on images with nothing to find."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plain_cascade
from mtcnn_gluon import Detector, Faces, boxes, read_image
from mtcnn_gluon.detection import cascade
from mtcnn_gluon.detection.cascade import Candidates, detect
from mtcnn_gluon.engines.base import Engine
from mtcnn_gluon.evaluation.landmarks import landmarks_in
from plain_cascade import ReferenceNets


def matched(faces: Faces, rows: list[dict]) -> list[bool]:
    """For every plain face: is there one of ours at IoU 0.95 whose score is within 1e-3 and landmarks within 0.5 px?"""
    result = []
    for row in rows:
        overlap = boxes.iou(row["box"][None].astype(np.float32), faces.boxes)[0] if len(faces) else np.zeros(1)
        best = int(overlap.argmax())
        result.append(
            bool(overlap[best] >= 0.95)
            and abs(float(faces.scores[best]) - row["score"]) <= 1e-3
            and bool(np.abs(faces.landmarks[best] - row["landmarks"]).max() <= 0.5)
        )
    return result


def test_equals_the_plain_cascade_on_the_portrait(detector: Detector, reference_nets: ReferenceNets, image: np.ndarray) -> None:
    for picture in (image, image[:, :300], image[101:400, 97:350], np.ascontiguousarray(image[::2, ::2])):
        rows = plain_cascade.detect(picture, reference_nets)
        faces = detector.detect(picture)
        assert len(rows) == len(faces) >= 1
        assert all(matched(faces, rows))


def test_equals_the_plain_cascade_on_photos(detector: Detector, reference_nets: ReferenceNets, dev_photos: list[Path]) -> None:
    found, extra, total = 0, 0, 0
    for path in dev_photos[4::5]:
        picture = read_image(path)
        rows, faces = plain_cascade.detect(picture, reference_nets), detector.detect(picture)
        found += sum(matched(faces, rows))
        extra += abs(len(faces) - len(rows))
        total += len(rows)
    assert total > 25
    assert found == total
    assert extra == 0


def test_batches_change_nothing(detector: Detector, image: np.ndarray) -> None:
    pictures = [image, image[:200], image[:, 100:400], np.zeros((30, 40, 3), np.uint8), image[::3, ::3].copy()]
    together = detector.detect_batch(pictures)
    for alone, other in zip((detector.detect(p) for p in pictures), together, strict=True):
        np.testing.assert_allclose(alone.boxes, other.boxes, atol=0.01)
        np.testing.assert_allclose(alone.scores, other.scores, atol=1e-4)
        np.testing.assert_allclose(alone.landmarks, other.landmarks, atol=0.01)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (5, 2000), (12, 12), (19, 19), (20, 20), (21, 33), (64, 64)])
@pytest.mark.parametrize("fill", ["black", "white", "noise"])
def test_images_without_faces(detector: Detector, shape: tuple[int, int], fill: str) -> None:
    pixels = {"black": 0, "white": 255, "noise": np.random.default_rng(0).integers(0, 256, (*shape, 3))}[fill]
    faces = detector.detect(np.full((*shape, 3), pixels, np.uint8))
    assert faces.boxes.shape == (0, 4) and faces.scores.shape == (0,) and faces.landmarks.shape == (0, 5, 2)


def test_no_images(detector: Detector) -> None:
    assert detect([], detector.engine, detector.settings) == []
    assert detector.detect_batch([]) == []


def test_boxes_stay_inside_and_are_sorted(detector: Detector, image: np.ndarray) -> None:
    for picture in (image[:150, 170:280], image[60:, 200:], image[:120, :230]):  # the face is cut by the border
        faces = Detector(thresholds=(0.2, 0.05, 0.01), nms=(0.5, 0.7, 0.7, 1.0)).detect(picture)
        height, width = picture.shape[:2]
        assert len(faces) > 0
        assert (faces.boxes[:, :2] >= 0).all() and (faces.boxes[:, 2:] <= (width, height)).all()
        assert (faces.boxes[:, 2:] > faces.boxes[:, :2]).all()
        assert (np.diff(faces.scores) <= 0).all()


def test_rows_stay_together() -> None:
    candidates = Candidates(np.arange(5), np.arange(20.0).reshape(5, 4), np.arange(5) / 10)
    for rows in (np.array([3, 1]), np.array([], np.int64), np.arange(5) % 2 == 0):
        taken = candidates.take(rows)
        np.testing.assert_array_equal(taken.boxes[:, 0], taken.image * 4)
        np.testing.assert_array_equal(taken.scores, taken.image / 10)


def test_offsets_that_break_boxes_drop_whole_rows(image: np.ndarray, detector: Detector) -> None:
    class Broken(Engine):
        """An engine whose offsets turn some boxes inside out, some to NaN and some far outside."""

        name = "broken"
        kernel_threads = 0
        wrong = np.array([[0, 0, -3, -3], [np.nan] * 4, [99, 99, 99, 99], [0, 0, 0, 0]], np.float32)

        def pnet(self, canvas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            scores, offsets = detector.engine.pnet(canvas)
            pick = np.arange(scores.size).reshape(scores.shape) % 4
            return scores, np.where(pick == 3, offsets, self.wrong[pick].transpose(2, 0, 1))

        def rnet(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return np.ones(len(crops), np.float32), self.wrong[np.arange(len(crops)) % 4]

        def onet(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            assert np.isfinite(crops).all()
            return detector.engine.onet(crops)

    faces = detect([image], Broken(), detector.settings)[0]
    assert np.isfinite(faces.boxes).all() and len(faces.boxes) == len(faces.scores) == len(faces.landmarks)


@pytest.mark.parametrize("net", ["rnet", "onet"])
def test_accurate_outputs_of_a_mirrored_image_are_mirrored(image: np.ndarray, net: Any) -> None:
    detector = Detector("official", accurate=True)
    boxes = np.array([[150, 40, 300, 190], [20, 300, 90, 370], [400, 10, 430, 40]], np.float32)
    candidates = [Candidates(np.zeros(3, int), each, np.ones(3, np.float32)) for each in (boxes, mirrored(boxes, image))]
    pictures = [image, np.ascontiguousarray(image[:, ::-1])]
    outputs = [
        cascade.run_on_crops([picture], each, detector.engine, net, detector.settings)
        for picture, each in zip(pictures, candidates)
    ]
    (scores, offsets, *points), (other_scores, other_offsets, *other_points) = outputs
    np.testing.assert_allclose(scores, other_scores, atol=1e-4)
    np.testing.assert_allclose(offsets[:, [2, 1, 0, 3]] * [-1, 1, -1, 1], other_offsets, atol=1e-3)
    for a, b in zip(points, other_points):
        turned = a.reshape(-1, 5, 2)[:, [1, 0, 2, 4, 3]] * [-1, 1] + [1, 0]
        np.testing.assert_allclose(turned.reshape(-1, 10), b, atol=1e-3)
    once = cascade.run_on_crops(
        pictures[:1], candidates[0], detector.engine, net, replace(detector.settings, is_accurate=False)
    )
    assert np.abs(once[0] - scores).max() > 1e-4


def mirrored(boxes: np.ndarray, image: np.ndarray) -> np.ndarray:
    return np.stack([image.shape[1] - boxes[:, 2], boxes[:, 1], image.shape[1] - boxes[:, 0], boxes[:, 3]], axis=1)


def test_accurate_landmarks_are_the_mean_of_two_looks(image: np.ndarray) -> None:
    """The second one at the square around the final box, of every face in every image."""
    detector = Detector("official", accurate=True)
    pictures = [image, image[:40, :40], np.hstack([image, image[:, ::-1]])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cascade, "_look_again", lambda images, faces, engine, settings: faces)
        first = detector.detect_batch(pictures)
    assert [len(each) for each in first] == [1, 0, 2]
    for picture, plain, found, batched in zip(pictures, first, map(detector.detect, pictures), detector.detect_batch(pictures)):
        second = landmarks_in(detector, picture, plain.boxes)[0]
        np.testing.assert_allclose(found.landmarks, (plain.landmarks + second) / 2, atol=1e-3)
        np.testing.assert_allclose(batched.landmarks, found.landmarks, atol=1e-2)
        np.testing.assert_array_equal(found.scores, plain.scores)


def test_accurate_finds_the_portrait(image: np.ndarray) -> None:
    plain, accurate = (Detector("official", accurate=value).detect(image) for value in (False, True))
    assert len(plain) == len(accurate) == 1
    assert np.abs(plain.landmarks - accurate.landmarks).max() < 5 and (plain.scores != accurate.scores).all()
