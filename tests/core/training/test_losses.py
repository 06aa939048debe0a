"""The training loss against plain numpy, and where its gradients go."""

from typing import Any

import numpy as np
import pytest

from mtcnn_gluon import boxes
from mtcnn_gluon.config import NETS
from mtcnn_gluon.mxnet_loader import load_mxnet
from mtcnn_gluon.operators.mxnet_operators import register
from mtcnn_gluon.records.samples import Kind
from mtcnn_gluon.symbol.blocks import CascadeNet
from mtcnn_gluon.training.losses import TERMS, WEIGHTS, TrainingNet, _overlaps
from mtcnn_gluon.training.options import TrainingOptions

mx = load_mxnet()
ALL = (Kind.POSITIVE, Kind.NEGATIVE, Kind.PART, Kind.LANDMARK)
FORMS = ["portable", "native"]


@pytest.fixture(autouse=True)
def skip_without_native_operators(request: pytest.FixtureRequest) -> None:
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params.get("form") == "native" and (reason := register()):
        pytest.skip(reason)


def make_net(net: str, form: Any = "portable", landmarks: bool = True, seed: int = 0) -> CascadeNet:
    block = CascadeNet({**NETS[net], "landmarks": landmarks}, f"{net}_", form)
    mx.random.seed(seed)
    block.initialize(mx.init.Xavier(magnitude=2))
    block(mx.nd.zeros((1, 3, NETS[net].size, NETS[net].size)))
    return block


def training_net(
    net: str, form: str, weights: dict[str, float] | None = None, landmarks: bool = True, **options: Any
) -> TrainingNet:  # fmt: skip
    block = make_net(net, form, landmarks)
    return TrainingNet(block, TrainingOptions(net, **options), weights or WEIGHTS[net], form == "portable")


def make_batch(net: str, kinds: list[int], seed: int = 0) -> list[np.ndarray]:
    """Images, and what `labels_of` makes a label of; half of the positive samples have landmarks too."""
    generator, count, size = np.random.default_rng(seed), len(kinds), NETS[net].size
    kind = np.array(kinds, np.float32)
    has_landmarks = (kind == Kind.LANDMARK) | ((kind == Kind.POSITIVE) & (np.arange(count) % 2 == 0))
    arrays = [
        generator.uniform(-1, 1, (count, 3, size, size)), kind, generator.normal(size=(count, 4)),
        generator.random((count, 10)), np.abs(kind) == 1, has_landmarks,
    ]  # fmt: skip
    return [array.astype(np.float32) for array in arrays]


