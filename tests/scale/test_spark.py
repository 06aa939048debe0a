"""`detect_table` in Spark, in its local mode."""

from functools import partial
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="needs the extra bulk")

from mtcnn_gluon.bulk import SPARK_COLUMNS, detect_table
from photo_table import OPTIONS, expected, small_photos

DATA = small_photos()


@pytest.mark.parametrize("way", ["mapInPandas", "mapInArrow"])
def test_the_same_as_the_detector(way: str, spark: Any, tmp_path: Any) -> None:
    photos = [(number, bytearray(DATA[number % 3])) for number in range(7)]
    frame = spark.createDataFrame(photos, "id long, image binary").repartition(3)
    found = getattr(frame, way)(partial(detect_table, **OPTIONS), f"id long, image binary, {SPARK_COLUMNS}")
    wanted = [{"id": number, **expected(DATA[number % 3])} for number in range(7)]
    assert [row.asDict(recursive=True) for row in found.drop("image").orderBy("id").collect()] == wanted
    found.drop("image").write.parquet(str(tmp_path / "o"))
    again = spark.read.parquet(str(tmp_path / "o")).orderBy("id").collect()
    assert [row.asDict(recursive=True) for row in again] == wanted
