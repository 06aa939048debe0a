"""The operators for MXNet: `mx.nd.prelu`, `mx.sym.prelu` and so on, and `F.prelu` in blocks.

    prelu(data (N, C, ...), alpha (C,)) -> like data
    max_pool(data (N, C, H, W), kernel=2 or 3) -> (N, C, ceil((H - kernel) / 2) + 1, ceil((W - kernel) / 2) + 1)
    negativemining(logits (N, 2), label (N,), keep_ratio=0.7) -> mask (N,); in a symbol for a GPU it needs portable=True
    prelu_pool_conv(data (N, H, W, C), weight (O, C, k, k), bias (O,), alpha=None, pool=0 or 2 or 3, bfloat16=False, stride=1)
        -> (N, H', W', O)

All arrays are float32; any other type is an error. On the CPU the first three operators run on the compiled kernels if these
exist, otherwise on MXNet's own operators. The last operator exists only with the kernels. It applies PReLU, pooling and
convolution to channels-last data. Without `alpha` it only convolves images (N, C, H, W); their gradient is not computed and is
NaN. With `bfloat16` the factors of products are rounded to bfloat16 and sums are float32, which needs a processor with AMX,
under Linux (`native.has_bfloat16`). The stride may be 1 to 4 without `alpha` and `bfloat16`; with either it must be 1.

In a symbol, the shapes of all inputs of these operators must be known before shapes are inferred. This includes parameters:
declare their shapes, as in `mx.sym.var("alpha", shape=(10,))`. Gluon's blocks do so. Without a shape, MXNet 1.9.1 writes beyond
one of its buffers.

MXNet calls the kernels through an adapter that must be compiled for the installed MXNet. This happens at the first use of the
operators and takes seconds; the result is stored in the cache folder.
"""

import hashlib
import itertools
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from mtcnn_gluon.errors import ModelError, Unavailable, last_line
from mtcnn_gluon.io.cache import cache_path
from mtcnn_gluon.mxnet_loader import load_mxnet, loaded_threads
from mtcnn_gluon.operators.native import load_kernels
from mtcnn_gluon.operators.source_digest import SOURCES

NAMES = ("negativemining", "prelu", "max_pool", "prelu_pool_conv")


@lru_cache(maxsize=1)
def register() -> str | None:
    """Add the operators to `mx.nd` and `mx.sym`. Returns None if they are native, otherwise the reason in one sentence.

    Raises:
        ModelError: if MXNet cannot be loaded.
    """
    mx, reason = load_mxnet(), None
    try:
        load_kernels().mtcnn_set_operator_threads(loaded_threads())
        _load_adapter(mx)
    except (Unavailable, mx.base.MXNetError) as error:
        reason = last_line(error)
    _register_portable_mining(mx)
    for F in (mx.nd, mx.sym):
        for name, function in _operators(mx, F, is_native=reason is None).items():
            function.__name__ = name
            setattr(F, name, function)
    return reason


def _load_adapter(mx: Any) -> None:
    path = _adapter(Path(mx.__file__).parent, mx.__version__)
    try:
        mx.library.load(str(path), verbose=False)
    except mx.base.MXNetError:  # damaged, or compiled on another machine: compile it once more
        _remove(path)
        mx.library.load(str(_adapter(Path(mx.__file__).parent, mx.__version__)), verbose=False)


def _remove(adapter: Path) -> None:
    try:
        adapter.unlink()
    except OSError as error:
        raise Unavailable(f"{adapter} can neither be loaded nor replaced: {error.strerror}") from error


def _adapter(mxnet: Path, version: str) -> Path:
    """The path of the adapter for the MXNet in this folder, compiled if necessary."""
    sources = [SOURCES / "mxnet_adapter.cc", mxnet / "src/lib_api.cc"]
    digest = hashlib.sha256(version.encode())
    for path in (*sources, SOURCES / "kernels.h", mxnet / "include/mxnet/lib_api.h"):
        if not path.is_file():
            raise Unavailable(f"this MXNet lacks {path.name}, which is needed to compile the adapter")
        digest.update(path.read_bytes())
    try:
        target = cache_path(f"mxnet-adapter-{digest.hexdigest()[:16]}.so")
    except ModelError as error:
        raise Unavailable(str(error)) from error
    if not target.is_file():
        _compile(sources, mxnet / "include", target)
    return target


