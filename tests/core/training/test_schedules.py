"""Learning rates: their course and their ends, and that PyTorch 2 is no obstacle to GluonCV."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.schedules import DROPS, schedule


def rates(kind: Any, rate: float, steps: int, warm_up: int = 0) -> Callable[[int], float]:
    return schedule(TrainingOptions("pnet", schedule=kind, rate=rate, warm_up=warm_up), steps)


@pytest.mark.parametrize("step, rate", [(0, 2), (25, 1.7071068), (50, 1), (75, 0.2928932), (100, 0), (1000, 0)])
def test_cosine(step: int, rate: float) -> None:
    assert rates("cosine", 2, 100)(step) == pytest.approx(rate)


@pytest.mark.parametrize(
    "step, rate", [(0, 2), (49, 2), (50, 0.2), (74, 0.2), (75, 0.02), (89, 0.02), (90, 0.002), (100, 0.002), (1000, 0.002)]
)
def test_step(step: int, rate: float) -> None:
    assert rates("step", 2, 100)(step) == pytest.approx(rate)


@pytest.mark.parametrize("steps, warm_up", [(1, 0), (1, 100), (7, 3), (13, 13), (30, 0), (1000, 200), (1000, 1200)])
def test_formulas(steps: int, warm_up: int) -> None:
    """To the last bit, so that GluonCV may not change what a run ends with."""
    cosine, drops = rates("cosine", 0.7, steps, warm_up), rates("step", 0.7, steps, warm_up)
    for step in range(steps + 2):
        done, rise = min(1.0, step / steps), min(1.0, (step + 1) / (warm_up + 1))
        assert cosine(step) == 0.7 * (0.5 * (1 + math.cos(math.pi * done))) * rise
        assert drops(step) == 0.7 * 0.1 ** sum(done >= drop for drop in DROPS) * rise


def test_warm_up_rises_to_the_rate_and_joins_the_schedule() -> None:
    assert list(map(rates("step", 1, 1000, warm_up=4), range(6))) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    for kind in ("step", "cosine"):
        with_it, without = rates(kind, 1, 100, warm_up=10), rates(kind, 1, 100)
        assert [with_it(step) for step in range(10, 100)] == [without(step) for step in range(10, 100)]
        assert all(0 < with_it(step) < without(step) for step in range(10))


@pytest.mark.parametrize("kind", ["step", "cosine"])
@pytest.mark.parametrize("steps, warm_up", [(1, 0), (1, 100), (7, 3), (1000, 0)])
def test_all_rates_of_a_run_are_above_0_and_at_most_the_highest(kind: Any, steps: int, warm_up: int) -> None:
    found = np.array([rates(kind, 0.1, steps, warm_up)(step) for step in range(steps)])
    assert (found > 0).all() and (found <= 0.1).all()


WITH_TORCH = """
import sys
{before}
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.schedules import schedule
print(schedule(TrainingOptions("pnet", rate=1, warm_up=0), 10)(0), "torch" in sys.modules)
"""


@pytest.mark.parametrize("before", ["", "import torch"])
def test_pytorch_2_may_be_installed(tmp_path: Path, before: str) -> None:
    """GluonCV refuses it, but is imported without it."""
    (tmp_path / "torch.py").write_text("__version__ = '2.3.0'\n\n\nclass Tensor: ...\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", WITH_TORCH.format(before=before)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert process.stdout == f"1.0 {bool(before)}\n", process.stderr


def test_truncated_photos_stay_errors() -> None:
    """GluonCV tells Pillow to accept them."""
    script = (
        "from PIL import ImageFile; from mtcnn_gluon.training.options import TrainingOptions as Options; import sys; "
        "from mtcnn_gluon.training.schedules import schedule; schedule(Options('pnet'), 10); "
        "print('gluoncv.data.mhp' in sys.modules, ImageFile.LOAD_TRUNCATED_IMAGES)"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert process.stdout == "True False\n", process.stderr


def test_without_gluoncv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gluoncv.utils", None)
    monkeypatch.setitem(sys.modules, "gluoncv", None)
    with pytest.raises(ValueError, match="training needs gluoncv .*pip install mxnet==1.9.1"):
        rates("step", 1, 1)
