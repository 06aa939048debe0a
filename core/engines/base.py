"""The interface between the cascade and the runtimes."""

from pathlib import Path
from types import MappingProxyType
from typing import Any, Callable, Literal, Mapping, NamedTuple, Sequence

import numpy as np

from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.bundles.parameters import ONNX
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ModelError, Unavailable, last_line
from mtcnn_gluon.layers import CANVAS_UNIT, View
from mtcnn_gluon.records.samples import mirror_landmarks, mirror_offsets

# Runtimes keep buffers or code for every input shape. Few shapes keep the memory bounded.
CANVAS_WIDTH, CANVAS_HEIGHT = 256, 640
CANVAS_SIZES = (  # of P-Net
    (CANVAS_UNIT, CANVAS_UNIT), (128, 128),
    *((height, CANVAS_WIDTH) for height in range(CANVAS_UNIT, CANVAS_HEIGHT + 1, CANVAS_UNIT)),
)  # fmt: skip
MAX_BATCH = 128  # largest batch of R- and O-Net
BATCH_PIXELS = 8_000_000  # default size of a batch of photos: this many pixels in all of them


class Level(NamedTuple):
    """One level of an image pyramid.

    Attributes:
        height, width: size in pixels.
        halvings: number of times that the image is halved before it is resized.
        scale_y, scale_x: size of the level / size of the image.
    """

    height: int
    width: int
    halvings: int
    scale_y: float
    scale_x: float


class Cells(NamedTuple):
    """Cells of P-Net. Row i of every array belongs to cell i.

    Attributes:
        level: (N,) index of the level, counted through all photos.
        places: (N, 2) row and column in P-Net's output for the whole level.
        scores: (N,) float32 face probabilities.
        offsets: (N, 4) float32.
    """

    level: np.ndarray
    places: np.ndarray
    scores: np.ndarray
    offsets: np.ndarray

    @classmethod
    def none(cls) -> "Cells":
        """No cells."""
        return cls(np.zeros(0, np.int64), np.zeros((0, 2), np.int64), np.zeros(0, np.float32), np.zeros((0, 4), np.float32))


class Photos:
    """A batch of photos, and all of the cascade that reads their pixels or compares many boxes.

    `detection.photos` does it on the CPU and runs the nets by `Engine.pnet`, `rnet` and `onet`. An engine whose device has its
    own memory may take over, see `Engine.take_in`. Both follow the same sampling rule, which `detection.pyramid` and
    `operators.crop_resize` describe, and find the same faces.

    Attributes:
        shapes: (height, width) of each photo in pixels.
    """

    shapes: Sequence[tuple[int, int]]

    def scan(self, levels: Sequence[Sequence[Level]], thresholds: np.ndarray, overlap: float) -> Cells:
        """P-Net's cells that reach the threshold, without those that a better one of the same level overlaps.

        Args:
            levels: those of each photo, largest first.
            thresholds: (L,) float32 face probability for each level of all photos.
            overlap: largest allowed intersection over union of two cells, see `operators.nms`.

        Returns:
            the cells by level, best first.
        """
        raise NotImplementedError

    def look(
        self, net: Literal["rnet", "onet"], image: np.ndarray, boxes: np.ndarray, is_mirrored_too: bool
    ) -> list[np.ndarray]:
        """Outputs of R- or O-Net for parts of the photos, in their order.

        Args:
            net: the net.
            image: (N,) index of the photo of each box; N > 0.
            boxes: (N, 4) float32 in pixels, finite, with positive sides; they may reach beyond the photo, which is black there.
            is_mirrored_too: whether the net also sees each part mirrored; the outputs are then the means of both.

        Returns:
            face probabilities (N,) and offsets (N, 4); of O-Net also landmarks (N, 10), or (N, 0) if it has none.
        """
        raise NotImplementedError

    def suppress(self, boxes: np.ndarray, scores: np.ndarray, groups: np.ndarray, overlap: float) -> np.ndarray:
        """See `operators.grouped_nms`."""
        raise NotImplementedError


