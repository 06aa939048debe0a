"""`detect_table` with Daft: over its batches, and as a function that its engine calls."""

from typing import Any

import pytest

daft = pytest.importorskip("daft", reason="needs daft: make test-scale")
pa = pytest.importorskip("pyarrow")

from mtcnn_gluon.bulk import detect_table  # noqa: E402
from mtcnn_gluon.bulk.columns import FACE  # noqa: E402
from photo_table import OPTIONS, expected, small_photos  # noqa: E402

DATA = small_photos()
WANTED = [expected(data) for data in DATA]


def table() -> Any:
    return daft.from_pydict({"id": [0, 1, 2], "image": DATA})


def test_over_its_batches() -> None:
    found = daft.from_arrow(pa.Table.from_batches(list(detect_table(table().to_arrow_iter(), **OPTIONS))))
    rows = found.exclude("image").to_pylist()
    assert rows == [{"id": number, **row} for number, row in enumerate(WANTED)]


def test_as_a_function() -> None:
    @daft.func.batch(return_dtype=daft.DataType.from_arrow_type(pa.list_(FACE)))
    def faces(image: daft.Series) -> Any:
        (found,) = detect_table([pa.table({"image": image.to_arrow()})], **OPTIONS)
        return found["faces"].combine_chunks()

    found = table().with_column("faces", faces(daft.col("image"))).to_pydict()
    assert found["faces"] == [row["faces"] for row in WANTED]
