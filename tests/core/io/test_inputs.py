"""Finding input files, and saying what was left out."""

import os
import socket
from pathlib import Path
from typing import IO, Any, Iterable

import pytest
from PIL import Image

from mtcnn_gluon.cli import bench as cli_bench
from mtcnn_gluon.errors import ConfigError, ImageError
from mtcnn_gluon.io import image_formats, images, video
from mtcnn_gluon.io.inputs import Input, InputKind, Search

TREE = (
    "b.jpg", "a.PNG", "notes.txt", "c.jpg.part", "é [1].png", "sub/x.tiff", "sub/a.webp", "sub/deep/er/z.gif",
    "sub/deep/n.md", "[set]/x.bmp", "empty/", "name.jpg/inside.jpeg",
)  # fmt: skip
BELOW = [  # the images of TREE, a folder's own before those of its subfolders
    "a.PNG", "b.jpg", "é [1].png", "[set]/x.bmp", "name.jpg/inside.jpeg", "sub/a.webp", "sub/x.tiff", "sub/deep/er/z.gif",
]  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in TREE:
        path = tmp_path / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths(found: Iterable[Input]) -> list[str]:
    return [each.path.as_posix() for each in found]


def names(found: Iterable[Input]) -> list[str]:
    return [each.name.as_posix() for each in found]


# ---- what arguments stand for


