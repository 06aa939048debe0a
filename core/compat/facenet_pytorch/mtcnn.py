"""`MTCNN` with the constructor and methods of facenet-pytorch 2.6."""

import os
from typing import Any, Sequence

import numpy as np

from mtcnn_gluon.compat.arrays import is_tensor, pixels, stacked
from mtcnn_gluon.compat.facenet_pytorch.crops import extract_face, fixed_image_standardization
from mtcnn_gluon.compat.facenet_pytorch.selection import best
from mtcnn_gluon.compat.finder import SHARE, Finder, Triple, pyramid_settings
from mtcnn_gluon.errors import ConfigError, shown
from mtcnn_gluon.faces import Faces
from mtcnn_gluon.options import checked

# There boxes count the first pixel as 1, as the paper's MATLAB code does. Networks see crops at the whole pixels below a box,
# but their outputs apply to the box itself: so boxes and landmarks lie half a pixel, on average, further right and down.
TO_THEIRS = np.array([1.5, 1.5, 0.5, 0.5], np.float32)
TO_THEIR_POINTS = np.float32(0.5)


class MTCNN:
    """Finds faces, and cuts them out, with the interface of `facenet_pytorch.MTCNN`.

    It is no `torch.nn.Module`, and needs no PyTorch. Every argument is also an attribute that may be changed later.

    Args:
        image_size: side of the faces cut out, in pixels.
        margin: widening of the box, in pixels of the face cut out, both sides together.
        min_face_size: side in pixels of the smallest face to find.
        thresholds: face probabilities of P-, R- and O-Net, in 0..1; None: the model's, 0.6, 0.7, 0.7 for `official`.
        factor: scale between neighbouring levels of the image pyramid.
        post_process: whether faces cut out are standardised, see `fixed_image_standardization`.
        select_largest: whether the largest face comes first, otherwise the most probable one.
        selection_method: see `select_boxes`; None: `largest` or `probability`, as `select_largest` says.
        keep_all: whether all faces are cut out.
        device: a `torch.device`, its name, or None for the CPU. Where it cannot be used, the CPU is, and a warning says so.
        model: see `Detector`; `official` has the weights of facenet-pytorch.
        engine: see `Detector`.

    Raises:
        ConfigError: (a ValueError) if an argument is out of range.
        ModelError: if the model or the runtime cannot be used.
    """

    def __init__(
        self,
        image_size: int = 160,
        margin: float = 0,
        min_face_size: float = 20,
        thresholds: Sequence[float] | None = None,
        factor: float = 0.709,
        post_process: bool = True,
        select_largest: bool = True,
        selection_method: str | None = None,
        keep_all: bool = False,
        device: Any = None,
        *,
        model: str | os.PathLike = "default",
        engine: str = "auto",
    ) -> None:
        self._model, self._engine = model, engine
        self.image_size = image_size
        self.margin = margin
        self.min_face_size = min_face_size
        self.factor = factor
        self.post_process = post_process
        self.select_largest = select_largest
        self.selection_method = selection_method or ("largest" if select_largest else "probability")
        self.keep_all = keep_all
        self.to("cpu" if device is None else device)
        self.thresholds = list(self._finder.thresholds if thresholds is None else thresholds)
        self._settings()  # checks the values

    def __call__(self, img: Any, save_path: Any = None, return_prob: bool = False) -> Any:
        """See `forward`."""
        return self.forward(img, save_path, return_prob)

    def forward(self, img: Any, save_path: Any = None, return_prob: bool = False) -> Any:
        """Find faces and cut them out.

        Args:
            img: as in `detect`.
            save_path: picture file for the face, or a list of one for each image of several; the second face of an image
                goes to `NAME_2`.
            return_prob: whether to return probabilities too.

        Returns:
            (3, S, S) float32 for one image, or (N, 3, S, S) with `keep_all`, S being `image_size`; None without a face; a list
            of these for several images. Tensors if PyTorch can be imported, otherwise arrays. With `return_prob` also the
            probability, or the array of them.
        """
        boxes, probs, points = self.detect(img, landmarks=True)
        if not self.keep_all:
            boxes, probs, points = self.select_boxes(boxes, probs, points, img, method=self.selection_method)
        faces = self.extract(img, boxes, save_path)
        return (faces, probs) if return_prob else faces

    def detect(self, img: Any, landmarks: bool = False) -> tuple[Any, ...]:
        """Find all faces.

        Args:
            img: a PIL image, an array or a tensor (H, W, 3) with values in 0..255, RGB; or several: a list, or an array or a
                tensor (B, H, W, 3). Unlike in facenet-pytorch their sizes may differ.
            landmarks: whether to return landmarks too.

        Returns:
            Boxes (N, 4) x1, y1, x2, y2, probabilities (N,) and maybe landmarks (N, 5, 2) as arrays of objects; None, [None]
            and None without a face. Boxes may leave the image, and count its first pixel as 1. For several images arrays
            of these: (B,), or (B, N, 4) and so on if each has N faces.

        Raises:
            ImageError: if one is not an image.
            ConfigError: if an attribute was set to a value out of range.
        """
        images, is_batch = _listed(img)
        rows = [self._row(faces) for faces in self._finder.faces([pixels(each) for each in images], **self._settings())]
        results = [_objects(column) for column in (zip(*rows) if rows else ((), (), ()))][: 3 if landmarks else 2]
        return tuple(results if is_batch else [each[0] for each in results])

    def select_boxes(
        self,
        all_boxes: Any,
        all_probs: Any,
        all_points: Any,
        imgs: Any,
        method: str = "probability",
        threshold: float = 0.9,
        center_weight: float = 2.0,
    ) -> tuple[Any, Any, Any]:
        """One face of each image.

        Args:
            all_boxes, all_probs, all_points: what `detect` returned.
            imgs: its images.
            method: `probability`, `largest`, `largest_over_threshold`: the largest whose probability is above `threshold`, or
                `center_weighted_size`: that of the largest area minus `center_weight` times the squared distance of its centre
                from the image's.
            threshold: a probability in 0..1.
            center_weight: a number.

        Returns:
            For one image a box (1, 4), its probability and landmarks (1, 5, 2), or None, None, None; for several images arrays
            of boxes, probabilities (1,) or [None], and landmarks.

        Raises:
            ConfigError: if there is no such method, or the results are not those of as many images.
        """
        images, is_batch = _listed(imgs)
        boxes, probs, points = (_of_each(results, images, is_batch) for results in (all_boxes, all_probs, all_points))
        given = zip(images, boxes, probs, points)
        rows = [best(image, found, method, threshold, center_weight) for image, *found in given]
        if not is_batch:
            box, probability, point = rows[0]
            return box, probability[0], point
        columns = [_objects(column) for column in (zip(*rows) if rows else ((), (), ()))]
        return columns[0], columns[1], columns[2]

    def extract(self, img: Any, batch_boxes: Any, save_path: Any) -> Any:
        """Cut faces out; see `forward` for the arguments and the result.

        Args:
            img: the images.
            batch_boxes: boxes (N, 4) or None for one image, a list of these for several. Without `keep_all` the first counts.
            save_path: None, or the picture files.

        Raises:
            ConfigError: if there are not as many paths, or boxes, as images.
        """
        images, is_batch = _listed(img)
        paths = [save_path] * len(images) if save_path is None or not is_batch else save_path
        if is_batch and (isinstance(paths, (str, os.PathLike)) or len(paths) != len(images)):
            raise ConfigError(f"save_path must be a list of {len(images)} paths, one for each image")
        boxes = _of_each(batch_boxes, images, is_batch)
        faces = [self._cut(*each) for each in zip(images, boxes, paths)]
        return faces if is_batch else faces[0]

    def to(self, device: Any) -> "MTCNN":
        """Use another device, as PyTorch names it."""
        self._finder = Finder(self._model, self._engine, device)
        self.device = device
        return self

    def cpu(self) -> "MTCNN":
        """Use the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> "MTCNN":
        """Use a GPU; a number chooses one of several."""
        return self.to("cuda" if device is None else device)

    def eval(self) -> "MTCNN":
        """Do nothing, since there is no mode for training."""
        return self

    def train(self, mode: bool = True) -> "MTCNN":
        """Do nothing, since there is no mode for training."""
        return self

    def _settings(self) -> dict[str, Any]:
        sizes = pyramid_settings("min_face_size", self.min_face_size, "factor", self.factor)
        return {**sizes, "thresholds": checked("thresholds", self.thresholds, Triple, SHARE)}

    def _row(self, faces: Faces) -> tuple[Any, Any, Any]:
        """Boxes, probabilities and landmarks of the faces in one image, in order."""
        if not len(faces):
            return None, [None], None
        assert faces.landmarks is not None  # see Finder
        boxes, points = faces.boxes + TO_THEIRS, faces.landmarks + TO_THEIR_POINTS
        if self.select_largest:
            order = np.argsort((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), kind="stable")[::-1]
            return boxes[order], faces.scores[order], points[order]
        return boxes, faces.scores, points

    def _cut(self, image: Any, boxes: Any, path: Any) -> Any:
        """The faces of one image."""
        if boxes is None:
            return None
        faces = []
        for number, box in enumerate(boxes if self.keep_all else boxes[:1], 1):
            name, ending = os.path.splitext(path or "")
            face_path = f"{name}_{number}{ending}" if path and number > 1 else path
            face = extract_face(image, box, self.image_size, self.margin, face_path)
            faces.append(fixed_image_standardization(face) if self.post_process else face)
        return stacked(faces) if self.keep_all else faces[0]


def _listed(img: Any) -> tuple[Any, bool]:
    """Images as a sequence, and whether they were several."""
    is_batch = isinstance(img, (list, tuple)) or ((isinstance(img, np.ndarray) or is_tensor(img)) and len(img.shape) == 4)
    return (img, True) if is_batch else ([img], False)


def _of_each(results: Any, images: Sequence[Any], is_batch: bool) -> Any:
    """The results of each image in a sequence."""
    if is_batch and (not hasattr(results, "__len__") or len(results) != len(images)):
        raise ConfigError(f"expected the results of {len(images)} images, got {shown(results)}")
    return results if is_batch else [results]


def _objects(column: Sequence[Any]) -> np.ndarray:
    """Results of several images as facenet-pytorch returns them: one array of objects, of many axes if the shapes agree."""
    return np.array(list(column), dtype=object)
