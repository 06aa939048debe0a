"""What `detect` finds in its inputs, one result a photo or frame."""

import sys
from typing import Iterator

import numpy as np
from tqdm import tqdm

from mtcnn_gluon.cli.detect_outputs import Clip, Result
from mtcnn_gluon.cli.output import say
from mtcnn_gluon.cli.resuming import Row
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.detection.options import VideoOptions
from mtcnn_gluon.detection.video import find_in_video
from mtcnn_gluon.errors import ImageError
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.io.inputs import Input, InputKind
from mtcnn_gluon.io.output_names import Names
from mtcnn_gluon.io.video import Video

VIDEOS = (InputKind.VIDEO, InputKind.CAMERA)


class Finder:
    """Looks for faces in the inputs of a run.

    Args:
        detector: the detector.
        options: how to process videos.
        is_quiet: whether to show no progress.
    """

    def __init__(self, detector: Detector, options: VideoOptions, is_quiet: bool) -> None:
        self._detector, self._options, self._is_quiet = detector, options, is_quiet

    def results(self, source: Input, names: Names) -> Iterator[Result]:
        """The results for one input: one for a photo, one per frame of a video, one with an error if it cannot be read."""
        row: Row = {**source.label}
        try:
            if source.kind in VIDEOS:
                yield from self._frames(source, names, row)
            else:
                image = source.read()
                faces = self._detector.detect(image)
                yield Result(names, self._row(row, image, faces), image, faces)
        except ImageError as error:
            message = printable(error)
            say(message)
            yield Result(names, {**row, "width": None, "height": None, "faces": [], "error": message})

    def _frames(self, source: Input, names: Names, row: Row) -> Iterator[Result]:
        is_camera = source.kind is InputKind.CAMERA
        with Video(int(str(source.path)) if is_camera else source.path) as video:
            clip = Clip(video.rate, None if is_camera else source.path)
            found = find_in_video(video, self._detector, self._options)
            off = no_bar(self._is_quiet)
            with tqdm(found, printable(source.name), video.count or None, unit="frame", disable=off, leave=False) as bar:
                for frame, faces in bar:
                    about = {**row, "frame": frame.index, "time": round(frame.time, 4)}
                    yield Result(names, self._row(about, frame.image, faces), frame.image, faces, clip, frame.time)

    def _row(self, row: Row, image: np.ndarray, faces: Faces) -> Row:
        height, width = image.shape[:2]
        rotation = {} if self._detector.rotate == "0" else {"rotation": faces.rotation}
        return {**row, "width": width, "height": height, **rotation, "faces": faces.to_dicts()}


def no_bar(is_quiet: bool = False) -> bool | None:
    """The argument `disable` of tqdm: None shows a bar on a terminal only, True shows none."""
    return True if sys.stderr is None or is_quiet else None
