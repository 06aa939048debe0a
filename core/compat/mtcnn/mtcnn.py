"""`MTCNN` with the constructor and methods of mtcnn 1.0."""

import os
from typing import Any, Literal, Sequence

import numpy as np

from mtcnn_gluon.compat.finder import Finder
from mtcnn_gluon.compat.mtcnn.options import StageOptions
from mtcnn_gluon.compat.mtcnn.stages import COMMON_STAGES, STAGES, Stage
from mtcnn_gluon.compat.mtcnn.utils.images import rgb
from mtcnn_gluon.errors import ConfigError, did_you_mean, shown
from mtcnn_gluon.options import Meaning, checked, from_mapping

Justification = Literal["top", "topleft", "topright", "bottom", "bottomleft", "bottomright", "left", "right", "center"]
KEYPOINTS = {"nose": 2, "mouth_right": 4, "right_eye": 1, "left_eye": 0, "mouth_left": 3}  # in mtcnn's order: our index
X, Y = slice(6, 11), slice(11, 16)  # columns of landmarks


class MTCNN:
    """Finds faces with the interface of `mtcnn.MTCNN`.

    Args:
        stages: `face_and_landmarks_detection`, `face_detection_only` (P- and R-Net), or a list of the first stages of
            `mtcnn_gluon.compat.mtcnn.stages`, classes or instances.
        device: as TensorFlow names it, such as `CPU:0` or `GPU:0`. Where it cannot be used, the CPU is, and a warning says so.
        model: see `Detector`; `official` has the weights of mtcnn.
        engine: see `Detector`.

    Raises:
        ConfigError: (a ValueError) if an argument is out of range.
        ModelError: if the model or the runtime cannot be used.
    """

    def __init__(
        self,
        stages: str | Sequence[Any] = "face_and_landmarks_detection",
        device: str = "CPU:0",
        *,
        model: str | os.PathLike = "default",
        engine: str = "auto",
    ) -> None:
        self._stages = _stages(stages)
        self._device = device
        self._finder = Finder(model, engine, device)

    @property
    def device(self) -> str:
        """The device as it was given."""
        return self._device

    @property
    def stages(self) -> list[Stage]:
        """The stages."""
        return self._stages

    def get_stage(self, stage_id: int | None = None, stage_name: str | None = None) -> Stage | None:
        """The stage with this number, from 1, or this name, such as `Stage PNET`; None if there is none."""
        return next((stage for stage in self._stages if stage.id == stage_id or stage.name == stage_name), None)

    def predict(self, image: Any, *options: Any, **more: Any) -> Any:
        """The same as `detect_faces`."""
        return self.detect_faces(image, *options, **more)

    def detect_faces(
        self,
        image: Any,
        fit_to_image: bool = True,
        limit_boundaries_landmarks: bool = False,
        box_format: str = "xywh",
        output_type: str = "json",
        postprocess: bool = True,
        batch_stack_justification: str = "center",
        **kwargs: Any,
    ) -> Any:
        """Find the faces in one image, or in a list of images of any sizes.

        Args:
            image: a path, the bytes of an image file, an array or a tensor (H, W, 3) with values in 0..255, RGB; or a list.
            fit_to_image: whether boxes end at the first and the last pixel of the image.
            limit_boundaries_landmarks: whether landmarks do, too.
            box_format: `xywh` or `xyxy`.
            output_type: `json` or `numpy`.
            postprocess: False has the effect of `fit_to_image=False`.
            batch_stack_justification: without effect, since images are not padded.
            **kwargs: `min_face_size`, `min_size`, `scale_factor`, `threshold_pnet`, `threshold_rnet`, `threshold_onet`,
                `nms_pnet1`, `nms_pnet2`, `nms_rnet` and `nms_onet`, see `StageOptions`.

        Returns:
            `json`: for each image a list of faces, most probable first, {"box": four whole numbers, "confidence": 0..1,
            "keypoints": {"nose": [x, y], ...}}; without keypoints if O-Net is not among the stages. `numpy`: one array (N, 16)
            float64 of all images, or (N, 6) without O-Net: number of the image, box, confidence, x of the left eye, the right
            eye, the nose, the left and the right corner of the mouth, and y of the same. Left is the viewer's left.

        Raises:
            ImageError: if an image cannot be read; mtcnn finds no face in it.
            ConfigError: (a ValueError) if an option is unknown or out of range; mtcnn takes no notice of unknown ones.
        """
        checked("box_format", box_format, Literal["xywh", "xyxy"], Meaning(""))
        checked("output_type", output_type, Literal["json", "numpy"], Meaning(""))
        checked("batch_stack_justification", batch_stack_justification, Justification, Meaning(""))
        settings = from_mapping(StageOptions, kwargs).settings(self._finder)
        images = [rgb(each) for each in (image if isinstance(image, list) else [image])]
        tables = self._tables(images, settings)
        if postprocess and fit_to_image:
            tables = [_fitted(table, each.shape, limit_boundaries_landmarks) for table, each in zip(tables, images)]
        if box_format == "xywh":
            tables = [_with_sizes(table) for table in tables]
        if output_type == "numpy":
            return np.concatenate([*tables, np.zeros((0, self._columns))])
        faces = [[_named(row) for row in table] for table in tables]
        return faces if isinstance(image, list) else faces[0]

    @property
    def _columns(self) -> int:
        return 16 if len(self._stages) == len(STAGES) else 6

    def _tables(self, images: Sequence[np.ndarray], settings: dict[str, Any]) -> list[np.ndarray]:
        """An array (N, 16) or (N, 6) float64 for each image, with boxes as x1, y1, x2, y2."""
        tables = []
        if len(self._stages) == len(STAGES):
            for number, faces in enumerate(self._finder.faces(images, **settings)):
                assert faces.landmarks is not None  # see Finder
                points = faces.landmarks.transpose(2, 1, 0).reshape(10, -1)  # all x, then all y
                tables.append(np.column_stack([np.full(len(faces), number), faces.boxes, faces.scores, *points]))
            return tables
        for number, image in enumerate(images):
            found = self._finder.candidates(image, len(self._stages), **settings)
            tables.append(np.column_stack([np.full(len(found), number), found.boxes, found.scores]))
        return tables


