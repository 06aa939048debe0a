"""The loss of Zhang et al. (2016), section II-D: classes, boxes and landmarks, each from the samples with a target for it."""

import warnings
from itertools import zip_longest
from typing import Any, Mapping, Sequence

from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators.mxnet_operators import register
from mtcnn_gluon.records.samples import Column, Kind
from mtcnn_gluon.symbol.blocks import CascadeNet
from mtcnn_gluon.training.options import TrainingOptions

mx = load_mxnet()
HybridBlock: Any = mx.gluon.HybridBlock

# Heads of the initial net that are not kept leave parameters unused, about which MXNet would warn.
warnings.filterwarnings("ignore", "Parameter before_.* is not used by any computation")

TERMS = ("cls", "box", "landmark")
WEIGHTS = {  # of each term, by net
    "pnet": {"cls": 1.0, "box": 0.5, "landmark": 0.5},
    "rnet": {"cls": 1.0, "box": 0.5, "landmark": 0.5},
    "onet": {"cls": 1.0, "box": 0.5, "landmark": 1.0},
}


class TrainingNet(HybridBlock):
    """A net with its loss, so that both are one graph.

    The forward pass takes images (N, 3, S, S) and labels (N, 18), or (N, 19) with `distil`, both float32, see `sampler.Batch`.
    It returns

        the loss (1,): the weighted sum of the terms
        the loss and the terms (4,):
            cls: cross-entropy over the hardest `keep_ratio` of the positive and negative samples, see `negativemining`
            box: error of the offsets, summed over the four, plus `overlap_weight` times 1 - IoU of the predicted and the
                annotated box, which is L_IoU of Rezatofighi et al. (2019), "Generalized Intersection over Union"
            landmark: error of the landmarks, summed over the ten numbers
            Each is the mean over the samples that have a target for it, and 0 if there is none.
        values per sample (N, 9) or (N, 19): the three terms, 0 where the sample has no target, then the net's outputs: 2
            logits, 4 offsets and, if the net has a landmark head, 10 numbers of landmarks
        targets per sample (N, 4): its kind for the class head, and for each term 1 if the sample counts in it, else 0

    The class target of a face is 1. With `overlap_faces` it is min(1, IoU / overlap_faces) where the box is known; 1.0 gives
    the targets of Li et al. (2020), "Generalized Focal Loss". With `distil` it is mixed with the teacher's probability, as in
    Hinton et al. (2015), "Distilling the Knowledge in a Neural Network".

    Args:
        net: the net to train.
        options: used for the loss and the targets.
        weights: weights of the terms, by name.
        portable: whether the graph must run on a GPU as well.
        before: the initial net; None if no head is kept.
        kept: heads that learn the outputs of `before` instead of labels: cls on all samples, the others on samples of faces.
    """

    def __init__(
        self, net: CascadeNet, options: TrainingOptions, weights: Mapping[str, float], portable: bool = False,
        before: CascadeNet | None = None, kept: Sequence[str] = (),
    ) -> None:  # fmt: skip
        super().__init__(prefix="")
        register()
        self.net, self.before = net, before
        self._options, self._portable, self._kept = options, portable, tuple(kept)
        self._weights = [float(weights[term]) for term in TERMS]

    def hybrid_forward(self, F: Any, images: Any, labels: Any) -> tuple:
        """See the class."""
        logits, *others = (F.reshape(output, (0, -1)) for output in self.net(images))
        places = Column.OFFSETS, Column.LANDMARKS
        targets = [F.slice_axis(labels, axis=1, begin=place.start, end=place.stop) for place in places]
        kinds, known = self._kinds(F, labels), [_column(F, labels, place) for place in (Column.HAS_BOX, Column.HAS_LANDMARKS)]
        if self._options.listed_landmarks:
            known[1] = known[1] * (_column(F, labels, Column.KIND) == int(Kind.LANDMARK))
        masks = [F.negativemining(logits, kinds, self._options.keep_ratio, self._portable), *known]
        costs = [self._class_costs(F, logits, kinds > 0, labels)]  # each (N,)
        error = {"squared": F.square, "absolute": F.abs}[self._options.regression]
        for target, output in zip_longest(targets, others):  # a net without a landmark head has no error
            costs.append(F.sum(error((target if output is None else output) - target), axis=1))
        if self._options.overlap_weight:
            costs[1] = costs[1] + self._options.overlap_weight * (1 - _overlaps(F, others[0], targets[0]))
        if self.before is not None:
            self._keep(F, images, _column(F, labels, Column.KIND), [logits, *others], costs, masks)
        costs = [cost * mask for cost, mask in zip(costs, masks)]
        terms = [F.sum(cost) / F.maximum(F.sum(mask), F.ones_like(F.sum(mask))) for cost, mask in zip(costs, masks)]
        loss = sum(weight * term for weight, term in zip(self._weights, terms))
        values = F.concat(F.stack(*costs, axis=1), logits, *others, dim=1)
        return loss, F.concat(loss, *terms, dim=0), values, F.stack(kinds, *masks, axis=1)

    def _kinds(self, F: Any, labels: Any) -> Any:
        """Kinds (N,) for the class head: landmark and part samples may count as positive."""
        kinds = _column(F, labels, Column.KIND)
        if self._options.landmark_faces:
            kinds = F.where(kinds == int(Kind.LANDMARK), F.ones_like(kinds), kinds)
        if self._options.part_faces is not None:
            is_face = (kinds == int(Kind.PART)) * (_column(F, labels, Column.IOU) >= self._options.part_faces)
            kinds = F.where(is_face, F.ones_like(kinds), kinds)
        return kinds

    def _class_costs(self, F: Any, logits: Any, faces: Any, labels: Any) -> Any:
        """Cross-entropy (N,); `faces` (N,) is 1 for positive samples and 0 for all others."""
        whole, distil, scores = self._options.overlap_faces, self._options.distil, F.log_softmax(logits)
        if whole is None and not distil:
            return -F.pick(scores, faces)
        if whole is not None:
            overlaps = F.minimum(_column(F, labels, Column.IOU) / whole, 1)
            faces = faces * F.where(_column(F, labels, Column.HAS_BOX), overlaps, F.ones_like(faces))
        if distil:
            faces = (1 - distil) * faces + distil * _column(F, labels, Column.TEACHER)
        return -faces * _column(F, scores, 1) - (1 - faces) * _column(F, scores, 0)

    def _keep(self, F: Any, images: Any, kinds: Any, outputs: list, costs: list, masks: list) -> None:
        """Replace costs (N,) and masks (N,) of the kept heads: their cost is the difference from the initial net."""
        before: Any = self.before
        old = [F.BlockGrad(F.reshape(output, (0, -1))) for output in before(images)]
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
