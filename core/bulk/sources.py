"""Finding the photos and shards that the arguments of a long run name, on local disks or where fsspec leads."""

from typing import Any, Callable, Sequence

from mtcnn_gluon.bulk.parts import SHARDS
from mtcnn_gluon.bulk.places import file_system
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.io.images import is_image_path, is_url
from mtcnn_gluon.io.inputs import Input, InputKind, Search


def find_sources(arguments: Sequence[str], out: str, say: Callable[[str], None]) -> list[str]:
    """The photos, tar files and Parquet files that arguments stand for, each once, in order.

    Args:
        arguments: folders, which are searched with all subfolders; patterns; photos; shards. Each a path or a URL.
        out: the folder for results, which is not searched.
        say: is told what was skipped.

    Raises:
        ConfigError: for a camera, a video or standard input.
        DataError: if a folder must not be searched, or a place cannot be reached.
    """
    found: list[str] = []
    for argument in arguments:
        if is_url(argument):
            found += _remote(argument, say)
        else:
            search = Search([argument], takes_videos=False, result_folders=[] if is_url(out) else [out], also=SHARDS)
            for note in search.notes():
                say(note)
            found += map(_path, search.found)
    return list(dict.fromkeys(found))


def _path(source: Input) -> str:
    if source.kind is InputKind.UNREADABLE:
        raise DataError(source.error)
    if source.kind is not InputKind.IMAGE:
        raise ConfigError(f"--out is for photos, and {source.path} is a {source.kind.value}: give --json FILE instead")
    return str(source.path)


def _remote(url: str, say: Callable[[str], None]) -> list[str]:
    system, path = file_system(url)
    try:
        if "*" in path or "?" in path or "[" in path:
            paths = system.glob(path)
        elif system.isdir(path):
            paths = system.find(path)
        else:
            return [url]
    except OSError as error:
        raise DataError(f"{url} cannot be searched: {error}") from error
    taken = [each for each in sorted(paths) if is_image_path(each) or each.lower().endswith(SHARDS)]
    if len(taken) < len(paths):
        say(f"{url}: skipped {len(paths) - len(taken)} of {len(paths)} files, neither photos nor tar or Parquet files")
    return [_whole_url(system, url, each) for each in taken]


def _whole_url(system: Any, url: str, path: str) -> str:
    """The URL of a path in a file system, with the same beginning as `url`."""
    known = system._strip_protocol(url)
    start = url[: len(url) - len(known)] if url.endswith(known) else url.partition("://")[0] + "://"
    return start + path