def oracle(
    outputs: list[np.ndarray], batch: list[np.ndarray], keep_ratio: float, power: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Terms (3,) and costs of every sample (N, 3) from the net's outputs, in float64 and with plain loops."""
    logits, predicted, *points = (output.astype(float) for output in outputs)
    _, kinds, offsets, landmarks, has_box, has_landmarks = batch
    costs = np.zeros((len(kinds), 3))
    entropy = {}
    for i, kind in enumerate(kinds):
        if kind in (Kind.POSITIVE, Kind.NEGATIVE):
            entropy[i] = np.log(np.exp(logits[i]).sum()) - logits[i][int(kind)]
        if has_box[i]:
            costs[i, 1] = (np.abs(predicted[i] - offsets[i]) ** power).sum()
        if has_landmarks[i] and points:
            costs[i, 2] = (np.abs(points[0][i] - landmarks[i]) ** power).sum()
    kept = sorted(entropy, key=lambda i: -entropy[i])[: max(1, int(keep_ratio * len(entropy) + 1e-6))]
    for i in kept:
        costs[i, 0] = entropy[i]
    counts = np.array([len(kept), has_box.sum(), has_landmarks.sum()])
    return costs.sum(axis=0) / np.maximum(counts, 1), costs


def labels_of(batch: list[np.ndarray], overlaps: np.ndarray | float = 0.0) -> np.ndarray:
    """Labels (N, 18) of a batch."""
    kinds, offsets, landmarks, has_box, has_landmarks = batch[1:]
    return np.column_stack([kinds, offsets, landmarks, np.broadcast_to(overlaps, kinds.shape), has_box, has_landmarks])


def forward(block: TrainingNet, batch: list[np.ndarray], overlaps: np.ndarray | float = 0.0) -> Any:
    return block(mx.nd.array(batch[0]), mx.nd.array(labels_of(batch, overlaps)))


def run(block: TrainingNet, batch: list[np.ndarray], overlaps: np.ndarray | float = 0.0) -> list[np.ndarray]:
    """The loss (1,), the terms (3,), those of every sample (N, 3), and the net's outputs."""
    loss, terms, samples = (output.asnumpy() for output in forward(block, batch, overlaps)[:3])
    np.testing.assert_array_equal(terms[0], loss[0])
    ends = [3, 5, 9, 19] if samples.shape[1] == 19 else [3, 5, 9]
    return [loss, terms[1:], *np.split(samples, ends[:-1], axis=1)]


MIXED = [int(kind) for kind in ALL] * 5


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("net", list(NETS))
def test_like_the_oracle(net: str, form: str, hybrid: bool) -> None:
    block = training_net(net, form)
    if hybrid:
        block.hybridize(static_alloc=True, static_shape=True)
    for seed in range(2):
        batch = make_batch(net, MIXED, seed)
        loss, terms, costs, *outputs = run(block, batch)
        assert [output.shape for output in (loss, terms, costs, *outputs)] == [(1,), (3,), (20, 3), (20, 2), (20, 4), (20, 10)]
        expected_terms, expected_costs = oracle(outputs, batch, 0.7)
        np.testing.assert_allclose(costs, expected_costs, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(terms, expected_terms, rtol=1e-4)
        np.testing.assert_allclose(loss, [sum(WEIGHTS[net][term] * value for term, value in zip(TERMS, terms))], rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_absolute_errors(form: str) -> None:
    block = training_net("onet", form, regression="absolute")
    batch = make_batch("onet", MIXED)
    _, terms, costs, *outputs = run(block, batch)
    expected_terms, expected_costs = oracle(outputs, batch, 0.7, power=1)
    np.testing.assert_allclose(costs, expected_costs, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(terms, expected_terms, rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_errors_with_overlaps(form: str) -> None:
    """What a box lacks of a full overlap counts beside its offsets, with boxes of all kinds: apart, inside out, exact."""
    block = training_net("onet", form, overlap_weight=3)
    block.hybridize(static_alloc=True, static_shape=True)
    batch = make_batch("onet", MIXED)
    batch[2] *= np.repeat([0.0, 0.1, 0.5, 1.0], 5)[:, None]
    predicted = run(block, batch)[4]
    batch[2][0] = predicted[0]
    _, terms, costs, *outputs = run(block, batch)
    _, expected = oracle(outputs, batch, 0.7)
    crop = np.array([[0, 0, 1, 1]])
    overlaps = np.array(
        [boxes.iou(*(boxes.decode(crop, each[i : i + 1]) for each in (predicted, batch[2])))[0, 0] for i in range(20)]
    )
    has_box = batch[4] > 0
    assert overlaps[0] == pytest.approx(1) and (overlaps[has_box] == 0).any() and (overlaps[has_box] > 0).sum() > 3
    expected[:, 1] += 3 * (1 - overlaps) * has_box
    np.testing.assert_allclose(costs, expected, rtol=1e-4, atol=1e-5)
    assert terms[1] == pytest.approx(expected[has_box, 1].mean(), rel=1e-4)


def test_gradients_of_overlaps() -> None:
    generator = np.random.default_rng(0)
    wanted, offsets = (generator.normal(0, 0.2, (50, 4)).astype(np.float32) for _ in range(2))

    def overlaps(values: np.ndarray) -> np.ndarray:
        crops = np.tile([0.0, 0, 1, 1], (50, 1))
        return np.diag(boxes.iou(boxes.decode(crops, values.astype(float)), boxes.decode(crops, wanted.astype(float))))

    predicted = mx.nd.array(offsets)
    predicted.attach_grad()
    with mx.autograd.record():
        found = _overlaps(mx.nd, predicted, mx.nd.array(wanted))
    found.backward()
    np.testing.assert_allclose(found.asnumpy(), overlaps(offsets), rtol=1e-5, atol=1e-6)
    steps = 1e-6 * np.eye(4)
    expected = np.stack([(overlaps(offsets + step) - overlaps(offsets - step)) / 2e-6 for step in steps], axis=1)
    np.testing.assert_allclose(predicted.grad.asnumpy(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("keep_ratio, kept", [(1, 10), (0.7, 7), (0.35, 3), (0.01, 1)])
def test_share_of_hard_samples(form: str, keep_ratio: float, kept: int) -> None:
    block, batch = (
        training_net("pnet", form, keep_ratio=keep_ratio),
        make_batch("pnet", MIXED),
    )
    _, terms, costs, *outputs = run(block, batch)
    assert (costs[:, 0] > 0).sum() == kept
    np.testing.assert_allclose(terms, oracle(outputs, batch, keep_ratio)[0], rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "kinds, terms",
    [
        ([Kind.NEGATIVE], "cls"),
        ([Kind.NEGATIVE] * 7, "cls"),
        ([Kind.PART] * 3, "box"),
        ([Kind.LANDMARK] * 3, "landmark"),
        ([Kind.PART, Kind.LANDMARK], "box landmark"),
        ([Kind.POSITIVE] * 2, "cls box landmark"),
    ],
)
def test_kinds_that_are_not_there(form: str, kinds: list[int], terms: str) -> None:
    block, batch = training_net("pnet", form), make_batch("pnet", kinds)
    loss, found, costs, *outputs = run(block, batch)
    assert np.isfinite(costs).all() and np.isfinite(loss).all()
    assert [term for term, value in zip(TERMS, found) if value != 0] == terms.split()
    np.testing.assert_allclose(found, oracle(outputs, batch, 0.7)[0], rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_faces_with_landmarks_teach_the_classes(form: str) -> None:
    """Asked to, samples of kind landmark count as positive ones, for the classes alone."""
    block, batch = training_net("pnet", form, landmark_faces=True), make_batch("pnet", MIXED)
    block.hybridize(static_alloc=True, static_shape=True)
    _, terms, costs, *outputs = run(block, batch)
    renamed = [batch[0], np.where(batch[1] == Kind.LANDMARK, Kind.POSITIVE, batch[1]), *batch[2:]]
    expected_terms, expected_costs = oracle(outputs, renamed, 0.7)
    np.testing.assert_allclose(costs, expected_costs, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(terms, expected_terms, rtol=1e-4)
    found = gradients(block, make_batch("pnet", [Kind.LANDMARK] * 4))
    assert [head for head in TERMS if found[head] > 0] == ["cls", "landmark"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("part_faces", [0.0, 0.45, 1.0])
def test_part_samples_teach_the_classes(form: str, part_faces: float) -> None:
    """Asked to, samples of kind part count as positive ones from an overlap on, for the classes alone."""
    images, kinds, *others = make_batch("onet", MIXED)
    overlaps = np.linspace(0.4, 0.65, len(kinds), dtype=np.float32)
    block = training_net("onet", form, part_faces=part_faces)
    block.hybridize(static_alloc=True, static_shape=True)
    _, terms, costs, *outputs = run(block, [images, kinds, *others], overlaps)
    renamed = np.where((kinds == Kind.PART) & (overlaps >= part_faces), Kind.POSITIVE, kinds)
    assert (renamed != kinds).sum() == {0.0: 5, 0.45: 4, 1.0: 0}[part_faces]
    expected_terms, expected_costs = oracle(outputs, [images, renamed, *others], 0.7)
    np.testing.assert_allclose(costs, expected_costs, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(terms, expected_terms, rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_landmarks_of_listed_samples_alone(form: str) -> None:
    """Asked to, landmarks of samples of other kinds are taken as not known."""
    *batch, has_landmarks = make_batch("onet", MIXED)
    block = training_net("onet", form, listed_landmarks=True)
    block.hybridize(static_alloc=True, static_shape=True)
    _, terms, costs, *outputs = run(block, [*batch, has_landmarks])
    is_listed = (batch[1] == Kind.LANDMARK).astype(np.float32)
    assert 0 < is_listed.sum() < has_landmarks.sum()
    expected_terms, expected_costs = oracle(outputs, [*batch, is_listed], 0.7)
    np.testing.assert_allclose(costs, expected_costs, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(terms, expected_terms, rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_classes_that_a_teacher_says(form: str, share: float) -> None:
    """The cross-entropy is of the labels' and the teacher's probability, mixed, for the samples that are kept."""
    batch = make_batch("onet", MIXED)
    taught = np.random.default_rng(1).random(len(MIXED))
    block = training_net("onet", form, keep_ratio=1, distil=share)
    block.hybridize(static_alloc=True, static_shape=True)
    labels = np.column_stack([labels_of(batch), taught])
    samples = block(mx.nd.array(batch[0]), mx.nd.array(labels))[2].asnumpy()
    kinds = batch[1]
    wanted = (1 - share) * (kinds == Kind.POSITIVE) + share * taught
    learned = np.isin(kinds, (Kind.POSITIVE, Kind.NEGATIVE))
    np.testing.assert_allclose(samples[:, 0], learned * entropy(samples[:, 3:5], wanted), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        samples[:, 1:3], oracle(np.split(samples[:, 3:], [2, 6], axis=1), batch, 1.0)[1][:, 1:], rtol=1e-4
    )


def entropy(logits: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Cross-entropy (N,) of the probability of a face that is wanted (N,) and the one that logits (N, 2) say."""
    logits = logits.astype(float)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -wanted * logs[:, 1] - (1 - wanted) * logs[:, 0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("whole, share", [(1.0, 0.0), (0.7, 0.0), (0.7, 0.25)])
def test_overlaps_as_classes(form: str, whole: float, share: float) -> None:
    """Asked to, faces that overlap less than that are learned in part, part samples too; those of no known box wholly."""
    batch = make_batch("onet", MIXED)
    kinds, has_box = batch[1], batch[4]
    overlaps = np.linspace(0.4, 0.9, len(kinds), dtype=np.float32)
    taught = np.random.default_rng(1).random(len(kinds))
    block = training_net(
        "onet", form, keep_ratio=1, landmark_faces=True, part_faces=0.5, overlap_faces=whole, distil=share
    )  # fmt: skip
    block.hybridize(static_alloc=True, static_shape=True)
    labels = np.column_stack([labels_of(batch, overlaps), taught])
    samples = block(mx.nd.array(batch[0]), mx.nd.array(labels))[2].asnumpy()
    is_face = (kinds == Kind.POSITIVE) | (kinds == Kind.LANDMARK) | ((kinds == Kind.PART) & (overlaps >= 0.5))
    assert set(kinds[is_face & (has_box == 0)]) == {Kind.LANDMARK}
    wanted = (1 - share) * is_face * np.where(has_box, np.minimum(overlaps / whole, 1), 1) + share * taught
    expected = (is_face | (kinds == Kind.NEGATIVE)) * entropy(samples[:, 3:5], wanted)
    np.testing.assert_allclose(samples[:, 0], expected, rtol=1e-4, atol=1e-6)


def gradients(block: TrainingNet, batch: list[np.ndarray]) -> dict[str, float]:
    """Largest absolute gradient of each layer, such as conv1 and box."""
    with mx.autograd.record():
        loss = forward(block, batch)[0]
    loss.backward()
    found: dict[str, float] = {}
    for name, parameter in block.net.collect_params().items():
        layer = name.split("_")[1]
        found[layer] = max(found.get(layer, 0.0), float(np.abs(parameter.grad().asnumpy()).max()))
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("net", list(NETS))
@pytest.mark.parametrize(
    "kind, heads",
    [(Kind.NEGATIVE, "cls"), (Kind.PART, "box"), (Kind.LANDMARK, "landmark"), (Kind.POSITIVE, "cls box landmark")],
)
def test_gradients_flow_where_they_should(net: str, form: str, kind: int, heads: str) -> None:
    block = training_net(net, form)
    found = gradients(block, make_batch(net, [kind] * 4))
    assert [head for head in TERMS if found[head] > 0] == heads.split()
    assert all(value > 0 for layer, value in found.items() if layer not in TERMS)


@pytest.mark.parametrize("term", TERMS)
def test_a_term_without_weight_gives_no_gradient(term: str) -> None:
    block = training_net("pnet", "portable", {**WEIGHTS["pnet"], term: 0})
    found = gradients(block, make_batch("pnet", MIXED))
    assert [head for head in TERMS if found[head] == 0] == [term]


def test_weights_scale_gradients() -> None:
    batch = make_batch("pnet", [Kind.PART] * 4)
    one, three = (
        gradients(training_net("pnet", "portable", {"cls": 1, "box": weight, "landmark": 1}), batch) for weight in (1, 3)
    )
    assert three == pytest.approx({layer: 3 * value for layer, value in one.items()}, rel=1e-4)


def test_gradients_are_those_of_the_kept_samples() -> None:
    batch = make_batch("pnet", [Kind.POSITIVE, Kind.NEGATIVE] * 10)
    hard = training_net("pnet", "portable", {"cls": 1, "box": 0, "landmark": 0}, keep_ratio=0.5)
    kept = run(hard, batch)[2][:, 0] > 0
    assert kept.sum() == 10
    alone = training_net("pnet", "portable", {"cls": 1, "box": 0, "landmark": 0}, keep_ratio=1)
    assert gradients(alone, [array[kept] for array in batch]) == pytest.approx(gradients(hard, batch), rel=1e-4)


def test_forms_agree() -> None:
    if reason := register():
        pytest.skip(reason)
    for net in NETS:
        batch = make_batch(net, MIXED)
        found = [training_net(net, form) for form in ("native", "portable")]
        values = [value.data().asnumpy() for value in found[0].net.collect_params().values()]
        for parameter, value in zip(found[1].net.collect_params().values(), values):
            parameter.set_data(mx.nd.array(value))
        np.testing.assert_allclose(run(found[0], batch)[0], run(found[1], batch)[0], rtol=1e-4)
        assert gradients(found[0], batch) == pytest.approx(gradients(found[1], batch), rel=1e-3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ALL)
def test_an_image_that_is_not_finite_shows(form: str, kind: int) -> None:
    batch = make_batch("pnet", [kind] * 4)
    batch[0][2] = np.nan
    loss, _, costs, *_ = run(training_net("pnet", form), batch)
    assert np.isnan(loss).all()
    assert not np.isfinite(costs[2]).all() and np.isfinite(costs[[0, 1, 3]]).all()


@pytest.mark.parametrize("form", FORMS)
def test_a_net_without_landmarks(form: str) -> None:
    block = training_net("pnet", form, landmarks=False)
    batch = make_batch("pnet", MIXED)
    _, terms, costs, *outputs = run(block, batch)
    assert len(outputs) == 2 and terms[2] == 0 and not costs[:, 2].any()
    np.testing.assert_allclose(terms, oracle(outputs, batch, 0.7)[0], rtol=1e-4)
    assert gradients(block, batch)["box"] > 0
