"""What `detect` finds in its inputs, one result a photo or frame."""

import sys
from typing import Iterator

from tqdm import tqdm

from mtcnn_gluon.cli.detect_outputs import Clip, Result
from mtcnn_gluon.cli.detect_photos import PhotoFinder, crops_of, failed, row_of
from mtcnn_gluon.detection.detector import Detector
from mtcnn_gluon.detection.options import VideoOptions
from mtcnn_gluon.detection.video import find_in_video
from mtcnn_gluon.errors import ImageError
from mtcnn_gluon.io.files import printable
from mtcnn_gluon.io.inputs import Input, InputKind
from mtcnn_gluon.io.output_names import Names
from mtcnn_gluon.io.video import Video

VIDEOS = (InputKind.VIDEO, InputKind.CAMERA)


class Finder:
    """Looks for faces in the inputs of a run, in this process.

    Args:
        detector: the detector.
        photos: finds the faces in photos.
        options: how to process videos.
        is_quiet: whether to show no progress.
    """

    def __init__(self, detector: Detector, photos: PhotoFinder, options: VideoOptions, is_quiet: bool) -> None:
        self._detector, self._photos, self._options, self._is_quiet = detector, photos, options, is_quiet

    def results(self, source: Input, names: Names) -> Iterator[Result]:
        """The results for one input: one for a photo, one per frame of a video, one with an error if it cannot be read."""
        if source.kind not in VIDEOS:
            yield self._photos.result(source, names)
            return
        try:
            yield from self._frames(source, names)
        except ImageError as error:
            yield failed(names, source.label, error)

    def _frames(self, source: Input, names: Names) -> Iterator[Result]:
        is_camera = source.kind is InputKind.CAMERA
        with Video(int(str(source.path)) if is_camera else source.path) as video:
            clip = Clip(video.rate, None if is_camera else source.path)
            found = find_in_video(video, self._detector, self._options)
            off = no_bar(self._is_quiet)
            with tqdm(found, printable(source.name), video.count or None, unit="frame", disable=off, leave=False) as bar:
                for frame, faces in bar:
                    about = {**source.label, "frame": frame.index, "time": round(frame.time, 4)}
                    row = row_of(about, frame.image, faces, self._detector)
                    crops = crops_of(frame.image, faces, names)
                    yield Result(names, row, faces, crops=crops, image=frame.image, clip=clip, time=frame.time)


def no_bar(is_quiet: bool = False) -> bool | None:
    """The argument `disable` of tqdm: None shows a bar on a terminal only, True shows none."""
    return True if sys.stderr is None or is_quiet else None
