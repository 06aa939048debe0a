"""Learning from what a net says, the one that training began with or another, as well as from the labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mtcnn_gluon.bundles.trained import TrainedNet
from mtcnn_gluon.errors import ConfigError, DataError
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.records.samples import Column, mirror_offsets
from mtcnn_gluon.training import state
from mtcnn_gluon.training.augment import Augmentation
from mtcnn_gluon.training.checkpoints import BEST, Checkpoint, read_checkpoint, write_checkpoint
from mtcnn_gluon.training.heads import plan_heads
from mtcnn_gluon.training.hooks import Checkpoints
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.runs import read_net
from mtcnn_gluon.training.sampler import Sampler
from mtcnn_gluon.training.state import Run
from mtcnn_gluon.training.teacher import TEACHER, distil, predict
from mtcnn_gluon.training.trainer import evaluate, fit
from training_runs import SHORT, Train, assert_same_state, interrupt_after, write_records

mx = load_mxnet()
PLAIN = Augmentation(mirror=0)


def the_net(finished: Path) -> TrainedNet:
    return read_net(str(finished / BEST), "pnet")


def begun(folder: Path, records: Path, finished: Path, share: float = 0.5, **options: object) -> Run:
    settings = TrainingOptions("pnet", epochs=1, batch=32, warm_up=5, distil=share, augmentation=PLAIN, **options)  # type: ignore[arg-type]
    return Run(settings, records, folder, records, initial=the_net(finished))


def test_what_a_teacher_says(tmp_path: Path, records: Path, finished: Path) -> None:
    """The mean of the logits and of the boxes of a sample and of its mirror image."""
    run = begun(tmp_path, records, finished)
    record = Sampler(records, TrainingOptions("pnet")).records[0]
    found = predict(run.net, record, mx.cpu())
    images = (record.crops.transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 128
    one, other = (
        [each.asnumpy().reshape(len(images), -1) for each in run.net(mx.nd.array(x))] for x in (images, images[..., ::-1])
    )
    margin = sum(logits[:, 1] - logits[:, 0] for logits, *_ in (one, other)) / 2
    np.testing.assert_allclose(found[:, 0], 1 / (1 + np.exp(-margin)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[:, 1:], (one[1] + mirror_offsets(other[1])) / 2, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(read_checkpoint(tmp_path / TEACHER).parameters["0"], found)


@pytest.mark.parametrize("mirror", [0, 1])
def test_labels_of_a_sampler_that_was_taught(records: Path, mirror: int) -> None:
    plain, taught = (
        Sampler(records, TrainingOptions("pnet", batch=64, augmentation=Augmentation(mirror=mirror))) for _ in range(2)
    )
    says = np.random.default_rng(0).random((len(plain.records[0].crops), 5)).astype(np.float32)
    taught.add_teacher([says], 0.25)
    before, after = plain.draw(3), taught.draw(3)
    np.testing.assert_array_equal(after.images, before.images)
    assert after.labels.shape == (64, 19)
    rows = np.concatenate([rows for _, rows in plain._pick(plain._quotas[None], 3)])
    np.testing.assert_array_equal(after.labels[:, 18], says[rows, 0])
    expected = before.labels.copy()
    offsets = mirror_offsets(says[rows, 1:]) if mirror else says[rows, 1:]
    known = expected[:, Column.HAS_BOX] > 0
    assert 0 < known.sum() < len(known)
    expected[known, Column.OFFSETS] = 0.75 * expected[known, Column.OFFSETS] + 0.25 * offsets[known]
    np.testing.assert_allclose(after.labels[:, :18], expected, atol=1e-6)


def test_a_teacher_alone_is_learned_from(
    tmp_path: Path, records: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The more of it is learned, the nearer a net stays to its teacher, which labels alone lead away from."""
    monkeypatch.setattr(state, "plan_heads", lambda *about: replace(plan_heads(*about), kept=()))  # which keep it near, too
    distances = []
    for share in (0.0, 0.5, 1.0):
        run = begun(tmp_path / str(share), records, finished, share, tasks=("cls",), keep_ratio=1.0)
        teacher = predict(run.net, run.sampler.records[0], mx.cpu())[:, 0]
        fit(run)
        after = predict(run.net, run.sampler.records[0], mx.cpu())[:, 0]
        distances.append(np.abs(after - teacher).mean())
    assert distances == sorted(distances, reverse=True) and distances[2] < 0.5 * distances[0]


