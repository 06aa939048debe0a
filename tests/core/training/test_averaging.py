"""The running average of the weights, however long epochs are."""

from pathlib import Path

import numpy as np
import pytest

from mtcnn_gluon.training.averaging import EVERY, kept_share
from mtcnn_gluon.training.checkpoints import read_checkpoint
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.trainer import BEST, LAST, Run

LENGTHS = (1, 2, 5, 9, 15, 16, 17, 31, 32, 33, 100, 5000)


@pytest.mark.parametrize("decay", [0.1, 0.9, 0.999, 0.99999])
@pytest.mark.parametrize("epoch", LENGTHS)
def test_as_much_is_kept_over_any_steps(decay: float, epoch: int) -> None:
    """At every sixteenth step as much as moves at those alone would keep, whatever epochs ended before it."""
    left = plain = 1.0
    for step in range(4000):
        share = kept_share(decay, step, epoch)
        assert 0 < share <= 1 and (share < 1) == (step % EVERY == 0 or step % epoch == epoch - 1)
        left *= share
        if step % EVERY == 0:
            young = 1 + step // EVERY
            plain *= min(decay**EVERY, young / (9 + young))
            assert left == pytest.approx(plain, rel=1e-9)


def test_long_epochs_move_it_as_before() -> None:
    shares = [kept_share(0.999, step, 10_000) for step in range(9_999)]
    assert shares[0] == 0.1 and shares[160] == 11 / 20 and shares[9_984] == 0.999**16
    ends = [kept_share(0.999, step, 10_000) for step in (9_999, 10_000)]
    assert ends == pytest.approx([0.999**15, 0.999])


@pytest.mark.parametrize("batch", [300, 100, 18])  # 1, 3 and 17 steps an epoch
def test_every_epoch_is_in_what_it_keeps(tmp_path: Path, records: Path, batch: int) -> None:
    """The average knows the last step of each epoch, so what is measured after short ones is not the same again."""
    run = Run(TrainingOptions("pnet", epochs=6, batch=batch, warm_up=0, average=0.9), records, tmp_path, records)
    averages, currents = [], []
    keep = run._keep

    def look(row: dict) -> None:
        averages.append(run.averaged.asnumpy())
        currents.append(run.trained.data().asnumpy())
        keep(row)

    run._keep = look  # type: ignore[method-assign, assignment]
    run.fit()
    for before, after, current in zip(averages, averages[1:], currents[1:]):
        assert np.linalg.norm(after - current) < np.linalg.norm(before - current)
    assert len({row["val_box_error"] for row in run.rows}) == 6
    best = read_checkpoint(tmp_path / BEST)
    assert best.about["epoch"] == 1 + max(range(6), key=lambda i: (run.rows[i]["val_recall"], i))
    parts = run.trained.parts(run.averaged)
    for name, value in read_checkpoint(tmp_path / LAST).averages.items():
        np.testing.assert_array_equal(value, parts[name].asnumpy())
