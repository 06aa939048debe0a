"""Names of pictures and crops: none overwrites another one, and all follow from the inputs and their order alone."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.io.output_names import Names, OutputNames


def pictures(given: list[str], folder: str = "out", taken: tuple[str, ...] = ()) -> list[str]:
    names = OutputNames(folder, None, taken)
    return [names.give(Path(name), name.endswith((".avi", ".mov"))).picture.as_posix() for name in given]


@pytest.mark.parametrize(
    "given, expected",
    [
        ([], []),
        (["a.png"], ["a.png"]),
        (["a.png", "b.png"], ["a.png", "b.png"]),
        (["a.png"] * 3, ["a.png", "a-2.png", "a-3.png"]),
        (["a.png", "a.jpg"], ["a.png", "a.jpg"]),
        (["a.png", "a.gif", "a.ppm", "a"], ["a.png", "a-2.png", "a-3.png", "a-4.png"]),
        (["a.avi", "a.mov", "a.png"], ["a.mp4", "a-2.mp4", "a.png"]),
        (["x/a.png", "y/a.png", "x/a.png"], ["x/a.png", "y/a.png", "x/a-2.png"]),
        ([".a", ".a"], [".a.png", ".a-2.png"]),
        (["a.b.png", "a.b.png"], ["a.b.png", "a.b-2.png"]),
        (["é [1].png", "é [1].png"], ["é [1].png", "é [1]-2.png"]),
        (["a-2.png", "a.png", "a.png"], ["a-2.png", "a.png", "a-3.png"]),
        (["a.png", "a.png", "a-2.png"], ["a.png", "a-2.png", "a-2-2.png"]),
        (["a.png", "A.PNG", "a.Png"], ["a.png", "A-2.PNG", "a-3.Png"]),  # one file where capitals do not count
        (["X/a.png", "x/A.png"], ["X/a.png", "x/A-2.png"]),
        (["straße.png", "STRASSE.png"], ["straße.png", "STRASSE-2.png"]),
        (["\u00e9.png", "e\u0301.png"], ["\u00e9.png", "e\u0301-2.png"]),  # one file where accents are composed
    ],
)
def test_pictures(given: list[str], expected: list[str]) -> None:
    assert pictures(given) == [f"out/{name}" for name in expected]


def test_files_that_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    taken = ("in/a.png", str(tmp_path / "b.png"))
    assert pictures(["a.png"], str(tmp_path / "in"), taken) == [(tmp_path / "in/a-2.png").as_posix()]
    assert pictures(["a.png"] * 2, "in/../in", taken) == ["in/../in/a-2.png", "in/../in/a-3.png"]
    assert pictures(["b.png"], ".", taken) == ["b-2.png"]
    assert pictures(["a.png"], "out", taken) == ["out/a.png"]


def test_links_count_as_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").symlink_to(tmp_path / "real")
    (tmp_path / "out/y").symlink_to(tmp_path / "real")
    (tmp_path / "out/a.png").symlink_to(tmp_path / "photo.png")
    out = str(tmp_path / "out")
    assert pictures(["x/a.png", "y/a.png"], out) == [f"{out}/x/a.png", f"{out}/y/a-2.png"]
    assert pictures(["a.png"], out, (str(tmp_path / "photo.png"),)) == [f"{out}/a-2.png"]
    names = OutputNames(None, out, [tmp_path / "photo.png"])
    (tmp_path / "out/b-face0.png").symlink_to(tmp_path / "photo.png")
    (tmp_path / "out/b-face1.png").symlink_to(tmp_path / "elsewhere.png")
    given = names.give(Path("b.png"), False)
    with pytest.raises(DataError, match=r"b-face0\.png .* is a link to .*photo\.png"):
        names.check_crop(given.crop(0))
    names.check_crop(given.crop(1))
    names.check_crop(given.crop(2))


@pytest.mark.parametrize(
    "given, expected",
    [
        (["a.png"], ["a-face0.png"]),
        (["a.png", "a.gif"], ["a-face0.png", "a-face0-2.png"]),
        (["a.png", "A.jpg"], ["a-face0.png", "A-face0-2.png"]),
        (["a.avi"], ["a-frame0-face0.png"]),
        (["a.avi", "a.mov"], ["a-frame0-face0.png", "a-frame0-face0-2.png"]),
        (["a.avi", "a.png"], ["a-frame0-face0.png", "a-face0.png"]),
        (["a.avi", "a-frame7.png"], ["a-frame0-face0.png", "a-frame7-face0-2.png"]),
        (["a-frame7.png", "a.avi"], ["a-frame7-face0.png", "a-frame0-face0-2.png"]),
        (["a-frame7.png", "a-frame8.png"], ["a-frame7-face0.png", "a-frame8-face0.png"]),
        (["a-face0.png", "a.png"], ["a-face0-face0.png", "a-face0.png"]),
    ],
)
def test_crops(given: list[str], expected: list[str]) -> None:
    names = OutputNames(None, "out")
    crops = []
    for name in given:
        is_video = name.endswith((".avi", ".mov"))
        crops.append(names.give(Path(name), is_video).crop(0, 0 if is_video else None).as_posix())
    assert crops == [f"out/{name}" for name in expected]


NAMES = (
    "x.png", "x.jpg", "X.gif", "x-2.png", "x-face0.png", "x-face0-2.png", "x-face1.PNG", "x-frame0-face0.png", "x-frame0.png",
    "x-frame0-face1-2.png", "x-face0-face0.png", "x.avi", "x.mov", "x-frame0.avi", "d/x.png", "d/x.avi",
)  # fmt: skip


def outputs(names: Names, is_video: bool) -> list[str]:
    """All files that an input may become, in a file system that does not know capitals, for up to 3 faces and 2 frames."""
    crops = [names.crop(face, frame) for face in range(3) for frame in (range(2) if is_video else [None])]
    return [str(path).lower() for path in (names.picture, *crops)]


@pytest.mark.parametrize("crops", ["out", "out/d", "other"])
def test_no_order_of_inputs_makes_two_of_one_name(crops: str) -> None:
    generator = np.random.default_rng(0)
    orders = [*itertools.permutations(NAMES, 2), *(generator.choice(NAMES, 12).tolist() for _ in range(300))]
    for order in orders:
        names = OutputNames("out", crops, ["out/x-2.png", "out/x-face2.png"])
        given = [
            outputs(names.give(Path(name), ".avi" in name or ".mov" in name), ".avi" in name or ".mov" in name)
            for name in order
        ]
        every = [*itertools.chain(*given), *(str(Path("out", name)) for name in ("x-2.png", "x-face2.png"))]
        assert len(every) == len(set(every)), order


def test_names_do_not_change_when_inputs_are_added_at_the_end() -> None:
    generator = np.random.default_rng(1)
    for _ in range(100):
        order = generator.choice(NAMES, 10).tolist()
        whole, part = (OutputNames("out", "out") for _ in range(2))
        assert [whole.give(Path(name), False) for name in order][:6] == [part.give(Path(name), False) for name in order[:6]]


def test_many_equal_names_are_given_quickly(tmp_path: Path) -> None:
    names = OutputNames(str(tmp_path), str(tmp_path))
    given = [names.give(Path("a.png"), False) for _ in range(5000)]
    assert len({each.picture for each in given}) == len({each.crop(0) for each in given}) == 5000
    assert not list(tmp_path.iterdir())  # names only


@pytest.mark.parametrize(
    "path, expected",
    [
        ("out/a.png", True), ("out/a-2.png", True), ("out/A-13.PNG", True), ("out/b.mp4", True), ("out/a-face0.png", True),
        ("out/a-face3-2.png", True), ("out/b-frame5-face3.png", True), ("out/../out/a.png", True), ("out/a-b.png", False),
        ("out/c.png", False), ("out/sub/a.png", False), ("in/a-2.png", False), ("out/a-frame5-face3.png", False),
        ("out/a.jpg", False),
    ],
)  # fmt: skip
def test_what_may_be_a_result(path: str, expected: bool) -> None:
    names = OutputNames("out", "out")
    names.give(Path("a.png"), False)
    names.give(Path("b.avi"), True)
    assert names.may_be_result(Path(path)) is expected
