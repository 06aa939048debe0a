"""pyarrow, or an error that says how to install it."""

from typing import Any

from mtcnn_gluon.errors import LibraryError
from mtcnn_gluon.io.extras import need

pa: Any = need("pyarrow", "detection in tables", "bulk", LibraryError)
need("pyarrow.compute", "detection in tables", "bulk", LibraryError)
pq: Any = need("pyarrow.parquet", "detection in tables", "bulk", LibraryError)