def _stages(stages: Any) -> list[Stage]:
    """Instances of the first one, two or three stages."""
    if isinstance(stages, str):
        if stages not in COMMON_STAGES:
            near = did_you_mean(stages, COMMON_STAGES)
            raise ConfigError(f"stages must be one of {', '.join(COMMON_STAGES)}, not {shown(stages)}{near}")
        stages = COMMON_STAGES[stages]
    made = [stage() if isinstance(stage, type) else stage for stage in (stages if np.iterable(stages) else ())]
    if not made or [type(stage) for stage in made] != list(STAGES[: len(made)]):
        raise ConfigError("stages must be the first of StagePNet, StageRNet, StageONet, of mtcnn_gluon.compat.mtcnn.stages")
    return made


def _fitted(table: np.ndarray, shape: Sequence[int], landmarks: bool) -> np.ndarray:
    """A table whose boxes, and maybe landmarks, lie in 0..width - 1 and 0..height - 1 of an image of this shape."""
    table, (height, width) = table.copy(), shape[:2]
    for columns, side in (([1, 3], width), ([2, 4], height), *(((X, width), (Y, height)) if landmarks else ())):
        table[:, columns] = np.clip(table[:, columns], 0, side - 1)
    return table


def _with_sizes(table: np.ndarray) -> np.ndarray:
    """A table with x, y, width, height instead of corners."""
    table = table.copy()
    table[:, 3:5] -= table[:, 1:3]
    return table


def _named(row: np.ndarray) -> dict[str, Any]:
    """A row of a table as a dictionary, with whole pixels."""
    face: dict[str, Any] = {"box": row[1:5].round().astype(int).tolist(), "confidence": row[5]}
    if len(row) > 6:
        x, y = row[X].round().astype(int), row[Y].round().astype(int)
        face["keypoints"] = {name: [x[i], y[i]] for name, i in KEYPOINTS.items()}
    return face
