"""The running average of the weights: when it moves, and how far."""

EVERY = 16  # steps: often enough for a decay near 1, and it takes time


def kept_share(decay: float, number: int, epoch: int) -> float:
    """The share of the average that stays after step `number`, from 0, of a run; the current weights are the rest.

    The average moves every `EVERY` steps, and after the last step of an epoch, so that what is measured and kept then knows all
    of its steps. A move over n steps keeps decay ** n: whatever moves there are, the same is kept over the same steps. In the
    beginning, when the average is young, it keeps less: k / (9 + k) in the k-th `EVERY` steps.

    Args:
        decay: what is kept in a step once the average is old, 0..1.
        number: of the step.
        epoch: steps of an epoch.

    Returns:
        Above 0 and at most 1, which says that it does not move.
    """
    if number % EVERY and (number + 1) % epoch:
        return 1.0
    moves = -(-number // EVERY)  # every EVERY steps, until the next one or this one
    kept = min(decay**EVERY, (1 + moves) / (10 + moves))
    before = max((number - 1) // EVERY * EVERY, number // epoch * epoch - 1)  # the step of the last move
    return kept ** ((number - before) / EVERY) if number else kept
