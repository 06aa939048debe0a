"""From the values of a table's column to photos, and to the faces in them."""

from dataclasses import dataclass, field
from typing import Any, Iterator

import numpy as np

from mtcnn_gluon.bulk.arrow import pa
from mtcnn_gluon.bulk.places import read_url
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.errors import DataError, ImageError
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.io.images import decode_image, is_url, read_image


@dataclass(frozen=True)
class Found:
    """What was found in one photo; `error` says why if it could not be read."""

    faces: Faces = field(default_factory=Faces.empty)
    width: int | None = None
    height: int | None = None
    error: str | None = None


def find_faces(value: Any, detector: Detector) -> Found:
    """The faces in one photo.

    Args:
        value: the bytes of an image file, an array, a path, or a URL that fsspec opens; None for a missing photo; an
            `ImageError` for one of which it is known already that it cannot be read.
        detector: the detector. Photos pass through it one by one, so that the faces do not depend on the neighbours in a table.
    """
    try:
        image = _read(value)
        return Found(detector.detect(image), image.shape[1], image.shape[0])
    except ImageError as error:
        return Found(error=printable(error))


def values_of(column: Any, name: str) -> Iterator[Any]:
    """The photos in a pyarrow column, one by one, as `find_faces` takes them.

    Args:
        column: a `ChunkedArray` or `Array` of bytes, of paths, of structs with a field `bytes` (Hugging Face), of tensors or of
            nested lists.
        name: of the column, for messages.

    Raises:
        DataError: if it holds something else.
    """
    for array in getattr(column, "chunks", [column]):
        yield from _values(array, name)


def series_values(series: Any) -> Iterator[Any]:
    """The photos in a pandas column, one by one, as `find_faces` takes them."""
    for value in series:
        is_missing = value is None or (isinstance(value, float) and np.isnan(value)) or type(value).__name__ == "NAType"
        yield None if is_missing else value.get("bytes") if isinstance(value, dict) else value


def _values(array: Any, name: str) -> Iterator[Any]:
    types, kind = pa.types, array.type
    if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        yield from _values(pa.compute.struct_field(array, "bytes"), name)
        return
    valid = array.is_valid().to_pylist()
    if isinstance(kind, pa.BaseExtensionType):
        yield from (value if is_there else None for value, is_there in zip(_tensors(array), valid))
        return
    inner = kind.value_type if types.is_dictionary(kind) else kind
    dtype = _leaf(inner).to_pandas_dtype() if types.is_nested(inner) and not types.is_struct(inner) else None
    is_text = types.is_string(inner) or types.is_large_string(inner) or inner == pa.string_view()
    is_data = types.is_binary(inner) or types.is_large_binary(inner) or inner == pa.binary_view()
    if not (is_text or is_data or (dtype and np.issubdtype(dtype, np.number)) or types.is_null(inner)):
        raise DataError(f"column {name!r} must hold bytes, arrays or paths of images, not {kind}")
    for scalar in array:
        value = scalar.as_py()
        yield _array(value, dtype) if dtype and value is not None else value


def _tensors(array: Any) -> Any:
    """The arrays in an Arrow column of tensors, pyarrow's own or Ray's."""
    if isinstance(array, pa.FixedShapeTensorArray):
        return array.to_numpy_ndarray()
    return array.to_numpy(zero_copy_only=False)


def _leaf(kind: Any) -> Any:
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    return kind


def _array(value: list, dtype: Any) -> Any:
    try:
        return np.array(value, dtype)
    except (TypeError, ValueError):
        return ImageError("an image array must be nested lists (H, W, 3) without gaps")


def _read(value: Any) -> np.ndarray:
    if value is None:
        raise ImageError("there is no image: the value is missing")
    if isinstance(value, ImageError):
        raise value
    if is_url(value):
        return decode_image(read_url(value), str(value))
    return read_image(value)