def _compile(sources: list[Path], include: Path, target: Path) -> None:
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CXX", "c++"), "c++", "g++", "clang++"))), None)
    if compiler is None:
        raise Unavailable("there is no C++ compiler (on Debian and Ubuntu: apt-get install g++)")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            draft = Path(folder) / target.name
            options = ["-std=c++17", "-O2", "-fPIC", "-shared", f"-I{include}", f"-I{include / 'mxnet'}"]
            subprocess.run([compiler, *options, "-o", draft, *sources], check=True, capture_output=True, text=True)
            draft.replace(target)
    except OSError as error:
        raise Unavailable(f"the adapter to MXNet cannot be written: {error}") from error
    except subprocess.CalledProcessError as error:
        last = [line for line in error.stderr.splitlines() if "error" in line][:1] or ["no message"]
        raise Unavailable(f"{compiler} cannot compile the adapter to MXNet: {last[0]}") from error


def _operators(mx: Any, F: Any, is_native: bool) -> dict[str, Any]:
    """The public operators for `F`, which is `mx.nd` or `mx.sym`.

    MXNet does not say whether a native operator must write its gradients or add them. If the operator's inputs pass through an
    identity operator, it must always write. Only arrays with a gradient need an identity; in a graph it shares their memory.
    """
    copies = itertools.count()

    def safe(data: Any) -> Any:
        if F is mx.nd and (data.grad is None or not mx.autograd.is_recording()):
            return data
        # Different attributes keep MXNet from merging identities; gradients would have to be added after a merged one.
        return F.identity(data) if F is mx.nd else F.identity(data, attr={"__copy__": str(next(copies))})

    def prelu(data: Any, alpha: Any) -> Any:
        if not is_native or _is_on_gpu(data):
            return portable_prelu(F, data, alpha)
        return F.mtcnn_prelu(safe(data), safe(alpha))

    def max_pool(data: Any, kernel: int = 2) -> Any:
        if not is_native or _is_on_gpu(data):
            return F.Pooling(data, kernel=(kernel, kernel), stride=(2, 2), pool_type="max", pooling_convention="full")
        return F.mtcnn_max_pool(safe(data), kernel=kernel)

    def negativemining(logits: Any, label: Any, keep_ratio: float = 0.7, portable: bool = False) -> Any:
        if portable or not is_native or _is_on_gpu(logits):
            return F.Custom(logits, label, keep_ratio=keep_ratio, op_type="negativemining")
        return F.mtcnn_negativemining(F.BlockGrad(logits), F.BlockGrad(label), keep_ratio=keep_ratio)

    def prelu_pool_conv(
        data: Any, weight: Any, bias: Any, alpha: Any = None, pool: int = 0, bfloat16: bool = False, stride: int = 1
    ) -> Any:
        if alpha is None:
            if pool:
                raise ValueError("prelu_pool_conv: pool must be 0 without alpha")
            inputs = (safe(each) for each in (data, weight, bias))
            return F.mtcnn_prelu_pool_conv(*inputs, first=1, bfloat16=int(bfloat16), stride=stride)
        if stride != 1:
            raise ValueError("prelu_pool_conv: stride must be 1 with alpha")
        inputs = (safe(each) for each in (data, alpha, weight, bias))
        return F.mtcnn_prelu_pool_conv(*inputs, pool=pool, bfloat16=int(bfloat16))

    operators = {"prelu": prelu, "max_pool": max_pool, "negativemining": negativemining}
    return {**operators, "prelu_pool_conv": prelu_pool_conv} if is_native else operators