def test_validated_by_the_labels(tmp_path: Path, records: Path, finished: Path) -> None:
    run, plain = (begun(tmp_path / str(share), records, finished, share) for share in (0.9, 0.0))
    assert evaluate(run) == evaluate(plain)


def test_kept_and_taken_again(tmp_path: Path, records: Path, finished: Path) -> None:
    """Whole again after being killed before the first checkpoint; not taken for other records or another teacher."""
    run = begun(tmp_path, records, finished)
    kept = read_checkpoint(tmp_path / TEACHER)
    marked = Checkpoint(kept.about, {"0": np.full_like(kept.parameters["0"], 0.125)})
    write_checkpoint(tmp_path / TEACHER, marked)
    assert (begun(tmp_path, records, finished).sampler.records[0].labels[:, 18] == 0.125).all()
    fresh = Sampler(records, TrainingOptions("pnet"))
    distil(fresh, run.net, 0.5, tmp_path, mx.cpu(), resume=True)
    assert (fresh.records[0].labels[:, 18] == 0.125).all()
    run.net.collect_params()["pnet_cls_bias"].set_data(mx.nd.array([0, 1]))
    fresh = Sampler(records, TrainingOptions("pnet"))
    distil(fresh, run.net, 0.5, tmp_path, mx.cpu(), resume=True)  # another net, and yet the teacher that the run began with
    assert (fresh.records[0].labels[:, 18] == 0.125).all()
    fresh = Sampler(records, TrainingOptions("pnet"))
    distil(fresh, run.net, 0.5, tmp_path, mx.cpu())
    assert (fresh.records[0].labels[:, 18] != 0.125).all()
    other = write_records(tmp_path / "other", seed=1)
    with pytest.raises(DataError, match="missing or of other samples, and resuming needs it"):
        distil(Sampler(other, TrainingOptions("pnet")), run.net, 0.5, tmp_path, mx.cpu(), resume=True)


