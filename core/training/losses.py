"""The loss of Zhang et al. (2016), section II-D: classes, boxes and landmarks at once, each from the samples that know it."""

import warnings
from itertools import zip_longest
from typing import Any, Mapping, Sequence, get_args

from mtcnn_gluon.errors import ConfigError, shown
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators.mxnet_operators import register
from mtcnn_gluon.records.samples import LABEL_LENGTH, Kind
from mtcnn_gluon.symbol.blocks import CascadeNet
from mtcnn_gluon.training.options import Regression

mx = load_mxnet()
HybridBlock: Any = mx.gluon.HybridBlock

# Heads of the net before that are not kept: MXNet takes them for a mistake.
warnings.filterwarnings("ignore", "Parameter before_.* is not used by any computation")

TERMS = ("cls", "box", "landmark")
WEIGHTS = {  # of each term, by net
    "pnet": {"cls": 1.0, "box": 0.5, "landmark": 0.5},
    "rnet": {"cls": 1.0, "box": 0.5, "landmark": 0.5},
    "onet": {"cls": 1.0, "box": 0.5, "landmark": 1.0},
}


class TrainingNet(HybridBlock):
    """A net with its loss, so that both are one graph.

    The forward pass takes images (N, 3, S, S) and labels (N, 18), or (N, 19) of a sampler that was taught, both float32, as a
    `sampler.Batch` has them, and returns

        the loss (1,): the weighted sum of the terms
        the loss and the terms (4,): cross-entropy of the samples that `negativemining` keeps of those of kind positive and
            negative; error of the offsets, summed over the four, and what their box lacks of a full overlap, of those of kind
            positive and part; error of the landmarks, summed over the ten, of all that have some. Each is the mean over its
            own samples, and 0 if there is none.
        of every sample (N, 9) or (N, 19): its terms, 0 where a term does not count it, and the net's outputs, which are 2
            logits, 4 offsets and, if the net has them, 10 numbers of landmarks

    Args:
        net: what to train.
        weights: of the terms, by name.
        keep_ratio: share of the samples, the hardest, that the classes are learned from; above 0, at most 1.
        landmark_faces: whether samples of kind landmark count as positive ones for the classes.
        part_faces: overlap, 0..1, from which samples of kind part count as positive ones for the classes; None: none of them.
        overlap_faces: overlap, above 0 and at most 1, from which a positive sample is wholly a face: the class to learn of one
            with a smaller overlap is its share of that, so that of the boxes on a face the best gets the highest score; 1 gives
            the targets of Li et al. (2020), "Generalized Focal Loss". Those whose box is not known are whole faces. None: all.
        regression: squared or absolute, the error of offsets and landmarks.
        overlap_weight: of 1 - IoU of the box that the offsets describe with the annotated one, beside the error of the offsets;
            the loss L_IoU of Rezatofighi et al. (2019), "Generalized Intersection over Union". 0: it is not counted.
        listed_landmarks: whether landmarks are learned from samples of kind landmark only.
        distil: share, 0..1, that a teacher's probability of a face has in the class that a sample is taken to be of, the
            targets of Hinton et al. (2015), "Distilling the Knowledge in a Neural Network"; 0: labels have no such probability.
        portable: whether it must run on a GPU as well.
        before: the net as it was when training began; None if no head is kept.
        kept: heads, of both nets, that learn to say what `before` says, and not from labels: of all samples for the classes, of
            those of faces for others.
    """

    def __init__(
        self, net: CascadeNet, weights: Mapping[str, float], keep_ratio: float = 0.7, portable: bool = False,
        landmark_faces: bool = False, part_faces: float | None = None, overlap_faces: float | None = None,
        regression: Regression = "squared", overlap_weight: float = 0.0, listed_landmarks: bool = False, distil: float = 0.0,
        before: CascadeNet | None = None, kept: Sequence[str] = (),
    ) -> None:  # fmt: skip
        check_regression(regression)
        super().__init__(prefix="")
        register()
        self._portable = portable
        self.net = net
        self._weights = [float(weights[term]) for term in TERMS]
        self._keep_ratio = keep_ratio
        self._landmark_faces = landmark_faces
        self._part_faces = part_faces
        self._overlap_faces = overlap_faces
        self._regression = regression
        self._overlap_weight = overlap_weight
        self._listed_landmarks = listed_landmarks
        self._distil = distil
        self.before = before
        self._kept = tuple(kept)

    def hybrid_forward(self, F: Any, images: Any, labels: Any) -> tuple:
        """See the class."""
        kinds = _column(F, labels, 0)
        targets = [F.slice_axis(labels, axis=1, begin=1, end=5), F.slice_axis(labels, axis=1, begin=5, end=15)]
        known = [_column(F, labels, place) for place in (16, 17)]
        if self._listed_landmarks:
            known[1] = known[1] * (kinds == int(Kind.LANDMARK))
        if self._landmark_faces:
            kinds = F.where(kinds == int(Kind.LANDMARK), F.ones_like(kinds), kinds)
        if self._part_faces is not None:
            is_face = (kinds == int(Kind.PART)) * (_column(F, labels, 15) >= self._part_faces)
            kinds = F.where(is_face, F.ones_like(kinds), kinds)
        logits, *others = (F.reshape(output, (0, -1)) for output in self.net(images))
        faces = kinds > 0  # 1 of positive samples, 0 of all others
        masks = [F.negativemining(logits, kinds, self._keep_ratio, self._portable), *known]
        scores = F.log_softmax(logits)
        if self._overlap_faces is not None:
            shares = F.minimum(_column(F, labels, 15) / self._overlap_faces, 1)
            faces = faces * F.where(known[0], shares, F.ones_like(faces))
        if self._distil:
            faces = (1 - self._distil) * faces + self._distil * _column(F, labels, LABEL_LENGTH)
        if self._distil or self._overlap_faces is not None:
            costs = [-faces * _column(F, scores, 1) - (1 - faces) * _column(F, scores, 0)]  # (N,)
        else:
            costs = [-F.pick(scores, faces)]
        error = {"squared": F.square, "absolute": F.abs}[self._regression]
        for target, output in zip_longest(targets, others):  # a net without landmarks makes no error
            costs.append(F.sum(error((target if output is None else output) - target), axis=1))
        if self._overlap_weight:
            costs[1] = costs[1] + self._overlap_weight * (1 - _overlaps(F, others[0], targets[0]))
        self._keep(F, images, _column(F, labels, 0), [logits, *others], costs, masks)
        costs = [cost * mask for cost, mask in zip(costs, masks)]
        terms = [F.sum(cost) / F.maximum(F.sum(mask), F.ones_like(F.sum(mask))) for cost, mask in zip(costs, masks)]
        loss = sum(weight * term for weight, term in zip(self._weights, terms))
        return loss, F.concat(loss, *terms, dim=0), F.concat(F.stack(*costs, axis=1), logits, *others, dim=1)

    def _keep(self, F: Any, images: Any, kinds: Any, outputs: list, costs: list, masks: list) -> None:
        """Put in place of a kept head's costs (N,), and which of them count, its difference from the net before."""
        if self.before is None:
            return
        old = [F.BlockGrad(F.reshape(output, (0, -1))) for output in self.before(images)]
        for head in self._kept:
            place = TERMS.index(head)
            if head == "cls":  # cross-entropy
                costs[place] = -F.sum(F.softmax(old[place]) * F.log_softmax(outputs[place]), axis=1)
                masks[place] = F.ones_like(kinds)
            else:
                costs[place] = F.sum(F.abs(outputs[place] - old[place]), axis=1)
                masks[place] = kinds != int(Kind.NEGATIVE)


def _column(F: Any, values: Any, place: int) -> Any:
    """Column `place` of values (N, M), as (N,)."""
    return F.reshape(F.slice_axis(values, axis=1, begin=place, end=place + 1), (-1,))


def _overlaps(F: Any, a: Any, b: Any) -> Any:
    """Intersection over union (N,) of the boxes that offsets (N, 4) and (N, 4) describe on the same crops; see `boxes.iou`."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = ([_column(F, box, place) for place in range(4)] for box in (a, b))
    shared = F.relu(1 + F.minimum(ax2, bx2) - F.maximum(ax1, bx1)) * F.relu(1 + F.minimum(ay2, by2) - F.maximum(ay1, by1))
    area_a = F.relu(1 + ax2 - ax1) * F.relu(1 + ay2 - ay1)
    area_b = F.relu(1 + bx2 - bx1) * F.relu(1 + by2 - by1)
    return shared / F.maximum(area_a + area_b - shared, 1e-6 * F.ones_like(shared))


def check_regression(regression: str) -> None:
    """Raises ConfigError if there is no such error of regression."""
    if regression not in get_args(Regression):
        raise ConfigError(f"regression must be one of {', '.join(get_args(Regression))}, not {shown(regression)}")
