"""`Detector`: the cascade with its options, on single images, batches and video."""

import logging
import os
from typing import Iterator, Sequence

import numpy as np
from PIL import Image

from mtcnn_gluon import engines
from mtcnn_gluon.bundles.format import Bundle, find_bundle
from mtcnn_gluon.bundles.trained import warnings
from mtcnn_gluon.detection import cascade
from mtcnn_gluon.detection.cascade import Settings
from mtcnn_gluon.detection.options import DetectorOptions
from mtcnn_gluon.errors import ConfigError, shown
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.io.images import ImageSource, read_image
from mtcnn_gluon.io.video import Frame, Video
from mtcnn_gluon.mxnet_loader import mxnet_threads
from mtcnn_gluon.options import Meaning, checked

logger = logging.getLogger(__name__)

BATCH_PIXELS = 8_000_000  # images that `detect_batch` holds at a time, unless told, have about so many pixels together


class Detector:
    """Finds faces and, unless the model was trained without, five landmarks.

    A detector may be used from several threads, made in every forked or spawned process, or made before a fork and used
    after it. What is not supported, because MXNet cannot, is forking while another thread is detecting: it may hang.

    Args:
        model: `default`, `official`, the name of another model that ships, or the folder of a model bundle.
        engine: what runs the nets: `native` (the package's own kernels), `openvino`, `openvino-bf16` (faster and less exact, on
            processors with bfloat16), `onnx` (ONNX Runtime), `mxnet`, or `auto`: the first of native, openvino, onnx and mxnet
            that can be used here, for which the model has files, and that knows the device. On processors for which the
            kernels have no vectors wider than 16 bytes, native comes after onnx.
        device: `cpu`, `gpu` or `gpu:N`.
        min_face: side in pixels of the smallest face to look for; larger is faster.
        factor: scale between neighbouring levels of the image pyramid, more than 0, at most 0.99; higher is slower and finds
            more.
        thresholds: three face probabilities in 0..1, for P-, R- and O-Net.
        nms: four allowed overlaps in 0..1: P-Net within a level, P-Net across levels, R-Net, O-Net.
        max_faces: keep at most so many faces of an image, the best.
        threads: CPU threads at most, of this detector; on MXNet the first one of a process decides, within `OMP_NUM_THREADS`.

    For `thresholds`, `nms`, `max_faces` and `threads` None means: the model's own values, all faces, the runtime's choice.

    Attributes:
        has_landmarks: whether the model has trained landmarks; else `Faces.landmarks` is None.

    Raises:
        ConfigError: (a ValueError) if an option is out of range.
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
    ) -> None:
        name = os.fspath(model) if isinstance(model, os.PathLike) else model
        options = DetectorOptions(name, engine, device, min_face, factor, thresholds, nms, max_faces, threads)  # type: ignore[arg-type]
        with mxnet_threads(options.threads):  # which `official` may load, to be converted
            self.bundle: Bundle = find_bundle(options.model)
        manifest = self.bundle.manifest
        self.settings = Settings(
            min_face=options.min_face,
            factor=options.factor,
            thresholds=options.thresholds or tuple(manifest["thresholds"]),
            nms=options.nms or tuple(manifest["nms"]),
            is_bgr=manifest["colour_order"] == "BGR",
            mean=manifest["mean"],
            scale=manifest["scale"],
            box_convention=manifest["box_convention"],
            has_landmarks="landmark" in manifest["trained"]["onet"],
        )
        self._unsaid = warnings(manifest)
        self.has_landmarks = self.settings.has_landmarks
        self.max_faces = options.max_faces
        self.engine = engines.create(engine, self.bundle, device, options.threads)

    def detect(self, image: ImageSource) -> Faces:
        """Faces in one image.

        Args:
            image: anything `read_image` takes: a path, bytes, a PIL image or an RGB array.

        Raises:
            ImageError: if it is not an image.
        """
        return self._detect([read_image(image)])[0]

    def detect_batch(self, images: Sequence[ImageSource], batch_size: int | None = None) -> list[Faces]:
        """Faces in each of several images of any sizes, the same as one by one; they share the nets' batches.

        Args:
            images: anything `read_image` takes.
            batch_size: images to work on together; None: as many as make about eight megapixels.

        Raises:
            ImageError: if one of them is not an image.
            ConfigError: if `batch_size` is not a positive whole number, or `images` is one image and not a list of images.
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
        """Faces in every frame of a video file, or of the camera with that number, as they come.

        Yields:
            the frame (`image` (H, W, 3) uint8 RGB, `index` from 0, `time` in seconds) and its faces.

        Raises:
            ImageError: if the video or camera cannot be opened, or ends long before its header says.
        """
        with Video(source) as video:
            for frame in video:
                yield frame, self.detect(frame.image)

    def _detect(self, images: list[np.ndarray]) -> list[Faces]:
        while self._unsaid:  # with the first photo: not to those who only want one of the nets
            logger.warning("model %s: %s", self.bundle.manifest["name"], self._unsaid.pop(0))
        return [faces[: self.max_faces] for faces in cascade.detect(images, self.engine, self.settings)]


def _check_images(images: object) -> None:
    """Refuse one image in place of several: its letters, bytes or rows would be taken for images."""
    is_one = isinstance(images, (str, bytes, bytearray, memoryview, os.PathLike, Image.Image)) or not np.iterable(images)
    what = shown(images)
    if isinstance(images, np.ndarray) and images.dtype != object:
        is_one = images.ndim < 3 or (images.ndim == 3 and images.shape[2] in (1, 3, 4))
        what = f"one array of shape {images.shape}"
    if is_one:
        raise ConfigError(f"images must be a list of images, not {what}")
