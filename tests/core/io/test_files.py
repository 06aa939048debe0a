"""Writing files whole or not at all."""

import os
import stat
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from mtcnn_gluon.errors import DataError, MtcnnError
from mtcnn_gluon.io.files import whole_file, write_picture
from mtcnn_gluon.io.images import read_image
from mtcnn_gluon.io.json_lines import RowWriter, read_rows

# ---- whole_file


def strays(folder: Path, *expected: str) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if each.name not in expected)


@pytest.mark.parametrize("mode, content", [("w", "Grüße 猫\n1\r\n"), ("w", ""), ("wb", b"\0\xff\r\n"), ("wb", bytes(10**6))])
@pytest.mark.parametrize("name", ["out.json", "no_ending", ".hidden", "two words é.json"])
@pytest.mark.parametrize("exists", [False, True])
def test_whole_file(tmp_path: Path, name: str, mode: str, content: str | bytes, exists: bool) -> None:
    target = tmp_path / name
    if exists:
        target.write_bytes(b"old")
    with whole_file(target, mode) as file:
        file.write(content)
        assert (target.read_bytes() == b"old") if exists else not target.exists()
    assert target.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert not strays(tmp_path, name)


@pytest.mark.parametrize("letter, count", [("n", 250), ("é", 125), ("猫", 83), ("🙂", 62)])
def test_whole_file_takes_the_longest_names(tmp_path: Path, letter: str, count: int) -> None:
    target = tmp_path / f"{letter * count}.json"  # at most 255 bytes, which file systems allow
    with whole_file(target) as file:
        file.write("x")
    assert target.read_bytes() == b"x"
    assert not strays(tmp_path, target.name)


def test_whole_file_makes_its_folder_and_takes_strings(tmp_path: Path) -> None:
    with whole_file(str(tmp_path / "a/b/out.txt")) as file:
        file.write("x")
    assert (tmp_path / "a/b/out.txt").read_text() == "x"


def test_whole_file_by_bare_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with whole_file("out.txt") as file:
        file.write("x")
    assert (tmp_path / "out.txt").read_text() == "x"


@pytest.mark.parametrize("kind", [ValueError, KeyError, KeyboardInterrupt, SystemExit, DataError, StopIteration])
@pytest.mark.parametrize("exists", [False, True])
def test_an_exception_inside_leaves_the_old_content(tmp_path: Path, kind: type[BaseException], exists: bool) -> None:
    target = tmp_path / "out.json"
    if exists:
        target.write_bytes(b"old")
    error = kind("boom")
    with pytest.raises(kind), whole_file(target) as file:
        file.write("half")
        file.flush()
        raise error
    assert (target.read_bytes() == b"old") if exists else not target.exists()
    assert not strays(tmp_path, "out.json")


