"""The interface between the cascade and the runtimes."""

from pathlib import Path
from types import MappingProxyType
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.bundles.parameters import ONNX
from mtcnn_gluon.config import NETS
from mtcnn_gluon.errors import ModelError, Unavailable, last_line
from mtcnn_gluon.layers import CANVAS_UNIT

# Runtimes keep buffers or code for every input shape. Few shapes keep the memory bounded.
CANVAS_WIDTH, CANVAS_HEIGHT = 256, 640
CANVAS_SIZES = (  # of P-Net
    (CANVAS_UNIT, CANVAS_UNIT), (128, 128),
    *((height, CANVAS_WIDTH) for height in range(CANVAS_UNIT, CANVAS_HEIGHT + 1, CANVAS_UNIT)),
)  # fmt: skip
MAX_BATCH = 128  # largest batch of R- and O-Net


class Engine:
    """Runs the three nets. The base class of all engines, which implement `run`.

    Inputs are normalised float32 in NCHW; outputs are numpy arrays that belong to the caller. Every engine may be called from
    several threads.

    Attributes:
        name: the engine's name.
        runtime: name of the runtime in messages.
        ending: how the names of the bundle's files that it reads end.
        writer: the command that writes them.
        needs_warming: whether the first input of a shape takes longer than the next.
        kernel_threads: CPU threads of the package's own kernels between the nets; 0: OMP_NUM_THREADS or one a processor. They
            wait busily for a moment after their work, so more than one take processors from a runtime with its own threads.
        crops_a_run: for each net, the number of additional crops that take as long as one additional run; missing: 0.
    """

    name: str
    runtime: str
    ending = ONNX
    writer = "mtcnn-gluon export"
    needs_warming = True
    kernel_threads = 1
    crops_a_run: Mapping[str, int] = MappingProxyType({})

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
