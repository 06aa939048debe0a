"""`mtcnn-gluon evaluate records`: a net's figures on samples, worked out once more by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from mtcnn_gluon import Detector
from mtcnn_gluon.cli import main as cli
from mtcnn_gluon.config import NETS
from mtcnn_gluon.evaluation import samples
from mtcnn_gluon.records.files import RecordWriter
from mtcnn_gluon.records.info import REPORT
from mtcnn_gluon.records.samples import Kind, Samples
from mtcnn_gluon.training.options import TrainingOptions
from mtcnn_gluon.training.sampler import Sampler
from record_samples import make_samples

COUNT = 301  # no whole number of rows of tiles, nor of batches


@pytest.fixture(scope="module")
def model(own_cache: None) -> Detector:
    return Detector("gluon-4", engine="native")


def write(folder: Path, net: str) -> tuple[Path, Samples]:
    made = make_samples(COUNT, NETS[net].size)
    folder.mkdir()
    with RecordWriter(folder / net, net) as writer:
        writer.write(made)
    (folder / REPORT).write_text("{}")
    return folder, made


def outputs_one_by_one(model: Detector, net: str, crops: np.ndarray) -> list[np.ndarray]:
    """Probability (N,), offsets (N, 4) and perhaps landmarks (N, 10)."""
    found = []
    for crop in crops:
        pixels = np.ascontiguousarray(((crop.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None])
        found.append([np.asarray(each).reshape(-1) for each in getattr(model.engine, net)(pixels)])
    probability, *others = (np.stack(each).astype(float) for each in zip(*found))
    return [probability[:, 0], *others]


@pytest.mark.parametrize("net", list(NETS))
def test_figures(tmp_path: Path, model: Detector, net: str) -> None:
    folder, made = write(tmp_path / "records", net)
    found = samples.measure(model.engine, Sampler(folder, TrainingOptions(net, batch=64)), net, model.settings.views[net])
    probability, offsets, *points = outputs_one_by_one(model, net, made.crops)
    positive, negative = probability[made.kinds == Kind.POSITIVE], probability[made.kinds == Kind.NEGATIVE]
    expected = {
        "positive_accuracy": (positive > 0.5).mean(),
        "negative_accuracy": (negative <= 0.5).mean(),
        "recall": (positive > np.quantile(negative, 0.99)).mean(),
        "box_error": np.abs(offsets - made.offsets)[made.has_box].mean(),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    if points:
        distances = np.linalg.norm(points[0].reshape(-1, 5, 2) - made.landmarks, axis=2)[made.has_landmarks]
        assert found["landmark_error"] == pytest.approx(distances.mean(), rel=1e-4)
    else:
        assert np.isnan(found["landmark_error"])


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder, made = write(tmp_path / "records", "rnet")
    words = ["evaluate", "records", "--records", str(folder), "--net", "rnet", "--model", "official", "--model", "b=gluon-4"]
    out = tmp_path / "out.json"
    assert cli.main([*words, "--engine", "native", "--json", str(out), "--report", str(tmp_path / "report")]) == 0
    figures = json.loads(out.read_text())
    assert figures["samples"] == {kind.name.lower(): int((made.kinds == kind).sum()) for kind in Kind}
    assert [each["name"] for each in figures["detectors"]] == ["official", "b"] and figures["landmark_error"] is None
    assert f"**R-Net on 301 samples: {figures['samples']['positive']} positive" in capsys.readouterr().out
    assert "recall at 1 % false positives" in (tmp_path / "report/report.md").read_text()


@pytest.mark.parametrize(
    "words, message",
    [
        (["--net", "qnet"], "net"),
        (["--net", "onet"], "holds no finished records"),
        (["--net", "rnet", "--model", "official", "--model", "official"], "two detectors are called official"),
        (["--net", "rnet", "--model", "none"], "none"),
        (["--net", "rnet", "--records", "nowhere"], "nowhere holds no finished records"),
    ],
)
def test_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture, words: list[str], message: str) -> None:
    folder, _ = write(tmp_path / "records", "rnet")
    assert cli.main(["evaluate", "records", "--records", str(folder), *words]) == 2
    assert message in capsys.readouterr().err
