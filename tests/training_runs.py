"""What tests of training runs share."""

import json
from pathlib import Path
from typing import Any, Callable

from mtcnn_gluon.records.files import RecordWriter
from mtcnn_gluon.records.info import REPORT
from mtcnn_gluon.records.samples import Samples
from mtcnn_gluon.training.checkpoints import BEST, LAST, Checkpoint, read_checkpoint
from record_samples import make_samples

Train = Callable[..., tuple[int, str]]
SHORT = ("--epochs", "2", "--batch", "32", "--warm-up", "5")


def write_records(folder: Path, count: int = 300, net: str = "pnet", seed: int = 0, samples: Samples | None = None) -> Path:
    size = {"pnet": 12, "rnet": 24, "onet": 48}[net]
    with RecordWriter(folder / net, net) as writer:
        writer.write(make_samples(count, size, seed) if samples is None else samples)
    (folder / REPORT).write_text("{}")
    return folder


def arrays(checkpoint: Checkpoint) -> dict[str, bytes]:
    parts = {part: getattr(checkpoint, part) for part in ("parameters", "optimiser", "averages")}
    return {f"{part}/{name}": array.tobytes() for part, group in parts.items() for name, array in group.items()}


def assert_same_state(a: Path, b: Path) -> None:
    for name in (LAST, BEST):
        one, other = read_checkpoint(a / name), read_checkpoint(b / name)
        assert arrays(one).keys() == arrays(other).keys()
        assert [key for key, value in arrays(one).items() if value != arrays(other)[key]] == []
        for about in (one.about, other.about):
            for row in about["rows"]:
                del row["samples_per_second"]
        assert json.dumps(one.about) == json.dumps(other.about)  # as text, since NaN is not NaN


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def interrupt_after(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any) -> None:
        function(*arguments)
        raise KeyboardInterrupt

    return wrapped
