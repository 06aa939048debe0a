"""Checkpoints: what is written is read, and nothing damaged, foreign or pickled is."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtcnn_gluon.errors import DataError
from mtcnn_gluon.training.checkpoints import SCHEMA, Checkpoint, read_checkpoint, write_checkpoint


def make_checkpoint() -> Checkpoint:
    generator = np.random.default_rng(0)
    weight, bias = generator.normal(size=(4, 3, 2, 2)).astype(np.float32), np.array([np.nan, np.inf, -0.0], np.float32)
    about = {"epoch": 3, "rows": [{"loss": 0.1, "recall": float("nan")}], "best": float("-inf"), "text": 'é "quoted"'}
    return Checkpoint(about, {"a_weight": weight, "a_bias": bias}, {"a_weight/0": weight + 1, "a_weight/1": bias}, {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "a.npz", make_checkpoint())
    return tmp_path / "a.npz"


def test_read_as_written(path: Path) -> None:
    found, expected = read_checkpoint(path), make_checkpoint()
    assert json.dumps(found.about) == json.dumps(expected.about)
    for part in ("parameters", "optimiser", "averages"):
        one, other = getattr(found, part), getattr(expected, part)
        assert list(one) == list(other)
        for name, array in other.items():
            assert one[name].dtype == array.dtype and one[name].tobytes() == array.tobytes()


def test_nothing_in_it(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "new/folder/a.npz", Checkpoint({}, {}))
    assert read_checkpoint(tmp_path / "new/folder/a.npz") == Checkpoint({}, {}, {}, {})


def test_an_old_one_is_replaced_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def fail(file: Any, **arrays: Any) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(DataError, match=r"a\.npz cannot be written: No space left"):
        patch.setattr(np, "savez", fail)
        write_checkpoint(path, Checkpoint({"epoch": 4}, {}))
    assert path.read_bytes() == before and os.listdir(path.parent) == ["a.npz"]
    write_checkpoint(path, Checkpoint({"epoch": 4}, {}))
    assert read_checkpoint(path).about == {"epoch": 4}


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.6, 0.9, 0.99])
def test_truncated(path: Path, share: float) -> None:
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(DataError, match=r"a\.npz is not a whole checkpoint"):
        read_checkpoint(path)


def test_any_changed_byte_of_an_array_shows(path: Path) -> None:
    content = path.read_bytes()
    start = content.index(make_checkpoint().parameters["a_weight"].tobytes())
    for place in (start, start + 50, start + 191):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(DataError, match=r"a\.npz is not a whole checkpoint"):
            read_checkpoint(path)


def test_bytes_changed_at_random_never_raise_anything_else(path: Path) -> None:
    content, generator = path.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(content)
        for place in generator.integers(0, len(content), generator.integers(1, 4)):
            changed[place] = generator.integers(256)
        path.write_bytes(changed)
        try:
            read_checkpoint(path)
        except DataError as error:
            assert "a.npz" in str(error)


class Evil:
    def __reduce__(self) -> tuple:
        return os.mkdir, (os.environ["EVIL"],)


@pytest.mark.parametrize("name", ["about", "parameters/a_weight", "other"])
def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("EVIL", str(tmp_path / "evil"))
    arrays = {"about": np.array(json.dumps({"schema": SCHEMA})), "parameters/a": np.zeros(3)}
    pickled = np.empty(1, object)
    pickled[0] = Evil()
    np.savez(tmp_path / "a.npz", **{**arrays, name: pickled})
    if name == "other":  # of no part: not even looked at
        assert list(read_checkpoint(tmp_path / "a.npz").parameters) == ["a"]
    else:
        with pytest.raises(DataError, match="allow_pickle=False"):
            read_checkpoint(tmp_path / "a.npz")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "about, message",
    [
        ({"schema": SCHEMA + 1}, f"expected a checkpoint of schema {SCHEMA}"),
        ({"epoch": 1}, f"expected a checkpoint of schema {SCHEMA}"),
        ([1], "a.npz"),
        ([], "a.npz"),
        ("text", "a.npz"),
        (None, "a.npz"),
    ],
)
def test_of_another_schema(tmp_path: Path, about: Any, message: str) -> None:
    np.savez(tmp_path / "a.npz", about=np.array(json.dumps(about)))
    with pytest.raises(DataError, match=message):
        read_checkpoint(tmp_path / "a.npz")


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(DataError, match=r"a\.npz does not exist: there is no checkpoint to resume from"):
        read_checkpoint(path)
    np.savez(path, weight=np.zeros(3))
    with pytest.raises(DataError, match="not a whole checkpoint"):
        read_checkpoint(path)
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="not a whole checkpoint"):
        read_checkpoint(path)
    np.savez(path, **{"about": np.array(json.dumps({"schema": SCHEMA})), "parts/a": np.zeros(3)})
    with pytest.raises(DataError, match="not a whole checkpoint"):
        read_checkpoint(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match="does not exist"):
        read_checkpoint(path)


@pytest.mark.parametrize("value", [np.array(["a", "b"]), np.array([True]), np.array([1j])], ids=str)
def test_arrays_that_are_no_numbers(tmp_path: Path, value: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", **{"about": np.array(json.dumps({"schema": SCHEMA})), "averages/a_weight": value})
    with pytest.raises(DataError, match=r"a\.npz is not a whole checkpoint: a_weight must hold numbers, not"):
        read_checkpoint(tmp_path / "a.npz")
