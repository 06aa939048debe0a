"""How several workers begin one run: with the first worker's files, and only if their runs are the same."""

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

from mtcnn_gluon.errors import MtcnnError
from mtcnn_gluon.training.building import BEFORE
from mtcnn_gluon.training.checkpoints import LAST
from mtcnn_gluon.training.identity import check_same_for_all, environment_of
from mtcnn_gluon.training.state import Run
from mtcnn_gluon.training.teacher import TEACHER
from mtcnn_gluon.training.workers import Workers


@contextmanager
def own_folder(workers: Workers, out: Path, resume: bool) -> Iterator[Path]:
    """A worker's folder: `out` for the first one. The others get one that lasts as long as the block, with all that resuming
    needs, so that only the first one's host needs the folder.
    """
    if not workers.are_many:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="mtcnn-gluon-") as folder:
        for name in (LAST, BEFORE, TEACHER) if resume else ():
            path = out / name
            data = workers.bytes_from_first(path.read_bytes() if workers.is_first and path.is_file() else b"")
            if data and not workers.is_first:
                (Path(folder) / name).write_bytes(data)
        yield out if workers.is_first else Path(folder)


def make_together(workers: Workers, make: Callable[[], Run]) -> Run:
    """Each worker's run, which must be the same. An error of the first worker is not said by the others too: they wait."""
    if not workers.are_many:
        return make()
    try:
        run = make()
    except MtcnnError:
        if not workers.is_first:
            check_same_for_all(workers, None, {})
        raise
    check_same_for_all(workers, run.identity(), environment_of(run.devices))
    return run
