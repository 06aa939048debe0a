"""`Detector`: the cascade with its options, for single images, batches and video."""

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
from mtcnn_gluon.detection.options import DetectorOptions
from mtcnn_gluon.errors import ConfigError, shown
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.io.images import ImageSource, read_image
from mtcnn_gluon.io.video import Frame, Video
from mtcnn_gluon.layers import view_of
from mtcnn_gluon.options import Meaning, checked

logger = logging.getLogger(__name__)

BATCH_PIXELS = 8_000_000  # default size of a batch: this many pixels in all its images


class Detector:
    """Finds faces and, unless the model was trained without, five landmarks.

    A detector may be used from several threads, and before and after a fork. Do not fork while another thread detects with
    MXNet: the new process may hang.

    Args:
        model: `default`, `official`, the name of another shipped model, or the folder of a model bundle.
        engine: the runtime of the nets: `native` (the package's own kernels), `openvino`, `openvino-bf16` (faster, less exact,
            needs a processor with bfloat16), `onnx` (ONNX Runtime), `mxnet`, or `auto`: the first of native, openvino, onnx and
            mxnet that is installed, supports the device, and has files in the model. On processors without AVX2, `auto` tries
            native after onnx.
        device: `cpu`, `gpu` or `gpu:N`.
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

    Attributes:
        has_landmarks: whether the model has trained landmarks; otherwise `Faces.landmarks` is None.

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
    ) -> None:
        name = os.fspath(model) if isinstance(model, os.PathLike) else model
        given: Any = name, engine, device, min_face, factor, thresholds, nms, max_faces, threads, accurate
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
            batch_size: images per batch; None: as many as have about eight megapixels.

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
            if batch and (len(batch) == batch_size or (batch_size is None and pixels > BATCH_PIXELS)):
                results += self._detect(batch)
                batch = []
            batch.append(image)
        return results + self._detect(batch)

    def detect_video(self, source: str | os.PathLike | int) -> Iterator[tuple[Frame, Faces]]:
        """Faces in every frame of a video file, or of the camera with that number.

        Yields:
            the frame (`image` (H, W, 3) uint8 RGB, `index` from 0, `time` in seconds) and its faces.

        Raises:
            ImageError: if the video or camera cannot be opened, or the video has far fewer frames than its header states.
        """
        with Video(source) as video:
            for frame in video:
                yield frame, self.detect(frame.image)

    def _detect(self, images: list[np.ndarray]) -> list[Faces]:
        while self._warnings:  # only with the first image: a user of single nets needs no warning
            logger.warning("model %s: %s", self.bundle.manifest["name"], self._warnings.pop(0))
        return [faces[: self.max_faces] for faces in cascade.detect(images, self.engine, self.settings)]


def _check_images(images: object) -> None:
    """Refuse a single image, since its letters, bytes or rows would be read as images."""
    is_one = isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike, Image.Image)) or not np.iterable(images)
    what = shown(images)
    if isinstance(images, np.ndarray) and images.dtype != object:
        is_one = images.ndim < 3 or (images.ndim == 3 and images.shape[2] in (1, 3, 4))
        what = f"one array of shape {images.shape}"
    if is_one:
        raise ConfigError(f"images must be a list of images, not {what}")