@pytest.mark.parametrize(
    "arguments, expected_paths, expected_names",
    [
        ([], [], []),
        (["b.jpg"], ["b.jpg"], ["b.jpg"]),
        (["sub/x.tiff"], ["sub/x.tiff"], ["x.tiff"]),
        (["notes.txt"], ["notes.txt"], ["notes.txt"]),
        (["missing.jpg"], ["missing.jpg"], ["missing.jpg"]),
        (["no/such/folder"], ["no/such/folder"], ["folder"]),
        (["é [1].png"], ["é [1].png"], ["é [1].png"]),
        (["[set]/x.bmp"], ["[set]/x.bmp"], ["x.bmp"]),
        (["[set]"], ["[set]/x.bmp"], ["x.bmp"]),
        (["name.jpg"], ["name.jpg/inside.jpeg"], ["inside.jpeg"]),
        (["empty"], [], []),
        (["."], BELOW, BELOW),
        (["sub"], ["sub/a.webp", "sub/x.tiff", "sub/deep/er/z.gif"], ["a.webp", "x.tiff", "deep/er/z.gif"]),
        (["sub/"], ["sub/a.webp", "sub/x.tiff", "sub/deep/er/z.gif"], ["a.webp", "x.tiff", "deep/er/z.gif"]),
        (["sub/deep/.."], ["sub/deep/../a.webp", "sub/deep/../x.tiff", "sub/deep/../deep/er/z.gif"],
         ["a.webp", "x.tiff", "deep/er/z.gif"]),
        (["?.*"], ["a.PNG", "b.jpg", "c.jpg.part"], ["a.PNG", "b.jpg", "c.jpg.part"]),
        (["[ab].*"], ["a.PNG", "b.jpg"], ["a.PNG", "b.jpg"]),
        (["*.txt"], ["notes.txt"], ["notes.txt"]),
        (["*/x.*"], ["[set]/x.bmp", "sub/x.tiff"], ["x.bmp", "x.tiff"]),
        (["su*"], ["sub/a.webp", "sub/x.tiff", "sub/deep/er/z.gif"], ["a.webp", "x.tiff", "deep/er/z.gif"]),
        (["**/*.gif"], ["sub/deep/er/z.gif"], ["z.gif"]),
        (["**/x.*"], ["[set]/x.bmp", "sub/x.tiff"], ["x.bmp", "x.tiff"]),
        (["**/a.*"], ["a.PNG", "sub/a.webp"], ["a.PNG", "a.webp"]),
        (["*.heic"], ["*.heic"], ["*.heic"]),
        (["[nothing]"], ["[nothing]"], ["[nothing]"]),
        (["b.jpg", "missing.jpg", "[set]", "b.jpg"], ["b.jpg", "missing.jpg", "[set]/x.bmp", "b.jpg"],
         ["b.jpg", "missing.jpg", "x.bmp", "b.jpg"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)  # fmt: skip
def test_Search(tree: Path, arguments: list[str], expected_paths: list[str], expected_names: list[str]) -> None:
    found = Search(arguments).found
    assert paths(found) == expected_paths
    assert names(found) == expected_names


@pytest.mark.parametrize("pattern", ["**", "sub/**", "**/*", "*", "s*/**"])
def test_a_pattern_finds_each_image_once(tree: Path, pattern: str) -> None:
    found = [path for path in paths(Search([pattern]).found) if not path.endswith((".txt", ".md", ".part"))]
    assert len(found) == len(set(found))
    expected = BELOW if "s" not in pattern else [name for name in BELOW if name.startswith("sub/")]
    assert sorted(found) == sorted(expected)


def test_find_inputs_by_absolute_path(tree: Path, tmp_path: Path) -> None:
    found = Search([str(tmp_path)]).found
    assert paths(found) == [(tmp_path / name).as_posix() for name in BELOW]
    assert names(found) == BELOW


def test_order_does_not_depend_on_the_file_system(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = os.walk

    def backwards(top: Path, **options: Any) -> Iterable[tuple[str, list[str], list[str]]]:
        for root, folders, files in walk(top, **options):
            folders.sort(reverse=True)
            yield root, folders, sorted(files, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    assert paths(Search(["."]).found) == BELOW


@pytest.mark.parametrize(
    "argument, kind, label",
    [
        ("-", InputKind.STANDARD_INPUT, "-"),
        ("0", InputKind.CAMERA, "0"),
        ("999", InputKind.CAMERA, "999"),
        ("1000", InputKind.IMAGE, "1000"),
        ("clip.MP4", InputKind.VIDEO, "clip.MP4"),
        ("https://example.org/a//b.jpg?size=[1]*", InputKind.UNREADABLE, "https://example.org/a//b.jpg?size=[1]*"),
        ("file:///tmp/a.jpg", InputKind.UNREADABLE, "file:///tmp/a.jpg"),
        ("rtsp://camera/stream.mp4", InputKind.UNREADABLE, "rtsp://camera/stream.mp4"),
        ("C://a.jpg", InputKind.IMAGE, "C:/a.jpg"),
        ("a:b.jpg", InputKind.IMAGE, "a:b.jpg"),
    ],
)
def test_kinds(tree: Path, argument: str, kind: InputKind, label: str) -> None:
    (found,) = Search([argument]).found
    assert (found.kind, found.label) == (kind, {"image": label})
    if kind is InputKind.UNREADABLE:
        with pytest.raises(ImageError) as caught:
            found.read()
        assert str(caught.value) == f"{argument}: URLs are not fetched; download the file and give its path"


def test_a_file_that_looks_like_an_address(tree: Path) -> None:
    (tree / "https:/x").mkdir(parents=True)
    Image.new("RGB", (3, 4)).save(tree / "https:/x/y.png")
    (found,) = Search(["https://x/y.png"]).found
    assert found.read().shape == (4, 3, 3)


def test_standard_input_only_once(tree: Path) -> None:
    with pytest.raises(ConfigError, match="only once"):
        Search(["-", "b.jpg", "-"])


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode there")
def test_labels_tell_all_names_apart(tmp_path: Path) -> None:
    names = ["é", "�", "%E9", os.fsdecode(b"\xe9"), os.fsdecode(b"\xe8"), os.fsdecode(b"\xe9%"), os.fsdecode(b"a\xe9/\xe8")]
    labels = [Input(Path(name), Path("x")).label for name in names]
    assert len({tuple(sorted(label.items())) for label in labels}) == len(names)
    assert labels[0] == {"image": "é"} and labels[3] == {"image": "�", "image_bytes": "%E9"}
    assert labels[6] == {"image": "a�/�", "image_bytes": "a%E9/%E8"}
    assert all(text.encode() for label in labels for text in label.values())  # UTF-8 in any case


# ---- folders: what is taken, and what is said about the rest


def test_every_kind_that_can_be_named_is_found(tmp_path: Path) -> None:
    """All endings of Pillow's formats that it can decode by itself, and of our videos; in capitals too."""
    Image.init()
    decoded = (set(Image.OPEN) | {"MPO"}) - {"EPS", "BUFR", "GRIB", "HDF5", "MPEG", "WMF"}
    endings = {ending for ending, name in Image.registered_extensions().items() if name in decoded}
    endings |= {".heic", ".heif", *images.EXTENSIONS, *video.EXTENSIONS}
    for ending in endings:
        (tmp_path / f"small{ending}").touch()
        (tmp_path / f"LARGE{ending.upper()}").touch()
    search = Search([str(tmp_path)])
    assert len(search.found) == 2 * len(endings) and not search.notes()
    kinds = {found.path.suffix.lower(): found.kind for found in search.found}
    assert kinds == {each: InputKind.VIDEO if each in video.EXTENSIONS else InputKind.IMAGE for each in endings}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "PPM", "ICO", "TGA"])
def test_files_without_an_ending_are_looked_at(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "IMG_0001", kind)
    (tmp_path / "README").write_text("P1cture this")
    (tmp_path / "empty").touch()
    search = Search([str(tmp_path)])
    has_mark = kind != "TGA"
    assert names(search.found) == ["IMG_0001"] * has_mark
    assert search.notes() == [
        f"{tmp_path}: skipped {3 - has_mark} files: {3 - has_mark} without an ending (not an image)",
    ]


@pytest.mark.parametrize(
    "opened, is_image", [(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", True), (b"\0\0\0\x18ftypisom\0\0\0\0mp42avc1", False)]
)
def test_what_only_another_decoder_reads_is_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: bytes, is_image: bool
) -> None:
    monkeypatch.setattr(image_formats, "_register_heic", lambda: False)
    (tmp_path / "IMG_0002").write_bytes(opened)
    assert len(Search([str(tmp_path)]).found) == is_image


def test_no_other_file_is_opened(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "LICENSE").write_text("x")
    opened, path_open = [], Path.open

    def watched(path: Path, *args: Any) -> IO:
        opened.append(path.name)
        return path_open(path, *args)

    monkeypatch.setattr(Path, "open", watched)
    Search(["."])
    assert opened == ["LICENSE"]


def test_what_is_left_out_is_counted(tree: Path) -> None:
    (tree / ".mtcnn-gluon-abc.mp4").touch()
    search = Search([".", "sub", "sub/deep/er", "sub/*.tiff"])
    assert search.notes() == [
        ".: skipped 4 files: 1 .md (not an image or video), 1 .part (not an image or video), 1 .txt (not an image or video), "
        "1 left by a run that was killed",
        "sub: skipped 1 file: 1 .md (not an image or video)",
    ]


def test_many_kinds_are_summed_up(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"a.x{number:02d}").touch()
    (tmp_path / "b.x11").touch()
    (note,) = Search([str(tmp_path)]).notes()
    assert note.startswith(f"{tmp_path}: skipped 13 files: 2 .x11 (not an image or video), 1 .x00")
    assert note.endswith("1 .x06 (not an image or video), 4 of 4 other kinds")


def test_videos_where_only_photos_are_wanted(tree: Path) -> None:
    (tree / "sub/clip.mp4").touch()
    search = Search(["sub"], takes_videos=False)
    assert "sub/clip.mp4" not in paths(search.found) and "1 .mp4 (a video)" in search.notes()[0]
    photos, unread = cli_bench.read_photos(["sub"])
    assert not photos and len(unread) == 3  # empty files


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "a")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "b.png"))
        search = Search([str(tmp_path)])
    assert not search.found and search.notes()[0].endswith("skipped 3 files: 3 neither a file nor a folder")


def test_broken_links_are_reported_where_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("missing.jpg")
    (tmp_path / "b.jpg").symlink_to("b.jpg")
    (tmp_path / "c").symlink_to("missing")
    search = Search([str(tmp_path)])
    assert names(search.found) == ["a.jpg", "b.jpg"]
    assert search.notes() == [f"{tmp_path}: skipped 1 file: 1 that cannot be read"]
    for found in search.found:
        with pytest.raises(ImageError, match=r"[ab]\.jpg"):
            found.read()


# ---- folders that may not be searched


@pytest.fixture
def closed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tree, where `sub/deep` may not be searched; by root too, who may search everything."""
    scandir, access = os.scandir, os.access
    folder = str(tree / "sub/deep")

    def forbidding(path: Any = ".") -> Any:
        if os.path.abspath(path) == folder:
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidding)
    monkeypatch.setattr(os, "access", lambda path, mode: os.path.abspath(path) != folder and access(path, mode))
    return tree


@pytest.mark.parametrize(
    "argument", [".", "sub", "sub/", "sub/deep", "s*", "**", "**/*", "sub/**", "sub/*/*.gif", "**/*.gif", "sub/deep/*"]
)
def test_closed_folders_are_errors(closed: Path, argument: str) -> None:
    search = Search([argument])
    errors = [found.error for found in search.found if found.kind is InputKind.UNREADABLE]
    assert len(errors) == 1 and errors[0].endswith("sub/deep cannot be searched: Permission denied")


@pytest.mark.parametrize("argument", ["b.jpg", "*.jpg", "sub/*.webp", "[[]set]/*"])
def test_closed_folders_elsewhere_do_not_matter(closed: Path, argument: str) -> None:
    assert all(found.kind is InputKind.IMAGE for found in Search([argument]).found)


def test_a_closed_file_without_an_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(path: Path, *args: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "IMG").touch()
    monkeypatch.setattr(Path, "open", forbid)
    assert Search([str(tmp_path)]).notes() == [f"{tmp_path}: skipped 1 file: 1 without permission to read"]


# ---- links to folders


@pytest.mark.parametrize(
    "links, expected, remarks",
    [
        ({"in/all": "out"}, ["all/o.png", "all/more/p.png", "own/i.png"], 0),
        ({"in/all": "out", "in/z": "out"}, ["all/o.png", "all/more/p.png", "own/i.png"], 0),  # once
        ({"in/again": "in/own"}, ["own/i.png"], 0),  # found without the link
        ({"in/own/me": "in"}, ["own/i.png"], 0),
        ({"in/self": "in/self"}, ["own/i.png"], 0),
        ({"in/up": "."}, ["own/i.png"], 1),
        ({"in/all": "out", "out/back": "in"}, ["all/o.png", "all/more/p.png", "own/i.png"], 0),
        ({"in/all": "out", "out/more/up": "out"}, ["all/o.png", "all/more/p.png", "own/i.png"], 1),
        ({"in/nothing": "missing"}, ["own/i.png"], 0),
    ],
    ids=str,
)
def test_links(tmp_path: Path, links: dict[str, str], expected: list[str], remarks: int) -> None:
    for name in ("in/own/i.png", "out/o.png", "out/more/p.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for link, target in links.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    search = Search([str(tmp_path / "in")])
    assert names(search.found) == expected
    assert len(search.remarks) == remarks


# ---- results of earlier runs


@pytest.mark.parametrize(
    "argument, results, expected",
    [
        (".", ["sub"], [name for name in BELOW if not name.startswith("sub/")]),
        (".", ["./sub/../sub/deep"], [name for name in BELOW if not name.startswith("sub/deep")]),
        (".", ["."], BELOW),
        (".", [".."], BELOW),
        ("sub", ["."], ["sub/a.webp", "sub/x.tiff", "sub/deep/er/z.gif"]),
        ("sub", ["sub"], ["sub/a.webp", "sub/x.tiff", "sub/deep/er/z.gif"]),
        ("**/*.gif", ["sub"], []),
        ("sub/**/*.gif", ["sub"], ["sub/deep/er/z.gif"]),
        ("sub/deep/er/z.gif", ["sub"], ["sub/deep/er/z.gif"]),
        ("*", ["sub", "[set]"], ["a.PNG", "b.jpg", "c.jpg.part", "name.jpg/inside.jpeg", "notes.txt", "é [1].png"]),
    ],
)
def test_folders_for_results_are_left_out(tree: Path, argument: str, results: list[str], expected: list[str]) -> None:
    search = Search([argument], result_folders=results)
    assert paths(search.found) == expected
    assert bool(search.remarks or search.skipped) or argument not in ("**/*.gif", "*")


def test_files_for_results_are_not_counted(tree: Path) -> None:
    search = Search(["sub"], result_files=["sub/deep/n.md", "sub/x.tiff"])
    assert "sub/x.tiff" in paths(search.found)  # a photo is one whatever the run may want to write
    assert not search.notes()
