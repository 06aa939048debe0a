"""`detect_table` finds what `Detector` finds, whatever the table is made of."""

from typing import Any

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow", reason="needs the extra bulk")
pd = pytest.importorskip("pandas")

from mtcnn_gluon import Detector, read_image  # noqa: E402
from mtcnn_gluon.bulk import SPARK_COLUMNS, detect_table  # noqa: E402
from mtcnn_gluon.bulk.columns import COLUMNS, FACE  # noqa: E402
from mtcnn_gluon.errors import ConfigError, DataError  # noqa: E402
from photo_table import OPTIONS, PORTRAIT, expected, small_photos  # noqa: E402

DATA = small_photos()
KINDS = ("frame", "table", "batch")


def made(kind: str, columns: dict[str, Any]) -> Any:
    if kind == "frame":
        return pd.DataFrame(columns)
    table = pa.table(columns)
    return (
        table
        if kind == "table"
        else pa.RecordBatch.from_arrays([c.combine_chunks() for c in table.columns], table.column_names)
    )


def rows(table: Any) -> list[dict[str, Any]]:
    """Python values, with None where pandas has another sign of a missing value."""
    found = table.to_dict("records") if isinstance(table, pd.DataFrame) else table.to_pylist()
    return [{name: None if value is pd.NA else value for name, value in row.items()} for row in found]


def found_in(value: Any) -> dict[str, Any]:
    """The row for one photo that an Arrow array holds."""
    (table,) = detect_table([pa.table({"image": value})], **OPTIONS)
    (row,) = table.drop_columns(["image"]).to_pylist()
    return row


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_as_the_detector(kind: str) -> None:
    batches = [made(kind, {"id": [3, 1], "photo": DATA[:2]}), made(kind, {"id": [2], "photo": DATA[2:]})]
    first, second = detect_table(iter(batches), column="photo", **OPTIONS)
    assert type(first) is type(batches[0])
    assert [row["id"] for row in rows(first)] == [3, 1]
    wanted = [{"photo": data, **expected(data)} for data in DATA]
    assert [{k: v for k, v in row.items() if k != "id"} for row in rows(first) + rows(second)] == wanted
    assert [len(row["faces"]) for row in wanted] == [1, 0, 0] and wanted[2]["error"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows(kind: str) -> None:
    (found,) = detect_table([made(kind, {"image": pa.array([], pa.binary())} if kind != "frame" else {"image": []})], **OPTIONS)
    assert len(found) == 0 and list(found.columns if kind == "frame" else found.schema.names) == ["image", *COLUMNS]


def test_the_types_do_not_depend_on_the_rows() -> None:
    """Engines refuse batches of several types."""
    tables = [pa.table({"image": pa.array(photos, pa.binary())}) for photos in (DATA[:1], DATA[2:], [])]
    first, *others = [found.schema for found in detect_table(tables, **OPTIONS)]
    assert others == [first, first]
    assert {name: first.field(name).type for name in COLUMNS} == COLUMNS and COLUMNS["faces"].value_type == FACE


def test_the_index_of_a_frame_stays() -> None:
    frame = pd.DataFrame({"image": DATA[:2]}, index=["a", "a"])
    (found,) = detect_table([frame], **OPTIONS)
    assert list(found.index) == ["a", "a"] and [len(faces) for faces in found["faces"]] == [1, 0]
    assert list(frame.columns) == ["image"]


IMAGE = read_image(PORTRAIT)
NESTED = pa.list_(pa.list_(pa.list_(pa.uint8())))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([DATA[0]], pa.large_binary()),
        pa.array([DATA[0]], pa.binary_view()),
        pa.array([DATA[0]]).dictionary_encode(),
        pa.array([{"bytes": DATA[0], "path": None}]),
        pa.array([str(PORTRAIT)]),
        pa.array([PORTRAIT.as_uri()]),
        pa.array([IMAGE.tolist()], NESTED),
        pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack([IMAGE])),
    ],
    ids=lambda column: str(column.type)[:30],
)
def test_kinds_of_columns(column: Any) -> None:
    pytest.importorskip("fsspec", reason="needs the extra bulk")
    assert found_in(column) == expected(IMAGE) != expected(DATA[1])


@pytest.mark.parametrize(
    "value", [IMAGE, bytearray(DATA[0]), str(PORTRAIT), {"bytes": DATA[0]}], ids=lambda v: type(v).__name__
)
def test_kinds_of_values_of_pandas(value: Any) -> None:
    (found,) = detect_table([pd.DataFrame({"image": [value]})], **OPTIONS)
    assert [{name: row[name] for name in COLUMNS} for row in rows(found)] == [expected(IMAGE)]


