"""What becomes of each head of a net in a training run: it learns from samples, is kept as it was, or stays as it began."""

import logging
from dataclasses import asdict, dataclass
from typing import Any, Mapping

from mtcnn_gluon.bundles.trained import TrainedNet
from mtcnn_gluon.config import HEADS, NETS
from mtcnn_gluon.training.losses import TERMS, WEIGHTS
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.sampler import Sampler

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeadPlan:
    """The heads of a net, some of `config.HEADS` in its order.

    Attributes:
        present: those that the net has.
        learned: those that learn from samples.
        kept: those that were trained before and have no samples now. The layers below them change, so they learn to say what
            the net said of the same samples when the run began.
    """

    present: tuple[str, ...]
    learned: tuple[str, ...]
    kept: tuple[str, ...]

    @property
    def trained(self) -> tuple[str, ...]:
        """Those that may be used afterwards."""
        return tuple(head for head in self.present if head in (*self.learned, *self.kept))

    def to_json(self) -> dict[str, list[str]]:
        """For a checkpoint."""
        return {**{name: list(heads) for name, heads in asdict(self).items()}, "trained": list(self.trained)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "HeadPlan":
        """From a checkpoint."""
        return cls(*(tuple(value[name]) for name in ("present", "learned", "kept")))


def may_have_landmarks(options: TrainingOptions) -> bool:
    """Whether the net may get a landmark head: as the options say, else as `config.NETS` does."""
    return NETS[options.net].landmarks if options.landmarks is None else options.landmarks


def task_weights(options: TrainingOptions) -> dict[str, float]:
    """The weight of each term in the loss; 0 of those whose task is not trained."""
    told = {"box": options.box_weight, "landmark": options.landmark_weight}
    weights = WEIGHTS[options.net] | {term: weight for term, weight in told.items() if weight is not None}
    return {term: weights[term] * (term in options.tasks) for term in TERMS}


def loss_weights(options: TrainingOptions, plan: HeadPlan) -> dict[str, float]:
    """The weight of each term in the loss, of heads that are kept too."""
    kept = {head: task_weights(options)[head] or WEIGHTS[options.net][head] for head in plan.kept}
    return {**task_weights(options), **kept}


def plan_heads(options: TrainingOptions, sampler: Sampler, initial: TrainedNet | None) -> HeadPlan:
    """What becomes of each head. A landmark head that nothing trains and nothing has trained is left out of the net.

    Args:
        options: of the run.
        sampler: of its training samples.
        initial: what it begins with; None: random numbers.
    """
    weights = task_weights(options)
    learned = [head for head in HEADS if weights[head] > 0 and sampler.teaches(head, options.listed_landmarks)]
    before = () if initial is None else initial.heads
    present = [head for head in HEADS if head != "landmark" or may_have_landmarks(options)]
    if "landmark" in present and "landmark" not in (*learned, *before):
        logger.warning("%s: nothing in this run teaches landmarks, so it is trained without them", options.net)
        present.remove("landmark")
    learned = [head for head in present if head in learned]
    kept = [head for head in present if head in before and head not in learned]
    if kept:
        logger.warning(
            "%s: nothing in this run teaches %s, so what the initial net says of them is kept", options.net, ", ".join(kept)
        )
    return HeadPlan(tuple(present), tuple(learned), tuple(kept))