def test_resumed(tmp_path: Path, records: Path, finished: Path, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the parameters that the run began with, or none, the end is that of a run in one go."""
    options = TrainingOptions("pnet", epochs=2, batch=32, warm_up=5, distil=0.5)
    initial = the_net(finished)
    fit(Run(options, records, tmp_path / "whole", initial=initial))
    for name, more in (("same", ["--init", finished / BEST]), ("none", [])):
        first = Run(options, records, tmp_path / name, initial=initial)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Checkpoints, "after_epoch", interrupt_after(Checkpoints.after_epoch))
            fit(first)
        assert train("--records", records, *SHORT, "--distil", 0.5, *more, "--out", tmp_path / name, "--resume")[0] == 0
        assert_same_state(tmp_path / name, tmp_path / "whole")


def test_not_resumed_with_other_options(tmp_path: Path, records: Path, finished: Path, train: Train) -> None:
    """Which is refused before a teacher looks at samples."""
    options = TrainingOptions("pnet", epochs=2, batch=32, warm_up=5)
    fit(Run(options, records, tmp_path, initial=the_net(finished)))
    status, said = train(
        "--records", records, *SHORT, "--distil", 0.5, "--init", finished / BEST, "--out", tmp_path, "--resume"
    )
    assert status == 2 and "is of a run with other options: distil was 0.0, is 0.5" in said
    assert not (tmp_path / TEACHER).exists()


def test_nothing_to_learn_from(tmp_path: Path, records: Path, train: Train) -> None:
    status, said = train("--records", records, *SHORT, "--distil", 0.5, "--out", tmp_path / "run")
    assert status == 2 and "distil needs a trained net to learn from: name it with --teacher, or with --init" in said


@pytest.mark.parametrize(
    ("heads", "message"), [((), "cls or box"), (("cls",), "no trained box"), (("box", "landmark"), "no trained cls")]
)
def test_random_numbers_teach_nothing(
    tmp_path: Path, records: Path, finished: Path, heads: tuple[str, ...], message: str
) -> None:
    """Such as the nets of a bundle that were not trained yet."""
    initial = replace(the_net(finished), heads=heads)
    with pytest.raises(ConfigError, match=f"distil needs a trained net to learn from.*{message}$"):
        Run(TrainingOptions("pnet", epochs=1, batch=32, distil=0.5), records, tmp_path, initial=initial)
    with pytest.raises(ConfigError, match=f"distil needs a trained net to learn from.*{message}$"):
        Run(TrainingOptions("pnet", epochs=1, batch=32, distil=0.5), records, tmp_path, teacher=initial)


def test_a_finished_run_is_not_begun_again(tmp_path: Path, records: Path, finished: Path) -> None:
    before = sorted(path.name for path in finished.iterdir())
    with pytest.raises(DataError, match="holds a training run"):
        begun(finished, records, finished)
    assert sorted(path.name for path in finished.iterdir()) == before  # nothing was looked at for it


SMALL = "conv 8 3, pool 2 2, conv 12 5"  # another net than the teacher, and smaller


def small(
    records: Path, folder: Path, teacher: TrainedNet | None, share: float = 0.5, epochs: int = 2, resume: bool = False
) -> Run:
    settings = TrainingOptions(
        "pnet", layers=SMALL, epochs=epochs, batch=32, warm_up=5, distil=share, tasks=("cls",), keep_ratio=1.0
    )
    return Run(settings, records, folder, teacher=teacher, resume=resume)


def test_a_smaller_net_learns_from_a_larger_one(tmp_path: Path, records: Path, finished: Path) -> None:
    """It says more of what its teacher says than one that learns from labels alone; its parameters begin alike."""
    teacher = the_net(finished)
    taught, plain = (small(records, tmp_path / str(share), each, share, 30) for each, share in ((teacher, 1.0), (None, 0.0)))
    assert all((value == plain.parameters()[name]).all() for name, value in taught.parameters().items())
    large = begun(tmp_path / "large", records, finished)
    says = predict(large.net, large.sampler.records[0], mx.cpu())
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "1.0" / TEACHER).parameters["0"], says)
    distances = []
    for run in (taught, plain):
        fit(run)
        distances.append(np.abs(predict(run.net, run.sampler.records[0], mx.cpu())[:, 0] - says[:, 0]).mean())
    assert distances[0] < 0.75 * distances[1]


def test_with_a_teacher_resumed(tmp_path: Path, records: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is named again or not; with another one it is refused."""
    teacher = the_net(finished)
    fit(small(records, tmp_path / "whole", teacher))
    for name, again in (("named", teacher), ("not named", None)):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Checkpoints, "after_epoch", interrupt_after(Checkpoints.after_epoch))
            fit(small(records, tmp_path / name, teacher))
        fit(small(records, tmp_path / name, again, resume=True))
        assert_same_state(tmp_path / name, tmp_path / "whole")
    bias = teacher.parameters["pnet_cls_bias"] + 1
    other = replace(teacher, parameters={**teacher.parameters, "pnet_cls_bias": bias})
    with pytest.raises(
        ConfigError, match="is of a run with other teacher's parameters: teacher was [0-9a-f]{12}, is [0-9a-f]{12}"
    ):
        small(records, tmp_path / "named", other, resume=True)


def test_a_teacher_named_on_the_command_line(tmp_path: Path, records: Path, finished: Path, train: Train) -> None:
    """Any file with parameters will do; it must see what the samples show, and be of use."""
    words = ["--records", records, *SHORT, "--layers", SMALL, "--teacher", finished / BEST]
    status, said = train(*words, "--distil", 0.5, "--out", tmp_path / "run")
    assert status == 0 and (tmp_path / "run" / TEACHER).exists(), said
    status, said = train(*words, "--out", tmp_path / "other")
    assert status == 2 and "a teacher is of no use without distil, the share of its outputs in the targets" in said
    status, said = train("--records", records, *SHORT, "--distil", 0.5, "--teacher", "wide-1", "--out", tmp_path / "other")
    sees = "the teacher sees 34 pixels with a context of 11, and the samples show 12 pixels with a context of 0"
    assert status == 2 and sees in said and not (tmp_path / "other").exists()