@pytest.mark.parametrize("column, message", [
    (pa.array([None], pa.binary()), "there is no image: the value is missing"),
    (pa.array([None]), "there is no image: the value is missing"),
    (pa.array([{"bytes": None}], pa.struct([("bytes", pa.binary())])), "there is no image"),
    (pa.array([b""]), "empty, not an image"),
    (pa.array(["no.jpg"]), "no.jpg does not exist"),
    (pa.array(["file:///no.jpg"]), "file:///no.jpg does not exist"),
    (pa.array([[[[1, 2, 3]], [[1, 2]]]], NESTED), "an image array must be nested lists (H, W, 3) without gaps"),
    (pa.array([[[300]]], pa.list_(pa.list_(pa.int64()))), "an image array must be uint8, uint16 or floating point, not int64"),
])  # fmt: skip
def test_what_is_no_photo_is_a_row_with_an_error(column: Any, message: str) -> None:
    row = found_in(column)
    assert message in row["error"] and row["faces"] == [] and row["width"] is row["height"] is None


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_values_of_pandas(missing: Any) -> None:
    (found,) = detect_table([pd.DataFrame({"image": pd.Series([missing, DATA[0]], dtype=object)})], **OPTIONS)
    assert [len(faces) for faces in found["faces"]] == [0, 1] and list(found["error"].isna()) == [False, True]


@pytest.mark.parametrize("call, message", [
    (lambda: detect_table(pd.DataFrame({"image": DATA})), "batches must be several tables, such as a list of one"),
    (lambda: list(detect_table([b"x"])), "a batch must be a DataFrame of pandas, or a table of pyarrow"),
    (lambda: detect_table([], min_fase=3), "unknown key 'min_fase': did you mean min_face"),
    (lambda: detect_table([], min_face=0), "min_face must be"),
    (lambda: list(detect_table([pa.table({"images": DATA})])), "no column 'image': did you mean images"),
    (lambda: list(detect_table([pa.table({"b": DATA})])), "no column 'image'; it has b"),
    (lambda: list(detect_table([pa.table({"image": DATA, "width": DATA})])), "has a column 'width' already"),
    (lambda: list(detect_table([pd.DataFrame({"image": DATA, "a_error": 1})], prefix="a_")), "a column 'a_error' already"),
])  # fmt: skip
def test_wrong_calls(call: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()


@pytest.mark.parametrize("column", [pa.array([1]), pa.array([["a"]]), pa.array([{"path": "a"}])], ids=lambda c: str(c.type))
def test_columns_without_photos(column: Any) -> None:
    with pytest.raises(DataError, match="column 'image' must hold bytes, arrays or paths of images, not"):
        list(detect_table([pa.table({"image": column})]))


def test_a_prefix() -> None:
    (found,) = detect_table([pa.table({"image": DATA[:1], "width": [7]})], prefix="face_", **OPTIONS)
    assert found.column_names == ["image", "width", "face_width", "face_height", "face_faces", "face_error"]
    assert found["width"].to_pylist() == [7] and found["face_width"].to_pylist() == [IMAGE.shape[1]]


def test_one_thread_and_one_detector_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from mtcnn_gluon.bulk import table

    made: list[Any] = []
    monkeypatch.setattr(table, "Detector", lambda **options: made.append(options))
    table.detector_of.cache_clear()
    for options in ({}, {}, {"threads": 3}, {"threads": None}, {"threads": 1}):
        detect_table([], **options)
    table.detector_of.cache_clear()
    assert [each["threads"] for each in made] == [1, 3, None]


def test_a_model_without_landmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    from mtcnn_gluon.bulk.columns import arrays_of
    from mtcnn_gluon.bulk.photos import Found
    from mtcnn_gluon.faces import Faces

    faces = Faces(np.array([[1, 2, 3, 4], [5, 6, 7, 8]]), np.array([0.5, 0.25]), None)
    found = dict(zip(COLUMNS, arrays_of([Found(error="x"), Found(faces, 9, 8), Found(Faces.empty(False), 1, 1)])))
    assert found["faces"].to_pylist() == [
        [],
        [{"box": [1, 2, 3, 4], "score": 0.5, "landmarks": None}, {"box": [5, 6, 7, 8], "score": 0.25, "landmarks": None}],
        [],
    ]
    assert found["width"].to_pylist() == [None, 9, 1] and found["error"].to_pylist() == ["x", None, None]


def test_the_columns_for_spark() -> None:
    assert [part.split()[0] for part in SPARK_COLUMNS.replace(">>>,", ">>>").split(", ") if ":" not in part][:2] == [
        "width",
        "height",
    ]
    assert all(f"{name} " in SPARK_COLUMNS for name in COLUMNS)


def test_photos_pass_one_by_one() -> None:
    """So the faces in a photo do not depend on its neighbours in a batch."""
    detector = Detector(**OPTIONS, threads=1)
    (alone,) = detect_table([pa.table({"image": DATA[:1]})], **OPTIONS)
    (among,) = detect_table([pa.table({"image": [DATA[1], DATA[0], *DATA]})], **OPTIONS)
    box = np.float32(among["faces"][1][0]["box"].as_py())
    assert (
        np.array_equal(box, detector.detect(DATA[0]).boxes[0]) and alone["faces"][0] == among["faces"][1] == among["faces"][2]
    )
