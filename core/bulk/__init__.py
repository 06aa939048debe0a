"""Detection in tables: for Spark, Daft, pandas and Arrow, and runs over millions of photos. Needs pyarrow, the extra `bulk`."""

from mtcnn_gluon.bulk.columns import SPARK_COLUMNS
from mtcnn_gluon.bulk.table import detect_table

__all__ = ["SPARK_COLUMNS", "detect_table"]
