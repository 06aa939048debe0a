"""What `detect --resume` takes for another detector, and what for the same one on another engine."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtcnn_gluon import Faces
from mtcnn_gluon.cli.resume_check import check_same_detector
from mtcnn_gluon.errors import DataError

LEAST, LARGE_LEAST = 0.7, 0.5  # lowest score of a face, and of a large face


def faces(*scores: float, shift: float = 0.0, has_landmarks: bool = True) -> Faces:
    """Faces of 20 x 20 pixels side by side."""
    boxes = np.array([[30 * i + shift, 2, 30 * i + 20 + shift, 22] for i in range(len(scores))]).reshape(-1, 4)
    points = np.zeros((len(scores), 5, 2)) if has_landmarks else None
    return Faces(boxes, np.array(scores), points)


class Fake:
    rotate = "0"
    settings = SimpleNamespace(threshold=lambda stage, sides: np.where(sides > 60, LARGE_LEAST, LEAST))

    def __init__(self, now: Faces) -> None:
        self.now, self.asked = now, 0

    def detect(self, image: np.ndarray) -> Faces:
        self.asked += 1
        return self.now


def check(folder: Path, before: Faces, now: Faces, **row: Any) -> int:
    """How many photos were looked at."""
    Image.new("RGB", (200, 40)).save(folder / "a.png")
    detector: Any = Fake(now)
    finished = {"image": "a.png", "width": 200, "height": 40, "faces": before.to_dicts(), **row}
    check_same_detector(Path("p.jsonl"), [(folder / "a.png", finished)], detector)
    return detector.asked


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (faces(), faces()),
        (faces(0.9, 0.8), faces(0.9, 0.8)),
        (faces(0.9), faces(0.909)),
        (faces(0.9), faces(0.9, shift=0.4)),
        (faces(0.9, 0.8), faces(0.9, 0.8)[[1, 0]]),
        (faces(0.9, 0.709), faces(0.9)),  # one that another engine may just not find
        (faces(0.9), faces(0.9, 0.701)),
        (faces(0.701), faces()),
        (faces(), faces(0.705)),
        (faces(0.9, has_landmarks=False), faces(0.9, has_landmarks=False)),
        (faces(0.9), faces(0.9, 0.701)),
        (faces(0.9, 0.505), faces(0.9)),  # a large one
    ],
)
def test_same(tmp_path: Path, before: Faces, now: Faces) -> None:
    assert check(tmp_path, before, now) == 1


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (faces(0.9), faces(0.92), "1 face then, 1 now, but with other boxes or scores"),
        (faces(0.9), faces(0.9, shift=1), "1 face then, 1 now, but with other boxes or scores"),
        (faces(0.9, 0.8), faces(0.9), "2 faces then, 1 now"),
        (faces(0.9), faces(0.9, 0.8), "1 face then, 2 now"),
        (faces(0.9), faces(), "1 face then, 0 now"),
        (faces(), faces(0.9), "0 faces then, 1 now"),
        (faces(0.6), faces(), "1 face then, 0 now"),  # a threshold that is higher now
        (faces(0.9), faces(0.9, has_landmarks=False), "faces had landmarks then"),
        (faces(0.9, has_landmarks=False), faces(0.9), "faces had no landmarks then"),
    ],
)
def test_other(tmp_path: Path, before: Faces, now: Faces, said: str) -> None:
    with pytest.raises(DataError, match=rf"p\.jsonl was made by another model, .* in .*a\.png {said}; give the same options"):
        check(tmp_path, before, now)


@pytest.mark.parametrize(
    "before, rotate, now, said",
    [
        ({}, "0", 0, ""), ({"rotation": 0}, "auto", 0, ""), ({"rotation": 90}, "90", 90, ""),
        ({}, "auto", 0, "no rotation then, a rotation of 0 now"),
        ({"rotation": 0}, "0", 0, "a rotation of 0 then, no rotation"),
        ({"rotation": 0}, "90", 90, "a rotation of 0 then, a rotation of 90 now"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("scores", [(), (0.9,)], ids=len)
def test_rotations(
    tmp_path: Path,
    before: dict[str, int],
    rotate: str,
    now: int,
    said: str,
    scores: tuple[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Fake, "rotate", rotate)
    found = faces(*scores)
    turned = Faces(found.boxes, found.scores, found.landmarks, rotation=now)
    if said:
        with pytest.raises(DataError, match=rf"in .*a\.png there was {said}"):
            check(tmp_path, found, turned, **before)
    else:
        assert check(tmp_path, found, turned, **before) == 1


@pytest.mark.parametrize("row", [{"width": 201}, {"height": None}])
def test_photos_that_changed_tell_nothing(tmp_path: Path, row: dict[str, Any]) -> None:
    assert check(tmp_path, faces(0.9), faces(), **row) == 0


@pytest.mark.parametrize("name", ["nix.png", "bad.png", "zero\0.png", "", "."])
def test_photos_that_are_gone_are_passed_over(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    detector: Any = Fake(faces(0.9))
    row = {"width": 9, "height": 9, "faces": faces(0.9).to_dicts()}
    check_same_detector(Path("p.jsonl"), [(tmp_path / name, row), (tmp_path / "a.png", row)], detector)
    assert detector.asked == 1


def test_a_photo_with_faces_goes_first(tmp_path: Path) -> None:
    for name, side in (("a", 8), ("b", 9)):
        Image.new("RGB", (side, side)).save(tmp_path / f"{name}.png")
    rows = [(tmp_path / f"{name}.png", {"width": side, "height": side, "faces": found.to_dicts()})
            for name, side, found in (("a", 8, faces()), ("b", 9, faces(0.9)))]  # fmt: skip
    detector: Any = Fake(faces(0.8))
    with pytest.raises(DataError, match="b.png"):
        check_same_detector(Path("p.jsonl"), rows, detector)
