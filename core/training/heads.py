"""The heads of a net in a training run: each learns from samples, is kept as it was, or stays untrained."""

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
    """What each head of a net does in a run. All names are keys of `config.HEADS`, in its order.

    Attributes:
        present: heads that the net has.
        learned: heads that learn from samples.
        kept: heads that were trained before and have no samples now. The layers below them change, so they learn to keep the
            outputs of the initial net.
    """

    present: tuple[str, ...]
    learned: tuple[str, ...]
    kept: tuple[str, ...]

    @property
    def trained(self) -> tuple[str, ...]:
        """Heads that are usable after the run."""
        return tuple(head for head in self.present if head in (*self.learned, *self.kept))

    def to_json(self) -> dict[str, list[str]]:
        """For a checkpoint."""
        return {**{name: list(heads) for name, heads in asdict(self).items()}, "trained": list(self.trained)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "HeadPlan":
        """From a checkpoint."""
        return cls(*(tuple(value[name]) for name in ("present", "learned", "kept")))


def may_have_landmarks(options: TrainingOptions) -> bool:
    """Whether the net may have a landmark head: as in the options, else as in `config.NETS`."""
    return NETS[options.net].landmarks if options.landmarks is None else options.landmarks


def task_weights(options: TrainingOptions) -> dict[str, float]:
    """The weight of each term of the loss; 0 if its task is not trained."""
    given = {"box": options.box_weight, "landmark": options.landmark_weight}
    weights = WEIGHTS[options.net] | {term: weight for term, weight in given.items() if weight is not None}
    return {term: weights[term] * (term in options.tasks) for term in TERMS}


def loss_weights(options: TrainingOptions, plan: HeadPlan) -> dict[str, float]:
    """The weight of each term of the loss, including kept heads."""
    kept = {head: task_weights(options)[head] or WEIGHTS[options.net][head] for head in plan.kept}
    return {**task_weights(options), **kept}


def plan_heads(options: TrainingOptions, sampler: Sampler, initial: TrainedNet | None) -> HeadPlan:
    """The heads of a run that begins with the net `initial`; None: with random parameters.

    A landmark head that was neither trained before nor is trained now is left out of the net.
    """
    weights = task_weights(options)
    learned = [head for head in HEADS if weights[head] > 0 and sampler.has_targets(head, options.listed_landmarks)]
    before = () if initial is None else initial.heads
    present = [head for head in HEADS if head != "landmark" or may_have_landmarks(options)]
    if "landmark" in present and "landmark" not in (*learned, *before):
        logger.warning("%s: no sample of this run trains landmarks, so the net gets no landmark head", options.net)
        present.remove("landmark")
    learned = [head for head in present if head in learned]
    kept = [head for head in present if head in before and head not in learned]
    if kept:
        logger.warning("%s: no sample of this run trains %s: kept as in the initial net", options.net, ", ".join(kept))
    return HeadPlan(tuple(present), tuple(learned), tuple(kept))