def test_a_full_disk_is_a_data_error(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    target.write_bytes(b"old")
    with pytest.raises(DataError, match=r"out\.json.*No space left"), whole_file(target) as file:
        file.write("half")
        raise OSError(28, "No space left on device")
    assert target.read_bytes() == b"old"
    assert not strays(tmp_path, "out.json")


@pytest.mark.parametrize("name", ["file/out.json", "file/deeper/out.json", "folder", "n" * 256, "n" * 5000, "zero\0byte"])
def test_unwritable_target(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError) as caught, whole_file(tmp_path / name) as file:
        file.write("x")
    assert isinstance(caught.value, MtcnnError)
    assert name.split("\0")[0][:40] in str(caught.value)
    assert (tmp_path / "file").read_bytes() == b"old"
    assert not strays(tmp_path, "file", "folder")
    assert not strays(tmp_path / "folder")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_forbidden_folder(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    with pytest.raises(DataError, match=r"out\.json"), whole_file(folder / "out.json") as file:
        file.write("x")


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize("mask, expected", [(0o022, 0o644), (0o077, 0o600), (0o027, 0o640), (0o002, 0o664), (0, 0o666)])
@pytest.mark.parametrize("exists", [False, True])
def test_permissions_follow_the_umask(tmp_path: Path, mask: int, expected: int, exists: bool) -> None:
    target = tmp_path / "out.json"
    before = os.umask(mask)
    try:
        if exists:
            target.write_bytes(b"old")
        with whole_file(target) as file:
            file.write("x")
        assert stat.S_IMODE(target.stat().st_mode) == expected
        assert os.umask(mask) == mask  # left as it was
    finally:
        os.umask(before)


@pytest.mark.parametrize("keep_draft", [False, True])
@pytest.mark.parametrize("mode, content", [("w", "new"), ("wb", b"new")])
@pytest.mark.parametrize(
    "links", [{"a": "real/b"}, {"a": "link", "link": "real/b"}, {"a": "folder/b", "folder": "real"}, {"a": "new/er/b"}], ids=str
)
def test_links_are_written_through(
    tmp_path: Path, links: dict[str, str], mode: str, content: str | bytes, keep_draft: bool
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/b").write_bytes(b"old")
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    with pytest.raises(KeyError), whole_file(tmp_path / "a", mode, keep_draft) as file:
        file.write(content)
        raise KeyError
    end = tmp_path / ("new/er/b" if links["a"] == "new/er/b" else "real/b")
    assert end.read_bytes() == b"old" if "real" in str(end) else not end.exists()
    assert strays(end.parent, "b") == ["b.part"] * keep_draft
    for draft in end.parent.glob("*.part"):
        draft.unlink()
    with whole_file(tmp_path / "a", mode, keep_draft) as file:
        file.write(content)
    assert end.read_bytes() == (tmp_path / "a").read_bytes() == b"new"
    assert {link: os.readlink(tmp_path / link) for link in links} == links
    assert not strays(end.parent, "b") and sorted(strays(tmp_path, *links)) == sorted(
        {"real", end.relative_to(tmp_path).parts[0]}
    )


def test_pictures_and_rows_are_written_through_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    for name in ("a.png", "rows"):
        (tmp_path / name).symlink_to(f"real/{name}")
    write_picture(tmp_path / "a.png", PICTURE)
    for earlier in ([], [{"image": "a"}]):
        with ExitStack() as stack:
            RowWriter(tmp_path / "rows", earlier, stack).write({"image": "b"})
            assert (tmp_path / "real/rows.part").exists()
    assert [row["image"] for row in read_rows(tmp_path / "rows", ["image"], "a row")] == ["a", "b"]
    assert not strays(tmp_path, "real", "a.png", "rows") and not strays(tmp_path / "real", "a.png", "rows")
    assert (tmp_path / "a.png").is_symlink() and (tmp_path / "rows").is_symlink()


@pytest.mark.parametrize("links", [{"a": "a"}, {"a": "b", "b": "a"}], ids=str)
def test_links_in_a_circle(tmp_path: Path, links: dict[str, str]) -> None:
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    with (
        pytest.raises(DataError, match=r"a cannot be written: it is a link that leads back to itself"),
        whole_file(tmp_path / "a"),
    ):
        pass
    assert strays(tmp_path) == sorted(links)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_link_to_a_device(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"/a cannot be written: No space left"), whole_file(tmp_path / "a") as file:
        file.write("x")
    assert os.readlink(tmp_path / "a") == "/dev/full" and not Path("/dev/full").is_file()


def test_an_error_about_another_file_is_not_blamed_on_this_one(tmp_path: Path) -> None:
    for name in ("missing", os.fsencode("missing")):
        with pytest.raises(DataError) as caught, whole_file(tmp_path / "out.json"):
            open(name).close()
        assert str(caught.value) == "missing cannot be used: No such file or directory"
    assert not strays(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_target_that_is_not_a_plain_file_is_not_replaced(tmp_path: Path) -> None:
    """A pipe, or a device such as /dev/null: either written to or refused, but it stays what it is."""
    target = tmp_path / "pipe"
    os.mkfifo(target)
    reader = os.open(target, os.O_RDONLY | os.O_NONBLOCK)
    try:
        try:
            with whole_file(target) as file:
                file.write("x")
        except DataError:
            pass
        else:
            assert stat.S_ISFIFO(target.stat().st_mode)
            assert os.read(reader, 10) == b"x"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(target.stat().st_mode)


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    with whole_file(target) as first, whole_file(target) as second:
        first.write("first" * 1000)
        second.write("second")
    assert target.read_text() == "first" * 1000  # closed last
    assert not strays(tmp_path, "out.json")


# ---- write_picture


PICTURE = np.kron(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], np.uint8) * 255, np.ones((16, 1), np.uint8))
PICTURE = np.repeat(PICTURE[:, None], 24, axis=1)  # (64, 24, 3): red, green, blue and yellow bars


@pytest.mark.parametrize(
    "name, tolerance",
    [("a.png", 0), ("a.PNG", 0), ("é 猫.png", 0), ("sub/a.b.png", 0), ("a.bmp", 0), ("a.tif", 0), ("a.tiff", 0),
     ("a.jpg", 8), ("a.JPEG", 8), ("a.webp", 12)],
)  # fmt: skip
def test_write_picture_round_trip(tmp_path: Path, name: str, tolerance: int) -> None:
    original = PICTURE.copy()
    write_picture(tmp_path / name, PICTURE)
    again = read_image(tmp_path / name).astype(int)
    assert again.shape == PICTURE.shape
    middle = np.arange(64) % 16 // 4 % 3 > 0  # JPEG and WebP smear colours at the bars' edges
    assert np.abs(again - PICTURE)[middle].max() <= tolerance
    assert (original == PICTURE).all()
    assert not strays((tmp_path / name).parent, Path(name).name)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (70_000, 1, 3)], ids=str)
def test_write_picture_sizes(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    write_picture(str(tmp_path / "a.png"), image)
    assert (read_image(tmp_path / "a.png") == image).all()


def test_write_picture_of_views(tmp_path: Path) -> None:
    for view in (PICTURE[::-1], PICTURE[:, :, ::-1], PICTURE[::2, ::3], np.asfortranarray(PICTURE)):
        write_picture(tmp_path / "a.png", view)
        assert (read_image(tmp_path / "a.png") == view).all()


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.", ".png", "a.txt", "a.png.part", "a.p\u00f1g"])
def test_unknown_ending(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(DataError) as caught:
        write_picture(tmp_path / name, PICTURE)
    assert str(tmp_path / name) in str(caught.value)
    assert (tmp_path / name).read_bytes() == b"old"
    assert not strays(tmp_path, name)


@pytest.mark.parametrize("name, width", [("a.jpg", 70_000), ("a.webp", 20_000)])
def test_picture_too_large_for_its_format(tmp_path: Path, name: str, width: int) -> None:
    with pytest.raises(DataError, match=name):
        write_picture(tmp_path / name, np.zeros((1, width, 3), np.uint8))
    assert not strays(tmp_path)


def test_picture_in_an_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(DataError, match=r"a\.png"):
        write_picture(tmp_path / "file" / "a.png", PICTURE)
