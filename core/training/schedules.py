"""The learning rate of every step, with GluonCV's schedulers."""

import sys
from typing import Any, Callable

from PIL import ImageFile

from mtcnn_gluon.io.extras import need
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.training.options import TrainingOptions

DROPS = (0.5, 0.75, 0.9)  # shares of the run at which the schedule `step` divides the rate by ten


def schedule(options: TrainingOptions, steps: int) -> Callable[[int], float]:
    """The learning rate as a function of the step, from 0.

    `step` divides the rate by ten at each of `DROPS`, `cosine` reduces it to zero along half a cosine. In the first `warm_up`
    steps the rate is also multiplied by (step + 1) / (warm_up + 1).

    Args:
        options: `schedule`, `rate` and `warm_up` are used.
        steps: number of steps of the whole run, 1 or more.

    Raises:
        ConfigError: if GluonCV is not installed.
    """
    # GluonCV's schedule ends at `niters` - 1. Here 1 is the whole run, so that `DROPS` are not rounded to steps.
    falling = _gluoncv_utils().LRScheduler(options.schedule, options.rate, niters=2, step_iter=DROPS)
    return lambda step: falling(step / steps) * min(1.0, (step + 1) / (options.warm_up + 1))


def _gluoncv_utils() -> Any:
    """GluonCV's `utils`, imported without its side effects.

    It needs no PyTorch, and raises an error where PyTorch 2 is installed. It also makes Pillow accept truncated photos in the
    whole process.
    """
    load_mxnet()
    torch, accepts_truncated = sys.modules.get("torch"), ImageFile.LOAD_TRUNCATED_IMAGES
    sys.modules["torch"] = None  # type: ignore[assignment]  # importing it is an ImportError now, which GluonCV expects
    try:
        return need("gluoncv.utils", "training", "cpu")
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = accepts_truncated
        del sys.modules["torch"]
        if torch is not None:
            sys.modules["torch"] = torch
