"""Files are known by their content, and read once as long as they stay the same."""

import os
from pathlib import Path

import pytest

from mtcnn_gluon.pipeline import content
from mtcnn_gluon.pipeline.content import Digests


def test_photos_are_known_by_name_and_content(tmp_path: Path) -> None:
    """In another folder and with other times too; only those that are listed count, in their order."""
    for folder in ("one", "two"):
        (tmp_path / folder / "below").mkdir(parents=True)
        for name in ("a.png", "below/b.png"):
            (tmp_path / folder / name).write_bytes(name.encode())
    os.utime(tmp_path / "two/a.png", (0, 0))
    (tmp_path / "two/c.png").write_bytes(b"not listed")
    digests, names = Digests(tmp_path / "cache"), ["a.png", "below/b.png"]
    before = digests.of_photos(str(tmp_path / "one"), names)
    assert digests.of_photos(str(tmp_path / "two"), names) == before
    others = [digests.of_photos(str(tmp_path / "two"), each) for each in (names[::-1], names[:1], [*names, "c.png"])]
    (tmp_path / "two/a.png").write_bytes(b"other")
    others.append(digests.of_photos(str(tmp_path / "two"), names))
    (tmp_path / "two/a.png").unlink()
    others.append(digests.of_photos(str(tmp_path / "two"), names))
    (tmp_path / "two/a.jpg").write_bytes(b"other")  # which evaluation takes for it
    others.append(digests.of_photos(str(tmp_path / "two"), names))
    assert len({before, *others}) == 1 + len(others) - 1  # the same content under another ending


def test_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by the next start; until size or time of change differ."""
    read, digest = [], content.file_digest
    monkeypatch.setattr(content, "file_digest", lambda path: read.append(path.name) or digest(path))
    path, cache = tmp_path / "a.png", tmp_path / "run/digests.json"
    path.write_bytes(b"some")
    digests = Digests(cache)
    first = digests.of_file(path)
    assert digests.of_file(path) == first and read == ["a.png"]
    digests.save()
    assert Digests(cache).of_file(path) == first and read == ["a.png"]
    path.write_bytes(b"more")
    os.utime(path, (1, 1))
    assert Digests(cache).of_file(path) != first and read == ["a.png"] * 2
    assert Digests(cache).of_file(tmp_path / "none") == "missing"
    cache.write_text("{")
    assert Digests(cache).of_file(path) == digest(path)
