"""Reading and writing .params files without MXNet: what MXNet writes is read, and nothing else is."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from mtcnn_gluon.bundles.params_file import read_params, write_params
from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.mxnet_loader import load_mxnet

mx = load_mxnet()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "int32", "int8", "int64"])
@pytest.mark.parametrize("shape", [(1,), (7,), (2, 3), (4, 3, 2, 5)], ids=str)
def test_what_mxnet_writes(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    value = np.random.default_rng(0).uniform(0, 100, shape).astype(dtype)
    mx.nd.save(str(tmp_path / "x.params"), {"arg:weight": mx.nd.array(value, dtype=dtype), "aux:é": mx.nd.ones(2)})
    found = read_params(tmp_path / "x.params")
    assert list(found) == ["weight", "é"] and found["weight"].dtype == dtype
    np.testing.assert_array_equal(found["weight"], value)
    found["weight"][...] = 0  # its own memory


def test_what_is_written_is_what_mxnet_writes(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    values = {f"x{i}": generator.normal(size=shape).astype(np.float32) for i, shape in enumerate([(1,), (3, 2), (2, 3, 4, 1)])}
    write_params(tmp_path / "ours.params", values)
    mx.nd.save(str(tmp_path / "theirs.params"), {f"arg:{name}": mx.nd.array(value) for name, value in values.items()})
    assert (tmp_path / "ours.params").read_bytes() == (tmp_path / "theirs.params").read_bytes()
    found = read_params(tmp_path / "ours.params")
    assert list(found) == list(values)
    for name, value in values.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    mx.nd.save(str(tmp_path / "x.params"), {"a": mx.nd.ones((2, 3)), "b": mx.nd.zeros(4)})
    return tmp_path / "x.params"


def test_cut_off_anywhere(file: Path) -> None:
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"x\.params cannot be read"):
            read_params(file)
    file.write_bytes(whole + b"\0")
    with pytest.raises(ModelError, match="1 bytes too many"):
        read_params(file)


def test_any_byte_changed(file: Path) -> None:
    """Either it is read, with other values or names, or the error names the file; never a crash or a huge allocation."""
    whole = file.read_bytes()
    for place in range(len(whole)):
        for value in (0, 1, 127, 255):
            file.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                found = read_params(file)
            except ModelError as error:
                assert "x.params" in str(error)
            else:
                assert sum(array.size for array in found.values()) <= len(whole)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", pickle.dumps({"a": 1}), b"\x12\x01" + b"\xff" * 100])
def test_other_files(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.params").write_bytes(data)
    with pytest.raises(ModelError, match=r"x\.params cannot be read"):
        read_params(tmp_path / "x.params")


def test_no_file_and_no_names(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.params"):
        read_params(tmp_path / "none.params")
    mx.nd.save(str(tmp_path / "list.params"), [mx.nd.ones(3)])
    with pytest.raises(ModelError, match="its arrays have no names"):
        read_params(tmp_path / "list.params")