def mean_with_mirrored(first: Sequence[np.ndarray], mirrored: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The means of a net's outputs, as `Photos.look` returns them, and of those for mirrored images, mirrored back."""
    scores, offsets, *points = mirrored
    second = [scores, mirror_offsets(offsets)]
    for each in points:  # (N, 10), or (N, 0) if the net has none
        second.append(mirror_landmarks(each.reshape(-1, 5, 2)).reshape(-1, 10) if each.size else each)
    return [(a + b) / 2 for a, b in zip(first, second, strict=True)]


class Engine:
    """Runs the three nets. The base class of all engines, which implement `run`.

    Inputs are (N, 3, H, W) of the engine's `dtype`; outputs are numpy arrays that belong to the caller. Every engine may be
    called from several threads.

    Attributes:
        name: the engine's name.
        runtime: name of the runtime in messages.
        ending: how the names of the bundle's files that it reads end.
        writer: the command that writes them.
        dtype: of inputs: float32 for normalised ones; uint8 for pixels, best as views of arrays whose channels are last.
        needs_warming: whether the first input of a shape takes longer than the next.
        kernel_threads: CPU threads of the package's own kernels between the nets; 0: OMP_NUM_THREADS or one a processor. They
            wait busily for a moment after their work, so more than one take processors from a runtime with its own threads.
        crops_a_run: for each net, the number of additional crops that take as long as one additional run; missing: 0.
        batch_pixels: default size of a batch of photos: this many pixels in all of them.
        frames_at_once: largest number of frames of a video file to detect together.
    """

    name: str
    runtime: str
    ending = ONNX
    writer = "mtcnn-gluon export"
    dtype: type[np.generic] = np.float32
    needs_warming = True
    kernel_threads = 1
    crops_a_run: Mapping[str, int] = MappingProxyType({})
    batch_pixels = BATCH_PIXELS
    frames_at_once = 1

    def take_in(
        self, images: Sequence[np.ndarray], mean: float, scale: float, is_bgr: bool, views: Mapping[str, View]
    ) -> Photos | None:
        """The photos on the engine's device; None if the cascade shall draw on the CPU and run `pnet`, `rnet` and `onet`.

        Args:
            images: (H, W, 3) uint8 RGB, of any sizes.
            mean, scale: the input of the nets is (pixel - mean) * scale.
            is_bgr: whether the nets expect BGR.
            views: what each net sees of a candidate, by net.
        """
        return None

    def run(self, net: str, images: np.ndarray) -> Sequence[np.ndarray]:
        """(N, 3, H, W) -> probabilities (N, 2, ...), offsets (N, 4, ...) and, if the net has them, landmarks (N, 10, ...)."""
        raise NotImplementedError

    def pnet(self, canvas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(1, 3, H, W) -> face probability (h, w) and offsets (4, h, w); for h and w see `layers.output_side`."""
        probability, offsets = self.run("pnet", canvas)[:2]
        return probability[0, 1], offsets[0]

    def rnet(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3, S, S), N > 0, S being R-Net's size -> face probability (N,) and offsets (N, 4)."""
        probability, offsets = self._run_batches("rnet", crops)[:2]
        return probability[:, 1], offsets

    def onet(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N, 3, S, S), N > 0 -> face probability (N,), offsets (N, 4) and landmarks (N, 10), x and y interleaved.

        Landmarks are (N, 0) if the net has none.
        """
        probability, offsets, *landmarks = self._run_batches("onet", crops)
        return probability[:, 1], offsets, landmarks[0] if landmarks else np.zeros((len(crops), 0), np.float32)

    def _run_batches(self, net: str, crops: np.ndarray) -> list[np.ndarray]:
        """Run crops in batches whose sizes are powers of two. The last batch is padded with zeros if that saves runs."""
        outputs, start = [], 0
        while start < len(crops):
            size = self._batch_size(net, len(crops) - start)
            batch = crops[start : start + size]
            count = len(batch)
            if count < size:
                batch = np.concatenate([batch, np.zeros((size - count, *batch.shape[1:]), batch.dtype)])
            outputs.append([output[:count] for output in self.run(net, batch)])
            start += size
        return [np.concatenate(parts) for parts in zip(*outputs)]

    def _batch_size(self, net: str, left: int) -> int:
        """The largest batch that `left` crops fill or, if that saves enough runs, the smallest that holds them all."""
        runs = left.bit_count()  # without padding
        padded = 1 << (left - 1).bit_length()
        is_better = padded <= MAX_BATCH and padded - left <= (runs - 1) * self.crops_a_run.get(net, 0)
        return padded if is_better else min(MAX_BATCH, 1 << (left.bit_length() - 1))

    def _check_cpu(self, device: str) -> None:
        if device != "cpu":
            raise Unavailable(f"device={device!r}: the engine {self.name} runs on the cpu only")

    def _check_not_mps(self, device: str) -> None:
        if device == "mps":
            raise Unavailable(f"device={device!r}: the engine {self.name} runs on the cpu and on NVIDIA GPUs only")

    def _build_nets(self, bundle: Bundle, build: Callable[[str, Path], Any]) -> dict[str, Any]:
        """Call `build` for each net and return its results by net.

        Args:
            bundle: the bundle with the nets' files.
            build: takes the net's name and the path of its file; raises any error if it cannot use the file.

        Raises:
            Unavailable: if the bundle lacks a file.
            ModelError: if `build` raises; the message names the file.
        """
        names = {net: f"{net}{self.ending}" for net in NETS}
        if missing := [name for name in names.values() if name not in bundle.manifest["files"]]:
            where = " where onnx is installed" if self.ending == ONNX else ""
            raise Unavailable(
                f"{bundle.path}: the bundle has no {', '.join(missing)}, which {self.runtime} needs; "
                f"{self.writer} writes them{where}"
            )
        nets = {}
        for net, name in names.items():
            try:
                nets[net] = build(net, bundle.file(name))
            except Exception as error:  # each runtime raises its own classes of errors
                raise ModelError(f"{bundle.file(name)} cannot be used by {self.runtime}: {last_line(error)}") from error
        return nets
