"""The compiled kernels where memory ends: they say so, and the process goes on."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any, Callable

import numpy as np
import pytest

from mtcnn_gluon.operators import LevelSource, crop_resize, draw_pieces, make_batch, native, nms
from mtcnn_gluon.operators.source_digest import SOURCES

CHILD = """
import ctypes, json, resource
import numpy as np
from mtcnn_gluon.operators import crop_resize, native
from mtcnn_gluon.operators.int8_net import _Layer as _Int8Layer
from mtcnn_gluon.operators.native_net import _Layer
from mtcnn_gluon.operators.pyramid_pieces import _PIECE

library = native.load_kernels()
crop_resize(np.zeros((9, 9, 3), np.uint8), np.tile([0., 0, 9, 9], (64, 1)), 9)  # starts OpenMP's threads
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) << 10
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20),) * 2)

HUGE, i64, f32 = 1 << 40, ctypes.c_int64, ctypes.c_float
values = np.zeros(4096, np.float32)
p, boxes = ctypes.c_void_p(values.ctypes.data), np.tile([0., 0, 9, 9], (64, 1))
layer = (i64 * 10)(1, 4, 4, 1 << 20, 0, 1, 1 << 20, 0, 0, 1)
net = (_Layer * 1)(_Layer(3, 0, 3, 10, 1, values.ctypes.data, values.ctypes.data))
int8 = (_Int8Layer * 1)(_Int8Layer(3, 0, 3, 10, 1, *[values.ctypes.data] * 6))
piece = np.array([(values.ctypes.data, 1, 9, 9, 9, 9, 0, 0, HUGE, 9, 0, 0)], _PIECE)
row = np.array([(values.ctypes.data, 1, 9, 30_000_000, 9, 1, 0, 0, 9, 1, 0, 0)], _PIECE)  # its weights fit, its pixels do not
library.mtcnn_nms.restype = i64
calls = {
    "nms": (p, i64(HUGE), ctypes.c_double(0.5), 0, f32(0), p),
    "nms beyond all addresses": (p, i64(1 << 61), ctypes.c_double(0.5), 0, f32(0), p),
    "crop_resize": (p, i64(9), i64(9), boxes.ctypes.data, i64(64), i64(HUGE), f32(0), f32(1), i64(0), i64(0), p),
    "make_batch": (p, i64(27), p, p, None, i64(1), i64(1 << 20), f32(0), f32(1), p),
    "draw_pieces": (piece.ctypes.data, i64(1), f32(0), f32(1), i64(9), i64(9), i64(0), i64(0), p),
    "draw_pieces, its rows": (row.ctypes.data, i64(1), f32(0), f32(1), i64(9), i64(9), i64(2), i64(0), p),
    "negative_mining": (p, p, p, i64(HUGE), ctypes.c_double(0.5)),
    "prelu_forward": (p, p, p, i64(1), i64(HUGE), i64(1)),
    "prelu_backward": (p, p, p, p, p, i64(1), i64(HUGE), i64(1)),
    "prelu_backward of planes": (p, p, p, p, p, i64(1), i64(HUGE), i64(64)),
    "max_pool_forward": (p, p, i64(1), i64(1 << 20), i64(1 << 20), i64(2)),
    "max_pool_backward": (p, p, p, i64(1), i64(1 << 20), i64(1 << 20), i64(2)),
    "layer_forward": (layer, p, p, p, p, p),
    "layer_backward": (layer, p, p, p, p, p, p, p, p),
    "net_forward": (net, i64(1), i64(1), i64(1 << 20), i64(1 << 20), i64(0), p, p),
    "int8_forward": (int8, i64(1), i64(1), i64(1 << 12), i64(1 << 28), i64(0), f32(1), f32(0), i64(0), p, p),
}
for name, arguments in calls.items():
    function = getattr(library, "mtcnn_" + name.replace(",", "").split()[0])
    if function.restype is ctypes.c_int:
        function.restype = ctypes.c_bool
    print(json.dumps([name, function(*arguments)]), flush=True)
"""

NAMES = (
    "nms", "nms beyond all addresses", "crop_resize", "make_batch", "draw_pieces", "draw_pieces, its rows", "negative_mining",
    "prelu_forward", "prelu_backward", "prelu_backward of planes", "max_pool_forward", "max_pool_backward", "layer_forward",
    "layer_backward", "net_forward", "int8_forward",
)  # fmt: skip


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """What each function returns where it may take 200 megabytes more and asks for terabytes."""
    if native.kernels() is None or not sys.platform.startswith("linux"):
        pytest.skip("needs the kernels, and Linux to limit memory")
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    ran = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, env=environment)
    rows = dict(json.loads(line) for line in ran.stdout.splitlines())
    assert ran.returncode == 0, f"after {list(rows)}: {ran.returncode} {ran.stderr}"
    return rows


@pytest.mark.parametrize("name", NAMES)
def test_too_little_memory_is_said(answers: dict[str, Any], name: str) -> None:
    assert answers[name] == (-1 if name.startswith("nms") else False)


def test_every_function_that_may_want_memory_is_tried() -> None:
    header = (SOURCES / "kernels.h").read_text("utf-8")
    declared = {
        line.split("(")[0].split("mtcnn_")[1] for line in header.splitlines() if line.startswith(("bool mtcnn_", "int64_t m"))
    }
    assert declared - {"has_bfloat16", "layer_output", "net_output", "pooled", "packed", "int8_packed"} == {
        name.replace(",", "").split()[0] for name in NAMES
    }


CANVAS, IMAGE = np.zeros((3, 9, 9), np.float32), np.zeros((9, 9, 3), np.uint8)


@pytest.mark.parametrize("module, call, message", [
    ("nms", lambda: nms(np.zeros((3, 4), np.float32), np.zeros(3), 0.5), "the suppression of 3 boxes"),
    ("crop_resize", lambda: crop_resize(IMAGE, np.array([[0, 0, 9, 9]]), 12), "1 crops of 12 x 12 pixels"),
    ("make_batch", lambda: make_batch(IMAGE[None], np.array([0]), np.array([False])), "a batch of 1 crops of 9 x 9 pixels"),
    ("pyramid_pieces", lambda: draw_pieces(CANVAS, [LevelSource(IMAGE, 9, 9)], [(0, 0, 9, 9, 0, 0)]), "1 parts of levels"),
], ids=["nms", "crop_resize", "make_batch", "draw_pieces"])  # fmt: skip
def test_python_raises_a_memory_error(monkeypatch: pytest.MonkeyPatch, module: str, call: Callable, message: str) -> None:
    function, failed = {"pyramid_pieces": "draw_pieces"}.get(module, module), -1 if module == "nms" else False
    library = SimpleNamespace(**{f"mtcnn_{function}": lambda *arguments: failed})
    monkeypatch.setattr(sys.modules[f"mtcnn_gluon.operators.{module}"], "kernels", lambda: library)
    with pytest.raises(MemoryError, match=f"{message} needs? more memory than there is"):
        call()
