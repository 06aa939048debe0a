"""Writing the files of a folder together: all of them or none. What else lies in the folder stays as it is."""

import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Callable, Collection, Iterator, Sequence

from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.io.files import DRAFT


def write_folder(folder: Path, write: Callable[[Path], None], find_own: Callable[[Path], Collection[str]], first: str) -> None:
    """Make a folder, or replace files of one that is there.

    A folder that is there stays the same one, and so does what is in it beside the files that are written and those of `own`:
    it may be a link, somebody's working folder, or where a disk is mounted.

    Args:
        folder: where to; the folders above it are made if need be.
        write: puts the files into the empty folder it is given.
        find_own: names of files in a folder that may be replaced; those that `write` does not make are removed. It raises
            something if the folder must not be touched.
        first: name of the file that takes its place before the others. If the process is killed then, this file tells of the
            others.

    Raises:
        ModelError: if the files cannot be written, or one would replace a file that is not the folder's own; nothing is
            changed then.
    """
    with naming(folder):
        if is_there := folder.is_dir():
            find_own(folder)  # what must not be touched should show before the work is done
        place = folder if is_there else _make_parent(folder)
        draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=place))
        try:
            (new := draft / "new").mkdir()
            write(new)
            if is_there or not _is_moved(new, folder):
                (old := draft / "old").mkdir()
                names = sorted((file.name for file in new.iterdir()), key=lambda name: (name != first, name))
                _replace(new, old, folder, names, find_own(folder))
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def other_names(folder: Path) -> list[str]:
    """Names of what is in a folder, sorted, beside the drafts that a killed process left."""
    return sorted(name for name in os.listdir(folder) if not name.startswith(DRAFT))


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """Turns what the system says into a sentence about the folder.

    Raises:
        ModelError: in place of an `OSError`.
    """
    if "\0" in str(folder):
        raise ModelError(f"{str(folder)!r} cannot be written: the name holds a zero byte")
    try:
        yield
    except OSError as error:
        raise ModelError(f"{folder} cannot be written: {error.strerror or error}") from error


def _make_parent(folder: Path) -> Path:
    """The folder above a new one, made if need be."""
    for above in folder.parents:
        if os.path.lexists(above) and not above.is_dir():
            raise ModelError(f"{folder} cannot be written: {above} is not a folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder.parent


def _is_moved(new: Path, folder: Path) -> bool:
    """Give a new folder its name; False if another process has made that folder meanwhile."""
    try:
        os.replace(new, folder)
    except OSError:
        if folder.is_dir():
            return False
        raise
    return True


def _replace(new: Path, old: Path, folder: Path, names: Sequence[str], own: Collection[str]) -> None:
    """Move files `names` from `new` to `folder`, and the files of `own` that they do not replace to `old`; or do nothing.

    There is no moment at which a file that is there before and after is missing: another process may be reading it.
    """
    for name in names:
        if os.path.lexists(folder / name) and name not in own:
            raise ModelError(f"{folder / name} does not belong to the bundle that is to be replaced: move it away first")
    there = [name for name in dict.fromkeys((*names, *own)) if os.path.lexists(folder / name)]
    for name in there:
        shutil.copy2(folder / name, old / name, follow_symlinks=False)
    try:
        for name in names:
            os.replace(new / name, folder / name)
        for name in set(there) - set(names):
            os.unlink(folder / name)
    except BaseException:
        with suppress(OSError):
            for name in set(names) - set(there):
                (folder / name).unlink(missing_ok=True)
            for name in there:
                os.replace(old / name, folder / name)
        raise
