"""The loss of Zhang et al. (2016), section II-D: classes, boxes and landmarks at once, each from the samples that know it."""

from typing import Any, Mapping

from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators.mxnet_operators import register
from mtcnn_gluon.symbol.blocks import CascadeNet

mx = load_mxnet()
HybridBlock: Any = mx.gluon.HybridBlock

TERMS = ("cls", "box", "landmark")
WEIGHTS = {  # of each term, by net
    "pnet": {"cls": 1.0, "box": 0.5, "landmark": 0.5},
    "rnet": {"cls": 1.0, "box": 0.5, "landmark": 0.5},
    "onet": {"cls": 1.0, "box": 0.5, "landmark": 1.0},
}


class TrainingNet(HybridBlock):
    """A net with its loss, so that both are one graph.

    The forward pass takes images (N, 3, S, S), kinds (N,), offsets (N, 4), landmarks (N, 10), has_box (N,) and has_landmarks
    (N,), all float32, as a `sampler.Batch` has them, and returns

        the loss (1,): the weighted sum of the terms
        the terms (3,): cross-entropy of the samples that `negativemining` keeps of those of kind positive and negative; squared
            error of the offsets, summed over the four, of those of kind positive and part; squared error of the landmarks,
            summed over the ten, of all that have some. Each is the mean over its own samples, and 0 if there is none.
        the terms of every sample (N, 3), 0 where a term does not count it
        logits (N, 2), offsets (N, 4) and, if the net has them, landmarks (N, 10): the net's outputs

    Args:
        net: what to train.
        weights: of the terms, by name.
        keep_ratio: share of the samples, the hardest, that the classes are learned from; above 0, at most 1.
        portable: whether it must run on a GPU as well.
    """

    def __init__(self, net: CascadeNet, weights: Mapping[str, float], keep_ratio: float = 0.7, portable: bool = False) -> None:
        super().__init__(prefix="")
        register()
        self._portable = portable
        self.net = net
        self._weights = [float(weights[term]) for term in TERMS]
        self._keep_ratio = keep_ratio

    def hybrid_forward(
        self, F: Any, images: Any, kinds: Any, offsets: Any, landmarks: Any, has_box: Any, has_landmarks: Any
    ) -> tuple:
        """See the class."""
        logits, *others = (F.reshape(output, (0, -1)) for output in self.net(images))
        label = F.broadcast_greater(kinds, F.zeros_like(kinds))  # 1 of positive samples, 0 of all others
        entropy = -F.pick(F.log_softmax(logits), label)  # (N,)
        masks = [F.negativemining(logits, kinds, self._keep_ratio, self._portable), has_box, has_landmarks]
        costs = [entropy, F.sum(F.square(others[0] - offsets), axis=1)]
        predicted = others[1] if len(others) > 1 else landmarks  # a net without them makes no error
        costs.append(F.sum(F.square(predicted - landmarks), axis=1))
        costs = [cost * mask for cost, mask in zip(costs, masks)]
        terms = [F.sum(cost) / F.maximum(F.sum(mask), F.ones_like(F.sum(mask))) for cost, mask in zip(costs, masks)]
        loss = sum(weight * term for weight, term in zip(self._weights, terms))
        return loss, F.concat(*terms, dim=0), F.stack(*costs, axis=1), logits, *others
