"""Shifting a net's scores, in the same order, so that a threshold of one's choice fits."""

import math
from dataclasses import replace
from typing import Mapping

import numpy as np

from mtcnn_gluon.bundles.trained import TrainedNet

TOP_SCORE, ROUNDING = 0.99, 1e-6  # of faces


def calibration(net: str, stage: Mapping[str, float], wanted: float) -> tuple[float, float]:
    """Slope and offset of a net's face logits that make `wanted` the threshold that its stage suggests for detection.

    O-Net's scores are also drawn together until one in a thousand is above `TOP_SCORE`. Scores are often read with three
    digits, as WIDER FACE's program does; faces with scores nearer to 1 could not be told apart.
    """
    goal, found, slope = _logit(wanted), _logit(stage["suggested_for_detection"]), 1.0
    if net == "onet" and wanted < TOP_SCORE:
        top = _logit(min(stage["surest"], 1 - ROUNDING))
        slope = min(1.0, (_logit(TOP_SCORE) - goal) / max(top - found, 1e-3))
    return round(slope, 4), round(goal - slope * found, 4)


def rescored(net: str, trained: TrainedNet, slope: float, offset: float) -> TrainedNet:
    """With other scores of the same order: a score p becomes sigmoid(slope * logit(p) + offset)."""
    weight, bias = f"{net}_cls_weight", f"{net}_cls_bias"
    factor, values = np.float32(slope), trained.parameters
    moved = values[bias] * factor + np.array([0, offset], np.float32)
    return replace(trained, parameters={**values, weight: values[weight] * factor, bias: moved})


def _logit(score: float) -> float:
    return math.log(score / (1 - score))
