"""`Detector`: the cascade with its options, for single images, batches and video."""

import copy
import logging
import math
import os
from typing import Any, Iterator, Sequence

import numpy as np
from PIL import Image

from mtcnn_gluon import engines
from mtcnn_gluon.bundles.find import find_bundle
from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.bundles.trained import warnings
from mtcnn_gluon.detection import cascade
from mtcnn_gluon.detection.cascade import Settings
from mtcnn_gluon.detection.options import DetectorOptions, VideoOptions
from mtcnn_gluon.detection.rotation import most_confident, turned, turned_back
from mtcnn_gluon.detection.video import find_in_video, make_tracker
from mtcnn_gluon.errors import ConfigError, shown
from mtcnn_gluon.faces import ROTATIONS, Faces
from mtcnn_gluon.io.images import ImageSource, read_image
from mtcnn_gluon.io.video import Frame, Video
from mtcnn_gluon.layers import view_of
from mtcnn_gluon.options import Meaning, checked

logger = logging.getLogger(__name__)


class Detector:
    """Finds faces and, unless the model was trained without, five landmarks.

    A detector may be used from several threads, and before and after a fork. Do not fork while another thread detects with
    MXNet: the new process may hang.

    Args:
        model: `default`, `official`, the name of another shipped model, or the folder of a model bundle.
        engine: the runtime of the nets: `native` (the package's own kernels), `native-int8` (the same in 8 bits: faster, less
            exact, needs AVX2 or VNNI and a model with such nets), `openvino`, `openvino-bf16` (faster, less exact,
            needs a processor with bfloat16), `onnx` (ONNX Runtime), `mxnet`, `torch` (PyTorch, for GPUs), `torch-fp16` (less
            exact), or `auto`: the first of native, openvino, onnx and mxnet that is installed and has files in the model. On
            processors without AVX2, `auto` tries native after onnx. On other devices it tries torch, onnx and mxnet.
        device: `cpu`; `gpu` or `gpu:N`, also as `cuda` or `cuda:N`, for an NVIDIA GPU, or with torch for an AMD one; `mps` for
            Apple's, with torch.
        min_face: side in pixels of the smallest face to find; larger is faster.
        factor: scale between neighbouring levels of the image pyramid, above 0 and at most 0.99; a higher factor is slower and
            finds more faces.
        thresholds: three face probabilities in 0..1 that P-, R- and O-Net must reach; None: the model's. A model whose manifest
            has `large_faces` (`wide-1`) multiplies them for large candidates by its factors, given ones too.
            Where it has `score_weights`, the third one holds for the score that all three nets give.
        nms: four allowed overlaps in 0..1: P-Net within a level, P-Net across levels, R-Net, O-Net; None: the model's.
        max_faces: largest number of faces per image, best first; None: all.
        threads: largest number of CPU threads; None: the runtime's choice. MXNet uses the value of the first detector in a
            process, within `OMP_NUM_THREADS`.
        accurate: whether R- and O-Net also see each candidate mirrored, and the mean of both outputs counts; O-Net then looks
            for the landmarks of each face once more, in its final box. Slower, finds more.
        rotate: 0, 90, 180 or 270: the degrees by which to turn every image clockwise to have it upright, for scans and photos
            that lie on their side. `auto` tries all four and takes the one with the most confident faces, in four times the
            time. Boxes and landmarks are those of the image as displayed; `Faces.rotation` is the rotation.

    Attributes:
        has_landmarks: whether the model has trained landmarks; otherwise `Faces.landmarks` is None.
        rotate: the rotation as a text: `0`, `90`, `180`, `270` or `auto`.

    Raises:
        ConfigError: (a ValueError) if an argument is out of range.
        ModelError: if the model or the runtime cannot be used.
    """

    def __init__(
        self,
        model: str | os.PathLike = DetectorOptions.model,
        engine: str = DetectorOptions.engine,
        device: str = DetectorOptions.device,
        min_face: float = DetectorOptions.min_face,
        factor: float = DetectorOptions.factor,
        thresholds: Sequence[float] | None = None,
        nms: Sequence[float] | None = None,
        max_faces: int | None = None,
        threads: int | None = None,
        accurate: bool = DetectorOptions.accurate,
        rotate: int | str = DetectorOptions.rotate,
    ) -> None:
        name = os.fspath(model) if isinstance(model, os.PathLike) else model
        given: Any = name, engine, device, min_face, factor, thresholds, nms, max_faces, threads, accurate, rotate
        options = DetectorOptions(*given)
        self.bundle: Bundle = find_bundle(options.model)
        manifest = self.bundle.manifest
        large = manifest.get("large_faces") or {"side": math.inf, "factors": [1, 1, 1]}
        self.settings = Settings(
            min_face=options.min_face,
            factor=options.factor,
            thresholds=options.thresholds or tuple(manifest["thresholds"]),
            large_side=large["side"],
            large_factors=tuple(large["factors"]),
            score_weights=tuple(manifest.get("score_weights") or (0, 0)),
            nms=options.nms or tuple(manifest["nms"]),
            is_bgr=manifest["colour_order"] == "BGR",
            mean=manifest["mean"],
            scale=manifest["scale"],
            box_convention=manifest["box_convention"],
            has_landmarks="landmark" in manifest["trained"]["onet"],
            is_accurate=options.accurate,
            views={net: view_of(table) for net, table in manifest["architecture"].items()},
        )
        self._warnings = warnings(manifest)
        self.has_landmarks = self.settings.has_landmarks
        self.max_faces = options.max_faces
        self.rotate = options.rotate
        self.engine = engines.create(engine, self.bundle, device, options.threads)

    def detect(self, image: ImageSource) -> Faces:
        """Faces in one image.

        Args:
            image: a path, bytes, a PIL image or an RGB array, see `read_image`.

        Raises:
            ImageError: if it cannot be read as an image.
        """
        return self._detect([read_image(image)])[0]

    def detect_batch(self, images: Sequence[ImageSource], batch_size: int | None = None) -> list[Faces]:
        """Faces in each of several images of any sizes. The result is the same as one by one, but the nets run on batches.

        Args:
            images: see `read_image`.
            batch_size: images per batch; None: as many as have about eight megapixels, or 32 with `torch` on a GPU.

        Raises:
            ImageError: if one of them cannot be read as an image.
            ConfigError: if `batch_size` is not a positive whole number, or `images` is a single image instead of a list.
        """
        _check_images(images)
        batch_size = checked("batch_size", batch_size, int | None, Meaning("", least=1))
        results: list[Faces] = []
        batch: list[np.ndarray] = []
        for source in images:
            image = read_image(source)
            pixels = sum(each.shape[0] * each.shape[1] for each in (*batch, image))
            if batch and (len(batch) == batch_size or (batch_size is None and pixels > self.engine.batch_pixels)):
                results += self._detect(batch)
                batch = []
            batch.append(image)
        return results + self._detect(batch)

    def detect_video(
        self, source: str | os.PathLike | int, every: int = VideoOptions.every, track: bool | None = VideoOptions.track
    ) -> Iterator[tuple[Frame, Faces]]:
        """Faces in every frame of a video file, or of the camera with that number.

        Args:
            source: the path or the number.
            every: the detector looks only at every N-th frame, and at the last one; from 1 to 30. A face in the two frames
                around moves in a straight line between them, and one in a single of them stands still. Needs `track`.
            track: whether a face has the same number in `Faces.ids` in all frames, with the boxes and landmarks smoothed.
                A face that is not found for more than two seconds gets a new number. None: if edgefirst-tracker is installed.

        Yields:
            the frame (`image` (H, W, 3) uint8 RGB, `index` from 0, `time` in seconds) and its faces. If the detector's `rotate`
            is `auto`, the first frame with a face decides it for the others.

        Raises:
            ConfigError: (a ValueError) if an argument is out of range, or edgefirst-tracker is needed but not installed.
            ImageError: while iterating: if the video or camera cannot be opened, or the video has far fewer frames than its
                header states.
        """
        options = VideoOptions(every, track)
        make_tracker(options, 1.0)  # so that what is missing is said at once
        return self._find_in_video(source, options)

    def with_rotation(self, rotation: int) -> "Detector":
        """A detector with the same networks and options and another `rotate`: 0, 90, 180 or 270."""
        other = copy.copy(self)
        other.rotate = DetectorOptions(rotate=rotation).rotate  # type: ignore[arg-type]
        return other

    def _find_in_video(self, source: str | os.PathLike | int, options: VideoOptions) -> Iterator[tuple[Frame, Faces]]:
        with Video(source) as video:
            yield from find_in_video(video, self, options)

    def _detect(self, images: list[np.ndarray]) -> list[Faces]:
        while self._warnings:  # only with the first image: a user of single nets needs no warning
            logger.warning("model %s: %s", self.bundle.manifest["name"], self._warnings.pop(0))
        if self.rotate == "0":
            found = cascade.detect(images, self.engine, self.settings)
        else:
            found = [self._detect_turned(image) for image in images]
        return [faces[: self.max_faces] for faces in found]

    def _detect_turned(self, image: np.ndarray) -> Faces:
        """Faces in an image at the detector's rotation, or at the best one."""
        rotations = ROTATIONS if self.rotate == "auto" else (int(self.rotate),)
        found = cascade.detect([turned(image, rotation) for rotation in rotations], self.engine, self.settings)
        return most_confident([turned_back(faces, rotation, image.shape) for faces, rotation in zip(found, rotations)])


def _check_images(images: object) -> None:
    """Refuse a single image, since its letters, bytes or rows would be read as images."""
    is_one = isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike, Image.Image)) or not np.iterable(images)
    what = shown(images)
    if isinstance(images, np.ndarray) and images.dtype != object:
        is_one = images.ndim < 3 or (images.ndim == 3 and images.shape[2] in (1, 3, 4))
        what = f"one array of shape {images.shape}"
    if is_one:
        raise ConfigError(f"images must be a list of images, not {what}")
