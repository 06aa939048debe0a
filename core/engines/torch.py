"""Runs the whole cascade with PyTorch, on an NVIDIA or AMD GPU, on Apple's, or on the CPU."""

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Literal, Mapping, Sequence

import numpy as np

from mtcnn_gluon.bundles.format import Bundle
from mtcnn_gluon.bundles.parameters import parameters_ending, read_parameters
from mtcnn_gluon.engines.base import Engine, Level, Photos
from mtcnn_gluon.errors import Unavailable, last_line
from mtcnn_gluon.io.extras import need
from mtcnn_gluon.layers import View, check_parameters, is_dense

if TYPE_CHECKING:
    import torch

    from mtcnn_gluon.engines.torch_sheets import Sheet

GPU_BATCH_PIXELS, GPU_FRAMES = 32_000_000, 16  # of photos and of a video
SHEETS = 64  # largest number of plans in memory
GRAPHS_SWITCH = "MTCNN_GLUON_CUDA_GRAPHS"  # 1: P-Net and the drawing for it become CUDA graphs


# A forked process lacks the threads of its parent's PyTorch, and would wait for them forever. One thread waits for none.
_forks: list[bool] = []
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=lambda: _forks.append(True))


class TorchEngine(Engine):
    """The engine on PyTorch. It holds the photos on the device and draws pyramids and crops there.

    On the CPU it does the same, which is slower than other engines.

    Args:
        bundle: a model bundle with `{p,r,o}net-0000.params` or `{p,r,o}net.onnx`.
        device: `cpu`; `gpu`, `gpu:N`, `cuda` or `cuda:N` for an NVIDIA GPU, or for an AMD one with ROCm's build of PyTorch;
            `mps` for Apple's.
        threads: largest number of CPU threads; None: the runtime's choice.

    Attributes:
        device: the device of the tensors.
        float64_device: the same, or the CPU where the device has no float64.
        sheet_pixels: P-Net runs on about this many pixels at once.
        graphs: runs what is always the same for photos of one size.
        crop_corners: crops are drawn from at most this many values of integral images at once.

    Raises:
        Unavailable: if PyTorch is not installed, the bundle has no parameters, or the device cannot be used.
        ModelError: if a file cannot be used.
    """

    name = "torch"
    runtime = "PyTorch"
    needs_warming = False
    precision = "float32"

    def __init__(self, bundle: Bundle, device: str = "cpu", threads: int | None = None) -> None:
        self._torch = need("torch", f"the engine {self.name}", "torch", Unavailable)
        from mtcnn_gluon.engines.torch_graphs import Graphs
        from mtcnn_gluon.engines.torch_nets import TorchNet

        self.device = self._usable(device)
        self.float64_device = self._torch.device("cpu") if self.device.type == "mps" else self.device
        self._threads, self._process = threads, os.getpid()
        self.kernel_threads = threads or 0
        is_gpu = self.device.type != "cpu"
        if is_gpu:
            self.batch_pixels, self.frames_at_once = GPU_BATCH_PIXELS, GPU_FRAMES
        self.sheet_pixels, self.crop_corners = (1 << 23, 1 << 24) if is_gpu else (1 << 19, 1 << 20)
        self._sheets: dict[Any, Any] = {}
        self.graphs = Graphs(self.device.type == "cuda" and os.environ.get(GRAPHS_SWITCH) == "1")
        self.ending = parameters_ending(bundle)
        tables = bundle.manifest["architecture"]
        self._dense = {net: is_dense(table) for net, table in tables.items()}

        def build(net: str, path: Path) -> TorchNet:
            parameters = check_parameters(net, tables[net], read_parameters(path))
            return TorchNet(net, tables[net], parameters, self.device, getattr(self._torch, self.precision))

        with self.at_work():
            self._nets: dict[str, Any] = self._build_nets(bundle, build)

    def run(self, net: str, images: np.ndarray) -> Sequence[np.ndarray]:
        """See `Engine.run`."""
        with self.at_work():
            inputs = self._torch.from_numpy(np.ascontiguousarray(images)).to(self.device)
            values = self._nets[net](inputs.contiguous(memory_format=self._torch.channels_last)).cpu().numpy()
        landmarks = [np.ascontiguousarray(values[:, 5:])] if values.shape[1] > 5 else []
        return [np.stack([1 - values[:, 0], values[:, 0]], axis=1), np.ascontiguousarray(values[:, 1:5]), *landmarks]

    def take_in(
        self, images: Sequence[np.ndarray], mean: float, scale: float, is_bgr: bool, views: Mapping[str, View]
    ) -> Photos | None:
        """See `Engine.take_in`."""
        from mtcnn_gluon.engines.torch_photos import TorchPhotos

        return TorchPhotos(self, images, mean, scale, is_bgr, views) if images else None

    # ---- for `torch_photos`

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Around all work on tensors: without gradients, in whole float32, with the engine's number of CPU threads.

        Raises:
            MemoryError: if the device's memory is full.
            Unavailable: in a process that was forked from one that uses a GPU.
        """
        from mtcnn_gluon.engines.torch_nets import whole_float32

        is_forked, before = self._process != os.getpid(), self._torch.get_num_threads()
        if is_forked and self.device.type != "cpu":
            raise Unavailable(f"device={str(self.device)!r} cannot be used after a fork: start processes with spawn")
        threads = 1 if _forks else self._threads or before
        if threads != before:
            self._torch.set_num_threads(threads)
        try:
            with self._torch.inference_mode(), whole_float32():
                yield
        except self._torch.cuda.OutOfMemoryError as error:
            raise MemoryError(f"the memory of {self.device} is full ({last_line(error)}): use a smaller batch_size") from error
        finally:
            if threads != before:
                self._torch.set_num_threads(before)

    def upload(self, images: Sequence[np.ndarray]) -> "torch.Tensor":
        """Photos of one size, (H, W, 3) uint8, on the device: (N, H, W, 3)."""
        is_cuda = self.device.type == "cuda"  # pinned memory goes there twice as fast
        batch = self._torch.empty((len(images), *images[0].shape), dtype=self._torch.uint8, pin_memory=is_cuda)
        for row, image in zip(batch.numpy(), images):
            row[:] = image
        return batch.to(self.device, non_blocking=is_cuda)

    def sheet(self, shape: tuple[int, int], levels: tuple[Level, ...], view: View) -> "Sheet":
        """The sheet for photos of a size; the last `SHEETS` plans are kept."""
        from mtcnn_gluon.engines.torch_sheets import Sheet

        key = shape, levels, view
        found = self._sheets.pop(key, None) or Sheet(shape, levels, view, self.device)
        self._sheets[key] = found  # the last one used is the last to go
        while len(self._sheets) > SHEETS:
            self._sheets.pop(next(iter(self._sheets)), None)
        return found

    def scan_sheets(self, sheets: "torch.Tensor", rows: int, columns: int, view: View) -> "torch.Tensor":
        """P-Net's output (N, 5, rows, columns) for sheets (N, 3, H, W). One that is too large for the memory runs in strips."""
        net, size = self._nets["pnet"], sheets.shape[0] * sheets.shape[2] * sheets.shape[3]
        if size <= 2 * self.sheet_pixels:
            return net(sheets)[:, :, :rows, :columns]
        step = max(1, rows * self.sheet_pixels // size)
        strips = []
        for row in range(0, rows, step):
            count = min(step, rows - row)
            strip = sheets[:, :, row * view.stride : (row + count - 1) * view.stride + view.size]
            strips.append(net(strip)[:, :, :count, :columns])
        return self._torch.cat(strips, 2)

    def run_crops(self, net: Literal["rnet", "onet"], crops: "torch.Tensor") -> "torch.Tensor":
        """Outputs (N, 5 or 15) of R- or O-Net for crops (N, 3, S, S).

        Runtimes plan anew for each number of crops, so numbers are rounded up to one of four between two powers of two.
        """
        count = len(crops)
        unit = max(16, 1 << max(0, (count - 1).bit_length() - 3))
        crops = self._torch.nn.functional.pad(crops, (0, 0, 0, 0, 0, 0, 0, -count % unit))
        return self._nets[net](crops.contiguous(memory_format=self._torch.channels_last))[:count]

    def _usable(self, device: str) -> Any:
        """PyTorch's device, on which one sum has been computed."""
        kind, _, number = re.sub("^gpu", "cuda", device).partition(":")
        if kind == "cuda":
            self._check_cuda(device, int(number or 0))
        if kind == "mps" and not self._torch.backends.mps.is_available():
            raise Unavailable(f"device={device!r}: PyTorch cannot use an Apple GPU here")
        found = self._torch.device(kind, int(number or 0)) if kind == "cuda" else self._torch.device(kind)
        try:
            self._torch.ones(2, device=found).sum().item()
        except Exception as error:  # a driver may fail in many ways
            raise Unavailable(f"device={device!r} cannot run PyTorch's kernels: {last_line(error)}") from error
        return found

    def _check_cuda(self, device: str, index: int) -> None:
        cuda = self._torch.cuda
        if not cuda.is_available():
            is_built = self._torch.version.cuda or getattr(self._torch.version, "hip", None)
            reason = (
                "finds no GPU that its driver can use"
                if is_built
                else "is built for the CPU only, install one for CUDA or ROCm"
            )
            raise Unavailable(f"device={device!r}: PyTorch {self._torch.__version__} {reason}")
        if index >= cuda.device_count():
            raise Unavailable(f"device={device!r} does not exist: PyTorch sees {cuda.device_count()} GPU(s)")


class TorchHalfEngine(TorchEngine):
    """`TorchEngine` with the nets in float16: faster on GPUs, and less exact (10 bits of fraction).

    Photos are sampled in float32. Arguments and errors are those of `TorchEngine`.
    """

    name = "torch-fp16"
    precision = "float16"
