"""What `detect` does with photos: reading, finding faces, drawing and encoding, in this process or shared among several."""

import logging
import os
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Generator, Sequence

import cv2
import numpy as np

from mtcnn_gluon.cli.detect_outputs import Painter, Result
from mtcnn_gluon.cli.resuming import Row
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.detection.hide import Hider, Hiding
from mtcnn_gluon.detection.options import DetectorOptions
from mtcnn_gluon.errors import ImageError
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.io.cluster import ONE_OR_CLUSTER
from mtcnn_gluon.io.files import encode_picture, printable
from mtcnn_gluon.io.inputs import Input, InputKind
from mtcnn_gluon.io.output_names import Names
from mtcnn_gluon.io.processes import in_processes
from mtcnn_gluon.options import Options, option

OWN_FILES = ("/dev/", "/proc/")  # paths such as /dev/fd/63, which stand for something else in every process
Photo = tuple[Input, Names]


@dataclass(frozen=True)
class WorkOptions(Options):
    """Processes."""

    workers: int | None = option(
        None, "processes that photos are shared among, each with one thread unless --threads says otherwise; the results are "
        "the same, in the same order; videos, cameras and standard input stay with the main process",
        usual=ONE_OR_CLUSTER, least=1, metavar="N",
    )  # fmt: skip


class PhotoFinder:
    """Finds the faces in photos, one by one.

    Args:
        detector: the detector.
        hiding: how to hide the faces in the pictures; None: they are drawn.
    """

    def __init__(self, detector: Detector, hiding: Hiding | None = None) -> None:
        self._detector = detector
        self._painter = Painter(Hider(hiding, detector.detect) if hiding else None)

    def warn(self) -> None:
        """Have said what the detector says about its model with the first image."""
        self._detector.detect_batch([])

    def result(self, source: Input, names: Names) -> Result:
        """The result for a photo, with the pictures that have names; one with an error if the photo cannot be read.

        Raises:
            DataError: if the picture cannot be encoded.
        """
        try:
            image = source.read()
            faces = self._detector.detect(image)
        except ImageError as error:
            return failed(names, source.label, error)
        picture = encode_picture(names.picture, self._painter.photo(image, faces)) if names.picture else None
        row = row_of(source.label, image, faces, self._detector)
        return Result(names, row, faces, picture, crops_of(image, faces, names))


def row_of(about: Row, image: np.ndarray, faces: Faces, detector: Detector) -> Row:
    """The JSON object for an image, beginning with `about`."""
    height, width = image.shape[:2]
    rotation = {} if detector.rotate == "0" else {"rotation": faces.rotation}
    return {**about, "width": width, "height": height, **rotation, "faces": faces.to_dicts()}


def crops_of(image: np.ndarray, faces: Faces, names: Names) -> tuple[bytes, ...]:
    """The aligned faces as PNG files, if they have names."""
    return tuple(encode_picture(names.crop(0), crop) for crop in faces.align(image)) if names.stem else ()


def failed(names: Names, about: Row, error: ImageError) -> Result:
    """The result for an input that cannot be read."""
    return Result(names, {**about, "width": None, "height": None, "faces": [], "error": printable(error)})


def can_be_shared(source: Input) -> bool:
    """Whether another process can work on an input."""
    return source.kind in (InputKind.IMAGE, InputKind.UNREADABLE) and not os.path.abspath(source.path).startswith(OWN_FILES)


def find_in_photos(
    photos: Sequence[Photo], finder: PhotoFinder, options: DetectorOptions, hiding: Hiding | None, workers: int
) -> Generator[Result, None, None]:
    """The results for photos, in their order, each when it is asked for; workers look a few photos ahead.

    Args:
        photos: the photos, each with the names for its pictures.
        finder: works in this process, if there is one worker or one photo.
        options: the detector of the other processes, which have one thread if these do not say otherwise.
        hiding: as in `PhotoFinder`.
        workers: number of processes.

    Raises:
        WorkerError: if a worker dies. Other errors come where the photo's result would.
    """
    threads = options.threads or 1
    is_shared = min(workers, len(photos)) > 1
    start = partial(_start, replace(options, threads=threads), hiding) if is_shared else lambda: finder
    if is_shared:
        finder.warn()
    work = in_processes(_result, photos, start, workers, _name, threads=threads)
    with closing(work):
        yield from work


def _start(options: DetectorOptions, hiding: Hiding | None) -> PhotoFinder:
    """The state of a worker process."""
    logging.getLogger("mtcnn_gluon").setLevel(logging.ERROR)  # the main process warns, once
    cv2.setNumThreads(options.threads or 1)
    return PhotoFinder(Detector(**vars(options)), hiding)


def _result(finder: PhotoFinder, photo: Photo) -> Result:
    return finder.result(*photo)


def _name(photo: Photo) -> str:
    return printable(photo[0].path)
