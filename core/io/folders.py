"""Writing several files of a folder together: all of them or none. Other files in the folder stay as they are."""

import os
import shutil
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Callable, Collection, Sequence

from mtcnn_gluon.errors import ModelError
from mtcnn_gluon.io.files import DRAFT, naming_target

naming = partial(naming_target, error_class=ModelError)


def write_folder(folder: Path, write: Callable[[Path], None], find_own: Callable[[Path], Collection[str]], first: str) -> None:
    """Make a folder, or replace files of an existing one.

    An existing folder is not replaced itself: it may be a link, the user's working folder, or the mount point of a disk.

    Args:
        folder: the folder; its parents are made if they are missing.
        write: writes the files into an empty folder.
        find_own: returns the names of files in an existing folder that may be replaced; those that `write` does not make are
            removed. It raises an error if the folder must not be changed.
        first: name of the file to move into place first, so that it exists if the process is killed before the others follow.

    Raises:
        ModelError: if the files cannot be written, or one would replace a file that `find_own` does not name. The folder
            is then unchanged.
    """
    with naming(folder):
        if is_there := folder.is_dir():
            find_own(folder)  # raises before the work begins
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
    """Sorted names of everything in a folder, except temporary files of killed processes."""
    return sorted(name for name in os.listdir(folder) if not name.startswith(DRAFT))


def _make_parent(folder: Path) -> Path:
    for above in folder.parents:
        if os.path.lexists(above) and not above.is_dir():
            raise ModelError(f"{folder} cannot be written: {above} is not a folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder.parent


def _is_moved(new: Path, folder: Path) -> bool:
    """Give a new folder its name; False if another process has made that folder in the meantime."""
    try:
        os.replace(new, folder)
    except OSError:
        if folder.is_dir():
            return False
        raise
    return True


def _replace(new: Path, old: Path, folder: Path, names: Sequence[str], own: Collection[str]) -> None:
    """Move the files `names` from `new` to `folder` and remove the other files in `own`. On an error, restore all from `old`.

    A file that exists before and afterwards is never missing in between: another process may be reading it.
    """
    for name in names:
        if os.path.lexists(folder / name) and name not in own:
            raise ModelError(f"{folder / name} does not belong to the bundle to be replaced: move it away first")
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