def portable_prelu(F: Any, data: Any, alpha: Any) -> Any:
    """PReLU of data (N, C, ...) with alpha (C,) from other MXNet operators, since MXNet's own PReLU has wrong gradients."""
    flat = F.reshape(data, (0, 0, -1))  # (N, C, rest)
    negative = F.broadcast_mul(F.reshape(alpha, (1, -1, 1)), F.relu(-flat))
    return F.reshape_like(F.relu(flat) - negative, data)


def _is_on_gpu(data: Any) -> bool:
    return getattr(data, "context", None) is not None and data.context.device_type == "gpu"


def _register_portable_mining(mx: Any) -> None:
    """Register the Python operator `negativemining`. It uses only MXNet operations, so on a GPU all data stay on the device."""

    class NegativeMining(mx.operator.CustomOp):
        def __init__(self, keep_ratio: float) -> None:
            super().__init__()
            self.keep_ratio = keep_ratio

        def forward(self, is_train: bool, req: list, in_data: list, out_data: list, aux: list) -> None:
            self.assign(out_data[0], req[0], _mined(mx.nd, in_data[0], in_data[1], self.keep_ratio))

        def backward(self, req: list, out_grad: list, in_data: list, out_data: list, in_grad: list, aux: list) -> None:
            for gradient, each in zip(in_grad, req):
                self.assign(gradient, each, mx.nd.zeros_like(gradient))

    @mx.operator.register("negativemining")
    class NegativeMiningProp(mx.operator.CustomOpProp):
        def __init__(self, keep_ratio: str = "0.7") -> None:
            super().__init__(need_top_grad=False)
            self.keep_ratio = keep_ratio

        def list_arguments(self) -> list[str]:
            return ["logits", "label"]

        def list_outputs(self) -> list[str]:
            return ["mask"]

        def infer_shape(self, in_shape: list) -> tuple:
            try:
                is_right = 0 < float(self.keep_ratio) <= 1
            except ValueError:
                is_right = False
            if not is_right:  # not in __init__, whose exceptions crash MXNet 1.9.1
                raise ValueError(f"negativemining: keep_ratio must be above 0 and at most 1, not {self.keep_ratio}")
            count = in_shape[0][0]
            return [[count, 2], [count]], [[count]], []

        def create_operator(self, ctx: Any, shapes: Any, dtypes: Any) -> Any:
            return NegativeMining(float(self.keep_ratio))


def _mined(nd: Any, logits: Any, label: Any, keep_ratio: float) -> Any:
    """The mask (N,) from the ranks of all samples, hardest first: N x N comparisons, but no sort and no copy to the host."""
    is_face, is_background = label == 1, label == 0
    valid = is_face + is_background  # (N,)
    margin = (logits[:, 0] - logits[:, 1]) * (is_face - is_background)  # the cross-entropy is log(1 + exp(margin))
    is_nan = margin != margin
    margin = nd.where(is_nan, nd.zeros_like(margin), margin)
    index = nd.arange(margin.shape[0], ctx=margin.context)

    def above(values: Any) -> tuple[Any, Any]:  # [i, j]: whether value j is above value i, and whether they are equal
        rows, columns = values.reshape((-1, 1)), values.reshape((1, -1))
        return nd.broadcast_greater(columns, rows), nd.broadcast_equal(columns, rows)

    nan_above, nan_equal = above(is_nan)
    margin_above, margin_equal = above(margin)
    is_earlier = nd.broadcast_lesser(index.reshape((1, -1)), index.reshape((-1, 1)))
    is_harder = nan_above + nan_equal * (margin_above + margin_equal * is_earlier)  # (N, N)
    rank = nd.dot(is_harder, valid.reshape((-1, 1))).reshape((-1,))  # number of harder valid samples
    count = valid.astype("float64").sum()
    kept = nd.floor(count * keep_ratio + 1e-6)
    kept = nd.where(kept < 1, nd.ones_like(kept), kept)
    return nd.broadcast_lesser(rank.astype("float64"), kept).astype("float32") * valid
