"""Detection on Ray: a class for `Dataset.map_batches`. Needs the extra `ray`."""

from typing import Any

from mtcnn_gluon.bulk.table import TableFinder
from mtcnn_gluon.errors import LibraryError
from mtcnn_gluon.io.extras import need


class FaceDetector:
    """A class for `ray.data.Dataset.map_batches`: one detector an actor.

    The rows and the other columns stay, in their order. The added columns are those of `mtcnn_gluon.bulk.detect_table`:
    `faces`, `width`, `height` and `error`.

    Args:
        column: name of the column with the photos: bytes of image files, arrays as in `read_image`, or paths and URLs.
        prefix: begins the names of the added columns, for tables that have columns of these names.
        options: arguments of `Detector`; `threads` is 1 unless it is given.

    Raises:
        ConfigError: if an option is unknown or out of range.
        ModelError: if the model or the runtime cannot be used.
    """

    def __init__(self, column: str = "image", prefix: str = "", **options: Any) -> None:
        self._finder = TableFinder(column, prefix, options)

    def __call__(self, batch: Any) -> Any:
        """A pyarrow table with the results for a batch of any of Ray's formats: numpy, pandas or pyarrow."""
        block = need("ray.data.block", "FaceDetector", "ray", LibraryError).BlockAccessor
        return self._finder.in_table(block.for_block(block.batch_to_block(batch)).to_arrow())
